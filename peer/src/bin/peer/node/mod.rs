//! The mio loop: carries inputs to the core, and its outputs to sockets, disk and tracker.
//!
//! A turn of the loop: wait for the system or for the core's next deadline; read the clock once;
//! give every connection that has something to do one turn, bounded in bytes; empty the inbox of
//! the other threads; tell the core if its time has come.
//!
//! | File | Its part |
//! |---|---|
//! | `mod.rs` | the loop, and what becomes of each output |
//! | `turns.rs` | accepting and dialing, and a turn for each connection |
//! | `connection.rs` | one connection: its socket, what arrives, what goes out |

mod connection;
mod turns;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use common::announce::{self, AnnounceRequest, AnnounceResponse};
use common::id::PeerId;
use common::moment::Moment;
use common::wire::Handshake;
use fastrand::Rng;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use peer::PeerKey;
use peer::record::{Start, Step};
use peer::torrent::{Input, Output, Torrent};

use crate::announcer::{Announcer, Timeouts};
use crate::choker_program::ChokerProgram;
use crate::disk::{Disk, Done};
use crate::report::{RecordFile, Reporter};
use crate::stop::Stop;
use crate::storage::Storage;
use connection::Connection;

/// The settings of a run.
pub(crate) struct Session {
    pub(crate) storage: Arc<Storage>,
    /// The arguments of the core.
    pub(crate) start: Start,
    /// Chooses in place of the choker of the core.
    pub(crate) choker: Option<ChokerProgram>,
    pub(crate) listeners: Vec<std::net::TcpListener>,
    /// The address that we dial from, if not from any.
    pub(crate) dial_from: Option<IpAddr>,
    /// Peers that the user named.
    pub(crate) named: Vec<SocketAddr>,
    /// Names of peers, by their ids.
    pub(crate) names: BTreeMap<PeerId, Arc<str>>,
    /// For the announcer.
    pub(crate) rng: Rng,
    /// Leave as soon as every chunk is verified.
    pub(crate) leave: bool,
    pub(crate) clock: Clock,
    pub(crate) reporter: Reporter,
    pub(crate) record: Option<RecordFile>,
    pub(crate) stop: Stop,
}

/// The clock of a run: moments count from its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// A clock that starts now.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Moment {
        Moment::START + self.0.elapsed()
    }
}

/// How a loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Every chunk is verified.
    Complete,
    /// Some chunks are missing.
    Incomplete,
}

/// What the other threads send to the loop.
enum Notice {
    Disk(Done),
    Tracker(Result<AnnounceResponse, String>),
}

/// Runs a peer until it is stopped, or until it is complete if it is to leave then.
///
/// # Errors
/// If the peer's own files or the system's event queue fail.
pub(crate) fn run(session: Session) -> Result<Ended> {
    let mut node = Node::new(session)?;
    let result = node.run();
    let left = node.leave();
    result.and_then(|ended| left.map(|()| ended))
}

struct Node {
    session: Session,
    torrent: Torrent,
    handshake: Handshake,
    poll: Poll,
    listeners: Vec<TcpListener>,
    inbox: Receiver<Notice>,
    connections: BTreeMap<PeerKey, Connection>,
    next_key: u64,
    /// Connections that can do something without waiting.
    ready: BTreeSet<PeerKey>,
    /// Connections that are not read until the disk has caught up.
    stalled: BTreeSet<PeerKey>,
    /// When to accept: a connection may be waiting, or the system refused one and may accept it
    /// later.
    accept_at: Option<Moment>,
    /// Dials that the system refused at once, not yet reported to the core.
    failed_dials: Vec<SocketAddr>,
    disk: Disk,
    announcer: Option<Announcer>,
    /// By which a tracker knows us again after a change of address (BEP 7).
    tracker_key: u32,
    /// Where we accept connections.
    port: u16,
    now: Moment,
}

const WAKER: Token = Token(usize::MAX);
const FIRST_LISTENER: usize = usize::MAX - 64;

impl Node {
    fn new(mut session: Session) -> Result<Self> {
        let poll = Poll::new().context("cannot create the event queue")?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER).context("cannot create a waker")?);
        session.stop.subscribe(Arc::clone(&waker));

        let mut listeners = Vec::new();
        for (number, listener) in std::mem::take(&mut session.listeners).into_iter().enumerate() {
            listener.set_nonblocking(true).context("cannot set up the listener")?;
            let mut listener = TcpListener::from_std(listener);
            let token = Token(FIRST_LISTENER + number);
            let registered = poll.registry().register(&mut listener, token, Interest::READABLE);
            registered.context("cannot set up the listener")?;
            listeners.push(listener);
        }
        let address = listeners.first().expect("a session has a listener").local_addr();
        let port = address.context("cannot look up our own address")?.port();

        let (sender, inbox) = mpsc::channel();
        let notify = move |notice| {
            // The loop may have ended already; that is fine.
            if sender.send(notice).is_ok()
                && let Err(error) = waker.wake()
            {
                log::warn!("cannot wake the loop: {error}");
            }
        };
        let Session { storage, start, choker, rng, dial_from, clock, record, .. } = &mut session;
        let notify_too = notify.clone();
        let done = move |done| notify_too(Notice::Disk(done));
        let disk = Disk::spawn(Arc::clone(storage), done)?;
        let announcer = (!storage.metainfo.trackers.is_empty()).then(|| {
            let outcome = move |outcome| notify(Notice::Tracker(outcome));
            let tiers = storage.metainfo.trackers.clone();
            Announcer::spawn(tiers, *dial_from, Timeouts::USUAL, rng.fork(), outcome)
        });
        let announcer = announcer.transpose().context("cannot start the announcer's thread")?;
        let tracker_key = rng.u32(..);

        start.at = clock.now();
        start.config.listen_port = Some(port);
        let handshake = Handshake::new(storage.metainfo.info_hash, start.config.peer_id);
        if let Some(record) = record {
            record.start(start);
        }
        let mut torrent = start.clone().torrent();
        if let Some(program) = choker.take() {
            torrent.ask_choker(Box::new(program));
        }
        Ok(Self {
            now: start.at,
            session,
            torrent,
            handshake,
            poll,
            listeners,
            inbox,
            connections: BTreeMap::new(),
            next_key: 0,
            ready: BTreeSet::new(),
            stalled: BTreeSet::new(),
            accept_at: Some(Moment::START),
            failed_dials: Vec::new(),
            disk,
            announcer,
            tracker_key,
            port,
        })
    }

    fn run(&mut self) -> Result<Ended> {
        for address in std::mem::take(&mut self.session.named) {
            self.tell(Input::PeerNamed { address })?;
        }
        let mut events = Events::with_capacity(1024);
        loop {
            let complete = self.torrent.is_complete();
            if self.session.stop.is_stopped() || (complete && self.session.leave) {
                return Ok(if complete { Ended::Complete } else { Ended::Incomplete });
            }
            if let Err(error) = self.poll.poll(&mut events, self.poll_timeout())
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error).context("cannot wait for events");
            }
            self.now = self.session.clock.now();
            self.take_events(&events);
            self.accept_all();
            for peer in std::mem::take(&mut self.ready) {
                self.turn(peer)?;
            }
            while let Ok(notice) = self.inbox.try_recv() {
                self.take_notice(notice)?;
            }
            self.end_overdue()?;
            if self.torrent.next_timeout().is_some_and(|time| time <= self.now) {
                self.tell(Input::TimedOut)?;
            }
            self.session.reporter.progress(&self.torrent, self.now);
        }
    }

    /// The poll timeout; `None` waits forever.
    fn poll_timeout(&self) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let now = self.session.clock.now();
        let reporter = self.session.reporter.next_due();
        [self.torrent.next_timeout(), reporter, self.accept_at]
            .into_iter()
            .chain(self.connections.values().map(|connection| connection.deadline))
            .flatten()
            .min()
            .map(|time| time - now)
    }

    fn take_events(&mut self, events: &Events) {
        for event in events {
            match event.token() {
                WAKER => {}
                Token(number) if number >= FIRST_LISTENER => {
                    self.accept_at.get_or_insert(self.now);
                }
                Token(number) => {
                    let peer = PeerKey(number as u64);
                    let Some(connection) = self.connections.get_mut(&peer) else { continue };
                    let failed = event.is_error();
                    connection.readable |= event.is_readable() || event.is_read_closed() || failed;
                    connection.writable |= event.is_writable() || event.is_write_closed() || failed;
                    self.ready.insert(peer);
                }
            }
        }
    }

    fn take_notice(&mut self, notice: Notice) -> Result<()> {
        match notice {
            Notice::Disk(Done::Checked { piece, verdict }) => {
                self.tell(Input::PieceChecked { piece, verdict })
            }
            Notice::Disk(Done::CaughtUp) => {
                self.ready.append(&mut self.stalled);
                Ok(())
            }
            Notice::Disk(Done::Failed(error)) => Err(error),
            Notice::Tracker(Ok(AnnounceResponse { interval, min_interval, peers, .. })) => {
                self.session.reporter.tracker_answered(peers.len());
                let seconds = |seconds: u32| Duration::from_secs(seconds.into());
                let (interval, min_interval) = (seconds(interval), min_interval.map(seconds));
                self.tell(Input::Announced { interval, min_interval, peers })
            }
            Notice::Tracker(Err(error)) => {
                self.session.reporter.announce_failed(error);
                self.tell(Input::AnnounceFailed)
            }
        }
    }

    /// Hands an input to the core, and performs its outputs.
    fn tell(&mut self, input: Input) -> Result<()> {
        self.handle(input)?;
        // The core hears of dials that failed at once when everything else is done.
        while let Some(address) = self.failed_dials.pop() {
            self.handle(Input::DialFailed { address })?;
        }
        Ok(())
    }

    fn handle(&mut self, input: Input) -> Result<()> {
        let mut step = self.session.record.is_some().then(|| Step::new(input.clone(), self.now));
        self.torrent.handle(input, self.now);
        let mut result = Ok(());
        // After an error the other outputs are only recorded: the run ends.
        while let Some(output) = self.torrent.poll() {
            if let Some(step) = &mut step {
                step.answer(&output);
            }
            result = result.and_then(|()| self.perform(output));
        }
        if let (Some(record), Some(step)) = (&self.session.record, step) {
            record.step(step);
        }
        result
    }

    fn perform(&mut self, output: Output) -> Result<()> {
        match output {
            Output::Dial { address } => self.dial(address),
            Output::Send { peer, message } => self.send(peer, &message),
            Output::UploadReady { peer, share: _ } => {
                if let Some(connection) = self.connections.get_mut(&peer) {
                    connection.upload_ready = true;
                    self.ready.insert(peer);
                }
            }
            Output::SendBlock { peer, block } => {
                if let Some(connection) = self.connections.get_mut(&peer) {
                    connection.queue_block(block);
                    // There may be another one after it.
                    connection.upload_ready = true;
                }
            }
            Output::AcceptBlock { peer, block: _ } => {
                if let Some(connection) = self.connections.get_mut(&peer) {
                    connection.accept_body(self.disk.buffer());
                }
            }
            Output::SkipBlock { .. } => {} // as a connection does by itself
            Output::KeepBlock { peer, block } => {
                let connection = self.connections.get_mut(&peer);
                if let Some(bytes) = connection.and_then(|connection| connection.arrived.take()) {
                    self.disk.keep(block, bytes);
                }
            }
            Output::DropPiece(piece) => self.disk.forget(piece),
            Output::CheckPiece(piece) => self.disk.check(piece),
            Output::Disconnect { peer, reason } => {
                if let Some(connection) = self.close(peer) {
                    log::debug!("{}: closed: {reason}", connection.address);
                    self.note_end(&connection, &reason);
                }
            }
            Output::Announce { event, num_want } => self.announce(event, num_want),
            Output::Explain(decision) => self.session.reporter.decision(&decision, self.now),
            Output::Complete => {
                let path = self.session.storage.finish()?;
                self.disk.trim();
                self.session.reporter.complete(&path, &self.torrent, self.now)?;
            }
        }
        Ok(())
    }

    fn announce(&mut self, event: Option<announce::Event>, num_want: u32) {
        let Some(announcer) = &self.announcer else { return };
        let totals = self.torrent.totals();
        announcer.announce(AnnounceRequest {
            info_hash: self.handshake.info_hash,
            peer_id: self.handshake.peer_id,
            port: self.port,
            uploaded: totals.uploaded,
            downloaded: totals.downloaded,
            left: self.torrent.left(),
            event,
            num_want: Some(num_want),
            key: self.tracker_key,
            tracker_id: None,
        });
    }

    /// Reports the end, and lets the core leave the swarm.
    fn leave(&mut self) -> Result<()> {
        self.session.reporter.end(&self.torrent, self.now);
        let left = self.tell(Input::Leaving);
        let recorded = self.session.record.as_ref().map_or(Ok(()), RecordFile::flush);
        left.and(recorded).and(self.session.reporter.finish_events())
    }
}
