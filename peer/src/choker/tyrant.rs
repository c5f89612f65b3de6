//! `BitTyrant`: buys as much as it can for its upload (Piatek, Isdal, Anderson, Krishnamurthy,
//! Venkataramani 2007, "Do incentives build robustness in BitTorrent?"; the abstract was read, the
//! rule is as others describe it).
//!
//! For each peer it estimates d, what the peer gives, and u, the least for which the peer gives it.
//! Each round it unchokes the peers with the best d/u until its capacity is used. A peer that was
//! unchoked and gave nothing needs more: its u rises by 20 %. One that has given for three rounds
//! may need less: its u falls by 10 %. So it does not pay a peer more than the peer demands, as
//! equal slots do.
//!
//! What a [`Candidate`] does not tell is estimated:
//! - A peer unchokes us in a round if it sent us a block in it.
//! - The capacity is the most that we sent in one round. Before we sent anything, as many peers as
//!   the book serves are unchoked at random.
//! - Of a stranger, d and u are the part of the capacity that each of the book's slots has. (The
//!   paper estimates d from how often the peer announces a chunk, which needs the size of a chunk
//!   and the number of its slots, and u from measured clients.)
//! - No peer is offered more than the whole capacity, for it may be unable to give anything.
//!
//! A share is a weight and not a rate: a peer gets at least its u if the whole uplink is used, and
//! more where the chosen peers do not need all of it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use fastrand::Rng;

use super::{
    Candidate, Choice, Choker, Entry, Occasion, Rules, Strategy, Unchoke, UnchokeReason, ranked,
};
use crate::PeerKey;
use crate::units;

/// `BitTyrant`; as a seed, which buys nothing, the seed's.
pub const STRATEGY: Strategy = Strategy {
    name: "tyrant",
    about: "unchoke those that give most for what they demand, until the upload capacity is used",
    rule: Entry {
        fills: |_| None,
        make: |rules| Box::new(Tyrant { rules: *rules, ..Tyrant::default() }),
        seed: Some(&super::seed::STRATEGY),
    },
};

#[derive(Debug, Default)]
struct Tyrant {
    rules: Rules,
    /// In bytes a round; 0 until something was sent.
    capacity: u64,
    deals: BTreeMap<PeerKey, Deal>,
}

/// What we know of the terms of a peer, in bytes a round.
#[derive(Clone, Copy, Debug)]
struct Deal {
    /// d.
    gives: u64,
    /// u.
    demands: u64,
    /// How many rounds in a row it has given something.
    rounds: u32,
}

/// A peer that has given something for so many rounds gets less.
const LOYAL: u32 = 3;

impl Choker for Tyrant {
    fn rechoke(&mut self, occasion: Occasion, candidates: &[Candidate], rng: &mut Rng) -> Choice {
        match occasion {
            Occasion::Round => {
                self.learn(candidates);
                if self.capacity == 0 {
                    self.begin(candidates, rng)
                } else {
                    self.buy(candidates, rng)
                }
            }
            Occasion::Joined(_) | Occasion::Left(_) | Occasion::InterestChanged(_) => {
                let waiting = candidates.iter().filter(|c| c.interested && !c.unchoked);
                let mut waiting = ranked(waiting, rng);
                Choice::keep_and_fill(self.slots(), candidates, &mut waiting)
                    .sharing_free_slots(|peer| weight(self.deal(peer).demands))
            }
        }
    }
}

impl Tyrant {
    /// What the last round showed.
    fn learn(&mut self, candidates: &[Candidate]) {
        self.capacity = self.capacity.max(candidates.iter().map(|c| c.sent).sum());
        if self.capacity == 0 {
            return;
        }
        let mut deals = BTreeMap::new();
        for candidate in candidates {
            let is_stranger = !candidate.unchoked && candidate.received == 0;
            if is_stranger && !self.deals.contains_key(&candidate.peer) {
                continue;
            }
            let mut deal = self.deal(candidate.peer);
            if candidate.received > 0 {
                deal.gives = candidate.received;
                deal.rounds += 1;
            } else {
                deal.rounds = 0;
            }
            if candidate.unchoked && candidate.received == 0 {
                deal.demands = (deal.demands * 6 / 5).min(self.capacity);
            } else if candidate.unchoked && deal.rounds >= LOYAL {
                deal.demands = (deal.demands * 9 / 10).max(1);
            }
            deals.insert(candidate.peer, deal);
        }
        self.deals = deals;
    }

    fn begin(&self, candidates: &[Candidate], rng: &mut Rng) -> Choice {
        let chosen = ranked(candidates.iter().filter(|c| c.interested), rng);
        let reason = UnchokeReason::Optimistic;
        chosen.iter().take(self.slots()).map(|c| Unchoke::new(c.peer, reason.clone())).collect()
    }

    fn buy(&self, candidates: &[Candidate], rng: &mut Rng) -> Choice {
        let mut offers: Vec<_> = candidates.iter().filter(|c| c.interested).collect();
        offers.sort_by_cached_key(|c| {
            let Deal { gives, demands, .. } = self.deal(c.peer);
            // d/u, as a whole number.
            let value = (u128::from(gives) << 64) / u128::from(demands);
            (Reverse(value), !c.unchoked, rng.u32(..), c.peer)
        });
        let mut left = self.capacity;
        let bought = offers.iter().map_while(|c| {
            let Deal { gives, demands, .. } = self.deal(c.peer);
            left = left.checked_sub(demands)?;
            let text = format!("gives {} for {} a round", units::size(gives), units::size(demands));
            let reason = UnchokeReason::Other { text: text.into() };
            Some(Unchoke::with_share(c.peer, reason, weight(demands)))
        });
        bought.collect()
    }

    fn deal(&self, peer: PeerKey) -> Deal {
        let equal = (self.capacity / self.slots().max(1) as u64).max(1);
        let stranger = Deal { gives: equal, demands: equal, rounds: 0 };
        self.deals.get(&peer).copied().unwrap_or(stranger)
    }

    /// As many as the book serves.
    fn slots(&self) -> usize {
        self.rules.slots + usize::from(self.rules.has_optimistic())
    }
}

/// In KiB, so that it is no more than 4 TiB a round.
fn weight(demands: u64) -> u32 {
    u32::try_from(demands / 1024).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Neighbors, interested};
    use super::super::textbook;
    use super::*;

    /// A kb/s, in bytes a round; so large that shares are exact.
    const KBPS: u64 = 1024;

    /// The peers of the exam question: what each can send, in four equal slots, and from which rate
    /// on it unchokes us; in kb/s. We have 1 Mb/s.
    const EXAM: [(char, u64, u64); 6] = [
        ('A', 100, 100),
        ('B', 2000, 300),
        ('C', 800, 200),
        ('D', 800, 400),
        ('E', 1200, 100),
        ('F', 400, 225),
    ];
    const OURS: u64 = 1000 * KBPS;

    impl<C: Choker> Neighbors<C> {
        /// A round's choice, and what we receive for it until the next, in kb/s.
        fn trade(&mut self) -> u64 {
            self.round();
            self.exchange()
        }

        fn exchange(&mut self) -> u64 {
            let shares: u64 = EXAM.iter().map(|&(name, ..)| u64::from(self.share(name))).sum();
            let mut income = 0;
            for (name, sends, threshold) in EXAM {
                let sent = OURS * u64::from(self.share(name)) / shares.max(1);
                let received = if sent >= threshold * KBPS { sends * KBPS / 4 } else { 0 };
                self.change(name, |c| (c.sent, c.received, c.rate) = (sent, received, received));
                income += received;
            }
            income / KBPS
        }
    }

    fn exam<C: Choker>(choker: C) -> Neighbors<C> {
        Neighbors::new(choker, &EXAM.map(|(name, ..)| interested(name)))
    }

    #[test]
    fn the_standard_strategy_earns_625_kbps_and_bittyrant_1200() {
        // Four slots of 250 kb/s: those that demand more leave theirs to others.
        let rules = Rules { rounds_per_optimistic: None, ..Rules::default() };
        let mut standard = exam(textbook::STRATEGY.choker(&rules));
        for _ in 0..30 {
            standard.round();
            // Between rounds free slots are given.
            standard.interest('A', true);
            standard.exchange();
        }
        assert_eq!((standard.trade(), standard.unchoked()), (625, "ACEF".to_owned()));

        // 400 + 300 + 200 + 100 kb/s buy 800/4 + 2000/4 + 800/4 + 1200/4.
        let deals = (0..).map(PeerKey).zip(EXAM).map(|(peer, (_, sends, threshold))| {
            (peer, Deal { gives: sends * KBPS / 4, demands: threshold * KBPS, rounds: 0 })
        });
        let mut tyrant = exam(Tyrant { rules, capacity: OURS, deals: deals.collect() });
        assert_eq!((tyrant.trade(), tyrant.unchoked()), (1200, "BCDE".to_owned()));
        let text = "gives 307 kB for 102 kB a round".into();
        assert_eq!(tyrant.reason('E'), Ok(UnchokeReason::Other { text }));
    }

    #[test]
    fn it_learns_terms_that_beat_the_standard_strategy() {
        let mut neighbors = exam(Tyrant::default());
        let incomes: Vec<u64> = (0..200).map(|_| neighbors.trade()).collect();
        let mean = incomes[100..].iter().sum::<u64>() / 100;
        assert!((626..=1200).contains(&mean), "{mean}");
    }

    #[test]
    fn the_offer_rises_by_a_fifth_without_an_answer_and_falls_by_a_tenth_after_three() {
        let capacity = 10_000;
        let mut neighbors =
            Neighbors::new(Tyrant { capacity, ..Tyrant::default() }, &[interested('A')]);
        let mut offers = |received, rounds| -> Vec<u64> {
            let offer = |_| {
                neighbors.change('A', |c| c.received = received);
                assert_eq!(neighbors.round(), "A");
                neighbors.choker.deal(PeerKey(0)).demands
            };
            (0..rounds).map(offer).collect()
        };
        // A stranger is offered a fifth, as by five equal slots.
        assert_eq!(offers(0, 4), [2000, 2400, 2880, 3456]);
        assert_eq!(offers(500, 5), [3456, 3456, 3110, 2799, 2519]);
        assert_eq!(offers(0, 2), [3022, 3626]);
        assert_eq!(offers(0, 20).last(), Some(&capacity), "never more than there is");
    }

    #[test]
    fn before_anything_was_sent_as_many_as_the_book_serves_are_unchoked() {
        let mut neighbors = exam(Tyrant::default());
        assert_eq!(neighbors.round().len(), 5);
        assert_eq!(neighbors.round().len(), 5, "nothing was sent yet");
    }

    #[test]
    fn a_free_slot_is_given_for_the_terms_of_a_stranger() {
        let capacity = 50 * 1024;
        let mut neighbors = Neighbors::new(Tyrant { capacity, ..Tyrant::default() }, &[]);
        assert_eq!(neighbors.join(interested('A')), "A");
        assert_eq!(neighbors.share('A'), 10);
    }
}
