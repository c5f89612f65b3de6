//! Transmission times: each peer has an access link, and behind it is a network without limits.
//!
//! A block passes the sender's uplink, travels for the delays of both ends, and passes the
//! receiver's downlink. Each direction carries one block at a time, whole; connections with
//! something to send take turns. Times are whole nanoseconds, rounded up, so that no link is ever
//! faster than its rate.
//!
//! What it leaves out: messages other than blocks, and the heads of those, take no room on a link;
//! TCP's slow start and loss; that a sender slows down when the receiver's downlink is full (what
//! waits there is bounded by the requests that the receiver made).

use std::time::Duration;

use common::moment::Moment;

use crate::limiter::FairQueue;

/// A peer's access to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Bytes of blocks a second that it can send; with 0 it never sends one.
    pub up: u64,
    /// Bytes of blocks a second that it can receive, at least 1.
    pub down: u64,
    /// From the peer to the middle of the network; the way to another takes both delays.
    pub delay: Duration,
}

impl Link {
    /// A link with a delay of 10 ms, so that a round trip between two such peers takes 40 ms.
    pub fn new(up: u64, down: u64) -> Self {
        Self { up, down, delay: Duration::from_millis(10) }
    }
}

/// The sending side of a link: which connections wait for it, and whether it is free.
#[derive(Debug, Default)]
pub(super) struct Uplink {
    /// Connections that may have a block to send.
    pub(super) turns: FairQueue,
    pub(super) busy: bool,
}

/// The receiving side of a link: when it will be free.
#[derive(Debug)]
pub(super) struct Downlink {
    free_at: Moment,
}

impl Downlink {
    pub(super) fn new(now: Moment) -> Self {
        Self { free_at: now }
    }

    /// When a block that reaches the link now, and takes it for so long, has passed it.
    pub(super) fn pass(&mut self, time: Duration, now: Moment) -> Moment {
        self.free_at = self.free_at.max(now) + time;
        self.free_at
    }
}

/// How long a link of `rate` bytes a second, not 0, is taken by so many bytes.
pub(super) fn transmission(bytes: u32, rate: u64) -> Duration {
    let nanos = (u128::from(bytes) * 1_000_000_000).div_ceil(rate.into());
    Duration::from_nanos(u64::try_from(nanos).expect("4 GiB at a byte a second take 2^62 ns"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_never_faster_than_its_rate() {
        assert_eq!(transmission(16_384, 16_384), Duration::from_secs(1));
        assert_eq!(transmission(1, 3), Duration::from_nanos(333_333_334));
        assert_eq!(transmission(u32::MAX, 1).as_secs(), u64::from(u32::MAX));
    }

    #[test]
    fn blocks_pass_a_downlink_one_after_another() {
        let start = Moment::START;
        let second = Duration::from_secs(1);
        let mut downlink = Downlink::new(start);
        assert_eq!(downlink.pass(second, start), start + second);
        assert_eq!(downlink.pass(second, start), start + 2 * second);
        assert_eq!(downlink.pass(second, start + 5 * second), start + 6 * second);
    }
}
