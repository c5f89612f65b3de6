//! Makes the bytes of a .torrent file from what is known of its content (BEP 3, 12, 27).
//!
//! The same content gives the same bytes, and so the same swarm, on every machine: the file has no
//! creation date and no author.

use super::{File, HASH_LENGTH, Layout};
use crate::bencode::Value;

/// The fields of a .torrent file that do not follow from its content.
#[derive(Clone, Copy, Debug)]
pub struct CreateOptions<'a> {
    /// URLs, most preferred first; each is a tier of its own (BEP 12).
    pub trackers: &'a [String],
    /// Bytes of a piece; the textbook's chunk is 262144.
    pub piece_length: u32,
    /// Peers are found through the trackers only (BEP 27).
    pub private: bool,
}

/// The .torrent file of these files, with a hash for each piece. It is not checked: a
/// [`Metainfo::from_bytes`](super::Metainfo::from_bytes) tells whether we would read it.
///
/// # Panics
/// Without a file, or with one of 2^63 bytes.
pub fn encode(
    name: &str,
    layout: Layout,
    files: &[File],
    piece_hashes: &[[u8; HASH_LENGTH]],
    options: &CreateOptions<'_>,
) -> Vec<u8> {
    let (content_key, content) = match layout {
        Layout::SingleFile => ("length", integer(files[0].length)),
        Layout::Folder => ("files", Value::List(files.iter().map(encode_file).collect())),
    };
    let info = Value::dict_of_present([
        (content_key.as_bytes(), Some(content)),
        (b"name", Some(Value::Bytes(name.as_bytes()))),
        (b"piece length", Some(Value::Integer(options.piece_length.into()))),
        (b"pieces", Some(Value::Bytes(piece_hashes.as_flattened()))),
        (b"private", options.private.then_some(Value::Integer(1))),
    ]);
    let urls = || options.trackers.iter().map(|url| Value::Bytes(url.as_bytes()));
    let tiers = || Value::List(urls().map(|url| Value::List(vec![url])).collect());
    Value::dict_of_present([
        (b"info", Some(info)),
        (b"announce", urls().next()),
        (b"announce-list", (options.trackers.len() > 1).then(tiers)),
    ])
    .encode()
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
    use sha1::{Digest, Sha1};

    use super::*;
    use crate::hex;
    use crate::metainfo::Metainfo;

    fn options(trackers: &[String], piece_length: u32) -> CreateOptions<'_> {
        CreateOptions { trackers, piece_length, private: false }
    }

    fn file(path: &str, length: u64) -> File {
        let path = path.split('/').map(str::to_owned).collect();
        File { path, length, padding: false }
    }

    fn hashes<const N: usize>(hashes: [&str; N]) -> [[u8; HASH_LENGTH]; N] {
        hashes.map(|hash| hex::decode(hash).unwrap().try_into().unwrap())
    }

    #[test]
    fn a_torrent_has_the_keys_announce_and_info_and_nothing_else() {
        let trackers = ["http://127.0.0.1:6969/announce".to_owned()];
        let options = options(&trackers, 262_144);
        let pieces = hashes(["cd50d19784897085a8d0e3e413f8612b097c03f1"]);
        let files = [file("hello.txt", 13)];
        let v1 = encode("hello.txt", Layout::SingleFile, &files, &pieces, &options);
        assert_eq!(
            hex::encode(&v1),
            "64383a616e6e6f756e636533303a687474703a2f2f3132372e302e302e313a363936392f616e6e\
             6f756e6365343a696e666f64363a6c656e67746869313365343a6e616d65393a68656c6c6f2e74\
             787431323a7069656365206c656e6774686932363231343465363a70696563657332303acd50d1\
             9784897085a8d0e3e413f8612b097c03f16565"
        );
        assert_eq!(hex::encode(&Sha1::digest(&v1)), "e05a7e16a138db3a3afb8a548239f6dbcb7e0ca5");

        let pieces = hashes([
            "8e2ba8c6fd3d3fd6c2c073443b18f4f484639dd3",
            "660a0e83056915e27bc6be0261ef8be21abb4d74",
        ]);
        let files = [
            file("a.bin", 200_000),
            file("empty.txt", 0),
            file("sub/b.bin", 100_000),
            file("sub/c.bin", 1),
        ];
        let v4 = encode("multi", Layout::Folder, &files, &pieces, &options);
        assert_eq!(v4.len(), 285);
        let metainfo = Metainfo::from_bytes(&v4).unwrap();
        assert_eq!(metainfo.info_hash.to_string(), "18b5db9aede5d7dd96e4b2403910e95faaaac345");
    }

    #[test]
    fn what_is_encoded_reads_back() {
        let trackers = ["http://a/announce".to_owned(), "udp://b:1".to_owned()];
        let files = [file("one/ß.txt", 5)];
        for private in [false, true] {
            let options = CreateOptions { private, ..options(&trackers, 4) };
            let bytes = encode("日本", Layout::Folder, &files, &[[1; 20], [2; 20]], &options);
            let metainfo = Metainfo::from_bytes(&bytes).unwrap();
            assert_eq!((metainfo.name.as_str(), metainfo.layout), ("日本", Layout::Folder));
            assert_eq!(metainfo.files, files);
            assert_eq!(metainfo.piece_hashes, [[1; 20], [2; 20]]);
            assert_eq!(metainfo.geometry.piece_length(), 4);
            assert_eq!(metainfo.private, private);
            assert_eq!(metainfo.trackers, [["http://a/announce"], ["udp://b:1"]]);
        }
        let bytes = encode("x", Layout::Folder, &files, &[[0; 20]], &options(&[], 5));
        assert!(Metainfo::from_bytes(&bytes).unwrap().trackers.is_empty());
    }
}
