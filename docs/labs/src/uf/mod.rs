//! `labs uf-logs`: checks the logs of a run of the CNT5106C project.
//!
//! That project of the University of Florida, which other courses use too, is a BitTorrent of its own: no
//! tracker, no hashes, and its own messages. It is graded by the logs of the peers, and each rule here is
//! one of its description. `Common.cfg`, `PeerInfo.cfg` and the files `log_peer_ID.log` stand in one folder.

mod config;
mod log;
mod phases;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use anyhow::Result;

use config::{Common, PeerInfo};
use log::{DAY, Event, Line, Log};
use phases::Phases;
use rules::RULES;

/// A run of the project.
pub(crate) struct Run {
    common: Common,
    peers: Vec<Peer>,
    /// How far from the truth a time can be, in seconds: the rules find only what is wrong however the
    /// times are moved by so much.
    slack: f64,
}

/// A peer, and what its log says.
struct Peer {
    info: PeerInfo,
    /// `None` if it is not there.
    log: Option<Log>,
    /// When it had which piece; of one that began with the file, nothing.
    pieces: BTreeMap<u64, f64>,
    /// Which peers are interested in what it has.
    interested: Phases,
    /// Which peers have unchoked it.
    unchoked_by: Phases,
    /// Which peers are its preferred neighbors.
    preferred: Phases,
    /// Which peers it has certainly unchoked: those it prefers, and the optimistic one until it was
    /// preferred itself, while they are interested.
    serves: Phases,
    /// Which peers it may have unchoked: the optimistic one also afterwards, and all of them whatever
    /// becomes of their interest. The project does not say.
    may_serve: Phases,
}

/// A line that breaks a rule.
struct Finding {
    peer: u32,
    /// 0: the whole log.
    line: usize,
    text: String,
}

/// Checks the logs in a folder. Returns a report for people, and whether every rule holds.
///
/// # Errors
/// When a configuration cannot be read or makes no sense, and when a log cannot be read.
pub(crate) fn check(folder: &Path) -> Result<(String, bool)> {
    let run = Run::read(folder)?;
    let mut text = String::new();
    let width = RULES.iter().map(|rule| rule.id.len()).max().unwrap_or(0);
    let mut hold = 0;
    for rule in RULES {
        let found = (rule.broken)(&run);
        let verdict = if found.is_empty() { "ok" } else { "FAILED" };
        let _ = writeln!(text, "{verdict:<6}  {:<width$}  {}", rule.id, rule.says);
        for finding in found.iter().take(SHOWN) {
            let _ = writeln!(text, "        {finding}");
        }
        if found.len() > SHOWN {
            let _ = writeln!(text, "        and {} more", found.len() - SHOWN);
        }
        hold += usize::from(found.is_empty());
    }
    let _ = writeln!(text, "\n{hold} of {} rules hold", RULES.len());
    Ok((text, hold == RULES.len()))
}

/// The first ones show what is wrong; the others are mostly the same again.
const SHOWN: usize = 5;

impl Run {
    fn read(folder: &Path) -> Result<Self> {
        let common = Common::read(folder)?;
        let mut peers = Vec::new();
        for info in config::peers(folder)? {
            let log = Log::read(folder, info.id)?;
            peers.push((info, log));
        }
        let mut logs: Vec<_> = peers.iter_mut().filter_map(|(_, log)| log.as_mut()).collect();
        align(&mut logs);
        // Clocks of one network agree, and so do the threads of a process, by less than the first number.
        // Whole seconds are off by up to one.
        let slack = if logs.iter().all(|log| log.fractions) { 0.3 } else { 1.3 };
        let peers = peers.into_iter().map(|(info, log)| Peer::new(info, log)).collect();
        Ok(Self { common, peers, slack })
    }

    /// The peers with a log.
    fn logs(&self) -> impl Iterator<Item = (&Peer, &Log)> {
        self.peers.iter().filter_map(|peer| Some((peer, peer.log.as_ref()?)))
    }

    /// The peer with this ID, if it has a log.
    fn logged(&self, id: u32) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.info.id == id && peer.log.is_some())
    }

    /// The peers that this one can certainly choose at the time of the line: they are interested, and
    /// their logs go on.
    fn candidates(&self, peer: &Peer, line: &Line) -> impl Iterator<Item = u32> {
        let around = self.around(line);
        let goes_on = move |log: &Log| log.span().is_some_and(|(_, end)| end > around.1);
        let others =
            self.logs().filter(move |(_, log)| goes_on(log)).map(|(other, _)| other.info.id);
        others.filter(move |&other| peer.interested.always(other, around))
    }

    /// The time of a line, as exactly as it is known.
    fn around(&self, line: &Line) -> (f64, f64) {
        (line.at - self.slack, line.at + self.slack)
    }
}

/// Of the logs of one run, some can begin before midnight and others after it.
fn align(logs: &mut [&mut Log]) {
    let begins = |log: &Log| log.span().map(|(begin, _)| begin);
    let latest = logs.iter().filter_map(|log| begins(log)).fold(0.0, f64::max);
    for log in logs {
        if begins(log).is_some_and(|begin| begin < latest - DAY / 2.0) {
            log.begins_a_day_later();
        }
    }
}

impl Peer {
    fn new(info: PeerInfo, log: Option<Log>) -> Self {
        let empty = Log::default();
        let read = log.as_ref().unwrap_or(&empty);
        let mut pieces = BTreeMap::new();
        for line in &read.lines {
            if let Event::Downloaded { piece, .. } = line.event {
                pieces.entry(piece).or_insert(line.at);
            }
        }
        let interested = Phases::of(read, |event, phases| match event {
            Event::Interested(peer) => phases.begin(*peer),
            Event::NotInterested(peer) => phases.end(*peer),
            _ => (),
        });
        let unchoked_by = Phases::of(read, |event, phases| match event {
            Event::UnchokedBy(peer) => phases.begin(*peer),
            Event::ChokedBy(peer) => phases.end(*peer),
            _ => (),
        });
        let preferred = Phases::of(read, |event, phases| {
            if let Event::Preferred(peers) = event {
                phases.only(peers);
            }
        });
        let serves = served(read, true);
        let may_serve = served(read, false);
        Self { info, log, pieces, interested, unchoked_by, preferred, serves, may_serve }
    }

    /// Whether it had the piece at this time.
    fn had(&self, piece: u64, at: f64) -> bool {
        self.info.has_file || self.pieces.get(&piece).is_some_and(|&since| since <= at)
    }
}

/// The peers that are unchoked by what a log says of the choices.
fn served(log: &Log, certainly: bool) -> Phases {
    /// Lines no further apart than this, in seconds, tell of one moment: a peer that stops being
    /// preferred and becomes the optimistic one need not be choked in between.
    const ONE_MOMENT: f64 = 0.1;
    let mut preferred = Vec::new();
    let mut optimistic = None;
    let mut interested = BTreeSet::new();
    let pause = if certainly { 0.0 } else { ONE_MOMENT };
    Phases::bridging(pause, log, |event, phases| {
        match event {
            Event::Preferred(peers) => {
                preferred.clone_from(peers);
                if certainly {
                    optimistic = optimistic.filter(|peer| !peers.contains(peer));
                }
            }
            Event::Optimistic(peer) => optimistic = *peer,
            Event::Interested(peer) => drop(interested.insert(*peer)),
            Event::NotInterested(peer) => drop(interested.remove(peer)),
            _ => return,
        }
        let chosen = preferred.iter().copied().chain(optimistic);
        let served = chosen.filter(|peer| !certainly || interested.contains(peer));
        phases.only(&served.collect::<Vec<_>>());
    })
}

impl Finding {
    fn new(peer: &Peer, line: usize, text: impl Into<String>) -> Self {
        Self { peer: peer.info.id, line, text: text.into() }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", log::name(self.peer))?;
        if self.line > 0 {
            write!(f, " line {}", self.line)?;
        }
        write!(f, ": {}", self.text)
    }
}
