//! The layout of a torrent: its pieces, their blocks, and the files that they touch (BEP 3).
//!
//! The content of a torrent is its files laid end to end, cut every `piece_length` bytes into
//! pieces, the textbook's chunks; a piece is asked for in blocks of 16 KiB. The last piece may be
//! short, and so may the last block of every piece.
//!
//! A [`PieceIndex`] and a [`Block`] come from a [`Geometry`], so they are in its range; or they
//! were deserialized, and then [`Geometry::contains`] tells.

use serde::{Deserialize, Serialize};

/// Bytes of a block, the unit of a request (BEP 3; larger requests are refused by most clients).
pub const BLOCK_LENGTH: u32 = 16 * 1024;

/// Longest piece accepted, to bound what one piece costs in memory. Torrents in use stay below it.
pub const MAX_PIECE_LENGTH: u32 = 64 * 1024 * 1024;

/// Most pieces accepted (libtorrent has the same bound): a bitfield of 256 KiB.
pub const MAX_PIECES: u32 = 1 << 21;

/// Which piece of the torrent; in range of the geometry that it came from. Check one that was
/// deserialized with [`Geometry::contains_piece`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PieceIndex(u32);

impl PieceIndex {
    /// For this crate's own iterators, which keep it in range.
    pub(crate) fn new(index: u32) -> Self {
        Self(index)
    }

    /// As it stands in a message.
    pub fn get(self) -> u32 {
        self.0
    }

    /// As an index of a slice with an element per piece.
    pub fn as_usize(self) -> usize {
        self.0 as usize
    }
}

impl std::fmt::Display for PieceIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A range of bytes inside one piece; in range of the geometry that it came from. Check one that
/// was deserialized with [`Geometry::contains`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Block(PieceIndex, u32, u32);

impl Block {
    /// The piece that it is a part of.
    pub fn piece(self) -> PieceIndex {
        self.0
    }

    /// First byte, counted from the start of the piece.
    pub fn begin(self) -> u32 {
        self.1
    }

    /// Bytes in it, at least one.
    pub fn length(self) -> u32 {
        self.2
    }
}

/// How long a torrent's content is and how it is cut into pieces and blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Lengths", into = "Lengths")]
pub struct Geometry {
    total_length: u64,
    piece_length: u32,
    piece_count: u32,
}

/// What a [`Geometry`] is made from, and serialized as.
#[derive(Serialize, Deserialize)]
struct Lengths {
    total_length: u64,
    piece_length: u64,
}

impl TryFrom<Lengths> for Geometry {
    type Error = GeometryError;

    fn try_from(lengths: Lengths) -> Result<Self, GeometryError> {
        Self::new(lengths.total_length, lengths.piece_length)
    }
}

impl From<Geometry> for Lengths {
    fn from(geometry: Geometry) -> Self {
        let Geometry { total_length, piece_length, piece_count: _ } = geometry;
        Self { total_length, piece_length: piece_length.into() }
    }
}

/// Lengths that no torrent may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GeometryError {
    /// No byte to exchange.
    #[error("the content is empty: a torrent needs at least one byte")]
    Empty,
    /// Zero, or more than [`MAX_PIECE_LENGTH`].
    #[error("piece length {0} is not between 1 and {MAX_PIECE_LENGTH} bytes")]
    PieceLength(u64),
    /// More than [`MAX_PIECES`].
    #[error("{0} pieces are more than {MAX_PIECES}: use a larger piece length")]
    TooManyPieces(u64),
}

impl Geometry {
    /// Cuts `total_length` bytes into pieces of `piece_length` bytes, the last one perhaps shorter.
    pub fn new(total_length: u64, piece_length: u64) -> Result<Self, GeometryError> {
        if total_length == 0 {
            return Err(GeometryError::Empty);
        }
        let length = u32::try_from(piece_length).ok();
        let length = length.filter(|length| (1..=MAX_PIECE_LENGTH).contains(length));
        let length = length.ok_or(GeometryError::PieceLength(piece_length))?;
        let count = total_length.div_ceil(piece_length);
        let piece_count = u32::try_from(count).ok().filter(|&count| count <= MAX_PIECES);
        let piece_count = piece_count.ok_or(GeometryError::TooManyPieces(count))?;
        Ok(Self { total_length, piece_length: length, piece_count })
    }

    /// Bytes of all files together.
    pub fn total_length(&self) -> u64 {
        self.total_length
    }

    /// Bytes of every piece but the last.
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// The number of pieces, at least one.
    pub fn piece_count(&self) -> u32 {
        self.piece_count
    }

    /// The piece that a message names, if there is one.
    pub fn piece(&self, index: u32) -> Option<PieceIndex> {
        (index < self.piece_count).then_some(PieceIndex(index))
    }

    /// All pieces in order.
    pub fn pieces(&self) -> impl DoubleEndedIterator<Item = PieceIndex> + use<> {
        (0..self.piece_count).map(PieceIndex)
    }

    /// Bytes of this piece.
    pub fn piece_size(&self, piece: PieceIndex) -> u32 {
        let rest = self.total_length - self.piece_offset(piece);
        u32::try_from(rest).map_or(self.piece_length, |rest| rest.min(self.piece_length))
    }

    /// Where the piece begins in the content.
    pub fn piece_offset(&self, piece: PieceIndex) -> u64 {
        u64::from(piece.0) * u64::from(self.piece_length)
    }

    /// How many blocks we ask for to get this piece.
    pub fn block_count(&self, piece: PieceIndex) -> u32 {
        self.piece_size(piece).div_ceil(BLOCK_LENGTH)
    }

    /// The blocks that we ask for to get this piece, in order.
    pub fn blocks(&self, piece: PieceIndex) -> impl ExactSizeIterator<Item = Block> + use<> {
        let size = self.piece_size(piece);
        let begins = (0..size).step_by(BLOCK_LENGTH as usize);
        begins.map(move |begin| Block(piece, begin, BLOCK_LENGTH.min(size - begin)))
    }

    /// The whole piece as one range.
    pub fn whole_piece(&self, piece: PieceIndex) -> Block {
        Block(piece, 0, self.piece_size(piece))
    }

    /// The range that a message names, if it is not empty and lies inside a piece. It need not
    /// begin at a multiple of 16 KiB.
    pub fn block(&self, index: u32, begin: u32, length: u32) -> Option<Block> {
        let piece = self.piece(index)?;
        let end = u64::from(begin) + u64::from(length);
        let fits = length > 0 && end <= u64::from(self.piece_size(piece));
        fits.then_some(Block(piece, begin, length))
    }

    /// Whether the piece is one of this torrent, which only a deserialized one may not be.
    pub fn contains_piece(&self, piece: PieceIndex) -> bool {
        self.piece(piece.0).is_some()
    }

    /// Whether the block lies in this torrent, which only a deserialized one may not do.
    pub fn contains(&self, block: Block) -> bool {
        self.block(block.piece().0, block.begin(), block.length()).is_some()
    }

    /// Which of [`Self::blocks`] this is; `None` if we would not ask for exactly this range.
    pub fn block_number(&self, block: Block) -> Option<u32> {
        let number = block.begin() / BLOCK_LENGTH;
        let expected = BLOCK_LENGTH.min(self.piece_size(block.piece()).checked_sub(block.begin())?);
        (block.begin().is_multiple_of(BLOCK_LENGTH) && block.length() == expected).then_some(number)
    }

    /// Where the block begins in the content.
    pub fn block_offset(&self, block: Block) -> u64 {
        self.piece_offset(block.piece()) + u64::from(block.begin())
    }
}

/// A range of bytes inside one file of a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRange {
    /// Which file, as the torrent lists them.
    pub file: usize,
    /// First byte in that file.
    pub offset: u64,
    /// Bytes in the range, at least one.
    pub length: u64,
}

/// Where each file lies in the content: which files a block touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMap {
    /// Where file i begins; one more at the end, where the content ends.
    starts: Vec<u64>,
}

impl FileMap {
    /// From the lengths of the files in the order of the torrent.
    ///
    /// # Panics
    /// If the sum does not fit a u64, which reading a torrent has ruled out.
    pub fn new(lengths: impl IntoIterator<Item = u64>) -> Self {
        let mut starts = vec![0];
        let mut end: u64 = 0;
        for length in lengths {
            end = end.checked_add(length).expect("the lengths of the files add up in a u64");
            starts.push(end);
        }
        Self { starts }
    }

    /// The parts of files that `length` bytes at `offset` of the content touch, in order. Files
    /// without a byte in the range are left out. What lies after the last file is ignored.
    pub fn ranges(&self, offset: u64, length: u64) -> impl Iterator<Item = FileRange> {
        let end = offset.saturating_add(length);
        let first = self.starts.partition_point(|&start| start <= offset).saturating_sub(1);
        let files = (first..).zip(self.starts[first..].windows(2));
        files.take_while(move |(_, bounds)| bounds[0] < end).filter_map(move |(file, bounds)| {
            let (from, to) = (bounds[0].max(offset), bounds[1].min(end));
            (from < to).then(|| FileRange { file, offset: from - bounds[0], length: to - from })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_piece_and_the_last_block_of_a_piece_may_be_short() {
        // The torrent V2 of 600000 bytes: two full pieces and 75712 bytes in five blocks.
        let geometry = Geometry::new(600_000, 262_144).unwrap();
        let last = geometry.piece(2).unwrap();
        assert_eq!(geometry.piece_count(), 3);
        assert_eq!(geometry.piece_size(last), 75_712);
        let blocks: Vec<_> = geometry.blocks(last).map(|b| (b.begin(), b.length())).collect();
        assert_eq!(blocks.len(), 5);
        assert_eq!(blocks[4], (65_536, 10_176));
        assert_eq!(geometry.blocks(geometry.piece(0).unwrap()).len(), 16);
    }

    #[test]
    fn a_piece_length_need_not_be_a_multiple_of_the_block_length() {
        let geometry = Geometry::new(100_000, 20_000).unwrap();
        let lengths: Vec<_> =
            geometry.blocks(geometry.piece(1).unwrap()).map(Block::length).collect();
        assert_eq!(lengths, [16_384, 3_616]);
    }

    #[test]
    fn lengths_out_of_bounds_are_refused() {
        assert_eq!(Geometry::new(0, 16_384), Err(GeometryError::Empty));
        assert_eq!(Geometry::new(1, 0), Err(GeometryError::PieceLength(0)));
        assert_eq!(Geometry::new(1, 1 << 32), Err(GeometryError::PieceLength(1 << 32)));
        let pieces = u64::from(MAX_PIECES);
        assert!(Geometry::new(pieces * 16_384, 16_384).is_ok());
        assert_eq!(
            Geometry::new(pieces * 16_384 + 1, 16_384),
            Err(GeometryError::TooManyPieces(pieces + 1))
        );
    }

    #[test]
    fn a_range_outside_its_piece_is_no_block() {
        let geometry = Geometry::new(600_000, 262_144).unwrap();
        assert!(geometry.block(2, 65_536, 10_176).is_some());
        for (index, begin, length) in [
            (3, 0, 1),
            (u32::MAX, 0, 1),
            (0, 0, 0),
            (0, 262_144, 1),
            (2, 65_536, 10_177),
            (0, u32::MAX, u32::MAX),
            (0, 1, u32::MAX),
        ] {
            assert_eq!(geometry.block(index, begin, length), None, "{index} {begin} {length}");
        }
    }

    #[test]
    fn a_serialized_block_can_be_checked_after_reading() {
        let geometry = Geometry::new(600_000, 262_144).unwrap();
        let block = geometry.block(2, 65_536, 10_176).unwrap();
        assert_eq!(serde_json::to_string(&block).unwrap(), "[2,65536,10176]");
        let read = |text: &str| serde_json::from_str::<Block>(text).unwrap();
        assert_eq!(read("[2,65536,10176]"), block);
        assert!(geometry.contains(block) && geometry.contains_piece(block.piece()));
        for text in ["[2,65536,10177]", "[3,0,1]", "[0,0,0]"] {
            assert!(!geometry.contains(read(text)), "{text}");
        }
        assert!(!geometry.contains_piece(read("[3,0,1]").piece()));
    }

    #[test]
    fn a_serialized_geometry_reads_back_or_is_refused() {
        let geometry = Geometry::new(600_000, 262_144).unwrap();
        let text = r#"{"total_length":600000,"piece_length":262144}"#;
        assert_eq!(serde_json::to_string(&geometry).unwrap(), text);
        assert_eq!(serde_json::from_str::<Geometry>(text).unwrap(), geometry);
        let error = serde_json::from_str::<Geometry>(&text.replace("600000", "0")).unwrap_err();
        assert!(error.to_string().starts_with("the content is empty"), "{error}");
    }

    #[test]
    fn only_what_we_would_ask_for_has_a_block_number() {
        let geometry = Geometry::new(600_000, 262_144).unwrap();
        let number = |begin, length| geometry.block_number(geometry.block(2, begin, length)?);
        assert_eq!(number(16_384, 16_384), Some(1));
        assert_eq!(number(65_536, 10_176), Some(4));
        assert_eq!(number(16_384, 16_383), None);
        assert_eq!(number(1, 16_384), None);
    }

    #[test]
    fn a_piece_touches_the_files_that_it_overlaps() {
        // The torrent V4: a.bin 200000, empty.txt 0, sub/b.bin 100000, sub/c.bin 1.
        let files = FileMap::new([200_000, 0, 100_000, 1]);
        let ranges = |offset, length| -> Vec<_> {
            files.ranges(offset, length).map(|r| (r.file, r.offset, r.length)).collect()
        };
        assert_eq!(ranges(0, 262_144), [(0, 0, 200_000), (2, 0, 62_144)]);
        assert_eq!(ranges(262_144, 37_857), [(2, 62_144, 37_856), (3, 0, 1)]);
        assert_eq!(ranges(200_000, 1), [(2, 0, 1)]);
        assert_eq!(ranges(5, 0), []);
        assert_eq!(ranges(300_001, 10), []);
    }

    proptest! {
        #[test]
        fn the_blocks_of_all_pieces_are_the_content(total in 1_u64..2_000_000, piece in 1_u64..300_000) {
            let Ok(geometry) = Geometry::new(total, piece) else { return Ok(()) };
            let mut end = 0;
            for piece in geometry.pieces() {
                for (number, block) in (0..).zip(geometry.blocks(piece)) {
                    prop_assert_eq!(geometry.block_offset(block), end);
                    prop_assert_eq!(geometry.block_number(block), Some(number));
                    end += u64::from(block.length());
                }
            }
            prop_assert_eq!(end, total);
        }

        #[test]
        fn the_file_ranges_of_a_range_add_up(
            lengths in prop::collection::vec(0_u64..50, 1..20), offset in 0_u64..500, length in 0_u64..500,
        ) {
            let total: u64 = lengths.iter().sum();
            let sum: u64 = FileMap::new(lengths.iter().copied())
                .ranges(offset, length)
                .map(|range| {
                    assert!(range.offset + range.length <= lengths[range.file]);
                    range.length
                })
                .sum();
            prop_assert_eq!(sum, length.min(total.saturating_sub(offset)));
        }
    }
}
