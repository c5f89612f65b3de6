//! The values that a peer and a tracker exchange, independent of the encoding.
//!
//! [`http`] is their form in a query and a bencoded answer (BEP 3, 7, 23, 48), [`udp`] their form
//! in packets (BEP 15).

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::id::{InfoHash, PeerId};

pub mod http;
pub mod udp;

/// Why a peer announces, if not merely because the interval has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// The first announce of a run.
    Started,
    /// The last piece has just been verified; not sent by a peer that started with all of them.
    Completed,
    /// The peer leaves.
    Stopped,
}

impl Event {
    const ALL: [Self; 3] = [Self::Started, Self::Completed, Self::Stopped];

    /// Its value in a query.
    pub fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Completed => "completed",
            Self::Stopped => "stopped",
        }
    }
}

/// What a peer reports about itself in one torrent, and its request for other peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnounceRequest {
    /// The swarm.
    pub info_hash: InfoHash,
    /// The peer's id.
    pub peer_id: PeerId,
    /// The TCP port on which it accepts peers, not 0.
    pub port: u16,
    /// Bytes of content sent to peers since it started.
    pub uploaded: u64,
    /// Bytes of content received from peers since it started.
    pub downloaded: u64,
    /// Bytes that it still lacks; 0 makes it a seed.
    pub left: u64,
    /// Absent in the regular announces.
    pub event: Option<Event>,
    /// How many peers it would like; `None` leaves that to the tracker.
    pub num_want: Option<u32>,
    /// Random, the same for the whole run: identifies the peer after a change of address (BEP 7).
    pub key: u32,
    /// What the tracker last gave as [`AnnounceResponse::tracker_id`]; travels over HTTP only.
    pub tracker_id: Option<Vec<u8>>,
}

/// What the tracker answers to an announce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnnounceResponse {
    /// Seconds until the next regular announce, between 1 and [`MAX_INTERVAL`].
    pub interval: u32,
    /// Seconds before which no announce is welcome.
    pub min_interval: Option<u32>,
    /// Peers with the whole content.
    pub seeders: Option<u32>,
    /// Peers that still lack some.
    pub leechers: Option<u32>,
    /// The addresses of other peers.
    pub peers: Vec<SocketAddr>,
    /// A message for the user; the rest of the answer is valid all the same.
    pub warning: Option<String>,
    /// To be sent back in the next announce; travels over HTTP only.
    pub tracker_id: Option<Vec<u8>>,
}

/// The counts of a swarm (BEP 48).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrapeEntry {
    /// Peers with the whole content.
    pub seeders: u32,
    /// How often a peer has reported that it became a seed.
    pub completed: u32,
    /// Peers that still lack some.
    pub leechers: u32,
}

/// Which kind of addresses a compact list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Entries of 6 bytes: 4 of the address, 2 of the port.
    V4,
    /// Entries of 18 bytes: 16 of the address, 2 of the port.
    V6,
}

impl Family {
    /// The family of this address.
    pub fn of(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(_) => Self::V4,
            SocketAddr::V6(_) => Self::V6,
        }
    }
}

/// Longest interval taken from a tracker, in seconds: a week. What is longer is shortened to it.
pub const MAX_INTERVAL: u32 = 7 * 86_400;

/// Most peers taken from one answer, to bound its memory. Trackers send 200 at most.
pub const MAX_PEERS: usize = 2_000;

/// Whether it makes sense to connect to this address, which came from a stranger.
///
/// Port 0, the unspecified address, multicast and broadcast are no peers.
pub fn is_dialable(address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

/// The interval that a tracker sent, within bounds: it cannot make us announce without pause.
fn clamp_interval(seconds: i64) -> u32 {
    let seconds = seconds.clamp(1, i64::from(MAX_INTERVAL));
    u32::try_from(seconds).expect("at most MAX_INTERVAL")
}

/// A server's text for the user's terminal: no control characters, and not endless.
pub fn readable(text: &[u8]) -> String {
    const MAX_CHARS: usize = 500;
    let text = String::from_utf8_lossy(text);
    text.chars().take(MAX_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Reads a compact list (BEP 23, 7). A tail too short for an entry is ignored, and so is what can
/// be no peer.
fn read_compact(list: &[u8], family: Family) -> Vec<SocketAddr> {
    let length = match family {
        Family::V4 => 6,
        Family::V6 => 18,
    };
    let peers = list.chunks_exact(length).filter_map(|entry| {
        let (ip, &port) = entry.split_last_chunk()?;
        let ip = match family {
            Family::V4 => IpAddr::from(<[u8; 4]>::try_from(ip).ok()?),
            Family::V6 => IpAddr::from(<[u8; 16]>::try_from(ip).ok()?),
        };
        Some(SocketAddr::new(ip, u16::from_be_bytes(port)))
    });
    peers.filter(|&peer| is_dialable(peer)).take(MAX_PEERS).collect()
}

/// A compact list of the peers of this family; the others are left out.
fn write_compact(peers: &[SocketAddr], family: Family) -> Vec<u8> {
    let mut list = Vec::new();
    for peer in peers.iter().filter(|&&peer| Family::of(peer) == family) {
        match peer.ip() {
            IpAddr::V4(ip) => list.extend(ip.octets()),
            IpAddr::V6(ip) => list.extend(ip.octets()),
        }
        list.extend(peer.port().to_be_bytes());
    }
    list
}

/// What the tests of both forms use.
#[cfg(test)]
mod samples {
    use proptest::prelude::*;

    use super::*;

    pub(super) fn bytes(hex: &str) -> Vec<u8> {
        crate::hex::decode(hex).unwrap()
    }

    pub(super) fn info_hash() -> InfoHash {
        "d69f91e6b2ae4c542468d1073a71d4ea13879a7f".parse().unwrap()
    }

    pub(super) fn request() -> AnnounceRequest {
        AnnounceRequest {
            info_hash: info_hash(),
            peer_id: PeerId(*b"-KR0001-abcdefghijkl"),
            port: 6881,
            uploaded: 0,
            downloaded: 0,
            left: 92_063,
            event: Some(Event::Started),
            num_want: None,
            key: 0xdead_beef,
            tracker_id: None,
        }
    }

    pub(super) fn response(peers: &[&str]) -> AnnounceResponse {
        AnnounceResponse {
            interval: 1800,
            min_interval: None,
            seeders: Some(2),
            leechers: Some(1),
            peers: peers.iter().map(|peer| peer.parse().unwrap()).collect(),
            warning: None,
            tracker_id: None,
        }
    }

    prop_compose! {
        /// Any request that both forms can carry.
        pub(super) fn requests()(
            info_hash: [u8; 20],
            peer_id: [u8; 20],
            port in 1_u16..,
            [uploaded, downloaded, left] in any::<[u64; 3]>(),
            event in prop::sample::select(
                vec![None, Some(Event::Started), Some(Event::Completed), Some(Event::Stopped)],
            ),
            num_want in prop::option::of(0..1_u32 << 31),
            key: u32,
        ) -> AnnounceRequest {
            AnnounceRequest {
                info_hash: InfoHash(info_hash),
                peer_id: PeerId(peer_id),
                port,
                uploaded,
                downloaded,
                left,
                event,
                num_want,
                key,
                tracker_id: None,
            }
        }
    }
}
