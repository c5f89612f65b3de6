//! The protocol by hand: a neighbour that says what a test tells it to, right or wrong.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use common::bitfield::Bitfield;
use common::frame::read_frame;
use common::geometry::{Block, Geometry};
use common::id::{InfoHash, PeerId};
use common::message::{Handshake, Message, block_bytes};
use common::metainfo::Metainfo;

/// How long the other end may say nothing. Shorter than the two minutes after which a peer sends a
/// keep-alive, so that it cannot draw out a test that waits for something else.
const PATIENCE: Duration = Duration::from_secs(60);

/// One end of a connection.
pub(crate) struct Wire {
    stream: TcpStream,
    info_hash: InfoHash,
    geometry: Geometry,
}

/// What the other end said.
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
    /// Calls, and says nothing yet.
    pub(crate) fn connect(to: SocketAddr, metainfo: &Metainfo) -> Self {
        Self::on(TcpStream::connect(to).unwrap(), metainfo)
    }

    pub(crate) fn on(stream: TcpStream, metainfo: &Metainfo) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        // What is written in pieces shall arrive in pieces.
        stream.set_nodelay(true).unwrap();
        Self { stream, info_hash: metainfo.info_hash, geometry: metainfo.geometry }
    }

    /// Calls, and exchanges handshakes as a good peer does.
    pub(crate) fn neighbor(to: SocketAddr, metainfo: &Metainfo) -> Self {
        let mut wire = Self::connect(to, metainfo);
        wire.send_bytes(&wire.handshake(random_id()));
        let theirs = wire.read_handshake();
        assert_eq!(theirs.info_hash, metainfo.info_hash);
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
            // It may have closed already, which the reading side tells.
            Err(error) if is_closed(&error) => {}
            result => result.unwrap(),
        }
    }

    /// Waits for what the other end says next.
    pub(crate) fn hear(&mut self) -> Heard {
        let max_frame = Message::max_frame(&self.geometry);
        let frame = match read_frame(&mut self.stream, max_frame) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Heard::Closed,
            Err(error) if is_closed(&error) => return Heard::Closed,
            Err(error) => panic!("the other side should have spoken: {error}"),
        };
        match Message::decode(&frame, &self.geometry).unwrap() {
            Message::Piece(block) => Heard::Piece(block, block_bytes(&frame).to_vec()),
            message => Heard::Message(message),
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

    /// Waits for the other end to close, whatever it says before.
    pub(crate) fn hear_close(&mut self) {
        while !matches!(self.hear(), Heard::Closed) {}
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

    /// Says that nothing more will come, and waits until the other end has closed too.
    pub(crate) fn finish(mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
        self.hear_close();
    }

    pub(crate) fn block(&self, index: u32, begin: u32, length: u32) -> Block {
        self.geometry.block(index, begin, length).expect("it is in the torrent")
    }
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
