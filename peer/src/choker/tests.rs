//! A script language for the tests of the chokers, and properties that hold for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use proptest::prelude::{Just, any, prop};
use proptest::strategy::Strategy as Generator;
use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;

/// A choker and its neighbors, named A, B, C and so on.
#[derive(Debug)]
pub(super) struct Neighbors<C> {
    pub(super) choker: C,
    pub(super) candidates: Vec<Candidate>,
    pub(super) rng: Rng,
    reasons: BTreeMap<PeerKey, Result<UnchokeReason, ChokeReason>>,
    shares: BTreeMap<PeerKey, u32>,
}

impl<C: Choker> Neighbors<C> {
    pub(super) fn new(choker: C, candidates: &[Candidate]) -> Self {
        let candidates = candidates.to_vec();
        let (reasons, shares) = (BTreeMap::new(), BTreeMap::new());
        Self { choker, candidates, rng: Rng::with_seed(1), reasons, shares }
    }

    /// Runs a round and returns the unchoked peers; so do the next three for their occasions.
    pub(super) fn round(&mut self) -> String {
        self.rechoke(Occasion::Round)
    }

    pub(super) fn join(&mut self, candidate: Candidate) -> String {
        self.candidates.push(candidate);
        self.candidates.sort_by_key(|c| c.peer);
        self.rechoke(Occasion::Joined(candidate.peer))
    }

    pub(super) fn leave(&mut self, name: char) -> String {
        self.candidates.retain(|c| c.peer != key(name));
        self.rechoke(Occasion::Left(key(name)))
    }

    pub(super) fn interest(&mut self, name: char, interested: bool) -> String {
        self.change(name, |c| c.interested = interested);
        self.rechoke(Occasion::InterestChanged(key(name)))
    }

    /// Changes what the choker will see of one neighbor, without asking it.
    pub(super) fn change(&mut self, name: char, change: impl FnOnce(&mut Candidate)) {
        let found = self.candidates.iter_mut().find(|c| c.peer == key(name));
        change(found.expect("the script names a neighbor"));
    }

    pub(super) fn unchoked(&self) -> String {
        self.candidates.iter().filter(|c| c.unchoked).map(|c| name(c.peer)).collect()
    }

    /// Why a neighbor is unchoked (`Ok`) or choked.
    pub(super) fn reason(&self, name: char) -> Result<UnchokeReason, ChokeReason> {
        self.reasons[&key(name)].clone()
    }

    /// The weight of a neighbor at the uplink; 0 while it is choked.
    pub(super) fn share(&self, name: char) -> u32 {
        self.shares.get(&key(name)).copied().unwrap_or(0)
    }

    /// Applies a choice as the core does.
    fn rechoke(&mut self, occasion: Occasion) -> String {
        let choice = self.choker.rechoke(occasion, &self.candidates, &mut self.rng);
        let is_interested = |peer| find(&self.candidates, peer).is_some_and(|c| c.interested);
        let unchoked: BTreeSet<_> = choice.unchoked.iter().map(|u| u.peer).collect();
        assert_eq!(unchoked.len(), choice.unchoked.len(), "no peer is unchoked twice");
        assert!(unchoked.iter().all(|&peer| find(&self.candidates, peer).is_some()));
        if let Some(ranking) = &choice.ranking {
            let ranked: BTreeSet<_> = ranking.ranked.iter().copied().collect();
            assert_eq!(ranked.len(), ranking.ranked.len(), "no peer is ranked twice");
            assert!(ranked.into_iter().all(is_interested));
        }

        let shares = mem::take(&mut self.shares);
        for Unchoke { peer, reason, share } in &choice.unchoked {
            let before = shares.get(peer).filter(|_| *reason == UnchokeReason::Kept);
            self.shares.insert(*peer, share.or(before.copied()).unwrap_or(1));
        }
        let mut before = mem::take(&mut self.reasons);
        for candidate in &self.candidates {
            let until_now = before.remove(&candidate.peer).and_then(Result::ok);
            assert_eq!(until_now.is_some(), candidate.unchoked);
            let reason = match choice.unchoke(candidate.peer).map(|u| u.reason.clone()) {
                Some(UnchokeReason::Kept) => {
                    Ok(until_now.expect("only an unchoked peer is kept as before"))
                }
                Some(reason) => Ok(reason),
                None => Err(choice.choke_reason(
                    candidate,
                    until_now.as_ref(),
                    &self.candidates,
                    "the choker",
                )),
            };
            self.reasons.insert(candidate.peer, reason);
        }
        for candidate in &mut self.candidates {
            candidate.unchoked = self.reasons[&candidate.peer].is_ok();
        }
        self.unchoked()
    }
}

/// Not chosen, by whichever choker is tested.
pub(super) fn not_chosen() -> Result<UnchokeReason, ChokeReason> {
    Err(ChokeReason::NotChosen { by: "the choker".into() })
}

/// It has just sent a block.
pub(super) fn interested(name: char) -> Candidate {
    Candidate { interested: true, ..uninterested(name) }
}

/// It has just sent a block.
pub(super) fn uninterested(name: char) -> Candidate {
    Candidate {
        peer: key(name),
        interested: false,
        unchoked: false,
        snubbed: false,
        since_block: Some(Duration::ZERO),
        rate: 0,
        received: 0,
        sent: 0,
        haves: 0,
        pending: false,
    }
}

/// A to H, all interested; A has the rate 80, B 70, and H 10.
pub(super) fn a_to_h() -> Vec<Candidate> {
    ('A'..='H').zip(1..).map(|(n, i)| Candidate { rate: 90 - 10 * i, ..interested(n) }).collect()
}

fn key(name: char) -> PeerKey {
    PeerKey(u64::from(name) - u64::from('A'))
}

pub(super) fn name(peer: PeerKey) -> char {
    let offset = u8::try_from(peer.0).expect("the names are letters");
    char::from(b'A' + offset)
}

#[test]
fn the_book_and_random_serve_one_more_than_the_slots() {
    let fills = |strategy: Strategy| (strategy.rule.fills)(&Rules { slots: 7, ..Rules::default() });
    assert_eq!((fills(textbook::STRATEGY), fills(random::STRATEGY)), (Some(8), Some(8)));
    assert_eq!((fills(mainline::STRATEGY), fills(seed::STRATEGY)), (Some(7), Some(7)));
    assert_eq!(fills(unchoke_all::STRATEGY), Some(usize::MAX));
    for strategy in [
        free_rider::STRATEGY,
        preferred_neighbors::STRATEGY,
        propshare::STRATEGY,
        tyrant::STRATEGY,
        grim::STRATEGY,
    ] {
        assert_eq!(fills(strategy), None);
    }
}

#[test]
fn the_chokers_that_rank_by_what_they_are_paid_give_way_to_the_seed() {
    let as_seed = |strategy: Strategy| strategy.when_complete().name;
    assert_eq!(as_seed(textbook::STRATEGY), "seed");
    assert_eq!(as_seed(mainline::STRATEGY), "seed");
    assert_eq!(as_seed(propshare::STRATEGY), "seed");
    assert_eq!(as_seed(tyrant::STRATEGY), "seed");
    assert_eq!(as_seed(grim::STRATEGY), "seed");
    assert_eq!(as_seed(random::STRATEGY), "random");
    assert_eq!(as_seed(preferred_neighbors::STRATEGY), "preferred-neighbors");
    assert_eq!(as_seed(free_rider::STRATEGY), "free-rider");
}

impl Choker for Box<dyn Choker> {
    fn rechoke(&mut self, occasion: Occasion, candidates: &[Candidate], rng: &mut Rng) -> Choice {
        self.as_mut().rechoke(occasion, candidates, rng)
    }
}

/// One event among the neighbors A to L.
#[derive(Clone, Copy, Debug)]
enum Step {
    Round,
    /// It joins, or leaves if it is connected.
    ComesOrGoes(char),
    ChangesInterest(char),
    /// Its rate is this from now on, and whether it snubs us.
    Sends(char, u64, bool),
}

fn steps() -> impl Generator<Value = Vec<Step>> {
    let name = || prop::char::range('A', 'L');
    let step = prop_oneof![
        2 => Just(Step::Round),
        2 => name().prop_map(Step::ComesOrGoes),
        3 => name().prop_map(Step::ChangesInterest),
        3 => (name(), 0..4_u64, any::<bool>()).prop_map(|(n, rate, s)| Step::Sends(n, rate, s)),
    ];
    prop::collection::vec(step, 0..120)
}

impl Neighbors<Box<dyn Choker>> {
    fn step(&mut self, step: Step) {
        let is_there = |name| self.candidates.iter().any(|c| c.peer == key(name));
        match step {
            Step::Round => {
                self.round();
            }
            Step::ComesOrGoes(name) if is_there(name) => {
                self.leave(name);
            }
            Step::ComesOrGoes(name) => {
                self.join(Candidate { since_block: None, ..uninterested(name) });
            }
            Step::ChangesInterest(name) if is_there(name) => {
                let was = self.candidates.iter().any(|c| c.peer == key(name) && c.interested);
                self.interest(name, !was);
            }
            Step::Sends(name, rate, snubbed) if is_there(name) => {
                let since_block = Some(SNUBBED_AFTER * 2 * u32::from(snubbed));
                self.change(name, |c| {
                    (c.rate, c.snubbed, c.since_block) = (rate, snubbed, since_block);
                    (c.received, c.sent) = (10 * rate, 20 * u64::from(c.unchoked));
                });
            }
            Step::ChangesInterest(_) | Step::Sends(..) => {}
        }
    }

    /// The peers that take a slot.
    fn served(&self) -> Vec<PeerKey> {
        let served = self.candidates.iter().filter(|c| c.interested && c.unchoked);
        served.map(|c| c.peer).collect()
    }

    fn waiting(&self) -> usize {
        self.candidates.iter().filter(|c| c.interested && !c.unchoked).count()
    }
}

fn start(strategy: Strategy) -> Neighbors<Box<dyn Choker>> {
    Neighbors::new(strategy.choker(&Rules::default()), &[])
}

proptest! {
    /// And [`Neighbors::rechoke`] checks that only candidates are unchoked, and none twice.
    #[test]
    fn a_choker_that_fills_its_slots_leaves_none_free_while_a_peer_waits(steps in steps()) {
        for &strategy in Strategy::ALL {
            let mut neighbors = start(strategy);
            let slots = (strategy.rule.fills)(&Rules::default());
            for &step in &steps {
                neighbors.step(step);
                let (served, waiting) = (neighbors.served().len(), neighbors.waiting());
                if let Some(slots) = slots {
                    prop_assert_eq!(served, slots.min(served + waiting), "{}", strategy);
                }
            }
        }
    }

    #[test]
    fn without_optimistic_unchokes_none_is_given_as_a_reason(steps in steps()) {
        let rules = Rules { rounds_per_optimistic: None, ..Rules::default() };
        for strategy in [textbook::STRATEGY, mainline::STRATEGY] {
            let mut neighbors = Neighbors::new(strategy.choker(&rules), &[]);
            for &step in &steps {
                neighbors.step(step);
                let mut unchoked = neighbors.reasons.values().flatten();
                prop_assert!(unchoked.all(|reason| match reason {
                    UnchokeReason::Top { .. } | UnchokeReason::FreeSlot => true,
                    UnchokeReason::Optimistic
                    | UnchokeReason::OptimisticFill
                    | UnchokeReason::RidesAlong
                    | UnchokeReason::KeptAsSeed { .. }
                    | UnchokeReason::TurnAsSeed
                    | UnchokeReason::Kept
                    | UnchokeReason::Other { .. } => false,
                }), "{}: {:?}", strategy, neighbors.reasons);
                prop_assert!(neighbors.served().len() <= rules.slots);
            }
        }
    }

    #[test]
    fn the_same_chance_gives_the_same_choices(steps in steps()) {
        for &strategy in Strategy::ALL {
            let (mut one, mut other) = (start(strategy), start(strategy));
            for &step in &steps {
                one.step(step);
                other.step(step);
                prop_assert_eq!(&one.reasons, &other.reasons, "{}", strategy);
            }
        }
    }

    #[test]
    fn what_takes_over_once_every_piece_is_here_fills_the_slots(steps in steps()) {
        for &strategy in Strategy::ALL {
            let mut neighbors = start(strategy);
            for &step in &steps {
                neighbors.step(step);
            }
            neighbors.choker = strategy.when_complete().choker(&Rules::default());
            neighbors.round();
            let (served, waiting) = (neighbors.served().len(), neighbors.waiting());
            if let Some(slots) = (strategy.when_complete().rule.fills)(&Rules::default()) {
                prop_assert_eq!(served, slots.min(served + waiting), "{}", strategy);
            }
        }
    }

    #[test]
    fn between_rounds_no_peer_loses_its_slot(steps in steps()) {
        let strategies = [
            textbook::STRATEGY,
            seed::STRATEGY,
            random::STRATEGY,
            propshare::STRATEGY,
            tyrant::STRATEGY,
            grim::STRATEGY,
        ];
        for strategy in strategies {
            let mut neighbors = start(strategy);
            for &step in &steps {
                let before = neighbors.served();
                neighbors.step(step);
                let wants = |peer| find(&neighbors.candidates, peer).is_some_and(|c| c.interested);
                let served = neighbors.served();
                let displaced = before.iter().any(|&p| wants(p) && !served.contains(&p));
                prop_assert!(matches!(step, Step::Round) || !displaced, "{}", strategy);
            }
        }
    }
}
