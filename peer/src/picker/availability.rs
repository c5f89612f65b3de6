//! How many neighbours have each piece, kept so that the rarest is found at once.
//!
//! The pieces that are missing stand in one array, sorted by how many neighbours have them; equals
//! stand in random order. When a count changes by one, the piece changes places with the one at the
//! edge of its group and then with a random one of its new group: the cost does not depend on the
//! number of pieces (the buckets of mainline's PiecePicker, laid end to end).

use common::bitfield::Bitfield;
use common::geometry::PieceIndex;
use fastrand::Rng;

/// The missing pieces, the rarest first, and a count for every piece.
#[derive(Debug)]
pub(super) struct Availability {
    /// Neighbours that have the piece, without [`Self::seeds`].
    counts: Vec<u16>,
    /// Neighbours that came with everything: one more for each piece changes no order.
    seeds: u32,
    /// Missing pieces by count; [`Self::starts`] says where each count begins.
    sorted: Vec<PieceIndex>,
    /// Where a piece stands in `sorted`, or [`NOWHERE`].
    places: Vec<u32>,
    /// `starts[c]` is where the pieces with a count of c or more begin.
    starts: Vec<u32>,
}

/// The place of a piece that is had or begun.
const NOWHERE: u32 = u32::MAX;

impl Availability {
    /// All pieces that are not in `have`, held by nobody.
    pub(super) fn new(have: &Bitfield, rng: &mut Rng) -> Self {
        let all = Bitfield::full(have.piece_count());
        let mut sorted: Vec<_> = all.iter().filter(|&piece| !have.contains(piece)).collect();
        rng.shuffle(&mut sorted);
        let mut places = vec![NOWHERE; have.piece_count() as usize];
        for (place, piece) in (0..).zip(&sorted) {
            places[piece.as_usize()] = place;
        }
        Self { counts: vec![0; places.len()], seeds: 0, sorted, places, starts: vec![0] }
    }

    /// One more neighbour, with these pieces.
    pub(super) fn add_all(&mut self, has: &Bitfield, rng: &mut Rng) {
        if has.is_full() {
            self.seeds += 1;
        } else {
            has.iter().for_each(|piece| self.add(piece, rng));
        }
    }

    /// One neighbour less, with these pieces.
    pub(super) fn remove_all(&mut self, has: &Bitfield, rng: &mut Rng) {
        if has.is_full() {
            self.seeds -= 1;
        } else {
            has.iter().for_each(|piece| self.remove(piece, rng));
        }
    }

    /// A neighbour has got the piece, the last one of `has`.
    pub(super) fn gained(&mut self, piece: PieceIndex, has: &Bitfield, rng: &mut Rng) {
        if has.is_full() {
            // It is a seed now, and counts as one.
            has.iter().filter(|&other| other != piece).for_each(|other| self.remove(other, rng));
            self.seeds += 1;
        } else {
            self.add(piece, rng);
        }
    }

    /// One more neighbour has the piece.
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

    /// One neighbour less has the piece.
    fn remove(&mut self, piece: PieceIndex, rng: &mut Rng) {
        let count = self.counts[piece.as_usize()];
        self.counts[piece.as_usize()] = count - 1;
        if self.contains(piece) {
            // To the begin of its group, which then begins one later.
            let start = self.start(count);
            self.swap(self.places[piece.as_usize()], start);
            self.starts[usize::from(count)] = start + 1;
            self.mix(start, count - 1, rng);
        }
    }

    /// The piece is begun: it is no longer looked for. It moves to the end, a group at a time.
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

    /// The piece is missing after all. The way back from [`Self::take`].
    pub(super) fn put_back(&mut self, piece: PieceIndex, rng: &mut Rng) {
        let count = self.counts[piece.as_usize()];
        self.start(count);
        let mut place = u32::try_from(self.sorted.len()).expect("at most 2^21 pieces");
        self.sorted.push(piece);
        self.places[piece.as_usize()] = place;
        for start in (usize::from(count) + 1..self.starts.len()).rev() {
            let first = self.starts[start];
            self.swap(place, first);
            self.starts[start] = first + 1;
            place = first;
        }
        self.mix(place, count, rng);
    }

    /// The piece that the fewest neighbours have, of those that this one has.
    pub(super) fn rarest(&self, has: &Bitfield) -> Option<PieceIndex> {
        // Pieces that only seeds have stand in front, with a count of zero.
        let first = if has.is_full() { 0 } else { self.starts.get(1).copied().unwrap_or(0) };
        self.sorted[first as usize..].iter().copied().find(|&piece| has.contains(piece))
    }

    /// Any missing piece that the peer has.
    pub(super) fn any(&self, has: &Bitfield, rng: &mut Rng) -> Option<PieceIndex> {
        // A random place to begin looking at; within a group the order is random already.
        let middle = if self.sorted.is_empty() { 0 } else { rng.usize(..self.sorted.len()) };
        let (before, after) = self.sorted.split_at(middle);
        after.iter().chain(before).copied().find(|&piece| has.contains(piece))
    }

    /// Neighbours that have this piece, seeds included.
    pub(super) fn count(&self, piece: PieceIndex) -> u32 {
        self.seeds + u32::from(self.counts[piece.as_usize()])
    }

    /// Whether the piece is missing and not begun.
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
                        let rarest = availability.rarest(has);
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
                    }
                    4 => {
                        if let Some(piece) = availability.any(&bits, &mut rng) {
                            prop_assert!(bits.contains(piece) && !have.contains(piece));
                            availability.take(piece);
                            taken.push(piece);
                        }
                    }
                    _ => {
                        if let Some(piece) = taken.pop() {
                            availability.put_back(piece, &mut rng);
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
