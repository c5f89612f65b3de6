//! Turns at our uplink, and the rate by which a seed ranks.

use super::*;

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
    scene.torrent.neighbors.get_mut(PeerKey(1)).unwrap().share = 3;
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
