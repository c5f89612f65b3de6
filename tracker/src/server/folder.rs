//! The folder of .torrent files: a thread reads it again and again, so that new files are found, and
//! hands the loop a catalog when something has changed. The loop itself never waits for a disk.
//!
//! A file is on offer if it is a regular file directly in the folder, ends in .torrent, does not
//! begin with a dot (systems and programs keep files of their own under such names), has a name in
//! UTF-8, and can be read as a .torrent file: one that is still being copied is not yet. Symbolic
//! links are not followed, because they can lead out of the folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, SystemTime};

use common::metainfo::{MAX_METAINFO_LENGTH, MetainfoError};
use log::warn;
use mio::Waker;

use crate::catalog::{Catalog, TorrentFile};
use crate::http::TORRENT;

/// Most files on offer: the first ones by name.
const MAX_FILES: usize = 100;

/// Most bytes of all files on offer, which are in memory.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Time between two looks at the folder.
const PERIOD: Duration = Duration::from_secs(1);

/// The thread that reads the folder, until this is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    catalogs: Receiver<Catalog>,
    _end: Sender<()>,
}

impl Watch {
    /// Reads the folder once, then starts the thread, which wakes the loop at changes.
    pub(super) fn start(path: &Path, waker: Arc<Waker>) -> io::Result<(Self, Catalog)> {
        let mut folder = Folder { path: path.to_owned(), files: BTreeMap::new(), left_out: 0 };
        folder.read()?;
        let catalog = folder.catalog();
        let (sender, catalogs) = channel();
        let (end, ended) = channel();
        let watch = move || folder.watch(&sender, &ended, &waker);
        thread::Builder::new().name("torrents".into()).spawn(watch)?;
        Ok((Self { catalogs, _end: end }, catalog))
    }

    /// The newest catalog, if it has not been taken yet.
    pub(super) fn news(&self) -> Option<Catalog> {
        self.catalogs.try_iter().last()
    }
}

/// What has been read of a folder.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// By name; `None` if it is no .torrent file.
    files: BTreeMap<String, (Stamp, Option<TorrentFile>)>,
    left_out: usize,
}

/// Differs when a file has changed.
type Stamp = (u64, Option<SystemTime>, Permissions);

impl Folder {
    fn watch(mut self, catalogs: &Sender<Catalog>, ended: &Receiver<()>, waker: &Waker) {
        let mut readable = true;
        while ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
            match self.read() {
                Ok(changed) => {
                    readable = true;
                    if changed {
                        // Without a loop there is nobody to tell, and the thread ends soon.
                        let _ = catalogs.send(self.catalog());
                        let _ = waker.wake();
                    }
                }
                Err(error) => {
                    if readable {
                        warn!("cannot read the folder {}: {error}", self.path.display());
                    }
                    readable = false;
                }
            }
        }
    }

    /// Reads the files that are new or have changed, and returns whether any has, or is gone.
    fn read(&mut self) -> io::Result<bool> {
        let (names, mut left_out) = self.names()?;
        let mut known = std::mem::take(&mut self.files);
        let mut changed = false;
        let mut total = 0;
        for name in names {
            let path = self.path.join(&name);
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            if !metadata.is_file() {
                continue;
            }
            total += metadata.len().min(MAX_METAINFO_LENGTH as u64);
            if total > MAX_BYTES {
                left_out += 1;
                continue;
            }
            let stamp = (metadata.len(), metadata.modified().ok(), metadata.permissions());
            let same = known.remove(&name).filter(|(known, _)| *known == stamp);
            changed |= same.is_none();
            let file = same.unwrap_or_else(|| (stamp, read_torrent(&path)));
            self.files.insert(name, file);
        }
        changed |= !known.is_empty() || left_out != self.left_out;
        self.left_out = left_out;
        Ok(changed)
    }

    /// The names that may be of files on offer, and how many there are above the bound.
    fn names(&self) -> io::Result<(BTreeSet<String>, usize)> {
        let mut names = BTreeSet::new();
        let mut left_out = 0;
        for entry in fs::read_dir(&self.path)? {
            let Ok(name) = entry?.file_name().into_string() else { continue };
            if name.ends_with(TORRENT) && !name.starts_with('.') {
                names.insert(name);
            }
            if names.len() > MAX_FILES {
                names.pop_last();
                left_out += 1;
            }
        }
        Ok((names, left_out))
    }

    fn catalog(&self) -> Catalog {
        let files = self.files.iter();
        let files = files.filter_map(|(name, (_, file))| Some((name.clone(), file.clone()?)));
        Catalog { files: files.collect(), left_out: self.left_out }
    }
}

/// The file, or `None` and a warning.
fn read_torrent(path: &Path) -> Option<TorrentFile> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // One byte more than allowed, so that a file that is too long is seen to be.
        File::open(path)?.take(MAX_METAINFO_LENGTH as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read().map(|bytes| TorrentFile::from_bytes(&bytes)) {
        Ok(Ok(file)) => return Some(file),
        Ok(Err(MetainfoError::TooLong(_))) => {
            warn!("{}: longer than {MAX_METAINFO_LENGTH} bytes; not offered", path.display());
        }
        Ok(Err(error)) => warn!("{}: {error}; not offered", path.display()),
        Err(error) => warn!("{}: {error}; not offered", path.display()),
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A .torrent file whose content has this name.
    fn torrent(name: &str) -> String {
        let (length, hash) = (name.len(), "h".repeat(20));
        format!("d4:infod6:lengthi5e4:name{length}:{name}12:piece lengthi16384e6:pieces20:{hash}ee")
    }

    fn folder(path: &Path) -> Folder {
        Folder { path: path.to_owned(), files: BTreeMap::new(), left_out: 0 }
    }

    fn names(folder: &Folder) -> Vec<String> {
        folder.catalog().files.into_keys().collect()
    }

    #[test]
    fn regular_torrent_files_are_on_offer_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("torrents");
        fs::create_dir_all(path.join("folder.torrent")).unwrap();
        fs::write(path.join("folder.torrent/inner.torrent"), torrent("inner")).unwrap();
        fs::write(place.path().join("outside.torrent"), torrent("outside")).unwrap();
        for name in ["a.torrent", "b c.torrent", "notes.txt", ".torrent", "._a.torrent"] {
            fs::write(path.join(name), torrent("content")).unwrap();
        }
        fs::write(path.join("half.torrent"), &torrent("content")[..40]).unwrap();
        let too_long = File::create(path.join("long.torrent")).unwrap();
        too_long.set_len(MAX_METAINFO_LENGTH as u64 + 1).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::symlink;
            symlink(place.path().join("outside.torrent"), path.join("link.torrent")).unwrap();
            symlink(path.join("a.torrent"), path.join("link-inside.torrent")).unwrap();
        }
        let mut folder = folder(&path);
        folder.read().unwrap();
        assert_eq!(names(&folder), ["a.torrent", "b c.torrent"]);
        let catalog = folder.catalog();
        let file = &catalog.files["a.torrent"];
        assert_eq!(*file.bytes, *torrent("content").as_bytes());
        assert_eq!(catalog.name(&file.info_hash), Some("content"));
    }

    #[test]
    fn a_change_of_the_folder_is_noticed() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path();
        let mut folder = folder(path);
        assert!(!folder.read().unwrap());
        fs::write(path.join("a.torrent"), "half").unwrap();
        assert!(folder.read().unwrap());
        assert!(!folder.read().unwrap());
        assert_eq!(names(&folder), [] as [&str; 0]);
        fs::write(path.join("a.torrent"), torrent("content")).unwrap();
        assert!(folder.read().unwrap());
        assert_eq!(names(&folder), ["a.torrent"]);
        fs::remove_file(path.join("a.torrent")).unwrap();
        assert!(folder.read().unwrap());
        assert!(!folder.read().unwrap());
        assert_eq!(names(&folder), [] as [&str; 0]);
    }

    #[test]
    fn too_many_files_and_too_many_bytes_are_left_out_and_counted() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path();
        for number in 0..MAX_FILES + 5 {
            fs::write(path.join(format!("{number:03}.torrent")), torrent("content")).unwrap();
        }
        let mut folder = folder(path);
        folder.read().unwrap();
        assert_eq!(names(&folder).len(), MAX_FILES);
        assert_eq!(folder.left_out, 5);

        // Six files of the greatest length fit, the seventh and what follows do not.
        for number in 0..7 {
            let file = File::create(path.join(format!("{number:03}.torrent"))).unwrap();
            file.set_len(MAX_METAINFO_LENGTH as u64 + 1).unwrap();
        }
        folder.read().unwrap();
        assert_eq!(names(&folder), [] as [&str; 0]);
        assert_eq!(folder.left_out, 5 + MAX_FILES - 6);
    }
}
