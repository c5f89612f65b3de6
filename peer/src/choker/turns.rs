//! The list in which mainline's chokers let peers wait for their turn.

use fastrand::Rng;

use super::{Candidate, Occasion};
use crate::PeerKey;

/// All neighbours, the next in turn first. Chance enters by the place where a new one is put.
#[derive(Debug, Default)]
pub(super) struct Turns(Vec<PeerKey>);

impl Turns {
    /// Lets go of those who left, and takes in the new ones: whoever joins now at a random
    /// place, for which the first counts `front_weight` times; others, whom this choker finds
    /// when it takes over, at the end.
    pub(super) fn update(
        &mut self,
        occasion: Occasion,
        candidates: &[Candidate],
        front_weight: usize,
        rng: &mut Rng,
    ) {
        self.0.retain(|&peer| position(candidates, peer).is_some());
        if self.0.len() == candidates.len() {
            return;
        }
        for candidate in candidates {
            if self.0.contains(&candidate.peer) {
                continue;
            }
            let place = if occasion == Occasion::Joined(candidate.peer) {
                rng.usize(..self.0.len() + front_weight).saturating_sub(front_weight - 1)
            } else {
                self.0.len()
            };
            self.insert(place, candidate.peer);
        }
    }

    pub(super) fn insert(&mut self, place: usize, peer: PeerKey) {
        self.0.insert(place, peer);
    }

    /// Turns the list until the one at `place` is first.
    pub(super) fn rotate_to(&mut self, place: usize) {
        self.0.rotate_left(place);
    }

    /// Turns the list until the last one of these stands at its end.
    pub(super) fn end_after_last(&mut self, is_one: impl Fn(PeerKey) -> bool) {
        if let Some(place) = self.0.iter().rposition(|&peer| is_one(peer)) {
            self.0.rotate_left(place + 1);
        }
    }

    /// The candidates in order of their turn.
    pub(super) fn in_order<'a>(&self, candidates: &'a [Candidate]) -> Vec<&'a Candidate> {
        self.0
            .iter()
            .filter_map(|&peer| position(candidates, peer).map(|index| &candidates[index]))
            .collect()
    }
}

fn position(candidates: &[Candidate], peer: PeerKey) -> Option<usize> {
    candidates.binary_search_by_key(&peer, |candidate| candidate.peer).ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::uninterested;
    use super::*;

    /// How often of 60,000 times the fourth to join gets each place.
    fn places(front_weight: usize) -> [usize; 4] {
        let candidates = ['A', 'B', 'C', 'D'].map(uninterested);
        let newcomer = candidates[3].peer;
        let mut rng = Rng::with_seed(1);
        let mut places = [0; 4];
        for _ in 0..60_000 {
            let mut turns = Turns(candidates[..3].iter().map(|c| c.peer).collect());
            turns.update(Occasion::Joined(newcomer), &candidates, front_weight, &mut rng);
            let place = turns.0.iter().position(|&peer| peer == newcomer);
            places[place.expect("a new peer is taken in")] += 1;
        }
        places
    }

    #[test]
    fn the_front_counts_as_many_times_as_it_weighs() {
        for (weight, expected) in [(3, [30_000, 10_000, 10_000, 10_000]), (1, [15_000; 4])] {
            let places = places(weight);
            let is_near = |(n, e): (&usize, usize)| n.abs_diff(e) < 500;
            assert!(places.iter().zip(expected).all(is_near), "weight {weight}: {places:?}");
        }
    }
}
