//! As many peers as the book serves, but drawn by lot: what is left of tit-for-tat if rates do
//! not count.

use fastrand::Rng;

use super::{Candidate, Choice, Choker, Entry, Occasion, Strategy, Unchoke, UnchokeReason};

/// Unchokes `slots` + 1 interested peers, redrawn each round.
pub const STRATEGY: Strategy = Strategy {
    name: "random",
    about: "unchoke --slots + 1 peers at random, redrawn each round",
    rule: Entry {
        fills: |rules| Some(rules.slots + 1),
        make: |rules| Box::new(Random { serves: rules.slots + 1 }),
        seed: None,
    },
};

#[derive(Debug)]
struct Random {
    /// The book's four and its optimistic one.
    serves: usize,
}

impl Choker for Random {
    fn rechoke(&mut self, occasion: Occasion, candidates: &[Candidate], rng: &mut Rng) -> Choice {
        match occasion {
            Occasion::Round => {
                let mut drawn: Vec<_> = candidates.iter().filter(|c| c.interested).collect();
                rng.shuffle(&mut drawn);
                let reason = UnchokeReason::Other { text: "drawn at random".into() };
                let drawn = drawn.into_iter().take(self.serves);
                drawn.map(|c| Unchoke::new(c.peer, reason.clone())).collect()
            }
            Occasion::Joined(_) | Occasion::Left(_) | Occasion::InterestChanged(_) => {
                let waiting = candidates.iter().filter(|c| c.interested && !c.unchoked);
                let mut waiting: Vec<_> = waiting.collect();
                rng.shuffle(&mut waiting);
                Choice::keep_and_fill(self.serves, candidates, &mut waiting)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Rules;
    use super::super::tests::{Neighbors, a_to_h, interested};
    use super::*;

    fn with(candidates: &[Candidate]) -> Neighbors<Box<dyn Choker>> {
        Neighbors::new(STRATEGY.choker(&Rules::default()), candidates)
    }

    #[test]
    fn each_round_is_drawn_anew_and_rates_do_not_count() {
        let mut neighbors = with(&a_to_h());
        let mut rounds = [0; 8];
        for _ in 0..8_000 {
            assert_eq!(neighbors.round().len(), 5);
            for (count, candidate) in rounds.iter_mut().zip(&neighbors.candidates) {
                *count += u32::from(candidate.unchoked);
            }
        }
        assert!(rounds.iter().all(|n: &u32| n.abs_diff(5_000) < 200), "{rounds:?}");
    }

    #[test]
    fn a_free_slot_goes_to_any_of_the_peers_that_wait() {
        let mut heirs = BTreeSet::new();
        for seed in 0..40 {
            let mut neighbors = with(&a_to_h()[..5]);
            neighbors.round();
            for name in 'F'..='H' {
                neighbors.join(interested(name));
            }
            neighbors.rng = Rng::with_seed(seed);
            let unchoked = neighbors.leave('A');
            assert!(unchoked.starts_with("BCDE") && unchoked.len() == 5, "{unchoked}");
            heirs.extend(unchoked.chars().last());
        }
        assert_eq!(heirs, BTreeSet::from(['F', 'G', 'H']));
    }
}
