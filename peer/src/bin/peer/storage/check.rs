//! Compares the files on disk with the torrent: their lengths, and the hash of every piece.

use std::fs;
use std::io;
use std::ops::ControlFlow;

use anyhow::{Context, Result, bail};
use common::bitfield::Bitfield;
use common::geometry::PieceIndex;
use sha1::{Digest, Sha1};

use super::Storage;

impl Storage {
    /// Hashes every piece on disk and returns the good ones; `None` if `progress`, which gets
    /// the number of bytes read so far, interrupts it.
    ///
    /// A bad piece of `NAME` is an error, since nothing is ever written to it.
    pub(crate) fn check(
        &self,
        progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Option<Bitfield>> {
        let mut have = Bitfield::empty(self.metainfo.geometry.piece_count());
        if self.fresh {
            return Ok(Some(have));
        }
        let mut wrong = Vec::new();
        let mut buffer = Vec::new();
        let mut done = 0;
        for piece in self.metainfo.geometry.pieces() {
            if self.hash_piece(piece, &mut buffer)? == self.metainfo.piece_hashes[piece.as_usize()]
            {
                have.insert(piece);
            } else if wrong.len() < NAMED_IN_ERROR {
                wrong.push(format!("chunk {piece} ({}) does not match", self.names(piece)));
            }
            done += u64::from(self.metainfo.geometry.piece_size(piece));
            if progress(done).is_break() {
                return Ok(None);
            }
        }
        if !wrong.is_empty() && self.lock().claim.is_none() {
            let (target, count) = (self.target.display(), have.piece_count() - have.count());
            bail!("cannot use {target}: {}{LEFT_ALONE}", listed(&wrong, count as usize));
        }
        Ok(Some(have))
    }

    /// The hash of a piece as it is on disk. The buffer is for reuse.
    pub(crate) fn hash_piece(&self, piece: PieceIndex, buffer: &mut Vec<u8>) -> Result<[u8; 20]> {
        let size = self.metainfo.geometry.piece_size(piece);
        buffer.resize(size.min(READ_LENGTH) as usize, 0);
        let mut hasher = Sha1::new();
        for begin in (0..size).step_by(READ_LENGTH as usize) {
            let length = READ_LENGTH.min(size - begin);
            let range = self.metainfo.geometry.block(piece.get(), begin, length);
            let bytes = &mut buffer[..length as usize];
            self.read(range.expect("it lies inside the piece"), bytes)?;
            hasher.update(bytes);
        }
        Ok(hasher.finalize().into())
    }

    /// Whether every file of `NAME` exists with its length.
    pub(super) fn check_lengths(&self) -> Result<()> {
        let mut wrong = Vec::new();
        for file in self.metainfo.files.iter().filter(|file| !file.padding) {
            let components = self.components(file);
            let path = self.lock().path(components)?;
            let name = if components.is_empty() { "it".into() } else { components.join("/") };
            let expected = file.length;
            match fs::metadata(&path) {
                Ok(found) if !found.is_file() => wrong.push(format!("{name} is not a file")),
                Ok(found) if found.len() != expected => {
                    let length = found.len();
                    wrong.push(format!("{name} has {length} bytes, expected {expected}"));
                }
                Ok(_) => {}
                Err(error) if is_absent(&error) => wrong.push(format!("{name} is missing")),
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("cannot look at {}", path.display()));
                }
            }
        }
        let count = wrong.len();
        wrong.truncate(NAMED_IN_ERROR);
        if count > 0 {
            bail!("cannot use {}: {}{LEFT_ALONE}", self.target.display(), listed(&wrong, count));
        }
        Ok(())
    }

    /// The files that a piece touches.
    fn names(&self, piece: PieceIndex) -> String {
        let files = || {
            let ranges = self.ranges(self.metainfo.geometry.whole_piece(piece));
            ranges.map(|range| &self.metainfo.files[range.file]).filter(|file| !file.padding)
        };
        let names: Vec<_> = files().take(NAMED_IN_ERROR).map(|file| file.path.join("/")).collect();
        listed(&names, files().count())
    }
}

/// Bytes read at a time for hashing: few enough to stay in the cache, and enough to make the cost
/// of the system calls negligible.
const READ_LENGTH: u32 = 256 * 1024;

/// Most files that one message names.
const NAMED_IN_ERROR: usize = 3;

/// For a `NAME` that differs from the torrent.
const LEFT_ALONE: &str =
    "; left untouched: to download it again, move it away or choose another folder with --dir";

/// The first few of `count` things as a line of text.
fn listed(first: &[String], count: usize) -> String {
    match count - first.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// Missing, or below a file.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
