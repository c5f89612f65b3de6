//! Which block to request from a peer: rarest first and its rivals (Kurose & Ross 2.5; BEP 3).
//!
//! The rules, in this order, are those of Cohen's paper ("Incentives Build Robustness in
//! BitTorrent", 2003):
//! 1. Strict priority: a piece in progress is finished before the next one is started.
//!    [`StrictPriority`] says how far this goes when the peer is a seed.
//! 2. Random first: until we have some pieces to trade, take any; a rare one comes slowly.
//! 3. Rarest first: of the pieces that the peer has, take the one that the fewest of our
//!    neighbors have; ties are broken by chance, or all peers would fetch the same.
//! 4. Endgame: when every missing block was requested, request the last ones of others as well.
//!
//! A peer on parole ([`crate::reputation`]) gets a piece to itself, so that the hash of that piece
//! tells whether this peer sends false data.
//!
//! | File | Which part |
//! |---|---|
//! | `mod.rs` | what to request, and what becomes of it |
//! | `order.rs` | the order in which pieces are started |
//! | `availability.rs` | how many neighbors have each piece |
//! | `progress.rs` | one piece in progress |

mod availability;
mod order;
mod progress;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use common::bitfield::Bitfield;
use common::geometry::{BLOCK_LENGTH, Block, Geometry, PieceIndex};
use common::id::PeerId;
use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::PeerKey;
use availability::Availability;
use order::Offer;
pub use order::{Choose, Order, PickReason, SeedContinues, StrictPriority};
use progress::Progress;

/// What a user can choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The order in which pieces are started.
    pub order: Order,
    /// How far pieces in progress go first.
    pub strict_priority: StrictPriority,
}

/// A peer that could be asked for a block.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its connection.
    pub peer: PeerKey,
    /// The pieces that it has; a seed has all of them.
    pub has: &'a Bitfield,
    /// Whether it may have sent false data: it gets pieces to itself.
    pub on_parole: bool,
}

/// A peer that sent blocks of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Its connection.
    pub peer: PeerKey,
    /// The other end of the connection.
    pub ip: IpAddr,
    /// Its peer id.
    pub peer_id: PeerId,
}

/// What to request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// The block to request.
    pub block: Block,
    /// Set when the block begins a piece.
    pub begins: Option<PickReason>,
    /// A piece that was in progress and is missing again, whole: no neighbor was at work on it,
    /// and the limit on pieces in progress was reached.
    pub abandons: Option<PieceIndex>,
}

/// What a block that came means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// The bytes of pieces in progress at which no other piece is started. Blocks stay in memory until
/// their piece is verified, so this bounds the memory that they take. Pieces of 256 KiB stay far
/// below it; of the longest pieces that torrents have, 16 MiB, it allows four at a time.
///
/// Peers on parole have as much again, or those that send nothing could keep the others from
/// beginning a piece.
const MAX_IN_PROGRESS: u32 = 64 * 1024 * 1024;

/// Keeps what is missing, what is in progress, and how many neighbors have it.
///
/// A piece in progress is shared, or owned by a peer on parole. An owner has one piece at a time.
#[derive(Debug)]
pub struct Picker {
    geometry: Geometry,
    policy: Policy,
    /// Pieces with a good hash.
    have: Bitfield,
    /// Pieces that may be asked of any peer: the missing ones and those of `unfinished`.
    askable: Availability,
    in_progress: BTreeMap<PieceIndex, Progress>,
    /// Shared pieces in progress with blocks that are not requested; few, however many are in
    /// progress.
    unfinished: BTreeSet<PieceIndex>,
    /// Peers on parole that have a piece to themselves.
    owned: BTreeMap<PeerKey, PieceIndex>,
    /// The limit on shared pieces in progress, and also on owned ones.
    most_in_progress: usize,
}

impl Picker {
    /// A picker for what is not in `have`.
    pub fn new(geometry: Geometry, have: Bitfield, policy: Policy, rng: &mut Rng) -> Self {
        let askable = Availability::new(&have, rng);
        let (in_progress, unfinished, owned) = Default::default();
        let most_in_progress = MAX_IN_PROGRESS.div_ceil(geometry.piece_length()) as usize;
        Self { geometry, policy, have, askable, in_progress, unfinished, owned, most_in_progress }
    }

    /// A neighbor announced its pieces for the first time.
    pub fn peer_joined(&mut self, has: &Bitfield, rng: &mut Rng) {
        self.askable.add_all(has, rng);
    }

    /// A neighbor left; `has` is what it had announced.
    pub fn peer_left(&mut self, has: &Bitfield, rng: &mut Rng) {
        self.askable.remove_all(has, rng);
    }

    /// A neighbor got one more piece, the last one of `has`.
    pub fn peer_gained(&mut self, piece: PieceIndex, has: &Bitfield, rng: &mut Rng) {
        self.askable.gained(piece, has, rng);
    }

    /// The block to request from a peer, which from now on counts as requested from it.
    pub fn pick(&mut self, asked: Asked<'_>, rng: &mut Rng) -> Option<Pick> {
        self.askable.count_gained(rng);
        let owns = self.owned.get(&asked.peer).copied();
        if asked.on_parole {
            if let Some(piece) = owns {
                // One piece at a time: its hash decides whether there is a next one.
                return self.request_next(piece, asked);
            }
            return self.begin_as_owner(asked, rng).or_else(|| self.take_over(asked));
        }
        if let Some(piece) = owns {
            self.share(piece);
        }
        self.continue_piece(asked, self.policy.strict_priority, rng)
            .or_else(|| self.pick_by_order(asked, rng))
            .or_else(|| self.take_over(asked))
            .or_else(|| self.replace(asked, rng))
    }

    /// In the endgame, a block for a peer that was asked for nothing: one that was requested from
    /// the fewest others.
    ///
    /// One block at a time and only for idle peers: enough not to wait for one slow peer at the
    /// end, and little is downloaded twice. A peer on parole is not asked: its blocks would mix
    /// with those of others.
    pub fn pick_again(&mut self, asked: Asked<'_>, rng: &mut Rng) -> Option<Block> {
        if asked.on_parole || !self.in_endgame() {
            return None;
        }
        let pieces = self.in_progress.iter().filter(|(piece, _)| asked.has.contains(**piece));
        let requested = pieces.flat_map(|(&piece, progress)| {
            progress.requested().map(move |(number, times)| (piece, number, times))
        });
        let mut choices: Vec<_> = requested.collect();
        let fewest = choices.iter().map(|&(.., times)| times).min()?;
        choices.retain(|&(.., times)| times == fewest);
        let (piece, number, _) = rng.choice(choices)?;
        self.get_mut(piece).request_again(number);
        Some(self.block(piece, number))
    }

    /// A peer will not answer the request for this block: it choked us, left, or took too long.
    pub fn release(&mut self, block: Block) {
        let Some((number, progress)) = self.find_mut(block) else { return };
        progress.release(number);
        self.update_askable(block.piece());
    }

    /// Whether the block is of use: its piece is in progress, and it has not arrived yet.
    pub fn needs(&self, block: Block) -> bool {
        let progress = self.in_progress.get(&block.piece());
        let number = self.geometry.block_number(block);
        progress.zip(number).is_some_and(|(progress, n)| !progress.is_received(n as usize))
    }

    /// A block came; `requested` if the request to its sender still stood.
    pub fn received(&mut self, block: Block, from: Sender, requested: bool) -> Arrival {
        let Some((number, progress)) = self.find_mut(block) else { return Arrival::Unneeded };
        // A late block of another peer would spoil what the owner's piece is to show.
        if !requested && progress.owner.is_some_and(|owner| owner != from.peer) {
            return Arrival::Unneeded;
        }
        let Some(times) = progress.receive(number, from) else { return Arrival::Unneeded };
        let asked_elsewhere = times > u16::from(requested);
        let is_complete = progress.is_complete();
        self.update_askable(block.piece());
        if is_complete {
            Arrival::LastOfPiece { asked_elsewhere }
        } else {
            Arrival::Stored { asked_elsewhere }
        }
    }

    /// A connection ended, and its requests were released. The piece that it owns is missing again,
    /// whole: what a suspect sent of a piece shows nothing. Returns a piece that is no longer in
    /// progress.
    pub fn departed(&mut self, peer: PeerKey, rng: &mut Rng) -> Option<PieceIndex> {
        let piece = self.owned.get(&peer).copied()?;
        self.share(piece);
        let progress = self.get_mut(piece);
        if progress.is_complete() {
            // Its hash is being checked; the result still counts.
            return None;
        }
        progress.restart(None);
        self.update_askable(piece);
        // In the endgame other peers were asked for blocks of it, and still are.
        if !self.get_mut(piece).is_idle() {
            return None;
        }
        self.abandon(piece, rng);
        Some(piece)
    }

    /// A piece has the right hash: we have it. Returns the peers that sent it.
    pub fn verified(&mut self, piece: PieceIndex) -> Vec<Sender> {
        self.have.insert(piece);
        self.remove(piece).unwrap_or_default()
    }

    /// A piece has the wrong hash: it is missing again, whole. Returns the peers that sent it.
    pub fn failed(&mut self, piece: PieceIndex, rng: &mut Rng) -> Vec<Sender> {
        let Some(senders) = self.remove(piece) else { return Vec::new() };
        self.askable.put_back_at_random(piece, rng);
        senders
    }

    /// What we have, every piece with a good hash.
    pub fn have(&self) -> &Bitfield {
        &self.have
    }

    /// Whether every missing block was requested, or is left to the owner of its piece.
    pub fn in_endgame(&self) -> bool {
        self.askable.is_empty() && !self.in_progress.is_empty()
    }

    /// The pieces in progress, with how many blocks of each are here and how many it has.
    pub fn in_progress(&self) -> impl ExactSizeIterator<Item = (PieceIndex, u32, u32)> {
        self.in_progress.iter().map(|(&piece, progress)| {
            let (received, blocks) = progress.received();
            (piece, received, blocks)
        })
    }

    /// Of the shared pieces in progress that the peer has, the rarest; ties by chance. What a seed
    /// is not asked first for is left out.
    fn continue_piece(
        &mut self,
        asked: Asked<'_>,
        rule: StrictPriority,
        rng: &mut Rng,
    ) -> Option<Pick> {
        let is_candidate = |piece: &PieceIndex| {
            let comes_first = !asked.has.is_full() || rule.rule.0(&self.in_progress[piece]);
            comes_first && asked.has.contains(*piece)
        };
        let candidates = self.unfinished.iter().copied().filter(is_candidate);
        let (_, _, piece) =
            candidates.map(|piece| (self.askable.count(piece), rng.u32(..), piece)).min()?;
        self.request_next(piece, asked)
    }

    /// The piece that the order chooses. It may be in progress already: a seed is asked so for the
    /// pieces that strict priority leaves out.
    fn pick_by_order(&mut self, asked: Asked<'_>, rng: &mut Rng) -> Option<Pick> {
        if !self.has_room() {
            return self.continue_piece(asked, StrictPriority::ALWAYS, rng);
        }
        let (piece, reason) = self.choose(asked, rng)?;
        if self.in_progress.contains_key(&piece) {
            return self.request_next(piece, asked);
        }
        self.begin(piece, reason, asked)
    }

    /// A piece for a peer on parole alone.
    fn begin_as_owner(&mut self, asked: Asked<'_>, rng: &mut Rng) -> Option<Pick> {
        if self.owned.len() >= self.most_in_progress {
            return None;
        }
        let (piece, reason) = self.choose(asked, rng)?;
        self.begin(piece, reason, asked)
    }

    /// The last resort for a peer that can be given nothing else: a piece that is not its to
    /// continue, and of which no peer is asked for a block, since those that could send the rest
    /// choke us or do not answer. The piece starts again, but only once: two slow peers that choke
    /// us by turns would otherwise never finish it.
    fn take_over(&mut self, asked: Asked<'_>) -> Option<Pick> {
        if !asked.on_parole && self.owned.is_empty() {
            return None;
        }
        let may_own_more = asked.on_parole && self.owned.len() < self.most_in_progress;
        let candidates = self.in_progress.iter().filter(|&(&piece, progress)| {
            let may_be_taken = progress.owner.is_some() || may_own_more;
            may_be_taken && progress.is_idle() && asked.has.contains(piece)
        });
        let (&piece, _) = candidates.min_by_key(|(_, progress)| progress.received())?;
        self.share(piece);
        let progress = self.get_mut(piece);
        if !progress.restarted {
            progress.restart(Some(asked.peer));
        }
        if asked.on_parole {
            progress.owner = Some(asked.peer);
            self.owned.insert(asked.peer, piece);
        }
        self.request_next(piece, asked)
    }

    /// At the limit: starts a piece in place of one that no neighbor has anymore, or of any one if
    /// no peer is at work on any. Abandoning others would cost more than waiting.
    fn replace(&mut self, asked: Asked<'_>, rng: &mut Rng) -> Option<Pick> {
        if self.has_room() {
            return None;
        }
        let shared = || self.in_progress.iter().filter(|(_, progress)| progress.owner.is_none());
        let all_idle = shared().all(|(_, progress)| progress.is_idle());
        let candidates = shared().filter(|&(&piece, progress)| {
            all_idle || progress.is_idle() && self.askable.count(piece) == 0
        });
        let (&abandoned, _) = candidates.min_by_key(|&(&piece, progress)| {
            (self.askable.count(piece) > 0, progress.received())
        })?;
        let (piece, reason) = self.choose(asked, rng)?;
        self.abandon(abandoned, rng);
        self.begin(piece, reason, asked).map(|pick| Pick { abandons: Some(abandoned), ..pick })
    }

    fn choose(&mut self, asked: Asked<'_>, rng: &mut Rng) -> Option<(PieceIndex, PickReason)> {
        const NONE: &BTreeSet<PieceIndex> = &BTreeSet::new();
        let mut offer = Offer {
            availability: &mut self.askable,
            has: asked.has,
            // A peer on parole must send all of a piece.
            except: if asked.on_parole { &self.unfinished } else { NONE },
            have: self.have.count(),
            geometry: self.geometry,
        };
        self.policy.order.rule.0(&mut offer, rng)
    }

    fn begin(&mut self, piece: PieceIndex, reason: PickReason, asked: Asked<'_>) -> Option<Pick> {
        let owner = asked.on_parole.then_some(asked.peer);
        self.owned.extend(owner.map(|owner| (owner, piece)));
        let blocks = self.geometry.block_count(piece);
        self.in_progress.insert(piece, Progress::new(blocks, owner));
        self.request_next(piece, asked).map(|pick| Pick { begins: Some(reason), ..pick })
    }

    /// The next block of a piece in progress, if one is left that is not requested.
    fn request_next(&mut self, piece: PieceIndex, asked: Asked<'_>) -> Option<Pick> {
        let progress = self.get_mut(piece);
        progress.from_seed |= asked.has.is_full();
        let number = progress.request_next()?;
        self.update_askable(piece);
        Some(Pick { block: self.block(piece, number), begins: None, abandons: None })
    }

    /// A piece in progress is no longer owned, if it was.
    fn share(&mut self, piece: PieceIndex) {
        if let Some(owner) = self.get_mut(piece).owner.take() {
            self.owned.remove(&owner);
            self.update_askable(piece);
        }
    }

    /// A shared piece with blocks to request is missing again.
    fn abandon(&mut self, piece: PieceIndex, rng: &mut Rng) {
        self.remove(piece);
        self.askable.take(piece);
        self.askable.put_back_at_random(piece, rng);
    }

    /// A piece is no longer in progress. Returns the peers that sent blocks of it.
    fn remove(&mut self, piece: PieceIndex) -> Option<Vec<Sender>> {
        let progress = self.in_progress.remove(&piece)?;
        self.unfinished.remove(&piece);
        if let Some(owner) = progress.owner {
            self.owned.remove(&owner);
        }
        Some(progress.senders)
    }

    /// After a change of a piece in progress: whether any peer may be asked for it.
    fn update_askable(&mut self, piece: PieceIndex) {
        let progress = self.get_mut(piece);
        let is_askable = progress.owner.is_none() && progress.has_unrequested();
        if is_askable {
            self.unfinished.insert(piece);
        } else {
            self.unfinished.remove(&piece);
        }
        match (self.askable.contains(piece), is_askable) {
            (true, false) => self.askable.take(piece),
            (false, true) => self.askable.put_back(piece),
            (true, true) | (false, false) => {}
        }
    }

    fn has_room(&self) -> bool {
        self.in_progress.len() - self.owned.len() < self.most_in_progress
    }

    fn get_mut(&mut self, piece: PieceIndex) -> &mut Progress {
        self.in_progress.get_mut(&piece).expect("the piece is in progress")
    }

    fn block(&self, piece: PieceIndex, number: usize) -> Block {
        let begin = u32::try_from(number).expect("at most 4096 blocks") * BLOCK_LENGTH;
        let length = BLOCK_LENGTH.min(self.geometry.piece_size(piece) - begin);
        self.geometry.block(piece.get(), begin, length).expect("a block of the piece")
    }

    /// The piece in progress that a block is part of, and which block of it. `None` for other
    /// pieces, and for a range that we would not ask for.
    fn find_mut(&mut self, block: Block) -> Option<(usize, &mut Progress)> {
        let number = self.geometry.block_number(block)?;
        Some((number as usize, self.in_progress.get_mut(&block.piece())?))
    }
}
