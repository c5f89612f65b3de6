//! Makes a .torrent file from a file or a folder on disk (BEP 3, 12, 27).
//!
//! The same content gives the same bytes, and so the same swarm, on every machine: files are in
//! the order of their paths' bytes, and nothing says when or by whom. Hidden files are files like
//! others. Empty files are kept; empty folders have no place in the format. A symbolic link is an
//! error, because neither following it nor leaving it out is surely what was meant.

use std::fs;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use sha1::{Digest, Sha1};

use super::{File, HASH_LENGTH, Layout, MAX_METAINFO_LENGTH, Metainfo, MetainfoError};
use crate::bencode::Value;
use crate::geometry::{Geometry, GeometryError};

/// What a .torrent file says beside what its content says.
#[derive(Clone, Copy, Debug)]
pub struct CreateOptions<'a> {
    /// URLs, most preferred first; each is a tier of its own (BEP 12).
    pub trackers: &'a [String],
    /// Bytes of a piece; the textbook's chunk is 262144.
    pub piece_length: u32,
    /// Peers are to be learnt from the trackers only (BEP 27).
    pub private: bool,
}

/// Why no .torrent file was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// A file or folder could not be listed, opened or read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The root of a disk, for example.
    #[error("{} has no name to call the torrent by", .0.display())]
    NoName(PathBuf),
    /// BEP 3 has names in UTF-8.
    #[error("the name of {} is not UTF-8", .0.display())]
    NotUtf8(PathBuf),
    /// Inside of the folder.
    #[error("{} is a symbolic link: put a file in its place or take it away", .0.display())]
    SymbolicLink(PathBuf),
    /// A device, a socket, a pipe.
    #[error("{} is neither a file nor a folder", .0.display())]
    NotAFile(PathBuf),
    /// It was written to between listing and hashing.
    #[error("{} changed its length while it was hashed", .0.display())]
    Changed(PathBuf),
    /// There is nothing to share, or the piece length does not suit it.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// More than [`MAX_METAINFO_LENGTH`].
    #[error(
        "the .torrent file would have {0} bytes, more than {MAX_METAINFO_LENGTH}: use a larger \
         piece length"
    )]
    TooLong(usize),
    /// We would not read what we would write: a name is unsafe, for example.
    #[error(transparent)]
    Refused(#[from] MetainfoError),
}

/// Makes the .torrent file of what is at `path`, and returns its bytes.
///
/// `progress` is told, again and again, how many bytes have been hashed so far.
pub fn create(
    path: &Path,
    options: &CreateOptions<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<u8>, CreateError> {
    let name = name_of(path)?;
    let metadata = fs::metadata(path).map_err(|source| read_error(path, source))?;
    let (layout, files) = if metadata.is_dir() {
        (Layout::Folder, list_folder(path)?)
    } else if metadata.is_file() {
        let file = File { path: vec![name.clone()], length: metadata.len(), padding: false };
        (Layout::SingleFile, vec![file])
    } else {
        return Err(CreateError::NotAFile(path.to_owned()));
    };
    let total = files.iter().fold(0_u64, |total, file| total.saturating_add(file.length));
    let geometry = Geometry::new(total, options.piece_length.into())?;

    // Before the long work: with zeros for the hashes, would we read what we are going to write?
    let zeros = vec![0; geometry.piece_count() as usize * HASH_LENGTH];
    let draft = encode(&name, layout, &files, &zeros, options);
    if draft.len() > MAX_METAINFO_LENGTH {
        return Err(CreateError::TooLong(draft.len()));
    }
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
fn name_of(path: &Path) -> Result<String, CreateError> {
    let resolved;
    let named = if path.file_name().is_some() {
        path
    } else {
        resolved = path.canonicalize().map_err(|source| read_error(path, source))?;
        &resolved
    };
    let name = named.file_name().ok_or_else(|| CreateError::NoName(path.to_owned()))?;
    let name = name.to_str().ok_or_else(|| CreateError::NotUtf8(path.to_owned()))?;
    Ok(name.to_owned())
}

/// All files below the folder, by the bytes of their paths.
fn list_folder(root: &Path) -> Result<Vec<File>, CreateError> {
    let mut files = Vec::new();
    let mut folders = vec![(root.to_owned(), Vec::new())];
    while let Some((folder, components)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|source| read_error(&folder, source))? {
            let entry = entry.map_err(|source| read_error(&folder, source))?;
            let on_disk = entry.path();
            let name = entry.file_name().into_string();
            let name = name.map_err(|_| CreateError::NotUtf8(on_disk.clone()))?;
            let mut path: Vec<String> = components.clone();
            path.push(name);
            // Of the entry itself: a link is not followed.
            let metadata = entry.metadata().map_err(|source| read_error(&on_disk, source))?;
            if metadata.is_symlink() {
                return Err(CreateError::SymbolicLink(on_disk));
            } else if metadata.is_dir() {
                folders.push((on_disk, path));
            } else if metadata.is_file() {
                files.push(File { path, length: metadata.len(), padding: false });
            } else {
                return Err(CreateError::NotAFile(on_disk));
            }
        }
    }
    files.sort_by_cached_key(|file| file.path.join("/"));
    Ok(files)
}

fn hash_file(path: &Path, length: u64, hasher: &mut PieceHasher<'_>) -> Result<(), CreateError> {
    let file = fs::File::open(path).map_err(|source| read_error(path, source))?;
    // One byte more than expected, to see whether the file has grown.
    let mut reader = BufReader::with_capacity(READ_LENGTH, file.take(length.saturating_add(1)));
    let copied = io::copy(&mut reader, hasher).map_err(|source| read_error(path, source))?;
    if copied == length { Ok(()) } else { Err(CreateError::Changed(path.to_owned())) }
}

/// Bytes read at a time: enough that system calls cost nothing beside hashing.
const READ_LENGTH: usize = 256 * 1024;

fn read_error(path: &Path, source: io::Error) -> CreateError {
    CreateError::Read { path: path.to_owned(), source }
}

/// Takes the content as it is written, and hashes it piece by piece.
struct PieceHasher<'p> {
    piece_length: usize,
    piece: Sha1,
    /// Bytes in `piece`.
    filled: usize,
    /// Hashes of the pieces before it.
    hashes: Vec<u8>,
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
            hashes: Vec::with_capacity(geometry.piece_count() as usize * HASH_LENGTH),
            total: 0,
            progress,
        }
    }

    fn finish(mut self) -> Vec<u8> {
        if self.filled > 0 {
            self.hashes.extend(self.piece.finalize());
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
            self.hashes.extend(self.piece.finalize_reset());
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

fn encode(
    name: &str,
    layout: Layout,
    files: &[File],
    hashes: &[u8],
    options: &CreateOptions<'_>,
) -> Vec<u8> {
    let (content_key, content) = match layout {
        Layout::SingleFile => ("length", integer(files[0].length)),
        Layout::Folder => ("files", Value::List(files.iter().map(encode_file).collect())),
    };
    let mut info = vec![
        (content_key.as_bytes(), content),
        (b"name", Value::Bytes(name.as_bytes())),
        (b"piece length", Value::Integer(options.piece_length.into())),
        (b"pieces", Value::Bytes(hashes)),
    ];
    if options.private {
        info.push((b"private", Value::Integer(1)));
    }
    let mut top = vec![(b"info".as_slice(), Value::dict(info))];
    let urls = || options.trackers.iter().map(|url| Value::Bytes(url.as_bytes()));
    if let Some(first) = urls().next() {
        top.push((b"announce", first));
    }
    if options.trackers.len() > 1 {
        let tiers = urls().map(|url| Value::List(vec![url])).collect();
        top.push((b"announce-list", Value::List(tiers)));
    }
    Value::dict(top).encode()
}

fn encode_file(file: &File) -> Value<'_> {
    let path = file.path.iter().map(|name| Value::Bytes(name.as_bytes())).collect();
    Value::dict([(b"length".as_slice(), integer(file.length)), (b"path", Value::List(path))])
}

fn integer(length: u64) -> Value<'static> {
    Value::Integer(i64::try_from(length).expect("no file system has files of 2^63 bytes"))
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

    fn make(path: &Path, piece_length: u32, private: bool) -> Result<Vec<u8>, CreateError> {
        let trackers = [ANNOUNCE.to_owned()];
        let options = CreateOptions { trackers: &trackers, piece_length, private };
        create(path, &options, &mut |_| {})
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
            assert_eq!(hex(hasher.finish()), hash, "{} bytes", content.len());
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
    fn a_torrent_has_the_keys_announce_and_info_and_nothing_else() {
        let folder = known_content();
        let v1 = make(&folder.path().join("hello.txt"), 262_144, false).unwrap();
        assert_eq!(
            hex(&v1),
            "64383a616e6e6f756e636533303a687474703a2f2f3132372e302e302e313a363936392f616e6e\
             6f756e6365343a696e666f64363a6c656e67746869313365343a6e616d65393a68656c6c6f2e74\
             787431323a7069656365206c656e6774686932363231343465363a70696563657332303acd50d1\
             9784897085a8d0e3e413f8612b097c03f16565"
        );
        assert_eq!(hex(Sha1::digest(&v1)), "e05a7e16a138db3a3afb8a548239f6dbcb7e0ca5");

        let v2 = make(&folder.path().join("mod251.bin"), 262_144, false).unwrap();
        assert_eq!(v2.len(), 182);
        assert_eq!(hex(Sha1::digest(&v2)), "cc112c5f27284225186992cf771dd99f7f4ed0c1");

        let v4 = make(&folder.path().join("multi"), 262_144, false).unwrap();
        assert_eq!(v4.len(), 285);
        let v4 = crate::bencode::decode(&v4).unwrap();
        assert_eq!(v4.as_dict().unwrap().raw(b"info").unwrap().len(), 234);
    }

    #[test]
    fn what_is_made_reads_back_as_it_is_on_disk() {
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
        let mut told = Vec::new();
        let bytes =
            create(&folder.path().join("data"), &options, &mut |bytes| told.push(bytes)).unwrap();
        assert!(told.is_sorted() && told.len() > 2);
        assert_eq!(told.last(), Some(&600_000));
        assert!(Metainfo::from_bytes(&bytes).unwrap().trackers.is_empty());
    }

    #[test]
    fn without_content_or_name_there_is_no_torrent() {
        let folder = on_disk(&[("empty", b""), ("folder/empty", b"")]);
        fs::create_dir(folder.path().join("nothing")).unwrap();
        for name in ["empty", "folder", "nothing"] {
            let error = make(&folder.path().join(name), 16_384, false).unwrap_err();
            assert!(matches!(error, CreateError::Geometry(GeometryError::Empty)), "{error}");
        }
        let error = make(&folder.path().join("missing"), 16_384, false).unwrap_err();
        assert!(matches!(&error, CreateError::Read { path, .. } if path.ends_with("missing")));
        assert!(matches!(make(Path::new("/"), 16_384, false), Err(CreateError::NoName(_))));
    }

    #[test]
    fn a_file_that_changes_its_length_is_an_error() {
        let folder = on_disk(&[("file", b"12345")]);
        let path = folder.path().join("file");
        let geometry = Geometry::new(5, 4).unwrap();
        for (length, unchanged) in [(4, false), (5, true), (6, false)] {
            let mut progress = |_| {};
            let mut hasher = PieceHasher::new(&geometry, &mut progress);
            match hash_file(&path, length, &mut hasher) {
                Ok(()) => assert!(unchanged),
                Err(error) => {
                    assert!(matches!(error, CreateError::Changed(_)), "{error}");
                    assert!(!unchanged);
                }
            }
        }
    }

    #[test]
    fn a_piece_length_that_does_not_suit_is_an_error() {
        let folder = on_disk(&[("data", &[0; 600_000])]);
        let path = folder.path().join("data");
        let error = make(&path, 0, false).unwrap_err();
        assert!(matches!(error, CreateError::Geometry(GeometryError::PieceLength(0))));
        let error = make(&path, 1, false).unwrap_err();
        assert!(matches!(error, CreateError::TooLong(12_000_000..)), "{error}");
    }

    // Windows itself keeps such a file from being made.
    #[cfg(not(windows))]
    #[test]
    fn a_torrent_that_we_would_refuse_is_not_made() {
        let folder = on_disk(&[("files/aux.c", b"x")]);
        let error = make(&folder.path().join("files"), 16_384, false).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"info.files[0].path: "aux.c" is the name of a device on Windows"#
        );
        assert!(matches!(error, CreateError::Refused(_)));
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
            let error = make(&folder.path().join("files"), 16_384, false).unwrap_err();
            assert!(matches!(error, CreateError::SymbolicLink(path) if path == link));
            fs::remove_file(&link).unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_neither_file_nor_folder_is_an_error_and_not_waited_for() {
        let folder = on_disk(&[("files/a", b"x")]);
        let socket = folder.path().join("files/socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let error = make(&folder.path().join("files"), 16_384, false).unwrap_err();
        assert!(matches!(error, CreateError::NotAFile(path) if path == socket));
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
        for made in [make(&folder.path().join("files"), 16_384, false), make(&path, 16_384, false)]
        {
            assert!(matches!(made, Err(CreateError::NotUtf8(named)) if named == path));
        }
    }
}
