//! Who may download from us: the choice at the heart of tit-for-tat (Kurose & Ross 2.5; BEP 3).
//!
//! A choker sees a table of all neighbours, and says of each whether it is unchoked and why. To
//! write another one, implement [`Choker`] in a file of its own and add it to [`Strategy`].
//!
//! - [`textbook`]: the four fastest and one at random, as the book tells it;
//! - [`mainline`]: three and one, as the reference client does it;
//! - [`seed`]: for whoever has everything and cannot be paid back.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use fastrand::Rng;

use crate::PeerKey;

pub mod mainline;
mod reason;
pub mod seed;
pub mod textbook;
mod turns;

pub use reason::Reason;

/// Decides whom we unchoke.
///
/// It is called at every [`Occasion`], and at no other time: so a rate that changes can change
/// nothing before the next round. Unchoking and choking the same peer every few seconds
/// ("fibrillation") would waste connections, for a fresh TCP flow takes about a round to get fast.
pub trait Choker: fmt::Debug + Send {
    /// Says of each candidate whether it is unchoked from now on, and why.
    ///
    /// All connected peers come as candidates, in the order of their keys; the verdicts are in
    /// the same order, one for each.
    fn rechoke(
        &mut self,
        occasion: Occasion,
        candidates: &[Candidate],
        rng: &mut Rng,
    ) -> Vec<Verdict>;
}

/// What the choker needs to know about one connected peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Who it is.
    pub peer: PeerKey,
    /// Whether it wants something that we have.
    pub interested: bool,
    /// Whether it is unchoked by us now.
    pub unchoked: bool,
    /// Whether it gave us nothing for so long that we give it nothing but an optimistic unchoke.
    pub snubbed: bool,
    /// Bytes per second from it; when we seed, to it.
    pub rate: u64,
    /// Whether it has requests queued or blocks unsent with us. A choke drops the requests, so
    /// for a choked peer this means a block that is still on its way out.
    pub pending: bool,
    /// How long ago its last block came, `None` if none ever did. Only for the reason's text.
    pub silent_for: Option<Duration>,
}

impl Candidate {
    /// The reason for one to whom nothing happens now and who was given the reason `last`.
    fn unchanged(&self, last: Option<Reason>) -> Reason {
        let last = last.filter(|last| last.unchokes() == self.unchoked);
        match last {
            _ if self.unchoked => last.unwrap_or(Reason::FreeSlot),
            _ if !self.interested => Reason::NotInterested,
            None | Some(Reason::NotInterested) => Reason::NoSlot,
            Some(last) => last,
        }
    }
}

/// Why the choker is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// A round begins: every 10 s.
    Round,
    /// A peer connected; it is among the candidates.
    Joined(PeerKey),
    /// A peer left; it is no longer among the candidates.
    Left(PeerKey),
    /// A peer became interested, or ceased to be.
    InterestChanged(PeerKey),
}

/// What becomes of one candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Who it is.
    pub peer: PeerKey,
    /// Whether it is unchoked ([`Reason::unchokes`]), and why.
    pub reason: Reason,
}

/// The choker by name, as `--choker` takes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// The book's: the fastest `slots`, and one at random besides.
    #[default]
    Textbook,
    /// The reference client's: `slots` in all, one of them by turns.
    Mainline,
}

impl Strategy {
    /// The choker for as long as something is missing.
    pub fn leecher(self, settings: &Settings) -> Box<dyn Choker> {
        match self {
            Self::Textbook => Box::new(textbook::Textbook::new(settings)),
            Self::Mainline => Box::new(mainline::Mainline::new(settings)),
        }
    }

    /// The choker once all is there. The book does not say what a seed does, so both strategies
    /// do what the reference client does: without a rule of its own, ranking by upload rate
    /// would let the same four fast peers hold a seed for ever.
    pub fn seed(self, settings: &Settings) -> Box<dyn Choker> {
        match self {
            Self::Textbook | Self::Mainline => Box::new(seed::Seed::new(settings)),
        }
    }

    /// Whether a neighbour that never sent a block counts as snubbing us from the start, as in the
    /// reference client. Otherwise it is given as long as any other.
    pub fn distrusts_newcomers(self) -> bool {
        match self {
            Self::Textbook => false,
            Self::Mainline => true,
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Textbook => "textbook",
            Self::Mainline => "mainline",
        })
    }
}

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(name: &str) -> Result<Self, UnknownStrategy> {
        match name {
            "textbook" => Ok(Self::Textbook),
            "mainline" => Ok(Self::Mainline),
            _ => Err(UnknownStrategy(name.to_owned())),
        }
    }
}

/// There is no choker of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no choker `{0}`: there are textbook and mainline")]
pub struct UnknownStrategy(String);

/// What the chokers have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many peers are served at a time. The textbook's optimistic one comes on top.
    pub slots: usize,
    /// After how many rounds another peer gets its chance; 0 counts as 1.
    pub rounds_per_optimistic: u32,
}

impl Default for Settings {
    /// Four slots (K&R 2.5); 30 s in rounds of 10 s (BEP 3).
    fn default() -> Self {
        Self { slots: 4, rounds_per_optimistic: 3 }
    }
}

/// Those who compete for the slots that are earned by rate, fastest first.
struct Ranking<'a> {
    ranked: Vec<&'a Candidate>,
    slots: usize,
}

impl Ranking<'_> {
    /// The fastest, one for each slot.
    fn top(&self) -> &[&Candidate] {
        &self.ranked[..self.slots.min(self.ranked.len())]
    }

    /// The reason for one of the fastest; `None` for the rest.
    fn top_reason(&self, candidate: &Candidate) -> Option<Reason> {
        let index = self.top().iter().position(|top| top.peer == candidate.peer)?;
        Some(Reason::Top { slots: self.slots, rank: index + 1, rate: candidate.rate })
    }

    /// The reason for one that is left over and had the reason `last` before.
    fn choke_reason(&self, candidate: &Candidate, last: Option<Reason>) -> Reason {
        if !candidate.interested {
            return Reason::NotInterested;
        }
        if let Some(Reason::Optimistic | Reason::OptimisticFill) = last {
            return Reason::RotatedOut;
        }
        if candidate.snubbed {
            return Reason::Snubbed { silent_s: candidate.silent_for.map(|time| time.as_secs()) };
        }
        let place = self.ranked.iter().position(|ranked| ranked.peer == candidate.peer);
        match (place, self.top().last()) {
            (Some(index), Some(last)) => {
                Reason::BelowCut { rank: index + 1, rate: candidate.rate, cut: last.rate }
            }
            _ => Reason::NoSlot,
        }
    }
}

/// The verdicts of the last time: who keeps its place keeps its reason.
#[derive(Debug, Default)]
struct LastVerdicts(Vec<Verdict>);

impl LastVerdicts {
    /// Gives each candidate a reason, and keeps them for the next time.
    fn renew(
        &mut self,
        candidates: &[Candidate],
        reason: impl Fn(&Candidate, Option<Reason>) -> Reason,
    ) -> Vec<Verdict> {
        let verdicts: Vec<_> = candidates
            .iter()
            .map(|c| Verdict { peer: c.peer, reason: reason(c, self.reason(c.peer)) })
            .collect();
        self.0.clone_from(&verdicts);
        verdicts
    }

    fn reason(&self, peer: PeerKey) -> Option<Reason> {
        let index = self.0.binary_search_by_key(&peer, |verdict| verdict.peer).ok()?;
        Some(self.0[index].reason)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, any, prop};
    use proptest::strategy::Strategy as Generator;
    use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};

    use super::*;

    /// A choker and its neighbours, who are called A, B, C and so on.
    #[derive(Debug)]
    pub(super) struct Neighbors<C> {
        pub(super) choker: C,
        pub(super) candidates: Vec<Candidate>,
        verdicts: Vec<Verdict>,
        pub(super) rng: Rng,
    }

    impl<C: Choker> Neighbors<C> {
        pub(super) fn new(choker: C, candidates: &[Candidate]) -> Self {
            let candidates = candidates.to_vec();
            Self { choker, candidates, verdicts: Vec::new(), rng: Rng::with_seed(1) }
        }

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

        /// Changes what the choker will see of one neighbour, and does not tell it.
        pub(super) fn change(&mut self, name: char, change: impl FnOnce(&mut Candidate)) {
            let found = self.candidates.iter_mut().find(|c| c.peer == key(name));
            change(found.expect("the script names a neighbour"));
        }

        pub(super) fn unchoked(&self) -> String {
            self.candidates.iter().filter(|c| c.unchoked).map(|c| name(c.peer)).collect()
        }

        pub(super) fn reason(&self, name: char) -> Reason {
            let found = self.verdicts.iter().find(|v| v.peer == key(name));
            found.expect("each neighbour gets a verdict").reason
        }

        /// Carries out the verdicts, and says who is unchoked then.
        fn rechoke(&mut self, occasion: Occasion) -> String {
            self.verdicts = self.choker.rechoke(occasion, &self.candidates, &mut self.rng);
            let judged: Vec<_> = self.verdicts.iter().map(|v| v.peer).collect();
            let peers: Vec<_> = self.candidates.iter().map(|c| c.peer).collect();
            assert_eq!(judged, peers);
            for (candidate, verdict) in self.candidates.iter_mut().zip(&self.verdicts) {
                candidate.unchoked = verdict.reason.unchokes();
            }
            self.unchoked()
        }
    }

    pub(super) fn interested(name: char) -> Candidate {
        Candidate { interested: true, ..uninterested(name) }
    }

    pub(super) fn uninterested(name: char) -> Candidate {
        Candidate {
            peer: key(name),
            interested: false,
            unchoked: false,
            snubbed: false,
            rate: 0,
            pending: false,
            silent_for: None,
        }
    }

    /// A to H, all interested; A has the rate 80, B 70, and H 10.
    pub(super) fn a_to_h() -> Vec<Candidate> {
        ('A'..='H')
            .zip(1..)
            .map(|(n, i)| Candidate { rate: 90 - 10 * i, ..interested(n) })
            .collect()
    }

    fn key(name: char) -> PeerKey {
        PeerKey(u64::from(name) - u64::from('A'))
    }

    pub(super) fn name(peer: PeerKey) -> char {
        let offset = u8::try_from(peer.0).expect("the names are letters");
        char::from(b'A' + offset)
    }

    #[test]
    fn strategies_are_known_by_their_names() {
        for strategy in [Strategy::Textbook, Strategy::Mainline] {
            assert_eq!(strategy.to_string().parse(), Ok(strategy));
        }
        let error = "fair".parse::<Strategy>().unwrap_err();
        assert_eq!(error.to_string(), "no choker `fair`: there are textbook and mainline");
    }

    impl Choker for Box<dyn Choker> {
        fn rechoke(
            &mut self,
            occasion: Occasion,
            candidates: &[Candidate],
            rng: &mut Rng,
        ) -> Vec<Verdict> {
            self.as_mut().rechoke(occasion, candidates, rng)
        }
    }

    /// One thing that happens among the neighbours A to L.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Round,
        /// It joins, or leaves if it is there.
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
                    self.join(uninterested(name));
                }
                Step::ChangesInterest(name) if is_there(name) => {
                    let was = self.candidates.iter().any(|c| c.peer == key(name) && c.interested);
                    self.interest(name, !was);
                }
                Step::Sends(name, rate, snubbed) if is_there(name) => {
                    self.change(name, |c| (c.rate, c.snubbed) = (rate, snubbed));
                }
                Step::ChangesInterest(_) | Step::Sends(..) => {}
            }
        }

        /// Those who take a slot.
        fn served(&self) -> Vec<PeerKey> {
            let served = self.candidates.iter().filter(|c| c.interested && c.unchoked);
            served.map(|c| c.peer).collect()
        }
    }

    fn textbook() -> Neighbors<Box<dyn Choker>> {
        Neighbors::new(Strategy::Textbook.leecher(&Settings::default()), &[])
    }

    fn mainline() -> Neighbors<Box<dyn Choker>> {
        Neighbors::new(Strategy::Mainline.leecher(&Settings::default()), &[])
    }

    fn seed() -> Neighbors<Box<dyn Choker>> {
        Neighbors::new(Strategy::Textbook.seed(&Settings::default()), &[])
    }

    proptest! {
        #[test]
        fn no_slot_stays_free_while_somebody_waits_and_none_is_given_twice(steps in steps()) {
            for (mut neighbors, slots) in [(textbook(), 5), (mainline(), 4), (seed(), 4)] {
                for &step in &steps {
                    neighbors.step(step);
                    let interested = neighbors.candidates.iter().filter(|c| c.interested).count();
                    prop_assert_eq!(neighbors.served().len(), interested.min(slots));
                }
            }
        }

        #[test]
        fn between_rounds_nobody_loses_a_slot(steps in steps()) {
            for mut neighbors in [textbook(), seed()] {
                for &step in &steps {
                    let before = neighbors.served();
                    neighbors.step(step);
                    let wants = |peer| neighbors.candidates.iter().any(|c| c.peer == peer && c.interested);
                    let served = neighbors.served();
                    let displaced = before.iter().any(|&p| wants(p) && !served.contains(&p));
                    prop_assert!(matches!(step, Step::Round) || !displaced);
                }
            }
        }

        #[test]
        fn a_seed_takes_over_from_a_leecher_and_fills_its_slots(steps in steps()) {
            for mut neighbors in [textbook(), mainline()] {
                for &step in &steps {
                    neighbors.step(step);
                }
                let before = neighbors.served();
                neighbors.choker = Strategy::Textbook.seed(&Settings::default());
                neighbors.round();
                let served = neighbors.served();
                prop_assert_eq!(served.len(), before.len().min(4));
            }
        }

        #[test]
        fn the_same_chance_gives_the_same_verdicts(steps in steps()) {
            for neighbors in [textbook, mainline, seed] {
                let (mut one, mut other) = (neighbors(), neighbors());
                for &step in &steps {
                    one.step(step);
                    other.step(step);
                    prop_assert_eq!(&one.verdicts, &other.verdicts);
                }
            }
        }
    }
}
