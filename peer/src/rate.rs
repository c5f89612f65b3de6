//! Rates: how fast a connection is, as the choker ranks it, and a token bucket for the limits that
//! a user sets.

use std::time::Duration;

use common::moment::Moment;

/// The rate of one direction of one connection, averaged over about 20 s: mainline's estimator.
///
/// The window moves only in [`Rate::add`]. Reading the rate changes nothing, so a progress bar or
/// a page that reads it more often cannot change which neighbors we unchoke.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// The bytes in the window; they shrink by a factor when it moves, so they are not whole.
    bytes: f64,
    /// The length of the window when it last moved, at most [`Rate::PERIOD`].
    window: Duration,
    updated: Moment,
}

impl Rate {
    const PERIOD: Duration = Duration::from_secs(20);
    /// The window begins before the connection, or the first block would look infinitely fast.
    const HEAD_START: Duration = Duration::from_secs(5);

    /// The rate of a connection that opens now.
    pub const fn new(now: Moment) -> Self {
        Self { bytes: 0.0, window: Self::HEAD_START, updated: now }
    }

    /// Counts the payload of requested blocks. Headers do not count, nor do blocks that we did not
    /// request: with those a peer could buy an unchoke.
    ///
    /// Adding 0 bytes moves the window, so that the rate of a silent peer falls faster; mainline
    /// does it on every query, we do it every round.
    pub fn add(&mut self, bytes: u32, now: Moment) {
        let stretched = self.window_at(now);
        self.window = stretched.min(Self::PERIOD);
        self.bytes = (self.bytes + f64::from(bytes)) * self.window.div_duration_f64(stretched);
        self.updated = self.updated.max(now);
    }

    /// Bytes per second.
    pub fn per_second(&self, now: Moment) -> u64 {
        #[expect(clippy::cast_possible_truncation, reason = "a fraction of a byte is no rate")]
        let whole = self.exact(now) as u64;
        whole
    }

    fn exact(&self, now: Moment) -> f64 {
        self.bytes / self.window_at(now).as_secs_f64()
    }

    /// The length of the window if it is stretched to `now`.
    fn window_at(&self, now: Moment) -> Duration {
        self.window + (now - self.updated)
    }
}

/// A token bucket: tokens, one a byte, drip into the bucket, and a sender takes them out.
///
/// In any time `t` it grants no more than `rate * t + burst` bytes. It counts in integers, so no
/// token is lost to rounding, however often it is asked.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    rate: u64,
    burst: u64,
    /// The tokens in the bucket, in billionths: a nanosecond adds `rate` of them.
    level: u128,
    updated: Moment,
}

/// The answer to [`TokenBucket::take`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Take {
    /// The tokens are taken.
    Taken,
    /// Nothing is taken; [`TokenBucket::ready_at`] says when there will be enough.
    TooFew,
}

impl TokenBucket {
    /// A full bucket that gains `rate` bytes a second and holds `burst` bytes. `burst` must be at
    /// least the largest amount that is ever taken at once, or that amount never passes.
    pub fn new(rate: u64, burst: u64, now: Moment) -> Self {
        Self { rate, burst, level: in_billionths(burst), updated: now }
    }

    /// Takes all of `amount` bytes, or nothing.
    pub fn take(&mut self, amount: u64, now: Moment) -> Take {
        let passed = (now - self.updated).as_nanos();
        let gained = passed.saturating_mul(self.rate.into());
        self.level = self.level.saturating_add(gained).min(in_billionths(self.burst));
        self.updated = self.updated.max(now);
        match self.level.checked_sub(in_billionths(amount)) {
            Some(left) => {
                self.level = left;
                Take::Taken
            }
            None => Take::TooFew,
        }
    }

    /// Puts back tokens that were taken and not used.
    pub fn refund(&mut self, amount: u64) {
        let level = self.level.saturating_add(in_billionths(amount));
        self.level = level.min(in_billionths(self.burst));
    }

    /// The first time at which the bucket holds `amount` bytes, if nothing else is taken; it may
    /// have passed. `None` if never: the amount is larger than the bucket, or the bucket does not
    /// fill.
    pub fn ready_at(&self, amount: u64) -> Option<Moment> {
        let missing = in_billionths(amount).saturating_sub(self.level);
        if missing == 0 {
            return Some(self.updated);
        }
        if amount > self.burst || self.rate == 0 {
            return None;
        }
        let wait = u64::try_from(missing.div_ceil(self.rate.into())).ok()?;
        Some(self.updated + Duration::from_nanos(wait))
    }
}

fn in_billionths(tokens: u64) -> u128 {
    u128::from(tokens) * 1_000_000_000
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::START + Duration::from_secs(seconds)
    }

    fn assert_near(rate: &Rate, now: Moment, expected: f64) {
        let actual = rate.exact(now);
        assert!((actual - expected).abs() < 0.000_6, "{actual} is not {expected}");
    }

    #[test]
    fn a_block_a_second_is_estimated_as_mainline_does() {
        let mut rate = Rate::new(Moment::START);
        let expected = [
            (1, 2_730.667),
            (2, 4_681.143),
            (5, 8_192.0),
            (10, 10_922.667),
            (15, 12_288.0),
            (16, 12_483.048),
            (20, 13_174.677),
            (30, 14_413.754),
        ];
        for second in 1..=30 {
            rate.add(16 * 1024, at(second));
            if let Some((_, expected)) = expected.iter().find(|(s, _)| *s == second) {
                assert_near(&rate, at(second), *expected);
            }
        }
        // A query of mainline's adds 0 bytes.
        for (second, expected) in [
            (31, 13_727.385),
            (35, 11_439.487),
            (40, 9_151.590),
            (45, 7_321.272),
            (50, 5_857.017),
            (60, 3_904.678),
        ] {
            rate.add(0, at(second));
            assert_near(&rate, at(second), expected);
        }
    }

    #[test]
    fn adding_nothing_moves_the_window() {
        let (mut moved, mut still) = (Rate::new(Moment::START), Rate::new(Moment::START));
        for rate in [&mut moved, &mut still] {
            (1..=20).for_each(|second| rate.add(100_000, at(second)));
        }
        moved.add(0, at(30));
        assert_eq!(moved.per_second(at(30)), still.per_second(at(30)), "the rate is the same");
        assert!(moved.per_second(at(60)) < still.per_second(at(60)), "but then it falls faster");
    }

    #[test]
    fn reading_changes_nothing() {
        let (mut watched, mut alone) = (Rate::new(Moment::START), Rate::new(Moment::START));
        for second in 1..100 {
            watched.per_second(at(second));
            if second % 30 == 0 {
                watched.add(50_000, at(second));
                alone.add(50_000, at(second));
            }
        }
        assert_eq!(watched.per_second(at(100)), alone.per_second(at(100)));
    }

    #[test]
    fn a_clock_that_steps_back_does_no_harm() {
        let mut rate = Rate::new(at(10));
        rate.add(5_000, Moment::START);
        assert_eq!(rate.per_second(Moment::START), 1_000);
    }

    #[test]
    fn a_bucket_starts_full_and_fills_at_its_rate() {
        let mut bucket = TokenBucket::new(1_000, 3_000, Moment::START);
        assert_eq!(bucket.take(3_000, Moment::START), Take::Taken);
        assert_eq!(bucket.take(2_000, at(1)), Take::TooFew);
        assert_eq!(bucket.ready_at(2_000), Some(at(2)));
        assert_eq!(bucket.take(2_000, at(2)), Take::Taken);
        assert_eq!(bucket.ready_at(3_000), Some(at(5)));
    }

    #[test]
    fn a_refund_never_fills_the_bucket_over_its_brim() {
        let mut bucket = TokenBucket::new(1, 3_000, Moment::START);
        assert_eq!(bucket.take(2_000, Moment::START), Take::Taken);
        bucket.refund(2_000);
        assert_eq!(bucket.take(3_000, Moment::START), Take::Taken);
        bucket.refund(5_000);
        assert_eq!(bucket.take(3_000, Moment::START), Take::Taken);
        assert_eq!(bucket.take(1, Moment::START), Take::TooFew);
    }

    #[test]
    fn an_amount_larger_than_the_bucket_never_passes() {
        let mut small = TokenBucket::new(1_000, 3_000, Moment::START);
        assert_eq!(small.take(3_001, at(1_000)), Take::TooFew);
        assert_eq!(small.ready_at(3_001), None);
        let mut dry = TokenBucket::new(0, 3_000, Moment::START);
        assert_eq!(dry.take(3_000, Moment::START), Take::Taken);
        assert_eq!(dry.ready_at(1), None);
    }

    proptest! {
        #[test]
        fn never_more_than_the_rate_and_the_burst(
            rate in 1..2_000_000_000_u64,
            burst in 1..300_000_u64,
            tries in prop::collection::vec((0..50_000_u64, 0..400_000_u64), 1..200),
        ) {
            let mut bucket = TokenBucket::new(rate, burst, Moment::START);
            let (mut nanos, mut granted) = (0, 0);
            for (passed, amount) in tries {
                nanos += passed;
                if bucket.take(amount, Moment::START + Duration::from_nanos(nanos)) == Take::Taken {
                    granted += amount;
                }
                let limit = in_billionths(burst) + u128::from(rate) * u128::from(nanos);
                prop_assert!(in_billionths(granted) <= limit);
            }
        }

        #[test]
        fn a_sender_that_waits_until_it_is_ready_passes_and_not_a_nanosecond_earlier(
            rate in 1..2_000_000_000_u64,
            amounts in prop::collection::vec(0..=16_384_u64, 1..100),
        ) {
            let mut now = Moment::START;
            // Twice the largest amount, so that it never runs over while the sender waits.
            let mut bucket = TokenBucket::new(rate, 32_768, now);
            let mut granted = 0;
            for amount in amounts {
                let ready = bucket.ready_at(amount).expect("the bucket is large enough").max(now);
                if ready > now {
                    let early = Moment::START + Duration::from_nanos(ready.as_nanos() - 1);
                    prop_assert_eq!(bucket.take(amount, early), Take::TooFew);
                }
                prop_assert_eq!(bucket.take(amount, ready), Take::Taken);
                now = ready;
                granted += amount;
            }
            // Asking often loses no token: the last wait ended when the sum was due.
            let due = in_billionths(granted.saturating_sub(32_768)).div_ceil(rate.into());
            prop_assert!((now - Moment::START).as_nanos() <= due);
        }
    }
}
