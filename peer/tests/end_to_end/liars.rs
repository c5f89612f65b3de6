//! A download from neighbors that lie or stay silent, until an honest seed connects.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use common::id::PeerId;
use common::metainfo::Metainfo;
use common::wire::Message;

use crate::programs::{Program, V4, get, seed};
use crate::scene::{CHUNK, MIB, Scene, metainfo};
use crate::wire::{Heard, Wire, random_id};

/// A download whose only neighbor is played by the test.
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

    /// Accepts the dial of the getter, as a peer that claims to have everything.
    fn accept(&self, peer_id: PeerId) -> Wire {
        Wire::accept(&self.listener, &self.metainfo, peer_id)
    }

    /// An honest seed dials, and the download completes.
    fn complete(self) {
        let address = self.address.to_string();
        let _seed = seed(&self.torrent, &self.scene.original(), &["--peer", &address]);
        self.getter.success();
        self.scene.assert_copied(&self.scene.path("a"));
    }
}

#[test]
fn a_peer_that_sends_false_data_is_banned_and_the_download_completes() {
    let mut download = Download::start();
    let liar = random_id();
    download.accept(liar).send_zeros();
    download.getter.line("wrong hash; sent by");
    download.getter.line("sent false chunks");

    // If it dials again under the same id, it is disconnected.
    let mut again = Wire::connect(download.address, &download.metainfo);
    again.send_bytes(&again.handshake(liar));
    again.read_handshake();
    again.hear_close();
    download.getter.line("sent false chunks");
    download.complete();
}

#[test]
fn a_peer_that_never_answers_does_not_delay_the_download() {
    let download = Download::start();
    let mut wire = download.accept(random_id());
    while !matches!(wire.hear(), Heard::Message(Message::Request(_))) {}
    download.complete();
    // Until here the connection was open and its requests stood.
    drop(wire);
}

#[test]
fn a_peer_that_sends_unrequested_blocks_is_disconnected() {
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
    download.getter.line("sent blocks that were never requested");
    download.complete();
}

#[test]
fn a_peer_that_connects_twice_is_one_neighbor() {
    let download = Download::start();
    // Of two dials at once, one in each direction, the one of the greater id is kept.
    let smallest = PeerId([0; 20]);
    let first = download.accept(smallest);
    let mut second = Wire::connect(download.address, &download.metainfo);
    second.send_bytes(&second.handshake(smallest));
    second.read_handshake();
    second.hear_close();
    drop(first);
    download.complete();
}
