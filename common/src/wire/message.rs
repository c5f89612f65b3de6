//! The messages between two peers about one torrent (BEP 3).
//!
//! A message that [`Message::next`] returns fits the torrent: its pieces and blocks are in range.
//! The bytes of a block are no part of a [`Message`]: they follow the head of a piece message and
//! go to the disk and from it without passing through the core.

use serde::{Deserialize, Serialize};

use super::ExtendedHandshake;
use crate::bitfield::{Bitfield, BitfieldError};
use crate::frame::{FrameReader, FrameTooLong, PREFIX_LENGTH};
use crate::geometry::{BLOCK_LENGTH, Block, Geometry, PieceIndex};

/// A message between two peers about one torrent.
///
/// One that was deserialized fits no torrent yet: see [`Geometry::contains`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// Keep-alive; it only shows that the sender is still connected.
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
    /// "Here is the block": its bytes follow this head.
    Piece(Block),
    /// "I no longer want this block."
    Cancel(Block),
    /// The UDP port of the sender's DHT node (BEP 5); some peers send it unasked.
    Port(u16),
    /// "This is what I am" (BEP 10); later ones add to the first.
    Extended(ExtendedHandshake),
    /// A message of an extension that we did not offer, by its id; ignore it.
    Unknown(u8),
}

/// Bytes that are not a message about this torrent. The connection cannot continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say it")]
pub enum MessageError {
    #[error(transparent)]
    Frame(#[from] FrameTooLong),
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

    /// Appends the message with its length in front. After [`Message::Piece`] the caller puts
    /// the bytes of the block.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::KeepAlive => out.extend_from_slice(&[0; PREFIX_LENGTH]),
            Self::Choke => put(out, CHOKE, &[]),
            Self::Unchoke => put(out, UNCHOKE, &[]),
            Self::Interested => put(out, INTERESTED, &[]),
            Self::NotInterested => put(out, NOT_INTERESTED, &[]),
            Self::Have(piece) => put(out, HAVE, &[&piece.get().to_be_bytes()]),
            Self::Bitfield(bitfield) => put(out, BITFIELD, &[bitfield.as_bytes()]),
            Self::Request(block) => put_block(out, REQUEST, *block),
            Self::Piece(block) => {
                head(out, PIECE, 8 + block.length() as usize);
                out.extend_from_slice(&block.piece().get().to_be_bytes());
                out.extend_from_slice(&block.begin().to_be_bytes());
            }
            Self::Cancel(block) => put_block(out, CANCEL, *block),
            Self::Port(port) => put(out, PORT, &[&port.to_be_bytes()]),
            Self::Extended(handshake) => {
                put(out, EXTENDED, &[&[EXTENDED_HANDSHAKE], &handshake.encode()]);
            }
            Self::Unknown(id) => put(out, *id, &[]),
        }
    }

    /// Takes the next message, or `None` until more bytes come.
    ///
    /// A [`Message::Piece`] is returned as soon as its head has arrived. The `block.length()` bytes
    /// of its body come next in the stream, outside the framing: the caller takes them with
    /// [`FrameReader::take_up_to`], or lets [`FrameReader::skip`] drop them, before it asks for the
    /// next message. Every other message is returned once it has arrived as a whole; the payload of
    /// one that we do not know is skipped without keeping it. So the reader's buffer grows to a
    /// bitfield of this torrent at most.
    pub fn next(
        reader: &mut FrameReader,
        geometry: &Geometry,
    ) -> Result<Option<Self>, MessageError> {
        let Some(length) = reader.frame_length()? else { return Ok(None) };
        if length == 0 {
            reader.skip(PREFIX_LENGTH);
            return Ok(Some(Self::KeepAlive));
        }
        let Some(&id) = reader.peek().get(PREFIX_LENGTH) else { return Ok(None) };
        let mut frame = Frame { reader, geometry, length };
        Ok(match id {
            CHOKE => frame.numbers("choke")?.map(|[]| Self::Choke),
            UNCHOKE => frame.numbers("unchoke")?.map(|[]| Self::Unchoke),
            INTERESTED => frame.numbers("interested")?.map(|[]| Self::Interested),
            NOT_INTERESTED => frame.numbers("not interested")?.map(|[]| Self::NotInterested),
            HAVE => frame.have()?,
            BITFIELD => frame.bitfield()?,
            REQUEST => match frame.block("request")? {
                // BEP 3: "all current implementations use 2^14, and close connections which
                // request an amount greater than that".
                Some(block) if block.length() > BLOCK_LENGTH => {
                    return Err(MessageError::RequestTooLong(block.length()));
                }
                block => block.map(Self::Request),
            },
            PIECE => frame.piece()?.map(Self::Piece),
            CANCEL => frame.block("cancel")?.map(Self::Cancel),
            PORT => {
                let port = frame.payload("port", 2)?;
                port.map(|port| Self::Port(u16::from_be_bytes([port[0], port[1]])))
            }
            EXTENDED => frame.extended()?,
            id => Some(frame.skip(id)),
        })
    }
}

/// A frame whose prefix and id have arrived. What is not a whole message yet is `None`.
struct Frame<'r> {
    reader: &'r mut FrameReader,
    geometry: &'r Geometry,
    /// Of id and payload, at least 1.
    length: usize,
}

impl Frame<'_> {
    /// The payload, which must have this length: known from the prefix, so that nothing of a
    /// wrong one is kept.
    fn payload(
        &mut self,
        name: &'static str,
        expected: usize,
    ) -> Result<Option<&[u8]>, MessageError> {
        if self.length != 1 + expected {
            return Err(MessageError::Length { name, length: self.length });
        }
        let frame = self.reader.take(PREFIX_LENGTH + self.length);
        Ok(frame.map(|frame| &frame[PREFIX_LENGTH + 1..]))
    }

    /// A payload that is N numbers and nothing else.
    fn numbers<const N: usize>(
        &mut self,
        name: &'static str,
    ) -> Result<Option<[u32; N]>, MessageError> {
        Ok(self.payload(name, 4 * N)?.map(numbers))
    }

    fn have(&mut self) -> Result<Option<Message>, MessageError> {
        let Some([index]) = self.numbers("have")? else { return Ok(None) };
        Ok(Some(Message::Have(self.piece_at("have", index)?)))
    }

    fn bitfield(&mut self) -> Result<Option<Message>, MessageError> {
        let pieces = self.geometry.piece_count();
        let bits = self.payload("bitfield", Bitfield::byte_length(pieces))?;
        let bitfield = bits.map(|bits| Bitfield::from_bytes(bits, pieces)).transpose()?;
        Ok(bitfield.map(Message::Bitfield))
    }

    fn block(&mut self, name: &'static str) -> Result<Option<Block>, MessageError> {
        self.numbers(name)?.map(|numbers| self.block_at(name, numbers)).transpose()
    }

    /// The block of which the head is here and the bytes follow.
    fn piece(&mut self) -> Result<Option<Block>, MessageError> {
        let Some(length) = self.length.checked_sub(PIECE_FIELDS) else {
            return Err(MessageError::Length { name: "piece", length: self.length });
        };
        let length = u32::try_from(length).expect("the length of a frame is a u32");
        let Some(head) = self.reader.take(Message::PIECE_HEAD) else { return Ok(None) };
        let [index, begin] = numbers(&head[PREFIX_LENGTH + 1..]);
        self.block_at("piece", [index, begin, length]).map(Some)
    }

    /// A handshake of the extension protocol; other extended messages are skipped, and so is a
    /// handshake that cannot be read.
    fn extended(&mut self) -> Result<Option<Message>, MessageError> {
        if self.length < 2 {
            return Err(MessageError::Length { name: "extended", length: self.length });
        }
        let Some(&id) = self.reader.peek().get(PREFIX_LENGTH + 1) else { return Ok(None) };
        if id != EXTENDED_HANDSHAKE || self.length > 2 + ExtendedHandshake::MAX_LENGTH {
            return Ok(Some(self.skip(EXTENDED)));
        }
        let payload = self.payload("extended", self.length - 1)?;
        let handshake = payload.map(|payload| ExtendedHandshake::decode(&payload[1..]));
        Ok(handshake.map(|it| it.map_or(Message::Unknown(EXTENDED), Message::Extended)))
    }

    fn skip(&mut self, id: u8) -> Message {
        self.reader.skip(PREFIX_LENGTH + self.length);
        Message::Unknown(id)
    }

    fn piece_at(&self, name: &'static str, index: u32) -> Result<PieceIndex, MessageError> {
        self.geometry.piece(index).ok_or(MessageError::Piece { name, index })
    }

    fn block_at(
        &self,
        name: &'static str,
        [index, begin, length]: [u32; 3],
    ) -> Result<Block, MessageError> {
        self.piece_at(name, index)?;
        let block = self.geometry.block(index, begin, length);
        block.ok_or(MessageError::Range { name, index, begin, length })
    }
}

/// Big-endian numbers, four bytes each.
fn numbers<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let (numbers, _) = bytes.as_chunks::<4>();
    std::array::from_fn(|n| u32::from_be_bytes(numbers[n]))
}

fn head(out: &mut Vec<u8>, id: u8, payload_length: usize) {
    let length = u32::try_from(1 + payload_length).expect("a bitfield at most");
    out.extend_from_slice(&length.to_be_bytes());
    out.push(id);
}

fn put(out: &mut Vec<u8>, id: u8, payload: &[&[u8]]) {
    head(out, id, payload.iter().map(|part| part.len()).sum());
    payload.iter().for_each(|part| out.extend_from_slice(part));
}

fn put_block(out: &mut Vec<u8>, id: u8, block: Block) {
    let fields = [block.piece().get(), block.begin(), block.length()].map(u32::to_be_bytes);
    put(out, id, &[fields.as_flattened()]);
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
const EXTENDED: u8 = 20; // BEP 10

/// The extended id of the handshake (BEP 10).
const EXTENDED_HANDSHAKE: u8 = 0;

/// Id, index and begin in front of the bytes of a block.
const PIECE_FIELDS: usize = 1 + 4 + 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::hex;
    use super::*;

    fn encoded(message: &Message) -> Vec<u8> {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        bytes
    }

    /// The torrent V2: 600000 bytes in three pieces.
    fn v2() -> Geometry {
        Geometry::new(600_000, 262_144).unwrap()
    }

    /// A message as it came, with the bytes of the block if it is a piece.
    type Heard = (Message, Vec<u8>);

    /// What a peer of this torrent reads if the stream comes in these cuts, up to an error.
    fn hear(
        stream: &[u8],
        geometry: &Geometry,
        cuts: impl IntoIterator<Item = usize>,
    ) -> (Vec<Heard>, Result<(), MessageError>) {
        let mut reader = FrameReader::new(Message::max_frame(geometry));
        let (mut heard, mut rest) = (Vec::new(), stream);
        // Of the last message, how many bytes of the body are still to come.
        let mut body_left = 0;
        let mut cuts = cuts.into_iter().chain(std::iter::repeat(usize::MAX));
        loop {
            if body_left > 0 {
                let bytes = reader.take_up_to(body_left);
                body_left -= bytes.len();
                let (_, body): &mut Heard = heard.last_mut().expect("the head came first");
                body.extend(bytes);
            }
            if body_left == 0 {
                match Message::next(&mut reader, geometry) {
                    Ok(Some(message)) => {
                        if let Message::Piece(block) = message {
                            body_left = block.length() as usize;
                        }
                        heard.push((message, Vec::new()));
                        continue;
                    }
                    Ok(None) => {}
                    Err(error) => return (heard, Err(error)),
                }
            }
            if rest.is_empty() {
                return (heard, Ok(()));
            }
            let space = reader.space();
            let length = cuts.next().expect("endless").clamp(1, space.len().min(rest.len()));
            space[..length].copy_from_slice(&rest[..length]);
            rest = &rest[length..];
            reader.filled(length);
        }
    }

    /// The first thing heard of these bytes, if they are enough.
    fn first(bytes: &[u8], geometry: &Geometry) -> Result<Option<Message>, MessageError> {
        let mut reader = FrameReader::new(Message::max_frame(geometry));
        reader.space()[..bytes.len()].copy_from_slice(bytes);
        reader.filled(bytes.len());
        Message::next(&mut reader, geometry)
    }

    #[test]
    fn messages_are_the_published_bytes() {
        let ten = Geometry::new(10, 1).unwrap();
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
            (
                seven,
                Message::Extended(ExtendedHandshake::default()),
                "0000000914 00 64313a6d6465 65",
            ),
        ] {
            let bytes = hex(bytes);
            assert_eq!(encoded(&message), bytes, "{message:?}");
            assert_eq!(first(&bytes, &geometry), Ok(Some(message)));
            for end in 0..bytes.len() {
                assert_eq!(first(&bytes[..end], &geometry), Ok(None));
            }
        }
    }

    #[test]
    fn a_piece_message_is_returned_when_its_head_has_arrived() {
        let hello = Geometry::new(13, 262_144).unwrap();
        let bytes = hex("0000001607000000000000000068656c6c6f2c20776f726c640a");
        let message = Message::Piece(hello.block(0, 0, 13).unwrap());
        assert_eq!(encoded(&message), bytes[..Message::PIECE_HEAD]);
        assert_eq!(first(&bytes[..Message::PIECE_HEAD - 1], &hello), Ok(None));
        assert_eq!(first(&bytes[..Message::PIECE_HEAD], &hello), Ok(Some(message.clone())));
        let heard = vec![(message, b"hello, world\n".to_vec())];
        assert_eq!(hear(&bytes, &hello, []), (heard, Ok(())));
    }

    #[test]
    fn the_published_extended_handshake_is_understood() {
        let bytes = hex("00000045140064313a6d6431313a75745f6d65746164617461693165363a75745f7065
                         7869326565313a70693638383165343a726571716932353065313a76373a6c616220302e3165");
        let handshake = ExtendedHandshake {
            client: Some("lab 0.1".to_owned()),
            listen_port: Some(6881),
            request_queue: Some(250),
        };
        assert_eq!(first(&bytes, &v2()), Ok(Some(Message::Extended(handshake.clone()))));
        let ours = hex("0000002914 00 64313a6d6465 313a70693638383165 343a7265717169323530 65
                        313a76373a6c616220302e31 65");
        assert_eq!(encoded(&Message::Extended(handshake)), ours);
    }

    #[test]
    fn messages_of_extensions_are_skipped() {
        for (bytes, id) in [
            ("000000050d00000003", 13),
            ("000000010e", 14),
            ("000000010f", 15),
            ("0000000d10000000010000400000004000", 16),
            ("000000051100000003", 17),
            ("0000001b140164383a6d73675f74797065693065353a706965636569306565", 20),
            (
                "0000002a140264353a6164646564363a7f0000011ae1373a61646465642e66313a02\
              373a64726f70706564303a65",
                20,
            ),
            ("000000041400abcd", 20),
            ("00000002 14 00", 20),
        ] {
            let stream = [hex(bytes), hex("0000000101")].concat();
            let heard = [Message::Unknown(id), Message::Unchoke].map(|m| (m, Vec::new()));
            for cut in [1, 5, 6, usize::MAX] {
                let (all, result) = hear(&stream, &v2(), std::iter::repeat(cut));
                assert_eq!((all.as_slice(), result), (&heard[..], Ok(())), "{bytes}");
            }
        }
    }

    #[test]
    fn messages_that_do_not_fit_the_torrent_are_refused() {
        for (bytes, error) in [
            ("00000002 00", "choke message of 2 bytes"),
            ("00000002 01", "unchoke message of 2 bytes"),
            ("00000005 02", "interested message of 5 bytes"),
            ("00020009 03", "not interested message of 131081 bytes"),
            ("00000004 04", "have message of 4 bytes"),
            ("00000006 04", "have message of 6 bytes"),
            ("00000005 04 00000003", "have message for piece 3, which does not exist"),
            ("00000005 04 ffffffff", "have message for piece 4294967295, which does not exist"),
            ("00000003 05", "bitfield message of 3 bytes"),
            ("00000001 05", "bitfield message of 1 bytes"),
            ("00000002 05 f0", "bitfield has a spare bit set"),
            ("0000000c 06", "request message of 12 bytes"),
            (
                "0000000d 06 000000030000000000004000",
                "request message for piece 3, which does not exist",
            ),
            (
                "0000000d 06 000000000000000000004001",
                "request of 16385 bytes, at most 16384 expected",
            ),
            (
                "0000000d 06 000000000000000000000000",
                "request message for 0 bytes at 0 of piece 0, which do not exist",
            ),
            (
                "0000000d 06 00000002ffffffff00004000",
                "request message for 16384 bytes at 4294967295 of piece 2, which do not exist",
            ),
            ("00000008 07", "piece message of 8 bytes"),
            (
                "00000009 07 0000000000000000",
                "piece message for 0 bytes at 0 of piece 0, which do not exist",
            ),
            (
                "00020009 07 0000000000020001",
                "piece message for 131072 bytes at 131073 of piece 0, which do not exist",
            ),
            ("0000000a 07 0000000300000000", "piece message for piece 3, which does not exist"),
            ("0000000e 08", "cancel message of 14 bytes"),
            (
                "0000000d 08 000000020001000100027c00",
                "cancel message for 162816 bytes at 65537 of piece 2, which do not exist",
            ),
            ("00000002 09", "port message of 2 bytes"),
            ("00000004 09", "port message of 4 bytes"),
            ("00000001 14", "extended message of 1 bytes"),
            ("0002000a", "frame of 131082 bytes, at most 131081 expected"),
        ] {
            let bytes = hex(bytes);
            assert_eq!(first(&bytes, &v2()).unwrap_err().to_string(), error);
            assert_eq!(first(&bytes[..bytes.len() - 1], &v2()), Ok(None), "{error}");
        }
    }

    #[test]
    fn the_longest_extended_handshake_is_read_and_a_longer_one_skipped() {
        let handshake = |padding: usize| {
            let payload = format!("d1:m{padding}:{}1:pi7ee", "x".repeat(padding));
            let length = u32::try_from(2 + payload.len()).unwrap().to_be_bytes();
            [&length[..], &[EXTENDED, 0], payload.as_bytes()].concat()
        };
        let padding = 8 * 1024 - "d1:m8176:1:pi7ee".len();
        let read = ExtendedHandshake { listen_port: Some(7), ..Default::default() };
        let (heard, _) = hear(&handshake(padding), &v2(), []);
        assert_eq!(heard, [(Message::Extended(read), vec![])]);
        let (heard, _) = hear(&handshake(padding + 1), &v2(), []);
        assert_eq!(heard, [(Message::Unknown(EXTENDED), vec![])]);
    }

    #[test]
    fn the_longest_frame_holds_a_bitfield_of_the_most_pieces() {
        let geometry = Geometry::new(1 << 21, 1).unwrap();
        let message = Message::Bitfield(Bitfield::full(1 << 21));
        let bytes = encoded(&message);
        assert_eq!(bytes.len() - PREFIX_LENGTH, Message::max_frame(&geometry));
        assert_eq!(hear(&bytes, &geometry, []), (vec![(message, vec![])], Ok(())));
    }

    #[test]
    fn the_buffer_does_not_grow_for_blocks_and_extensions() {
        for head in ["00020009 07 0000000000000000", "00020009 15", "00020009 14 01"] {
            let head = hex(head);
            let mut reader = FrameReader::new(Message::max_frame(&v2()));
            let capacity = reader.space().len();
            reader.space()[..head.len()].copy_from_slice(&head);
            reader.filled(head.len());
            assert!(Message::next(&mut reader, &v2()).unwrap().is_some());
            assert_eq!(reader.space().len(), capacity);
        }
    }

    /// Any message about the torrent V2, and what follows its head.
    fn any_heard() -> impl Strategy<Value = Heard> {
        let block = (0_u32..3, 0_u32..75_000, 1_u32..700)
            .prop_map(|(index, begin, length)| v2().block(index, begin, length).unwrap());
        let extended = (prop::option::of("[a-z0-9 ]{1,64}"), prop::option::of(1_u16..)).prop_map(
            |(client, listen_port)| ExtendedHandshake { client, listen_port, request_queue: None },
        );
        let message = prop_oneof![
            Just(Message::KeepAlive),
            Just(Message::Choke),
            Just(Message::Unchoke),
            Just(Message::Interested),
            Just(Message::NotInterested),
            (0_u32..3).prop_map(|index| Message::Have(v2().piece(index).unwrap())),
            (0_u8..8).prop_map(|bits| {
                Message::Bitfield(Bitfield::from_bytes(&[bits << 5], 3).unwrap())
            }),
            block.clone().prop_map(Message::Request),
            block.clone().prop_map(Message::Piece),
            block.prop_map(Message::Cancel),
            any::<u16>().prop_map(Message::Port),
            extended.prop_map(Message::Extended),
            (21_u8..).prop_map(Message::Unknown),
        ];
        message.prop_map(|message| {
            let length = if let Message::Piece(block) = message { block.length() } else { 0 };
            (message, (0..=250).cycle().take(length as usize).collect())
        })
    }

    proptest! {
        #[test]
        fn messages_cut_anywhere_read_the_same(
            said in prop::collection::vec(any_heard(), 0..20),
            cuts in prop::collection::vec(1_usize..1000, 0..40),
        ) {
            let mut stream = Vec::new();
            for (message, body) in &said {
                message.encode(&mut stream);
                stream.extend(body);
            }
            let heard = (said, Ok(()));
            prop_assert_eq!(&hear(&stream, &v2(), cuts), &heard);
            prop_assert_eq!(&hear(&stream, &v2(), std::iter::repeat(1)), &heard);
        }

        #[test]
        fn no_bytes_panic_and_the_cuts_never_matter(
            frames in prop::collection::vec(
                (0_u8..24, prop::collection::vec(any::<u8>(), 0..40)), 0..6
            ),
            cuts in prop::collection::vec(1_usize..20, 0..40),
        ) {
            let mut stream = Vec::new();
            for (id, payload) in &frames {
                put(&mut stream, *id, &[payload]);
            }
            prop_assert_eq!(hear(&stream, &v2(), cuts), hear(&stream, &v2(), []));
        }

        #[test]
        fn a_message_survives_serialization((message, _) in any_heard()) {
            let text = serde_json::to_string(&message).unwrap();
            prop_assert_eq!(serde_json::from_str::<Message>(&text).unwrap(), message);
        }
    }
}
