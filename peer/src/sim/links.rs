//! How long bytes take: each peer has an access link, and behind it is a network without limits.
//!
//! A block passes the sender's uplink, travels for the delays of both ends, and passes the
//! receiver's downlink. Each direction carries one block at a time, whole; connections with
//! something to send take turns. Times are whole nanoseconds, rounded up, so that no link is ever
//! faster than its rate.
//!
//! What it leaves out: messages other than blocks, and the heads of those, take no room on a link;
//! TCP's slow start and loss; that a sender slows down when the receiver's downlink is full (what
//! waits there is bounded by the requests that the receiver made).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::PeerKey;

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

/// The sending side of a link: who waits for it, and whether it is free.
#[derive(Debug, Default)]
pub(super) struct Uplink {
    /// Connections that may have a block to send, the next one first.
    turns: VecDeque<PeerKey>,
    pub(super) busy: bool,
}

impl Uplink {
    /// Puts a connection at the end of the queue, if it is not in it.
    pub(super) fn queue(&mut self, connection: PeerKey) {
        if !self.turns.contains(&connection) {
            self.turns.push_back(connection);
        }
    }

    pub(super) fn next(&mut self) -> Option<PeerKey> {
        self.turns.pop_front()
    }
}

/// The receiving side of a link: until when it is taken.
#[derive(Debug)]
pub(super) struct Downlink {
    free_at: Instant,
}

impl Downlink {
    pub(super) fn new(now: Instant) -> Self {
        Self { free_at: now }
    }

    /// When a block that reaches the link now is through.
    pub(super) fn pass(&mut self, bytes: u32, rate: u64, now: Instant) -> Instant {
        self.free_at = self.free_at.max(now) + transmission(bytes, rate);
        self.free_at
    }
}

/// How long a link of `rate` bytes a second, not 0, is taken by so many bytes.
pub(super) fn transmission(bytes: u32, rate: u64) -> Duration {
    let nanos = (u128::from(bytes) * 1_000_000_000).div_ceil(rate.into());
    Duration::from_nanos(u64::try_from(nanos).expect("4 GiB at a byte a second take 2^62 ns"))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "an instant to count from")]
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
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut downlink = Downlink::new(start);
        assert_eq!(downlink.pass(100, 100, start), start + second);
        assert_eq!(downlink.pass(100, 100, start), start + 2 * second);
        assert_eq!(downlink.pass(100, 100, start + 5 * second), start + 6 * second);
    }

    #[test]
    fn connections_take_turns_at_an_uplink() {
        let mut uplink = Uplink::default();
        [1, 2, 1, 3].into_iter().for_each(|key| uplink.queue(PeerKey(key)));
        let order: Vec<_> = std::iter::from_fn(|| uplink.next()).map(|key| key.0).collect();
        assert_eq!(order, [1, 2, 3]);
    }
}
