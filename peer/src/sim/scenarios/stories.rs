//! Swarms in virtual time: what the chapter says of BitTorrent, asked of the core itself
//! (Kurose & Ross 2.5). The content is cut into pieces of 64 KiB.

use std::time::Duration;

use common::bitfield::Bitfield;
use common::geometry::Geometry;
use fastrand::Rng;

use crate::choker::{Strategy, UnchokeReason};
use crate::decision::{Decision, DisconnectReason};
use crate::picker::Order;
use crate::sim::*;
use crate::torrent::Neighbor;

const KB: u64 = 1000;
const PIECE: u64 = 64 * 1024;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn world(pieces: u32, seed: u64) -> World<Trace> {
    let geometry = Geometry::new(u64::from(pieces) * PIECE, PIECE).unwrap();
    World::new(Settings { geometry, announce_interval: 30 * MINUTE }, seed)
}

/// A peer with these pieces, from the start, with the same rate in both directions.
fn participant(world: &mut World<Trace>, have: Bitfield, rate: u64) -> Participant {
    Participant {
        config: world.config(),
        link: Link::new(rate, rate),
        have,
        arrives_at: Duration::ZERO,
        conduct: Conduct::Honest,
    }
}

fn add(world: &mut World<Trace>, have: Bitfield, rate: u64) -> HostId {
    let participant = participant(world, have, rate);
    world.add_peer(participant)
}

fn add_many(world: &mut World<Trace>, count: usize, have: &Bitfield, rate: u64) -> Vec<HostId> {
    (0..count).map(|_| add(world, have.clone(), rate)).collect()
}

/// About half of all pieces.
fn some_pieces(pieces: u32, rng: &mut Rng) -> Bitfield {
    let mut some = Bitfield::empty(pieces);
    Bitfield::full(pieces).iter().filter(|_| rng.bool()).for_each(|piece| some.insert(piece));
    some
}

/// Whether the peers together have everything.
fn have_a_copy(world: &World<Trace>, peers: &[HostId]) -> bool {
    let pieces = world.peer(peers[0]).have().piece_count();
    let held = |&piece: &_| peers.iter().any(|&peer| world.peer(peer).have().contains(piece));
    Bitfield::full(pieces).iter().all(|piece| held(&piece))
}

/// The choker of this name.
fn named(choker: &str) -> Strategy {
    choker.parse().unwrap()
}

fn uploaded(world: &World<Trace>, peer: HostId) -> u64 {
    world.peer(peer).totals().uploaded
}

fn downloaded(world: &World<Trace>, peer: HostId) -> u64 {
    world.peer(peer).totals().downloaded
}

/// How often a peer disconnected or refused another for this reason.
fn sent_away(world: &World<Trace>, from: HostId, why: &DisconnectReason) -> usize {
    let by_peer = world.observer.iter().filter(|entry| entry.host == from);
    by_peer
        .filter(|entry| match &entry.decision {
            Decision::Disconnect { reason, .. } | Decision::Refuse { reason, .. } => reason == why,
            _ => false,
        })
        .count()
}

fn has_timed_out(world: &World<Trace>) -> bool {
    let timed_out = |entry: &Entry| matches!(entry.decision, Decision::RequestTimedOut { .. });
    world.observer.iter().any(timed_out)
}

#[test]
fn every_peer_completes_and_no_distribution_beats_the_bound_of_the_book() {
    // Peers, and rates in kB/s: of the seed's upload, of each peer's upload and download.
    for (n, seed_up, up, down) in [
        (1, 100, 100, 400),
        (2, 500, 100, 100),
        (5, 50, 200, 400),
        (10, 100, 100, 400),
        (10, 1000, 20, 200),
        (20, 200, 50, 100),
    ] {
        let pieces = 40;
        let mut world = world(pieces, n);
        add(&mut world, Bitfield::full(pieces), seed_up * KB);
        for _ in 0..n {
            let leecher = participant(&mut world, Bitfield::empty(pieces), up * KB);
            let link = Link::new(up * KB, down * KB);
            world.add_peer(Participant { link, ..leecher });
        }
        assert!(world.run_until(World::all_complete, HOUR));
        // K&R 2.5: D >= max{F/u_s, F/d_min, N F/(u_s + sum of u_i)}; here in milliseconds.
        let f = u64::from(pieces) * PIECE;
        let bound = (f / seed_up).max(f / down).max(n * f / (seed_up + n * up));
        let took = u64::try_from(world.elapsed().as_millis()).unwrap();
        assert!((bound..2 * bound).contains(&took), "{n} peers: {took} ms, bound {bound} ms");
    }
}

#[test]
fn every_chunk_gets_everywhere_though_the_seed_leaves_after_one_copy() {
    for seed in 0..5 {
        let pieces = 30;
        let mut world = world(pieces, seed);
        let origin = add(&mut world, Bitfield::full(pieces), 50 * KB);
        let peers = add_many(&mut world, 8, &Bitfield::empty(pieces), 200 * KB);
        assert!(world.run_until(|world| have_a_copy(world, &peers), HOUR));
        assert!(!world.all_complete(), "the seed would not be needed anymore");
        world.leave(origin);
        assert!(world.run_until(World::all_complete, HOUR));
    }
}

#[test]
fn rarest_first_needs_fewer_bytes_of_the_seed_than_in_order() {
    let pieces = 40;
    let bytes_for_one_copy = |order: Order, seed| {
        let mut world = world(pieces, seed);
        let origin = add(&mut world, Bitfield::full(pieces), 50 * KB);
        let mut peers = Vec::new();
        for _ in 0..12 {
            let mut peer = participant(&mut world, Bitfield::empty(pieces), 200 * KB);
            peer.config.order = order;
            peers.push(world.add_peer(peer));
        }
        assert!(world.run_until(|world| have_a_copy(world, &peers), HOUR));
        uploaded(&world, origin)
    };
    for seed in 0..5 {
        let rarest = bytes_for_one_copy("rarest-first".parse().unwrap(), seed);
        let in_order = bytes_for_one_copy("in-order".parse().unwrap(), seed);
        let copy = u64::from(pieces) * PIECE;
        assert!(rarest >= copy);
        assert!(2 * rarest < in_order, "{rarest} against {in_order} for a copy of {copy}");
    }
}

#[test]
fn a_free_rider_gets_less_than_contributors() {
    for choker in ["textbook", "mainline"].map(named) {
        let pieces = 1500;
        let mut world = world(pieces, 1);
        let mut rng = Rng::with_seed(1);
        // No seed, whose bytes go to all alike; what there is has to be traded.
        let mut joins = |choker, have, arrives_at| {
            let mut peer = participant(&mut world, have, 100 * KB);
            peer.config.choker = choker;
            peer.link.down = 400 * KB;
            world.add_peer(Participant { arrives_at, ..peer })
        };
        let contributors: Vec<_> =
            (0..12).map(|_| joins(choker, some_pieces(pieces, &mut rng), Duration::ZERO)).collect();
        // It comes when all slots are taken.
        let rider = joins(named("free-rider"), Bitfield::empty(pieces), 30 * SECOND);
        world.run_for(30 * SECOND);
        let before: u64 = contributors.iter().map(|&peer| downloaded(&world, peer)).sum();
        world.run_for(5 * MINUTE);
        let after: u64 = contributors.iter().map(|&peer| downloaded(&world, peer)).sum();
        let (got, others) = (downloaded(&world, rider), (after - before) / 12);
        assert_eq!(uploaded(&world, rider), 0);
        // It lives on optimistic unchokes.
        assert!(got > 0 && 2 * got < others, "{choker}: {got} bytes, others {others}");
    }
}

#[test]
fn alice_unchokes_bob_optimistically_and_they_become_trading_partners() {
    let pieces = 1000;
    let mut world = world(pieces, 1);
    let mut rng = Rng::with_seed(1);
    let mut joins = |up| {
        let mut peer = participant(&mut world, some_pieces(pieces, &mut rng), up);
        peer.link.down = 1000 * KB;
        peer.config.has_tracker = false;
        peer
    };
    // Each has five slow neighbors, as many as can be served at a time.
    let (alice, mut bob) = (joins(300 * KB), joins(300 * KB));
    // Bob must not be the one that tries first.
    bob.config.optimistic = Some(HOUR);
    let others: Vec<_> = (0..10).map(|_| joins(20 * KB)).collect();
    let (alice, bob) = (world.add_peer(alice), world.add_peer(bob));
    let others: Vec<_> = others.into_iter().map(|other| world.add_peer(other)).collect();
    world.run_for(SECOND);
    others[..5].iter().for_each(|&other| world.introduce(other, alice));
    others[5..].iter().for_each(|&other| world.introduce(other, bob));
    world.run_for(34 * SECOND);
    world.introduce(alice, bob);
    world.run_for(5 * MINUTE);

    // The decisions of each about the other, in order.
    let story: Vec<_> = world
        .observer
        .iter()
        .filter_map(|entry| match &entry.decision {
            Decision::Unchoke { peer, reason } | Decision::KeepUnchoked { peer, reason, .. } => {
                Some((entry.host, world.host_at(peer.address)?, reason))
            }
            _ => None,
        })
        .filter(|(one, other, _)| [(alice, bob), (bob, alice)].contains(&(*one, *other)))
        .collect();
    let is_top = |reason: &_| matches!(reason, UnchokeReason::Top { .. });
    let (tried, rest) = story.split_first().expect("they met");
    assert_eq!(
        *tried,
        (alice, bob, &UnchokeReason::Optimistic),
        "Alice optimistically unchokes Bob"
    );
    let paid_back = rest.iter().position(|&(one, _, reason)| one == bob && is_top(reason));
    let partners = rest.iter().position(|&(one, _, reason)| one == alice && is_top(reason));
    let paid_back = paid_back.expect("Alice becomes one of Bob's top four");
    let partners = partners.expect("Bob becomes one of Alice's top four");
    assert!(paid_back < partners);
    assert!(rest[..paid_back].iter().all(|&(one, ..)| one == alice), "Bob had not unchoked her");
}

#[test]
fn twenty_peers_on_one_optimistic_slot_get_equal_shares() {
    let shares = |choker, slots, rechoke| {
        let pieces = 2000;
        let mut world = world(pieces, 1);
        // It lacks something, for else it would be a seed and choose by another rule.
        let mut most = Bitfield::full(pieces);
        most.remove(most.iter().last().unwrap());
        let mut uploader = participant(&mut world, most, 50 * KB);
        (uploader.config.choker, uploader.config.slots) = (choker, slots);
        (uploader.config.rechoke, uploader.config.optimistic) = (rechoke, Some(3 * rechoke));
        let uploader = world.add_peer(uploader);
        for _ in 0..20 {
            let peer = participant(&mut world, Bitfield::empty(pieces), 0);
            world.add_peer(Participant { link: Link::new(0, 1000 * KB), ..peer });
        }
        world.run_for(30 * MINUTE);
        let mut shares: Vec<_> =
            world.peer(uploader).neighbors().map(|peer| peer.uploaded() / KB).collect();
        shares.sort_unstable();
        shares
    };
    // By turns: three turns of 30 s for each, to within a few blocks.
    let turns = shares(named("mainline"), 1, 10 * SECOND);
    assert_eq!(turns.len(), 20);
    assert!(turns[19] - turns[0] < turns[19] / 20, "{turns:?}");
    // By chance: with rounds of a second there are 600 draws, 30 each and a deviation of 5.
    let chances = shares(named("textbook"), 0, SECOND);
    let mean = chances.iter().sum::<u64>() / 20;
    assert!(chances.iter().all(|share| share.abs_diff(mean) < mean / 2), "{chances:?}");
}

#[test]
fn the_same_seed_gives_the_same_trace_byte_for_byte() {
    let trace = |seed| {
        let pieces = 20;
        let mut world = world(pieces, seed);
        add(&mut world, Bitfield::full(pieces), 100 * KB);
        add_many(&mut world, 6, &Bitfield::empty(pieces), 100 * KB);
        assert!(world.run_until(World::all_complete, HOUR));
        world.observer.iter().map(|entry| format!("{entry}\n")).collect::<String>()
    };
    let first = trace(1);
    assert!(first.contains("optimistic") && first.contains("rarest"), "{first}");
    assert_eq!(first, trace(1));
    assert_ne!(first, trace(2));
}

#[test]
fn a_poisoner_is_banned_and_the_others_complete() {
    let pieces = 30;
    let mut world = world(pieces, 1);
    add(&mut world, Bitfield::full(pieces), 100 * KB);
    let poisoner = participant(&mut world, Bitfield::full(pieces), 400 * KB);
    let poisoner = world.add_peer(Participant { conduct: Conduct::SendsFalseData, ..poisoner });
    let peers = add_many(&mut world, 6, &Bitfield::empty(pieces), 200 * KB);
    assert!(world.run_until(World::all_complete, HOUR));
    for peer in peers {
        assert_eq!(sent_away(&world, peer, &DisconnectReason::SentFalseData), 1);
    }
    assert_eq!(world.peer(poisoner).neighbors().len(), 0);
}

#[test]
fn the_only_seed_is_not_banned_for_the_poisoner_with_which_it_shares_pieces() {
    for seed in 0..20 {
        let pieces = 5;
        let mut world = world(pieces, seed);
        let origin = add(&mut world, Bitfield::full(pieces), 100 * KB);
        let poisoner = participant(&mut world, Bitfield::full(pieces), 100 * KB);
        world.add_peer(Participant { conduct: Conduct::SendsFalseData, ..poisoner });
        let peers = add_many(&mut world, 3, &Bitfield::empty(pieces), 200 * KB);
        assert!(world.run_until(World::all_complete, 5 * MINUTE), "seed {seed}");
        let banned = |entry: &Entry| match &entry.decision {
            Decision::Disconnect { peer, reason: DisconnectReason::SentFalseData, .. } => {
                world.host_at(peer.address)
            }
            _ => None,
        };
        let innocent = |host: &HostId| *host == origin || peers.contains(host);
        assert_eq!(world.observer.iter().filter_map(banned).find(innocent), None, "seed {seed}");
    }
}

#[test]
fn a_peer_that_unchokes_and_never_sends_delays_no_peer_for_long() {
    let pieces = 100;
    let time = |silent| {
        let mut world = world(pieces, 1);
        add(&mut world, Bitfield::full(pieces), 100 * KB);
        for _ in 0..silent {
            let peer = participant(&mut world, Bitfield::full(pieces), 0);
            world.add_peer(Participant { link: Link::new(0, 100 * KB), ..peer });
        }
        add_many(&mut world, 3, &Bitfield::empty(pieces), 100 * KB);
        assert!(world.run_until(World::all_complete, HOUR));
        assert_eq!(has_timed_out(&world), silent > 0);
        world.elapsed()
    };
    let (without, with) = (time(0), time(2));
    assert!(10 * with < 12 * without, "{with:?} instead of {without:?}");
}

#[test]
fn requests_that_a_neighbor_does_not_answer_go_to_others() {
    let pieces = 40;
    let mut world = world(pieces, 1);
    let seeds = add_many(&mut world, 2, &Bitfield::full(pieces), 100 * KB);
    let peer = add(&mut world, Bitfield::empty(pieces), 200 * KB);
    let half = u64::from(pieces) * PIECE / 2;
    assert!(world.run_until(|world| downloaded(world, peer) > half, MINUTE));
    world.leave(seeds[0]);
    assert!(world.run_until(World::all_complete, MINUTE));
}

#[test]
fn a_neighbor_that_leaves_is_replaced() {
    let pieces = 1000;
    let mut world = world(pieces, 1);
    let seeds = add_many(&mut world, 6, &Bitfield::full(pieces), 10 * KB);
    let mut peer = participant(&mut world, Bitfield::empty(pieces), 100 * KB);
    peer.config.max_neighbors = 3;
    let peer = world.add_peer(peer);
    let neighbors = |world: &World<Trace>| -> Vec<HostId> {
        let addresses = world.peer(peer).neighbors().map(|other| other.identity().address);
        addresses.filter_map(|address| world.host_at(address)).collect()
    };
    world.run_for(SECOND);
    let first = neighbors(&world);
    assert_eq!(first.len(), 3);
    world.leave(first[0]);
    world.run_for(SECOND);
    let then = neighbors(&world);
    assert!(then.len() == 3 && !then.contains(&first[0]), "{first:?} {then:?} of {seeds:?}");
}

#[test]
fn the_first_block_comes_after_a_few_round_trips() {
    let mut world = world(10, 1);
    add(&mut world, Bitfield::full(10), 1000 * KB);
    let peer = add(&mut world, Bitfield::empty(10), 1000 * KB);
    assert!(world.run_until(|world| downloaded(world, peer) > 0, MINUTE));
    let round_trip = Duration::from_millis(40);
    assert!(world.elapsed() < 6 * round_trip, "{:?}", world.elapsed());
}

#[test]
fn of_two_dials_at_once_one_connection_survives() {
    for seed in 0..10 {
        let mut world = world(10, seed);
        let full = [Bitfield::full(10), Bitfield::empty(10)].map(|have| {
            let mut peer = participant(&mut world, have, 10 * KB);
            peer.config.has_tracker = false;
            world.add_peer(peer)
        });
        let [one, other] = full;
        world.run_for(SECOND);
        world.introduce(one, other);
        world.introduce(other, one);
        world.run_for(SECOND);
        let directions = [one, other].map(|peer| {
            let directions: Vec<_> =
                world.peer(peer).neighbors().map(Neighbor::direction).collect();
            assert_eq!(directions.len(), 1);
            directions[0]
        });
        assert_ne!(directions[0], directions[1], "they kept the same one");
        assert!(world.run_until(World::all_complete, 2 * MINUTE));
    }
}

#[test]
fn a_peer_that_dials_itself_finds_out_and_never_does_it_again() {
    let mut world = world(10, 1);
    let peer = add(&mut world, Bitfield::empty(10), 10 * KB);
    world.run_for(SECOND);
    world.introduce(peer, peer);
    world.run_for(HOUR);
    assert_eq!(world.peer(peer).neighbors().len(), 0);
    assert!((1..=2).contains(&sent_away(&world, peer, &DisconnectReason::Myself)));
}

#[test]
fn a_slow_neighbor_is_not_taken_for_a_dead_one() {
    let pieces = 10;
    let mut world = world(pieces, 1);
    // A block takes it 16 s, and it is asked for five at a time.
    add(&mut world, Bitfield::full(pieces), 1024);
    let peer = add(&mut world, Bitfield::empty(pieces), 100 * KB);
    assert!(world.run_until(World::all_complete, HOUR));
    assert!(!has_timed_out(&world));
    assert_eq!(world.peer(peer).totals().wasted, 0);
}

#[test]
fn a_motley_swarm_completes_though_peers_come_and_go() {
    for seed in 0..10 {
        let pieces = 40;
        let mut world = world(pieces, seed);
        let mut rng = Rng::with_seed(seed);
        add(&mut world, Bitfield::full(pieces), 200 * KB);
        let mut passers_by = Vec::new();
        for number in 0..24 {
            let mut peer = participant(&mut world, some_pieces(pieces, &mut rng), 0);
            peer.link = Link::new(rng.u64(10..200) * KB, rng.u64(50..400) * KB);
            peer.link.delay = Duration::from_millis(rng.u64(1..150));
            peer.arrives_at = Duration::from_millis(rng.u64(0..60_000));
            peer.config.max_neighbors = rng.usize(6..30);
            peer.config.choker = named(if rng.bool() { "textbook" } else { "mainline" });
            if rng.bool() {
                peer.config.upload_limit = Some(rng.u64(5..100) * KB);
                peer.config.download_limit = Some(rng.u64(20..100) * KB);
            }
            match number {
                0 => (peer.have, peer.conduct) = (Bitfield::full(pieces), Conduct::SendsFalseData),
                1 => peer.link.up = 0,
                2 => peer.config.choker = named("free-rider"),
                _ => {}
            }
            let host = world.add_peer(peer);
            if number % 3 == 0 {
                passers_by.push(host);
            }
        }
        for host in passers_by {
            world.run_for(10 * SECOND);
            world.leave(host);
        }
        let so = world.run_until(World::all_complete, HOUR);
        assert!(so, "seed {seed}");
    }
}

#[test]
fn rate_limits_hold_and_are_used_up() {
    let pieces = 40;
    let time = |up, down| {
        let mut world = world(pieces, 1);
        let mut origin = participant(&mut world, Bitfield::full(pieces), 1000 * KB);
        origin.config.upload_limit = up;
        world.add_peer(origin);
        for _ in 0..3 {
            let mut peer = participant(&mut world, Bitfield::empty(pieces), 1000 * KB);
            // Among themselves they exchange nothing.
            peer.link.up = 0;
            peer.config.choker = named("free-rider");
            peer.config.download_limit = down;
            world.add_peer(peer);
        }
        assert!(world.run_until(World::all_complete, HOUR));
        world.elapsed().as_millis()
    };
    let copy = u128::from(pieces) * u128::from(PIECE);
    for (limits, expected) in
        [((Some(90 * KB), None), copy / 30), ((None, Some(30 * KB)), copy / 30)]
    {
        let took = time(limits.0, limits.1);
        assert!(took + 2000 > expected, "{limits:?}: {took} ms instead of {expected} ms");
        assert!(took < expected * 11 / 10, "{limits:?}: {took} ms instead of {expected} ms");
    }
}
