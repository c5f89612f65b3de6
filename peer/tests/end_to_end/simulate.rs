//! `peer simulate`: swarms in virtual time, as a user runs them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::programs::{Ended, Program, peer};
use crate::scene::Scene;

fn simulate(args: &[&str]) -> Ended {
    let mut command = peer(&["simulate"]);
    Program::start("peer simulate", command.args(args)).end()
}

const SMALL: [&str; 5] = ["kurose-ross", "--peers", "1,3", "--chunks", "40"];

#[test]
fn a_scenario_tells_what_was_predicted_and_measured_and_writes_all_of_it() {
    let scene = Scene::new();
    let json = scene.path("results.json");
    let ended =
        simulate(&[&SMALL[..], &["--runs", "2", "--json", json.to_str().unwrap()]].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let row = ended.stdout.lines().find(|line| line.contains("client-server, N = 3"));
    assert!(row.is_some_and(|row| row.ends_with("holds")), "{ended:?}");
    assert!(ended.stdout.starts_with("kurose-ross --peers 1,3 --chunks 40: "), "{ended:?}");

    let results: Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    let runs = results[0]["runs"].as_array().unwrap();
    let seeds: Vec<_> = runs.iter().map(|run| run["seed"].as_u64().unwrap()).collect();
    assert_eq!(seeds, [0, 1]);
    assert_eq!(results[0]["parameters"]["peers"], "1,3");
    let p2p = &results[0]["rows"][0];
    assert_eq!((&p2p["what"], &p2p["holds"]), (&"P2P, N = 1".into(), &true.into()));
    // N F/(u_s + N u), and for one peer F/u_s.
    let predicted = p2p["predicted"].as_f64().unwrap();
    assert!((predicted - 40.0 * 192.0 * 1024.0 / 436_900.0).abs() < 1e-6, "{predicted}");
}

#[test]
fn the_same_seed_gives_the_same_results_and_another_one_others() {
    let scene = Scene::new();
    let results = ["5", "5", "6"].map(|seed| {
        let json = scene.path("results.json");
        let flags = ["--runs", "3", "--rng-seed", seed, "--json", json.to_str().unwrap()];
        assert_eq!(simulate(&[&SMALL[..], &flags].concat()).code, Some(0));
        fs::read_to_string(json).unwrap()
    });
    assert_eq!(results[0], results[1]);
    assert_ne!(results[1], results[2]);
}

#[test]
fn a_band_that_is_missed_is_an_error_of_a_check_and_of_nothing_else() {
    let slow = ["kurose-ross", "--peers", "5", "--chunks", "20", "--choker", "free-rider"];
    let ended = simulate(&slow);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("MISSED"), "{ended:?}");
    let ended = simulate(&[&slow[..], &["--check", "--runs", "1"]].concat());
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let said = "error: cannot reproduce kurose-ross: P2P, N = 5";
    assert!(ended.stderr.starts_with(said), "{ended:?}");
}

#[test]
fn parameters_that_make_no_sense_are_errors_that_name_them() {
    for (args, code, said) in [
        (&["kurose-ross", "--peers", "0"][..], 2, "whole numbers from 1 to 1000"),
        (&["kurose-ross", "--upload", "fast"], 2, "bytes a second, such as 500KB"),
        (&["free-rider", "--by-rate", "9"], 1, "cannot run free-rider: by-rate 9 must be less"),
        (
            &["kurose"],
            2,
            "invalid value 'kurose' for '[FILE.toml]': neither a scenario (--list) nor a file",
        ),
        (&["rarest", "--runs", "0"], 2, "'--runs <N>'"),
    ] {
        let ended = simulate(args);
        assert!(ended.code == Some(code) && ended.stderr.contains(said), "{args:?}: {ended:?}");
    }
}

#[test]
fn without_a_scenario_it_is_the_swarm_of_the_demonstration_with_its_table_and_events() {
    let scene = Scene::new();
    let events = scene.path("events.jsonl");
    let ended = simulate(&["--events", events.to_str().unwrap(), "--stats"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let formulas = "K&R 2.5 for the 419.4 MB that the peers lacked (0 B only at the seed):";
    assert!(ended.stdout.contains(formulas), "{ended:?}");
    assert!(ended.stdout.contains(" events in "), "{ended:?}");
    let events = fs::read_to_string(events).unwrap();
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let complete = events.filter(|event| event["decision"] == "complete");
    let complete: BTreeSet<_> = complete.map(|event| event["own"].to_string()).collect();
    assert_eq!(complete.len(), 25);
}

#[test]
fn the_swarm_that_the_page_shows_runs_from_its_file() {
    let scene = Scene::new();
    let page = include_str!("../../../docs/swarm-files.md");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let [file, json, events] = ["swarm.toml", "r.json", "e.jsonl"].map(|name| scene.path(name));
    fs::write(&file, example.unwrap()).unwrap();
    let [file, json, events] = [&file, &json, &events].map(|path| path.to_str().unwrap());
    let run = |args: &[&str]| {
        let ended = simulate(&[&[file, "--json", json], args].concat());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let results: Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
        let runs = results[0]["runs"].as_array().unwrap();
        let seeds: Vec<_> = runs.iter().map(|run| run["seed"].as_u64().unwrap()).collect();
        (ended, seeds, results)
    };
    let (ended, seeds, results) = run(&["--stats"]);
    assert_eq!(seeds, [0, 1, 2]);
    let heading = format!("{file}: 3 classes of peers, 100 chunks of 256KiB\n");
    assert!(ended.stdout.starts_with(&heading), "{ended:?}");
    let row = |what: &str| {
        let rows = results[0]["rows"].as_array().unwrap();
        rows.iter().find(|row| row["what"] == what).unwrap()["measured"]["mean"].as_f64().unwrap()
    };
    assert_eq!(row("rider: peers that complete"), 4.0);
    assert_eq!(row("rider: given"), 0.0);
    assert!(row("rider: mean time to complete") > row("student: mean time to complete"));
    assert_eq!(results[0]["runs"][0]["plot"][0]["figure"]["lines"][0]["name"], "leechers");
    // Flags override the file.
    let (_, seeds, _) = run(&["--runs", "1", "--rng-seed", "7", "--events", events]);
    assert_eq!(seeds, [7]);
    assert!(fs::read_to_string(events).unwrap().lines().count() > 1000);
}

#[test]
fn a_scenario_prints_its_swarm_as_a_file_that_gives_the_same_run() {
    let scene = Scene::new();
    let [file, json] = ["printed.toml", "results.json"].map(|name| scene.path(name));
    let [file, json] = [&file, &json].map(|path| path.to_str().unwrap());
    let scenario = ["rarest", "--peers", "5", "--chunks", "40"];
    let printed = simulate(&[&scenario[..], &["--print-toml"]].concat());
    assert_eq!(printed.code, Some(0), "{printed:?}");
    fs::write(file, printed.stdout).unwrap();
    let digests = [&scenario[..], &[file]].map(|what| {
        let flags = ["--runs", "1", "--rng-seed", "3", "--json", json];
        let ended = simulate(&[what, &flags].concat());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let results: Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
        results[0]["runs"][0]["digest"].as_u64().unwrap()
    });
    assert_eq!(digests[0], digests[1]);

    let sweep = simulate(&["riders", "--riders", "3,6", "--print-toml"]);
    let said = "# The scenario runs for each of riders 3,6; this is 3.\n";
    assert!(sweep.stdout.contains(said) && sweep.stdout.contains("count = 3\n"), "{sweep:?}");
    let demo = simulate(&["demo", "--print-toml"]);
    let said = "error: cannot print demo as a file: its swarm is not one of classes of peers";
    assert!(demo.code == Some(1) && demo.stderr.starts_with(said), "{demo:?}");
}

#[test]
fn a_file_that_is_no_swarm_is_an_error_that_names_it_and_the_line() {
    let scene = Scene::new();
    let file = scene.path("swarm.toml");
    let path = file.to_str().unwrap();
    let missing = simulate(&[path]);
    let said = format!("error: cannot read {path}: ");
    assert!(missing.code == Some(1) && missing.stderr.starts_with(&said), "{missing:?}");
    fs::write(&file, "chunks = 8\nchunk-size = \"1KiB\"\n").unwrap();
    let ended = simulate(&[path]);
    let said =
        format!("error: cannot read {path}: line 2, `chunk-size`: `1KiB` must be a multiple");
    assert!(ended.code == Some(1) && ended.stderr.starts_with(&said), "{ended:?}");
    fs::write(&file, "# nothing\n".repeat(200_000)).unwrap();
    let ended = simulate(&[path]);
    assert!(ended.stderr.contains("it is longer than 1048576 bytes"), "{ended:?}");
    for (args, said) in [
        (&[path, "--check"][..], "cannot be used with"),
        (&[path, "rarest"], "a scenario (rarest) and a file cannot be run together"),
    ] {
        let ended = simulate(args);
        assert!(ended.code == Some(2) && ended.stderr.contains(said), "{args:?}: {ended:?}");
    }
}

#[test]
fn every_scenario_is_listed() {
    let ended = simulate(&["--list"]);
    for name in ["kurose-ross", "free-rider", "clustering", "rarest", "demo"] {
        assert!(ended.stdout.lines().any(|line| line.starts_with(name)), "{name}: {ended:?}");
    }
}

#[test]
fn a_plot_is_a_picture_with_axes_the_prediction_and_the_source_in_its_caption() {
    let scene = Scene::new();
    let pictures = [0, 1].map(|number| {
        let path = scene.path(&format!("{number}.svg"));
        let flags = ["--runs", "1", "--plot", path.to_str().unwrap()];
        assert_eq!(simulate(&[&SMALL[..], &flags].concat()).code, Some(0));
        fs::read_to_string(path).unwrap()
    });
    assert_eq!(pictures[0], pictures[1]);
    assert!(pictures[0].starts_with("<svg "), "{}", pictures[0]);
    for text in ["distribution time (hours)", "N, the number of peers", "predicted by the", "P2P"] {
        assert!(pictures[0].lines().any(|line| line == text), "{text}: {}", pictures[0]);
    }
    let caption =
        "peer simulate kurose-ross --peers 1,3 --chunks 40, random seed 0. Source: Kurose";
    assert!(pictures[0].contains(caption), "{}", pictures[0]);
}

#[test]
fn a_plot_of_no_scenario_or_of_all_is_an_error() {
    for args in [&["--plot", "x.svg"][..], &["all", "--plot", "x.svg"]] {
        let ended = simulate(args);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("name one, or use --write-docs"), "{ended:?}");
    }
}

#[test]
fn the_page_has_results_the_picture_and_for_each_variation_what_must_come_and_what_came() {
    let scene = Scene::new();
    let folder = scene.path("pages");
    let flags = ["--runs", "1", "--check", "--write-docs", folder.to_str().unwrap()];
    simulate(&[&SMALL[..], &flags].concat());
    let page = fs::read_to_string(folder.join("reproductions.md")).unwrap();
    for line in ["## kurose-ross", "`peer simulate kurose-ross --peers 1,3 --chunks 40`, 1 run:"] {
        assert!(page.lines().any(|found| found == line), "{line}: {page}");
    }
    let row =
        page.lines().find(|line| line.starts_with("| client-server, N = 3 (s) | 54.00 | 54."));
    assert!(row.is_some_and(|row| row.ends_with("| 54.00 to 55.08 | in the band |")), "{page}");
    let in_order = "| chunks in order (`--peers 30 --chunks 40 --order in-order`, 1 run) | \
                    P2P: at least 1.200 times what is predicted | 1.";
    assert!(page.lines().any(|line| line.starts_with(in_order)), "{page}");
    assert!(page.contains("(reproductions/kurose-ross.svg)"), "{page}");
    assert!(folder.join("reproductions/kurose-ross.svg").is_file());
    assert!(!page.contains(folder.to_str().unwrap()), "{page}");
}

#[test]
fn a_tournament_with_the_same_seed_gives_the_same_table_and_file() {
    let scene = Scene::new();
    let [first, second] = ["first.json", "second.json"].map(|name| {
        let json = scene.path(name);
        let flags = ["--runs", "1", "--json", json.to_str().unwrap()];
        let ended = simulate(&[&["tournament", "textbook", "free-rider"], &flags[..]].concat());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        (ended.stdout, fs::read_to_string(json).unwrap())
    });
    assert_eq!(first, second);
    let (table, json) = first;
    let place = |name| table.lines().position(|line| line.starts_with(name));
    assert!(place("textbook") < place("free-rider"), "{table}");
    let results: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(results["entries"][0]["name"], "textbook");
    assert_eq!(results["entries"][0]["robustness"]["mean"], 1.0);
    // Two alone, one even, and two in which one has few peers.
    assert_eq!(results["games"].as_array().unwrap().len(), 5);
}

#[cfg(unix)]
#[test]
fn programs_that_are_no_chokers_lose_rounds_of_a_tournament_and_harm_no_other() {
    let ended = simulate(&[
        "tournament",
        "textbook",
        "yes",
        "true",
        "sleep 1000",
        "--runs",
        "1",
        "--choker-cmd-timeout",
        "10ms",
    ]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for (name, why) in
        [("yes", "the answer is "), ("true", "it has ended"), ("sleep 1000", "it has not answered")]
    {
        assert!(ended.stderr.contains(&format!("{name} loses round 1: {why}")), "{ended:?}");
        let told = ended.stderr.matches(&format!("{name} loses round")).count();
        assert!(told == 3 && ended.stderr.contains(&format!("{name} lost ")), "{ended:?}");
        let row = ended.stdout.lines().find(|line| line.starts_with(name));
        assert!(row.is_some_and(|row| row.matches(" to ").count() == 3), "{ended:?}");
    }
}

#[test]
#[ignore = "needs python3"]
fn a_choker_in_python_plays_in_a_tournament_and_loses_no_round() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/python/my_choker.py");
    let program = format!("python3 {}", path.display());
    let flags = ["--runs", "1", "--choker-cmd-timeout", "10s"];
    let ended = simulate(&[&["tournament", "free-rider", &program], &flags[..]].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let first = ended.stdout.lines().nth(2).unwrap();
    assert!(first.starts_with(&program) && ended.stderr.is_empty(), "{ended:?}");
}

#[test]
fn an_entry_that_is_neither_a_choker_nor_a_program_is_an_error() {
    for (args, said) in [
        (&["textbook", "textbok"][..], "`textbok` is no choker by name: cannot start textbok: "),
        (&["textbook"], "a tournament needs at least two chokers"),
        (&["textbook", "random", "textbook"], "textbook is entered twice"),
        (&["--check"], "a tournament has no bands"),
    ] {
        let ended = simulate(&[&["tournament"], args].concat());
        assert!(ended.code == Some(1) && ended.stderr.contains(said), "{args:?}: {ended:?}");
    }
}

/// One run of a small scenario.
fn run_of(json: &str, seed: &str, chunks: &str) {
    let scenario = ["kurose-ross", "--peers", "1,3", "--chunks", chunks];
    let flags = ["--runs", "1", "--rng-seed", seed, "--json", json];
    assert_eq!(simulate(&[&scenario[..], &flags].concat()).code, Some(0));
}

#[test]
fn merged_runs_are_the_same_as_those_of_one_command() {
    let scene = Scene::new();
    let [one, two, merged, whole] = ["1.json", "2.json", "merged.json", "whole.json"]
        .map(|name| scene.path(name).to_str().unwrap().to_owned());
    run_of(&one, "5", "40");
    run_of(&two, "6", "40");
    let joined = simulate(&["--merge", &two, &one, "--check", "--json", &merged]);
    let flags = ["--runs", "2", "--rng-seed", "5", "--json", &whole];
    let at_once = simulate(&[&SMALL[..], &flags].concat());
    assert_eq!((joined.code, at_once.code), (Some(0), Some(0)), "{joined:?}");
    assert_eq!(joined.stdout, at_once.stdout);
    let read = |path| fs::read_to_string(path).unwrap();
    assert_eq!(read(merged), read(whole));
}

#[test]
fn runs_that_do_not_go_together_are_refused_with_the_name_of_the_file() {
    let scene = Scene::new();
    let [one, other, slow, none] = ["one.json", "other.json", "slow.json", "none.json"]
        .map(|name| scene.path(name).to_str().unwrap().to_owned());
    run_of(&one, "5", "40");
    run_of(&other, "6", "41");
    let text = fs::read_to_string(&one).unwrap();
    fs::write(&none, "[{\"scenario\": \"kurose-ross\"}]").unwrap();
    for (second, said) in [
        (&other, "kurose-ross has other parameters than in a file before"),
        (&one, "kurose-ross: a run with seed 5 was there before"),
        (&none, "not a file that --json wrote: missing field `parameters`"),
        (&slow, ""),
    ] {
        let ended = simulate(&["--merge", &one, second]);
        let error = format!("error: cannot merge {second}: {said}");
        assert!(ended.code == Some(1) && ended.stderr.starts_with(&error), "{ended:?}");
    }
    // A run that measured something else cannot go into the same rows.
    let changed = text.replace("\"seed\": 5", "\"seed\": 7").replace("P2P, N = 3", "P2P, N = 4");
    fs::write(&none, changed).unwrap();
    let ended = simulate(&["--merge", &one, &none]);
    assert!(ended.stderr.contains("the run with seed 7 measured something else"), "{ended:?}");
    // With --check a band that is missed is an error here as well.
    let mut results: Value = serde_json::from_str(&text).unwrap();
    results[0]["runs"][0]["measures"][0]["measured"] = 1e6.into();
    fs::write(&slow, results.to_string()).unwrap();
    assert_eq!(simulate(&["--merge", &slow]).code, Some(0));
    assert_eq!(simulate(&["--merge", &slow, "--check"]).code, Some(1));
    assert_eq!(simulate(&["--merge", &one, "--check"]).code, Some(0));
}
