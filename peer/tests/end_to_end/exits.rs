//! How the program ends: 0 done, 1 error, 2 usage, 130 interrupted before done (129 and 143 for the
//! other signals).

use std::fs;
use std::net::TcpListener;

#[cfg(unix)]
use crate::programs::Tracker;
use crate::programs::{self, Program, V4, get, seed};
#[cfg(unix)]
use crate::scene::metainfo;
use crate::scene::{CHUNK, MIB, Scene};

#[test]
fn bad_usage_is_exit_code_2() {
    for args in [
        &[][..],
        &["fetch"],
        &["get"],
        &["get", "x.torrent", "--leave=maybe"],
        &["get", "x.torrent", "--slots", "101"],
        &["get", "x.torrent", "--peer", "somewhere"],
        &["seed", "x.torrent", "--upload-limit", "fast"],
        &["seed", "x.torrent", "--leave"],
        &["swarm", "--peers", "51"],
        &["create", "x"],
    ] {
        let ended = Program::start("peer", &mut programs::peer(args)).end();
        assert_eq!(ended.code, Some(2), "{args:?}: {ended:?}");
        assert_eq!(ended.stdout, "", "{args:?}");
        assert!(ended.stderr.contains("--help"), "{args:?}: {ended:?}");
    }
}

#[test]
fn an_error_names_what_was_being_done_and_to_what() {
    let scene = Scene::with_file("x.bin", MIB);
    let torrent = scene.torrent("x.bin", CHUNK, &[]);

    let ended = get(&scene.path("missing.torrent"), &scene.path("a"), &[]).end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("missing.torrent: "), "{ended:?}");

    let listener = TcpListener::bind((V4, 0)).unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let ended = seed(&torrent, &scene.original(), &["--listen", &taken]).end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains(&format!("error: cannot listen on {taken}: ")), "{ended:?}");

    let file = scene.path("file");
    fs::write(&file, "").unwrap();
    for ended in [get(&torrent, &file, &[]).end(), seed(&torrent, &file, &[]).end()] {
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let error =
            format!("error: cannot use --dir {}: it is a file, not a folder\n", file.display());
        assert_eq!(ended.stderr, error);
    }
}

#[cfg(unix)]
#[test]
fn a_signal_before_completion_is_in_the_exit_code() {
    let scene = Scene::with_file("x.bin", MIB);
    let torrent = scene.torrent("x.bin", CHUNK, &[]);
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let mut getter = get(&torrent, &scene.path("a"), &[]);
        getter.address();
        getter.signal(signal);
        let ended = getter.end();
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert_eq!(ended.stdout, "");
        assert!(scene.path("a/x.bin.part").exists(), "it can be resumed");
    }
}

/// Other systems have no device that is always full.
#[cfg(target_os = "linux")]
#[test]
fn events_that_cannot_be_written_are_an_error_after_the_download() {
    let scene = Scene::with_file("x.bin", MIB);
    let torrent = scene.torrent("x.bin", CHUNK, &[]);
    let mut seed = seed(&torrent, &scene.original(), &[]);
    let address = seed.address().to_string();
    let more = ["--peer", &address, "--leave", "--events", "/dev/full"];
    let ended = get(&torrent, &scene.path("a"), &more).end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let error = "error: cannot write the events to /dev/full: ";
    assert!(ended.stderr.lines().last().unwrap().starts_with(error), "{ended:?}");
    assert_eq!(ended.stderr.matches("/dev/full").count(), 1, "{ended:?}");
    scene.assert_copied(&scene.path("a"));

    let nowhere = scene.path("nowhere/events").display().to_string();
    let ended = get(&torrent, &scene.path("b"), &["--events", &nowhere]).end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let error = format!("error: cannot write the events to {nowhere}: ");
    assert!(ended.stderr.starts_with(&error), "{ended:?}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_after_completion_is_success() {
    let scene = Scene::with_file("x.bin", MIB);
    let torrent = scene.torrent("x.bin", CHUNK, &[]);
    let mut seed = seed(&torrent, &scene.original(), &[]);
    let address = seed.address().to_string();
    let mut getter = get(&torrent, &scene.path("a"), &["--peer", &address]);
    getter.line("complete: every chunk verified");
    getter.interrupt();
    let ended = getter.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stdout, format!("{}\n", scene.path("a/x.bin").display()));

    seed.interrupt();
    assert_eq!(seed.end().code, Some(0));
}

#[cfg(unix)]
#[test]
fn a_peer_that_leaves_tells_the_tracker() {
    let tracker = Tracker::start();
    for url in [tracker.http(), tracker.udp()] {
        let scene = Scene::with_file("x.bin", MIB);
        let torrent = scene.torrent("x.bin", CHUNK, std::slice::from_ref(&url));
        let info_hash = metainfo(&torrent).info_hash;

        let mut seed = seed(&torrent, &scene.original(), &["-v"]);
        seed.line("the tracker returned 0 peers");
        assert_eq!(tracker.swarm_size(info_hash), (1, 0), "{url}");
        seed.interrupt();
        assert_eq!(seed.end().code, Some(0));
        assert_eq!(tracker.swarm_size(info_hash), (0, 0), "{url}");

        let mut getter = get(&torrent, &scene.path("a"), &["-v"]);
        getter.line("the tracker returned 0 peers");
        assert_eq!(tracker.swarm_size(info_hash), (0, 1), "{url}");
        getter.interrupt();
        assert_eq!(getter.end().code, Some(130));
        assert_eq!(tracker.swarm_size(info_hash), (0, 0), "{url}");
    }
}
