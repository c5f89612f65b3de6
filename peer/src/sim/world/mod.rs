//! The world: hosts with a [`Torrent`] each, a tracker, and the event queue.
//! `network.rs` is what lies between the hosts.
//!
//! It keeps the contract of the mio shell: outputs are performed in order, keys are never
//! reused, a connection delivers in order, the core is asked for a block only when it can be sent,
//! and [`Input::TimedOut`] comes at the time of [`Torrent::next_timeout`].

mod ends;
#[cfg(test)]
mod max_min;
mod network;
mod queue;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use common::announce::{self, AnnounceRequest, AnnounceResponse, Family, ScrapeEntry};
use common::geometry::{Block, PieceIndex};
use common::id::{InfoHash, PeerId};
use common::moment::Moment;
use common::wire::Message;
use fastrand::Rng;
use tracker::swarms::{Full, Limits, Swarms};

use super::links::{Downlink, Link, Uplink};
use super::observe::{Observer, Traffic};
use super::participant::{Conduct, HostId, Participant, Settings};
use crate::PeerKey;
use crate::choker::AskChoker;
use crate::torrent::{Config, Input, Output, Torrent, Verdict};
use ends::Ends;
use network::{Gathered, Item};
use queue::EventQueue;

/// Peers that exchange one torrent in virtual time.
#[derive(Debug)]
pub struct World<O> {
    /// Sees every decision.
    pub observer: O,
    settings: Settings,
    now: Moment,
    queue: EventQueue<Scheduled>,
    hosts: Vec<Host>,
    /// Hosts that are present or still to come, and lack something.
    incomplete: usize,
    ends: Ends,
    /// The haves that a peer is sending.
    haves: Vec<Gathered>,
    /// Haves that arrived, beyond one for each event.
    further_haves: u64,
    carried: Carried,
    tracker: Swarms,
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
    /// The earliest [`Scheduled::Wakes`] in the queue.
    wakes_at: Option<Moment>,
    completed_at: Option<Duration>,
    /// How long it stays once it has everything; `None`: to the end.
    stays: Option<Duration>,
}

/// Bytes of blocks that the network carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// They have left an uplink and have not arrived.
    pub in_flight: u64,
    /// The connection had ended when they arrived.
    pub lost: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Expected,
    Here,
    Gone,
}

/// What will happen.
#[derive(Debug)]
enum Scheduled {
    Arrives(HostId),
    Leaves(HostId),
    Wakes(HostId),
    /// A dial and the dialing host's handshake reach the other host.
    Dialed {
        by: HostId,
        address: SocketAddr,
    },
    /// The answer to its handshake reaches the host that dialed.
    Answered {
        peer: PeerKey,
        address: SocketAddr,
    },
    DialFailed {
        by: HostId,
        address: SocketAddr,
    },
    /// A block has left the uplink.
    WentOut {
        host: HostId,
        peer: PeerKey,
        block: Block,
    },
    /// An item reaches the downlink at this end.
    Reached {
        end: PeerKey,
        item: Item,
    },
    /// The same have reaches all these ends.
    HavesReached {
        piece: PieceIndex,
        ends: Box<[PeerKey]>,
    },
    /// An item has passed the downlink.
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
        answer: Box<Result<AnnounceResponse, Full>>,
    },
}

/// All peers listen on the first of BitTorrent's ports (BEP 3).
const PORT: u16 = 6881;

/// The world has one torrent, so any name will do.
const INFO_HASH: InfoHash = InfoHash([0; 20]);

impl<O: Observer + Default> World<O> {
    /// An empty world. All its randomness comes from `seed`.
    pub fn new(settings: Settings, seed: u64) -> Self {
        Self::observed_by(O::default(), settings, seed)
    }
}

impl<O: Observer> World<O> {
    /// An empty world with this observer.
    pub fn observed_by(observer: O, settings: Settings, seed: u64) -> Self {
        let now = Moment::START;
        Self {
            observer,
            tracker: Swarms::new(settings.announce_interval, Limits::default()),
            settings,
            now,
            queue: EventQueue::new(),
            hosts: Vec::new(),
            incomplete: 0,
            ends: Ends::default(),
            haves: Vec::new(),
            further_haves: 0,
            carried: Carried::default(),
            rng: Rng::with_seed(seed),
        }
    }

    /// The usual configuration, with a peer id of its own.
    pub fn config(&mut self) -> Config {
        Config { listen_port: Some(PORT), ..Config::new(self.new_peer_id()) }
    }

    fn new_peer_id(&mut self) -> PeerId {
        let mut random = [0; 12];
        self.rng.fill(&mut random);
        PeerId::from_random(random)
    }

    /// Adds a peer, at once or when its time comes.
    pub fn add_peer(&mut self, participant: Participant) -> HostId {
        let Participant { config, link, have, arrives_at, conduct } = participant;
        let arrives_at = (Moment::START + arrives_at).max(self.now);
        let host = HostId(u32::try_from(self.hosts.len()).expect("fewer than 2^24 hosts"));
        let peer_id = config.peer_id;
        let seed = self.rng.u64(..);
        self.incomplete += usize::from(!have.is_full());
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
            stays: None,
        });
        self.schedule_at(arrives_at, Scheduled::Arrives(host));
        host
    }

    /// A choker outside of the library decides for a peer.
    pub fn ask_choker(&mut self, host: HostId, asks: Box<dyn AskChoker>) {
        self.host_mut(host).torrent.ask_choker(asks);
    }

    /// A user names another peer to a peer, which must be present.
    pub fn introduce(&mut self, host: HostId, other: HostId) {
        self.tell(host, Input::PeerNamed { address: address(other) });
    }

    /// A peer leaves as soon as it has everything.
    pub fn leave_when_complete(&mut self, host: HostId) {
        self.leave_after_completion(host, Duration::ZERO);
    }

    /// A peer stays for this time once it has everything, and leaves.
    pub fn leave_after_completion(&mut self, host: HostId, stays: Duration) {
        self.host_mut(host).stays = Some(stays);
    }

    /// A peer leaves at this time, counted from the start.
    pub fn leave_at(&mut self, leaves_at: Duration, host: HostId) {
        let leaves_at = (Moment::START + leaves_at).max(self.now);
        self.schedule_at(leaves_at, Scheduled::Leaves(host));
    }

    /// A peer leaves for good: it tells the tracker, and its connections close.
    pub fn leave(&mut self, host: HostId) {
        self.tell(host, Input::Leaving);
        let leaving = self.host_mut(host);
        if leaving.presence != Presence::Gone && !leaving.torrent.is_complete() {
            self.incomplete -= 1;
        }
        self.host_mut(host).presence = Presence::Gone;
        let peers: Vec<PeerKey> =
            self.peer(host).neighbors().map(|neighbor| neighbor.identity().key).collect();
        peers.into_iter().for_each(|peer| self.close(peer));
    }

    /// Runs for this time.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(|_| false, time);
    }

    /// Runs until the condition holds, for at most this time. Returns whether it holds. It is
    /// evaluated after every event, so it should be cheap.
    pub fn run_until(&mut self, is_so: impl Fn(&Self) -> bool, at_most: Duration) -> bool {
        let end = self.now + at_most;
        while !is_so(self) {
            let Some((at, event)) = self.queue.pop_until(end) else {
                self.now = end;
                return false;
            };
            self.now = at;
            self.happens(event);
        }
        true
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.now.since_start()
    }

    /// The core of a peer.
    pub fn peer(&self, host: HostId) -> &Torrent {
        &self.hosts[host.0 as usize].torrent
    }

    /// The blocks that have left their sender and were not delivered.
    pub fn carried(&self) -> Carried {
        self.carried
    }

    /// When a peer that did not come with everything had it, counted from the start.
    pub fn completed_at(&self, host: HostId) -> Option<Duration> {
        self.hosts[host.0 as usize].completed_at
    }

    /// Whether all peers that are present or still to come have everything.
    pub fn all_complete(&self) -> bool {
        self.incomplete == 0
    }

    /// How many peers that are present or still to come lack something.
    pub fn incomplete(&self) -> usize {
        self.incomplete
    }

    /// How many seeds and leechers the tracker counts.
    pub fn counts(&self) -> ScrapeEntry {
        self.tracker.scrape(&INFO_HASH).unwrap_or_default()
    }

    /// How many events were handled; a have to so many neighbors counts as so many.
    pub fn events(&self) -> u64 {
        self.queue.handled() + self.further_haves
    }

    /// The host at this address, be it where it listens or where it dialed from.
    pub fn host_at(&self, address: SocketAddr) -> Option<HostId> {
        host_with(address).filter(|host| (host.0 as usize) < self.hosts.len())
    }

    fn happens(&mut self, event: Scheduled) {
        match event {
            Scheduled::Arrives(host) => {
                // It may have left before it came.
                if self.host_mut(host).presence == Presence::Expected {
                    self.host_mut(host).presence = Presence::Here;
                    self.rearm(host);
                }
            }
            Scheduled::Leaves(host) => self.leave(host),
            Scheduled::Wakes(host) => self.on_wake(host),
            Scheduled::Dialed { by, address } => self.on_dialed(by, address),
            Scheduled::Answered { peer, address } => self.on_answered(peer, address),
            Scheduled::DialFailed { by, address } => self.tell(by, Input::DialFailed { address }),
            Scheduled::WentOut { host, peer, block } => self.on_went_out(host, peer, block),
            Scheduled::Reached { end, item } => self.on_reached(end, item),
            Scheduled::HavesReached { piece, ends } => self.on_haves_reached(piece, &ends),
            Scheduled::Delivered { end, item } => self.deliver(end, item),
            Scheduled::Checked { host, piece, verdict } => self.on_checked(host, piece, verdict),
            Scheduled::TrackerAnswered { host, answer } => {
                self.tell(host, (*answer).map_or(Input::AnnounceFailed, announced));
            }
        }
    }

    fn on_wake(&mut self, host: HostId) {
        let now = self.now;
        let sleeper = self.host_mut(host);
        // Only the earliest counts: a later one may have been moved forward.
        if sleeper.wakes_at != Some(now) {
            return;
        }
        sleeper.wakes_at = None;
        if sleeper.torrent.next_timeout().is_some_and(|due| due <= now) {
            self.tell(host, Input::TimedOut);
        } else {
            self.rearm(host);
        }
    }

    fn on_checked(&mut self, host: HostId, piece: PieceIndex, verdict: Verdict) {
        if verdict == Verdict::Bad {
            self.reconnect_liars(host);
        }
        self.tell(host, Input::PieceChecked { piece, verdict });
    }

    /// Hands an input to a peer, and performs its outputs.
    fn tell(&mut self, host: HostId, input: Input) {
        if self.is_here(host) {
            let now = self.now;
            self.host_mut(host).torrent.handle(input, now);
            self.perform_all(host);
            self.send_blocks(host);
            self.rearm(host);
        }
    }

    fn perform_all(&mut self, host: HostId) {
        while let Some(output) = self.host_mut(host).torrent.poll() {
            match output {
                Output::Send { peer: end, message: Message::Have(piece) } => {
                    self.haves.push(Gathered { piece, end });
                }
                output => {
                    // Nothing may overtake them.
                    self.send_haves();
                    self.perform(host, output);
                }
            }
        }
        self.send_haves();
    }

    fn perform(&mut self, host: HostId, output: Output) {
        match output {
            Output::Dial { address } => self.dial(host, address),
            Output::Send { peer, message } => self.send(peer, Item::Message(message)),
            Output::UploadReady { peer, share } => {
                self.host_mut(host).uplink.turns.push(peer, share);
            }
            Output::SendBlock { peer, block } => self.send_block(host, peer, block),
            // Blocks come whole, and their bytes exist only in thought.
            Output::AcceptBlock { .. } | Output::SkipBlock { .. } => {}
            Output::DropPiece(piece) => {
                self.host_mut(host).false_blocks.retain(|block| block.piece() != piece);
            }
            Output::KeepBlock { peer, block } => {
                let is_false = self.conduct_at(peer) != Conduct::Honest;
                let false_blocks = &mut self.host_mut(host).false_blocks;
                if is_false {
                    false_blocks.insert(block);
                } else {
                    false_blocks.remove(&block);
                }
            }
            Output::CheckPiece(piece) => {
                let mut false_blocks = self.host_mut(host).false_blocks.iter();
                let bad = false_blocks.any(|block| block.piece() == piece);
                let verdict = if bad { Verdict::Bad } else { Verdict::Good };
                self.schedule_after(Duration::ZERO, Scheduled::Checked { host, piece, verdict });
            }
            Output::Disconnect { peer, reason: _ } => self.close(peer),
            Output::Announce { event, num_want } => self.announce(host, event, num_want),
            Output::Explain(decision) => self.observer.decision(self.now, host, decision),
            Output::Complete => {
                self.host_mut(host).completed_at = Some(self.elapsed());
                self.incomplete -= 1;
                if let Some(stays) = self.host_mut(host).stays {
                    self.schedule_at(self.now + stays, Scheduled::Leaves(host));
                }
            }
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
        let back = 2 * link.delay;
        let from = address(host).ip();
        let answer = self.tracker.announce(from, &request, &[Family::V4], self.now, &mut self.rng);
        let answer = Box::new(answer.map(|announced| announced.response));
        let traffic =
            Traffic::Announces { host, request: &request, answer: answer.as_ref().as_ref().ok() };
        self.observer.traffic(self.now, traffic);
        self.schedule_after(back, Scheduled::TrackerAnswered { host, answer });
    }

    /// Schedules the next timeout of a peer.
    fn rearm(&mut self, host: HostId) {
        let now = self.now;
        let sleeper = self.host_mut(host);
        if sleeper.presence != Presence::Here {
            return;
        }
        let Some(due) = sleeper.torrent.next_timeout().map(|due| due.max(now)) else { return };
        if sleeper.wakes_at.is_none_or(|wakes_at| due < wakes_at) {
            sleeper.wakes_at = Some(due);
            self.schedule_at(due, Scheduled::Wakes(host));
        }
    }

    fn schedule_at(&mut self, at: Moment, event: Scheduled) {
        self.queue.schedule_at(at, event);
    }

    /// For times that many events have.
    fn schedule_after(&mut self, after: Duration, event: Scheduled) {
        self.queue.schedule_after(after, self.now, event);
    }

    fn is_here(&self, host: HostId) -> bool {
        self.hosts[host.0 as usize].presence == Presence::Here
    }

    fn host_mut(&mut self, host: HostId) -> &mut Host {
        &mut self.hosts[host.0 as usize]
    }
}

/// The address of host 0, in a private network of 2^24 addresses (RFC 1918).
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 0);

/// Where a peer listens.
fn address(host: HostId) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from(u32::from(FIRST_ADDRESS) + host.0), PORT))
}

/// The host that has or would have this address.
pub(in crate::sim) fn host_with(address: SocketAddr) -> Option<HostId> {
    let IpAddr::V4(ip) = address.ip() else { return None };
    u32::from(ip).checked_sub(u32::from(FIRST_ADDRESS)).map(HostId)
}

fn announced(answer: AnnounceResponse) -> Input {
    Input::Announced {
        interval: Duration::from_secs(answer.interval.into()),
        min_interval: answer.min_interval.map(|seconds| Duration::from_secs(seconds.into())),
        peers: answer.peers,
    }
}
