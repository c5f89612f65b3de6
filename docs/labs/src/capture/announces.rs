//! Announces and the tracker's answers (BEP 3, 15, 23): each takes a TCP connection, or four datagrams.
//!
//! In the simulator the answer comes after twice the delay of a peer's link. Both over HTTP and over UDP
//! it takes two round trips to get it, so one way to the tracker is half of that delay.

use std::net::SocketAddr;
use std::time::Duration;

use common::announce::http::{announce_url, encode_response};
use common::announce::udp::{Request, Response};
use common::announce::{AnnounceRequest, AnnounceResponse, Family};
use common::moment::Moment;
use fastrand::Rng;
use tracker::http;

use super::journal::Announce;
use super::packet::{Ends, Sender};
use super::swarm::{Run, host_at};
use super::tcp::{self, Side, Write};
use super::{Host, Packet, TRACKER_PORT};

/// The first port from which peers announce, well above the ports from which they dial each other.
const FIRST_PORT: u16 = 60_000;

/// The packets of all announces.
pub(super) fn packets(run: &Run, sender: &mut Sender, rng: &mut Rng) -> Vec<Packet> {
    let mut packets = Vec::new();
    for (port, announce) in (FIRST_PORT..).zip(&run.journal.announces) {
        let way = run.peer(announce.host).link.delay / 2;
        let ends = [(Host::Peer(announce.host), port), (Host::Tracker, TRACKER_PORT)];
        let request = request(run, announce);
        if announce.host == run.over_udp {
            let datagrams = Datagrams { from: announce.at, way, ends };
            packets.extend(over_udp(datagrams, announce, request, sender, rng));
        } else {
            let sides = over_http(announce, &request, way);
            let first_numbers = [rng.u32(..), rng.u32(..)];
            let segments = tcp::connection(announce.at, way, &sides, first_numbers);
            packets.extend(sender.tcp(ends, segments));
        }
    }
    packets
}

/// The announce, with the fields that the simulator does not need.
fn request(run: &Run, announce: &Announce) -> AnnounceRequest {
    let key = run.peer(announce.host).announce_key;
    AnnounceRequest { info_hash: run.torrent.info_hash, key, ..announce.request.clone() }
}

/// The answer, with the addresses that the peers have in the capture.
fn response(announce: &Announce) -> AnnounceResponse {
    let in_capture = |peer: &SocketAddr| {
        SocketAddr::new(Host::Peer(host_at(*peer)).address().into(), peer.port())
    };
    let peers = announce.answer.peers.iter().map(in_capture).collect();
    AnnounceResponse { peers, ..announce.answer.clone() }
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
    let body = encode_response(&response(announce), true);
    let answer = http::Response::new(http::OK, "text/plain", &body);
    // HTTP/1.1 with "Connection: close": the server closes first.
    let client = Side { closes_at: Some(at(4)), ..said(head.into_bytes(), 2) };
    let server = Side { closes_at: Some(at(3)), ..said(answer.unsent(0).to_vec(), 3) };
    [client, server]
}

/// Datagrams that go to and fro between two ends, each as soon as the one before has arrived.
struct Datagrams {
    from: Moment,
    way: Duration,
    ends: Ends,
}

/// BEP 15: first a connection id, which proves that answers reach the peer, then the announce.
fn over_udp(
    Datagrams { from: mut at, way, mut ends }: Datagrams,
    announce: &Announce,
    request: AnnounceRequest,
    sender: &mut Sender,
    rng: &mut Rng,
) -> [Packet; 4] {
    let response = response(announce);
    let connection_id = rng.u64(..);
    let [connect, ask] = [rng.u32(..), rng.u32(..)];
    let answer = |response: Response| response.encode(Family::V4);
    let payloads = [
        Request::Connect { transaction_id: connect }.encode(),
        answer(Response::Connect { transaction_id: connect, connection_id }),
        Request::Announce { connection_id, transaction_id: ask, announce: request }.encode(),
        answer(Response::Announce { transaction_id: ask, response }),
    ];
    payloads.map(|payload| {
        let packet = sender.udp(at, ends, &payload);
        at += way;
        ends.reverse();
        packet
    })
}
