//! Whatever peers do, the books balance: no request is lost, none is counted twice.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{Just, prop};
use proptest::strategy::Strategy as Generator;
use proptest::{prop_assert, prop_oneof, proptest};

use super::*;

/// What must hold whatever happens.
fn check(torrent: &Torrent) {
    let mut requested = 0;
    for remote in torrent.neighbors() {
        let wanted = remote.has.iter().filter(|&piece| !torrent.have().contains(piece)).count();
        assert_eq!(remote.am_interested, wanted > 0);
        assert!(!remote.peer_choking || remote.exchange().requests.is_empty());
        assert!(!remote.am_choking || remote.exchange().uploads.is_empty());
        for request in &remote.exchange().requests {
            assert!(remote.has.contains(request.block.piece()));
            assert!(!torrent.have().contains(request.block.piece()));
        }
        let arriving =
            remote.exchange().receiving.is_some_and(|receiving| receiving.request.is_some());
        requested += remote.exchange().requests.len() + usize::from(arriving);
    }
    assert_eq!(
        torrent.downloads.picker.requested_count(),
        requested,
        "requests that were sent to no peer"
    );
}

fn any_block() -> impl Generator<Value = Block> {
    (0..PIECES, 0..2_u32).prop_map(|(index, number)| block(index, number))
}

fn any_extended_handshake() -> impl Generator<Value = ExtendedHandshake> {
    let port = prop::option::of(7000..7006_u16);
    let requests = prop::option::of(0..8_u32);
    (port, requests).prop_map(|(listen_port, request_queue)| ExtendedHandshake {
        listen_port,
        request_queue,
        ..ExtendedHandshake::default()
    })
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
        1 => any_extended_handshake().prop_map(Message::Extended),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Connect(u8, Direction, bool),
    Close(u8),
    Say(u8, Message),
    /// The peer begins to answer its oldest request.
    Head(u8),
    /// The rest of the arriving block has arrived.
    Body(u8),
    Check(bool),
    Upload(u8),
    Wait(u32),
}

fn any_step() -> impl Generator<Value = Step> {
    let peer = || 0..6_u8;
    let direction = prop_oneof![Just(Direction::Incoming), Just(Direction::Outgoing)];
    let connect = (peer(), direction, prop::bool::ANY);
    prop_oneof![
        2 => connect.prop_map(|(peer, direction, bit)| Step::Connect(peer, direction, bit)),
        1 => peer().prop_map(Step::Close),
        8 => (peer(), any_message()).prop_map(|(peer, message)| Step::Say(peer, message)),
        8 => peer().prop_map(Step::Head),
        8 => peer().prop_map(Step::Body),
        2 => prop::bool::weighted(0.7).prop_map(Step::Check),
        1 => peer().prop_map(Step::Upload),
        1 => (1..40_u32).prop_map(Step::Wait),
    ]
}

/// What a shell keeps: connections, blocks that are arriving, and blocks that have arrived.
struct Shell {
    scene: Scene,
    keys: u64,
    open: BTreeMap<u8, PeerKey>,
    /// Blocks of which the head has come, and whether the core wants them.
    arriving: BTreeMap<PeerKey, (Block, Option<bool>)>,
    kept: BTreeSet<Block>,
    checks: Vec<PieceIndex>,
}

impl Shell {
    fn new(scene: Scene) -> Self {
        let (open, arriving, kept) = Default::default();
        Self { scene, keys: 0, open, arriving, kept, checks: Vec::new() }
    }

    fn tell(&mut self, input: Input) {
        let outputs = self.scene.handle(input);
        outputs.iter().for_each(|output| self.perform(output));
        check(&self.scene.torrent);
    }

    fn perform(&mut self, output: &Output) {
        match *output {
            Output::AcceptBlock { peer, block } => {
                assert_eq!(self.arriving.insert(peer, (block, Some(true))), Some((block, None)));
                assert!(!self.kept.contains(&block), "it has already arrived");
            }
            Output::SkipBlock { peer, block } => {
                assert_eq!(self.arriving.insert(peer, (block, Some(false))), Some((block, None)));
            }
            Output::KeepBlock { peer, block } => {
                assert_eq!(self.arriving.get(&peer), Some(&(block, Some(true))));
                assert!(self.kept.insert(block), "it has already arrived");
            }
            Output::DropPiece(piece) => {
                assert!(!self.checks.contains(&piece), "its hash is being checked");
                self.forget(piece);
            }
            Output::CheckPiece(piece) => {
                assert!(!self.checks.contains(&piece), "its hash is being checked");
                let mut blocks = geometry().blocks(piece);
                assert!(blocks.all(|block| self.kept.contains(&block)), "a block is missing");
                self.checks.push(piece);
            }
            Output::Disconnect { peer, .. } => drop(self.arriving.remove(&peer)),
            Output::Dial { .. }
            | Output::Send { .. }
            | Output::UploadReady { .. }
            | Output::SendBlock { .. }
            | Output::Announce { .. }
            | Output::Explain(_)
            | Output::Complete => {}
        }
    }

    fn forget(&mut self, piece: PieceIndex) {
        self.kept.retain(|block| block.piece() != piece);
    }

    /// A connection of a peer with this number. Two peers each share an IP address.
    fn connect(&mut self, peer: u8, direction: Direction, extensions: bool) {
        self.keys += 1;
        let key = PeerKey(self.keys);
        let address = SocketAddr::from(([127, 0, 0, 1 + peer / 2], 7000 + u16::from(peer)));
        let peer_id = PeerId([OUR_ID - 3 + peer; 20]);
        let neighbor = Identity { key, address, peer_id, name: None };
        self.tell(Input::Connected { neighbor, direction, extensions });
        if self.scene.torrent.neighbors.get(key).is_some() {
            self.open.insert(peer, key);
        }
    }

    fn close(&mut self, peer: PeerKey) {
        self.arriving.remove(&peer);
        self.tell(Input::Disconnected { peer, reason: DisconnectReason::Closed });
    }

    /// What a peer says after the head of a block comes after all of it.
    fn say(&mut self, peer: u8, message: Message) {
        self.body(peer);
        let Some(&peer) = self.open.get(&peer) else { return };
        if let Message::Piece(block) = message {
            self.arriving.insert(peer, (block, None));
        }
        self.tell(Input::Received { peer, message });
        // The connection was closed, or the core has decided.
        let is_undecided = self.arriving.get(&peer).is_some_and(|(_, wanted)| wanted.is_none());
        if is_undecided {
            assert!(self.scene.torrent.neighbors.get(peer).is_none());
            self.arriving.remove(&peer);
        }
    }

    fn head(&mut self, peer: u8) {
        self.body(peer);
        let neighbor = self.open.get(&peer).and_then(|&key| self.scene.torrent.neighbors.get(key));
        let request = neighbor.and_then(|neighbor| neighbor.exchange().requests.front());
        if let Some(block) = request.map(|request| request.block) {
            self.say(peer, Message::Piece(block));
        }
    }

    fn body(&mut self, peer: u8) {
        let Some(&peer) = self.open.get(&peer) else { return };
        if let Some(&(block, _)) = self.arriving.get(&peer) {
            self.tell(Input::BlockArrived { peer, block });
            self.arriving.remove(&peer);
        }
    }

    fn check(&mut self, good: bool) {
        let Some(piece) = self.checks.pop() else { return };
        let verdict = if good { Verdict::Good } else { Verdict::Bad };
        self.forget(piece);
        self.tell(Input::PieceChecked { piece, verdict });
    }

    fn upload(&mut self, peer: u8) {
        let Some(&peer) = self.open.get(&peer) else { return };
        if let Some(block) = self.scene.next_upload(peer.0) {
            self.tell(Input::Sent { peer, block });
        }
    }

    fn wait(&mut self, time: Duration) {
        let end = self.scene.now + time;
        let mut at_once = 0;
        while let Some(due) = self.scene.torrent.next_timeout().filter(|&due| due <= end) {
            at_once = if due > self.scene.now { 0 } else { at_once + 1 };
            // Whose turn it is under a limit comes up one by one.
            assert!(at_once < 20, "the same timeout is requested again and again");
            self.scene.now = self.scene.now.max(due);
            self.tell(Input::TimedOut);
        }
        self.scene.now = end;
    }

    /// Whether everything missing is requested from a seed that connects when all other peers are
    /// gone.
    fn completes_with_a_seed(&mut self) -> bool {
        let all = self.scene.torrent.neighbors.keys_where(|_| true);
        all.into_iter().for_each(|peer| self.close(peer));
        while !self.checks.is_empty() {
            self.check(false);
        }
        // The last of the peers has an IP address of its own.
        let seed = 6;
        self.connect(seed, Direction::Incoming, false);
        self.say(seed, Message::Unchoke);
        self.say(seed, Message::Bitfield(Bitfield::full(PIECES)));
        for _ in 0..500 {
            self.head(seed);
            self.body(seed);
            self.check(true);
            if self.scene.torrent.is_complete() {
                return true;
            }
            self.wait(SECOND);
        }
        false
    }
}

proptest! {
    #[test]
    fn the_books_balance_whatever_peers_do(
        steps in prop::collection::vec(any_step(), 1..120),
        have in prop::collection::vec(0..PIECES, 0..9),
        limited in proptest::bool::ANY,
    ) {
        let limit = limited.then_some(30_000);
        let mut shell = Shell::new(Scene::with(bits(have), |config| {
            (config.upload_limit, config.download_limit) = (limit, limit);
            config.max_neighbors = 4;
        }));
        for step in steps {
            match step {
                Step::Connect(peer, direction, bit) => shell.connect(peer, direction, bit),
                Step::Close(peer) => {
                    if let Some(peer) = shell.open.remove(&peer) {
                        shell.close(peer);
                    }
                }
                Step::Say(peer, message) => shell.say(peer, message),
                Step::Head(peer) => shell.head(peer),
                Step::Body(peer) => shell.body(peer),
                Step::Check(good) => shell.check(good),
                Step::Upload(peer) => shell.upload(peer),
                Step::Wait(seconds) => shell.wait(seconds * SECOND),
            }
        }
        prop_assert!(shell.scene.torrent.is_complete() || shell.completes_with_a_seed());
    }
}
