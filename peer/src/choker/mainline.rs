//! The reference client's choker: three by rate and one by turns, four in all (Cohen 2003; the
//! code of May 2003).
//!
//! Peers stand in a list. Every third round the first one that waits moves to the front, with the
//! others behind it as in a ring. All slots except the last go to the fastest; what is left over
//! goes down the list. So the optimistic unchoke is simply the first peer in the list that is not
//! among the fastest: it stays for three rounds, and when it becomes one of the fastest, or
//! leaves, the next in the list is unchoked at once. When fewer than three peers earn a slot,
//! several are unchoked optimistically.

use std::cmp::Reverse;
use std::mem;

use fastrand::Rng;

use super::turns::Turns;
use super::{
    Candidate, Choice, Choker, Entry, Occasion, Rules, SNUBBED_AFTER, Strategy, Unchoke,
    UnchokeReason,
};

/// Mainline of 2003; as a seed, that of version 4.0.
pub const STRATEGY: Strategy = Strategy {
    name: "mainline",
    about: "unchoke --slots peers as the reference client does: one in turn, the others by rate",
    rule: Entry {
        fills: |rules| rules.has_optimistic().then_some(rules.slots),
        make: |rules| Box::new(Mainline { rules: *rules, ..Mainline::default() }),
        seed: Some(&super::seed::STRATEGY),
    },
};

#[derive(Debug, Default)]
struct Mainline {
    rules: Rules,
    round: u32,
    turns: Turns,
}

impl Choker for Mainline {
    fn rechoke(&mut self, occasion: Occasion, candidates: &[Candidate], rng: &mut Rng) -> Choice {
        self.turns.update(occasion, candidates, NEW_PEER_WEIGHT, rng);
        if !self.is_due(occasion, candidates) {
            return Choice::keep(candidates.iter().filter(|c| c.unchoked));
        }
        if occasion == Occasion::Round {
            self.round += 1;
            if self.rules.changes_optimistic(self.round) {
                self.rotate(candidates);
            }
        }

        let order = self.turns.in_order(candidates);
        let mut ranked = order.clone();
        ranked.retain(|c| c.interested && !snubs_us(c));
        // Stable: among equals the order of the list holds, so at the start, when all rates are
        // zero, nothing changes from round to round.
        ranked.sort_by_key(|c| Reverse(c.rate));
        if !self.rules.has_optimistic() {
            return Choice::top(self.rules.slots, self.rules.slots, &ranked);
        }
        let by_rate = self.rules.slots.saturating_sub(1);
        let mut choice = Choice::top(by_rate, by_rate, &ranked);
        fill(&mut choice, &order, self.rules.slots);
        choice
    }
}

impl Mainline {
    /// Between rounds only a change in the use of a slot counts, rates never do.
    fn is_due(&self, occasion: Occasion, candidates: &[Candidate]) -> bool {
        match occasion {
            Occasion::Round | Occasion::Joined(_) => true,
            Occasion::Left(_) => {
                // The peer that left had a slot if one is free now. While fewer peers are
                // interested than there are slots, all peers are unchoked and stay so.
                candidates.iter().filter(|c| c.interested && c.unchoked).count() < self.rules.slots
            }
            Occasion::InterestChanged(peer) => {
                candidates.iter().any(|c| c.peer == peer && c.unchoked)
            }
        }
    }

    /// Every 30 s: the first peer that waits moves to the front, so that it is next.
    fn rotate(&mut self, candidates: &[Candidate]) {
        let order = self.turns.in_order(candidates);
        if let Some(place) = order.iter().position(|c| c.interested && !c.unchoked) {
            self.turns.rotate_to(place);
        }
    }
}

/// Mainline distrusts newcomers: a peer that has never sent a block counts as snubbing us. It
/// does not ask whether we want anything of the peer either.
fn snubs_us(candidate: &Candidate) -> bool {
    candidate.since_block.is_none_or(|time| time > SNUBBED_AFTER)
}

/// Gives what the fastest leave of the slots to the others in the order of the list. A peer that
/// is not interested takes no slot, but is unchoked if its turn comes before the slots are used up.
fn fill(choice: &mut Choice, order: &[&Candidate], slots: usize) {
    let mut used = choice.unchoked.len();
    let mut next = UnchokeReason::Optimistic;
    for candidate in order {
        if used == slots {
            break;
        }
        if choice.unchoke(candidate.peer).is_some() {
            continue;
        }
        let reason = if candidate.interested {
            used += 1;
            mem::replace(&mut next, UnchokeReason::OptimisticFill)
        } else {
            UnchokeReason::RidesAlong
        };
        choice.unchoked.push(Unchoke::new(candidate.peer, reason));
    }
}

/// BEP 3: a new peer is three times as likely to be the next in turn as it is to be elsewhere.
const NEW_PEER_WEIGHT: usize = 3;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::{Neighbors, a_to_h, interested, name, not_chosen, uninterested};
    use super::super::{ChokeReason, Standing};
    use super::*;

    fn with_slots(slots: usize) -> Neighbors<Mainline> {
        let rules = Rules { slots, ..Rules::default() };
        Neighbors::new(Mainline { rules, ..Mainline::default() }, &[])
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
            self.choker.turns.names()
        }

        /// The unchoked peers after each of so many rounds.
        fn rounds(&mut self, count: usize) -> Vec<String> {
            (0..count).map(|_| self.round()).collect()
        }
    }

    #[test]
    fn without_an_optimistic_unchoke_only_peers_that_send_are_unchoked() {
        let rules = Rules { rounds_per_optimistic: None, ..Rules::default() };
        let mut neighbors = Neighbors::new(Mainline { rules, ..Mainline::default() }, &a_to_h());
        let newcomer = Candidate { since_block: None, ..interested('I') };
        assert_eq!(neighbors.join(newcomer), "ABCD");
        assert_eq!(neighbors.rounds(4), ["ABCD"; 4]);
        neighbors.candidates.retain(|c| !('A'..='H').contains(&name(c.peer)));
        assert_eq!(neighbors.rounds(4), [""; 4], "newcomers only: none of them begins");
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
            candidates[index].since_block = None;
        }
        let mut neighbors = in_order(4, &candidates);
        assert_eq!(neighbors.round(), "ABCDEFJ");
        assert_eq!(neighbors.reason('D'), Ok(UnchokeReason::Top { slots: 3, rank: 1, rate: 8 }));
        assert_eq!(neighbors.reason('B'), Ok(UnchokeReason::Optimistic));
        assert_eq!(neighbors.reason('F'), Ok(UnchokeReason::OptimisticFill));
        assert_eq!(neighbors.reason('A'), Ok(UnchokeReason::RidesAlong));
        assert_eq!(neighbors.reason('H'), Err(ChokeReason::Snubbed { silent_s: None }));
        assert_eq!(neighbors.reason('K'), Err(ChokeReason::NotInterested));
    }

    // What the author did not test.

    #[test]
    fn a_newcomer_is_three_times_as_likely_to_be_next_as_to_be_elsewhere() {
        let mut neighbors = in_order(4, &['A', 'B', 'C'].map(interested));
        let mut places = [0_u32; 4];
        for _ in 0..6_000 {
            neighbors.join(interested('D'));
            places[neighbors.list().find('D').expect("it has joined")] += 1;
            neighbors.leave('D');
        }
        let near = |(n, expected): (&u32, u32)| n.abs_diff(expected) < 200;
        assert!(places.iter().zip([3_000, 1_000, 1_000, 1_000]).all(near), "{places:?}");
    }

    #[test]
    fn a_peer_earns_a_slot_only_while_it_sends_blocks() {
        for (since_block, earns) in
            [(Some(59), true), (Some(60), true), (Some(61), false), (None, false)]
        {
            let since_block = since_block.map(Duration::from_secs);
            let fast = Candidate { rate: 100, since_block, ..interested('I') };
            let mut neighbors = in_order(4, &a_to_h());
            neighbors.join_at(8, fast);
            let ranks_first = Ok(UnchokeReason::Top { slots: 3, rank: 1, rate: 100 });
            assert_eq!(neighbors.reason('I') == ranks_first, earns, "{since_block:?}");
        }
    }

    #[test]
    fn the_fourth_slot_goes_round_every_third_round() {
        let mut neighbors = in_order(4, &a_to_h());
        assert_eq!(neighbors.unchoked(), "ABCD");
        assert_eq!(neighbors.rounds(3), ["ABCD", "ABCD", "ABCE"]);
        assert_eq!(neighbors.list(), "EFGHABCD");
        let standing = Standing { rank: 4, rate: 50, cut: 60 };
        let over = ChokeReason::OptimisticOver { standing: Some(standing) };
        assert_eq!(neighbors.reason('D'), Err(over));
        let standing = Standing { rank: 6, rate: 30, cut: 60 };
        assert_eq!(neighbors.reason('F'), Err(ChokeReason::BelowCut(standing)));
        assert_eq!(neighbors.rounds(6), ["ABCE", "ABCE", "ABCF", "ABCF", "ABCF", "ABCG"]);
        assert_eq!(neighbors.rounds(6), ["ABCG", "ABCG", "ABCH", "ABCH", "ABCH", "ABCD"]);
        assert_eq!(neighbors.list(), "DEFGHABC");
    }

    #[test]
    fn a_peer_that_snubs_us_or_wants_nothing_earns_no_slot() {
        let mut candidates = a_to_h();
        candidates[0].interested = false;
        candidates[1].since_block = None;
        let mut neighbors = in_order(4, &candidates);
        assert_eq!(neighbors.unchoked(), "ABCDE");
        assert_eq!(neighbors.reason('A'), Ok(UnchokeReason::RidesAlong));
        assert_eq!(neighbors.reason('B'), Ok(UnchokeReason::Optimistic));
        assert_eq!(neighbors.rounds(3), ["ABCDE", "ABCDE", "CDEF"]);
        assert_eq!(neighbors.rounds(6), ["CDEF", "CDEF", "CDEG", "CDEG", "CDEG", "CDEH"]);
    }

    #[test]
    fn an_optimistic_peer_that_proves_fast_frees_its_place_at_once() {
        let mut neighbors = in_order(4, &a_to_h());
        neighbors.change('D', |c| c.rate = 100);
        assert_eq!(neighbors.round(), "ABCD");
        assert_eq!(neighbors.reason('D'), Ok(UnchokeReason::Top { slots: 3, rank: 1, rate: 100 }));
        assert_eq!(neighbors.reason('C'), Ok(UnchokeReason::Optimistic));
    }

    #[test]
    fn rates_count_only_when_a_slot_changes_hands() {
        let mut neighbors = in_order(4, &a_to_h());
        neighbors.change('H', |c| c.rate = 100);
        assert_eq!(neighbors.interest('E', false), "ABCD");
        assert_eq!(neighbors.reason('E'), Err(ChokeReason::NotInterested));
        assert_eq!(neighbors.interest('E', true), "ABCD");
        assert_eq!(neighbors.reason('E'), not_chosen());
        assert_eq!(neighbors.leave('F'), "ABCD");
        assert_eq!(neighbors.leave('B'), "ACDH");
    }
}
