//! `free-rider`: how much a peer gets that gives nothing.
//!
//! Source: Kurose & Ross, the problem on Bob, who joins a torrent and does not upload; the rate is
//! derived. Each contributor uploads u to s peers at a time, u/s to each, of which it chooses k by
//! their rates. Bob is one of the other d - k interested neighbors, from which it draws for the
//! rest of its slots, so he gets u/s for 1/(d - k) of the time: of n contributors that all are
//! neighbors of each other and of him (s - k) n/(n - k) · u/s, where s - k = 1. That leaves
//! (n - his rate/u)/n · u to each contributor.
//!
//! The book's choker has k = 4 and s = 5, mainline's k = 3 and s = 4: of 50 contributors Bob gets
//! 0.2174 u or 0.2660 u.

use std::time::Duration;

use common::bitfield::Bitfield;
use common::geometry::BLOCK_LENGTH;
use fastrand::Rng;

use super::{Band, Swarm};
use crate::choker::{Strategy, free_rider};
use crate::sim::Link;

/// The set-up.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    /// n; each brings a random half of the chunks.
    pub contributors: u32,
    /// How many give nothing.
    pub riders: u32,
    /// Their choker.
    pub choker: Strategy,
    /// k: how many peers it chooses by rate.
    pub by_rate: u32,
    /// s: how many peers it serves.
    pub serves: u32,
    /// Seconds.
    pub time: u32,
}

impl Parameters {
    /// Bob among 50.
    pub fn bob(choker: Strategy, by_rate: u32, serves: u32) -> Self {
        Self { contributors: 50, riders: 1, choker, by_rate, serves, time: 6000 }
    }

    /// What each rider gets, in parts of u.
    pub fn predicted(&self) -> f64 {
        let (n, k) = (f64::from(self.contributors), f64::from(self.by_rate));
        let (s, extra) = (f64::from(self.serves), f64::from(self.riders - 1));
        (s - k) * n / (n + extra - k) / s
    }

    /// What that leaves to each contributor.
    pub fn left(&self) -> f64 {
        let n = f64::from(self.contributors);
        (n - f64::from(self.riders) * self.predicted()) / n
    }
}

/// Rates in parts of u.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Of a rider, on average.
    pub rider: f64,
    /// Of a contributor, on average.
    pub contributor: f64,
    /// The same for two runs only if they are the same.
    pub digest: u64,
}

/// The mean over eight runs with the textbook's choker, over what is predicted.
pub const TEXTBOOK: Band = Band::within(0.08);

/// The same for mainline's.
pub const MAINLINE: Band = Band::within(0.04);

/// What the contributors get, over what is predicted.
pub const CONTRIBUTORS: Band = Band::within(0.005);

/// u: a peer that serves five sends each five blocks a round.
const UPLOAD: u64 = 5 * BLOCK_LENGTH as u64 / 2;

/// Blocks of a chunk.
const BLOCKS: u32 = 64;

/// Lets the swarm trade.
#[expect(clippy::cast_precision_loss, reason = "rates and sizes are far below 2^52")]
pub fn run(parameters: &Parameters, seed: u64) -> Measured {
    let Parameters { contributors, riders, choker, time, .. } = *parameters;
    // No peer finishes: half of the file is a third more than any peer can download.
    let wanted = u64::from(time) * UPLOAD * 4 / 3 / u64::from(BLOCKS * BLOCK_LENGTH);
    let chunks = 2 * u32::try_from(wanted).expect("hours, not years");
    let mut swarm = Swarm::new(chunks, BLOCKS, seed);
    let mut rng = Rng::with_seed(seed);
    let link = Link::new(UPLOAD, 20 * UPLOAD);
    let givers: Vec<_> = (0..contributors)
        .map(|_| {
            let half = half(chunks, &mut rng);
            swarm.join(half, link, |config| config.choker = choker)
        })
        .collect();
    let takers: Vec<_> = (0..riders)
        .map(|_| {
            let choker = free_rider::STRATEGY;
            swarm.join(swarm.nothing(), link, |config| config.choker = choker)
        })
        .collect();
    swarm.run_for(Duration::from_secs(time.into()));

    let rate = |peers: &[_]| {
        let bytes: u64 = peers.iter().map(|&peer| swarm.downloaded(peer)).sum();
        bytes as f64 / peers.len() as f64 / (UPLOAD * u64::from(time)) as f64
    };
    Measured {
        rider: rate(&takers),
        contributor: rate(&givers),
        digest: swarm.world.observer.digest,
    }
}

/// A random half of the chunks.
fn half(chunks: u32, rng: &mut Rng) -> Bitfield {
    let mut half = Bitfield::empty(chunks);
    Bitfield::full(chunks).iter().filter(|_| rng.bool()).for_each(|piece| half.insert(piece));
    half
}

#[cfg(test)]
mod tests {
    use super::super::{Spread, assert_repeatable, runs};
    use super::*;
    use crate::choker::{mainline, textbook, unchoke_all};

    /// What a rider gets over so many runs, in parts of u.
    fn rider(parameters: &Parameters, seeds: u64) -> f64 {
        let runs = runs(0..seeds, |seed| run(parameters, seed));
        let rider = Spread::of(runs.iter().map(|run| run.rider));
        let others = Spread::of(runs.iter().map(|run| run.contributor));
        let Parameters { choker, riders, .. } = parameters;
        let (predicted, left) = (parameters.predicted(), parameters.left());
        println!("{choker}, {riders} riders: predicted {predicted:.4}, measured {rider}");
        println!("  the others: predicted {left:.4}, measured {others}");
        assert!(CONTRIBUTORS.contains(others.mean / left), "{others}, predicted {left}");
        rider.mean
    }

    #[test]
    fn bob_lives_on_optimistic_unchokes_alone() {
        let bob = Parameters::bob(textbook::STRATEGY, 4, 5);
        let textbook = rider(&bob, 8);
        assert!(TEXTBOOK.contains(textbook / bob.predicted()), "{textbook}");
        let bob = Parameters::bob(mainline::STRATEGY, 3, 4);
        let mainline = rider(&bob, 8);
        assert!(MAINLINE.contains(mainline / bob.predicted()), "{mainline}");
        assert!(mainline > 1.15 * textbook, "the chokers differ: {mainline}, {textbook}");
        // The control: without tit-for-tat he gets u, more than all the others.
        let all = Parameters { time: 1500, ..Parameters::bob(unchoke_all::STRATEGY, 0, 50) };
        let unchoke_all = rider(&all, 3);
        assert!(Band::within(0.02).contains(unchoke_all), "{unchoke_all}");
    }

    #[test]
    fn under_two_identities_bob_gets_twice_as_much() {
        let parameters = Parameters { riders: 2, ..Parameters::bob(textbook::STRATEGY, 4, 5) };
        let each = rider(&parameters, 4);
        assert!(TEXTBOOK.contains(each / parameters.predicted()), "{each}");
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let bob = Parameters::bob(textbook::STRATEGY, 4, 5);
        let parameters = Parameters { contributors: 10, time: 300, ..bob };
        assert_repeatable(|seed| run(&parameters, seed));
    }
}
