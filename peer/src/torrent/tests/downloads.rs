//! What becomes of requests and blocks.

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
    assert!(scene.remote(1).receiving.unwrap().request.is_none());
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
    assert!(scene.remote(1).receiving.unwrap().request.is_some());
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
        while let Some(request) = scene.remote(1).requests.front() {
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
    assert_eq!(scene.remote(1).sending, 1);
    scene.handle(Input::Sent { peer: PeerKey(1), block: upload });
    let asked = requests(&scene.receive(1, Message::Unchoke), 1);
    scene.answer(1, asked[0]);
    scene.receive(1, Message::Have(piece(3)));
    let neighbor = scene.remote(1);
    let round = neighbor.this_round;
    assert_eq!((round.sent, round.received, round.haves), (16_384, 16_384, 1));
    assert_eq!((neighbor.sending, neighbor.uploaded, neighbor.downloaded), (0, 16_384, 16_384));
    scene.wait(10 * SECOND);
    let round = scene.remote(1).this_round;
    assert_eq!((round.sent, round.received, round.haves), (0, 0, 0));
}
