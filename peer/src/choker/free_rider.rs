//! The free rider, which takes and does not give: the behavior that tit-for-tat discourages
//! (Kurose & Ross 2.5).

use fastrand::Rng;

use super::{Candidate, Choice, Choker, Entry, Occasion, Strategy};

/// Unchokes no peer, as a seed neither.
pub const STRATEGY: Strategy = Strategy {
    name: "free-rider",
    about: "unchoke no peer, not even as a seed",
    rule: Entry { fills: |_| None, make: |_| Box::new(FreeRider), seed: None },
};

#[derive(Debug)]
struct FreeRider;

impl Choker for FreeRider {
    fn rechoke(&mut self, _: Occasion, _: &[Candidate], _: &mut Rng) -> Choice {
        Choice::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Rules;
    use super::super::tests::{Neighbors, a_to_h};
    use super::*;

    #[test]
    fn no_peer_is_unchoked_not_even_by_a_seed() {
        let rules = Rules::default();
        for choker in [STRATEGY.choker(&rules), STRATEGY.when_complete().choker(&rules)] {
            assert_eq!(Neighbors::new(choker, &a_to_h()).round(), "");
        }
    }
}
