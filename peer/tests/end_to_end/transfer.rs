//! Content goes from a seed to others, whatever its shape and however they find each other.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use crate::programs::{self, Program, Tracker, V6, free_port, get, not_tested, seed};
use crate::scene::{CHUNK, KIB, MIB, Scene, content, metainfo};

/// A seed and two getters that leave as soon as they have everything.
pub(crate) fn share(scene: &Scene, torrent: &Path, more: &[&str]) {
    let mut seed = seed(torrent, &scene.original(), more);
    let to_seed = seed.address().to_string();
    // Without a tracker they know only the seed.
    let named: &[&str] =
        if metainfo(torrent).trackers.is_empty() { &["--peer", &to_seed] } else { &[] };
    let args = [&["--leave"], named, more].concat();
    let getters = ["a", "b"].map(|name| get(torrent, &scene.path(name), &args));
    for getter in getters {
        getter.success();
    }
    scene.assert_copied(&scene.path("a"));
    scene.assert_copied(&scene.path("b"));
}

#[test]
fn two_get_a_file_from_a_seed_through_an_http_tracker() {
    let tracker = Tracker::start();
    let scene = Scene::with_file("lecture.bin", 6 * MIB + 1000);
    share(&scene, &scene.torrent("lecture.bin", CHUNK, &[tracker.http()]), &[]);
}

#[test]
fn two_get_a_file_from_a_seed_through_a_udp_tracker() {
    let tracker = Tracker::start();
    let scene = Scene::with_file("lecture.bin", 6 * MIB + 1000);
    share(&scene, &scene.torrent("lecture.bin", CHUNK, &[tracker.udp()]), &[]);
}

#[test]
fn peers_meet_over_ipv6() {
    if let Err(error) = TcpListener::bind((V6, 0)) {
        return not_tested(&format!("no IPv6 loopback on this machine: {error}"));
    }
    let tracker = Tracker::on(V6);
    for url in [tracker.http(), tracker.udp()] {
        let scene = Scene::with_file("lecture.bin", 2 * MIB);
        let torrent = scene.torrent("lecture.bin", CHUNK, &[url]);
        share(&scene, &torrent, &["--listen", "[::1]:0"]);
    }
}

#[test]
fn a_named_neighbor_is_enough_when_no_tracker_answers() {
    let scene = Scene::with_file("lecture.bin", MIB);
    let silent = format!("http://127.0.0.1:{}/announce", free_port());
    let torrent = scene.torrent("lecture.bin", CHUNK, &[silent]);
    let mut seed = seed(&torrent, &scene.original(), &[]);
    let address = seed.address().to_string();
    let getter = get(&torrent, &scene.path("a"), &["--leave", "--peer", &address]);
    getter.success();
    scene.assert_copied(&scene.path("a"));
}

#[test]
fn a_getter_that_stays_is_a_seed_for_others() {
    let scene = Scene::with_file("lecture.bin", MIB);
    let torrent = scene.torrent("lecture.bin", CHUNK, &[]);
    let mut first = seed(&torrent, &scene.original(), &[]);
    let to_first = first.address().to_string();
    let mut second = get(&torrent, &scene.path("second"), &["--peer", &to_first]);
    let to_second = second.address().to_string();
    second.line("complete: every chunk verified");
    first.kill();
    get(&torrent, &scene.path("third"), &["--leave", "--peer", &to_second]).success();
    scene.assert_copied(&scene.path("third"));
}

#[test]
fn a_folder_made_by_create_arrives_with_all_its_files() {
    let tracker = Tracker::start();
    let scene = Scene::new();
    for (name, length) in [
        ("notes.txt", 10),
        ("empty", 0),
        ("a name with spaces/and another/x y.bin", 700 * KIB),
        ("Übung/größe ß.bin", 300 * KIB + 1),
        ("日本語/ファイル.txt", 1),
    ] {
        scene.write(&format!("original/my lecture/{name}"), &content(length));
    }
    (0..100).for_each(|n| scene.write(&format!("original/my lecture/many/{n}"), &[n; 100]));

    let mut create = programs::peer(&["create", "original/my lecture", "--chunk-size", "64KiB"]);
    create.args(["--tracker", &tracker.http(), "-o", "t.torrent"]).current_dir(scene.path(""));
    let printed = Program::start("peer create", &mut create).success();
    let torrent = scene.path("t.torrent");
    let expected = metainfo(&torrent);
    assert_eq!(expected.geometry.piece_length(), 64 * 1024);
    assert_eq!(printed, format!("{}  t.torrent\n", expected.info_hash));
    share(&scene, &torrent, &[]);
}

#[test]
fn any_piece_length_works() {
    for (length, piece_length) in [
        (200 * KIB, 16 * 1024),
        (3 * MIB + 5, 32 * 1024),
        (3 * MIB + 5, 1024 * 1024),
        // Not a multiple of the block: the last block of every piece is short.
        (200 * KIB, 20_000),
        // Shorter than a piece, and than a block.
        (1, CHUNK),
    ] {
        let scene = Scene::with_file("x.bin", length);
        share(&scene, &scene.torrent("x.bin", piece_length, &[]), &[]);
    }
}

#[test]
fn a_last_piece_of_one_byte_arrives() {
    let scene = Scene::with_file("x.bin", 2 * CHUNK as usize + 1);
    let torrent = scene.torrent("x.bin", CHUNK, &[]);
    assert_eq!(metainfo(&torrent).geometry.piece_count(), 3);
    share(&scene, &torrent, &[]);
}

#[test]
fn both_chokers_and_every_order_complete() {
    let scene = Scene::with_file("x.bin", 2 * MIB);
    let torrent = scene.torrent("x.bin", CHUNK, &[]);
    let mut seed = seed(&torrent, &scene.original(), &["--choker", "mainline"]);
    let address: SocketAddr = seed.address();
    for (choker, order) in
        [("textbook", "random"), ("mainline", "in-order"), ("mainline", "rarest-first")]
    {
        let dir = scene.path(&format!("{choker} {order}"));
        let args = ["--leave", "--choker", choker, "--order", order, "--peer"];
        get(&torrent, &dir, &[&args[..], &[&address.to_string()]].concat()).success();
        scene.assert_copied(&dir);
    }
}
