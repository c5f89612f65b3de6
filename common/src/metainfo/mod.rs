//! Metainfo, the content of a .torrent file: the files, and the hashes to check them (BEP 3).
//!
//! Reading is careful: the file is untrusted, and its names and numbers become paths and
//! allocations here. [`encode`] makes such a file.
//!
//! Also read: tiers of trackers (BEP 12), `private` (BEP 27), padding and symbolic links (BEP 47).
//! A torrent of versions 1 and 2 at once (BEP 52) is read as version 1.

mod create;
mod path;

use sha1::{Digest, Sha1};

use crate::bencode::{self, Dict, Value};
use crate::geometry::{FileMap, Geometry, GeometryError};
use crate::id::InfoHash;

pub use create::{CreateOptions, encode};
pub use path::MAX_COMPONENT_LENGTH;

/// Longest .torrent file accepted, in bytes: 130 GB in pieces of 256 KiB.
pub const MAX_METAINFO_LENGTH: usize = 10 * 1024 * 1024;

/// Most bytes of content accepted, 256 TiB: far from where sums of lengths overflow.
pub const MAX_TOTAL_LENGTH: u64 = 1 << 48;

/// Bytes of a SHA-1 hash.
pub const HASH_LENGTH: usize = 20;

/// A torrent as its .torrent file describes it. Every path in it is safe to use below a folder
/// chosen by the user, and its lengths agree with each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metainfo {
    /// SHA-1 of the `info` dictionary as it stands in the file.
    pub info_hash: InfoHash,
    /// Of the file or the folder; it is only advice.
    pub name: String,
    /// Lengths of content, pieces and blocks.
    pub geometry: Geometry,
    /// SHA-1 of each piece.
    pub piece_hashes: Vec<[u8; HASH_LENGTH]>,
    /// In the order of the content. Links are left out: following one could leave the folder.
    pub files: Vec<File>,
    /// One file, or files in a folder.
    pub layout: Layout,
    /// Peers are found through the trackers only (BEP 27).
    pub private: bool,
    /// URLs in tiers, to be tried tier by tier (BEP 12); empty if there is no tracker.
    pub trackers: Vec<Vec<String>>,
    /// Words of the author, control characters included: escape it for a terminal.
    pub comment: Option<String>,
    /// The program that made the file; as `comment`.
    pub created_by: Option<String>,
    /// Seconds since 1970.
    pub creation_date: Option<i64>,
}

/// One file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its folders below the torrent's folder, then its name. Of a single file: the torrent's name.
    pub path: Vec<String>,
    /// In bytes; may be zero.
    pub length: u64,
    /// Zeros between two files, which are not to be written to disk (BEP 47). Its path means
    /// nothing, and other padding may have the same.
    pub padding: bool,
}

/// Whether the torrent's name is that of a file or a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The only file.
    SingleFile,
    /// The folder that the files are in, even if it is one file.
    Folder,
}

/// Why a .torrent file is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetainfoError {
    /// More than [`MAX_METAINFO_LENGTH`].
    #[error("a .torrent file of {0} bytes is longer than {MAX_METAINFO_LENGTH}")]
    TooLong(usize),
    /// It is not a .torrent file, or a damaged one.
    #[error("not a .torrent file: {0}")]
    NotATorrent(String),
    /// One field is missing or not as it should be.
    #[error("{field}: {problem}")]
    Field {
        /// Where it stands, such as `info.files[3].length`.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The content is empty, or the piece length does not suit it.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
}

impl Metainfo {
    /// Reads a .torrent file.
    ///
    /// Keys may be out of order, as in some files in use: the info-hash is that of the bytes as
    /// they are. What only describes the torrent is never a reason to refuse it, and a tracker
    /// whose URL makes no sense is left out.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MetainfoError> {
        if bytes.len() > MAX_METAINFO_LENGTH {
            return Err(MetainfoError::TooLong(bytes.len()));
        }
        let top = bencode::decode(bytes)
            .map_err(|error| MetainfoError::NotATorrent(error.to_string()))?;
        let dict =
            top.as_dict().ok_or_else(|| MetainfoError::NotATorrent("not a dictionary".into()))?;
        let top = Fields { dict, prefix: String::new() };
        let info = top.fields("info")?;
        if info.dict.get(b"pieces").is_none() && info.dict.get(b"file tree").is_some() {
            let problem = "is of version 2 only (BEP 52), which this program does not read";
            return Err(field_error("info", problem));
        }
        // BEP 3: of the raw bytes. Encoding what was decoded may give others.
        let raw = dict.raw(b"info").expect("a decoded value has its raw bytes");

        let name = info.name()?;
        let (layout, files) = info.content(&name)?;
        let total = files.iter().try_fold(0_u64, |total, file| total.checked_add(file.length));
        let total = total.filter(|&total| total <= MAX_TOTAL_LENGTH).ok_or_else(|| {
            field_error("info", format!("has more than {MAX_TOTAL_LENGTH} bytes of content"))
        })?;
        let geometry = Geometry::new(total, info.length("piece length")?)?;
        Ok(Self {
            info_hash: InfoHash(Sha1::digest(raw).into()),
            name,
            geometry,
            piece_hashes: info.piece_hashes(&geometry)?,
            files,
            layout,
            private: info.dict.get(b"private").and_then(Value::as_integer) == Some(1),
            trackers: top.trackers(),
            comment: top.description("comment"),
            created_by: top.description("created by"),
            creation_date: dict.get(b"creation date").and_then(Value::as_integer),
        })
    }

    /// Where each of the files lies in the content.
    pub fn file_map(&self) -> FileMap {
        FileMap::new(self.files.iter().map(|file| file.length))
    }
}

/// A dictionary of the file, and where it stands, for error messages.
struct Fields<'v, 'a> {
    dict: &'v Dict<'a>,
    /// Such as `info.`, in front of a key.
    prefix: String,
}

impl<'v, 'a> Fields<'v, 'a> {
    fn name(&self) -> Result<String, MetainfoError> {
        let key = self.preferred("name.utf-8", "name");
        self.component(key, self.bytes(key)?)
    }

    fn content(&self, name: &str) -> Result<(Layout, Vec<File>), MetainfoError> {
        match (self.dict.get(b"length"), self.dict.get(b"files")) {
            (Some(_), Some(_)) => Err(field_error("info", "has both length and files")),
            (_, None) => {
                let length = self.length("length")?;
                let file = File { path: vec![name.to_owned()], length, padding: false };
                Ok((Layout::SingleFile, vec![file]))
            }
            (None, Some(_)) => {
                let mut files = Vec::new();
                for (number, value) in self.elements("files")?.iter().enumerate() {
                    let field = format!("files[{number}]");
                    files.extend(self.nested(&field, value)?.file()?);
                }
                path::check_distinct(&files, path::Case::HERE)
                    .map_err(|problem| self.error("files", problem))?;
                Ok((Layout::Folder, files))
            }
        }
    }

    /// One of `files`; none if it is a symbolic link.
    fn file(&self) -> Result<Option<File>, MetainfoError> {
        let attributes = self.dict.get(b"attr").and_then(Value::as_bytes).unwrap_or_default();
        if attributes.contains(&b'l') {
            // BEP 47 lets a link do without a length. With one, leaving it out would move the
            // content of the files after it.
            return match self.dict.get(b"length") {
                None | Some(Value::Integer(0)) => Ok(None),
                Some(_) => Err(self.error("length", "is a symbolic link with a length")),
            };
        }
        let key = self.preferred("path.utf-8", "path");
        let components = self.elements(key)?.iter().map(|component| {
            let bytes = component.as_bytes();
            self.component(key, bytes.ok_or_else(|| self.error(key, "is not a list of strings"))?)
        });
        let path = components.collect::<Result<_, _>>()?;
        Ok(Some(File { path, length: self.length("length")?, padding: attributes.contains(&b'p') }))
    }

    fn piece_hashes(&self, geometry: &Geometry) -> Result<Vec<[u8; HASH_LENGTH]>, MetainfoError> {
        let pieces = self.bytes("pieces")?;
        let expected = geometry.piece_count() as usize * HASH_LENGTH;
        if pieces.len() != expected {
            let actual = pieces.len();
            let problem = format!("has {actual} bytes, expected {expected}: 20 for each piece");
            return Err(self.error("pieces", problem));
        }
        Ok(pieces.as_chunks().0.to_vec())
    }

    fn trackers(&self) -> Vec<Vec<String>> {
        // BEP 12: where there is a list, `announce` is not looked at.
        let list = self.dict.get(b"announce-list").and_then(Value::as_list).unwrap_or_default();
        let tiers = list.iter().filter_map(Value::as_list);
        let mut tiers: Vec<Vec<_>> = tiers.map(|t| t.iter().filter_map(url).collect()).collect();
        tiers.retain(|tier| !tier.is_empty());
        if tiers.is_empty() {
            tiers.extend(self.dict.get(b"announce").and_then(url).map(|url| vec![url]));
        }
        tiers
    }

    fn description(&self, key: &str) -> Option<String> {
        let bytes = self.dict.get(key.as_bytes())?.as_bytes()?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    /// Old files have names in another encoding, and beside them the same in UTF-8.
    fn preferred(&self, utf8: &'static str, plain: &'static str) -> &'static str {
        if self.dict.get(utf8.as_bytes()).is_some() { utf8 } else { plain }
    }

    fn component(&self, key: &str, bytes: &[u8]) -> Result<String, MetainfoError> {
        let name = path::checked_component(bytes).map(str::to_owned);
        name.map_err(|problem| self.error(key, problem))
    }

    /// A number of bytes.
    fn length(&self, key: &str) -> Result<u64, MetainfoError> {
        let integer = self.required(key)?.as_integer();
        let integer = integer.ok_or_else(|| self.error(key, "is not an integer"))?;
        u64::try_from(integer).map_err(|_| self.error(key, format!("is {integer}, less than zero")))
    }

    fn bytes(&self, key: &str) -> Result<&'a [u8], MetainfoError> {
        let bytes = self.required(key)?.as_bytes();
        bytes.ok_or_else(|| self.error(key, "is not a string"))
    }

    /// The elements of a list that has at least one.
    fn elements(&self, key: &str) -> Result<&'v [Value<'a>], MetainfoError> {
        let list = self.required(key)?.as_list();
        let list = list.ok_or_else(|| self.error(key, "is not a list"))?;
        if list.is_empty() { Err(self.error(key, "is empty")) } else { Ok(list) }
    }

    fn fields(&self, key: &str) -> Result<Self, MetainfoError> {
        self.nested(key, self.required(key)?)
    }

    fn nested(&self, field: &str, value: &'v Value<'a>) -> Result<Self, MetainfoError> {
        let dict = value.as_dict();
        let dict = dict.ok_or_else(|| self.error(field, "is not a dictionary"))?;
        Ok(Self { dict, prefix: format!("{}{field}.", self.prefix) })
    }

    fn required(&self, key: &str) -> Result<&'v Value<'a>, MetainfoError> {
        let value = self.dict.get(key.as_bytes());
        value.ok_or_else(|| self.error(key, "is missing"))
    }

    fn error(&self, key: &str, problem: impl Into<String>) -> MetainfoError {
        field_error(format!("{}{key}", self.prefix), problem)
    }
}

fn field_error(field: impl Into<String>, problem: impl Into<String>) -> MetainfoError {
    MetainfoError::Field { field: field.into(), problem: problem.into() }
}

/// A tracker's URL, if it is text that can stand in a request and in a log.
fn url(value: &Value<'_>) -> Option<String> {
    let url = str::from_utf8(value.as_bytes()?).ok()?;
    let usable = !url.is_empty() && !url.contains(char::is_control);
    usable.then(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The bytes that some hex digits stand for.
    fn unhex(hex: &str) -> Vec<u8> {
        let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
        hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
    }

    /// A .torrent file of this `info` dictionary, which may have `#` for a hash of 20 bytes.
    fn torrent(info: &str) -> Vec<u8> {
        format!("d4:info{}e", info.replace('#', "aaaaabbbbbcccccddddd")).into_bytes()
    }

    fn read(info: &str) -> Result<Metainfo, MetainfoError> {
        Metainfo::from_bytes(&torrent(info))
    }

    /// One piece in a folder of these files, which are bencoded dictionaries.
    fn read_files(files: &str) -> Result<Metainfo, MetainfoError> {
        read(&format!("d5:filesl{files}e4:name1:n12:piece lengthi16384e6:pieces20:#e"))
    }

    fn message(result: Result<Metainfo, MetainfoError>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_torrent_of_mktorrent_reads() {
        let hashes = [
            "e876f67a2a8886e8f36b136726c30fa29703022d",
            "6e2275e604a0766656736e81ff10b55204ad8d35",
            "f00d937a0213df1982bc8d097227ad9e909acc17",
        ];
        let mut bytes = b"d8:announce55:http://bittorrent-test-tracker.codecrafters.io/announce\
            10:created by13:mktorrent 1.14:infod6:lengthi92063e4:name10:sample.txt\
            12:piece lengthi32768e6:pieces60:"
            .to_vec();
        bytes.extend(unhex(&hashes.concat()));
        bytes.extend(b"ee");
        let metainfo = Metainfo::from_bytes(&bytes).unwrap();
        let expected = Metainfo {
            info_hash: "d69f91e6b2ae4c542468d1073a71d4ea13879a7f".parse().unwrap(),
            name: "sample.txt".into(),
            geometry: Geometry::new(92_063, 32_768).unwrap(),
            piece_hashes: hashes.map(|hash| unhex(hash).try_into().unwrap()).to_vec(),
            files: vec![File { path: vec!["sample.txt".into()], length: 92_063, padding: false }],
            layout: Layout::SingleFile,
            private: false,
            trackers: vec![vec!["http://bittorrent-test-tracker.codecrafters.io/announce".into()]],
            comment: None,
            created_by: Some("mktorrent 1.1".into()),
            creation_date: None,
        };
        assert_eq!(metainfo, expected);
    }

    #[test]
    fn the_info_hash_is_that_of_the_bytes_as_they_are() {
        let file = |keys: &str| {
            let mut bytes =
                b"d10:created by10:libtorrent13:creation datei1359599503e4:infod".to_vec();
            bytes.extend(keys.as_bytes());
            bytes.extend(b"12:piece lengthi16384e6:pieces20:");
            bytes.extend(unhex("829ebc8c26bec74a579b7ddc4134752cb7bc9187"));
            bytes.extend(b"ee");
            Metainfo::from_bytes(&bytes).unwrap()
        };
        let base = file("6:lengthi425e4:name4:temp");
        assert_eq!(base.info_hash.to_string(), "c0fda1edafdbdbb96443424e0b3899af7159d10e");
        assert_eq!(base.creation_date, Some(1_359_599_503));
        let unordered = file("4:name4:temp6:lengthi425e");
        assert_eq!(unordered.info_hash.to_string(), "1e44709a0ec082a6a5ea4837e450ae08d3f4394e");
        assert_eq!(Metainfo { info_hash: base.info_hash, ..unordered }, base);

        // Keys that we do not know are hashed like the others.
        let known = read("d6:lengthi1e4:name1:n12:piece lengthi16384e6:pieces20:#e").unwrap();
        let more = read("d6:lengthi1e4:name1:n12:piece lengthi16384e6:pieces20:#1:zi1ee").unwrap();
        assert_ne!(known.info_hash, more.info_hash);
    }

    #[test]
    fn a_bad_field_is_named() {
        let single = |length: &str, piece_length: &str, pieces: &str| {
            read(&format!("d{length}4:name1:n12:piece length{piece_length}6:pieces{pieces}e"))
        };
        let one = "20:#";
        let pieces =
            |actual| format!("info.pieces: has {actual} bytes, expected 20: 20 for each piece");
        let table = [
            (
                single("6:lengthi1e", "i0e", one),
                "piece length 0 is not between 1 and 67108864 bytes",
            ),
            (
                single("6:lengthi1e", "i67108865e", one),
                "piece length 67108865 is not between 1 and 67108864 bytes",
            ),
            (single("6:lengthi1e", "i-1e", one), "info.piece length: is -1, less than zero"),
            (single("6:lengthi1e", "1:x", one), "info.piece length: is not an integer"),
            (single("6:lengthi1e", "i16384e", "19:aaaaabbbbbcccccdddd"), &pieces(19)),
            (single("6:lengthi1e", "i16384e", "0:"), &pieces(0)),
            (single("6:lengthi1e", "i16384e", "40:##"), &pieces(40)),
            (single("6:lengthi1e", "i16384e", "i7e"), "info.pieces: is not a string"),
            (
                single("6:lengthi0e", "i16384e", "0:"),
                "the content is empty: a torrent needs at least one byte",
            ),
            (single("6:lengthi-1e", "i16384e", one), "info.length: is -1, less than zero"),
            (single("6:length1:1", "i16384e", one), "info.length: is not an integer"),
            (single("", "i16384e", one), "info.length: is missing"),
            (
                single("5:filesld6:lengthi1e4:pathl1:aeee6:lengthi1e", "i16384e", one),
                "info: has both length and files",
            ),
            (single("5:filesle", "i16384e", one), "info.files: is empty"),
            (single("5:filesde", "i16384e", one), "info.files: is not a list"),
            (read_files("i1e"), "info.files[0]: is not a dictionary"),
            (read_files("d4:pathl1:aee"), "info.files[0].length: is missing"),
            (read_files("d6:lengthi1ee"), "info.files[0].path: is missing"),
            (
                read_files("d6:lengthi1e4:pathl1:aeed6:lengthi1e4:pathlee"),
                "info.files[1].path: is empty",
            ),
            (read_files("d6:lengthi1e4:path1:ae"), "info.files[0].path: is not a list"),
            (
                read_files("d6:lengthi1e4:pathli1eee"),
                "info.files[0].path: is not a list of strings",
            ),
            (
                read_files("d6:lengthi-1e4:pathl1:aee"),
                "info.files[0].length: is -1, less than zero",
            ),
            (
                read_files("d6:lengthi1e4:pathl2:..6:passwdee"),
                r#"info.files[0].path: ".." is not a name but a direction"#,
            ),
            (
                read("d6:lengthi1e4:name4:a/b\n12:piece lengthi16384e6:pieces20:#e"),
                r#"info.name: "a/b\n" contains '/'"#,
            ),
            (read("d6:lengthi1e12:piece lengthi16384e6:pieces20:#e"), "info.name: is missing"),
            (read("d6:lengthi1e4:name1:n12:piece lengthi16384ee"), "info.pieces: is missing"),
            (read("4:spam"), "info: is not a dictionary"),
            (Metainfo::from_bytes(b"de"), "info: is missing"),
            (Metainfo::from_bytes(b"le"), "not a .torrent file: not a dictionary"),
            (
                Metainfo::from_bytes(b"<!DOCTYPE html>"),
                "not a .torrent file: byte 0: unexpected byte '<'",
            ),
        ];
        for (result, expected) in table {
            assert_eq!(message(result), expected);
        }
    }

    #[test]
    fn every_name_is_checked_wherever_it_stands() {
        for name in
            ["", ".", "..", "/x", "\\x", "c:", "a/b", "a\0", "a\x07", "CON", "nul.txt", "a.", "a "]
        {
            let text = format!("{}:{name}", name.len());
            let single = format!("d6:lengthi1e4:name{text}12:piece lengthi16384e6:pieces20:#e");
            assert!(message(read(&single)).starts_with("info.name: "), "{name:?}");
            for path in [format!("{text}1:a"), format!("1:a{text}"), format!("1:a{text}1:b")] {
                let file = format!("d6:lengthi1e4:pathl{path}ee");
                assert!(message(read_files(&file)).starts_with("info.files[0].path: "), "{name:?}");
            }
        }
    }

    #[test]
    fn paths_that_clash_are_refused() {
        let file = |path: &str| format!("d6:lengthi1e4:pathl{path}ee");
        let read = |paths: [&str; 2]| message(read_files(&paths.map(file).concat()));
        assert_eq!(read(["1:a1:b", "1:a1:b"]), r#"info.files: "a/b" occurs twice"#);
        assert_eq!(read(["1:a1:b", "1:a"]), r#"info.files: "a" is both a file and a folder"#);
    }

    #[test]
    fn content_beyond_the_limits_is_refused_before_anything_is_allocated() {
        let single = |length: u64, piece_length: u32| {
            let info =
                format!("d6:lengthi{length}e4:name1:n12:piece lengthi{piece_length}e6:pieces20:#e");
            read(&info).unwrap_err()
        };
        // 1.7 TB in pieces of 16 KiB: a bitfield for each peer, and more.
        assert!(matches!(
            single(1_700_000_000_000, 16_384),
            MetainfoError::Geometry(GeometryError::TooManyPieces(103_759_766))
        ));
        let too_much = "info: has more than 281474976710656 bytes of content";
        assert_eq!(single(MAX_TOTAL_LENGTH + 1, 1 << 26).to_string(), too_much);
        assert!(matches!(single(MAX_TOTAL_LENGTH, 1 << 26), MetainfoError::Geometry(_)));

        let huge = |name| format!("d6:lengthi9223372036854775807e4:pathl1:{name}ee");
        let sum = ["a", "b", "c"].map(huge).concat();
        assert_eq!(message(read_files(&sum)), too_much);

        let long = vec![b'l'; MAX_METAINFO_LENGTH + 1];
        assert_eq!(Metainfo::from_bytes(&long), Err(MetainfoError::TooLong(long.len())));
        assert!(matches!(Metainfo::from_bytes(&long[1..]), Err(MetainfoError::NotATorrent(_))));
    }

    #[test]
    fn padding_is_content_without_a_place_on_disk() {
        let metainfo = read_files(
            "d6:lengthi10e4:pathl1:aeed4:attr1:p6:lengthi6e4:pathl4:.pad1:6ee\
             d6:lengthi10e4:pathl1:beed4:attr2:xp6:lengthi6e4:pathl4:.pad1:6ee",
        )
        .unwrap();
        let padding: Vec<_> = metainfo.files.iter().map(|file| file.padding).collect();
        assert_eq!(padding, [false, true, false, true]);
        assert_eq!(metainfo.geometry.total_length(), 32);
        assert_eq!(metainfo.file_map().ranges(16, 1).next().unwrap().file, 2);
    }

    #[test]
    fn a_symbolic_link_is_treated_as_absent() {
        let link = |length: &str| {
            let target = "12:symlink pathl2:..6:passwde";
            let file = "d6:lengthi1e4:pathl1:aee";
            read_files(&format!("d4:attr1:l{length}4:pathl1:be{target}e{file}"))
        };
        for length in ["", "6:lengthi0e"] {
            let paths: Vec<_> = link(length).unwrap().files.into_iter().map(|f| f.path).collect();
            assert_eq!(paths, [["a"]]);
        }
        assert_eq!(
            message(link("6:lengthi5e")),
            "info.files[0].length: is a symbolic link with a length"
        );
    }

    #[test]
    fn a_torrent_of_two_versions_is_read_as_version_one() {
        let hybrid = "d9:file treede6:lengthi1e12:meta versioni2e4:name1:n12:piece lengthi16384e";
        assert!(read(&format!("{hybrid}6:pieces20:#e")).is_ok());
        assert_eq!(
            message(read(&format!("{hybrid}e"))),
            "info: is of version 2 only (BEP 52), which this program does not read"
        );
    }

    #[test]
    fn a_name_in_utf8_is_preferred_to_one_that_is_not() {
        let mut bytes =
            torrent("d6:lengthi1e4:name1:?10:name.utf-82:ä12:piece lengthi16384e6:pieces20:#e");
        let position = bytes.iter().position(|&byte| byte == b'?').unwrap();
        bytes[position] = 0xe4;
        assert_eq!(Metainfo::from_bytes(&bytes).unwrap().name, "ä");
    }

    #[test]
    fn a_list_of_tiers_overrides_the_single_tracker() {
        let trackers = |keys: &str| {
            let info =
                "4:infod6:lengthi1e4:name1:n12:piece lengthi1e6:pieces20:aaaaabbbbbcccccddddde";
            Metainfo::from_bytes(format!("d{keys}{info}e").as_bytes()).unwrap().trackers
        };
        let none: [[&str; 0]; 0] = [];
        assert_eq!(trackers(""), none);
        assert_eq!(trackers("8:announce1:a"), [["a"]]);
        assert_eq!(
            trackers("8:announce1:a13:announce-listll1:b1:cel1:dee"),
            [vec!["b", "c"], vec!["d"]]
        );
        for useless in ["le", "llee", "l1:bi1ee", "ll0:3:b\r\nee", "1:b"] {
            assert_eq!(trackers(&format!("8:announce1:a13:announce-list{useless}")), [["a"]]);
        }
        assert_eq!(trackers("8:announce0:"), none);
        assert_eq!(trackers("8:announcele"), none);
    }

    #[test]
    fn a_bad_description_is_no_reason_to_refuse_a_torrent() {
        let mut bytes =
            b"d7:comment1:?10:created byi7e13:creation date1:x8:encodingle4:infod6:lengthi1e\
            4:name1:n12:piece lengthi1e6:pieces20:aaaaabbbbbcccccddddd7:privatei1eee"
                .to_vec();
        bytes[12] = 0xff;
        let metainfo = Metainfo::from_bytes(&bytes).unwrap();
        assert_eq!(metainfo.comment.as_deref(), Some("\u{fffd}"));
        assert_eq!((metainfo.created_by, metainfo.creation_date), (None, None));
        assert!(metainfo.private);
    }

    /// A folder of four files, one of them empty and two in a folder of their own.
    fn folder_of_four() -> Vec<u8> {
        let hashes = "a".repeat(40);
        format!(
            "d8:announce30:http://127.0.0.1:6969/announce4:infod5:files\
             ld6:lengthi200000e4:pathl5:a.bineed6:lengthi0e4:pathl9:empty.txtee\
             d6:lengthi100000e4:pathl3:sub5:b.bineed6:lengthi1e4:pathl3:sub5:c.bineee\
             4:name5:multi12:piece lengthi262144e6:pieces40:{hashes}ee"
        )
        .into_bytes()
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Metainfo::from_bytes(&bytes);
        }

        #[test]
        fn a_damaged_torrent_is_refused_or_sound(
            changes in prop::collection::vec((any::<prop::sample::Index>(), "[0-9a-z:/.-]"), 1..4),
        ) {
            let mut bytes = folder_of_four();
            prop_assert!(Metainfo::from_bytes(&bytes).is_ok());
            for (index, byte) in changes {
                let index = index.index(bytes.len());
                bytes[index] = byte.as_bytes()[0];
            }
            if let Ok(metainfo) = Metainfo::from_bytes(&bytes) {
                let geometry = metainfo.geometry;
                let total: u64 = metainfo.files.iter().map(|file| file.length).sum();
                prop_assert_eq!(total, geometry.total_length());
                prop_assert_eq!(metainfo.piece_hashes.len(), geometry.piece_count() as usize);
                for component in metainfo.files.iter().flat_map(|file| &file.path) {
                    prop_assert!(!component.contains('/') && component != "..");
                }
            }
        }
    }
}
