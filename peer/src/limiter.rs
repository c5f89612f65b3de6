//! A link shared in turns of a block each: whose turn it is, and the limit on its rate that a user
//! sets.

use std::collections::VecDeque;
use std::time::Duration;

use common::geometry::BLOCK_LENGTH;
use common::moment::Moment;

use crate::PeerKey;
use crate::rate::{Take, TokenBucket};

/// The peers that wait for a turn at a shared link: weighted fair queuing.
///
/// A peer that queues again after each turn gets turns in proportion to its weight; peers of equal
/// weight take turns in the order in which they queued. This is self-clocked fair queuing
/// (Golestani 1994), where all packets are one block: a peer's finish time is the virtual time at
/// which it queues plus its stride, and the earliest finish time is next.
#[derive(Debug, Default)]
pub struct FairQueue {
    /// The next one first.
    waiting: VecDeque<Waiting>,
    /// The finish time of the last turn.
    virtual_time: u128,
}

#[derive(Debug)]
struct Waiting {
    peer: PeerKey,
    finish: u128,
}

/// The stride of a peer of weight 1. The other strides are rounded down; at this size that never
/// adds up to a turn, and the virtual time fits 2^64 turns.
const STRIDE: u128 = 1 << 64;

impl FairQueue {
    /// Queues a peer, unless it is in the queue already. A weight of 0 counts as 1.
    pub fn push(&mut self, peer: PeerKey, weight: u32) {
        if self.waiting.iter().any(|waiting| waiting.peer == peer) {
            return;
        }
        let finish = self.virtual_time + STRIDE / u128::from(weight.max(1));
        let place = self.waiting.partition_point(|other| other.finish <= finish);
        self.waiting.insert(place, Waiting { peer, finish });
    }

    /// The next peer, which leaves the queue.
    pub fn pop(&mut self) -> Option<PeerKey> {
        let Waiting { peer, finish } = self.waiting.pop_front()?;
        self.virtual_time = finish;
        Some(peer)
    }

    /// Removes a peer that has departed or has nothing left to send.
    pub fn remove(&mut self, peer: PeerKey) {
        self.waiting.retain(|waiting| waiting.peer != peer);
    }

    /// Whether no peer waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// The bytes that all peers together may send or receive, shared in turns; or no limit at all.
#[derive(Debug)]
pub struct Limiter {
    bucket: Option<TokenBucket>,
    turns: FairQueue,
    /// The peer whose turn it is, until it uses the turn or the next one is offered.
    offered: Option<PeerKey>,
}

/// The answer to [`Limiter::take`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Turn {
    /// The bytes may flow.
    Granted,
    /// Not now; the peer is in the queue, and [`Limiter::offer`] will name it.
    Wait,
}

/// How much may flow at once, as the time in which the limit lets it pass: enough not to wake up
/// for each block.
const BURST: Duration = Duration::from_millis(50);

impl Limiter {
    /// A limit in bytes per second for all peers together, or none.
    pub fn new(limit: Option<u64>, now: Moment) -> Self {
        let bucket = limit.map(|rate| {
            let burst = u128::from(rate) * BURST.as_millis() / 1000;
            let burst = u64::try_from(burst).unwrap_or(u64::MAX).max(u64::from(BLOCK_LENGTH));
            TokenBucket::new(rate, burst, now)
        });
        Self { bucket, turns: FairQueue::default(), offered: None }
    }

    /// Asks for `amount` bytes, at most a block. A peer that does not get them waits in the queue,
    /// where its turns are in proportion to its weight.
    pub fn take(&mut self, peer: PeerKey, weight: u32, amount: u32, now: Moment) -> Turn {
        let Some(bucket) = &mut self.bucket else { return Turn::Granted };
        let is_its_turn = match self.offered {
            Some(offered) => offered == peer,
            None => self.turns.is_empty(),
        };
        if is_its_turn && bucket.take(u64::from(amount), now) == Take::Taken {
            self.offered = None;
            return Turn::Granted;
        }
        self.turns.push(peer, weight);
        Turn::Wait
    }

    /// Gives back bytes that were granted and not used.
    pub fn refund(&mut self, amount: u32) {
        if let Some(bucket) = &mut self.bucket {
            bucket.refund(u64::from(amount));
        }
    }

    /// The peer whose turn it is, once there is enough for a block. A peer that does not use its
    /// turn before the next offer loses it.
    pub fn offer(&mut self, now: Moment) -> Option<PeerKey> {
        if self.ready_at()? > now {
            return None;
        }
        self.offered = self.turns.pop();
        self.offered
    }

    /// When to call [`Limiter::offer`], which may have passed; `None` if no peer waits.
    pub fn ready_at(&self) -> Option<Moment> {
        if self.turns.is_empty() {
            return None;
        }
        self.bucket.as_ref()?.ready_at(u64::from(BLOCK_LENGTH))
    }

    /// The peer has departed.
    pub fn forget(&mut self, peer: PeerKey) {
        self.turns.remove(peer);
        self.offered = self.offered.filter(|&offered| offered != peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PeerKey = PeerKey(0);
    const B: PeerKey = PeerKey(1);
    const C: PeerKey = PeerKey(2);

    /// A limit of one block a second, whose bucket holds one block.
    fn block_a_second() -> Limiter {
        Limiter::new(Some(BLOCK_LENGTH.into()), Moment::START)
    }

    fn at(seconds: u64) -> Moment {
        Moment::START + Duration::from_secs(seconds)
    }

    /// Turns of peers that queue again after each of theirs.
    fn turns_of(weights: &[(PeerKey, u32)], count: usize) -> Vec<PeerKey> {
        let mut turns = FairQueue::default();
        weights.iter().for_each(|&(peer, weight)| turns.push(peer, weight));
        let mut order = Vec::new();
        for _ in 0..count {
            let next = turns.pop().unwrap();
            let (_, weight) = weights.iter().find(|(peer, _)| *peer == next).unwrap();
            turns.push(next, *weight);
            order.push(next);
        }
        order
    }

    #[test]
    fn equal_weights_take_turns_in_the_order_in_which_they_queued() {
        assert_eq!(turns_of(&[(C, 5), (A, 5), (B, 5)], 7), [C, A, B, C, A, B, C]);
    }

    #[test]
    fn turns_are_in_proportion_to_the_weights_exactly() {
        assert_eq!(turns_of(&[(B, 1), (A, 3)], 8), [A, A, A, B, A, A, A, B]);
        let weights = [(A, 7), (B, 2), (C, 1)];
        for rounds in [1, 10, 10_000] {
            let order = turns_of(&weights, 10 * rounds);
            for (peer, weight) in weights {
                let turns = order.iter().filter(|&&next| next == peer).count();
                assert_eq!(turns, weight as usize * rounds);
            }
        }
    }

    #[test]
    fn a_peer_that_was_away_is_not_owed_the_turns_that_it_missed() {
        let mut turns = FairQueue::default();
        for _ in 0..100 {
            turns.push(A, 1);
            assert_eq!(turns.pop(), Some(A));
        }
        turns.push(A, 1);
        turns.push(B, 1);
        assert_eq!([turns.pop(), turns.pop(), turns.pop()], [Some(A), Some(B), None]);
    }

    #[test]
    fn a_weight_of_zero_counts_as_one() {
        assert_eq!(turns_of(&[(A, 0), (B, 1)], 4), [A, B, A, B]);
    }

    #[test]
    fn a_peer_queued_twice_stands_once_and_a_removed_one_not_at_all() {
        let mut turns = FairQueue::default();
        [A, B, A, C].into_iter().for_each(|peer| turns.push(peer, 1));
        turns.remove(B);
        assert!(!turns.is_empty());
        assert_eq!([turns.pop(), turns.pop(), turns.pop()], [Some(A), Some(C), None]);
        assert!(turns.is_empty());
    }

    #[test]
    fn without_a_limit_everything_may_flow() {
        let mut limiter = Limiter::new(None, Moment::START);
        assert!((0..1000).all(|_| limiter.take(A, 1, BLOCK_LENGTH, at(0)) == Turn::Granted));
        limiter.refund(BLOCK_LENGTH);
        assert_eq!((limiter.ready_at(), limiter.offer(at(0))), (None, None));
    }

    #[test]
    fn a_twentieth_of_a_second_may_flow_at_once_and_at_least_a_block() {
        for (rate, blocks) in [(1, 1), (20 * u64::from(BLOCK_LENGTH), 1), (16_384_000, 50)] {
            let mut limiter = Limiter::new(Some(rate), Moment::START);
            let granted = (0..1000)
                .take_while(|_| limiter.take(A, 1, BLOCK_LENGTH, at(0)) == Turn::Granted)
                .count();
            assert_eq!(granted, blocks, "at {rate} bytes a second");
        }
    }

    #[test]
    fn the_next_turn_is_due_when_there_is_enough_for_a_block() {
        let mut limiter = block_a_second();
        assert_eq!(limiter.take(A, 1, BLOCK_LENGTH, at(0)), Turn::Granted);
        assert_eq!(limiter.ready_at(), None, "no peer waits");
        assert_eq!(limiter.take(A, 1, BLOCK_LENGTH, at(0)), Turn::Wait);
        assert_eq!(limiter.ready_at(), Some(at(1)));
        assert_eq!(limiter.offer(Moment::START + Duration::from_nanos(999_999_999)), None);
        assert_eq!(limiter.offer(at(1)), Some(A));
    }

    #[test]
    fn waiting_peers_take_turns_by_weight() {
        let mut limiter = block_a_second();
        let weight = |peer| if peer == B { 2 } else { 1 };
        assert_eq!(limiter.take(A, 1, BLOCK_LENGTH, at(0)), Turn::Granted);
        for peer in [A, B, C] {
            assert_eq!(limiter.take(peer, weight(peer), BLOCK_LENGTH, at(0)), Turn::Wait);
        }
        let mut order = Vec::new();
        for second in 1..=8 {
            assert_eq!(limiter.ready_at(), Some(at(second)));
            let peer = limiter.offer(at(second)).unwrap();
            assert_eq!(limiter.take(peer, weight(peer), BLOCK_LENGTH, at(second)), Turn::Granted);
            assert_eq!(limiter.take(peer, weight(peer), BLOCK_LENGTH, at(second)), Turn::Wait);
            order.push(peer);
        }
        assert_eq!(order, [B, A, C, B, B, A, C, B]);
    }

    #[test]
    fn an_offered_turn_is_not_taken_by_another_peer() {
        let mut limiter = block_a_second();
        assert_eq!(limiter.take(A, 1, BLOCK_LENGTH, at(0)), Turn::Granted);
        assert_eq!(limiter.take(A, 1, BLOCK_LENGTH, at(0)), Turn::Wait);
        assert_eq!(limiter.offer(at(1)), Some(A));
        assert_eq!(limiter.take(B, 1, BLOCK_LENGTH, at(1)), Turn::Wait);
        assert_eq!(limiter.take(A, 1, BLOCK_LENGTH, at(1)), Turn::Granted);
    }

    #[test]
    fn a_peer_that_does_not_use_its_turn_delays_no_other() {
        let mut limiter = block_a_second();
        assert_eq!(limiter.take(A, 1, BLOCK_LENGTH, at(0)), Turn::Granted);
        for peer in [A, B] {
            assert_eq!(limiter.take(peer, 1, BLOCK_LENGTH, at(0)), Turn::Wait);
        }
        assert_eq!(limiter.offer(at(5)), Some(A));
        assert!(limiter.ready_at() <= Some(at(5)));
        assert_eq!(limiter.offer(at(5)), Some(B));
        assert_eq!(limiter.take(A, 1, BLOCK_LENGTH, at(5)), Turn::Wait, "its turn is lost");
        assert_eq!(limiter.take(B, 1, BLOCK_LENGTH, at(5)), Turn::Granted);
        assert_eq!(limiter.ready_at(), Some(at(6)), "it waits for the next one");
    }

    #[test]
    fn departed_peers_leave_the_queue_and_the_turn_of_another_stands() {
        let mut limiter = block_a_second();
        assert_eq!(limiter.take(A, 1, BLOCK_LENGTH, at(0)), Turn::Granted);
        for peer in [A, B] {
            assert_eq!(limiter.take(peer, 1, BLOCK_LENGTH, at(0)), Turn::Wait);
        }
        assert_eq!(limiter.offer(at(1)), Some(A));
        limiter.forget(B);
        assert_eq!(limiter.ready_at(), None, "no peer waits");
        assert_eq!(limiter.take(C, 1, BLOCK_LENGTH, at(1)), Turn::Wait);
        assert_eq!(limiter.take(A, 1, BLOCK_LENGTH, at(1)), Turn::Granted);
    }

    #[test]
    fn a_departed_peer_loses_the_turn_that_it_was_offered() {
        let mut limiter = block_a_second();
        assert_eq!(limiter.take(A, 1, BLOCK_LENGTH, at(0)), Turn::Granted);
        assert_eq!(limiter.take(A, 1, BLOCK_LENGTH, at(0)), Turn::Wait);
        assert_eq!(limiter.offer(at(1)), Some(A));
        limiter.forget(A);
        assert_eq!(limiter.take(B, 1, BLOCK_LENGTH, at(1)), Turn::Granted);
    }

    #[test]
    fn a_refund_makes_the_next_turn_due_earlier() {
        let mut limiter = block_a_second();
        assert_eq!(limiter.take(A, 1, BLOCK_LENGTH, at(0)), Turn::Granted);
        assert_eq!(limiter.take(B, 1, BLOCK_LENGTH, at(0)), Turn::Wait);
        limiter.refund(BLOCK_LENGTH / 2);
        assert_eq!(limiter.ready_at(), Some(Moment::START + Duration::from_nanos(500_000_000)));
    }
}
