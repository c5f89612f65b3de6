//! Tit-for-tat as the book tells it (Kurose & Ross 2.5): the four neighbours that send to us at
//! the highest rate are unchoked, measured anew every 10 s, and one more at random every 30 s.
//!
//! The book is silent on what to do between rounds, and with neighbours that want nothing. Here
//! a slot that is free is given at once to whoever waits, without taking one from anybody; who
//! is not interested is choked.

use std::cmp::Reverse;

use fastrand::Rng;

use super::{Candidate, Choker, LastVerdicts, Occasion, Ranking, Reason, Settings, Verdict};
use crate::PeerKey;

/// Four and one; see the module.
#[derive(Debug)]
pub struct Textbook {
    /// The four; the optimistic one comes on top.
    slots: usize,
    rounds_per_optimistic: u32,
    round: u32,
    /// The one that was picked at random.
    optimistic: Option<PeerKey>,
    last: LastVerdicts,
}

impl Textbook {
    /// A choker that has seen no peer yet. It serves one more than `settings.slots`.
    pub fn new(settings: &Settings) -> Self {
        Self {
            slots: settings.slots,
            rounds_per_optimistic: settings.rounds_per_optimistic.max(1),
            round: 0,
            optimistic: None,
            last: LastVerdicts::default(),
        }
    }
}

impl Choker for Textbook {
    fn rechoke(
        &mut self,
        occasion: Occasion,
        candidates: &[Candidate],
        rng: &mut Rng,
    ) -> Vec<Verdict> {
        match occasion {
            Occasion::Round => self.round(candidates, rng),
            Occasion::Joined(_) | Occasion::Left(_) | Occasion::InterestChanged(_) => {
                self.fill(candidates, rng)
            }
        }
    }
}

impl Textbook {
    /// Every 10 s: ranks all anew.
    fn round(&mut self, candidates: &[Candidate], rng: &mut Rng) -> Vec<Verdict> {
        self.round += 1;
        let rotate = self.round.is_multiple_of(self.rounds_per_optimistic);

        let ranked = ranked(candidates.iter().filter(|c| c.interested && !c.snubbed), rng);
        let ranking = Ranking { ranked, slots: self.slots };
        let mut rest: Vec<_> =
            candidates.iter().filter(|c| c.interested && ranking.top_reason(c).is_none()).collect();

        // Who has become one of the four is no longer the optimistic one: another gets its place.
        let gone = !rest.iter().any(|c| Some(c.peer) == self.optimistic);
        if rotate || gone {
            self.optimistic = rng.choice(&rest).map(|c| c.peer);
        }

        // Cohen 2003: where snubbing leaves slots free there are several optimistic ones.
        rest.retain(|c| Some(c.peer) != self.optimistic);
        rng.shuffle(&mut rest);
        if !rotate {
            rest.sort_by_key(|c| !c.unchoked);
        }
        rest.truncate(self.slots - ranking.top().len());

        let optimistic = self.optimistic;
        self.last.renew(candidates, |candidate, last| {
            if let Some(reason) = ranking.top_reason(candidate) {
                reason
            } else if Some(candidate.peer) == optimistic {
                Reason::Optimistic
            } else if rest.iter().any(|c| c.peer == candidate.peer) {
                Reason::OptimisticFill
            } else {
                ranking.choke_reason(candidate, last)
            }
        })
    }

    /// Between rounds: gives free slots to those who wait, and takes none away.
    fn fill(&mut self, candidates: &[Candidate], rng: &mut Rng) -> Vec<Verdict> {
        let served = candidates.iter().filter(|c| c.interested && c.unchoked);
        if !served.clone().any(|c| Some(c.peer) == self.optimistic) {
            self.optimistic = None;
        }
        let free = self.slots.saturating_add(1).saturating_sub(served.count());

        let mut waiting = ranked(candidates.iter().filter(|c| c.interested && !c.unchoked), rng);
        waiting.sort_by_key(|c| c.snubbed);
        let mut lucky: Vec<_> = waiting.drain(..free.min(waiting.len())).collect();
        // The last slot is the optimistic one's, and for that one rates do not count.
        if self.optimistic.is_none() && lucky.len() == free && free > 0 {
            waiting.extend(lucky.pop());
            let chosen = waiting.swap_remove(rng.usize(..waiting.len()));
            self.optimistic = Some(chosen.peer);
        }

        let optimistic = self.optimistic;
        self.last.renew(candidates, |candidate, last| {
            if !candidate.interested {
                Reason::NotInterested
            } else if lucky.iter().any(|c| c.peer == candidate.peer) {
                Reason::FreeSlot
            } else if Some(candidate.peer) == optimistic {
                Reason::Optimistic
            } else {
                candidate.unchanged(last)
            }
        })
    }
}

/// Fastest first. At the start every rate is zero: keep whom we have, then let chance decide.
fn ranked<'a>(
    candidates: impl Iterator<Item = &'a Candidate>,
    rng: &mut Rng,
) -> Vec<&'a Candidate> {
    let mut ranked: Vec<_> = candidates.collect();
    ranked.sort_by_cached_key(|c| (Reverse(c.rate), !c.unchoked, rng.u32(..), c.peer));
    ranked
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::super::tests::{Neighbors, a_to_h, interested, name, uninterested};
    use super::*;

    fn with(candidates: &[Candidate]) -> Neighbors<Textbook> {
        Neighbors::new(Textbook::new(&Settings::default()), candidates)
    }

    impl Neighbors<Textbook> {
        fn optimistic(&self) -> PeerKey {
            self.choker.optimistic.expect("somebody waits")
        }
    }

    #[test]
    fn the_four_fastest_and_one_more() {
        let mut neighbors = with(&a_to_h());
        let unchoked = neighbors.round();
        assert!(unchoked.starts_with("ABCD") && unchoked.len() == 5, "{unchoked}");
        assert_eq!(neighbors.reason('B'), Reason::Top { slots: 4, rank: 2, rate: 70 });
        let choked = ('E'..='H').map(|name| neighbors.reason(name)).filter(|r| !r.unchokes());
        let all_below_cut = |r| matches!(r, Reason::BelowCut { cut: 50, .. });
        assert!(choked.clone().all(all_below_cut) && choked.count() == 3);
    }

    #[test]
    fn the_optimistic_one_changes_every_third_round_only_and_is_never_one_of_the_four() {
        let mut neighbors = with(&a_to_h());
        let mut chosen = BTreeSet::new();
        let mut before = None;
        for round in 1..=300 {
            neighbors.round();
            let optimistic = neighbors.optimistic();
            assert!(optimistic.0 >= 4, "the four are 0 to 3");
            assert!(round % 3 == 0 || before.is_none_or(|peer| peer == optimistic));
            before = Some(optimistic);
            chosen.insert(optimistic);
        }
        assert_eq!(chosen.len(), 4, "each of the others had its chance");
    }

    #[test]
    fn an_optimistic_peer_that_proves_fast_makes_room_for_another_at_once() {
        let mut neighbors = with(&a_to_h());
        neighbors.round();
        let lucky = neighbors.optimistic();
        let found = neighbors.candidates.iter_mut().find(|c| c.peer == lucky);
        found.expect("it is a neighbour").rate = 100;
        let unchoked = neighbors.round();
        assert!(unchoked.starts_with("ABC") && unchoked.len() == 5, "{unchoked}");
        assert_ne!(neighbors.optimistic(), lucky);
    }

    #[test]
    fn twenty_peers_on_one_optimistic_slot_get_equal_shares() {
        let settings = Settings { slots: 0, ..Settings::default() };
        let free_riders: Vec<_> = ('A'..='T').map(interested).collect();
        let mut neighbors = Neighbors::new(Textbook::new(&settings), &free_riders);
        let mut rounds = [0; 20];
        for _ in 0..30_000 {
            neighbors.round();
            for (count, candidate) in rounds.iter_mut().zip(&neighbors.candidates) {
                *count += u32::from(candidate.unchoked);
            }
        }
        assert_eq!(rounds.iter().sum::<u32>(), 30_000);
        assert!(rounds.iter().all(|n| n.abs_diff(1_500) < 250), "{rounds:?}");
    }

    #[test]
    fn among_equals_those_who_are_served_stay() {
        let mut neighbors = with(&('A'..='H').map(interested).collect::<Vec<_>>());
        let first = neighbors.round();
        assert_eq!(neighbors.round(), first);
    }

    #[test]
    fn until_all_slots_are_taken_whoever_is_interested_is_unchoked_at_once() {
        let mut neighbors = with(&[]);
        for name in 'A'..='G' {
            neighbors.join(uninterested(name));
        }
        assert_eq!(neighbors.unchoked(), "");
        assert_eq!(neighbors.interest('C', true), "C");
        assert_eq!(neighbors.reason('C'), Reason::FreeSlot);
        for name in ['A', 'B', 'D', 'E', 'F', 'G'] {
            neighbors.interest(name, true);
        }
        assert_eq!(neighbors.unchoked(), "ABCDE");
        assert_eq!(neighbors.reason('E'), Reason::Optimistic);
        assert_eq!(neighbors.reason('F'), Reason::NoSlot);
    }

    #[test]
    fn a_slot_that_becomes_free_goes_to_the_fastest_that_waits() {
        let mut neighbors = with(&a_to_h());
        neighbors.round();
        let waiting = ('E'..='H').find(|&name| !neighbors.reason(name).unchokes());
        let waiting = waiting.expect("three of them wait");
        neighbors.leave('B');
        assert_eq!(neighbors.reason(waiting), Reason::FreeSlot);
        assert_eq!(neighbors.unchoked().len(), 5);
        neighbors.interest('A', false);
        assert_eq!(neighbors.reason('A'), Reason::NotInterested);
        assert_eq!(neighbors.unchoked().len(), 5);
    }

    #[test]
    fn the_optimistic_slot_goes_to_anyone_when_its_peer_leaves() {
        let mut heirs = BTreeSet::new();
        for seed in 0..40 {
            let mut neighbors = with(&a_to_h());
            neighbors.rng = Rng::with_seed(seed);
            neighbors.round();
            neighbors.leave(name(neighbors.optimistic()));
            heirs.insert(neighbors.optimistic());
            assert_eq!(neighbors.unchoked().len(), 5);
        }
        assert_eq!(heirs.len(), 4, "not only the fastest that waits");
    }

    #[test]
    fn rates_count_at_rounds_only() {
        let mut neighbors = with(&a_to_h());
        let before = neighbors.round();
        let waiting = ('E'..='H').rfind(|&name| !neighbors.reason(name).unchokes());
        let waiting = waiting.expect("three of them wait");
        neighbors.change(waiting, |c| c.rate = 100);
        assert_eq!(neighbors.join(interested('I')), before);
        assert!(neighbors.round().contains(waiting));
    }

    #[test]
    fn who_snubs_us_gets_nothing_but_optimistic_slots() {
        let mut candidates = a_to_h();
        for candidate in &mut candidates[..6] {
            candidate.snubbed = true;
            candidate.silent_for = Some(Duration::from_secs(61));
        }
        let mut neighbors = with(&candidates);
        assert!(neighbors.round().ends_with("GH"));
        let reasons: Vec<_> = ('A'..='F').map(|name| neighbors.reason(name)).collect();
        let count = |reason| reasons.iter().filter(|r| **r == reason).count();
        assert_eq!(count(Reason::Optimistic), 1);
        assert_eq!(count(Reason::OptimisticFill), 2);
        assert_eq!(count(Reason::Snubbed { silent_s: Some(61) }), 3);
    }
}
