//! The rules of the project, each as a question to the logs.

use std::collections::{BTreeMap, BTreeSet};

use super::log::{Event, Log};
use super::{Finding, Peer, Run};

/// A rule of the project.
pub(crate) struct Rule {
    pub(crate) id: &'static str,
    pub(crate) says: &'static str,
    /// What breaks it.
    pub(crate) broken: fn(&Run) -> Vec<Finding>,
}

#[rustfmt::skip]
pub(crate) const RULES: &[Rule] = &[
    Rule { id: "logs", says: "each peer has a log with only the project's lines, in order of time", broken: logs },
    Rule { id: "connections", says: "each connection is in both logs once, made in one and accepted in the other", broken: connections },
    Rule { id: "pieces", says: "pieces are counted one by one, each once, and all of them are the file", broken: pieces },
    Rule { id: "haves", says: "a peer that announces a piece has it", broken: haves },
    Rule { id: "senders", says: "the sender of a piece has it, and has unchoked the receiver", broken: senders },
    Rule { id: "unchoking-interval", says: "preferred neighbors change at whole unchoking intervals", broken: unchoking_interval },
    Rule { id: "preferred", says: "the preferred neighbors are interested, and as many as configured", broken: preferred },
    Rule { id: "fastest", says: "the preferred neighbors are those that sent the most in the last interval", broken: fastest },
    Rule { id: "optimistic-interval", says: "the optimistic neighbor changes at whole optimistic intervals", broken: optimistic_interval },
    Rule { id: "optimistic", says: "the optimistic neighbor is interested, and not already preferred", broken: optimistic },
    Rule { id: "unchokes", says: "a neighbor's own log says unchoked while it is preferred or optimistic", broken: unchokes },
];

fn logs(run: &Run) -> Vec<Finding> {
    let mut found = Vec::new();
    for peer in &run.peers {
        let Some(log) = &peer.log else {
            found.push(Finding::new(peer, 0, "is missing"));
            continue;
        };
        if log.lines.is_empty() {
            found.push(Finding::new(peer, 0, "has none of the project's lines"));
        }
        for (number, text) in &log.strange {
            let start: String = text.chars().filter(|c| !c.is_control()).take(100).collect();
            found.push(Finding::new(
                peer,
                *number,
                format!("not one of the project's lines: {start}"),
            ));
        }
        for pair in log.lines.windows(2) {
            if pair[1].at < pair[0].at - run.slack {
                let text = "earlier than the line before";
                found.push(Finding::new(peer, pair[1].number, text));
            }
        }
    }
    found
}

fn connections(run: &Run) -> Vec<Finding> {
    // Pairs of the peer that connected and the peer that accepted, as each side tells it.
    let (mut made, mut accepted) = (BTreeSet::new(), BTreeSet::new());
    for (peer, log) in run.logs() {
        for line in &log.lines {
            match line.event {
                Event::MakesConnection(to) => drop(made.insert((peer.info.id, to))),
                Event::IsConnectedFrom(from) => drop(accepted.insert((from, peer.info.id))),
                _ => (),
            }
        }
    }
    let mut found = Vec::new();
    for (peer, log) in run.logs() {
        let id = peer.info.id;
        let mut connected = BTreeSet::new();
        for line in &log.lines {
            let (other, agrees, says) = match line.event {
                Event::MakesConnection(other) => {
                    (other, accepted.contains(&(id, other)), "is connected from")
                }
                Event::IsConnectedFrom(other) => {
                    (other, made.contains(&(other, id)), "makes a connection to")
                }
                _ => continue,
            };
            if !connected.insert(other) {
                // Most programs append to the log that is there.
                let text = format!("{other} for the second time: are two runs in this log?");
                found.push(Finding::new(peer, line.number, text));
            }
            if !agrees && run.logged(other).is_some() {
                let text = format!("the log of {other} has no line \"{says} {id}\"");
                found.push(Finding::new(peer, line.number, text));
            }
        }
    }
    found
}

fn pieces(run: &Run) -> Vec<Finding> {
    let mut found = Vec::new();
    let all = run.common.pieces;
    for (peer, log) in run.logs() {
        let mut have = BTreeSet::new();
        let mut complete = false;
        for line in &log.lines {
            let wrong = match line.event {
                Event::Downloaded { piece, .. } if piece >= all => {
                    Some(format!("piece {piece}; the {all} pieces are 0 to {}", all - 1))
                }
                Event::Downloaded { .. } if peer.info.has_file => {
                    Some("it had the file from the start".to_owned())
                }
                Event::Downloaded { piece, count, .. } => {
                    let is_new = have.insert(piece);
                    let right = have.len() as u64;
                    match is_new {
                        false => Some(format!("piece {piece} for the second time")),
                        true => (count != right).then(|| {
                            format!("the log says {count} pieces, but this one makes {right}")
                        }),
                    }
                }
                Event::Complete if complete => Some("complete for the second time".to_owned()),
                Event::Complete => {
                    complete = true;
                    let missing = all - have.len() as u64;
                    (missing > 0)
                        .then(|| format!("complete, but {missing} of {all} pieces are missing"))
                }
                _ => None,
            };
            found.extend(wrong.map(|text| Finding::new(peer, line.number, text)));
        }
        if !complete && !peer.info.has_file {
            let text = format!("never complete: {} of {all} pieces", have.len());
            found.push(Finding::new(peer, 0, text));
        }
    }
    found
}

fn haves(run: &Run) -> Vec<Finding> {
    let mut found = Vec::new();
    for (peer, log) in run.logs() {
        for line in &log.lines {
            let Event::Have { from, piece } = line.event else { continue };
            let lacks = |other: &Peer| !other.had(piece, line.at + run.slack);
            if run.logged(from).is_some_and(lacks) {
                let text = format!("{from} does not have piece {piece}, according to its own log");
                found.push(Finding::new(peer, line.number, text));
            }
        }
    }
    found
}

fn senders(run: &Run) -> Vec<Finding> {
    let mut found = Vec::new();
    for (peer, log) in run.logs() {
        for line in &log.lines {
            let Event::Downloaded { piece, from, .. } = line.event else { continue };
            let mut find = |text| found.push(Finding::new(peer, line.number, text));
            let lacks = |other: &Peer| !other.had(piece, line.at + run.slack);
            if run.logged(from).is_some_and(lacks) {
                find(format!("{from} does not have piece {piece}, according to its own log"));
            }
            // A piece that is on its way when the choke comes still counts.
            let sent = (line.at - run.common.unchoking, line.at + run.slack);
            if !peer.unchoked_by.sometime(from, sent) {
                find(format!("piece {piece} from {from}, which had not unchoked it"));
            }
        }
    }
    found
}

fn unchoking_interval(run: &Run) -> Vec<Finding> {
    let is_change = |event: &Event| matches!(event, Event::Preferred(_));
    changes_between(run, run.common.unchoking, "UnchokingInterval", is_change)
}

fn optimistic_interval(run: &Run) -> Vec<Finding> {
    let is_change = |event: &Event| matches!(event, Event::Optimistic(_));
    changes_between(run, run.common.optimistic, "OptimisticUnchokingInterval", is_change)
}

/// A line stands for a change, so there may be several intervals between two.
fn changes_between(
    run: &Run,
    interval: f64,
    setting: &str,
    is_change: impl Fn(&Event) -> bool,
) -> Vec<Finding> {
    /// A timer that begins again after the work of its interval is late by this part of it.
    const LATE: f64 = 0.05;
    let mut found = Vec::new();
    for (peer, log) in run.logs() {
        let changes: Vec<_> = log.lines.iter().filter(|line| is_change(&line.event)).collect();
        for pair in changes.windows(2) {
            let apart = pair[1].at - pair[0].at;
            let whole = interval * (apart / interval).round().max(1.0);
            if (apart - whole).abs() > run.slack + LATE * whole {
                let text = format!("{apart:.1} s after the last change; {setting} is {interval} s");
                found.push(Finding::new(peer, pair[1].number, text));
            }
        }
    }
    found
}

fn preferred(run: &Run) -> Vec<Finding> {
    let mut found = Vec::new();
    let most = run.common.preferred;
    for (peer, log) in run.logs() {
        for line in &log.lines {
            let Event::Preferred(chosen) = &line.event else { continue };
            let mut find = |text| found.push(Finding::new(peer, line.number, text));
            for &other in chosen {
                if !peer.interested.sometime(other, run.around(line)) {
                    find(format!("{other} is not interested"));
                }
            }
            let (count, interested) = (chosen.len(), run.candidates(peer, line).count());
            if count > most || count < most.min(interested) {
                let setting = "NumberOfPreferredNeighbors";
                find(format!("{count} of {interested} interested neighbors; {setting} is {most}"));
            }
        }
    }
    found
}

fn fastest(run: &Run) -> Vec<Finding> {
    let mut found = Vec::new();
    let (interval, slack) = (run.common.unchoking, run.slack);
    for (peer, log) in run.logs() {
        let arrivals = Arrivals::of(log);
        let begin = log.span().map_or(0.0, |(begin, _)| begin);
        for line in &log.lines {
            let chosen = match &line.event {
                // From now on it chooses at random.
                Event::Complete => break,
                // No peer has sent anything before the first interval ends.
                Event::Preferred(chosen) if line.at - interval > begin => chosen,
                _ => continue,
            };
            let most = |other| arrivals.count(other, line.at - interval - slack, line.at + slack);
            let least = |other| arrivals.count(other, line.at - interval + slack, line.at - slack);
            let is_left = |other: &u32| !chosen.contains(other);
            let slowest = chosen.iter().map(|&other| (most(other), other)).min();
            let left =
                run.candidates(peer, line).filter(is_left).map(|other| (least(other), other)).max();
            let (Some((few, slowest)), Some((many, left))) = (slowest, left) else { continue };
            // A piece can be under way when the rates are compared.
            if many > few + 1 {
                let text = format!(
                    "{slowest} is preferred, but sent at most {few} pieces in the last {interval} s; \
                     {left} is not, and sent {many}"
                );
                found.push(Finding::new(peer, line.number, text));
            }
        }
    }
    found
}

/// When pieces came from each peer.
struct Arrivals(BTreeMap<u32, Vec<f64>>);

impl Arrivals {
    fn of(log: &Log) -> Self {
        let mut arrivals: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for line in &log.lines {
            if let Event::Downloaded { from, .. } = line.event {
                arrivals.entry(from).or_default().push(line.at);
            }
        }
        arrivals.values_mut().for_each(|times| times.sort_by(f64::total_cmp));
        Self(arrivals)
    }

    fn count(&self, by: u32, from: f64, until: f64) -> usize {
        self.0.get(&by).map_or(0, |times| {
            let before = |time: f64| times.partition_point(|&arrival| arrival < time);
            before(until).saturating_sub(before(from))
        })
    }
}

fn optimistic(run: &Run) -> Vec<Finding> {
    let mut found = Vec::new();
    for (peer, log) in run.logs() {
        for line in &log.lines {
            let Event::Optimistic(Some(other)) = line.event else { continue };
            let mut find = |text| found.push(Finding::new(peer, line.number, text));
            if !peer.interested.sometime(other, run.around(line)) {
                find(format!("{other} is not interested"));
            }
            if peer.preferred.always(other, run.around(line)) {
                find(format!("{other} is a preferred neighbor"));
            }
        }
    }
    found
}

fn unchokes(run: &Run) -> Vec<Finding> {
    let mut found = Vec::new();
    for (peer, log) in run.logs() {
        for (other, others) in run.logs() {
            let (Some((_, mine)), Some((_, theirs))) = (log.span(), others.span()) else {
                continue;
            };
            let (id, other_id, end) = (peer.info.id, other.info.id, mine.min(theirs));
            // What both must agree on, away from the moments of change.
            let inner = |from: f64, until: f64| {
                let inner = (from + run.slack, until.min(end) - run.slack);
                (inner.0 < inner.1).then_some(inner)
            };
            for phase in peer.serves.phases(other_id) {
                let Some(inner) = inner(phase.from, phase.until) else { continue };
                if !other.unchoked_by.always(id, inner) {
                    let text = format!("{other_id} is chosen, but choked according to its own log");
                    found.push(Finding::new(peer, phase.line, text));
                }
            }
            for phase in other.unchoked_by.phases(id) {
                let Some(inner) = inner(phase.from, phase.until) else { continue };
                if !peer.may_serve.always(other_id, inner) {
                    let text = format!(
                        "unchoked by {id}, which has not chosen it according to its own log"
                    );
                    found.push(Finding::new(other, phase.line, text));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{check, log};

    /// The rules that the log of peer 1 breaks, of a file of two pieces that 2 has; intervals are 5 and
    /// 10 s, and one neighbor is preferred.
    fn broken(lines: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let common = "NumberOfPreferredNeighbors 1\nUnchokingInterval 5\n\
                      OptimisticUnchokingInterval 10\nFileSize 20\nPieceSize 10\n";
        write("Common.cfg", common);
        write("PeerInfo.cfg", "1 a 6001 0\n2 b 6001 1\n3 c 6001 1\n4 d 6001 1\n");
        let stamped = |line: &&str| {
            let (seconds, event) = line.split_once(' ').unwrap();
            format!("12:00:{seconds}: Peer 1 {event}.\n")
        };
        write(&log::name(1), &lines.iter().map(stamped).collect::<String>());
        let (report, _) = check(folder.path()).unwrap();
        let failed = report.lines().filter_map(|line| line.strip_prefix("FAILED  "));
        // The others have no logs, and this one has no end.
        let failed = failed.map(|line| line.split(' ').next().unwrap().to_owned());
        failed.filter(|rule| !["logs", "pieces"].contains(&rule.as_str())).collect()
    }

    #[test]
    fn seven_seconds_are_no_interval_of_five_and_ten_are_two() {
        let change = |at: &str| format!("{at} has the preferred neighbors");
        let at = |times: [&str; 3]| broken(&times.map(change).each_ref().map(String::as_str));
        assert_eq!(at(["05", "10", "20"]), [""; 0]);
        assert_eq!(at(["05", "10", "17"]), ["unchoking-interval"]);
        assert_eq!(at(["05.00", "10.02", "14.30"]), ["unchoking-interval"]);
        // Whole seconds are off by up to one.
        assert_eq!(at(["05", "10", "16"]), [""; 0]);
    }

    #[test]
    fn a_preferred_neighbor_is_interested_and_there_is_one() {
        let interest = "01 received the 'interested' message from 2";
        assert_eq!(broken(&[interest, "05 has the preferred neighbors 2"]), [""; 0]);
        assert_eq!(broken(&["05 has the preferred neighbors 2"]), ["preferred"]);
        assert_eq!(broken(&[interest, "05 has the preferred neighbors 2, 3"]), ["preferred"]);
    }

    #[test]
    fn a_piece_comes_from_a_peer_that_has_unchoked_this_one_or_did_so_in_the_last_interval() {
        let piece = |at: &str| {
            format!("{at} has downloaded the piece 0 from 2. Now the number of pieces it has is 1")
        };
        assert_eq!(broken(&["01 is unchoked by 2", &piece("02")]), [""; 0]);
        assert_eq!(broken(&[&piece("02")]), ["senders"]);
        let choked = ["01 is unchoked by 2", "02 is choked by 2"];
        assert_eq!(broken(&[choked[0], choked[1], &piece("06")]), [""; 0]);
        assert_eq!(broken(&[choked[0], choked[1], &piece("12")]), ["senders"]);
    }

    #[test]
    fn a_second_run_in_the_same_log_shows() {
        let run = ["01 makes a connection to Peer 2", "02 makes a connection to Peer 3"];
        assert_eq!(broken(&run), [""; 0]);
        assert_eq!(broken(&[run, run].concat()), ["connections"]);
    }

    #[test]
    fn the_optimistic_neighbor_changes_every_ten_seconds_and_is_not_preferred() {
        let lines = |second: &str, at: &str| {
            let lines = [
                "01.5 received the 'interested' message from 2".to_owned(),
                "01.5 received the 'interested' message from 3".to_owned(),
                "05.0 has the preferred neighbors 2".to_owned(),
                "10.0 has the optimistically unchoked neighbor 3".to_owned(),
                format!("{at} has the optimistically unchoked neighbor {second}"),
            ];
            broken(&lines.each_ref().map(String::as_str))
        };
        assert_eq!(lines("3", "20.1"), [""; 0]);
        assert_eq!(lines("3", "15.0"), ["optimistic-interval"]);
        assert_eq!(lines("2", "20.1"), ["optimistic"]);
        assert_eq!(lines("4", "20.1"), ["optimistic"]);
    }
}
