//! `PropShare`: each peer gets as much of our uplink as it gave of what we received (Levin, LaCurts,
//! Spring, Bhattacharjee 2008, "BitTorrent is an Auction"; the abstract was read).
//!
//! Tit-for-tat is an auction whose winners all get the same, so a bid just above the cut wins as
//! much as a high one. Here a bid buys its proportion: after a round in which three peers sent us
//! blocks as 100 : 50 : 25, their shares of the uplink are 4/7, 2/7 and 1/7.
//!
//! The slots do not limit the number of peers that pay. What peers get that have not paid is ours,
//! in the measure of the book: together the part of one optimistic unchoke beside the slots, 1/5
//! with four slots, and more only while no peer pays. If fewer peers pay than there are slots, the
//! difference is tried, at least one; every 30 s others are drawn.

use std::collections::BTreeSet;

use fastrand::Rng;

use super::{
    Candidate, Choice, Choker, Entry, Occasion, Rules, Strategy, Unchoke, UnchokeReason, ranked,
};
use crate::PeerKey;

/// Shares in proportion to what was received; as a seed, the seed's.
pub const STRATEGY: Strategy = Strategy {
    name: "propshare",
    about: "unchoke all that sent to us in the last round, in proportion to that, and some at random",
    rule: Entry {
        fills: |_| None,
        make: |rules| Box::new(PropShare { rules: *rules, ..PropShare::default() }),
        seed: Some(&super::seed::STRATEGY),
    },
};

#[derive(Debug, Default)]
struct PropShare {
    rules: Rules,
    round: u32,
    /// Peers that have not paid and are served nevertheless.
    tried: BTreeSet<PeerKey>,
}

/// The share of all peers together that paid.
const PAID: u32 = 1_000_000;

impl Choker for PropShare {
    fn rechoke(&mut self, occasion: Occasion, candidates: &[Candidate], rng: &mut Rng) -> Choice {
        match occasion {
            Occasion::Round => self.round(candidates, rng),
            Occasion::Joined(_) | Occasion::Left(_) | Occasion::InterestChanged(_) => {
                let waiting = candidates.iter().filter(|c| c.interested && !c.unchoked);
                let mut waiting = ranked(waiting, rng);
                let slots = self.rules.slots + usize::from(self.rules.has_optimistic());
                let choice = Choice::keep_and_fill(slots, candidates, &mut waiting);
                choice.sharing_free_slots(|_| self.unpaid())
            }
        }
    }
}

impl PropShare {
    fn round(&mut self, candidates: &[Candidate], rng: &mut Rng) -> Choice {
        self.round += 1;
        let (paying, mut others): (Vec<&Candidate>, Vec<_>) =
            candidates.iter().filter(|c| c.interested).partition(|c| c.received > 0);
        let all: u64 = paying.iter().map(|c| c.received).sum();
        let paid = paying.iter().map(|c| {
            let part = u128::from(c.received) * u128::from(PAID) / u128::from(all);
            let share = u32::try_from(part).expect("a part is at most the whole").max(1);
            let text = format!("sent {} % of what we received", c.received * 100 / all);
            Unchoke::with_share(c.peer, UnchokeReason::Other { text: text.into() }, share)
        });
        let mut choice: Choice = paid.collect();
        if !self.rules.has_optimistic() {
            return choice;
        }

        let rotate = self.rules.changes_optimistic(self.round);
        rng.shuffle(&mut others);
        others.sort_by_key(|c| rotate || !self.tried.contains(&c.peer));
        others.truncate(self.rules.slots.saturating_sub(paying.len()).max(1));
        self.tried = others.iter().map(|c| c.peer).collect();
        let each = self.unpaid() / u32::try_from(others.len().max(1)).unwrap_or(u32::MAX);
        choice.unchoked.extend(
            others.iter().map(|c| Unchoke::with_share(c.peer, UnchokeReason::Optimistic, each)),
        );
        choice
    }

    /// The share of all peers together that have not paid.
    fn unpaid(&self) -> u32 {
        PAID / u32::try_from(self.rules.slots.max(1)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use common::bitfield::Bitfield;
    use common::geometry::Geometry;

    use super::super::tests::{Neighbors, interested};
    use super::super::textbook;
    use super::*;
    use crate::sim::{Conduct, Link, Participant, Settings, Trace, World};

    fn with(candidates: &[Candidate]) -> Neighbors<PropShare> {
        Neighbors::new(PropShare::default(), candidates)
    }

    fn sends(name: char, received: u64) -> Candidate {
        Candidate { received, ..interested(name) }
    }

    #[test]
    fn shares_are_in_proportion_to_what_was_received() {
        let mut neighbors = with(&[sends('A', 100), sends('B', 50), sends('C', 25)]);
        assert_eq!(neighbors.round(), "ABC");
        assert_eq!(['A', 'B', 'C'].map(|n| neighbors.share(n)), [571_428, 285_714, 142_857]);
        let text = "sent 57 % of what we received".into();
        assert_eq!(neighbors.reason('A'), Ok(UnchokeReason::Other { text }));
        // However much it is.
        let most = 3 << 54;
        let mut neighbors = with(&[sends('A', most), sends('B', most / 3), sends('C', 1)]);
        neighbors.round();
        assert_eq!(['A', 'B', 'C'].map(|n| neighbors.share(n)), [749_999, 249_999, 1]);
    }

    #[test]
    fn one_peer_that_has_not_paid_gets_a_fifth_and_another_one_30_s_later() {
        let mut candidates: Vec<_> = ('A'..='E').map(|name| sends(name, 10)).collect();
        candidates.extend(('F'..='J').map(interested));
        let mut neighbors = with(&candidates);
        let mut tried = BTreeSet::new();
        let rounds: Vec<_> = (0..90).map(|_| neighbors.round()).collect();
        for (round, unchoked) in rounds.iter().enumerate() {
            assert!(unchoked.starts_with("ABCDE") && unchoked.len() == 6, "{unchoked}");
            assert!(round == 0 || (round + 1) % 3 == 0 || rounds[round - 1] == *unchoked);
            tried.extend(unchoked.chars().last());
        }
        assert_eq!(tried, ('F'..='J').collect());
        let lucky = rounds[89].chars().last().expect("six");
        let all: u32 = ('A'..='J').map(|name| neighbors.share(name)).sum();
        assert_eq!((neighbors.share(lucky), all), (250_000, 1_250_000));
    }

    #[test]
    fn while_no_peer_pays_as_many_as_there_are_slots_are_tried_alike() {
        let mut neighbors = with(&('A'..='H').map(interested).collect::<Vec<_>>());
        let tried = neighbors.round();
        assert_eq!(tried.len(), 4);
        assert!(tried.chars().all(|name| neighbors.share(name) == 62_500));
    }

    #[test]
    fn between_rounds_shares_stay_and_a_free_slot_is_given() {
        let mut neighbors = with(&[sends('A', 30), sends('B', 10)]);
        neighbors.round();
        neighbors.change('A', |c| c.received = 0);
        assert_eq!(neighbors.join(interested('C')), "ABC");
        assert_eq!(['A', 'B', 'C'].map(|n| neighbors.share(n)), [750_000, 250_000, 250_000]);
        assert_eq!(neighbors.leave('B'), "AC");
        assert_eq!(neighbors.share('A'), 750_000);
    }

    #[test]
    fn without_optimistic_unchokes_a_round_serves_only_those_that_paid() {
        let rules = Rules { rounds_per_optimistic: None, ..Rules::default() };
        let candidates = [sends('A', 10), interested('B')];
        let mut neighbors =
            Neighbors::new(PropShare { rules, ..PropShare::default() }, &candidates);
        assert_eq!(neighbors.round(), "A");
    }

    /// A peer with this choker and one half of the chunks has three neighbors that have the other
    /// half, know no one else, and send to it as 100 : 50 : 25. Returns which part of its uplink each
    /// got in 30 s.
    fn parts_of_the_uplink(choker: Strategy) -> [f64; 3] {
        const CHUNK: u64 = 256 * 1024;
        const CHUNKS: u32 = 2400;
        let geometry = Geometry::new(u64::from(CHUNKS) * CHUNK, CHUNK).unwrap();
        let announce_interval = Duration::from_secs(1800);
        let mut world = World::<Trace>::new(Settings { geometry, announce_interval }, 1);
        let mut halves = [Bitfield::empty(CHUNKS), Bitfield::empty(CHUNKS)];
        for (n, piece) in Bitfield::full(CHUNKS).iter().enumerate() {
            halves[n % 2].insert(piece);
        }
        let [ours, theirs] = halves;
        let mut add = |have, up, choker| {
            let mut config = world.config();
            (config.choker, config.has_tracker) = (choker, false);
            let (link, conduct) = (Link::new(up, 20_000_000), Conduct::Honest);
            world.add_peer(Participant { config, link, have, arrives_at: Duration::ZERO, conduct })
        };
        let us = add(ours, 1_400_000, choker);
        let rates = [2_000_000, 1_000_000, 500_000];
        let payers = rates.map(|up| add(theirs.clone(), up, textbook::STRATEGY));
        let sent = |world: &World<Trace>| payers.map(|p| world.peer(p).totals().downloaded);
        world.run_for(Duration::from_secs(1));
        payers.iter().for_each(|&payer| world.introduce(payer, us));
        world.run_for(Duration::from_secs(40));
        let before = sent(&world);
        world.run_for(Duration::from_secs(30));
        let after = sent(&world);
        assert!(world.peer(us).neighbors().all(|neighbor| !neighbor.am_choking));
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let got = [0, 1, 2].map(|n| (after[n] - before[n]) as f64);
        got.map(|bytes| bytes / got.iter().sum::<f64>())
    }

    #[test]
    fn on_an_uplink_contributions_of_100_50_25_get_4_2_and_1_of_7_within_2_percent() {
        let is_met = |parts: [f64; 3]| {
            let predicted = [4.0 / 7.0, 2.0 / 7.0, 1.0 / 7.0];
            parts
                .iter()
                .zip(predicted)
                .all(|(part, predicted)| (part / predicted - 1.0).abs() < 0.02)
        };
        let parts = parts_of_the_uplink(STRATEGY);
        assert!(is_met(parts), "{parts:?}");
        // Equal slots miss it.
        let parts = parts_of_the_uplink(textbook::STRATEGY);
        assert!(!is_met(parts) && parts.iter().all(|part| (part - 1.0 / 3.0).abs() < 0.02));
    }
}
