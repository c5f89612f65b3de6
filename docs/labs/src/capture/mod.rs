//! `labs capture`: what a small swarm of the simulator sends, as packets in a file for Wireshark.
//!
//! The simulator decides which peer sends which message at which time, and how long a block occupies
//! the uplink. Here each message becomes bytes (with the codecs of `common`), the bytes become TCP
//! segments, and these become IPv4 packets. The file looks as if each host had captured the packets
//! that it sends and the captures had been merged: it has every packet once, with the time at which it
//! was sent. All random choices derive from the student's ID, so the same ID gives the same bytes.
//!
//! | File | Its part |
//! |---|---|
//! | `swarm.rs` | the swarm of a student, and its run |
//! | `journal.rs` | what the simulator reports about the run: connections, messages, announces |
//! | `peer_wire.rs` | the connections between peers: their bytes, and when these are sent and arrive |
//! | `announces.rs` | announces to the tracker and its answers, over HTTP and UDP |
//! | `tcp.rs` | a TCP connection: segments, acknowledgments, the end |
//! | `packet.rs` | IPv4 packets with TCP and UDP |
//! | `file.rs` | the pcapng file |
//! | `dissect.rs` | from the packets back to messages, as Wireshark shows them |

mod announces;
pub(crate) mod dissect;
mod file;
mod journal;
mod packet;
mod peer_wire;
mod swarm;
mod tcp;

use std::fs;
use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use common::moment::Moment;
use fastrand::Rng;
use peer::sim::HostId;

use crate::options;
use crate::seed::{bytes, seed};
use crate::torrent::Torrent;
use swarm::{LATE, PEERS};

/// The packets of a swarm, in the order of their times.
#[derive(Debug)]
pub(crate) struct Capture {
    packets: Vec<Packet>,
    /// What the peers exchange.
    torrent: Torrent,
}

/// A packet as it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Packet {
    at: Moment,
    /// Where it was captured: [`Host::interface`] of its sender.
    interface: u32,
    /// From the IPv4 header on.
    bytes: Vec<u8>,
}

/// The peers that the student is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subjects {
    /// One that announces itself over HTTP.
    pub(crate) a: Ipv4Addr,
    /// Another one that does not come late.
    pub(crate) b: Ipv4Addr,
    pub(crate) seed: Ipv4Addr,
    /// The one that comes when the others have traded for a while.
    pub(crate) late: Ipv4Addr,
}

impl Subjects {
    /// Each from one byte of a hash of the ID, as in the starter.
    pub(crate) fn of(student: &str) -> Self {
        let [a, b] = ab(student);
        let address = |host| Host::Peer(host).address();
        Self { a: address(a), b: address(b), seed: address(HostId(0)), late: address(LATE) }
    }
}

/// A and B.
fn ab(student: &str) -> [HostId; 2] {
    let byte = bytes(&format!("on-the-wire {student}"));
    // The last peer is the late one.
    let others = PEERS - 1;
    let a = byte[0] % others;
    let b = (a + 1 + byte[1] % (others - 1)) % others;
    [a, b].map(|place| HostId(u32::from(place) + 1))
}

/// A host of the swarm's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Host {
    Tracker,
    Peer(HostId),
}

/// Where the tracker listens; the usual port of trackers.
const TRACKER_PORT: u16 = 6969;

impl Host {
    /// In a private network (RFC 1918): 10.0.0.1 is the tracker, 10.0.0.10 the seed, 10.0.0.11 peer-1.
    fn address(self) -> Ipv4Addr {
        let last = match self {
            Self::Tracker => 1,
            Self::Peer(HostId(number)) => 10 + u8::try_from(number).expect("a small swarm"),
        };
        Ipv4Addr::new(10, 0, 0, last)
    }

    /// Its number in the file: the tracker first.
    fn interface(self) -> u32 {
        match self {
            Self::Tracker => 0,
            Self::Peer(HostId(number)) => 1 + number,
        }
    }
}

impl Capture {
    /// The capture of the student with this ID.
    pub(crate) fn of_student(id: &str) -> Self {
        let mut rng = Rng::with_seed(seed(id, "capture"));
        let [a, _] = ab(id);
        let run = swarm::run(&mut rng, a);
        let mut sender = packet::Sender::default();
        let mut packets = announces::packets(&run, &mut sender, &mut rng);
        packets.extend(peer_wire::packets(&run, &mut sender, &mut rng));
        // Packets of one connection that are sent at the same time stay in their order.
        packets.sort_by_key(|packet| packet.at);
        Self { packets, torrent: run.torrent }
    }
}

/// Writes the file.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write(options: &options::Capture) -> Result<()> {
    let bytes = file::encode(&Capture::of_student(&options.student))?;
    let file = &options.output;
    fs::write(file, bytes).with_context(|| format!("write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use common::wire::Message;

    use super::dissect::{Said, dissect};
    use super::*;

    /// Enough of them that all that can happen to a connection does.
    fn captures() -> impl Iterator<Item = Capture> {
        (0..20).map(|number| Capture::of_student(&format!("student-{number}")))
    }

    #[test]
    fn the_same_id_gives_the_same_bytes_and_another_one_other_bytes() {
        let bytes = |id| file::encode(&Capture::of_student(id)).unwrap();
        assert_eq!(bytes("alice"), bytes("alice"));
        assert_ne!(bytes("alice"), bytes("bob"));
    }

    #[test]
    fn a_capture_is_small_and_in_order() {
        for capture in captures() {
            let length = file::encode(&capture).unwrap().len();
            assert!((1_000_000..6_000_000).contains(&length), "{length}");
            assert!(capture.packets.is_sorted_by_key(|packet| packet.at));
            assert!(capture.packets.iter().all(|packet| packet.bytes.len() <= 1500));
        }
    }

    #[test]
    fn every_peer_receives_every_block_and_tells_the_tracker_so() {
        for capture in captures() {
            let geometry = capture.torrent.geometry;
            let blocks: BTreeSet<_> =
                geometry.pieces().flat_map(|piece| geometry.blocks(piece)).collect();
            let seen = dissect(&capture);
            let mut received: BTreeMap<Ipv4Addr, BTreeSet<_>> = BTreeMap::new();
            for heard in &seen.messages {
                if let Said::Message(Message::Piece(block)) = heard.said {
                    received.entry(heard.to).or_default().insert(block);
                }
            }
            assert_eq!(received.len(), usize::from(PEERS));
            assert!(received.values().all(|received| *received == blocks));
            let last = |peer: Ipv4Addr| {
                let mut announces = seen.announces.iter().filter(|announced| announced.by == peer);
                announces.next_back().expect("an announce").request.left
            };
            assert!(received.keys().all(|&peer| last(peer) == 0));
        }
    }

    #[test]
    fn a_segment_acknowledges_what_was_sent_to_it_and_the_next_byte_follows_the_last() {
        for capture in captures() {
            // For each direction, the number of the next byte.
            let mut next: BTreeMap<[(Ipv4Addr, u16); 2], u32> = BTreeMap::new();
            for Packet { bytes, .. } in &capture.packets {
                let packet = etherparse::SlicedPacket::from_ip(bytes).unwrap();
                let Some(etherparse::NetSlice::Ipv4(ip)) = &packet.net else { panic!("IPv4") };
                let Some(etherparse::TransportSlice::Tcp(tcp)) = &packet.transport else {
                    continue;
                };
                let from = (ip.header().source_addr(), tcp.source_port());
                let to = (ip.header().destination_addr(), tcp.destination_port());
                let length = u32::try_from(tcp.payload().len()).unwrap();
                let length = length + u32::from(tcp.syn()) + u32::from(tcp.fin());
                let sequence = tcp.sequence_number();
                let expected = *next.get(&[from, to]).unwrap_or(&sequence);
                assert!(sequence == expected || tcp.rst(), "{from:?} {to:?}");
                next.insert([from, to], sequence.wrapping_add(length));
                if tcp.ack() {
                    let sent = next[&[to, from]];
                    let in_flight = sent.wrapping_sub(tcp.acknowledgment_number());
                    assert!(in_flight < 64_000, "{from:?} {to:?}: {in_flight}");
                }
            }
        }
    }
}
