//! Tit-for-tat with fixed intervals, as in CNT5106C of the University of Florida, a project in which
//! students write a BitTorrent of their own: every round the `slots` interested neighbors that sent the
//! most since the last one are *preferred*, and every `optimistic` one more is drawn. Between two rounds
//! nothing changes, so a slot can stay free where the other chokers fill it.

use std::cmp::Reverse;

use fastrand::Rng;

use super::{
    Candidate, Choice, Choker, Entry, Occasion, Rules, Strategy, Unchoke, UnchokeReason, find,
};
use crate::PeerKey;

/// The choker of CNT5106C. A peer with the whole file receives nothing, so its preferred neighbors are
/// drawn at random, as that project requires.
pub const STRATEGY: Strategy = Strategy {
    name: "preferred-neighbors",
    about: "as in CNT5106C: unchoke by what came in the last round alone, and only at rounds",
    rule: Entry {
        fills: |_| None,
        make: |rules| Box::new(PreferredNeighbors { rules: *rules, round: 0, optimistic: None }),
        seed: None,
    },
};

#[derive(Debug)]
struct PreferredNeighbors {
    rules: Rules,
    round: u32,
    optimistic: Option<PeerKey>,
}

impl Choker for PreferredNeighbors {
    fn rechoke(&mut self, occasion: Occasion, candidates: &[Candidate], rng: &mut Rng) -> Choice {
        if occasion != Occasion::Round {
            return Choice::keep(candidates.iter().filter(|c| c.unchoked));
        }
        self.round += 1;
        let mut interested: Vec<_> = candidates.iter().filter(|c| c.interested).collect();
        interested.sort_by_cached_key(|c| (Reverse(c.received), rng.u32(..)));
        let waiting = interested.split_off(self.rules.slots.min(interested.len()));
        let mut choice: Choice =
            interested.iter().map(|c| Unchoke::new(c.peer, reason(c))).collect();

        if self.rules.changes_optimistic(self.round) {
            // Of those that are choked; where there is none, all stays as it is.
            let choked = waiting.iter().filter(|c| Some(c.peer) != self.optimistic);
            let drawn = rng.choice(choked.collect::<Vec<_>>()).map(|c| c.peer);
            self.optimistic = drawn.or(self.optimistic);
        }
        // Until then it stays, whatever becomes of its interest and of its rate.
        let here = |peer: &PeerKey| find(candidates, *peer).is_some();
        let optimistic = self.optimistic.filter(here).filter(|&p| choice.unchoke(p).is_none());
        let optimistic = optimistic.map(|peer| Unchoke::new(peer, UnchokeReason::Optimistic));
        choice.unchoked.extend(optimistic);
        choice
    }
}

fn reason(candidate: &Candidate) -> UnchokeReason {
    let text =
        if candidate.received > 0 { "sent most in the last round" } else { "drawn at random" };
    UnchokeReason::Other { text: text.into() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::tests::{Neighbors, a_to_h};
    use super::*;

    fn with(candidates: &[Candidate]) -> Neighbors<Box<dyn Choker>> {
        Neighbors::new(STRATEGY.choker(&Rules::default()), candidates)
    }

    #[test]
    fn what_came_in_the_last_round_counts_and_nothing_before_it() {
        let mut neighbors = with(&a_to_h());
        // The rates of 20 s say the opposite.
        neighbors.candidates[4..].iter_mut().for_each(|c| c.received = 1);
        assert_eq!(neighbors.round(), "EFGH");
    }

    #[test]
    fn one_more_is_drawn_every_third_round_and_never_the_same_twice_in_a_row() {
        let mut neighbors = with(&a_to_h());
        neighbors.candidates[..4].iter_mut().for_each(|c| c.received = 1);
        let mut drawn = BTreeSet::new();
        let mut before = String::new();
        for round in 1..=300 {
            let unchoked = neighbors.round();
            let optimistic = unchoked.strip_prefix("ABCD").unwrap().to_owned();
            assert_eq!(optimistic.len(), usize::from(round >= 3), "{unchoked}");
            assert_eq!(optimistic != before, round % 3 == 0, "{before} {optimistic}");
            drawn.insert(optimistic.clone());
            before = optimistic;
        }
        assert_eq!(drawn.len(), 1 + 4, "none at first, then each of the others");
    }

    #[test]
    fn nothing_changes_between_rounds() {
        let mut neighbors = with(&a_to_h());
        neighbors.candidates[..4].iter_mut().for_each(|c| c.received = 1);
        neighbors.round();
        assert_eq!(neighbors.leave('A'), "BCD");
        assert_eq!(neighbors.interest('B', false), "BCD");
        assert_eq!(neighbors.round().len(), 4);
    }

    #[test]
    fn where_nobody_sent_anything_they_are_drawn() {
        let mut neighbors = with(&a_to_h());
        let rounds: BTreeSet<_> = (0..100).map(|_| neighbors.round()[..4].to_owned()).collect();
        assert!(rounds.len() > 20, "{rounds:?}");
    }
}
