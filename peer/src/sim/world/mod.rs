//! The world: hosts with a [`Torrent`] each, a tracker, and a queue of what happens next.
//! `network.rs` is what lies between the hosts.
//!
//! It keeps the contract of the mio shell: actions are carried out in order, keys are never used
//! again, a connection delivers in order, a block is taken from the core only when it can go out,
//! and [`Event::TimedOut`] comes at the time of [`Torrent::next_timeout`].

mod network;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use common::announce::{self, AnnounceRequest, AnnounceResponse, Family};
use common::geometry::{Block, PieceIndex};
use common::id::{InfoHash, PeerId};
use common::message::Message;
use common::moment::Moment;
use fastrand::Rng;
use tracker::swarms::{Full, Limits, Swarms};

use super::links::{Downlink, Link, Uplink};
use super::participant::{Conduct, Entry, HostId, Participant, Settings};
use crate::PeerKey;
use crate::torrent::{Action, Config, Event, Torrent, Verdict};
use network::{End, Item};

/// Peers that exchange one torrent in virtual time.
#[derive(Debug)]
pub struct World {
    settings: Settings,
    start: Instant,
    now: Instant,
    /// What happens next; of what happens at the same time, what was caused first.
    queue: BTreeMap<(Instant, u64), Happening>,
    /// How often something was put in the queue.
    caused: u64,
    hosts: Vec<Host>,
    /// Both ends of every connection, each at the key that its host knows it by.
    ends: BTreeMap<PeerKey, End>,
    /// Connections that were ever opened.
    connections: u64,
    tracker: Swarms,
    trace: Vec<Entry>,
    rng: Rng,
}

#[derive(Debug)]
struct Host {
    torrent: Torrent,
    peer_id: PeerId,
    link: Link,
    uplink: Uplink,
    downlink: Downlink,
    conduct: Conduct,
    presence: Presence,
    /// Blocks on its disk with false bytes.
    false_blocks: BTreeSet<Block>,
    /// The earliest [`Happening::Wakes`] in the queue.
    wakes_at: Option<Instant>,
    completed_at: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Expected,
    Here,
    Gone,
}

#[derive(Debug)]
enum Happening {
    Arrives(HostId),
    Wakes(HostId),
    /// A call and the caller's handshake reach whom they are for.
    Called {
        caller: HostId,
        address: SocketAddr,
    },
    /// The answer to its handshake reaches the caller.
    Answered {
        peer: PeerKey,
        address: SocketAddr,
    },
    CallFailed {
        caller: HostId,
        address: SocketAddr,
    },
    /// A block has left the uplink.
    WentOut {
        host: HostId,
        peer: PeerKey,
        block: Block,
    },
    /// Something reaches the downlink at this end.
    Reached {
        end: PeerKey,
        item: Item,
    },
    /// Something is through the downlink.
    Delivered {
        end: PeerKey,
        item: Item,
    },
    Checked {
        host: HostId,
        piece: PieceIndex,
        verdict: Verdict,
    },
    TrackerAnswered {
        host: HostId,
        answer: Result<AnnounceResponse, Full>,
    },
}

/// All peers listen on the first of BitTorrent's ports (BEP 3).
const PORT: u16 = 6881;

/// There is one torrent in the world, so any name will do.
const INFO_HASH: InfoHash = InfoHash([0; 20]);

impl World {
    /// An empty world at time `start`; any instant will do. All chance in it comes from `seed`.
    pub fn new(settings: Settings, seed: u64, start: Instant) -> Self {
        Self {
            tracker: Swarms::new(settings.announce_interval, Limits::default()),
            settings,
            start,
            now: start,
            queue: BTreeMap::new(),
            caused: 0,
            hosts: Vec::new(),
            ends: BTreeMap::new(),
            connections: 0,
            trace: Vec::new(),
            rng: Rng::with_seed(seed),
        }
    }

    /// The usual configuration, with a peer id of its own.
    pub fn config(&mut self) -> Config {
        let mut random = [0; 12];
        self.rng.fill(&mut random);
        Config::new(PeerId::from_random(random))
    }

    /// Lets a peer in, at once or when its time comes.
    pub fn add_peer(&mut self, participant: Participant) -> HostId {
        let Participant { config, link, have, arrives_at, conduct } = participant;
        let arrives_at = (self.start + arrives_at).max(self.now);
        let host = HostId(u32::try_from(self.hosts.len()).expect("fewer than 2^24 hosts"));
        let peer_id = config.peer_id;
        let seed = self.rng.u64(..);
        self.hosts.push(Host {
            torrent: Torrent::new(config, self.settings.geometry, have, seed, arrives_at),
            peer_id,
            link,
            uplink: Uplink::default(),
            downlink: Downlink::new(arrives_at),
            conduct,
            presence: Presence::Expected,
            false_blocks: BTreeSet::new(),
            wakes_at: None,
            completed_at: None,
        });
        self.cause(arrives_at, Happening::Arrives(host));
        host
    }

    /// A user tells a peer, which must be here, of another.
    pub fn introduce(&mut self, host: HostId, other: HostId) {
        self.tell(host, Event::PeerNamed { address: address(other) });
        self.rearm(host);
    }

    /// A peer leaves for good: it tells the tracker, and its connections close.
    pub fn leave(&mut self, host: HostId) {
        self.tell(host, Event::Leaving);
        self.host_mut(host).presence = Presence::Gone;
        let peers: Vec<PeerKey> = self.peer(host).neighbors().map(|(peer, _)| peer).collect();
        peers.into_iter().for_each(|peer| self.close(peer));
    }

    /// Lets so much time pass.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(|_| false, time);
    }

    /// Lets time pass until something is so, for `at_most` so long. Says whether it is so.
    pub fn run_until(&mut self, is_so: impl Fn(&Self) -> bool, at_most: Duration) -> bool {
        let end = self.now + at_most;
        while !is_so(self) {
            match self.queue.first_key_value() {
                Some((&(at, _), _)) if at <= end => self.step(),
                Some(_) | None => {
                    self.now = end;
                    return false;
                }
            }
        }
        true
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// The core of a peer.
    pub fn peer(&self, host: HostId) -> &Torrent {
        &self.hosts[host.0 as usize].torrent
    }

    /// When a peer that did not come with everything had it, counted from the start.
    pub fn completed_at(&self, host: HostId) -> Option<Duration> {
        self.hosts[host.0 as usize].completed_at
    }

    /// Whether all that are in the world or still to come have everything.
    pub fn all_complete(&self) -> bool {
        let complete = |host: &Host| host.presence == Presence::Gone || host.torrent.is_complete();
        self.hosts.iter().all(complete)
    }

    /// Every decision of every peer, in order.
    pub fn trace(&self) -> &[Entry] {
        &self.trace
    }

    /// Who is reached at this address, be it where it listens or where it called from.
    pub fn host_at(&self, address: SocketAddr) -> Option<HostId> {
        let IpAddr::V4(ip) = address.ip() else { return None };
        let number = u32::from(ip).checked_sub(u32::from(FIRST_ADDRESS))?;
        ((number as usize) < self.hosts.len()).then_some(HostId(number))
    }

    fn step(&mut self) {
        let Some(((at, _), happening)) = self.queue.pop_first() else { return };
        self.now = at;
        match happening {
            Happening::Arrives(host) => {
                // It may have been told to leave before it came.
                if self.host_mut(host).presence == Presence::Expected {
                    self.host_mut(host).presence = Presence::Here;
                    self.rearm(host);
                }
            }
            Happening::Wakes(host) => self.on_wake(host),
            Happening::Called { caller, address } => self.on_called(caller, address),
            Happening::Answered { peer, address } => self.on_answered(peer, address),
            Happening::CallFailed { caller, address } => {
                self.tell(caller, Event::ConnectFailed { address });
                self.rearm(caller);
            }
            Happening::WentOut { host, peer, block } => self.on_went_out(host, peer, block),
            Happening::Reached { end, item } => self.on_reached(end, item),
            Happening::Delivered { end, item } => self.deliver(end, item),
            Happening::Checked { host, piece, verdict } => {
                self.tell(host, Event::PieceChecked { piece, verdict });
                self.rearm(host);
            }
            Happening::TrackerAnswered { host, answer } => {
                self.tell(host, answer.map_or(Event::AnnounceFailed, announced));
                self.rearm(host);
            }
        }
    }

    fn on_wake(&mut self, host: HostId) {
        let now = self.now;
        let sleeper = self.host_mut(host);
        // Only the earliest counts: what was due later may have been put forward.
        if sleeper.wakes_at != Some(now) {
            return;
        }
        sleeper.wakes_at = None;
        if sleeper.torrent.next_timeout(now).is_some_and(|due| due <= now) {
            self.tell(host, Event::TimedOut);
        }
        self.rearm(host);
    }

    /// Tells a peer that something happened which no other peer's bytes came with.
    fn tell(&mut self, host: HostId, event: Event) {
        self.tell_of(host, event, Conduct::Honest);
    }

    /// Tells a peer what happened, and carries out what it answers.
    fn tell_of(&mut self, host: HostId, event: Event, sender: Conduct) {
        if self.is_here(host) {
            let now = self.now;
            let actions = self.host_mut(host).torrent.handle(event, now);
            actions.into_iter().for_each(|action| self.carry_out(host, action, sender));
        }
    }

    fn carry_out(&mut self, host: HostId, action: Action, sender: Conduct) {
        match action {
            Action::Connect { address } => self.call(host, address),
            Action::Send { peer, message } => {
                let withheld = self.host_mut(host).conduct == Conduct::NeverUnchokes
                    && message == Message::Unchoke;
                if !withheld {
                    self.send(peer, Item::Message(message));
                }
            }
            Action::Upload { peer } => {
                self.host_mut(host).uplink.queue(peer);
                self.send_blocks(host);
            }
            Action::Disconnect { peer, reason: _ } => self.close(peer),
            Action::WriteBlock(block) => {
                let false_blocks = &mut self.host_mut(host).false_blocks;
                match sender {
                    Conduct::SendsFalseData => false_blocks.insert(block),
                    Conduct::Honest | Conduct::NeverUnchokes => false_blocks.remove(&block),
                };
            }
            Action::CheckPiece(piece) => {
                let mut false_blocks = self.host_mut(host).false_blocks.iter();
                let bad = false_blocks.any(|block| block.piece() == piece);
                let verdict = if bad { Verdict::Bad } else { Verdict::Good };
                self.cause(self.now, Happening::Checked { host, piece, verdict });
            }
            Action::Announce { event, num_want } => self.announce(host, event, num_want),
            Action::Explain(decision) => {
                self.trace.push(Entry { at: self.elapsed(), host, decision });
            }
            Action::Complete => self.host_mut(host).completed_at = Some(self.elapsed()),
        }
    }

    fn announce(&mut self, host: HostId, event: Option<announce::Event>, num_want: u32) {
        let Host { torrent, peer_id, link, .. } = &self.hosts[host.0 as usize];
        let totals = torrent.totals();
        let request = AnnounceRequest {
            info_hash: INFO_HASH,
            peer_id: *peer_id,
            port: PORT,
            uploaded: totals.uploaded,
            downloaded: totals.downloaded,
            left: torrent.left(),
            event,
            num_want: Some(num_want),
            key: host.0,
            tracker_id: None,
        };
        let back = self.now + 2 * link.delay;
        let from = address(host).ip();
        let now = Moment::START + (self.now - self.start);
        let answer = self.tracker.announce(from, &request, &[Family::V4], now, &mut self.rng);
        self.cause(back, Happening::TrackerAnswered { host, answer });
    }

    /// Sees to it that a peer is woken when it wants to be.
    fn rearm(&mut self, host: HostId) {
        let now = self.now;
        let sleeper = self.host_mut(host);
        if sleeper.presence != Presence::Here {
            return;
        }
        let Some(due) = sleeper.torrent.next_timeout(now).map(|due| due.max(now)) else { return };
        if sleeper.wakes_at.is_none_or(|wakes_at| due < wakes_at) {
            sleeper.wakes_at = Some(due);
            self.cause(due, Happening::Wakes(host));
        }
    }

    fn cause(&mut self, at: Instant, happening: Happening) {
        self.caused += 1;
        self.queue.insert((at, self.caused), happening);
    }

    fn is_here(&self, host: HostId) -> bool {
        self.hosts[host.0 as usize].presence == Presence::Here
    }

    fn host_mut(&mut self, host: HostId) -> &mut Host {
        &mut self.hosts[host.0 as usize]
    }
}

/// Host 0 is here; a private network of 2^24 addresses (RFC 1918).
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 0);

/// Where a peer listens.
fn address(host: HostId) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from(u32::from(FIRST_ADDRESS) + host.0), PORT))
}

fn announced(answer: AnnounceResponse) -> Event {
    Event::Announced {
        interval: Duration::from_secs(answer.interval.into()),
        min_interval: answer.min_interval.map(|seconds| Duration::from_secs(seconds.into())),
        peers: answer.peers,
    }
}
