//! Announce and scrape as packets (BEP 15): connect first, then ask with the id that it returns.
//!
//! The lengths of BEP 15 are minima: what follows the known fields, such as the options of BEP 41,
//! is ignored. Reading allocates no more than a small multiple of the packet.

use super::{
    AnnounceRequest, AnnounceResponse, Event, Family, ScrapeEntry, clamp_interval, read_compact,
    readable, write_compact,
};
use crate::id::{InfoHash, PeerId};

/// Most torrents in one scrape (BEP 15: "up to about 74", what fits an Ethernet frame).
pub const MAX_SCRAPE: usize = 74;

/// What a peer sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Asks for a connection id, which proves that answers reach the sender.
    Connect {
        /// Chosen by the peer; the answer repeats it.
        transaction_id: u32,
    },
    /// Reports and asks for peers.
    Announce {
        /// From [`Response::Connect`].
        connection_id: u64,
        /// Chosen by the peer; the answer repeats it.
        transaction_id: u32,
        /// The report; the `tracker_id` does not travel.
        announce: AnnounceRequest,
    },
    /// Asks for the counts of swarms.
    Scrape {
        /// From [`Response::Connect`].
        connection_id: u64,
        /// Chosen by the peer; the answer repeats it.
        transaction_id: u32,
        /// Which swarms: 1 to [`MAX_SCRAPE`].
        info_hashes: Vec<InfoHash>,
    },
}

/// What a tracker answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// The id for the peer's next requests; it may use it for 60 s.
    Connect {
        /// As in the request.
        transaction_id: u32,
        /// Opaque to the peer.
        connection_id: u64,
    },
    /// The answer to an announce; only its interval, its two counts and the peers travel.
    Announce {
        /// As in the request.
        transaction_id: u32,
        /// The answer.
        response: AnnounceResponse,
    },
    /// An entry for each info-hash asked for, in that order.
    Scrape {
        /// As in the request.
        transaction_id: u32,
        /// The numbers.
        entries: Vec<ScrapeEntry>,
    },
    /// The request failed.
    Error {
        /// As in the request.
        transaction_id: u32,
        /// Why, for people.
        message: String,
    },
}

/// A packet that is no request or no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// It ends within a field.
    #[error("the packet is too short")]
    Short,
    /// A first packet without the number that BEP 15 begins with.
    #[error("a connect request without the protocol's magic number")]
    Magic,
    /// None of connect, announce, scrape and (in a response) error.
    #[error("action {0} does not exist")]
    Action(u32),
    /// None of the four that exist.
    #[error("event {0} does not exist")]
    Event(u32),
    /// Port 0.
    #[error("port 0 cannot be connected to")]
    Port,
    /// None or more than [`MAX_SCRAPE`].
    #[error("a scrape asks for 1 to {MAX_SCRAPE} torrents, not {0}")]
    ScrapeCount(usize),
}

const MAGIC: u64 = 0x0417_2710_1980; // BEP 15
const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const SCRAPE: u32 = 2;
const ERROR: u32 = 3;

/// What an announce may report, in the order of the numbers that stand for it.
const EVENTS: [Option<Event>; 4] =
    [None, Some(Event::Completed), Some(Event::Started), Some(Event::Stopped)];

impl Request {
    /// Reads what a tracker receives.
    pub fn decode(packet: &[u8]) -> Result<Self, PacketError> {
        let mut fields = Fields(packet);
        let connection_id = fields.u64()?;
        let action = fields.u32()?;
        let transaction_id = fields.u32()?;
        match action {
            CONNECT if connection_id == MAGIC => Ok(Self::Connect { transaction_id }),
            CONNECT => Err(PacketError::Magic),
            ANNOUNCE => {
                let announce = decode_announce(&mut fields)?;
                Ok(Self::Announce { connection_id, transaction_id, announce })
            }
            SCRAPE => {
                let hashes = fields.0.as_chunks().0;
                if !(1..=MAX_SCRAPE).contains(&hashes.len()) {
                    return Err(PacketError::ScrapeCount(hashes.len()));
                }
                let info_hashes = hashes.iter().copied().map(InfoHash).collect();
                Ok(Self::Scrape { connection_id, transaction_id, info_hashes })
            }
            other => Err(PacketError::Action(other)),
        }
    }

    /// Writes what a peer sends.
    pub fn encode(&self) -> Vec<u8> {
        let (connection_id, action, transaction_id, body) = match self {
            Self::Connect { transaction_id } => (&MAGIC, CONNECT, transaction_id, Vec::new()),
            Self::Announce { connection_id, transaction_id, announce } => {
                (connection_id, ANNOUNCE, transaction_id, encode_announce(announce))
            }
            Self::Scrape { connection_id, transaction_id, info_hashes } => {
                let hashes = info_hashes.iter().flat_map(|hash| hash.0).collect();
                (connection_id, SCRAPE, transaction_id, hashes)
            }
        };
        let head = [action, *transaction_id].map(u32::to_be_bytes);
        [&connection_id.to_be_bytes()[..], head.as_flattened(), &body].concat()
    }
}

fn decode_announce(fields: &mut Fields<'_>) -> Result<AnnounceRequest, PacketError> {
    // In the order of the packet.
    Ok(AnnounceRequest {
        info_hash: InfoHash(fields.array()?),
        peer_id: PeerId(fields.array()?),
        downloaded: fields.u64()?,
        left: fields.u64()?,
        uploaded: fields.u64()?,
        event: fields.event()?,
        key: {
            // The address that a peer claims is ignored: it could name a victim.
            let _address = fields.u32()?;
            fields.u32()?
        },
        // BEP 15: a signed number, -1 for the default.
        num_want: Some(fields.u32()?).filter(|&n| i32::try_from(n).is_ok()),
        port: Some(fields.u16()?).filter(|&port| port != 0).ok_or(PacketError::Port)?,
        tracker_id: None,
    })
}

fn encode_announce(announce: &AnnounceRequest) -> Vec<u8> {
    let event = (0_u32..).zip(EVENTS).find(|(_, event)| *event == announce.event);
    let (event, _) = event.expect("each event has a number");
    let num_want = announce.num_want.map_or(-1, |n| i32::try_from(n).unwrap_or(i32::MAX));
    let lengths = [announce.downloaded, announce.left, announce.uploaded].map(u64::to_be_bytes);
    // 0 stands for the address that the packet comes from.
    let numbers = [event, 0, announce.key, num_want.cast_unsigned()].map(u32::to_be_bytes);
    [
        &announce.info_hash.0[..],
        &announce.peer_id.0,
        lengths.as_flattened(),
        numbers.as_flattened(),
        &announce.port.to_be_bytes(),
    ]
    .concat()
}

impl Response {
    /// Reads what a peer receives in a packet of this family. Addresses that can be no peer, and a
    /// tail too short for an entry, are left out.
    pub fn decode(packet: &[u8], family: Family) -> Result<Self, PacketError> {
        let mut fields = Fields(packet);
        let action = fields.u32()?;
        let transaction_id = fields.u32()?;
        match action {
            CONNECT => Ok(Self::Connect { transaction_id, connection_id: fields.u64()? }),
            ANNOUNCE => {
                let response = AnnounceResponse {
                    interval: clamp_interval(i64::from(fields.u32()?.cast_signed())),
                    leechers: Some(fields.u32()?),
                    seeders: Some(fields.u32()?),
                    peers: read_compact(fields.0, family),
                    ..AnnounceResponse::default()
                };
                Ok(Self::Announce { transaction_id, response })
            }
            SCRAPE => {
                let entries = fields.0.as_chunks().0.as_chunks().0.iter().take(MAX_SCRAPE);
                let entries = entries.map(|entry| {
                    let [seeders, completed, leechers] = entry.map(u32::from_be_bytes);
                    ScrapeEntry { seeders, completed, leechers }
                });
                Ok(Self::Scrape { transaction_id, entries: entries.collect() })
            }
            ERROR => Ok(Self::Error { transaction_id, message: readable(fields.0) }),
            other => Err(PacketError::Action(other)),
        }
    }

    /// Writes what a tracker sends in a packet of this family; peers of the other are left out.
    pub fn encode(&self, family: Family) -> Vec<u8> {
        let (action, body) = match self {
            Self::Connect { connection_id, .. } => (CONNECT, connection_id.to_be_bytes().to_vec()),
            Self::Announce { response, .. } => {
                let AnnounceResponse { interval, leechers, seeders, peers, .. } = response;
                let numbers = [*interval, leechers.unwrap_or(0), seeders.unwrap_or(0)];
                let peers = write_compact(peers, family);
                (ANNOUNCE, [numbers.map(u32::to_be_bytes).as_flattened(), &peers].concat())
            }
            Self::Scrape { entries, .. } => {
                let numbers = entries.iter().flat_map(|e| [e.seeders, e.completed, e.leechers]);
                (SCRAPE, numbers.flat_map(u32::to_be_bytes).collect())
            }
            Self::Error { message, .. } => (ERROR, message.clone().into_bytes()),
        };
        let head = [action, self.transaction_id()].map(u32::to_be_bytes);
        [head.as_flattened(), &body].concat()
    }

    /// The number by which a peer knows which of its requests this answers.
    pub fn transaction_id(&self) -> u32 {
        match self {
            Self::Connect { transaction_id, .. }
            | Self::Announce { transaction_id, .. }
            | Self::Scrape { transaction_id, .. }
            | Self::Error { transaction_id, .. } => *transaction_id,
        }
    }
}

/// What is left to read of a packet.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], PacketError> {
        let (field, rest) = self.0.split_first_chunk().ok_or(PacketError::Short)?;
        self.0 = rest;
        Ok(*field)
    }

    fn event(&mut self) -> Result<Option<Event>, PacketError> {
        let number = self.u32()?;
        EVENTS.get(number as usize).copied().ok_or(PacketError::Event(number))
    }

    fn u16(&mut self) -> Result<u16, PacketError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, PacketError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, PacketError> {
        self.array().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::announce::samples::{bytes, info_hash, request, requests, response};

    const TRANSACTION: u32 = 0x1234_5678;
    const CONNECTION: u64 = 0x0123_4567_89ab_cdef;

    #[test]
    fn requests_have_the_bytes_of_bep_15() {
        let connect = Request::Connect { transaction_id: TRANSACTION };
        let announce = Request::Announce {
            connection_id: CONNECTION,
            transaction_id: TRANSACTION,
            announce: request(),
        };
        let scrape = Request::Scrape {
            connection_id: CONNECTION,
            transaction_id: TRANSACTION,
            info_hashes: vec![info_hash()],
        };
        for (request, hex) in [
            (connect, "00000417271019800000000012345678"),
            (
                announce,
                "0123456789abcdef0000000112345678d69f91e6b2ae4c542468d1073a71d4ea13879a7f\
                 2d4b52303030312d6162636465666768696a6b6c0000000000000000000000000001679f\
                 00000000000000000000000200000000deadbeefffffffff1ae1",
            ),
            (scrape, "0123456789abcdef0000000212345678d69f91e6b2ae4c542468d1073a71d4ea13879a7f"),
        ] {
            assert_eq!(request.encode(), bytes(hex), "{request:?}");
            assert_eq!(Request::decode(&bytes(hex)), Ok(request));
        }
    }

    #[test]
    fn responses_have_the_bytes_of_bep_15() {
        let transaction_id = TRANSACTION;
        let peers = response(&["127.0.0.1:6881", "10.0.0.2:51413"]);
        let entry = ScrapeEntry { seeders: 7, completed: 42, leechers: 3 };
        for (response, hex) in [
            (
                Response::Connect { transaction_id, connection_id: CONNECTION },
                "00000000123456780123456789abcdef",
            ),
            (
                Response::Announce { transaction_id, response: peers },
                "00000001123456780000070800000001000000027f0000011ae10a000002c8d5",
            ),
            (
                Response::Scrape { transaction_id, entries: vec![entry] },
                "0000000212345678000000070000002a00000003",
            ),
            (
                Response::Error { transaction_id, message: "bad connection id".into() },
                "000000031234567862616420636f6e6e656374696f6e206964",
            ),
        ] {
            assert_eq!(response.encode(Family::V4), bytes(hex), "{response:?}");
            assert_eq!(response.transaction_id(), TRANSACTION);
            assert_eq!(Response::decode(&bytes(hex), Family::V4), Ok(response));
        }
    }

    #[test]
    fn a_packet_lists_peers_of_its_own_family_only() {
        let response = response(&["127.0.0.1:6881", "[2001:db8::1]:6881"]);
        let packet = Response::Announce { transaction_id: 0, response }.encode(Family::V6);
        assert_eq!(packet[20..], bytes("20010db80000000000000000000000011ae1"));
    }

    #[test]
    fn a_request_cut_short_is_refused_and_a_longer_one_is_read() {
        let announce = request();
        let request = Request::Announce { connection_id: CONNECTION, transaction_id: 1, announce };
        let mut packet = request.encode();
        for length in 0..packet.len() {
            assert_eq!(Request::decode(&packet[..length]), Err(PacketError::Short), "{length}");
        }
        packet.extend(b"\x02\x09/announce\x00"); // BEP 41: URL data
        assert_eq!(Request::decode(&packet), Ok(request));
    }

    #[test]
    fn requests_out_of_bounds_are_refused() {
        let mut packet = Request::Connect { transaction_id: 1 }.encode();
        packet[0] = 1;
        assert_eq!(Request::decode(&packet), Err(PacketError::Magic));
        packet[11] = 4;
        assert_eq!(Request::decode(&packet), Err(PacketError::Action(4)));

        let announce = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut packet =
                Request::Announce { connection_id: 1, transaction_id: 1, announce: request() }
                    .encode();
            change(&mut packet);
            Request::decode(&packet)
        };
        assert_eq!(announce(&|packet| packet[83] = 4), Err(PacketError::Event(4)));
        assert_eq!(announce(&|packet| packet[96..].fill(0)), Err(PacketError::Port));

        for count in [0, 75] {
            let info_hashes = vec![InfoHash([0; 20]); count];
            let scrape = Request::Scrape { connection_id: 1, transaction_id: 1, info_hashes };
            assert_eq!(Request::decode(&scrape.encode()), Err(PacketError::ScrapeCount(count)));
        }
    }

    #[test]
    fn a_hostile_answer_is_made_harmless() {
        // An interval of -1 s; then port 0, multicast, broadcast, unspecified, a peer, half a peer.
        let packet = bytes(
            "0000000112345678ffffffff0000000000000000\
             7f0000010000e00000011ae1ffffffff1ae1000000001ae10a000002c8d57f0000",
        );
        let Ok(Response::Announce { response, .. }) = Response::decode(&packet, Family::V4) else {
            panic!("an announce response");
        };
        assert_eq!(response.interval, 1);
        assert_eq!(response.peers, ["10.0.0.2:51413".parse().unwrap()]);

        let escape = Response::Error { transaction_id: 0, message: "no\x1b[31m".into() };
        let Ok(Response::Error { message, .. }) =
            Response::decode(&escape.encode(Family::V4), Family::V4)
        else {
            panic!("an error");
        };
        assert_eq!(message, "no [31m");
    }

    proptest! {
        #[test]
        fn an_announce_reads_back_as_written(
            connection_id: u64, transaction_id: u32, announce in requests(),
        ) {
            let request = Request::Announce { connection_id, transaction_id, announce };
            prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
        }

        #[test]
        fn a_scrape_reads_back_as_written(
            connection_id: u64,
            transaction_id: u32,
            hashes in prop::collection::vec(any::<[u8; 20]>(), 1..=MAX_SCRAPE),
            counts in prop::collection::vec(any::<[u32; 3]>(), 0..=MAX_SCRAPE),
        ) {
            let info_hashes = hashes.into_iter().map(InfoHash).collect();
            let request = Request::Scrape { connection_id, transaction_id, info_hashes };
            prop_assert_eq!(Request::decode(&request.encode()), Ok(request));
            let entries = counts
                .into_iter()
                .map(|[seeders, completed, leechers]| ScrapeEntry { seeders, completed, leechers })
                .collect();
            let response = Response::Scrape { transaction_id, entries };
            prop_assert_eq!(Response::decode(&response.encode(Family::V4), Family::V4), Ok(response));
        }

        #[test]
        fn no_packet_panics(packet in prop::collection::vec(any::<u8>(), 0..200), action in 0_u8..5) {
            let _ = Request::decode(&packet);
            let _ = Response::decode(&packet, Family::V4);
            // Random bytes rarely hold an action: put one where each side looks for it.
            let mut packet = packet;
            if let Some(start) = packet.get_mut(..12) {
                start[..4].copy_from_slice(&[0, 0, 0, action]);
                start[8..].copy_from_slice(&[0, 0, 0, action]);
            }
            let _ = Request::decode(&packet);
            let _ = Response::decode(&packet, Family::V6);
        }
    }
}
