//! The mio loop: carries events to the core and its actions to sockets, disk and tracker.
//!
//! A turn of the loop: wait for the system or for the core's next deadline; read the clock once;
//! give every connection that has something to do one turn, bounded in bytes; empty the inbox of
//! the other threads; tell the core if its time has come.

#![allow(clippy::disallowed_methods, reason = "the shell is where the clock is read")]

mod turns;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use common::announce;
use common::message::Handshake;
use common::metainfo::Metainfo;
use fastrand::Rng;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use peer::PeerKey;
use peer::torrent::{Action, Event, Torrent};

use crate::announcer::{self, Announcer, Outcome, Progress};
use crate::connection::Connection;
use crate::disk::{Disk, Done};
use crate::report::Reporter;
use crate::stop::Stop;
use crate::storage::Storage;

/// What a loop needs to begin.
pub(crate) struct Setup {
    pub(crate) metainfo: Arc<Metainfo>,
    pub(crate) storage: Arc<Storage>,
    pub(crate) torrent: Torrent,
    pub(crate) handshake: Handshake,
    pub(crate) listeners: Vec<std::net::TcpListener>,
    /// Where calls leave from, if not from any address.
    pub(crate) call_from: Option<IpAddr>,
    /// Peers that the user named.
    pub(crate) named: Vec<SocketAddr>,
    pub(crate) tracker_key: u32,
    /// Leave as soon as all is here.
    pub(crate) leave: bool,
    pub(crate) reporter: Reporter,
    pub(crate) stop: Stop,
}

/// How a loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All is here and verified.
    Complete,
    /// Something is missing still.
    Incomplete,
}

/// What the other threads tell the loop.
enum Notice {
    Disk(Done),
    Tracker(Outcome),
}

/// Runs a peer until it is stopped, or until it is complete if it is to leave then.
///
/// # Errors
/// What the peer cannot go on without: its own files, and the system's event queue.
pub(crate) fn run(setup: Setup) -> Result<Ended> {
    let mut reactor = Reactor::new(setup)?;
    let result = reactor.run();
    reactor.leave();
    result
}

struct Reactor {
    poll: Poll,
    listeners: Vec<TcpListener>,
    inbox: Receiver<Notice>,
    torrent: Torrent,
    connections: BTreeMap<PeerKey, Connection>,
    next_key: u64,
    /// Connections that can do something without waiting.
    ready: BTreeSet<PeerKey>,
    /// Connections that are not read until the disk has caught up.
    stalled: BTreeSet<PeerKey>,
    /// Somebody may be waiting to be accepted.
    accept: bool,
    /// When to try again, after the system refused.
    accept_after: Option<Instant>,
    storage: Arc<Storage>,
    disk: Disk,
    announcer: Option<Announcer>,
    reporter: Reporter,
    metainfo: Arc<Metainfo>,
    handshake: Handshake,
    call_from: Option<IpAddr>,
    named: Vec<SocketAddr>,
    leave: bool,
    finished: bool,
    stop: Stop,
    now: Instant,
}

const WAKER: Token = Token(usize::MAX);
const FIRST_LISTENER: usize = usize::MAX - 64;

impl Reactor {
    fn new(setup: Setup) -> Result<Self> {
        let now = Instant::now();
        let poll = Poll::new().context("create the event queue")?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER).context("create a waker")?);
        setup.stop.subscribe(Arc::clone(&waker));

        let mut listeners = Vec::new();
        for (number, listener) in setup.listeners.into_iter().enumerate() {
            listener.set_nonblocking(true).context("set up the listener")?;
            let mut listener = TcpListener::from_std(listener);
            let token = Token(FIRST_LISTENER + number);
            poll.registry().register(&mut listener, token, Interest::READABLE)?;
            listeners.push(listener);
        }
        let port = listeners.first().context("nothing to listen on")?.local_addr()?.port();

        let (sender, inbox) = mpsc::channel();
        let to_loop = |waker: Arc<Waker>| {
            let sender = sender.clone();
            move |notice| {
                // The loop may be gone already, and then nobody minds.
                if sender.send(notice).is_ok()
                    && let Err(error) = waker.wake()
                {
                    log::warn!("wake the loop: {error}");
                }
            }
        };
        let disk_done = to_loop(Arc::clone(&waker));
        let disk =
            Disk::spawn(Arc::clone(&setup.storage), Arc::clone(&setup.metainfo), move |done| {
                disk_done(Notice::Disk(done));
            })?;
        let announced = to_loop(waker);
        let announcer = (!setup.metainfo.trackers.is_empty()).then(|| {
            let tracker = announcer::Setup {
                tiers: setup.metainfo.trackers.clone(),
                info_hash: setup.handshake.info_hash,
                peer_id: setup.handshake.peer_id,
                port,
                key: setup.tracker_key,
                bind: setup.call_from,
                rng: Rng::with_seed(u64::from(setup.tracker_key)),
            };
            Announcer::spawn(tracker, move |outcome| announced(Notice::Tracker(outcome)))
        });
        let announcer = announcer.transpose().context("start the announcer's thread")?;

        let finished = setup.torrent.is_complete();
        Ok(Self {
            poll,
            listeners,
            inbox,
            torrent: setup.torrent,
            connections: BTreeMap::new(),
            next_key: 0,
            ready: BTreeSet::new(),
            stalled: BTreeSet::new(),
            accept: true,
            accept_after: None,
            storage: setup.storage,
            disk,
            announcer,
            reporter: setup.reporter,
            metainfo: setup.metainfo,
            handshake: setup.handshake,
            call_from: setup.call_from,
            named: setup.named,
            leave: setup.leave,
            finished,
            stop: setup.stop,
            now,
        })
    }

    fn run(&mut self) -> Result<Ended> {
        for address in std::mem::take(&mut self.named) {
            self.tell(Event::PeerNamed { address }, &[])?;
        }
        let mut events = Events::with_capacity(1024);
        loop {
            if self.stop.is_stopped() || (self.finished && self.leave) {
                return Ok(if self.finished { Ended::Complete } else { Ended::Incomplete });
            }
            if let Err(error) = self.poll.poll(&mut events, self.patience())
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error).context("wait for events");
            }
            self.now = Instant::now();
            self.take_events(&events);
            self.accept_all();
            for peer in std::mem::take(&mut self.ready) {
                self.turn(peer)?;
            }
            while let Ok(notice) = self.inbox.try_recv() {
                self.take_notice(notice)?;
            }
            self.end_overdue()?;
            if self.torrent.next_timeout(self.now).is_some_and(|time| time <= self.now) {
                self.tell(Event::TimedOut, &[])?;
            }
            self.reporter.progress(&self.torrent, self.now);
        }
    }

    /// How long to wait for the system; `None` is for ever.
    fn patience(&self) -> Option<Duration> {
        // Nobody else says that calls wait, if a descriptor became free for them.
        let accepts = self.accept && self.accept_after.is_none();
        if accepts || !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let now = Instant::now();
        [self.torrent.next_timeout(now), self.reporter.next_due(), self.accept_after]
            .into_iter()
            .chain(self.connections.values().map(Connection::deadline))
            .flatten()
            .min()
            .map(|time| time.saturating_duration_since(now))
    }

    fn take_events(&mut self, events: &Events) {
        for event in events {
            match event.token() {
                WAKER => {}
                Token(number) if number >= FIRST_LISTENER => self.accept = true,
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
                self.tell(Event::PieceChecked { piece, verdict }, &[])
            }
            Notice::Disk(Done::CaughtUp) => {
                self.ready.append(&mut self.stalled);
                Ok(())
            }
            Notice::Disk(Done::Failed(error)) => Err(error),
            Notice::Tracker(Outcome::Announced { interval, min_interval, peers }) => {
                self.reporter.tracker_answered(peers.len());
                self.tell(Event::Announced { interval, min_interval, peers }, &[])
            }
            Notice::Tracker(Outcome::Failed { error }) => {
                self.reporter.warn(&format!("tracker: {error}"));
                self.tell(Event::AnnounceFailed, &[])
            }
        }
    }

    /// Tells the core what happened, and does what it says. `bytes` are those of the block that
    /// came, if one did.
    fn tell(&mut self, event: Event, bytes: &[u8]) -> Result<()> {
        let mut actions = VecDeque::from(self.torrent.handle(event, self.now));
        while let Some(action) = actions.pop_front() {
            // Told here and not in the depth: thousands of calls may fail, one after the other.
            if let Some(event) = self.carry_out(action, bytes)? {
                actions.extend(self.torrent.handle(event, self.now));
            }
        }
        Ok(())
    }

    /// Does what the core says, and returns what came of it if that is known at once.
    fn carry_out(&mut self, action: Action, bytes: &[u8]) -> Result<Option<Event>> {
        match action {
            Action::Connect { address } => return Ok(self.call(address)),
            Action::Send { peer, message } => self.send(peer, &message),
            Action::Upload { peer } => {
                self.ready.insert(peer);
            }
            Action::Disconnect { peer, reason } => {
                if let Some(connection) = self.close(peer) {
                    log::debug!("{}: closed: {reason}", connection.address);
                }
            }
            Action::WriteBlock(block) => self.disk.write(block, bytes),
            Action::CheckPiece(piece) => self.disk.check(piece),
            Action::Announce { event, num_want } => self.announce(event, num_want),
            Action::Explain(decision) => self.reporter.decision(&decision, self.now),
            Action::Complete => {
                let path = self.storage.finish()?;
                self.finished = true;
                self.reporter.complete(&path, &self.torrent, self.now)?;
            }
        }
        Ok(None)
    }

    fn announce(&mut self, event: Option<announce::Event>, num_want: u32) {
        // A peer that leaves says so in `leave`, which waits for the answer.
        let Some(announcer) = &self.announcer else { return };
        announcer.announce(event, num_want, self.announced_progress());
    }

    /// Says goodbye to the tracker, and shows that it is over.
    fn leave(&mut self) {
        self.reporter.end();
        let wants_stopped = !self.torrent.handle(Event::Leaving, self.now).is_empty();
        if let (true, Some(announcer)) = (wants_stopped, self.announcer.take()) {
            announcer.stop(self.announced_progress());
        }
    }

    fn announced_progress(&self) -> Progress {
        let totals = self.torrent.totals();
        Progress {
            uploaded: totals.uploaded,
            downloaded: totals.downloaded,
            left: self.torrent.left(),
        }
    }
}
