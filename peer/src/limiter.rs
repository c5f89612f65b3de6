//! A rate limit that peers share in turns, a block each.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use common::geometry::BLOCK_LENGTH;

use crate::PeerKey;
use crate::rate::{Take, TokenBucket};

/// What all peers together may send or receive, or no limit at all.
#[derive(Debug)]
pub struct Limiter {
    bucket: Option<TokenBucket>,
    /// Who found the bucket empty, in the order in which they come next.
    queue: VecDeque<PeerKey>,
    /// Whose turn it is.
    offered: Option<PeerKey>,
}

/// The answer to [`Limiter::take`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The bytes may flow.
    Granted,
    /// Not now; the peer is in the queue and comes up in [`Limiter::offer`].
    Wait,
}

/// Of a limit's rate, what may flow at once: enough not to be woken for each block.
const BURST: Duration = Duration::from_millis(50);

impl Limiter {
    /// A limit in bytes per second for all peers together, or none.
    pub fn new(limit: Option<u64>, now: Instant) -> Self {
        let bucket = limit.map(|rate| {
            let burst = u128::from(rate) * BURST.as_millis() / 1000;
            let burst = u64::try_from(burst).unwrap_or(u64::MAX).max(u64::from(BLOCK_LENGTH));
            TokenBucket::new(rate, burst, now)
        });
        Self { bucket, queue: VecDeque::new(), offered: None }
    }

    /// Asks for `amount` bytes, at most a block. Who did not get a turn waits in the queue.
    pub fn take(&mut self, peer: PeerKey, amount: u32, now: Instant) -> Turn {
        let Some(bucket) = &mut self.bucket else { return Turn::Granted };
        let my_turn = self.offered == Some(peer) || self.queue.is_empty();
        if my_turn && bucket.take(u64::from(amount), now) == Take::Taken {
            self.offered = None;
            return Turn::Granted;
        }
        if !self.queue.contains(&peer) {
            self.queue.push_back(peer);
        }
        Turn::Wait
    }

    /// Gives back what was granted and not used.
    pub fn refund(&mut self, amount: u32) {
        if let Some(bucket) = &mut self.bucket {
            bucket.refund(u64::from(amount));
        }
    }

    /// Whose turn it is now, if there is enough for a block. Who does not take it has lost it.
    pub fn offer(&mut self, now: Instant) -> Option<PeerKey> {
        if self.ready_at(now)? > now {
            return None;
        }
        self.offered = self.queue.pop_front();
        self.offered
    }

    /// When there will be enough for the first in the queue; `None` if nobody waits.
    pub fn ready_at(&self, now: Instant) -> Option<Instant> {
        self.queue.front()?;
        self.bucket.as_ref()?.ready_at(u64::from(BLOCK_LENGTH), now)
    }

    /// The peer is gone.
    pub fn forget(&mut self, peer: PeerKey) {
        self.queue.retain(|&other| other != peer);
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "an instant to count from")]
mod tests {
    use super::*;

    #[test]
    fn without_a_limit_everything_may_flow() {
        let now = Instant::now();
        let mut limiter = Limiter::new(None, now);
        assert!((0..1000).all(|_| limiter.take(PeerKey(1), BLOCK_LENGTH, now) == Turn::Granted));
        assert_eq!(limiter.ready_at(now), None);
    }

    #[test]
    fn those_who_wait_take_turns() {
        let mut now = Instant::now();
        let mut limiter = Limiter::new(Some(u64::from(BLOCK_LENGTH)), now);
        let mut turns = vec![limiter.take(PeerKey(0), BLOCK_LENGTH, now)];
        for peer in 0..3 {
            turns.push(limiter.take(PeerKey(peer), BLOCK_LENGTH, now));
        }
        assert_eq!(turns, [Turn::Granted, Turn::Wait, Turn::Wait, Turn::Wait]);
        let mut order = Vec::new();
        for _ in 0..7 {
            now = limiter.ready_at(now).unwrap();
            let peer = limiter.offer(now).unwrap();
            order.push(peer.0);
            assert_eq!(limiter.take(peer, BLOCK_LENGTH, now), Turn::Granted);
            assert_eq!(limiter.take(peer, BLOCK_LENGTH, now), Turn::Wait);
        }
        assert_eq!(order, [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn who_does_not_take_its_turn_holds_nobody_up() {
        let mut now = Instant::now();
        let mut limiter = Limiter::new(Some(u64::from(BLOCK_LENGTH)), now);
        for peer in [0, 1, 2] {
            limiter.take(PeerKey(peer), BLOCK_LENGTH, now);
        }
        now = limiter.ready_at(now).unwrap();
        assert_eq!(limiter.offer(now), Some(PeerKey(1)));
        assert_eq!(limiter.ready_at(now), Some(now));
        assert_eq!(limiter.offer(now), Some(PeerKey(2)));
        assert_eq!(limiter.take(PeerKey(2), BLOCK_LENGTH, now), Turn::Granted);
    }
}
