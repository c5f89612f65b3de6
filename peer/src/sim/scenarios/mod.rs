//! Published and derived results about BitTorrent, reproduced with the core in virtual time.
//!
//! | File | What it reproduces |
//! |---|---|
//! | `kurose_ross.rs` | the distribution time of client-server and P2P (Kurose & Ross 2.5) |
//! | `free_rider.rs` | what a peer gets that gives nothing |
//! | `clustering.rs` | peers of similar bandwidth trade with each other |
//! | `rarest.rs` | rarest first brings out a first copy in about the least possible time |
//! | `demo.rs` | what `peer swarm` shows |
//! | `books.rs` | what every run records, and what must hold in it |
//! | `stories.rs` | smaller worlds, without a formula |
//! | `crowd.rs` | more peers than each may have as neighbors |
//! | `duplicates.rs` | two peers that dial each other |
//! | `liars.rs` | liars that come back under new peer ids |
//!
//! A scenario has parameters, `run`, which measures with one seed for all randomness, and bands
//! around what a formula predicts. Its test runs several seeds, and a control that must miss the
//! band: the mechanism switched off, or another rule in its place.

mod books;
pub mod clustering;
#[cfg(test)]
mod crowd;
pub mod demo;
#[cfg(test)]
mod duplicates;
pub mod free_rider;
pub mod kurose_ross;
#[cfg(test)]
mod liars;
pub mod rarest;
#[cfg(test)]
mod stories;

use std::fmt;
use std::time::Duration;

use common::bitfield::Bitfield;
use common::geometry::{BLOCK_LENGTH, Geometry};

use super::{Conduct, HostId, Link, Participant, Settings, World};
use crate::torrent::Config;
use books::Books;

/// Where a measured value has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// The lower end.
    pub least: f64,
    /// The upper end.
    pub most: f64,
}

impl Band {
    /// A band with both ends included.
    pub const fn new(least: f64, most: f64) -> Self {
        Self { least, most }
    }

    /// Within this part of 1 around 1, for a measured value divided by the predicted one.
    pub const fn within(deviation: f64) -> Self {
        Self { least: 1.0 - deviation, most: 1.0 + deviation }
    }

    /// Whether the value is in the band.
    pub fn contains(self, value: f64) -> bool {
        (self.least..=self.most).contains(&value)
    }
}

/// A value over several runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub most: f64,
}

impl Spread {
    /// Of one value or more.
    #[expect(clippy::cast_precision_loss, reason = "there are few values")]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let values: Vec<_> = values.into_iter().collect();
        Self {
            mean: values.iter().sum::<f64>() / values.len() as f64,
            least: values.iter().copied().fold(f64::INFINITY, f64::min),
            most: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.4} ({:.4} to {:.4})", self.mean, self.least, self.most)
    }
}

/// A world of honest peers that all join at the start, with its books.
struct Swarm {
    world: World<Books>,
    geometry: Geometry,
    links: Vec<Link>,
}

impl Swarm {
    /// A swarm around content of so many chunks, each of so many blocks of 16 KiB.
    fn new(chunks: u32, blocks: u32, seed: u64) -> Self {
        let chunk = u64::from(blocks) * u64::from(BLOCK_LENGTH);
        let geometry =
            Geometry::new(u64::from(chunks) * chunk, chunk).expect("a scenario fits a torrent");
        let announce_interval = Duration::from_secs(1800);
        let settings = Settings { geometry, announce_interval };
        let world = World::observed_by(Books::new(geometry), settings, seed);
        Self { world, geometry, links: Vec::new() }
    }

    /// A peer with these chunks. Every peer may have every other as a neighbor.
    fn join(&mut self, have: Bitfield, link: Link, configure: impl FnOnce(&mut Config)) -> HostId {
        let mut config = Config { max_neighbors: MAX_NEIGHBORS, ..self.world.config() };
        configure(&mut config);
        self.world.observer.brings(have.clone());
        self.links.push(link);
        let (arrives_at, conduct) = (Duration::ZERO, Conduct::Honest);
        self.world.add_peer(Participant { config, link, have, arrives_at, conduct })
    }

    fn nothing(&self) -> Bitfield {
        Bitfield::empty(self.geometry.piece_count())
    }

    fn everything(&self) -> Bitfield {
        Bitfield::full(self.geometry.piece_count())
    }

    /// Runs until all peers that should complete have done so, and checks the books.
    fn run_until_complete(&mut self) {
        let so = self.world.run_until(World::all_complete, LONGEST);
        assert!(so, "a swarm did not complete in {LONGEST:?}");
        books::audit(self);
    }

    /// Runs for this time, and checks the books.
    fn run_for(&mut self, time: Duration) {
        self.world.run_for(time);
        books::audit(self);
    }

    /// When a peer that joined with nothing had everything.
    fn completed_at(&self, host: HostId) -> f64 {
        self.world.completed_at(host).expect("the swarm has completed").as_secs_f64()
    }

    fn downloaded(&self, host: HostId) -> u64 {
        self.world.peer(host).totals().downloaded
    }
}

/// Mainline's limit; no scenario has more peers.
const MAX_NEIGHBORS: usize = 80;

/// No scenario takes longer than this, in virtual time.
const LONGEST: Duration = Duration::from_secs(100 * 3600);

/// The last of these times.
fn last(times: impl IntoIterator<Item = f64>) -> f64 {
    times.into_iter().fold(0.0, f64::max)
}

/// Runs with each seed, each on a thread of its own.
#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "only tests run worlds side by side")]
fn runs<T: Send>(seeds: std::ops::Range<u64>, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = seeds.map(|seed| scope.spawn(move || run(seed))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a run panicked")).collect()
    })
}

/// Asserts that the same seed gives the same bytes, and another seed others.
#[cfg(test)]
fn assert_repeatable<T: PartialEq + Send + fmt::Debug>(run: impl Fn(u64) -> T + Sync) {
    let runs = runs(1..4, |seed| run(seed / 2));
    assert_ne!(runs[0], runs[1]);
    assert_eq!(runs[1], runs[2]);
}
