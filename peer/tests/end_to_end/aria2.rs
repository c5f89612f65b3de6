//! With aria2, a client that people use every day: in both directions, and in one swarm.

use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;

use crate::programs::{Program, Tracker, V4, free_port, get, seed};
use crate::scene::{CHUNK, MIB, Scene, content};

/// Starts aria2 in a folder of its own.
fn aria2(torrent: &Path, dir: &Path, more: &[&str]) -> Program {
    aria2_on(free_port(), torrent, dir, more)
}

/// Starts aria2, which is to listen on this port.
pub(crate) fn aria2_on(port: u16, torrent: &Path, dir: &Path, more: &[&str]) -> Program {
    std::fs::create_dir_all(dir).unwrap();
    let dht_port = UdpSocket::bind((V4, 0)).unwrap().local_addr().unwrap().port();
    let mut command = Command::new("aria2c");
    command
        .args(["-q", "--no-conf", "--bt-enable-lpd=false", "--file-allocation=none"])
        // It talks to UDP trackers through the socket of its DHT, which finds no peer here.
        .args(["--enable-dht=true", "--enable-dht6=false"])
        .arg(format!("--dht-listen-port={dht_port}"))
        .arg(format!("--dht-file-path={}", dir.with_extension("dht").display()))
        .arg(format!("--listen-port={port}"))
        .arg("-d")
        .arg(dir)
        .args(more)
        .arg(torrent);
    Program::start(&format!("aria2c in {}", dir.display()), &mut command)
}

/// aria2 ends as soon as the download is complete.
pub(crate) const LEAVE: &[&str] = &["--seed-time=0"];

/// aria2 checks the files on disk, and seeds them until it is killed.
pub(crate) const SEED: &[&str] = &["-V", "--seed-ratio=0"];

fn urls(tracker: &Tracker) -> [String; 2] {
    [tracker.http(), tracker.udp()]
}

#[test]
#[ignore = "needs aria2c"]
fn aria2_downloads_from_our_seed_over_http_and_udp_trackers() {
    let tracker = Tracker::start();
    for url in urls(&tracker) {
        let scene = Scene::with_file("x.bin", 6 * MIB + 1000);
        let torrent = scene.torrent("x.bin", CHUNK, &[url]);
        let mut seed = seed(&torrent, &scene.original(), &["-v"]);
        // aria2 asks the tracker once, and then not for long: the seed must have announced before.
        seed.line("the tracker returned");
        aria2(&torrent, &scene.path("a"), LEAVE).success();
        scene.assert_copied(&scene.path("a"));
    }
}

#[test]
#[ignore = "needs aria2c"]
fn we_download_from_a_seed_of_aria2_over_http_and_udp_trackers() {
    let tracker = Tracker::start();
    for url in urls(&tracker) {
        let scene = Scene::with_file("x.bin", 6 * MIB + 1000);
        let torrent = scene.torrent("x.bin", CHUNK, &[url]);
        // It may leave files of its own beside what it seeds.
        scene.write("theirs/x.bin", &content(6 * MIB + 1000));
        let _seed = aria2(&torrent, &scene.path("theirs"), SEED);
        get(&torrent, &scene.path("a"), &["--leave"]).success();
        scene.assert_copied(&scene.path("a"));
    }
}

#[test]
#[ignore = "needs aria2c"]
fn a_folder_goes_to_aria2_and_back() {
    let tracker = Tracker::start();
    let scene = Scene::new();
    for (name, length) in [("a b/ü.bin", MIB + 1), ("c.bin", 3 * MIB), ("日本", 5), ("empty", 0)]
    {
        scene.write(&format!("original/f/{name}"), &content(length));
    }
    let torrent = scene.torrent("f", 32 * 1024, &[tracker.http()]);
    let mut ours = seed(&torrent, &scene.original(), &["-v"]);
    ours.line("the tracker returned");
    aria2(&torrent, &scene.path("theirs"), LEAVE).success();
    scene.assert_copied(&scene.path("theirs"));
    ours.kill();

    let _seed = aria2(&torrent, &scene.path("theirs"), SEED);
    get(&torrent, &scene.path("a"), &["--leave"]).success();
    scene.assert_copied(&scene.path("a"));
}

#[test]
#[ignore = "needs aria2c"]
fn two_of_theirs_and_two_of_ours_are_one_swarm() {
    let tracker = Tracker::start();
    let scene = Scene::with_file("x.bin", 8 * MIB);
    let torrent = scene.torrent("x.bin", CHUNK, &[tracker.http()]);
    // Slow enough that they have to trade.
    let mut seed = seed(&torrent, &scene.original(), &["-v", "--upload-limit", "4MB"]);
    seed.line("the tracker returned");
    let mut ours = ["a", "b"].map(|name| get(&torrent, &scene.path(name), &["-v"]));
    let theirs = ["c", "d"].map(|name| aria2(&torrent, &scene.path(name), LEAVE));
    for program in &mut ours {
        program.line("complete: every chunk verified");
    }
    for program in theirs {
        program.success();
    }
    for name in ["a", "b", "c", "d"] {
        scene.assert_copied(&scene.path(name));
    }
}
