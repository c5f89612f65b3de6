//! Time in the cores: nanoseconds since the start of a run.
//!
//! A shell counts them from its clock, a simulator counts them itself. A moment is 8 bytes, has a
//! total order, and can be written down and read back, so that a run can be replayed.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time, in nanoseconds since the start of a run; 584 years fit.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Moment(u64);

impl Moment {
    /// The start of the run.
    pub const START: Self = Self(0);

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since the start.
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

/// Later by a duration; saturates at the last moment.
impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

/// The time between two moments; zero if the second one is later, so that a clock that steps back
/// does no harm.
impl Sub for Moment {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_durations_add_up_and_never_overflow() {
        let second = Moment::START + Duration::from_secs(1);
        assert_eq!(second - Moment::START, Duration::from_secs(1));
        assert_eq!(Moment::START - second, Duration::ZERO);
        assert_eq!(second + Duration::MAX, Moment(u64::MAX));
    }
}
