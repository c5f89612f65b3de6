//! Lab 4: Wireshark decodes the capture without a complaint, and its fields give the answers of the key.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::answers::{key, stdout};
use crate::grader::{in_labs, labs};

const STUDENTS: [&str; 2] = ["alice", "test-2711"];

/// A capture in a folder of its own.
struct Capture {
    folder: TempDir,
}

/// Wireshark verifies checksums only if it is told to.
const CHECKSUMS: [&str; 6] = [
    "-o",
    "ip.check_checksum:TRUE",
    "-o",
    "tcp.check_checksum:TRUE",
    "-o",
    "udp.check_checksum:TRUE",
];

impl Capture {
    fn of(student: &str) -> Self {
        let capture = Self { folder: tempfile::tempdir().unwrap() };
        let file = capture.file();
        let file = file.to_str().unwrap();
        let status = labs(&["capture", "--student", student, "-o", file]).status().unwrap();
        assert!(status.success());
        capture
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("swarm.pcapng")
    }

    /// A line for each packet that the filter lets through, with these fields between tabs.
    fn show(&self, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
        let mut tshark = Command::new("tshark");
        tshark.arg("-r").arg(self.file()).args(CHECKSUMS).args(["-Y", filter, "-T", "fields"]);
        tshark.args(fields.iter().flat_map(|field| ["-e", field]));
        let Output { status, stdout, stderr } = tshark.output().unwrap();
        assert!(status.success(), "{filter}: {}", String::from_utf8_lossy(&stderr));
        let text = String::from_utf8(stdout).unwrap();
        text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    }

    fn count(&self, filter: &str) -> usize {
        self.show(filter, &["frame.number"]).len()
    }

    /// The first packet's only field.
    fn first(&self, filter: &str, field: &str) -> String {
        self.show(filter, &[field])[0][0].clone()
    }
}

/// Of the starter.
fn subjects(student: &str) -> [String; 2] {
    let starter = in_labs("starter/04_on_the_wire.py");
    let text = stdout(Command::new("python3").arg(starter).arg(student));
    ["# A = ", "# B = "]
        .map(|begin| text.lines().find_map(|line| line.strip_prefix(begin)).unwrap().to_owned())
}

/// How many of the values, of which a field of a packet can have several, are this one.
fn occurrences(lines: &[Vec<String>], value: &str) -> usize {
    lines.iter().flat_map(|line| line[0].split(',')).filter(|this| *this == value).count()
}

fn seconds(text: &str) -> f64 {
    text.parse().unwrap()
}

fn hex(text: &str) -> usize {
    usize::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

#[test]
#[ignore = "needs tshark"]
fn wireshark_finds_nothing_wrong() {
    for student in STUDENTS {
        let capture = Capture::of(student);
        for bad in [
            "_ws.malformed",
            "_ws.expert.severity == error",
            "tcp.analysis.flags",
            "bittorrent.continuous_data",
            "ip.checksum.status == Bad or tcp.checksum.status == Bad or udp.checksum.status == Bad",
        ] {
            assert_eq!(capture.count(bad), 0, "{student}: {bad}");
        }
        let good = "ip.checksum.status == Good and \
            (tcp.checksum.status == Good or udp.checksum.status == Good)";
        let all = capture.count("frame");
        assert!(all > 1000);
        assert_eq!(capture.count(good), all);
        // All that the peers say to each other is known as BitTorrent: what has no dissector is "data".
        assert_eq!(capture.count("data and tcp"), 0);
        // Two handshakes for each connection between peers that was accepted.
        let handshakes = capture.show("bittorrent.info_hash", &["bittorrent.info_hash"]);
        let accepted =
            capture.count("tcp.flags.syn == 1 and tcp.flags.ack == 1 and tcp.port == 6881");
        assert_eq!(handshakes.len(), 2 * accepted);
        let hashes: BTreeSet<_> = handshakes.iter().map(|line| &line[0]).collect();
        assert_eq!(hashes.len(), 1);
    }
}

#[test]
#[ignore = "needs tshark"]
fn all_peers_receive_the_same_bytes_of_every_block() {
    let capture = Capture::of(STUDENTS[0]);
    let fields =
        ["ip.dst", "bittorrent.piece.index", "bittorrent.piece.begin", "bittorrent.piece.data"];
    let mut blocks: BTreeMap<(String, String), (String, BTreeSet<String>)> = BTreeMap::new();
    for line in capture.show("bittorrent.msg.type == 7", &fields) {
        let [to, index, begin, data] = &line[..] else { panic!("{} fields", line.len()) };
        let block = blocks.entry((index.clone(), begin.clone()));
        let (first, peers) = block.or_insert_with(|| (data.clone(), BTreeSet::new()));
        assert_eq!(first, data, "{index} {begin}");
        peers.insert(to.clone());
    }
    assert!(blocks.len() > 30 && blocks.values().all(|(_, peers)| peers.len() == 6));
    let different: BTreeSet<_> = blocks.values().map(|(data, _)| data).collect();
    assert_eq!(different.len(), blocks.len(), "the content is random");
}

#[test]
#[ignore = "needs tshark"]
fn the_fields_of_wireshark_give_the_key() {
    for student in STUDENTS {
        let capture = Capture::of(student);
        let [a, b] = &subjects(student);
        let seed = "10.0.0.10";
        let answers = key("on-the-wire", student);
        let answers: BTreeMap<&str, f64> = answers
            .lines()
            .filter_map(|line| line.split_once(" = "))
            .map(|(name, number)| (name, number.parse().unwrap()))
            .collect();
        let is = |name: &str, number: f64| {
            let right = answers[name];
            assert!((right - number).abs() < 1e-4, "{student}: {name} is {right}, not {number}");
        };
        let whole = |name: &str, number: usize| is(name, f64::from(u32::try_from(number).unwrap()));
        let last_number = |name: &str, address: &str| whole(name, address[7..].parse().unwrap());

        let hash = capture.first("bittorrent.info_hash", "bittorrent.info_hash");
        whole("info-hash-start", hex(&hash[..4]));

        let announces = capture.show(
            &format!("http.request and ip.src == {a}"),
            &["tcp.stream", "frame.time_relative", "http.request.uri"],
        );
        whole("announces", announces.len());
        let [stream, started_at, _] = &announces[0][..] else { panic!("three fields") };
        whole("http-packets", capture.count(&format!("tcp.stream == {stream}")));
        let completed = announces.iter().find(|line| line[2].contains("&event=completed")).unwrap();
        is("completed-s", seconds(&completed[1]) - seconds(started_at));
        let answer =
            capture.first(&format!("http.response and tcp.stream == {stream}"), "tcp.payload");
        let number = |key: &str| {
            let key: String = key.bytes().map(|byte| format!("{byte:02x}")).collect();
            let digits = answer.split_once(&key).unwrap().1.as_bytes().chunks(2);
            let digits = digits.map(|pair| hex(str::from_utf8(pair).unwrap()));
            let digits =
                digits.map_while(|byte| byte.checked_sub(0x30).filter(|digit| *digit < 10));
            digits.fold(0, |number, digit| 10 * number + digit)
        };
        whole("interval", number("8:intervali"));
        whole("first-peers", number("5:peers") / 6);

        let datagrams = capture.show("udp", &["ip.src", "udp.srcport"]);
        last_number("udp-peer", &datagrams[0][0]);
        whole("udp-packets", capture.count(&format!("udp.port == {}", datagrams[0][1])));

        let syn = format!("tcp.flags.syn == 1 and ip.src == {a} and ip.dst == {seed}");
        whole("dial-port", capture.first(&syn, "tcp.srcport").parse().unwrap());
        let stream = capture.first(&syn, "tcp.stream");
        let rtt = format!("tcp.stream == {stream} and tcp.analysis.initial_rtt");
        is("dial-rtt-ms", 1000.0 * seconds(&capture.first(&rtt, "tcp.analysis.initial_rtt")));

        let bitfield = format!("bittorrent.msg.type == 5 and ip.src == {seed}");
        let bitfield = capture.first(&bitfield, "bittorrent.msg.bitfield");
        let chunks = usize::try_from(hex(&bitfield).count_ones()).unwrap();
        whole("chunks", chunks);
        let last = format!("bittorrent.msg.type == 7 and bittorrent.piece.index == {}", chunks - 1);
        let ends = capture.show(&last, &["bittorrent.piece.begin", "bittorrent.msg.length"]);
        let end = |line: &Vec<String>| hex(&line[0]) + line[1].parse::<usize>().unwrap() - 9;
        whole("last-chunk", ends.iter().map(end).max().unwrap());

        let sum = |lines: Vec<Vec<String>>, less| {
            lines.iter().map(|line| line[0].parse::<usize>().unwrap() - less).sum::<usize>()
        };
        let blocks = format!("tcp.stream == {stream} and bittorrent.msg.type == 7");
        let data = sum(capture.show(&blocks, &["bittorrent.msg.length"]), 9);
        whole("data-bytes", data);
        let last = &capture.show(&blocks, &["frame.number"]).pop().unwrap()[0];
        let up_to_last = format!("tcp.stream == {stream} and frame.number <= {last}");
        whole("control-bytes", sum(capture.show(&up_to_last, &["tcp.len"]), 0) - data);

        let requests = format!("bittorrent.msg.type == 6 and ip.src == {a}");
        let stream = &capture.first(&requests, "tcp.stream");
        let first_at = seconds(&capture.first(&requests, "frame.time_relative"));
        let blocks =
            format!("tcp.stream == {stream} and bittorrent.msg.type == 7 and ip.dst == {a}");
        let first_block = capture.first(&blocks, "frame.number");
        let block_at = seconds(&capture.first(&blocks, "frame.time_relative"));
        is("first-block-ms", 1000.0 * (block_at - first_at));
        let before =
            format!("{requests} and tcp.stream == {stream} and frame.number < {first_block}");
        let before = capture.show(&before, &["bittorrent.msg.type"]);
        whole("first-requests", occurrences(&before, "6"));

        let unchokes = format!("bittorrent.msg.type == 1 and ip.src == {seed}");
        last_number("seed-unchokes-first", &capture.first(&unchokes, "ip.dst"));
        let chokes = format!("bittorrent.msg.type == 0 and ip.src == {a}");
        whole("chokes", occurrences(&capture.show(&chokes, &["bittorrent.msg.type"]), "0"));

        let late = "10.0.0.16";
        let requests = format!("bittorrent.msg.type == 6 and ip.src == {late}");
        let request = &capture.show(&requests, &["frame.number", "bittorrent.piece.index"])[0];
        let chunk = hex(request[1].split(',').next().unwrap());
        whole("late-chunk", chunk);
        let mut holders = vec![BTreeSet::new(); chunks];
        let told = format!(
            "frame.number < {} and ip.dst == {late} and \
             (bittorrent.msg.type == 4 or bittorrent.msg.type == 5)",
            request[0]
        );
        let fields = ["ip.src", "bittorrent.msg.bitfield", "bittorrent.piece.index"];
        for line in capture.show(&told, &fields) {
            let bits = line[1].bytes().flat_map(|digit| {
                let digit = hex(str::from_utf8(&[digit]).unwrap());
                [8, 4, 2, 1].map(|bit| digit & bit != 0)
            });
            let has = bits.enumerate().filter(|(_, bit)| *bit).map(|(chunk, _)| chunk);
            let gained = line[2].split(',').filter(|index| !index.is_empty()).map(hex);
            for chunk in has.chain(gained) {
                holders[chunk].insert(line[0].clone());
            }
        }
        whole("late-copies", holders[chunk].len());
        let counts = holders.iter().map(BTreeSet::len).filter(|count| *count > 0);
        whole("late-rarest", counts.min().unwrap());

        let blocks = |from, to| {
            capture
                .count(&format!("bittorrent.msg.type == 7 and ip.src == {from} and ip.dst == {to}"))
        };
        whole("from-b", blocks(b, a));
        whole("to-b", blocks(a, b));
    }
}

#[test]
#[ignore = "needs tshark"]
fn the_sheet_has_the_numbers_of_its_student() {
    let capture = Capture::of("alice");
    let [a, b] = &subjects("alice");
    let sheet = fs::read_to_string(in_labs("04-on-the-wire.md")).unwrap();
    let first = |filter: &str, field: &str| capture.first(filter, field);
    let get = format!("http.request and ip.src == {a}");
    let dial = format!("tcp.flags.syn == 1 and ip.src == {a} and ip.dst == 10.0.0.10");
    let request = format!("bittorrent.msg.type == 6 and ip.src == {a}");
    let late = "bittorrent.msg.type == 6 and ip.src == 10.0.0.16";
    let from_seed =
        format!("tcp.stream == {} and bittorrent.msg.type == 7", first(&dial, "tcp.stream"));
    let last = &capture.show(&from_seed, &["frame.number"]).pop().unwrap()[0];
    let bitfield =
        first("bittorrent.msg.type == 5 and ip.src == 10.0.0.10", "bittorrent.msg.bitfield");
    let hash = &first("bittorrent.info_hash", "bittorrent.info_hash")[..4];
    for text in [
        format!("for alice, A is {a} and B is {b}"),
        format!("({hash}\n   is {})", hex(hash)),
        format!("follow,tcp,ascii,{}\n", first(&get, "tcp.stream")),
        format!("-Y \"tcp.stream=={}\"\n", first(&get, "tcp.stream")),
        format!("-Y \"tcp.stream=={} and frame.number<", first(&dial, "tcp.stream")),
        format!("-Y \"tcp.stream=={} and bittorrent.msg.type==7\"", first(&dial, "tcp.stream")),
        format!("-Y \"tcp.stream=={} and frame.number<={last}\"", first(&dial, "tcp.stream")),
        format!("-Y \"tcp.stream=={} and ip.dst=={a} and", first(&request, "tcp.stream")),
        format!("bittorrent.piece.index=={}\"", hex(&bitfield).count_ones() - 1),
        format!("first request, here {}:", first(late, "frame.number")),
        format!("frame.number<{} and", first(late, "frame.number")),
        format!("ip.src=={a} and ip.dst=={b}"),
        format!("ip.src=={b} and ip.dst=={a}"),
    ] {
        assert!(sheet.contains(&text), "{text}");
    }
}

#[test]
fn the_same_id_gives_the_same_file() {
    let bytes = |capture: &Capture| fs::read(capture.file()).unwrap();
    assert!(bytes(&Capture::of("alice")) == bytes(&Capture::of("alice")));
}

#[test]
fn a_file_that_cannot_be_written_is_an_error() {
    let output = labs(&["capture", "-o", "/no/such/folder/x.pcapng"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("write /no/such/folder/x.pcapng"), "{error}");
    assert!(!Path::new("/no").exists());
}
