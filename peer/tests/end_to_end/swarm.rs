//! `peer swarm`: a tracker, a seed and some peers in one command.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::programs::{Program, peer};
use crate::scene::{KIB, MIB, Scene};

#[test]
fn a_sample_reaches_five_peers_and_every_copy_is_verified() {
    let command = &mut peer(&["swarm", "--upload-limit", "none"]);
    let printed = Program::start("peer swarm", command).success();
    assert!(printed.starts_with("5 verified copies of sample.bin in "), "{printed}");
    assert_eq!(printed.lines().count(), 1, "{printed}");
}

#[test]
fn a_file_of_ones_own_is_shared_and_the_events_say_how() {
    let scene = Scene::with_file("my file.bin", 2 * MIB + 3 * KIB);
    let (file, events) = (scene.original().join("my file.bin"), scene.path("events.jsonl"));
    let mut command = peer(&["swarm", "--peers", "2", "--upload-limit", "none"]);
    command.arg("--events").arg(&events).arg(&file);
    let printed = Program::start("peer swarm", &mut command).success();
    assert!(printed.starts_with("2 verified copies of my file.bin in "), "{printed}");
    scene.assert_copied(&scene.original());

    let events: Vec<Value> = fs::read_to_string(events)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    assert!(events.iter().all(|event| event["at"].is_f64() && event["own"].is_string()));
    let of = |decision: &'static str| events.iter().filter(move |e| e["decision"] == decision);
    assert!(of("unchoke").any(|event| event["own"] == "seed"), "{events:#?}");
    let complete: BTreeSet<_> = of("complete").map(|e| e["own"].as_str().unwrap()).collect();
    assert_eq!(complete, BTreeSet::from(["peer-1", "peer-2"]));
    for own in complete {
        let begun: BTreeSet<_> = of("begin_chunk")
            .filter(|event| event["own"] == own)
            .map(|event| event["chunk"].as_u64().unwrap())
            .collect();
        assert_eq!(begun, (0..9).collect(), "{own}");
    }
}

#[test]
fn what_cannot_be_shared_is_an_error() {
    let scene = Scene::new();
    let missing = scene.path("missing");
    let ended = Program::start("peer swarm", peer(&["swarm"]).arg(&missing)).end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let named = ended.stderr.contains(missing.to_str().unwrap());
    assert!(ended.stderr.starts_with("error: ") && named, "{ended:?}");
}
