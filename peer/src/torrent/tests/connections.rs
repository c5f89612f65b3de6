//! Dialing, and which connections stay.

use std::net::IpAddr;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Names so many peers, and returns how many are dialed.
fn dials_of(scene: &mut Scene, named: std::ops::Range<u64>) -> usize {
    let name = |peer| dials(&scene.handle(Input::PeerNamed { address: address(peer) })).len();
    named.map(name).sum()
}

fn closed(scene: &mut Scene, peer: u64) -> Vec<Output> {
    let (peer, reason) = (PeerKey(peer), DisconnectReason::Closed);
    scene.handle(Input::Disconnected { peer, reason })
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
    assert_eq!(scene.remote(1).listens_at, [address(1)]);
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
