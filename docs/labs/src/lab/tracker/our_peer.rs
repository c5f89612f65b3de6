//! A seed and a peer of this workspace, whose tracker is the student's.

use std::time::Duration;

use common::metainfo::{CreateOptions, File, Layout, encode};
use sha1::{Digest, Sha1};

use super::client::Tracker;
use crate::check::{Context, Failure, Stop};
use crate::hints;
use crate::program::Program;

const PIECE_LENGTH: u32 = 32 << 10;
const NAME: &str = "shared.bin";
const TORRENT: &str = "shared.torrent";

pub(super) fn our_peer(context: &mut Context<'_>) -> Result<(), Stop> {
    /// In seconds; a peer that comes before the seed asks again after it.
    const INTERVAL: u64 = 1;
    let peer = Program::of_workspace("peer")?;
    let mut tracker = Tracker::start(context, INTERVAL)?;
    // The students' programs are slower to start than ours, which would ask again only much later.
    tracker.get(context, "/favicon.ico")?;

    let content: Vec<u8> = (0..100_000).map(|_| context.rng.u8(..)).collect();
    context.write_file(NAME, &content)?;
    context.write_file(TORRENT, &torrent(&content, &tracker.url()))?;
    let listen = ["--listen", "127.0.0.1:0"];
    let _seed = context.start_other(&peer, &[&["seed", TORRENT][..], &listen].concat())?;
    let get = ["get", TORRENT, "--dir", "copy", "--leave"];
    let mut get = context.start_other(&peer, &[&get[..], &listen].concat())?;
    let status = get.wait(context.within(Duration::from_secs(8)))?;
    let copied = context
        .read_file(&format!("copy/{NAME}"), content.len() + 1)?
        .is_some_and(|copy| copy == content);
    if status.is_some_and(|status| status.success()) && copied {
        return Ok(());
    }
    let expected = format!("a file of {} bytes goes from a seed to a peer", content.len());
    let state = match status {
        Some(status) => format!("the peer exited with {status}"),
        None => "the peer has not finished".to_owned(),
    };
    let said = get.stderr().text();
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
    let got = format!("{state}; the last line on its stderr: {last}");
    Err(Failure::new(expected, got).hint(hints::OUR_PEER).into())
}

/// The .torrent of a file.
fn torrent(content: &[u8], tracker: &str) -> Vec<u8> {
    let length = content.len() as u64;
    let file = File { path: vec![NAME.to_owned()], length, padding: false };
    let hashes: Vec<_> =
        content.chunks(PIECE_LENGTH as usize).map(|piece| Sha1::digest(piece).into()).collect();
    let trackers = [tracker.to_owned()];
    let options = CreateOptions { trackers: &trackers, piece_length: PIECE_LENGTH, private: false };
    encode(NAME, Layout::SingleFile, &[file], &hashes, &options)
}
