//! Whose `NAME.part` is: a small file beside it that holds the info-hash.
//!
//! It is there before `NAME.part` and goes after it, so a `NAME.part` without it is a stranger's.
//! While a peer runs it has the file locked; a killed peer's lock is gone with it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use common::id::InfoHash;

/// Comes after the name of `NAME.part`.
pub(super) const SUFFIX: &str = ".torrent-id";

/// `NAME.part` is ours, and no other process's, as long as this lives.
#[derive(Debug)]
pub(super) struct Claim {
    path: PathBuf,
    is_new: bool,
    /// Holds the lock.
    _file: File,
}

impl Claim {
    /// Makes the claim, or takes up the one that an earlier run of the same torrent has left.
    pub(super) fn take(part: &Path, info_hash: InfoHash) -> Result<Self> {
        let path = path_of_claim(part);
        let mut file = open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another peer is downloading to {}", part.display())
            }
            // Without locks, as on some network file systems, the user has to take care.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("lock {}", path.display()));
            }
        }

        let mut text = Vec::new();
        (&file)
            .take(MAX_LENGTH)
            .read_to_end(&mut text)
            .with_context(|| format!("read {}", path.display()))?;
        let expected = info_hash.to_string();
        // A run that was killed right here left it empty; it had no `NAME.part` yet.
        let is_new = text.is_empty();
        if is_new {
            // A power failure must not leave a `NAME.part` that nobody owns.
            file.write_all(format!("{expected}\n").as_bytes())
                .and_then(|()| file.sync_all())
                .with_context(|| format!("write {}", path.display()))?;
        } else if text.trim_ascii() != expected.as_bytes() {
            bail!(
                "{} is the download of another torrent, {}: finish that one first, or name another \
                 folder with --dir",
                part.display(),
                text.trim_ascii().escape_ascii()
            );
        }
        Ok(Self { path, is_new, _file: file })
    }

    /// Gives it up: `NAME.part` is not there any more.
    pub(super) fn release(self) -> Result<()> {
        // Unlocked only after that, so that nobody takes up what is about to go.
        fs::remove_file(&self.path).with_context(|| format!("remove {}", self.path.display()))
    }

    /// Whether no earlier run left it: what is at `NAME.part` is not ours.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }
}

/// Most bytes of it that are looked at: 40 digits, the end of the line, and some to see that a
/// longer file is not ours.
const MAX_LENGTH: u64 = 64;

fn open(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.read(true).write(true);
    match options.clone().create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = fs::symlink_metadata(path);
            if !found.with_context(|| format!("look at {}", path.display()))?.is_file() {
                bail!("{} is not a file of ours; it was not touched", path.display());
            }
            options.open(path).with_context(|| format!("open {}", path.display()))
        }
        result => result.with_context(|| format!("create {}", path.display())),
    }
}

/// Where the claim to this `NAME.part` is.
fn path_of_claim(part: &Path) -> PathBuf {
    let mut name = part.as_os_str().to_owned();
    name.push(SUFFIX);
    name.into()
}
