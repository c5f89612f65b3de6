//! The ends of all connections, each at the key that its host knows it by.

use std::time::Duration;

use common::moment::Moment;

use super::network::Item;
use crate::PeerKey;
use crate::sim::HostId;

/// One end of a connection; one line of a processor's cache.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct End {
    key: PeerKey,
    pub(super) host: HostId,
    pub(super) remote: HostId,
    /// From one end to the other.
    pub(super) delay: Duration,
    /// Messages that go out after the block that is on the uplink; `None` if none of its blocks is.
    pub(super) behind: Option<Vec<Item>>,
    /// When the last item that reached this end has passed the downlink.
    pub(super) received_until: Moment,
}

/// The two ends of a connection stand beside each other. Their keys are the number of the
/// connection, which is never used again, and the place of the end, which is.
#[derive(Debug, Default)]
pub(super) struct Ends {
    places: Vec<Option<End>>,
    /// First places of connections whose two ends are gone.
    free: Vec<usize>,
    /// Connections that were ever opened.
    opened: u64,
}

const _: () = assert!(size_of::<Option<End>>() == 64);

/// A key has so many bits for the place: there are at most 2^24 ends at a time.
const PLACE_BITS: u32 = 24;

impl Ends {
    /// Opens a connection. Returns the key of the host that dialed; [`other_end`] is the other's.
    pub(super) fn open(&mut self, by: HostId, to: HostId, delay: Duration, now: Moment) -> PeerKey {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.extend([None, None]);
            self.places.len() - 2
        });
        assert!(place < 1 << PLACE_BITS, "fewer than 2^23 connections at a time");
        let key = PeerKey(self.opened << PLACE_BITS | place as u64);
        self.opened += 1;
        for (key, host, remote) in [(key, by, to), (other_end(key), to, by)] {
            let (behind, received_until) = (None, now);
            let end = End { key, host, remote, delay, behind, received_until };
            self.places[place_of(key)] = Some(end);
        }
        key
    }

    pub(super) fn get(&self, key: PeerKey) -> Option<&End> {
        self.places[place_of(key)].as_ref().filter(|end| end.key == key)
    }

    pub(super) fn get_mut(&mut self, key: PeerKey) -> Option<&mut End> {
        self.places[place_of(key)].as_mut().filter(|end| end.key == key)
    }

    pub(super) fn remove(&mut self, key: PeerKey) -> Option<End> {
        let place = place_of(key);
        let end = self.places[place].take_if(|end| end.key == key)?;
        if self.places[place ^ 1].is_none() {
            self.free.push(place & !1);
        }
        Some(end)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (PeerKey, &End)> {
        self.places.iter().flatten().map(|end| (end.key, end))
    }

    /// Connections that were ever opened.
    pub(super) fn opened(&self) -> u64 {
        self.opened
    }
}

/// The two ends of a connection have keys that differ in the last bit.
pub(super) fn other_end(key: PeerKey) -> PeerKey {
    PeerKey(key.0 ^ 1)
}

fn place_of(key: PeerKey) -> usize {
    usize::try_from(key.0 & ((1 << PLACE_BITS) - 1)).expect("24 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_used_again_and_a_key_never() {
        let mut ends = Ends::default();
        let open = |ends: &mut Ends| ends.open(HostId(0), HostId(1), Duration::ZERO, Moment::START);
        let first = open(&mut ends);
        let second = open(&mut ends);
        assert!(ends.remove(first).is_some());
        assert!(ends.remove(first).is_none() && ends.get(other_end(first)).is_some());
        let third = open(&mut ends);
        assert_eq!(ends.places.len(), 6, "one end of the first is still there");
        assert!(ends.remove(other_end(first)).is_some());
        let fourth = open(&mut ends);
        assert_eq!(ends.places.len(), 6, "both ends of the first are gone");
        assert!(first < second && second < third && third < fourth);
        assert!(ends.get(first).is_none() && ends.get_mut(other_end(first)).is_none());
        assert_eq!((ends.iter().count(), ends.opened()), (6, 4));
    }
}
