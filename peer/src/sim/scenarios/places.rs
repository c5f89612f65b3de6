//! Places: more peers than each may have as neighbors.

use std::net::SocketAddr;
use std::time::Duration;

use common::bitfield::Bitfield;
use common::geometry::Geometry;
use common::moment::Moment;

use crate::decision::{Decision, DisconnectReason};
use crate::sim::*;

const KB: u64 = 1000;
const PIECE: u64 = 64 * 1024;
const PIECES: u32 = 256;
const MINUTE: Duration = Duration::from_secs(60);
const PEERS: u32 = 200;
const MOST_NEIGHBORS: usize = 20;
/// Three quarters: a peer with so many dials none again that refused it.
const ENOUGH: usize = 15;

/// What peers decided about connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    /// Those that reached a peer; here all do.
    dials: usize,
    evictions: usize,
}

impl Observer for Counts {
    fn decision(&mut self, _: Moment, _: HostId, decision: Decision) {
        // A peer that was dialed is at the port where it listens.
        let was_dialed = |address: SocketAddr| usize::from(address.port() == 6881);
        match decision {
            Decision::Connect { peer, .. } | Decision::Refuse { peer, .. } => {
                self.dials += was_dialed(peer.address);
            }
            Decision::Disconnect { reason: DisconnectReason::Evicted, .. } => self.evictions += 1,
            _ => {}
        }
    }
}

/// A crowd of which each peer comes a little later than the one before; one is a seed, or none.
fn crowd(seeds: u32, apart: Duration, seed: u64) -> World<Counts> {
    let geometry = Geometry::new(u64::from(PIECES) * PIECE, PIECE).unwrap();
    let mut world = World::new(Settings { geometry, announce_interval: 30 * MINUTE }, seed);
    for number in 0..PEERS {
        let mut config = world.config();
        config.max_neighbors = MOST_NEIGHBORS;
        let have = if number < seeds { Bitfield::full(PIECES) } else { Bitfield::empty(PIECES) };
        world.add_peer(Participant {
            config,
            link: Link::new(20 * KB, 20 * KB),
            have,
            arrives_at: number * apart,
            conduct: Conduct::Honest,
        });
    }
    world
}

fn neighbor_counts(world: &World<Counts>) -> Vec<usize> {
    (0..PEERS).map(|host| world.peer(HostId(host)).neighbors().len()).collect()
}

#[test]
fn a_crowd_finds_its_neighbors_with_few_dials_and_then_is_quiet() {
    let second = Duration::from_secs(1);
    for (seeds, apart, most_dials) in [
        // All at once, with something to trade or nothing; and one after another, when those that
        // come last find most places taken.
        (1, Duration::ZERO, 1),
        (0, Duration::ZERO, 1),
        (1, 3 * second / 10, 3),
    ] {
        let mut filled_by_all = 0;
        for seed in 0..2 {
            let case = format!("{seeds} seeds, {apart:?} apart, seed {seed}");
            let mut world = crowd(seeds, apart, seed);
            world.run_for(2 * MINUTE);
            let (early, counts) = (world.observer, neighbor_counts(&world));
            assert_eq!(early.evictions, 0, "{case}");
            let lacking: usize = counts.iter().map(|count| ENOUGH.saturating_sub(*count)).sum();

            world.run_for(4 * MINUTE);
            let (late, counts) = (world.observer, neighbor_counts(&world));
            let filled: usize = counts.iter().sum();
            filled_by_all += filled;
            let least = counts.iter().min().unwrap();
            assert!(*least >= ENOUGH - 5, "{case}: one has only {least}");
            assert!(late.dials <= most_dials * filled, "{case}: {} dials", late.dials);
            // A peer that lacks neighbors dials again, and evicts; that ends, for those that it
            // evicts have enough and do not.
            let (dials, evictions) = (late.dials - early.dials, late.evictions);
            assert!(dials < PEERS as usize, "{case}: {dials} dials");
            assert!(evictions < lacking + 40, "{case}: {evictions} evictions, {lacking} lacked");

            world.run_for(2 * MINUTE);
            assert_eq!(world.observer, late, "{case}");
        }
        // Of single crowds, whose peers come one after another, some fill 94.4 % and others 96.
        let places = 2 * PEERS as usize * MOST_NEIGHBORS;
        assert!(100 * filled_by_all >= 95 * places, "{filled_by_all} of {places} places");
    }
}
