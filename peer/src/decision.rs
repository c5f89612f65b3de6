//! Every choice of a peer with its reason: a sentence for people, a JSON object for programs.
//!
//! A decision names a neighbor by a value, its [`Identity`]; text is made of it only here, at the
//! edge. Text and JSON say "chunk", as the book does; it is what the code calls a piece. The fields
//! are listed in `docs/events.md`.

use std::fmt;

use common::report::{Direction, Identity};
use serde::{Deserialize, Serialize};

use crate::choker::{ChokeReason, UnchokeReason};
use crate::picker::PickReason;
use crate::units;

/// A decision of the peer, or a fact on which its decisions rest.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// A peer becomes a neighbor.
    Connect {
        /// The neighbor.
        #[serde(flatten)]
        peer: Identity,
        /// Which side dialed.
        direction: Direction,
    },
    /// A peer that connected does not become a neighbor.
    Refuse {
        /// The peer.
        #[serde(flatten)]
        peer: Identity,
        /// Why.
        #[serde(flatten)]
        reason: DisconnectReason,
    },
    /// A neighbor is gone, or is disconnected.
    Disconnect {
        /// The neighbor.
        #[serde(flatten)]
        peer: Identity,
        /// Why.
        #[serde(flatten)]
        reason: DisconnectReason,
        /// Bytes of blocks that it sent us and we had requested.
        downloaded: u64,
        /// Bytes of blocks that we sent it.
        uploaded: u64,
    },
    /// A round of choking (every 10 s).
    Round {
        /// Counts from 1.
        round: u32,
        /// Neighbors that want something from us.
        interested: usize,
        /// All neighbors.
        neighbors: usize,
        /// The rate of the slowest neighbor that earned a slot by its rate.
        #[serde(skip_serializing_if = "Option::is_none")]
        cut: Option<u64>,
    },
    /// From now on it may download from us.
    Unchoke {
        /// The neighbor.
        #[serde(flatten)]
        peer: Identity,
        /// Why.
        #[serde(flatten)]
        reason: UnchokeReason,
    },
    /// It may go on downloading from us for another round.
    KeepUnchoked {
        /// The neighbor.
        #[serde(flatten)]
        peer: Identity,
        /// Why.
        #[serde(flatten)]
        reason: UnchokeReason,
        /// Until now it was unchoked optimistically, and has earned a slot by its rate since.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        promoted: bool,
    },
    /// From now on it may not download from us.
    Choke {
        /// The neighbor.
        #[serde(flatten)]
        peer: Identity,
        /// Why.
        #[serde(flatten)]
        reason: ChokeReason,
    },
    /// It may not download from us for another round.
    KeepChoked {
        /// The neighbor.
        #[serde(flatten)]
        peer: Identity,
        /// Why.
        #[serde(flatten)]
        reason: ChokeReason,
    },
    /// The first block of a chunk is requested.
    BeginChunk {
        /// Its index.
        chunk: u32,
        /// The neighbor that is asked for it.
        #[serde(flatten)]
        peer: Identity,
        /// Why this chunk.
        #[serde(flatten)]
        reason: PickReason,
        /// All neighbors.
        neighbors: usize,
    },
    /// Every missing block was requested: idle neighbors are asked as well from now on.
    Endgame {
        /// Chunks that are not complete yet.
        chunks: usize,
    },
    /// A neighbor did not answer in time; its requests go to others.
    RequestTimedOut {
        /// The neighbor.
        #[serde(flatten)]
        peer: Identity,
        /// How many requested blocks it did not send.
        blocks: usize,
    },
    /// A chunk is complete and has the right hash; neighbors hear of it.
    Verified {
        /// Its index.
        chunk: u32,
        /// Chunks that we have now.
        have: u32,
        /// All chunks of the torrent.
        of: u32,
    },
    /// A chunk is complete and has the wrong hash; it is downloaded again.
    HashFailed {
        /// Its index.
        chunk: u32,
        /// The neighbors that sent a part of it and are still connected.
        from: Vec<Identity>,
    },
    /// Every chunk is verified.
    Complete {
        /// Bytes of blocks that came, the useless ones included.
        downloaded: u64,
        /// Bytes of blocks that we sent.
        uploaded: u64,
    },
}

/// Why a connection ended, or why a peer that connected did not become a neighbor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "why", content = "detail", rename_all = "snake_case")]
#[allow(missing_docs, reason = "the texts say it")]
pub enum DisconnectReason {
    #[error("closed by peer")]
    Closed,
    /// The system reports an error.
    #[error("connection failed: {0}")]
    Failed(String),
    /// The peer sent bytes that are not a message of this torrent.
    #[error("protocol error: {0}")]
    ProtocolError(String),
    #[error("it is ourselves")]
    Myself,
    #[error("another connection to the same peer")]
    Duplicate,
    #[error("enough neighbors")]
    EnoughNeighbors,
    #[error("no block exchanged for minutes; another peer takes its place")]
    Evicted,
    #[error("both have everything")]
    BothComplete,
    #[error("nothing received for minutes")]
    Silent,
    #[error("sent false chunks")]
    SentFalseData,
    #[error("sent blocks that were never requested")]
    SentUnrequested,
    #[error("requested a chunk that we do not have")]
    RequestedMissing,
    #[error("no longer has a chunk that it had")]
    TookBack,
    #[error("sent too many messages")]
    Flooded,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { peer, direction } => match direction {
                Direction::Incoming => write!(f, "connected {peer}: it dialed us"),
                Direction::Outgoing => write!(f, "connected {peer}: we dialed it"),
            },
            Self::Refuse { peer, reason } => write!(f, "refused {peer}: {reason}"),
            Self::Disconnect { peer, reason, .. } => write!(f, "disconnected {peer}: {reason}"),
            Self::Round { round, interested, neighbors, cut } => {
                write!(f, "round {round}: {interested} of {neighbors} neighbors interested")?;
                cut.map_or(Ok(()), |cut| write!(f, ", the cut is {}", units::rate(cut)))
            }
            Self::Unchoke { peer, reason } => write!(f, "unchoke {peer}: {reason}"),
            Self::KeepUnchoked { peer, reason, promoted: true } => {
                write!(f, "{peer} earned its optimistic slot: {reason}")
            }
            Self::KeepUnchoked { peer, reason, promoted: false } => {
                write!(f, "keep {peer} unchoked: {reason}")
            }
            Self::Choke { peer, reason } => write!(f, "choke {peer}: {reason}"),
            Self::KeepChoked { peer, reason } => write!(f, "keep {peer} choked: {reason}"),
            Self::BeginChunk { chunk, peer, reason, neighbors } => {
                write!(f, "begin chunk {chunk} from {peer}: {reason}")?;
                reason.held_by.map_or(Ok(()), |_| write!(f, " of {neighbors} neighbors"))
            }
            Self::Endgame { chunks } => {
                let chunks = units::count(*chunks, "chunk");
                write!(f, "endgame: every block of the last {chunks} was requested")
            }
            Self::RequestTimedOut { peer, blocks } => {
                let blocks = units::count(*blocks, "block");
                write!(f, "request timeout: {peer} did not send {blocks}; asking others")
            }
            Self::Verified { chunk, have, of } => {
                write!(f, "verified chunk {chunk}: {have} of {of}")
            }
            Self::HashFailed { chunk, from } => {
                write!(f, "discard chunk {chunk}: wrong hash; sent by")?;
                from.iter().try_for_each(|peer| write!(f, " {peer}"))
            }
            Self::Complete { .. } => f.write_str("complete"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use common::id::{PeerId, PeerKey};

    use super::*;
    use crate::choker::Standing;

    fn peer(name: Option<&str>) -> Identity {
        Identity {
            key: PeerKey(4),
            address: SocketAddr::from(([127, 0, 0, 1], 6883)),
            peer_id: PeerId(*b"-KR0001-abcdefghijkl"),
            name: name.map(Into::into),
        }
    }

    #[test]
    fn a_decision_reads_as_a_sentence_with_the_name_where_there_is_one() {
        let reason = UnchokeReason::Top { slots: 4, rank: 2, rate: 412_000 };
        let unchoke = |peer| Decision::Unchoke { peer, reason: reason.clone() }.to_string();
        assert_eq!(unchoke(peer(None)), "unchoke 127.0.0.1:6883: top four, rank 2 at 412 kB/s");
        assert_eq!(unchoke(peer(Some("peer-2"))), "unchoke peer-2: top four, rank 2 at 412 kB/s");
        let reason = PickReason { rule: "rarest_first", held_by: Some(1) };
        let begin = Decision::BeginChunk { chunk: 17, peer: peer(None), reason, neighbors: 4 };
        assert_eq!(
            begin.to_string(),
            "begin chunk 17 from 127.0.0.1:6883: rarest first, held by 1 of 4 neighbors"
        );
    }

    #[test]
    fn a_decision_is_one_flat_json_object() {
        let json = |decision: &Decision| serde_json::to_string(decision).unwrap();
        let reason = PickReason { rule: "rarest_first", held_by: Some(1) };
        assert_eq!(
            json(&Decision::BeginChunk {
                chunk: 17,
                peer: peer(Some("seed")),
                reason,
                neighbors: 4
            }),
            r#"{"decision":"begin_chunk","chunk":17,"key":4,"peer":"127.0.0.1:6883","peer_id":"-KR0001-abcdefghijkl","name":"seed","rule":"rarest_first","held_by":1,"neighbors":4}"#
        );
        assert_eq!(
            json(&Decision::Choke {
                peer: peer(None),
                reason: ChokeReason::BelowCut(Standing { rank: 6, rate: 12_000, cut: 40_000 }),
            }),
            r#"{"decision":"choke","key":4,"peer":"127.0.0.1:6883","peer_id":"-KR0001-abcdefghijkl","why":"below_cut","rank":6,"rate":12000,"cut":40000}"#
        );
        assert_eq!(
            json(&Decision::Disconnect {
                peer: peer(None),
                reason: DisconnectReason::Closed,
                downloaded: 7,
                uploaded: 5,
            }),
            r#"{"decision":"disconnect","key":4,"peer":"127.0.0.1:6883","peer_id":"-KR0001-abcdefghijkl","why":"closed","downloaded":7,"uploaded":5}"#
        );
    }
}
