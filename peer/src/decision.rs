//! Every choice of a peer with its reason: a sentence for people, a JSON object for programs.
//!
//! Text and JSON say "chunk", as the book does; it is what the code calls a piece. The fields are
//! listed in `docs/events.md`.

use std::fmt;
use std::net::SocketAddr;

use serde::Serialize;

use crate::choker;
use crate::picker::PickReason;
use crate::remote::Direction;

/// Something that the peer decided, or that it decides upon.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// A neighbour is taken in.
    Connect {
        /// The neighbour.
        peer: SocketAddr,
        /// What it calls itself.
        peer_id: String,
        /// Who called whom.
        direction: Direction,
    },
    /// A peer that connected is not taken in.
    Refuse {
        /// The peer.
        peer: SocketAddr,
        /// What it calls itself.
        peer_id: String,
        /// Why.
        #[serde(flatten)]
        reason: DisconnectReason,
    },
    /// A neighbour is gone, or is sent away.
    Disconnect {
        /// The neighbour.
        peer: SocketAddr,
        /// Why.
        #[serde(flatten)]
        reason: DisconnectReason,
    },
    /// A round of choking begins (every 10 s).
    Round {
        /// Counts from 1.
        round: u32,
        /// Neighbours that want something from us.
        interested: usize,
        /// All neighbours.
        neighbors: usize,
    },
    /// From now on it may download from us.
    Unchoke {
        /// The neighbour.
        peer: SocketAddr,
        /// Why.
        #[serde(flatten)]
        reason: choker::Reason,
    },
    /// It may go on downloading from us for another round.
    KeepUnchoked {
        /// The neighbour.
        peer: SocketAddr,
        /// Why.
        #[serde(flatten)]
        reason: choker::Reason,
    },
    /// From now on it may not download from us.
    Choke {
        /// The neighbour.
        peer: SocketAddr,
        /// Why.
        #[serde(flatten)]
        reason: choker::Reason,
    },
    /// A chunk is begun.
    BeginChunk {
        /// Its index.
        chunk: u32,
        /// Who is asked first.
        from: SocketAddr,
        /// Why this chunk.
        #[serde(flatten)]
        reason: PickReason,
        /// Neighbours there are.
        neighbors: usize,
    },
    /// Every missing block was asked for: idle neighbours are asked as well from now on.
    Endgame {
        /// Chunks that are not complete yet.
        chunks: usize,
    },
    /// A neighbour did not answer in time: others are asked.
    RequestTimedOut {
        /// The neighbour.
        peer: SocketAddr,
        /// How many blocks it was to send.
        blocks: usize,
    },
    /// A chunk came whole and has the right hash: neighbours are told.
    Verified {
        /// Its index.
        chunk: u32,
        /// Chunks that we have now.
        have: u32,
        /// Chunks that there are.
        of: u32,
    },
    /// A chunk came whole and has the wrong hash: it is fetched again.
    HashFailed {
        /// Its index.
        chunk: u32,
        /// Who sent a part of it and is still here.
        from: Vec<SocketAddr>,
    },
    /// All is here.
    Complete {
        /// Bytes of blocks that came, the useless ones included.
        downloaded: u64,
        /// Bytes of blocks that we sent.
        uploaded: u64,
    },
}

/// Why a connection ended, or why no neighbour came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "why", content = "detail", rename_all = "snake_case")]
pub enum DisconnectReason {
    /// The other side closed it.
    Closed,
    /// The system says so.
    Failed(String),
    /// It sent what no message of this torrent is.
    BrokeProtocol(String),
    /// It is ourselves.
    Myself,
    /// We have another connection to the same peer.
    Duplicate,
    /// As many neighbours as we want.
    EnoughNeighbors,
    /// It gave nothing and took nothing for minutes, and another wants its place.
    MadeRoom,
    /// Neither of us needs the other.
    BothComplete,
    /// Nothing came for minutes.
    Silent,
    /// It sent false chunks.
    SentFalseData,
    /// It sent blocks that nobody had asked it for.
    SentUnrequested,
    /// It asked for a chunk that we never said we have.
    AskedForMissing,
    /// It said that it no longer has a chunk.
    TookBack,
    /// It sent too many messages that mean nothing.
    Flooded,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { peer, direction: Direction::Incoming, .. } => {
                write!(f, "neighbour {peer}  it called us")
            }
            Self::Connect { peer, direction: Direction::Outgoing, .. } => {
                write!(f, "neighbour {peer}  we called it")
            }
            Self::Refuse { peer, reason, .. } => write!(f, "refuse {peer}  {reason}"),
            Self::Disconnect { peer, reason } => write!(f, "without {peer}  {reason}"),
            Self::Round { round, interested, neighbors } => {
                write!(f, "round {round}  {interested} of {neighbors} neighbours interested")
            }
            Self::Unchoke { peer, reason } => write!(f, "unchoke {peer}  {reason}"),
            Self::KeepUnchoked { peer, reason } => write!(f, "keep {peer} unchoked  {reason}"),
            Self::Choke { peer, reason } => write!(f, "choke {peer}  {reason}"),
            Self::BeginChunk { chunk, from, reason, neighbors } => {
                write!(f, "chunk {chunk} from {from}  {reason}")?;
                match reason {
                    PickReason::RarestFirst { .. } => write!(f, " of {neighbors} neighbours"),
                    PickReason::RandomFirst | PickReason::Random | PickReason::InOrder => Ok(()),
                }
            }
            Self::Endgame { chunks } => {
                write!(f, "endgame  all blocks of the last {chunks} chunks were asked for")
            }
            Self::RequestTimedOut { peer, blocks } => {
                write!(f, "ask others  {peer} did not send {blocks} blocks in time")
            }
            Self::Verified { chunk, have, of } => {
                write!(f, "have chunk {chunk}  the hash is right, {have} of {of}")
            }
            Self::HashFailed { chunk, from } => {
                write!(f, "discard chunk {chunk}  the hash is wrong; sent by")?;
                from.iter().try_for_each(|peer| write!(f, " {peer}"))
            }
            Self::Complete { .. } => f.write_str("complete"),
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "it closed the connection",
            Self::Failed(error) => return write!(f, "connection failed: {error}"),
            Self::BrokeProtocol(error) => return write!(f, "it broke the protocol: {error}"),
            Self::Myself => "it is ourselves",
            Self::Duplicate => "another connection to the same peer",
            Self::EnoughNeighbors => "enough neighbours",
            Self::MadeRoom => "it gave and took nothing, another takes its place",
            Self::BothComplete => "both have everything",
            Self::Silent => "nothing came for minutes",
            Self::SentFalseData => "it sent false chunks",
            Self::SentUnrequested => "it sent blocks that nobody had asked for",
            Self::AskedForMissing => "it asked for a chunk that we do not have",
            Self::TookBack => "it no longer has a chunk that it had",
            Self::Flooded => "it flooded us with messages",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 6883))
    }

    fn refusal() -> Decision {
        let peer_id = "-KR0001-abcdefghijkl".to_owned();
        Decision::Refuse { peer: peer(), peer_id, reason: DisconnectReason::EnoughNeighbors }
    }

    #[test]
    fn a_decision_reads_as_a_sentence() {
        let unchoke = Decision::Unchoke {
            peer: peer(),
            reason: choker::Reason::Top { slots: 4, rank: 2, rate: 412_000 },
        };
        assert_eq!(unchoke.to_string(), "unchoke 127.0.0.1:6883  top four, rank 2, 412 kB/s");
        let reason = PickReason::RarestFirst { held_by: 1 };
        let begin = Decision::BeginChunk { chunk: 17, from: peer(), reason, neighbors: 4 };
        assert_eq!(
            begin.to_string(),
            "chunk 17 from 127.0.0.1:6883  rarest, held by 1 of 4 neighbours"
        );
        assert_eq!(refusal().to_string(), "refuse 127.0.0.1:6883  enough neighbours");
    }

    #[test]
    fn a_decision_is_one_flat_json_object() {
        let json = |decision: &Decision| serde_json::to_string(decision).unwrap();
        let reason = PickReason::RarestFirst { held_by: 1 };
        assert_eq!(
            json(&Decision::BeginChunk { chunk: 17, from: peer(), reason, neighbors: 4 }),
            r#"{"decision":"begin_chunk","chunk":17,"from":"127.0.0.1:6883","rule":"rarest_first","held_by":1,"neighbors":4}"#
        );
        assert_eq!(
            json(&Decision::Choke {
                peer: peer(),
                reason: choker::Reason::BelowCut { rank: 6, rate: 12_000, cut: 40_000 },
            }),
            r#"{"decision":"choke","peer":"127.0.0.1:6883","why":"below_cut","rank":6,"rate":12000,"cut":40000}"#
        );
        assert_eq!(
            json(&Decision::Disconnect { peer: peer(), reason: DisconnectReason::Closed }),
            r#"{"decision":"disconnect","peer":"127.0.0.1:6883","why":"closed"}"#
        );
        assert_eq!(
            json(&refusal()),
            r#"{"decision":"refuse","peer":"127.0.0.1:6883","peer_id":"-KR0001-abcdefghijkl","why":"enough_neighbors"}"#
        );
    }
}
