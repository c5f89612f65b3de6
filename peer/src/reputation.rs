//! Who took part in pieces that failed their hash, and when that is enough.
//!
//! A hash tells that a piece is false, not which of its senders lied. So one failure proves
//! something only if one peer sent the whole piece; otherwise it takes several different pieces
//! (mainline's rule). Mainline then bans all who sent parts of them, and with them the seed that
//! sent the other half of each piece; here only the one with the worst record is banned.

use std::collections::{BTreeMap, BTreeSet};

use common::geometry::PieceIndex;
use common::id::PeerId;

/// What is remembered of each peer, across its connections.
#[derive(Debug, Default)]
pub struct Reputation {
    records: BTreeMap<PeerId, Record>,
}

#[derive(Debug, Default)]
struct Record {
    good: usize,
    bad: BTreeSet<PieceIndex>,
    banned: bool,
}

/// Mainline bans from three false pieces on, if not more than 30 good ones came for each of them.
const BAD_PIECES: usize = 3;
const GOOD_PER_BAD: usize = 30;

/// Peers remembered. To be remembered costs a peer a block of data at least.
const MAX_RECORDS: usize = 10_000;

impl Reputation {
    /// The peer sent a block of a piece that has the right hash.
    pub fn good_piece(&mut self, peer: PeerId) {
        if let Some(record) = self.record(peer) {
            record.good += 1;
        }
    }

    /// A piece has the wrong hash, and these sent the blocks of it. Returns with whom to have no
    /// further dealings.
    pub fn bad_piece(&mut self, piece: PieceIndex, senders: &[PeerId]) -> Option<PeerId> {
        for &sender in senders {
            if let Some(record) = self.record(sender) {
                record.bad.insert(piece);
            }
        }
        let is_worst = |peer: &PeerId| {
            let mut others = senders.iter().filter(|other| *other != peer);
            others.all(|other| {
                let records = self.records.get(peer).zip(self.records.get(other));
                records.is_some_and(|(this, other)| this.is_worse_than(other))
            })
        };
        let worst = senders.iter().copied().find(is_worst)?;
        let record = self.records.get_mut(&worst)?;
        record.banned |= senders.len() == 1 || record.is_enough();
        record.banned.then_some(worst)
    }

    /// Whether we have no dealings with this peer.
    pub fn is_banned(&self, peer: PeerId) -> bool {
        self.records.get(&peer).is_some_and(|record| record.banned)
    }

    fn record(&mut self, peer: PeerId) -> Option<&mut Record> {
        if self.records.len() >= MAX_RECORDS && !self.records.contains_key(&peer) {
            self.records.retain(|_, record| record.banned);
            if self.records.len() >= MAX_RECORDS {
                return None;
            }
        }
        Some(self.records.entry(peer).or_default())
    }
}

impl Record {
    fn is_enough(&self) -> bool {
        self.bad.len() >= BAD_PIECES && self.bad.len() > self.good / GOOD_PER_BAD
    }

    /// Whether it has more false pieces for each good one.
    fn is_worse_than(&self, other: &Self) -> bool {
        self.bad.len() * (other.good + 1) > other.bad.len() * (self.good + 1)
    }
}

#[cfg(test)]
mod tests {
    use common::geometry::Geometry;

    use super::*;

    fn piece(index: u32) -> PieceIndex {
        Geometry::new(100, 1).unwrap().piece(index).unwrap()
    }

    const A: PeerId = PeerId([1; 20]);
    const B: PeerId = PeerId([2; 20]);
    const C: PeerId = PeerId([3; 20]);

    #[test]
    fn who_sent_a_false_piece_alone_is_banned_at_once() {
        let mut reputation = Reputation::default();
        assert_eq!(reputation.bad_piece(piece(0), &[A]), Some(A));
        assert!(reputation.is_banned(A));
        assert!(!reputation.is_banned(B));
    }

    #[test]
    fn a_part_in_three_different_false_pieces_is_enough() {
        let mut reputation = Reputation::default();
        for (index, other) in [(0, B), (0, C), (0, B), (1, C)] {
            assert_eq!(reputation.bad_piece(piece(index), &[A, other]), None);
        }
        assert_eq!(reputation.bad_piece(piece(2), &[A, B]), Some(A));
    }

    #[test]
    fn many_good_pieces_outweigh_a_few_false_ones() {
        let mut reputation = Reputation::default();
        (0..90).for_each(|_| reputation.good_piece(A));
        (0..200).for_each(|_| reputation.good_piece(B));
        for index in 0..3 {
            assert_eq!(reputation.bad_piece(piece(index), &[A, B]), None);
        }
        assert_eq!(reputation.bad_piece(piece(3), &[A, B]), Some(A));
    }

    #[test]
    fn of_those_who_sent_parts_only_the_worst_is_banned() {
        let mut reputation = Reputation::default();
        for index in 0..5 {
            assert_eq!(reputation.bad_piece(piece(index), &[A, B]), None, "who was it?");
        }
        reputation.good_piece(A);
        assert_eq!(reputation.bad_piece(piece(5), &[A, B]), Some(B));
        assert!(!reputation.is_banned(A));
    }

    #[test]
    fn only_so_many_are_remembered_but_none_of_the_banned_is_forgotten() {
        let mut reputation = Reputation::default();
        let id = |n: u32| {
            let mut bytes = [0; 20];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            PeerId(bytes)
        };
        reputation.bad_piece(piece(0), &[id(0)]);
        (1..30_000).for_each(|n| reputation.good_piece(id(n)));
        assert!(reputation.records.len() <= MAX_RECORDS);
        assert!(reputation.is_banned(id(0)));
    }
}
