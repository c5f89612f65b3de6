//! `--choker-cmd`: the choker of docs/write-a-choker.md, and programs that are none.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::programs::{Program, peer};
use crate::scene::{MIB, Scene};

/// A swarm of two peers, a free rider and a seed, in rounds of a second; it takes some of them.
/// Returns its events, and what it says.
fn swarm(choker: &str, timeout: &str) -> (Vec<Value>, String) {
    let scene = Scene::with_file("lecture.bin", 4 * MIB);
    let (file, events) = (scene.original().join("lecture.bin"), scene.path("events.jsonl"));
    let mut command = peer(&["swarm", "--peers", "2", "--upload-limit", "1MB", "--rechoke", "1s"]);
    command.args(["--choker-cmd", choker, "--choker-cmd-timeout", timeout]);
    let ended = Program::start("peer swarm", command.arg("--events").arg(&events).arg(&file)).end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let events = fs::read_to_string(events).unwrap();
    let events = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (events, ended.stderr)
}

#[test]
#[ignore = "needs python3"]
fn the_choker_in_python_chooses_for_all_but_the_free_rider() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/python/my_choker.py");
    let (events, said) = swarm(&format!("python3 {}", path.display()), "10s");
    let chosen = events.iter().filter(|event| {
        let text = event["text"].as_str().unwrap_or_default();
        event["why"] == "other" && (text.starts_with("received ") || text.starts_with("rate "))
    });
    let by: BTreeSet<_> = chosen.filter_map(|event| event["own"].as_str()).collect();
    assert_eq!(by, BTreeSet::from(["peer-1", "peer-2", "seed"]), "{said}");
    assert!(!said.contains("choker-cmd"), "{said}");
}

#[test]
#[ignore = "needs python3"]
fn the_choker_in_python_chooses_in_the_simulator_for_all_but_riders_and_seeds() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/python/my_choker.py");
    let scene = Scene::new();
    let events = scene.path("events.jsonl");
    let scenario = ["simulate", "riders", "--peers", "6", "--riders", "2", "--chunks", "40"];
    let mut command = peer(&scenario);
    command.args(["--seeds", "1", "--runs", "1", "--choker-cmd-timeout", "10s", "--choker-cmd"]);
    let program = format!("python3 {}", path.display());
    let ended = Program::start("peer simulate", command.arg(program).arg("--events").arg(&events));
    let ended = ended.end();
    assert!(ended.code == Some(0) && ended.stderr.is_empty(), "{ended:?}");
    let events = fs::read_to_string(events).unwrap();
    let chosen = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let chosen = chosen.filter(|event| event["why"] == "other");
    let by: BTreeSet<_> = chosen.map(|event| event["own"].to_string()).collect();
    assert_eq!(by.len(), 4, "{by:?}");
}

#[cfg(unix)]
#[test]
fn a_swarm_completes_in_spite_of_programs_that_are_no_chokers() {
    let (events, said) = swarm("yes", "10s");
    assert!(said.contains("choker-cmd loses round 1: the answer is "), "{said}");
    assert!(events.iter().any(|event| event["why"] == "free_slot"), "{events:#?}");
    let (_, said) = swarm("true", "10s");
    assert!(said.contains("choker-cmd loses round 1: it has ended (exit status: 0)"), "{said}");
    let (_, said) = swarm("sleep 1000", "10ms");
    assert!(said.contains("choker-cmd loses round 1: it has not answered"), "{said}");
}

#[test]
fn a_program_that_does_not_exist_is_an_error() {
    let mut command = peer(&["swarm", "--choker-cmd", "./no-such-choker"]);
    let ended = Program::start("peer swarm", &mut command).end();
    let named = "error: cannot use --choker-cmd: cannot start ./no-such-choker: ";
    assert!(ended.code == Some(1) && ended.stderr.contains(named), "{ended:?}");
}
