//! What two peers say to each other: one handshake each, then messages (BEP 3).
//!
//! A message that [`Message::decode`] returns fits the torrent: its pieces and blocks are in range.
//! The bytes of a block are no part of a [`Message`]: they stand behind the head of a piece message
//! and go to the disk and from it without passing through whoever decides.

use crate::bitfield::{Bitfield, BitfieldError};
use crate::frame::PREFIX_LENGTH;
use crate::geometry::{BLOCK_LENGTH, Block, Geometry, PieceIndex};
use crate::id::{InfoHash, PeerId};

/// The first thing on a connection, from both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// A bit per extension that the sender knows. We know none and send zeros.
    pub reserved: [u8; 8],
    /// The torrent that the sender wants to talk about.
    pub info_hash: InfoHash,
    /// Who the sender says it is.
    pub peer_id: PeerId,
}

/// The first bytes of a handshake are not those of the protocol: encrypted, or something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the BitTorrent protocol")]
pub struct NotBitTorrent;

impl Handshake {
    /// Bytes on the wire.
    pub const LENGTH: usize = 68;

    /// A length and a name open the handshake (BEP 3).
    const PROTOCOL: [u8; 20] = *b"\x13BitTorrent protocol";

    /// Tells from the first bytes whether a handshake can still come of them. A peer that begins
    /// with encryption waits for us to hang up, so it is told as early as possible.
    pub fn check_start(bytes: &[u8]) -> Result<(), NotBitTorrent> {
        let length = bytes.len().min(Self::PROTOCOL.len());
        if bytes[..length] == Self::PROTOCOL[..length] { Ok(()) } else { Err(NotBitTorrent) }
    }

    /// As it goes over the wire.
    pub fn encode(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..20].copy_from_slice(&Self::PROTOCOL);
        bytes[20..28].copy_from_slice(&self.reserved);
        bytes[28..48].copy_from_slice(&self.info_hash.0);
        bytes[48..].copy_from_slice(&self.peer_id.0);
        bytes
    }

    /// From the wire.
    pub fn decode(bytes: &[u8; Self::LENGTH]) -> Result<Self, NotBitTorrent> {
        Self::check_start(bytes)?;
        let (_, rest) = bytes.split_first_chunk::<20>().expect("68 bytes");
        let (reserved, rest) = rest.split_first_chunk().expect("48 bytes");
        let (info_hash, peer_id) = rest.split_first_chunk().expect("40 bytes");
        Ok(Self {
            reserved: *reserved,
            info_hash: InfoHash(*info_hash),
            peer_id: PeerId(peer_id.try_into().expect("20 bytes")),
        })
    }
}

/// A message between two peers about one torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Nothing; it only shows that the sender is still there.
    KeepAlive,
    /// "I will not answer your requests."
    Choke,
    /// "I will answer your requests."
    Unchoke,
    /// "You have something that I want."
    Interested,
    /// "You have nothing that I want."
    NotInterested,
    /// "I have got this piece and checked it."
    Have(PieceIndex),
    /// "These are the pieces that I have."
    Bitfield(Bitfield),
    /// "Send me this block."
    Request(Block),
    /// "Here is the block": what stands behind the head of this message are its bytes.
    Piece(Block),
    /// "I no longer want this block."
    Cancel(Block),
    /// The UDP port of the sender's DHT node (BEP 5), sent even by some that were not asked.
    Port(u16),
    /// Of an extension that we did not offer: to be skipped.
    Unknown(u8),
}

/// A frame that is no message about this torrent. The connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say it")]
pub enum MessageError {
    #[error("{name} message of {length} bytes")]
    Length { name: &'static str, length: usize },
    #[error("{name} message for piece {index}, which does not exist")]
    Piece { name: &'static str, index: u32 },
    #[error("{name} message for {length} bytes at {begin} of piece {index}, which do not exist")]
    Range { name: &'static str, index: u32, begin: u32, length: u32 },
    #[error("request of {0} bytes, at most {BLOCK_LENGTH} expected")]
    RequestTooLong(u32),
    #[error(transparent)]
    Bitfield(#[from] BitfieldError),
}

impl Message {
    /// Bytes in front of a block: prefix, id, index and begin.
    pub const PIECE_HEAD: usize = PREFIX_LENGTH + PIECE_FIELDS;

    /// The longest frame that a peer of this torrent may send us: a block or a bitfield; and as
    /// much again as early clients sent in one piece message (2^17), so that a stranger's
    /// extension is skipped rather than refused.
    pub fn max_frame(geometry: &Geometry) -> usize {
        (PIECE_FIELDS + (1 << 17)).max(1 + Bitfield::byte_length(geometry.piece_count()))
    }

    /// Appends the message with its length in front. Behind [`Message::Piece`] the caller puts
    /// the bytes of the block.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::KeepAlive => out.extend_from_slice(&[0; PREFIX_LENGTH]),
            Self::Choke => head(out, CHOKE, 0),
            Self::Unchoke => head(out, UNCHOKE, 0),
            Self::Interested => head(out, INTERESTED, 0),
            Self::NotInterested => head(out, NOT_INTERESTED, 0),
            Self::Have(piece) => {
                head(out, HAVE, 4);
                out.extend_from_slice(&piece.get().to_be_bytes());
            }
            Self::Bitfield(bitfield) => {
                let bytes = bitfield.as_bytes();
                head(out, BITFIELD, u32::try_from(bytes.len()).expect("at most 2^21 pieces"));
                out.extend_from_slice(bytes);
            }
            Self::Request(block) => whole_block(out, REQUEST, *block),
            Self::Piece(block) => {
                head(out, PIECE, 8 + block.length());
                out.extend_from_slice(&block.piece().get().to_be_bytes());
                out.extend_from_slice(&block.begin().to_be_bytes());
            }
            Self::Cancel(block) => whole_block(out, CANCEL, *block),
            Self::Port(port) => {
                head(out, PORT, 2);
                out.extend_from_slice(&port.to_be_bytes());
            }
            Self::Unknown(id) => head(out, *id, 0),
        }
    }

    /// From a frame without its length, as a message about the torrent of this geometry. For
    /// [`Message::Piece`] the bytes of the block are [`block_bytes`] of the same frame.
    pub fn decode(frame: &[u8], geometry: &Geometry) -> Result<Self, MessageError> {
        let Some((&id, payload)) = frame.split_first() else { return Ok(Self::KeepAlive) };
        Ok(match id {
            CHOKE => fields::<0>("choke", payload).map(|[]| Self::Choke)?,
            UNCHOKE => fields::<0>("unchoke", payload).map(|[]| Self::Unchoke)?,
            INTERESTED => fields::<0>("interested", payload).map(|[]| Self::Interested)?,
            NOT_INTERESTED => {
                fields::<0>("not interested", payload).map(|[]| Self::NotInterested)?
            }
            HAVE => {
                let [index] = fields("have", payload)?;
                let piece = geometry.piece(index);
                Self::Have(piece.ok_or(MessageError::Piece { name: "have", index })?)
            }
            BITFIELD => Self::Bitfield(Bitfield::from_bytes(payload, geometry.piece_count())?),
            REQUEST => {
                let [index, begin, length] = fields("request", payload)?;
                // BEP 3: "all current implementations use 2^14, and close connections which
                // request an amount greater than that".
                if length > BLOCK_LENGTH {
                    return Err(MessageError::RequestTooLong(length));
                }
                Self::Request(block("request", geometry, index, begin, length)?)
            }
            PIECE => {
                let Some((numbers, bytes)) = payload.split_first_chunk::<8>() else {
                    return Err(MessageError::Length { name: "piece", length: frame.len() });
                };
                let [index, begin] = fields("piece", numbers)?;
                let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                Self::Piece(block("piece", geometry, index, begin, length)?)
            }
            CANCEL => {
                let [index, begin, length] = fields("cancel", payload)?;
                Self::Cancel(block("cancel", geometry, index, begin, length)?)
            }
            PORT => match payload.try_into() {
                Ok(bytes) => Self::Port(u16::from_be_bytes(bytes)),
                Err(_) => {
                    return Err(MessageError::Length { name: "port", length: frame.len() });
                }
            },
            id => Self::Unknown(id),
        })
    }
}

/// The bytes of the block in the frame of a piece message.
pub fn block_bytes(frame: &[u8]) -> &[u8] {
    &frame[PIECE_FIELDS..]
}

fn head(out: &mut Vec<u8>, id: u8, payload_length: u32) {
    out.extend_from_slice(&(1 + payload_length).to_be_bytes());
    out.push(id);
}

fn whole_block(out: &mut Vec<u8>, id: u8, block: Block) {
    head(out, id, 12);
    for field in [block.piece().get(), block.begin(), block.length()] {
        out.extend_from_slice(&field.to_be_bytes());
    }
}

/// A payload that is N numbers and nothing else.
fn fields<const N: usize>(name: &'static str, payload: &[u8]) -> Result<[u32; N], MessageError> {
    if payload.len() != 4 * N {
        return Err(MessageError::Length { name, length: 1 + payload.len() });
    }
    let mut numbers = [0; N];
    for (number, bytes) in numbers.iter_mut().zip(payload.chunks_exact(4)) {
        *number = u32::from_be_bytes(bytes.try_into().expect("chunks of four"));
    }
    Ok(numbers)
}

fn block(
    name: &'static str,
    geometry: &Geometry,
    index: u32,
    begin: u32,
    length: u32,
) -> Result<Block, MessageError> {
    if geometry.piece(index).is_none() {
        return Err(MessageError::Piece { name, index });
    }
    geometry.block(index, begin, length).ok_or(MessageError::Range { name, index, begin, length })
}

// BEP 3, in its order.
const CHOKE: u8 = 0;
const UNCHOKE: u8 = 1;
const INTERESTED: u8 = 2;
const NOT_INTERESTED: u8 = 3;
const HAVE: u8 = 4;
const BITFIELD: u8 = 5;
const REQUEST: u8 = 6;
const PIECE: u8 = 7;
const CANCEL: u8 = 8;
const PORT: u8 = 9; // BEP 5

/// Id, index and begin in front of the bytes of a block.
const PIECE_FIELDS: usize = 1 + 4 + 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<_> = text.chars().filter(|c| !c.is_whitespace()).collect();
        let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    fn encoded(message: &Message) -> Vec<u8> {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        bytes
    }

    /// The torrent V2: 600000 bytes in three pieces.
    fn v2() -> Geometry {
        Geometry::new(600_000, 262_144).unwrap()
    }

    fn decode(frame: &str) -> Result<Message, MessageError> {
        Message::decode(&hex(frame), &v2())
    }

    #[test]
    fn the_handshake_is_the_published_68_bytes() {
        let handshake = Handshake {
            reserved: [0; 8],
            info_hash: "d69f91e6b2ae4c542468d1073a71d4ea13879a7f".parse().unwrap(),
            peer_id: PeerId::from_random(*b"abcdefghijkl"),
        };
        let bytes = hex("13426974546f7272656e742070726f746f636f6c0000000000000000
             d69f91e6b2ae4c542468d1073a71d4ea13879a7f2d4b52303030312d6162636465666768696a6b6c");
        assert_eq!(handshake.encode().as_slice(), bytes);
        assert_eq!(Handshake::decode(&bytes.try_into().unwrap()), Ok(handshake));
        let with_extensions = Handshake { reserved: [0, 0, 0, 0, 0, 0x10, 0, 5], ..handshake };
        assert_eq!(with_extensions.encode()[20..28], hex("0000000000100005"));
    }

    #[test]
    fn another_protocol_is_known_by_its_first_byte() {
        assert_eq!(Handshake::check_start(b""), Ok(()));
        assert_eq!(Handshake::check_start(b"\x13BitTor"), Ok(()));
        for start in [&b"\x14"[..], b"GET / HTTP/1.1", b"\x13BitTorrent protocoL"] {
            assert_eq!(Handshake::check_start(start), Err(NotBitTorrent));
        }
    }

    #[test]
    fn messages_are_the_published_bytes() {
        let ten = Geometry::new(10, 1).unwrap();
        let hello = Geometry::new(13, 262_144).unwrap();
        let seven = Geometry::new(7 * 262_144, 262_144).unwrap();
        let bitfield = Bitfield::from_bytes(&[0xc0, 0x40], 10).unwrap();
        let block = seven.block(1, 16_384, 16_384).unwrap();
        for (geometry, message, bytes) in [
            (seven, Message::KeepAlive, "00000000"),
            (seven, Message::Choke, "0000000100"),
            (seven, Message::Unchoke, "0000000101"),
            (seven, Message::Interested, "0000000102"),
            (seven, Message::NotInterested, "0000000103"),
            (seven, Message::Have(seven.piece(5).unwrap()), "000000050400000005"),
            (ten, Message::Bitfield(bitfield), "0000000305c040"),
            (seven, Message::Request(block), "0000000d06000000010000400000004000"),
            (
                v2(),
                Message::Request(v2().block(2, 65_536, 10_176).unwrap()),
                "0000000d060000000200010000000027c0",
            ),
            (seven, Message::Cancel(block), "0000000d08000000010000400000004000"),
            (seven, Message::Port(6881), "00000003091ae1"),
        ] {
            let bytes = hex(bytes);
            assert_eq!(encoded(&message), bytes, "{message:?}");
            assert_eq!(Message::decode(&bytes[4..], &geometry), Ok(message));
        }

        let piece = hex("0000001607000000000000000068656c6c6f2c20776f726c640a");
        let message = Message::Piece(hello.block(0, 0, 13).unwrap());
        assert_eq!(encoded(&message), piece[..Message::PIECE_HEAD]);
        assert_eq!(Message::decode(&piece[4..], &hello), Ok(message));
        assert_eq!(block_bytes(&piece[4..]), b"hello, world\n");
    }

    #[test]
    fn messages_of_extensions_are_skipped() {
        for (frame, id) in [("0d00000003", 13), ("0e", 14), ("0f", 15), ("1400646565", 20)] {
            assert_eq!(decode(frame), Ok(Message::Unknown(id)));
        }
    }

    #[test]
    fn what_does_not_fit_the_torrent_is_refused() {
        for (frame, error) in [
            ("0000", "choke message of 2 bytes"),
            ("04000000", "have message of 4 bytes"),
            ("0400000003", "have message for piece 3, which does not exist"),
            ("04ffffffff", "have message for piece 4294967295, which does not exist"),
            ("05e0e0", "bitfield has 2 bytes, expected 1"),
            ("05f0", "bitfield has a spare bit set"),
            ("06000000030000000000004000", "request message for piece 3, which does not exist"),
            ("06000000000000000000004001", "request of 16385 bytes, at most 16384 expected"),
            (
                "06000000000000000000000000",
                "request message for 0 bytes at 0 of piece 0, which do not exist",
            ),
            (
                "0600000002ffffffff00004000",
                "request message for 16384 bytes at 4294967295 of piece 2, which do not exist",
            ),
            ("0700000000000000", "piece message of 8 bytes"),
            ("070000000000000000", "piece message for 0 bytes at 0 of piece 0, which do not exist"),
            ("070000000300000000aa", "piece message for piece 3, which does not exist"),
            ("09", "port message of 1 bytes"),
        ] {
            assert_eq!(decode(frame).unwrap_err().to_string(), error, "{frame}");
        }
    }

    #[test]
    fn the_longest_frame_holds_a_bitfield_of_the_most_pieces() {
        let geometry = Geometry::new(1 << 21, 1).unwrap();
        let message = encoded(&Message::Bitfield(Bitfield::full(1 << 21)));
        assert_eq!(message.len() - PREFIX_LENGTH, Message::max_frame(&geometry));
    }

    proptest! {
        #[test]
        fn no_frame_panics_and_what_is_understood_reads_back(
            frame in prop::collection::vec(any::<u8>(), 0..40), id in 0_u8..12,
        ) {
            let mut frame = frame;
            if let Some(first) = frame.first_mut() {
                *first = id;
            }
            if let Ok(message) = Message::decode(&frame, &v2()) {
                let mut again = encoded(&message).split_off(PREFIX_LENGTH);
                if let Message::Piece(_) = message {
                    again.extend_from_slice(block_bytes(&frame));
                } else if let Message::Unknown(_) = message {
                    again.extend_from_slice(&frame[1..]);
                }
                prop_assert_eq!(again, frame);
            }
        }
    }
}
