//! `peer create` and `peer show` as a user runs them.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests of programs have files, sockets and clocks"
)]

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

const TRACKER: &str = "http://192.0.2.1:6969/announce";

fn peer(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peer"));
    command.current_dir(folder).args(args);
    command
}

/// What it prints on stdout if it succeeds.
fn stdout(folder: &Path, args: &[&str]) -> String {
    let output = peer(folder, args).assert().success().get_output().clone();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "no bar without a terminal");
    String::from_utf8(output.stdout).unwrap()
}

/// What it prints on stderr if it fails with this exit code.
fn stderr(folder: &Path, code: i32, args: &[&str]) -> String {
    let output = peer(folder, args).assert().code(code).stdout("").get_output().clone();
    String::from_utf8(output.stderr).unwrap()
}

fn folder_with_hello() -> TempDir {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("hello.txt"), "hello, world\n").unwrap();
    folder
}

#[test]
fn create_prints_the_info_hash_and_the_file() {
    let folder = folder_with_hello();
    let printed = stdout(folder.path(), &["create", "hello.txt", "--tracker", TRACKER]);
    assert_eq!(printed, "1657c21fac68277c96a2c788cf52c38c80c79426  hello.txt.torrent\n");
    // The known torrent, byte for byte.
    let bytes = fs::read(folder.path().join("hello.txt.torrent")).unwrap();
    assert!(bytes.starts_with(b"d8:announce30:http://192.0.2.1:6969/announce4:infod6:lengthi13e"));

    let args = ["create", "hello.txt", "--tracker", TRACKER, "--private", "-o", "private.torrent"];
    let printed = stdout(folder.path(), &args);
    assert_eq!(printed, "bb0ae7ef9560992ece73b0af58561b5c648d8fad  private.torrent\n");
}

#[test]
fn create_never_overwrites() {
    let folder = folder_with_hello();
    let torrent = folder.path().join("hello.txt.torrent");
    fs::write(&torrent, "precious").unwrap();
    let error = stderr(folder.path(), 1, &["create", "hello.txt", "--tracker", TRACKER]);
    assert_eq!(
        error,
        "error: cannot write hello.txt.torrent: it exists; remove it, or name another file with -o\n"
    );
    assert_eq!(fs::read(torrent).unwrap(), b"precious");
}

#[test]
fn the_output_cannot_be_a_folder_and_nobody_is_told_to_remove_it() {
    let folder = folder_with_hello();
    fs::create_dir(folder.path().join("torrents")).unwrap();
    let args = ["create", "hello.txt", "--tracker", TRACKER, "-o", "torrents"];
    let file = Path::new("torrents").join("hello.txt.torrent");
    let error = "error: cannot write torrents: it is a folder; name a file, such as -o";
    assert_eq!(stderr(folder.path(), 1, &args), format!("{error} {}\n", file.display()));
}

#[test]
fn a_tracker_that_other_machines_cannot_reach_is_a_warning() {
    let folder = folder_with_hello();
    let urls = ["--tracker", TRACKER, "--tracker", "udp://localhost:6969"];
    let create = peer(folder.path(), &[&["create", "hello.txt"], &urls[..]].concat())
        .assert()
        .success()
        .stderr(
            "warning: other machines cannot reach the tracker udp://localhost:6969; \
             for them, name the tracker by its machine's address\n",
        );
    assert!(create.get_output().stdout.ends_with(b"  hello.txt.torrent\n"));
}

#[test]
fn a_path_that_cannot_be_shared_is_named() {
    let folder = folder_with_hello();
    fs::write(folder.path().join("empty"), "").unwrap();
    for path in ["empty", "missing"] {
        let error = stderr(folder.path(), 1, &["create", path, "--tracker", TRACKER]);
        let start = format!("error: cannot make a .torrent of {path}: ");
        assert!(error.starts_with(&start), "{error}");
        assert!(!folder.path().join(format!("{path}.torrent")).exists());
    }
}

#[test]
fn a_tracker_that_cannot_be_announced_to_is_a_usage_error() {
    let folder = folder_with_hello();
    for args in [&["--tracker", "localhost:6969"][..], &["--tracker", "udp://localhost"], &[]] {
        let args = [&["create", "hello.txt"], args].concat();
        let error = stderr(folder.path(), 2, &args);
        assert!(error.contains("--tracker <URL>"), "{error}");
    }
}

#[test]
fn show_prints_as_json_what_create_was_given() {
    let folder = folder_with_hello();
    let lesson = folder.path().join("a lesson");
    fs::create_dir(&lesson).unwrap();
    fs::write(lesson.join("ß.txt"), vec![b'x'; 300_000]).unwrap();
    fs::write(lesson.join("empty"), "").unwrap();
    let other = "udp://tracker.example:6969";
    let create = ["create", "a lesson", "--tracker", TRACKER, "--tracker", other, "-o", "t"];
    let printed = stdout(folder.path(), &[&create[..], &["--chunk-size", "32KiB"]].concat());
    let info_hash = printed.split("  ").next().unwrap();

    let shown: Value =
        serde_json::from_str(&stdout(folder.path(), &["show", "--json", "t"])).unwrap();
    assert_eq!(
        shown,
        json!({
            "name": "a lesson",
            "info_hash": info_hash,
            "total_length": 300_000,
            "chunk_size": 32_768,
            "chunks": 10,
            "files": [
                { "path": "a lesson/empty", "length": 0 },
                { "path": "a lesson/ß.txt", "length": 300_000 },
            ],
            "trackers": [[TRACKER], [other]],
            "private": false,
            "comment": null,
            "created_by": null,
            "creation_date": null,
        })
    );
}

#[test]
fn show_escapes_what_strangers_wrote() {
    let folder = tempdir().unwrap();
    let info = "d6:lengthi1e4:name1:x12:piece lengthi16384e6:pieces20:aaaaabbbbbcccccddddde";
    let torrent = format!("d7:comment6:a\x1b[31m13:creation datei86400e4:info{info}e");
    fs::write(folder.path().join("t"), torrent).unwrap();
    let shown = stdout(folder.path(), &["show", "t"]);
    let hash_line = shown.lines().nth(1).unwrap();
    assert!(hash_line.starts_with("info-hash   "), "{shown}");
    assert_eq!(
        shown.replace(hash_line, "#"),
        "name        x\n\
         #\n\
         length      1 B\n\
         chunks      1 of 16.0 KiB (16384 bytes)\n\
         created     1970-01-02T00:00:00Z\n\
         comment     a\\u{1b}[31m\n        1 B x\n"
    );
}

#[test]
fn show_says_what_is_wrong_with_a_file() {
    let folder = folder_with_hello();
    for (file, error) in [
        ("hello.txt", "error: cannot read hello.txt: not a .torrent file: "),
        ("missing", "error: cannot read missing: "),
        (".", "error: cannot read .: "),
    ] {
        let printed = stderr(folder.path(), 1, &["show", file]);
        assert!(printed.starts_with(error), "{printed}");
    }
}

#[test]
fn a_file_in_place_of_its_torrent_is_told_what_was_meant() {
    let folder = folder_with_hello();
    for command in ["show", "get", "seed"] {
        let printed = stderr(folder.path(), 1, &[command, "hello.txt"]);
        let hint = "a .torrent describes what to download, and `peer create` makes one of a file";
        assert!(printed.contains(hint), "{printed}");
    }
    stdout(folder.path(), &["create", "hello.txt", "--tracker", TRACKER]);
    for command in ["show", "get", "seed"] {
        let printed = stderr(folder.path(), 1, &[command, "hello.txt"]);
        assert!(printed.ends_with("; did you mean hello.txt.torrent?\n"), "{printed}");
    }
    fs::remove_file(folder.path().join("hello.txt")).unwrap();
    let printed = stderr(folder.path(), 1, &["get", "hello.txt"]);
    assert!(printed.ends_with("; did you mean hello.txt.torrent?\n"), "{printed}");
}

#[test]
fn a_closed_stdout_is_an_error_at_most_and_no_panic() {
    let folder = folder_with_hello();
    let closed = || {
        let (_, writer) = std::io::pipe().unwrap();
        writer
    };
    let program = || std::process::Command::new(env!("CARGO_BIN_EXE_peer"));
    let mut show = program();
    show.current_dir(&folder).args(["show", "missing.torrent"]).stderr(closed());
    assert_eq!(show.status().unwrap().code(), Some(1));
    let mut create = program();
    create.current_dir(&folder).args(["create", "hello.txt", "--tracker", TRACKER]);
    let output = create.stdout(closed()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("error: cannot write to stdout: "), "{text}");
}
