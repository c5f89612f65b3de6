//! Which block to ask a peer for: rarest first and its rivals (Kurose & Ross 2.5; BEP 3).
//!
//! The rules, in this order, are those of Cohen's paper ("Incentives Build Robustness in
//! BitTorrent", 2003):
//! 1. Strict priority: a piece that was begun is finished before another is begun.
//! 2. Random first: until we have some pieces to trade, take any; a rare one comes slowly.
//! 3. Rarest first: of the pieces that the peer has, take the one that the fewest of our
//!    neighbours have; ties are broken by chance, or all peers would fetch the same.
//! 4. Endgame: when every missing block was asked for, ask others for the last ones as well.

mod availability;
mod order;

use std::collections::{BTreeMap, BTreeSet};

use common::bitfield::Bitfield;
use common::geometry::{Block, Geometry, PieceIndex};
use common::id::PeerId;
use fastrand::Rng;

use availability::Availability;
pub use order::{Order, PickReason, UnknownOrder};

/// What to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// The block to request.
    pub block: Block,
    /// Set when the block begins a piece.
    pub begins: Option<PickReason>,
}

/// What a block that came means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// We have it already, or its piece is not wanted now.
    Unneeded,
    /// It is new.
    Stored {
        /// Others were asked for it too: cancel those requests.
        asked_elsewhere: bool,
    },
    /// It is new and was the last one of its piece: check the hash.
    LastOfPiece {
        /// Others were asked for it too: cancel those requests.
        asked_elsewhere: bool,
    },
}

/// Keeps what is missing, what is under way, and who has what.
#[derive(Debug)]
pub struct Picker {
    geometry: Geometry,
    order: Order,
    /// Pieces with a good hash.
    have: Bitfield,
    /// Pieces that are missing and not begun, the rarest first.
    missing: Availability,
    /// Pieces that were begun.
    begun: BTreeMap<PieceIndex, Begun>,
    /// Those of them with blocks that nobody was asked for; few, however many were begun.
    unfinished: BTreeSet<PieceIndex>,
    /// All pieces below this one are had or begun; where [`Order::InOrder`] begins to look.
    lowest_missing: u32,
}

/// A piece of which we have asked for a block.
#[derive(Debug)]
struct Begun {
    blocks: Vec<BlockState>,
    unrequested: u32,
    not_received: u32,
    /// Who sent a block of it, in case that the hash is wrong.
    senders: Vec<PeerId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BlockState {
    Unrequested,
    /// From so many peers at once; more than one only in the endgame.
    Requested(u16),
    Received,
}

impl Picker {
    /// A picker for what is not in `have`.
    pub fn new(geometry: Geometry, have: Bitfield, order: Order, rng: &mut Rng) -> Self {
        let missing = Availability::new(&have, rng);
        let (begun, unfinished) = (BTreeMap::new(), BTreeSet::new());
        Self { geometry, order, have, missing, begun, unfinished, lowest_missing: 0 }
    }

    /// A neighbour came, or told what it has.
    pub fn peer_joined(&mut self, has: &Bitfield, rng: &mut Rng) {
        self.missing.add_all(has, rng);
    }

    /// A neighbour went; `has` is what it had told.
    pub fn peer_left(&mut self, has: &Bitfield, rng: &mut Rng) {
        self.missing.remove_all(has, rng);
    }

    /// A neighbour has got one more piece, the last one of `has`.
    pub fn peer_gained(&mut self, piece: PieceIndex, has: &Bitfield, rng: &mut Rng) {
        self.missing.gained(piece, has, rng);
    }

    /// What to ask a peer for that has these pieces. The block counts as requested from it.
    pub fn pick(&mut self, has: &Bitfield, rng: &mut Rng) -> Option<Pick> {
        if let Some(block) = self.pick_in_begun(has, rng) {
            return Some(Pick { block, begins: None });
        }
        let (piece, reason) = self.pick_piece(has, rng)?;
        let block = self.begin(piece);
        Some(Pick { block, begins: Some(reason) })
    }

    /// In the endgame, a block for a peer that was asked for nothing: one that was asked of the
    /// fewest others.
    ///
    /// One block a time and only for idle peers: enough not to hang on one slow peer at the end,
    /// and little is downloaded twice.
    pub fn pick_again(&mut self, has: &Bitfield, rng: &mut Rng) -> Option<Block> {
        if !self.in_endgame() {
            return None;
        }
        let mut fewest = u16::MAX;
        let mut choices = Vec::new();
        for (&piece, begun) in self.begun.iter().filter(|&(&piece, _)| has.contains(piece)) {
            for (state, block) in begun.blocks.iter().zip(self.geometry.blocks(piece)) {
                let BlockState::Requested(times) = *state else { continue };
                if times > fewest {
                    continue;
                }
                if times < fewest {
                    fewest = times;
                    choices.clear();
                }
                choices.push(block);
            }
        }
        let block = rng.choice(choices)?;
        *self.state(block).expect("it was found among the begun pieces") =
            BlockState::Requested(fewest.saturating_add(1));
        Some(block)
    }

    /// A peer will not answer the request for this block: it choked us, went, or took too long.
    pub fn release(&mut self, block: Block) {
        let Some(state) = self.state(block) else { return };
        match *state {
            BlockState::Unrequested | BlockState::Received => {}
            BlockState::Requested(times) if times > 1 => *state = BlockState::Requested(times - 1),
            BlockState::Requested(_) => {
                *state = BlockState::Unrequested;
                self.begun.get_mut(&block.piece()).expect("it has a state").unrequested += 1;
                self.unfinished.insert(block.piece());
            }
        }
    }

    /// A block came; `requested` if the request to its sender still stood.
    pub fn received(&mut self, block: Block, from: PeerId, requested: bool) -> Arrival {
        let Some(state) = self.state(block) else { return Arrival::Unneeded };
        let times = match std::mem::replace(state, BlockState::Received) {
            BlockState::Received => return Arrival::Unneeded,
            BlockState::Unrequested => 0,
            BlockState::Requested(times) => times,
        };
        let begun = self.begun.get_mut(&block.piece()).expect("it has a state");
        if times == 0 {
            begun.unrequested -= 1;
            if begun.unrequested == 0 {
                self.unfinished.remove(&block.piece());
            }
        }
        begun.not_received -= 1;
        if !begun.senders.contains(&from) {
            begun.senders.push(from);
        }
        let asked_elsewhere = times > u16::from(requested);
        match begun.not_received {
            0 => Arrival::LastOfPiece { asked_elsewhere },
            _ => Arrival::Stored { asked_elsewhere },
        }
    }

    /// A piece has the right hash: it is had. Returns who sent it.
    pub fn verified(&mut self, piece: PieceIndex) -> Vec<PeerId> {
        self.have.insert(piece);
        self.begun.remove(&piece).map_or_else(Vec::new, |begun| begun.senders)
    }

    /// A piece has the wrong hash: it is missing again, whole. Returns who sent it.
    pub fn failed(&mut self, piece: PieceIndex, rng: &mut Rng) -> Vec<PeerId> {
        let Some(begun) = self.begun.remove(&piece) else { return Vec::new() };
        self.missing.put_back(piece, rng);
        self.lowest_missing = self.lowest_missing.min(piece.get());
        begun.senders
    }

    /// What we have, every piece with a good hash.
    pub fn have(&self) -> &Bitfield {
        &self.have
    }

    /// Whether every block that is missing was asked for.
    pub fn in_endgame(&self) -> bool {
        self.unfinished.is_empty() && self.missing.is_empty() && !self.begun.is_empty()
    }

    /// Pieces that were begun and are not verified yet.
    pub fn begun_count(&self) -> usize {
        self.begun.len()
    }

    /// Requests that stand, each copy of a block for itself.
    #[cfg(test)]
    pub(crate) fn requested_count(&self) -> usize {
        let requests = |state: &BlockState| match *state {
            BlockState::Unrequested | BlockState::Received => 0,
            BlockState::Requested(times) => usize::from(times),
        };
        self.begun.values().flat_map(|begun| &begun.blocks).map(requests).sum()
    }

    /// Strict priority: of the begun pieces that the peer has, the rarest; ties by chance.
    fn pick_in_begun(&mut self, has: &Bitfield, rng: &mut Rng) -> Option<Block> {
        let candidates = self.unfinished.iter().copied().filter(|&piece| has.contains(piece));
        let (_, _, piece) =
            candidates.map(|piece| (self.missing.count(piece), rng.u32(..), piece)).min()?;
        self.take_unrequested(piece)
    }

    fn pick_piece(&mut self, has: &Bitfield, rng: &mut Rng) -> Option<(PieceIndex, PickReason)> {
        match self.order {
            Order::RarestFirst if self.have.count() < RANDOM_FIRST_PIECES => {
                Some((self.missing.any(has, rng)?, PickReason::RandomFirst))
            }
            Order::RarestFirst => {
                let piece = self.missing.rarest(has)?;
                Some((piece, PickReason::RarestFirst { held_by: self.missing.count(piece) }))
            }
            Order::Random => Some((self.missing.any(has, rng)?, PickReason::Random)),
            Order::InOrder => {
                while let Some(piece) = self.geometry.piece(self.lowest_missing)
                    && !self.missing.contains(piece)
                {
                    self.lowest_missing += 1;
                }
                let wanted =
                    |&piece: &PieceIndex| self.missing.contains(piece) && has.contains(piece);
                let piece = (self.lowest_missing..self.geometry.piece_count())
                    .filter_map(|index| self.geometry.piece(index))
                    .find(wanted)?;
                Some((piece, PickReason::InOrder))
            }
        }
    }

    /// Takes the first block of a piece that nobody was asked for yet.
    fn begin(&mut self, piece: PieceIndex) -> Block {
        self.missing.take(piece);
        let count = self.geometry.block_count(piece);
        self.begun.insert(
            piece,
            Begun {
                blocks: vec![BlockState::Unrequested; count as usize],
                unrequested: count,
                not_received: count,
                senders: Vec::new(),
            },
        );
        self.unfinished.insert(piece);
        self.take_unrequested(piece).expect("a piece has at least one block")
    }

    fn take_unrequested(&mut self, piece: PieceIndex) -> Option<Block> {
        let begun = self.begun.get_mut(&piece)?;
        let number = begun.blocks.iter().position(|&state| state == BlockState::Unrequested)?;
        begun.blocks[number] = BlockState::Requested(1);
        begun.unrequested -= 1;
        if begun.unrequested == 0 {
            self.unfinished.remove(&piece);
        }
        self.geometry.blocks(piece).nth(number)
    }

    /// The state of a block as we cut them; `None` for another cut and for pieces not begun.
    fn state(&mut self, block: Block) -> Option<&mut BlockState> {
        let number = self.geometry.block_number(block)?;
        self.begun.get_mut(&block.piece())?.blocks.get_mut(number as usize)
    }
}

/// With fewer pieces than this we take any (mainline since July 2003; Cohen's paper says 1).
const RANDOM_FIRST_PIECES: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(piece_count: u32, pieces: &[u32]) -> Bitfield {
        let geometry = Geometry::new(u64::from(piece_count), 1).unwrap();
        let mut bitfield = Bitfield::empty(piece_count);
        pieces.iter().for_each(|&index| bitfield.insert(geometry.piece(index).unwrap()));
        bitfield
    }

    /// The content has `pieces` pieces of three blocks each; we have those of `have`.
    fn picker(pieces: u32, have: &[u32], order: Order, rng: &mut Rng) -> Picker {
        let geometry = Geometry::new(u64::from(pieces) * 40_000, 40_000).unwrap();
        Picker::new(geometry, bits(pieces, have), order, rng)
    }

    fn piece_of(pick: Option<Pick>) -> Option<u32> {
        pick.map(|pick| pick.block.piece().get())
    }

    /// PROTOCOL: six pieces wanted by somebody who has four others; P, Q, R and a seed S.
    fn example(rng: &mut Rng) -> (Picker, [Bitfield; 4]) {
        let peers = [&[0, 1, 2][..], &[0, 2, 4], &[0, 4, 5], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]
            .map(|pieces| bits(10, pieces));
        let mut picker = picker(10, &[6, 7, 8, 9], Order::RarestFirst, rng);
        peers.iter().for_each(|has| picker.peer_joined(has, rng));
        (picker, peers)
    }

    #[test]
    fn the_rarest_piece_that_the_peer_has_comes_first() {
        let next = |seed, peer: usize, r_leaves: bool| {
            let mut rng = Rng::with_seed(seed);
            let (mut picker, peers) = example(&mut rng);
            if r_leaves {
                picker.peer_left(&peers[2], &mut rng);
            }
            piece_of(picker.pick(&peers[peer], &mut rng)).unwrap()
        };
        let all = |peer, r_leaves| {
            let picks: BTreeSet<_> = (0..50).map(|seed| next(seed, peer, r_leaves)).collect();
            picks.into_iter().collect::<Vec<_>>()
        };
        assert_eq!(all(3, false), [3]);
        assert_eq!(all(0, false), [1]);
        assert_eq!(all(1, false), [2, 4]);
        assert_eq!(all(2, false), [5]);
        assert_eq!(all(3, true), [3, 5]);
        assert_eq!(all(1, true), [4]);
    }

    #[test]
    fn ties_are_broken_by_chance_and_evenly() {
        let mut rng = Rng::with_seed(7);
        let mut times = [0; 10];
        for _ in 0..10_000 {
            let mut picker = picker(14, &[10, 11, 12, 13], Order::RarestFirst, &mut rng);
            picker.peer_joined(&bits(14, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), &mut rng);
            let piece = piece_of(picker.pick(&Bitfield::full(14), &mut rng)).unwrap();
            times[piece as usize] += 1;
        }
        assert!(times.iter().all(|n| (850..1150).contains(n)), "{times:?}");
    }

    #[test]
    fn a_piece_that_was_begun_is_finished_first() {
        let mut rng = Rng::with_seed(1);
        let (mut picker, peers) = example(&mut rng);
        let first = picker.pick(&peers[0], &mut rng).unwrap();
        assert_eq!(first.begins, Some(PickReason::RarestFirst { held_by: 2 }));
        // S has rarer pieces, but piece 1 was begun.
        for _ in 0..2 {
            let next = picker.pick(&peers[3], &mut rng).unwrap();
            assert_eq!((next.block.piece(), next.begins), (first.block.piece(), None));
        }
        assert_eq!(piece_of(picker.pick(&peers[3], &mut rng)), Some(3));
    }

    #[test]
    fn the_first_pieces_are_taken_at_random() {
        let mut rng = Rng::with_seed(3);
        let mut begun = BTreeSet::new();
        for _ in 0..200 {
            let mut picker = picker(5, &[], Order::RarestFirst, &mut rng);
            picker.peer_joined(&bits(5, &[0, 1, 2, 3]), &mut rng);
            picker.peer_joined(&Bitfield::full(5), &mut rng);
            let pick = picker.pick(&Bitfield::full(5), &mut rng).unwrap();
            assert_eq!(pick.begins, Some(PickReason::RandomFirst));
            begun.insert(pick.block.piece().get());
        }
        assert_eq!(begun.len(), 5);
    }

    #[test]
    fn in_order_means_the_lowest_index_that_the_peer_has() {
        let mut rng = Rng::with_seed(1);
        let mut picker = picker(6, &[0], Order::InOrder, &mut rng);
        let has = bits(6, &[0, 2, 3]);
        picker.peer_joined(&has, &mut rng);
        let picks: Vec<_> = (0..7).map(|_| piece_of(picker.pick(&has, &mut rng))).collect();
        let two_then_three = [2, 2, 2, 3, 3, 3].map(Some);
        assert_eq!(picks[..6], two_then_three);
        assert_eq!(picks[6], None);
    }

    #[test]
    fn what_a_peer_does_not_answer_is_asked_of_another() {
        let mut rng = Rng::with_seed(1);
        let mut picker = picker(1, &[], Order::RarestFirst, &mut rng);
        let has = Bitfield::full(1);
        picker.peer_joined(&has, &mut rng);
        let blocks: Vec<_> = (0..3).map(|_| picker.pick(&has, &mut rng).unwrap().block).collect();
        assert_eq!(picker.pick(&has, &mut rng), None);
        picker.release(blocks[1]);
        assert_eq!(picker.pick(&has, &mut rng), Some(Pick { block: blocks[1], begins: None }));
    }

    #[test]
    fn a_failed_piece_is_missing_again_and_its_senders_are_named() {
        let mut rng = Rng::with_seed(1);
        let mut picker = picker(1, &[], Order::RarestFirst, &mut rng);
        let has = Bitfield::full(1);
        picker.peer_joined(&has, &mut rng);
        let blocks: Vec<_> = (0..3).map(|_| picker.pick(&has, &mut rng).unwrap().block).collect();
        let (a, b) = (PeerId([1; 20]), PeerId([2; 20]));
        let stored = Arrival::Stored { asked_elsewhere: false };
        assert_eq!(picker.received(blocks[0], a, true), stored);
        assert_eq!(picker.received(blocks[0], b, true), Arrival::Unneeded);
        assert_eq!(picker.received(blocks[1], a, true), stored);
        assert_eq!(
            picker.received(blocks[2], b, true),
            Arrival::LastOfPiece { asked_elsewhere: false }
        );
        assert_eq!(picker.pick(&has, &mut rng), None);
        let piece = blocks[0].piece();
        assert_eq!(picker.failed(piece, &mut rng), [a, b]);
        assert!(picker.pick(&has, &mut rng).unwrap().begins.is_some());
    }

    #[test]
    fn in_the_endgame_an_idle_peer_is_asked_for_what_others_were_asked() {
        let mut rng = Rng::with_seed(1);
        let mut picker = picker(1, &[], Order::RarestFirst, &mut rng);
        let has = Bitfield::full(1);
        picker.peer_joined(&has, &mut rng);
        let first = picker.pick(&has, &mut rng).unwrap().block;
        assert_eq!(picker.pick_again(&has, &mut rng), None, "blocks are left to ask for");
        let second = picker.pick(&has, &mut rng).unwrap().block;
        let third = picker.pick(&has, &mut rng).unwrap().block;
        assert!(picker.in_endgame());
        picker.received(third, PeerId([1; 20]), true);
        let again = picker.pick_again(&has, &mut rng).unwrap();
        // The block asked of the fewest is the next one.
        let other = picker.pick_again(&has, &mut rng).unwrap();
        assert!([(first, second), (second, first)].contains(&(again, other)));
        let stored = Arrival::Stored { asked_elsewhere: true };
        assert_eq!(picker.received(second, PeerId([2; 20]), true), stored);
        // Of two requests for a block one was given up: the other still stands.
        picker.release(first);
        assert!(picker.in_endgame());
        picker.release(first);
        assert!(!picker.in_endgame());
    }
}
