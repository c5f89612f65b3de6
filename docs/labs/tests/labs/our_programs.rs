//! The programs of this workspace, and aria2, as a student's. They were not written for the sheets: what one fails
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

/// aria2 as the same. It takes peers from trackers only, and tries encryption before it speaks as in
/// the sheets.
const ARIA2: &str = r#"
import hashlib, http.server, os, shutil, socket, subprocess, sys, threading, time
lab, *arguments = sys.argv[1:]
if arguments[0] == "--timeout":
    del arguments[:2]
if lab == "7":
    torrent, host, port, index, out = arguments
    peers = [f"{host}:{port}"]
else:
    torrent, out, *peers = arguments
def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, sink):
            end.close()

def relay(listener, address):
    """Passes on what begins as the sheet says: aria2 tries encryption first."""
    while True:
        client, _ = listener.accept()
        if client.recv(1, socket.MSG_PEEK) != b"\x13":
            client.close()
            continue
        peer = socket.create_connection(address)
        for pair in ((client, peer), (peer, client)):
            threading.Thread(target=pump, args=pair, daemon=True).start()

compact = b""
for peer in peers:
    host, port = peer.rsplit(":", 1)
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=relay, args=(listener, (host, int(port))), daemon=True).start()
    compact += socket.inet_aton("127.0.0.1") + listener.getsockname()[1].to_bytes(2, "big")

class Tracker(http.server.BaseHTTPRequestHandler):
    """aria2 takes peers from trackers only."""

    def do_GET(self):
        answer = b"d8:intervali60e5:peers%d:%se" % (len(compact), compact)
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

tracker = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Tracker)
threading.Thread(target=tracker.serve_forever, daemon=True).start()
folder = out + ".folder"
shutil.rmtree(folder, ignore_errors=True)
command = ["aria2c", f"--dir={folder}", "--seed-time=0", "--enable-dht=false", "--bt-enable-lpd=false",
    "--enable-peer-exchange=false", "--bt-exclude-tracker=*", "--disk-cache=0",
    f"--bt-tracker=http://127.0.0.1:{tracker.server_port}/announce", "--interface=127.0.0.1", "--file-allocation=none",
    "--summary-interval=0", torrent]
process = subprocess.Popen(command, stdout=2)

def read():
    with open(os.path.join(folder, "lab.bin"), "rb") as file:
        return file.read()

if lab == "7":
    # aria2 downloads whole files: it is over as soon as the piece is there.
    with open(torrent, "rb") as file:
        metainfo = file.read()
    length = int(metainfo.split(b"12:piece lengthi")[1].split(b"e")[0])
    digest = metainfo.split(b"6:pieces")[1].split(b":", 1)[1][20 * int(index) :][:20]
    while process.poll() is None:
        time.sleep(0.02)
        try:
            content = read()[int(index) * length :][:length]
        except OSError:
            continue
        if hashlib.sha1(content).digest() == digest:
            process.kill()
            break
    else:
        sys.exit("no such piece")
else:
    if process.wait() != 0:
        sys.exit(1)
    content = read()
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

/// It is not our program, so a check that it passes tests the protocol and not our habits.
#[test]
#[ignore = "needs aria2c"]
fn aria2_downloads_a_piece() {
    let passed = passed(&grade_wrapped("a-peer", ARIA2, "7"));
    // Of the others all but two ask for one piece and then the end. It says that it knows extensions
    // (`handshake`), and leaves when a peer that does not sends message 20 (`keep-alive-and-unknown`).
    for id in ["interested-first", "whole-piece", "last-piece", "every-cut", "choked-again"] {
        assert!(passed.iter().any(|passed| passed == id), "{id}: {passed:?}");
    }
}

#[test]
#[ignore = "needs aria2c"]
fn aria2_downloads_a_file_rarest_first() {
    let passed = passed(&grade_wrapped("rarest-first", ARIA2, "8"));
    // It has an endgame (`no-duplicates`); each of four runs loses two seconds to encryption
    // (`random-ties`); and at times it leaves an honest peer together with the liar (`false-block`).
    for id in [
        "one-seed",
        "different-pieces",
        "at-the-same-time",
        "rarest",
        "haves",
        "left",
        "in-progress-first",
        "choked",
        "leaves",
        "never-unchokes",
        "silent",
    ] {
        assert!(passed.iter().any(|passed| passed == id), "{id}: {passed:?}");
    }
}

fn passed(graded: &Graded) -> Vec<String> {
    let failed = graded.failed();
    graded.ids().into_iter().filter(|id| !failed.contains(id)).collect()
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
