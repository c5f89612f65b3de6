//! Where the addresses of peers come from, and when to use them.

mod address_book;
mod tracker_schedule;

use common::moment::Moment;

pub(super) use address_book::AddressBook;
pub(super) use tracker_schedule::{Need, TrackerSchedule};

/// The addresses that we know, the tracker that knows more, and when to dial.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) book: AddressBook,
    pub(super) tracker: TrackerSchedule,
    /// No neighbor is evicted before.
    pub(super) next_eviction: Moment,
}

impl Sources {
    pub(super) fn new(has_tracker: bool, now: Moment) -> Self {
        Self {
            book: AddressBook::default(),
            tracker: TrackerSchedule::new(has_tracker, now),
            next_eviction: now,
        }
    }
}
