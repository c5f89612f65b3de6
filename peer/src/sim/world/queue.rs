//! The event queue: the earliest event first, and of simultaneous ones the one that was scheduled
//! first.
//!
//! Nearly every event is due a constant time after it is scheduled: the delay between two peers, or
//! the time that a block takes on an uplink. Those with the same time come due in the order in which
//! they were scheduled, so they wait in a lane, a plain queue. The others wait in a heap.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use common::moment::Moment;

/// What will happen, in order.
#[derive(Debug)]
pub(super) struct EventQueue<T> {
    lanes: Vec<Lane<T>>,
    others: BinaryHeap<Reverse<Due<T>>>,
    /// How many events were ever scheduled.
    scheduled: u64,
    /// How many of them are still to come.
    waiting: u64,
}

/// The earliest event of each is looked at again and again, so there must be few.
const MAX_LANES: usize = 16;

/// Events that are due this time after they were scheduled.
#[derive(Debug)]
struct Lane<T> {
    after: Duration,
    waiting: VecDeque<Due<T>>,
}

#[derive(Debug)]
struct Due<T> {
    at: Moment,
    /// How many events were scheduled before it.
    number: u64,
    event: T,
}

impl<T> Due<T> {
    fn place(&self) -> (Moment, u64) {
        (self.at, self.number)
    }
}

impl<T> Ord for Due<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}

impl<T> PartialOrd for Due<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Due<T> {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl<T> Eq for Due<T> {}

impl<T> EventQueue<T> {
    pub(super) fn new() -> Self {
        Self { lanes: Vec::new(), others: BinaryHeap::new(), scheduled: 0, waiting: 0 }
    }

    /// An event that is due at this time.
    pub(super) fn schedule_at(&mut self, at: Moment, event: T) {
        let due = self.due(at, event);
        self.others.push(Reverse(due));
    }

    /// An event that is due after a time that many events have. `now` never goes back.
    pub(super) fn schedule_after(&mut self, after: Duration, now: Moment, event: T) {
        let known = self.lanes.iter().position(|lane| lane.after == after);
        let lane = known.or_else(|| {
            (self.lanes.len() < MAX_LANES).then(|| {
                self.lanes.push(Lane { after, waiting: VecDeque::new() });
                self.lanes.len() - 1
            })
        });
        let due = self.due(now + after, event);
        match lane {
            Some(lane) => self.lanes[lane].waiting.push_back(due),
            None => self.others.push(Reverse(due)),
        }
    }

    /// The next event and when it is due, if that is not after `end`.
    pub(super) fn pop_until(&mut self, end: Moment) -> Option<(Moment, T)> {
        let lane = self.next_lane();
        let in_lane = lane.and_then(|lane| self.lanes[lane].waiting.front());
        let other = self.others.peek().map(|Reverse(due)| due);
        let (lane, next) = match (in_lane, other) {
            (Some(in_lane), other) if other.is_none_or(|other| in_lane < other) => (lane, in_lane),
            (_, other) => (None, other?),
        };
        if next.at > end {
            return None;
        }
        let due = match lane {
            Some(lane) => self.lanes[lane].waiting.pop_front(),
            None => self.others.pop().map(|Reverse(due)| due),
        }?;
        self.waiting -= 1;
        Some((due.at, due.event))
    }

    /// How many events have happened.
    pub(super) fn handled(&self) -> u64 {
        self.scheduled - self.waiting
    }

    fn due(&mut self, at: Moment, event: T) -> Due<T> {
        self.scheduled += 1;
        self.waiting += 1;
        Due { at, number: self.scheduled, event }
    }

    /// The lane whose first event is the earliest.
    fn next_lane(&self) -> Option<usize> {
        let fronts = self.lanes.iter().enumerate();
        let fronts = fronts.filter_map(|(number, lane)| Some((lane.waiting.front()?, number)));
        fronts.min_by_key(|(due, _)| due.place()).map(|(_, number)| number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NANO: Duration = Duration::from_nanos(1);

    proptest! {
        #[test]
        fn events_come_in_order_of_their_times_and_simultaneous_ones_as_they_were_scheduled(
            steps in prop::collection::vec((0_u64..40, 0_u64..40, any::<bool>(), any::<bool>()), 1..200),
        ) {
            let mut queue = EventQueue::new();
            let mut expected = std::collections::BTreeMap::new();
            let mut now = Moment::START;
            for (number, (first, second, constant, pops)) in steps.into_iter().enumerate() {
                // More constant times than there are lanes.
                let after = Duration::from_millis(first * second % 41);
                if constant {
                    queue.schedule_after(after, now, number);
                } else {
                    queue.schedule_at(now + after, number);
                }
                expected.insert((now + after, number), ());
                if pops {
                    let next = expected.pop_first().map(|((at, event), ())| (at, event));
                    if let Some((at, _)) = next {
                        let before = Moment::START + (at - Moment::START).saturating_sub(NANO);
                        prop_assert!(at == Moment::START || queue.pop_until(before).is_none());
                        prop_assert_eq!(queue.pop_until(at), next);
                        now = at;
                    }
                }
            }
            while let Some(((at, event), ())) = expected.pop_first() {
                prop_assert_eq!(queue.pop_until(at), Some((at, event)));
            }
            prop_assert_eq!(queue.pop_until(now + Duration::from_secs(3600)), None);
        }
    }
}
