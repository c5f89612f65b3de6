//! What the loop does with its connections: accepting and dialing, a turn for each that is ready,
//! and the end.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use common::report::{Direction, Identity};
use common::wire::{Handshake, Message};
use mio::net::TcpStream;
use mio::{Interest, Token};
use peer::PeerKey;
use peer::decision::DisconnectReason;
use peer::torrent::Input;

use super::Node;
use super::connection::{Arrival, Connection, Fault, Flushed, Stage};
use crate::disk::BACKLOG_LIMIT;
use crate::io_error;

/// Bytes that a connection may read, and write, before others have their turn.
const TURN_BYTES: usize = 256 * 1024;

/// Connections that have not said which torrent they are about: in all, and from one address. A
/// class behind one address may well connect all at once.
const MAX_STRANGERS: usize = 150;
const MAX_STRANGERS_PER_ADDRESS: usize = 75;

/// The wait when the system has no descriptor left for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

impl Node {
    /// Accepts the connections that wait.
    pub(super) fn accept_all(&mut self) {
        if self.accept_at.is_none_or(|time| time > self.now) {
            return;
        }
        self.accept_at = None;
        let mut listener = 0;
        while listener < self.listeners.len() {
            match self.listeners[listener].accept() {
                Ok((stream, address)) => self.admit(stream, address),
                Err(error) if error.kind() == ErrorKind::WouldBlock => listener += 1,
                // The peer disconnected before we accepted, or a signal came.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    log::warn!("cannot accept a connection: {error}; trying again later");
                    self.accept_at = Some(self.now + ACCEPT_PAUSE);
                    listener += 1;
                }
            }
        }
    }

    /// Waits for the handshake of a peer that connected. If too many have not sent theirs yet, the
    /// one that has had the most time for it is disconnected: an honest peer needs only a moment.
    fn admit(&mut self, stream: TcpStream, address: SocketAddr) {
        let mut strangers = self.connections.iter().filter(|(_, other)| {
            other.direction == Direction::Incoming && other.stage != Stage::Open
        });
        let mut from_there =
            strangers.clone().filter(|(_, other)| other.address.ip() == address.ip());
        // Keys count up, so the oldest come first.
        let oldest = if from_there.clone().count() >= MAX_STRANGERS_PER_ADDRESS {
            from_there.next()
        } else if strangers.clone().count() >= MAX_STRANGERS {
            strangers.next()
        } else {
            None
        };
        let oldest = oldest.map(|(&peer, _)| peer);
        if let Some(connection) = oldest.and_then(|peer| self.close(peer)) {
            log::debug!("{}: no handshake yet; others wait", connection.address);
        }
        let geometry = &self.session.start.geometry;
        let connection = Connection::accepted(stream, address, geometry, self.now);
        if let Err(error) = self.add(connection) {
            log::debug!("{address}: {error}");
        }
    }

    fn add(&mut self, mut connection: Connection) -> io::Result<()> {
        let peer = PeerKey(self.next_key);
        self.next_key += 1;
        let token = Token(usize::try_from(peer.0).expect("keys count up from 0"));
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut connection.stream, token, both)?;
        self.connections.insert(peer, connection);
        Ok(())
    }

    /// Dials a peer for the core.
    pub(super) fn dial(&mut self, address: SocketAddr) {
        let (geometry, from) = (&self.session.start.geometry, self.session.dial_from);
        let dialed = Connection::dial(address, from, geometry, self.now)
            .and_then(|connection| self.add(connection));
        if let Err(error) = dialed {
            log::debug!("cannot dial {address}: {error}");
            self.session.reporter.dial_failed(address, io_error::describe(&error));
            self.failed_dials.push(address);
        }
    }

    /// Queues a message to a peer.
    pub(super) fn send(&mut self, peer: PeerKey, message: &Message) {
        let Some(connection) = self.connections.get_mut(&peer) else { return };
        self.ready.insert(peer);
        if let Err(error) = connection.queue(message) {
            // Its next turn finds it closed, as if the other side had closed it.
            log::debug!("{}: {error}", connection.address);
            connection.readable = true;
            if let Err(error) = connection.stream.shutdown(std::net::Shutdown::Both) {
                log::debug!("{}: {error}", connection.address);
            }
        }
    }

    /// One turn of a connection: all that it can do now, within bounds.
    pub(super) fn turn(&mut self, peer: PeerKey) -> Result<()> {
        match self.read_turn(peer).and_then(|()| self.write_turn(peer)) {
            Ok(()) => Ok(()),
            Err(Fault::Peer(reason)) => self.lost(peer, reason),
            Err(Fault::Ours(error)) => Err(error),
        }
    }

    fn read_turn(&mut self, peer: PeerKey) -> Result<(), Fault> {
        let Some(connection) = self.connections.get_mut(&peer) else { return Ok(()) };
        if connection.stage == Stage::Dialing {
            if !connection.writable || !connection.is_established(self.now)? {
                return Ok(());
            }
            connection.queue_handshake(&self.handshake);
        }
        let mut budget = TURN_BYTES;
        loop {
            let Some(connection) = self.connections.get_mut(&peer) else { return Ok(()) };
            if !connection.readable {
                return Ok(());
            }
            if budget == 0 {
                self.ready.insert(peer);
                return Ok(());
            }
            // Data that the disk has not written yet must not pile up: TCP slows the sender down.
            if self.disk.backlog() >= BACKLOG_LIMIT {
                self.stalled.insert(peer);
                return Ok(());
            }
            let Some(length) = connection.receive()? else { return Ok(()) };
            if length == 0 {
                return Err(Fault::Peer(DisconnectReason::Closed));
            }
            budget = budget.saturating_sub(length);
            if connection.stage != Stage::Open && !self.take_handshake(peer)? {
                continue;
            }
            self.take_messages(peer)?;
        }
    }

    /// Takes the other side's handshake if it is here. Says whether messages may follow.
    fn take_handshake(&mut self, peer: PeerKey) -> Result<bool, Fault> {
        let Some(connection) = self.connections.get_mut(&peer) else { return Ok(false) };
        // A peer that begins with something else (encryption, most likely) waits for us to close
        // before it connects again in plain text.
        Handshake::check_start(connection.reader.peek()).map_err(breach)?;
        let Some(bytes) = connection.reader.take(Handshake::LENGTH) else { return Ok(false) };
        let bytes = bytes.try_into().expect("took as many");
        let theirs = Handshake::decode(bytes).map_err(breach)?;
        if theirs.info_hash != self.handshake.info_hash {
            let torrent = theirs.info_hash;
            return Err(breach(format_args!("handshake for another torrent, {torrent}")));
        }
        if connection.direction == Direction::Incoming {
            connection.queue_handshake(&self.handshake);
            // It goes out at once: a peer that we refuse should learn our peer id.
            let mut budget = Handshake::LENGTH;
            connection.flush(&self.session.storage, &mut budget)?;
        }
        (connection.stage, connection.deadline) = (Stage::Open, None);
        let Connection { direction, address, .. } = *connection;
        let peer_id = theirs.peer_id;
        let name = self.session.names.get(&peer_id).cloned();
        let neighbor = Identity { key: peer, address, peer_id, name };
        let extensions = theirs.supports_extensions();
        self.tell(Input::Connected { neighbor, direction, extensions })?;
        self.ready.insert(peer);
        Ok(self.connections.contains_key(&peer))
    }

    fn take_messages(&mut self, peer: PeerKey) -> Result<(), Fault> {
        loop {
            let Some(connection) = self.connections.get_mut(&peer) else { return Ok(()) };
            match connection.next_arrival(&self.session.start.geometry).map_err(breach)? {
                None => return Ok(()),
                Some(Arrival::Message(message)) => self.tell(Input::Received { peer, message })?,
                Some(Arrival::Block(block)) => {
                    self.tell(Input::BlockArrived { peer, block })?;
                    let connection = self.connections.get_mut(&peer);
                    if let Some(buffer) = connection.and_then(|c| c.arrived.take()) {
                        // The block turned out to be of no use.
                        self.disk.recycle(buffer);
                    }
                }
            }
        }
    }

    fn write_turn(&mut self, peer: PeerKey) -> Result<(), Fault> {
        let mut budget = TURN_BYTES;
        loop {
            let Some(connection) = self.connections.get_mut(&peer) else { return Ok(()) };
            if !connection.writable || connection.stage == Stage::Dialing {
                return Ok(());
            }
            match connection.flush(&self.session.storage, &mut budget)? {
                Flushed::Blocked => return Ok(()),
                Flushed::BudgetSpent => {
                    self.ready.insert(peer);
                    return Ok(());
                }
                Flushed::Sent(block) => self.tell(Input::Sent { peer, block })?,
                Flushed::Empty if std::mem::take(&mut connection.upload_ready) => {
                    self.tell(Input::Writable { peer })?;
                }
                Flushed::Empty => return Ok(()),
            }
        }
    }

    /// Dials and handshakes that took too long.
    pub(super) fn end_overdue(&mut self) -> Result<()> {
        let overdue =
            self.connections.iter().filter(|(_, c)| c.deadline.is_some_and(|d| d <= self.now));
        for peer in overdue.map(|(&peer, _)| peer).collect::<Vec<_>>() {
            self.lost(peer, DisconnectReason::Failed("no handshake in time".to_owned()))?;
        }
        Ok(())
    }

    /// A connection ended, but not by a decision of the core.
    fn lost(&mut self, peer: PeerKey, reason: DisconnectReason) -> Result<()> {
        let Some(connection) = self.close(peer) else { return Ok(()) };
        self.note_end(&connection, &reason);
        if connection.stage == Stage::Open {
            return self.tell(Input::Disconnected { peer, reason });
        }
        let address = connection.address;
        log::debug!("{address}: {reason}");
        match connection.direction {
            Direction::Outgoing => self.tell(Input::DialFailed { address }),
            Direction::Incoming => Ok(()),
        }
    }

    /// A connection has ended: if it was a dial, the reporter hears why.
    pub(super) fn note_end(&mut self, connection: &Connection, reason: &DisconnectReason) {
        if connection.direction == Direction::Outgoing {
            let how = if let DisconnectReason::Failed(detail) = reason {
                detail.clone()
            } else {
                reason.to_string()
            };
            self.session.reporter.dial_failed(connection.address, how);
        }
    }

    /// Removes a connection; it is closed when it is dropped.
    pub(super) fn close(&mut self, peer: PeerKey) -> Option<Connection> {
        let mut connection = self.connections.remove(&peer)?;
        self.ready.remove(&peer);
        if let Err(error) = self.poll.registry().deregister(&mut connection.stream) {
            log::debug!("{}: deregister: {error}", connection.address);
        }
        // A descriptor is free again, and no event says that connections wait for it.
        self.accept_at = self.accept_at.map(|_| self.now);
        Some(connection)
    }
}

/// The peer broke the protocol.
fn breach(error: impl Display) -> Fault {
    Fault::Peer(DisconnectReason::ProtocolError(error.to_string()))
}
