//! Files of earlier runs are checked and resumed; files of others are left untouched.

use std::fs;

use serde_json::Value;

use crate::programs::{get, seed};
use crate::scene::{CHUNK, MIB, Scene, content};

#[test]
fn a_killed_download_resumes_where_it_was() {
    let chunk = u64::from(CHUNK);
    let scene = Scene::with_file("x.bin", 6 * MIB);
    let torrent = scene.torrent("x.bin", CHUNK, &[]);
    let mut seed = seed(&torrent, &scene.original(), &[]);
    let address = seed.address().to_string();
    let dir = scene.path("a");

    let slowly = ["--peer", &address, "--download-limit", "2MB", "-v"];
    let mut first = get(&torrent, &dir, &slowly);
    let mut last = String::new();
    for _ in 0..5 {
        last = first.line("verified chunk ");
    }
    assert!(last.ends_with("5 of 24"), "{last}");
    first.kill();
    assert!(dir.join("x.bin.part").exists() && !dir.join("x.bin").exists());

    let events = scene.path("events.jsonl");
    let again = ["--leave", "--peer", &address, "--events", events.to_str().unwrap()];
    let mut second = get(&torrent, &dir, &again);
    let line = second.line(" of 24 chunks already on disk");
    let found: u64 = line.split(' ').next().unwrap().parse().unwrap();
    assert!((5..24).contains(&found), "{line}");
    second.success();
    scene.assert_copied(&dir);

    let events = fs::read_to_string(events).unwrap();
    let complete = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let complete = complete.filter(|event| event["decision"] == "complete");
    let downloaded: Vec<_> = complete.map(|event| event["downloaded"].as_u64().unwrap()).collect();
    assert_eq!(downloaded, [(24 - found) * chunk], "only what was missing");
}

#[test]
fn a_complete_file_is_not_downloaded_again() {
    let scene = Scene::with_file("x.bin", MIB);
    let torrent = scene.torrent("x.bin", CHUNK, &[]);
    let printed = get(&torrent, &scene.original(), &["--leave"]).end();
    assert_eq!(printed.code, Some(0), "{printed:?}");
    assert_eq!(printed.stdout.trim_end(), scene.original().join("x.bin").to_str().unwrap());
    assert!(printed.stderr.starts_with("4 of 4 chunks already on disk\n"), "{printed:?}");
}

#[test]
fn a_damaged_part_is_downloaded_again() {
    let scene = Scene::with_file("x.bin", MIB);
    let torrent = scene.torrent("x.bin", CHUNK, &[]);
    let dir = scene.path("a");
    // Creates NAME.part and the claim beside it.
    let mut first = get(&torrent, &dir, &[]);
    first.address();
    first.kill();
    let mut damaged = content(MIB);
    damaged[300_000] ^= 1;
    fs::write(dir.join("x.bin.part"), damaged).unwrap();

    let mut seed = seed(&torrent, &scene.original(), &[]);
    let address = seed.address().to_string();
    let mut second = get(&torrent, &dir, &["--leave", "--peer", &address]);
    second.line("3 of 4 chunks already on disk");
    second.success();
    scene.assert_copied(&dir);
}

#[test]
fn files_of_others_are_never_touched() {
    let scene = Scene::with_file("x.bin", MIB);
    let torrent = scene.torrent("x.bin", CHUNK, &[]);
    let mut same_length = content(MIB);
    same_length[CHUNK as usize] ^= 1;
    for (name, bytes, error) in [
        ("x.bin", b"precious".to_vec(), "x.bin: it has 8 bytes, expected 1048576; left untouched"),
        ("x.bin", same_length, "x.bin: chunk 1 (x.bin) does not match; left untouched"),
        ("x.bin.part", b"precious".to_vec(), "x.bin.part exists but is not a partial download"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let theirs = dir.path().join(name);
        fs::write(&theirs, &bytes).unwrap();
        let ended = get(&torrent, dir.path(), &["--leave"]).end();
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(
            ended.stderr.starts_with("error: cannot ") && ended.stderr.contains(error),
            "{ended:?}"
        );
        assert!(fs::read(&theirs).unwrap() == bytes, "{name}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing beside {name}");
    }
}

#[test]
fn the_download_of_another_torrent_is_left_alone() {
    let scene = Scene::with_file("x.bin", MIB);
    let torrent = scene.torrent("x.bin", CHUNK, &[]);
    let other = scene.path("other.torrent");
    fs::rename(scene.torrent("x.bin", 2 * CHUNK, &[]), &other).unwrap();
    scene.torrent("x.bin", CHUNK, &[]);
    let dir = scene.path("a");
    let mut first = get(&other, &dir, &[]);
    first.address();
    first.kill();
    let ended = get(&torrent, &dir, &["--leave"]).end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("x.bin.part: it is a partial download of another torrent"),
        "{ended:?}"
    );
}

#[test]
fn two_peers_do_not_download_to_the_same_place() {
    let scene = Scene::with_file("x.bin", MIB);
    let torrent = scene.torrent("x.bin", CHUNK, &[]);
    let dir = scene.path("a");
    let mut first = get(&torrent, &dir, &[]);
    first.address();
    let second = get(&torrent, &dir, &["--leave"]).end();
    assert_eq!(second.code, Some(1), "{second:?}");
    let part = dir.join("x.bin.part");
    let error = format!("error: cannot download to {}: another peer is doing so\n", part.display());
    assert_eq!(second.stderr, error);
}

#[test]
fn a_seed_names_the_chunk_that_differs_and_the_file_that_is_missing() {
    let scene = Scene::new();
    scene.write("original/f/a.bin", &content(MIB));
    scene.write("original/f/b.bin", &content(1000));
    let torrent = scene.torrent("f", CHUNK, &[]);

    let mut changed = content(MIB);
    changed[3 * CHUNK as usize] ^= 1;
    scene.write("original/f/a.bin", &changed);
    let ended = seed(&torrent, &scene.original(), &[]).end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("chunk 3 (a.bin) does not match"), "{ended:?}");

    fs::remove_file(scene.path("original/f/b.bin")).unwrap();
    let ended = seed(&torrent, &scene.original(), &[]).end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("b.bin is missing"), "{ended:?}");

    let ended = seed(&torrent, &scene.path("elsewhere"), &[]).end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains(": it does not exist; download it first"), "{ended:?}");
}
