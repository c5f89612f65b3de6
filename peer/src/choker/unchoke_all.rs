//! The altruist: every neighbor may download, as in several small clients. A contrast to
//! tit-for-tat: a free rider does as well as any other peer, and the uplink is cut into thin
//! shares.

use fastrand::Rng;

use super::{Candidate, Choice, Choker, Entry, Occasion, Strategy, Unchoke, UnchokeReason};

/// Unchokes every peer, interested or not.
pub const STRATEGY: Strategy = Strategy {
    name: "unchoke-all",
    about: "unchoke every peer",
    rule: Entry { fills: |_| Some(usize::MAX), make: |_| Box::new(UnchokeAll), seed: None },
};

#[derive(Debug)]
struct UnchokeAll;

impl Choker for UnchokeAll {
    fn rechoke(&mut self, _: Occasion, candidates: &[Candidate], _: &mut Rng) -> Choice {
        let reason = UnchokeReason::Other { text: "every peer is unchoked".into() };
        candidates.iter().map(|c| Unchoke::new(c.peer, reason.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Rules;
    use super::super::tests::{Neighbors, a_to_h, uninterested};
    use super::*;

    #[test]
    fn every_peer_is_unchoked_interested_or_not() {
        let mut neighbors = Neighbors::new(STRATEGY.choker(&Rules::default()), &a_to_h());
        assert_eq!(neighbors.join(uninterested('I')), "ABCDEFGHI");
    }
}
