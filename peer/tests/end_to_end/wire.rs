//! The protocol by hand: a neighbor that sends what a test wants, right or wrong.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use common::bitfield::Bitfield;
use common::frame::FrameReader;
use common::geometry::{Block, Geometry};
use common::id::{InfoHash, PeerId};
use common::metainfo::Metainfo;
use common::wire::{Handshake, Message};

/// How long the other end may stay silent. Shorter than the two minutes after which a peer sends a
/// keep-alive, so that it cannot draw out a test that waits for something else.
const PATIENCE: Duration = Duration::from_secs(60);

/// One end of a connection.
pub(crate) struct Wire {
    stream: TcpStream,
    info_hash: InfoHash,
    geometry: Geometry,
    reader: FrameReader,
}

/// What the other end sent.
#[derive(Debug)]
pub(crate) enum Heard {
    Message(Message),
    Piece(Block, Vec<u8>),
    /// It closed the connection.
    Closed,
}

/// A new one each time: the other side refuses a second connection of the same peer.
pub(crate) fn random_id() -> PeerId {
    PeerId::from_random(std::array::from_fn(|_| fastrand::u8(..)))
}

impl Wire {
    /// Dials, and sends nothing yet.
    pub(crate) fn connect(to: SocketAddr, metainfo: &Metainfo) -> Self {
        Self::on(TcpStream::connect(to).unwrap(), metainfo)
    }

    pub(crate) fn on(stream: TcpStream, metainfo: &Metainfo) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        // Bytes written in parts must arrive in parts.
        stream.set_nodelay(true).unwrap();
        let geometry = metainfo.geometry;
        let reader = FrameReader::new(Message::max_frame(&geometry));
        Self { stream, info_hash: metainfo.info_hash, geometry, reader }
    }

    /// Dials, and exchanges handshakes as a good peer does.
    pub(crate) fn neighbor(to: SocketAddr, metainfo: &Metainfo) -> Self {
        let mut wire = Self::connect(to, metainfo);
        wire.send_bytes(&wire.handshake(random_id()));
        let theirs = wire.read_handshake();
        assert_eq!(theirs.info_hash, metainfo.info_hash);
        wire
    }

    /// Accepts a dial, as a peer that claims to have everything and unchokes a peer that wants it.
    pub(crate) fn accept(listener: &TcpListener, metainfo: &Metainfo, peer_id: PeerId) -> Self {
        let (stream, _) = listener.accept().unwrap();
        let mut wire = Self::on(stream, metainfo);
        wire.read_handshake();
        wire.send_bytes(&wire.handshake(peer_id));
        wire.send_full_bitfield();
        wire.hear_until(&Message::Interested);
        wire.send(&Message::Unchoke);
        wire
    }

    /// A handshake about this torrent.
    pub(crate) fn handshake(&self, peer_id: PeerId) -> [u8; Handshake::LENGTH] {
        Handshake { reserved: [0; 8], info_hash: self.info_hash, peer_id }.encode()
    }

    pub(crate) fn read_handshake(&mut self) -> Handshake {
        let mut bytes = [0; Handshake::LENGTH];
        self.stream.read_exact(&mut bytes).unwrap();
        Handshake::decode(&bytes).unwrap()
    }

    pub(crate) fn send(&mut self, message: &Message) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.send_bytes(&bytes);
    }

    pub(crate) fn send_block(&mut self, block: Block, bytes: &[u8]) {
        let mut message = Vec::new();
        Message::Piece(block).encode(&mut message);
        message.extend_from_slice(bytes);
        self.send_bytes(&message);
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            // It may have closed already; the reading side finds out.
            Err(error) if is_closed(&error) => {}
            result => result.unwrap(),
        }
    }

    /// Waits for what the other end sends next.
    pub(crate) fn hear(&mut self) -> Heard {
        loop {
            match Message::next(&mut self.reader, &self.geometry).unwrap() {
                Some(Message::Piece(block)) => {
                    let mut body = self.reader.take_up_to(block.length() as usize).to_vec();
                    let here = body.len();
                    body.resize(block.length() as usize, 0);
                    return match self.stream.read_exact(&mut body[here..]) {
                        Ok(()) => Heard::Piece(block, body),
                        Err(error) => closed_by(&error),
                    };
                }
                Some(message) => return Heard::Message(message),
                None => match self.stream.read(self.reader.space()) {
                    Ok(0) => return Heard::Closed,
                    Ok(length) => self.reader.filled(length),
                    Err(error) => return closed_by(&error),
                },
            }
        }
    }

    /// Waits for this message, whatever comes before.
    pub(crate) fn hear_until(&mut self, wanted: &Message) {
        loop {
            match self.hear() {
                Heard::Message(message) if message == *wanted => return,
                Heard::Closed => panic!("closed before {wanted:?}"),
                Heard::Message(_) | Heard::Piece(..) => {}
            }
        }
    }

    /// Waits for the other end to close, whatever it sends before.
    pub(crate) fn hear_close(&mut self) {
        while !matches!(self.hear(), Heard::Closed) {}
    }

    /// Sends zeros for whatever is requested until the other end closes.
    pub(crate) fn send_zeros(&mut self) {
        loop {
            match self.hear() {
                Heard::Message(Message::Request(block)) => {
                    self.send_block(block, &vec![0; block.length() as usize]);
                }
                Heard::Message(_) => {}
                Heard::Piece(block, _) => panic!("{block:?} was not requested"),
                Heard::Closed => return,
            }
        }
    }

    /// Waits for the next block, whatever comes before.
    pub(crate) fn hear_block(&mut self) -> (Block, Vec<u8>) {
        loop {
            match self.hear() {
                Heard::Piece(block, bytes) => return (block, bytes),
                Heard::Closed => panic!("closed before a block"),
                Heard::Message(_) => {}
            }
        }
    }

    /// Says that it has everything.
    pub(crate) fn send_full_bitfield(&mut self) {
        self.send(&Message::Bitfield(Bitfield::full(self.geometry.piece_count())));
    }

    /// Becomes interested, and waits until it may ask.
    pub(crate) fn get_unchoked(&mut self) {
        self.send(&Message::Interested);
        self.hear_until(&Message::Unchoke);
    }

    /// Closes the sending side, and waits until the other end has closed too.
    pub(crate) fn finish(mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
        self.hear_close();
    }

    pub(crate) fn block(&self, index: u32, begin: u32, length: u32) -> Block {
        self.geometry.block(index, begin, length).expect("it is in the torrent")
    }
}

fn closed_by(error: &io::Error) -> Heard {
    assert!(is_closed(error), "the other side should have spoken: {error}");
    Heard::Closed
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
    )
}
