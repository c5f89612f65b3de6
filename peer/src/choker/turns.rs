//! The list in which mainline's chokers let peers wait for their turn.

use fastrand::Rng;

use super::{Candidate, Occasion, find};
use crate::PeerKey;

/// All neighbors, the next in turn first. The place of a new one is random.
#[derive(Debug, Default)]
pub(super) struct Turns(Vec<PeerKey>);

impl Turns {
    /// Removes the peers that left and inserts the new ones. A peer that joins now gets a random
    /// place, the front being `front_weight` times as likely as any other; peers that joined
    /// before this choker took over go to the end.
    pub(super) fn update(
        &mut self,
        occasion: Occasion,
        candidates: &[Candidate],
        front_weight: usize,
        rng: &mut Rng,
    ) {
        self.0.retain(|&peer| find(candidates, peer).is_some());
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
            self.0.insert(place, candidate.peer);
        }
    }

    /// Rotates the list until the peer at `place` is first.
    pub(super) fn rotate_to(&mut self, place: usize) {
        self.0.rotate_left(place);
    }

    /// Rotates the list until the last of these peers is at its end.
    pub(super) fn end_after_last(&mut self, is_one: impl Fn(PeerKey) -> bool) {
        if let Some(place) = self.0.iter().rposition(|&peer| is_one(peer)) {
            self.0.rotate_left(place + 1);
        }
    }

    /// The candidates in the order of their turns.
    pub(super) fn in_order<'a>(&self, candidates: &'a [Candidate]) -> Vec<&'a Candidate> {
        self.0.iter().filter_map(|&peer| find(candidates, peer)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::name;
    use super::*;

    impl Turns {
        pub(in super::super) fn insert(&mut self, place: usize, peer: PeerKey) {
            self.0.insert(place, peer);
        }

        /// The names of the peers, the next in turn first.
        pub(in super::super) fn names(&self) -> String {
            self.0.iter().map(|&peer| name(peer)).collect()
        }
    }
}
