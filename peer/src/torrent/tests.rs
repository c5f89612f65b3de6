//! The core under scripted inputs.

mod books;
mod connections;
mod downloads;
mod uploads;

use std::net::SocketAddr;

use common::geometry::{Block, PieceIndex};
use common::report::{Direction, Identity};
use common::wire::ExtendedHandshake;

use super::*;
use crate::decision::DisconnectReason;

const SECOND: Duration = Duration::from_secs(1);

/// A torrent of ten pieces with two blocks each, and the clock.
struct Scene {
    torrent: Torrent,
    now: Moment,
}

/// Peers differ in the first byte of their ids; ours is in the middle.
const OUR_ID: u8 = 100;

const PIECES: u32 = 10;

fn geometry() -> Geometry {
    Geometry::new(u64::from(PIECES) * 32_768, 32_768).unwrap()
}

fn piece(index: u32) -> PieceIndex {
    geometry().piece(index).unwrap()
}

fn block(index: u32, number: u32) -> Block {
    geometry().block(index, number * 16_384, 16_384).unwrap()
}

fn bits(pieces: impl IntoIterator<Item = u32>) -> Bitfield {
    let mut bits = Bitfield::empty(PIECES);
    pieces.into_iter().for_each(|index| bits.insert(piece(index)));
    bits
}

fn address(peer: u64) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7000 + u16::try_from(peer).unwrap()))
}

impl Scene {
    fn new(have: Bitfield) -> Self {
        Self::with(have, |_| {})
    }

    fn with(have: Bitfield, configure: impl FnOnce(&mut Config)) -> Self {
        Self::with_seed(have, 1, configure)
    }

    fn with_seed(have: Bitfield, seed: u64, configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(PeerId([OUR_ID; 20]));
        config.has_tracker = false;
        configure(&mut config);
        let now = Moment::START;
        Self { torrent: Torrent::new(config, geometry(), have, seed, now), now }
    }

    fn handle(&mut self, input: Input) -> Vec<Output> {
        self.torrent.handle(input, self.now);
        std::iter::from_fn(|| self.torrent.poll()).collect()
    }

    fn connect_as(&mut self, peer: u64, direction: Direction, id: u8) -> Vec<Output> {
        let neighbor = Identity {
            key: PeerKey(peer),
            address: address(peer),
            peer_id: PeerId([id; 20]),
            name: None,
        };
        self.handle(Input::Connected { neighbor, direction, extensions: false })
    }

    /// A neighbor that dialed us and has these pieces.
    fn neighbor(&mut self, peer: u8, has: Bitfield) -> Vec<Output> {
        let mut actions = self.connect_as(peer.into(), Direction::Incoming, peer);
        if !has.is_empty() {
            actions.extend(self.receive(peer.into(), Message::Bitfield(has)));
        }
        actions
    }

    /// A message arrives, and with a piece message its block.
    fn receive(&mut self, peer: u64, message: Message) -> Vec<Output> {
        let peer = PeerKey(peer);
        let block = if let Message::Piece(block) = message { Some(block) } else { None };
        let mut outputs = self.handle(Input::Received { peer, message });
        outputs.extend(
            block.into_iter().flat_map(|block| self.handle(Input::BlockArrived { peer, block })),
        );
        outputs
    }

    /// Answers a request, and says that the hash is right when asked.
    fn answer(&mut self, peer: u64, block: Block) -> Vec<Output> {
        let mut outputs = self.receive(peer, Message::Piece(block));
        if outputs.contains(&Output::CheckPiece(block.piece())) {
            let (piece, verdict) = (block.piece(), Verdict::Good);
            outputs.extend(self.handle(Input::PieceChecked { piece, verdict }));
        }
        outputs
    }

    /// The block that the core sends once the connection is writable.
    fn next_upload(&mut self, peer: u64) -> Option<Block> {
        let outputs = self.handle(Input::Writable { peer: PeerKey(peer) });
        outputs.iter().find_map(|output| match output {
            Output::SendBlock { block, .. } => Some(*block),
            _ => None,
        })
    }

    /// Lets time pass, with every timeout in it.
    fn wait(&mut self, time: Duration) -> Vec<Output> {
        let end = self.now + time;
        let mut outputs = Vec::new();
        while let Some(due) = self.torrent.next_timeout().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            outputs.extend(self.handle(Input::TimedOut));
        }
        self.now = end;
        outputs
    }

    /// Gives a neighbor that was unchoked this share, as some chokers do.
    fn set_share(&mut self, peer: u64, share: u32) {
        let neighbor = self.torrent.neighbors.get_mut(PeerKey(peer)).unwrap();
        neighbor.exchange.as_mut().unwrap().share = share;
    }

    fn remote(&self, peer: u64) -> &Neighbor {
        self.torrent.neighbors.get(PeerKey(peer)).unwrap()
    }
}

fn sent(actions: &[Output], to: u64) -> Vec<&Message> {
    let to_peer = |action| match action {
        &Output::Send { peer, ref message } if peer == PeerKey(to) => Some(message),
        _ => None,
    };
    actions.iter().filter_map(to_peer).collect()
}

fn requests(actions: &[Output], to: u64) -> Vec<Block> {
    let block = |message: &&Message| match **message {
        Message::Request(block) => Some(block),
        _ => None,
    };
    sent(actions, to).iter().filter_map(block).collect()
}

fn disconnected(actions: &[Output]) -> Vec<(u64, DisconnectReason)> {
    let ended = |action: &Output| match action {
        Output::Disconnect { peer, reason } => Some((peer.0, reason.clone())),
        _ => None,
    };
    actions.iter().filter_map(ended).collect()
}

/// A neighbor that connected to us and knows BEP 10.
fn with_extensions(scene: &mut Scene, peer: u64) -> Vec<Output> {
    let (key, peer_id) = (PeerKey(peer), PeerId([u8::try_from(peer).unwrap(); 20]));
    let neighbor = Identity { key, address: address(peer), peer_id, name: None };
    let direction = Direction::Incoming;
    scene.handle(Input::Connected { neighbor, direction, extensions: true })
}

fn listens_on(port: u16) -> Message {
    Message::Extended(ExtendedHandshake { listen_port: Some(port), ..ExtendedHandshake::default() })
}

/// The peer closes the connection.
fn closed(scene: &mut Scene, peer: u64) -> Vec<Output> {
    let (peer, reason) = (PeerKey(peer), DisconnectReason::Closed);
    scene.handle(Input::Disconnected { peer, reason })
}

fn dials(outputs: &[Output]) -> Vec<SocketAddr> {
    let address = |output: &Output| match output {
        Output::Dial { address } => Some(*address),
        _ => None,
    };
    outputs.iter().filter_map(address).collect()
}
