//! Which pieces a peer has, one bit each (BEP 3). It is kept as it goes over the wire.

use serde::{Deserialize, Serialize};

use crate::geometry::PieceIndex;
use crate::hex;

/// A set of the pieces of one torrent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Bitfield {
    /// Bit 7 of byte 0 is piece 0; the bits after the last piece are zero.
    bytes: Box<[u8]>,
    piece_count: u32,
    /// How many are set, so that nothing needs to count them.
    count: u32,
}

/// How a [`Bitfield`] is serialized.
#[derive(Serialize, Deserialize)]
struct Written {
    pieces: u32,
    /// Of the bytes of a bitfield message.
    hex: String,
}

impl From<Bitfield> for Written {
    fn from(bitfield: Bitfield) -> Self {
        Self { pieces: bitfield.piece_count, hex: hex::encode(&bitfield.bytes) }
    }
}

impl TryFrom<Written> for Bitfield {
    type Error = BitfieldError;

    fn try_from(Written { pieces, hex }: Written) -> Result<Self, BitfieldError> {
        Self::from_bytes(&hex::decode(&hex).ok_or(BitfieldError::NotHex)?, pieces)
    }
}

/// Bytes that are not a bitfield of the torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BitfieldError {
    /// It must have a bit for each piece, rounded up to bytes.
    #[error("bitfield has {actual} bytes, expected {expected}")]
    Length {
        /// Bytes that came.
        actual: usize,
        /// Bytes that the number of pieces asks for.
        expected: usize,
    },
    /// The bits after the last piece must be zero.
    #[error("bitfield has a spare bit set")]
    SpareBit,
    /// The serialized form is not in hex digits.
    #[error("bitfield is not in hex digits")]
    NotHex,
}

impl Bitfield {
    /// No piece.
    pub fn empty(piece_count: u32) -> Self {
        let bytes = vec![0; Self::byte_length(piece_count)].into();
        Self { bytes, piece_count, count: 0 }
    }

    /// Every piece.
    pub fn full(piece_count: u32) -> Self {
        let mut bytes = vec![0xff; Self::byte_length(piece_count)];
        if let Some(last) = bytes.last_mut() {
            *last &= !Self::spare_bits(piece_count);
        }
        Self { bytes: bytes.into(), piece_count, count: piece_count }
    }

    /// From the payload of a bitfield message.
    pub fn from_bytes(bytes: &[u8], piece_count: u32) -> Result<Self, BitfieldError> {
        let expected = Self::byte_length(piece_count);
        if bytes.len() != expected {
            return Err(BitfieldError::Length { actual: bytes.len(), expected });
        }
        if bytes.last().is_some_and(|last| last & Self::spare_bits(piece_count) != 0) {
            return Err(BitfieldError::SpareBit);
        }
        let count = bytes.iter().map(|byte| byte.count_ones()).sum();
        Ok(Self { bytes: bytes.into(), piece_count, count })
    }

    /// Bytes of a bitfield message's payload for this many pieces.
    pub fn byte_length(piece_count: u32) -> usize {
        piece_count.div_ceil(8) as usize
    }

    /// Adds a piece; adding it twice changes nothing.
    pub fn insert(&mut self, piece: PieceIndex) {
        if !self.contains(piece) {
            self.bytes[piece.as_usize() / 8] |= Self::bit(piece);
            self.count += 1;
        }
    }

    /// Removes a piece; removing it twice changes nothing.
    pub fn remove(&mut self, piece: PieceIndex) {
        if self.contains(piece) {
            self.bytes[piece.as_usize() / 8] &= !Self::bit(piece);
            self.count -= 1;
        }
    }

    /// Whether the piece is in the set.
    pub fn contains(&self, piece: PieceIndex) -> bool {
        self.bytes[piece.as_usize() / 8] & Self::bit(piece) != 0
    }

    /// How many pieces are in the set.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// How many pieces the torrent has.
    pub fn piece_count(&self) -> u32 {
        self.piece_count
    }

    /// Whether no piece is in the set.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether every piece is in the set: the bitfield of a seed.
    pub fn is_full(&self) -> bool {
        self.count == self.piece_count
    }

    /// The pieces in the set, in order.
    pub fn iter(&self) -> impl Iterator<Item = PieceIndex> {
        let some = (0..).zip(&self.bytes).filter(|&(_, &byte)| byte != 0);
        some.flat_map(|(number, byte)| {
            let set = (0..8).filter(move |bit| byte & (0x80 >> bit) != 0);
            set.map(move |bit| PieceIndex::new(8 * number + bit))
        })
    }

    /// How many pieces are in this set but not in `other`, a bitfield of the same torrent.
    pub fn count_missing_in(&self, other: &Self) -> u32 {
        let bytes = self.bytes.iter().zip(&other.bytes);
        bytes.map(|(ours, theirs)| (ours & !theirs).count_ones()).sum()
    }

    /// The first piece that is in this set but not in `other`, a bitfield of the same torrent.
    pub fn first_missing_in(&self, other: &Self) -> Option<PieceIndex> {
        let missing = self.bytes.iter().zip(&other.bytes).map(|(ours, theirs)| ours & !theirs);
        let (number, byte) = (0..).zip(missing).find(|&(_, byte)| byte != 0)?;
        Some(PieceIndex::new(8 * number + byte.leading_zeros()))
    }

    /// The payload of a bitfield message.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn bit(piece: PieceIndex) -> u8 {
        0x80 >> (piece.get() % 8)
    }

    /// The bits of the last byte that stand for no piece.
    fn spare_bits(piece_count: u32) -> u8 {
        match piece_count % 8 {
            0 => 0,
            used => 0xff >> used,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn indices(bitfield: &Bitfield) -> Vec<u32> {
        bitfield.iter().map(PieceIndex::get).collect()
    }

    #[test]
    fn bit_seven_of_byte_zero_is_piece_zero() {
        let bitfield = Bitfield::from_bytes(&[0xc0, 0x40], 10).unwrap();
        assert_eq!(indices(&bitfield), [0, 1, 9]);
        assert_eq!(bitfield.count(), 3);
    }

    #[test]
    fn wrong_lengths_and_spare_bits_are_refused() {
        assert_eq!(Bitfield::from_bytes(&[0xc0, 0x41], 10), Err(BitfieldError::SpareBit));
        for bytes in [&[][..], &[0], &[0, 0, 0]] {
            let error = BitfieldError::Length { actual: bytes.len(), expected: 2 };
            assert_eq!(Bitfield::from_bytes(bytes, 10), Err(error));
        }
    }

    #[test]
    fn a_full_bitfield_has_no_spare_bit() {
        for piece_count in 1..40 {
            let full = Bitfield::full(piece_count);
            assert!(full.is_full());
            assert_eq!(Bitfield::from_bytes(full.as_bytes(), piece_count), Ok(full));
        }
    }

    #[test]
    fn a_serialized_bitfield_reads_back_or_is_refused() {
        let bitfield = Bitfield::from_bytes(&[0xc0, 0x40], 10).unwrap();
        let text = r#"{"pieces":10,"hex":"c040"}"#;
        assert_eq!(serde_json::to_string(&bitfield).unwrap(), text);
        assert_eq!(serde_json::from_str::<Bitfield>(text).unwrap(), bitfield);
        for (from, to, error) in [
            ("c040", "c041", "bitfield has a spare bit set"),
            ("c040", "c0", "bitfield has 1 bytes, expected 2"),
            ("c040", "c04x", "bitfield is not in hex digits"),
            ("10", "4294967295", "bitfield has 2 bytes, expected 536870912"),
        ] {
            let refused = serde_json::from_str::<Bitfield>(&text.replace(from, to)).unwrap_err();
            assert!(refused.to_string().starts_with(error), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn it_is_the_set_of_what_was_inserted(
            inserted in prop::collection::btree_set(0_u32..100, 0..100),
            removed in prop::collection::btree_set(0_u32..100, 0..100),
        ) {
            let mut bitfield = Bitfield::empty(100);
            let mut before = Bitfield::empty(100);
            for &index in &inserted {
                bitfield.insert(PieceIndex::new(index));
                bitfield.insert(PieceIndex::new(index));
                before.insert(PieceIndex::new(index));
            }
            for &index in &removed {
                bitfield.remove(PieceIndex::new(index));
                bitfield.remove(PieceIndex::new(index));
            }
            let expected: Vec<_> = inserted.difference(&removed).copied().collect();
            prop_assert_eq!(bitfield.count() as usize, expected.len());
            prop_assert_eq!(indices(&bitfield), expected);
            let taken = inserted.intersection(&removed).count();
            prop_assert_eq!(before.count_missing_in(&bitfield) as usize, taken);
            let first = inserted.intersection(&removed).next().map(|&index| PieceIndex::new(index));
            prop_assert_eq!(before.first_missing_in(&bitfield), first);
            prop_assert_eq!(Bitfield::from_bytes(bitfield.as_bytes(), 100), Ok(bitfield));
        }
    }
}
