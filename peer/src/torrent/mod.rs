//! One torrent as one peer sees it: inputs go in, outputs come out.
//!
//! [`Torrent::handle`] takes what happened, [`Torrent::poll`] gives what to do. Neither touches a
//! socket, a file or a clock: a shell (or the simulator) hands over inputs with the time, and
//! performs the outputs in their order. File bytes never pass through here; a
//! [`Block`](common::geometry::Block) says which ones are meant.
//!
//! An input first changes the state. Only then, in `settle`, does the core decide about other
//! peers: which to unchoke, which to dial, and which blocks to request.
//!
//! | File | Its part |
//! |---|---|
//! | `input.rs` | the inputs and outputs of the core |
//! | `neighbor.rs` | one neighbor, and the table of all |
//! | `exchange.rs` | the blocks that pass between a neighbor and us |
//! | `admission.rs` | connections: which peers to dial, to accept and to evict |
//! | `messages.rs` | the messages of neighbors |
//! | `download.rs` | requesting blocks, and what becomes of them |
//! | `upload.rs` | choking, and sending blocks |
//! | `sources/` | where addresses come from: the address book, the times of announces |
//! | `snapshot.rs` | the state as a value |

mod admission;
mod download;
mod exchange;
mod input;
mod messages;
mod neighbor;
mod snapshot;
mod sources;
#[cfg(test)]
mod tests;
mod upload;

use std::collections::VecDeque;
use std::time::Duration;

use common::announce;
use common::bitfield::Bitfield;
use common::geometry::Geometry;
use common::id::PeerId;
use common::moment::Moment;
use common::report::Totals;
use common::wire::Message;
use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::PeerKey;
use crate::choker::{Occasion, Strategy};
use crate::decision::Decision;
use crate::picker::{Order, StrictPriority};
use download::Downloads;
pub use input::{Input, Output, Verdict};
pub use neighbor::Neighbor;
use neighbor::Neighbors;
use sources::Sources;
use upload::Uploads;

/// What a user can choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Our peer id.
    pub peer_id: PeerId,
    /// The choking algorithm.
    pub choker: Strategy,
    /// The order in which pieces are requested.
    pub order: Order,
    /// Which pieces in progress go before new ones.
    pub strict_priority: StrictPriority,
    /// How many peers are unchoked by rate.
    pub slots: usize,
    /// Time between two rounds of choking.
    pub rechoke: Duration,
    /// From the start to the first round, if no neighbor may be unchoked before it; `None`: a
    /// neighbor gets a free slot as soon as it wants something, and the first round comes after
    /// [`Config::rechoke`].
    pub gathering: Option<Duration>,
    /// Time between two optimistic unchokes, in whole rounds, at least one; `None`: there are none.
    pub optimistic: Option<Duration>,
    /// Bytes of blocks a second to all neighbors, or no limit.
    pub upload_limit: Option<u64>,
    /// Bytes of blocks a second from all neighbors, or no limit.
    pub download_limit: Option<u64>,
    /// The limit on neighbors.
    pub max_neighbors: usize,
    /// Whether the torrent has a tracker.
    pub has_tracker: bool,
    /// The port at which we accept connections; sent to neighbors that know BEP 10.
    pub listen_port: Option<u16>,
}

impl Config {
    /// What the book and BEP 3 say.
    pub fn new(peer_id: PeerId) -> Self {
        Self {
            peer_id,
            choker: Strategy::default(),
            order: Order::default(),
            strict_priority: StrictPriority::default(),
            slots: 4,                         // K&R 2.5: the top four
            rechoke: Duration::from_secs(10), // K&R 2.5, BEP 3
            gathering: None,
            optimistic: Some(Duration::from_secs(30)), // K&R 2.5, BEP 3
            upload_limit: None,
            download_limit: None,
            max_neighbors: 55, // BEP 3's advice: beyond that TCP suffers
            has_tracker: true,
            listen_port: None,
        }
    }
}

/// One torrent as one peer sees it.
#[derive(Debug)]
pub struct Torrent {
    config: Config,
    geometry: Geometry,
    neighbors: Neighbors,
    sources: Sources,
    downloads: Downloads,
    uploads: Uploads,
    next_check: Moment,
    /// As [`Torrent::next_timeout`] gives it.
    timeout: Option<Moment>,
    totals: Totals,
    pending: Pending,
    outputs: VecDeque<Output>,
    rng: Rng,
}

/// Decisions that an input left for [`Torrent::settle`], which makes them over the new state.
#[derive(Debug, Default)]
struct Pending {
    /// For the choker, oldest first.
    occasions: Vec<Occasion>,
    /// Neighbors from which blocks may be requested.
    ask: Vec<PeerKey>,
    /// Blocks became free: every neighbor may be asked.
    ask_all: bool,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.occasions.is_empty() && self.ask.is_empty() && !self.ask_all
    }
}

/// A round that takes no time would never end.
const SHORTEST_ROUND: Duration = Duration::from_millis(100);

/// How often the core checks request timeouts and keep-alives.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// Peers to ask the tracker for: the number that trackers return by default.
const PEERS_WANTED: u32 = 50;

impl Torrent {
    /// A peer that has the pieces of `have`. All its random choices derive from `seed`.
    ///
    /// Ask [`Self::next_timeout`] for the time of its first [`Input::TimedOut`], which starts it.
    pub fn new(
        mut config: Config,
        geometry: Geometry,
        have: Bitfield,
        seed: u64,
        now: Moment,
    ) -> Self {
        config.rechoke = config.rechoke.max(SHORTEST_ROUND);
        let mut rng = Rng::with_seed(seed);
        let complete = have.is_full();
        let mut torrent = Self {
            neighbors: Neighbors::default(),
            sources: Sources::new(config.has_tracker, now),
            downloads: Downloads::new(&config, geometry, have, &mut rng, now),
            uploads: Uploads::new(&config, complete, now),
            next_check: now + CHECK_INTERVAL,
            timeout: None,
            totals: Totals::default(),
            pending: Pending::default(),
            outputs: VecDeque::new(),
            rng,
            config,
            geometry,
        };
        torrent.timeout = torrent.earliest_timeout();
        torrent
    }

    /// Handles an input. Drain [`Self::poll`] afterward.
    pub fn handle(&mut self, input: Input, now: Moment) {
        let is_have = matches!(input, Input::Received { message: Message::Have(_), .. });
        match input {
            Input::Connected { neighbor, direction, extensions } => {
                self.on_connected(neighbor, direction, extensions, now);
            }
            Input::DialFailed { address } => self.sources.book.failed(address, now),
            Input::Received { peer, message } => self.on_message(peer, message, now),
            Input::BlockArrived { peer, block } => self.on_block_arrived(peer, block, now),
            Input::Writable { peer } => self.on_writable(peer, now),
            Input::Sent { peer, block } => self.on_sent(peer, block, now),
            Input::Disconnected { peer, reason } => self.on_disconnected(peer, reason, now),
            Input::Announced { interval, min_interval, peers } => {
                self.sources.tracker.succeeded(interval, min_interval, now);
                peers.into_iter().for_each(|address| self.sources.book.learn(address, now));
            }
            Input::AnnounceFailed => self.sources.tracker.failed(now),
            Input::PieceChecked { piece, verdict: Verdict::Good } => self.on_verified(piece, now),
            Input::PieceChecked { piece, verdict: Verdict::Bad } => self.on_hash_failed(piece, now),
            Input::PeerNamed { address } => self.sources.book.learn(address, now),
            Input::Leaving => self.on_leaving(),
            Input::TimedOut => self.on_timeout(now),
        }
        // In a crowd nearly all inputs are haves, and nearly all of those call for no decision.
        if !is_have || !self.pending.is_empty() {
            self.settle(now);
            self.timeout = self.earliest_timeout();
        }
    }

    /// The next output, oldest first.
    pub fn poll(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if output.is_none() {
            // A round explains every neighbor; from one to the next, no peer keeps that memory.
            self.outputs = VecDeque::new();
        }
        output
    }

    /// When [`Input::TimedOut`] is due, if nothing else happens before.
    pub fn next_timeout(&self) -> Option<Moment> {
        self.timeout
    }

    fn earliest_timeout(&self) -> Option<Moment> {
        let rounds =
            (!self.neighbors.is_empty()).then(|| self.uploads.next_round().min(self.next_check));
        [
            rounds,
            self.next_dial(),
            self.sources.tracker.next_due(self.need()),
            self.uploads.limiter.ready_at(),
            self.downloads.limiter.ready_at(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What we have, every piece with a good hash.
    pub fn have(&self) -> &Bitfield {
        self.downloads.picker.have()
    }

    /// Whether we have everything.
    pub fn is_complete(&self) -> bool {
        self.have().is_full()
    }

    /// Bytes downloaded and uploaded so far.
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

    /// All neighbors.
    pub fn neighbors(&self) -> impl ExactSizeIterator<Item = &Neighbor> {
        self.neighbors.iter()
    }

    /// The neighbor with this key.
    pub fn neighbor(&self, peer: PeerKey) -> Option<&Neighbor> {
        self.neighbors.get(peer)
    }

    /// Makes the decisions that the input left, over the state as it is now. Nothing here adds or
    /// removes a neighbor.
    fn settle(&mut self, now: Moment) {
        let mut occasions = std::mem::take(&mut self.pending.occasions);
        occasions.drain(..).for_each(|occasion| self.rechoke(occasion, now));
        self.pending.occasions = occasions;

        let mut ask = std::mem::take(&mut self.pending.ask);
        if !std::mem::take(&mut self.pending.ask_all) {
            ask.drain(..).for_each(|peer| self.request_more(peer, now));
        } else {
            ask.clear();
            self.request_from_all(now);
        }
        self.pending.ask = ask;
        if self.downloads.endgame_began() {
            // A neighbor that becomes idle later gets its own entry.
            let chunks = self.downloads.picker.in_progress().len();
            self.explain(Decision::Endgame { chunks });
            self.request_from_all(now);
        }

        self.dial_more(now);
    }

    fn on_timeout(&mut self, now: Moment) {
        if now >= self.next_check {
            self.next_check = now + CHECK_INTERVAL;
            self.check_neighbors(now);
        }
        if now >= self.uploads.next_round() {
            self.run_round(now);
        }
        if let Some(event) = self.sources.tracker.take_due(self.need(), now) {
            self.announce(event);
        }
        if let Some(peer) = self.uploads.limiter.offer(now) {
            self.upload_ready(peer);
        }
        if let Some(peer) = self.downloads.limiter.offer(now) {
            self.pending.ask.push(peer);
        }
    }

    fn on_leaving(&mut self) {
        if self.sources.tracker.was_announced() {
            self.announce(Some(announce::Event::Stopped));
        }
    }

    fn announce(&mut self, event: Option<announce::Event>) {
        let num_want = match event {
            Some(announce::Event::Stopped) => 0,
            Some(announce::Event::Started | announce::Event::Completed) | None => PEERS_WANTED,
        };
        self.outputs.push_back(Output::Announce { event, num_want });
    }

    fn send(&mut self, peer: PeerKey, message: Message, now: Moment) {
        if let Some(neighbor) = self.neighbors.get_mut(peer) {
            neighbor.last_sent = now;
            self.outputs.push_back(Output::Send { peer, message });
        }
    }

    fn explain(&mut self, decision: Decision) {
        self.outputs.push_back(Output::Explain(decision));
    }
}
