//! The labs, and the table of all of them.

mod a_peer;
mod bencode;
mod client;
mod datagrams;
mod distribution_time;
mod framed;
mod free_riders;
mod on_the_wire;
mod own_choker;
mod pinger;
mod rarest_first;
mod simulate;
mod streams;
mod texts;
mod tit_for_tat;
mod tracker;

use std::fmt::Write;

use crate::check::Check;
use crate::submission::Takes;

/// A lab: its sheet is docs/labs/NN-name.md.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) number: u32,
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) takes: Takes,
    /// In the order of the rubric; each part of the program has a table.
    parts: &'static [&'static [Check]],
    /// Those of this workspace that its checks run.
    pub(crate) programs: &'static [&'static str],
    /// Whether its checks wait far more than they compute. Then more of them can run at a time than
    /// there are processors.
    pub(crate) waits: bool,
    /// Where the task depends on the student's ID: what staff compare the answers with.
    pub(crate) key: Option<fn(&str) -> String>,
}

const LABS: &[Lab] = &[
    Lab {
        number: 1,
        name: "datagrams",
        title: "Datagrams",
        takes: Takes::Program,
        parts: &[datagrams::CHECKS],
        programs: &[],
        waits: true,
        key: None,
    },
    Lab {
        number: 2,
        name: "streams",
        title: "Streams",
        takes: Takes::Program,
        parts: &[streams::CHECKS, framed::CHECKS],
        programs: &[],
        waits: true,
        key: None,
    },
    Lab {
        number: 3,
        name: "loss-and-delay",
        title: "Loss and delay",
        takes: Takes::Program,
        parts: &[pinger::CHECKS],
        programs: &[],
        waits: true,
        key: Some(pinger::key),
    },
    Lab {
        number: 4,
        name: "on-the-wire",
        title: "On the wire",
        takes: Takes::Answers,
        parts: &[on_the_wire::CHECKS],
        programs: &[],
        waits: false,
        key: Some(on_the_wire::key),
    },
    Lab {
        number: 5,
        name: "bencode",
        title: "Bencode and .torrent files",
        takes: Takes::Program,
        parts: &[bencode::CHECKS],
        programs: &[],
        waits: false,
        key: None,
    },
    Lab {
        number: 6,
        name: "tracker",
        title: "A tracker",
        takes: Takes::Program,
        parts: &[tracker::CHECKS],
        programs: &["peer"],
        waits: true,
        key: None,
    },
    Lab {
        number: 7,
        name: "a-peer",
        title: "A peer, byte by byte",
        takes: Takes::Program,
        parts: &[a_peer::CHECKS],
        programs: &[],
        waits: true,
        key: None,
    },
    Lab {
        number: 8,
        name: "rarest-first",
        title: "The whole file, rarest first",
        takes: Takes::Program,
        parts: &[rarest_first::CHECKS],
        programs: &[],
        waits: true,
        key: None,
    },
    Lab {
        number: 9,
        name: "tit-for-tat",
        title: "Tit-for-tat",
        takes: Takes::Program,
        parts: &[tit_for_tat::CHECKS],
        programs: &[],
        waits: true,
        key: None,
    },
    Lab {
        number: 10,
        name: "distribution-time",
        title: "Distribution time",
        takes: Takes::Answers,
        parts: &[distribution_time::CHECKS],
        programs: &[],
        waits: false,
        key: Some(distribution_time::key),
    },
    Lab {
        number: 11,
        name: "free-riders",
        title: "Free riders, the missing piece, clustering",
        takes: Takes::Answers,
        parts: &[free_riders::CHECKS],
        programs: &[],
        waits: false,
        key: Some(free_riders::key),
    },
    Lab {
        number: 12,
        name: "your-own-choker",
        title: "Your own choker",
        takes: Takes::Program,
        parts: &[own_choker::CHECKS],
        programs: &[],
        waits: false,
        key: None,
    },
];

impl Lab {
    pub(crate) fn checks(&self) -> impl Iterator<Item = &'static Check> + use<> {
        self.parts.iter().copied().flatten()
    }
}

/// The lab with this name or number.
///
/// # Errors
/// When there is none: a text with the names.
pub(crate) fn find(name: &str) -> Result<&'static Lab, String> {
    let named = |lab: &&Lab| lab.name == name || name.parse() == Ok(lab.number);
    LABS.iter().find(named).ok_or_else(|| {
        let names: Vec<_> = LABS.iter().map(|lab| lab.name).collect();
        format!("no such lab; the labs are {}", names.join(", "))
    })
}

/// A line for each lab.
pub(crate) fn list() -> String {
    let mut text = String::from("lab  name               points  checks  title\n");
    for lab in LABS {
        let points: u32 = lab.checks().map(|check| check.points).sum();
        let (number, name, title, checks) = (lab.number, lab.name, lab.title, lab.checks().count());
        let _ = writeln!(text, "{number:>3}  {name:<17}  {points:>6}  {checks:>6}  {title}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;

    #[test]
    fn every_check_has_an_id_of_its_own_and_a_point() {
        for lab in LABS {
            let ids: BTreeSet<_> = lab.checks().map(|check| check.id).collect();
            assert_eq!(ids.len(), lab.checks().count(), "{}", lab.name);
            for check in lab.checks() {
                // The id is also the name of a folder.
                let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                assert!(check.id.chars().all(plain), "{}", check.id);
                assert!(check.points > 0, "{}", check.id);
            }
        }
    }

    #[test]
    fn the_rubric_of_a_sheet_is_the_table_of_its_checks() {
        for lab in LABS {
            let sheet = format!("{:02}-{}.md", lab.number, lab.name);
            let text = fs::read_to_string(&sheet).unwrap().replace("\r\n", "\n");
            let (_, rubric) = text.split_once("\n## Rubric\n").unwrap_or_else(|| panic!("{sheet}"));
            let rubric = rubric.split("\n## ").next().unwrap();
            let rows: Vec<_> = rubric.lines().filter(|line| line.starts_with("| `")).collect();
            let row = |check: &Check| format!("| `{}` | {} |", check.id, check.points);
            let checks: Vec<_> = lab.checks().collect();
            assert_eq!(rows.len(), checks.len(), "{sheet}");
            for (line, check) in rows.iter().zip(&checks) {
                assert!(line.starts_with(&row(check)), "{sheet}: {line} is not {}", row(check));
            }
            let points: u32 = checks.iter().map(|check| check.points).sum();
            assert!(rubric.contains(&format!("{points} points")), "{sheet}: {points} points");
        }
    }
}
