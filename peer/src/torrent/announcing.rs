//! When to announce to the tracker: at the start, at its interval, when we complete, at the end.

use std::time::{Duration, Instant};

use common::announce;

/// The times of announces. Which tracker, and over what, is the shell's matter.
#[derive(Debug)]
pub(super) struct Announcing {
    /// `None` while an answer is awaited, and if there is no tracker.
    next: Option<Instant>,
    /// What the tracker was not told yet.
    news: Option<announce::Event>,
    /// Not before this, unless there are news: with few neighbours, and with none.
    earliest: Instant,
    earliest_alone: Instant,
    failures: u32,
    announced: bool,
    completed_meanwhile: bool,
    has_tracker: bool,
}

/// What we would like of the tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    AnyPeer,
    MorePeers,
    Nothing,
}

/// Until a failed announce is tried again; twice as long after each further failure.
const AFTER_FAILURE: Duration = Duration::from_secs(15);
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 60);

/// Mainline asks for more peers not sooner than this after the last announce.
const EXTRA_AFTER: Duration = Duration::from_secs(5 * 60);

/// Who is all alone asks sooner: the getter may have been started before the seed.
const ALONE_AFTER: Duration = Duration::from_secs(30);

/// However often a tracker would like to hear of us.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(5);

impl Announcing {
    pub(super) fn new(has_tracker: bool, now: Instant) -> Self {
        Self {
            next: has_tracker.then_some(now),
            news: Some(announce::Event::Started),
            earliest: now,
            earliest_alone: now,
            failures: 0,
            announced: false,
            completed_meanwhile: false,
            has_tracker,
        }
    }

    /// The announce that is due now, if one is. Then nothing is due until it succeeds or fails.
    pub(super) fn take_due(&mut self, need: Need, now: Instant) -> Option<Option<announce::Event>> {
        self.next_due(need).filter(|&due| due <= now)?;
        self.next = None;
        self.announced = true;
        Some(self.news)
    }

    /// We have everything: the tracker should hear of it now.
    pub(super) fn completed(&mut self, now: Instant) {
        if self.next.is_some() && self.news.is_none() {
            self.news = Some(announce::Event::Completed);
            self.next = Some(now);
        } else {
            // It did not hear `started` yet, or is about to answer.
            self.completed_meanwhile = true;
        }
    }

    pub(super) fn succeeded(
        &mut self,
        interval: Duration,
        min_interval: Option<Duration>,
        now: Instant,
    ) {
        let interval = interval.max(SHORTEST_INTERVAL);
        self.failures = 0;
        self.news = None;
        self.next = self.has_tracker.then_some(now + interval);
        let politely = |wait| now + interval.min(wait).max(min_interval.unwrap_or_default());
        self.earliest = politely(EXTRA_AFTER);
        self.earliest_alone = politely(ALONE_AFTER);
        if std::mem::take(&mut self.completed_meanwhile) {
            self.completed(now);
        }
    }

    pub(super) fn failed(&mut self, now: Instant) {
        let wait = AFTER_FAILURE.saturating_mul(1 << self.failures.min(16)).min(LONGEST_WAIT);
        self.failures += 1;
        self.next = self.has_tracker.then_some(now + wait);
        self.earliest = now + wait;
        self.earliest_alone = now + wait;
    }

    /// Whether a tracker may know of us, and so wants to hear that we leave.
    pub(super) fn was_announced(&self) -> bool {
        self.announced
    }

    /// When to announce: who is short of peers does not wait longer than politeness asks for.
    pub(super) fn next_due(&self, need: Need) -> Option<Instant> {
        match need {
            Need::AnyPeer => self.next.map(|next| next.min(self.earliest_alone)),
            Need::MorePeers => self.next.map(|next| next.min(self.earliest)),
            Need::Nothing => self.next,
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "an instant to count from")]
mod tests {
    use announce::Event::{Completed, Started};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn started_is_said_until_it_was_heard_then_the_interval_counts() {
        let now = Instant::now();
        let mut announcing = Announcing::new(true, now);
        assert_eq!(announcing.take_due(Need::Nothing, now), Some(Some(Started)));
        assert_eq!(announcing.take_due(Need::Nothing, now), None);
        announcing.failed(now);
        assert_eq!(announcing.next_due(Need::Nothing), Some(now + AFTER_FAILURE));
        let now = now + AFTER_FAILURE;
        assert_eq!(announcing.take_due(Need::Nothing, now), Some(Some(Started)));
        announcing.succeeded(2 * MINUTE, None, now);
        assert_eq!(announcing.take_due(Need::Nothing, now + MINUTE), None);
        assert_eq!(announcing.take_due(Need::Nothing, now + 2 * MINUTE), Some(None));
    }

    #[test]
    fn failures_are_followed_by_longer_and_longer_waits() {
        let now = Instant::now();
        let mut announcing = Announcing::new(true, now);
        let waits: Vec<_> = (0..9)
            .map(|_| {
                announcing.failed(now);
                (announcing.next_due(Need::Nothing).unwrap() - now).as_secs()
            })
            .collect();
        assert_eq!(waits, [15, 30, 60, 120, 240, 480, 960, 1800, 1800]);
    }

    #[test]
    fn completed_is_said_at_once_but_after_started_was_heard() {
        let now = Instant::now();
        let mut announcing = Announcing::new(true, now);
        assert_eq!(announcing.take_due(Need::Nothing, now), Some(Some(Started)));
        announcing.completed(now);
        assert_eq!(announcing.take_due(Need::Nothing, now), None);
        announcing.succeeded(MINUTE, None, now);
        assert_eq!(announcing.take_due(Need::Nothing, now), Some(Some(Completed)));
        announcing.succeeded(MINUTE, None, now);
        assert_eq!(announcing.take_due(Need::Nothing, now), None);
    }

    #[test]
    fn more_peers_are_asked_for_only_when_that_is_polite() {
        let now = Instant::now();
        let mut announcing = Announcing::new(true, now);
        assert!(announcing.take_due(Need::Nothing, now).is_some());
        announcing.succeeded(30 * MINUTE, Some(10 * MINUTE), now);
        assert_eq!(announcing.next_due(Need::Nothing), Some(now + 30 * MINUTE));
        assert_eq!(announcing.next_due(Need::AnyPeer), Some(now + 10 * MINUTE));
        announcing.succeeded(30 * MINUTE, None, now);
        assert_eq!(announcing.next_due(Need::MorePeers), Some(now + EXTRA_AFTER));
        assert_eq!(announcing.next_due(Need::AnyPeer), Some(now + ALONE_AFTER));
        announcing.failed(now);
        assert_eq!(announcing.next_due(Need::AnyPeer), Some(now + AFTER_FAILURE));
    }

    #[test]
    fn without_a_tracker_nothing_is_ever_due() {
        let now = Instant::now();
        let mut announcing = Announcing::new(false, now);
        announcing.completed(now);
        assert_eq!(announcing.take_due(Need::MorePeers, now), None);
        assert_eq!(announcing.next_due(Need::MorePeers), None);
    }
}
