//! An observer of the simulator that records its traffic: each connection with what was sent over it
//! and when that arrived, each dial that failed, each announce.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use common::announce::{AnnounceRequest, AnnounceResponse};
use common::geometry::Block;
use common::moment::Moment;
use common::wire::Message;
use peer::PeerKey;
use peer::decision::Decision;
use peer::sim::{HostId, Observer, Traffic};

/// The traffic of a run.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pub(super) connections: Vec<Connection>,
    pub(super) announces: Vec<Announce>,
    /// Dials that no peer has accepted.
    pub(super) unanswered: Vec<Dial>,
    /// For each end of a connection, its place in `connections` and the side.
    places: BTreeMap<PeerKey, (usize, usize)>,
}

/// A peer dials an address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dial {
    pub(super) at: Moment,
    pub(super) host: HostId,
    pub(super) to: SocketAddr,
}

/// A connection between two peers. Its sides are the peer that dialed and the other one.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) dialed_at: Moment,
    /// When the handshake of the peer that dialed has arrived, and the other peer answers.
    pub(super) opened_at: Moment,
    pub(super) hosts: [HostId; 2],
    /// The port from which it was dialed.
    pub(super) port: u16,
    pub(super) sides: [Side; 2],
}

/// What one side of a connection did.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub(super) sent: Vec<Sent>,
    /// The block whose first byte has left and whose last has not.
    pub(super) sending: Option<(Moment, Block)>,
    /// When it closed its end, or found that the other side had.
    pub(super) closed_at: Option<Moment>,
    /// How many messages of the other side have arrived.
    received: usize,
    /// When the close of the other side arrived.
    pub(super) close_received_at: Option<Moment>,
}

/// A message that was sent.
#[derive(Debug)]
pub(super) struct Sent {
    /// When its first byte left: before the last one if it carries a block.
    pub(super) began_at: Moment,
    pub(super) at: Moment,
    pub(super) message: Message,
    /// When all of it had arrived; `None` if the other side had closed.
    pub(super) received_at: Option<Moment>,
}

/// An announce and its answer.
#[derive(Debug)]
pub(super) struct Announce {
    pub(super) at: Moment,
    pub(super) host: HostId,
    pub(super) request: AnnounceRequest,
    pub(super) answer: AnnounceResponse,
}

impl Observer for Journal {
    fn decision(&mut self, _: Moment, _: HostId, _: Decision) {}

    fn traffic(&mut self, at: Moment, traffic: Traffic<'_>) {
        match traffic {
            Traffic::Dials { host, to } => self.unanswered.push(Dial { at, host, to }),
            Traffic::Opens { hosts, ends, port } => self.open(at, hosts, ends, port),
            Traffic::Begins { end, block } => self.side(end).sending = Some((at, block)),
            Traffic::Sends { end, message } => {
                let side = self.side(end);
                let is_block = matches!(message, Message::Piece(_));
                let began = if is_block { side.sending.take() } else { None };
                let began_at = began.map_or(at, |(began_at, _)| began_at);
                let message = message.clone();
                side.sent.push(Sent { began_at, at, message, received_at: None });
            }
            Traffic::Receives { end } => self.receive(at, end),
            Traffic::Closes { end } => self.side(end).closed_at = Some(at),
            Traffic::Announces { host, request, answer } => {
                let answer = answer.expect("a tracker has room for a small swarm").clone();
                self.announces.push(Announce { at, host, request: request.clone(), answer });
            }
        }
    }
}

impl Journal {
    fn open(&mut self, at: Moment, hosts: [HostId; 2], ends: [PeerKey; 2], port: u16) {
        let [by, to] = hosts;
        let is_it = |dial: &Dial| dial.host == by && super::swarm::host_at(dial.to) == to;
        let dial = self.unanswered.iter().position(is_it).expect("a peer dials first");
        let dialed_at = self.unanswered.remove(dial).at;
        for (side, end) in ends.into_iter().enumerate() {
            self.places.insert(end, (self.connections.len(), side));
        }
        let sides = Default::default();
        self.connections.push(Connection { dialed_at, opened_at: at, hosts, port, sides });
    }

    /// The next message of the other side has arrived here; after all of them it is the close.
    fn receive(&mut self, at: Moment, end: PeerKey) {
        let (connection, side) = self.places[&end];
        let sides = &mut self.connections[connection].sides;
        let next = sides[side].received;
        sides[side].received += 1;
        match sides[1 - side].sent.get_mut(next) {
            Some(sent) => sent.received_at = Some(at),
            None => {
                sides[side].close_received_at = Some(at);
                sides[side].closed_at = Some(at);
            }
        }
    }

    fn side(&mut self, end: PeerKey) -> &mut Side {
        let (connection, side) = self.places[&end];
        &mut self.connections[connection].sides[side]
    }
}
