//! The choker of a seed, which no peer can pay back: mainline 4.0.
//!
//! The book does not treat seeds. Ranked by upload rate alone, a few fast peers could hold a seed
//! forever, whether they give to others or not. So a third of the slots goes round: every 30 s,
//! spread over its rounds, that many peers are unchoked in turn. They replace first the slow peers
//! that want nothing more at the moment, then those unchoked longest ago: so a fast peer that
//! always asks for more cannot hold a seed (Legout et al. 2006).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::mem;

use fastrand::Rng;

use super::turns::Turns;
use super::{Candidate, Choice, Choker, Entry, Occasion, Rules, Strategy, Unchoke, UnchokeReason};
use crate::PeerKey;

/// Mainline 4.0 as a seed.
pub const STRATEGY: Strategy = Strategy {
    name: "seed",
    about: "unchoke --slots peers in turn, the fastest ones for longer",
    rule: Entry {
        fills: |rules| Some(rules.slots),
        make: |rules| Box::new(Seed { rules: *rules, ..Seed::default() }),
        seed: None,
    },
};

#[derive(Debug, Default)]
struct Seed {
    rules: Rules,
    round: u32,
    turns: Turns,
    /// The round in which each unchoked peer became so.
    unchoked_at: BTreeMap<PeerKey, u32>,
    /// How many were unchoked since the last round, each because a slot was free.
    unchokes_since_round: usize,
}

impl Choker for Seed {
    fn rechoke(&mut self, occasion: Occasion, candidates: &[Candidate], rng: &mut Rng) -> Choice {
        self.turns.update(occasion, candidates, NEW_PEER_WEIGHT, rng);
        // Between rounds no peer is displaced. Mainline does nothing then unless an unchoked peer
        // leaves or changes its interest, which lets a lone peer wait 10 s for its first byte.
        let mut forced = 0;
        if occasion == Occasion::Round {
            self.round += 1;
            forced = self.forced();
            self.unchokes_since_round = 0;
        }

        let order = self.turns.in_order(candidates);
        let served = self.by_merit(&order);
        let kept = &served[..served.len().min(self.rules.slots.saturating_sub(forced))];
        let free = self.rules.slots - kept.len();
        // What is pending for a choked peer is a block in flight: its turn comes after that.
        let chosen = order.iter().filter(|c| c.interested && (c.unchoked || !c.pending));
        let chosen = chosen.filter(|c| kept.iter().all(|kept| kept.peer != c.peer));
        let chosen: Vec<_> = chosen.take(free).collect();
        if chosen.len() == free {
            self.turns.end_after_last(|peer| chosen.iter().any(|c| c.peer == peer));
        }

        let reason = |peer| match served.iter().position(|c| c.peer == peer) {
            Some(index) => UnchokeReason::KeptAsSeed { rank: index + 1 },
            None if occasion == Occasion::Round => UnchokeReason::TurnAsSeed,
            None => UnchokeReason::FreeSlot,
        };
        let unchoked = kept.iter().chain(chosen).map(|c| Unchoke::new(c.peer, reason(c.peer)));
        let choice = unchoked.collect();
        self.record(&choice);
        choice
    }
}

impl Seed {
    /// How many new peers this round must unchoke.
    fn forced(&self) -> usize {
        let each_period = self.rules.slots.div_ceil(3);
        // Four are spread over three rounds as 1, 1 and 2.
        let (round, period) = (self.round as usize, self.rules.seed_turn() as usize);
        let each_round = (each_period + round % period) / period;
        each_round.saturating_sub(self.unchokes_since_round)
    }

    /// The peers that are served, the last to be displaced first: those unchoked in the last 30 s
    /// or still waiting for blocks, the newest first; then the fastest.
    fn by_merit<'a>(&self, order: &[&'a Candidate]) -> Vec<&'a Candidate> {
        let mut served = order.to_vec();
        served.retain(|c| c.interested && c.unchoked);
        served.sort_by_key(|c| {
            let at = self.unchoked_at.get(&c.peer).copied().unwrap_or(0);
            let recent = self.round - at < self.rules.seed_turn() || c.pending;
            (Reverse(recent.then_some(at)), Reverse(c.rate))
        });
        served
    }

    fn record(&mut self, choice: &Choice) {
        let before = mem::take(&mut self.unchoked_at);
        let since = |peer| before.get(&peer).copied().unwrap_or(self.round);
        self.unchoked_at = choice.unchoked.iter().map(|u| (u.peer, since(u.peer))).collect();
        let filled = choice.unchoked.iter().filter(|u| u.reason == UnchokeReason::FreeSlot);
        self.unchokes_since_round += filled.count();
    }
}

/// Mainline 4.0 gives a new peer no better chance than any other.
const NEW_PEER_WEIGHT: usize = 1;

#[cfg(test)]
mod tests {
    use super::super::ChokeReason;
    use super::super::tests::{Neighbors, a_to_h, interested, not_chosen, uninterested};
    use super::*;

    fn with(candidates: &[Candidate]) -> Neighbors<Seed> {
        Neighbors::new(Seed::default(), candidates)
    }

    impl Neighbors<Seed> {
        fn list(&self) -> String {
            self.choker.turns.names()
        }
    }

    #[test]
    fn two_new_peers_each_30_s_and_the_fastest_stay() {
        let mut neighbors = with(&a_to_h());
        assert_eq!(neighbors.round(), "ABCD");
        assert_eq!(neighbors.list(), "EFGHABCD");
        assert_eq!(neighbors.round(), "ABCE");
        assert_eq!(neighbors.list(), "FGHABCDE");
        assert_eq!(neighbors.reason('A'), Ok(UnchokeReason::KeptAsSeed { rank: 1 }));
        assert_eq!(neighbors.reason('D'), not_chosen());
        assert_eq!(neighbors.reason('E'), Ok(UnchokeReason::TurnAsSeed));
        let later: Vec<_> = (30..=120).step_by(10).map(|_| neighbors.round()).collect();
        assert_eq!(later[..5], ["ABCE", "ABEF", "ABFG", "ABFG", "ABGH"]);
        assert_eq!(later[5..], ["ABCH", "ABCH", "ABCD", "ABDE", "ABDE"]);
    }

    #[test]
    fn the_peers_it_sends_to_fastest_keep_their_slots_longest() {
        let mut neighbors = with(&a_to_h());
        for (name, rate) in [('A', 10), ('B', 20), ('C', 90), ('D', 80)] {
            neighbors.change(name, |c| c.rate = rate);
        }
        // Two rounds in the order of the list; the slots of A and B go round, those of C and D
        // stay.
        let rounds: Vec<_> = (0..6).map(|_| neighbors.round()).collect();
        assert_eq!(rounds, ["ABCD", "BCDE", "BCDE", "CDEF", "CDFG", "CDFG"]);
    }

    #[test]
    fn a_newcomer_is_as_likely_to_be_next_as_to_be_elsewhere() {
        let mut neighbors = with(&[]);
        for name in ['A', 'B', 'C'] {
            neighbors.join(uninterested(name));
        }
        let mut places = [0_u32; 4];
        for _ in 0..6_000 {
            neighbors.join(uninterested('D'));
            places[neighbors.list().find('D').expect("it has joined")] += 1;
            neighbors.leave('D');
        }
        assert!(places.iter().all(|n| n.abs_diff(1_500) < 200), "{places:?}");
    }

    #[test]
    fn the_list_turns_only_as_far_as_slots_were_given() {
        let mut neighbors = with(&a_to_h());
        let lists: Vec<_> = (0..8)
            .map(|_| {
                neighbors.round();
                neighbors.list()
            })
            .collect();
        assert_eq!(lists[6..], ["ABCDEFGH", "DEFGHABC"]);
    }

    #[test]
    fn a_peer_that_still_waits_for_blocks_is_not_displaced_by_a_faster_one() {
        let mut neighbors = with(&a_to_h());
        for _ in 0..3 {
            neighbors.round();
        }
        // All but E were unchoked three rounds ago; of those the slow C still waits for blocks.
        neighbors.change('C', |c| c.pending = true);
        assert_eq!(neighbors.round(), "ACEF");
    }

    #[test]
    fn among_peers_that_keep_asking_only_time_counts() {
        let mut neighbors = with(&a_to_h());
        let seen: Vec<_> = (0..6)
            .map(|_| {
                for candidate in &mut neighbors.candidates {
                    candidate.pending = candidate.unchoked;
                }
                neighbors.round()
            })
            .collect();
        assert_eq!(seen, ["ABCD", "ABCE", "ABCE", "ABEF", "AEFG", "AEFG"]);
    }

    #[test]
    fn a_choked_peer_waits_until_its_last_block_is_out() {
        let mut neighbors = with(&a_to_h());
        neighbors.round();
        neighbors.change('E', |c| c.pending = true);
        assert_eq!(neighbors.round(), "ABCF");
    }

    #[test]
    fn a_free_slot_is_given_at_once_and_counts_as_one_of_the_two() {
        let mut neighbors = with(&a_to_h());
        neighbors.round();
        assert_eq!(neighbors.leave('A'), "BCDE");
        assert_eq!(neighbors.reason('E'), Ok(UnchokeReason::FreeSlot));
        assert_eq!(neighbors.round(), "BCDE");
    }

    #[test]
    fn a_peer_that_loses_interest_gives_its_slot_to_the_next() {
        let mut neighbors = with(&a_to_h());
        neighbors.round();
        assert_eq!(neighbors.interest('B', false), "ACDE");
        assert_eq!(neighbors.reason('B'), Err(ChokeReason::NotInterested));
    }

    #[test]
    fn a_lone_peer_is_unchoked_as_soon_as_it_is_interested() {
        let mut neighbors = with(&[]);
        assert_eq!(neighbors.join(uninterested('A')), "");
        assert_eq!(neighbors.interest('A', true), "A");
    }

    #[test]
    fn equals_get_nearly_equal_shares() {
        let mut neighbors = with(&('A'..='T').map(interested).collect::<Vec<_>>());
        let mut rounds = [0; 20];
        for _ in 0..3_000 {
            neighbors.round();
            for (count, candidate) in rounds.iter_mut().zip(&neighbors.candidates) {
                *count += u32::from(candidate.unchoked);
            }
        }
        assert!(rounds.iter().all(|n| n.abs_diff(600) < 60), "{rounds:?}");
    }
}
