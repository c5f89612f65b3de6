//! What Wireshark sees: every byte between two peers is the BitTorrent protocol, well formed.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::aria2::{LEAVE, SEED, aria2_on};
use crate::programs::{Program, Tracker, free_port, get, seed};
use crate::scene::{CHUNK, MIB, Scene, content};

/// tshark on loopback, looking at these ports and nothing else.
struct Capture {
    tshark: Program,
}

/// What went over one connection.
#[derive(Debug, Default)]
struct Seen {
    handshakes: usize,
    /// Of messages.
    ids: BTreeSet<u8>,
    /// Packets that tshark cannot decode.
    unknown: usize,
}

/// One line for each packet, with these fields between tabs. A packet may hold several messages,
/// and then a field has several values with commas between.
const FIELDS: [&str; 7] = [
    "tcp.stream",
    "bittorrent.protocol.name",
    "bittorrent.msg.type",
    "bittorrent.continuous_data",
    "_ws.malformed",
    "tcp.flags.fin",
    "tcp.flags.reset",
];

impl Capture {
    fn start(ports: &[u16]) -> Self {
        let filters: Vec<_> = ports.iter().map(|port| format!("tcp port {port}")).collect();
        let mut command = Command::new("tshark");
        command.args(["-i", "lo", "-f", &filters.join(" or "), "-l", "-T", "fields"]);
        // After a test that failed, the program that captures for it ends by itself.
        command.args(["-a", "duration:120"]);
        for port in ports {
            command.args(["-d", &format!("tcp.port=={port},bittorrent")]);
        }
        for field in FIELDS {
            command.args(["-e", field]);
        }
        let mut tshark = Program::start("tshark", &mut command);
        // It says so a moment before it is true, and this once it is.
        tshark.line("Capture started");
        Self { tshark }
    }

    /// Waits until the connection over which they talked is closed, and says what went over it.
    fn end(mut self) -> Seen {
        let seen = self.look();
        // Killed it would leave the program behind that captures for it.
        self.tshark.interrupt();
        self.tshark.end();
        seen
    }

    fn look(&mut self) -> Seen {
        let mut connections: BTreeMap<String, Seen> = BTreeMap::new();
        loop {
            let line = self.tshark.line("\t");
            let fields: Vec<_> = line.split('\t').collect();
            let [connection, names, types, unknown, malformed, fin, reset] = fields[..] else {
                panic!("{} fields: {line:?}", fields.len());
            };
            assert_eq!(malformed, "", "malformed: {line:?}");
            let seen = connections.entry(connection.to_owned()).or_default();
            seen.handshakes += values(names).filter(|name| *name == "BitTorrent protocol").count();
            seen.ids.extend(values(types).map(|id| id.parse::<u8>().unwrap()));
            seen.unknown += values(unknown).count();
            // The first to close is complete. A connection without a block is superfluous: both
            // dialed at once, or aria2 wanted to encrypt and will dial again.
            if (fin == "1" || reset == "1") && seen.ids.contains(&PIECE) {
                return connections.remove(connection).expect("it was just looked at");
            }
        }
    }
}

fn values(field: &str) -> impl Iterator<Item = &str> {
    field.split(',').filter(|value| !value.is_empty())
}

impl Seen {
    /// Whether all is as it should be, and there were messages of these ids.
    fn assert_has(&self, ids: &[u8]) {
        assert_eq!((self.handshakes, self.unknown), (2, 0), "{self:?}");
        for id in ids {
            assert!(self.ids.contains(id), "no message {id}: {self:?}");
        }
    }
}

// Ids of messages (BEP 3).
const PIECE: u8 = 7;
/// Unchoke, interested, bitfield, request: no download without them.
const DOWNLOAD: &[u8] = &[1, 2, 5, 6, PIECE];
/// What we send for each chunk; aria2 sends a bitfield in place of many of them.
const HAVE: &[u8] = &[4];

/// So that the first chunks are verified and announced before the last ones arrive.
const SLOWLY: &[&str] = &["--download-limit", "1MB"];

#[test]
#[ignore = "needs tshark and the right to capture"]
fn two_of_ours_speak_the_protocol() {
    let scene = Scene::with_file("x.bin", 2 * MIB);
    let torrent = scene.torrent("x.bin", CHUNK, &[]);
    let mut seed = seed(&torrent, &scene.original(), &[]);
    let address = seed.address();
    let capture = Capture::start(&[address.port()]);
    let named = address.to_string();
    let args = [SLOWLY, &["--leave", "--peer", &named]].concat();
    get(&torrent, &scene.path("a"), &args).success();
    capture.end().assert_has(&[DOWNLOAD, HAVE].concat());
}

#[test]
#[ignore = "needs aria2c, tshark and the right to capture"]
fn our_seed_and_aria2_speak_the_protocol() {
    let tracker = Tracker::start();
    let scene = Scene::with_file("x.bin", 2 * MIB);
    let torrent = scene.torrent("x.bin", CHUNK, &[tracker.http()]);
    let mut seed = seed(&torrent, &scene.original(), &["-v"]);
    let address = seed.address();
    seed.line("the tracker returned");
    let port = free_port();
    let capture = Capture::start(&[address.port(), port]);
    aria2_on(port, &torrent, &scene.path("a"), LEAVE).success();
    capture.end().assert_has(DOWNLOAD);
}

#[test]
#[ignore = "needs aria2c, tshark and the right to capture"]
fn a_seed_of_aria2_and_we_speak_the_protocol() {
    let tracker = Tracker::start();
    let scene = Scene::with_file("x.bin", 2 * MIB);
    let torrent = scene.torrent("x.bin", CHUNK, &[tracker.http()]);
    scene.write("theirs/x.bin", &content(2 * MIB));
    let [theirs, ours] = [free_port(), free_port()];
    let capture = Capture::start(&[theirs, ours]);
    let _seed = aria2_on(theirs, &torrent, &scene.path("theirs"), SEED);
    let listen = format!("127.0.0.1:{ours}");
    let args = [SLOWLY, &["--leave", "--listen", &listen]].concat();
    get(&torrent, &scene.path("a"), &args).success();
    capture.end().assert_has(&[DOWNLOAD, HAVE].concat());
}
