//! Grim: tit-for-tat that never forgives. Ours, after the trigger strategy of that name in repeated
//! games; there is no such client.
//!
//! It serves as many peers as the book's choker, those that send fastest first. The other slots go
//! to peers that do not send, three rounds each. A peer that was served for three rounds since its
//! last block, and that snubs us, is never served again, whatever it sends later. A peer that
//! has nothing for us cannot pay, and does not snub us.
//!
//! A peer is known by its connection: one that connects again is a stranger.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use fastrand::Rng;

use super::{Candidate, Choice, Choker, Entry, Occasion, Rules, Strategy, Unchoke, UnchokeReason};
use crate::PeerKey;

/// The book's choker without mercy; as a seed, which no peer can pay, the seed's.
pub const STRATEGY: Strategy = Strategy {
    name: "grim",
    about: "unchoke the --slots + 1 that send fastest, but never again one that was served and snubs us",
    rule: Entry {
        fills: |_| None,
        make: |rules| Box::new(Grim { rules: *rules, ..Grim::default() }),
        seed: Some(&super::seed::STRATEGY),
    },
};

#[derive(Debug, Default)]
struct Grim {
    rules: Rules,
    grudges: BTreeMap<PeerKey, Grudge>,
}

/// What we have against a peer.
#[derive(Clone, Copy, Debug, Default)]
struct Grudge {
    /// Rounds in which it was served, since the last one in which it sent a block.
    unpaid: u32,
    /// It is never served again.
    condemned: bool,
}

/// Rounds that a peer is served without a block of its own: as long as an optimistic unchoke.
const PATIENCE: u32 = 3;

impl Choker for Grim {
    fn rechoke(&mut self, occasion: Occasion, candidates: &[Candidate], rng: &mut Rng) -> Choice {
        let slots = self.rules.slots + usize::from(self.rules.has_optimistic());
        match occasion {
            Occasion::Round => {
                self.remember(candidates);
                let ranked = self.ranked(candidates.iter().filter(|c| c.interested), rng);
                let paying = ranked.iter().take(slots).filter(|c| c.rate > 0).count();
                let mut choice = Choice::top(slots, paying, &ranked);
                if self.rules.has_optimistic() {
                    let fill = ranked[paying..].iter().take(slots - paying);
                    let reason = UnchokeReason::OptimisticFill;
                    choice.unchoked.extend(fill.map(|c| Unchoke::new(c.peer, reason.clone())));
                }
                choice
            }
            Occasion::Joined(_) | Occasion::Left(_) | Occasion::InterestChanged(_) => {
                let waiting = candidates.iter().filter(|c| c.interested && !c.unchoked);
                let mut waiting = self.ranked(waiting, rng);
                Choice::keep_and_fill(slots, candidates, &mut waiting)
            }
        }
    }
}

impl Grim {
    fn remember(&mut self, candidates: &[Candidate]) {
        let known =
            |c: &Candidate| (c.peer, self.grudges.get(&c.peer).copied().unwrap_or_default());
        let mut grudges: BTreeMap<_, _> = candidates.iter().map(known).collect();
        for (candidate, grudge) in candidates.iter().zip(grudges.values_mut()) {
            if candidate.received > 0 {
                grudge.unpaid = 0;
            } else if candidate.interested && candidate.unchoked {
                grudge.unpaid += 1;
            }
            grudge.condemned |= grudge.unpaid >= PATIENCE && candidate.snubbed;
        }
        self.grudges = grudges;
    }

    /// Those that may be served: the fastest first, then those that were served least for nothing;
    /// among equals the peers that are served, then any.
    fn ranked<'a>(
        &self,
        candidates: impl Iterator<Item = &'a Candidate>,
        rng: &mut Rng,
    ) -> Vec<&'a Candidate> {
        let grudge = |c: &Candidate| self.grudges.get(&c.peer).copied().unwrap_or_default();
        let mut ranked: Vec<_> = candidates.filter(|c| !grudge(c).condemned).collect();
        ranked.sort_by_cached_key(|c| {
            (Reverse(c.rate), grudge(c).unpaid / PATIENCE, !c.unchoked, rng.u32(..), c.peer)
        });
        ranked
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::super::ChokeReason;
    use super::super::tests::{Neighbors, a_to_h, interested};
    use super::*;

    fn with(candidates: &[Candidate]) -> Neighbors<Grim> {
        Neighbors::new(Grim::default(), candidates)
    }

    /// What it sends, whether it snubs us.
    fn sends(neighbors: &mut Neighbors<Grim>, name: char, received: u64, snubbed: bool) {
        neighbors.change(name, |c| {
            (c.received, c.rate, c.snubbed) = (received, received / 10, snubbed);
            c.since_block = Some(Duration::from_secs(61 * u64::from(snubbed)));
        });
    }

    #[test]
    fn a_peer_that_was_served_and_snubs_us_is_never_served_again() {
        let mut neighbors = with(&['A', 'B'].map(interested));
        assert_eq!(neighbors.round(), "AB");
        neighbors.round();
        sends(&mut neighbors, 'A', 0, true);
        assert_eq!(neighbors.round(), "AB", "it was served for two rounds so far");
        assert_eq!(neighbors.round(), "B");
        neighbors.round();
        assert_eq!(neighbors.reason('A'), Err(ChokeReason::Snubbed { silent_s: Some(61) }));
        sends(&mut neighbors, 'A', 1_000_000, false);
        assert!((0..100).all(|_| neighbors.round() == "B"), "whatever it sends now");
        assert_eq!(neighbors.interest('A', false), "B");
        assert_eq!(neighbors.interest('A', true), "B", "not even into a free slot");
        neighbors.leave('A');
        assert_eq!(neighbors.join(interested('C')), "BC", "a stranger gets its chance");
    }

    #[test]
    fn a_block_within_three_rounds_is_enough() {
        let mut neighbors = with(&[interested('A')]);
        for round in 0..60 {
            sends(&mut neighbors, 'A', u64::from(round % 3 == 2), false);
            assert_eq!(neighbors.round(), "A");
        }
        sends(&mut neighbors, 'A', 0, true);
        let rounds: Vec<_> = (0..4).map(|_| neighbors.round()).collect();
        assert_eq!(rounds, ["A", "A", "", ""]);
    }

    #[test]
    fn a_peer_that_snubs_us_and_was_not_served_is_not_condemned() {
        let mut neighbors = with(&a_to_h());
        assert_eq!(neighbors.round(), "ABCDE");
        sends(&mut neighbors, 'H', 0, true);
        assert!((0..30).all(|_| neighbors.round() == "ABCDE"));
        for name in 'A'..='E' {
            neighbors.leave(name);
        }
        assert_eq!(neighbors.round(), "FGH");
    }

    #[test]
    fn those_that_cannot_pay_take_turns_of_three_rounds() {
        let mut neighbors = with(&('A'..='H').map(interested).collect::<Vec<_>>());
        let rounds: Vec<_> = (0..30).map(|_| neighbors.round()).collect();
        assert!(rounds.chunks(3).all(|three| three.iter().all(|round| *round == three[0])));
        assert!(rounds.iter().all(|round| round.len() == 5));
        let served: BTreeSet<_> = rounds.concat().chars().collect();
        assert_eq!(served, ('A'..='H').collect());
    }

    #[test]
    fn without_optimistic_unchokes_a_round_serves_only_peers_that_send() {
        let rules = Rules { rounds_per_optimistic: None, ..Rules::default() };
        let mut neighbors = Neighbors::new(Grim { rules, ..Grim::default() }, &a_to_h());
        assert_eq!(neighbors.round(), "ABCD");
        neighbors.candidates.iter_mut().for_each(|c| c.rate = 0);
        assert_eq!(neighbors.round(), "");
    }
}
