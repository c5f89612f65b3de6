//! Whatever peers do, the books balance: no request is lost, none is counted twice.

use proptest::prelude::{Just, prop};
use proptest::strategy::Strategy as Generator;
use proptest::{prop_assert, prop_oneof, proptest};

use super::*;

/// What must hold whatever happens.
fn check(torrent: &Torrent) {
    let mut requested = 0;
    for remote in torrent.remotes.values() {
        assert_eq!(remote.wanted, remote.has.count_missing_in(torrent.have()));
        assert_eq!(remote.am_interested, remote.wanted > 0);
        assert!(!remote.peer_choking || remote.requests.is_empty());
        assert!(!remote.am_choking || remote.uploads.is_empty());
        for request in &remote.requests {
            assert!(remote.has.contains(request.block.piece()));
            assert!(!torrent.have().contains(request.block.piece()));
        }
        requested += remote.requests.len();
    }
    assert_eq!(torrent.picker.requested_count(), requested, "requests that nobody was sent");
}

fn any_block() -> impl Generator<Value = Block> {
    (0..PIECES, 0..2_u32).prop_map(|(index, number)| block(index, number))
}

fn any_message() -> impl Generator<Value = Message> {
    prop_oneof![
        1 => Just(Message::KeepAlive),
        1 => Just(Message::Choke),
        3 => Just(Message::Unchoke),
        1 => Just(Message::Interested),
        1 => Just(Message::NotInterested),
        2 => (0..PIECES).prop_map(|index| Message::Have(piece(index))),
        3 => prop::collection::vec(0..PIECES, 0..20).prop_map(|all| Message::Bitfield(bits(all))),
        1 => any_block().prop_map(Message::Request),
        1 => any_block().prop_map(Message::Piece),
        1 => any_block().prop_map(Message::Cancel),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Connect(u8, Direction),
    Close(u8),
    Say(u8, Message),
    /// The peer answers its oldest request.
    Answer(u8),
    Check(bool),
    Upload(u8),
    Wait(u32),
}

fn any_step() -> impl Generator<Value = Step> {
    let peer = || 0..6_u8;
    let direction = prop_oneof![Just(Direction::Incoming), Just(Direction::Outgoing)];
    prop_oneof![
        2 => (peer(), direction).prop_map(|(peer, direction)| Step::Connect(peer, direction)),
        1 => peer().prop_map(Step::Close),
        8 => (peer(), any_message()).prop_map(|(peer, message)| Step::Say(peer, message)),
        8 => peer().prop_map(Step::Answer),
        2 => prop::bool::weighted(0.7).prop_map(Step::Check),
        1 => peer().prop_map(Step::Upload),
        1 => (1..40_u32).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn the_books_balance_whatever_peers_do(
        steps in prop::collection::vec(any_step(), 1..120),
        have in prop::collection::vec(0..PIECES, 0..9),
        limited in proptest::bool::ANY,
    ) {
        let limit = limited.then_some(30_000);
        let mut scene = Scene::with(bits(have), |config| {
            (config.upload_limit, config.download_limit) = (limit, limit);
            config.max_neighbors = 4;
        });
        // Who is connected at which key, what is being checked, and what goes out.
        let mut open: BTreeMap<u8, PeerKey> = BTreeMap::new();
        let mut key = 0;
        let mut checks = Vec::new();
        for step in steps {
            let actions = match step {
                Step::Connect(peer, direction) => {
                    key += 1;
                    open.insert(peer, PeerKey(key));
                    scene.connect_as(key, direction, OUR_ID - 3 + peer)
                }
                Step::Close(peer) => match open.remove(&peer) {
                    Some(peer) => {
                        let reason = DisconnectReason::Closed;
                        scene.handle(Event::Disconnected { peer, reason })
                    }
                    None => continue,
                },
                Step::Say(peer, message) => match open.get(&peer) {
                    Some(&PeerKey(key)) => scene.receive(key, message),
                    None => continue,
                },
                Step::Answer(peer) => {
                    let Some(&peer) = open.get(&peer) else { continue };
                    let remote = scene.torrent.remotes.get(&peer);
                    let request = remote.and_then(|remote| remote.requests.front().copied());
                    match request {
                        Some(request) => scene.receive(peer.0, Message::Piece(request.block)),
                        None => continue,
                    }
                }
                Step::Check(good) => match checks.pop() {
                    Some(piece) => {
                        let verdict = if good { Verdict::Good } else { Verdict::Bad };
                        scene.handle(Event::PieceChecked { piece, verdict })
                    }
                    None => continue,
                },
                Step::Upload(peer) => {
                    let Some(&peer) = open.get(&peer) else { continue };
                    match scene.torrent.next_upload(peer, scene.now) {
                        Some(block) => scene.handle(Event::Sent { peer, block }),
                        None => continue,
                    }
                }
                Step::Wait(seconds) => {
                    let end = scene.now + seconds * SECOND;
                    let mut actions = Vec::new();
                    let mut at_once = 0;
                    while let Some(due) = scene.torrent.next_timeout(scene.now) {
                        if due > end {
                            break;
                        }
                        at_once = if due > scene.now { 0 } else { at_once + 1 };
                        // Whose turn it is under a limit comes up one by one.
                        prop_assert!(at_once < 20, "it asks for the same time again and again");
                        scene.now = scene.now.max(due);
                        actions.extend(scene.handle(Event::TimedOut));
                    }
                    scene.now = end;
                    actions
                }
            };
            checks.extend(actions.iter().filter_map(|action| match action {
                Action::CheckPiece(piece) => Some(*piece),
                _ => None,
            }));
            check(&scene.torrent);
        }
    }
}
