//! Runs that are recorded, and decided again by `peer replay`.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use crate::programs::{Ended, Program, V4, get, peer, seed};
use crate::scene::{CHUNK, KIB, MIB, Scene, metainfo};
use crate::wire::{Wire, random_id};

fn replay(record: &Path) -> Ended {
    Program::start("peer replay", peer(&["replay"]).arg(record)).end()
}

fn assert_same(record: &Path, peers: usize) {
    let ended = replay(record);
    let same = ended.stdout.starts_with("all ") && ended.stdout.contains(" are the same (inputs: ");
    let all = ended.stdout.ends_with(&format!(", peers: {peers})\n"));
    assert!(ended.code == Some(0) && same && all, "{ended:?}");
}

/// Records a download with limits, from a poisoner, a seed that is killed and one that is not; what
/// arrives is uploaded to another peer.
fn record_a_download(scene: &Scene, record: &Path) {
    let torrent = scene.torrent("x.bin", CHUNK, &[]);
    let poisoner = TcpListener::bind((V4, 0)).unwrap();
    let to_poisoner = poisoner.local_addr().unwrap().to_string();
    let limits = ["--download-limit", "1MB", "--upload-limit", "300KB"];
    let recorded = ["--leave", "-v", "--peer", &to_poisoner, "--record", record.to_str().unwrap()];
    let mut getter = get(&torrent, &scene.path("a"), &[&recorded[..], &limits].concat());
    let to_getter = getter.address().to_string();
    Wire::accept(&poisoner, &metainfo(&torrent), random_id()).send_zeros();
    getter.line("sent false chunks");

    let named = ["--peer", &to_getter];
    let _other = get(&torrent, &scene.path("b"), &named);
    getter.line("it dialed us");
    // Too slow to be no longer needed when it is killed.
    let slowly = ["--peer", &to_getter, "--upload-limit", "100KB"];
    let killed = seed(&torrent, &scene.original(), &slowly);
    getter.line("verified chunk");
    killed.kill();
    getter.line("disconnected ");
    let _seed = seed(&torrent, &scene.original(), &named);
    getter.success();
    scene.assert_copied(&scene.path("a"));
}

#[test]
fn a_download_with_limits_a_killed_neighbor_and_a_poisoner_is_decided_the_same_again() {
    let scene = Scene::with_file("x.bin", 3 * MIB);
    let record = scene.path("record.jsonl");
    record_a_download(&scene, &record);
    assert_same(&record, 1);

    let good = fs::read_to_string(&record).unwrap();
    assert!(good.contains("\"send_block\""), "the limit of uploads was of no consequence");
    let lines: Vec<&str> = good.split_inclusive('\n').collect();
    let last = lines.len();
    // The first line with this, counted from 1.
    let first_with = |part: &str| 1 + lines.iter().position(|line| line.contains(part)).unwrap();
    let verified = first_with("\"verified\"");
    let replaced = |line: usize, old: &str, new: &str| {
        let mut lines = lines.clone();
        let changed = lines[line - 1].replacen(old, new, 1);
        assert_ne!(changed, lines[line - 1]);
        lines[line - 1] = &changed;
        lines.concat()
    };
    let without = |line: usize| [&lines[..line - 1], &lines[line..]].concat().concat();
    let cut = good[..good.len() - 10].to_owned();
    let cut_off = "cut off: the record ends here, before all of its peers have left";
    let damaged = "damaged: changed since it was written, or a line before it is missing";
    for (what, bad, line, problem) in [
        ("an input", replaced(verified, "piece_checked", "piece_chequed"), verified, damaged),
        ("an output", replaced(verified, "verified", "terrified"), verified, damaged),
        ("a peer's header", replaced(2, "\"seed\":", "\"seed\":1"), 2, damaged),
        ("the time of an input", replaced(last / 2, "\"at\":", "\"at\":1"), last / 2, damaged),
        ("a check", replaced(9, "\"check\":\"", "\"check\":\"0"), 9, damaged),
        ("a line", without(last / 2), last / 2, damaged),
        ("the first line", without(1), 1, "not a record of a peer"),
        ("the last line", without(last), last, cut_off),
        ("the end of the last line", cut, last, cut_off),
        (
            "the version",
            replaced(1, "1", "0"),
            1,
            "a record of version 0; this program replays version 1",
        ),
        ("everything", String::new(), 1, "not a record of a peer"),
    ] {
        fs::write(&record, bad).unwrap();
        let ended = replay(&record);
        let error = format!("error: cannot replay {}: line {line}: {problem}\n", record.display());
        assert_eq!((ended.code, &*ended.stdout), (Some(1), ""), "{what}: {ended:?}");
        assert_eq!(ended.stderr, error, "{what}");
    }
}

#[test]
fn a_whole_swarm_is_one_record() {
    let scene = Scene::with_file("x.bin", 2 * MIB + 3 * KIB);
    let record = scene.path("record.jsonl");
    let mut command = peer(&["swarm", "--peers", "3", "--upload-limit", "1MB", "--record"]);
    command.arg(&record).arg(scene.original().join("x.bin"));
    Program::start("peer swarm", &mut command).success();
    assert_same(&record, 5);
}
