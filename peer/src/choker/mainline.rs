//! The reference client's choker: three by rate and one by turns, four in all (Cohen 2003; the
//! code of May 2003).
//!
//! Peers stand in a list. Every third round the first that waits moves to the front, the others
//! behind it as in a ring. Slots go to the fastest first, except the last one; what is left over
//! goes down the list. So the optimistic unchoke is simply the first in the list that is not
//! among the fastest: it stays for three rounds, and when it becomes one of them, or leaves, the
//! next in the list is unchoked at once. When fewer than three earn a slot there are several.

use std::cmp::Reverse;

use fastrand::Rng;

use super::turns::Turns;
use super::{Candidate, Choker, LastVerdicts, Occasion, Ranking, Reason, Settings, Verdict};

/// Three and one; see the module.
#[derive(Debug)]
pub struct Mainline {
    slots: usize,
    rounds_per_optimistic: u32,
    round: u32,
    turns: Turns,
    last: LastVerdicts,
}

impl Mainline {
    /// A choker that has seen no peer yet. All its slots together are `settings.slots`.
    pub fn new(settings: &Settings) -> Self {
        Self {
            slots: settings.slots,
            rounds_per_optimistic: settings.rounds_per_optimistic.max(1),
            round: 0,
            turns: Turns::default(),
            last: LastVerdicts::default(),
        }
    }
}

impl Choker for Mainline {
    fn rechoke(
        &mut self,
        occasion: Occasion,
        candidates: &[Candidate],
        rng: &mut Rng,
    ) -> Vec<Verdict> {
        self.turns.update(occasion, candidates, NEW_PEER_WEIGHT, rng);
        if !self.is_due(occasion, candidates) {
            return self.last.renew(candidates, Candidate::unchanged);
        }
        if occasion == Occasion::Round {
            self.round += 1;
            if self.round.is_multiple_of(self.rounds_per_optimistic) {
                self.rotate(candidates);
            }
        }

        let order = self.turns.in_order(candidates);
        let mut ranked = order.clone();
        ranked.retain(|c| c.interested && !c.snubbed);
        // Stable: among equals the order of the list holds, so at the start, when all rates are
        // zero, nothing changes from round to round.
        ranked.sort_by_key(|c| Reverse(c.rate));
        let ranking = Ranking { ranked, slots: self.slots.saturating_sub(1) };
        let chances = fill(&order, &ranking, self.slots);

        self.last.renew(candidates, |candidate, last| {
            let chance = chances.iter().find(|chance| chance.peer == candidate.peer);
            ranking
                .top_reason(candidate)
                .or(chance.map(|chance| chance.reason))
                .unwrap_or_else(|| ranking.choke_reason(candidate, last))
        })
    }
}

impl Mainline {
    /// Between rounds only what changes the use of a slot counts, rates never do.
    fn is_due(&self, occasion: Occasion, candidates: &[Candidate]) -> bool {
        match occasion {
            Occasion::Round | Occasion::Joined(_) => true,
            Occasion::Left(peer) => self.last.reason(peer).is_some_and(|reason| {
                // An unchoked peer that is not interested takes no slot.
                reason.unchokes() && reason != Reason::RidesAlong
            }),
            Occasion::InterestChanged(peer) => {
                candidates.iter().any(|c| c.peer == peer && c.unchoked)
            }
        }
    }

    /// Every 30 s: the first that waits comes to the front, so that it is next.
    fn rotate(&mut self, candidates: &[Candidate]) {
        let order = self.turns.in_order(candidates);
        if let Some(place) = order.iter().position(|c| c.interested && !c.unchoked) {
            self.turns.rotate_to(place);
        }
    }
}

/// Gives what the fastest leave of the slots to the others in the order of the list. Who is not
/// interested takes no slot, but is unchoked if its turn comes before the slots are used up.
fn fill(order: &[&Candidate], ranking: &Ranking<'_>, slots: usize) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let mut used = ranking.top().len();
    let mut reason = Reason::Optimistic;
    for candidate in order {
        if used == slots {
            break;
        }
        if ranking.top_reason(candidate).is_some() {
            continue;
        }
        if candidate.interested {
            verdicts.push(Verdict { peer: candidate.peer, reason });
            reason = Reason::OptimisticFill;
            used += 1;
        } else {
            verdicts.push(Verdict { peer: candidate.peer, reason: Reason::RidesAlong });
        }
    }
    verdicts
}

/// BEP 3: a new peer is three times as likely to be the next in turn as it is to be elsewhere.
const NEW_PEER_WEIGHT: usize = 3;

#[cfg(test)]
mod tests {
    use super::super::tests::{Neighbors, a_to_h, interested, name, uninterested};
    use super::*;

    fn with_slots(slots: usize) -> Neighbors<Mainline> {
        let settings = Settings { slots, ..Settings::default() };
        Neighbors::new(Mainline::new(&settings), &[])
    }

    /// Their places in the list are those of the slice.
    fn in_order(slots: usize, candidates: &[Candidate]) -> Neighbors<Mainline> {
        let mut neighbors = with_slots(slots);
        for (place, &candidate) in candidates.iter().enumerate() {
            neighbors.join_at(place, candidate);
        }
        neighbors
    }

    impl Neighbors<Mainline> {
        /// As if chance had put it there.
        fn join_at(&mut self, place: usize, candidate: Candidate) -> String {
            self.choker.turns.insert(place, candidate.peer);
            self.join(candidate)
        }

        fn list(&self) -> String {
            let order = self.choker.turns.in_order(&self.candidates);
            order.into_iter().map(|c| name(c.peer)).collect()
        }

        /// Who is unchoked after each of so many rounds.
        fn rounds(&mut self, count: usize) -> Vec<String> {
            (0..count).map(|_| self.round()).collect()
        }
    }

    // The unit tests of the reference client, as its author named them.

    #[test]
    fn no_connection() {
        assert_eq!(with_slots(4).rounds(4), ["", "", "", ""]);
    }

    #[test]
    fn resort() {
        let mut neighbors = with_slots(1);
        assert_eq!(neighbors.join_at(0, uninterested('A')), "A");
        assert_eq!(neighbors.join_at(1, Candidate { rate: 1, ..interested('B') }), "AB");
        assert_eq!(neighbors.join_at(1, Candidate { rate: 2, ..interested('C') }), "AC");
        neighbors.change('B', |c| c.rate = 2);
        neighbors.change('C', |c| c.rate = 1);
        assert_eq!(neighbors.join_at(1, Candidate { rate: 3, ..uninterested('D') }), "ACD");
        assert_eq!(neighbors.leave('D'), "AC");
        assert_eq!(neighbors.round(), "AC");
    }

    #[test]
    fn interest() {
        let mut neighbors = with_slots(1);
        neighbors.join_at(0, uninterested('A'));
        neighbors.join_at(1, interested('B'));
        assert_eq!(neighbors.join_at(1, interested('C')), "AC");
        assert_eq!(neighbors.interest('C', false), "ABC");
        assert_eq!(neighbors.interest('C', true), "AC");
        assert_eq!(neighbors.leave('C'), "AB");
    }

    #[test]
    fn robin_interest() {
        let mut neighbors = with_slots(1);
        assert_eq!(neighbors.join_at(0, uninterested('B')), "B");
        assert_eq!(neighbors.join_at(0, interested('A')), "A");
        assert_eq!(neighbors.interest('A', false), "AB");
        assert_eq!(neighbors.interest('A', true), "A");
        assert_eq!(neighbors.leave('A'), "B");
    }

    #[test]
    fn skip_not_interested() {
        let mut neighbors = in_order(1, &[interested('A'), uninterested('B'), interested('C')]);
        assert_eq!(neighbors.rounds(3), ["A", "A", "C"]);
    }

    #[test]
    fn connection_lost_no_interrupt() {
        let mut neighbors = in_order(1, &['A', 'B', 'C'].map(interested));
        assert_eq!(neighbors.rounds(5), ["A", "A", "B", "B", "B"]);
        assert_eq!(neighbors.leave('C'), "B");
        assert_eq!(neighbors.round(), "A");
        assert_eq!(neighbors.leave('B'), "A");
    }

    #[test]
    fn connection_made_no_interrupt() {
        let mut neighbors = in_order(1, &['A', 'B'].map(interested));
        neighbors.rounds(2);
        assert_eq!(neighbors.join_at(1, interested('C')), "A");
        assert_eq!(neighbors.round(), "C");
    }

    #[test]
    fn round_robin() {
        let mut neighbors = in_order(1, &['A', 'B'].map(interested));
        assert_eq!(neighbors.rounds(6), ["A", "A", "B", "B", "B", "A"]);
    }

    #[test]
    fn multi() {
        let mut candidates: Vec<_> = ('A'..='K')
            .zip([0, 0, 0, 8, 0, 0, 6, 0, 9, 7, 10])
            .map(|(name, rate)| Candidate { rate, ..uninterested(name) })
            .collect();
        for index in [1, 3, 5, 7, 9] {
            candidates[index].interested = true;
        }
        for index in [1, 5, 7] {
            candidates[index].snubbed = true;
        }
        let mut neighbors = in_order(4, &candidates);
        assert_eq!(neighbors.round(), "ABCDEFJ");
        assert_eq!(neighbors.reason('D'), Reason::Top { slots: 3, rank: 1, rate: 8 });
        assert_eq!(neighbors.reason('B'), Reason::Optimistic);
        assert_eq!(neighbors.reason('F'), Reason::OptimisticFill);
        assert_eq!(neighbors.reason('A'), Reason::RidesAlong);
        assert_eq!(neighbors.reason('H'), Reason::Snubbed { silent_s: None });
        assert_eq!(neighbors.reason('K'), Reason::NotInterested);
    }

    // What the author did not test.

    #[test]
    fn the_fourth_slot_goes_round_every_third_round() {
        let mut neighbors = in_order(4, &a_to_h());
        assert_eq!(neighbors.unchoked(), "ABCD");
        assert_eq!(neighbors.rounds(3), ["ABCD", "ABCD", "ABCE"]);
        assert_eq!(neighbors.list(), "EFGHABCD");
        assert_eq!(neighbors.reason('D'), Reason::RotatedOut);
        assert_eq!(neighbors.reason('F'), Reason::BelowCut { rank: 6, rate: 30, cut: 60 });
        assert_eq!(neighbors.rounds(6), ["ABCE", "ABCE", "ABCF", "ABCF", "ABCF", "ABCG"]);
        assert_eq!(neighbors.rounds(6), ["ABCG", "ABCG", "ABCH", "ABCH", "ABCH", "ABCD"]);
        assert_eq!(neighbors.list(), "DEFGHABC");
    }

    #[test]
    fn who_snubs_us_or_wants_nothing_earns_no_slot() {
        let mut candidates = a_to_h();
        candidates[0].interested = false;
        candidates[1].snubbed = true;
        let mut neighbors = in_order(4, &candidates);
        assert_eq!(neighbors.unchoked(), "ABCDE");
        assert_eq!(neighbors.reason('A'), Reason::RidesAlong);
        assert_eq!(neighbors.reason('B'), Reason::Optimistic);
        assert_eq!(neighbors.rounds(3), ["ABCDE", "ABCDE", "CDEF"]);
        assert_eq!(neighbors.rounds(6), ["CDEF", "CDEF", "CDEG", "CDEG", "CDEG", "CDEH"]);
    }

    #[test]
    fn an_optimistic_peer_that_proves_fast_makes_room_for_the_next_at_once() {
        let mut neighbors = in_order(4, &a_to_h());
        neighbors.change('D', |c| c.rate = 100);
        assert_eq!(neighbors.round(), "ABCD");
        assert_eq!(neighbors.reason('D'), Reason::Top { slots: 3, rank: 1, rate: 100 });
        assert_eq!(neighbors.reason('C'), Reason::Optimistic);
    }

    #[test]
    fn rates_count_only_when_a_slot_changes_hands() {
        let mut neighbors = in_order(4, &a_to_h());
        neighbors.change('H', |c| c.rate = 100);
        assert_eq!(neighbors.interest('E', false), "ABCD");
        assert_eq!(neighbors.reason('E'), Reason::NotInterested);
        assert_eq!(neighbors.interest('E', true), "ABCD");
        assert_eq!(neighbors.reason('E'), Reason::NoSlot);
        assert_eq!(neighbors.leave('F'), "ABCD");
        assert_eq!(neighbors.leave('B'), "ACDH");
    }
}
