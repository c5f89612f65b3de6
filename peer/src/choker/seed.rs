//! The choker of a seed, whom nobody can pay back: mainline 4.0.
//!
//! The book does not treat seeds. Ranked by upload rate alone, a few fast peers could hold a seed
//! for ever, whether they give to others or not. So a third of the slots goes round: each 30 s,
//! spread over its rounds, that many peers are unchoked in turn. They take the place of the slow
//! that want nothing more at the moment, then of those unchoked longest ago: so a fast peer that
//! always asks for more cannot hold a seed (Legout et al. 2006).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use fastrand::Rng;

use super::turns::Turns;
use super::{Candidate, Choker, Occasion, Reason, Settings, Verdict};
use crate::PeerKey;

/// Some kept, some by turns; see the module.
#[derive(Debug)]
pub struct Seed {
    slots: usize,
    /// Rounds in the 30 s.
    period: u32,
    round: u32,
    turns: Turns,
    /// The round in which each unchoked peer became so.
    unchoked_at: BTreeMap<PeerKey, u32>,
    /// How many were unchoked since the last round, each because a slot was free.
    unchokes_since_round: usize,
}

impl Seed {
    /// A choker that has seen no peer yet. All its slots together are `settings.slots`.
    pub fn new(settings: &Settings) -> Self {
        Self {
            slots: settings.slots,
            period: settings.rounds_per_optimistic.max(1),
            round: 0,
            turns: Turns::default(),
            unchoked_at: BTreeMap::new(),
            unchokes_since_round: 0,
        }
    }
}

impl Choker for Seed {
    fn rechoke(
        &mut self,
        occasion: Occasion,
        candidates: &[Candidate],
        rng: &mut Rng,
    ) -> Vec<Verdict> {
        self.turns.update(occasion, candidates, NEW_PEER_WEIGHT, rng);
        // Between rounds nobody is displaced; mainline does nothing then unless an unchoked peer
        // leaves or changes its interest, which lets a lone peer wait 10 s for its first byte.
        let mut forced = 0;
        if occasion == Occasion::Round {
            self.round += 1;
            forced = self.forced();
            self.unchokes_since_round = 0;
        }

        let order = self.turns.in_order(candidates);
        let served = self.by_merit(&order);
        let kept = &served[..served.len().min(self.slots.saturating_sub(forced))];
        let free = self.slots - kept.len();
        // What is pending for a choked peer is a block still on its way out: it waits for that.
        let chosen: BTreeSet<_> = order
            .iter()
            .filter(|c| c.interested && (c.unchoked || !c.pending))
            .map(|c| c.peer)
            .filter(|peer| kept.iter().all(|c| c.peer != *peer))
            .take(free)
            .collect();
        if chosen.len() == free {
            self.turns.end_after_last(|peer| chosen.contains(&peer));
        }

        let verdicts: Vec<_> = candidates
            .iter()
            .map(|candidate| {
                let peer = candidate.peer;
                let rank = served.iter().position(|c| c.peer == peer).map(|index| index + 1);
                let unchoke = chosen.contains(&peer) || kept.iter().any(|c| c.peer == peer);
                let reason = match (rank, unchoke) {
                    (Some(rank), true) => Reason::KeptAsSeed { rank },
                    (Some(_), false) => Reason::RotatedOut,
                    (None, true) if occasion == Occasion::Round => Reason::TurnAsSeed,
                    (None, true) => Reason::FreeSlot,
                    (None, false) if candidate.interested => Reason::NoSlot,
                    (None, false) => Reason::NotInterested,
                };
                Verdict { peer, reason }
            })
            .collect();
        self.record(&verdicts);
        verdicts
    }
}

impl Seed {
    /// How many new peers this round must unchoke.
    fn forced(&self) -> usize {
        let each_period = self.slots.div_ceil(3);
        // Four are spread over three rounds as 1, 1 and 2.
        let (round, period) = (self.round as usize, self.period as usize);
        let each_round = (each_period + round % period) / period;
        each_round.saturating_sub(self.unchokes_since_round)
    }

    /// Those who are served, the last to go first: the ones unchoked in the last 30 s or still
    /// served with what they asked for, the newest first; then the fastest.
    fn by_merit<'a>(&self, order: &[&'a Candidate]) -> Vec<&'a Candidate> {
        let mut served: Vec<_> =
            order.iter().copied().filter(|c| c.interested && c.unchoked).collect();
        served.sort_by_key(|c| {
            let at = self.unchoked_at.get(&c.peer).copied().unwrap_or(0);
            let recent = self.round - at < self.period || c.pending;
            (Reverse(recent.then_some(at)), Reverse(c.rate))
        });
        served
    }

    /// Notes who is unchoked since when.
    fn record(&mut self, verdicts: &[Verdict]) {
        let unchoked = verdicts.iter().filter(|v| v.reason.unchokes()).map(|v| v.peer);
        let before = mem::take(&mut self.unchoked_at);
        self.unchoked_at =
            unchoked.map(|peer| (peer, before.get(&peer).copied().unwrap_or(self.round))).collect();
        let new = verdicts.iter().filter(|v| v.reason == Reason::FreeSlot).count();
        self.unchokes_since_round += new;
    }
}

/// Mainline 4.0 gives a new peer no better chance than any other.
const NEW_PEER_WEIGHT: usize = 1;

#[cfg(test)]
mod tests {
    use super::super::tests::{Neighbors, a_to_h, interested, name, uninterested};
    use super::*;

    fn with(candidates: &[Candidate]) -> Neighbors<Seed> {
        Neighbors::new(Seed::new(&Settings::default()), candidates)
    }

    impl Neighbors<Seed> {
        fn list(&self) -> String {
            let order = self.choker.turns.in_order(&self.candidates);
            order.into_iter().map(|c| name(c.peer)).collect()
        }
    }

    #[test]
    fn two_new_peers_each_30_s_and_the_fastest_stay() {
        let mut neighbors = with(&a_to_h());
        assert_eq!(neighbors.round(), "ABCD");
        assert_eq!(neighbors.list(), "EFGHABCD");
        assert_eq!(neighbors.round(), "ABCE");
        assert_eq!(neighbors.list(), "FGHABCDE");
        assert_eq!(neighbors.reason('A'), Reason::KeptAsSeed { rank: 1 });
        assert_eq!(neighbors.reason('D'), Reason::RotatedOut);
        assert_eq!(neighbors.reason('E'), Reason::TurnAsSeed);
        let later: Vec<_> = (30..=120).step_by(10).map(|_| neighbors.round()).collect();
        assert_eq!(later[..5], ["ABCE", "ABEF", "ABFG", "ABFG", "ABGH"]);
        assert_eq!(later[5..], ["ABCH", "ABCH", "ABCD", "ABDE", "ABDE"]);
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
    fn who_is_still_being_served_is_not_displaced_by_the_merely_fast() {
        let mut neighbors = with(&a_to_h());
        for _ in 0..3 {
            neighbors.round();
        }
        // All but E were unchoked three rounds ago; of those the slow C still waits for blocks.
        neighbors.change('C', |c| c.pending = true);
        assert_eq!(neighbors.round(), "ACEF");
    }

    #[test]
    fn among_those_who_keep_asking_only_time_counts() {
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
        assert_eq!(neighbors.reason('E'), Reason::FreeSlot);
        assert_eq!(neighbors.round(), "BCDE");
    }

    #[test]
    fn who_loses_interest_gives_its_slot_to_the_next() {
        let mut neighbors = with(&a_to_h());
        neighbors.round();
        assert_eq!(neighbors.interest('B', false), "ACDE");
        assert_eq!(neighbors.reason('B'), Reason::NotInterested);
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
