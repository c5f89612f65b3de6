//! Exponential back-off: how long to wait after a failure before the next try.

use std::time::Duration;

/// The waits of one thing that may fail repeatedly; ordered by how long it waits at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backoff {
    last_wait: Duration,
}

impl Backoff {
    /// The usual wait after a first failure.
    pub const FIRST_WAIT: Duration = Duration::from_secs(15);

    /// However often it failed: a program may have been started again at the same address.
    pub const LONGEST_WAIT: Duration = Duration::from_secs(30 * 60);

    /// Another failure: how long to wait now. Twice as long as after the failure before it, but at
    /// least `first`, and at most [`Backoff::LONGEST_WAIT`].
    pub fn failed(&mut self, first: Duration) -> Duration {
        self.last_wait = (self.last_wait * 2).max(first).min(Self::LONGEST_WAIT);
        self.last_wait
    }

    /// The next failure is a first one again.
    pub fn succeeded(&mut self) {
        self.last_wait = Duration::ZERO;
    }

    /// Whether the last try failed.
    pub fn has_failed(self) -> bool {
        self.last_wait > Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_further_failure_doubles_the_wait_up_to_half_an_hour() {
        let mut backoff = Backoff::default();
        let mut waits = || [(); 9].map(|()| backoff.failed(Backoff::FIRST_WAIT).as_secs());
        assert_eq!(waits(), [15, 30, 60, 120, 240, 480, 960, 1800, 1800]);
    }

    #[test]
    fn after_a_success_the_next_failure_is_a_first_one() {
        let mut backoff = Backoff::default();
        assert!(!backoff.has_failed());
        backoff.failed(Backoff::FIRST_WAIT);
        backoff.failed(Backoff::FIRST_WAIT);
        assert!(backoff.has_failed());
        backoff.succeeded();
        assert_eq!(backoff, Backoff::default());
        assert_eq!(backoff.failed(Backoff::FIRST_WAIT), Backoff::FIRST_WAIT);
    }

    #[test]
    fn failures_of_two_kinds_count_together() {
        let mut backoff = Backoff::default();
        let waits = [15, 60, 15, 300, 15].map(|first| backoff.failed(Duration::from_secs(first)));
        assert_eq!(waits.map(|wait| wait.as_secs()), [15, 60, 120, 300, 600]);
    }
}
