//! What becomes of requests and blocks.

use super::super::exchange::Traffic;
use super::*;

fn head(scene: &mut Scene, peer: u64, block: Block) -> Vec<Output> {
    scene.handle(Input::Received { peer: PeerKey(peer), message: Message::Piece(block) })
}

fn body(scene: &mut Scene, peer: u64, block: Block) -> Vec<Output> {
    scene.handle(Input::BlockArrived { peer: PeerKey(peer), block })
}

/// One piece is missing, of two blocks. One neighbor is asked for both, another for one of them
/// again, which is returned first.
fn endgame() -> (Scene, [Block; 2]) {
    let mut scene = Scene::new(bits(1..PIECES));
    (1..=2).for_each(|peer| drop(scene.neighbor(peer, bits([0]))));
    assert_eq!(requests(&scene.receive(1, Message::Unchoke), 1), [block(0, 0), block(0, 1)]);
    let again = requests(&scene.receive(2, Message::Unchoke), 2)[0];
    let other = if again == block(0, 0) { block(0, 1) } else { block(0, 0) };
    (scene, [again, other])
}

fn on_parole(scene: &Scene) -> Vec<bool> {
    let snapshot = scene.torrent.snapshot(scene.now);
    snapshot.neighbors.iter().map(|neighbor| neighbor.on_parole).collect()
}

#[test]
fn a_later_bitfield_adds_pieces_but_removes_none() {
    let mut scene = Scene::new(bits([1]));
    scene.neighbor(1, bits([1]));
    let more = scene.receive(1, Message::Bitfield(bits([1, 2])));
    assert_eq!(more, [Output::Send { peer: PeerKey(1), message: Message::Interested }]);
    let fewer = scene.receive(1, Message::Bitfield(bits([2])));
    assert_eq!(disconnected(&fewer), [(1, DisconnectReason::TookBack)]);
    scene.neighbor(2, bits([]));
    // Others come before it in practice.
    for message in [Message::KeepAlive, Message::Unchoke, Message::Unknown(20)] {
        assert_eq!(disconnected(&scene.receive(2, message)), []);
    }
    scene.receive(2, Message::Have(piece(3)));
    let late = scene.receive(2, Message::Bitfield(bits([0, 3])));
    assert_eq!(disconnected(&late), []);
}

#[test]
fn we_are_interested_exactly_while_a_neighbor_has_what_we_lack() {
    let mut scene = Scene::new(bits([0]));
    let actions = scene.neighbor(1, bits([0]));
    assert_eq!(sent(&actions, 1), [&Message::Bitfield(bits([0]))]);
    let actions = scene.receive(1, Message::Have(piece(1)));
    assert_eq!(sent(&actions, 1), [&Message::Interested]);
    // A repeated have counts once.
    scene.receive(1, Message::Have(piece(1)));
    assert_eq!(scene.remote(1).haves, 1);
    let blocks = requests(&scene.receive(1, Message::Unchoke), 1);
    assert_eq!(blocks, [block(1, 0), block(1, 1)]);
    scene.answer(1, blocks[0]);
    let actions = scene.answer(1, blocks[1]);
    assert_eq!(sent(&actions, 1), [&Message::Have(piece(1)), &Message::NotInterested]);
}

#[test]
fn requests_that_a_choke_discards_go_to_other_peers() {
    let mut scene = Scene::new(bits((0..PIECES).filter(|&index| index != 5)));
    scene.neighbor(1, bits([5]));
    scene.neighbor(2, bits([5]));
    let asked = requests(&scene.receive(1, Message::Unchoke), 1);
    assert_eq!(asked, [block(5, 0), block(5, 1)]);
    // In the endgame the idle one is asked for one of them as well.
    let again = requests(&scene.receive(2, Message::Unchoke), 2);
    assert_eq!(again.len(), 1);
    let actions = scene.receive(1, Message::Choke);
    let rest: Vec<_> = asked.into_iter().filter(|block| !again.contains(block)).collect();
    assert_eq!(requests(&actions, 2), rest);
    // Blocks in flight still count.
    assert_eq!(scene.answer(1, rest[0])[1], Output::KeepBlock { peer: PeerKey(1), block: rest[0] });
    assert_eq!(scene.torrent.totals().wasted, 0);
}

#[test]
fn the_requests_of_a_neighbor_that_left_go_to_other_peers() {
    let mut scene = Scene::new(bits([]));
    scene.neighbor(1, bits(0..PIECES));
    scene.neighbor(2, bits(0..PIECES));
    let asked = requests(&scene.receive(1, Message::Unchoke), 1);
    scene.receive(2, Message::Unchoke);
    let reason = DisconnectReason::Closed;
    scene.handle(Input::Disconnected { peer: PeerKey(1), reason });
    let mut got: Vec<Block> = Vec::new();
    while !scene.torrent.is_complete() {
        let request = scene.remote(2).exchange().requests.front().expect("something is missing");
        got.push(request.block);
        scene.answer(2, request.block);
    }
    assert!(asked.iter().all(|block| got.contains(block)));
}

#[test]
fn what_a_neighbor_that_left_had_not_sent_is_requested_from_another_at_once() {
    // How many of its two blocks had arrived, and whether the next one was arriving.
    for (arrived, is_arriving) in [(0, false), (0, true), (1, false), (1, true)] {
        let mut scene = Scene::new(bits(2..PIECES));
        scene.neighbor(1, bits([0]));
        scene.neighbor(2, bits([0, 1]));
        let asked = requests(&scene.receive(1, Message::Unchoke), 1);
        assert_eq!(asked, [block(0, 0), block(0, 1)]);
        assert_eq!(requests(&scene.receive(2, Message::Unchoke), 2).len(), 2, "of piece 1");
        asked[..arrived].iter().for_each(|&block| drop(scene.answer(1, block)));
        if is_arriving {
            head(&mut scene, 1, asked[arrived]);
        }
        let outputs = closed(&mut scene, 1);
        assert_eq!(requests(&outputs, 2), asked[arrived..], "{arrived} {is_arriving}");
    }
}

#[test]
fn in_the_endgame_the_second_copy_is_canceled() {
    let mut scene = Scene::new(bits(0..PIECES - 1));
    scene.neighbor(1, bits([PIECES - 1]));
    scene.neighbor(2, bits([PIECES - 1]));
    let asked = requests(&scene.receive(1, Message::Unchoke), 1);
    let actions = scene.receive(2, Message::Unchoke);
    let again = requests(&actions, 2);
    assert!(again.len() == 1 && asked.contains(&again[0]));
    let actions = scene.answer(2, again[0]);
    assert_eq!(sent(&actions, 1), [&Message::Cancel(again[0])]);
    // If it was too late for that, it is wasted, and no fault.
    assert_eq!(disconnected(&scene.answer(1, again[0])), []);
    assert_eq!(scene.torrent.totals().wasted, 16_384);
}

#[test]
fn a_peer_that_is_idle_when_the_endgame_begins_is_asked_at_once() {
    let mut scene =
        Scene::with(bits(3..PIECES), |config| config.order = "in-order".parse().unwrap());
    scene.neighbor(1, bits([0, 1, 2]));
    scene.neighbor(2, bits([0]));
    // Five at a time: one block is left, and it is none of piece 0.
    let asked = requests(&scene.receive(1, Message::Unchoke), 1);
    assert_eq!(asked.len(), 5);
    assert_eq!(requests(&scene.receive(2, Message::Unchoke), 2), []);
    let actions = scene.answer(1, block(1, 0));
    assert_eq!(requests(&actions, 1), [block(2, 1)]);
    let again = requests(&actions, 2);
    assert!(again == [block(0, 0)] || again == [block(0, 1)], "{again:?}");
}

#[test]
fn a_peer_with_nothing_to_send_in_the_endgame_does_not_wait_for_turns_forever() {
    let mut scene = Scene::with(bits(1..PIECES), |config| config.download_limit = Some(16_384));
    // One block a second: both are in the queue for the second one.
    for peer in [1, 2] {
        scene.neighbor(peer, bits([0]));
        scene.receive(peer.into(), Message::Unchoke);
    }
    for number in [0, 1] {
        scene.wait(SECOND);
        scene.receive(1, Message::Piece(block(0, number)));
    }
    // The hash is being checked, and there is nothing to ask for.
    assert!(scene.torrent.downloads.picker.in_endgame());
    let end = scene.now + 5 * SECOND;
    let mut turns = 0;
    while let Some(due) = scene.torrent.next_timeout().filter(|&due| due <= end) {
        scene.now = scene.now.max(due);
        assert_eq!(requests(&scene.handle(Input::TimedOut), 1), []);
        turns += 1;
        assert!(turns < 10, "the same timeout is requested again and again");
    }
}

#[test]
fn unrequested_blocks_are_wasted_and_more_than_ten_end_the_connection() {
    let mut scene = Scene::new(bits([]));
    scene.neighbor(1, bits(0..PIECES));
    for n in 0..10 {
        let (peer, block) = (PeerKey(1), block(n, 0));
        assert_eq!(scene.receive(1, Message::Piece(block)), [Output::SkipBlock { peer, block }]);
    }
    assert_eq!(scene.torrent.totals(), Totals { wasted: 163_840, ..Totals::default() });
    let actions = scene.receive(1, Message::Piece(block(0, 0)));
    assert_eq!(disconnected(&actions), [(1, DisconnectReason::SentUnrequested)]);
}

#[test]
fn a_request_without_an_answer_for_a_minute_goes_to_another() {
    let mut scene = Scene::new(bits([]));
    scene.neighbor(1, bits([0]));
    let asked = requests(&scene.receive(1, Message::Unchoke), 1);
    assert_eq!(asked.len(), 2);
    scene.wait(59 * SECOND);
    assert_eq!(scene.remote(1).exchange().requests.len(), 2);
    scene.wait(12 * SECOND);
    // From now on it is asked for one at a time, however often it lets one time out.
    assert_eq!(scene.remote(1).exchange().requests.len(), 1);
    scene.wait(70 * SECOND);
    assert_eq!(scene.remote(1).exchange().requests.len(), 1);
    scene.neighbor(2, bits([0]));
    assert_ne!(requests(&scene.receive(2, Message::Unchoke), 2), []);
}

#[test]
fn a_peer_that_unchokes_us_late_is_asked_for_as_many_blocks_as_any_other() {
    let mut scene = Scene::new(bits([]));
    scene.neighbor(1, bits(0..PIECES));
    scene.wait(100 * SECOND);
    assert_eq!(requests(&scene.receive(1, Message::Unchoke), 1).len(), 5);
}

#[test]
fn what_is_left_is_the_bytes_of_the_missing_pieces() {
    let scene = Scene::new(bits([0, 4]));
    assert_eq!(scene.torrent.left(), 8 * 32_768);
    assert_eq!(Scene::new(bits(0..PIECES)).torrent.left(), 0);
}

#[test]
fn a_request_whose_block_is_arriving_ends_when_the_block_comes_from_another_peer() {
    let (mut scene, [again, other]) = endgame();
    assert_eq!(
        head(&mut scene, 1, again),
        [Output::AcceptBlock { peer: PeerKey(1), block: again }]
    );
    let outputs = scene.receive(2, Message::Piece(again));
    assert!(outputs.contains(&Output::KeepBlock { peer: PeerKey(2), block: again }));
    assert_eq!(sent(&outputs, 1), <[&Message; 0]>::default(), "too late to cancel");
    // Of both peers the other block was requested.
    assert_eq!(scene.torrent.downloads.picker.requested_count(), 2);
    assert!(scene.remote(1).exchange().receiving.unwrap().request.is_none());
    assert_eq!(requests(&outputs, 2), [other]);
    let outputs = body(&mut scene, 1, again);
    assert!(!outputs.contains(&Output::KeepBlock { peer: PeerKey(1), block: again }));
    assert_eq!(scene.torrent.totals().wasted, 16_384);
}

#[test]
fn a_request_whose_block_is_arriving_stands_when_another_block_comes() {
    let (mut scene, [again, other]) = endgame();
    head(&mut scene, 1, other);
    let outputs = scene.receive(2, Message::Piece(again));
    assert_eq!(sent(&outputs, 1), [&Message::Cancel(again)]);
    assert!(scene.remote(1).exchange().receiving.unwrap().request.is_some());
    assert!(body(&mut scene, 1, other).contains(&Output::CheckPiece(piece(0))));
}

#[test]
fn a_peer_is_not_idle_while_a_block_arrives_from_it() {
    let mut scene = Scene::new(bits(1..PIECES));
    (1..=3).for_each(|peer| drop(scene.neighbor(peer, bits([0]))));
    scene.receive(1, Message::Unchoke);
    let again = requests(&scene.receive(2, Message::Unchoke), 2)[0];
    head(&mut scene, 2, again);
    // An unchoke asks for more, of which there is none for a peer that is at work.
    assert_eq!(requests(&scene.receive(2, Message::Unchoke), 2), []);
    assert_eq!(requests(&scene.receive(3, Message::Unchoke), 3).len(), 1);
}

#[test]
fn all_bytes_of_a_piece_with_the_wrong_hash_are_wasted() {
    let mut scene = Scene::new(bits(1..PIECES));
    scene.neighbor(1, bits([0]));
    for block in requests(&scene.receive(1, Message::Unchoke), 1) {
        scene.receive(1, Message::Piece(block));
    }
    scene.handle(Input::PieceChecked { piece: piece(0), verdict: Verdict::Bad });
    let totals = Totals { downloaded: 32_768, uploaded: 0, wasted: 32_768 };
    assert_eq!(scene.torrent.totals(), totals);
}

#[test]
fn the_only_sender_of_a_false_piece_is_disconnected_and_no_other_peer_at_its_address() {
    let mut scene = Scene::new(bits(1..PIECES));
    (1..=2).for_each(|peer| drop(scene.neighbor(peer, bits([0]))));
    for block in requests(&scene.receive(1, Message::Unchoke), 1) {
        scene.receive(1, Message::Piece(block));
    }
    let outputs = scene.handle(Input::PieceChecked { piece: piece(0), verdict: Verdict::Bad });
    assert_eq!(disconnected(&outputs), [(1, DisconnectReason::SentFalseData)]);
    let outputs = scene.connect_as(3, Direction::Incoming, 1);
    assert_eq!(disconnected(&outputs), [(3, DisconnectReason::SentFalseData)]);
}

#[test]
fn the_senders_of_a_false_piece_are_on_parole_and_no_other_peer() {
    let (mut scene, [again, other]) = endgame();
    scene.neighbor(3, bits([0]));
    scene.receive(2, Message::Piece(again));
    scene.receive(1, Message::Piece(other));
    let outputs = scene.handle(Input::PieceChecked { piece: piece(0), verdict: Verdict::Bad });
    assert_eq!(disconnected(&outputs), []);
    assert_eq!(on_parole(&scene), [true, true, false]);
}

#[test]
fn a_piece_that_a_peer_on_parole_leaves_is_requested_in_the_next_turn_of_another() {
    // One block a second, in turns, and neighbors that hold one request at a time.
    let mut scene = Scene::with(bits(2..PIECES), |config| config.download_limit = Some(16_384));
    let request_queue = Some(1);
    let handshake = ExtendedHandshake { request_queue, ..ExtendedHandshake::default() };
    for (peer, has) in [(1, 0), (2, 0), (3, 1)] {
        scene.neighbor(peer, bits([has]));
        scene.receive(peer.into(), Message::Extended(handshake.clone()));
    }
    (1..=2).for_each(|peer| drop(scene.receive(peer, Message::Unchoke)));
    scene.wait(SECOND);
    for (peer, number) in [(1, 0), (2, 1)] {
        scene.receive(peer, Message::Piece(block(0, number)));
    }
    scene.handle(Input::PieceChecked { piece: piece(0), verdict: Verdict::Bad });
    assert_eq!(on_parole(&scene), [true, true, false]);
    scene.receive(3, Message::Unchoke);
    // One of the two has the piece to itself, and the other nothing to do in its turn.
    let outputs = scene.wait(2 * SECOND);
    let first = [1, 2].map(|peer| requests(&outputs, peer));
    let owner = if first[0].is_empty() { 2 } else { 1 };
    assert_eq!(first.concat(), [block(0, 0)]);
    assert_eq!(requests(&outputs, 3), [block(1, 0)]);
    scene.receive(owner, Message::Piece(block(0, 0)));
    closed(&mut scene, owner);
    assert_eq!(requests(&scene.wait(2 * SECOND), 3 - owner), [block(0, 0)]);
}

#[test]
fn a_limit_counts_the_bytes_of_short_blocks() {
    // A block of 1 KiB is all there is of a piece, and 16 of them fit a second.
    let geometry = Geometry::new(1024 * 1024, 1024).unwrap();
    let mut config = Config::new(PeerId([OUR_ID; 20]));
    (config.has_tracker, config.download_limit) = (false, Some(16_384));
    let none = Bitfield::empty(1024);
    let torrent = Torrent::new(config, geometry, none, 1, Moment::START);
    let mut scene = Scene { torrent, now: Moment::START };
    scene.connect_as(1, Direction::Incoming, 1);
    scene.receive(1, Message::Bitfield(Bitfield::full(1024)));
    scene.receive(1, Message::Unchoke);
    let mut blocks = 0;
    for _ in 0..100 {
        while let Some(request) = scene.remote(1).exchange().requests.front() {
            blocks += 1;
            let block = request.block;
            scene.answer(1, block);
        }
        scene.wait(SECOND / 10);
    }
    assert!((150..=180).contains(&blocks), "{blocks} in 10 s");
}

#[test]
fn what_passed_in_a_round_is_counted_both_ways() {
    let mut scene = Scene::new(bits([0]));
    scene.neighbor(1, bits([1, 2]));
    scene.receive(1, Message::Interested);
    scene.receive(1, Message::Request(block(0, 0)));
    let upload = scene.next_upload(1).unwrap();
    assert_eq!(scene.remote(1).exchange().sending, 1);
    scene.handle(Input::Sent { peer: PeerKey(1), block: upload });
    let asked = requests(&scene.receive(1, Message::Unchoke), 1);
    scene.answer(1, asked[0]);
    scene.receive(1, Message::Have(piece(3)));
    let exchange = scene.remote(1).exchange();
    assert_eq!((exchange.sending, exchange.uploaded, exchange.downloaded), (0, 16_384, 16_384));
    let in_round = |scene: &Scene| {
        let neighbor = scene.remote(1);
        let Traffic { received, sent } = neighbor.exchange().this_round;
        (received, sent, neighbor.haves)
    };
    assert_eq!(in_round(&scene), (16_384, 16_384, 1));
    scene.wait(10 * SECOND);
    assert_eq!(in_round(&scene), (0, 0, 0));
}
