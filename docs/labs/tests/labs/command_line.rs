//! What the command line promises: exit codes, choices, files, and that a seed repeats.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use assert_cmd::assert::OutputAssertExt;

use crate::grader::{grade, in_labs, labs, python, write_python};

/// Serves one datagram and ends.
const SERVES_ONCE: &str = "
import sys
from socket import *
server = socket(AF_INET, SOCK_DGRAM)
server.bind(('', int(sys.argv[-1])))
message, client = server.recvfrom(2048)
server.sendto(message.upper(), client)
";

#[test]
fn list_names_the_labs_with_their_points() {
    let output = labs(&["list"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    let rows: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let expected: [Vec<_>; 10] = [
        vec!["lab", "name", "points", "checks", "title"],
        vec!["1", "datagrams", "15", "10", "Datagrams"],
        vec!["2", "streams", "20", "15", "Streams"],
        vec!["3", "loss-and-delay", "17", "8", "Loss", "and", "delay"],
        vec!["4", "on-the-wire", "20", "11", "On", "the", "wire"],
        vec!["5", "bencode", "20", "16", "Bencode", "and", ".torrent", "files"],
        vec!["6", "tracker", "20", "15", "A", "tracker"],
        vec!["7", "a-peer", "20", "14", "A", "peer,", "byte", "by", "byte"],
        vec!["8", "rarest-first", "20", "14", "The", "whole", "file,", "rarest", "first"],
        vec!["9", "tit-for-tat", "20", "13", "Tit-for-tat"],
    ];
    assert_eq!(rows[..expected.len()], expected);
}

#[test]
fn a_missing_point_is_exit_code_0_and_with_strict_1() {
    let folder = tempfile::tempdir().unwrap();
    let program = python(&write_python(folder.path(), SERVES_ONCE), "");
    let arguments = ["check", "datagrams", "--program", &program, "--only", "upper"];
    let text = labs(&arguments).assert().code(0).get_output().stdout.clone();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("FAILED  upper  0/2"), "{text}");
    assert!(text.ends_with("\n0/2\n"), "{text}");
    labs(&arguments).arg("--strict").assert().code(1);

    let solution = python(&in_labs("solutions/01_datagrams.py"), "");
    let arguments = ["check", "1", "--program", &solution, "--only", "upper", "--strict"];
    labs(&arguments).assert().code(0);
}

#[test]
fn what_cannot_be_graded_is_exit_code_2() {
    let errors = |arguments: &[&str]| {
        let output = labs(arguments).assert().code(2).get_output().clone();
        assert_eq!(output.stdout, b"");
        String::from_utf8(output.stderr).unwrap()
    };
    let error = errors(&["check", "datagrams", "--program", "./absent"]);
    assert_eq!(error, "error: --program ./absent: no such file\n");
    let error = errors(&["check", "datagrams", "--program", "python3", "--only", "uper"]);
    assert!(error.contains("--only uper: no such check; the checks of datagrams are upper, "));
    errors(&["check", "datagrams"]);
    errors(&["check", "nothing", "--program", "python3"]);
}

#[test]
fn a_program_that_the_system_cannot_start_loses_its_points_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    // Not executable.
    let file = write_python(folder.path(), SERVES_ONCE);
    let graded = grade("datagrams", file.to_str().unwrap(), &["--only", "upper"]);
    assert!(graded.first("got").starts_with("cannot start "), "{:#}", graded.report);
    assert!(graded.first("hint").contains("chmod +x"), "{:#}", graded.report);
}

#[test]
fn the_report_goes_to_a_file_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("results.json");
    let program = python(&write_python(folder.path(), SERVES_ONCE), "");
    let output = labs(&["check", "datagrams", "--program", &program, "--only", "empty"])
        .args(["--format", "gradescope", "-o", file.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success() && output.stdout.is_empty());
    let results: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    assert_eq!(results["tests"][0]["status"], "failed");
}

#[test]
fn classroom50_needs_the_variables_of_its_runner() {
    let program = python(&in_labs("solutions/01_datagrams.py"), "");
    let arguments =
        ["check", "1", "--program", &program, "--only", "upper", "--format", "classroom50"];
    let error =
        labs(&arguments).env_remove("CLASSROOM").assert().code(2).get_output().stderr.clone();
    let error = String::from_utf8(error).unwrap();
    assert!(error.contains("needs the variable CLASSROOM"), "{error}");

    let mut command = labs(&arguments);
    for name in ["CLASSROOM", "ASSIGNMENT", "OWNER", "SUBMISSION_TAG", "COMMIT_URL", "RELEASE_URL"]
    {
        command.env(name, name.to_lowercase());
    }
    let output = command.env_remove("REVIEW_URL").assert().code(0).get_output().stdout.clone();
    let result: serde_json::Value = serde_json::from_slice(&output).unwrap();
    assert_eq!((&result["review"], &result["score"]), (&"commit_url".into(), &2.into()));
}

#[test]
fn the_same_student_gets_the_same_texts() {
    let texts = |student: &str| {
        let folder = tempfile::tempdir().unwrap();
        let heard = folder.path().join("heard");
        let reference = crate::grader::solution("01_datagrams.py");
        let log = format!("open({heard:?}, 'ab').write(message + b'\\n')");
        let program = reference
            .replace("            try:\n", &format!("            {log}\n            try:\n"));
        let program = python(&write_python(folder.path(), &program), "");
        grade("datagrams", &program, &["--only", "upper", "--student", student]);
        fs::read_to_string(Path::new(&heard)).unwrap()
    };
    let alice = texts("alice");
    assert_eq!(alice.lines().count(), 11, "ten texts and the probe: {alice}");
    assert_eq!(texts("alice"), alice);
    assert_ne!(texts("bob"), alice);
}

#[test]
fn a_key_is_the_link_that_the_relay_of_the_same_student_has() {
    let key =
        |lab: &str, student: &str| labs(&["key", lab, "--student", student]).output().unwrap();
    let alice = key("loss-and-delay", "alice");
    assert!(alice.status.success());
    assert_eq!(alice.stdout, key("3", "alice").stdout);
    assert_ne!(alice.stdout, key("3", "bob").stdout);
    let none = key("datagrams", "alice");
    assert_eq!(none.status.code(), Some(2));

    // What a pinger measures there is what the key says.
    let mut relay = labs(&["relay", "--port", "0", "--student", "alice"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut listening = String::new();
    BufReader::new(relay.stderr.take().unwrap()).read_line(&mut listening).unwrap();
    let port = listening.trim_end().strip_prefix("listening on 127.0.0.1:").unwrap();
    let pinger = in_labs("solutions/03_loss_and_delay.py");
    let output = Command::new("python3").arg(pinger).args(["127.0.0.1", port, "12"]).output();
    relay.kill().unwrap();
    relay.wait().unwrap();
    let printed = String::from_utf8(output.unwrap().stdout).unwrap();
    let key = String::from_utf8(alice.stdout).unwrap();
    let shortest = key.split("RTT: ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let shortest: f64 = shortest.parse().unwrap();
    let rtts = printed.lines().filter(|line| line.starts_with("reply"));
    let rtts: Vec<f64> =
        rtts.map(|line| line.split(' ').nth(3).unwrap().parse().unwrap()).collect();
    assert!(!rtts.is_empty() && rtts.iter().all(|rtt| *rtt >= shortest), "{key}{printed}");
}
