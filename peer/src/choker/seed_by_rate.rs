//! The choker of a seed in the reference client of 2003: the same as that of a leecher, but by the
//! rates at which peers download from us (the code of May 2003; BEP 3 has the rule as well).
//!
//! It serves the fastest and one more in turn. A peer that downloads faster than all others keeps
//! its slot for as long as it wants something, whether it gives to others or not. That is why later
//! versions choose as `seed.rs` does.

use std::time::Duration;

use fastrand::Rng;

use super::{Candidate, Choice, Choker, Entry, Occasion, Strategy, mainline};

/// Mainline of 2003 as a seed.
pub const STRATEGY: Strategy = Strategy {
    name: "seed-by-rate",
    about: "as a seed of 2003: unchoke --slots peers, one in turn, the others by their download rates",
    rule: Entry {
        fills: mainline::STRATEGY.rule.fills,
        make: |rules| Box::new(SeedByRate(mainline::STRATEGY.choker(rules))),
        seed: None,
    },
};

#[derive(Debug)]
struct SeedByRate(Box<dyn Choker>);

impl Choker for SeedByRate {
    fn rechoke(&mut self, occasion: Occasion, candidates: &[Candidate], rng: &mut Rng) -> Choice {
        // No peer snubs a seed, which wants nothing of it.
        let since_block = Some(Duration::ZERO);
        let candidates: Vec<_> =
            candidates.iter().map(|&candidate| Candidate { since_block, ..candidate }).collect();
        self.0.rechoke(occasion, &candidates, rng)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Neighbors, a_to_h};
    use super::super::{Rules, UnchokeReason};
    use super::*;

    /// None has ever sent a block.
    fn leechers() -> Neighbors<Box<dyn Choker>> {
        let silent = a_to_h().into_iter().map(|c| Candidate { since_block: None, ..c });
        let choker = STRATEGY.choker(&Rules::default());
        Neighbors::new(choker, &silent.collect::<Vec<_>>())
    }

    #[test]
    fn the_three_that_download_fastest_stay_and_the_others_take_turns() {
        let mut neighbors = leechers();
        let rounds: Vec<_> = (0..18).map(|_| neighbors.round()).collect();
        assert!(rounds.iter().all(|unchoked| unchoked.starts_with("ABC")), "{rounds:?}");
        assert_eq!(neighbors.reason('A'), Ok(UnchokeReason::Top { slots: 3, rank: 1, rate: 80 }));
        let turns: Vec<_> = rounds.chunks(3).map(|three| &three[2][3..]).collect();
        assert_eq!(turns, ["E", "F", "G", "H", "D", "E"]);
    }

    #[test]
    fn a_peer_that_downloads_faster_takes_the_slot_of_a_slower_one() {
        let mut neighbors = leechers();
        assert_eq!(neighbors.round(), "ABCD");
        neighbors.change('D', |c| c.rate = 100);
        assert_eq!(neighbors.round(), "ABCD");
        assert_eq!(neighbors.reason('D'), Ok(UnchokeReason::Top { slots: 3, rank: 1, rate: 100 }));
        assert_eq!(neighbors.reason('C'), Ok(UnchokeReason::Optimistic));
        assert_eq!(neighbors.round(), "ABDE");
    }
}
