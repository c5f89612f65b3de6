//! What a user sees of a running peer: a progress bar or plain lines, decisions as sentences, and
//! events as JSON lines (`docs/events.md`).

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Display;
use std::fs::File;
use std::io::{LineWriter, Write, stderr, stdout};
use std::path::Path;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytesize::ByteSize;
use indicatif::{ProgressBar, ProgressStyle};
use peer::decision::Decision;
use peer::rate::PerSecond;
use peer::torrent::Torrent;
use serde::Serialize;

/// Shows one peer to the user.
pub(crate) struct Reporter {
    start: Instant,
    total: u64,
    bar: ProgressBar,
    /// Whether it has anything to say while nothing changes.
    lines: bool,
    verbosity: Verbosity,
    events: Option<EventFile>,
    names: Names,
    /// Told of the peer's completion, by its name.
    completed: Option<Sender<String>>,
    next: Instant,
    samples: VecDeque<Sample>,
}

/// Which decisions are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    /// None.
    Quiet,
    /// All but that a chunk came, of which there are too many.
    Choices,
    /// All.
    All,
}

/// A file of JSON lines, which several peers may share.
#[derive(Clone)]
pub(crate) struct EventFile {
    /// Each line goes out at once: somebody may be following the file.
    file: Arc<Mutex<Option<LineWriter<File>>>>,
}

/// Names for peers that are better than addresses, where they are known.
#[derive(Clone, Default)]
pub(crate) struct Names {
    /// Of this peer.
    own: Option<String>,
    by_peer_id: BTreeMap<String, String>,
    /// As far as they have connected.
    by_address: BTreeMap<String, String>,
}

struct Sample {
    at: Instant,
    downloaded: u64,
    uploaded: u64,
}

/// How often a bar is drawn, and a plain line written.
const BAR_INTERVAL: Duration = Duration::from_millis(250);
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// The time over which rates are averaged for the eye.
const RATE_WINDOW: Duration = Duration::from_secs(5);

impl Reporter {
    /// A reporter of a peer with `total` bytes to have, whose times count from `start`.
    pub(crate) fn new(total: u64, bar: ProgressBar, verbosity: Verbosity, start: Instant) -> Self {
        bar.set_length(total);
        bar.set_style(
            ProgressStyle::with_template("{prefix}{bar:30} {msg}").expect("a valid template"),
        );
        Self {
            start,
            total,
            lines: bar.is_hidden(),
            bar,
            verbosity,
            events: None,
            names: Names::default(),
            completed: None,
            next: start,
            samples: VecDeque::new(),
        }
    }

    /// Writes decisions into this file as well.
    pub(crate) fn with_events(mut self, events: Option<EventFile>) -> Self {
        self.events = events;
        self
    }

    /// Uses names instead of addresses.
    pub(crate) fn with_names(mut self, names: Names) -> Self {
        self.bar.set_prefix(names.own.as_ref().map_or_else(String::new, |own| format!("{own:9}")));
        self.names = names;
        self
    }

    /// Says to somebody when all is there, instead of printing where it is; and leaves progress
    /// to the bars.
    pub(crate) fn with_completed(mut self, completed: Sender<String>) -> Self {
        self.completed = Some(completed);
        self.lines = false;
        self
    }

    /// A decision of the core.
    pub(crate) fn decision(&mut self, decision: &Decision, now: Instant) {
        let at = now.saturating_duration_since(self.start);
        self.names.learn(decision);
        if let Some(events) = &self.events {
            events.write(self.names.own.as_deref(), at, decision);
        }
        let needed = match decision {
            Decision::Verified { .. } => Verbosity::All,
            _ => Verbosity::Choices,
        };
        if self.verbosity >= needed {
            let sentence = self.names.put_in(&decision.to_string());
            self.print(&format!("{:7.1} s  {sentence}", at.as_secs_f64()));
        }
    }

    /// Something that the user should know and that does not end the peer.
    pub(crate) fn warn(&self, text: &str) {
        self.print(text);
    }

    /// The tracker answered with so many peers.
    pub(crate) fn tracker_answered(&self, peers: usize) {
        if self.verbosity == Verbosity::All {
            self.print(&format!("the tracker names {peers} peers"));
        }
    }

    /// All is here, at this path.
    ///
    /// # Errors
    /// If the path, which is the result, cannot be printed.
    pub(crate) fn complete(&mut self, path: &Path, torrent: &Torrent, now: Instant) -> Result<()> {
        self.next = now;
        if let (Some(completed), Some(own)) = (&self.completed, &self.names.own) {
            // Whoever waited may have given up.
            if completed.send(own.clone()).is_err() {
                log::debug!("{own} completed, and nobody wants to know");
            }
            return Ok(());
        }
        self.bar.suspend(|| print_result(path.display()))?;
        let (took, totals) = (now.saturating_duration_since(self.start), torrent.totals());
        self.print(&format!(
            "complete: every chunk verified, {} downloaded in {:.1} s, {} uploaded so far",
            size(totals.downloaded),
            took.as_secs_f64(),
            size(totals.uploaded),
        ));
        Ok(())
    }

    /// When [`Self::progress`] has something new to show.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        (self.lines || !self.bar.is_hidden()).then_some(self.next)
    }

    /// Shows how far the peer is, if it is time.
    pub(crate) fn progress(&mut self, torrent: &Torrent, now: Instant) {
        if self.next_due().is_none_or(|next| next > now) {
            return;
        }
        self.next = now + if self.lines { LINE_INTERVAL } else { BAR_INTERVAL };
        let done = self.total - torrent.left();
        let totals = torrent.totals();
        self.samples.push_back(Sample {
            at: now,
            downloaded: totals.downloaded,
            uploaded: totals.uploaded,
        });
        while self.samples.len() > 2 && now - self.samples[0].at > RATE_WINDOW {
            self.samples.pop_front();
        }
        let down = self.rate(|sample| sample.downloaded);
        let up = self.rate(|sample| sample.uploaded);
        let neighbors = torrent.neighbors().len();
        let text = if torrent.is_complete() {
            format!("seeding at {} to {}", PerSecond(up), counted(neighbors))
        } else {
            format!(
                "{:3} % of {}, {} down, {} up, {}{}",
                percent(done, self.total),
                size(self.total),
                PerSecond(down),
                PerSecond(up),
                counted(neighbors),
                time_left(self.total - done, down),
            )
        };
        self.bar.set_position(done);
        self.bar.set_message(text.clone());
        if self.lines && !torrent.is_complete() {
            say(text);
        }
    }

    /// It is over.
    pub(crate) fn end(&mut self) {
        self.bar.finish();
    }

    fn print(&self, text: &str) {
        self.bar.suspend(|| say(text));
    }

    /// Bytes per second over the samples at hand.
    fn rate(&self, bytes: impl Fn(&Sample) -> u64) -> u64 {
        let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) else {
            return 0;
        };
        let time = (last.at - first.at).as_millis();
        let bytes = u128::from(bytes(last) - bytes(first));
        (bytes * 1000).checked_div(time).map_or(0, |rate| u64::try_from(rate).unwrap_or(u64::MAX))
    }
}

impl EventFile {
    /// A new file; what was there before is lost, as with any log.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path)
            .with_context(|| format!("create the events file {}", path.display()))?;
        Ok(Self { file: Arc::new(Mutex::new(Some(LineWriter::new(file)))) })
    }

    /// Adds a line; after an error, which is told, nothing more is written.
    fn write(&self, peer: Option<&str>, at: Duration, decision: &Decision) {
        #[derive(Serialize)]
        struct Line<'a> {
            at: f64,
            #[serde(skip_serializing_if = "Option::is_none")]
            own: Option<&'a str>,
            #[serde(flatten)]
            decision: &'a Decision,
        }
        // Milliseconds are precise enough, and short.
        let at = (at.as_secs_f64() * 1000.0).round() / 1000.0;
        let line = serde_json::to_string(&Line { at, own: peer, decision });
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let write = |file: &mut LineWriter<File>| writeln!(file, "{}", line?);
        if let Some(Err(error)) = file.as_mut().map(write) {
            log::error!("write the events file: {error}; no more events are written");
            *file = None;
        }
    }
}

impl Names {
    /// This peer's own name, and those of others by their peer ids.
    pub(crate) fn new(own: String, by_peer_id: BTreeMap<String, String>) -> Self {
        Self { own: Some(own), by_peer_id, by_address: BTreeMap::new() }
    }

    fn learn(&mut self, decision: &Decision) {
        if let Decision::Connect { peer, peer_id, .. } | Decision::Refuse { peer, peer_id, .. } =
            decision
            && let Some(name) = self.by_peer_id.get(peer_id)
        {
            self.by_address.insert(peer.to_string(), name.clone());
        }
    }

    /// The sentence with names for addresses.
    fn put_in(&self, sentence: &str) -> String {
        let named = |word: &str| self.by_address.get(word).cloned().unwrap_or_else(|| word.into());
        sentence.split(' ').map(named).collect::<Vec<String>>().join(" ")
    }
}

/// Writes a line for people to stderr. That nobody reads it any more, as after `2>&1 | head`, is no
/// reason to end, let alone to panic as `eprintln!` does.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(stderr(), "{line}");
}

/// Writes a line of the result to stdout.
pub(crate) fn print_result(line: impl Display) -> Result<()> {
    writeln!(stdout(), "{line}").context("cannot write to stdout")
}

/// Bytes as people read them.
pub(crate) fn size(bytes: u64) -> String {
    ByteSize(bytes).display().to_string()
}

fn counted(neighbors: usize) -> String {
    format!("{neighbors} neighbour{}", if neighbors == 1 { "" } else { "s" })
}

/// Whole percent, rounded down: 100 only when nothing is missing.
fn percent(done: u64, total: u64) -> u64 {
    u64::try_from(u128::from(done) * 100 / u128::from(total.max(1))).unwrap_or(100)
}

fn time_left(bytes: u64, rate: u64) -> String {
    bytes.checked_div(rate).map_or_else(String::new, |seconds| match seconds {
        0..3600 => format!(", {}:{:02} left", seconds / 60, seconds % 60),
        3600..360_000 => format!(", {} h {:02} min left", seconds / 3600, seconds / 60 % 60),
        _ => String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_percent_is_only_said_when_nothing_is_missing() {
        assert_eq!(percent(999_999, 1_000_000), 99);
        assert_eq!(percent(1_000_000, 1_000_000), 100);
        assert_eq!(percent(u64::MAX - 1, u64::MAX), 99);
    }

    #[test]
    fn the_time_left_is_said_if_it_can_be_told() {
        assert_eq!(time_left(1000, 0), "");
        assert_eq!(time_left(95_000, 1000), ", 1:35 left");
        assert_eq!(time_left(7_500_000, 1000), ", 2 h 05 min left");
        assert_eq!(time_left(u64::MAX, 1), "");
    }

    #[test]
    fn names_stand_for_whole_addresses_only() {
        let peer: std::net::SocketAddr = "127.0.0.1:688".parse().unwrap();
        let by_peer_id = BTreeMap::from([("-KR0001-x".into(), "seed".into())]);
        let mut names = Names::new("peer-1".into(), by_peer_id);
        names.learn(&Decision::Connect {
            peer,
            peer_id: "-KR0001-x".into(),
            direction: peer::remote::Direction::Incoming,
        });
        assert_eq!(
            names.put_in("unchoke 127.0.0.1:688  as 127.0.0.1:6881"),
            "unchoke seed  as 127.0.0.1:6881"
        );
    }
}
