//! The peer of this workspace as a student of labs 7 and 8: a program that was not
//! written for these sheets. What it fails says where a sheet asks for other manners than its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::grader::{Graded, grade, python, write_python};

/// Puts a program's options in the place of a lab's arguments, and its file or piece in the place of OUT.
const WRAPPER: &str = r#"
import os, subprocess, sys
lab, program, *arguments = sys.argv[1:]
if arguments[0] == "--timeout":
    del arguments[:2]
if lab == "7":
    torrent, host, port, index, out = arguments
    peers = [f"{host}:{port}"]
else:
    torrent, out, *peers = arguments
folder = out + ".folder"
command = [program, "get", torrent, "--dir", folder, "--leave", "--listen", "127.0.0.1:0", "-v"]
command += [word for peer in peers for word in ("--peer", peer)]
process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, encoding="utf-8")
for line in process.stderr:
    print(line, end="", file=sys.stderr)
    # The peer would wait for others; lab 7 has no others.
    if lab == "7" and "disconnected" in line and "both have everything" not in line:
        process.kill()
if process.wait() != 0:
    sys.exit(1)
with open(os.path.join(folder, "lab.bin"), "rb") as file:
    content = file.read()
if lab == "7":
    # The pieces in the .torrent, whose lengths the grader chooses.
    with open(torrent, "rb") as file:
        length = int(file.read().split(b"12:piece lengthi")[1].split(b"e")[0])
    content = content[int(index) * length :][:length]
with open(out, "wb") as file:
    file.write(content)
"#;

#[test]
fn our_peer_gets_the_points_of_lab_7_that_do_not_ask_for_one_piece() {
    let graded = grade_peer("a-peer", "7");
    let not_ours = [
        // It knows the extension protocol, and says so (BEP 10).
        "handshake",
        // It downloads the file, so it requests blocks of other pieces too.
        "pipeline",
        "no-bitfield",
        // It disconnects a peer that sends blocks that it did not request.
        "any-order",
        // It waits for other peers, and does not end.
        "wrong-info-hash",
        "gives-up",
    ];
    assert_eq!(graded.failed(), not_ours, "{:#}", graded.report);
}

#[test]
fn our_peer_gets_the_points_of_lab_8_but_for_what_the_sheet_leaves_out() {
    let graded = grade_peer("rarest-first", "8");
    let not_ours = [
        // It has as many requests in flight as the rate asks for, which can be more than 16.
        "at-the-same-time",
        // It begins with four pieces at random.
        "rarest",
        "haves",
        "left",
        // It has an endgame.
        "no-duplicates",
    ];
    assert_eq!(graded.failed(), not_ours, "{:#}", graded.report);
}

fn grade_peer(lab: &str, number: &str) -> Graded {
    let folder = tempfile::tempdir().unwrap();
    let wrapper = write_python(folder.path(), WRAPPER);
    grade(lab, &python(&wrapper, &format!("{number} '{}'", build().display())), &[])
}

/// Builds the peer in a target folder of its own, as the tests of this crate do not depend on it.
fn build() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--bin", "peer", "--package", "peer", "--target-dir"])
        .arg(folder.join("peer"))
        // Since cargo 1.91: takes the compiled dependencies from where this test was built.
        .env("CARGO_BUILD_BUILD_DIR", folder.parent().expect("the target folder"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("run cargo");
    assert!(status.success(), "build peer: {status}");
    folder.join("peer").join("debug").join("peer")
}
