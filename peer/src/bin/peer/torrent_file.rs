//! Reads .torrent files from disk or over HTTP, and makes them from the files or folders there.
//!
//! The same content gives the same .torrent, and so the same swarm, on every machine: files are in
//! the order of their paths' bytes. Hidden files are files like others. Empty files are kept; empty
//! folders have no place in the format. A symbolic link is an error, because neither following it
//! nor leaving it out is surely what was meant.

use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use common::geometry::Geometry;
use common::metainfo::{
    CreateOptions, File, HASH_LENGTH, Layout, MAX_METAINFO_LENGTH, Metainfo, MetainfoError, encode,
};
use sha1::{Digest, Sha1};

use crate::http_client;

/// Time for fetching a .torrent file, from resolving the server's name to the last byte.
const FETCH_TIMEOUT: Duration = Duration::from_secs(20);

/// Reads the .torrent file at `source`, a path or a URL. The error names it, and says what is wrong
/// with it.
pub(crate) fn read_torrent(source: &Path) -> Result<Metainfo> {
    let bytes = match source.to_str().filter(|text| is_url(text)) {
        Some(url) => fetch(url).with_context(|| format!("cannot fetch {url}"))?,
        None => return read_file(source).map_err(|error| with_hint(error, source)),
    };
    Metainfo::from_bytes(&bytes).with_context(|| cannot_read(source))
}

/// Adds what the user may have meant by `path`, in which there is no torrent.
fn with_hint(error: anyhow::Error, path: &Path) -> anyhow::Error {
    let mut torrent = path.as_os_str().to_owned();
    torrent.push(".torrent");
    let torrent = Path::new(&torrent);
    if torrent.is_file() {
        anyhow!("{error:#}; did you mean {}?", torrent.display())
    } else if matches!(error.downcast_ref(), Some(MetainfoError::NotATorrent(_))) {
        anyhow!(
            "{error:#}; a .torrent describes what to download, and `peer create` makes one of a \
             file or a folder"
        )
    } else {
        error
    }
}

fn is_url(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    matches!(scheme.as_deref(), Some("http" | "https"))
}

fn fetch(url: &str) -> Result<Vec<u8>> {
    let agent = http_client::agent(None);
    let answer = http_client::fetch(&agent, url, MAX_METAINFO_LENGTH, FETCH_TIMEOUT)?;
    ensure!(answer.status.is_success(), answer.refusal());
    Ok(answer.body)
}

fn read_file(path: &Path) -> Result<Metainfo> {
    let file = fs::File::open(path).with_context(|| cannot_read(path))?;
    let mut bytes = Vec::new();
    // One byte more than is allowed shows that it is too long, whatever its length.
    let limit = MAX_METAINFO_LENGTH as u64 + 1;
    file.take(limit).read_to_end(&mut bytes).with_context(|| cannot_read(path))?;
    Metainfo::from_bytes(&bytes).with_context(|| cannot_read(path))
}

/// Makes the .torrent file of what is at `path`, and returns its bytes.
///
/// `progress` is called repeatedly with the number of bytes hashed so far.
pub(crate) fn create(
    path: &Path,
    options: &CreateOptions<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<u8>> {
    let name = name_of(path)?;
    let metadata = fs::metadata(path).with_context(|| cannot_read(path))?;
    let (layout, files) = if metadata.is_dir() {
        (Layout::Folder, list_folder(path)?)
    } else if metadata.is_file() {
        let file = File { path: vec![name.clone()], length: metadata.len(), padding: false };
        (Layout::SingleFile, vec![file])
    } else {
        bail!("{} is neither a file nor a folder", path.display());
    };
    let total = files.iter().fold(0_u64, |total, file| total.saturating_add(file.length));
    let geometry = Geometry::new(total, options.piece_length.into())?;

    // Before the long work: with zeros for the hashes, would we read what we are going to write?
    let zeros = vec![[0; HASH_LENGTH]; geometry.piece_count() as usize];
    let draft = encode(&name, layout, &files, &zeros, options);
    ensure!(
        draft.len() <= MAX_METAINFO_LENGTH,
        "the .torrent file would have {} bytes, more than {MAX_METAINFO_LENGTH}: use larger chunks",
        draft.len()
    );
    Metainfo::from_bytes(&draft)?;

    let mut hasher = PieceHasher::new(&geometry, progress);
    for file in &files {
        let path = match layout {
            Layout::SingleFile => path.to_owned(),
            Layout::Folder => path.join(file.path.iter().collect::<PathBuf>()),
        };
        hash_file(&path, file.length, &mut hasher)?;
    }
    Ok(encode(&name, layout, &files, &hasher.finish(), options))
}

/// The last component of the path; of `.` and `..`, that of the folder they stand for.
pub(crate) fn name_of(path: &Path) -> Result<String> {
    let named = match path.file_name() {
        Some(_) => path.to_owned(),
        None => path.canonicalize().with_context(|| cannot_read(path))?,
    };
    let name = named
        .file_name()
        .with_context(|| format!("{} has no name for the torrent", path.display()))?;
    let name = name.to_str().with_context(|| not_utf8(path))?;
    Ok(name.to_owned())
}

/// All files below the folder, by the bytes of their paths.
fn list_folder(root: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    let mut folders = vec![(root.to_owned(), Vec::new())];
    while let Some((folder, components)) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| cannot_read(&folder))? {
            let entry = entry.with_context(|| cannot_read(&folder))?;
            let on_disk = entry.path();
            let mut path: Vec<String> = components.clone();
            path.push(entry.file_name().into_string().ok().with_context(|| not_utf8(&on_disk))?);
            // Of the entry itself: a link is not followed.
            let metadata = entry.metadata().with_context(|| cannot_read(&on_disk))?;
            if metadata.is_dir() {
                folders.push((on_disk, path));
            } else if metadata.is_file() {
                files.push(File { path, length: metadata.len(), padding: false });
            } else if metadata.is_symlink() {
                let link = on_disk.display();
                bail!("{link} is a symbolic link: replace it by a file, or remove it");
            } else {
                bail!("{} is neither a file nor a folder", on_disk.display());
            }
        }
    }
    files.sort_by_cached_key(|file| file.path.join("/"));
    Ok(files)
}

fn hash_file(path: &Path, length: u64, hasher: &mut PieceHasher<'_>) -> Result<()> {
    let file = fs::File::open(path).with_context(|| cannot_read(path))?;
    // One byte more than expected, to see whether the file has grown.
    let mut reader = BufReader::with_capacity(READ_LENGTH, file.take(length.saturating_add(1)));
    let copied = io::copy(&mut reader, hasher).with_context(|| cannot_read(path))?;
    ensure!(copied == length, "{} changed its length while it was hashed", path.display());
    Ok(())
}

/// Bytes read at a time: enough that system calls cost nothing beside hashing.
const READ_LENGTH: usize = 256 * 1024;

fn cannot_read(path: &Path) -> String {
    format!("cannot read {}", path.display())
}

fn not_utf8(path: &Path) -> String {
    format!("the name of {} is not UTF-8", path.display())
}

/// Hashes the content piece by piece as it is written.
struct PieceHasher<'p> {
    piece_length: usize,
    piece: Sha1,
    /// Bytes in `piece`.
    filled: usize,
    /// Hashes of the pieces before it.
    hashes: Vec<[u8; HASH_LENGTH]>,
    /// Bytes taken of all pieces.
    total: u64,
    progress: &'p mut dyn FnMut(u64),
}

impl<'p> PieceHasher<'p> {
    fn new(geometry: &Geometry, progress: &'p mut dyn FnMut(u64)) -> Self {
        Self {
            piece_length: geometry.piece_length() as usize,
            piece: Sha1::new(),
            filled: 0,
            hashes: Vec::with_capacity(geometry.piece_count() as usize),
            total: 0,
            progress,
        }
    }

    fn finish(mut self) -> Vec<[u8; HASH_LENGTH]> {
        if self.filled > 0 {
            self.hashes.push(self.piece.finalize().into());
        }
        self.hashes
    }
}

impl Write for PieceHasher<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.piece_length - self.filled);
        self.piece.update(&bytes[..taken]);
        self.filled += taken;
        if self.filled == self.piece_length {
            self.hashes.push(self.piece.finalize_reset().into());
            self.filled = 0;
        }
        self.total += taken as u64;
        (self.progress)(self.total);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNOUNCE: &str = "http://127.0.0.1:6969/announce";

    fn mod251(length: usize) -> Vec<u8> {
        (0..251).cycle().take(length).collect()
    }

    fn hex(bytes: impl AsRef<[u8]>) -> String {
        bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A new folder with these files in it.
    fn on_disk(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }

    fn make(path: &Path, piece_length: u32, private: bool) -> Result<Vec<u8>> {
        let trackers = [ANNOUNCE.to_owned()];
        let options = CreateOptions { trackers: &trackers, piece_length, private };
        create(path, &options, &mut |_| {})
    }

    /// Why no torrent is made.
    fn refusal(path: &Path, piece_length: u32) -> String {
        make(path, piece_length, false).unwrap_err().to_string()
    }

    /// The contents that the known torrents are made of.
    fn known_content() -> tempfile::TempDir {
        let content = mod251(600_000);
        on_disk(&[
            ("hello.txt", b"hello, world\n"),
            ("mod251.bin", &content),
            ("exact.bin", &content[..524_288]),
            ("multi/sub/c.bin", &content[300_000..300_001]),
            ("multi/sub/b.bin", &content[200_000..300_000]),
            ("multi/a.bin", &content[..200_000]),
            ("multi/empty.txt", b""),
        ])
    }

    /// Published vectors, and lengths around the 64 bytes that SHA-1 works on.
    #[test]
    fn a_piece_is_hashed_by_sha1() {
        for (content, hash) in [
            (b"abc".to_vec(), "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (vec![b'a'; 55], "c1c8bbdc22796e28c0e15163d20899b65621d65a"),
            (vec![b'a'; 56], "c2db330f6083854c99d4b5bfb6e8f29f201be699"),
            (vec![b'a'; 63], "03f09f5b158a7a8cdad920bddc29b81c18a551f5"),
            (vec![b'a'; 64], "0098ba824b5c16427bd7a1122a5a442a25ec644d"),
            (vec![b'a'; 65], "11655326c708d70319be2610e8a57d9a5b959d3b"),
            (vec![b'a'; 1_000_000], "34aa973cd4c4daa4f61eeb2bdbad27316534016f"),
            (vec![0; 16 * 1024], "897256b6709e1a4da9daba92b6bde39ccfccd8c1"),
            (vec![0; 256 * 1024], "2e000fa7e85759c7f4c254d4d9c33ef481e459a7"),
        ] {
            let geometry = Geometry::new(content.len() as u64, 1 << 20).unwrap();
            let mut progress = |_| {};
            let mut hasher = PieceHasher::new(&geometry, &mut progress);
            hasher.write_all(&content).unwrap();
            assert_eq!(hex(hasher.finish()[0]), hash, "{} bytes", content.len());
        }
    }

    #[test]
    fn known_content_gives_the_known_torrents() {
        let folder = known_content();
        let hello = ["cd50d19784897085a8d0e3e413f8612b097c03f1"];
        let mod251 = [
            "8e2ba8c6fd3d3fd6c2c073443b18f4f484639dd3",
            "9dd344a32daf51ec45623ab88df70caa3fad0891",
            "de5d8e82ca9f7bc54d1c3183cf015b97b8a4ac3f",
        ];
        let multi = [mod251[0], "660a0e83056915e27bc6be0261ef8be21abb4d74"];
        let k256 = 262_144;
        let table = [
            ("hello.txt", k256, false, "1657c21fac68277c96a2c788cf52c38c80c79426", &hello[..]),
            ("mod251.bin", k256, false, "8a459602300670c982fde619035108747fbd22ae", &mod251),
            ("exact.bin", k256, false, "d9532bfb5c92694e6f48d010bd8d846f815af502", &mod251[..2]),
            ("multi", k256, false, "18b5db9aede5d7dd96e4b2403910e95faaaac345", &multi),
            ("hello.txt", k256, true, "bb0ae7ef9560992ece73b0af58561b5c648d8fad", &hello),
            ("hello.txt", 16_384, false, "b46e98d0bb72890c143723d35b5d7d27b0e6835f", &hello),
        ];
        for (name, piece_length, private, info_hash, pieces) in table {
            let bytes = make(&folder.path().join(name), piece_length, private).unwrap();
            let metainfo = Metainfo::from_bytes(&bytes).unwrap();
            assert_eq!(metainfo.info_hash.to_string(), info_hash, "{name}");
            assert_eq!(metainfo.piece_hashes.iter().map(hex).collect::<Vec<_>>(), pieces);
            assert_eq!(metainfo.geometry.piece_length(), piece_length);
            assert_eq!(metainfo.private, private);
            assert_eq!(metainfo.trackers, [[ANNOUNCE]]);
        }
    }

    #[test]
    fn a_created_torrent_reads_back_as_the_files_on_disk() {
        let folder = on_disk(&[
            ("my files/b.txt", b"123"),
            ("my files/a/x", b"45"),
            ("my files/a.txt", b"6"),
            ("my files/.hidden", b""),
            ("my files/日本 語/ß.txt", b"789"),
        ]);
        fs::create_dir(folder.path().join("my files/empty folder")).unwrap();
        let trackers = ["http://a/announce".to_owned(), "udp://b:1".to_owned()];
        let options = CreateOptions { trackers: &trackers, piece_length: 4, private: true };
        let path = folder.path().join("my files");
        let bytes = create(&path, &options, &mut |_| {}).unwrap();
        assert_eq!(create(&path.join("a/.."), &options, &mut |_| {}).unwrap(), bytes);

        let metainfo = Metainfo::from_bytes(&bytes).unwrap();
        let files: Vec<_> =
            metainfo.files.iter().map(|file| (file.path.join("/"), file.length)).collect();
        let expected =
            [(".hidden", 0), ("a.txt", 1), ("a/x", 2), ("b.txt", 3), ("日本 語/ß.txt", 3)];
        assert_eq!(files, expected.map(|(path, length)| (path.to_owned(), length)));
        assert_eq!((metainfo.name.as_str(), metainfo.layout), ("my files", Layout::Folder));
        assert_eq!(metainfo.trackers, [["http://a/announce"], ["udp://b:1"]]);
        assert!(metainfo.private);
        let pieces = [&b"6451"[..], b"2378", b"9"].map(|piece| hex(Sha1::digest(piece)));
        assert_eq!(metainfo.piece_hashes.iter().map(hex).collect::<Vec<_>>(), pieces);
    }

    #[test]
    fn a_folder_with_one_file_stays_a_folder() {
        let folder = on_disk(&[("one/file", b"x")]);
        let bytes = make(&folder.path().join("one"), 16_384, false).unwrap();
        assert_eq!(Metainfo::from_bytes(&bytes).unwrap().layout, Layout::Folder);
    }

    #[test]
    fn progress_ends_at_the_length_of_the_content() {
        let folder = on_disk(&[("data", &mod251(600_000))]);
        let options = CreateOptions { trackers: &[], piece_length: 262_144, private: false };
        let mut reported = Vec::new();
        let bytes =
            create(&folder.path().join("data"), &options, &mut |bytes| reported.push(bytes))
                .unwrap();
        assert!(reported.is_sorted() && reported.len() > 2);
        assert_eq!(reported.last(), Some(&600_000));
        assert!(Metainfo::from_bytes(&bytes).unwrap().trackers.is_empty());
    }

    #[test]
    fn without_content_or_name_there_is_no_torrent() {
        let folder = on_disk(&[("empty", b""), ("folder/empty", b"")]);
        fs::create_dir(folder.path().join("nothing")).unwrap();
        for name in ["empty", "folder", "nothing"] {
            let error = refusal(&folder.path().join(name), 16_384);
            assert_eq!(error, "the content is empty: a torrent needs at least one byte");
        }
        let missing = folder.path().join("missing");
        assert_eq!(refusal(&missing, 16_384), cannot_read(&missing));
        assert_eq!(refusal(Path::new("/"), 16_384), "/ has no name for the torrent");
    }

    #[test]
    fn a_file_that_changes_its_length_is_an_error() {
        let folder = on_disk(&[("file", b"12345")]);
        let path = folder.path().join("file");
        let geometry = Geometry::new(5, 4).unwrap();
        for (length, unchanged) in [(4, false), (5, true), (6, false)] {
            let mut progress = |_| {};
            let mut hasher = PieceHasher::new(&geometry, &mut progress);
            let hashed = hash_file(&path, length, &mut hasher);
            let error = format!("{} changed its length while it was hashed", path.display());
            let expected = if unchanged { Ok(()) } else { Err(error) };
            assert_eq!(hashed.map_err(|error| error.to_string()), expected);
        }
    }

    #[test]
    fn an_unusable_piece_length_is_an_error() {
        let folder = on_disk(&[("data", &[0; 600_000])]);
        let path = folder.path().join("data");
        let error = "piece length 0 is not between 1 and 67108864 bytes";
        assert_eq!(refusal(&path, 0), error);
        let error = "bytes, more than 10485760: use larger chunks";
        assert!(refusal(&path, 1).ends_with(error), "{}", refusal(&path, 1));
    }

    // Windows itself keeps such a file from being made.
    #[cfg(not(windows))]
    #[test]
    fn a_torrent_that_we_would_refuse_is_not_made() {
        let folder = on_disk(&[("files/aux.c", b"x")]);
        assert_eq!(
            refusal(&folder.path().join("files"), 16_384),
            r#"info.files[0].path: "aux.c" is the name of a device on Windows"#
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed_where_it_is_named_and_nowhere_else() {
        use std::os::unix::fs::symlink;

        let folder = on_disk(&[("files/a", b"x"), ("secret", b"y")]);
        symlink("files", folder.path().join("alias")).unwrap();
        let bytes = make(&folder.path().join("alias"), 16_384, false).unwrap();
        assert_eq!(Metainfo::from_bytes(&bytes).unwrap().name, "alias");

        for target in ["../secret", "..", "nowhere"] {
            let link = folder.path().join("files/link");
            symlink(target, &link).unwrap();
            let error = refusal(&folder.path().join("files"), 16_384);
            assert!(error.starts_with(&format!("{} is a symbolic link", link.display())));
            fs::remove_file(&link).unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_neither_file_nor_folder_is_an_error_and_does_not_block() {
        let folder = on_disk(&[("files/a", b"x")]);
        let socket = folder.path().join("files/socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let error = format!("{} is neither a file nor a folder", socket.display());
        assert_eq!(refusal(&folder.path().join("files"), 16_384), error);
    }

    // Only Linux has file systems that keep such a name.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_name_that_is_not_utf8_is_an_error() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;

        let folder = on_disk(&[("files/a", b"x")]);
        let path = folder.path().join("files").join(OsStr::from_bytes(b"b\xff"));
        fs::write(&path, b"x").unwrap();
        for made in [&folder.path().join("files"), &path] {
            assert_eq!(refusal(made, 16_384), not_utf8(&path));
        }
    }

    #[test]
    fn no_more_is_read_than_a_torrent_can_have() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        fs::File::options().write(true).open(&path).unwrap().set_len(16 << 20).unwrap();
        let error = format!("{:#}", read_torrent(&path).unwrap_err());
        assert!(error.ends_with("is longer than 10485760"), "{error}");
    }
}
