//! One torrent as one peer sees it: what happened goes in, what to do comes out.
//!
//! [`Torrent::handle`] is the whole of it. It touches no socket, no file and no clock: the shell
//! (or the simulator) tells it events and the time, and carries out the actions in their order.
//! File bytes never pass through here; a [`Block`] says which ones are meant.
//!
//! | File | Which part |
//! |---|---|
//! | `mod.rs` | events, actions, time |
//! | `neighbors.rs` | who is a neighbour: calling, taking in, letting go |
//! | `messages.rs` | what neighbours say |
//! | `download.rs` | asking for blocks and what becomes of them |
//! | `upload.rs` | choking, and sending blocks |
//! | `announcing.rs` | when to announce to the tracker |

mod announcing;
mod download;
mod messages;
mod neighbors;
#[cfg(test)]
mod tests;
mod upload;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::announce;
use common::bitfield::Bitfield;
use common::geometry::{Block, Geometry, PieceIndex};
use common::id::PeerId;
use common::message::Message;
use fastrand::Rng;

use crate::PeerKey;
use crate::choker::{Choker, Settings, Strategy};
use crate::contacts::Contacts;
use crate::decision::{Decision, DisconnectReason};
use crate::limiter::Limiter;
use crate::picker::{Order, Picker};
use crate::remote::{Direction, Remote};
use crate::reputation::Reputation;
use announcing::Announcing;

/// What a user can choose.
#[derive(Clone, Debug)]
pub struct Config {
    /// What we call ourselves.
    pub peer_id: PeerId,
    /// Who may download from us.
    pub choker: Strategy,
    /// Which piece is next.
    pub order: Order,
    /// How many peers are unchoked by rate.
    pub slots: usize,
    /// Time between two rounds of choking.
    pub rechoke: Duration,
    /// Time between two optimistic unchokes; in whole rounds, at least one.
    pub optimistic: Duration,
    /// Bytes of blocks a second to all neighbours, or no limit.
    pub upload_limit: Option<u64>,
    /// Bytes of blocks a second from all neighbours, or no limit.
    pub download_limit: Option<u64>,
    /// Most neighbours at a time.
    pub max_neighbors: usize,
    /// Whether there is a tracker to announce to.
    pub has_tracker: bool,
}

impl Config {
    /// What the book and BEP 3 say.
    pub fn new(peer_id: PeerId) -> Self {
        Self {
            peer_id,
            choker: Strategy::Textbook,
            order: Order::RarestFirst,
            slots: 4,                            // K&R 2.5: the top four
            rechoke: Duration::from_secs(10),    // K&R 2.5, BEP 3
            optimistic: Duration::from_secs(30), // K&R 2.5, BEP 3
            upload_limit: None,
            download_limit: None,
            max_neighbors: 55, // BEP 3's advice: beyond that TCP suffers
            has_tracker: true,
        }
    }
}

/// Something happened outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection is open and handshakes for this torrent were exchanged.
    Connected {
        /// A new key, never used before.
        peer: PeerKey,
        /// The other end.
        address: SocketAddr,
        /// Who called whom.
        direction: Direction,
        /// From its handshake.
        peer_id: PeerId,
    },
    /// What [`Action::Connect`] asked for came to nothing.
    ConnectFailed {
        /// Whom we called.
        address: SocketAddr,
    },
    /// A neighbour sent a message. For a piece message the shell holds the bytes ready.
    Received {
        /// The neighbour.
        peer: PeerKey,
        /// What it said.
        message: Message,
    },
    /// A block that [`Torrent::next_upload`] named went out.
    Sent {
        /// The neighbour.
        peer: PeerKey,
        /// What went out.
        block: Block,
    },
    /// A connection ended from outside (never after [`Action::Disconnect`]).
    Disconnected {
        /// The neighbour.
        peer: PeerKey,
        /// What is known of it.
        reason: DisconnectReason,
    },
    /// The tracker answered.
    Announced {
        /// Until the next regular announce.
        interval: Duration,
        /// Not to announce earlier than this.
        min_interval: Option<Duration>,
        /// Some peers of the swarm.
        peers: Vec<SocketAddr>,
    },
    /// The tracker did not answer, or refused.
    AnnounceFailed,
    /// What [`Action::CheckPiece`] asked for is done.
    PieceChecked {
        /// The piece.
        piece: PieceIndex,
        /// Whether it has the right hash (and is on the disk).
        verdict: Verdict,
    },
    /// A user named a peer.
    PeerNamed {
        /// Where it listens.
        address: SocketAddr,
    },
    /// We are about to leave the swarm.
    Leaving,
    /// The time of [`Torrent::next_timeout`] has come.
    TimedOut,
}

/// What checking a piece showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The hash is that of the torrent.
    Good,
    /// It is not.
    Bad,
}

/// Something to do outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Call a peer, exchange handshakes; then report [`Event::Connected`] or
    /// [`Event::ConnectFailed`].
    Connect {
        /// Where it listens.
        address: SocketAddr,
    },
    /// Send a message; never a piece message, for which see [`Torrent::next_upload`].
    Send {
        /// To whom.
        peer: PeerKey,
        /// What.
        message: Message,
    },
    /// There may be a block to send: ask [`Torrent::next_upload`] when the connection can take it.
    Upload {
        /// To whom.
        peer: PeerKey,
    },
    /// Close the connection; no further event is about it.
    Disconnect {
        /// Whose.
        peer: PeerKey,
        /// Why.
        reason: DisconnectReason,
    },
    /// Keep the bytes of the block that just came.
    WriteBlock(Block),
    /// All blocks of the piece are here: report [`Event::PieceChecked`].
    CheckPiece(PieceIndex),
    /// Tell the tracker about us; then report [`Event::Announced`] or [`Event::AnnounceFailed`].
    Announce {
        /// What happened, if anything.
        event: Option<announce::Event>,
        /// How many peers we would like to hear of.
        num_want: u32,
    },
    /// Tell the user.
    Explain(Decision),
    /// All is here and verified.
    Complete,
}

/// Bytes that went to and fro since the start, and what else a progress bar shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes of blocks that came and were asked for.
    pub downloaded: u64,
    /// Bytes of blocks that we sent.
    pub uploaded: u64,
    /// Bytes of blocks that came and were of no use.
    pub wasted: u64,
}

/// One torrent as one peer sees it.
#[derive(Debug)]
pub struct Torrent {
    config: Config,
    geometry: Geometry,
    picker: Picker,
    remotes: BTreeMap<PeerKey, Remote>,
    contacts: Contacts,
    reputation: Reputation,
    choker: Box<dyn Choker>,
    announcing: Announcing,
    upload_limiter: Limiter,
    download_limiter: Limiter,
    next_round: Instant,
    round: u32,
    next_check: Instant,
    /// As it was after the last event.
    in_endgame: bool,
    totals: Totals,
    rng: Rng,
    /// What the event being handled leads to.
    actions: Vec<Action>,
}

/// A round that takes no time would never end.
const SHORTEST_ROUND: Duration = Duration::from_millis(100);

/// How often what happens in minutes is looked after: time-outs, keep-alives.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

impl Torrent {
    /// A peer that has the pieces of `have`. All chance in it comes from `seed`.
    ///
    /// Ask [`Self::next_timeout`] for the time of its first [`Event::TimedOut`], which starts it.
    pub fn new(
        mut config: Config,
        geometry: Geometry,
        have: Bitfield,
        seed: u64,
        now: Instant,
    ) -> Self {
        config.rechoke = config.rechoke.max(SHORTEST_ROUND);
        let mut rng = Rng::with_seed(seed);
        let complete = have.is_full();
        let picker = Picker::new(geometry, have, config.order, &mut rng);
        let settings = Settings {
            slots: config.slots,
            rounds_per_optimistic: rounds(config.optimistic, config.rechoke),
        };
        let choker =
            if complete { config.choker.seed(&settings) } else { config.choker.leecher(&settings) };
        Self {
            picker,
            remotes: BTreeMap::new(),
            contacts: Contacts::default(),
            reputation: Reputation::default(),
            choker,
            announcing: Announcing::new(config.has_tracker, now),
            upload_limiter: Limiter::new(config.upload_limit, now),
            download_limiter: Limiter::new(config.download_limit, now),
            next_round: now + config.rechoke,
            round: 0,
            next_check: now + CHECK_INTERVAL,
            in_endgame: false,
            totals: Totals::default(),
            rng,
            actions: Vec::new(),
            config,
            geometry,
        }
    }

    /// What to do about something that happened.
    #[must_use]
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        match event {
            Event::Connected { peer, address, direction, peer_id } => {
                self.on_connected(peer, address, direction, peer_id, now);
            }
            Event::ConnectFailed { address } => {
                self.contacts.failed(address, now);
                self.call_more(now);
            }
            Event::Received { peer, message } => self.on_message(peer, message, now),
            Event::Sent { peer, block } => self.on_sent(peer, block, now),
            Event::Disconnected { peer, reason } => self.on_disconnected(peer, reason, now),
            Event::Announced { interval, min_interval, peers } => {
                self.announcing.succeeded(interval, min_interval, now);
                peers.into_iter().for_each(|address| self.contacts.learn(address, now));
                self.call_more(now);
            }
            Event::AnnounceFailed => self.announcing.failed(now),
            Event::PieceChecked { piece, verdict: Verdict::Good } => self.on_verified(piece, now),
            Event::PieceChecked { piece, verdict: Verdict::Bad } => self.on_hash_failed(piece, now),
            Event::PeerNamed { address } => {
                self.contacts.learn(address, now);
                self.call_more(now);
            }
            Event::Leaving => {
                if self.announcing.was_announced() {
                    self.announce(Some(announce::Event::Stopped));
                }
            }
            Event::TimedOut => self.on_timeout(now),
        }
        self.begin_endgame(now);
        std::mem::take(&mut self.actions)
    }

    /// When [`Event::TimedOut`] is due, if nothing else happens before.
    pub fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let rounds = (!self.remotes.is_empty()).then(|| self.next_round.min(self.next_check));
        let calls = self.contacts.next_due().filter(|_| self.wants_neighbors());
        [
            rounds,
            calls,
            self.announcing.next_due(self.need()),
            self.upload_limiter.ready_at(now),
            self.download_limiter.ready_at(now),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What we have, every piece with a good hash.
    pub fn have(&self) -> &Bitfield {
        self.picker.have()
    }

    /// Whether we have everything.
    pub fn is_complete(&self) -> bool {
        self.have().is_full()
    }

    /// Bytes that went to and fro.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Bytes of the pieces that are missing, as announced to the tracker.
    pub fn left(&self) -> u64 {
        let have = self.have();
        let size = |piece| u64::from(self.geometry.piece_size(piece));
        let missing = self.geometry.pieces().filter(|&piece| !have.contains(piece));
        missing.map(size).sum()
    }

    /// The neighbours that there are.
    pub fn neighbors(&self) -> impl ExactSizeIterator<Item = (PeerKey, &Remote)> {
        self.remotes.iter().map(|(&peer, remote)| (peer, remote))
    }

    fn on_timeout(&mut self, now: Instant) {
        if now >= self.next_check {
            self.next_check = now + CHECK_INTERVAL;
            self.check_neighbors(now);
        }
        if now >= self.next_round {
            self.run_round(now);
            self.skip_rounds(now);
        }
        if let Some(event) = self.announcing.take_due(self.need(), now) {
            self.announce(event);
        }
        if let Some(peer) = self.upload_limiter.offer(now) {
            self.act(Action::Upload { peer });
        }
        if let Some(peer) = self.download_limiter.offer(now) {
            self.request_more(peer, now);
        }
        self.call_more(now);
    }

    /// Rounds keep to their times even if one came late, or nobody was there for some.
    fn skip_rounds(&mut self, now: Instant) {
        while self.next_round <= now {
            self.next_round += self.config.rechoke;
        }
    }

    fn announce(&mut self, event: Option<announce::Event>) {
        let num_want = match event {
            Some(announce::Event::Stopped) => 0,
            Some(announce::Event::Started | announce::Event::Completed) | None => PEERS_WANTED,
        };
        self.act(Action::Announce { event, num_want });
    }

    fn send(&mut self, peer: PeerKey, message: Message, now: Instant) {
        if let Some(remote) = self.remotes.get_mut(&peer) {
            remote.last_sent = now;
            self.act(Action::Send { peer, message });
        }
    }

    fn explain(&mut self, decision: Decision) {
        self.act(Action::Explain(decision));
    }

    fn act(&mut self, action: Action) {
        self.actions.push(action);
    }
}

/// Peers to ask the tracker for: what all trackers give if they are asked for nothing.
const PEERS_WANTED: u32 = 50;

/// How many rounds of choking an optimistic unchoke lasts.
fn rounds(optimistic: Duration, rechoke: Duration) -> u32 {
    let rounds = optimistic.as_nanos() / rechoke.as_nanos().max(1);
    u32::try_from(rounds).unwrap_or(u32::MAX).max(1)
}
