//! `Common.cfg` and `PeerInfo.cfg`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// What all peers of a run agree on.
#[derive(Debug)]
pub(crate) struct Common {
    /// `NumberOfPreferredNeighbors`
    pub(crate) preferred: usize,
    /// `UnchokingInterval`, in seconds.
    pub(crate) unchoking: f64,
    /// `OptimisticUnchokingInterval`, in seconds.
    pub(crate) optimistic: f64,
    /// Pieces of the file: `FileSize` in units of `PieceSize`, rounded up.
    pub(crate) pieces: u64,
}

/// A line of `PeerInfo.cfg`.
#[derive(Debug, PartialEq)]
pub(crate) struct PeerInfo {
    pub(crate) id: u32,
    /// Whether it has the file from the beginning.
    pub(crate) has_file: bool,
}

impl Common {
    /// Reads `Common.cfg` in this folder.
    ///
    /// # Errors
    /// When it cannot be read, or lacks a setting.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("Common.cfg");
        let name = || path.display().to_string();
        Self::parse(&fs::read_to_string(&path).with_context(name)?).with_context(name)
    }

    fn parse(text: &str) -> Result<Self> {
        let number = |setting: &str| -> Result<u64> {
            let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            let found = words.into_iter().find(|words| words.first() == Some(&setting));
            let words = found.with_context(|| format!("no line {setting}"))?;
            let value = words.get(1).and_then(|value| value.parse().ok());
            let value = value.filter(|value| (1..=MOST).contains(value));
            value.with_context(|| format!("{setting}: a whole number from 1 to {MOST}"))
        };
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let seconds = |setting| number(setting).map(|seconds| seconds as f64);
        Ok(Self {
            preferred: usize::try_from(number("NumberOfPreferredNeighbors")?)?,
            unchoking: seconds("UnchokingInterval")?,
            optimistic: seconds("OptimisticUnchokingInterval")?,
            pieces: number("FileSize")?.div_ceil(number("PieceSize")?),
        })
    }
}

/// No setting of a real run is greater, and sums of such numbers do not overflow.
const MOST: u64 = 1 << 48;

/// Reads `PeerInfo.cfg` in this folder.
///
/// # Errors
/// When it cannot be read, or has a line that is no peer, a peer twice, or no peer at all.
pub(crate) fn peers(folder: &Path) -> Result<Vec<PeerInfo>> {
    let path = folder.join("PeerInfo.cfg");
    let name = || path.display().to_string();
    parse_peers(&fs::read_to_string(&path).with_context(name)?).with_context(name)
}

fn parse_peers(text: &str) -> Result<Vec<PeerInfo>> {
    let mut peers: Vec<PeerInfo> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let words: Vec<_> = line.split_whitespace().collect();
        let peer = match words[..] {
            [] => continue,
            [id, _host, _port, has_file @ ("0" | "1")] => {
                id.parse().map(|id| PeerInfo { id, has_file: has_file == "1" }).ok()
            }
            _ => None,
        };
        let Some(peer) = peer else { bail!("line {number}: not \"ID HOST PORT 0 or 1\": {line}") };
        let is_new = peers.iter().all(|other| other.id != peer.id);
        ensure!(is_new, "line {number}: peer {} for the second time", peer.id);
        peers.push(peer);
    }
    ensure!(!peers.is_empty(), "no peer");
    Ok(peers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMON: &str = "\
NumberOfPreferredNeighbors 2
UnchokingInterval 5
OptimisticUnchokingInterval 15
FileName TheFile.dat
FileSize 10000232
PieceSize 32768
";

    #[test]
    fn the_settings_are_read_and_the_last_piece_counts() {
        let common = Common::parse(COMMON).unwrap();
        assert_eq!((common.preferred, common.pieces), (2, 306));
        assert!((common.unchoking - 5.0).abs() < 1e-9 && (common.optimistic - 15.0).abs() < 1e-9);
        for (setting, says) in [
            ("PieceSize 32768", "no line PieceSize"),
            ("UnchokingInterval 5", "no line UnchokingInterval"),
        ] {
            let error = Common::parse(&COMMON.replacen(setting, "", 1)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        for bad in ["0", "-1", "x", "1e9", ""] {
            let text = COMMON.replace("PieceSize 32768", &format!("PieceSize {bad}"));
            let error = Common::parse(&text).unwrap_err().to_string();
            assert!(error.contains("PieceSize: a whole number"), "{error}");
        }
    }

    #[test]
    fn a_peer_is_a_line_of_four_words() {
        let peers = parse_peers("1001 a 6001 1\n1002  b 6001 0\n\n").unwrap();
        assert_eq!(peers[0], PeerInfo { id: 1001, has_file: true });
        assert_eq!(peers[1], PeerInfo { id: 1002, has_file: false });
        for (text, says) in [
            ("1001 a 6001", "line 1"),
            ("1001 a 6001 2", "line 1"),
            ("x a 6001 1", "line 1"),
            ("1001 a 6001 1\n1001 b 6001 0", "line 2: peer 1001 for the second time"),
            ("", "no peer"),
        ] {
            let error = parse_peers(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
