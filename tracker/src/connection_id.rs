//! Connection ids without state: a UDP sender proves its address by repeating a number (BEP 15).
//!
//! An id is the time of issue and a keyed hash of that time and the sender's address. A sender that
//! forges its source address never sees the id, and cannot compute it without the key.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use common::moment::Moment;

/// How long an id is valid (BEP 15: two minutes).
pub const LIFETIME: Duration = Duration::from_secs(120);

/// Issues and verifies connection ids; each instance accepts only its own.
#[derive(Debug, Default)]
pub struct ConnectionIds {
    /// SipHash with random keys.
    key: RandomState,
}

impl ConnectionIds {
    /// The id for a sender at this address. The port does not count: behind a NAT it may change
    /// between the request for an id and its use.
    pub fn issue(&self, ip: IpAddr, now: Moment) -> u64 {
        self.at(ip, now.since_start().as_secs())
    }

    /// Whether this id was issued to this address within the last [`LIFETIME`].
    pub fn is_valid(&self, id: u64, ip: IpAddr, now: Moment) -> bool {
        let issued = id >> 32;
        let age = now.since_start().as_secs().checked_sub(issued);
        // Integers are compared in one step: the time taken says nothing about the hash.
        age.is_some_and(|age| age <= LIFETIME.as_secs()) && self.at(ip, issued) == id
    }

    /// Seconds in the upper half, hash in the lower.
    fn at(&self, ip: IpAddr, seconds: u64) -> u64 {
        let hash = self.key.hash_one((seconds, ip));
        seconds << 32 | hash >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const BOB: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn an_id_is_valid_for_two_minutes() {
        let ids = ConnectionIds::default();
        let issued = Moment::START + Duration::from_secs(1000);
        let id = ids.issue(ALICE, issued);
        for (age, valid) in [(0, true), (120, true), (121, false), (1000, false)] {
            let now = issued + Duration::from_secs(age);
            assert_eq!(ids.is_valid(id, ALICE, now), valid, "after {age} s");
        }
    }

    #[test]
    fn an_id_is_valid_for_one_address_only() {
        let now = Moment::START;
        let ids = ConnectionIds::default();
        assert!(!ids.is_valid(ids.issue(ALICE, now), BOB, now));
    }

    #[test]
    fn an_id_cannot_be_made_without_the_key() {
        let now = Moment::START;
        let (ids, others) = (ConnectionIds::default(), ConnectionIds::default());
        let id = ids.issue(ALICE, now);
        assert!(!others.is_valid(id, ALICE, now));
        for bit in 0..64 {
            assert!(!ids.is_valid(id ^ 1 << bit, ALICE, now), "bit {bit}");
        }
    }
}
