//! The peers of each torrent: announce, scrape and expire, with time and randomness as arguments
//! (BEP 3).
//!
//! A tracker may hold a million peers, so the state of one is small: 40 bytes in an
//! [`IndexMap`] and about 16 in its hash table. The map has the leechers in front and the seeds
//! behind, so that a random draw from either costs the same in a swarm of any size. Its order does
//! not depend on the hasher, whose random keys keep strangers from choosing addresses that collide.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fastrand::Rng;
use indexmap::IndexMap;

use common::announce::{
    AnnounceRequest, AnnounceResponse, Event, Family, MAX_INTERVAL, ScrapeEntry,
};
use common::id::InfoHash;
use common::moment::Moment;

/// Peers in an answer if the request does not say how many.
pub const DEFAULT_NUM_WANT: u32 = 50;

/// Most peers in an answer, whatever the request says: enough to begin with, and 1200 bytes.
pub const MAX_NUM_WANT: u32 = 200;

/// How much a tracker holds; strangers can announce any number of info-hashes and ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Swarms with at least one peer.
    pub torrents: usize,
    /// Peers of one swarm.
    pub peers_per_torrent: usize,
    /// Peers of all swarms together.
    pub peers: usize,
}

impl Default for Limits {
    /// At most 130 MiB: a swarm of a single peer costs 470 bytes, a further peer 45 to 60.
    fn default() -> Self {
        Self { torrents: 200_000, peers_per_torrent: 200_000, peers: 1_000_000 }
    }
}

/// A limit is reached: a new peer is refused; the known ones stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// See [`Limits::torrents`].
    #[error("the tracker is full: it has no room for another torrent")]
    Torrents,
    /// See [`Limits::peers_per_torrent`].
    #[error("the swarm is full: it has no room for another peer")]
    Swarm,
    /// See [`Limits::peers`].
    #[error("the tracker is full: it has no room for another peer")]
    Peers,
}

/// What happened to a peer of a swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It announced for the first time.
    Joined,
    /// It has become a seed.
    Completed,
    /// It said that it leaves.
    Left,
    /// It was removed because it no longer announced.
    FellSilent,
}

/// What came of an announce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// The answer to the peer.
    pub response: AnnounceResponse,
    /// Absent if the peer only told that it is still there.
    pub change: Option<Change>,
}

/// All swarms of a tracker. One exists as long as it has a peer.
#[derive(Debug)]
pub struct Swarms {
    swarms: BTreeMap<InfoHash, Swarm>,
    /// Peers of all swarms.
    peer_count: usize,
    /// Seconds.
    interval: u32,
    limits: Limits,
}

impl Swarms {
    /// A tracker without peers; each is asked to announce every `interval`, in whole seconds.
    pub fn new(interval: Duration, limits: Limits) -> Self {
        let interval = u32::try_from(interval.as_secs()).unwrap_or(u32::MAX).clamp(1, MAX_INTERVAL);
        Self { swarms: BTreeMap::new(), peer_count: 0, interval, limits }
    }

    /// Records what a peer reports, and answers with others at random: at most 200, not itself,
    /// no seeds for a seed, and only those whose addresses are of a family in `families`.
    ///
    /// The peer is known by the address that it sends from and the port that it reports.
    pub fn announce(
        &mut self,
        from: IpAddr,
        request: &AnnounceRequest,
        families: &[Family],
        now: Moment,
        rng: &mut Rng,
    ) -> Result<Announced, Full> {
        let peer = (from, request.port);
        if request.event == Some(Event::Stopped) {
            let change = self.remove(&request.info_hash, peer).then_some(Change::Left);
            let scrape = self.scrape(&request.info_hash).unwrap_or_default();
            return Ok(Announced { response: self.response(scrape, Vec::new()), change });
        }
        self.check_room(&request.info_hash, peer)?;

        let completed = request.event == Some(Event::Completed);
        let seed = request.left == 0 || completed;
        let swarm = self.swarms.entry(request.info_hash).or_default();
        let before = swarm.len();
        let change = swarm.refresh(peer, seed, PeerState { completed, seen: seconds(now) });
        self.peer_count += swarm.len() - before;
        let count = request.num_want.unwrap_or(DEFAULT_NUM_WANT).min(MAX_NUM_WANT);
        let peers = swarm.draw(count as usize, peer, seed, families, rng);
        let scrape = swarm.scrape();
        Ok(Announced { response: self.response(scrape, peers), change })
    }

    /// The numbers of all swarms, ordered by info-hash.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&InfoHash, ScrapeEntry)> {
        self.swarms.iter().map(|(info_hash, swarm)| (info_hash, swarm.scrape()))
    }

    /// The numbers of a swarm, if there is one.
    pub fn scrape(&self, info_hash: &InfoHash) -> Option<ScrapeEntry> {
        self.swarms.get(info_hash).map(Swarm::scrape)
    }

    /// Removes peers that have been silent for two intervals, or for one and 30 s if that is
    /// longer, and passes each to `removed`.
    pub fn expire(&mut self, now: Moment, mut removed: impl FnMut(&InfoHash, SocketAddr)) {
        let timeout = (2 * self.interval).max(self.interval + 30);
        let Some(oldest) = seconds(now).checked_sub(timeout) else { return };
        self.swarms.retain(|info_hash, swarm| {
            swarm.expire(oldest, |peer| removed(info_hash, peer));
            swarm.len() > 0
        });
        self.peer_count = self.swarms.values().map(Swarm::len).sum();
    }

    fn response(&self, scrape: ScrapeEntry, peers: Vec<SocketAddr>) -> AnnounceResponse {
        AnnounceResponse {
            interval: self.interval,
            min_interval: None,
            seeders: Some(scrape.seeders),
            leechers: Some(scrape.leechers),
            peers,
            warning: None,
            tracker_id: None,
        }
    }

    /// Removes a peer, and returns whether it was there.
    fn remove(&mut self, info_hash: &InfoHash, peer: (IpAddr, u16)) -> bool {
        let Some(swarm) = self.swarms.get_mut(info_hash) else { return false };
        let before = swarm.len();
        swarm.of_family(peer).remove(peer);
        let removed = before - swarm.len();
        self.peer_count -= removed;
        if swarm.len() == 0 {
            self.swarms.remove(info_hash);
        }
        removed > 0
    }

    fn check_room(&self, info_hash: &InfoHash, peer: (IpAddr, u16)) -> Result<(), Full> {
        let swarm = self.swarms.get(info_hash);
        if swarm.is_some_and(|swarm| swarm.position(peer).is_some()) {
            return Ok(());
        }
        if self.peer_count >= self.limits.peers {
            return Err(Full::Peers);
        }
        match swarm {
            None if self.swarms.len() >= self.limits.torrents => Err(Full::Torrents),
            Some(swarm) if swarm.len() >= self.limits.peers_per_torrent => Err(Full::Swarm),
            None | Some(_) => Ok(()),
        }
    }
}

/// Times are kept as whole seconds, in half the space; 136 years fit.
fn seconds(now: Moment) -> u32 {
    u32::try_from(now.since_start().as_secs()).unwrap_or(u32::MAX)
}

/// The peers of one torrent.
#[derive(Debug, Default)]
struct Swarm {
    v4: Peers,
    v6: Peers,
    /// How many peers reported that they became a seed.
    completed: u32,
}

impl Swarm {
    /// Notes that the peer has announced.
    fn refresh(&mut self, peer: (IpAddr, u16), seed: bool, state: PeerState) -> Option<Change> {
        let peers = self.of_family(peer);
        let leechers = peers.leechers;
        let known = peers.refresh(peer, seed, state);
        let change = match known {
            None => Some(Change::Joined),
            Some(_) => (peers.leechers < leechers).then_some(Change::Completed),
        };
        if state.completed && !known.is_some_and(|known| known.completed) {
            self.completed = self.completed.saturating_add(1);
        }
        change
    }

    /// The peers of the same family as this one.
    fn of_family(&mut self, peer: (IpAddr, u16)) -> &mut Peers {
        if peer.0.is_ipv4() { &mut self.v4 } else { &mut self.v6 }
    }

    fn expire(&mut self, oldest: u32, mut removed: impl FnMut(SocketAddr)) {
        self.v4.expire(oldest, &mut removed);
        self.v6.expire(oldest, &mut removed);
    }

    /// Picks peers for `requester`, which is in the swarm: any `count` of them as likely as others.
    fn draw(
        &self,
        count: usize,
        requester: (IpAddr, u16),
        seed: bool,
        families: &[Family],
        rng: &mut Rng,
    ) -> Vec<SocketAddr> {
        // Number the candidates: the IPv4 ones from 0, then the IPv6 ones.
        let v4 = if families.contains(&Family::V4) { self.v4.candidates(seed) } else { 0 };
        let v6 = if families.contains(&Family::V6) { self.v6.candidates(seed) } else { 0 };
        let own = self.position(requester).and_then(|position| match requester.0 {
            IpAddr::V4(_) => Some(position).filter(|&position| position < v4),
            IpAddr::V6(_) => Some(v4 + position).filter(|_| position < v6),
        });
        let others = v4 + v6 - usize::from(own.is_some());
        let mut peers: Vec<_> = sample(others, count, rng)
            .into_iter()
            .map(|number| if own.is_some_and(|own| number >= own) { number + 1 } else { number })
            .map(|number| match number.checked_sub(v4) {
                None => self.v4.address(number),
                Some(number) => self.v6.address(number),
            })
            .collect();
        rng.shuffle(&mut peers);
        peers
    }

    /// Its position among the peers of its family.
    fn position(&self, peer: (IpAddr, u16)) -> Option<usize> {
        let peers = if peer.0.is_ipv4() { &self.v4 } else { &self.v6 };
        peers.peers.get_index_of(&peer)
    }

    fn len(&self) -> usize {
        self.v4.peers.len() + self.v6.peers.len()
    }

    fn scrape(&self) -> ScrapeEntry {
        let leechers = self.v4.leechers + self.v6.leechers;
        let count = |peers| u32::try_from(peers).unwrap_or(u32::MAX);
        ScrapeEntry {
            seeders: count(self.len() - leechers),
            completed: self.completed,
            leechers: count(leechers),
        }
    }
}

/// `count` different numbers below `total`, every set of them as likely as any other; all of them
/// if there are no more. Floyd's algorithm: the cost does not depend on `total`.
///
/// The order is not uniform: the later a number, the further back it tends to be.
fn sample(total: usize, count: usize, rng: &mut Rng) -> Vec<usize> {
    let mut chosen = Vec::with_capacity(count.min(total));
    for last in total.saturating_sub(count)..total {
        let number = rng.usize(..=last);
        chosen.push(if chosen.contains(&number) { last } else { number });
    }
    chosen
}

/// The peers of one torrent whose addresses are of one family.
#[derive(Debug, Default)]
struct Peers {
    /// By address and port; leechers in front, seeds behind.
    peers: IndexMap<(IpAddr, u16), PeerState>,
    /// How many of them are leechers.
    leechers: usize,
}

#[derive(Clone, Copy, Debug)]
struct PeerState {
    /// Whether its `completed` has been counted.
    completed: bool,
    /// When it last announced, in seconds.
    seen: u32,
}

impl Peers {
    /// Notes that the peer has announced, and returns what was known of it before.
    fn refresh(&mut self, peer: (IpAddr, u16), seed: bool, state: PeerState) -> Option<PeerState> {
        let (position, known) = self.peers.insert_full(peer, state);
        self.peers[position].completed |= known.is_some_and(|known| known.completed);
        // A new peer is at the end, where the seeds are.
        match (position < self.leechers, seed) {
            (true, true) => {
                self.make_seed(position);
            }
            (false, false) => {
                self.peers.swap_indices(position, self.leechers);
                self.leechers += 1;
            }
            (true, false) | (false, true) => {}
        }
        known
    }

    fn remove(&mut self, peer: (IpAddr, u16)) {
        if let Some(mut position) = self.peers.get_index_of(&peer) {
            if position < self.leechers {
                position = self.make_seed(position);
            }
            self.peers.swap_remove_index(position);
        }
    }

    /// Moves a leecher to the front of the seeds, and returns its new position.
    fn make_seed(&mut self, position: usize) -> usize {
        self.leechers -= 1;
        self.peers.swap_indices(position, self.leechers);
        self.leechers
    }

    /// Removes the peers last seen before `oldest`.
    fn expire(&mut self, oldest: u32, mut removed: impl FnMut(SocketAddr)) {
        let stays = |peer: &PeerState| peer.seen >= oldest;
        self.leechers = self.peers[..self.leechers].values().filter(|peer| stays(peer)).count();
        self.peers.retain(|&address, peer| {
            let stays = stays(peer);
            if !stays {
                removed(address.into());
            }
            stays
        });
        // A crowd that has left must not hold its memory: the limits count peers, not capacity.
        self.peers.shrink_to(2 * self.peers.len());
    }

    fn address(&self, position: usize) -> SocketAddr {
        (*self.peers.get_index(position).expect("a position in the map").0).into()
    }

    /// How many peers from the front are of use to a seed, or to a leecher.
    fn candidates(&self, seed: bool) -> usize {
        if seed { self.leechers } else { self.peers.len() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use fastrand::Rng;
    use proptest::prelude::*;

    use common::id::PeerId;

    use super::*;

    const BOTH: &[Family] = &[Family::V4, Family::V6];
    const INTERVAL: Duration = Duration::from_secs(120);

    /// A tracker's swarms, with a clock that the test moves.
    struct World {
        swarms: Swarms,
        rng: Rng,
        now: Moment,
    }

    impl World {
        fn new(interval: Duration, limits: Limits) -> Self {
            let swarms = Swarms::new(interval, limits);
            Self { swarms, rng: Rng::with_seed(1), now: Moment::START }
        }

        fn wait(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
            self.swarms.expire(self.now, |_, _| {});
        }

        fn ask(
            &mut self,
            peer: SocketAddr,
            request: &AnnounceRequest,
            families: &[Family],
        ) -> Result<AnnounceResponse, Full> {
            let announced =
                self.swarms.announce(peer.ip(), request, families, self.now, &mut self.rng);
            announced.map(|announced| announced.response)
        }

        /// An announce over HTTP, and its answer.
        fn announce(
            &mut self,
            peer: SocketAddr,
            left: u64,
            event: Option<Event>,
        ) -> Vec<SocketAddr> {
            self.ask(peer, &request(peer.port(), left, event), BOTH).unwrap().peers
        }

        /// Seeds, times completed, leechers.
        fn numbers(&self) -> (u32, u32, u32) {
            let entry = self.swarms.scrape(&HASH).unwrap_or_default();
            (entry.seeders, entry.completed, entry.leechers)
        }
    }

    impl Default for World {
        fn default() -> Self {
            Self::new(INTERVAL, Limits::default())
        }
    }

    const HASH: InfoHash = InfoHash([7; 20]);

    fn request(port: u16, left: u64, event: Option<Event>) -> AnnounceRequest {
        AnnounceRequest {
            info_hash: HASH,
            peer_id: PeerId([0; 20]),
            port,
            uploaded: 0,
            downloaded: 0,
            left,
            event,
            num_want: None,
            key: 0,
            tracker_id: None,
        }
    }

    fn peer(number: u32) -> SocketAddr {
        let [_, a, b, c] = number.to_be_bytes();
        SocketAddr::from(([10, a, b, c], 6881))
    }

    fn v6_peer(number: u16) -> SocketAddr {
        SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, number], 6881))
    }

    #[test]
    fn peers_learn_of_each_other_but_not_of_themselves() {
        let mut world = World::default();
        assert_eq!(world.announce(peer(1), 5, Some(Event::Started)), []);
        assert_eq!(world.announce(peer(2), 5, Some(Event::Started)), [peer(1)]);
        assert_eq!(world.announce(peer(1), 5, None), [peer(2)]);
    }

    #[test]
    fn peers_behind_one_address_are_distinguished_by_port() {
        let mut world = World::default();
        let (alice, bob) = ("10.0.0.1:1".parse().unwrap(), "10.0.0.1:2".parse().unwrap());
        world.announce(alice, 5, None);
        assert_eq!(world.announce(bob, 5, None), [alice]);
    }

    #[test]
    fn a_seed_gets_leechers_only() {
        let mut world = World::default();
        world.announce(peer(1), 0, None);
        world.announce(peer(2), 5, None);
        assert_eq!(world.announce(peer(3), 0, None), [peer(2)]);
        assert_eq!(world.announce(peer(2), 5, None).len(), 2);
    }

    #[test]
    fn a_seed_that_sends_no_event_counts_as_one() {
        let mut world = World::default();
        world.announce(peer(1), 0, None);
        assert_eq!(world.numbers(), (1, 0, 0));
    }

    #[test]
    fn completed_makes_a_seed_and_counts_once() {
        let mut world = World::default();
        world.announce(peer(1), 5, Some(Event::Started));
        assert_eq!(world.numbers(), (0, 0, 1));
        for _ in 0..3 {
            world.announce(peer(1), 0, Some(Event::Completed));
            world.announce(peer(1), 0, None);
            assert_eq!(world.numbers(), (1, 1, 0));
        }
    }

    #[test]
    fn a_peer_that_stops_is_removed_and_gets_no_peers() {
        let mut world = World::default();
        world.announce(peer(1), 5, None);
        world.announce(peer(2), 5, None);
        assert_eq!(world.announce(peer(1), 5, Some(Event::Stopped)), []);
        assert_eq!(world.announce(peer(2), 5, None), []);
        world.announce(peer(2), 5, Some(Event::Stopped));
        assert_eq!(world.swarms.scrape(&HASH), None);
        // A `stopped` of an unknown peer leaves nothing behind.
        world.announce(peer(3), 5, Some(Event::Stopped));
        assert_eq!(world.swarms.scrape(&HASH), None);
        assert_eq!(world.swarms.peer_count, 0);
    }

    #[test]
    fn a_peer_that_is_silent_for_two_intervals_is_removed() {
        let mut world = World::default();
        world.announce(peer(1), 5, None);
        world.announce(peer(2), 5, None);
        world.wait(240);
        world.announce(peer(2), 5, None);
        assert_eq!(world.numbers(), (0, 0, 2));
        world.wait(1);
        assert_eq!(world.numbers(), (0, 0, 1));
        world.wait(240);
        assert_eq!(world.swarms.scrape(&HASH), None);
        assert_eq!(world.swarms.peer_count, 0);
    }

    #[test]
    fn an_announce_says_what_it_changed() {
        let mut world = World::default();
        for (step, left, event, change) in [
            ("new", 5, Some(Event::Started), Some(Change::Joined)),
            ("still there", 5, None, None),
            ("restarted", 5, Some(Event::Started), None),
            ("complete", 0, Some(Event::Completed), Some(Change::Completed)),
            ("complete, repeated", 0, Some(Event::Completed), None),
            ("found damage", 5, None, None),
            ("complete without an event", 0, None, Some(Change::Completed)),
            ("leaves", 0, Some(Event::Stopped), Some(Change::Left)),
            ("leaves, repeated", 0, Some(Event::Stopped), None),
            ("new as a seed", 0, Some(Event::Completed), Some(Change::Joined)),
        ] {
            let request = request(6881, left, event);
            let World { swarms, rng, now } = &mut world;
            let announced = swarms.announce(peer(1).ip(), &request, BOTH, *now, rng).unwrap();
            assert_eq!(announced.change, change, "{step}");
        }
        let mut removed = Vec::new();
        world.now += 3 * INTERVAL;
        world.swarms.expire(world.now, |&hash, peer| removed.push((hash, peer)));
        assert_eq!(removed, [(HASH, peer(1))]);
    }

    #[test]
    fn memory_follows_the_number_of_peers() {
        let mut world = World::default();
        for number in 0..5_000 {
            world.announce(peer(number), 5, None);
        }
        for number in 1_000..5_000 {
            world.announce(peer(number), 5, Some(Event::Stopped));
        }
        world.wait(240);
        let capacity = world.swarms.swarms[&HASH].v4.peers.capacity();
        assert!((2_000..4_000).contains(&capacity), "{capacity}");
    }

    #[test]
    fn with_a_short_interval_silence_may_last_half_a_minute_more() {
        let mut world = World::new(Duration::from_secs(5), Limits::default());
        world.announce(peer(1), 5, None);
        world.wait(35);
        assert_eq!(world.numbers(), (0, 0, 1));
        world.wait(1);
        assert_eq!(world.numbers(), (0, 0, 0));
    }

    #[test]
    fn an_answer_has_fifty_peers_unless_asked_and_two_hundred_at_most() {
        let mut world = World::default();
        for number in 0..300 {
            world.announce(peer(number), 5, None);
        }
        for (num_want, count) in
            [(None, 50), (Some(0), 0), (Some(3), 3), (Some(201), 200), (Some(4_000_000_000), 200)]
        {
            let request = AnnounceRequest { num_want, ..request(6881, 5, None) };
            let peers = world.ask(peer(0), &request, BOTH).unwrap().peers;
            assert_eq!(peers.iter().collect::<BTreeSet<_>>().len(), count, "{num_want:?}");
        }
    }

    #[test]
    fn every_peer_is_drawn_as_often_as_any_other() {
        let mut world = World::default();
        for number in 1..=100 {
            world.announce(peer(number), u64::from(number % 2), None);
        }
        for number in 1..=100 {
            world.announce(v6_peer(number), u64::from(number % 2), None);
        }
        let mut drawn = BTreeMap::new();
        for _ in 0..4_000 {
            for peer in world.announce(peer(1), 5, None) {
                *drawn.entry(peer).or_insert(0) += 1;
            }
        }
        // 50 of 199 in 4000 answers: each about 1005 times, with a deviation of 27.
        assert_eq!(drawn.len(), 199);
        assert!(drawn.values().all(|n| (850..1_150).contains(n)), "{drawn:?}");
    }

    /// Clients dial from the front: an order that favors some would load them.
    #[test]
    fn every_peer_comes_first_as_often_as_any_other() {
        let mut world = World::default();
        for number in 0..=20 {
            world.announce(peer(number), u64::from(number % 2), None);
        }
        let mut first = BTreeMap::new();
        for _ in 0..4_000 {
            *first.entry(world.announce(peer(0), 5, None)[0]).or_insert(0) += 1;
        }
        // 1 of 20 in 4000 answers: each about 200 times, with a deviation of 14.
        assert_eq!(first.len(), 20);
        assert!(first.values().all(|n| (140..260).contains(n)), "{first:?}");
    }

    #[test]
    fn an_answer_holds_the_families_asked_for() {
        let mut world = World::default();
        for seed in [0, 1] {
            world.announce(peer(1 + seed), seed.into(), None);
            world.announce(v6_peer(1 + u16::try_from(seed).unwrap()), seed.into(), None);
        }
        let request = request(6881, 5, None);
        let mut ask = |from, families| {
            let mut peers = world.ask(from, &request, families).unwrap().peers;
            peers.sort();
            peers
        };
        assert_eq!(ask(peer(2), &[Family::V4]), [peer(1)]);
        assert_eq!(ask(v6_peer(2), &[Family::V6]), [v6_peer(1)]);
        assert_eq!(ask(peer(2), &[Family::V6]), [v6_peer(1), v6_peer(2)]);
        assert_eq!(ask(v6_peer(2), BOTH), [peer(1), peer(2), v6_peer(1)]);
    }

    #[test]
    fn a_full_tracker_keeps_its_peers_and_refuses_new_ones() {
        let limits = Limits { torrents: 2, peers_per_torrent: 2, peers: 3 };
        let mut world = World::new(INTERVAL, limits);
        let mut ask = |number, hash, event| {
            let request =
                AnnounceRequest { info_hash: InfoHash([hash; 20]), ..request(6881, 5, event) };
            world.ask(peer(number), &request, BOTH).map(|response| response.peers.len())
        };
        assert_eq!(ask(1, 1, None), Ok(0));
        assert_eq!(ask(2, 1, None), Ok(1));
        assert_eq!(ask(3, 1, None), Err(Full::Swarm));
        assert_eq!(ask(1, 2, None), Ok(0));
        assert_eq!(ask(2, 2, None), Err(Full::Peers));
        assert_eq!(ask(2, 1, None), Ok(1));
        ask(2, 1, Some(Event::Stopped)).unwrap();
        assert_eq!(ask(1, 3, None), Err(Full::Torrents));
        assert_eq!(ask(2, 2, None), Ok(1));
    }

    #[test]
    fn a_flood_of_random_torrents_stops_at_the_bound() {
        let limits = Limits { torrents: 1_000, ..Limits::default() };
        let mut world = World::new(INTERVAL, limits);
        let mut hashes = Rng::with_seed(2);
        for _ in 0..100_000 {
            let mut info_hash = InfoHash([0; 20]);
            hashes.fill(&mut info_hash.0);
            let _ = world.ask(peer(1), &AnnounceRequest { info_hash, ..request(1, 5, None) }, BOTH);
        }
        assert_eq!(world.swarms.swarms.len(), 1_000);
        assert_eq!(world.swarms.peer_count, 1_000);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Announce { number: u32, seed: bool },
        Stop { number: u32 },
        Wait { seconds: u64 },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            6 => (0_u32..20, any::<bool>()).prop_map(|(number, seed)| Step::Announce { number, seed }),
            2 => (0_u32..20).prop_map(|number| Step::Stop { number }),
            1 => (0_u64..200).prop_map(|seconds| Step::Wait { seconds }),
        ];
        prop::collection::vec(step, 0..150)
    }

    proptest! {
        /// Against a plain map from peers to (seed, last seen).
        #[test]
        fn a_swarm_holds_exactly_the_peers_that_announced(steps in steps()) {
            let mut world = World::default();
            let mut expected: BTreeMap<SocketAddr, (bool, Moment)> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Announce { number, seed } => {
                        expected.insert(peer(number), (seed, world.now));
                        let peers = world.announce(peer(number), u64::from(!seed), None);
                        let of_use: BTreeSet<_> = expected
                            .iter()
                            .filter(|&(&other, &(other_seed, _))| {
                                other != peer(number) && !(seed && other_seed)
                            })
                            .map(|(&other, _)| other)
                            .collect();
                        prop_assert_eq!(peers.len(), of_use.len());
                        prop_assert_eq!(peers.into_iter().collect::<BTreeSet<_>>(), of_use);
                    }
                    Step::Stop { number } => {
                        expected.remove(&peer(number));
                        world.announce(peer(number), 0, Some(Event::Stopped));
                    }
                    Step::Wait { seconds } => {
                        world.wait(seconds);
                        expected.retain(|_, (_, seen)| world.now - *seen <= 2 * INTERVAL);
                    }
                }
                let seeds = expected.values().filter(|(seed, _)| *seed).count();
                let numbers = (seeds, expected.len() - seeds);
                let (seeders, _, leechers) = world.numbers();
                prop_assert_eq!((seeders as usize, leechers as usize), numbers);
                prop_assert_eq!(world.swarms.peer_count, expected.len());
            }
        }
    }
}
