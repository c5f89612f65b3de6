//! `labs uf-logs`: the logs of a real swarm of ours keep all rules of that project, and each kind of
//! wrong log breaks its rule.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::answers::run_commands;
use crate::grader::labs;

/// The logs of a swarm, which a test can change.
struct Logs {
    /// Like the root of the project.
    root: TempDir,
}

impl Logs {
    /// From the commands of the page.
    fn of_a_real_swarm() -> Self {
        let root = run_commands("cnt5106c.md", |_| true);
        let again = "replay my-labs/run.jsonl --uf-log my-labs/logs";
        let mut command = Command::new(root.path().join("target/release/peer"));
        let output = command.current_dir(root.path()).args(again.split(' ')).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        let refused = !output.status.success() && stderr.contains("cannot write my-labs/logs/");
        assert!(refused, "logs of another run would be lost: {stderr}");
        Self { root }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("my-labs/logs").join(name)
    }

    /// The IDs of the peers, those that begin with nothing first.
    fn ids(&self) -> Vec<u32> {
        let peers = fs::read_to_string(self.path("PeerInfo.cfg")).unwrap();
        let mut peers: Vec<_> =
            peers.lines().map(|line| line.split(' ').collect::<Vec<_>>()).collect();
        peers.sort_by_key(|words| words[3].to_owned());
        peers.iter().map(|words| words[0].parse().unwrap()).collect()
    }

    /// The rules that are broken, and the whole report.
    fn check(&self) -> (Vec<String>, String) {
        let folder = self.path("");
        let output = labs(&["uf-logs", folder.to_str().unwrap()]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report = String::from_utf8(output.stdout).unwrap();
        let failed = report.lines().filter_map(|line| line.strip_prefix("FAILED  "));
        let failed = failed.map(|line| line.split(' ').next().unwrap().to_owned()).collect();
        (failed, report)
    }

    /// What is broken after this change of a file, which is taken back.
    fn broken_by(&self, name: &str, change: impl Fn(&str) -> String) -> (Vec<String>, String) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        let changed = change(&text);
        assert_ne!(changed, text, "{name}");
        fs::write(self.path(name), changed).unwrap();
        let found = self.check();
        fs::write(self.path(name), text).unwrap();
        found
    }
}

/// The text without the first line that says this.
fn without(text: &str, says: &str) -> String {
    let line = text.lines().find(|line| line.contains(says)).unwrap();
    text.replacen(&format!("{line}\n"), "", 1)
}

#[test]
#[ignore = "a real swarm of half a minute, whose rounds must be on time"]
fn a_real_swarm_keeps_the_rules_and_wrong_logs_break_them() {
    let logs = Logs::of_a_real_swarm();
    let (failed, report) = logs.check();
    assert_eq!(failed, [""; 0], "{report}");
    assert!(report.ends_with("\n11 of 11 rules hold\n"), "{report}");

    let ids = logs.ids();
    let seed = *ids.last().unwrap();
    let (first, second) = (ids[0], ids[1]);
    let log = format!("log_peer_{first}.log");
    let expect = |rule: &str, says: &str, (failed, report): (Vec<String>, String)| {
        assert!(failed.iter().any(|failed| failed == rule), "{rule}: {report}");
        assert!(report.contains(says), "{rule}, {says}: {report}");
    };

    let says = ": not one of the project's lines: hello";
    expect("logs", says, logs.broken_by(&log, |text| format!("hello\n{text}")));
    let says = "has no line \"";
    let connects = if fs::read_to_string(logs.path(&log)).unwrap().contains("makes a connection") {
        "makes a connection"
    } else {
        "is connected from"
    };
    expect("connections", says, logs.broken_by(&log, |text| without(text, connects)));

    let twice = |text: &str| {
        let line = text.lines().find(|line| line.contains("has downloaded the piece")).unwrap();
        text.replacen(line, &format!("{line}\n{line}"), 1)
    };
    expect("pieces", " for the second time", logs.broken_by(&log, twice));
    let lacks = |text: &str| {
        let line = format!(
            "Peer [{first}] received the 'have' message from [{second}] for the piece [0]."
        );
        format!("[00:00:00.100]: {line}\n{text}")
    };
    let says = format!("{second} does not have piece 0, according to its own log");
    expect("haves", &says, logs.broken_by(&log, lacks));
    let never = |text: &str| text.replace(&format!("is unchoked by [{seed}]"), "is choked by [1]");
    let says = format!("from {seed}, which had not unchoked it");
    expect("senders", &says, logs.broken_by(&log, never));
    let says = ", but choked according to its own log";
    expect("unchokes", says, logs.broken_by(&log, never));

    // As if the peers had chosen every two seconds where the project wants every five.
    let slow = |text: &str| text.replace("\nUnchokingInterval 2\n", "\nUnchokingInterval 5\n");
    let says = "s after the last change; UnchokingInterval is 5 s";
    expect("unchoking-interval", says, logs.broken_by("Common.cfg", slow));
    let slow = |text: &str| {
        text.replace("OptimisticUnchokingInterval 6", "OptimisticUnchokingInterval 10")
    };
    let says = "s after the last change; OptimisticUnchokingInterval is 10 s";
    expect("optimistic-interval", says, logs.broken_by("Common.cfg", slow));
    let more = |text: &str| text.replace("PreferredNeighbors 2", "PreferredNeighbors 1");
    let says = "; NumberOfPreferredNeighbors is 1";
    expect("preferred", says, logs.broken_by("Common.cfg", more));

    let others = |text: &str| {
        let reversed = |line: &str| match line.split_once("has the preferred neighbors ") {
            Some((before, chosen)) => {
                let is_left =
                    |id: &&u32| ![first, seed].contains(*id) && !chosen.contains(&id.to_string());
                let left: Vec<_> = ids.iter().filter(is_left).map(u32::to_string).collect();
                format!("{before}has the preferred neighbors [{}].\n", left.join(","))
            }
            None => format!("{line}\n"),
        };
        text.lines().map(reversed).collect()
    };
    expect("fastest", "is preferred, but sent", logs.broken_by(&log, others));
    let seeds = |text: &str| {
        let (before, after) = text.split_once("optimistically unchoked neighbor [").unwrap();
        let (_, after) = after.split_once(']').unwrap();
        format!("{before}optimistically unchoked neighbor [{seed}]{after}")
    };
    let says = format!("{seed} is not interested");
    expect("optimistic", &says, logs.broken_by(&log, seeds));

    fs::remove_file(logs.path(&log)).unwrap();
    expect("logs", &format!("{log}: is missing"), logs.check());
    fs::remove_file(logs.path("Common.cfg")).unwrap();
    let folder = logs.path("");
    let output = labs(&["uf-logs", folder.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("Common.cfg"));
}
