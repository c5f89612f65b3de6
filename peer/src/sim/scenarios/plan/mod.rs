//! A swarm as data: the content, classes of peers, and how long it goes on. Scenarios build theirs
//! from their parameters, and `peer simulate FILE.toml` reads one from a file.
//!
//! | File | Its part |
//! |---|---|
//! | `text.rs` | rates, sizes and times as texts |
//! | `file.rs` | a plan as a file in TOML: reading, checks, printing |
//! | `results.rs` | what is measured of a plan without a scenario |

mod file;
mod results;
mod text;

use std::time::Duration;

use common::bitfield::Bitfield;
use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::swarm::Swarm;
use super::visits::{Visit, exponential};
use super::{Context, Parameters, Stopped};
use crate::choker::{Strategy, free_rider};
use crate::picker::{Order, StrictPriority};
use crate::sim::Link;

pub use file::FileError;
pub use results::Measured;
pub use text::{ChunkSize, Rate, Time};

/// A swarm as data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Plan {
    /// Chunks in the file.
    pub chunks: u32,
    /// Size of a chunk.
    pub chunk_size: ChunkSize,
    /// How long it goes on; `None`: until every peer has everything.
    pub duration: Option<Time>,
    /// With how many random seeds it is run.
    #[serde(default = "one")]
    pub runs: u32,
    /// The first of them.
    #[serde(default)]
    pub rng_seed: u32,
    /// What is measured.
    #[serde(default = "Measured::all")]
    pub measure: Vec<Measured>,
    /// Peers that are alike.
    #[serde(rename = "class")]
    pub classes: Vec<Class>,
}

fn one() -> u32 {
    1
}

/// Peers that are alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Class {
    /// Unique in the plan.
    pub name: String,
    /// How many peers there are: `None` for one, or if the arrivals tell.
    pub count: Option<u32>,
    /// What each peer can upload.
    pub up: Rate,
    /// What each peer can download.
    pub down: Rate,
    /// From the peer to the middle of the network.
    #[serde(default = "delay")]
    pub delay: Time,
    /// Choker.
    #[serde(default)]
    pub choker: Strategy,
    /// How many peers it unchokes by rate.
    #[serde(default = "slots")]
    pub slots: u32,
    /// In which order a peer begins chunks.
    #[serde(default)]
    pub order: Order,
    /// Which chunks in progress go before new ones.
    #[serde(default)]
    pub strict_priority: StrictPriority,
    /// How many neighbors a peer may have.
    #[serde(default = "neighbors")]
    pub neighbors: u32,
    /// When the peers come.
    #[serde(default)]
    pub arrives: Arrivals,
    /// What they have then.
    #[serde(default)]
    pub begins_with: Begins,
    /// How long a peer stays once it has everything.
    #[serde(default)]
    pub stays: Stay,
}

fn delay() -> Time {
    Time(Link::new(0, 1).delay)
}

fn slots() -> u32 {
    4 // K&R 2.5: the top four
}

fn neighbors() -> u32 {
    80 // mainline's limit; a scenario with more peers may set its own
}

/// When the peers of a class come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Arrivals {
    /// All at the start.
    #[default]
    AtOnce,
    /// One after another, evenly over this time.
    Evenly(Time),
    /// The first at the start, and each of the others so much later than the one before.
    Every(Time),
    /// At these times.
    At(Vec<Time>),
    /// At random.
    #[serde(rename_all = "kebab-case")]
    Poisson {
        /// Peers a second, at the start.
        rate: f64,
        /// The end of arrivals.
        until: Time,
        /// In this time the rate falls to 37 percent (1/e); `None`: it stays as it is.
        decay: Option<Time>,
    },
}

/// What a peer has when it comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Begins {
    /// No chunk.
    #[default]
    Nothing,
    /// Every chunk: it is a seed.
    Everything,
    /// Every chunk but the first.
    AllButOne,
    /// Each chunk with this probability.
    Random(f64),
}

/// How long a peer stays once it has everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stay {
    /// To the end.
    #[default]
    Forever,
    /// For this time.
    For(Time),
    /// For a random time with this mean, exponentially distributed.
    Exponential(Time),
}

impl Plan {
    /// A plan without classes that goes on until every peer has everything.
    pub(super) fn new(chunks: u32, chunk_size: u32) -> Self {
        Self {
            chunks,
            chunk_size: ChunkSize(chunk_size),
            duration: None,
            runs: one(),
            rng_seed: 0,
            measure: Measured::all(),
            classes: Vec::new(),
        }
    }

    /// The same with these classes.
    pub(super) fn classes(self, classes: impl Into<Vec<Class>>) -> Self {
        Self { classes: classes.into(), ..self }
    }

    /// The same, for this time.
    pub(super) fn lasts(self, duration: Duration) -> Self {
        Self { duration: Some(Time(duration)), ..self }
    }

    /// The swarm at its start, and the peers of each class in the order in which they come.
    ///
    /// Peers join in that order, since it is also that of the first connections. Of those that come
    /// at the same time seeds are first, and the others are mixed evenly.
    pub(super) fn swarm<'a>(
        &self,
        context: &'a mut Context<'_>,
    ) -> Result<(Swarm<'a>, Vec<Vec<Visit>>), Stopped> {
        let mut rng = Rng::with_seed(context.seed);
        let mut swarm = Swarm::new(self.chunks, self.chunk_size.0, context)?;
        let mut peers = Vec::new();
        for (number, class) in self.classes.iter().enumerate() {
            let mut arrivals = Coming { class, number: 0, expected: 0.0 };
            while let Some((arrives, place)) = arrivals.next(&mut rng) {
                let stays = class.stays.draw(&mut rng);
                let have = class.begins_with.draw(self.chunks, &mut rng);
                peers.push((arrives, place, number, stays, have));
                if peers.len() > MOST_PEERS as usize {
                    let why = format!("more than {MOST_PEERS} peers would come");
                    return Err(Stopped::Impossible(why));
                }
            }
        }
        peers.sort_by(|(at, place, .., have), (other_at, other_place, .., other_have)| {
            let seeds_first = || other_have.is_full().cmp(&have.is_full());
            let evenly = || place.total_cmp(other_place);
            at.total_cmp(other_at).then_with(seeds_first).then_with(evenly)
        });
        let mut joined: Vec<Vec<Visit>> = self.classes.iter().map(|_| Vec::new()).collect();
        for (arrives, _, class, stays, have) in peers {
            joined[class].push(self.classes[class].join(&mut swarm, arrives, stays, have));
        }
        Ok((swarm, joined))
    }
}

impl Class {
    /// A peer of the usual kind with these rates, which comes at the start with nothing.
    pub(super) fn new(name: &str, up: u64, down: u64) -> Self {
        Self {
            name: name.to_owned(),
            count: None,
            up: Rate(up),
            down: Rate(down),
            delay: delay(),
            choker: Strategy::default(),
            slots: slots(),
            order: Order::default(),
            strict_priority: StrictPriority::default(),
            neighbors: neighbors(),
            arrives: Arrivals::AtOnce,
            begins_with: Begins::Nothing,
            stays: Stay::Forever,
        }
    }

    /// The same with the neighbors, the choker and the order that all scenarios let a user choose.
    pub(super) fn of(parameters: &Parameters, name: &str, up: u64, down: u64) -> Self {
        Self {
            neighbors: parameters.count("neighbors"),
            choker: parameters.choker("choker"),
            order: parameters.order("order"),
            ..Self::new(name, up, down)
        }
    }

    /// A seed with as many neighbors as the peers.
    pub(super) fn seed_of(parameters: &Parameters, up: u64, down: u64) -> Self {
        Self { neighbors: parameters.count("neighbors"), ..Self::seed(up, down) }
    }

    /// A seed.
    pub(super) fn seed(up: u64, down: u64) -> Self {
        Self { begins_with: Begins::Everything, ..Self::new("seed", up, down) }
    }

    fn join(&self, swarm: &mut Swarm<'_>, arrives: f64, stays: f64, have: Bitfield) -> Visit {
        let link = Link { up: self.up.0, down: self.down.0, delay: self.delay.0 };
        let has_everything = have.is_full();
        let host = swarm.join_at(Duration::from_secs_f64(arrives), have, link, |config| {
            config.choker = self.choker;
            config.slots = self.slots as usize;
            config.order = self.order;
            config.strict_priority = self.strict_priority;
            config.max_neighbors = self.neighbors as usize;
        });
        if !has_everything && self.choker != free_rider::STRATEGY {
            let asks = swarm.world.observer.follow.choker();
            asks.into_iter().for_each(|asks| swarm.world.ask_choker(host, asks));
        }
        if stays.is_finite() && has_everything {
            swarm.world.leave_at(Duration::from_secs_f64(arrives + stays), host);
        } else if stays.is_finite() {
            swarm.world.leave_after_completion(host, Duration::from_secs_f64(stays));
        }
        Visit { host, arrives, stays }
    }
}

/// The arrivals of a class, one after another.
struct Coming<'a> {
    class: &'a Class,
    /// How many peers have come.
    number: u32,
    /// Of a Poisson process: how many were expected until the last came.
    expected: f64,
}

impl Coming<'_> {
    /// When the next peer comes, in seconds, and its place among those of its class, from 0 to 1.
    fn next(&mut self, rng: &mut Rng) -> Option<(f64, f64)> {
        let number = self.number;
        self.number += 1;
        let count = self.class.count.unwrap_or(1);
        let place = f64::from(number) / f64::from(count);
        let counted = |at| (number < count).then_some((at, place));
        match &self.class.arrives {
            Arrivals::AtOnce => counted(0.0),
            Arrivals::Evenly(time) => counted(place * time.0.as_secs_f64()),
            Arrivals::Every(time) => counted(f64::from(number) * time.0.as_secs_f64()),
            Arrivals::At(times) => times.get(number as usize).map(|at| (at.0.as_secs_f64(), place)),
            Arrivals::Poisson { rate, until, decay } => {
                self.expected += exponential(1.0, rng);
                let at = when_expected(self.expected, *rate, *decay);
                (at < until.0.as_secs_f64()).then_some((at, place))
            }
        }
    }
}

/// The time in seconds until which so many arrivals are expected: rate·t, or with a decay τ
/// rate·τ·(1 - exp(-t/τ)). NaN if there never are as many.
fn when_expected(arrivals: f64, rate: f64, decay: Option<Time>) -> f64 {
    decay.map_or(arrivals / rate, |Time(decay)| {
        let decay = decay.as_secs_f64();
        -decay * (-arrivals / (rate * decay)).ln_1p()
    })
}

impl Begins {
    fn draw(self, chunks: u32, rng: &mut Rng) -> Bitfield {
        let (mut some, all) = (Bitfield::empty(chunks), Bitfield::full(chunks));
        match self {
            Self::Nothing => {}
            Self::Everything => return all,
            Self::AllButOne => all.iter().skip(1).for_each(|chunk| some.insert(chunk)),
            Self::Random(part) => {
                all.iter().filter(|_| rng.f64() < part).for_each(|chunk| some.insert(chunk));
            }
        }
        some
    }
}

impl Stay {
    /// In seconds.
    fn draw(self, rng: &mut Rng) -> f64 {
        match self {
            Self::Forever => f64::INFINITY,
            Self::For(time) => time.0.as_secs_f64(),
            Self::Exponential(mean) => exponential(mean.0.as_secs_f64(), rng),
        }
    }
}

/// The simulator is made for so many.
const MOST_PEERS: u32 = 20_000;

/// So many neighbors are enough for any peer to be one: a peer dials only until it has three
/// quarters of them.
pub(super) const MOST_NEIGHBORS: u32 = 2 * MOST_PEERS;
