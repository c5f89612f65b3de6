//! From a request to its answer, over HTTP and UDP; no socket and no clock.
//!
//! Over UDP a sender can forge its source address. So it first proves, by a connection id, that it
//! receives at that address; before that no answer is longer than its request, or the tracker would
//! amplify an attacker's traffic toward a victim.

use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::SyncSender;

use fastrand::Rng;
use log::debug;

use common::announce::http::{AnnounceQuery, encode_failure, encode_response, encode_scrape};
use common::announce::udp::{self, Response};
use common::announce::{AnnounceRequest, AnnounceResponse, Event, Family};
use common::id::InfoHash;
use common::moment::Moment;

use crate::catalog::Catalog;
use crate::connection_id::ConnectionIds;
use crate::http::{self, Request, RequestError};
use crate::notices::{self, MAX_PER_SECOND, Notices};
use crate::page::page;
use crate::swarms::{Announced, Change, Full, Swarms};

/// Most IPv6 peers in a packet: it fits the 1280 bytes that every IPv6 network carries whole.
const MAX_V6_PEERS_IN_PACKET: u32 = 67;

/// The state of a tracker, and its answers.
#[derive(Debug)]
pub struct Responder {
    swarms: Swarms,
    connection_ids: ConnectionIds,
    rng: Rng,
    catalog: Catalog,
    notices: Option<Notices>,
}

impl Responder {
    /// Answers from these swarms; `rng` draws the peers of an answer. `notices` gets a line for
    /// each peer that joins, completes or leaves, as far as it has room.
    pub fn new(swarms: Swarms, rng: Rng, notices: Option<SyncSender<String>>) -> Self {
        Self {
            swarms,
            connection_ids: ConnectionIds::default(),
            rng,
            catalog: Catalog::default(),
            notices: notices.map(Notices::new),
        }
    }

    /// Offers these files from now on, and takes the names of torrents from them.
    pub fn set_catalog(&mut self, catalog: Catalog) {
        self.catalog = catalog;
    }

    /// The whole HTTP response to a request that came from this address.
    pub fn http(
        &mut self,
        request: Result<Request, RequestError>,
        from: IpAddr,
        now: Moment,
    ) -> http::Response {
        match request {
            Ok(Request::Announce(AnnounceQuery { request, compact })) => {
                // BEP 7: a client that has both families can use both, whichever it asks over.
                let body = match self.announce(&request, from, &[Family::V4, Family::V6], now) {
                    Ok(response) => encode_response(&response, compact),
                    Err(full) => encode_failure(&full.to_string()),
                };
                text(http::OK, &body)
            }
            Ok(Request::Scrape(hashes)) => {
                // BEP 48: a torrent without a swarm is left out.
                let known = hashes.into_iter().filter_map(|h| Some((h, self.swarms.scrape(&h)?)));
                text(http::OK, &encode_scrape(&known.collect()))
            }
            Ok(Request::Home) => {
                let page = page(&self.swarms, &self.catalog);
                http::Response::new(http::OK, "text/html", page.as_bytes())
            }
            Ok(Request::Torrent(name)) => match self.catalog.files.get(&name) {
                Some(file) => {
                    debug!("{from}: gets {name:?}");
                    http::Response::torrent(file.bytes.clone())
                }
                None => refusal(&RequestError::NoSuchFile, from),
            },
            Err(error) => refusal(&error, from),
        }
    }

    /// The answer to a packet; `None` if the packet is invalid.
    pub fn udp(&mut self, packet: &[u8], from: SocketAddr, now: Moment) -> Option<Vec<u8>> {
        let ip = from.ip().to_canonical();
        let family = Family::of(from);
        let response = match udp::Request::decode(packet) {
            Err(error) => {
                debug!("{from}: {error}");
                return None;
            }
            Ok(udp::Request::Connect { transaction_id }) => {
                let connection_id = self.connection_ids.issue(ip, now);
                Response::Connect { transaction_id, connection_id }
            }
            Ok(
                udp::Request::Announce { connection_id, transaction_id, .. }
                | udp::Request::Scrape { connection_id, transaction_id, .. },
            ) if !self.connection_ids.is_valid(connection_id, ip, now) => {
                // Shorter than either request; a client with an expired id requests a new one.
                Response::Error { transaction_id, message: "bad connection id".into() }
            }
            Ok(udp::Request::Announce { transaction_id, mut announce, .. }) => {
                if family == Family::V6 {
                    announce.num_want = announce.num_want.map(|n| n.min(MAX_V6_PEERS_IN_PACKET));
                }
                match self.announce(&announce, ip, &[Family::of(SocketAddr::new(ip, 0))], now) {
                    Ok(response) => Response::Announce { transaction_id, response },
                    Err(full) => Response::Error { transaction_id, message: full.to_string() },
                }
            }
            Ok(udp::Request::Scrape { transaction_id, info_hashes, .. }) => {
                let entry = |hash| self.swarms.scrape(hash).unwrap_or_default();
                let entries = info_hashes.iter().map(entry).collect();
                Response::Scrape { transaction_id, entries }
            }
        };
        Some(response.encode(family))
    }

    /// Removes peers that have been silent for too long.
    pub fn expire(&mut self, now: Moment) {
        let mut removed = Vec::new();
        let mut omitted = 0;
        self.swarms.expire(now, |&info_hash, peer| {
            if removed.len() < MAX_PER_SECOND {
                removed.push((info_hash, peer));
            } else {
                omitted += 1;
            }
        });
        for (info_hash, peer) in removed {
            self.tell(&info_hash, peer, Change::FellSilent, now);
        }
        if let Some(notices) = &mut self.notices {
            notices.omit(omitted);
        }
    }

    /// Tells how many lines were left out, if it is time for that.
    pub fn flush_notices(&mut self, now: Moment) {
        if let Some(notices) = &mut self.notices {
            notices.flush(now);
        }
    }

    /// When [`Self::flush_notices`] has something to tell.
    pub fn next_timeout(&self) -> Option<Moment> {
        self.notices.as_ref().and_then(Notices::next_timeout)
    }

    fn announce(
        &mut self,
        request: &AnnounceRequest,
        from: IpAddr,
        families: &[Family],
        now: Moment,
    ) -> Result<AnnounceResponse, Full> {
        let AnnounceRequest { info_hash, port, left, event, .. } = request;
        let peer = SocketAddr::new(from, *port);
        match self.swarms.announce(from, request, families, now, &mut self.rng) {
            Ok(Announced { response, change }) => {
                let count = response.peers.len();
                let event = event.map_or("announce", Event::name);
                debug!("{peer}: {event} {info_hash}, {left} bytes left; gets {count} peers");
                if let Some(change) = change {
                    self.tell(info_hash, peer, change, now);
                }
                Ok(response)
            }
            Err(full) => {
                debug!("{peer}: {info_hash} refused: {full}");
                Err(full)
            }
        }
    }

    fn tell(&mut self, info_hash: &InfoHash, peer: SocketAddr, change: Change, now: Moment) {
        let Some(notices) = &mut self.notices else { return };
        let line = || {
            let swarm = self.swarms.scrape(info_hash).unwrap_or_default();
            let hash = info_hash.to_string();
            let name = self.catalog.name(info_hash).unwrap_or(&hash[..8]);
            notices::line(name, peer, change, swarm)
        };
        notices.tell(line, now);
    }
}

fn text(status: &str, body: &[u8]) -> http::Response {
    http::Response::new(status, "text/plain", body)
}

fn refusal(error: &RequestError, from: IpAddr) -> http::Response {
    debug!("{from}: {error}");
    let reason = error.to_string();
    match error {
        RequestError::Query(_) => text(error.status(), &encode_failure(&reason)),
        RequestError::NotFound
        | RequestError::NoSuchFile
        | RequestError::Method
        | RequestError::TooLong
        | RequestError::Tls
        | RequestError::Malformed(_) => text(error.status(), (reason + "\n").as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::time::Duration;

    use fastrand::Rng;
    use proptest::prelude::*;

    use common::announce::ScrapeEntry;
    use common::announce::http::decode_response;
    use common::announce::udp::MAX_SCRAPE;
    use common::id::{InfoHash, PeerId};

    use super::*;
    use crate::catalog::TorrentFile;
    use crate::swarms::Limits;

    const HASH: InfoHash = InfoHash(*b"hhhhhhhhhhhhhhhhhhhh");

    fn responder() -> Responder {
        let swarms = Swarms::new(Duration::from_secs(120), Limits::default());
        Responder::new(swarms, Rng::with_seed(1), None)
    }

    fn announce(port: u16, left: u64) -> AnnounceRequest {
        AnnounceRequest {
            info_hash: HASH,
            peer_id: PeerId([0; 20]),
            port,
            uploaded: 0,
            downloaded: 0,
            left,
            event: None,
            num_want: None,
            key: 0,
            tracker_id: None,
        }
    }

    /// Connects, sends the request, and returns the answer.
    fn ask(
        responder: &mut Responder,
        from: SocketAddr,
        now: Moment,
        request: impl FnOnce(u64) -> udp::Request,
    ) -> Response {
        let family = Family::of(from);
        let connect = udp::Request::Connect { transaction_id: 1 }.encode();
        let answer = responder.udp(&connect, from, now).unwrap();
        let Ok(Response::Connect { transaction_id: 1, connection_id }) =
            Response::decode(&answer, family)
        else {
            panic!("a connect response");
        };
        let answer = responder.udp(&request(connection_id).encode(), from, now).unwrap();
        let response = Response::decode(&answer, family).unwrap();
        assert_eq!(response.transaction_id(), 2);
        response
    }

    fn udp_announce(announce: AnnounceRequest) -> impl FnOnce(u64) -> udp::Request {
        |connection_id| udp::Request::Announce { connection_id, transaction_id: 2, announce }
    }

    /// The status line and the body.
    fn http(responder: &mut Responder, target: &str, now: Moment) -> (String, String) {
        let request = http::parse(format!("GET {target} HTTP/1.1\r\n\r\n").as_bytes());
        let response = responder.http(request.map(Option::unwrap), [10, 0, 0, 9].into(), now);
        let response = str::from_utf8(response.unsent(0)).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().into(), body.into())
    }

    #[test]
    fn peers_meet_whichever_protocol_they_use() {
        let now = Moment::START;
        let mut responder = responder();
        let seed = "10.0.0.1:4000".parse().unwrap();
        ask(&mut responder, seed, now, udp_announce(announce(6881, 0)));
        let query = Request::Announce(AnnounceQuery { request: announce(6882, 5), compact: true });
        let response = responder.http(Ok(query), [10, 0, 0, 2].into(), now);
        let response = response.unsent(0);
        let end_of_head = response.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        let body = decode_response(&response[end_of_head + 4..]);
        assert_eq!(body.unwrap().peers, ["10.0.0.1:6881".parse().unwrap()]);

        let answer = ask(&mut responder, seed, now, udp_announce(announce(6881, 0)));
        let Response::Announce { response, .. } = answer else { panic!("{answer:?}") };
        assert_eq!(response.peers, ["10.0.0.2:6882".parse().unwrap()]);
        assert_eq!((response.seeders, response.leechers), (Some(1), Some(1)));

        let answer = ask(&mut responder, seed, now, |connection_id| udp::Request::Scrape {
            connection_id,
            transaction_id: 2,
            info_hashes: vec![InfoHash([0; 20]), HASH],
        });
        let entry = ScrapeEntry { seeders: 1, completed: 0, leechers: 1 };
        let entries = vec![ScrapeEntry::default(), entry];
        assert_eq!(answer, Response::Scrape { transaction_id: 2, entries });
        assert_eq!(
            http(
                &mut responder,
                "/scrape?info_hash=hhhhhhhhhhhhhhhhhhhh&info_hash=00000000000000000000",
                now
            )
            .1,
            "d5:filesd20:hhhhhhhhhhhhhhhhhhhhd8:completei1e10:downloadedi0e10:incompletei1eeee"
        );
    }

    #[test]
    fn a_failure_is_reported_in_words() {
        let now = Moment::START;
        let mut responder = responder();
        let hex = "d69f91e6b2ae4c542468d1073a71d4ea13879a7f";
        assert_eq!(
            http(&mut responder, &format!("/announce?info_hash={hex}"), now),
            (
                "HTTP/1.1 200 OK".into(),
                "d14:failure reason72:info_hash has 40 bytes, expected 20: \
                 send the raw hash, not its hex forme"
                    .into()
            )
        );
        let (status, text) = http(&mut responder, "/index.html", now);
        assert_eq!(status, "HTTP/1.1 404 Not Found");
        assert!(text.starts_with("this is a BitTorrent tracker: it has /announce and /scrape"));
    }

    #[test]
    fn a_connection_id_serves_its_own_address_for_two_minutes() {
        let now = Moment::START;
        let mut responder = responder();
        let (alice, bob): (SocketAddr, SocketAddr) =
            ("10.0.0.1:4000".parse().unwrap(), "10.0.0.2:4000".parse().unwrap());
        let connection_id = responder.connection_ids.issue(alice.ip(), now);
        let packet = udp_announce(announce(6881, 5))(connection_id).encode();
        let mut accepted = |from: SocketAddr, now| {
            let answer = responder.udp(&packet, from, now).unwrap();
            matches!(Response::decode(&answer, Family::V4), Ok(Response::Announce { .. }))
        };
        assert!(accepted(alice, now));
        assert!(accepted("10.0.0.1:5000".parse().unwrap(), now), "a NAT may change the port");
        assert!(!accepted(bob, now));
        assert!(accepted(alice, now + Duration::from_secs(120)));
        assert!(!accepted(alice, now + Duration::from_secs(121)));
    }

    #[test]
    fn a_silent_peer_is_forgotten() {
        let mut responder = responder();
        let peer = "10.0.0.1:4000".parse().unwrap();
        ask(&mut responder, peer, Moment::START, udp_announce(announce(6881, 5)));
        for (seconds, known) in [(240, true), (241, false)] {
            responder.expire(Moment::START + Duration::from_secs(seconds));
            assert_eq!(responder.swarms.scrape(&HASH).is_some(), known, "after {seconds} s");
        }
    }

    #[test]
    fn a_line_tells_of_each_peer_that_joins_completes_and_leaves() {
        let (sender, lines) = sync_channel(100);
        let mut responder = Responder { notices: Some(Notices::new(sender)), ..responder() };
        let now = Moment::START + Duration::from_secs(1);
        let (alice, bob) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let announce = |responder: &mut Responder, from, left, event| {
            let request = AnnounceRequest { event, ..announce(6881, left) };
            responder.http(
                Ok(Request::Announce(AnnounceQuery { request, compact: true })),
                from,
                now,
            );
        };
        announce(&mut responder, alice, 0, Some(Event::Started));
        announce(&mut responder, bob, 5, Some(Event::Started));
        announce(&mut responder, bob, 5, None);
        let file = TorrentFile { info_hash: HASH, name: "lecture.bin".into(), bytes: [].into() };
        let files = [("l.torrent".into(), file)].into();
        responder.set_catalog(Catalog { files, left_out: 0 });
        announce(&mut responder, bob, 0, Some(Event::Completed));
        announce(&mut responder, alice, 0, Some(Event::Stopped));
        responder.expire(now + Duration::from_secs(241));
        assert_eq!(
            lines.try_iter().collect::<Vec<_>>(),
            [
                "68686868: 10.0.0.1:6881 joined (1 seed, 0 downloading)",
                "68686868: 10.0.0.2:6881 joined (1 seed, 1 downloading)",
                "lecture.bin: 10.0.0.2:6881 completed (2 seeds, 0 downloading)",
                "lecture.bin: 10.0.0.1:6881 left (1 seed, 0 downloading)",
                "lecture.bin: 10.0.0.2:6881 fell silent and was removed (0 seeds, 0 downloading)",
            ]
        );
    }

    #[test]
    fn a_crowd_that_falls_silent_is_a_screen_of_lines_and_a_number() {
        let (sender, lines) = sync_channel(100);
        let mut responder = responder();
        for number in 1..=100 {
            let from = SocketAddr::from(([10, 0, 0, number], 4000));
            ask(&mut responder, from, Moment::START, udp_announce(announce(6881, 5)));
        }
        responder.notices = Some(Notices::new(sender));
        let now = Moment::START + Duration::from_secs(241);
        responder.expire(now);
        assert_eq!(lines.try_iter().count(), MAX_PER_SECOND);
        let later = responder.next_timeout().unwrap();
        responder.flush_notices(later);
        assert_eq!(lines.try_iter().collect::<Vec<_>>(), ["and 80 more"]);
        assert_eq!(responder.next_timeout(), None);
    }

    #[test]
    fn an_answer_over_ipv6_fits_a_packet_of_1280_bytes() {
        let now = Moment::START;
        let mut responder = responder();
        for number in 0..200 {
            let from = SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, number], 4000));
            ask(&mut responder, from, now, udp_announce(announce(6881, 5)));
        }
        let many = AnnounceRequest { num_want: Some(u32::MAX >> 1), ..announce(6881, 5) };
        let answer =
            ask(&mut responder, "[2001:db8::1]:1".parse().unwrap(), now, udp_announce(many));
        let Response::Announce { response, .. } = &answer else { panic!("{answer:?}") };
        assert_eq!(response.peers.len(), 67);
        // Less the headers of IPv6 and UDP.
        assert!(answer.encode(Family::V6).len() <= 1280 - 40 - 8);
    }

    proptest! {
        #[test]
        fn no_answer_to_an_unproven_address_is_longer_than_the_request(
            mut packet in prop::collection::vec(any::<u8>(), 0..200),
            action in 0_u32..4,
            hashes in 0..=MAX_SCRAPE,
        ) {
            let now = Moment::START;
            let mut responder = responder();
            let from = "10.0.0.1:4000".parse().unwrap();
            // Both what is no request at all and what looks like one.
            let connect = udp::Request::Connect { transaction_id: 7 }.encode();
            let scrape = udp::Request::Scrape {
                connection_id: 7,
                transaction_id: 7,
                info_hashes: vec![HASH; hashes],
            };
            let announce = udp_announce(announce(6881, 5))(7);
            if let Some(field) = packet.get_mut(8..12) {
                field.copy_from_slice(&action.to_be_bytes());
            }
            for packet in [packet, connect, scrape.encode(), announce.encode()] {
                if let Some(answer) = responder.udp(&packet, from, now) {
                    prop_assert!(answer.len() <= packet.len(), "{} for {}", answer.len(), packet.len());
                }
            }
            prop_assert_eq!(responder.swarms.scrape(&HASH), None);
        }
    }
}
