//! The talk with the tracker (BEP 3, 15, 23): one connection for each announce over HTTP, or four
//! datagrams.
//!
//! The simulator gives an announce a time of twice a peer's delay, from the first packet to the answer.
//! Over TCP this takes two round trips, and over UDP as well: so the tracker is at half of the delay.

use std::time::Duration;

use common::announce::http::{announce_url, encode_response};
use common::announce::udp::{Request, Response};
use common::announce::{AnnounceRequest, Family};
use common::moment::Moment;
use fastrand::Rng;
use tracker::http;

use super::journal::Announce;
use super::packet::Sender;
use super::swarm::Run;
use super::tcp::{self, Side, Write};
use super::{Host, Packet, TRACKER_PORT};

/// The first port from which peers announce: apart from those from which they dial each other.
const FIRST_PORT: u16 = 60_000;

/// The packets of all announces.
pub(super) fn packets(run: &Run, sender: &mut Sender, rng: &mut Rng) -> Vec<Packet> {
    let mut packets = Vec::new();
    for (port, announce) in (FIRST_PORT..).zip(&run.journal.announces) {
        let way = run.peer(announce.host).link.delay / 2;
        let ends = [(Host::Peer(announce.host), port), (Host::Tracker, TRACKER_PORT)];
        let request = request(run, announce);
        if announce.host == run.over_udp {
            let ends = Datagrams { from: announce.at, way, ends };
            packets.extend(over_udp(ends, announce, request, sender, rng));
        } else {
            let sides = over_http(announce, &request, way);
            let first_numbers = [rng.u32(..), rng.u32(..)];
            let segments = tcp::connection(announce.at, way, &sides, first_numbers);
            packets.extend(sender.tcp(ends, segments));
        }
    }
    packets
}

/// The announce, with what the simulator has no need of.
fn request(run: &Run, announce: &Announce) -> AnnounceRequest {
    let key = run.peer(announce.host).announce_key;
    AnnounceRequest { info_hash: run.torrent.info_hash, key, ..announce.request.clone() }
}

fn over_http(announce: &Announce, request: &AnnounceRequest, way: Duration) -> [Side; 2] {
    let at = |ways| announce.at + ways * way;
    let said = |bytes, ways| {
        let write = Write { bytes, sent: [at(ways); 2], received: [at(ways + 1); 2] };
        Side { writes: vec![write], closes_at: None }
    };
    let host = format!("{}:{TRACKER_PORT}", Host::Tracker.address());
    let target = announce_url("/announce", request);
    let head = format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: peer/{}\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    let mut answer = announce.answer.clone();
    answer.peers.iter_mut().for_each(|peer| *peer = super::peer_wire::address(*peer));
    let body = encode_response(&answer, true);
    let response = http::Response::new(http::OK, "text/plain", &body);
    // HTTP/1.1 with "Connection: close": the server closes first.
    let client = Side { closes_at: Some(at(4)), ..said(head.into_bytes(), 2) };
    let server = Side { closes_at: Some(at(3)), ..said(response.unsent(0).to_vec(), 3) };
    [client, server]
}

/// A conversation over UDP.
struct Datagrams {
    from: Moment,
    way: Duration,
    ends: super::packet::Ends,
}

/// BEP 15: first a connection id, which proves that answers reach the peer, then the announce.
fn over_udp(
    Datagrams { from, way, ends }: Datagrams,
    announce: &Announce,
    request: AnnounceRequest,
    sender: &mut Sender,
    rng: &mut Rng,
) -> [Packet; 4] {
    let mut response = announce.answer.clone();
    response.peers.iter_mut().for_each(|peer| *peer = super::peer_wire::address(*peer));
    let connection_id = rng.u64(..);
    let [connect, ask] = [rng.u32(..), rng.u32(..)];
    let answer = |response: Response| response.encode(Family::V4);
    let payloads = [
        Request::Connect { transaction_id: connect }.encode(),
        answer(Response::Connect { transaction_id: connect, connection_id }),
        Request::Announce { connection_id, transaction_id: ask, announce: request }.encode(),
        answer(Response::Announce { transaction_id: ask, response }),
    ];
    let mut at = from;
    let mut ends = ends;
    payloads.map(|payload| {
        let packet = sender.udp(at, ends, &payload);
        at += way;
        ends.reverse();
        packet
    })
}
