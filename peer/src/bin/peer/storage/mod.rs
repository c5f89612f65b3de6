//! The files of a torrent on disk (BEP 3; padding: BEP 47).
//!
//! A download grows in `NAME.part`, a file or a folder, and becomes `NAME` when every piece is
//! verified. Nothing on disk is trusted: whatever is found at the start is hashed, so a download
//! goes on after any kind of stop. Nothing that is not this torrent's is written to: a
//! [`Claim`] says whose `NAME.part` is, and `NAME` itself is only ever read.
//!
//! | File | What |
//! |---|---|
//! | `mod.rs` | which of the two to use; reading and writing; the change of name |
//! | `check.rs` | whether what is there is right |
//! | `claim.rs` | the small file beside `NAME.part` that says whose it is, and keeps others out |
//! | `handles.rs` | open files, a bounded number; reading and writing at a position |

mod check;
mod claim;
mod handles;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context, Result, bail};
use common::geometry::{Block, FileMap, FileRange, Geometry};
use common::metainfo::{self, Layout, MAX_COMPONENT_LENGTH, Metainfo};

use claim::Claim;
use handles::{Access, Handles, write_at};

pub(crate) use handles::read_at;

/// Where the content of one torrent is; reads and writes it from any thread.
#[derive(Debug)]
pub(crate) struct Storage {
    geometry: Geometry,
    map: FileMap,
    layout: Layout,
    files: Vec<metainfo::File>,
    /// `NAME`.
    target: PathBuf,
    place: Mutex<Place>,
    /// `NAME.part` was made just now: there is nothing in it to check.
    fresh: bool,
}

/// Where the files are at the moment.
#[derive(Debug)]
struct Place {
    handles: Handles,
    claim: Option<Claim>,
}

/// A part of a block as it lies on disk.
#[derive(Debug)]
pub(crate) enum Segment {
    /// In a file.
    File {
        /// Open for reading at a position; nobody may rely on its cursor.
        file: Arc<File>,
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
    /// For a download to the folder `dir`: `NAME` if it is there, else `NAME.part`, which is made
    /// if it is not there. [`Self::check`] says what is in it.
    pub(crate) fn for_download(metainfo: &Metainfo, dir: &Path) -> Result<Self> {
        let target = dir.join(&metainfo.name);
        let part = dir.join(part_name(metainfo));
        if exists(&target)? {
            return Self::at_target(metainfo, target);
        }

        fs::create_dir_all(dir).with_context(|| format!("create folder {}", dir.display()))?;
        let claim = Claim::take(&part, metainfo.info_hash)?;
        let resumed = exists(&part)?;
        if resumed && claim.is_new() {
            claim.release()?;
            bail!(
                "{} is there, and nothing says that it is a download of this torrent: it was not \
                 touched; move it away or name another folder with --dir",
                part.display()
            );
        }
        let place = Place { handles: Handles::new(part, Access::ReadAndWrite), claim: Some(claim) };
        let storage = Self { fresh: !resumed, ..Self::new(metainfo, target, place) };
        storage.lay_out()?;
        Ok(storage)
    }

    /// For serving what is in the folder `dir`. Files that are missing or have another length are
    /// an error; whether the content is right is for [`Self::check`] to say.
    pub(crate) fn for_seed(metainfo: &Metainfo, dir: &Path) -> Result<Self> {
        let target = dir.join(&metainfo.name);
        if !exists(&target)? {
            bail!("{} is not there: get it first, or name its folder with --dir", target.display());
        }
        Self::at_target(metainfo, target)
    }

    /// Where a block goes on after its first `skipped` bytes, of which it has more: as much as
    /// lies in one file. It is not for keeping: Windows does not rename a folder, as
    /// [`Self::finish`] does, while a file in it is open.
    pub(crate) fn segment(&self, block: Block, skipped: u64) -> Result<Segment> {
        let (offset, length) = (self.geometry.block_offset(block), u64::from(block.length()));
        let mut ranges = self.map.ranges(offset + skipped, length - skipped);
        self.open(ranges.next().expect("a block has more bytes than are skipped"))
    }

    /// Fills the buffer, which has the block's length.
    pub(crate) fn read(&self, block: Block, mut buffer: &mut [u8]) -> Result<()> {
        for range in self.ranges(block) {
            let bytes = buffer.split_off_mut(..in_memory(range.length));
            let bytes = bytes.expect("the buffer has the block's length");
            match self.open(range)? {
                Segment::Zeros { .. } => bytes.fill(0),
                Segment::File { file, offset, .. } => read_at(&file, bytes, offset)
                    .with_context(|| self.failed("read", "from", block, range))?,
            }
        }
        Ok(())
    }

    /// Writes bytes of a block's length to where they belong; padding is left out.
    pub(crate) fn write(&self, block: Block, mut bytes: &[u8]) -> Result<()> {
        for range in self.ranges(block) {
            let part = bytes.split_off(..in_memory(range.length));
            let part = part.expect("the bytes have the block's length");
            match self.open(range)? {
                Segment::Zeros { .. } => {}
                Segment::File { file, offset, .. } => write_at(&file, part, offset)
                    .with_context(|| self.failed("write", "to", block, range))?,
            }
        }
        Ok(())
    }

    /// Every piece is verified: `NAME.part` becomes `NAME`, whose path is returned. If something
    /// else has got that name meanwhile, it stays as it is, and so does `NAME.part`. If it was
    /// `NAME` from the start, nothing is to be done.
    ///
    /// The files are not forced to the device, as copying programs do not do it either: it would
    /// take longer than the download. What a power failure then takes is found at the next start,
    /// which hashes everything.
    pub(crate) fn finish(&self) -> Result<PathBuf> {
        let mut place = self.lock();
        if place.handles.access() == Access::ReadAndWrite {
            let part = place.handles.root().to_owned();
            // Open files would stop Windows.
            place.handles.close();
            self.take_name(&part).with_context(|| {
                let target = self.target.display();
                format!("rename the complete {} to {target}", part.display())
            })?;
            place.handles = Handles::new(self.target.clone(), Access::ReadOnly);
        }
        if let Some(claim) = place.claim.take() {
            claim.release()?;
        }
        Ok(self.target.clone())
    }

    /// Whether the files are still in `NAME.part`.
    fn is_part(&self) -> bool {
        self.lock().handles.access() == Access::ReadAndWrite
    }

    fn new(metainfo: &Metainfo, target: PathBuf, place: Place) -> Self {
        Self {
            geometry: metainfo.geometry,
            map: metainfo.file_map(),
            layout: metainfo.layout,
            files: metainfo.files.clone(),
            target,
            place: Mutex::new(place),
            fresh: false,
        }
    }

    fn at_target(metainfo: &Metainfo, target: PathBuf) -> Result<Self> {
        let handles = Handles::new(target.clone(), Access::ReadOnly);
        let storage = Self::new(metainfo, target, Place { handles, claim: None });
        storage.check_lengths()?;
        Ok(storage)
    }

    /// Makes every file of `NAME.part` with its full length, empty ones too. Where the file system
    /// can do it, bytes that were not written take no room.
    fn lay_out(&self) -> Result<()> {
        let place = self.lock();
        if self.layout == Layout::Folder {
            make_folder(&place.handles.path(&[])?)?;
        }
        for file in self.files.iter().filter(|file| !file.padding) {
            let path = place.handles.path(self.components(file))?;
            if let Some(folder) = path.parent() {
                make_folder(folder)?;
            }
            handles::make_file(&path, file.length)
                .with_context(|| format!("make {} of {} bytes", path.display(), file.length))?;
        }
        Ok(())
    }

    /// Renames to `NAME` without replacing what is there.
    fn take_name(&self, part: &Path) -> Result<()> {
        let target = &self.target;
        if exists(target)? {
            bail!("{} is there already; nothing was overwritten", target.display());
        }
        match self.layout {
            // At worst this replaces an empty folder, on every system.
            Layout::Folder => fs::rename(part, target)?,
            // A rename would replace a file; a link is made only where nothing is.
            Layout::SingleFile => match fs::hard_link(part, target) {
                // Killed right here, it is one file with two names; the next run uses `NAME`.
                Ok(()) => fs::remove_file(part)?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(error.into());
                }
                // A file system without links, such as FAT. Who takes the name between the look
                // above and here loses it; no portable call is free of that.
                Err(_) => fs::rename(part, target)?,
            },
        }
        Ok(())
    }

    fn ranges(&self, block: Block) -> impl Iterator<Item = FileRange> {
        self.map.ranges(self.geometry.block_offset(block), u64::from(block.length()))
    }

    fn open(&self, range: FileRange) -> Result<Segment> {
        let FileRange { file: number, offset, length } = range;
        let entry = &self.files[number];
        if entry.padding {
            return Ok(Segment::Zeros { length });
        }
        let file = self.lock().handles.open(number, self.components(entry))?;
        Ok(Segment::File { file, offset, length })
    }

    /// The path of a file below `NAME` or `NAME.part`; empty if it is that itself.
    fn components<'f>(&self, file: &'f metainfo::File) -> &'f [String] {
        match self.layout {
            Layout::SingleFile => &[],
            Layout::Folder => &file.path,
        }
    }

    fn failed(&self, what: &str, direction: &str, block: Block, range: FileRange) -> String {
        let path = self.lock().handles.unchecked_path(self.components(&self.files[range.file]));
        format!("{what} chunk {} {direction} {}", block.piece(), path.display())
    }

    fn lock(&self) -> MutexGuard<'_, Place> {
        self.place.lock().expect("nothing panics while it has the lock")
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

/// Whether there is anything of that name, be it a link to nowhere.
fn exists(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("look at {}", path.display())),
    }
}

fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("create folder {}", path.display()))
}

fn in_memory(length: u64) -> usize {
    usize::try_from(length).expect("a part of a piece fits in memory")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::ControlFlow;

    use common::geometry::PieceIndex;
    use common::metainfo::{CreateOptions, create};
    use sha1::{Digest, Sha1};
    use tempfile::TempDir;

    use super::*;

    fn mod251(length: usize) -> Vec<u8> {
        (0..=250).cycle().take(length).collect()
    }

    /// The torrent V4, and its files in a folder.
    fn multi() -> (Metainfo, TempDir) {
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
    fn single() -> (Metainfo, TempDir) {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("mod251.bin"), mod251(600_000)).unwrap();
        (torrent_of(&dir.path().join("mod251.bin"), 262_144), dir)
    }

    fn torrent_of(path: &Path, piece_length: u32) -> Metainfo {
        let options = CreateOptions { trackers: &[], piece_length, private: false };
        Metainfo::from_bytes(&create(path, &options, &mut |_| {}).unwrap()).unwrap()
    }

    fn block(metainfo: &Metainfo, index: u32, begin: u32, length: u32) -> Block {
        metainfo.geometry.block(index, begin, length).unwrap()
    }

    fn write_piece(storage: &Storage, metainfo: &Metainfo, index: u32, content: &[u8]) {
        let whole = metainfo.geometry.whole_piece(metainfo.geometry.piece(index).unwrap());
        let begin = in_memory(metainfo.geometry.block_offset(whole));
        storage.write(whole, &content[begin..begin + whole.length() as usize]).unwrap();
    }

    fn checked(storage: &Storage, metainfo: &Metainfo) -> Result<Vec<u32>> {
        let have = storage.check(metainfo, &mut |_| ControlFlow::Continue(()))?;
        Ok(have.expect("it was not broken off").iter().map(PieceIndex::get).collect())
    }

    /// All that is in a folder: files with their bytes, links by where they lead.
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
        assert!(checked(&storage, &metainfo).unwrap().is_empty());

        let content = mod251(300_001);
        let mut blocks: Vec<_> =
            metainfo.geometry.pieces().flat_map(|piece| metainfo.geometry.blocks(piece)).collect();
        fastrand::Rng::with_seed(1).shuffle(&mut blocks);
        for &block in &blocks {
            let begin = in_memory(metainfo.geometry.block_offset(block));
            storage.write(block, &content[begin..begin + block.length() as usize]).unwrap();
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

        // It goes on being served under its new name.
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
                (file.metadata().unwrap().len(), offset, length)
            }
            Segment::Zeros { .. } => panic!("there is no padding"),
        });
        assert_eq!(lies, [(200_000, 199_990, 10), (200_000, 199_994, 6), (100_000, 0, 10)]);
    }

    #[test]
    fn a_download_goes_on_with_what_is_right_of_it() {
        let (metainfo, _) = single();
        let content = mod251(600_000);
        let dir = TempDir::new().unwrap();
        let storage = Storage::for_download(&metainfo, dir.path()).unwrap();
        write_piece(&storage, &metainfo, 0, &content);
        write_piece(&storage, &metainfo, 2, &content);
        storage.write(block(&metainfo, 1, 0, 16_384), &content[..16_384]).unwrap();
        drop(storage);

        let storage = Storage::for_download(&metainfo, dir.path()).unwrap();
        assert_eq!(checked(&storage, &metainfo).unwrap(), [0, 2]);
        let stopped = storage.check(&metainfo, &mut |_| ControlFlow::Break(()));
        assert_eq!(stopped.unwrap(), None);
        write_piece(&storage, &metainfo, 1, &content);
        assert_eq!(checked(&storage, &metainfo).unwrap(), [0, 1, 2]);
        let target = storage.finish().unwrap();
        assert_eq!(listing(dir.path()), BTreeMap::from([(target, content)]));

        // Once more: it is there, right, and nothing has to be done.
        let storage = Storage::for_download(&metainfo, dir.path()).unwrap();
        assert_eq!(checked(&storage, &metainfo).unwrap(), [0, 1, 2]);
        assert_eq!(storage.finish().unwrap(), dir.path().join("mod251.bin"));
    }

    #[test]
    fn a_part_that_was_cut_or_grew_is_checked_and_mended() {
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
            let right = checked(&storage, &metainfo).unwrap().len() as u64;
            assert_eq!(right, if length > 600_000 { 3 } else { length / 262_144 });
            (0..3).for_each(|index| write_piece(&storage, &metainfo, index, &content));
            assert_eq!(fs::read(storage.finish().unwrap()).unwrap(), content);
        }
    }

    #[test]
    fn what_is_not_the_torrents_is_never_touched() {
        let (metainfo, _) = single();
        let (folder, _) = multi();
        let zeros = "\0".repeat(600_000);
        let other = "1".repeat(40);
        let table = [
            (&metainfo, vec![("mod251.bin", &zeros[..])], "chunk 0 (mod251.bin) does not match, "),
            (&metainfo, vec![("mod251.bin", "mine")], "mod251.bin has 4 bytes, expected 600000"),
            (&metainfo, vec![("mod251.bin/a", "mine")], "mod251.bin is no file"),
            (&metainfo, vec![("mod251.bin.part", "mine")], "part is there, and nothing says"),
            (
                &metainfo,
                vec![("mod251.bin.part", "mine"), ("mod251.bin.part.torrent-id", &other)],
                "is the download of another torrent, 1111",
            ),
            (&folder, vec![("multi.part/a.bin", "mine")], "part is there, and nothing says"),
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
            let tried = Storage::for_download(metainfo, dir.path())
                .and_then(|storage| checked(&storage, metainfo));
            let text = message(tried);
            assert!(text.contains(expected) && text.contains("--dir"), "{text}");
            assert_eq!(listing(dir.path()), before, "{expected}");
        }
    }

    #[test]
    fn finishing_never_replaces_what_came_meanwhile() {
        for (metainfo, _original) in [single(), multi()] {
            let dir = TempDir::new().unwrap();
            let storage = Storage::for_download(&metainfo, dir.path()).unwrap();
            fs::write(dir.path().join(&metainfo.name), "mine").unwrap();
            let before = listing(dir.path());
            let text = message(storage.finish());
            assert!(text.contains("is there already; nothing was overwritten"), "{text}");
            assert_eq!(listing(dir.path()), before);
        }
    }

    #[test]
    fn two_peers_do_not_download_to_one_place() {
        let (metainfo, _) = single();
        let dir = TempDir::new().unwrap();
        let first = Storage::for_download(&metainfo, dir.path()).unwrap();
        let text = message(Storage::for_download(&metainfo, dir.path()));
        assert!(text.starts_with("another peer is downloading to "), "{text}");
        drop(first);
        Storage::for_download(&metainfo, dir.path()).unwrap();
    }

    #[test]
    fn a_run_that_was_killed_before_its_first_file_leaves_nothing_in_the_way() {
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
            assert!(text.contains(&format!("{link} is a symbolic link")), "{text}");
            assert_eq!(listing(outside.path()), BTreeMap::new());
        }

        // Nor out of the file that says whose the download is.
        let (dir, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        fs::write(outside.path().join("mine"), "").unwrap();
        let claim = dir.path().join("multi.part.torrent-id");
        std::os::unix::fs::symlink(outside.path().join("mine"), &claim).unwrap();
        let text = message(Storage::for_download(&metainfo, dir.path()));
        assert!(text.contains("is not a file of ours"), "{text}");
        assert_eq!(fs::read(outside.path().join("mine")).unwrap(), b"");
    }

    #[test]
    fn a_seed_names_what_is_wrong() {
        let (metainfo, original) = multi();
        let text = message(Storage::for_seed(&metainfo, &original.path().join("elsewhere")));
        assert!(text.contains("multi is not there"), "{text}");

        let b = original.path().join("multi/sub/b.bin");
        let mut bytes = fs::read(&b).unwrap();
        bytes[70_000] ^= 1;
        fs::write(&b, bytes).unwrap();
        let storage = Storage::for_seed(&metainfo, original.path()).unwrap();
        let text = message(checked(&storage, &metainfo));
        assert!(text.contains("chunk 1 (sub/b.bin, sub/c.bin) does not match"), "{text}");

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
        let metainfo = Metainfo::from_bytes(&torrent).unwrap();

        let dir = TempDir::new().unwrap();
        let storage = Storage::for_download(&metainfo, dir.path()).unwrap();
        storage.write(block(&metainfo, 0, 0, 16), &content).unwrap();
        storage.write(block(&metainfo, 1, 0, 4), b"tail").unwrap();
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
        storage.write(block(&metainfo, 0, 0, 2_000), &bytes).unwrap();
        assert_eq!(fs::read(storage.finish().unwrap().join("150")).unwrap(), [150; 10]);
    }

    #[test]
    fn a_name_too_long_for_its_part_is_cut() {
        let (mut metainfo, _) = single();
        for name in ["x".repeat(255), "é".repeat(127), "x".repeat(239)] {
            metainfo.name.clone_from(&name);
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
        let expected = format!("read chunk 1 from {}: the file is shorter", path.display());
        assert!(text.starts_with(&expected), "{text}");
        let text = message(storage.write(block(&metainfo, 1, 0, 5), &[0; 5]));
        assert!(text.starts_with(&format!("write chunk 1 to {}: ", path.display())), "{text}");

        let below = path.join("below");
        let text = message(Storage::for_download(&metainfo, &below));
        assert!(text.contains(&below.display().to_string()), "{text}");
    }
}
