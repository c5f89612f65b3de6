//! The files of a test: content, its torrent, and folders for the peers that download it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::metainfo::{CreateOptions, File, Layout, Metainfo, encode};
use fastrand::Rng;
use sha1::{Digest, Sha1};
use tempfile::TempDir;

pub(crate) const KIB: usize = 1024;
pub(crate) const MIB: usize = 1024 * KIB;

/// The textbook's chunk.
pub(crate) const CHUNK: u32 = 256 * 1024;

/// A folder that is gone after the test. What is to be shared lies in `original` below it.
pub(crate) struct Scene {
    folder: TempDir,
}

/// Bytes of which no block is like another, the same in every run.
pub(crate) fn content(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    Rng::with_seed(length as u64).fill(&mut bytes);
    bytes
}

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("original")).unwrap();
        Self { folder }
    }

    /// With one file `NAME` of so many bytes.
    pub(crate) fn with_file(name: &str, length: usize) -> Self {
        let scene = Self::new();
        scene.write(&format!("original/{name}"), &content(length));
        scene
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// The folder that the seed serves.
    pub(crate) fn original(&self) -> PathBuf {
        self.path("original")
    }

    /// Writes a file, making its folders.
    pub(crate) fn write(&self, below: &str, bytes: &[u8]) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().expect("below the folder")).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Makes the torrent of `original/NAME`.
    pub(crate) fn torrent(&self, name: &str, piece_length: u32, trackers: &[String]) -> PathBuf {
        let options = CreateOptions { trackers, piece_length, private: false };
        let on_disk = self.original().join(name);
        let (layout, contents) = if on_disk.is_dir() {
            (Layout::Folder, listing(&on_disk))
        } else {
            (Layout::SingleFile, BTreeMap::from([(name.into(), fs::read(&on_disk).unwrap())]))
        };
        let file = |(path, bytes): (&PathBuf, &Vec<u8>)| File {
            path: path.iter().map(|name| name.to_str().unwrap().to_owned()).collect(),
            length: bytes.len() as u64,
            padding: false,
        };
        let files: Vec<_> = contents.iter().map(file).collect();
        let content = contents.into_values().collect::<Vec<_>>().concat();
        let pieces = content.chunks(piece_length as usize);
        let hashes: Vec<_> = pieces.map(|piece| Sha1::digest(piece).into()).collect();
        let bytes = encode(name, layout, &files, &hashes, &options);
        let path = self.path(&format!("{name}.torrent"));
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Whether the folder holds exactly what `original` does, no `.part` and nothing else.
    pub(crate) fn assert_copied(&self, folder: &Path) {
        let (original, copy) = (listing(&self.original()), listing(folder));
        let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&copy), names(&original), "{}", folder.display());
        for (name, bytes) in &original {
            // Not assert_eq, which would print megabytes.
            assert!(copy[name] == *bytes, "{} in {} differs", name.display(), folder.display());
        }
    }
}

/// What is in a .torrent.
pub(crate) fn metainfo(torrent: &Path) -> Metainfo {
    Metainfo::from_bytes(&fs::read(torrent).unwrap()).unwrap()
}

/// All files below a folder, with their bytes.
fn listing(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("it is below").to_owned();
                files.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    files
}
