//! What a peer says while nothing arrives: once, and without `-v`.

use crate::programs::{Program, Tracker, free_port, get, seed};
use crate::scene::{CHUNK, MIB, Scene};

/// The lines about waiting among these.
fn waiting(stderr: &str) -> Vec<&str> {
    stderr.lines().filter(|line| line.starts_with("waiting: ")).collect()
}

/// Waits for the first such line, then ends the program, which is to have said nothing else.
fn only_line(mut program: Program) -> String {
    let line = program.line("waiting: ");
    assert_eq!(waiting(&program.kill()), [&line]);
    line
}

#[test]
fn that_the_tracker_knows_no_other_peer_is_said_once_and_ends_when_a_seed_comes() {
    let tracker = Tracker::start();
    let scene = Scene::with_file("x.bin", MIB);
    let torrent = scene.torrent("x.bin", CHUNK, &[tracker.http()]);
    let mut getter = get(&torrent, &scene.path("a"), &["--leave"]);
    getter.line("waiting: the tracker knows no other peer");

    let mut seed = seed(&torrent, &scene.original(), &["-v"]);
    seed.line("the tracker returned ");
    let ended = getter.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(waiting(&ended.stderr).len(), 1, "{ended:?}");
}

#[test]
fn a_tracker_that_is_down_is_said_with_the_time_of_the_next_try() {
    let scene = Scene::with_file("x.bin", MIB);
    let url = format!("http://127.0.0.1:{}/announce", free_port());
    let torrent = scene.torrent("x.bin", CHUNK, std::slice::from_ref(&url));
    let down = format!(
        "waiting: cannot announce to the tracker ({url}: connection refused); trying again in "
    );
    let line = only_line(get(&torrent, &scene.path("a"), &[]));
    assert!(line.starts_with(&down), "{line}");
    let line = only_line(seed(&torrent, &scene.original(), &[]));
    assert!(line.starts_with(&down), "{line}");
}

#[test]
fn a_url_that_is_not_quite_the_trackers_is_said_with_its_hint() {
    let tracker = Tracker::start();
    let scene = Scene::with_file("x.bin", MIB);
    let misspelt = tracker.http().replace("announce", "annonce");
    let torrent = scene.torrent("x.bin", CHUNK, std::slice::from_ref(&misspelt));
    let line = only_line(get(&torrent, &scene.path("a"), &[]));
    let hint = format!("({misspelt}: HTTP status 404 Not Found: this is a BitTorrent tracker: ");
    assert!(line.contains(&hint), "{line}");
    assert!(line.contains("/announce"), "{line}");
}

#[cfg(feature = "tls")]
#[test]
fn an_https_url_of_an_http_tracker_is_said() {
    let tracker = Tracker::start();
    let scene = Scene::with_file("x.bin", MIB);
    let url = tracker.http().replace("http:", "https:");
    let torrent = scene.torrent("x.bin", CHUNK, std::slice::from_ref(&url));
    let line = only_line(get(&torrent, &scene.path("a"), &[]));
    let hint = format!("({url}: the server does not speak TLS: does its URL begin with http://?)");
    assert!(line.contains(&hint), "{line}");
}

#[test]
fn a_named_peer_that_is_not_there_is_said() {
    let scene = Scene::with_file("x.bin", MIB);
    let torrent = scene.torrent("x.bin", CHUNK, &[]);
    let nobody = format!("127.0.0.1:{}", free_port());
    let line = only_line(get(&torrent, &scene.path("a"), &["--peer", &nobody]));
    let failed = format!("waiting: the only dial failed ({nobody}: connection refused); trying");
    assert!(line.starts_with(&failed), "{line}");
}

#[test]
fn neighbors_that_choke_us_or_have_nothing_are_said() {
    let scene = Scene::with_file("x.bin", MIB);
    let torrent = scene.torrent("x.bin", CHUNK, &[]);
    let mut seed = seed(&torrent, &scene.original(), &["--choker", "free-rider"]);
    let address = seed.address().to_string();
    let line = only_line(get(&torrent, &scene.path("a"), &["--peer", &address]));
    assert_eq!(line, "waiting: connected to 1 neighbor, which chokes us");

    let mut other = get(&torrent, &scene.path("b"), &[]);
    let address = other.address().to_string();
    let line = only_line(get(&torrent, &scene.path("c"), &["--peer", &address]));
    assert_eq!(line, "waiting: 1 neighbor, it does not have any of the 4 missing chunks");
}

#[test]
fn without_a_tracker_and_a_peer_it_says_how_to_name_one() {
    let scene = Scene::with_file("x.bin", MIB);
    let torrent = scene.torrent("x.bin", CHUNK, &[]);
    let line = only_line(get(&torrent, &scene.path("a"), &[]));
    assert!(line.ends_with("has no tracker; name a peer to dial with --peer"), "{line}");
}
