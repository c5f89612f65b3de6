//! The files of a torrent on disk (BEP 3; padding: BEP 47).
//!
//! A download grows in `NAME.part`, a file or a folder, and becomes `NAME` when every piece is
//! verified. Nothing on disk is trusted: all that is found at the start is hashed, so a download
//! resumes after any kind of stop. Other files are never written to: a [`Claim`] says which
//! torrent and which process `NAME.part` belongs to, and `NAME` itself is only ever read.
//!
//! | File | What |
//! |---|---|
//! | `mod.rs` | which of the two to use; reading and writing; the change of name |
//! | `check.rs` | comparing the files on disk with the torrent |
//! | `claim.rs` | the small file beside `NAME.part` that says which torrent it belongs to, and keeps other processes out |
//! | `handles.rs` | open files, a bounded number; reading and writing at a position |

mod check;
mod claim;
mod handles;

use std::fs;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context, Result, bail};
use common::geometry::{Block, FileMap, FileRange};
use common::metainfo::{self, Layout, MAX_COMPONENT_LENGTH, Metainfo};

use claim::Claim;
use handles::{Handles, write_some_at};

pub(crate) use handles::{OpenFile, read_at};

/// Where the content of one torrent is; reads and writes it from any thread.
#[derive(Debug)]
pub(crate) struct Storage {
    pub(crate) metainfo: Arc<Metainfo>,
    map: FileMap,
    /// `NAME`.
    target: PathBuf,
    handles: Mutex<Handles>,
    /// `NAME.part` was created just now: there is nothing in it to check.
    fresh: bool,
}

/// A part of a block as it lies on disk.
#[derive(Debug)]
pub(crate) enum Segment {
    /// In a file.
    File {
        /// Open for reading.
        file: Arc<OpenFile>,
        /// First byte, counted from the start of the file.
        offset: u64,
        /// In bytes, at least one.
        length: u64,
    },
    /// Padding, which is not on disk (BEP 47): this many zeros, at least one.
    Zeros {
        /// In bytes.
        length: u64,
    },
}

impl Storage {
    /// For a download to the folder `dir`: `NAME` if it exists, else `NAME.part`, which is created
    /// if it does not exist. [`Self::check`] says what is in it.
    pub(crate) fn for_download(metainfo: &Arc<Metainfo>, dir: &Path) -> Result<Self> {
        let target = dir.join(&metainfo.name);
        let part = dir.join(part_name(metainfo));
        if exists(&target)? {
            return Self::at_target(metainfo, target);
        }

        make_folder(dir)?;
        let claim = Claim::take(&part, metainfo.info_hash)?;
        let resumed = exists(&part)?;
        if resumed && claim.is_new {
            claim.release()?;
            bail!(
                "cannot download: {} exists but is not a partial download of this torrent; left \
                 untouched: move it away or choose another folder with --dir",
                part.display()
            );
        }
        let handles = Handles::new(part, Some(claim));
        let storage = Self { fresh: !resumed, ..Self::new(metainfo, target, handles) };
        storage.lay_out()?;
        Ok(storage)
    }

    /// For serving what is in the folder `dir`. Files that are missing or have another length are
    /// an error; [`Self::check`] says whether the content is right.
    pub(crate) fn for_seed(metainfo: &Arc<Metainfo>, dir: &Path) -> Result<Self> {
        let target = dir.join(&metainfo.name);
        if !exists(&target)? {
            let target = target.display();
            bail!(
                "cannot share {target}: it does not exist; download it first, or give its folder \
                 with --dir"
            );
        }
        Self::at_target(metainfo, target)
    }

    /// Where the bytes of a block after its first `skipped`, of which it has more, lie: as many as
    /// are in one file. It must not be stored: Windows does not rename a folder, as
    /// [`Self::finish`] does, while a file in it is open.
    pub(crate) fn segment(&self, block: Block, skipped: u64) -> Result<Segment> {
        let (offset, length) =
            (self.metainfo.geometry.block_offset(block), u64::from(block.length()));
        let mut ranges = self.map.ranges(offset + skipped, length - skipped);
        self.open(ranges.next().expect("a block has more bytes than are skipped"))
    }

    /// Fills the buffer, which has the block's length.
    pub(crate) fn read(&self, block: Block, mut buffer: &mut [u8]) -> Result<()> {
        for range in self.ranges(block) {
            let (bytes, rest) = buffer.split_at_mut(in_memory(range.length));
            match self.open(range)? {
                Segment::Zeros { .. } => bytes.fill(0),
                Segment::File { file, offset, .. } => {
                    read_at(&file.file, bytes, offset).with_context(|| {
                        format!("cannot read chunk {} from {}", block.piece(), file.path.display())
                    })?;
                }
            }
            buffer = rest;
        }
        Ok(())
    }

    /// Writes the bytes of a block, which come in parts, where they belong; leaves out padding. Only
    /// one thread may do so.
    pub(crate) fn write(&self, block: Block, parts: &[impl AsRef<[u8]>]) -> Result<()> {
        let mut slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part.as_ref())).collect();
        let mut rest = slices.as_mut_slice();
        for range in self.ranges(block) {
            let mut length = in_memory(range.length);
            match self.open(range)? {
                Segment::Zeros { .. } => IoSlice::advance_slices(&mut rest, length),
                Segment::File { file, mut offset, .. } => {
                    let context = || {
                        format!("cannot write chunk {} to {}", block.piece(), file.path.display())
                    };
                    while length > 0 {
                        let written = write_some_at(&file.file, rest, length, offset);
                        let written = written.with_context(context)?;
                        IoSlice::advance_slices(&mut rest, written);
                        (length, offset) = (length - written, offset + written as u64);
                    }
                }
            }
        }
        Ok(())
    }

    /// Every piece is verified: `NAME.part` becomes `NAME`, whose path is returned. If something
    /// else has that name by now, both stay as they are, which is an error. If it was `NAME` from
    /// the start, there is nothing to do.
    ///
    /// The files are not forced to the device, just as programs that copy files do not: it would
    /// take longer than the download. The next start hashes everything, so it finds what a power
    /// failure has lost.
    pub(crate) fn finish(&self) -> Result<PathBuf> {
        let mut handles = self.lock();
        if handles.claim.is_some() {
            // Open files would stop Windows.
            handles.open.clear();
            self.take_name(&handles.root).with_context(|| {
                let (part, target) = (handles.root.display(), self.target.display());
                format!("cannot rename the complete {part} to {target}")
            })?;
            let claim = handles.claim.take();
            *handles = Handles::new(self.target.clone(), None);
            claim.map_or(Ok(()), Claim::release)?;
        }
        Ok(self.target.clone())
    }

    fn new(metainfo: &Arc<Metainfo>, target: PathBuf, handles: Handles) -> Self {
        Self {
            metainfo: Arc::clone(metainfo),
            map: metainfo.file_map(),
            target,
            handles: Mutex::new(handles),
            fresh: false,
        }
    }

    fn at_target(metainfo: &Arc<Metainfo>, target: PathBuf) -> Result<Self> {
        let handles = Handles::new(target.clone(), None);
        let storage = Self::new(metainfo, target, handles);
        storage.check_lengths()?;
        Ok(storage)
    }

    /// Creates every file of `NAME.part` with its full length, empty ones too. Where the file
    /// system can do it, bytes that were not written take no space.
    fn lay_out(&self) -> Result<()> {
        let handles = self.lock();
        if self.metainfo.layout == Layout::Folder {
            make_folder(&handles.path(&[])?)?;
        }
        for file in self.metainfo.files.iter().filter(|file| !file.padding) {
            let path = handles.path(self.components(file))?;
            if let Some(folder) = path.parent() {
                make_folder(folder)?;
            }
            handles::make_file(&path, file.length).with_context(|| {
                format!("cannot create {} of {} bytes", path.display(), file.length)
            })?;
        }
        Ok(())
    }

    /// Renames to `NAME` without replacing a file that has this name.
    fn take_name(&self, part: &Path) -> Result<()> {
        let target = &self.target;
        if exists(target)? {
            bail!("it already exists; nothing was overwritten");
        }
        match self.metainfo.layout {
            // At worst this replaces an empty folder, on every system.
            Layout::Folder => fs::rename(part, target)?,
            // A rename would replace a file; a link is created only where nothing is.
            Layout::SingleFile => match fs::hard_link(part, target) {
                // Killed right here, it is one file with two names; the next run uses `NAME`.
                Ok(()) => fs::remove_file(part)?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(error.into());
                }
                // A file system without links, such as FAT. A file created after the check above
                // is replaced; no portable call is free of that.
                Err(_) => fs::rename(part, target)?,
            },
        }
        Ok(())
    }

    fn ranges(&self, block: Block) -> impl Iterator<Item = FileRange> {
        self.map.ranges(self.metainfo.geometry.block_offset(block), u64::from(block.length()))
    }

    fn open(&self, range: FileRange) -> Result<Segment> {
        let FileRange { file: number, offset, length } = range;
        let entry = &self.metainfo.files[number];
        if entry.padding {
            return Ok(Segment::Zeros { length });
        }
        let file = self.lock().open(number, self.components(entry))?;
        Ok(Segment::File { file, offset, length })
    }

    /// The path of a file below `NAME` or `NAME.part`; empty if it is that itself.
    fn components<'f>(&self, file: &'f metainfo::File) -> &'f [String] {
        match self.metainfo.layout {
            Layout::SingleFile => &[],
            Layout::Folder => &file.path,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Handles> {
        self.handles.lock().expect("nothing panics while it has the lock")
    }
}

/// `NAME.part`. If the names derived from it would be too long for a file system, the name is cut
/// and the info-hash tells it from others.
fn part_name(metainfo: &Metainfo) -> String {
    let name = &metainfo.name;
    let room = MAX_COMPONENT_LENGTH - ".part".len() - claim::SUFFIX.len();
    if name.len() <= room {
        return format!("{name}.part");
    }
    let mut kept = room - 41;
    while !name.is_char_boundary(kept) {
        kept -= 1;
    }
    format!("{}-{}.part", &name[..kept], metainfo.info_hash)
}

/// Whether anything has that name, even a link to nowhere.
fn exists(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot look at {}", path.display())),
    }
}

fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot create the folder {}", path.display()))
}

fn in_memory(length: u64) -> usize {
    usize::try_from(length).expect("a part of a piece fits in memory")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs::File;
    use std::ops::ControlFlow;

    use common::geometry::PieceIndex;
    use common::metainfo::CreateOptions;
    use sha1::{Digest, Sha1};
    use tempfile::TempDir;

    use super::*;
    use crate::torrent_file::create;

    fn mod251(length: usize) -> Vec<u8> {
        (0..=250).cycle().take(length).collect()
    }

    /// The torrent V4, and its files in a folder.
    fn multi() -> (Arc<Metainfo>, TempDir) {
        let dir = TempDir::new().unwrap();
        let content = mod251(300_001);
        fs::create_dir_all(dir.path().join("multi/sub")).unwrap();
        for (name, range) in [
            ("a.bin", 0..200_000),
            ("empty.txt", 0..0),
            ("sub/b.bin", 200_000..300_000),
            ("sub/c.bin", 300_000..300_001),
        ] {
            fs::write(dir.path().join("multi").join(name), &content[range]).unwrap();
        }
        let metainfo = torrent_of(&dir.path().join("multi"), 262_144);
        assert_eq!(metainfo.info_hash.to_string(), "18b5db9aede5d7dd96e4b2403910e95faaaac345");
        (metainfo, dir)
    }

    /// The torrent V2, `mod251.bin`.
    fn single() -> (Arc<Metainfo>, TempDir) {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("mod251.bin"), mod251(600_000)).unwrap();
        (torrent_of(&dir.path().join("mod251.bin"), 262_144), dir)
    }

    fn torrent_of(path: &Path, piece_length: u32) -> Arc<Metainfo> {
        let options = CreateOptions { trackers: &[], piece_length, private: false };
        Arc::new(Metainfo::from_bytes(&create(path, &options, &mut |_| {}).unwrap()).unwrap())
    }

    fn block(metainfo: &Metainfo, index: u32, begin: u32, length: u32) -> Block {
        metainfo.geometry.block(index, begin, length).unwrap()
    }

    fn write_piece(storage: &Storage, metainfo: &Metainfo, index: u32, content: &[u8]) {
        let whole = metainfo.geometry.whole_piece(metainfo.geometry.piece(index).unwrap());
        let begin = in_memory(metainfo.geometry.block_offset(whole));
        storage.write(whole, &[&content[begin..begin + whole.length() as usize]]).unwrap();
    }

    fn checked(storage: &Storage) -> Result<Vec<u32>> {
        let have = storage.check(&mut |_| ControlFlow::Continue(()))?;
        Ok(have.expect("it was not interrupted").iter().map(PieceIndex::get).collect())
    }

    /// The content of a folder: files with their bytes, links with their targets.
    fn listing(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                found.extend(listing(&path));
            } else {
                found.insert(path.clone(), fs::read(&path).unwrap_or_default());
            }
        }
        found
    }

    fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
        format!("{:#}", result.unwrap_err())
    }

    #[test]
    fn blocks_in_any_order_become_the_files_of_the_torrent() {
        let (metainfo, original) = multi();
        let dir = TempDir::new().unwrap();
        let storage = Storage::for_download(&metainfo, &dir.path().join("new/folder")).unwrap();
        assert!(checked(&storage).unwrap().is_empty());

        let content = mod251(300_001);
        let mut blocks: Vec<_> =
            metainfo.geometry.pieces().flat_map(|piece| metainfo.geometry.blocks(piece)).collect();
        fastrand::Rng::with_seed(1).shuffle(&mut blocks);
        for &block in &blocks {
            let begin = in_memory(metainfo.geometry.block_offset(block));
            storage.write(block, &[&content[begin..begin + block.length() as usize]]).unwrap();
        }
        let part = dir.path().join("new/folder/multi.part");
        assert!(part.join("sub/c.bin").is_file());

        let target = storage.finish().unwrap();
        assert_eq!(target, dir.path().join("new/folder/multi"));
        let names = |root: &Path| -> BTreeMap<_, _> {
            let relative = |path: &Path| path.strip_prefix(root).unwrap().to_owned();
            listing(root).into_iter().map(|(path, bytes)| (relative(&path), bytes)).collect()
        };
        assert_eq!(names(&target), names(&original.path().join("multi")));
        assert!(!part.exists() && fs::read_dir(target.parent().unwrap()).unwrap().count() == 1);

        // It is still served under its new name.
        let across = block(&metainfo, 0, 199_990, 20);
        let mut bytes = [0; 20];
        storage.read(across, &mut bytes).unwrap();
        assert_eq!(bytes, content[199_990..200_010]);
    }

    #[test]
    fn a_block_lies_in_the_files_that_it_touches() {
        let (metainfo, original) = multi();
        let storage = Storage::for_seed(&metainfo, original.path()).unwrap();
        let across = block(&metainfo, 0, 199_990, 20);
        let lies = [0, 4, 10].map(|skipped| match storage.segment(across, skipped).unwrap() {
            Segment::File { file, offset, length } => {
                (file.file.metadata().unwrap().len(), offset, length)
            }
            Segment::Zeros { .. } => panic!("there is no padding"),
        });
        assert_eq!(lies, [(200_000, 199_990, 10), (200_000, 199_994, 6), (100_000, 0, 10)]);
    }

    #[test]
    fn a_download_resumes_with_its_good_pieces() {
        let (metainfo, _) = single();
        let content = mod251(600_000);
        let dir = TempDir::new().unwrap();
        let storage = Storage::for_download(&metainfo, dir.path()).unwrap();
        write_piece(&storage, &metainfo, 0, &content);
        write_piece(&storage, &metainfo, 2, &content);
        storage.write(block(&metainfo, 1, 0, 16_384), &[&content[..16_384]]).unwrap();
        drop(storage);

        let storage = Storage::for_download(&metainfo, dir.path()).unwrap();
        assert_eq!(checked(&storage).unwrap(), [0, 2]);
        let stopped = storage.check(&mut |_| ControlFlow::Break(()));
        assert_eq!(stopped.unwrap(), None);
        write_piece(&storage, &metainfo, 1, &content);
        assert_eq!(checked(&storage).unwrap(), [0, 1, 2]);
        let target = storage.finish().unwrap();
        assert_eq!(listing(dir.path()), BTreeMap::from([(target, content)]));

        // The second run finds it complete and has nothing to do.
        let storage = Storage::for_download(&metainfo, dir.path()).unwrap();
        assert_eq!(checked(&storage).unwrap(), [0, 1, 2]);
        assert_eq!(storage.finish().unwrap(), dir.path().join("mod251.bin"));
    }

    #[test]
    fn a_part_that_was_cut_or_grew_is_checked_and_repaired() {
        let (metainfo, _) = single();
        let content = mod251(600_000);
        for length in [0, 300_000, 700_000] {
            let dir = TempDir::new().unwrap();
            let storage = Storage::for_download(&metainfo, dir.path()).unwrap();
            (0..3).for_each(|index| write_piece(&storage, &metainfo, index, &content));
            drop(storage);
            let part = File::options().write(true).open(dir.path().join("mod251.bin.part"));
            part.unwrap().set_len(length).unwrap();

            let storage = Storage::for_download(&metainfo, dir.path()).unwrap();
            let right = checked(&storage).unwrap().len() as u64;
            assert_eq!(right, if length > 600_000 { 3 } else { length / 262_144 });
            (0..3).for_each(|index| write_piece(&storage, &metainfo, index, &content));
            assert_eq!(fs::read(storage.finish().unwrap()).unwrap(), content);
        }
    }

    #[test]
    fn files_of_others_are_never_touched() {
        let (metainfo, _) = single();
        let (folder, _) = multi();
        let zeros = "\0".repeat(600_000);
        let other = "1".repeat(40);
        let table = [
            (&metainfo, vec![("mod251.bin", &zeros[..])], "chunk 0 (mod251.bin) does not match, "),
            (
                &metainfo,
                vec![("mod251.bin", "mine")],
                "mod251.bin: it has 4 bytes, expected 600000",
            ),
            (&metainfo, vec![("mod251.bin/a", "mine")], "mod251.bin: it is not a file"),
            (
                &metainfo,
                vec![("mod251.bin.part", "mine")],
                "part exists but is not a partial download",
            ),
            (
                &metainfo,
                vec![("mod251.bin.part", "mine"), ("mod251.bin.part.torrent-id", &other)],
                "is a partial download of another torrent, 1111",
            ),
            (
                &folder,
                vec![("multi.part/a.bin", "mine")],
                "part exists but is not a partial download",
            ),
            (&folder, vec![("multi/a.bin", "mine")], "a.bin has 4 bytes, expected 200000, "),
        ];
        for (metainfo, files, expected) in table {
            let dir = TempDir::new().unwrap();
            for (name, content) in files {
                let path = dir.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
            let before = listing(dir.path());
            let tried =
                Storage::for_download(metainfo, dir.path()).and_then(|storage| checked(&storage));
            let text = message(tried);
            assert!(text.contains(expected) && text.contains("--dir"), "{text}");
            assert_eq!(listing(dir.path()), before, "{expected}");
        }
    }

    #[test]
    fn finishing_never_replaces_a_file_created_meanwhile() {
        for (metainfo, _original) in [single(), multi()] {
            let dir = TempDir::new().unwrap();
            let storage = Storage::for_download(&metainfo, dir.path()).unwrap();
            fs::write(dir.path().join(&metainfo.name), "mine").unwrap();
            let before = listing(dir.path());
            let text = message(storage.finish());
            assert!(text.contains("already exists; nothing was overwritten"), "{text}");
            assert_eq!(listing(dir.path()), before);
        }
    }

    #[test]
    fn two_peers_do_not_download_to_one_place() {
        let (metainfo, _) = single();
        let dir = TempDir::new().unwrap();
        let first = Storage::for_download(&metainfo, dir.path()).unwrap();
        let text = message(Storage::for_download(&metainfo, dir.path()));
        assert!(text.ends_with(": another peer is doing so"), "{text}");
        drop(first);
        Storage::for_download(&metainfo, dir.path()).unwrap();
    }

    #[test]
    fn a_run_that_was_killed_before_its_first_file_does_not_block_the_next() {
        let (metainfo, _) = single();
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("mod251.bin.part.torrent-id"), "").unwrap();
        Storage::for_download(&metainfo, dir.path()).unwrap();
        fs::remove_file(dir.path().join("mod251.bin.part")).unwrap();
        Storage::for_download(&metainfo, dir.path()).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn no_link_is_followed_out_of_the_download() {
        let (metainfo, _) = multi();
        for link in ["multi.part", "multi.part/sub", "multi.part/a.bin"] {
            let (dir, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
            drop(Storage::for_download(&metainfo, dir.path()).unwrap());
            let path = dir.path().join(link);
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.unwrap();
            std::os::unix::fs::symlink(outside.path(), &path).unwrap();

            let text = message(Storage::for_download(&metainfo, dir.path()));
            let path = path.display();
            assert_eq!(text, format!("cannot follow the symbolic link {path}: remove it"));
            assert_eq!(listing(outside.path()), BTreeMap::new());
        }

        // Nor out of the claim file.
        let (dir, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        fs::write(outside.path().join("mine"), "").unwrap();
        let claim = dir.path().join("multi.part.torrent-id");
        std::os::unix::fs::symlink(outside.path().join("mine"), &claim).unwrap();
        let text = message(Storage::for_download(&metainfo, dir.path()));
        assert!(text.contains("was not created by a download"), "{text}");
        assert_eq!(fs::read(outside.path().join("mine")).unwrap(), b"");
    }

    #[test]
    fn a_seed_names_what_is_wrong() {
        let (metainfo, original) = multi();
        let text = message(Storage::for_seed(&metainfo, &original.path().join("elsewhere")));
        assert!(text.contains("multi: it does not exist"), "{text}");

        let b = original.path().join("multi/sub/b.bin");
        let mut bytes = fs::read(&b).unwrap();
        bytes[70_000] ^= 1;
        fs::write(&b, bytes).unwrap();
        let storage = Storage::for_seed(&metainfo, original.path()).unwrap();
        let text = message(checked(&storage));
        assert!(text.contains("chunk 1 (sub/b.bin, sub/c.bin) does not match"), "{text}");

        // While it is open, some systems go on showing a file that was removed.
        drop(storage);
        fs::remove_file(&b).unwrap();
        let text = message(Storage::for_seed(&metainfo, original.path()));
        assert!(text.contains("b.bin is missing"), "{text}");
    }

    #[test]
    fn padding_is_zeros_that_are_not_on_disk() {
        // a: 5 bytes, padding to 16, b: 4 bytes (BEP 47).
        let content = *b"helloooooooooooo";
        let mut padded = content;
        padded[5..].fill(0);
        let hashes = [Sha1::digest(padded), Sha1::digest(b"tail")].concat();
        let mut torrent = b"d4:infod5:filesld6:lengthi5e4:pathl1:aee\
            d4:attr1:p6:lengthi11e4:pathl4:.pad2:11ee\
            d6:lengthi4e4:pathl1:beee4:name3:pad12:piece lengthi16e6:pieces40:"
            .to_vec();
        torrent.extend(hashes);
        torrent.extend(b"ee");
        let metainfo = Arc::new(Metainfo::from_bytes(&torrent).unwrap());

        let dir = TempDir::new().unwrap();
        let storage = Storage::for_download(&metainfo, dir.path()).unwrap();
        storage.write(block(&metainfo, 0, 0, 16), &[&content[..3], &content[3..]]).unwrap();
        storage.write(block(&metainfo, 1, 0, 4), &[b"tail"]).unwrap();
        let mut buffer = Vec::new();
        for piece in metainfo.geometry.pieces() {
            let hash = storage.hash_piece(piece, &mut buffer).unwrap();
            assert_eq!(hash, metainfo.piece_hashes[piece.as_usize()]);
        }
        let segment = |skipped| match storage.segment(block(&metainfo, 0, 0, 16), skipped) {
            Ok(Segment::File { offset, length, .. }) => ("file", offset, length),
            Ok(Segment::Zeros { length }) => ("zeros", 0, length),
            Err(error) => panic!("{error}"),
        };
        let segments = [0, 3, 5, 15].map(segment);
        assert_eq!(segments, [("file", 0, 5), ("file", 3, 2), ("zeros", 0, 11), ("zeros", 0, 1)]);
        let target = storage.finish().unwrap();
        let files = [(target.join("a"), b"hello".to_vec()), (target.join("b"), b"tail".to_vec())];
        assert_eq!(listing(dir.path()), BTreeMap::from(files));
    }

    #[test]
    fn more_files_than_may_be_open_are_read_and_written() {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("many")).unwrap();
        for number in 0..200 {
            fs::write(dir.path().join(format!("many/{number:03}")), [number; 10]).unwrap();
        }
        let metainfo = torrent_of(&dir.path().join("many"), 16_384);
        let seed = Storage::for_seed(&metainfo, dir.path()).unwrap();
        let mut bytes = vec![0; 2_000];
        seed.read(block(&metainfo, 0, 0, 2_000), &mut bytes).unwrap();

        let copy = TempDir::new().unwrap();
        let storage = Storage::for_download(&metainfo, copy.path()).unwrap();
        storage.write(block(&metainfo, 0, 0, 2_000), &[&bytes]).unwrap();
        assert_eq!(fs::read(storage.finish().unwrap().join("150")).unwrap(), [150; 10]);
    }

    #[test]
    fn a_name_too_long_for_its_part_is_cut() {
        let (mut metainfo, _) = single();
        for name in ["x".repeat(255), "é".repeat(127), "x".repeat(239)] {
            Arc::make_mut(&mut metainfo).name.clone_from(&name);
            let dir = TempDir::new().unwrap();
            let storage = Storage::for_download(&metainfo, dir.path()).unwrap();
            assert_eq!(storage.finish().unwrap(), dir.path().join(&name));
            assert_eq!(listing(dir.path()).len(), 1);
        }
    }

    #[test]
    fn errors_name_what_was_done_and_to_what() {
        let (metainfo, original) = single();
        let storage = Storage::for_seed(&metainfo, original.path()).unwrap();
        let path = original.path().join("mod251.bin");
        File::options().write(true).open(&path).unwrap().set_len(5).unwrap();
        let text = message(storage.read(block(&metainfo, 1, 0, 5), &mut [0; 5]));
        let expected = format!("cannot read chunk 1 from {}: the file is shorter", path.display());
        assert!(text.starts_with(&expected), "{text}");
        let text = message(storage.write(block(&metainfo, 1, 0, 5), &[[0; 5]]));
        assert!(
            text.starts_with(&format!("cannot write chunk 1 to {}: ", path.display())),
            "{text}"
        );

        let below = path.join("below");
        let text = message(Storage::for_download(&metainfo, &below));
        assert!(text.contains(&below.display().to_string()), "{text}");
    }
}
