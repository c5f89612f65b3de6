//! The swarm of a student's capture: a seed, peers with different upload rates, one that comes late.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use common::bitfield::Bitfield;
use common::id::PeerId;
use fastrand::Rng;
use peer::demo::alphanumeric;
use peer::sim::{Conduct, HostId, Link, Participant, Settings, World};

use super::journal::Journal;
use crate::torrent::Torrent;

/// Peers beside the seed, which is host 0. Each begins with nothing.
pub(super) const PEERS: u8 = 6;

/// The peer that comes when the others have traded for a while.
pub(super) const LATE: HostId = HostId(PEERS as u32);

/// A run, with what is needed to turn it into packets.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) torrent: Torrent,
    pub(super) journal: Journal,
    pub(super) peers: Vec<Peer>,
    /// The peer that announces itself over UDP (BEP 15); the others use HTTP.
    pub(super) over_udp: HostId,
}

/// What a capture shows of a peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) id: PeerId,
    pub(super) link: Link,
    /// Identifies it to the tracker (BEP 7).
    pub(super) announce_key: u32,
}

impl Run {
    pub(super) fn peer(&self, host: HostId) -> Peer {
        self.peers[host.0 as usize]
    }

    /// From one peer to another.
    pub(super) fn delay(&self, [from, to]: [HostId; 2]) -> Duration {
        self.peer(from).link.delay + self.peer(to).link.delay
    }
}

/// Bytes of a chunk: two blocks. The book's 256 KiB would leave a file for a short capture with three
/// chunks, and then there is little to choose.
const CHUNK_SIZE: u32 = 32 * 1024;

/// So few that some neighbor is always choked: with the book's four and one more, seven peers would
/// mostly serve all.
const SLOTS: usize = 2;

/// Bytes a second of the slowest and the fastest upload. At such rates TCP's slow start, which the
/// simulator leaves out, would hold back nothing: in a round trip of 80 ms the fastest sends two
/// segments, and a connection begins with a window of ten (RFC 6928).
const UPLOAD: [u64; 2] = [7_000, 21_000];

/// Bytes a second that a peer can receive: more than all others together send.
const DOWNLOAD: u64 = 2_000_000;

/// Runs the swarm until all have everything and have left. One of the peers, but not this one and not
/// the late one, announces itself over UDP.
pub(super) fn run(rng: &mut Rng, over_http: HostId) -> Run {
    let chunks = rng.usize(16..=20);
    let last_chunk = rng.usize(1..CHUNK_SIZE as usize / 1000) * 1000 + rng.usize(1..1000);
    let length = (chunks - 1) * CHUNK_SIZE as usize + last_chunk;
    let torrent = Torrent::new(rng, length, CHUNK_SIZE);
    let geometry = torrent.geometry;
    let announce_interval = Duration::from_secs(rng.u64(20..=40));
    let settings = Settings { geometry, announce_interval };
    let mut world = World::<Journal>::new(settings, rng.u64(..));

    // The rates are apart from each other, so that it is clear which peer is faster.
    let [slowest, fastest] = UPLOAD;
    let mut rates: Vec<u64> = (0..u64::from(PEERS))
        .map(|step| slowest + (fastest - slowest) * step / u64::from(PEERS - 1))
        .collect();
    rng.shuffle(&mut rates);
    rates.insert(0, fastest);

    let mut peers = Vec::new();
    for (number, up) in (0..).zip(rates) {
        let name = if number == 0 { "seed".to_owned() } else { format!("peer-{number}") };
        let id = peer_id(&name, rng);
        let delay = Duration::from_micros(rng.u64(5_000..=20_000));
        let link = Link { up, down: DOWNLOAD, delay };
        peers.push(Peer { id, link, announce_key: rng.u32(..) });
        let pieces = geometry.piece_count();
        let have = if number == 0 { Bitfield::full(pieces) } else { Bitfield::empty(pieces) };
        let arrives_at = match number {
            0 => Duration::ZERO,
            _ if HostId(number) == LATE => Duration::from_millis(rng.u64(14_000..20_000)),
            _ => Duration::from_millis(rng.u64(500..6_000)),
        };
        let mut config = world.config();
        config.peer_id = id;
        config.slots = SLOTS;
        let conduct = Conduct::Honest;
        let host = world.add_peer(Participant { config, link, have, arrives_at, conduct });
        if number > 0 {
            world.leave_after_completion(host, Duration::from_millis(rng.u64(3_000..9_000)));
        }
    }
    let complete = world.run_until(World::all_complete, LONGEST);
    assert!(complete, "a swarm with a seed completes");
    // Until the last peer has left; then the seed leaves as well.
    world.run_for(Duration::from_secs(10));
    world.leave(HostId(0));
    world.run_for(Duration::from_secs(1));
    let candidates: Vec<_> = (1..LATE.0).map(HostId).filter(|&host| host != over_http).collect();
    let over_udp = *rng.choice(&candidates).expect("there are more than two peers");
    Run { torrent, journal: world.observer, peers, over_udp }
}

/// Far more than any of these swarms takes.
const LONGEST: Duration = Duration::from_secs(3600);

/// It begins with the name, so that the capture shows whose it is.
fn peer_id(name: &str, rng: &mut Rng) -> PeerId {
    let mut random = std::array::from_fn(|_| alphanumeric(rng));
    random[..name.len()].copy_from_slice(name.as_bytes());
    random[name.len()] = b'-';
    PeerId::from_random(random)
}

/// The peer with this address in the simulator, which counts them up from 10.0.0.0.
pub(super) fn host_at(address: SocketAddr) -> HostId {
    match address.ip() {
        IpAddr::V4(ip) => HostId(u32::from(ip.octets()[3])),
        IpAddr::V6(_) => unreachable!("the simulator's network has IPv4"),
    }
}
