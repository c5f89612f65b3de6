//! Dialing, which connections stay, and what neighbors and the tracker hear of us.

use std::net::IpAddr;

use super::super::admission::{EVICTION_INTERVAL, IDLE_AFTER, LISTEN_PORT_WAIT};
use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Names so many peers, and returns how many are dialed.
fn dials_of(scene: &mut Scene, named: std::ops::Range<u64>) -> usize {
    let name = |peer| dials(&scene.handle(Input::PeerNamed { address: address(peer) })).len();
    named.map(name).sum()
}

#[test]
fn a_flood_of_useless_messages_ends_the_connection() {
    let mut scene = Scene::new(bits([0]));
    scene.neighbor(1, bits([]));
    let flood = [Message::Interested, Message::NotInterested];
    let last = (0..1000)
        .find(|&n| !disconnected(&scene.receive(1, flood[n % 2].clone())).is_empty())
        .expect("a thousand in a moment are a flood");
    assert!(last > 100);
    // The same number within a minute is no flood.
    scene.neighbor(2, bits([]));
    for n in 0..1000 {
        scene.wait(SECOND / 20);
        assert_eq!(disconnected(&scene.receive(2, flood[n % 2].clone())), []);
    }
}

#[test]
fn of_two_connections_to_a_peer_the_one_dialed_by_the_greater_id_stays() {
    use Direction::{Incoming, Outgoing};
    for (id, first, second, kept) in [
        (OUR_ID + 1, Incoming, Outgoing, 1),
        (OUR_ID - 1, Outgoing, Incoming, 1),
        (OUR_ID - 1, Incoming, Outgoing, 2),
        // With two in the same direction there is nothing to agree on: the older stays.
        (OUR_ID + 1, Incoming, Incoming, 1),
        (OUR_ID - 1, Incoming, Incoming, 1),
    ] {
        let mut scene = Scene::new(bits([]));
        scene.connect_as(1, first, id);
        let actions = scene.connect_as(2, second, id);
        assert_eq!(disconnected(&actions), [(3 - kept, DisconnectReason::Duplicate)]);
        let left: Vec<_> = scene.torrent.neighbors().map(|other| other.identity().key.0).collect();
        assert_eq!(left, [kept]);
    }
}

#[test]
fn a_second_connection_that_the_greater_id_dialed_replaces_only_a_young_one() {
    use Direction::{Incoming, Outgoing};
    for (age, kept) in [(4, 2), (5, 1), (6, 1)] {
        let mut scene = Scene::new(bits([]));
        scene.connect_as(1, Incoming, OUR_ID - 1);
        scene.wait(age * SECOND);
        let outputs = scene.connect_as(2, Outgoing, OUR_ID - 1);
        assert_eq!(disconnected(&outputs), [(3 - kept, DisconnectReason::Duplicate)]);
        // The other side leaves the choice to us, however old it takes the connection to be.
        let mut scene = Scene::new(bits([]));
        scene.connect_as(1, Outgoing, OUR_ID + 1);
        scene.wait(age * SECOND);
        assert_eq!(disconnected(&scene.connect_as(2, Incoming, OUR_ID + 1)), []);
        // But it does not hold two for long.
        let outputs = scene.wait(20 * SECOND);
        assert_eq!(disconnected(&outputs), [(2, DisconnectReason::Duplicate)]);
    }
}

#[test]
fn a_connected_peer_is_not_dialed_whichever_connection_stayed() {
    // The greater id decides; if that is the peer, it may close the connection that we dialed.
    for (id, it_closes) in [(OUR_ID - 1, None), (OUR_ID + 1, None), (OUR_ID + 1, Some(1))] {
        let mut scene = Scene::new(bits([]));
        let named = scene.handle(Input::PeerNamed { address: address(1) });
        assert_eq!(dials(&named), [address(1)]);
        scene.connect_as(1, Direction::Outgoing, id);
        scene.connect_as(2, Direction::Incoming, id);
        it_closes.into_iter().for_each(|first| drop(closed(&mut scene, first)));
        assert_eq!(dials(&scene.wait(200 * SECOND)), []);
        let stayed: Vec<_> =
            scene.torrent.neighbors().map(|other| other.identity().key.0).collect();
        assert_eq!(stayed.len(), 1);
        closed(&mut scene, stayed[0]);
        assert_eq!(dials(&scene.wait(200 * SECOND)), [address(1)]);
    }
}

#[test]
fn a_peer_with_two_addresses_is_dialed_at_both_once_it_is_gone() {
    let mut scene = Scene::new(bits([]));
    for key in [1, 2] {
        scene.handle(Input::PeerNamed { address: address(key) });
        scene.connect_as(key, Direction::Outgoing, 1);
    }
    let kept = PeerKey(1);
    assert_eq!(scene.remote(1).connection.listens_at, [address(1), address(2)]);
    scene.handle(Input::Disconnected { peer: kept, reason: DisconnectReason::Closed });
    let actions = scene.wait(60 * SECOND);
    for key in [1, 2] {
        assert!(actions.contains(&Output::Dial { address: address(key) }));
    }
}

#[test]
fn there_are_never_more_neighbors_than_wanted() {
    let mut scene = Scene::with(bits([]), |config| config.max_neighbors = 3);
    for peer in 1..=3 {
        assert_eq!(disconnected(&scene.neighbor(peer, bits([]))), []);
    }
    let actions = scene.neighbor(4, bits([]));
    assert_eq!(disconnected(&actions), [(4, DisconnectReason::EnoughNeighbors)]);
    let refused = |action: &Output| matches!(action, Output::Explain(Decision::Refuse { .. }));
    assert!(refused(&actions[0]), "it never was a neighbor: {actions:?}");
    let actions = scene.handle(Input::PeerNamed { address: address(5) });
    assert_eq!(actions, [], "no other peer is dialed");
}

#[test]
fn an_idle_neighbor_is_evicted_but_none_that_trades() {
    let mut scene = Scene::with(bits([0]), |config| config.max_neighbors = 2);
    for peer in 1..=2 {
        scene.neighbor(peer, bits([]));
    }
    scene.receive(1, Message::Interested);
    let first = block(0, 0);
    scene.receive(1, Message::Request(first));
    assert_eq!(scene.next_upload(1), Some(first));
    scene.handle(Input::Sent { peer: PeerKey(1), block: first });
    scene.wait(IDLE_AFTER - Duration::from_secs(1));
    let early = scene.neighbor(3, bits([]));
    assert_eq!(disconnected(&early), [(3, DisconnectReason::EnoughNeighbors)]);
    scene.wait(Duration::from_secs(1));
    let later = scene.neighbor(4, bits([]));
    assert_eq!(disconnected(&later), [(2, DisconnectReason::Evicted)]);
    // The newcomer has time to begin, and the other one has traded.
    let next = scene.neighbor(5, bits([]));
    assert_eq!(disconnected(&next), [(5, DisconnectReason::EnoughNeighbors)]);
}

#[test]
fn newcomers_evict_one_idle_neighbor_a_minute_and_a_peer_that_we_dialed_evicts_none() {
    let mut scene = Scene::with(bits([]), |config| config.max_neighbors = 3);
    (1..=3).for_each(|peer| drop(scene.neighbor(peer, bits([]))));
    scene.wait(IDLE_AFTER);
    let dialed = scene.connect_as(4, Direction::Outgoing, 4);
    assert_eq!(disconnected(&dialed), [(4, DisconnectReason::EnoughNeighbors)]);
    let first = scene.neighbor(5, bits([]));
    assert_eq!(disconnected(&first), [(1, DisconnectReason::Evicted)]);
    scene.wait(EVICTION_INTERVAL - SECOND);
    let soon = scene.neighbor(6, bits([]));
    assert_eq!(disconnected(&soon), [(6, DisconnectReason::EnoughNeighbors)]);
    scene.wait(SECOND);
    let later = scene.neighbor(7, bits([]));
    assert_eq!(disconnected(&later), [(2, DisconnectReason::Evicted)]);
}

#[test]
fn a_newcomer_takes_the_place_of_the_evicted_before_a_dial_can() {
    let mut scene = Scene::with(bits([]), |config| config.max_neighbors = 2);
    (1..=2).for_each(|peer| drop(scene.neighbor(peer, bits([]))));
    (10..20).for_each(|peer| {
        scene.handle(Input::PeerNamed { address: address(peer) });
    });
    scene.wait(IDLE_AFTER);
    let outputs = scene.neighbor(3, bits([]));
    assert_eq!(disconnected(&outputs), [(1, DisconnectReason::Evicted)]);
    assert_eq!(dials(&outputs), []);
}

#[test]
fn a_peer_with_enough_neighbors_dials_none_again_that_refused_it() {
    for (neighbors, again) in [(2, true), (3, false)] {
        let mut scene = Scene::with(bits([]), |config| config.max_neighbors = 4);
        (1..=neighbors).for_each(|peer| drop(scene.neighbor(peer, bits([]))));
        let named = scene.handle(Input::PeerNamed { address: address(10) });
        assert_eq!(dials(&named), [address(10)], "the first time");
        scene.connect_as(10, Direction::Outgoing, 10);
        let (peer, reason) = (PeerKey(10), DisconnectReason::Closed);
        scene.handle(Input::Disconnected { peer, reason });
        assert_eq!(!dials(&scene.wait(200 * SECOND)).is_empty(), again, "{neighbors} of 4");
        // It is not forgotten.
        let (peer, reason) = (PeerKey(1), DisconnectReason::Closed);
        let outputs = scene.handle(Input::Disconnected { peer, reason });
        assert_eq!(dials(&outputs).len(), usize::from(!again));
    }
}

#[test]
fn the_extended_handshake_comes_first_and_tells_our_port_and_how_many_requests_we_hold() {
    let mut scene = Scene::with(bits([0]), |config| config.listen_port = Some(6881));
    let outputs = with_extensions(&mut scene, 1);
    let [Message::Extended(ours), Message::Bitfield(_)] = sent(&outputs, 1)[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!((ours.listen_port, ours.request_queue), (Some(6881), Some(4096)));
    assert!(ours.client.as_ref().unwrap().starts_with("peer 0."));
    assert!(
        !sent(&scene.neighbor(2, bits([])), 2).iter().any(|m| matches!(m, Message::Extended(_)))
    );
}

#[test]
fn a_neighbor_that_told_its_listening_port_is_not_dialed_there() {
    let mut scene = Scene::new(bits([]));
    with_extensions(&mut scene, 1);
    // Until then no address with its IP is dialed; here all peers share one IP.
    let named = scene.handle(Input::PeerNamed { address: address(10) });
    assert_eq!(dials(&named), []);
    scene.handle(Input::PeerNamed { address: address(11) });
    let told = scene.receive(1, listens_on(address(10).port()));
    assert_eq!(dials(&told), [address(11)]);
    assert_eq!(dials(&scene.wait(200 * SECOND)), []);
    // When it has left, it is dialed like any other.
    let reason = DisconnectReason::Closed;
    scene.handle(Input::Disconnected { peer: PeerKey(1), reason });
    assert_eq!(dials(&scene.wait(61 * SECOND)), [address(10)]);
}

#[test]
fn a_neighbor_can_tell_its_listening_port_only_once() {
    let mut scene = Scene::new(bits([]));
    with_extensions(&mut scene, 1);
    (1..50).for_each(|port| drop(scene.receive(1, listens_on(port))));
    assert_eq!(scene.remote(1).connection.listens_at, [SocketAddr::new(address(1).ip(), 1)]);
}

#[test]
fn other_peers_at_its_address_are_dialed_as_soon_as_a_neighbor_tells_its_port_or_leaves() {
    let tells = |scene: &mut Scene| scene.receive(1, listens_on(address(10).port()));
    let leaves = |scene: &mut Scene| closed(scene, 1);
    for unblock in [tells, leaves] {
        let mut scene = Scene::new(bits([]));
        with_extensions(&mut scene, 1);
        let named = scene.handle(Input::PeerNamed { address: address(11) });
        assert_eq!(dials(&named), []);
        assert_eq!(dials(&unblock(&mut scene)), [address(11)]);
    }
}

#[test]
fn a_neighbor_that_does_not_tell_its_listening_port_delays_dials_for_ten_seconds() {
    let mut scene = Scene::new(bits([]));
    with_extensions(&mut scene, 1);
    scene.handle(Input::PeerNamed { address: address(10) });
    assert_eq!(dials(&scene.wait(LISTEN_PORT_WAIT - SECOND)), []);
    assert_eq!(dials(&scene.wait(SECOND)), [address(10)]);
    // One that does not know BEP 10 holds up none.
    let mut scene = Scene::new(bits([]));
    scene.neighbor(1, bits([]));
    let named = scene.handle(Input::PeerNamed { address: address(10) });
    assert_eq!(dials(&named), [address(10)]);
}

#[test]
fn seeds_disconnect_from_each_other_but_not_from_leechers() {
    let mut scene = Scene::new(bits(0..PIECES));
    let actions = scene.neighbor(1, bits(0..PIECES));
    assert_eq!(disconnected(&actions), [(1, DisconnectReason::BothComplete)]);
    assert_eq!(disconnected(&scene.neighbor(2, bits(0..PIECES - 1))), []);
    let actions = scene.receive(2, Message::Have(piece(PIECES - 1)));
    assert_eq!(disconnected(&actions), [(2, DisconnectReason::BothComplete)]);
    // A peer that becomes a seed disconnects from its seeds.
    let mut scene = Scene::new(bits(1..PIECES));
    scene.neighbor(1, bits(0..PIECES));
    scene.receive(1, Message::Unchoke);
    scene.answer(1, block(0, 0));
    let actions = scene.answer(1, block(0, 1));
    assert_eq!(disconnected(&actions), [(1, DisconnectReason::BothComplete)]);
    assert_eq!(actions.last(), Some(&Output::Complete));
}

#[test]
fn a_silent_neighbor_gets_a_keep_alive_and_is_disconnected_later() {
    let mut scene = Scene::new(bits([]));
    scene.neighbor(1, bits([]));
    let actions = scene.wait(120 * SECOND);
    assert_eq!(sent(&actions, 1), [&Message::KeepAlive]);
    let actions = scene.wait(130 * SECOND);
    assert_eq!(disconnected(&actions), [(1, DisconnectReason::Silent)]);
}

#[test]
fn a_peer_short_of_neighbors_asks_the_tracker_sooner_than_it_must() {
    let announces = |actions: &[Output]| {
        actions.iter().filter(|action| matches!(action, Output::Announce { .. })).count()
    };
    for (max_neighbors, neighbors, wait) in
        [(55, 0, 30), (55, 1, 300), (55, 19, 300), (55, 20, 1800), (20, 14, 300), (20, 15, 1800)]
    {
        let mut scene = Scene::with(bits([]), |config| {
            (config.has_tracker, config.max_neighbors) = (true, max_neighbors);
        });
        assert_eq!(announces(&scene.wait(SECOND)), 1);
        let interval = 1800 * SECOND;
        scene.handle(Input::Announced { interval, min_interval: None, peers: Vec::new() });
        (1..=neighbors).for_each(|peer| drop(scene.neighbor(peer, bits([]))));
        let mut waited = 0;
        while announces(&scene.wait(SECOND)) == 0 {
            (1..=neighbors).for_each(|peer| drop(scene.receive(peer.into(), Message::KeepAlive)));
            waited += 1;
        }
        assert_eq!(waited, wait - 1, "with {neighbors} of {max_neighbors} neighbors");
    }
}

#[test]
fn ten_peers_are_dialed_at_a_time() {
    let mut scene = Scene::new(bits([]));
    assert_eq!(dials_of(&mut scene, 1..31), 10);
    let failed = scene.handle(Input::DialFailed { address: address(1) });
    assert_eq!(dials(&failed).len(), 1);
}

#[test]
fn dials_stop_when_all_places_would_be_taken_or_three_quarters_by_our_dials() {
    // Of eight places; how many neighbors dialed us, how many we dialed, how many dials follow.
    for (incoming, outgoing, expected) in
        [(0, 0, 6), (1, 0, 6), (2, 0, 6), (3, 0, 5), (5, 0, 3), (8, 0, 0), (0, 4, 2), (0, 6, 0)]
    {
        let mut scene = Scene::with(bits([]), |config| config.max_neighbors = 8);
        for peer in 1..=incoming {
            scene.connect_as(peer, Direction::Incoming, u8::try_from(peer).unwrap());
        }
        for peer in 11..11 + outgoing {
            scene.connect_as(peer, Direction::Outgoing, u8::try_from(peer).unwrap());
        }
        let dialed = dials_of(&mut scene, 20..40);
        assert_eq!(dialed, expected, "{incoming} incoming, {outgoing} outgoing");
    }
}

#[test]
fn when_a_peer_that_we_dialed_leaves_another_is_dialed() {
    let mut scene = Scene::with(bits([]), |config| config.max_neighbors = 4);
    assert_eq!(dials_of(&mut scene, 1..5), 3);
    (1..4).for_each(|peer| {
        scene.connect_as(peer.into(), Direction::Outgoing, peer);
    });
    assert_eq!(dials(&closed(&mut scene, 2)), [address(4)]);
}

#[test]
fn an_address_that_failed_is_not_dialed_while_the_dials_in_progress_may_be_enough() {
    let mut scene = Scene::with(bits([]), |config| config.max_neighbors = 4);
    (1..=2).for_each(|peer| drop(scene.neighbor(peer, bits([]))));
    assert_eq!(dials_of(&mut scene, 10..11), 1);
    scene.handle(Input::DialFailed { address: address(10) });
    assert_eq!(dials_of(&mut scene, 11..12), 1);
    assert_eq!(dials(&scene.wait(MINUTE)), []);
    let failed = scene.handle(Input::DialFailed { address: address(11) });
    assert_eq!(dials(&failed), [address(10)]);
}

#[test]
fn a_peer_that_left_for_good_is_never_dialed_again() {
    for (we_have, it_has, reason) in
        [(0..PIECES, 0..PIECES, Some(DisconnectReason::BothComplete)), (0..PIECES, 0..1, None)]
    {
        let mut scene = Scene::new(bits(we_have));
        scene.connect_as(1, Direction::Outgoing, 1);
        let outputs = scene.receive(1, Message::Bitfield(bits(it_has)));
        let ended: Vec<_> = reason.iter().map(|reason| (1, reason.clone())).collect();
        assert_eq!(disconnected(&outputs), ended);
        if reason.is_none() {
            closed(&mut scene, 1);
        }
        assert_eq!(dials(&scene.wait(60 * MINUTE)).is_empty(), reason.is_some());
    }
}

#[test]
fn a_neighbor_delays_dials_to_its_own_ip_address_only_and_none_if_we_dialed_it() {
    let mut scene = Scene::new(bits([]));
    with_extensions(&mut scene, 1);
    let other = SocketAddr::new(IpAddr::from([127, 0, 0, 2]), 7010);
    assert_eq!(dials(&scene.handle(Input::PeerNamed { address: other })), [other]);
    let mut scene = Scene::new(bits([]));
    let neighbor =
        Identity { key: PeerKey(1), address: address(1), peer_id: PeerId([1; 20]), name: None };
    let direction = Direction::Outgoing;
    scene.handle(Input::Connected { neighbor, direction, extensions: true });
    assert_eq!(dials_of(&mut scene, 10..11), 1);
    // Where it listens is known already.
    scene.receive(1, listens_on(address(1).port()));
    assert_eq!(scene.remote(1).connection.listens_at, [address(1)]);
}

#[test]
fn a_second_connection_has_ten_seconds_before_we_close_it() {
    let mut scene = Scene::new(bits([]));
    scene.connect_as(1, Direction::Outgoing, OUR_ID + 1);
    scene.neighbor(3, bits([]));
    scene.wait(4 * SECOND);
    scene.connect_as(2, Direction::Incoming, OUR_ID + 1);
    // It is looked after at 10 s and 20 s.
    assert_eq!(disconnected(&scene.wait(15 * SECOND)), []);
    let outputs = scene.wait(SECOND);
    assert_eq!(disconnected(&outputs), [(2, DisconnectReason::Duplicate)]);
}

#[test]
fn a_neighbor_that_only_sends_is_not_idle() {
    let mut scene = Scene::with(bits([]), |config| config.max_neighbors = 2);
    scene.neighbor(1, bits(0..PIECES));
    scene.neighbor(2, bits([]));
    let asked = requests(&scene.receive(1, Message::Unchoke), 1);
    scene.answer(1, asked[0]);
    scene.wait(IDLE_AFTER);
    let outputs = scene.neighbor(3, bits([]));
    assert_eq!(disconnected(&outputs), [(2, DisconnectReason::Evicted)]);
}

#[test]
fn a_peer_is_silent_after_240_seconds_and_gets_a_keep_alive_after_110() {
    let mut scene = Scene::new(bits([]));
    scene.neighbor(1, bits([]));
    assert_eq!(sent(&scene.wait(109 * SECOND), 1), <[&Message; 0]>::default());
    assert_eq!(sent(&scene.wait(SECOND), 1), [&Message::KeepAlive]);
    let later = scene.wait(129 * SECOND);
    assert_eq!((sent(&later, 1), disconnected(&later)), (vec![&Message::KeepAlive], vec![]));
    assert_eq!(disconnected(&scene.wait(SECOND)), [(1, DisconnectReason::Silent)]);
}

#[test]
fn a_seed_without_neighbors_announces_no_sooner_than_the_tracker_says() {
    let mut scene = Scene::with(bits(0..PIECES), |config| config.has_tracker = true);
    let announces = |outputs: &[Output]| {
        outputs.iter().filter(|output| matches!(output, Output::Announce { .. })).count()
    };
    assert_eq!(announces(&scene.wait(SECOND)), 1);
    let (interval, peers) = (30 * MINUTE, Vec::new());
    scene.handle(Input::Announced { interval, min_interval: None, peers });
    assert_eq!(announces(&scene.wait(30 * MINUTE - SECOND)), 0);
    assert_eq!(announces(&scene.wait(SECOND)), 1);
}

#[test]
fn a_tracker_hears_that_we_leave_if_it_heard_of_us() {
    let mut scene = Scene::with(bits([]), |config| config.has_tracker = true);
    assert_eq!(scene.handle(Input::Leaving), []);
    let (event, num_want) = (Some(announce::Event::Started), 50);
    assert_eq!(scene.wait(SECOND), [Output::Announce { event, num_want }]);
    let (event, num_want) = (Some(announce::Event::Stopped), 0);
    assert_eq!(scene.handle(Input::Leaving), [Output::Announce { event, num_want }]);
}
