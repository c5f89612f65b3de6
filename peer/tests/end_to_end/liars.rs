//! A download from neighbours who lie or say nothing, until an honest seed comes.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use common::id::PeerId;
use common::message::Message;
use common::metainfo::Metainfo;

use crate::programs::{Program, V4, get, seed};
use crate::scene::{CHUNK, MIB, Scene, metainfo};
use crate::wire::{Heard, Wire, random_id};

/// A download with nobody to help but one neighbour that the test plays.
struct Download {
    scene: Scene,
    torrent: PathBuf,
    metainfo: Metainfo,
    getter: Program,
    address: SocketAddr,
    listener: TcpListener,
}

impl Download {
    fn start() -> Self {
        let scene = Scene::with_file("x.bin", MIB);
        let torrent = scene.torrent("x.bin", CHUNK, &[]);
        let listener = TcpListener::bind((V4, 0)).unwrap();
        let named = listener.local_addr().unwrap().to_string();
        let mut getter = get(&torrent, &scene.path("a"), &["--leave", "-v", "--peer", &named]);
        let address = getter.address();
        Self { metainfo: metainfo(&torrent), scene, torrent, getter, address, listener }
    }

    /// The call of the getter, answered by somebody who claims to have everything.
    fn accept(&self, peer_id: PeerId) -> Wire {
        let (stream, _) = self.listener.accept().unwrap();
        let mut wire = Wire::on(stream, &self.metainfo);
        wire.read_handshake();
        wire.send_bytes(&wire.handshake(peer_id));
        wire.send_full_bitfield();
        wire.hear_until(&Message::Interested);
        wire.send(&Message::Unchoke);
        wire
    }

    /// An honest seed calls, and then all goes well.
    fn complete(self) {
        let address = self.address.to_string();
        let _seed = seed(&self.torrent, &self.scene.original(), &["--peer", &address]);
        self.getter.success();
        self.scene.assert_copied(&self.scene.path("a"));
    }
}

#[test]
fn who_sends_false_data_is_banned_and_the_download_completes() {
    let mut download = Download::start();
    let liar = random_id();
    let mut wire = download.accept(liar);
    loop {
        match wire.hear() {
            Heard::Message(Message::Request(block)) => {
                wire.send_block(block, &vec![0; block.length() as usize]);
            }
            Heard::Message(_) => {}
            Heard::Piece(block, _) => panic!("nobody asked for {block:?}"),
            Heard::Closed => break,
        }
    }
    download.getter.line("the hash is wrong");
    download.getter.line("it sent false chunks");

    // It may call again under its name, but nobody wants it any more.
    let mut again = Wire::connect(download.address, &download.metainfo);
    again.send_bytes(&again.handshake(liar));
    again.read_handshake();
    again.hear_close();
    download.getter.line("it sent false chunks");
    download.complete();
}

#[test]
fn who_never_answers_does_not_hold_up_the_download() {
    let download = Download::start();
    let mut wire = download.accept(random_id());
    while !matches!(wire.hear(), Heard::Message(Message::Request(_))) {}
    download.complete();
    // Until here the connection was open, and what was asked for stayed asked for.
    drop(wire);
}

#[test]
fn who_sends_what_nobody_asked_for_is_sent_away() {
    let mut download = Download::start();
    let mut wire = download.accept(random_id());
    let geometry = download.metainfo.geometry;
    let blocks = geometry.pieces().flat_map(|piece| geometry.blocks(piece));
    // No block of the torrent has this place.
    for block in blocks {
        let shifted = geometry.block(block.piece().get(), block.begin(), 1).expect("in range");
        wire.send_block(shifted, &[0]);
    }
    wire.hear_close();
    drop(wire);
    download.getter.line("it sent blocks that nobody had asked for");
    download.complete();
}

#[test]
fn who_calls_twice_is_one_neighbour() {
    let download = Download::start();
    // Of two calls at once, one each way, the one that the greater id made is kept.
    let smallest = PeerId([0; 20]);
    let first = download.accept(smallest);
    let mut second = Wire::connect(download.address, &download.metainfo);
    second.send_bytes(&second.handshake(smallest));
    second.read_handshake();
    second.hear_close();
    drop(first);
    download.complete();
}
