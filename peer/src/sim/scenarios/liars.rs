//! Liars that come back under new peer ids, in swarms with one honest seed.

use std::time::Duration;

use common::bitfield::Bitfield;
use common::geometry::Geometry;

use crate::decision::{Decision, DisconnectReason};
use crate::sim::*;

const KB: u64 = 1000;
const PIECE: u64 = 64 * 1024;
const PIECES: u32 = 20;
const MINUTE: Duration = Duration::from_secs(60);

/// Lets so many leechers download from a seed with 100 kB/s and from liars with a rate of their
/// own. Returns how long it took, and what one of them downloaded in vain at most, in copies of the
/// content.
fn download(conduct: Conduct, liars: usize, rate: u64, leechers: usize, seed: u64) -> (f64, f64) {
    let geometry = Geometry::new(u64::from(PIECES) * PIECE, PIECE).unwrap();
    let settings = Settings { geometry, announce_interval: 30 * MINUTE };
    let mut world: World<Trace> = World::new(settings, seed);
    let mut join = |have: Bitfield, rate, conduct| {
        let (config, link) = (world.config(), Link::new(rate, rate));
        world.add_peer(Participant { config, link, have, arrives_at: Duration::ZERO, conduct })
    };
    let origin = join(Bitfield::full(PIECES), 100 * KB, Conduct::Honest);
    let liars: Vec<_> = (0..liars).map(|_| join(Bitfield::full(PIECES), rate, conduct)).collect();
    let none = Bitfield::empty(PIECES);
    let peers: Vec<_> =
        (0..leechers).map(|_| join(none.clone(), 200 * KB, Conduct::Honest)).collect();
    assert!(world.run_until(World::all_complete, 10 * MINUTE), "{conduct:?}, seed {seed}");

    let taken_for_liar = |entry: &Entry| match &entry.decision {
        Decision::Disconnect { peer, reason: DisconnectReason::SentFalseData, .. }
        | Decision::Refuse { peer, reason: DisconnectReason::SentFalseData } => {
            world.host_at(peer.address)
        }
        _ => None,
    };
    let mut taken = world.observer.iter().filter_map(taken_for_liar);
    assert!(taken.all(|host| liars.contains(&host)), "{origin} is honest, as are {peers:?}");
    let wasted = peers.iter().map(|&peer| world.peer(peer).totals().wasted).max().unwrap();
    let copies = |bytes: u64| bytes as f64 / (u64::from(PIECES) * PIECE) as f64;
    (world.elapsed().as_secs_f64(), copies(wasted))
}

#[test]
fn liars_under_new_ids_cost_bandwidth_but_never_the_only_seed() {
    use Conduct::{LeavesMidPiece, SendsFalseDataUnderNewIds};
    // How many liars and how fast, how many leechers; copies of the content downloaded in vain.
    for (conduct, liars, rate, leechers, most_wasted) in [
        (SendsFalseDataUnderNewIds, 1, 100 * KB, 1, 0.75),
        (SendsFalseDataUnderNewIds, 1, 100 * KB, 3, 0.75),
        (SendsFalseDataUnderNewIds, 1, 400 * KB, 1, 1.0),
        (SendsFalseDataUnderNewIds, 1, 400 * KB, 3, 2.0),
        (SendsFalseDataUnderNewIds, 4, 100 * KB, 3, 3.0),
        (SendsFalseDataUnderNewIds, 4, 400 * KB, 3, 4.5),
        (LeavesMidPiece, 1, 100 * KB, 1, 0.5),
        (LeavesMidPiece, 1, 100 * KB, 3, 0.5),
        (LeavesMidPiece, 1, 400 * KB, 1, 1.5),
        (LeavesMidPiece, 1, 400 * KB, 3, 1.5),
        (LeavesMidPiece, 4, 100 * KB, 3, 1.5),
        (LeavesMidPiece, 4, 400 * KB, 3, 6.0),
    ] {
        let seeds = if liars == 1 { 20 } else { 5 };
        for seed in 0..seeds {
            let (took, wasted) = download(conduct, liars, rate, leechers, seed);
            let case = format!("{liars} times {conduct:?} at {rate} B/s, seed {seed}");
            // The seed alone takes 13 s for a copy, and a little more for three.
            let alone = 13.2 * if leechers > 1 { 1.5 } else { 1.0 };
            assert!(took < 2.5 * alone, "{case}: {took} s");
            assert!(wasted < most_wasted, "{case}: {wasted} copies in vain");
        }
    }
}
