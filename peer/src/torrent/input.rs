//! The inputs and outputs of the core.

use std::net::SocketAddr;
use std::time::Duration;

use common::announce;
use common::geometry::{Block, Geometry, PieceIndex};
use common::report::{Direction, Identity};
use common::wire::Message;
use serde::{Deserialize, Serialize};

use crate::PeerKey;
use crate::decision::{Decision, DisconnectReason};

/// Something happened outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A connection is open, and handshakes for this torrent were exchanged.
    Connected {
        /// The neighbor, with a key that was never used before.
        neighbor: Identity,
        /// Which side dialed.
        direction: Direction,
        /// Whether its handshake has the bit of the extension protocol (BEP 10).
        extensions: bool,
    },
    /// A dial that [`Output::Dial`] asked for failed.
    DialFailed {
        /// The address that was dialed.
        address: SocketAddr,
    },
    /// A neighbor sent a message. Of a piece message only the head is here: the core answers with
    /// [`Output::AcceptBlock`] or [`Output::SkipBlock`], and [`Input::BlockArrived`] follows.
    Received {
        /// The neighbor.
        peer: PeerKey,
        /// The message.
        message: Message,
    },
    /// All bytes of the block that a piece message announced have arrived, or were skipped.
    BlockArrived {
        /// The neighbor.
        peer: PeerKey,
        /// The block.
        block: Block,
    },
    /// The connection can take a block. Hand this over after [`Output::UploadReady`], and again
    /// after each block: the core answers with [`Output::SendBlock`], or not at all.
    Writable {
        /// The neighbor.
        peer: PeerKey,
    },
    /// A block that [`Output::SendBlock`] named has been sent.
    Sent {
        /// The neighbor.
        peer: PeerKey,
        /// The block.
        block: Block,
    },
    /// A connection ended from outside (never after [`Output::Disconnect`]).
    Disconnected {
        /// The neighbor.
        peer: PeerKey,
        /// Why it ended.
        reason: DisconnectReason,
    },
    /// The tracker answered.
    Announced {
        /// Time until the next regular announce.
        interval: Duration,
        /// No announce before this time.
        min_interval: Option<Duration>,
        /// Some peers of the swarm.
        peers: Vec<SocketAddr>,
    },
    /// The tracker did not answer, or refused.
    AnnounceFailed,
    /// The check that [`Output::CheckPiece`] asked for is done.
    PieceChecked {
        /// The piece.
        piece: PieceIndex,
        /// Whether it has the right hash (and is on the disk).
        verdict: Verdict,
    },
    /// The user named a peer to connect to.
    PeerNamed {
        /// Where it listens.
        address: SocketAddr,
    },
    /// We are about to leave the swarm.
    Leaving,
    /// The time of [`super::Torrent::next_timeout`] has come.
    TimedOut,
}

/// What checking a piece showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The hash is that of the torrent.
    Good,
    /// It is not.
    Bad,
}

/// Something to do outside.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Dial a peer and exchange handshakes; then report [`Input::Connected`] or
    /// [`Input::DialFailed`].
    Dial {
        /// Where it listens.
        address: SocketAddr,
    },
    /// Send a message; never a piece message.
    Send {
        /// The neighbor.
        peer: PeerKey,
        /// The message.
        message: Message,
    },
    /// There may be a block to send: report [`Input::Writable`] when the connection can take one.
    UploadReady {
        /// The neighbor.
        peer: PeerKey,
        /// Its weight, where connections take turns at one uplink.
        share: u32,
    },
    /// Send this block; then report [`Input::Sent`].
    SendBlock {
        /// The neighbor.
        peer: PeerKey,
        /// The block.
        block: Block,
    },
    /// Receive the body of the piece message whose head has come.
    AcceptBlock {
        /// The neighbor.
        peer: PeerKey,
        /// The block.
        block: Block,
    },
    /// Drop the body of the piece message whose head has come: it is of no use.
    SkipBlock {
        /// The neighbor.
        peer: PeerKey,
        /// The block.
        block: Block,
    },
    /// Keep the block that has arrived as a part of its piece.
    KeepBlock {
        /// The neighbor.
        peer: PeerKey,
        /// The block.
        block: Block,
    },
    /// Forget the blocks of the piece: it is no longer in progress.
    DropPiece(PieceIndex),
    /// All blocks of the piece have arrived: check it, and report [`Input::PieceChecked`].
    CheckPiece(PieceIndex),
    /// Close the connection; no further input is about it.
    Disconnect {
        /// The neighbor.
        peer: PeerKey,
        /// Why.
        reason: DisconnectReason,
    },
    /// Tell the tracker about us; then report [`Input::Announced`] or [`Input::AnnounceFailed`].
    Announce {
        /// What happened, if anything.
        event: Option<announce::Event>,
        /// How many peers we ask for.
        num_want: u32,
    },
    /// Tell the user about a decision.
    Explain(Decision),
    /// Every piece is verified.
    Complete,
}

impl Input {
    /// Whether every piece and block in it exists in a torrent of this geometry. What comes off
    /// the wire does; what is read from a record need not.
    pub fn fits(&self, geometry: &Geometry) -> bool {
        match self {
            Self::Received { message, .. } => match message {
                Message::Have(piece) => geometry.contains_piece(*piece),
                Message::Bitfield(bitfield) => bitfield.piece_count() == geometry.piece_count(),
                Message::Request(block) | Message::Piece(block) | Message::Cancel(block) => {
                    geometry.contains(*block)
                }
                Message::KeepAlive
                | Message::Choke
                | Message::Unchoke
                | Message::Interested
                | Message::NotInterested
                | Message::Port(_)
                | Message::Extended(_)
                | Message::Unknown(_) => true,
            },
            Self::BlockArrived { block, .. } | Self::Sent { block, .. } => {
                geometry.contains(*block)
            }
            Self::PieceChecked { piece, .. } => geometry.contains_piece(*piece),
            Self::Connected { .. }
            | Self::DialFailed { .. }
            | Self::Writable { .. }
            | Self::Disconnected { .. }
            | Self::Announced { .. }
            | Self::AnnounceFailed
            | Self::PeerNamed { .. }
            | Self::Leaving
            | Self::TimedOut => true,
        }
    }
}
