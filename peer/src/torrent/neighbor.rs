//! One neighbor as we know it: the four flags of BEP 3, and its pieces; and the table of all of them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use common::bitfield::Bitfield;
use common::geometry::PieceIndex;
use common::id::PeerId;
use common::moment::Moment;
use common::report::{Direction, Identity};
use common::wire::ExtendedHandshake;

use super::exchange::Exchange;
use crate::PeerKey;
use crate::choker::{ChokeReason, UnchokeReason};
use crate::rate::TokenBucket;

/// One remote peer while it is connected.
///
/// In a crowd nearly all that happens is that a neighbor announces a piece. What this touches is
/// here and takes 88 bytes, so that the neighbors of many peers fit the caches of the processor.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "the four flags of BEP 3")]
pub struct Neighbor {
    /// The pieces that it announced.
    pub has: Bitfield,
    /// One of them that we lack; we are interested while there is one.
    pub(super) wanted: Option<PieceIndex>,
    /// How many it announced since the last round.
    pub(super) haves: u32,
    /// We do not answer its requests.
    pub am_choking: bool,
    /// It has something that we lack.
    pub am_interested: bool,
    /// It does not answer our requests.
    pub peer_choking: bool,
    /// It wants something that we have.
    pub peer_interested: bool,
    pub(super) connected_at: Moment,
    pub(super) last_received: Moment,
    pub(super) last_sent: Moment,
    key: PeerKey,
    pub(super) connection: Box<Connection>,
    /// `None` until one side unchokes the other.
    pub(super) exchange: Option<Box<Exchange>>,
}

/// What seldom changes while a neighbor is connected.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) identity: Identity,
    /// Which side dialed.
    pub(super) direction: Direction,
    /// Where it listens, as far as we know.
    pub(super) listens_at: Vec<SocketAddr>,
    pub(super) extensions: Extensions,
    /// The last decision of the choker about it.
    pub(super) last_choice: LastChoice,
    /// Its messages that cost us work and cost it nothing.
    pub(super) control_messages: TokenBucket,
}

/// Whether a neighbor knows the extension protocol (BEP 10), and what it said in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Extensions {
    Unknown,
    /// It set the bit; its extended handshake has not come yet.
    Awaited,
    Told(ExtendedHandshake),
}

impl Extensions {
    /// How many requests it holds, if it said so.
    fn request_queue(&self) -> Option<u32> {
        match self {
            Self::Told(theirs) => theirs.request_queue,
            Self::Awaited | Self::Unknown => None,
        }
    }
}

/// The last decision of the choker about a neighbor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LastChoice {
    pub(super) reason: Option<Reason>,
    /// Its place in the ranking, from 1.
    pub(super) rank: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Unchoke(UnchokeReason),
    Choke(ChokeReason),
}

/// Control messages a second, and at once. A well-behaved peer sends a few in ten seconds.
const CONTROL_MESSAGES: (u64, u64) = (100, 500);

impl Neighbor {
    /// A neighbor of a torrent with so many pieces, of which nothing is known yet. `extensions`:
    /// whether it set the bit of BEP 10 in its handshake.
    pub(super) fn new(
        identity: Identity,
        direction: Direction,
        extensions: bool,
        piece_count: u32,
        now: Moment,
    ) -> Self {
        let connection = Connection {
            listens_at: match direction {
                Direction::Incoming => Vec::new(),
                Direction::Outgoing => vec![identity.address],
            },
            identity,
            direction,
            extensions: if extensions { Extensions::Awaited } else { Extensions::Unknown },
            last_choice: LastChoice::default(),
            control_messages: TokenBucket::new(CONTROL_MESSAGES.0, CONTROL_MESSAGES.1, now),
        };
        Self {
            has: Bitfield::empty(piece_count),
            wanted: None,
            haves: 0,
            am_choking: true,
            am_interested: false,
            peer_choking: true,
            peer_interested: false,
            connected_at: now,
            last_received: now,
            last_sent: now,
            key: connection.identity.key,
            connection: Box::new(connection),
            exchange: None,
        }
    }

    /// One side unchokes the other. `last_round` is the time of the last round of choking.
    pub(super) fn begin_exchange(&mut self, last_round: Moment) -> &mut Exchange {
        self.exchange.get_or_insert_with(|| {
            let mut exchange = Exchange::beginning(self.connected_at, last_round);
            exchange.request_queue = self.connection.extensions.request_queue();
            Box::new(exchange)
        })
    }

    /// Its extended handshake came.
    pub(super) fn told(&mut self, theirs: ExtendedHandshake) {
        self.connection.extensions = Extensions::Told(theirs);
        if let Some(exchange) = &mut self.exchange {
            exchange.request_queue = self.connection.extensions.request_queue();
        }
    }

    /// The exchange of blocks, which is empty before it begins.
    pub(super) fn exchange(&self) -> &Exchange {
        static NONE: Exchange = Exchange::new(Moment::START);
        self.exchange.as_deref().unwrap_or(&NONE)
    }

    /// Its identity.
    pub fn identity(&self) -> &Identity {
        &self.connection.identity
    }

    /// Which side dialed.
    pub fn direction(&self) -> Direction {
        self.connection.direction
    }

    pub(super) fn key(&self) -> PeerKey {
        self.key
    }

    pub(super) fn peer_id(&self) -> PeerId {
        self.identity().peer_id
    }

    pub(super) fn ip(&self) -> IpAddr {
        self.identity().address.ip()
    }

    /// Bytes of requested blocks that it sent us.
    pub fn downloaded(&self) -> u64 {
        self.exchange().downloaded
    }

    /// Bytes of blocks that we sent it.
    pub fn uploaded(&self) -> u64 {
        self.exchange().uploaded
    }

    /// Whether blocks may be requested now.
    pub(super) fn answers(&self) -> bool {
        !self.peer_choking && self.am_interested
    }

    /// Whether a block was ever exchanged, in either direction.
    pub(super) fn has_traded(&self) -> bool {
        self.downloaded() > 0 || self.uploaded() > 0
    }

    /// Whether there are requests that it should be sent now.
    pub(super) fn takes_requests(&self, now: Moment) -> bool {
        self.exchange().requests.len() < self.exchange().request_depth(now)
    }

    /// Since its last block, or since it connected.
    pub(super) fn silent_for(&self, now: Moment) -> Duration {
        now - self.exchange().last_block.unwrap_or(self.connected_at)
    }
}

/// All neighbors, in the order in which they connected, which is that of their keys.
#[derive(Debug, Default)]
pub(super) struct Neighbors {
    table: Vec<Neighbor>,
    /// A hash table of places in `table`. Nearly every input is about one neighbor, and a binary
    /// search of 80 keys waits for memory five times.
    places: Vec<u32>,
    /// Those that we dialed.
    outgoing: usize,
}

/// A slot of the hash table without a neighbor.
const FREE: u32 = u32::MAX;

/// The table grows by so many neighbors: a doubled one would stay half empty in each peer of a
/// simulation.
const GROWTH: usize = 8;

impl Neighbors {
    pub(super) fn insert(&mut self, neighbor: Neighbor) {
        let place = self.table.partition_point(|other| other.key < neighbor.key);
        let is_unique = self.table.get(place).is_none_or(|other| other.key != neighbor.key);
        assert!(is_unique, "the key of a connection is unique");
        self.outgoing += usize::from(neighbor.direction() == Direction::Outgoing);
        if self.table.len() == self.table.capacity() {
            self.table.reserve_exact(GROWTH);
        }
        self.table.insert(place, neighbor);
        self.find_places();
    }

    pub(super) fn remove(&mut self, peer: PeerKey) -> Option<Neighbor> {
        let neighbor = self.table.remove(self.place(peer)?);
        self.outgoing -= usize::from(neighbor.direction() == Direction::Outgoing);
        self.find_places();
        Some(neighbor)
    }

    pub(super) fn get(&self, peer: PeerKey) -> Option<&Neighbor> {
        self.place(peer).map(|place| &self.table[place])
    }

    pub(super) fn get_mut(&mut self, peer: PeerKey) -> Option<&mut Neighbor> {
        self.place(peer).map(|place| &mut self.table[place])
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(super) fn outgoing(&self) -> usize {
        self.outgoing
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Neighbor> {
        self.table.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Neighbor> {
        self.table.iter_mut()
    }

    /// The exchanges that have begun.
    pub(super) fn exchanges(&mut self) -> impl Iterator<Item = &mut Exchange> {
        self.table.iter_mut().filter_map(|neighbor| neighbor.exchange.as_deref_mut())
    }

    /// The keys of the neighbors that match, for changes that need the whole table.
    pub(super) fn keys_where(&self, holds: impl Fn(&Neighbor) -> bool) -> Vec<PeerKey> {
        self.iter().filter(|neighbor| holds(neighbor)).map(|neighbor| neighbor.key).collect()
    }

    fn place(&self, peer: PeerKey) -> Option<usize> {
        let found = |&place: &usize| self.table[place].key == peer;
        let places = self.probe(peer).map(|slot| self.places[slot]);
        places.take_while(|&place| place != FREE).map(|place| place as usize).find(found)
    }

    /// The slots in which the place of this neighbor may be, one after another.
    fn probe(&self, peer: PeerKey) -> impl Iterator<Item = usize> + use<> {
        let slots = self.places.len();
        // Knuth's multiplicative hash; the upper half depends on all bits of the key.
        let hash = (peer.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize;
        (0..slots).map(move |distance| (hash + distance) & (slots - 1))
    }

    /// After neighbors came or went. At most half of the slots are taken.
    fn find_places(&mut self) {
        let slots = (2 * self.table.len()).next_power_of_two();
        self.places.clear();
        self.places.resize(slots, FREE);
        for (place, neighbor) in (0..).zip(&self.table) {
            let mut slots = self.probe(neighbor.key);
            let free = slots.find(|&slot| self.places[slot] == FREE).expect("half are free");
            self.places[free] = place;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fastrand::Rng;

    use super::*;

    fn neighbor(key: u64) -> Neighbor {
        let identity = Identity {
            key: PeerKey(key),
            address: SocketAddr::from(([127, 0, 0, 1], 6881)),
            peer_id: PeerId([1; 20]),
            name: None,
        };
        Neighbor::new(identity, Direction::Outgoing, true, 10, Moment::START)
    }

    #[test]
    fn a_new_neighbor_is_choked_and_not_interested_on_both_sides() {
        let neighbor = neighbor(0);
        assert!(neighbor.am_choking && neighbor.peer_choking);
        assert!(!neighbor.am_interested && !neighbor.peer_interested);
    }

    #[test]
    fn every_neighbor_is_found_by_its_key_and_all_stand_in_the_order_of_their_keys() {
        let mut rng = Rng::with_seed(1);
        let (mut neighbors, mut expected) = (Neighbors::default(), BTreeMap::new());
        for _ in 0..2000 {
            // As the simulator numbers them; few enough to come again.
            let key = rng.u64(..200) << 24 | rng.u64(..4);
            if expected.remove(&key).is_some() {
                assert_eq!(neighbors.remove(PeerKey(key)).unwrap().key.0, key);
            } else {
                assert!(neighbors.remove(PeerKey(key)).is_none());
                neighbors.insert(neighbor(key));
                expected.insert(key, ());
            }
            assert!(neighbors.iter().map(|neighbor| neighbor.key.0).eq(expected.keys().copied()));
            for &key in expected.keys() {
                assert_eq!(neighbors.get_mut(PeerKey(key)).unwrap().key.0, key);
            }
            assert_eq!(neighbors.get(PeerKey(key ^ 4)).map(|other| other.key.0), None);
        }
        assert!(neighbors.len() > 100, "the table grew");
    }
}
