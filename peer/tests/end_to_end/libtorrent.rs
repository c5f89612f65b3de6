//! With libtorrent, the library in qBittorrent and Deluge, which allows one connection for each IP
//! address.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::programs::{Program, Tracker, free_port, seed};
use crate::scene::{CHUNK, MIB, Scene};

/// Downloads until it is killed.
const SESSION: &str = "
import signal, sys
import libtorrent
torrent, folder, address = sys.argv[1:]
session = libtorrent.session({
    'listen_interfaces': address,
    'enable_dht': False, 'enable_lsd': False, 'enable_natpmp': False, 'enable_upnp': False,
    # It would be tried before TCP, for seconds.
    'enable_outgoing_utp': False,
})
session.add_torrent({'ti': libtorrent.torrent_info(torrent), 'save_path': folder})
signal.pause()
";

fn libtorrent(torrent: &Path, dir: &Path) -> Program {
    fs::create_dir_all(dir).unwrap();
    // The module that apt installs is for the system's Python, which need not be first on PATH.
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", SESSION]).arg(torrent).arg(dir).arg(format!("127.0.0.1:{}", free_port()));
    Program::start("libtorrent", &mut command)
}

#[test]
#[ignore = "needs python3-libtorrent"]
fn a_session_that_dialed_us_is_not_dialed_where_it_listens() {
    let tracker = Tracker::start();
    let scene = Scene::with_file("x.bin", 4 * MIB);
    let torrent = scene.torrent("x.bin", CHUNK, &[tracker.http()]);
    let events = scene.path("events.jsonl");
    // Slow enough that it downloads still when the tracker has named it several times.
    let slowly = ["--upload-limit", "64KiB", "-v", "--events", events.to_str().unwrap()];
    let mut seed = seed(&torrent, &scene.original(), &slowly);
    // The next announce is 5 s away, and libtorrent dials before.
    seed.line("the tracker returned 0 peers");
    let _theirs = libtorrent(&torrent, &scene.path("theirs"));
    seed.line("it dialed us");
    for _ in 0..4 {
        seed.line("the tracker returned 1 peer");
    }
    seed.kill();

    let events = fs::read_to_string(events).unwrap();
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_connections: Vec<_> = events
        .filter(|event| ["connect", "refuse", "disconnect"].iter().any(|d| event["decision"] == *d))
        .collect();
    assert_eq!(of_connections.len(), 1, "{of_connections:#?}");
    assert_eq!(of_connections[0]["direction"], "incoming", "{of_connections:#?}");
}
