//! The tracker schedule: when to announce. At the start, at the tracker's interval, when we
//! complete, and sooner when we are short of peers.

use std::time::Duration;

use common::announce;
use common::moment::Moment;
use common::report::{AnnounceOutcome, TrackerReport};

use crate::backoff::Backoff;

/// The times of announces. Choosing the tracker and reaching it is up to the shell.
#[derive(Debug)]
pub(crate) struct TrackerSchedule {
    /// `None` while an announce is in progress, and if there is no tracker.
    next: Option<Moment>,
    /// What the tracker has not heard yet.
    event: Option<announce::Event>,
    /// When a peer with few neighbors may announce before `next`, and when one with none may.
    earliest: Moment,
    earliest_alone: Moment,
    backoff: Backoff,
    last: Option<AnnounceOutcome>,
    announced: bool,
    /// We completed while an announce was in progress, or before the tracker heard `started`.
    completed_meanwhile: bool,
    has_tracker: bool,
}

/// What we need from the tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// We have no neighbor.
    AnyPeer,
    /// We have few neighbors.
    MorePeers,
    /// We have enough neighbors, or need none.
    Nothing,
}

/// Mainline asks for more peers no sooner than this after the last announce.
const EXTRA_AFTER: Duration = Duration::from_secs(5 * 60);

/// Without any neighbor: the others may start a little later than we do.
const ALONE_AFTER: Duration = Duration::from_secs(30);

/// However often the tracker asks us to announce.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(5);

impl TrackerSchedule {
    /// The first announce is due now, if there is a tracker.
    pub(crate) fn new(has_tracker: bool, now: Moment) -> Self {
        Self {
            next: has_tracker.then_some(now),
            event: Some(announce::Event::Started),
            earliest: now,
            earliest_alone: now,
            backoff: Backoff::default(),
            last: None,
            announced: false,
            completed_meanwhile: false,
            has_tracker,
        }
    }

    /// The announce that is due, if one is, with its event. No other is due until this one
    /// succeeds or fails.
    pub(crate) fn take_due(&mut self, need: Need, now: Moment) -> Option<Option<announce::Event>> {
        self.next_due(need).filter(|&due| due <= now)?;
        self.next = None;
        self.announced = true;
        Some(self.event)
    }

    /// We have everything: the tracker should hear of it now, or after `started`.
    pub(crate) fn completed(&mut self, now: Moment) {
        if self.next.is_some() && self.event.is_none() {
            self.event = Some(announce::Event::Completed);
            self.next = Some(now);
        } else {
            self.completed_meanwhile = true;
        }
    }

    /// The tracker answered.
    pub(crate) fn succeeded(
        &mut self,
        interval: Duration,
        min_interval: Option<Duration>,
        now: Moment,
    ) {
        let interval = interval.max(SHORTEST_INTERVAL);
        self.backoff.succeeded();
        self.last = Some(AnnounceOutcome::Answered);
        self.event = None;
        self.next = self.has_tracker.then_some(now + interval);
        let earliest = |wait| now + interval.min(wait).max(min_interval.unwrap_or_default());
        self.earliest = earliest(EXTRA_AFTER);
        self.earliest_alone = earliest(ALONE_AFTER);
        if std::mem::take(&mut self.completed_meanwhile) {
            self.completed(now);
        }
    }

    /// No tracker answered, or it refused.
    pub(crate) fn failed(&mut self, now: Moment) {
        let next = now + self.backoff.failed(Backoff::FIRST_WAIT);
        self.last = Some(AnnounceOutcome::Failed);
        self.next = self.has_tracker.then_some(next);
        self.earliest = next;
        self.earliest_alone = next;
    }

    /// Whether a tracker may know us, and so should hear `stopped`.
    pub(crate) fn was_announced(&self) -> bool {
        self.announced
    }

    /// How the announces go, for the user.
    pub(crate) fn report(&self, need: Need) -> Option<TrackerReport> {
        let report = || TrackerReport { last: self.last, next: self.next_due(need) };
        self.has_tracker.then(report)
    }

    /// When to announce. A peer that is short of neighbors announces as early as is polite.
    pub(crate) fn next_due(&self, need: Need) -> Option<Moment> {
        let next = self.next?;
        Some(match need {
            Need::AnyPeer => next.min(self.earliest_alone),
            Need::MorePeers => next.min(self.earliest),
            Need::Nothing => next,
        })
    }
}

#[cfg(test)]
mod tests {
    use announce::Event::{Completed, Started};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Moment {
        Moment::START + Duration::from_secs(seconds)
    }

    #[test]
    fn started_is_repeated_until_a_tracker_answers_then_the_interval_counts() {
        let mut schedule = TrackerSchedule::new(true, at(0));
        assert_eq!(schedule.take_due(Need::Nothing, at(0)), Some(Some(Started)));
        assert_eq!(schedule.take_due(Need::Nothing, at(0)), None, "one is in progress");
        schedule.failed(at(0));
        assert_eq!(schedule.next_due(Need::Nothing), Some(at(15)));
        assert_eq!(schedule.take_due(Need::Nothing, at(15)), Some(Some(Started)));
        schedule.succeeded(2 * MINUTE, None, at(15));
        assert_eq!(schedule.take_due(Need::Nothing, at(134)), None);
        assert_eq!(schedule.take_due(Need::Nothing, at(135)), Some(None));
    }

    #[test]
    fn each_failure_doubles_the_wait_until_a_tracker_answers() {
        let mut schedule = TrackerSchedule::new(true, at(0));
        let mut failed = || {
            schedule.failed(at(0));
            [Need::Nothing, Need::MorePeers, Need::AnyPeer].map(|need| schedule.next_due(need))
        };
        assert_eq!(failed(), [Some(at(15)); 3]);
        assert_eq!(failed(), [Some(at(30)); 3]);
        schedule.succeeded(MINUTE, None, at(0));
        schedule.failed(at(0));
        assert_eq!(schedule.next_due(Need::Nothing), Some(at(15)));
    }

    #[test]
    fn completed_is_announced_at_once() {
        let mut schedule = TrackerSchedule::new(true, at(0));
        assert!(schedule.take_due(Need::Nothing, at(0)).is_some());
        schedule.succeeded(MINUTE, None, at(0));
        schedule.completed(at(10));
        assert_eq!(schedule.take_due(Need::Nothing, at(10)), Some(Some(Completed)));
        schedule.succeeded(MINUTE, None, at(10));
        assert_eq!(schedule.take_due(Need::Nothing, at(70)), Some(None));
    }

    #[test]
    fn completed_waits_for_the_answer_to_an_announce_in_progress() {
        let mut schedule = TrackerSchedule::new(true, at(0));
        assert_eq!(schedule.take_due(Need::Nothing, at(0)), Some(Some(Started)));
        schedule.succeeded(MINUTE, None, at(0));
        assert_eq!(schedule.take_due(Need::Nothing, at(60)), Some(None));
        schedule.completed(at(61));
        assert_eq!(schedule.take_due(Need::Nothing, at(61)), None);
        schedule.succeeded(MINUTE, None, at(62));
        assert_eq!(schedule.take_due(Need::Nothing, at(62)), Some(Some(Completed)));
    }

    #[test]
    fn completed_does_not_take_the_place_of_started() {
        let mut schedule = TrackerSchedule::new(true, at(0));
        schedule.completed(at(0));
        assert_eq!(schedule.take_due(Need::Nothing, at(0)), Some(Some(Started)));
        schedule.succeeded(MINUTE, None, at(1));
        assert_eq!(schedule.take_due(Need::Nothing, at(1)), Some(Some(Completed)));
    }

    #[test]
    fn a_peer_short_of_neighbors_announces_as_early_as_is_polite() {
        let mut schedule = TrackerSchedule::new(true, at(0));
        let mut due_after = |interval, min_interval| {
            schedule.succeeded(interval, min_interval, at(0));
            [Need::Nothing, Need::MorePeers, Need::AnyPeer].map(|need| schedule.next_due(need))
        };
        assert_eq!(due_after(30 * MINUTE, None), [1800, 300, 30].map(|time| Some(at(time))));
        let with_minimum = due_after(30 * MINUTE, Some(10 * MINUTE));
        assert_eq!(with_minimum, [1800, 600, 600].map(|time| Some(at(time))));
        assert_eq!(due_after(MINUTE, None), [60, 60, 30].map(|time| Some(at(time))));
        assert_eq!(due_after(MINUTE, Some(2 * MINUTE)), [Some(at(60)); 3]);
        assert_eq!(due_after(Duration::ZERO, None), [Some(at(5)); 3]);
    }

    #[test]
    fn a_tracker_may_know_us_once_an_announce_is_in_progress() {
        let mut schedule = TrackerSchedule::new(true, at(0));
        assert!(!schedule.was_announced());
        assert!(schedule.take_due(Need::Nothing, at(0)).is_some());
        assert!(schedule.was_announced());
    }

    #[test]
    fn the_outcome_of_an_announce_is_reported_until_the_next_one_ends() {
        let mut schedule = TrackerSchedule::new(true, at(0));
        let report = |schedule: &TrackerSchedule| {
            schedule.report(Need::Nothing).map(|report| (report.last, report.next))
        };
        assert_eq!(report(&schedule), Some((None, Some(at(0)))));
        schedule.take_due(Need::Nothing, at(0));
        assert_eq!(report(&schedule), Some((None, None)));
        schedule.failed(at(0));
        assert_eq!(report(&schedule), Some((Some(AnnounceOutcome::Failed), Some(at(15)))));
        schedule.take_due(Need::Nothing, at(15));
        assert_eq!(report(&schedule), Some((Some(AnnounceOutcome::Failed), None)));
        schedule.succeeded(MINUTE, None, at(15));
        assert_eq!(report(&schedule), Some((Some(AnnounceOutcome::Answered), Some(at(75)))));
        assert_eq!(report(&TrackerSchedule::new(false, at(0))), None);
    }

    #[test]
    fn without_a_tracker_nothing_is_ever_due() {
        let mut schedule = TrackerSchedule::new(false, at(0));
        assert_eq!(schedule.take_due(Need::AnyPeer, at(0)), None);
        schedule.completed(at(1));
        schedule.failed(at(2));
        schedule.succeeded(MINUTE, None, at(3));
        assert_eq!(schedule.next_due(Need::AnyPeer), None);
        assert!(!schedule.was_announced());
    }
}
