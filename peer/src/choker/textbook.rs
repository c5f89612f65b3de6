//! Tit-for-tat as the book describes it (Kurose & Ross 2.5): the four neighbors that send to us at
//! the highest rate are unchoked, measured again every 10 s, and one more at random every 30 s.
//!
//! The book is silent on what happens between rounds, and on neighbors that send or want nothing.
//! Here a free slot goes at once to a peer that waits, without taking one from another; a slot that
//! no peer earns by sending is optimistic too; a peer that is not interested is choked.

use fastrand::Rng;

use super::{
    Candidate, Choice, Choker, Entry, Occasion, Rules, Strategy, Unchoke, UnchokeReason, ranked,
};
use crate::PeerKey;

/// The book's choker. The book does not say what a seed does, so a seed does what the reference
/// client's does: ranked by upload rate alone, the same four fast peers could hold it forever.
pub const STRATEGY: Strategy = Strategy {
    name: "textbook",
    about: "unchoke the --slots peers that send to us fastest, and one more at random",
    rule: Entry {
        fills: |rules| rules.has_optimistic().then_some(rules.slots + 1),
        make: |rules| Box::new(Textbook { rules: *rules, ..Textbook::default() }),
        seed: Some(&super::seed::STRATEGY),
    },
};

#[derive(Debug, Default)]
struct Textbook {
    rules: Rules,
    round: u32,
    optimistic: Option<PeerKey>,
}

impl Choker for Textbook {
    fn rechoke(&mut self, occasion: Occasion, candidates: &[Candidate], rng: &mut Rng) -> Choice {
        match occasion {
            Occasion::Round => self.round(candidates, rng),
            Occasion::Joined(_) | Occasion::Left(_) | Occasion::InterestChanged(_) => {
                self.between_rounds(candidates, rng)
            }
        }
    }
}

impl Textbook {
    /// Every 10 s: ranks all candidates again.
    fn round(&mut self, candidates: &[Candidate], rng: &mut Rng) -> Choice {
        self.round += 1;
        let ranked = ranked(candidates.iter().filter(|c| c.interested && !c.snubbed), rng);
        let paying = ranked.iter().take(self.rules.slots).filter(|c| c.rate > 0).count();
        let mut choice = Choice::top(self.rules.slots, paying, &ranked);
        if !self.rules.has_optimistic() {
            return choice;
        }

        let rotate = self.rules.changes_optimistic(self.round);
        let free = self.rules.slots - paying;
        let rest = candidates.iter().filter(|c| c.interested && choice.unchoke(c.peer).is_none());
        let mut rest: Vec<_> = rest.collect();

        // An optimistic peer that has become one of the four leaves its place to another.
        let gone = !rest.iter().any(|c| Some(c.peer) == self.optimistic);
        if rotate || gone {
            self.optimistic = rng.choice(&rest).map(|c| c.peer);
        }
        choice.unchoked.extend(self.optimistic.map(|p| Unchoke::new(p, UnchokeReason::Optimistic)));

        // Cohen 2003: where snubbing leaves slots free there are several optimistic unchokes.
        rest.retain(|c| Some(c.peer) != self.optimistic);
        rng.shuffle(&mut rest);
        if !rotate {
            rest.sort_by_key(|c| !c.unchoked);
        }
        let fill = rest.iter().take(free);
        choice.unchoked.extend(fill.map(|c| Unchoke::new(c.peer, UnchokeReason::OptimisticFill)));
        choice
    }

    fn between_rounds(&mut self, candidates: &[Candidate], rng: &mut Rng) -> Choice {
        let mut served = candidates.iter().filter(|c| c.interested && c.unchoked);
        if !served.any(|c| Some(c.peer) == self.optimistic) {
            self.optimistic = None;
        }
        let mut waiting = ranked(candidates.iter().filter(|c| c.interested && !c.unchoked), rng);
        waiting.sort_by_key(|c| c.snubbed);
        let taken = self.rules.slots + usize::from(self.optimistic.is_some());
        let mut choice = Choice::keep_and_fill(taken, candidates, &mut waiting);

        // The last slot is the optimistic one, and for that rates do not count.
        if self.optimistic.is_none() && self.rules.has_optimistic() {
            self.optimistic = rng.choice(&waiting).map(|c| c.peer);
            let optimistic = self.optimistic.map(|p| Unchoke::new(p, UnchokeReason::Optimistic));
            choice.unchoked.extend(optimistic);
        }
        choice
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::super::tests::{Neighbors, a_to_h, interested, name, not_chosen, uninterested};
    use super::super::{ChokeReason, Standing};
    use super::*;

    fn with(candidates: &[Candidate]) -> Neighbors<Textbook> {
        Neighbors::new(Textbook::default(), candidates)
    }

    impl Neighbors<Textbook> {
        fn optimistic(&self) -> PeerKey {
            self.choker.optimistic.expect("some peer waits")
        }
    }

    #[test]
    fn the_four_fastest_and_one_more() {
        let mut neighbors = with(&a_to_h());
        let unchoked = neighbors.round();
        assert!(unchoked.starts_with("ABCD") && unchoked.len() == 5, "{unchoked}");
        assert_eq!(neighbors.reason('B'), Ok(UnchokeReason::Top { slots: 4, rank: 2, rate: 70 }));
        let choked: Vec<_> = ('E'..='H').filter_map(|n| neighbors.reason(n).err()).collect();
        let below_cut =
            |r: &ChokeReason| matches!(r, ChokeReason::BelowCut(Standing { cut: 50, .. }));
        assert!(choked.iter().all(below_cut) && choked.len() == 3);
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
    fn an_optimistic_peer_that_proves_fast_frees_its_place_at_once() {
        let mut neighbors = with(&a_to_h());
        neighbors.round();
        let lucky = neighbors.optimistic();
        let found = neighbors.candidates.iter_mut().find(|c| c.peer == lucky);
        found.expect("it is a neighbor").rate = 100;
        let unchoked = neighbors.round();
        assert!(unchoked.starts_with("ABC") && unchoked.len() == 5, "{unchoked}");
        assert_ne!(neighbors.optimistic(), lucky);
    }

    #[test]
    fn where_no_peer_earns_a_slot_all_stay_until_the_optimistic_one_changes() {
        let snub: fn(&mut Candidate) = |c| c.snubbed = true;
        let send_nothing: fn(&mut Candidate) = |c| c.rate = 0;
        for change in [snub, send_nothing] {
            let mut neighbors = with(&a_to_h());
            neighbors.candidates.iter_mut().for_each(change);
            let rounds: Vec<_> = (1..=60).map(|_| neighbors.round()).collect();
            assert!(rounds.iter().all(|round| round.len() == 5));
            assert!(
                rounds[2..].chunks(3).all(|three| three.iter().all(|round| *round == three[0]))
            );
            let together: BTreeSet<_> = rounds.concat().chars().collect();
            assert_eq!(together, ('A'..='H').collect());
            let reasons: Vec<_> = ('A'..='H').map(|name| neighbors.reason(name)).collect();
            let count = |reason: &_| reasons.iter().filter(|r| r.as_ref() == Ok(reason)).count();
            assert_eq!(count(&UnchokeReason::Optimistic), 1);
            assert_eq!(count(&UnchokeReason::OptimisticFill), 4);
        }
    }

    #[test]
    fn a_peer_that_sends_nothing_has_a_rank_but_earns_no_slot() {
        let mut neighbors = with(&a_to_h());
        neighbors.candidates[2..].iter_mut().for_each(|c| c.rate = 0);
        neighbors.round();
        let reasons: Vec<_> = ('A'..='H').map(|name| neighbors.reason(name)).collect();
        let top = |r: &Result<_, _>| matches!(r, Ok(UnchokeReason::Top { .. }));
        assert!(reasons[..2].iter().all(top) && !reasons[2..].iter().any(top), "{reasons:?}");
        let below =
            |r: &&Result<_, _>| matches!(r, Err(ChokeReason::BelowCut(Standing { cut: 70, .. })));
        assert_eq!(reasons.iter().filter(below).count(), 3, "{reasons:?}");
    }

    #[test]
    fn without_an_optimistic_unchoke_only_peers_that_send_are_unchoked() {
        let rules = Rules { rounds_per_optimistic: None, ..Rules::default() };
        let textbook = Textbook { rules, ..Textbook::default() };
        let mut neighbors = Neighbors::new(textbook, &a_to_h());
        assert!((0..9).all(|_| neighbors.round() == "ABCD"));
        let newcomer = Candidate { since_block: None, ..interested('I') };
        assert_eq!(neighbors.join(newcomer), "ABCD");
        assert_eq!(neighbors.round(), "ABCD");
        neighbors.leave('B');
        assert_eq!(neighbors.reason('E'), Ok(UnchokeReason::FreeSlot));
        neighbors.candidates.iter_mut().for_each(|c| c.snubbed = c.peer.0 > 0);
        assert_eq!(neighbors.round(), "A");
        neighbors.candidates.iter_mut().for_each(|c| (c.snubbed, c.rate) = (false, 0));
        assert_eq!(neighbors.round(), "");
        // Between rounds a free slot goes to any peer that waits, or none would ever begin.
        assert_eq!(neighbors.interest('H', false).len(), 4);
    }

    #[test]
    fn twenty_peers_on_one_optimistic_slot_get_equal_shares() {
        let rules = Rules { slots: 0, ..Rules::default() };
        let free_riders: Vec<_> = ('A'..='T').map(interested).collect();
        let mut neighbors = Neighbors::new(Textbook { rules, ..Textbook::default() }, &free_riders);
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
    fn among_equals_the_served_peers_stay() {
        let equal = |name| Candidate { rate: 40, ..interested(name) };
        let mut neighbors = with(&('A'..='H').map(equal).collect::<Vec<_>>());
        let first = neighbors.round();
        assert_eq!(neighbors.round(), first);
    }

    #[test]
    fn while_a_slot_is_free_an_interested_peer_is_unchoked_at_once() {
        let mut neighbors = with(&[]);
        for name in 'A'..='G' {
            neighbors.join(uninterested(name));
        }
        assert_eq!(neighbors.unchoked(), "");
        assert_eq!(neighbors.interest('C', true), "C");
        assert_eq!(neighbors.reason('C'), Ok(UnchokeReason::FreeSlot));
        for name in ['A', 'B', 'D', 'E', 'F', 'G'] {
            neighbors.interest(name, true);
        }
        assert_eq!(neighbors.unchoked(), "ABCDE");
        assert_eq!(neighbors.reason('E'), Ok(UnchokeReason::Optimistic));
        assert_eq!(neighbors.reason('F'), not_chosen());
    }

    #[test]
    fn a_slot_that_becomes_free_goes_to_the_fastest_that_waits() {
        let mut neighbors = with(&a_to_h());
        neighbors.round();
        let waiting = ('E'..='H').find(|&name| neighbors.reason(name).is_err());
        let waiting = waiting.expect("three peers wait");
        neighbors.leave('B');
        assert_eq!(neighbors.reason(waiting), Ok(UnchokeReason::FreeSlot));
        assert_eq!(neighbors.unchoked().len(), 5);
        neighbors.interest('A', false);
        assert_eq!(neighbors.reason('A'), Err(ChokeReason::NotInterested));
        assert_eq!(neighbors.unchoked().len(), 5);
    }

    #[test]
    fn the_optimistic_slot_goes_to_any_peer_when_its_own_leaves_or_loses_interest() {
        let mut heirs = BTreeSet::new();
        for seed in 0..80 {
            let mut neighbors = with(&a_to_h());
            neighbors.rng = Rng::with_seed(seed);
            neighbors.round();
            let before = neighbors.optimistic();
            if seed < 40 {
                neighbors.leave(name(before));
            } else {
                neighbors.interest(name(before), false);
            }
            let heir = neighbors.optimistic();
            assert_eq!(neighbors.reason(name(heir)), Ok(UnchokeReason::Optimistic));
            assert_eq!(neighbors.unchoked().len(), 5);
            heirs.insert((seed < 40, heir));
        }
        assert_eq!(heirs.len(), 2 * 4, "not only the fastest that waits");
    }

    #[test]
    fn rates_count_at_rounds_only() {
        let mut neighbors = with(&a_to_h());
        let before = neighbors.round();
        let waiting = ('E'..='H').rfind(|&name| neighbors.reason(name).is_err());
        let waiting = waiting.expect("three peers wait");
        neighbors.change(waiting, |c| c.rate = 100);
        assert_eq!(neighbors.join(interested('I')), before);
        assert!(neighbors.round().contains(waiting));
    }

    #[test]
    fn a_peer_that_snubs_us_gets_only_optimistic_slots() {
        let mut candidates = a_to_h();
        for candidate in &mut candidates[..6] {
            candidate.snubbed = true;
            candidate.since_block = Some(Duration::from_secs(61));
        }
        let mut neighbors = with(&candidates);
        assert!(neighbors.round().ends_with("GH"));
        let reasons: Vec<_> = ('A'..='F').map(|name| neighbors.reason(name)).collect();
        let count = |reason| reasons.iter().filter(|r| **r == reason).count();
        assert_eq!(count(Ok(UnchokeReason::Optimistic)), 1);
        assert_eq!(count(Ok(UnchokeReason::OptimisticFill)), 2);
        assert_eq!(count(Err(ChokeReason::Snubbed { silent_s: Some(61) })), 3);
    }
}
