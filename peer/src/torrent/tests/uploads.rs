//! Choking, the blocks that we send, and turns at our uplink.

use super::super::exchange::MAX_UPLOADS;
use super::*;
use crate::choker::ChokeReason;

/// Which peers get the blocks of so many seconds, under a limit of a block a second: all have
/// requested more than they can get.
fn served(scene: &mut Scene, seconds: u32, outputs: Vec<Output>) -> Vec<u64> {
    let mut served = Vec::new();
    let end = scene.now + seconds * SECOND;
    let mut waiting = outputs;
    loop {
        for output in std::mem::take(&mut waiting) {
            if let Output::UploadReady { peer, .. } = output
                && let Some(block) = scene.next_upload(peer.0)
            {
                served.push(peer.0);
                waiting.extend(scene.handle(Input::Sent { peer, block }));
                // The connection can take the next one.
                assert_eq!(scene.next_upload(peer.0), None);
            }
        }
        let Some(due) = scene.torrent.next_timeout().filter(|&due| due <= end) else { break };
        scene.now = due;
        waiting.extend(scene.handle(Input::TimedOut));
    }
    served
}

#[test]
fn a_peer_that_requests_a_piece_that_we_lack_is_disconnected() {
    let mut scene = Scene::new(bits([0]));
    scene.neighbor(1, bits([]));
    let actions = scene.receive(1, Message::Request(block(1, 0)));
    assert_eq!(disconnected(&actions), [(1, DisconnectReason::RequestedMissing)]);
}

#[test]
fn requests_are_answered_only_while_unchoked() {
    let mut scene = Scene::with(bits([0]), |config| config.slots = 0);
    for peer in [1, 2] {
        scene.neighbor(peer, bits([]));
        scene.receive(peer.into(), Message::Interested);
    }
    // There is one slot, the optimistic one.
    let (served, choked) = if scene.remote(1).am_choking { (2, 1) } else { (1, 2) };
    assert_eq!(scene.receive(choked, Message::Request(block(0, 0))), []);
    assert_eq!(scene.next_upload(choked), None);
    let actions = scene.receive(served, Message::Request(block(0, 0)));
    assert_eq!(actions, [Output::UploadReady { peer: PeerKey(served), share: 1 }]);
    // A peer that loses interest is choked, and its requests are dropped.
    let actions = scene.receive(served, Message::NotInterested);
    assert_eq!(sent(&actions, served), [&Message::Choke]);
    assert_eq!(scene.next_upload(served), None);
}

#[test]
fn blocks_are_sent_in_the_order_of_the_requests_without_the_canceled_ones() {
    let mut scene = Scene::new(bits([0, 1]));
    scene.neighbor(1, bits([]));
    scene.receive(1, Message::Interested);
    for wanted in [block(1, 0), block(0, 0), block(1, 1), block(0, 0)] {
        scene.receive(1, Message::Request(wanted));
    }
    scene.receive(1, Message::Cancel(block(1, 1)));
    let next = |scene: &mut Scene| scene.next_upload(1);
    assert_eq!(next(&mut scene), Some(block(1, 0)));
    assert_eq!(next(&mut scene), Some(block(0, 0)));
    assert_eq!(next(&mut scene), None, "requested twice, sent once");
    assert_eq!(scene.torrent.totals().uploaded, 0);
    scene.handle(Input::Sent { peer: PeerKey(1), block: block(1, 0) });
    assert_eq!(scene.torrent.totals().uploaded, 16_384);
}

#[test]
fn a_peer_has_something_pending_from_its_request_until_the_block_has_been_sent() {
    let mut scene = Scene::new(bits([0]));
    scene.neighbor(1, bits([]));
    scene.receive(1, Message::Interested);
    let is_pending = |scene: &Scene| upload::candidate(scene.remote(1), false, scene.now).pending;
    assert!(!is_pending(&scene));
    scene.receive(1, Message::Request(block(0, 0)));
    assert!(is_pending(&scene), "the request is in the queue");
    let block = scene.next_upload(1).unwrap();
    assert!(is_pending(&scene), "the block is being sent");
    scene.handle(Input::Sent { peer: PeerKey(1), block });
    assert!(!is_pending(&scene));
}

#[test]
fn rounds_are_numbered_and_keep_to_their_times_even_after_a_time_without_neighbors() {
    let rounds = |outputs: &[Output]| -> Vec<u32> {
        let number = |output: &Output| match output {
            Output::Explain(Decision::Round { round, .. }) => Some(*round),
            _ => None,
        };
        outputs.iter().filter_map(number).collect()
    };
    let mut scene = Scene::new(bits([]));
    assert!(rounds(&scene.wait(35 * SECOND)).is_empty());
    scene.neighbor(1, bits([]));
    assert!(rounds(&scene.wait(4 * SECOND)).is_empty());
    assert_eq!(rounds(&scene.wait(2 * SECOND)), [1]);
    assert_eq!(rounds(&scene.wait(20 * SECOND)), [2, 3]);
    assert_eq!(scene.torrent.snapshot(scene.now).round, 3);
}

/// The neighbors that we serve.
fn unchoked(scene: &Scene) -> Vec<u64> {
    let unchoked = scene.torrent.neighbors().filter(|neighbor| !neighbor.am_choking);
    unchoked.map(|neighbor| neighbor.key().0).collect()
}

#[test]
fn the_optimistic_unchoke_changes_after_whole_rounds_and_at_least_one() {
    for (seconds, period) in [(30, 3), (25, 2), (10, 1), (5, 1)] {
        let mut scene = Scene::with(bits([0]), |config| {
            (config.slots, config.optimistic) = (0, Some(seconds * SECOND));
        });
        for peer in 1..=8 {
            scene.neighbor(peer, bits([]));
            scene.receive(peer.into(), Message::Interested);
        }
        let mut changes = Vec::new();
        for round in 1..=20 {
            let before = unchoked(&scene);
            scene.wait(10 * SECOND);
            if unchoked(&scene) != before {
                changes.push(round);
            }
        }
        // The next one may be the same by chance.
        let due: Vec<_> = (1..=20).filter(|round| round % period == 0).collect();
        assert!(changes.iter().all(|round| due.contains(round)), "{seconds} s: {changes:?}");
        assert!(changes.len() > due.len() / 2, "{seconds} s: {changes:?}");
    }
}

#[test]
fn while_neighbors_gather_none_is_unchoked_and_the_first_round_chooses_among_all() {
    let mut last_unchoked = 0;
    for seed in 0..20 {
        let mut scene = Scene::with_seed(bits([0]), seed, |c| c.gathering = Some(SECOND));
        for peer in 1..=8 {
            scene.neighbor(peer, bits([]));
            scene.receive(peer.into(), Message::Interested);
        }
        scene.wait(SECOND - Duration::from_millis(1));
        assert_eq!(unchoked(&scene), [] as [u64; 0]);
        scene.wait(Duration::from_millis(1));
        assert_eq!(unchoked(&scene).len(), 5);
        last_unchoked += u32::from(!scene.remote(8).am_choking);
        // The next round comes ten seconds later, and free slots are given at once from now on.
        scene.neighbor(9, bits([]));
        scene.receive(unchoked(&scene)[0], Message::NotInterested);
        assert_eq!(unchoked(&scene).len(), 5);
        assert_eq!(scene.torrent.uploads.next_round(), Moment::START + 11 * SECOND);
    }
    assert!((8..=17).contains(&last_unchoked), "the last to come: {last_unchoked} times of 20");
}

#[test]
fn between_rounds_a_peer_that_waits_gets_a_free_slot_and_takes_none_from_another() {
    let mut scene = Scene::with(bits([0]), |config| config.slots = 1);
    for peer in 1..=3 {
        scene.neighbor(peer, bits([]));
        scene.receive(peer.into(), Message::Interested);
    }
    // One more is served than there are slots: the optimistic one.
    assert_eq!(unchoked(&scene), [1, 2]);
    scene.receive(1, Message::NotInterested);
    assert_eq!(unchoked(&scene), [2, 3]);
}

#[test]
fn we_hold_as_many_requests_as_we_announced() {
    let length = u64::from(PIECES) * 16_384 * 1000;
    let geometry = Geometry::new(length, 16_384_000).unwrap();
    let config = Config { has_tracker: false, ..Config::new(PeerId([OUR_ID; 20])) };
    let torrent = Torrent::new(config, geometry, Bitfield::full(PIECES), 1, Moment::START);
    let mut scene = Scene { torrent, now: Moment::START };
    with_extensions(&mut scene, 1);
    scene.receive(1, Message::Interested);
    for number in 0..5000 {
        let block = geometry.block(number / 1000, number % 1000 * 16_384, 16_384).unwrap();
        scene.receive(1, Message::Request(block));
    }
    let mut blocks = 0;
    while let Some(block) = scene.next_upload(1) {
        scene.handle(Input::Sent { peer: PeerKey(1), block });
        blocks += 1;
    }
    assert_eq!(blocks, MAX_UPLOADS);
}

#[test]
fn a_peer_snubs_us_when_it_is_silent_for_over_a_minute() {
    let minute = 60 * SECOND;
    for (silence, snubbed) in [(minute, false), (minute + Duration::from_millis(1), true)] {
        let mut scene = Scene::new(bits([]));
        scene.neighbor(1, bits([0]));
        scene.wait(silence);
        assert_eq!(scene.torrent.snapshot(scene.now).neighbors[0].snubbed, snubbed, "{silence:?}");
    }
    // A peer of which we want nothing cannot snub us.
    let mut scene = Scene::new(bits([0]));
    scene.neighbor(1, bits([0]));
    scene.wait(61 * SECOND);
    assert!(!scene.torrent.snapshot(scene.now).neighbors[0].snubbed);
}

#[test]
fn between_rounds_a_choked_neighbor_keeps_the_reason_that_the_round_gave_it() {
    let mut scene = Scene::with(bits([0]), |config| config.slots = 1);
    for peer in 1..=3 {
        scene.neighbor(peer, bits([1]));
        scene.receive(peer.into(), Message::Interested);
    }
    // The one slot is earned, so there is a cut.
    scene.receive(2, Message::Unchoke);
    let request = scene.remote(2).exchange().requests.front().unwrap().block;
    scene.answer(2, request);
    let outputs = scene.wait(10 * SECOND);
    let explained = outputs.iter().filter(|output| {
        matches!(
            output,
            Output::Explain(
                Decision::Unchoke { .. }
                    | Decision::KeepUnchoked { .. }
                    | Decision::Choke { .. }
                    | Decision::KeepChoked { .. },
            )
        )
    });
    assert!(explained.count() >= 3, "a round explains every neighbor");
    let choked = |scene: &Scene| {
        let snapshot = scene.torrent.snapshot(scene.now);
        let choked = snapshot.neighbors.into_iter().find(|other| other.am_choking).unwrap();
        (choked.identity.key, choked.rank, choked.reason.unwrap())
    };
    let before = choked(&scene);
    assert!(before.2.starts_with("rank "), "{before:?}");
    scene.neighbor(4, bits([]));
    assert_eq!(choked(&scene), before);
}

#[test]
fn a_round_moves_the_window_of_the_rates() {
    let mut scene = Scene::new(bits([]));
    scene.neighbor(1, bits(0..PIECES));
    scene.receive(1, Message::Unchoke);
    let request = scene.remote(1).exchange().requests.front().unwrap().block;
    scene.answer(1, request);
    let rates = |scene: &mut Scene| {
        (0..4)
            .map(|_| {
                scene.wait(10 * SECOND);
                scene.torrent.snapshot(scene.now).neighbors[0].download_rate
            })
            .collect::<Vec<_>>()
    };
    // Without the rounds, 16384 bytes in a window that only grows: 1092, 655, 468, 364.
    let rates = rates(&mut scene);
    assert_eq!(rates, [1092, 655, 436, 291]);
}

#[test]
fn a_choked_peer_learns_the_name_of_the_choker_at_work() {
    let mut scene = Scene::with(bits(0..PIECES), |config| config.slots = 1);
    for peer in [1, 2] {
        scene.neighbor(peer, bits([]));
        scene.receive(peer.into(), Message::Interested);
    }
    let outputs = scene.wait(10 * SECOND);
    let by_seed = ChokeReason::NotChosen { by: "seed".into() };
    let names_it = |output: &Output| match output {
        Output::Explain(Decision::Choke { reason, .. } | Decision::KeepChoked { reason, .. }) => {
            *reason == by_seed
        }
        _ => false,
    };
    assert!(outputs.iter().any(names_it), "{outputs:?}");
}

#[test]
fn limits_hold_and_every_peer_gets_a_turn() {
    let mut scene = Scene::with(bits(0..PIECES), |config| config.upload_limit = Some(16_384));
    for peer in 1..=4 {
        scene.neighbor(peer, bits([]));
        scene.receive(peer.into(), Message::Interested);
        for index in 0..PIECES {
            scene.receive(peer.into(), Message::Request(block(index, 0)));
        }
    }
    let mut got = [0; 4];
    let mut upload = |scene: &mut Scene, actions: &[Output]| {
        for action in actions {
            if let &Output::UploadReady { peer, .. } = action
                && let Some(block) = scene.next_upload(peer.0)
            {
                scene.handle(Input::Sent { peer, block });
                got[usize::try_from(peer.0).unwrap() - 1] += 1;
                // The connection can take the next one.
                assert_eq!(scene.next_upload(peer.0), None);
            }
        }
    };
    let ready = |peer| Output::UploadReady { peer: PeerKey(peer), share: 1 };
    let all: Vec<_> = (1..=4).map(ready).collect();
    upload(&mut scene, &all);
    let end = scene.now + 20 * SECOND;
    while let Some(due) = scene.torrent.next_timeout().filter(|&due| due <= end) {
        scene.now = due;
        let actions = scene.handle(Input::TimedOut);
        upload(&mut scene, &actions);
    }
    // A block from the bucket, and one a second.
    assert_eq!(got.iter().sum::<u32>(), 21);
    assert!(got.iter().all(|n| (5..=6).contains(n)), "{got:?}");
}

#[test]
fn an_unchoke_with_three_shares_gets_three_times_as_many_blocks() {
    let mut scene = Scene::with(bits(0..PIECES), |config| {
        config.upload_limit = Some(16_384);
        // No round changes the shares.
        config.rechoke = 1000 * SECOND;
    });
    let mut outputs = Vec::new();
    for peer in [1, 2] {
        scene.neighbor(peer, bits([]));
        scene.receive(peer.into(), Message::Interested);
    }
    scene.set_share(1, 3);
    for index in 0..PIECES {
        for (peer, number) in [(1, 0), (1, 1), (2, 0), (2, 1)] {
            outputs.extend(scene.receive(peer, Message::Request(block(index, number))));
        }
    }
    let share = |output: &Output| match *output {
        Output::UploadReady { peer: PeerKey(1), share } => share,
        _ => 3,
    };
    assert!(outputs.iter().all(|output| share(output) == 3), "the simulator's uplink hears of it");
    let served = served(&mut scene, 16, outputs);
    let to_the_first = served.iter().filter(|&&peer| peer == 1).count();
    assert!((12..=13).contains(&to_the_first), "{served:?}");
    assert!((16..=17).contains(&served.len()), "{served:?}");
}

#[test]
fn a_leecher_ranks_by_what_it_receives_and_a_seed_by_what_it_sends() {
    let mut scene = Scene::new(bits(1..PIECES));
    scene.neighbor(1, bits([0]));
    scene.neighbor(2, bits([]));
    for peer in [1, 2] {
        scene.receive(peer, Message::Interested);
    }
    // We send to 2, and 1 sends to us.
    scene.receive(2, Message::Request(block(1, 0)));
    let block = scene.next_upload(2).unwrap();
    scene.handle(Input::Sent { peer: PeerKey(2), block });
    let requests = requests(&scene.receive(1, Message::Unchoke), 1);
    scene.answer(1, requests[0]);
    let rates = |scene: &Scene| -> Vec<u64> {
        let candidates = scene
            .torrent
            .neighbors()
            .map(|neighbor| upload::candidate(neighbor, scene.torrent.is_complete(), scene.now));
        candidates.map(|candidate| candidate.rate).collect()
    };
    let leeching = rates(&scene);
    assert!(leeching[0] > 0 && leeching[1] == 0, "{leeching:?}");
    scene.answer(1, requests[1]);
    assert!(scene.torrent.is_complete());
    let seeding = rates(&scene);
    assert!(seeding[0] == 0 && seeding[1] > 0, "{seeding:?}");
}

#[test]
fn a_peer_that_completes_chokes_as_a_seed_from_the_next_round_on() {
    let mut scene = Scene::new(bits(1..PIECES));
    scene.neighbor(1, bits([0]));
    scene.receive(1, Message::Interested);
    let reason = |scene: &Scene| scene.torrent.snapshot(scene.now).neighbors[0].reason.clone();
    scene.wait(10 * SECOND);
    assert_eq!(reason(&scene).as_deref(), Some("optimistic"));
    for block in requests(&scene.receive(1, Message::Unchoke), 1) {
        scene.answer(1, block);
    }
    assert!(scene.torrent.is_complete());
    scene.wait(10 * SECOND);
    assert_eq!(reason(&scene).as_deref(), Some("kept as seed, rank 1"));
}

#[test]
fn a_peer_that_is_kept_between_rounds_keeps_its_share() {
    let mut scene = Scene::new(bits([0]));
    let mut shares = Vec::new();
    for peer in [1, 2] {
        scene.neighbor(peer, bits([]));
        scene.receive(peer.into(), Message::Interested);
        scene.set_share(1, 3);
        scene.receive(peer.into(), Message::NotInterested);
        scene.receive(peer.into(), Message::Interested);
        shares.push([1, 2].map(|peer| scene.torrent.share(PeerKey(peer))));
    }
    // The first one lost its slot, and got another; then the second one did.
    assert_eq!(shares, [[1, 1], [3, 1]]);
}
