//! How fast: the rate of a connection as the choker ranks it, and the limit a user sets.

use std::fmt;
use std::time::{Duration, Instant};

/// The rate of one direction of one connection, averaged over about 20 s: mainline's estimator.
///
/// What lies in the window fades when bytes arrive, and only then: asking for the rate changes
/// nothing, so a progress bar or a page that looks more often cannot change whom we unchoke.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// The bytes that the window is taken to hold; a fraction of one fades too.
    bytes: f64,
    /// The length of the window when it was last moved, at most [`Rate::PERIOD`].
    window: Duration,
    /// When it was last moved.
    updated: Instant,
}

impl Rate {
    const PERIOD: Duration = Duration::from_secs(20);
    /// The window begins before the connection, or its first block would look infinitely fast.
    const HEAD_START: Duration = Duration::from_secs(5);

    /// A connection that begins now, with nothing transferred.
    pub fn new(now: Instant) -> Self {
        Self { bytes: 0.0, window: Self::HEAD_START, updated: now }
    }

    /// Counts payload that was asked for: not headers, and nothing unasked, or a peer could buy
    /// an unchoke with blocks nobody wants.
    ///
    /// Adding 0 bytes is what mainline does on every query: it makes silence fade faster.
    pub fn add(&mut self, bytes: u32, now: Instant) {
        let window = self.window_at(now);
        self.bytes += f64::from(bytes);
        if window > Self::PERIOD {
            self.bytes *= Self::PERIOD.div_duration_f64(window);
        }
        self.window = window.min(Self::PERIOD);
        self.updated = self.updated.max(now);
    }

    /// Bytes per second.
    pub fn per_second(&self, now: Instant) -> u64 {
        #[expect(clippy::cast_possible_truncation, reason = "a fraction of a byte is no rate")]
        let whole = self.exact(now) as u64;
        whole
    }

    fn exact(&self, now: Instant) -> f64 {
        self.bytes / self.window_at(now).as_secs_f64()
    }

    /// The window as it would be if it were stretched to now.
    fn window_at(&self, now: Instant) -> Duration {
        self.window + now.saturating_duration_since(self.updated)
    }
}

/// A rate in bytes per second as people read it: `412 kB/s`, `1.5 MB/s`.
#[derive(Clone, Copy, Debug)]
pub struct PerSecond(pub u64);

impl fmt::Display for PerSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(rate) = *self;
        match rate {
            0..1_000 => write!(f, "{rate} B/s"),
            1_000..1_000_000 => write!(f, "{} kB/s", rate / 1_000),
            1_000_000..1_000_000_000 => {
                write!(f, "{}.{} MB/s", rate / 1_000_000, rate / 100_000 % 10)
            }
            1_000_000_000.. => {
                write!(f, "{}.{} GB/s", rate / 1_000_000_000, rate / 100_000_000 % 10)
            }
        }
    }
}

/// A limit on a rate: tokens, one a byte, drip into a bucket, and who sends takes them out.
///
/// In any time `t` no more than `rate * t + burst` bytes are granted, exactly: all of it is
/// integers, so nothing is lost however often it is asked.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    rate: u64,
    burst: u64,
    /// What is in it, in billionths of a token: a nanosecond brings `rate` of them.
    level: u128,
    updated: Instant,
}

/// What came of [`TokenBucket::take`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Take {
    /// The tokens are taken.
    Taken,
    /// There are too few, and nothing is taken; for when, see [`TokenBucket::ready_at`].
    TooFew,
}

impl TokenBucket {
    /// A full bucket that gains `rate` bytes a second and holds `burst` bytes. A `burst` below
    /// the largest amount that is ever asked for at once would never let that amount pass.
    pub fn new(rate: u64, burst: u64, now: Instant) -> Self {
        Self { rate, burst, level: in_billionths(burst), updated: now }
    }

    /// Takes all of `amount` bytes, or nothing.
    pub fn take(&mut self, amount: u64, now: Instant) -> Take {
        self.level = self.level_at(now);
        self.updated = self.updated.max(now);
        match self.level.checked_sub(in_billionths(amount)) {
            Some(left) => {
                self.level = left;
                Take::Taken
            }
            None => Take::TooFew,
        }
    }

    /// Puts back what was taken and not used.
    pub fn refund(&mut self, amount: u64) {
        let level = self.level.saturating_add(in_billionths(amount));
        self.level = level.min(in_billionths(self.burst));
    }

    /// The first time at which `amount` bytes can be taken, if nobody else takes any; `None` if
    /// never: it is more than the bucket holds, or the bucket does not fill.
    pub fn ready_at(&self, amount: u64, now: Instant) -> Option<Instant> {
        let missing = in_billionths(amount).saturating_sub(self.level_at(now));
        if missing == 0 {
            return Some(now);
        }
        if amount > self.burst || self.rate == 0 {
            return None;
        }
        let wait = u64::try_from(missing.div_ceil(self.rate.into())).ok()?;
        now.checked_add(Duration::from_nanos(wait))
    }

    fn level_at(&self, now: Instant) -> u128 {
        let passed = now.saturating_duration_since(self.updated).as_nanos();
        let gained = passed.saturating_mul(self.rate.into());
        self.level.saturating_add(gained).min(in_billionths(self.burst))
    }
}

fn in_billionths(tokens: u64) -> u128 {
    u128::from(tokens) * 1_000_000_000
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Seconds after an arbitrary start; the tests need a clock reading, not the time.
    struct Clock(Instant);

    impl Clock {
        #[expect(clippy::disallowed_methods, reason = "an Instant can be had no other way")]
        fn new() -> Self {
            Self(Instant::now())
        }

        fn at(&self, seconds: u64) -> Instant {
            self.0 + Duration::from_secs(seconds)
        }

        fn at_nanos(&self, nanos: u64) -> Instant {
            self.0 + Duration::from_nanos(nanos)
        }
    }

    fn assert_near(rate: &Rate, now: Instant, expected: f64) {
        let actual = rate.exact(now);
        assert!((actual - expected).abs() < 0.000_6, "{actual} is not {expected}");
    }

    #[test]
    fn a_block_a_second_is_estimated_as_mainline_does() {
        let clock = Clock::new();
        let mut rate = Rate::new(clock.at(0));
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
            rate.add(16 * 1024, clock.at(second));
            if let Some((_, expected)) = expected.iter().find(|(s, _)| *s == second) {
                assert_near(&rate, clock.at(second), *expected);
            }
        }
        // Mainline's queries are additions of nothing.
        for (second, expected) in [
            (31, 13_727.385),
            (35, 11_439.487),
            (40, 9_151.590),
            (45, 7_321.272),
            (50, 5_857.017),
            (60, 3_904.678),
        ] {
            rate.add(0, clock.at(second));
            assert_near(&rate, clock.at(second), expected);
        }
    }

    #[test]
    fn asking_changes_nothing() {
        let clock = Clock::new();
        let (mut watched, mut alone) = (Rate::new(clock.at(0)), Rate::new(clock.at(0)));
        for second in 1..100 {
            watched.per_second(clock.at(second));
            if second % 30 == 0 {
                watched.add(50_000, clock.at(second));
                alone.add(50_000, clock.at(second));
            }
        }
        assert_eq!(watched.per_second(clock.at(100)), alone.per_second(clock.at(100)));
    }

    #[test]
    fn a_clock_that_steps_back_does_no_harm() {
        let clock = Clock::new();
        let mut rate = Rate::new(clock.at(10));
        rate.add(5_000, clock.at(0));
        assert_eq!(rate.per_second(clock.at(0)), 1_000);
    }

    #[test]
    fn rates_print_for_people() {
        for (rate, text) in [
            (0, "0 B/s"),
            (999, "999 B/s"),
            (1_000, "1 kB/s"),
            (999_999, "999 kB/s"),
            (1_560_000, "1.5 MB/s"),
            (12_000_000_000, "12.0 GB/s"),
        ] {
            assert_eq!(PerSecond(rate).to_string(), text);
        }
    }

    #[test]
    fn a_bucket_starts_full_and_fills_at_its_rate() {
        let clock = Clock::new();
        let mut bucket = TokenBucket::new(1_000, 3_000, clock.at(0));
        assert_eq!(bucket.take(3_000, clock.at(0)), Take::Taken);
        assert_eq!(bucket.take(2_000, clock.at(1)), Take::TooFew);
        assert_eq!(bucket.ready_at(2_000, clock.at(1)), Some(clock.at(2)));
        assert_eq!(bucket.take(2_000, clock.at(2)), Take::Taken);
        assert_eq!(bucket.ready_at(3_000, clock.at(100)), Some(clock.at(100)));
    }

    #[test]
    fn what_was_not_used_goes_back_but_never_over_the_brim() {
        let clock = Clock::new();
        let mut bucket = TokenBucket::new(1, 3_000, clock.at(0));
        assert_eq!(bucket.take(2_000, clock.at(0)), Take::Taken);
        bucket.refund(2_000);
        assert_eq!(bucket.take(3_000, clock.at(0)), Take::Taken);
        bucket.refund(5_000);
        assert_eq!(bucket.take(3_000, clock.at(0)), Take::Taken);
        assert_eq!(bucket.take(1, clock.at(0)), Take::TooFew);
    }

    #[test]
    fn more_than_the_bucket_holds_never_passes() {
        let clock = Clock::new();
        let mut small = TokenBucket::new(1_000, 3_000, clock.at(0));
        assert_eq!(small.take(3_001, clock.at(1_000)), Take::TooFew);
        assert_eq!(small.ready_at(3_001, clock.at(1_000)), None);
        let mut dry = TokenBucket::new(0, 3_000, clock.at(0));
        assert_eq!(dry.take(3_000, clock.at(0)), Take::Taken);
        assert_eq!(dry.ready_at(1, clock.at(1_000)), None);
    }

    proptest! {
        #[test]
        fn never_more_than_the_rate_and_the_burst(
            rate in 1..2_000_000_000_u64,
            burst in 1..300_000_u64,
            tries in prop::collection::vec((0..50_000_u64, 0..400_000_u64), 1..200),
        ) {
            let clock = Clock::new();
            let mut bucket = TokenBucket::new(rate, burst, clock.at(0));
            let (mut nanos, mut granted) = (0, 0);
            for (passed, amount) in tries {
                nanos += passed;
                if bucket.take(amount, clock.at_nanos(nanos)) == Take::Taken {
                    granted += amount;
                }
                let limit = in_billionths(burst) + u128::from(rate) * u128::from(nanos);
                prop_assert!(in_billionths(granted) <= limit);
            }
        }

        #[test]
        fn who_waits_until_it_is_ready_gets_it_and_not_a_nanosecond_earlier(
            rate in 1..2_000_000_000_u64,
            amounts in prop::collection::vec(0..=16_384_u64, 1..100),
        ) {
            let clock = Clock::new();
            let mut now = clock.at(0);
            // Twice of what is asked for, so that none runs over while somebody waits.
            let mut bucket = TokenBucket::new(rate, 32_768, now);
            let mut granted = 0;
            for amount in amounts {
                let ready = bucket.ready_at(amount, now).expect("the bucket is large enough");
                if ready > now {
                    let early = ready - Duration::from_nanos(1);
                    prop_assert_eq!(bucket.take(amount, early), Take::TooFew);
                }
                prop_assert_eq!(bucket.take(amount, ready), Take::Taken);
                now = ready;
                granted += amount;
            }
            // No token is lost by asking often: the last wait ended when the sum was due.
            let due = in_billionths(granted.saturating_sub(32_768)).div_ceil(rate.into());
            prop_assert!((now - clock.at(0)).as_nanos() <= due);
        }
    }
}
