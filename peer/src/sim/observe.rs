//! Observers of the decisions and blocks of a world: one keeps nothing, one keeps all decisions.

use std::fmt;
use std::net::SocketAddr;

use common::announce::{AnnounceRequest, AnnounceResponse};
use common::geometry::Block;
use common::moment::Moment;
use common::wire::Message;

use super::HostId;
use crate::PeerKey;
use crate::decision::Decision;

/// Sees every decision of every peer and every block that arrives, in order.
pub trait Observer {
    /// A peer made a decision.
    fn decision(&mut self, at: Moment, host: HostId, decision: Decision);

    /// All of a block has arrived at a peer.
    fn delivered(&mut self, _at: Moment, _from: HostId, _to: HostId, _block: Block) {}

    /// Something was sent or received: for a capture.
    fn traffic(&mut self, _at: Moment, _traffic: Traffic<'_>) {}
}

/// What a peer sends over the network, or what reaches it. Each end of a connection has a key of its
/// own, and delivers in the order in which the other end sends.
#[derive(Clone, Copy, Debug)]
pub enum Traffic<'a> {
    /// A peer dials.
    Dials {
        /// The peer.
        host: HostId,
        /// The address that it dials.
        to: SocketAddr,
    },
    /// The handshake of the dialing peer has reached the other one, which answers it.
    Opens {
        /// The peer that dialed, and the other one.
        hosts: [HostId; 2],
        /// Their ends of the connection.
        ends: [PeerKey; 2],
        /// The port from which it dialed.
        port: u16,
    },
    /// A message leaves a peer; of a piece message, the last byte.
    Sends {
        /// Where it leaves.
        end: PeerKey,
        /// The message.
        message: &'a Message,
    },
    /// The first byte of a piece message leaves a peer.
    Begins {
        /// Where it leaves.
        end: PeerKey,
        /// The block that the message carries.
        block: Block,
    },
    /// The next message of the other end has arrived as a whole, or after all of them its close.
    Receives {
        /// Where it arrives.
        end: PeerKey,
    },
    /// A peer closes its end, which then receives nothing more.
    Closes {
        /// The end.
        end: PeerKey,
    },
    /// A peer announces itself.
    Announces {
        /// The peer.
        host: HostId,
        /// What it tells the tracker. The info-hash is zero: a world has one torrent.
        request: &'a AnnounceRequest,
        /// The answer, which comes later; `None` if the tracker refuses.
        answer: Option<&'a AnnounceResponse>,
    },
}

/// Keeps nothing: for runs of many peers of which only the outcome counts.
impl Observer for () {
    fn decision(&mut self, _: Moment, _: HostId, _: Decision) {}
}

/// Keeps everything: for tests of small worlds.
pub type Trace = Vec<Entry>;

impl Observer for Trace {
    fn decision(&mut self, at: Moment, host: HostId, decision: Decision) {
        self.push(Entry { at, host, decision });
    }
}

/// A decision that a peer made, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When it was made.
    pub at: Moment,
    /// The peer that made it.
    pub host: HostId,
    /// The decision.
    pub decision: Decision,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, host, decision } = self;
        write!(f, "{:10.6} s  {host}  {decision}", at.since_start().as_secs_f64())
    }
}
