//! The core under scripted inputs.

mod books;
mod connections;
mod downloads;
mod uploads;

use std::net::SocketAddr;

use common::geometry::{Block, PieceIndex};
use common::report::{Direction, Identity};
use common::wire::ExtendedHandshake;

use super::admission::{EVICTION_INTERVAL, IDLE_AFTER, LISTEN_PORT_WAIT};
use super::neighbor::MAX_UPLOADS;
use super::*;
use crate::choker::ChokeReason;
use crate::decision::DisconnectReason;

const SECOND: Duration = Duration::from_secs(1);

/// A torrent of ten pieces with two blocks each, and the clock.
struct Scene {
    torrent: Torrent,
    now: Moment,
}

/// Peers differ in the first byte of their ids; ours is in the middle.
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
        let now = Moment::START;
        Self { torrent: Torrent::new(config, geometry(), have, 1, now), now }
    }

    fn handle(&mut self, input: Input) -> Vec<Output> {
        self.torrent.handle(input, self.now);
        std::iter::from_fn(|| self.torrent.poll()).collect()
    }

    fn connect_as(&mut self, peer: u64, direction: Direction, id: u8) -> Vec<Output> {
        let neighbor = Identity {
            key: PeerKey(peer),
            address: address(peer),
            peer_id: PeerId([id; 20]),
            name: None,
        };
        self.handle(Input::Connected { neighbor, direction, extensions: false })
    }

    /// A neighbor that dialed us and has these pieces.
    fn neighbor(&mut self, peer: u8, has: Bitfield) -> Vec<Output> {
        let mut actions = self.connect_as(peer.into(), Direction::Incoming, peer);
        if !has.is_empty() {
            actions.extend(self.receive(peer.into(), Message::Bitfield(has)));
        }
        actions
    }

    /// A message arrives, and with a piece message its block.
    fn receive(&mut self, peer: u64, message: Message) -> Vec<Output> {
        let peer = PeerKey(peer);
        let block = if let Message::Piece(block) = message { Some(block) } else { None };
        let mut outputs = self.handle(Input::Received { peer, message });
        outputs.extend(
            block.into_iter().flat_map(|block| self.handle(Input::BlockArrived { peer, block })),
        );
        outputs
    }

    /// Answers a request, and says that the hash is right when asked.
    fn answer(&mut self, peer: u64, block: Block) -> Vec<Output> {
        let mut outputs = self.receive(peer, Message::Piece(block));
        if outputs.contains(&Output::CheckPiece(block.piece())) {
            let (piece, verdict) = (block.piece(), Verdict::Good);
            outputs.extend(self.handle(Input::PieceChecked { piece, verdict }));
        }
        outputs
    }

    /// The block that the core sends once the connection is writable.
    fn next_upload(&mut self, peer: u64) -> Option<Block> {
        let outputs = self.handle(Input::Writable { peer: PeerKey(peer) });
        outputs.iter().find_map(|output| match output {
            Output::SendBlock { block, .. } => Some(*block),
            _ => None,
        })
    }

    /// Lets time pass, with every timeout in it.
    fn wait(&mut self, time: Duration) -> Vec<Output> {
        let end = self.now + time;
        let mut outputs = Vec::new();
        while let Some(due) = self.torrent.next_timeout().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            outputs.extend(self.handle(Input::TimedOut));
        }
        self.now = end;
        outputs
    }

    fn remote(&self, peer: u64) -> &Neighbor {
        self.torrent.neighbors.get(PeerKey(peer)).unwrap()
    }
}

fn sent(actions: &[Output], to: u64) -> Vec<&Message> {
    let to_peer = |action| match action {
        &Output::Send { peer, ref message } if peer == PeerKey(to) => Some(message),
        _ => None,
    };
    actions.iter().filter_map(to_peer).collect()
}

fn requests(actions: &[Output], to: u64) -> Vec<Block> {
    let block = |message: &&Message| match **message {
        Message::Request(block) => Some(block),
        _ => None,
    };
    sent(actions, to).iter().filter_map(block).collect()
}

fn disconnected(actions: &[Output]) -> Vec<(u64, DisconnectReason)> {
    let ended = |action: &Output| match action {
        Output::Disconnect { peer, reason } => Some((peer.0, reason.clone())),
        _ => None,
    };
    actions.iter().filter_map(ended).collect()
}

#[test]
fn a_later_bitfield_adds_pieces_but_removes_none() {
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
fn we_are_interested_exactly_while_a_neighbor_has_what_we_lack() {
    let mut scene = Scene::new(bits([0]));
    let actions = scene.neighbor(1, bits([0]));
    assert_eq!(sent(&actions, 1), [&Message::Bitfield(bits([0]))]);
    let actions = scene.receive(1, Message::Have(piece(1)));
    assert_eq!(sent(&actions, 1), [&Message::Interested]);
    // A repeated have counts once.
    scene.receive(1, Message::Have(piece(1)));
    assert_eq!(scene.remote(1).wanted, 1);
    let blocks = requests(&scene.receive(1, Message::Unchoke), 1);
    assert_eq!(blocks, [block(1, 0), block(1, 1)]);
    scene.answer(1, blocks[0]);
    let actions = scene.answer(1, blocks[1]);
    assert_eq!(sent(&actions, 1), [&Message::Have(piece(1)), &Message::NotInterested]);
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
fn rounds_keep_to_their_times_even_after_a_time_without_neighbors() {
    let rounds = |actions: &[Output]| {
        let is_round = |a: &&Output| matches!(a, Output::Explain(Decision::Round { .. }));
        actions.iter().filter(is_round).count()
    };
    let mut scene = Scene::new(bits([]));
    assert_eq!(rounds(&scene.wait(35 * SECOND)), 0);
    scene.neighbor(1, bits([]));
    assert_eq!(rounds(&scene.wait(4 * SECOND)), 0);
    assert_eq!(rounds(&scene.wait(2 * SECOND)), 1);
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
        let request = scene.remote(2).requests.front().expect("something is missing");
        got.push(request.block);
        scene.answer(2, request.block);
    }
    assert!(asked.iter().all(|block| got.contains(block)));
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
        let left: Vec<_> = scene.torrent.neighbors().map(|other| other.identity.key.0).collect();
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
    for id in [OUR_ID - 1, OUR_ID + 1] {
        let mut scene = Scene::new(bits([]));
        let actions = scene.handle(Input::PeerNamed { address: address(1) });
        assert_eq!(actions, [Output::Dial { address: address(1) }]);
        scene.connect_as(1, Direction::Outgoing, id);
        scene.connect_as(2, Direction::Incoming, id);
        let dials = |actions: &[Output]| {
            actions.iter().filter(|action| matches!(action, Output::Dial { .. })).count()
        };
        assert_eq!(dials(&scene.wait(200 * SECOND)), 0);
        let (peer, reason) =
            (scene.torrent.neighbors().next().unwrap().identity.key, DisconnectReason::Closed);
        scene.handle(Input::Disconnected { peer, reason });
        assert_eq!(dials(&scene.wait(200 * SECOND)), 1);
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
    assert_eq!(scene.remote(1).listens_at, [address(1), address(2)]);
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

/// A neighbor that connected to us and knows BEP 10.
fn with_extensions(scene: &mut Scene, peer: u64) -> Vec<Output> {
    let (key, peer_id) = (PeerKey(peer), PeerId([u8::try_from(peer).unwrap(); 20]));
    let neighbor = Identity { key, address: address(peer), peer_id, name: None };
    let direction = Direction::Incoming;
    scene.handle(Input::Connected { neighbor, direction, extensions: true })
}

fn listens_on(port: u16) -> Message {
    Message::Extended(ExtendedHandshake { listen_port: Some(port), ..ExtendedHandshake::default() })
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
fn a_neighbor_that_told_its_listening_port_is_not_dialed_there() {
    let mut scene = Scene::new(bits([]));
    with_extensions(&mut scene, 1);
    // Until then no address with its IP is dialed; here all peers share one IP.
    let named = scene.handle(Input::PeerNamed { address: address(10) });
    assert_eq!(dials(&named), []);
    scene.handle(Input::PeerNamed { address: address(11) });
    scene.receive(1, listens_on(address(10).port()));
    assert_eq!(dials(&scene.wait(2 * SECOND)), [address(11)]);
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
    assert_eq!(scene.remote(1).listens_at, [SocketAddr::new(address(1).ip(), 1)]);
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
fn a_peer_snubs_us_after_sixty_one_seconds_and_not_after_fifty_nine() {
    for (silence, snubbed) in [(59, false), (61, true)] {
        let mut scene = Scene::new(bits([]));
        scene.neighbor(1, bits([0]));
        scene.wait(silence * SECOND);
        assert_eq!(scene.torrent.snapshot(scene.now).neighbors[0].snubbed, snubbed, "{silence} s");
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
    let request = scene.remote(2).requests.front().unwrap().block;
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
    let request = scene.remote(1).requests.front().unwrap().block;
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

fn dials(outputs: &[Output]) -> Vec<SocketAddr> {
    let address = |output: &Output| match output {
        Output::Dial { address } => Some(*address),
        _ => None,
    };
    outputs.iter().filter_map(address).collect()
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
