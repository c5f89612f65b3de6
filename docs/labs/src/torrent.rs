//! A torrent made for one check: random content, its pieces, and its .torrent file.

use common::geometry::{Block, Geometry, PieceIndex};
use common::id::InfoHash;
use common::metainfo::{self, CreateOptions, File, Layout, Metainfo};
use fastrand::Rng;
use sha1::{Digest, Sha1};

/// The content of a single file, and what its .torrent says of it.
#[derive(Debug)]
pub(crate) struct Torrent {
    pub(crate) geometry: Geometry,
    pub(crate) info_hash: InfoHash,
    pub(crate) content: Vec<u8>,
    /// The bytes of the .torrent file.
    pub(crate) metainfo: Vec<u8>,
}

impl Torrent {
    /// Content of `length` bytes from the seed, in pieces of `piece_length` bytes.
    pub(crate) fn new(rng: &mut Rng, length: usize, piece_length: u32) -> Self {
        let mut content = vec![0; length];
        rng.fill(&mut content);
        let hashes: Vec<[u8; 20]> =
            content.chunks(piece_length as usize).map(|piece| Sha1::digest(piece).into()).collect();
        let name = "lab.bin";
        let file = File { path: vec![name.to_owned()], length: length as u64, padding: false };
        let trackers = ["http://127.0.0.1:9/announce".to_owned()];
        let options = CreateOptions { trackers: &trackers, piece_length, private: false };
        let metainfo = metainfo::encode(name, Layout::SingleFile, &[file], &hashes, &options);
        let read = Metainfo::from_bytes(&metainfo).expect("what we write, we read");
        Self { geometry: read.geometry, info_hash: read.info_hash, content, metainfo }
    }

    /// The piece with this index.
    ///
    /// # Panics
    /// When the torrent has none.
    pub(crate) fn piece(&self, index: u32) -> PieceIndex {
        self.geometry.piece(index).expect("checks name pieces of their own torrents")
    }

    pub(crate) fn bytes(&self, block: Block) -> &[u8] {
        let offset = usize::try_from(self.geometry.block_offset(block)).expect("it is in memory");
        &self.content[offset..offset + block.length() as usize]
    }
}
