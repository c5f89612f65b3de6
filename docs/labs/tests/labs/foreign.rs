//! Programs in C, JavaScript, Perl and shell, written from the sheets alone. Each wrong one makes a
//! mistake that its language invites; it loses the points of that mistake and no others, and the report
//! tells its author what is wrong.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::grader::{Graded, grade, in_labs};
use crate::workspace::build_beside_the_grader;

struct Wrong {
    file: &'static str,
    lab: &'static str,
    /// The checks of what the program does, if it does not do all, without those that it passes or fails
    /// by chance; or some that show its mistake, if it fails most.
    only: &'static [&'static str],
    /// The checks that it fails, each with a piece of what the report says about it.
    loses: &'static [(&'static str, &'static str)],
}

const UDP_SERVER: &[&str] = &["upper", "unicode", "empty", "size", "not-text", "two-clients"];
const FRAMED: &[&str] = &[
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
const DECODE: &[&str] = &[
    "strings",
    "bytes",
    "integers",
    "lists-and-dictionaries",
    "large",
    "bad-integers",
    "bad-strings",
    "bad-dictionaries",
    "truncated",
    "trailing",
    "depth",
];

#[rustfmt::skip]
const PROGRAMS: &[Wrong] = &[
    Wrong { file: "datagrams_1024.c", lab: "datagrams", only: &[], loses: &[
        ("size", "make the buffer 2048 bytes or more"),
    ] },
    Wrong { file: "datagrams_any_sender.js", lab: "datagrams", only: &[], loses: &[
        ("no-server", "it still waits"),
        ("wrong-sender", "it printed \"FROM A STRANGER"),
    ] },
    Wrong { file: "datagrams_no_chomp.pl", lab: "datagrams", only: &[], loses: &[
        ("client-sends", "<STDIN> in Perl"),
    ] },
    Wrong { file: "datagrams_port_order.c", lab: "datagrams", only: &["upper"], loses: &[
        ("upper", "htons()"),
    ] },
    Wrong { file: "datagrams_read.sh", lab: "datagrams", only: &["client-sends", "client-prints", "no-server"], loses: &[
        ("client-prints", "only the beginning of the reply"),
    ] },
    Wrong { file: "datagrams_toupper.c", lab: "datagrams", only: UDP_SERVER, loses: &[
        ("unicode", "upper case of single bytes"),
    ] },
    Wrong { file: "datagrams_unterminated.c", lab: "datagrams", only: UDP_SERVER, loses: &[
        ("upper", "the end of the answer was not in this datagram"),
        ("empty", "ARE YOU READY?"),
        ("size", "what stands behind them in the buffer is old"),
        ("two-clients", "in C no zero ends them"),
    ] },
    Wrong { file: "streams_byte_order.c", lab: "streams", only: &["message"], loses: &[
        ("message", "the most significant first"),
    ] },
    Wrong { file: "streams_characters.pl", lab: "streams", only: FRAMED, loses: &[
        ("message", "it counts the bytes after it, not characters"),
    ] },
    Wrong { file: "streams_client_line.sh", lab: "streams", only: &["client-sends", "client-prints", "no-server", "no-reply"], loses: &[
        ("client-prints", "no line end to wait for"),
    ] },
    Wrong { file: "streams_data_event.js", lab: "streams", only: &["message", "cuts", "together", "empty-message", "longest", "oversize", "half-close"], loses: &[
        ("cuts", "repeat it until the message is complete"),
        ("together", "keep the bytes after the first"),
        ("longest", "repeat it until the message is complete"),
    ] },
    Wrong { file: "streams_first_client.c", lab: "streams", only: FRAMED, loses: &[
        ("two-clients", "lets all others wait"),
    ] },
    Wrong { file: "streams_fork.c", lab: "streams", only: FRAMED, loses: &[
        ("oversize", "the parent's copy"),
        ("half-close", "the parent closes its copy"),
    ] },
    Wrong { file: "streams_short_read.c", lab: "streams", only: &["message", "cuts", "empty-message", "oversize", "half-close", "leaves"], loses: &[
        ("cuts", "one receive returns what has arrived"),
    ] },
    Wrong { file: "streams_signed_length.c", lab: "streams", only: FRAMED, loses: &[
        ("oversize", "after the length 4294967295"),
    ] },
    Wrong { file: "streams_stdio.c", lab: "streams", only: &["message", "half-close"], loses: &[
        ("message", "flush if you write through a buffer"),
    ] },
    Wrong { file: "streams_to_string.js", lab: "streams", only: FRAMED, loses: &[
        ("cuts", "half a letter is not text"),
    ] },
    Wrong { file: "pinger_first_attempt.pl", lab: "loss-and-delay", only: &[], loses: &[
        ("rtt", "not from the first attempt of the ping"),
    ] },
    Wrong { file: "pinger_interval.js", lab: "loss-and-delay", only: &[], loses: &[
        ("replies", "send the next ping as soon as the reply has come"),
    ] },
    Wrong { file: "pinger_rcvtimeo.c", lab: "loss-and-delay", only: &[], loses: &[
        ("strangers", "wait only for the rest of the 200 ms"),
    ] },
    Wrong { file: "bencode_chomp.pl", lab: "bencode", only: DECODE, loses: &[
        ("trailing", "\"i1e\\n\""),
    ] },
    Wrong { file: "bencode_number_keys.pl", lab: "bencode", only: DECODE, loses: &[
        ("bad-dictionaries", "10 before 9"),
    ] },
    Wrong { file: "bencode_numbers.js", lab: "bencode", only: &[], loses: &[
        ("integers", "BigInt"),
        ("encode", "BigInt"),
        ("encode-refuses", "\\\"a\\\": 1, \\\"a\\\": 2"),
    ] },
    Wrong { file: "bencode_percent_s.c", lab: "bencode", only: DECODE, loses: &[
        ("bytes", "the end of the string in place of U+0000"),
    ] },
    Wrong { file: "bencode_sed.sh", lab: "bencode", only: &["info", "info-hash-raw"], loses: &[
        ("info-hash-raw", "do not search for the key"),
    ] },
    Wrong { file: "bencode_signed_char.c", lab: "bencode", only: DECODE, loses: &[
        ("bytes", "take unsigned char"),
    ] },
    Wrong { file: "bencode_wrapping_length.c", lab: "bencode", only: DECODE, loses: &[
        ("bad-strings", "18446744073709551617:x"),
    ] },
    Wrong { file: "tracker_fork.pl", lab: "tracker", only: &["first", "compact", "silent-client"], loses: &[
        ("compact", "a process for each client (fork) has a copy of its own"),
    ] },
    Wrong { file: "tracker_form_decoding.js", lab: "tracker", only: &["first", "compact", "torrents-apart"], loses: &[
        ("torrents-apart", "URLSearchParams"),
    ] },
    Wrong { file: "tracker_sorted.js", lab: "tracker", only: &[], loses: &[
        ("random", "draw new peers for each answer"),
    ] },
    Wrong { file: "tracker_strcmp.c", lab: "tracker", only: &["first", "compact", "torrents-apart", "stopped", "numwant", "failure"], loses: &[
        ("torrents-apart", "strcmp() stops at the first zero byte"),
    ] },
    Wrong { file: "tracker_timer.js", lab: "tracker", only: &[], loses: &[
        ("refresh", "each announce, not only the first"),
    ] },
    Wrong { file: "tracker_utf8_answer.js", lab: "tracker", only: &["first", "compact", "failure"], loses: &[
        ("compact", "UTF-8 makes two of each above 127"),
    ] },
    Wrong { file: "a_peer_data_event.js", lab: "a-peer", only: &["handshake", "whole-piece", "every-cut", "gives-up"], loses: &[
        ("whole-piece", "receive until a message is complete"),
        ("every-cut", "one receive returns what has arrived"),
    ] },
    Wrong { file: "a_peer_signed.pl", lab: "a-peer", only: &[], loses: &[
        ("bad-messages", "a message of 4 GB"),
    ] },
    Wrong { file: "a_peer_sorted_text.pl", lab: "a-peer", only: &["whole-piece", "last-piece", "keep-alive-and-unknown"], loses: &[
        ("whole-piece", "put each block where its begin says"),
    ] },
    Wrong { file: "rarest_sorted_text.js", lab: "rarest-first", only: &[], loses: &[
        ("random-ties", "two runs began the same piece at the same place"),
    ] },
    Wrong { file: "tit_for_tat_text_order.js", lab: "tit-for-tat", only: &[], loses: &[
        ("top-four", "JavaScript's sort() compares text"),
    ] },
];

const RIGHT: [(&str, &str); 3] =
    [("pinger.c", "loss-and-delay"), ("bencode.sh", "bencode"), ("tracker.js", "tracker")];

#[test]
#[ignore = "needs cc, node, perl and bash, and takes minutes: .ci/full"]
fn a_wrong_program_loses_the_points_of_its_mistake_and_is_told_which() {
    /// Programs that are graded at a time: most of a run is waiting.
    const AT_A_TIME: usize = 3;
    build_beside_the_grader("peer");
    let next = AtomicUsize::new(0);
    let surprises = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(program) = PROGRAMS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some(surprise) = judge(program) {
                        surprises.lock().unwrap().push(surprise);
                    }
                }
            });
        }
    });
    let surprises = surprises.into_inner().unwrap();
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}

/// What the report says otherwise than the table.
fn judge(program: &Wrong) -> Option<String> {
    let only: Vec<_> = program.only.iter().flat_map(|id| ["--only", id]).collect();
    let graded = run(&Path::new("wrong").join(program.file), program.lab, &only);
    let failed: BTreeSet<_> = graded.failed().into_iter().collect();
    let expected: BTreeSet<_> = program.loses.iter().map(|(id, _)| (*id).to_owned()).collect();
    if failed != expected {
        return Some(format!("{} failed {failed:?}: {:#}", program.file, graded.report));
    }
    let untold = program.loses.iter().find(|(id, text)| !tells(&graded, id, text));
    untold.map(|(id, text)| {
        format!("{}: no \"{text}\" about {id}: {:#}", program.file, graded.report)
    })
}

fn tells(graded: &Graded, id: &str, text: &str) -> bool {
    let check = graded.checks().iter().find(|check| check["id"] == id).expect("it has failed");
    let said = |field: &str| check[field].as_str().is_some_and(|said| said.contains(text));
    ["expected", "got", "hint"].into_iter().any(said)
}

#[test]
#[ignore = "needs cc and node"]
fn a_right_program_gets_all_points_in_any_language() {
    build_beside_the_grader("peer");
    for (file, lab) in RIGHT {
        let graded = run(&Path::new("right").join(file), lab, &[]);
        assert_eq!(graded.failed(), [""; 0], "{file}: {:#}", graded.report);
    }
}

#[test]
fn each_file_is_in_the_table() {
    let files = |folder: &str| {
        let entries = in_labs("tests/foreign").join(folder).read_dir().unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect::<BTreeSet<_>>()
    };
    assert_eq!(files("wrong"), PROGRAMS.iter().map(|program| program.file.to_owned()).collect());
    assert_eq!(files("right"), RIGHT.iter().map(|(file, _)| (*file).to_owned()).collect());
}

/// Builds a program of tests/foreign, if it must be built, and grades it.
fn run(file: &Path, lab: &str, options: &[&str]) -> Graded {
    let file = in_labs("tests/foreign").join(file);
    let folder = tempfile::tempdir().unwrap();
    let interpreter = match file.extension().and_then(|extension| extension.to_str()) {
        Some("c") => {
            let program = folder.path().join("student");
            let mut cc = Command::new("cc");
            cc.args(["-O1", "-Wall", "-Werror", "-pthread", "-o"]).arg(&program).arg(&file);
            let status = cc.status().expect("start cc");
            assert!(status.success(), "cc {}: {status}", file.display());
            return grade(lab, &format!("'{}'", program.display()), options);
        }
        Some("js") => "node",
        Some("pl") => "perl",
        Some("sh") => "bash",
        other => panic!("{}: no interpreter for {other:?}", file.display()),
    };
    grade(lab, &format!("{interpreter} '{}'", file.display()), options)
}
