//! The state of a peer as plain values, for a progress bar, a page, a test.
//!
//! Text and JSON say "chunk", as the book does; it is what the code calls a piece.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::bitfield::Bitfield;
use crate::id::{PeerId, PeerKey};
use crate::moment::Moment;

/// The identity of a neighbor: its connection, address and peer id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The connection.
    pub key: PeerKey,
    /// The other end of the connection; an ephemeral port if the neighbor dialed us.
    #[serde(rename = "peer")]
    pub address: SocketAddr,
    /// The neighbor's peer id.
    pub peer_id: PeerId,
    /// A name for people, where the user gave one to this peer id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
}

/// The name, or else the address.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.pad(name),
            None => self.address.fmt(f),
        }
    }
}

/// Which side dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The neighbor dialed us.
    Incoming,
    /// We dialed the neighbor, at the address where it listens.
    Outgoing,
}

/// Bytes of blocks since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Received and requested.
    pub downloaded: u64,
    /// Sent.
    pub uploaded: u64,
    /// Received and of no use: not requested, a duplicate, or part of a chunk with a wrong hash.
    pub wasted: u64,
}

/// The state of a peer at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The peer's id.
    pub peer_id: PeerId,
    /// Its verified chunks.
    pub have: Bitfield,
    /// Bytes of the chunks that are missing.
    pub left: u64,
    /// Bytes received and sent so far.
    pub totals: Totals,
    /// Choking rounds so far.
    pub round: u32,
    /// Whether every missing block has been requested.
    pub endgame: bool,
    /// In the order in which they connected.
    pub neighbors: Vec<NeighborReport>,
    /// Chunks of which a block has been requested.
    pub in_progress: Vec<ChunkReport>,
    /// The addresses of peers that are not connected.
    pub dials: DialReport,
    /// The announces; `None` if the torrent has no tracker.
    pub tracker: Option<TrackerReport>,
}

/// One neighbor as the peer sees it. Rates are in bytes per second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "the four flags of BEP 3, and two of ours")]
pub struct NeighborReport {
    /// Its identity.
    #[serde(flatten)]
    pub identity: Identity,
    /// The program that it runs, as it says (BEP 10).
    pub client: Option<String>,
    /// Which side dialed.
    pub direction: Direction,
    /// We do not answer its requests.
    pub am_choking: bool,
    /// It has a chunk that we lack.
    pub am_interested: bool,
    /// It does not answer our requests.
    pub peer_choking: bool,
    /// It wants a chunk that we have.
    pub peer_interested: bool,
    /// It has sent us nothing for over a minute, so we serve it only optimistically.
    pub snubbed: bool,
    /// It sent a part of a chunk with a wrong hash, and must now send whole chunks.
    pub on_parole: bool,
    /// How many chunks it has.
    pub chunks: u32,
    /// From it to us.
    pub download_rate: u64,
    /// From us to it.
    pub upload_rate: u64,
    /// Bytes of blocks from it that we had requested.
    pub downloaded: u64,
    /// Bytes of blocks that we sent it.
    pub uploaded: u64,
    /// Its place in the ranking of the last round, from 1; `None` if it was not ranked.
    pub rank: Option<usize>,
    /// Why it is choked or unchoked; `None` before the first decision.
    pub reason: Option<String>,
    /// Our requests that it has not answered.
    pub requests: usize,
    /// Its requests that we have not answered.
    pub queued_uploads: usize,
}

/// A chunk in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkReport {
    /// Its index.
    pub chunk: u32,
    /// Blocks that have arrived.
    pub received: u32,
    /// All its blocks.
    pub blocks: u32,
}

/// The addresses that the peer knows and has no connection to. Addresses never to be dialed again,
/// such as its own, do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialReport {
    /// Being dialed, for the first time or after a useful connection.
    pub in_progress: usize,
    /// Addresses whose last dial failed, or led to a connection without a block. They are dialed
    /// again, or are being dialed again.
    pub failing: usize,
    /// All others.
    pub idle: usize,
    /// When the next dial is due, which may have passed; `None` if none is.
    pub next: Option<Moment>,
    /// The address that failed last.
    pub last_failed: Option<SocketAddr>,
}

/// What the peer knows of its tracker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackerReport {
    /// How the last announce ended; `None` before the first has.
    pub last: Option<AnnounceOutcome>,
    /// When the next announce is due; `None` while one is in progress.
    pub next: Option<Moment>,
}

/// How an announce ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnnounceOutcome {
    /// The tracker answered.
    Answered,
    /// No tracker answered, or it refused.
    Failed,
}
