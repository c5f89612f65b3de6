//! Lines for the person who runs a tracker: which peers join, complete and leave.
//!
//! Strangers can cause any number of them, and perhaps no user reads them: a terminal can be stopped. So
//! a second has at most [`MAX_PER_SECOND`] lines, and none waits for its reader. What is left out is
//! counted, and the count is told later.

use std::net::SocketAddr;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use common::announce::ScrapeEntry;
use common::moment::Moment;

use crate::swarms::Change;

/// Most lines in a second, about a screen.
pub const MAX_PER_SECOND: usize = 20;

const SECOND: Duration = Duration::from_secs(1);

/// Sends the lines to their reader.
#[derive(Debug)]
pub(crate) struct Notices {
    sender: SyncSender<String>,
    /// When the current second began.
    second: Moment,
    sent_in_second: usize,
    omitted: usize,
}

impl Notices {
    pub(crate) fn new(sender: SyncSender<String>) -> Self {
        Self { sender, second: Moment::START, sent_in_second: 0, omitted: 0 }
    }

    /// Sends this line if there is room for it.
    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String, now: Moment) {
        self.flush(now);
        // One line left out leaves out those that follow, or the count would come too late.
        let room = self.omitted == 0 && self.sent_in_second < MAX_PER_SECOND;
        if room && self.sender.try_send(line()).is_ok() {
            self.sent_in_second += 1;
        } else {
            self.omitted += 1;
        }
    }

    /// Counts lines that were never made.
    pub(crate) fn omit(&mut self, count: usize) {
        self.omitted += count;
    }

    /// When the second is over, tells how many lines are missing.
    pub(crate) fn flush(&mut self, now: Moment) {
        if now < self.second + SECOND {
            return;
        }
        self.second = now;
        self.sent_in_second = 0;
        if self.omitted > 0 && self.sender.try_send(format!("and {} more", self.omitted)).is_ok() {
            self.omitted = 0;
        }
    }

    /// When [`Self::flush`] has something to tell.
    pub(crate) fn next_timeout(&self) -> Option<Moment> {
        (self.omitted > 0).then_some(self.second + SECOND)
    }
}

/// The line for one change: `lecture.bin: 127.0.0.1:6882 joined (1 seed, 3 downloading)`.
pub(crate) fn line(name: &str, peer: SocketAddr, change: Change, swarm: ScrapeEntry) -> String {
    let change = match change {
        Change::Joined => "joined",
        Change::Completed => "completed",
        Change::Left => "left",
        Change::FellSilent => "fell silent and was removed",
    };
    let ScrapeEntry { seeders, leechers, .. } = swarm;
    let plural = if seeders == 1 { "" } else { "s" };
    // A name may be long; a line should fit the terminal.
    format!("{name:.40}: {peer} {change} ({seeders} seed{plural}, {leechers} downloading)")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};

    use super::*;

    fn notices(room: usize) -> (Notices, Receiver<String>) {
        let (sender, receiver) = sync_channel(room);
        (Notices::new(sender), receiver)
    }

    #[test]
    fn a_second_has_a_screen_of_lines_and_then_the_number_of_the_others() {
        let (mut notices, lines) = notices(100);
        let now = Moment::START + SECOND;
        for number in 0..50 {
            notices.tell(|| number.to_string(), now);
        }
        notices.omit(5);
        assert_eq!(lines.try_iter().count(), MAX_PER_SECOND);

        let end = notices.next_timeout().unwrap();
        assert_eq!(end, now + SECOND);
        notices.flush(end);
        notices.tell(|| "next".into(), end);
        assert_eq!(lines.try_iter().collect::<Vec<_>>(), ["and 35 more", "next"]);
        assert_eq!(notices.next_timeout(), None);
    }

    #[test]
    fn a_reader_that_has_stopped_reading_learns_how_many_lines_it_missed() {
        let (mut notices, lines) = notices(2);
        for second in 1..=10 {
            notices.tell(|| second.to_string(), Moment::START + second * SECOND);
        }
        assert_eq!(lines.try_iter().collect::<Vec<_>>(), ["1", "2"]);
        notices.flush(Moment::START + 11 * SECOND);
        assert_eq!(lines.try_iter().collect::<Vec<_>>(), ["and 8 more"]);
    }

    #[test]
    fn a_reader_that_is_gone_does_no_harm() {
        let (mut notices, _) = notices(2);
        notices.tell(|| "lost".into(), Moment::START + SECOND);
    }

    #[test]
    fn a_line_fits_the_terminal_whatever_the_name() {
        let swarm = ScrapeEntry { seeders: 1, completed: 9, leechers: 3 };
        let line = |name, change| line(name, "127.0.0.1:6882".parse().unwrap(), change, swarm);
        assert_eq!(
            line("lecture.bin", Change::Joined),
            "lecture.bin: 127.0.0.1:6882 joined (1 seed, 3 downloading)"
        );
        assert_eq!(
            line(&"ß".repeat(200), Change::FellSilent),
            format!(
                "{}: 127.0.0.1:6882 fell silent and was removed (1 seed, 3 downloading)",
                "ß".repeat(40)
            )
        );
    }
}
