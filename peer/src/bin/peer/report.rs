//! The output of a running peer: a progress bar or plain lines, decisions as sentences, and
//! events as JSON lines (`docs/events.md`); and the record of a run.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufWriter, LineWriter, Write, stderr, stdout};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use common::id::PeerId;
use common::moment::Moment;
use common::report::Snapshot;
use indicatif::{FormattedDuration, ProgressBar, ProgressStyle};
use peer::decision::{Decision, DisconnectReason};
use peer::demo::Ledger;
use peer::record::{Start, Step, Writer};
use peer::torrent::Torrent;
use peer::units::{count, rate, size};
use serde::Serialize;

use crate::digest::Digest;
use crate::waiting::Waiting;

/// Shows one peer to the user.
pub(crate) struct Reporter {
    /// In a swarm.
    part: Option<Part>,
    bar: ProgressBar,
    /// Whether plain lines stand in for the bar.
    lines: bool,
    /// The last plain line of progress; the same one is not printed twice.
    last_line: String,
    /// Not in a swarm.
    waiting: Option<Waiting>,
    verbosity: Verbosity,
    digest: Digest,
    events: Option<EventFile>,
    next: Moment,
}

/// The part of a peer in a swarm of this process.
pub(crate) struct Part {
    /// The name of the peer.
    pub(crate) own: Arc<str>,
    /// Its id.
    pub(crate) peer_id: PeerId,
    /// The books of the swarm.
    pub(crate) ledger: Arc<Mutex<Ledger>>,
}

/// Which decisions are printed. Those that change nothing, of which each round has many, never are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    /// None.
    Quiet,
    /// Those about choking, and chunks in a digest.
    Choking,
    /// All.
    All,
}

/// A file of JSON lines, which several peers may share. Each line goes out at once: a program may
/// be following the file.
#[derive(Clone)]
pub(crate) struct EventFile(Arc<Mutex<Events>>);

struct Events {
    path: PathBuf,
    /// `None` after an error.
    file: Option<LineWriter<File>>,
    /// The error, until a peer reports it.
    failed: Option<io::Error>,
}

/// How often a bar is drawn, and a plain line written.
const BAR_INTERVAL: Duration = Duration::from_millis(250);
const LINE_INTERVAL: Duration = Duration::from_secs(5);

impl Reporter {
    /// A reporter of a peer whose content has `total` bytes.
    pub(crate) fn new(
        total: u64,
        bar: ProgressBar,
        verbosity: Verbosity,
        events: Option<EventFile>,
    ) -> Self {
        bar.set_length(total);
        let template = "{prefix}{bar:10} {wide_msg}";
        bar.set_style(ProgressStyle::with_template(template).expect("a valid template"));
        let lines = bar.is_hidden();
        Self {
            part: None,
            bar,
            lines,
            last_line: String::new(),
            waiting: Some(Waiting::new()),
            verbosity,
            digest: Digest::default(),
            events,
            next: Moment::START,
        }
    }

    /// A member of a swarm: reports to the books of the swarm instead of printing the path of the
    /// file, and leaves progress to the bars.
    pub(crate) fn in_swarm(mut self, part: Part) -> Self {
        self.bar.set_prefix(format!("{} ", part.own));
        self.part = Some(part);
        self.lines = false;
        self.waiting = None;
        self
    }

    /// A decision of the core.
    pub(crate) fn decision(&mut self, decision: &Decision, now: Moment) {
        let at = now.since_start();
        if let Some(events) = &self.events {
            events.write(self.part.as_ref().map(|part| &*part.own), at, decision);
        }
        if let Some(Part { peer_id, ledger, .. }) = &self.part {
            lock(ledger).decision(*peer_id, now, decision);
        }
        let needed = match decision {
            Decision::Round { .. }
            | Decision::Unchoke { .. }
            | Decision::KeepUnchoked { promoted: true, .. }
            | Decision::Choke { .. }
            | Decision::Endgame { .. }
            | Decision::RequestTimedOut { .. }
            | Decision::HashFailed { .. }
            | Decision::Complete { .. } => Verbosity::Choking,
            Decision::Connect { .. }
            | Decision::Refuse { .. }
            | Decision::Disconnect { .. }
            | Decision::BeginChunk { .. }
            | Decision::Verified { .. } => Verbosity::All,
            // Only the events have these.
            Decision::KeepUnchoked { promoted: false, .. } | Decision::KeepChoked { .. } => return,
        };
        let time = at.as_secs_f64();
        if self.verbosity == Verbosity::Choking
            && let Some(digest) = self.digest.after(decision)
        {
            self.print(&format!("{time:7.1} s  {digest}"));
        }
        if self.verbosity >= needed && !is_duplicate(decision) {
            self.print(&format!("{time:7.1} s  {decision}"));
        }
    }

    /// The tracker answered with so many peers.
    pub(crate) fn tracker_answered(&self, peers: usize) {
        if self.verbosity == Verbosity::All {
            self.print(&format!("the tracker returned {}", count(peers, "peer")));
        }
    }

    /// No tracker answered, or it refused.
    pub(crate) fn announce_failed(&mut self, error: String) {
        match &mut self.waiting {
            Some(waiting) => waiting.announce_failed(error),
            None => log::warn!("cannot announce to the tracker: {error}"),
        }
    }

    /// A peer that we dialed could not be reached, or did not stay.
    pub(crate) fn dial_failed(&mut self, address: SocketAddr, how: String) {
        if let Some(waiting) = &mut self.waiting {
            waiting.dial_failed(address, how);
        }
    }

    /// Every chunk is verified; the content is at this path.
    ///
    /// # Errors
    /// If the path, which is the result, cannot be printed.
    pub(crate) fn complete(&mut self, path: &Path, torrent: &Torrent, now: Moment) -> Result<()> {
        self.next = now;
        if self.part.is_some() {
            return Ok(());
        }
        self.bar.suspend(|| print_result(path.display()))?;
        let totals = torrent.totals();
        self.print(&format!(
            "complete: every chunk verified, {} downloaded in {:.1} s, {} uploaded so far",
            size(totals.downloaded),
            now.since_start().as_secs_f64(),
            size(totals.uploaded),
        ));
        Ok(())
    }

    /// When [`Self::progress`] has something new to show.
    pub(crate) fn next_due(&self) -> Option<Moment> {
        let waiting = self.waiting.as_ref().map_or(self.next, Waiting::next_due);
        (self.lines || !self.bar.is_hidden()).then_some(self.next.min(waiting))
    }

    /// Shows the progress, if it is time.
    pub(crate) fn progress(&mut self, torrent: &Torrent, now: Moment) {
        if self.next_due().is_none_or(|next| next > now) {
            return;
        }
        let snapshot = torrent.snapshot(now);
        let waiting = self.waiting.as_mut().and_then(|waiting| waiting.look(&snapshot, now));
        if let Some(line) = waiting {
            self.print(&line);
        }
        if self.next > now {
            return;
        }
        self.next = now + if self.lines { LINE_INTERVAL } else { BAR_INTERVAL };
        let total = self.bar.length().unwrap_or_default();
        let begins = self.bar.position() == 0;
        self.bar.set_position(total - snapshot.left);
        if begins {
            // What was on disk before says nothing about the speed.
            self.bar.reset_eta();
        }
        let text = status(&snapshot, total, self.bar.eta());
        self.bar.set_message(text.clone());
        if self.lines && snapshot.left > 0 && text != self.last_line {
            say(&text);
            self.last_line = text;
        }
    }

    /// The run ended; the bar stays at its percentage.
    pub(crate) fn end(&mut self, torrent: &Torrent, now: Moment) {
        if let Some(Part { ledger, .. }) = &self.part {
            lock(ledger).end(&torrent.snapshot(now), now);
        }
        self.bar.abandon();
    }

    /// Nothing more is written to the events file.
    ///
    /// # Errors
    /// If some of the events could not be written.
    pub(crate) fn finish_events(&self) -> Result<()> {
        self.events.as_ref().map_or(Ok(()), EventFile::finish)
    }

    /// A line that the user should see.
    pub(crate) fn print(&self, text: &str) {
        self.bar.suspend(|| say(text));
    }
}

/// A line about a peer; as long as most terminals are wide, with the bar in front.
fn status(snapshot: &Snapshot, total: u64, left: Duration) -> String {
    let neighbors = &snapshot.neighbors;
    let up = rate(neighbors.iter().map(|neighbor| neighbor.upload_rate).sum());
    let count = count(neighbors.len(), "neighbor");
    if snapshot.left == 0 {
        return format!("seeding at {up} to {count}");
    }
    let down = neighbors.iter().map(|neighbor| neighbor.download_rate).sum();
    let percent = percent(total - snapshot.left, total);
    let mut text = format!("{percent:3} %, {} down, {up} up, {count}", rate(down));
    if down > 0 && !left.is_zero() {
        text.push_str(&format!(", {} left", FormattedDuration(left)));
    }
    text
}

/// A second connection to a neighbor, which is refused whenever both sides dialed.
fn is_duplicate(decision: &Decision) -> bool {
    matches!(decision, Decision::Refuse { reason: DisconnectReason::Duplicate, .. })
}

/// The books of a swarm, for one entry.
pub(crate) fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

impl EventFile {
    /// A new file; what was there before is lost, as with any log.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| cannot_write_events(path))?;
        let (path, file) = (path.to_owned(), Some(LineWriter::new(file)));
        Ok(Self(Arc::new(Mutex::new(Events { path, file, failed: None }))))
    }

    /// Adds a line; after an error nothing more is written.
    pub(crate) fn write(&self, peer: Option<&str>, at: Duration, decision: &Decision) {
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
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let write = |file: &mut LineWriter<File>| writeln!(file, "{}", line?);
        if let Some(Err(error)) = events.file.as_mut().map(write) {
            (events.file, events.failed) = (None, Some(error));
        }
    }

    /// The peer has ended: the error that kept events from the file, if there was one.
    pub(crate) fn finish(&self) -> Result<()> {
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = events.failed.take().map_or(Ok(()), Err);
        failed.with_context(|| cannot_write_events(&events.path))
    }
}

fn cannot_write_events(path: &Path) -> String {
    format!("cannot write the events to {}", path.display())
}

/// One peer's part in the file of a record, which several peers may share.
#[derive(Clone)]
pub(crate) struct RecordFile {
    own: Arc<str>,
    shared: Arc<Mutex<Recording>>,
}

struct Recording {
    path: PathBuf,
    writer: Writer,
    file: BufWriter<File>,
    /// The first error; nothing is written after it.
    failed: Option<io::Error>,
}

impl RecordFile {
    /// A new file; what was there before is lost, as with any log.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| cannot_write_record(path))?;
        let (writer, file) = (Writer::default(), BufWriter::new(file));
        let path = path.to_owned();
        let shared = Arc::new(Mutex::new(Recording { path, writer, file, failed: None }));
        let record = Self { own: "peer".into(), shared };
        record.write(Writer::head);
        Ok(record)
    }

    /// The part of the peer with this name.
    pub(crate) fn of(&self, own: Arc<str>) -> Self {
        Self { own, ..self.clone() }
    }

    /// The peer begins.
    pub(crate) fn start(&self, start: &Start) {
        self.write(|writer| writer.start(&self.own, start));
    }

    /// An input of the peer, and its outputs.
    pub(crate) fn step(&self, step: Step) {
        self.write(|writer| writer.step(&self.own, step));
    }

    /// The peer has ended.
    ///
    /// # Errors
    /// If some of the record could not be written.
    pub(crate) fn flush(&self) -> Result<()> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let result = shared.failed.take().map_or_else(|| shared.file.flush(), Err);
        result.with_context(|| cannot_write_record(&shared.path))
    }

    fn write(&self, line: impl FnOnce(&mut Writer) -> String) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.failed.is_none() {
            let line = line(&mut shared.writer);
            shared.failed = shared.file.write_all(line.as_bytes()).err();
        }
    }
}

fn cannot_write_record(path: &Path) -> String {
    format!("cannot write the record to {}", path.display())
}

/// Writes a line for people to stderr. A closed stderr, as after `2>&1 | head`, is no reason to end,
/// let alone to panic as `eprintln!` does.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(stderr(), "{line}");
}

/// Writes a line of the result to stdout.
pub(crate) fn print_result(line: impl Display) -> Result<()> {
    writeln!(stdout(), "{line}").context("cannot write to stdout")
}

/// Whole percent, rounded down: 100 only when nothing is missing.
fn percent(done: u64, total: u64) -> u64 {
    u64::try_from(u128::from(done) * 100 / u128::from(total.max(1))).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_percent_is_shown_only_when_nothing_is_missing() {
        assert_eq!(percent(999_999, 1_000_000), 99);
        assert_eq!(percent(1_000_000, 1_000_000), 100);
        assert_eq!(percent(u64::MAX - 1, u64::MAX), 99);
    }
}
