//! A seed among peers that break the protocol: it disconnects each, and serves all others.

use std::net::{SocketAddr, TcpStream};

use common::geometry::BLOCK_LENGTH;
use common::id::InfoHash;
use common::metainfo::Metainfo;
use common::wire::{Handshake, Message};

use crate::programs::{Program, seed};
use crate::scene::{CHUNK, MIB, Scene, content, metainfo};
use crate::wire::{Heard, Wire, random_id};

const LENGTH: usize = MIB;
/// Of the content; four of the eight bits in its bitfield are spare.
const PIECES: u32 = 4;

/// A running seed.
struct Host {
    metainfo: Metainfo,
    content: Vec<u8>,
    address: SocketAddr,
    _seed: Program,
    _scene: Scene,
}

impl Host {
    fn start() -> Self {
        let scene = Scene::with_file("x.bin", LENGTH);
        let torrent = scene.torrent("x.bin", CHUNK, &[]);
        let metainfo = metainfo(&torrent);
        assert_eq!(metainfo.geometry.piece_count(), PIECES);
        let mut seed = seed(&torrent, &scene.original(), &[]);
        let address = seed.address();
        Self { metainfo, content: content(LENGTH), address, _seed: seed, _scene: scene }
    }

    fn connect(&self) -> Wire {
        Wire::connect(self.address, &self.metainfo)
    }

    fn neighbor(&self) -> Wire {
        Wire::neighbor(self.address, &self.metainfo)
    }

    /// Checks that it still serves others.
    fn assert_serves(&self) {
        let mut wire = self.neighbor();
        wire.get_unchoked();
        self.assert_answers(&mut wire);
    }

    /// Requests a block, which must be the next that arrives.
    fn assert_answers(&self, wire: &mut Wire) {
        let wanted = wire.block(1, BLOCK_LENGTH, BLOCK_LENGTH);
        wire.send(&Message::Request(wanted));
        let (block, bytes) = wire.hear_block();
        assert_eq!(block, wanted);
        let begin = (CHUNK + BLOCK_LENGTH) as usize;
        assert!(bytes == self.content[begin..begin + BLOCK_LENGTH as usize]);
    }
}

/// A frame: an id, and numbers.
fn frame(id: u8, numbers: &[u32]) -> Vec<u8> {
    let payload: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    with_bytes(id, &payload)
}

fn with_bytes(id: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(1 + payload.len()).unwrap();
    [&length.to_be_bytes()[..], &[id], payload].concat()
}

#[test]
fn a_peer_without_a_valid_handshake_is_disconnected() {
    let host = Host::start();
    let good = host.connect().handshake(random_id());
    let info_hash = InfoHash([7; 20]);
    let other = Handshake { reserved: [0; 8], info_hash, peer_id: random_id() }.encode();
    let misspelt = [&b"\x13BitTorrent protocoL"[..], &good[20..]].concat();
    for (what, bytes) in [
        // Encryption begins with any byte; a peer that is disconnected at once dials again without
        // it.
        ("another first byte", &[0x12][..]),
        ("a web browser", b"GET / HTTP/1.1\r\n\r\n"),
        ("another protocol", &misspelt[..20]),
        ("a torrent that is not served", &other),
    ] {
        let mut wire = host.connect();
        wire.send_bytes(bytes);
        assert!(matches!(wire.hear(), Heard::Closed), "{what}");
        host.assert_serves();
    }
}

#[test]
fn a_peer_with_its_own_id_is_disconnected() {
    let host = Host::start();
    let mut first = host.connect();
    first.send_bytes(&first.handshake(random_id()));
    let its_id = first.read_handshake().peer_id;

    let mut second = host.connect();
    second.send_bytes(&second.handshake(its_id));
    second.read_handshake();
    second.hear_close();
    host.assert_serves();
}

#[test]
fn messages_that_do_not_fit_the_torrent_end_the_connection() {
    let host = Host::start();
    let block = BLOCK_LENGTH;
    for (what, bytes) in [
        ("a frame of 4 GiB", vec![0xff; 4]),
        ("a frame of 1 MiB", (1_u32 << 20).to_be_bytes().to_vec()),
        ("a choke with a payload", with_bytes(0, &[0])),
        ("a have of a piece that is not there", frame(4, &[PIECES])),
        ("a have of the last index", frame(4, &[u32::MAX])),
        ("a have that is too short", with_bytes(4, &[0; 3])),
        ("a bitfield that is too long", with_bytes(5, &[0, 0])),
        ("a bitfield without bytes", with_bytes(5, &[])),
        ("a bitfield with a spare bit", with_bytes(5, &[0b0000_1000])),
        ("a request of a piece that is not there", frame(6, &[PIECES, 0, block])),
        ("a request across the end of a piece", frame(6, &[0, CHUNK - 1, 2])),
        ("a request that overflows", frame(6, &[0, u32::MAX - block + 1, block])),
        ("a request of more than 16 KiB", frame(6, &[0, 0, block + 1])),
        ("a request of nothing", frame(6, &[0, 0, 0])),
        ("a request that is too long", frame(6, &[0, 0, block, 0])),
        ("a block that is not there", frame(7, &[PIECES, 0, 0])),
        ("a block without bytes", frame(7, &[0, 0])),
        ("a cancel of a piece that is not there", frame(8, &[PIECES, 0, block])),
    ] {
        let mut wire = host.neighbor();
        wire.get_unchoked();
        // The next block would be the answer, if there were one.
        let good = wire.block(0, 0, BLOCK_LENGTH);
        wire.send_bytes(&bytes);
        wire.send(&Message::Request(good));
        loop {
            match wire.hear() {
                Heard::Closed => break,
                Heard::Piece(block, _) => panic!("{what}: answered {block:?}"),
                Heard::Message(_) => {}
            }
        }
        host.assert_serves();
    }
}

#[test]
fn unknown_messages_are_skipped() {
    let host = Host::start();
    let mut wire = host.neighbor();
    for bytes in [
        vec![0; 4],
        with_bytes(9, &[0x1a, 0xe1]),
        with_bytes(20, b"\0d1:md11:ut_metadatai1eee"),
        with_bytes(255, &[0; 1000]),
    ] {
        wire.send_bytes(&bytes);
    }
    wire.get_unchoked();
    host.assert_answers(&mut wire);
}

#[test]
fn a_choked_peer_gets_no_blocks() {
    let host = Host::start();
    let mut wire = host.neighbor();
    wire.send(&Message::Request(wire.block(0, 0, BLOCK_LENGTH)));
    wire.get_unchoked();
    // The first block that comes is the answer to this.
    host.assert_answers(&mut wire);
}

#[test]
fn blocks_that_were_canceled_or_discarded_by_a_choke_are_not_sent() {
    let host = Host::start();
    let mut wire = host.neighbor();
    wire.get_unchoked();
    wire.send(&Message::Request(wire.block(0, 0, BLOCK_LENGTH)));
    wire.send(&Message::NotInterested);
    wire.hear_until(&Message::Choke);
    wire.get_unchoked();
    host.assert_answers(&mut wire);
}

#[test]
fn more_requests_than_it_queues_are_dropped() {
    const REQUESTS: u32 = 12_000;
    let host = Host::start();
    let mut wire = host.neighbor();
    wire.get_unchoked();
    let mut bytes = Vec::new();
    for begin in 0..REQUESTS {
        Message::Request(wire.block(0, begin, BLOCK_LENGTH)).encode(&mut bytes);
    }
    wire.send_bytes(&bytes);
    host.assert_serves();

    // Once it has answered some, the queue has space again, and new requests are not dropped.
    for _ in 0..100 {
        wire.hear_block();
    }
    let last = wire.block(1, 0, BLOCK_LENGTH);
    wire.send(&Message::Request(last));
    let answered = 100 + std::iter::from_fn(|| (wire.hear_block().0 != last).then_some(())).count();
    assert!(answered < REQUESTS as usize / 2, "{answered} of {REQUESTS} were answered");
    host.assert_serves();
}

#[test]
fn a_handshake_may_come_byte_by_byte() {
    let host = Host::start();
    let mut wire = host.connect();
    for byte in wire.handshake(random_id()) {
        wire.send_bytes(&[byte]);
    }
    wire.read_handshake();
    wire.get_unchoked();
    host.assert_answers(&mut wire);
}

#[test]
fn messages_may_be_cut_anywhere() {
    let host = Host::start();
    let mut stream = Vec::new();
    let wire = host.connect();
    stream.extend_from_slice(&wire.handshake(random_id()));
    Message::Interested.encode(&mut stream);
    Message::KeepAlive.encode(&mut stream);
    for cut in 1..stream.len() {
        let (before, after) = stream.split_at(cut);
        let mut wire = host.connect();
        wire.send_bytes(before);
        wire.send_bytes(after);
        wire.read_handshake();
        wire.hear_until(&Message::Unchoke);
        host.assert_answers(&mut wire);
        // So that it has left before the next one of the same id comes.
        wire.finish();
    }
}

#[test]
fn silent_connections_do_not_keep_others_out() {
    let host = Host::start();
    let strangers: Vec<TcpStream> =
        (0..300).map(|_| TcpStream::connect(host.address).unwrap()).collect();
    host.assert_serves();
    drop(strangers);
}
