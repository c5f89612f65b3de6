//! Two peers that dial each other.

use std::time::Duration;

use common::bitfield::Bitfield;
use common::geometry::Geometry;
use common::id::PeerId;

use crate::sim::*;
use crate::torrent::Neighbor;

const KB: u64 = 1000;
const PIECE: u64 = 64 * 1024;
const PIECES: u32 = 100;
const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// One peer dials another, and so much later the other dials back. Both ends must keep the same
/// connection, and use it. Whether it is the one that was dialed first.
fn first_dial_stays(greater_dials_first: bool, later: Duration) -> bool {
    let geometry = Geometry::new(u64::from(PIECES) * PIECE, PIECE).unwrap();
    let settings = Settings { geometry, announce_interval: 1800 * SECOND };
    let mut world: World<()> = World::new(settings, 1);
    let mut join = |is_greater: bool, have| {
        let mut config = world.config();
        config.peer_id = PeerId([u8::from(is_greater); 20]);
        config.has_tracker = false;
        // A peer that told its listening port is not dialed there.
        config.listen_port = None;
        let link = Link::new(50 * KB, 50 * KB);
        let (arrives_at, conduct) = (Duration::ZERO, Conduct::Honest);
        world.add_peer(Participant { config, link, have, arrives_at, conduct })
    };
    let first = join(greater_dials_first, Bitfield::full(PIECES));
    let second = join(!greater_dials_first, Bitfield::empty(PIECES));
    world.run_for(SECOND);
    world.introduce(first, second);
    world.run_for(later);
    world.introduce(second, first);
    world.run_for(30 * SECOND);

    let connection = |host| {
        let neighbors: Vec<_> = world.peer(host).neighbors().map(Neighbor::identity).collect();
        let [neighbor] = neighbors[..] else { panic!("{later:?}: {neighbors:?}") };
        neighbor
    };
    let (at_first, at_second) = (connection(first), connection(second));
    assert_eq!(at_first.key.0 ^ at_second.key.0, 1, "{later:?}: the ends of two connections");
    // A peer that was dialed is at the port where it listens.
    let first_stays = at_first.address.port() == 6881;
    let before = world.peer(second).totals().downloaded;
    world.run_for(5 * SECOND);
    assert!(world.peer(second).totals().downloaded > before, "{later:?}: no block came");
    first_stays
}

#[test]
fn of_two_dials_one_connection_stays_at_both_ends_however_far_they_are_apart() {
    // A round trip takes 40 ms; the greater id counts the 5 s from when it was dialed.
    for later in [0, 1, 20, 39, 40, 41, 60, 80, 1000].into_iter().chain((4900..5100).step_by(5)) {
        let stays = [true, false].map(|greater| first_dial_stays(greater, later * MILLISECOND));
        assert_eq!(stays, [true, later >= 4980], "{later} ms");
    }
}
