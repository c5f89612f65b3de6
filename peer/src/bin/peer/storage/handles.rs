//! Open files of one torrent: a bounded number, whatever the number of files.

use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use super::claim::Claim;

/// Most files open at a time: far below the 256 of macOS, which sockets need too.
const MAX_OPEN: usize = 64;

/// An open file. Its cursor means nothing: every access names its offset.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) file: File,
    /// For messages.
    pub(crate) path: PathBuf,
}

/// Opens files below one root and keeps open the ones used last.
#[derive(Debug)]
pub(super) struct Handles {
    /// A file or a folder.
    pub(super) root: PathBuf,
    /// To `NAME.part`, as long as the files are there; only then are they written to.
    pub(super) claim: Option<Claim>,
    /// By their numbers; the one used last stands last.
    pub(super) open: Vec<(usize, Arc<OpenFile>)>,
}

impl Handles {
    pub(super) fn new(root: PathBuf, claim: Option<Claim>) -> Self {
        Self { root, claim, open: Vec::new() }
    }

    /// The file of that number, which is at `components` below the root.
    pub(super) fn open(&mut self, number: usize, components: &[String]) -> Result<Arc<OpenFile>> {
        if let Some(at) = self.open.iter().rposition(|(other, _)| *other == number) {
            self.open[at..].rotate_left(1);
        } else {
            if self.open.len() == MAX_OPEN {
                self.open.remove(0);
            }
            let path = self.path(components)?;
            let file =
                self.open_file(&path).with_context(|| format!("cannot open {}", path.display()))?;
            self.open.push((number, Arc::new(OpenFile { file, path })));
        }
        Ok(Arc::clone(&self.open.last().expect("it was just put there").1))
    }

    fn open_file(&mut self, path: &Path) -> io::Result<File> {
        let mut options = File::options();
        options.read(true).write(self.claim.is_some());
        match options.open(path) {
            // Sockets may have used up the descriptors, for which std has no error kind: free ours.
            Err(_) if !self.open.is_empty() => {
                self.open.clear();
                options.open(path)
            }
            result => result,
        }
    }

    /// The path of a file, which need not exist yet. A symbolic link in the path is an error: it
    /// could lead to other files. Only `NAME` itself, which is never written to, may be one. (No
    /// portable call guards against links that are made at this very moment.)
    pub(super) fn path(&self, components: &[String]) -> Result<PathBuf> {
        let mut path = self.root.clone();
        if self.claim.is_some() {
            refuse_link(&path)?;
        }
        for component in components {
            path.push(component);
            refuse_link(&path)?;
        }
        Ok(path)
    }
}

fn refuse_link(path: &Path) -> Result<()> {
    // If this fails, opening the file fails too, with the better message.
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        bail!("cannot follow the symbolic link {}: remove it", path.display());
    }
    Ok(())
}

/// Creates a file of that length, or gives the existing one that length.
pub(super) fn make_file(path: &Path, length: u64) -> io::Result<()> {
    // Opening a pipe would wait for its other end.
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "not a regular file"));
    }
    let file = File::options().write(true).create(true).truncate(false).open(path)?;
    if file.metadata()?.len() != length {
        file.set_len(length)?;
    }
    Ok(())
}

/// Fills the buffer from that offset on, wherever the cursor is.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    fill_at(file, buffer, offset).map_err(|error| match error.kind() {
        kind @ io::ErrorKind::UnexpectedEof => {
            io::Error::new(kind, "the file is shorter than it was")
        }
        _ => error,
    })
}

#[cfg(unix)]
fn fill_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn fill_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                buffer = &mut buffer[count..];
                offset += count as u64;
            }
        }
    }
    Ok(())
}

/// Writes the first bytes of these parts, at most `length`, at that offset; returns how many.
pub(super) fn write_some_at(
    file: &File,
    parts: &[IoSlice<'_>],
    length: usize,
    offset: u64,
) -> io::Result<usize> {
    loop {
        match write_once(file, parts, length, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            written => return written,
        }
    }
}

#[cfg(unix)]
fn write_once(
    mut file: &File,
    parts: &[IoSlice<'_>],
    length: usize,
    offset: u64,
) -> io::Result<usize> {
    use std::io::{Seek, SeekFrom, Write};

    if parts.iter().map(|part| part.len()).sum::<usize>() <= length {
        // All in one call. It moves the cursor, which nothing else here uses.
        file.seek(SeekFrom::Start(offset))?;
        return file.write_vectored(parts);
    }
    // Of the files that a piece touches, each gets its own bytes only.
    let first = &parts[0][..parts[0].len().min(length)];
    std::os::unix::fs::FileExt::write_at(file, first, offset)
}

#[cfg(windows)]
fn write_once(file: &File, parts: &[IoSlice<'_>], length: usize, offset: u64) -> io::Result<usize> {
    let first = &parts[0][..parts[0].len().min(length)];
    std::os::windows::fs::FileExt::seek_write(file, first, offset)
}
