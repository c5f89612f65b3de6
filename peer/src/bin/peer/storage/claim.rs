//! Which torrent and which process `NAME.part` belongs to: a small file beside it that holds the
//! info-hash.
//!
//! It is created before `NAME.part` and removed after it, so a `NAME.part` without it is not ours.
//! A running peer has the file locked; the lock of a killed peer goes with it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use common::id::InfoHash;
use same_file::Handle;

/// Comes after the name of `NAME.part`.
pub(super) const SUFFIX: &str = ".torrent-id";

/// `NAME.part` is ours, and no other process's, as long as this lives.
#[derive(Debug)]
pub(super) struct Claim {
    path: PathBuf,
    /// No earlier run left it: then an existing `NAME.part` is not ours.
    pub(super) is_new: bool,
    /// Holds the lock.
    _file: Handle,
}

impl Claim {
    /// Creates the claim, or takes over the one that an earlier run of the same torrent has left.
    pub(super) fn take(part: &Path, info_hash: InfoHash) -> Result<Self> {
        let path = path_of_claim(part);
        for _ in 0..MAX_ATTEMPTS {
            let file = open(&path)?;
            if let Some(file) = lock(file, &path, part)? {
                return Self::with_lock(file, path, part, info_hash);
            }
        }
        bail!(
            "cannot download to {}: other peers finish downloading to it again and again",
            part.display()
        )
    }

    fn with_lock(file: Handle, path: PathBuf, part: &Path, info_hash: InfoHash) -> Result<Self> {
        let mut text = Vec::new();
        file.as_file()
            .take(MAX_LENGTH)
            .read_to_end(&mut text)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let expected = info_hash.to_string();
        // A run that was killed right here left it empty; it had no `NAME.part` yet.
        let is_new = text.is_empty();
        if is_new {
            // A power failure must not leave a `NAME.part` without a claim.
            let mut file = file.as_file();
            file.write_all(format!("{expected}\n").as_bytes())
                .and_then(|()| file.sync_all())
                .with_context(|| format!("cannot write {}", path.display()))?;
        } else if text.trim_ascii() != expected.as_bytes() {
            bail!(
                "cannot download to {}: it is a partial download of another torrent, {}; finish \
                 that one first, or choose another folder with --dir",
                part.display(),
                text.trim_ascii().escape_ascii()
            );
        }
        Ok(Self { path, is_new, _file: file })
    }

    /// Releases the claim: `NAME.part` no longer exists.
    pub(super) fn release(self) -> Result<()> {
        // Unlocked only after that: then `lock` finds that the file is not at its path.
        fs::remove_file(&self.path)
            .with_context(|| format!("cannot remove {}", self.path.display()))
    }
}

/// How often the file may be removed just after it was opened: once for each other peer that
/// finishes at this moment.
const MAX_ATTEMPTS: u32 = 10;

/// Most bytes of it that are read: 40 digits, the end of the line, and some to see that a longer
/// file is not ours.
const MAX_LENGTH: u64 = 64;

fn open(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.read(true).write(true);
    match options.clone().create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(path);
            if !found.with_context(|| format!("cannot look at {}", path.display()))?.is_file() {
                bail!(
                    "cannot use {}: it was not created by a download; left untouched",
                    path.display()
                );
            }
            options.open(path).with_context(|| format!("cannot open {}", path.display()))
        }
        result => result.with_context(|| format!("cannot create {}", path.display())),
    }
}

/// Locks the file. `None` if it is no longer at its path: its owner released it after we opened
/// it, and another process may have created, and locked, a new one.
fn lock(file: File, path: &Path, part: &Path) -> Result<Option<Handle>> {
    let file =
        Handle::from_file(file).with_context(|| format!("cannot look at {}", path.display()))?;
    match file.as_file().try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            bail!("cannot download to {}: another peer is doing so", part.display())
        }
        // Some network file systems have no locks; there the user must not start two downloads.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", path.display()));
        }
    }
    match Handle::from_path(path) {
        Ok(found) => Ok((found == file).then_some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot look at {}", path.display())),
    }
}

/// Where the claim to this `NAME.part` is.
fn path_of_claim(part: &Path) -> PathBuf {
    let mut name = part.as_os_str().to_owned();
    name.push(SUFFIX);
    name.into()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const TORRENT: InfoHash = InfoHash([7; 20]);

    #[test]
    fn a_claim_released_between_opening_and_locking_is_not_taken() {
        let dir = TempDir::new().unwrap();
        let part = dir.path().join("x.part");
        let path = path_of_claim(&part);
        let first = Claim::take(&part, TORRENT).unwrap();

        // A second process and a third one open the file; then its owner finishes.
        let (second, third) = (open(&path).unwrap(), open(&path).unwrap());
        first.release().unwrap();
        assert!(lock(second, &path, &part).unwrap().is_none(), "nothing is at the path");
        let owner = Claim::take(&part, TORRENT).unwrap();
        assert!(owner.is_new);
        assert!(lock(third, &path, &part).unwrap().is_none(), "a new claim is at the path");

        let error = Claim::take(&part, TORRENT).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot download to {}: another peer is doing so", part.display())
        );
        owner.release().unwrap();
    }
}
