//! `PROGRAM info FILE.torrent`: the description of a .torrent and its info hash.

use common::bencode::Value;
use common::metainfo::{CreateOptions, File, HASH_LENGTH, Layout, encode};
use sha1::{Digest, Sha1};

use super::convert::{PATIENCE, judge_refusal, still_runs};
use super::word;
use crate::check::{Context, Failure, Stop, show};
use crate::hints;

/// What a program prints about a .torrent.
struct Description {
    name: String,
    length: u64,
    piece_length: u32,
    pieces: usize,
    info_hash: String,
}

const PIECE_LENGTH: u32 = 32 << 10;
const FILE: &str = "lecture.torrent";

pub(super) fn info(context: &mut Context<'_>) -> Result<(), Stop> {
    let name = word(&mut context.rng);
    // The last piece is shorter than the others, then as long.
    let length = u64::from(PIECE_LENGTH) * context.rng.u64(2..9);
    for length in [length - context.rng.u64(1..1_000), length] {
        let files = [file(&[&name], length)];
        describes_made(context, &name, Layout::SingleFile, &files)?;
    }
    // Some are shorter than a piece, one is empty; pieces cross the borders of files.
    let lengths = [context.rng.u64(1..1_000), 0, length, context.rng.u64(1..1_000)];
    let files: Vec<_> = ["a.txt", "b.txt", "c.bin", "d.txt"]
        .iter()
        .zip(lengths)
        .map(|(name, length)| file(&["notes", name], length))
        .collect();
    describes_made(context, &name, Layout::Folder, &files)?;

    let one_piece = made(context, &name, Layout::SingleFile, &[file(&[&name], 1)], 1);
    for (what, torrent) in [
        ("2 hashes where the length needs 1", {
            made(context, &name, Layout::SingleFile, &[file(&[&name], 1)], 2)
        }),
        ("a length of 0", made(context, &name, Layout::SingleFile, &[file(&[&name], 0)], 0)),
        ("no name", replaced(&one_piece, format!("4:name{}:{name}", name.len()).as_bytes(), b"")),
        ("a piece length of 0", {
            let right = format!("i{PIECE_LENGTH}e");
            replaced(&one_piece, right.as_bytes(), b"i0e")
        }),
    ] {
        context.write_file(FILE, &torrent)?;
        let of_input = format!("info of a .torrent with {what}");
        judge_refusal(context, &["info", FILE], b"", &of_input, hints::TORRENT_FIELDS)?;
    }
    Ok(())
}

pub(super) fn info_hash_raw(context: &mut Context<'_>) -> Result<(), Stop> {
    let name = word(&mut context.rng);
    let hash: Vec<u8> = (0..HASH_LENGTH).map(|_| context.rng.u8(..)).collect();
    let length = context.rng.u64(1..u64::from(PIECE_LENGTH));
    let entry =
        |key: &str, value: Value<'_>| [encoded(Value::Bytes(key.as_bytes())), encoded(value)];
    let known = || {
        [
            entry("length", Value::Integer(i64::try_from(length).expect("it is below a piece"))),
            entry("name", Value::Bytes(name.as_bytes())),
            entry("piece length", Value::Integer(PIECE_LENGTH.into())),
            entry("pieces", Value::Bytes(&hash)),
        ]
        .map(|entry| entry.concat())
    };
    // A key that the program does not know; keys that are out of order.
    let inner = Value::dict([(b"info".as_slice(), Value::Bytes(b"not this one"))]);
    let unknown = entry("source", Value::List(vec![Value::Integer(0), inner])).concat();
    let mut shuffled = known().to_vec();
    let by = context.rng.usize(1..shuffled.len());
    shuffled.rotate_left(by);
    for (what, entries) in [
        ("an unknown key", [known().to_vec(), vec![unknown]].concat()),
        ("keys out of order", shuffled),
    ] {
        let info = [b"d", &entries.concat()[..], b"e"].concat();
        // Before it, bytes that look like the key and are none; after it, another entry.
        let before = entry("comment", Value::Bytes(b"4:infod4:name1:xe")).concat();
        let after = entry("url-list", Value::Bytes(b"http://127.0.0.1/")).concat();
        let torrent = [b"d", &before[..], b"4:info", &info, &after, b"e"].concat();
        let right = Description {
            name: name.clone(),
            length,
            piece_length: PIECE_LENGTH,
            pieces: 1,
            info_hash: hexadecimal(&info),
        };
        describes(context, &torrent, &right, what, hints::INFO_HASH)?;
    }
    Ok(())
}

/// The program describes a .torrent of these files as it should.
fn describes_made(
    context: &mut Context<'_>,
    name: &str,
    layout: Layout,
    files: &[File],
) -> Result<(), Stop> {
    let length: u64 = files.iter().map(|file| file.length).sum();
    let pieces = length.div_ceil(PIECE_LENGTH.into());
    let pieces = usize::try_from(pieces).expect("there are few");
    let torrent = made(context, name, layout, files, pieces);
    let raw = common::bencode::decode(&torrent).expect("it was encoded");
    let info = raw.as_dict().and_then(|dict| dict.raw(b"info")).expect("it has been written");
    let right = Description {
        name: name.to_owned(),
        length,
        piece_length: PIECE_LENGTH,
        pieces,
        info_hash: hexadecimal(info),
    };
    let what = match layout {
        Layout::SingleFile => format!("a file of {length} bytes"),
        Layout::Folder => format!("{} files", files.len()),
    };
    describes(context, &torrent, &right, &what, hints::TORRENT_FIELDS)
}

fn describes(
    context: &mut Context<'_>,
    torrent: &[u8],
    right: &Description,
    what: &str,
    hint: &'static str,
) -> Result<(), Stop> {
    context.write_file(FILE, torrent)?;
    let Description { name, length, piece_length, pieces, info_hash } = right;
    let lines = [
        format!("name: {name}"),
        format!("length: {length}"),
        format!("piece length: {piece_length}"),
        format!("pieces: {pieces}"),
        format!("info hash: {info_hash}"),
    ];
    let expected = format!("of a .torrent with {what}: {}", lines.join(", "));
    let Some(finished) = context.run(&["info", FILE], b"", PATIENCE)? else {
        return Err(still_runs(context, expected));
    };
    let printed = String::from_utf8_lossy(&finished.stdout);
    if finished.status.success() && printed.trim_end().lines().eq(&lines) {
        return Ok(());
    }
    let got = match printed.trim_end() {
        "" => show(b""),
        text => text.lines().collect::<Vec<_>>().join(", "),
    };
    let got = format!("{got}; {}", finished.status);
    Err(Failure::new(expected, got).hint(hint).into())
}

fn file(path: &[&str], length: u64) -> File {
    let path = path.iter().map(|name| (*name).to_owned()).collect();
    File { path, length, padding: false }
}

/// A .torrent with so many random hashes.
fn made(
    context: &mut Context<'_>,
    name: &str,
    layout: Layout,
    files: &[File],
    pieces: usize,
) -> Vec<u8> {
    let trackers = ["http://127.0.0.1:6969/announce".to_owned()];
    let options = CreateOptions { trackers: &trackers, piece_length: PIECE_LENGTH, private: false };
    let mut hash = || [(); HASH_LENGTH].map(|()| context.rng.u8(..));
    let hashes: Vec<_> = (0..pieces).map(|_| hash()).collect();
    encode(name, layout, files, &hashes, &options)
}

/// The bytes with the first occurrence of a part replaced.
fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = bytes.windows(old.len()).position(|part| part == old).expect("it is there");
    [&bytes[..at], new, &bytes[at + old.len()..]].concat()
}

#[expect(clippy::needless_pass_by_value, reason = "values are built where they are encoded")]
fn encoded(value: Value<'_>) -> Vec<u8> {
    value.encode()
}

fn hexadecimal(info: &[u8]) -> String {
    Sha1::digest(info).iter().map(|byte| format!("{byte:02x}")).collect()
}
