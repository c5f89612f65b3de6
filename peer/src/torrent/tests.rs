//! The core, told by hand what happens.
#![allow(clippy::disallowed_methods, reason = "an instant to count from")]

mod books;

use super::neighbors::IDLE_AFTER;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A torrent of ten pieces with two blocks each, and the clock.
struct Scene {
    torrent: Torrent,
    now: Instant,
}

/// Peers are told apart by the first byte of their ids; we are in the middle.
const OUR_ID: u8 = 100;

const PIECES: u32 = 10;

fn geometry() -> Geometry {
    Geometry::new(u64::from(PIECES) * 32_768, 32_768).unwrap()
}

fn piece(index: u32) -> PieceIndex {
    geometry().piece(index).unwrap()
}

fn block(index: u32, number: u32) -> Block {
    geometry().block(index, number * 16_384, 16_384).unwrap()
}

fn bits(pieces: impl IntoIterator<Item = u32>) -> Bitfield {
    let mut bits = Bitfield::empty(PIECES);
    pieces.into_iter().for_each(|index| bits.insert(piece(index)));
    bits
}

fn address(peer: u64) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7000 + u16::try_from(peer).unwrap()))
}

impl Scene {
    fn new(have: Bitfield) -> Self {
        Self::with(have, |_| {})
    }

    fn with(have: Bitfield, configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(PeerId([OUR_ID; 20]));
        config.has_tracker = false;
        configure(&mut config);
        let now = Instant::now();
        Self { torrent: Torrent::new(config, geometry(), have, 1, now), now }
    }

    fn handle(&mut self, event: Event) -> Vec<Action> {
        self.torrent.handle(event, self.now)
    }

    fn connect_as(&mut self, peer: u64, direction: Direction, id: u8) -> Vec<Action> {
        let (peer, address, peer_id) = (PeerKey(peer), address(peer), PeerId([id; 20]));
        self.handle(Event::Connected { peer, address, direction, peer_id })
    }

    /// A neighbour that called us and has these pieces.
    fn neighbor(&mut self, peer: u8, has: Bitfield) -> Vec<Action> {
        let mut actions = self.connect_as(peer.into(), Direction::Incoming, peer);
        if !has.is_empty() {
            actions.extend(self.receive(peer.into(), Message::Bitfield(has)));
        }
        actions
    }

    fn receive(&mut self, peer: u64, message: Message) -> Vec<Action> {
        self.handle(Event::Received { peer: PeerKey(peer), message })
    }

    /// Answers a request, and says that the hash is right when asked.
    fn answer(&mut self, peer: u64, block: Block) -> Vec<Action> {
        let mut actions = self.receive(peer, Message::Piece(block));
        if actions.contains(&Action::CheckPiece(block.piece())) {
            let (piece, verdict) = (block.piece(), Verdict::Good);
            actions.extend(self.handle(Event::PieceChecked { piece, verdict }));
        }
        actions
    }

    /// Lets time pass, with every time-out on the way.
    fn wait(&mut self, time: Duration) -> Vec<Action> {
        let end = self.now + time;
        let mut actions = Vec::new();
        while let Some(due) = self.torrent.next_timeout(self.now).filter(|&due| due <= end) {
            self.now = self.now.max(due);
            actions.extend(self.handle(Event::TimedOut));
        }
        self.now = end;
        actions
    }

    fn remote(&self, peer: u64) -> &Remote {
        &self.torrent.remotes[&PeerKey(peer)]
    }
}

fn sent(actions: &[Action], to: u64) -> Vec<&Message> {
    let to_peer = |action| match action {
        &Action::Send { peer, ref message } if peer == PeerKey(to) => Some(message),
        _ => None,
    };
    actions.iter().filter_map(to_peer).collect()
}

fn requests(actions: &[Action], to: u64) -> Vec<Block> {
    let block = |message: &&Message| match **message {
        Message::Request(block) => Some(block),
        _ => None,
    };
    sent(actions, to).iter().filter_map(block).collect()
}

fn disconnected(actions: &[Action]) -> Vec<(u64, DisconnectReason)> {
    let ended = |action: &Action| match action {
        Action::Disconnect { peer, reason } => Some((peer.0, reason.clone())),
        _ => None,
    };
    actions.iter().filter_map(ended).collect()
}

#[test]
fn a_later_bitfield_adds_pieces_but_may_take_none_back() {
    let mut scene = Scene::new(bits([]));
    scene.neighbor(1, bits([1]));
    let more = scene.receive(1, Message::Bitfield(bits([1, 2])));
    assert_eq!(disconnected(&more), []);
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
fn we_are_interested_exactly_while_a_neighbour_has_what_we_lack() {
    let mut scene = Scene::new(bits([0]));
    let actions = scene.neighbor(1, bits([0]));
    assert_eq!(sent(&actions, 1), [&Message::Bitfield(bits([0]))]);
    let actions = scene.receive(1, Message::Have(piece(1)));
    assert_eq!(sent(&actions, 1), [&Message::Interested]);
    // Said twice it counts once.
    scene.receive(1, Message::Have(piece(1)));
    assert_eq!(scene.remote(1).wanted, 1);
    let blocks = requests(&scene.receive(1, Message::Unchoke), 1);
    assert_eq!(blocks, [block(1, 0), block(1, 1)]);
    scene.answer(1, blocks[0]);
    let actions = scene.answer(1, blocks[1]);
    assert_eq!(sent(&actions, 1), [&Message::Have(piece(1)), &Message::NotInterested]);
}

#[test]
fn who_asks_for_a_piece_that_we_lack_is_sent_away() {
    let mut scene = Scene::new(bits([0]));
    scene.neighbor(1, bits([]));
    let actions = scene.receive(1, Message::Request(block(1, 0)));
    assert_eq!(disconnected(&actions), [(1, DisconnectReason::AskedForMissing)]);
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
    assert_eq!(scene.torrent.next_upload(PeerKey(choked), scene.now), None);
    let actions = scene.receive(served, Message::Request(block(0, 0)));
    assert_eq!(actions, [Action::Upload { peer: PeerKey(served) }]);
    // Who wants nothing any more is choked, and what it asked for is forgotten.
    let actions = scene.receive(served, Message::NotInterested);
    assert_eq!(sent(&actions, served), [&Message::Choke]);
    assert_eq!(scene.torrent.next_upload(PeerKey(served), scene.now), None);
}

#[test]
fn blocks_go_out_in_the_order_of_the_requests_without_those_cancelled() {
    let mut scene = Scene::new(bits([0, 1]));
    scene.neighbor(1, bits([]));
    scene.receive(1, Message::Interested);
    for wanted in [block(1, 0), block(0, 0), block(1, 1), block(0, 0)] {
        scene.receive(1, Message::Request(wanted));
    }
    scene.receive(1, Message::Cancel(block(1, 1)));
    let next = |scene: &mut Scene| scene.torrent.next_upload(PeerKey(1), scene.now);
    assert_eq!(next(&mut scene), Some(block(1, 0)));
    assert_eq!(next(&mut scene), Some(block(0, 0)));
    assert_eq!(next(&mut scene), None, "asked for twice, sent once");
    assert_eq!(scene.torrent.totals().uploaded, 0);
    scene.handle(Event::Sent { peer: PeerKey(1), block: block(1, 0) });
    assert_eq!(scene.torrent.totals().uploaded, 16_384);
}

#[test]
fn rounds_keep_to_their_times_though_nobody_was_there_for_some() {
    let rounds = |actions: &[Action]| {
        let is_round = |a: &&Action| matches!(a, Action::Explain(Decision::Round { .. }));
        actions.iter().filter(is_round).count()
    };
    let mut scene = Scene::new(bits([]));
    assert_eq!(rounds(&scene.wait(35 * SECOND)), 0);
    scene.neighbor(1, bits([]));
    assert_eq!(rounds(&scene.wait(4 * SECOND)), 0);
    assert_eq!(rounds(&scene.wait(2 * SECOND)), 1);
}

#[test]
fn what_a_choke_takes_back_is_asked_of_others() {
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
    // What was on the way still counts.
    assert_eq!(scene.answer(1, rest[0])[0], Action::WriteBlock(rest[0]));
    assert_eq!(scene.torrent.totals().wasted, 0);
}

#[test]
fn what_a_neighbour_was_asked_for_when_it_left_is_asked_of_others() {
    let mut scene = Scene::new(bits([]));
    scene.neighbor(1, bits(0..PIECES));
    scene.neighbor(2, bits(0..PIECES));
    let asked = requests(&scene.receive(1, Message::Unchoke), 1);
    scene.receive(2, Message::Unchoke);
    let reason = DisconnectReason::Closed;
    scene.handle(Event::Disconnected { peer: PeerKey(1), reason });
    let mut got: Vec<Block> = Vec::new();
    while !scene.torrent.is_complete() {
        let request = scene.remote(2).requests.front().expect("something is missing");
        got.push(request.block);
        scene.answer(2, request.block);
    }
    assert!(asked.iter().all(|block| got.contains(block)));
}

#[test]
fn in_the_endgame_the_second_copy_is_cancelled() {
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
fn who_is_idle_when_the_endgame_begins_is_asked_at_once() {
    let mut scene = Scene::with(bits(3..PIECES), |config| config.order = Order::InOrder);
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
fn who_has_nothing_to_give_in_the_endgame_does_not_ask_for_its_turn_for_ever() {
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
    assert!(scene.torrent.picker.in_endgame());
    let end = scene.now + 5 * SECOND;
    let mut turns = 0;
    while let Some(due) = scene.torrent.next_timeout(scene.now).filter(|&due| due <= end) {
        scene.now = scene.now.max(due);
        assert_eq!(requests(&scene.handle(Event::TimedOut), 1), []);
        turns += 1;
        assert!(turns < 10, "it asks for the same time again and again");
    }
}

#[test]
fn blocks_that_nobody_asked_for_are_wasted_and_more_than_ten_are_too_many() {
    let mut scene = Scene::new(bits([]));
    scene.neighbor(1, bits(0..PIECES));
    for n in 0..10 {
        assert_eq!(scene.receive(1, Message::Piece(block(n, 0))), []);
    }
    assert_eq!(scene.torrent.totals(), Totals { wasted: 163_840, ..Totals::default() });
    let actions = scene.receive(1, Message::Piece(block(0, 0)));
    assert_eq!(disconnected(&actions), [(1, DisconnectReason::SentUnrequested)]);
}

#[test]
fn a_flood_of_messages_that_mean_nothing_ends_the_connection() {
    let mut scene = Scene::new(bits([0]));
    scene.neighbor(1, bits([]));
    let flood = [Message::Interested, Message::NotInterested];
    let last = (0..1000)
        .find(|&n| !disconnected(&scene.receive(1, flood[n % 2].clone())).is_empty())
        .expect("a thousand in a moment are a flood");
    assert!(last > 100);
    // The same number in a minute is none.
    scene.neighbor(2, bits([]));
    for n in 0..1000 {
        scene.wait(SECOND / 20);
        assert_eq!(disconnected(&scene.receive(2, flood[n % 2].clone())), []);
    }
}

#[test]
fn of_two_connections_to_a_peer_that_of_the_greater_id_stays() {
    use Direction::{Incoming, Outgoing};
    for (id, first, second, kept) in [
        (OUR_ID + 1, Outgoing, Incoming, 2),
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
        let left: Vec<_> = scene.torrent.neighbors().map(|(peer, _)| peer.0).collect();
        assert_eq!(left, [kept]);
    }
}

#[test]
fn who_is_connected_is_not_called_whichever_connection_stayed() {
    for id in [OUR_ID - 1, OUR_ID + 1] {
        let mut scene = Scene::new(bits([]));
        let actions = scene.handle(Event::PeerNamed { address: address(1) });
        assert_eq!(actions, [Action::Connect { address: address(1) }]);
        scene.connect_as(1, Direction::Outgoing, id);
        scene.connect_as(2, Direction::Incoming, id);
        let calls = |actions: &[Action]| {
            actions.iter().filter(|action| matches!(action, Action::Connect { .. })).count()
        };
        assert_eq!(calls(&scene.wait(200 * SECOND)), 0);
        let (peer, reason) =
            (*scene.torrent.remotes.keys().next().unwrap(), DisconnectReason::Closed);
        scene.handle(Event::Disconnected { peer, reason });
        assert_eq!(calls(&scene.wait(200 * SECOND)), 1);
    }
}

#[test]
fn a_peer_with_two_addresses_is_called_at_both_once_it_is_gone() {
    let mut scene = Scene::new(bits([]));
    for key in [1, 2] {
        scene.handle(Event::PeerNamed { address: address(key) });
        scene.connect_as(key, Direction::Outgoing, 1);
    }
    let kept = PeerKey(1);
    assert_eq!(scene.remote(1).contacts, [address(1), address(2)]);
    scene.handle(Event::Disconnected { peer: kept, reason: DisconnectReason::Closed });
    let actions = scene.wait(60 * SECOND);
    for key in [1, 2] {
        assert!(actions.contains(&Action::Connect { address: address(key) }));
    }
}

#[test]
fn there_are_never_more_neighbours_than_wanted() {
    let mut scene = Scene::with(bits([]), |config| config.max_neighbors = 3);
    for peer in 1..=3 {
        assert_eq!(disconnected(&scene.neighbor(peer, bits([]))), []);
    }
    let actions = scene.neighbor(4, bits([]));
    assert_eq!(disconnected(&actions), [(4, DisconnectReason::EnoughNeighbors)]);
    let refused = |action: &Action| matches!(action, Action::Explain(Decision::Refuse { .. }));
    assert!(refused(&actions[0]), "it never was a neighbour: {actions:?}");
    let actions = scene.handle(Event::PeerNamed { address: address(5) });
    assert_eq!(actions, [], "nobody else is called");
}

#[test]
fn an_idle_neighbour_makes_room_but_none_that_trades() {
    let mut scene = Scene::with(bits([0]), |config| config.max_neighbors = 2);
    for peer in 1..=2 {
        scene.neighbor(peer, bits([]));
    }
    scene.receive(1, Message::Interested);
    let first = block(0, 0);
    scene.receive(1, Message::Request(first));
    assert_eq!(scene.torrent.next_upload(PeerKey(1), scene.now), Some(first));
    scene.handle(Event::Sent { peer: PeerKey(1), block: first });
    scene.wait(IDLE_AFTER - Duration::from_secs(1));
    let early = scene.neighbor(3, bits([]));
    assert_eq!(disconnected(&early), [(3, DisconnectReason::EnoughNeighbors)]);
    scene.wait(Duration::from_secs(1));
    let later = scene.neighbor(4, bits([]));
    assert_eq!(disconnected(&later), [(2, DisconnectReason::MadeRoom)]);
    // The newcomer has time to begin, and the other one has traded.
    let next = scene.neighbor(5, bits([]));
    assert_eq!(disconnected(&next), [(5, DisconnectReason::EnoughNeighbors)]);
}

#[test]
fn seeds_part_from_each_other_but_not_from_leechers() {
    let mut scene = Scene::new(bits(0..PIECES));
    let actions = scene.neighbor(1, bits(0..PIECES));
    assert_eq!(disconnected(&actions), [(1, DisconnectReason::BothComplete)]);
    assert_eq!(disconnected(&scene.neighbor(2, bits(0..PIECES - 1))), []);
    let actions = scene.receive(2, Message::Have(piece(PIECES - 1)));
    assert_eq!(disconnected(&actions), [(2, DisconnectReason::BothComplete)]);
    // Whoever becomes a seed parts from the seeds that it has.
    let mut scene = Scene::new(bits(1..PIECES));
    scene.neighbor(1, bits(0..PIECES));
    scene.receive(1, Message::Unchoke);
    scene.answer(1, block(0, 0));
    let actions = scene.answer(1, block(0, 1));
    assert_eq!(disconnected(&actions), [(1, DisconnectReason::BothComplete)]);
    assert_eq!(actions.last(), Some(&Action::Complete));
}

#[test]
fn a_silent_neighbour_is_let_go_and_gets_a_keep_alive_before() {
    let mut scene = Scene::new(bits([]));
    scene.neighbor(1, bits([]));
    let actions = scene.wait(120 * SECOND);
    assert_eq!(sent(&actions, 1), [&Message::KeepAlive]);
    let actions = scene.wait(130 * SECOND);
    assert_eq!(disconnected(&actions), [(1, DisconnectReason::Silent)]);
}

#[test]
fn a_request_without_an_answer_for_a_minute_goes_to_another() {
    let mut scene = Scene::new(bits([]));
    scene.neighbor(1, bits([0]));
    let asked = requests(&scene.receive(1, Message::Unchoke), 1);
    assert_eq!(asked.len(), 2);
    scene.wait(59 * SECOND);
    assert_eq!(scene.remote(1).requests.len(), 2);
    scene.wait(12 * SECOND);
    // From now on it is asked for one at a time.
    assert_eq!(scene.remote(1).requests.len(), 1);
    scene.neighbor(2, bits([0]));
    assert_ne!(requests(&scene.receive(2, Message::Unchoke), 2), []);
}

#[test]
fn who_knows_few_peers_asks_the_tracker_sooner_than_it_must() {
    let announces = |actions: &[Action]| {
        actions.iter().filter(|action| matches!(action, Action::Announce { .. })).count()
    };
    for (neighbors, wait) in [(0, 30), (1, 300), (30, 1800)] {
        let mut scene = Scene::with(bits([]), |config| config.has_tracker = true);
        assert_eq!(announces(&scene.wait(SECOND)), 1);
        let interval = 1800 * SECOND;
        scene.handle(Event::Announced { interval, min_interval: None, peers: Vec::new() });
        (1..=neighbors).for_each(|peer| drop(scene.neighbor(peer, bits([]))));
        let mut waited = 0;
        while announces(&scene.wait(SECOND)) == 0 {
            (1..=neighbors).for_each(|peer| drop(scene.receive(peer.into(), Message::KeepAlive)));
            waited += 1;
        }
        assert_eq!(waited, wait - 1, "with {neighbors} neighbours");
    }
}

#[test]
fn limits_hold_and_everybody_gets_a_turn() {
    let mut scene = Scene::with(bits(0..PIECES), |config| config.upload_limit = Some(16_384));
    for peer in 1..=4 {
        scene.neighbor(peer, bits([]));
        scene.receive(peer.into(), Message::Interested);
        for index in 0..PIECES {
            scene.receive(peer.into(), Message::Request(block(index, 0)));
        }
    }
    let mut got = [0; 4];
    let mut upload = |scene: &mut Scene, actions: &[Action]| {
        for action in actions {
            if let &Action::Upload { peer } = action
                && let Some(block) = scene.torrent.next_upload(peer, scene.now)
            {
                scene.handle(Event::Sent { peer, block });
                got[usize::try_from(peer.0).unwrap() - 1] += 1;
                // The connection can take the next one.
                assert_eq!(scene.torrent.next_upload(peer, scene.now), None);
            }
        }
    };
    let all: Vec<_> = (1..=4).map(|peer| Action::Upload { peer: PeerKey(peer) }).collect();
    upload(&mut scene, &all);
    let end = scene.now + 20 * SECOND;
    while let Some(due) = scene.torrent.next_timeout(scene.now).filter(|&due| due <= end) {
        scene.now = due;
        let actions = scene.handle(Event::TimedOut);
        upload(&mut scene, &actions);
    }
    // A block from the bucket, and one a second.
    assert_eq!(got.iter().sum::<u32>(), 21);
    assert!(got.iter().all(|n| (5..=6).contains(n)), "{got:?}");
}
