//! Choking algorithms: which neighbors may download from us, the choice at the heart of
//! tit-for-tat (Kurose & Ross 2.5; BEP 3).
//!
//! A choker sees each neighbor as a few numbers and returns the ones to unchoke, each with a
//! reason. To add one, write a file with a [`Choker`] and its [`Strategy`], and name the file in
//! the list below: `--choker`, the error messages and the tests take it from there.

use std::cmp::Reverse;
use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use serde::{Serialize, Serializer};

use crate::PeerKey;
use crate::named::{Named, Table};

mod asked;
pub mod free_rider;
pub mod grim;
pub mod mainline;
pub mod preferred_neighbors;
pub mod propshare;
pub mod random;
mod reason;
pub mod seed;
pub mod seed_by_rate;
pub mod textbook;
mod turns;
pub mod tyrant;
pub mod unchoke_all;

pub(crate) use asked::Asked;
pub use asked::{AnswerError, AskChoker, MAX_ANSWER, Question};
pub use reason::{ChokeReason, Standing, UnchokeReason};

/// All chokers; the first is the default.
const STRATEGIES: &[Strategy] = &[
    textbook::STRATEGY,
    mainline::STRATEGY,
    seed::STRATEGY,
    seed_by_rate::STRATEGY,
    preferred_neighbors::STRATEGY,
    propshare::STRATEGY,
    tyrant::STRATEGY,
    grim::STRATEGY,
    random::STRATEGY,
    unchoke_all::STRATEGY,
    free_rider::STRATEGY,
];

/// Decides which peers we unchoke.
///
/// The core asks at every [`Occasion`] and at no other time, so a change of rate has no effect
/// before the next round. Choking and unchoking the same peer every few seconds ("fibrillation")
/// would waste connections: a new TCP flow needs about one round to reach full speed.
pub trait Choker: fmt::Debug + Send {
    /// Returns the peers to serve from now on. Every other peer is choked, and the core derives
    /// the reason ([`Choice::choke_reason`]).
    ///
    /// The candidates are all connected peers, in the order of their keys.
    fn rechoke(&mut self, occasion: Occasion, candidates: &[Candidate], rng: &mut Rng) -> Choice;
}

/// What a choker knows about one connected peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Its key; the candidates are in the order of their keys.
    pub peer: PeerKey,
    /// It wants a piece that we have.
    pub interested: bool,
    /// It may download from us at present.
    pub unchoked: bool,
    /// We want something of it, and it has sent nothing for longer than [`SNUBBED_AFTER`]. Never
    /// set while we seed.
    pub snubbed: bool,
    /// The time since its last block; `None` if it never sent one.
    #[serde(serialize_with = "in_seconds")]
    pub since_block: Option<Duration>,
    /// Bytes per second from it; when we seed, to it.
    pub rate: u64,
    /// Bytes of blocks that it sent us in the last round.
    pub received: u64,
    /// Bytes of blocks that we sent it in the last round.
    pub sent: u64,
    /// Pieces that it announced in the last round.
    pub haves: u32,
    /// It has requests queued or blocks unsent with us. A choke drops the requests, so for a
    /// choked peer this means a block in flight.
    pub pending: bool,
}

#[expect(clippy::ref_option, reason = "serde hands over the field")]
fn in_seconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64()).serialize(serializer)
}

/// Cohen 2003: a peer that sends no block "for over a minute" is taken to snub us.
pub const SNUBBED_AFTER: Duration = Duration::from_secs(60);

/// Why the choker is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// A round begins, every 10 s.
    Round,
    /// A peer connected and is among the candidates.
    Joined(PeerKey),
    /// A peer left and is no longer among the candidates.
    Left(PeerKey),
    /// A peer became interested, or lost interest.
    InterestChanged(PeerKey),
}

impl Occasion {
    /// Whether it calls for a new decision about this peer; a round does for every peer.
    pub fn is_about(self, peer: PeerKey) -> bool {
        match self {
            Self::Round => true,
            Self::Joined(about) | Self::Left(about) | Self::InterestChanged(about) => about == peer,
        }
    }
}

/// What a choker decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// Each peer at most once.
    pub unchoked: Vec<Unchoke>,
    /// `None` if rank played no part.
    pub ranking: Option<Ranking>,
}

/// One peer that may download from us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unchoke {
    /// One of the candidates.
    pub peer: PeerKey,
    /// Why it, and not another.
    pub reason: UnchokeReason,
    /// Its weight in turns at the uplink, relative to the other peers. `None` counts as 1, or with
    /// [`UnchokeReason::Kept`] as what it was before.
    pub share: Option<u32>,
}

impl Unchoke {
    /// Unchokes a peer with the same share as any other.
    pub fn new(peer: PeerKey, reason: UnchokeReason) -> Self {
        Self { peer, reason, share: None }
    }

    /// Unchokes a peer with this share.
    pub fn with_share(peer: PeerKey, reason: UnchokeReason, share: u32) -> Self {
        Self { peer, reason, share: Some(share) }
    }
}

/// The competition for the slots that are earned by rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranking {
    /// How many of the fastest get a slot.
    pub slots: usize,
    /// Fastest first. An interested candidate that is not in it was left out because it snubs us.
    pub ranked: Vec<PeerKey>,
}

impl Ranking {
    /// The place of this peer, from 1.
    pub fn rank(&self, peer: PeerKey) -> Option<usize> {
        Some(1 + self.ranked.iter().position(|&other| other == peer)?)
    }

    /// The rate of the slowest peer that earns a slot.
    pub fn cut(&self, candidates: &[Candidate]) -> Option<u64> {
        let in_slots = &self.ranked[..self.slots.min(self.ranked.len())];
        find(candidates, *in_slots.last()?).map(|candidate| candidate.rate)
    }
}

impl Choice {
    /// Unchokes the fastest; of the slots so many are earned by rate.
    fn top(slots: usize, earned: usize, ranked: &[&Candidate]) -> Self {
        let top = ranked.iter().take(earned).zip(1..).map(|(c, rank)| {
            Unchoke::new(c.peer, UnchokeReason::Top { slots, rank, rate: c.rate })
        });
        let ranking = Ranking { slots: earned, ranked: ranked.iter().map(|c| c.peer).collect() };
        Self { unchoked: top.collect(), ranking: Some(ranking) }
    }

    /// Between rounds: every served peer keeps its slot, and the free ones go to the peers at the
    /// front of `waiting`, which are taken out of it.
    fn keep_and_fill(
        slots: usize,
        candidates: &[Candidate],
        waiting: &mut Vec<&Candidate>,
    ) -> Self {
        let served = candidates.iter().filter(|c| c.interested && c.unchoked);
        let mut choice = Self::keep(served);
        let free = slots.saturating_sub(choice.unchoked.len()).min(waiting.len());
        let filled = waiting.drain(..free).map(|c| Unchoke::new(c.peer, UnchokeReason::FreeSlot));
        choice.unchoked.extend(filled);
        choice
    }

    fn keep<'a>(unchoked: impl Iterator<Item = &'a Candidate>) -> Self {
        unchoked.map(|c| Unchoke::new(c.peer, UnchokeReason::Kept)).collect()
    }

    /// Gives this share to the peers that got a slot because it was free.
    fn sharing_free_slots(mut self, share: impl Fn(PeerKey) -> u32) -> Self {
        for unchoke in &mut self.unchoked {
            if unchoke.reason == UnchokeReason::FreeSlot {
                unchoke.share = Some(share(unchoke.peer));
            }
        }
        self
    }

    /// The reason for this peer, if it is one of the fastest.
    pub fn unchoke(&self, peer: PeerKey) -> Option<&Unchoke> {
        self.unchoked.iter().find(|unchoke| unchoke.peer == peer)
    }
}

impl FromIterator<Unchoke> for Choice {
    fn from_iter<I: IntoIterator<Item = Unchoke>>(unchoked: I) -> Self {
        Self { unchoked: unchoked.into_iter().collect(), ranking: None }
    }
}

/// Fastest first; among equals the peers that are served, then any.
fn ranked<'a>(
    candidates: impl Iterator<Item = &'a Candidate>,
    rng: &mut Rng,
) -> Vec<&'a Candidate> {
    let mut ranked: Vec<_> = candidates.collect();
    ranked.sort_by_cached_key(|c| (Reverse(c.rate), !c.unchoked, rng.u32(..), c.peer));
    ranked
}

fn find(candidates: &[Candidate], peer: PeerKey) -> Option<&Candidate> {
    let index = candidates.binary_search_by_key(&peer, |candidate| candidate.peer).ok()?;
    Some(&candidates[index])
}

/// Options that every choker takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How many peers are served at a time. The textbook's optimistic unchoke comes on top.
    pub slots: usize,
    /// The optimistic unchoke changes after so many rounds; 0 counts as 1. `None`: there is none.
    pub rounds_per_optimistic: Option<u32>,
}

impl Rules {
    fn has_optimistic(&self) -> bool {
        self.rounds_per_optimistic.is_some()
    }

    /// Whether the optimistic unchoke changes in this round.
    fn changes_optimistic(&self, round: u32) -> bool {
        self.rounds_per_optimistic.is_some_and(|period| round.is_multiple_of(period.max(1)))
    }

    /// The turn of a peer at a seed, in rounds: as long as an optimistic unchoke, but no such, so
    /// without those it has its default.
    fn seed_turn(&self) -> u32 {
        self.rounds_per_optimistic.unwrap_or(ROUNDS_PER_OPTIMISTIC).max(1)
    }
}

impl Default for Rules {
    /// Four slots (K&R 2.5).
    fn default() -> Self {
        Self { slots: 4, rounds_per_optimistic: Some(ROUNDS_PER_OPTIMISTIC) }
    }
}

/// 30 s in rounds of 10 s (BEP 3).
const ROUNDS_PER_OPTIMISTIC: u32 = 3;

/// A choking algorithm by name, as `--choker` takes it.
pub type Strategy = Named<Entry>;

/// What the name of a choker stands for.
#[derive(Clone, Copy)]
pub struct Entry {
    /// How many peers are served while at least as many want something; `None` if the choker may
    /// leave slots free.
    pub fills: fn(&Rules) -> Option<usize>,
    make: fn(&Rules) -> Box<dyn Choker>,
    /// What takes over once every piece is here; `None` if the choker stays.
    seed: Option<&'static Strategy>,
}

impl Table for Entry {
    const WHAT: &'static str = "choker";
    const ROWS: &'static [Strategy] = STRATEGIES;
}

impl Strategy {
    /// A choker that has seen no peer yet.
    pub fn choker(self, rules: &Rules) -> Box<dyn Choker> {
        (self.rule.make)(rules)
    }

    /// The strategy that takes over once every piece is here; it may be the same.
    pub fn when_complete(self) -> Self {
        self.rule.seed.copied().unwrap_or(self)
    }
}

#[cfg(test)]
mod tests;
