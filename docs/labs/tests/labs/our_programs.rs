//! The programs of this workspace as a student's. They were not written for the sheets: what one fails
//! says where a sheet asks for other manners.

use crate::grader::{Graded, grade, python, write_python};
use crate::workspace::{build_apart, build_beside_the_grader};

/// Puts the options of a pair in the place of a lab's arguments.
const PAIR: &str = r#"
import os, sys
folder, role, rest = sys.argv[1], sys.argv[2], sys.argv[3:]
if role == "server":
    arguments = ["--bind", "127.0.0.1", "--port", rest[0]]
elif role == "client":
    arguments = [rest[0], "--port", rest[1]]
else:
    sys.exit(f"the pair has no {role}")
os.execv(os.path.join(folder, role), [role, *arguments])
"#;

/// The same for the tracker.
const TRACKER: &str = r#"
import os, sys
program, port, interval = sys.argv[1:]
os.execv(program, ["tracker", "--bind", "127.0.0.1", "--port", port, "--interval", interval + "s"])
"#;

/// The same for the peer, with its file or piece in the place of OUT.
const PEER: &str = r#"
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
fn our_udp_pair_gets_full_marks() {
    let graded = grade_pair("datagrams", "udp-upper");
    assert_eq!(graded.failed(), [""; 0], "{:#}", graded.report);
}

#[test]
fn our_tcp_pair_gets_full_marks_for_the_part_that_it_has() {
    let graded = grade_pair("streams", "tcp-upper");
    // It does not frame messages: the book does not.
    let framed = [
        "message",
        "cuts",
        "together",
        "empty-message",
        "longest",
        "oversize",
        "two-clients",
        "half-close",
        "leaves",
    ];
    assert_eq!(graded.failed(), framed, "{:#}", graded.report);
}

#[test]
fn our_tracker_gets_full_marks_but_for_the_expiry() {
    build_beside_the_grader("peer");
    let program = build_beside_the_grader("tracker").join("tracker");
    let graded = grade_wrapped("tracker", TRACKER, &format!("'{}'", program.display()));
    // It keeps a silent peer for 30 s longer than the interval at least, which the sheet's two
    // intervals of 2 s do not allow.
    assert_eq!(graded.failed(), ["expiry"], "{:#}", graded.report);
}

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
    let program = build_beside_the_grader("peer").join("peer");
    grade_wrapped(lab, PEER, &format!("{number} '{}'", program.display()))
}

fn grade_pair(lab: &str, package: &str) -> Graded {
    grade_wrapped(lab, PAIR, &format!("'{}'", build_apart(package).display()))
}

/// Grades a program by a wrapper in Python, whose first arguments are these.
fn grade_wrapped(lab: &str, wrapper: &str, arguments: &str) -> Graded {
    let folder = tempfile::tempdir().unwrap();
    let file = write_python(folder.path(), wrapper);
    grade(lab, &python(&file, arguments), &[])
}
