//! The address book: the addresses of peers that we know, and when to dial each of them again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use common::moment::Moment;
use common::report::DialReport;
use fastrand::Rng;

use crate::backoff::Backoff;

/// The addresses that we know from a tracker, the user or a neighbor.
#[derive(Debug, Default)]
pub(crate) struct AddressBook {
    entries: BTreeMap<SocketAddr, Entry>,
    /// The idle addresses that did not fail when last dialed, by the time from which they may be.
    idle: Waiting,
    /// The idle addresses that failed when last dialed.
    failing: Waiting,
    /// The addresses whose place a new one may take, the first to go at the end: the idle ones that
    /// fail, by the length of their wait, and those to avoid.
    expendable: BTreeSet<(Backoff, SocketAddr)>,
    dialing: usize,
    last_failed: Option<SocketAddr>,
    /// When to look again after all addresses that were due were blocked.
    recheck_at: Moment,
}

/// Addresses by the time from which they may be dialed.
#[derive(Debug, Default)]
struct Waiting {
    by_time: BTreeSet<(Moment, SocketAddr)>,
    /// The earliest of these times, which the core asks for after every input.
    first: Option<Moment>,
}

impl Waiting {
    fn insert(&mut self, not_before: Moment, address: SocketAddr) {
        self.by_time.insert((not_before, address));
        self.find_first();
    }

    fn remove(&mut self, not_before: Moment, address: SocketAddr) {
        self.by_time.remove(&(not_before, address));
        self.find_first();
    }

    fn find_first(&mut self) {
        self.first = self.by_time.first().map(|&(not_before, _)| not_before);
    }
}

#[derive(Debug)]
struct Entry {
    state: State,
    backoff: Backoff,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Idle {
        not_before: Moment,
    },
    Dialing,
    Connected,
    /// Never to be dialed again.
    Avoided,
}

/// A tracker sends 50 addresses at a time, but a hostile one could send any number.
const MAX_ADDRESSES: usize = 1000;

/// From the end of a connection until the next dial, as in the large clients. A full peer closes
/// the connection right after the handshake; it is not asked again every minute.
const AFTER_DISCONNECT: Duration = Duration::from_secs(60);

/// The wait when every address that is due is blocked, unless one is unblocked earlier: without it
/// the core would try without a pause.
const BLOCKED_RECHECK: Duration = Duration::from_secs(1);

impl AddressBook {
    /// Adds an address; one that is known stays as it is. In a full book it takes the place of one
    /// that fails, or else of one to avoid; if there is neither, it is dropped.
    pub(crate) fn learn(&mut self, address: SocketAddr, now: Moment) {
        if !self.entries.contains_key(&address) {
            self.insert(address);
            self.change(address, State::Idle { not_before: now });
        }
    }

    /// Chooses one of the addresses that are due, except those whose IP address is blocked, and
    /// counts it as being dialed. Those that failed come last, and only if `retry`.
    pub(crate) fn next_to_dial(
        &mut self,
        retry: bool,
        now: Moment,
        rng: &mut Rng,
        blocked: impl Fn(IpAddr) -> bool,
    ) -> Option<SocketAddr> {
        self.first_due(retry).filter(|&due| due <= now)?;
        let mut choose = |addresses: &Waiting| {
            let due = || {
                let due =
                    addresses.by_time.iter().take_while(|&&(not_before, _)| not_before <= now);
                due.map(|&(_, address)| address).filter(|address| !blocked(address.ip()))
            };
            let count = due().count();
            due().nth(rng.usize(..count.max(1)))
        };
        let failing = || Some(&self.failing).filter(|_| retry);
        let address = choose(&self.idle).or_else(|| choose(failing()?));
        match address {
            Some(address) => self.change(address, State::Dialing),
            None => self.recheck_at = now + BLOCKED_RECHECK,
        }
        address
    }

    /// An IP address may no longer be blocked.
    pub(crate) fn unblocked(&mut self) {
        self.recheck_at = Moment::START;
    }

    /// A peer of the torrent is connected that can be reached at this address: we dialed it, or it
    /// connected to us and told its listening port.
    pub(crate) fn connected(&mut self, address: SocketAddr) {
        if !self.entries.contains_key(&address) {
            self.insert(address);
        }
        self.change(address, State::Connected);
    }

    /// The dial failed, or did not reach a peer of the torrent.
    pub(crate) fn failed(&mut self, address: SocketAddr, now: Moment) {
        let Some(entry) = self.entries.get_mut(&address) else { return };
        // A peer may have connected to us while we dialed it.
        if matches!(entry.state, State::Dialing) {
            let wait = entry.backoff.failed(Backoff::FIRST_WAIT);
            self.last_failed = Some(address);
            self.change(address, State::Idle { not_before: now + wait });
        }
    }

    /// The connection ended. It was useful if a block was exchanged; one that was not counts as a
    /// failure.
    pub(crate) fn disconnected(&mut self, address: SocketAddr, useful: bool, now: Moment) {
        let Some(entry) = self.entries.get_mut(&address) else { return };
        if matches!(entry.state, State::Dialing | State::Connected) {
            let wait = if useful {
                entry.backoff.succeeded();
                AFTER_DISCONNECT
            } else {
                self.last_failed = Some(address);
                entry.backoff.failed(AFTER_DISCONNECT)
            };
            self.change(address, State::Idle { not_before: now + wait });
        }
    }

    /// Never dial this address again.
    pub(crate) fn avoid(&mut self, address: SocketAddr) {
        self.change(address, State::Avoided);
    }

    /// How many addresses are being dialed.
    pub(crate) fn dialing(&self) -> usize {
        self.dialing
    }

    /// The addresses without a connection, for the user; when to dial is up to the core.
    pub(crate) fn report(&self) -> DialReport {
        let mut report = DialReport { last_failed: self.last_failed, ..DialReport::default() };
        for entry in self.entries.values() {
            match entry.state {
                State::Idle { .. } | State::Dialing if entry.backoff.has_failed() => {
                    report.failing += 1;
                }
                State::Dialing => report.in_progress += 1,
                State::Idle { .. } => report.idle += 1,
                State::Connected | State::Avoided => {}
            }
        }
        report
    }

    /// When to ask for the next address to dial, which may have passed; `None` if there is none.
    pub(crate) fn next_due(&self, retry: bool) -> Option<Moment> {
        self.first_due(retry).map(|due| due.max(self.recheck_at))
    }

    fn first_due(&self, retry: bool) -> Option<Moment> {
        let failing = self.failing.first.filter(|_| retry);
        self.idle.first.into_iter().chain(failing).min()
    }

    /// Adds an entry that is in no index, unless the book is full and nothing in it is expendable.
    fn insert(&mut self, address: SocketAddr) {
        if self.entries.len() >= MAX_ADDRESSES {
            let Some((_, worst)) = self.expendable.pop_last() else { return };
            let entry = self.entries.remove(&worst).expect("an expendable address has an entry");
            if let State::Idle { not_before } = entry.state {
                self.failing.remove(not_before, worst);
            }
        }
        let entry = Entry { state: State::Connected, backoff: Backoff::default() };
        self.entries.insert(address, entry);
    }

    fn change(&mut self, address: SocketAddr, state: State) {
        let Some(entry) = self.entries.get_mut(&address) else { return };
        match entry.state {
            State::Idle { not_before } => {
                self.idle.remove(not_before, address);
                self.failing.remove(not_before, address);
                self.expendable.remove(&(entry.backoff, address));
            }
            State::Dialing => self.dialing -= 1,
            State::Connected => {}
            State::Avoided => return,
        }
        entry.state = state;
        match state {
            State::Idle { not_before } => {
                if entry.backoff.has_failed() {
                    self.failing.insert(not_before, address);
                    self.expendable.insert((entry.backoff, address));
                } else {
                    self.idle.insert(not_before, address);
                }
            }
            State::Dialing => self.dialing += 1,
            State::Connected => {}
            State::Avoided => {
                self.expendable.insert((entry.backoff, address));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn at(seconds: u64) -> Moment {
        Moment::START + Duration::from_secs(seconds)
    }

    /// A book that knows the addresses with these ports, and a random generator.
    fn book(ports: impl IntoIterator<Item = u16>) -> (AddressBook, Rng) {
        let mut book = AddressBook::default();
        ports.into_iter().for_each(|port| book.learn(address(port), at(0)));
        (book, Rng::with_seed(1))
    }

    fn dial(book: &mut AddressBook, now: Moment, rng: &mut Rng) -> Option<u16> {
        book.next_to_dial(true, now, rng, |_| false).map(|address| address.port())
    }

    /// Ends one try after another with `end`, and returns the waits in between.
    fn waits_after<const N: usize>(
        mut end: impl FnMut(&mut AddressBook, SocketAddr, Moment),
    ) -> [u64; N] {
        let (mut book, mut rng) = book([1]);
        let mut now = at(0);
        [(); N].map(|()| {
            assert_eq!(dial(&mut book, now, &mut rng), Some(1));
            end(&mut book, address(1), now);
            assert_eq!(book.dialing(), 0);
            assert_eq!(dial(&mut book, now, &mut rng), None);
            let due = book.next_due(true).unwrap();
            let wait = (due - now).as_secs();
            now = due;
            wait
        })
    }

    #[test]
    fn each_failed_dial_doubles_the_wait_up_to_half_an_hour() {
        let waits = waits_after(AddressBook::failed);
        assert_eq!(waits, [15, 30, 60, 120, 240, 480, 960, 1800, 1800]);
    }

    #[test]
    fn each_connection_without_an_exchange_doubles_the_wait_up_to_half_an_hour() {
        let waits = waits_after(|book, address, now| {
            book.connected(address);
            book.disconnected(address, false, now);
        });
        assert_eq!(waits, [60, 120, 240, 480, 960, 1800, 1800]);
    }

    #[test]
    fn a_useful_connection_is_followed_by_a_minute_and_ends_a_row_of_failures() {
        let mut useful = [false, false, true, true, false].into_iter();
        let waits = waits_after(|book, address, now| {
            book.connected(address);
            book.disconnected(address, useful.next().unwrap(), now);
        });
        assert_eq!(waits, [60, 120, 60, 60, 60]);
    }

    #[test]
    fn an_address_that_is_taken_is_not_dialed() {
        let (mut book, mut rng) = book([1, 2, 3]);
        let first = dial(&mut book, at(0), &mut rng).unwrap();
        let second = dial(&mut book, at(0), &mut rng).unwrap();
        let third = dial(&mut book, at(0), &mut rng).unwrap();
        assert_eq!(BTreeSet::from([first, second, third]), BTreeSet::from([1, 2, 3]));
        assert_eq!((book.dialing(), book.next_due(true)), (3, None));
        book.connected(address(first));
        book.learn(address(first), at(1));
        book.learn(address(second), at(1));
        book.avoid(address(third));
        book.learn(address(third), at(1));
        assert_eq!((book.dialing(), book.next_due(true)), (1, None));
    }

    #[test]
    fn an_avoided_address_is_never_dialed_whatever_becomes_of_its_connections() {
        let (mut book, mut rng) = book([1]);
        assert_eq!(dial(&mut book, at(0), &mut rng), Some(1));
        book.avoid(address(1));
        book.disconnected(address(1), true, at(0));
        book.failed(address(1), at(0));
        book.connected(address(1));
        book.disconnected(address(1), false, at(0));
        assert_eq!((book.dialing(), book.next_due(true)), (0, None));
    }

    #[test]
    fn the_address_of_a_neighbor_that_connected_to_us_is_not_dialed_while_it_is_connected() {
        let (mut book, mut rng) = book([1]);
        book.connected(address(1));
        book.connected(address(2));
        book.learn(address(2), at(0));
        assert_eq!(dial(&mut book, at(0), &mut rng), None);
        book.disconnected(address(2), true, at(5));
        assert_eq!(book.next_due(true), Some(at(65)));
        assert_eq!(dial(&mut book, at(65), &mut rng), Some(2));
    }

    #[test]
    fn a_failed_dial_does_not_end_a_connection_that_the_peer_opened_meanwhile() {
        let (mut book, mut rng) = book([1]);
        assert_eq!(dial(&mut book, at(0), &mut rng), Some(1));
        book.connected(address(1));
        book.failed(address(1), at(1));
        assert_eq!((book.dialing(), book.next_due(true)), (0, None));
    }

    #[test]
    fn a_second_connection_of_an_address_that_ends_is_no_second_failure() {
        let (mut book, _) = book([]);
        book.connected(address(1));
        book.disconnected(address(1), false, at(0));
        book.disconnected(address(1), false, at(10));
        assert_eq!(book.next_due(true), Some(at(60)));
    }

    #[test]
    fn a_dial_that_ends_as_a_disconnection_is_over() {
        let (mut book, mut rng) = book([1]);
        assert_eq!(dial(&mut book, at(0), &mut rng), Some(1));
        book.disconnected(address(1), false, at(0));
        assert_eq!((book.dialing(), book.next_due(true)), (0, Some(at(60))));
    }

    #[test]
    fn addresses_that_are_due_are_dialed_in_any_order_and_others_not_yet() {
        let mut firsts = BTreeSet::new();
        for seed in 0..100 {
            let (mut book, _) = book([1, 2, 3]);
            book.learn(address(4), at(1));
            firsts.extend(dial(&mut book, at(0), &mut Rng::with_seed(seed)));
        }
        assert_eq!(firsts, BTreeSet::from([1, 2, 3]));
    }

    #[test]
    fn a_blocked_address_is_skipped_and_is_no_reason_to_ask_again_at_once() {
        let (mut book, mut rng) = book([1, 2]);
        let other = SocketAddr::from(([127, 0, 0, 2], 3));
        book.learn(other, at(0));
        let blocked = |ip: IpAddr| ip == address(1).ip();
        assert_eq!(book.next_to_dial(true, at(0), &mut rng, blocked), Some(other));
        assert_eq!(book.next_due(true), Some(at(0)), "two are left");
        assert_eq!(book.next_to_dial(true, at(0), &mut rng, blocked), None);
        assert_eq!(book.next_due(true), Some(at(0) + BLOCKED_RECHECK));
        assert!(dial(&mut book, at(0), &mut rng).is_some(), "nothing is blocked anymore");
    }

    #[test]
    fn an_address_that_failed_is_dialed_only_on_a_retry_and_after_the_others() {
        let (mut book, mut rng) = book([1]);
        assert_eq!(dial(&mut book, at(0), &mut rng), Some(1));
        book.failed(address(1), at(0));
        book.learn(address(2), at(20));
        assert_eq!((book.next_due(true), book.next_due(false)), (Some(at(15)), Some(at(20))));
        assert_eq!(dial(&mut book, at(20), &mut rng), Some(2));
        assert_eq!(book.next_due(false), None);
        assert_eq!(book.next_to_dial(false, at(20), &mut rng, |_| false), None);
        assert_eq!(dial(&mut book, at(20), &mut rng), Some(1));
    }

    #[test]
    fn an_address_counts_as_failing_until_it_is_connected_also_while_it_is_dialed_again() {
        let (mut book, mut rng) = book([1]);
        let counts = |book: &AddressBook| {
            let DialReport { in_progress, failing, idle, last_failed, .. } = book.report();
            (in_progress, failing, idle, last_failed.map(|address| address.port()))
        };
        assert_eq!(counts(&book), (0, 0, 1, None));
        dial(&mut book, at(0), &mut rng);
        assert_eq!(counts(&book), (1, 0, 0, None));
        book.failed(address(1), at(1));
        assert_eq!(counts(&book), (0, 1, 0, Some(1)));
        dial(&mut book, at(16), &mut rng);
        assert_eq!(counts(&book), (0, 1, 0, Some(1)));
        book.connected(address(1));
        assert_eq!(counts(&book), (0, 0, 0, Some(1)));
        book.disconnected(address(1), true, at(20));
        assert_eq!(counts(&book), (0, 0, 1, Some(1)));
        book.avoid(address(1));
        assert_eq!(counts(&book), (0, 0, 0, Some(1)));
    }

    #[test]
    fn the_book_is_bounded() {
        let (mut book, _) = book(1..=2000);
        (2001..3000).for_each(|port| book.connected(address(port)));
        assert_eq!(
            (book.entries.len(), book.idle.by_time.len() + book.failing.by_time.len()),
            (MAX_ADDRESSES, MAX_ADDRESSES)
        );
    }

    #[test]
    fn in_a_full_book_a_new_address_replaces_the_one_that_fails_longest_or_an_avoided_one() {
        let (mut book, mut rng) = book(1..=1000);
        let [twice, once, avoided, useful] =
            [(); 4].map(|()| address(dial(&mut book, at(0), &mut rng).unwrap()));
        book.failed(once, at(0));
        book.avoid(avoided);
        book.connected(useful);
        book.disconnected(useful, true, at(0));
        book.connected(twice);
        book.disconnected(twice, false, at(0));
        let mut evicted = Vec::new();
        for port in 1001..=1004 {
            book.learn(address(port), at(0));
            let gone = [twice, once, avoided, useful].map(|old| !book.entries.contains_key(&old));
            evicted.push(gone);
        }
        assert_eq!(evicted[0], [true, false, false, false]);
        assert_eq!(evicted[1], [true, true, false, false]);
        assert_eq!(evicted[2], [true, true, true, false]);
        assert_eq!(evicted[3], evicted[2], "the others are as good as the new one");
        assert_eq!(
            (book.entries.len(), book.idle.by_time.len() + book.failing.by_time.len()),
            (1000, 1000)
        );
        assert!(!book.entries.contains_key(&address(1004)));
    }

    #[test]
    fn an_address_that_is_useful_again_is_not_replaced() {
        let (mut book, mut rng) = book(1..=1000);
        let port = dial(&mut book, at(0), &mut rng).unwrap();
        book.failed(address(port), at(0));
        book.connected(address(port));
        book.learn(address(1001), at(0));
        assert!(book.entries.contains_key(&address(port)), "it is connected");
        book.disconnected(address(port), true, at(1));
        book.learn(address(1001), at(1));
        assert!(book.entries.contains_key(&address(port)), "it was useful");
    }
}
