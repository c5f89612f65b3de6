//! The log of a peer: `log_peer_ID.log`, a line for each thing that happened.
//!
//! The project gives the words of a line, but not how a time is written, and IDs stand with brackets in
//! some logs and without in others. So the words count, and in front of them a time of the day.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// What a peer wrote.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// In the order of the file.
    pub(crate) lines: Vec<Line>,
    /// Lines that are none of the project's, with their numbers.
    pub(crate) strange: Vec<(usize, String)>,
    /// Whether times have fractions of a second.
    pub(crate) fractions: bool,
}

/// A line that was understood.
#[derive(Debug)]
pub(crate) struct Line {
    /// Counts from 1.
    pub(crate) number: usize,
    /// Seconds since the midnight before the run.
    pub(crate) at: f64,
    pub(crate) event: Event,
}

/// What happened to the peer whose log it is. The other peers are their IDs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    MakesConnection(u32),
    IsConnectedFrom(u32),
    Preferred(Vec<u32>),
    Optimistic(Option<u32>),
    UnchokedBy(u32),
    ChokedBy(u32),
    Have { from: u32, piece: u64 },
    Interested(u32),
    NotInterested(u32),
    Downloaded { piece: u64, from: u32, count: u64 },
    Complete,
}

/// A run of hours with small pieces; what is longer is no log.
const MAX_BYTES: u64 = 64 << 20;

/// In seconds.
pub(crate) const DAY: f64 = 24.0 * 60.0 * 60.0;

/// The name of the file that the peer with this ID writes.
pub(crate) fn name(id: u32) -> String {
    format!("log_peer_{id}.log")
}

impl Log {
    /// Reads the log of the peer with this ID; `None` if there is none.
    ///
    /// # Errors
    /// When it cannot be read, or is longer than 64 MiB.
    pub(crate) fn read(folder: &Path, id: u32) -> Result<Option<Self>> {
        let path = folder.join(name(id));
        let name = || path.display().to_string();
        let mut bytes = Vec::new();
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.with_context(name)?,
        };
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).with_context(name)?;
        ensure!(bytes.len() as u64 <= MAX_BYTES, "{}: longer than {MAX_BYTES} bytes", name());
        Ok(Some(Self::parse(&String::from_utf8_lossy(&bytes), id)))
    }

    fn parse(text: &str, id: u32) -> Self {
        let mut log = Self::default();
        let mut days = 0.0;
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim().is_empty() {
                continue;
            }
            let Some((time, event)) = understand(line, id) else {
                log.strange.push((number, line.trim().to_owned()));
                continue;
            };
            log.fractions |= time.fract() > 0.0;
            let before = log.lines.last().map_or(time, |line| line.at);
            // A run may go on after midnight.
            if time + days < before - DAY / 2.0 {
                days += DAY;
            }
            log.lines.push(Line { number, at: time + days, event });
        }
        log
    }

    /// Moves all times by a day.
    pub(crate) fn begins_a_day_later(&mut self) {
        self.lines.iter_mut().for_each(|line| line.at += DAY);
    }

    /// When the log begins and ends; `None` if it has no line.
    pub(crate) fn span(&self) -> Option<(f64, f64)> {
        Some((self.lines.first()?.at, self.lines.last()?.at))
    }
}

/// The time of the day and the event; `None` if the line is none of the project's, or of another peer.
fn understand(line: &str, id: u32) -> Option<(f64, Event)> {
    let lower = line.to_ascii_lowercase();
    let (time, rest) = lower.split_once("peer")?;
    let words = rest.split(|c: char| !c.is_ascii_alphanumeric());
    // Some write "from Peer 1001" where the project has "from 1001".
    let words: Vec<_> = words.filter(|word| !word.is_empty() && *word != "peer").collect();
    let (own, words) = words.split_first()?;
    if own.parse() != Ok(id) {
        return None;
    }
    Some((time_of_day(time)?, event(words)?))
}

fn event(words: &[&str]) -> Option<Event> {
    let id = |word: &str| word.parse::<u32>().ok();
    let number = |word: &str| word.parse::<u64>().ok();
    Some(match words {
        ["makes", "a", "connection", "to", peer] => Event::MakesConnection(id(peer)?),
        ["is", "connected", "from", peer] => Event::IsConnectedFrom(id(peer)?),
        ["has", "the", "preferred", "neighbors", peers @ ..] => {
            Event::Preferred(peers.iter().map(|peer| id(peer)).collect::<Option<_>>()?)
        }
        ["has", "the", "optimistically", "unchoked", "neighbor"] => Event::Optimistic(None),
        ["has", "the", "optimistically", "unchoked", "neighbor", peer] => {
            Event::Optimistic(Some(id(peer)?))
        }
        ["is", "unchoked", "by", peer] => Event::UnchokedBy(id(peer)?),
        ["is", "choked", "by", peer] => Event::ChokedBy(id(peer)?),
        ["received", "the", "have", "message", "from", peer, "for", "the", "piece", piece] => {
            Event::Have { from: id(peer)?, piece: number(piece)? }
        }
        ["received", "the", "interested", "message", "from", peer] => Event::Interested(id(peer)?),
        ["received", "the", "not", "interested", "message", "from", peer] => {
            Event::NotInterested(id(peer)?)
        }
        ["has", "downloaded", "the", "piece", piece, "from", peer, counts @ ..] => {
            let ["now", "the", "number", "of", "pieces", "it", "has", "is", count] = counts else {
                return None;
            };
            Event::Downloaded { piece: number(piece)?, from: id(peer)?, count: number(count)? }
        }
        ["has", "downloaded", "the", "complete", "file"] => Event::Complete,
        _ => return None,
    })
}

/// The seconds since midnight in a text in small letters, such as `[2026-04-20 01:02:03,456 pm]: `.
fn time_of_day(text: &str) -> Option<f64> {
    let words = text.split(|c: char| !c.is_ascii_digit() && !":.,".contains(c));
    let clock = words.into_iter().find(|word| word.matches(':').count() >= 2)?;
    let (_, after) = text.split_once(clock)?;
    let mut parts = clock.trim_end_matches([':', ',', '.']).splitn(3, ':');
    let mut part = |below: f64| {
        let number = parts.next()?.replace(',', ".").parse::<f64>().ok()?;
        (number < below).then_some(number)
    };
    // 61 for a leap second.
    let (hour, minute, second) = (part(24.0)?, part(60.0)?, part(61.0)?);
    let hour = match after.trim_start().get(..2) {
        Some("pm") => hour % 12.0 + 12.0,
        Some("am") => hour % 12.0,
        _ => hour,
    };
    Some((hour * 60.0 + minute) * 60.0 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(line: &str) -> Option<(f64, Event)> {
        let mut log = Log::parse(line, 1001);
        log.lines.pop().map(|line| (line.at, line.event))
    }

    #[test]
    fn the_words_of_the_project_are_understood_with_and_without_brackets_and_quotes() {
        for (line, event) in [
            ("makes a connection to Peer [1002].", Event::MakesConnection(1002)),
            ("is connected from Peer 1002.", Event::IsConnectedFrom(1002)),
            ("has the preferred neighbors [1002,1003].", Event::Preferred(vec![1002, 1003])),
            ("has the preferred neighbors 1002, 1003", Event::Preferred(vec![1002, 1003])),
            ("has the preferred neighbors .", Event::Preferred(vec![])),
            ("has the optimistically unchoked neighbor [1002].", Event::Optimistic(Some(1002))),
            ("is unchoked by [1002].", Event::UnchokedBy(1002)),
            ("is choked by Peer 1002", Event::ChokedBy(1002)),
            (
                "received the \u{2018}have\u{2019} message from [1002] for the piece [7].",
                Event::Have { from: 1002, piece: 7 },
            ),
            ("received the 'interested' message from 1002.", Event::Interested(1002)),
            ("received the \"not interested\" message from 1002.", Event::NotInterested(1002)),
            (
                "has downloaded the piece 7 from 1002. Now the number of pieces it has is 3.",
                Event::Downloaded { piece: 7, from: 1002, count: 3 },
            ),
            ("has downloaded the complete file.", Event::Complete),
        ] {
            for own in ["Peer 1001", "Peer [1001]"] {
                let (at, found) = only(&format!("12:00:01: {own} {line}")).unwrap();
                assert_eq!(found, event, "{line}");
                assert!((at - 43_201.0).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn other_lines_are_strange() {
        for line in [
            "12:00:01: Peer 1002 is choked by 1003.",
            "12:00:01: Peer 1001 is chocked by 1002.",
            "12:00:01: Peer 1001 is choked by him.",
            "12:00:01: Peer 1001 has downloaded the piece 7 from 1002.",
            "Peer 1001 is choked by 1002.",
            "12:60:01: Peer 1001 is choked by 1002.",
            "connecting...",
        ] {
            let log = Log::parse(&format!("\n{line}\n"), 1001);
            assert_eq!(log.strange, [(2, line.to_owned())]);
        }
    }

    #[test]
    fn times_are_found_however_they_are_written() {
        for (text, seconds) in [
            ("[2026-04-20 13:02:03]", 46_923.0),
            ("2026-04-20T13:02:03.250", 46_923.25),
            ("[04/20/2026 01:02:03,5 PM]", 46_923.5),
            ("12:00:00 am", 0.0),
            ("Mon Apr 20 13:02:03 EDT 2026", 46_923.0),
            ("[stream 1] 13:02:03", 46_923.0),
        ] {
            let (at, _) = only(&format!("{text}: Peer 1001 is choked by 1002.")).unwrap();
            assert!((at - seconds).abs() < 1e-6, "{text}: {at}");
        }
    }

    #[test]
    fn time_goes_on_after_midnight() {
        let lines = ["23:59:59", "00:00:01"].map(|at| format!("{at}: Peer 1 is choked by 2.\n"));
        let log = Log::parse(&lines.concat(), 1);
        let (begin, end) = log.span().unwrap();
        assert!((end - begin - 2.0).abs() < 1e-6);
    }
}
