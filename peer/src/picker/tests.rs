//! The rules of the picker, with scripted neighbors.

use std::net::Ipv4Addr;

use fastrand::Rng;
use proptest::prelude::{Just, Strategy, prop};
use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;

impl Picker {
    /// Requests that stand, each copy of a block for itself.
    pub(crate) fn requested_count(&self) -> usize {
        let requests = self.in_progress.values().flat_map(Progress::requested);
        requests.map(|(_, times)| usize::from(times)).sum()
    }
}

/// Pieces of three blocks, the last one short.
const PIECE: u64 = 40_000;

fn bits(piece_count: u32, pieces: &[u32]) -> Bitfield {
    let geometry = Geometry::new(u64::from(piece_count), 1).unwrap();
    let mut bitfield = Bitfield::empty(piece_count);
    pieces.iter().for_each(|&index| bitfield.insert(geometry.piece(index).unwrap()));
    bitfield
}

fn sender(peer: u64) -> Sender {
    let ip = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + u32::try_from(peer).unwrap()));
    let mut peer_id = PeerId([0; 20]);
    peer_id.0[..8].copy_from_slice(&peer.to_be_bytes());
    Sender { peer: PeerKey(peer), ip, peer_id }
}

fn asked(peer: u64, has: &Bitfield) -> Asked<'_> {
    Asked { peer: PeerKey(peer), has, on_parole: false }
}

fn on_parole(peer: u64, has: &Bitfield) -> Asked<'_> {
    Asked { peer: PeerKey(peer), has, on_parole: true }
}

/// A picker with the neighbors that it knows.
struct Scene {
    picker: Picker,
    rng: Rng,
}

impl Scene {
    fn with(rules: Policy, pieces: u32, piece_length: u64, have: &[u32], seed: u64) -> Self {
        let geometry = Geometry::new(u64::from(pieces) * piece_length, piece_length).unwrap();
        let mut rng = Rng::with_seed(seed);
        Self { picker: Picker::new(geometry, bits(pieces, have), rules, &mut rng), rng }
    }

    /// The content has `pieces` pieces of three blocks each; we have those of `have`.
    fn new(pieces: u32, have: &[u32]) -> Self {
        Self::with(Policy::default(), pieces, PIECE, have, 1)
    }

    fn joins(&mut self, has: &Bitfield) {
        self.picker.peer_joined(has, &mut self.rng);
    }

    fn pick(&mut self, asked: Asked<'_>) -> Option<Pick> {
        self.picker.pick(asked, &mut self.rng)
    }

    /// The index of the piece of the next pick.
    fn piece(&mut self, asked: Asked<'_>) -> Option<u32> {
        self.pick(asked).map(|pick| pick.block.piece().get())
    }

    fn block(&mut self, asked: Asked<'_>) -> Block {
        self.pick(asked).expect("a block to ask for").block
    }

    fn blocks(&mut self, asked: Asked<'_>, count: usize) -> Vec<Block> {
        (0..count).map(|_| self.block(asked)).collect()
    }

    fn receive(&mut self, block: Block, from: u64) -> Arrival {
        self.picker.received(block, sender(from), true)
    }

    /// Picks the next block of the peer and receives it. Its piece passes if this completes it.
    fn fetch(&mut self, asked: Asked<'_>) -> Option<Pick> {
        let pick = self.pick(asked)?;
        if let Arrival::LastOfPiece { .. } = self.receive(pick.block, asked.peer.0) {
            self.picker.verified(pick.block.piece());
        }
        Some(pick)
    }

    fn fetch_many(&mut self, asked: Asked<'_>, count: usize) {
        for _ in 0..count {
            self.fetch(asked);
        }
    }

    fn receive_all(&mut self, blocks: &[Block], from: u64) {
        for &block in blocks {
            self.receive(block, from);
        }
    }

    fn release(&mut self, blocks: &[Block]) {
        blocks.iter().for_each(|&block| self.picker.release(block));
    }

    fn received(&self) -> Vec<u32> {
        self.picker.in_progress().map(|(_, received, _)| received).collect()
    }
}

const STORED: Arrival = Arrival::Stored { asked_elsewhere: false };
const LAST: Arrival = Arrival::LastOfPiece { asked_elsewhere: false };

/// PROTOCOL: six pieces wanted by a peer that has four others; P, Q, R and a seed S.
fn example(rules: Policy, seed: u64) -> (Scene, [Bitfield; 4]) {
    let peers = [&[0, 1, 2][..], &[0, 2, 4], &[0, 4, 5], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]
        .map(|pieces| bits(10, pieces));
    let mut scene = Scene::with(rules, 10, PIECE, &[6, 7, 8, 9], seed);
    peers.iter().for_each(|has| scene.joins(has));
    (scene, peers)
}

const ALWAYS: Policy =
    Policy { order: Order::RAREST_FIRST, strict_priority: StrictPriority::ALWAYS };

#[test]
fn the_rarest_piece_that_the_peer_has_comes_first() {
    let next = |seed, peer: usize, r_leaves: bool| {
        let (mut scene, peers) = example(Policy::default(), seed);
        if r_leaves {
            scene.picker.peer_left(&peers[2], &mut scene.rng);
        }
        scene.piece(asked(0, &peers[peer])).unwrap()
    };
    let all = |peer, r_leaves| {
        let picks: BTreeSet<_> = (0..50).map(|seed| next(seed, peer, r_leaves)).collect();
        picks.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(all(3, false), [3]);
    assert_eq!(all(0, false), [1]);
    assert_eq!(all(1, false), [2, 4]);
    assert_eq!(all(2, false), [5]);
    assert_eq!(all(3, true), [3, 5]);
    assert_eq!(all(1, true), [4]);
}

#[test]
fn a_piece_that_a_neighbor_got_is_less_rare() {
    let (mut scene, mut peers) = example(Policy::default(), 1);
    let three = scene.picker.geometry.piece(3).unwrap();
    for has in &mut peers[..2] {
        has.insert(three);
        scene.picker.peer_gained(three, has, &mut scene.rng);
    }
    // 1 and 5 are held by two now, and 3 by three.
    let pick = scene.pick(asked(0, &peers[3])).unwrap();
    assert!([1, 5].contains(&pick.block.piece().get()));
    assert_eq!(pick.begins.unwrap().held_by, Some(2));
}

#[test]
fn ties_are_broken_by_chance_and_evenly() {
    let mut times = [0; 10];
    for seed in 0..10_000 {
        let mut scene = Scene::with(Policy::default(), 14, PIECE, &[10, 11, 12, 13], seed);
        scene.joins(&bits(14, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
        times[scene.piece(asked(0, &Bitfield::full(14))).unwrap() as usize] += 1;
    }
    assert!(times.iter().all(|n| (850..1150).contains(n)), "{times:?}");
}

#[test]
fn a_piece_in_progress_is_finished_first() {
    let (mut scene, peers) = example(ALWAYS, 1);
    let first = scene.pick(asked(0, &peers[0])).unwrap();
    assert_eq!(first.begins.unwrap().to_string(), "rarest first, held by 2");
    // S has rarer pieces, but piece 1 is in progress.
    for _ in 0..2 {
        let next = scene.pick(asked(3, &peers[3])).unwrap();
        assert_eq!((next.block.piece(), next.begins), (first.block.piece(), None));
    }
    assert_eq!(scene.piece(asked(3, &peers[3])), Some(3));
}

#[test]
fn of_the_pieces_in_progress_the_rarest_is_continued() {
    for seed in 0..20 {
        let (mut scene, peers) = example(ALWAYS, seed);
        let others = [&[0, 2], &[1, 3]].map(|pieces| bits(10, pieces));
        // Three pieces are in progress, held by 2, 3 and 3 neighbors.
        let rarest = scene.piece(asked(0, &peers[0])).unwrap();
        assert_eq!(scene.piece(asked(1, &peers[1])).map(|n| n == 2 || n == 4), Some(true));
        assert_eq!(scene.piece(asked(4, &others[0])).map(|n| n == 0 || n == 2), Some(true));
        for _ in 0..2 {
            assert_eq!(scene.piece(asked(3, &peers[3])), Some(rarest));
        }
    }
}

#[test]
fn a_seed_is_asked_first_for_the_pieces_that_a_seed_was_asked_for() {
    let (mut scene, peers) = example(Policy::default(), 1);
    // P begins piece 1, held by two; only the seed has piece 3.
    assert_eq!(scene.piece(asked(0, &peers[0])), Some(1));
    assert_eq!(scene.piece(asked(3, &peers[3])), Some(3));
    // Two more neighbors get 3, which is less rare then, but the seed was asked for it.
    for _ in 0..2 {
        scene.joins(&bits(10, &[3]));
    }
    assert_eq!(scene.piece(asked(3, &peers[3])), Some(3));
    assert_eq!(scene.piece(asked(3, &peers[3])), Some(3));
    // Of the others the rarest are 1, in progress, and 5.
    let next = scene.piece(asked(3, &peers[3])).unwrap();
    assert!([1, 5].contains(&next));
    // From now on this one is the seed's, too.
    assert_eq!(scene.piece(asked(3, &peers[3])), Some(next));
}

#[test]
fn a_seed_is_asked_for_a_piece_of_others_where_it_is_the_rarest_or_the_only_one() {
    let times = (0..200)
        .filter(|&seed| {
            let (mut scene, peers) = example(Policy::default(), seed);
            // 1 is in progress and 3 is not; both are held by two.
            scene.joins(&bits(10, &[3]));
            scene.joins(&bits(10, &[5]));
            assert_eq!(scene.piece(asked(0, &peers[0])), Some(1));
            scene.piece(asked(3, &peers[3])) == Some(1)
        })
        .count();
    assert!((70..130).contains(&times), "{times} of 200: chance decides");

    let mut scene = Scene::new(5, &[0, 1, 2, 3]);
    let leecher = bits(5, &[4]);
    let seed = Bitfield::full(5);
    scene.block(asked(1, &leecher));
    assert_eq!(scene.piece(asked(2, &seed)), Some(4), "nothing else can be started");
}

#[test]
fn strict_priority_holds_for_all_peers_but_seeds() {
    let (mut scene, peers) = example(Policy::default(), 1);
    let first = scene.piece(asked(1, &peers[1])).unwrap();
    let most = bits(10, &[0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(scene.piece(asked(5, &most)), Some(first));
}

#[test]
fn the_first_four_pieces_are_taken_at_random_and_the_fifth_is_the_rarest() {
    let started = |have: &[u32]| -> BTreeSet<_> {
        (0..200)
            .map(|seed| {
                let mut scene = Scene::with(Policy::default(), 10, PIECE, have, seed);
                scene.joins(&bits(10, &[4, 5, 6, 7, 8]));
                scene.joins(&Bitfield::full(10));
                let pick = scene.pick(asked(0, &Bitfield::full(10))).unwrap();
                (pick.block.piece().get(), pick.begins.unwrap().rule)
            })
            .collect()
    };
    let at_random = (3..10).map(|index| (index, "random_first"));
    assert_eq!(started(&[0, 1, 2]), at_random.collect());
    assert_eq!(started(&[0, 1, 2, 3]), [(9, "rarest_first")].into());
}

#[test]
fn in_order_means_the_lowest_index_that_the_peer_has() {
    let rules = Policy { order: Order::IN_ORDER, ..Policy::default() };
    let mut scene = Scene::with(rules, 6, PIECE, &[0], 1);
    let has = bits(6, &[0, 2, 3]);
    scene.joins(&has);
    let picks: Vec<_> = (0..7).map(|_| scene.piece(asked(0, &has))).collect();
    assert_eq!(picks[..6], [2, 2, 2, 3, 3, 3].map(Some));
    assert_eq!(picks[6], None);
}

#[test]
fn in_order_asks_again_for_a_piece_that_failed() {
    let rules = Policy { order: Order::IN_ORDER, ..Policy::default() };
    let mut scene = Scene::with(rules, 6, PIECE, &[], 1);
    let has = Bitfield::full(6);
    scene.joins(&has);
    scene.fetch_many(asked(0, &has), 6);
    let third = scene.blocks(asked(0, &has), 4)[0].piece();
    assert_eq!((third.get(), scene.piece(asked(0, &has))), (2, Some(3)));
    scene.picker.failed(third, &mut scene.rng);
    scene.blocks(asked(0, &has), 1);
    assert_eq!(scene.piece(asked(0, &has)), Some(2));
}

#[test]
fn a_block_that_a_peer_does_not_send_is_asked_of_another() {
    let mut scene = Scene::new(1, &[]);
    let has = Bitfield::full(1);
    scene.joins(&has);
    let blocks = scene.blocks(asked(0, &has), 3);
    assert_eq!(scene.pick(asked(0, &has)), None);
    scene.release(&blocks[1..2]);
    let again = Pick { block: blocks[1], begins: None, abandons: None };
    assert_eq!(scene.pick(asked(1, &has)), Some(again));
    scene.release(&blocks[..1]);
    scene.release(&blocks[2..]);
    assert_eq!(scene.blocks(asked(1, &has), 2), [blocks[0], blocks[2]], "the first one first");
}

#[test]
fn a_block_is_of_use_while_its_piece_is_in_progress_and_it_is_not_here() {
    let mut scene = Scene::new(1, &[]);
    let has = Bitfield::full(1);
    let [first, second] = [0, 16_384].map(|at| scene.picker.geometry.block(0, at, 16_384).unwrap());
    assert!(!scene.picker.needs(first));
    scene.block(asked(0, &has));
    assert!(scene.picker.needs(first) && scene.picker.needs(second));
    scene.receive(first, 0);
    assert!(!scene.picker.needs(first) && scene.picker.needs(second));
    let other_cut = scene.picker.geometry.block(0, 16_384, 10).unwrap();
    assert!(!scene.picker.needs(other_cut));
    assert_eq!(scene.receive(other_cut, 0), Arrival::Unneeded);
    // A block whose request was abandoned may still come; it is not requested again.
    assert_eq!(scene.picker.received(second, sender(0), false), STORED);
    assert_eq!(scene.picker.in_progress().collect::<Vec<_>>(), [(first.piece(), 2, 3)]);
    assert_eq!(scene.block(asked(0, &has)).begin(), 32_768);
    assert_eq!(scene.pick(asked(0, &has)), None);
    // The piece is complete without the answer to a request.
    let last = scene.picker.geometry.block(0, 32_768, 7_232).unwrap();
    assert_eq!(
        scene.picker.received(last, sender(1), false),
        Arrival::LastOfPiece { asked_elsewhere: true }
    );
}

#[test]
fn a_failed_piece_is_missing_again_and_its_senders_are_named() {
    let mut scene = Scene::new(1, &[]);
    let has = Bitfield::full(1);
    scene.joins(&has);
    let blocks = scene.blocks(asked(0, &has), 3);
    assert_eq!(scene.receive(blocks[0], 1), STORED);
    assert_eq!(scene.receive(blocks[0], 2), Arrival::Unneeded);
    assert_eq!(scene.receive(blocks[1], 1), STORED);
    assert_eq!(scene.receive(blocks[2], 2), LAST);
    assert_eq!(scene.pick(asked(0, &has)), None);
    let piece = blocks[0].piece();
    assert_eq!(scene.picker.failed(piece, &mut scene.rng), [sender(1), sender(2)]);
    assert!(!scene.picker.in_endgame());
    assert!(scene.pick(asked(0, &has)).unwrap().begins.is_some());
}

#[test]
fn a_peer_that_reconnected_is_the_same_sender() {
    let mut scene = Scene::new(1, &[]);
    let has = Bitfield::full(1);
    let blocks = scene.blocks(asked(0, &has), 3);
    let [old, new] = [7, 8].map(|peer| Sender { peer: PeerKey(peer), ..sender(1) });
    scene.picker.received(blocks[0], old, true);
    scene.picker.received(blocks[1], new, true);
    let other_name = Sender { ip: old.ip, ..sender(2) };
    scene.picker.received(blocks[2], other_name, true);
    assert_eq!(scene.picker.verified(blocks[0].piece()), [new, other_name]);
    assert!(scene.picker.have().is_full() && !scene.picker.in_endgame());
}

#[test]
fn in_the_endgame_an_idle_peer_is_asked_for_blocks_that_others_were_asked_for() {
    let mut scene = Scene::new(1, &[]);
    let (has, nothing) = (Bitfield::full(1), Bitfield::empty(1));
    scene.joins(&has);
    let pick_again =
        |scene: &mut Scene, asked: Asked<'_>| scene.picker.pick_again(asked, &mut scene.rng);
    let first = scene.block(asked(0, &has));
    assert_eq!(pick_again(&mut scene, asked(1, &has)), None, "blocks are left to ask for");
    let rest = scene.blocks(asked(0, &has), 2);
    let (second, third) = (rest[0], rest[1]);
    assert!(scene.picker.in_endgame());
    assert_eq!(pick_again(&mut scene, asked(1, &nothing)), None);
    assert_eq!(pick_again(&mut scene, on_parole(1, &has)), None);
    scene.receive(third, 0);
    let again = pick_again(&mut scene, asked(1, &has)).unwrap();
    // The block requested from the fewest peers is the next one.
    let other = pick_again(&mut scene, asked(2, &has)).unwrap();
    assert!([(first, second), (second, first)].contains(&(again, other)));
    assert_eq!(scene.receive(second, 2), Arrival::Stored { asked_elsewhere: true });
    assert_eq!(scene.picker.requested_count(), 2);
    // Of two requests for a block one is released: the other still stands.
    scene.release(&[first]);
    assert!(scene.picker.in_endgame());
    scene.release(&[first]);
    assert!(!scene.picker.in_endgame());
    // A request for a block that is here is no longer of interest.
    scene.release(&[second]);
    assert!(!scene.picker.needs(second));
}

#[test]
fn the_endgame_begins_with_any_of_the_last_blocks() {
    let again: BTreeSet<_> = (0..50)
        .map(|seed| {
            let mut scene = Scene::with(Policy::default(), 2, PIECE, &[], seed);
            let has = Bitfield::full(2);
            scene.blocks(asked(0, &has), 6);
            scene.picker.pick_again(asked(1, &has), &mut scene.rng).unwrap()
        })
        .collect();
    assert_eq!(again.len(), 6, "all peers should not ask for the same one");
}

/// Pieces of 16 MiB, so that four are in progress at most.
fn long_pieces(pieces: u32, seed: u64) -> Scene {
    Scene::with(Policy::default(), pieces, 16 << 20, &[], seed)
}

#[test]
fn pieces_in_progress_are_bounded() {
    for (length, most) in [(16 << 20, 4), (20 << 20, 4), (64 << 20, 1), (PIECE, 50)] {
        let mut scene = Scene::with(Policy::default(), 50, length, &[], 1);
        let peers: Vec<_> = (0..50).map(|index| bits(50, &[index])).collect();
        let picks = (0..).zip(&peers).filter_map(|(peer, has)| {
            scene.joins(has);
            scene.pick(asked(peer, has))
        });
        assert_eq!(picks.count(), most);
        assert_eq!(scene.picker.in_progress().len(), most);
    }
}

#[test]
fn at_the_limit_a_peer_is_asked_for_any_piece_in_progress_that_it_has() {
    let mut scene = long_pieces(10, 1);
    let leechers: Vec<_> = (0..4).map(|index| bits(10, &[index, 8])).collect();
    for (peer, has) in (0..).zip(&leechers) {
        scene.joins(has);
        assert!(scene.pick(asked(peer, &bits(10, &[index_of(has)]))).is_some());
    }
    let others = bits(10, &[2, 8, 9]);
    let seed = Bitfield::full(10);
    scene.joins(&others);
    scene.joins(&seed);
    assert_eq!(scene.piece(asked(5, &others)), Some(2));
    assert!(scene.piece(asked(6, &seed)).unwrap() < 4);
    let lacks_all = bits(10, &[8, 9]);
    assert_eq!(scene.pick(asked(7, &lacks_all)), None, "peers are at work on all of them");
}

fn index_of(has: &Bitfield) -> u32 {
    has.iter().next().unwrap().get()
}

#[test]
fn at_the_limit_a_piece_is_abandoned_that_no_neighbor_has_or_when_all_are_idle() {
    for seed in 0..10 {
        let mut scene = long_pieces(10, seed);
        let holders: Vec<_> = (0..4).map(|index| bits(10, &[index])).collect();
        let mut requested = Vec::new();
        for (peer, has) in (0..).zip(&holders) {
            scene.joins(has);
            // All of them send a block, and two of pieces 0 and 3; then one more is in flight.
            scene.fetch_many(asked(peer, has), if [0, 3].contains(&peer) { 2 } else { 1 });
            requested.push(scene.block(asked(peer, has)));
        }
        let [other, another] = [&[8], &[9]].map(|pieces| bits(10, pieces));
        scene.joins(&other);
        scene.joins(&another);
        // No neighbor has 2 or 3 anymore, but for 2 a request stands.
        for peer in [2, 3] {
            scene.picker.peer_left(&holders[peer], &mut scene.rng);
        }
        assert_eq!(scene.pick(asked(8, &other)), None);
        scene.release(&requested[3..]);
        scene.release(&requested[..1]);
        let pick = scene.pick(asked(8, &other)).unwrap();
        assert_eq!(pick.abandons.unwrap().get(), 3);
        assert_eq!((pick.block.piece().get(), scene.picker.in_progress().len()), (8, 4));
        assert!(pick.begins.is_some());
        // 0 is idle, and may be continued by the one neighbor that has it.
        assert_eq!(scene.pick(asked(9, &another)), None);
        // When no request stands anymore, the one that no neighbor has is first again.
        scene.fetch_many(asked(8, &other), 2);
        scene.release(&[requested[1], requested[2], pick.block]);
        let pick = scene.pick(asked(9, &another)).unwrap();
        assert_eq!(pick.abandons.unwrap().get(), 2);
        // Then the one with the fewest blocks; it starts over when its turn comes.
        scene.release(&[pick.block]);
        scene.fetch_many(asked(9, &another), 2);
        assert_eq!(scene.received(), [2, 1, 2, 2]);
        let pick = scene.pick(asked(5, &bits(10, &[2, 5]))).unwrap();
        assert_eq!(pick.abandons.unwrap().get(), 1);
        scene.release(&[pick.block]);
        let pick = scene.pick(asked(1, &holders[1])).unwrap();
        assert!(pick.begins.is_some() && scene.picker.in_progress().len() == 4);
    }
}

#[test]
fn for_a_peer_with_nothing_that_we_lack_no_piece_is_abandoned() {
    let mut scene = long_pieces(5, 1);
    for peer in 0..4 {
        let has = bits(5, &[u32::try_from(peer).unwrap()]);
        let block = scene.block(asked(peer, &has));
        scene.release(&[block]);
    }
    assert_eq!(scene.pick(asked(9, &Bitfield::empty(5))), None);
    assert_eq!(scene.picker.in_progress().len(), 4);
}

#[test]
fn a_peer_on_parole_sends_whole_pieces_and_no_other_peer_a_block_of_them() {
    let mut scene = Scene::new(3, &[]);
    let has = Bitfield::full(3);
    scene.joins(&has);
    let shared = scene.block(asked(1, &has));
    let own = scene.blocks(on_parole(2, &has), 3);
    assert!(own.iter().all(|block| block.piece() == own[0].piece()));
    assert_ne!(own[0].piece(), shared.piece());
    assert_eq!(scene.pick(on_parole(2, &has)), None, "one piece at a time");
    let rest = scene.blocks(asked(1, &has), 5);
    assert!(rest.iter().all(|block| block.piece() != own[0].piece()));
    assert_eq!(scene.pick(asked(1, &has)), None);

    // What others send of it unasked does not count.
    assert_eq!(scene.picker.received(own[0], sender(1), false), Arrival::Unneeded);
    assert_eq!(own.iter().map(|&block| scene.receive(block, 2)).last(), Some(LAST));
    assert_eq!(scene.pick(on_parole(2, &has)), None, "its hash is being checked");
    assert_eq!(scene.picker.failed(own[0].piece(), &mut scene.rng), [sender(2)]);
    // Another piece is to begin, the same one again or not.
    assert!(scene.pick(on_parole(2, &has)).unwrap().begins.is_some());
}

#[test]
fn a_block_that_the_owner_sends_late_counts() {
    let mut scene = Scene::new(2, &[]);
    let has = Bitfield::full(2);
    let block = scene.block(on_parole(1, &has));
    scene.release(&[block]);
    assert_eq!(scene.picker.received(block, sender(1), false), STORED);
}

#[test]
fn an_owned_piece_is_kept_for_an_owner_that_chokes_us_while_others_have_other_work() {
    let mut scene = Scene::new(3, &[]);
    let has = Bitfield::full(3);
    scene.joins(&has);
    let own = scene.blocks(on_parole(1, &has), 2);
    scene.receive(own[0], 1);
    scene.release(&own[1..]);
    scene.blocks(asked(2, &has), 3);
    scene.blocks(on_parole(3, &has), 3);
    let piece = scene.picker.geometry.piece(own[0].piece().get()).unwrap();
    assert!(scene.picker.in_progress().any(|progress| progress == (piece, 1, 3)));
    assert_eq!(scene.block(on_parole(1, &has)), own[1]);
}

#[test]
fn whatever_an_owner_does_the_others_complete() {
    #[derive(Clone, Copy, PartialEq)]
    enum Owner {
        Chokes,
        IsSilent,
        Departs,
    }
    for owner in [Owner::Chokes, Owner::IsSilent, Owner::Departs] {
        for other_on_parole in [false, true] {
            let mut scene = Scene::new(3, &[]);
            let has = Bitfield::full(3);
            [&has, &has].iter().for_each(|has| scene.joins(has));
            let own = scene.blocks(on_parole(1, &has), 2);
            scene.receive(own[0], 1);
            let other = Asked { peer: PeerKey(2), has: &has, on_parole: other_on_parole };
            (0..6).for_each(|_| assert!(scene.fetch(other).is_some()));
            assert!(scene.picker.in_endgame(), "what is left is the owner's");
            assert_eq!(scene.pick(other), None);
            // An idle peer that is not on parole is asked for the block in flight.
            let again = scene.picker.pick_again(other, &mut scene.rng);
            assert_eq!(again, (!other_on_parole).then_some(own[1]));
            scene.release(again.as_slice());
            // Silent means that a time-out takes the request back.
            scene.release(&own[1..]);
            if owner == Owner::Departs {
                let piece = scene.picker.departed(PeerKey(1), &mut scene.rng);
                assert_eq!(piece, Some(own[0].piece()));
                assert_eq!(scene.picker.in_progress().len(), 0);
            }
            assert!(scene.picker.in_endgame() != (owner == Owner::Departs));
            let pick = scene.fetch(other).unwrap();
            assert_eq!(pick.begins.is_some(), owner == Owner::Departs);
            // It starts again, for the first block is the suspect's.
            assert_eq!(pick.block, own[0]);
            (0..2).for_each(|_| assert!(scene.fetch(other).is_some()));
            assert!(scene.picker.have().is_full());
        }
    }
}

#[test]
fn a_piece_that_was_taken_over_shows_only_what_its_new_owner_sent() {
    let mut scene = Scene::new(1, &[]);
    let has = Bitfield::full(1);
    let own = scene.blocks(on_parole(1, &has), 2);
    scene.receive(own[0], 1);
    scene.release(&own[1..]);
    let taken = scene.blocks(on_parole(2, &has), 3);
    assert_eq!(scene.pick(on_parole(1, &has)), None);
    assert_eq!(scene.picker.received(own[1], sender(1), false), Arrival::Unneeded);
    scene.receive_all(&taken, 2);
    assert_eq!(scene.picker.failed(taken[0].piece(), &mut scene.rng), [sender(2)]);
}

#[test]
fn slow_peers_on_parole_that_choke_us_by_turns_finish_a_piece_together() {
    let mut scene = Scene::with(Policy::default(), 1, 16 << 20, &[], 1);
    let has = Bitfield::full(1);
    let mut turns = 0;
    while !scene.picker.have().is_full() {
        let peer = on_parole(1 + turns % 3, &has);
        scene.fetch_many(peer, 100);
        turns += 1;
        assert!(turns < 20, "each starts again what the one before has done");
    }
}

#[test]
fn a_shared_piece_that_only_peers_on_parole_could_finish_starts_again() {
    let mut scene = Scene::new(1, &[]);
    let has = Bitfield::full(1);
    let block = scene.block(asked(1, &has));
    let late = scene.block(asked(2, &has));
    scene.receive(block, 1);
    assert_eq!(scene.pick(on_parole(3, &has)), None, "another peer is at work on it");
    scene.release(&[late]);
    // It may keep what it sent itself.
    assert_eq!(scene.block(on_parole(1, &has)), late);
    assert_eq!(scene.received(), [1]);
    scene.release(&[late]);
    assert_eq!(scene.block(on_parole(3, &has)), block);
    assert_eq!(scene.received(), [0]);
}

#[test]
fn of_the_pieces_that_can_be_taken_over_the_one_with_the_fewest_blocks_is() {
    let mut scene = Scene::new(4, &[]);
    let has = Bitfield::full(4);
    for (peer, blocks) in [(1, 2), (2, 1), (3, 2)] {
        scene.fetch_many(on_parole(peer, &has), blocks);
    }
    scene.fetch_many(asked(4, &has), 3);
    let fewest = scene.picker.owned[&PeerKey(2)];
    assert_eq!(scene.piece(asked(4, &has)), Some(fewest.get()));
}

#[test]
fn a_piece_is_shared_again_when_its_owner_is_off_parole() {
    let mut scene = Scene::new(1, &[]);
    let has = Bitfield::full(1);
    let first = scene.block(on_parole(1, &has));
    scene.receive(first, 1);
    let second = scene.block(asked(1, &has));
    assert_eq!((second.begin(), scene.received()), (16_384, vec![1]));
    assert_eq!(scene.block(asked(2, &has)).begin(), 32_768);
    assert_eq!(scene.picker.departed(PeerKey(1), &mut scene.rng), None);
    assert_eq!(scene.received(), [1], "what it sent counts");
}

#[test]
fn a_piece_whose_hash_is_being_checked_outlives_its_owner() {
    let mut scene = Scene::new(1, &[]);
    let has = Bitfield::full(1);
    let blocks = scene.blocks(on_parole(1, &has), 3);
    scene.receive_all(&blocks, 1);
    assert_eq!(scene.picker.departed(PeerKey(1), &mut scene.rng), None);
    assert_eq!(scene.pick(on_parole(2, &has)), None);
    assert_eq!(scene.picker.failed(blocks[0].piece(), &mut scene.rng), [sender(1)]);
    assert!(scene.pick(on_parole(2, &has)).is_some());
}

#[test]
fn blocks_that_others_were_asked_for_stay_requested_when_an_owner_departs() {
    let mut scene = Scene::new(1, &[]);
    let has = Bitfield::full(1);
    let own = scene.blocks(on_parole(1, &has), 3);
    scene.receive(own[0], 1);
    let again = scene.picker.pick_again(asked(2, &has), &mut scene.rng).unwrap();
    scene.release(&own[1..]);
    assert_eq!(scene.picker.departed(PeerKey(1), &mut scene.rng), None);
    assert_eq!((scene.picker.requested_count(), scene.received()), (1, vec![0]));
    assert_eq!(scene.receive(again, 2), STORED);
    assert_eq!(scene.blocks(asked(2, &has), 2).len(), 2);
    assert!(scene.picker.in_endgame());
}

#[test]
fn peers_on_parole_leave_room_for_the_others() {
    let mut scene = long_pieces(20, 1);
    let has = Bitfield::full(20);
    let owned = (0..9).filter_map(|peer| scene.pick(on_parole(peer, &has)));
    assert_eq!(owned.count(), 4);
    let leechers: Vec<_> = has.iter().map(|piece| bits(20, &[piece.get()])).collect();
    let shared = (20..).zip(&leechers).filter_map(|(peer, has)| scene.pick(asked(peer, has)));
    assert_eq!(shared.count(), 4);
    // Nor do they take more pieces over than they could have started.
    let (first, _, _) = scene.picker.in_progress().next().unwrap();
    assert!(scene.picker.owned.len() == 4 && first.get() < 20);
    let shared: Vec<_> = scene.picker.unfinished.iter().copied().collect();
    shared.iter().for_each(|&piece| {
        let block = scene.picker.geometry.blocks(piece).next().unwrap();
        scene.picker.release(block);
    });
    assert_eq!(scene.pick(on_parole(10, &has)), None);
    // They can take pieces over from each other.
    let own = scene.picker.owned[&PeerKey(0)];
    let block = scene.picker.geometry.blocks(own).next().unwrap();
    scene.picker.release(block);
    assert_eq!(scene.piece(on_parole(10, &has)), Some(own.get()));
    assert_eq!(scene.picker.owned.len(), 4);
}

/// What one of six peers does.
#[derive(Clone, Copy, Debug)]
enum Step {
    Ask,
    Answer,
    /// A block comes whose request was abandoned.
    AnswerLate,
    Choke,
    Depart,
    ChangeParole,
    Gain(u32),
}

fn any_step() -> impl Strategy<Value = (usize, Step)> {
    let step = prop_oneof![
        6 => Just(Step::Ask),
        6 => Just(Step::Answer),
        1 => Just(Step::AnswerLate),
        1 => Just(Step::Choke),
        1 => Just(Step::Depart),
        1 => Just(Step::ChangeParole),
        2 => (0..12_u32).prop_map(Step::Gain),
    ];
    (0..6_usize, step)
}

#[derive(Debug)]
struct Peer {
    key: PeerKey,
    has: Bitfield,
    on_parole: bool,
    requests: Vec<Block>,
    given_up: Vec<Block>,
}

impl Peer {
    fn asked(&self) -> Asked<'_> {
        Asked { peer: self.key, has: &self.has, on_parole: self.on_parole }
    }
}

proptest! {
    #[test]
    fn every_order_picks_only_what_is_missing_and_everything_completes(
        steps in prop::collection::vec(any_step(), 0..200),
        order in 0..Order::ALL.len(), always: bool, seed: u64, most in 1..13_usize,
    ) {
        let pieces = 12;
        let strict_priority =
            if always { StrictPriority::ALWAYS } else { StrictPriority::SEEDS };
        let rules = Policy { order: Order::ALL[order], strict_priority };
        let mut scene = Scene::with(rules, pieces, PIECE, &[3], seed);
        scene.picker.most_in_progress = most;
        let mut peers: Vec<Peer> = (0..6)
            .map(|n| Peer {
                key: PeerKey(n), has: Bitfield::empty(pieces), on_parole: false,
                requests: Vec::new(), given_up: Vec::new(),
            })
            .collect();
        let mut next_key = 6;
        for (number, step) in steps {
            let peer = &mut peers[number];
            match step {
                Step::Ask => {
                    let pick = scene.pick(peer.asked());
                    let idle = peer.requests.is_empty();
                    let mut again = || scene.picker.pick_again(peer.asked(), &mut scene.rng);
                    let again = if pick.is_none() && idle { again() } else { None };
                    let Some(block) = pick.map(|pick| pick.block).or(again) else { continue };
                    prop_assert!(peer.has.contains(block.piece()));
                    prop_assert!(!scene.picker.have().contains(block.piece()));
                    prop_assert!(scene.picker.needs(block));
                    prop_assert!(!peer.requests.contains(&block));
                    peer.requests.push(block);
                }
                Step::Answer | Step::AnswerLate => {
                    let late = matches!(step, Step::AnswerLate);
                    let list = if late { &mut peer.given_up } else { &mut peer.requests };
                    let Some(block) = list.pop() else { continue };
                    let from = sender(peer.key.0);
                    match scene.picker.received(block, from, !late) {
                        Arrival::Unneeded => prop_assert!(late, "it was asked for"),
                        Arrival::Stored { asked_elsewhere }
                        | Arrival::LastOfPiece { asked_elsewhere } => {
                            let others = peers.iter_mut();
                            let taken = others.map(|peer| {
                                let before = peer.requests.len();
                                peer.requests.retain(|&other| other != block);
                                before - peer.requests.len()
                            });
                            prop_assert_eq!(taken.sum::<usize>() > 0, asked_elsewhere);
                        }
                    }
                    if scene.picker.in_progress().any(|(_, received, of)| received == of) {
                        let piece = block.piece();
                        let senders = if scene.rng.u8(..4) == 0 {
                            scene.picker.failed(piece, &mut scene.rng)
                        } else {
                            scene.picker.verified(piece)
                        };
                        prop_assert!(!senders.is_empty());
                    }
                }
                Step::Choke => {
                    peer.requests.iter().for_each(|&block| scene.picker.release(block));
                    peer.given_up.append(&mut peer.requests);
                }
                Step::Depart => {
                    peer.requests.drain(..).for_each(|block| scene.picker.release(block));
                    scene.picker.departed(peer.key, &mut scene.rng);
                    scene.picker.peer_left(&peer.has, &mut scene.rng);
                    (peer.key, next_key) = (PeerKey(next_key), next_key + 1);
                    (peer.has, peer.on_parole) = (Bitfield::empty(pieces), false);
                    peer.given_up.clear();
                }
                Step::ChangeParole => peer.on_parole = !peer.on_parole,
                Step::Gain(index) => {
                    let piece = scene.picker.geometry.piece(index).unwrap();
                    if !peer.has.contains(piece) {
                        peer.has.insert(piece);
                        scene.picker.peer_gained(piece, &peer.has, &mut scene.rng);
                    }
                }
            }
            let requests: usize = peers.iter().map(|peer| peer.requests.len()).sum();
            prop_assert_eq!(scene.picker.requested_count(), requests);
            prop_assert!(scene.picker.owned.len() <= most);
        }
        // Then all but one choke us, and this one has everything.
        for peer in &peers {
            peer.requests.iter().for_each(|&block| scene.picker.release(block));
        }
        let has = Bitfield::full(pieces);
        scene.joins(&has);
        let last = Asked { peer: PeerKey(99), has: &has, on_parole: peers[0].on_parole };
        // Three blocks of each piece, once or, of those that start again, twice.
        scene.fetch_many(last, 6 * pieces as usize);
        prop_assert!(scene.picker.have().is_full(), "stuck with {:?}", scene.picker);
    }
}
