//! Labs that grade a file of answers: the reference's numbers get full marks, empty ones none, and a
//! wrong number costs the points of its check.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::grader::{Graded, in_labs, labs};
use crate::sheets::commands;
use crate::workspace::build_beside_the_grader;

/// Each check of a lab, and an answer that it looks at.
type Checks = &'static [(&'static str, &'static str)];

/// Each lab, its files, and its checks.
const LABS: [(&str, &str, Checks); 2] = [
    (
        "distribution-time",
        "10_distribution_time.py",
        &[
            ("client-server", "cs-100"),
            ("p2p-low", "p2p-low-1000"),
            ("p2p-medium", "p2p-medium-10"),
            ("p2p-high", "p2p-high-100"),
            ("server-limits", "server-limits-from"),
            ("simulated", "sim-cs-large"),
            ("few-chunks", "sim-few-chunks"),
            ("in-order", "sim-in-order"),
            ("swarm-bound", "swarm-bound"),
            ("swarm-measured", "swarm-measured"),
        ],
    ),
    (
        "free-riders",
        "11_free_riders.py",
        &[
            ("rider-formula", "rider-formula-mainline"),
            ("rider-simulated", "rider-sim-textbook"),
            ("crowd-formula", "crowd-formula"),
            ("crowd-simulated", "crowd-sim-ratio"),
            ("missing-formula", "missing-doubles"),
            ("missing-simulated", "missing-sim-stays"),
            ("clusters", "fast-seed-kept"),
            ("no-clusters", "slow-seed-ratio"),
        ],
    ),
];

/// Of all IDs one with small swarms.
const STUDENT: &str = "test-2711";

#[test]
fn the_numbers_of_the_reference_get_full_marks_and_each_wrong_one_costs_its_check() {
    let peer = build_beside_the_grader("peer").join("peer");
    for (lab, file, checks) in LABS {
        let mut answers = python(&in_labs("solutions").join(file), &[STUDENT, path(&peer)]);
        if lab == "distribution-time" {
            // Here no real swarm runs, which takes over a minute.
            let key = key(lab, STUDENT);
            let bound = key.lines().find_map(|line| line.strip_prefix("swarm-bound = ")).unwrap();
            let measured = 1.3 * bound.parse::<f64>().unwrap();
            answers += &format!("swarm-bound = {bound}\nswarm-measured = {measured}\n");
        }
        let graded = grade(lab, &answers);
        assert_eq!(graded.failed(), [""; 0], "{:#}", graded.report);
        assert_eq!(graded.ids(), checks.iter().map(|(id, _)| *id).collect::<Vec<_>>());

        // One number of each check, all in one run, since each run simulates.
        let wrong = checks.iter().fold(answers, |answers, (_, name)| changed(&answers, name));
        let graded = grade(lab, &wrong);
        assert_eq!(graded.failed(), graded.ids(), "{:#}", graded.report);
        for (check, (_, name)) in graded.checks().iter().zip(checks) {
            let expected = check["expected"].as_str().unwrap();
            assert_eq!(expected, format!("{name}: another number"), "{:#}", graded.report);
        }
    }
}

#[test]
fn the_empty_answers_of_a_starter_get_no_points() {
    let points = LABS.map(|(lab, file, _)| (lab, file, 15));
    for (lab, file, max) in [("on-the-wire", "04_on_the_wire.py", 20)].into_iter().chain(points) {
        let answers = python(&in_labs("starter").join(file), &[STUDENT]);
        let graded = grade(lab, &answers);
        assert_eq!(graded.points(), (0, max), "{:#}", graded.report);
    }
}

/// The checks of lab 4 and their answers.
const ON_THE_WIRE: [(&str, &[&str]); 11] = [
    ("announce", &["info-hash-start", "interval"]),
    ("answer", &["first-peers", "announces"]),
    ("two-trackers", &["udp-peer", "udp-packets", "http-packets"]),
    ("dial", &["dial-port", "dial-rtt-ms"]),
    ("last-chunk", &["chunks", "last-chunk"]),
    ("control-and-data", &["data-bytes", "control-bytes"]),
    ("pipelining", &["first-requests", "first-block-ms"]),
    ("choking", &["seed-unchokes-first", "chokes"]),
    ("late", &["late-chunk", "late-copies", "late-rarest"]),
    ("reciprocity", &["from-b", "to-b"]),
    ("completed", &["completed-s"]),
];

#[test]
fn the_reference_of_lab_4_reads_the_answers_off_the_capture_and_a_wrong_one_costs_its_check() {
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("swarm.pcapng");
    stdout(&mut labs(&["capture", "--student", STUDENT, "-o", path(&capture)]));
    let reference = in_labs("solutions/04_on_the_wire.py");
    let answers = python(&reference, &[STUDENT, path(&capture)]);
    let graded = grade("on-the-wire", &answers);
    assert_eq!(graded.failed(), [""; 0], "{:#}", graded.report);
    assert_eq!(graded.points(), (20, 20));
    assert_eq!(graded.ids(), ON_THE_WIRE.map(|(id, _)| id));
    let names: Vec<_> = ON_THE_WIRE.iter().flat_map(|(_, names)| *names).collect();
    assert_eq!(answers.lines().count(), names.len());
    // The first answer of each check, then the second of those that have one, then the third.
    for place in 0..3 {
        let wrong = ON_THE_WIRE.iter().filter_map(|(id, names)| Some((*id, *names.get(place)?)));
        let (ids, names): (Vec<_>, Vec<_>) = wrong.unzip();
        let wrong = names.iter().fold(answers.clone(), |answers, name| changed(&answers, name));
        let graded = grade("on-the-wire", &wrong);
        assert_eq!(graded.failed(), ids, "{:#}", graded.report);
        let failed = graded.checks().iter().filter(|check| check["passed"] == false);
        for (check, name) in failed.zip(names) {
            assert!(check["expected"].as_str().unwrap().contains(name), "{:#}", graded.report);
        }
    }
}

#[test]
fn the_capture_of_another_student_gives_other_answers() {
    let graded = grade("on-the-wire", &key("on-the-wire", "another"));
    let (points, _) = graded.points();
    // What a neighbor's answers get by chance, in so small a swarm.
    assert!(points <= 6, "{:#}", graded.report);
}

#[test]
#[ignore = "needs tshark"]
fn the_commands_of_lab_4_run_as_typed() {
    run_commands("04-on-the-wire.md", |_| true);
}

#[test]
fn answers_are_taken_where_answers_are_asked_for_and_programs_where_programs_are() {
    for (arguments, says) in [
        (["check", "free-riders", "--program", "true"], "grades a file of answers: --answers FILE"),
        (["check", "datagrams", "--answers", "x"], "grades a program: --program CMD"),
        (["check", "free-riders", "--answers", "absent.txt"], "absent.txt"),
    ] {
        let output = labs(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
#[ignore = "the simulations take over a minute"]
fn the_commands_of_the_sheets_run_as_typed() {
    for sheet in ["10-distribution-time.md", "11-free-riders.md", "12-your-own-choker.md"] {
        run_commands(sheet, |command| !command.contains("peer swarm"));
    }
}

#[test]
#[ignore = "a real swarm takes over a minute"]
fn the_real_swarm_of_lab_10_runs_as_typed() {
    run_commands("10-distribution-time.md", |command| command.contains("peer swarm"));
}

/// Runs those commands of a sheet, in a folder that looks like the root of the project, and returns it.
pub(crate) fn run_commands(sheet: &str, chosen: impl Fn(&str) -> bool) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let link =
        |to: &Path, name: &str| std::os::unix::fs::symlink(to, root.path().join(name)).unwrap();
    fs::create_dir_all(root.path().join("target/release")).unwrap();
    link(&in_labs(".."), "docs");
    let text = fs::read_to_string(in_labs(sheet)).unwrap();
    let chosen: Vec<_> = commands(&text).into_iter().filter(|command| chosen(command)).collect();
    assert!(!chosen.is_empty(), "{sheet}");
    if chosen.iter().any(|command| command.contains("target/release/peer")) {
        link(&build_beside_the_grader("peer").join("peer"), "target/release/peer");
    }
    for command in chosen {
        if command == "cargo build --release" {
            continue;
        }
        let labs = format!("'{}' ", env!("CARGO_BIN_EXE_labs"));
        let typed = command.replace("cargo run -p labs -- ", &labs);
        let mut shell = Command::new("sh");
        shell.args(["-c", &typed]).current_dir(root.path()).stdout(Stdio::null());
        assert!(shell.status().unwrap().success(), "{sheet}: {command}");
    }
    root
}

fn grade(lab: &str, answers: &str) -> Graded {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("answers.txt");
    fs::write(&file, answers).unwrap();
    let arguments = ["check", lab, "--answers", path(&file), "--student", STUDENT];
    Graded::by(labs(&arguments).args(["--format", "json"]))
}

/// What staff compare a student's answers with.
pub(crate) fn key(lab: &str, student: &str) -> String {
    stdout(&mut labs(&["key", lab, "--student", student]))
}

fn python(file: &Path, arguments: &[&str]) -> String {
    stdout(Command::new("python3").arg(file).args(arguments))
}

/// What a command prints, which must succeed.
pub(crate) fn stdout(command: &mut Command) -> String {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The answers with a wrong number under this name.
fn changed(answers: &str, name: &str) -> String {
    let begins = format!("{name} = ");
    let old =
        answers.lines().find(|line| line.starts_with(&begins)).unwrap_or_else(|| panic!("{name}"));
    let number: f64 = old[begins.len()..].parse().unwrap();
    answers.replacen(old, &format!("{begins}{}", 2.5 * number), 1)
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
