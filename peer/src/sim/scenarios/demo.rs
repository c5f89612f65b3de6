//! `demo`: what `peer swarm` shows, in virtual time.
//!
//! Kurose & Ross 2.5: a peer that uploads at a higher rate finds better trading partners and has
//! the file sooner. No formula says how clear that is after a minute and a half; the bands are what
//! the demonstration promises.

use std::time::Duration;

use common::geometry::Geometry;
use common::moment::Moment;
use fastrand::Rng;

use super::{Band, LONGEST};
use crate::choker::{ChokeReason, Strategy};
use crate::decision::Decision;
use crate::demo::{CHUNK_SIZE, Ledger, SAMPLE_LENGTH, Setup, rank_correlation};
use crate::sim::{Conduct, HostId, Link, Observer, Participant, Settings, World};
use crate::torrent::Config;

/// What a run shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Spearman's correlation of upload limit and finishing time, over the peers that upload.
    pub correlation: f64,
    /// Seconds until every peer had everything.
    pub time: f64,
    /// The least time for that (K&R 2.5), in seconds.
    pub bound: f64,
    /// The place of the first free rider to finish, over the number of peers.
    pub rider: f64,
    /// How many neighbors the watched peer choked because of their rank, or because their turn was
    /// over and they had no better one.
    pub below_cut: usize,
    /// How many optimistic unchokes, of all peers, brought a neighbor into a top four.
    pub promoted: u32,
}

/// Of [`Measured::correlation`]: peers that upload more finish sooner.
pub const CORRELATION: Band = Band::new(-1.0, -0.6);

/// Of [`Measured::rider`]: free riders are among the last third.
pub const RIDER: Band = Band::new(0.66, 1.0);

/// Keeps the books, and counts what is seen of one peer.
struct Watch {
    ledger: Ledger,
    watched: HostId,
    below_cut: usize,
}

impl Observer for Watch {
    fn decision(&mut self, at: Moment, host: HostId, decision: Decision) {
        let member = self.ledger.members()[host.0 as usize].peer_id;
        self.ledger.decision(member, at, &decision);
        let below_cut = matches!(
            decision,
            Decision::Choke {
                reason: ChokeReason::BelowCut(_)
                    | ChokeReason::OptimisticOver { standing: Some(_) },
                ..
            }
        );
        self.below_cut += usize::from(below_cut && host == self.watched);
    }
}

/// Lets the swarm trade until every peer has everything.
pub fn run(setup: &Setup, choker: Strategy, seed: u64) -> Measured {
    let geometry =
        Geometry::new(SAMPLE_LENGTH, CHUNK_SIZE.into()).expect("the sample fits a torrent");
    let mut rng = Rng::with_seed(seed);
    let members = setup.members(&geometry, &mut rng);
    let watch = Watch {
        watched: HostId(setup.watched().into()),
        ledger: Ledger::new(geometry, members.clone()),
        below_cut: 0,
    };
    let settings = Settings { geometry, announce_interval: Duration::from_secs(1800) };
    let mut world = World::observed_by(watch, settings, seed);
    for member in members {
        let common = Config { choker, ..world.config() };
        world.add_peer(Participant {
            config: member.config(&common),
            link: LOOPBACK,
            have: member.have,
            // In the order in which their threads happen to start.
            arrives_at: Duration::from_micros(rng.u64(..50_000)),
            conduct: Conduct::Honest,
        });
    }
    let complete = world.run_until(World::all_complete, LONGEST);
    assert!(complete, "the swarm did not complete");

    let Watch { ledger, below_cut, .. } = &world.observer;
    let bounds = ledger.bounds().expect("all uploads are limited");
    Measured {
        correlation: rank_correlation(&ledger.limits_and_times()),
        time: ledger.time().expect("the swarm is complete"),
        bound: bounds.peer_to_peer,
        rider: ledger.first_free_rider().unwrap_or(1.0),
        below_cut: *below_cut,
        promoted: ledger.promotions(),
    }
}

/// Only the upload limits slow the members down.
const LOOPBACK: Link = Link { up: 1 << 30, down: 1 << 30, delay: Duration::from_micros(50) };

#[cfg(test)]
mod tests {
    use super::super::{Spread, runs};
    use super::*;
    use crate::choker::{random, textbook};

    #[test]
    fn the_default_swarm_shows_that_who_gives_more_finishes_sooner() {
        let measured = runs(1..6, |seed| run(&Setup::default(), textbook::STRATEGY, seed));
        for (seed, run) in (1..).zip(&measured) {
            println!("seed {seed}: {run:?}");
        }
        for run in measured {
            assert!(CORRELATION.contains(run.correlation), "{run:?}");
            assert!(RIDER.contains(run.rider), "{run:?}");
            // A limiter lets 50 ms pass at once.
            assert!(run.time < 90.0 && run.time > run.bound - 0.05, "{run:?}");
            assert!(run.below_cut >= 3 && run.promoted >= 10, "{run:?}");
        }
        // The control: without tit-for-tat it does not matter who gives.
        let control = runs(1..6, |seed| run(&Setup::default(), random::STRATEGY, seed));
        let correlation = Spread::of(control.iter().map(|run| run.correlation));
        println!("random: {correlation}");
        assert!(!CORRELATION.contains(correlation.mean), "{correlation}");
    }

    #[test]
    fn peers_that_begin_with_nothing_wait_for_the_seed_whatever_they_give() {
        let setup = Setup { head_start: 0, ..Setup::default() };
        let run = run(&setup, textbook::STRATEGY, 1);
        println!("{run:?}");
        assert!(run.time > run.bound && run.time < 1.4 * run.bound, "{run:?}");
        assert!(!CORRELATION.contains(run.correlation), "{run:?}");
    }
}
