//! `peer swarm`: a tracker, a seed and some peers in one command.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use peer::demo::rank_correlation;
use serde_json::Value;

use crate::programs::{Program, peer};
use crate::scene::{KIB, MIB, Scene};

#[test]
fn a_sample_reaches_every_peer_and_every_copy_is_verified() {
    let command = &mut peer(&["swarm", "--peers", "5", "--upload-limit", "none"]);
    let printed = Program::start("peer swarm", command).success();
    assert!(printed.ends_with("\n6 verified copies of sample.bin\n"), "{printed}");
    let rows: BTreeSet<_> = printed.lines().filter_map(|line| line.split(' ').next()).collect();
    for name in ["seed", "peer-1", "peer-5", "rider-1"] {
        assert!(rows.contains(name), "{name}: {printed}");
    }
    // Without limits there is nothing to hold the formulas against.
    assert!(!printed.contains("K&R"), "{printed}");
}

#[test]
fn all_that_a_swarm_prints_fits_a_terminal_of_80_columns() {
    let command = &mut peer(&["swarm", "--upload-limit", "900MB"]);
    let ended = Program::start("peer swarm", command).end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for line in ended.stdout.lines().chain(ended.stderr.lines()) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(
        ended
            .stdout
            .contains("K&R 2.5 for the 419.4 MB that the peers lacked (0 B only at the seed):"),
        "{ended:?}"
    );
    let correlation = "\nRank correlation of upload limit and finishing time: ";
    assert!(ended.stdout.contains(correlation), "{ended:?}");
    assert!(ended.stderr.contains("The decisions of peer-9 "), "{ended:?}");
}

#[test]
fn another_peer_can_be_watched_and_a_name_that_is_none_is_an_error() {
    let small = ["swarm", "--peers", "2", "--upload-limit", "none", "--watch"];
    let ended = Program::start("peer swarm", peer(&small).arg("rider-1")).end();
    assert!(ended.code == Some(0) && ended.stderr.contains("of rider-1 "), "{ended:?}");
    let ended = Program::start("peer swarm", peer(&small).arg("alice")).end();
    let named = "cannot watch alice: the members are seed, peer-1, peer-2, rider-1";
    assert!(ended.code == Some(1) && ended.stderr.contains(named), "{ended:?}");
}

/// How many runs must hold what the demonstration promises: one, or what `DEMO_RUNS` says.
fn demo_runs() -> usize {
    std::env::var("DEMO_RUNS").map_or(1, |runs| runs.parse().expect("DEMO_RUNS is a number"))
}

/// In virtual time 4 runs of 200 miss by chance, so one more run may stand in for one that does.
#[test]
#[ignore = "takes a minute and a half"]
fn demo_shows_that_peers_that_upload_more_finish_sooner() {
    let mut shown: Vec<Shown> = Vec::new();
    let missing = |shown: &[Shown]| demo_runs() - shown.iter().filter(|run| run.holds()).count();
    for seed in 1..=demo_runs() + 1 {
        if missing(&shown) > 0 {
            shown.push(run_demo(seed));
            println!("seed {seed}: {:?}", shown.last());
        }
    }
    assert_eq!(missing(&shown), 0, "{shown:?}");

    // The simulator runs the same swarms. A single order of 24 peers depends on chance as well, on the
    // network and in the simulator, so the means over five runs are compared.
    let (real, simulated) = mean_times(&shown);
    let agreement = rank_correlation(&real.into_iter().zip(simulated).collect::<Vec<_>>());
    println!("rank correlation of real and simulated finishing times: {agreement:.2}");
    assert!(shown.len() < 5 || agreement >= 0.8, "{agreement}");
}

/// The finishing time of each peer, as a mean over the runs: real and simulated.
fn mean_times(shown: &[Shown]) -> (Vec<f64>, Vec<f64>) {
    let mean = |times: fn(&Shown) -> &[f64]| {
        let of_peer = |peer| shown.iter().map(|run| times(run)[peer]).sum::<f64>();
        (0..24).map(|peer| of_peer(peer) / shown.len() as f64).collect()
    };
    (mean(|run| &run.times), mean(|run| &run.simulated))
}

/// What a run of the demonstration shows.
#[derive(Debug)]
struct Shown {
    /// Of upload limit and finishing time, by rank.
    correlation: f64,
    /// The free rider's place among the 25 to finish.
    rider: usize,
    /// How many neighbors the watched peer choked, and told their rate and the cut.
    below_cut: usize,
    /// How many optimistic unchokes found one of the fastest, over all peers.
    promoted: usize,
    /// When each peer finished, in the order of their numbers.
    times: Vec<f64>,
    /// The same in `peer simulate` with the same seed.
    simulated: Vec<f64>,
}

impl Shown {
    fn holds(&self) -> bool {
        let Self { correlation, rider, below_cut, promoted, .. } = *self;
        correlation <= -0.6 && rider > 16 && below_cut >= 3 && promoted >= 3
    }
}

fn run_demo(seed: usize) -> Shown {
    let scene = Scene::new();
    let events = scene.path("events.jsonl");
    let mut command = peer(&["swarm", "--rng-seed", &seed.to_string(), "--events"]);
    let printed = Program::start("peer swarm", command.arg(&events)).success();
    println!("{printed}");
    let events = read_events(&events);
    let finished = completions(&events);
    let times = times_by_number(&finished);
    // 79.80 s is the least that the uplinks allow (K&R 2.5).
    let time = finished.last().unwrap().1;
    assert!(time > 79.8 && time < 90.0, "{time} s");

    let simulated = scene.path("simulated.jsonl");
    let mut command = peer(&["simulate", "--rng-seed", &seed.to_string(), "--events"]);
    Program::start("peer simulate", command.arg(&simulated)).success();
    let simulated = read_events(&simulated);
    let simulated = times_by_number(&completions(&simulated));
    let below_cut = events.iter().filter(|event| {
        event["own"] == "peer-9"
            && event["decision"] == "choke"
            && event["rate"].is_u64()
            && event["cut"].is_u64()
    });
    let limits = (1..).map(f64::from).zip(times.iter().copied());
    Shown {
        // Each peer's upload limit is greater than that of the one before.
        correlation: rank_correlation(&limits.collect::<Vec<_>>()),
        rider: 1 + finished.iter().position(|(own, _)| *own == "rider-1").unwrap(),
        below_cut: below_cut.count(),
        promoted: events.iter().filter(|event| event["promoted"] == true).count(),
        times,
        simulated,
    }
}

fn read_events(path: &Path) -> Vec<Value> {
    let lines = fs::read_to_string(path).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Which members completed, in this order, and when.
fn completions(events: &[Value]) -> Vec<(&str, f64)> {
    let complete = events.iter().filter(|event| event["decision"] == "complete");
    complete.map(|event| (event["own"].as_str().unwrap(), event["at"].as_f64().unwrap())).collect()
}

/// The times of `peer-1` to `peer-24`.
fn times_by_number(finished: &[(&str, f64)]) -> Vec<f64> {
    let time = |number: u32| {
        let name = format!("peer-{number}");
        let peer = finished.iter().find(|(own, _)| *own == name);
        peer.unwrap_or_else(|| panic!("{name} did not complete")).1
    };
    (1..=24).map(time).collect()
}

#[test]
fn a_file_of_ones_own_is_shared_and_the_events_say_how() {
    let scene = Scene::with_file("my file.bin", 2 * MIB + 3 * KIB);
    let (file, events) = (scene.original().join("my file.bin"), scene.path("events.jsonl"));
    let mut command = peer(&["swarm", "--peers", "2", "--free-riders", "0", "--head-start", "0"]);
    command.args(["--upload-limit", "none"]);
    command.arg("--events").arg(&events).arg(&file);
    let printed = Program::start("peer swarm", &mut command).success();
    assert!(printed.ends_with("\n2 verified copies of my file.bin\n"), "{printed}");
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
