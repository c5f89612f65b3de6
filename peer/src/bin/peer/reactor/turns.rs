//! What the loop does with its connections: accepting and calling, a turn for each that is ready,
//! and the end.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use common::frame::{FrameReader, FrameTooLong};
use common::message::{Handshake, Message, MessageError, NotBitTorrent, block_bytes};
use mio::net::TcpStream;
use mio::{Interest, Token};
use peer::PeerKey;
use peer::decision::DisconnectReason;
use peer::remote::Direction;
use peer::torrent::Event;

use super::Reactor;
use crate::connection::{Connection, Flushed, SendError, Stage};
use crate::disk::BACKLOG_LIMIT;

/// Bytes that a connection may read, and write, before others have their turn.
const TURN_BYTES: usize = 256 * 1024;

/// Connections that have not said which torrent they are about: in all, and from one address. A
/// class behind one address may well call all at once.
const MAX_STRANGERS: usize = 150;
const MAX_STRANGERS_PER_ADDRESS: usize = 75;

/// When the system has no descriptor left for one more connection.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

impl Reactor {
    /// Takes the calls that have come.
    pub(super) fn accept_all(&mut self) {
        let paused = self.accept_after.is_some_and(|time| time > self.now);
        if paused || !(self.accept || self.accept_after.is_some()) {
            return;
        }
        (self.accept, self.accept_after) = (false, None);
        for listener in 0..self.listeners.len() {
            while let Some((stream, address)) = self.accept(listener) {
                self.take_in(stream, address);
            }
        }
    }

    fn accept(&mut self, listener: usize) -> Option<(TcpStream, SocketAddr)> {
        loop {
            let error = match self.listeners[listener].accept() {
                Ok(call) => return Some(call),
                Err(error) => error,
            };
            match error.kind() {
                io::ErrorKind::WouldBlock => return None,
                // They hung up before we took the call, or a signal came.
                io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {}
                _ => {
                    log::warn!("accept a connection: {error}; trying again later");
                    self.accept_after = Some(self.now + ACCEPT_PAUSE);
                    return None;
                }
            }
        }
    }

    /// Lets a caller say what it wants. If too many have not done so yet, the one that has had the
    /// most time for it makes room: who means it needs a moment only.
    fn take_in(&mut self, stream: TcpStream, address: SocketAddr) {
        // Keys count up, so the oldest come first.
        let (mut strangers, mut from_there) = (Vec::new(), Vec::new());
        for (&peer, other) in &self.connections {
            if other.direction == Direction::Incoming && other.stage != Stage::Open {
                strangers.push(peer);
                if other.address.ip() == address.ip() {
                    from_there.push(peer);
                }
            }
        }
        let oldest = if from_there.len() >= MAX_STRANGERS_PER_ADDRESS {
            from_there.first()
        } else if strangers.len() >= MAX_STRANGERS {
            strangers.first()
        } else {
            None
        };
        if let Some(connection) = oldest.and_then(|&peer| self.close(peer)) {
            log::debug!("{}: did not say what it wants; others wait", connection.address);
        }
        let max_frame = Message::max_frame(&self.metainfo.geometry);
        let connection = Connection::accepted(stream, address, max_frame, self.now);
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

    /// Calls a peer for the core. If that fails at once, returns what to tell it.
    pub(super) fn call(&mut self, address: SocketAddr) -> Option<Event> {
        let max_frame = Message::max_frame(&self.metainfo.geometry);
        let called = Connection::call(address, self.call_from, max_frame, self.now)
            .and_then(|connection| self.add(connection));
        let error = called.err()?;
        log::debug!("call {address}: {error}");
        Some(Event::ConnectFailed { address })
    }

    /// Puts a message behind what is to go out to a peer.
    pub(super) fn send(&mut self, peer: PeerKey, message: &Message) {
        let Some(connection) = self.connections.get_mut(&peer) else { return };
        self.ready.insert(peer);
        if let Err(error) = connection.queue(message) {
            // It is found closed when its turn comes, as if the other side had done it.
            log::debug!("{}: {error}", connection.address);
            connection.readable = true;
            if let Err(error) = connection.stream.shutdown(std::net::Shutdown::Both) {
                log::debug!("{}: {error}", connection.address);
            }
        }
    }

    /// One connection does what it can do now, within bounds.
    pub(super) fn turn(&mut self, peer: PeerKey) -> Result<()> {
        let result = self.read_turn(peer).and_then(|()| self.write_turn(peer));
        match result {
            Ok(()) => Ok(()),
            Err(Fault::Peer(reason)) => self.lost(peer, reason),
            Err(Fault::Ours(error)) => Err(error),
        }
    }

    fn read_turn(&mut self, peer: PeerKey) -> Result<(), Fault> {
        let Some(connection) = self.connections.get_mut(&peer) else { return Ok(()) };
        if let Stage::Calling { .. } = connection.stage {
            if !connection.writable || !connection.call_taken(self.now)? {
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
            // What the disk has not taken yet must not pile up: TCP slows the sender down.
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
        // Who begins with something else (encryption, most likely) is told so at once: it waits
        // for us to hang up before it calls again in plain text.
        Handshake::check_start(connection.reader.peek())?;
        let Some(bytes) = connection.reader.take(Handshake::LENGTH) else { return Ok(false) };
        let bytes = bytes.try_into().expect("took as many");
        let theirs = Handshake::decode(bytes)?;
        if theirs.info_hash != self.handshake.info_hash {
            let error = format!("it is about another torrent, {}", theirs.info_hash);
            return Err(Fault::Peer(DisconnectReason::BrokeProtocol(error)));
        }
        if connection.direction == Direction::Incoming {
            connection.queue_handshake(&self.handshake);
            // It goes out at once: even whom we send away should learn whom it had called.
            let mut budget = Handshake::LENGTH;
            connection.flush(&self.storage, &mut budget)?;
        }
        connection.stage = Stage::Open;
        let (address, direction) = (connection.address, connection.direction);
        let peer_id = theirs.peer_id;
        self.tell(Event::Connected { peer, address, direction, peer_id }, &[])?;
        self.ready.insert(peer);
        Ok(self.connections.contains_key(&peer))
    }

    fn take_messages(&mut self, peer: PeerKey) -> Result<(), Fault> {
        let Some(connection) = self.connections.get_mut(&peer) else { return Ok(()) };
        // The reader is taken out, so that what is read can be looked at while others are told.
        let empty = FrameReader::new(0);
        let mut reader = std::mem::replace(&mut connection.reader, empty);
        while let Some(frame) = reader.next_frame()? {
            let message = Message::decode(frame, &self.metainfo.geometry)?;
            let bytes = if let Message::Piece(_) = message { block_bytes(frame) } else { &[] };
            self.tell(Event::Received { peer, message }, bytes)?;
            if !self.connections.contains_key(&peer) {
                return Ok(());
            }
        }
        if let Some(connection) = self.connections.get_mut(&peer) {
            connection.reader = reader;
        }
        Ok(())
    }

    fn write_turn(&mut self, peer: PeerKey) -> Result<(), Fault> {
        let mut budget = TURN_BYTES;
        loop {
            let Some(connection) = self.connections.get_mut(&peer) else { return Ok(()) };
            if !connection.writable || matches!(connection.stage, Stage::Calling { .. }) {
                return Ok(());
            }
            match connection.flush(&self.storage, &mut budget)? {
                Flushed::Blocked => return Ok(()),
                Flushed::BudgetSpent => {
                    self.ready.insert(peer);
                    return Ok(());
                }
                Flushed::Sent(block) => self.tell(Event::Sent { peer, block }, &[])?,
                Flushed::Empty => {
                    let Some(block) = self.torrent.next_upload(peer, self.now) else {
                        return Ok(());
                    };
                    connection.queue_block(block);
                }
            }
        }
    }

    /// Calls and handshakes that took too long.
    pub(super) fn end_overdue(&mut self) -> Result<()> {
        let overdue =
            |connection: &Connection| connection.deadline().is_some_and(|d| d <= self.now);
        let peers: Vec<PeerKey> =
            self.connections.iter().filter(|(_, c)| overdue(c)).map(|(&peer, _)| peer).collect();
        for peer in peers {
            self.lost(peer, DisconnectReason::Failed("no handshake in time".to_owned()))?;
        }
        Ok(())
    }

    /// A connection is over, and not because the core said so.
    fn lost(&mut self, peer: PeerKey, reason: DisconnectReason) -> Result<()> {
        let Some(connection) = self.close(peer) else { return Ok(()) };
        let address = connection.address;
        match (connection.stage, connection.direction) {
            (Stage::Open, _) => self.tell(Event::Disconnected { peer, reason }, &[]),
            (_, Direction::Outgoing) => {
                log::debug!("{address}: {reason}");
                self.tell(Event::ConnectFailed { address }, &[])
            }
            (_, Direction::Incoming) => {
                log::debug!("{address}: {reason}");
                Ok(())
            }
        }
    }

    /// Takes a connection off the list; it is closed when it is dropped.
    pub(super) fn close(&mut self, peer: PeerKey) -> Option<Connection> {
        let mut connection = self.connections.remove(&peer)?;
        self.ready.remove(&peer);
        if let Err(error) = self.poll.registry().deregister(&mut connection.stream) {
            log::debug!("{}: deregister: {error}", connection.address);
        }
        // A descriptor is free again.
        self.accept |= self.accept_after.take().is_some();
        Some(connection)
    }
}

/// Why a turn could not be finished.
enum Fault {
    /// The connection is at fault; it ends.
    Peer(DisconnectReason),
    /// We are; everything ends.
    Ours(anyhow::Error),
}

impl From<NotBitTorrent> for Fault {
    fn from(error: NotBitTorrent) -> Self {
        Self::Peer(DisconnectReason::BrokeProtocol(error.to_string()))
    }
}

impl From<FrameTooLong> for Fault {
    fn from(error: FrameTooLong) -> Self {
        Self::Peer(DisconnectReason::BrokeProtocol(error.to_string()))
    }
}

impl From<MessageError> for Fault {
    fn from(error: MessageError) -> Self {
        Self::Peer(DisconnectReason::BrokeProtocol(error.to_string()))
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Peer(DisconnectReason::Failed(error.to_string()))
    }
}

impl From<anyhow::Error> for Fault {
    fn from(error: anyhow::Error) -> Self {
        Self::Ours(error)
    }
}

impl From<SendError> for Fault {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Connection(error) => error.into(),
            SendError::Storage(error) => error.into(),
        }
    }
}
