//! What is on disk against what the torrent describes: lengths, and the hash of every piece.

use std::fs;
use std::io;
use std::ops::ControlFlow;

use anyhow::{Context, Result, bail};
use common::bitfield::Bitfield;
use common::geometry::PieceIndex;
use common::metainfo::Metainfo;
use sha1::{Digest, Sha1};

use super::Storage;

impl Storage {
    /// Hashes what is there, and returns the pieces that are right; `None` if `progress` broke it
    /// off, which is told again and again how many bytes have been looked at.
    ///
    /// A wrong piece of `NAME` is an error, since nothing is ever written to it.
    pub(crate) fn check(
        &self,
        metainfo: &Metainfo,
        progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Option<Bitfield>> {
        let mut have = Bitfield::empty(self.geometry.piece_count());
        if self.fresh {
            return Ok(Some(have));
        }
        let mut wrong = Vec::new();
        let mut buffer = Vec::new();
        let mut done = 0;
        for piece in self.geometry.pieces() {
            if self.hash_piece(piece, &mut buffer)? == metainfo.piece_hashes[piece.as_usize()] {
                have.insert(piece);
            } else if wrong.len() < NAMED_IN_ERROR {
                wrong.push(format!("chunk {piece} ({}) does not match", self.names(piece)));
            }
            done += u64::from(self.geometry.piece_size(piece));
            if progress(done).is_break() {
                return Ok(None);
            }
        }
        if !wrong.is_empty() && !self.is_part() {
            let (target, count) = (self.target.display(), have.piece_count() - have.count());
            bail!("{target}: {}{LEFT_ALONE}", listed(&wrong, count as usize));
        }
        Ok(Some(have))
    }

    /// The hash of a piece as it is on disk. The buffer is for reuse.
    pub(crate) fn hash_piece(&self, piece: PieceIndex, buffer: &mut Vec<u8>) -> Result<[u8; 20]> {
        let size = self.geometry.piece_size(piece);
        buffer.resize(size.min(READ_LENGTH) as usize, 0);
        let mut hasher = Sha1::new();
        for begin in (0..size).step_by(READ_LENGTH as usize) {
            let length = READ_LENGTH.min(size - begin);
            let range = self.geometry.block(piece.get(), begin, length);
            let bytes = &mut buffer[..length as usize];
            self.read(range.expect("it lies inside the piece"), bytes)?;
            hasher.update(bytes);
        }
        Ok(hasher.finalize().into())
    }

    /// Whether every file of `NAME` is there with its length.
    pub(super) fn check_lengths(&self) -> Result<()> {
        let mut wrong = Vec::new();
        for file in self.files.iter().filter(|file| !file.padding) {
            let path = self.lock().handles.path(self.components(file))?;
            match fs::metadata(&path) {
                Ok(found) if !found.is_file() => {
                    wrong.push(format!("{} is no file", path.display()));
                }
                Ok(found) if found.len() != file.length => wrong.push(format!(
                    "{} has {} bytes, expected {}",
                    path.display(),
                    found.len(),
                    file.length
                )),
                Ok(_) => {}
                Err(error) if is_absent(&error) => {
                    wrong.push(format!("{} is missing", path.display()));
                }
                Err(error) => {
                    return Err(error).with_context(|| format!("look at {}", path.display()));
                }
            }
        }
        let count = wrong.len();
        wrong.truncate(NAMED_IN_ERROR);
        if count > 0 {
            bail!("{}{LEFT_ALONE}", listed(&wrong, count));
        }
        Ok(())
    }

    /// The files that a piece touches.
    fn names(&self, piece: PieceIndex) -> String {
        let files = || {
            let ranges = self.ranges(self.geometry.whole_piece(piece));
            ranges.map(|range| &self.files[range.file]).filter(|file| !file.padding)
        };
        let names: Vec<_> = files().take(NAMED_IN_ERROR).map(|file| file.path.join("/")).collect();
        listed(&names, files().count())
    }
}

/// Bytes read at a time for hashing: they stay in the cache, and system calls cost nothing beside.
const READ_LENGTH: u32 = 256 * 1024;

/// Most files that one message names.
const NAMED_IN_ERROR: usize = 3;

/// What is said when `NAME` is not what the torrent describes.
const LEFT_ALONE: &str =
    "; nothing was changed: to download it anew, move it away or name another folder with --dir";

/// The first few of `count` things as a line of text.
fn listed(first: &[String], count: usize) -> String {
    match count - first.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// Not there, or below what is a file.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
