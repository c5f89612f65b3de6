//! Open files of one torrent: a bounded number, whatever the number of files.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};

/// Most files open at a time: far below the 256 of macOS, which sockets need too.
const MAX_OPEN: usize = 64;

/// What may be done with the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// `NAME`.
    ReadOnly,
    /// `NAME.part`.
    ReadAndWrite,
}

/// Opens files below one root and keeps those open that were used last.
#[derive(Debug)]
pub(super) struct Handles {
    root: PathBuf,
    access: Access,
    /// Numbers of files; the one used last stands last.
    open: Vec<(usize, Arc<File>)>,
}

impl Handles {
    /// The root is a file or a folder.
    pub(super) fn new(root: PathBuf, access: Access) -> Self {
        Self { root, access, open: Vec::new() }
    }

    /// The file of that number, which is at `components` below the root.
    pub(super) fn open(&mut self, number: usize, components: &[String]) -> Result<Arc<File>> {
        if let Some(at) = self.open.iter().rposition(|(other, _)| *other == number) {
            self.open[at..].rotate_left(1);
        } else {
            if self.open.len() == MAX_OPEN {
                self.open.remove(0);
            }
            let path = self.path(components)?;
            let file = self.open_file(&path).with_context(|| format!("open {}", path.display()))?;
            self.open.push((number, Arc::new(file)));
        }
        Ok(Arc::clone(&self.open.last().expect("it was just put there").1))
    }

    fn open_file(&mut self, path: &Path) -> io::Result<File> {
        let mut options = File::options();
        options.read(true).write(self.access == Access::ReadAndWrite);
        match options.open(path) {
            // Perhaps neighbours have taken all descriptors, for which std has no name: then the
            // ones that are here make do.
            Err(_) if !self.open.is_empty() => {
                self.close();
                options.open(path)
            }
            result => result,
        }
    }

    pub(super) fn close(&mut self) {
        self.open.clear();
    }

    /// Where a file is or is to be. A symbolic link on the way is an error: it could lead to what
    /// is not the torrent's. Only `NAME` itself, which is never written to, may be one. (Against
    /// somebody who makes links in the folder at this moment there is no portable way.)
    pub(super) fn path(&self, components: &[String]) -> Result<PathBuf> {
        let mut path = self.root.clone();
        if self.access == Access::ReadAndWrite {
            refuse_link(&path)?;
        }
        for component in components {
            path.push(component);
            refuse_link(&path)?;
        }
        Ok(path)
    }

    /// As [`Self::path`], for a message.
    pub(super) fn unchecked_path(&self, components: &[String]) -> PathBuf {
        let mut path = self.root.clone();
        path.extend(components);
        path
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn access(&self) -> Access {
        self.access
    }
}

fn refuse_link(path: &Path) -> Result<()> {
    // What cannot be looked at cannot be opened either, and that gives the better message.
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        bail!("{} is a symbolic link, which is not followed: take it away", path.display());
    }
    Ok(())
}

/// Makes a file of that length, or gives the one that is there that length.
pub(super) fn make_file(path: &Path, length: u64) -> io::Result<()> {
    // Opening a pipe would wait for its other end.
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "what is there is no file"));
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

/// Writes the bytes from that offset on, wherever the cursor is.
#[cfg(unix)]
pub(super) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

/// Writes the bytes from that offset on, wherever the cursor is.
#[cfg(windows)]
pub(super) fn write_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, bytes, offset)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => {
                bytes = &bytes[count..];
                offset += count as u64;
            }
        }
    }
    Ok(())
}
