//! Scripted peers: the other side of a student's BitTorrent program (BEP 3).
//!
//! A check decides what each of them says, and when; here are the sockets, the framing, and the cuts of
//! the stream. One thread serves all, so that a check is a loop over what the program did.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{self, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::bitfield::Bitfield;
use common::frame::FrameReader;
use common::geometry::Block;
use common::id::{InfoHash, PeerId};
use common::wire::{Handshake, Message};
use fastrand::Rng;
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::torrent::Torrent;

/// The scripted peers of one check; a peer is known by its number, counted from 0.
pub(crate) struct Peers {
    torrent: Rc<Torrent>,
    poll: Poll,
    events: Events,
    peers: Vec<Peer>,
    heard: VecDeque<Heard>,
}

/// Something that the program did towards one of the peers.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) peer: usize,
    pub(crate) at: Instant,
    pub(crate) what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    /// Its first 68 bytes, whatever they are.
    Handshake([u8; Handshake::LENGTH]),
    /// A message that fits the torrent, other than a piece.
    Message(Message),
    /// A piece message with its block.
    Block(Block, Vec<u8>),
    /// Bytes that are no message of this torrent. The peer has closed the connection, as a real one
    /// does.
    Invalid(String),
    /// The program has closed the connection, with a FIN or a reset.
    Ended,
}

/// How a peer cuts what it sends.
#[derive(Clone, Debug)]
pub(crate) enum Cut {
    /// Each text is one write.
    Whole,
    /// After each of the first bytes of a text, as many as this, then at two places from the seed.
    Head(usize, Rng),
}

struct Peer {
    /// Until the program has connected.
    listener: Option<TcpListener>,
    stream: Option<TcpStream>,
    /// Whether the connection is established; a dialed one is not at once.
    connected: bool,
    greeted: bool,
    reader: FrameReader,
    /// Of a piece message whose head was taken: its block, as far as it has come.
    body: Option<(Block, Vec<u8>)>,
    /// Whether the socket may have something to read or to accept.
    readable: bool,
    reads: bool,
    cut: Cut,
    /// Each of these is one write.
    unsent: VecDeque<Vec<u8>>,
    /// With cuts: not before this.
    write_at: Instant,
    /// Close the connection when everything is sent.
    closing: bool,
}

/// Between two writes of a stream that is cut: long enough that the program, which waits for bytes,
/// receives them apart.
const PAUSE: Duration = Duration::from_millis(1);

impl Peers {
    pub(crate) fn new(torrent: Rc<Torrent>) -> io::Result<Self> {
        Ok(Self {
            torrent,
            poll: Poll::new()?,
            events: Events::with_capacity(64),
            peers: Vec::new(),
            heard: VecDeque::new(),
        })
    }

    /// One more peer, to which the program connects, once; the port.
    pub(crate) fn listen(&mut self) -> io::Result<u16> {
        let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let port = listener.local_addr()?.port();
        let token = Token(self.peers.len());
        self.poll.registry().register(&mut listener, token, Interest::READABLE)?;
        self.peers.push(Peer::new(&self.torrent, Some(listener), None));
        Ok(port)
    }

    /// One more peer, which has connected to the program; its number.
    pub(crate) fn adopt(&mut self, stream: net::TcpStream) -> io::Result<usize> {
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        let number = self.peers.len();
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(number), both)?;
        let mut peer = Peer::new(&self.torrent, None, Some(stream));
        (peer.connected, peer.readable) = (true, true);
        self.peers.push(peer);
        Ok(number)
    }

    /// From now on the peer reads nothing, so that the program cannot send once the system's buffers
    /// are full.
    pub(crate) fn stop_reading(&mut self, peer: usize) {
        self.peers[peer].reads = false;
    }

    /// Sends bytes that need not be a message.
    pub(crate) fn send(&mut self, peer: usize, bytes: &[u8]) {
        self.peers[peer].queue(bytes);
    }

    /// The handshake of a peer; with another info hash than the torrent's for one that lies.
    pub(crate) fn handshake(&self, peer: usize, info_hash: InfoHash) -> Handshake {
        let mut id = *b"-KRLABS-scripted....";
        // Two peers with one id would be taken for one.
        id[19] = u8::try_from(peer).expect("a check has a few peers");
        Handshake { reserved: [0; 8], info_hash, peer_id: PeerId(id) }
    }

    /// Sends the handshake.
    pub(crate) fn shake_hands(&mut self, peer: usize, info_hash: InfoHash) {
        let handshake = self.handshake(peer, info_hash);
        self.send(peer, &handshake.encode());
    }

    /// Sends the messages in one write.
    pub(crate) fn say(&mut self, peer: usize, messages: &[Message]) {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| message.encode(&mut bytes));
        self.send(peer, &bytes);
    }

    /// Sends our half of the handshake and a bitfield.
    pub(crate) fn greet(&mut self, peer: usize, pieces: impl IntoIterator<Item = u32>) {
        self.shake_hands(peer, self.torrent.info_hash);
        self.say(peer, &[bitfield(&self.torrent, pieces)]);
    }

    /// Sends a block as it is in the torrent.
    pub(crate) fn send_block(&mut self, peer: usize, block: Block) {
        let bytes = piece_message(block, self.torrent.bytes(block));
        self.send(peer, &bytes);
    }

    /// Sends a block with one bit wrong.
    pub(crate) fn send_false_block(&mut self, peer: usize, block: Block) {
        let mut bytes = piece_message(block, self.torrent.bytes(block));
        *bytes.last_mut().expect("a block has bytes") ^= 1;
        self.send(peer, &bytes);
    }

    /// From now on the peer cuts like this what it sends.
    pub(crate) fn cut(&mut self, peer: usize, cut: Cut) {
        self.peers[peer].cut = cut;
    }

    /// Closes the connection when everything is sent.
    pub(crate) fn close(&mut self, peer: usize) {
        self.peers[peer].closing = true;
    }

    /// What the program did next; `None` if nothing by the deadline.
    pub(crate) fn next(&mut self, deadline: Instant) -> io::Result<Option<Heard>> {
        loop {
            let now = Instant::now();
            for number in 0..self.peers.len() {
                self.peers[number].write(now)?;
            }
            // A program that never stops sending must not keep a check beyond its deadline.
            if self.heard.front().is_some_and(|heard| heard.at <= deadline) {
                return Ok(self.heard.pop_front());
            }
            if now >= deadline {
                return Ok(None);
            }
            let readable =
                self.peers.iter().any(|peer| peer.readable && peer.reads && peer.stream.is_some());
            let due = self.peers.iter().filter_map(Peer::due).fold(deadline, Instant::min);
            let due = if readable { now } else { due };
            // Rounded up by the system to milliseconds, as a pause may be.
            let timeout = due.saturating_duration_since(now);
            match self.poll.poll(&mut self.events, Some(timeout)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            let ready: Vec<_> = self.events.iter().map(Event::token).collect();
            for token in ready {
                self.peers[token.0].readable = true;
            }
            for number in 0..self.peers.len() {
                if self.peers[number].readable && self.peers[number].reads {
                    self.read(number)?;
                }
            }
        }
    }

    /// Accepts, or reads once.
    fn read(&mut self, number: usize) -> io::Result<()> {
        let peer = &mut self.peers[number];
        if let Some(listener) = &peer.listener {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if is_passing(&error) => {
                    peer.readable = false;
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(number), both)?;
            stream.set_nodelay(true)?;
            // The program has no reason to connect again: a peer that has left is gone.
            (peer.listener, peer.stream, peer.connected) = (None, Some(stream), true);
        }
        let at = Instant::now();
        let heard = &mut self.heard;
        peer.read(&self.torrent, |what| heard.push_back(Heard { peer: number, at, what }))
    }
}

impl Peer {
    fn new(torrent: &Torrent, listener: Option<TcpListener>, stream: Option<TcpStream>) -> Self {
        Self {
            listener,
            stream,
            connected: false,
            greeted: false,
            reader: FrameReader::new(Message::max_frame(&torrent.geometry)),
            body: None,
            readable: false,
            reads: true,
            cut: Cut::Whole,
            unsent: VecDeque::new(),
            write_at: Instant::now(),
            closing: false,
        }
    }

    fn queue(&mut self, bytes: &[u8]) {
        match &mut self.cut {
            Cut::Whole => self.unsent.push_back(bytes.to_vec()),
            Cut::Head(length, rng) => {
                let (head, rest) = bytes.split_at(bytes.len().min(*length));
                self.unsent.extend(head.iter().map(|byte| vec![*byte]));
                let mut places = [rng.usize(..=rest.len()), rng.usize(..=rest.len())];
                places.sort_unstable();
                let parts = [&rest[..places[0]], &rest[places[0]..places[1]], &rest[places[1]..]];
                let parts = parts.into_iter().filter(|part| !part.is_empty());
                self.unsent.extend(parts.map(<[u8]>::to_vec));
            }
        }
    }

    /// When there is something to write that has to wait.
    fn due(&self) -> Option<Instant> {
        let paced = self.connected && !self.unsent.is_empty() && matches!(self.cut, Cut::Head(..));
        paced.then_some(self.write_at)
    }

    /// Writes as much as the program takes and the cuts allow. A lost connection shows in `read`.
    fn write(&mut self, now: Instant) -> io::Result<()> {
        let Some(stream) = self.stream.as_mut().filter(|_| self.connected) else { return Ok(()) };
        while let Some(bytes) = self.unsent.front_mut() {
            let paced = matches!(self.cut, Cut::Head(..));
            if paced && now < self.write_at {
                return Ok(());
            }
            match stream.write(bytes) {
                Ok(length) if length == bytes.len() => _ = self.unsent.pop_front(),
                Ok(length) => _ = bytes.drain(..length),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_gone(&error) => self.unsent.clear(),
                Err(error) => return Err(error),
            }
            self.write_at = now + PAUSE;
        }
        if self.closing {
            self.stream = None;
        }
        Ok(())
    }

    fn read(&mut self, torrent: &Torrent, mut hear: impl FnMut(What)) -> io::Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        match stream.read(self.reader.space()) {
            Ok(length @ 1..) => {
                self.reader.filled(length);
                self.take(torrent, &mut hear);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if !is_gone(&error) => return Err(error),
            Ok(0) | Err(_) => {
                self.stream = None;
                hear(What::Ended);
            }
        }
        Ok(())
    }

    /// Cuts what has come into messages.
    fn take(&mut self, torrent: &Torrent, hear: &mut impl FnMut(What)) {
        if !self.greeted {
            let Some(bytes) = self.reader.take(Handshake::LENGTH) else { return };
            self.greeted = true;
            hear(What::Handshake(bytes.try_into().expect("as many were taken")));
        }
        loop {
            if let Some((block, mut bytes)) = self.body.take() {
                let missing = block.length() as usize - bytes.len();
                bytes.extend(self.reader.take_up_to(missing));
                if bytes.len() < block.length() as usize {
                    self.body = Some((block, bytes));
                    return;
                }
                hear(What::Block(block, bytes));
            }
            match Message::next(&mut self.reader, &torrent.geometry) {
                Ok(Some(Message::Piece(block))) => self.body = Some((block, Vec::new())),
                Ok(Some(message)) => hear(What::Message(message)),
                Ok(None) => return,
                Err(error) => {
                    self.stream = None;
                    hear(What::Invalid(error.to_string()));
                    return;
                }
            }
        }
    }
}

/// A bitfield message with these pieces.
pub(crate) fn bitfield(torrent: &Torrent, pieces: impl IntoIterator<Item = u32>) -> Message {
    let mut bitfield = Bitfield::empty(torrent.geometry.piece_count());
    pieces.into_iter().for_each(|index| bitfield.insert(torrent.piece(index)));
    Message::Bitfield(bitfield)
}

/// A piece message with these bytes in place of the block's.
pub(crate) fn piece_message(block: Block, bytes: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(Message::PIECE_HEAD + bytes.len());
    Message::Piece(block).encode(&mut message);
    message.extend(bytes);
    message
}

/// A message of any number with any payload.
pub(crate) fn raw_message(id: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(1 + payload.len()).expect("a check sends short ones");
    let mut message = length.to_be_bytes().to_vec();
    message.push(id);
    message.extend(payload);
    message
}

/// An error of accept that says nothing about the listener.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) || is_gone(error)
}

/// The program has closed or reset the connection.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe
    )
}
