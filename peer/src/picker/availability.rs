//! How many neighbors have each piece, kept so that the rarest is found at once.
//!
//! The pieces that may be asked for stand in one array, sorted by how many neighbors have them;
//! equals stand in random order. When a count changes by one, the piece changes places with the one
//! at the edge of its group and then with a random one of its new group: the cost does not depend
//! on the number of pieces (the buckets of mainline's PiecePicker, laid end to end).

use std::collections::BTreeSet;

use common::bitfield::Bitfield;
use common::geometry::{Geometry, PieceIndex};
use fastrand::Rng;

/// The pieces that may be asked for, the rarest first, and a count for every piece.
#[derive(Debug)]
pub(super) struct Availability {
    /// Neighbors that have the piece, without [`Self::seeds`].
    counts: Vec<u16>,
    /// Neighbors that have everything: one more for each piece changes no order.
    seeds: u32,
    /// Pieces that may be asked for by count; [`Self::starts`] says where each count begins.
    sorted: Vec<PieceIndex>,
    /// Where a piece stands in `sorted`, or [`NOWHERE`].
    places: Vec<u32>,
    /// `starts[c]` is where the pieces with a count of c or more begin.
    starts: Vec<u32>,
    /// No piece below this one is in `sorted`.
    lowest: u32,
    /// A piece for each neighbor that gained one since the counts were last used.
    gained: Vec<PieceIndex>,
}

/// Of a crowd come more haves than there are picks. Counting so many of them in one go touches the
/// same memory again and again, where one at a time would find it cold.
const MAX_GAINED: usize = 128;

/// The place of a piece that may not be asked for.
const NOWHERE: u32 = u32::MAX;

impl Availability {
    /// All pieces that are not in `have`, held by no neighbor.
    pub(super) fn new(have: &Bitfield, rng: &mut Rng) -> Self {
        let all = Bitfield::full(have.piece_count());
        let mut sorted: Vec<_> = all.iter().filter(|&piece| !have.contains(piece)).collect();
        rng.shuffle(&mut sorted);
        let mut places = vec![NOWHERE; have.piece_count() as usize];
        for (place, piece) in (0..).zip(&sorted) {
            places[piece.as_usize()] = place;
        }
        let counts = vec![0; places.len()];
        Self { counts, seeds: 0, sorted, places, starts: vec![0], lowest: 0, gained: Vec::new() }
    }

    /// One more neighbor, with these pieces.
    pub(super) fn add_all(&mut self, has: &Bitfield, rng: &mut Rng) {
        if has.is_full() {
            self.seeds += 1;
        } else {
            has.iter().for_each(|piece| self.add(piece, rng));
        }
    }

    /// One neighbor fewer, with these pieces.
    pub(super) fn remove_all(&mut self, has: &Bitfield, rng: &mut Rng) {
        self.count_gained(rng);
        if has.is_full() {
            self.seeds -= 1;
        } else {
            has.iter().for_each(|piece| self.remove(piece, rng));
        }
    }

    /// A neighbor got the piece, the last one of `has`. It counts from the next
    /// [`Self::count_gained`] on.
    pub(super) fn gained(&mut self, piece: PieceIndex, has: &Bitfield, rng: &mut Rng) {
        if has.is_full() {
            // It is a seed now, and counts as one.
            self.count_gained(rng);
            has.iter().filter(|&other| other != piece).for_each(|other| self.remove(other, rng));
            self.seeds += 1;
        } else {
            self.gained.push(piece);
            if self.gained.len() == MAX_GAINED {
                self.count_gained(rng);
            }
        }
    }

    /// Counts what neighbors have gained.
    pub(super) fn count_gained(&mut self, rng: &mut Rng) {
        let mut gained = std::mem::take(&mut self.gained);
        gained.drain(..).for_each(|piece| self.add(piece, rng));
        self.gained = gained;
    }

    /// One more neighbor has the piece.
    fn add(&mut self, piece: PieceIndex, rng: &mut Rng) {
        let count = self.counts[piece.as_usize()];
        self.counts[piece.as_usize()] = count + 1;
        if self.contains(piece) {
            // To the end of its group, which then ends one earlier.
            let start = self.start(count + 1);
            self.swap(self.places[piece.as_usize()], start - 1);
            self.starts[usize::from(count) + 1] = start - 1;
            self.mix(start - 1, count + 1, rng);
        }
    }

    /// One neighbor fewer has the piece.
    fn remove(&mut self, piece: PieceIndex, rng: &mut Rng) {
        let count = self.counts[piece.as_usize()];
        self.counts[piece.as_usize()] = count - 1;
        if self.contains(piece) {
            // To the start of its group, which then begins one later.
            let start = self.start(count);
            self.swap(self.places[piece.as_usize()], start);
            self.starts[usize::from(count)] = start + 1;
            self.mix(start, count - 1, rng);
        }
    }

    /// The piece may no longer be asked for. It moves to the end, a group at a time.
    pub(super) fn take(&mut self, piece: PieceIndex) {
        let mut place = self.places[piece.as_usize()];
        let first = usize::from(self.counts[piece.as_usize()]) + 1;
        for start in first..self.starts.len() {
            let last = self.starts[start] - 1;
            self.swap(place, last);
            self.starts[start] = last;
            place = last;
        }
        let last = self.sorted.len() - 1;
        self.swap(place, u32::try_from(last).expect("at most 2^21 pieces"));
        self.sorted.pop();
        self.places[piece.as_usize()] = NOWHERE;
    }

    /// The piece may be asked for again, as the first one among equals.
    pub(super) fn put_back(&mut self, piece: PieceIndex) {
        let count = self.counts[piece.as_usize()];
        let first = self.start(count);
        let mut place = u32::try_from(self.sorted.len()).expect("at most 2^21 pieces");
        self.sorted.push(piece);
        self.places[piece.as_usize()] = place;
        for start in (usize::from(count) + 1..self.starts.len()).rev() {
            let first = self.starts[start];
            self.swap(place, first);
            self.starts[start] = first + 1;
            place = first;
        }
        self.swap(place, first);
        self.lowest = self.lowest.min(piece.get());
    }

    /// The piece may be asked for again, at a random place among equals.
    pub(super) fn put_back_at_random(&mut self, piece: PieceIndex, rng: &mut Rng) {
        self.put_back(piece);
        self.mix(self.places[piece.as_usize()], self.counts[piece.as_usize()], rng);
    }

    /// Of the pieces that this neighbor has, those that may be asked for, the rarest first.
    pub(super) fn rarest_first(
        &self,
        has: &Bitfield,
    ) -> impl DoubleEndedIterator<Item = PieceIndex> {
        // Pieces that only seeds have stand in front, with a count of zero.
        let first = if has.is_full() { 0 } else { self.starts.get(1).copied().unwrap_or(0) };
        self.sorted[first as usize..].iter().copied().filter(|&piece| has.contains(piece))
    }

    /// The same, the lowest index first.
    pub(super) fn in_order(
        &mut self,
        has: &Bitfield,
        geometry: Geometry,
    ) -> impl Iterator<Item = PieceIndex> {
        while self.places.get(self.lowest as usize) == Some(&NOWHERE) {
            self.lowest += 1;
        }
        let pieces = (self.lowest..geometry.piece_count()).map_while(move |i| geometry.piece(i));
        pieces.filter(|&piece| self.contains(piece) && has.contains(piece))
    }

    /// Any of them that is not in `except`.
    pub(super) fn any(
        &self,
        has: &Bitfield,
        except: &BTreeSet<PieceIndex>,
        rng: &mut Rng,
    ) -> Option<PieceIndex> {
        // A random place to begin looking at; within a group the order is random already.
        let middle = if self.sorted.is_empty() { 0 } else { rng.usize(..self.sorted.len()) };
        let (before, after) = self.sorted.split_at(middle);
        let wanted = |piece: &PieceIndex| has.contains(*piece) && !except.contains(piece);
        after.iter().chain(before).copied().find(wanted)
    }

    /// Neighbors that have this piece, seeds included.
    pub(super) fn count(&self, piece: PieceIndex) -> u32 {
        self.seeds + u32::from(self.counts[piece.as_usize()])
    }

    /// Whether the piece may be asked for.
    pub(super) fn contains(&self, piece: PieceIndex) -> bool {
        self.places[piece.as_usize()] != NOWHERE
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// Where the pieces with this count or more begin.
    fn start(&mut self, count: u16) -> u32 {
        let end = u32::try_from(self.sorted.len()).expect("at most 2^21 pieces");
        while self.starts.len() <= usize::from(count) {
            self.starts.push(end);
        }
        self.starts[usize::from(count)]
    }

    /// Swaps what stands at `place` with a random one of its group, the pieces with this count.
    fn mix(&mut self, place: u32, count: u16, rng: &mut Rng) {
        let (first, end) = (self.start(count), self.start(count + 1));
        self.swap(place, rng.u32(first..end));
    }

    fn swap(&mut self, a: u32, b: u32) {
        self.sorted.swap(a as usize, b as usize);
        for place in [a, b] {
            self.places[self.sorted[place as usize].as_usize()] = place;
        }
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;
    use proptest::prelude::*;

    use super::*;

    const PIECES: u32 = 24;

    /// What must always hold: sorted by count, places and starts agree with it.
    fn check(availability: &Availability) {
        for (place, piece) in availability.sorted.iter().enumerate() {
            assert_eq!(availability.places[piece.as_usize()] as usize, place);
            let count = usize::from(availability.counts[piece.as_usize()]);
            assert!(availability.starts[count] as usize <= place);
            assert!(availability.starts.get(count + 1).is_none_or(|&end| place < end as usize));
        }
    }

    proptest! {
        #[test]
        fn it_stays_sorted_whatever_happens(
            have in prop::collection::vec(any::<u8>(), 3), seed: u64,
            steps in prop::collection::vec((0_u8..6, prop::collection::vec(prop_oneof![any::<u8>(), Just(0xff)], 3)), 0..60),
        ) {
            let mut rng = Rng::with_seed(seed);
            let have = Bitfield::from_bytes(&have, PIECES).unwrap();
            let mut availability = Availability::new(&have, &mut rng);
            let mut peers: Vec<Bitfield> = Vec::new();
            let mut taken = Vec::new();
            for (step, bytes) in steps {
                let bits = Bitfield::from_bytes(&bytes, PIECES).unwrap();
                match step {
                    0 => {
                        availability.add_all(&bits, &mut rng);
                        peers.push(bits);
                    }
                    1 if !peers.is_empty() => {
                        let peer = peers.swap_remove(rng.usize(..peers.len()));
                        availability.remove_all(&peer, &mut rng);
                    }
                    2 if !peers.is_empty() => {
                        let has = rng.choice(&peers).unwrap();
                        let rarest = availability.rarest_first(has).next();
                        let least = has.iter()
                            .filter(|&piece| availability.contains(piece))
                            .map(|piece| availability.count(piece))
                            .min();
                        prop_assert_eq!(rarest.map(|piece| availability.count(piece)), least);
                    }
                    3 if !peers.is_empty() => {
                        let last = peers.len() - 1;
                        for piece in bits.iter() {
                            if !peers[last].contains(piece) {
                                peers[last].insert(piece);
                                availability.gained(piece, &peers[last], &mut rng);
                            }
                        }
                        availability.count_gained(&mut rng);
                    }
                    4 => {
                        if let Some(piece) = availability.any(&bits, &BTreeSet::new(), &mut rng) {
                            prop_assert!(bits.contains(piece) && !have.contains(piece));
                            availability.take(piece);
                            taken.push(piece);
                        }
                    }
                    _ => {
                        if let Some(piece) = taken.pop() {
                            availability.put_back_at_random(piece, &mut rng);
                        }
                    }
                }
                check(&availability);
            }
            for piece in Bitfield::full(PIECES).iter() {
                let count = peers.iter().filter(|peer| peer.contains(piece)).count();
                prop_assert_eq!(availability.count(piece) as usize, count);
            }
        }
    }
}
