//! Whom we could call: the addresses that we know, and when to try each again. As the large
//! clients do: a minute after a lost connection, longer after each call without an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fastrand::Rng;

/// The addresses that a tracker, a user or a neighbour told us.
#[derive(Debug, Default)]
pub struct Contacts {
    known: BTreeMap<SocketAddr, Contact>,
    /// Those who are [`State::Idle`], the next to be called first.
    idle: BTreeSet<(Instant, SocketAddr)>,
    calling: usize,
}

#[derive(Debug)]
struct Contact {
    state: State,
    /// Calls that came to nothing since the last one that did not.
    failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle {
        not_before: Instant,
    },
    Calling,
    Connected,
    /// Never to be called again.
    Avoided,
}

/// Addresses that we keep; a tracker gives 50 at a time, and a stranger could give any number.
/// When there are so many, a new one takes the place of one that does not answer.
const MAX_CONTACTS: usize = 1000;

/// Until we call somebody again who hung up on us.
const AFTER_DISCONNECT: Duration = Duration::from_secs(60);

/// Until we call somebody again who did not answer; twice as long after each further failure.
const AFTER_FAILURE: Duration = Duration::from_secs(15);

/// However often it failed: the peer may have been started again at the same address.
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 60);

impl Contacts {
    /// Remembers an address; what is known already stays as it is.
    pub fn learn(&mut self, address: SocketAddr, now: Instant) {
        if self.known.contains_key(&address) {
            return;
        }
        if self.known.len() >= MAX_CONTACTS && !self.forget_one() {
            return;
        }
        let state = State::Idle { not_before: now };
        self.known.insert(address, Contact { state, failures: 0 });
        self.idle.insert((now, address));
    }

    /// Chooses one of those who may be called now, and counts it as being called.
    pub fn next_to_call(&mut self, now: Instant, rng: &mut Rng) -> Option<SocketAddr> {
        let due = self.idle.iter().take_while(|&&(not_before, _)| not_before <= now);
        let &(_, address) = rng.choice(due.collect::<Vec<_>>())?;
        self.change(address, State::Calling);
        Some(address)
    }

    /// The call was answered by a peer of the torrent.
    pub fn connected(&mut self, address: SocketAddr) {
        if let Some(contact) = self.change(address, State::Connected) {
            contact.failures = 0;
        }
    }

    /// The call was not answered, or not by a peer of the torrent.
    pub fn failed(&mut self, address: SocketAddr, now: Instant) {
        let Some(contact) = self.known.get(&address) else { return };
        let wait = AFTER_FAILURE.saturating_mul(1 << contact.failures.min(16)).min(LONGEST_WAIT);
        if let Some(contact) = self.change(address, State::Idle { not_before: now + wait }) {
            contact.failures += 1;
        }
    }

    /// The connection ended.
    pub fn disconnected(&mut self, address: SocketAddr, now: Instant) {
        self.change(address, State::Idle { not_before: now + AFTER_DISCONNECT });
    }

    /// Never call it again.
    pub fn avoid(&mut self, address: SocketAddr) {
        self.change(address, State::Avoided);
    }

    /// How many are being called just now.
    pub fn calling(&self) -> usize {
        self.calling
    }

    /// When somebody may be called next; `None` if nobody is left.
    pub fn next_due(&self) -> Option<Instant> {
        self.idle.first().map(|&(not_before, _)| not_before)
    }

    fn change(&mut self, address: SocketAddr, state: State) -> Option<&mut Contact> {
        let contact = self.known.get_mut(&address)?;
        match contact.state {
            State::Idle { not_before } => drop(self.idle.remove(&(not_before, address))),
            State::Calling => self.calling -= 1,
            State::Connected => {}
            State::Avoided => return None,
        }
        match state {
            State::Idle { not_before } => drop(self.idle.insert((not_before, address))),
            State::Calling => self.calling += 1,
            State::Connected | State::Avoided => {}
        }
        contact.state = state;
        Some(contact)
    }

    /// Forgets the one that failed most often. Says whether there is one that failed at all.
    fn forget_one(&mut self) -> bool {
        let failures = |&&(_, address): &&(Instant, SocketAddr)| self.known[&address].failures;
        let Some(&worst) = self.idle.iter().filter(|c| failures(c) > 0).max_by_key(failures) else {
            return false;
        };
        self.idle.remove(&worst);
        self.known.remove(&worst.1);
        true
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "an instant to count from")]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn each_failure_doubles_the_wait_up_to_half_an_hour() {
        let mut rng = Rng::with_seed(1);
        let mut now = Instant::now();
        let mut contacts = Contacts::default();
        contacts.learn(address(1), now);
        let mut waits = Vec::new();
        for _ in 0..9 {
            assert_eq!(contacts.next_to_call(now, &mut rng), Some(address(1)));
            assert_eq!(contacts.next_to_call(now, &mut rng), None);
            contacts.failed(address(1), now);
            let due = contacts.next_due().unwrap();
            waits.push((due - now).as_secs());
            now = due;
        }
        assert_eq!(waits, [15, 30, 60, 120, 240, 480, 960, 1800, 1800]);
        assert_eq!(contacts.calling(), 0);
    }

    #[test]
    fn an_avoided_address_is_never_called_even_if_learned_again() {
        let mut rng = Rng::with_seed(1);
        let now = Instant::now();
        let mut contacts = Contacts::default();
        contacts.learn(address(1), now);
        assert!(contacts.next_to_call(now, &mut rng).is_some());
        contacts.avoid(address(1));
        contacts.learn(address(1), now);
        contacts.disconnected(address(1), now);
        assert_eq!((contacts.calling(), contacts.next_due()), (0, None));
    }

    #[test]
    fn only_so_many_are_kept() {
        let now = Instant::now();
        let mut contacts = Contacts::default();
        (1..=2000).for_each(|port| contacts.learn(address(port), now));
        assert_eq!(contacts.known.len(), MAX_CONTACTS);
    }

    #[test]
    fn who_never_answers_makes_room_for_new_ones() {
        let mut rng = Rng::with_seed(1);
        let now = Instant::now();
        let mut contacts = Contacts::default();
        (1..=1000).for_each(|port| contacts.learn(address(port), now));
        let [silent, busy] = [(), ()].map(|()| contacts.next_to_call(now, &mut rng).unwrap());
        contacts.failed(silent, now);
        contacts.connected(busy);
        contacts.learn(address(2001), now);
        contacts.learn(address(2002), now);
        assert!(contacts.known.contains_key(&address(2001)));
        assert!(!contacts.known.contains_key(&address(2002)), "nobody else failed");
        assert!(!contacts.known.contains_key(&silent) && contacts.known.contains_key(&busy));
        assert_eq!((contacts.known.len(), contacts.idle.len()), (1000, 999));
    }
}
