//! From the packets back to announces and messages, as Wireshark shows them. The key of lab 4 is computed
//! from these, so it depends on nothing that a student cannot see.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use common::announce::http::{decode_response, parse_announce};
use common::announce::udp;
use common::announce::{AnnounceRequest, AnnounceResponse, Family};
use common::frame::FrameReader;
use common::geometry::Block;
use common::moment::Moment;
use common::wire::{Handshake, Message};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use super::{Capture, Packet, TRACKER_PORT};
use crate::torrent::Torrent;

/// What the packets of a capture say.
#[derive(Debug, Default)]
pub(crate) struct Dissection {
    /// In the order of their first packets.
    pub(crate) connections: Vec<Connection>,
    /// The handshakes and messages between peers, in the order of the packets that complete them.
    pub(crate) messages: Vec<Heard>,
    pub(crate) announces: Vec<Announced>,
}

/// A TCP connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The end that sent the first packet, and the other one.
    pub(crate) ends: [SocketAddrV4; 2],
    pub(crate) segments: Vec<Segment>,
}

/// A TCP segment.
#[derive(Debug)]
pub(crate) struct Segment {
    /// The number of its packet, counted from 0.
    pub(crate) packet: usize,
    pub(crate) at: Moment,
    /// Bytes of its payload.
    pub(crate) length: usize,
}

/// A message between peers, or a handshake.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// The number of the packet that completes it, counted from 0, and its time.
    pub(crate) packet: usize,
    pub(crate) at: Moment,
    pub(crate) from: Ipv4Addr,
    pub(crate) to: Ipv4Addr,
    /// The place of the connection in [`Dissection::connections`].
    pub(crate) connection: usize,
    pub(crate) said: Said,
}

/// What a peer tells another.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    Handshake,
    Message(Message),
}

/// An announce.
#[derive(Debug)]
pub(crate) struct Announced {
    /// The time of the packet with the request.
    pub(crate) at: Moment,
    pub(crate) by: Ipv4Addr,
    pub(crate) over_udp: bool,
    /// Packets of the connection that it took, or datagrams.
    pub(crate) packets: usize,
    pub(crate) request: AnnounceRequest,
    pub(crate) response: AnnounceResponse,
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Stream {
    bytes: Vec<u8>,
    /// Of each packet: its number, its time, and where in the bytes its payload ends.
    ends: Vec<(usize, Moment, usize)>,
}

/// Reads a capture.
///
/// # Panics
/// If a packet does not hold what it should: the capture was made here.
pub(crate) fn dissect(capture: &Capture) -> Dissection {
    let mut dissection = Dissection::default();
    let mut streams: Vec<[Stream; 2]> = Vec::new();
    let mut datagrams = Vec::new();
    for (number, Packet { at, bytes, .. }) in capture.packets.iter().enumerate() {
        let packet = SlicedPacket::from_ip(bytes).expect("an IP packet");
        let Some(NetSlice::Ipv4(ip)) = &packet.net else { panic!("an IPv4 packet") };
        let [from, to] = [ip.header().source_addr(), ip.header().destination_addr()];
        match &packet.transport {
            Some(TransportSlice::Tcp(tcp)) => {
                let ends = [(from, tcp.source_port()), (to, tcp.destination_port())];
                let ends = ends.map(|(ip, port)| SocketAddrV4::new(ip, port));
                let (place, side) = dissection.place(ends, tcp.syn() && !tcp.ack());
                streams.resize_with(dissection.connections.len(), Default::default);
                let segment = Segment { packet: number, at: *at, length: tcp.payload().len() };
                dissection.connections[place].segments.push(segment);
                let stream = &mut streams[place][side];
                stream.bytes.extend(tcp.payload());
                stream.ends.push((number, *at, stream.bytes.len()));
            }
            Some(TransportSlice::Udp(udp)) => {
                datagrams.push((*at, from, to, udp.payload().to_vec()));
            }
            other => panic!("neither TCP nor UDP: {other:?}"),
        }
    }
    let mut heard = Vec::new();
    for (place, streams) in streams.iter().enumerate() {
        let Connection { ends, segments } = &dissection.connections[place];
        if ends[1].port() == TRACKER_PORT {
            dissection.announces.push(over_http(*ends[0].ip(), segments.len(), streams));
            continue;
        }
        for (side, stream) in streams.iter().enumerate() {
            let [from, to] = [*ends[side].ip(), *ends[1 - side].ip()];
            for (packet, at, said) in hear(stream, &capture.torrent) {
                heard.push(Heard { packet, at, from, to, connection: place, said });
            }
        }
    }
    dissection.announces.extend(over_udp(&datagrams));
    dissection.announces.sort_by_key(|announced| announced.at);
    heard.sort_by_key(|heard| heard.packet);
    dissection.messages = heard;
    dissection
}

impl Dissection {
    /// The connection with these ends and the side that sent the packet; a new one with its first SYN.
    fn place(&mut self, ends: [SocketAddrV4; 2], opens: bool) -> (usize, usize) {
        if opens {
            self.connections.push(Connection { ends, segments: Vec::new() });
            return (self.connections.len() - 1, 0);
        }
        let [from, to] = ends;
        let is_it = |connection: &Connection| {
            connection.ends == [from, to] || connection.ends == [to, from]
        };
        let place = self.connections.iter().rposition(is_it).expect("a SYN comes first");
        (place, usize::from(self.connections[place].ends[0] != from))
    }
}

fn over_http(by: Ipv4Addr, packets: usize, [asked, answered]: &[Stream; 2]) -> Announced {
    let text = str::from_utf8(&asked.bytes).expect("a request is ASCII");
    let target = text.split(' ').nth(1).expect("GET and a target");
    let (_, query) = target.split_once('?').expect("a query");
    let request = parse_announce(query.as_bytes()).expect("an announce").request;
    let end_of_head = answered.bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let body = end_of_head.expect("a head") + 4;
    let response = decode_response(&answered.bytes[body..]).expect("an answer");
    let (_, at, _) = *asked.ends.iter().find(|(_, _, end)| *end > 0).expect("a request");
    Announced { at, by, over_udp: false, packets, request, response }
}

type Datagram = (Moment, Ipv4Addr, Ipv4Addr, Vec<u8>);

/// Each announce has four datagrams: connect, announce, and the answers.
fn over_udp(datagrams: &[Datagram]) -> Vec<Announced> {
    let mut asked: BTreeMap<u32, (Moment, Ipv4Addr, AnnounceRequest)> = BTreeMap::new();
    let mut announces = Vec::new();
    for (at, from, to, payload) in datagrams {
        if let Ok(udp::Request::Announce { transaction_id, announce, .. }) =
            udp::Request::decode(payload)
        {
            asked.insert(transaction_id, (*at, *from, announce));
        } else if let Ok(udp::Response::Announce { transaction_id, response }) =
            udp::Response::decode(payload, Family::V4)
            && let Some((at, by, request)) = asked.remove(&transaction_id)
            && by == *to
        {
            announces.push(Announced { at, by, over_udp: true, packets: 4, request, response });
        }
    }
    announces
}

/// The handshake and messages of a stream, each with the packet that completes it.
fn hear(stream: &Stream, torrent: &Torrent) -> Vec<(usize, Moment, Said)> {
    let mut heard = Vec::new();
    let mut reader = FrameReader::new(Message::max_frame(&torrent.geometry));
    let mut begin = 0;
    let mut shaken = false;
    // A block of which the head has come, and as many of its bytes as have.
    let mut piece: Option<(Block, Vec<u8>)> = None;
    for &(packet, at, end) in &stream.ends {
        let mut rest = &stream.bytes[begin..end];
        begin = end;
        while !rest.is_empty() {
            let space = reader.space();
            let length = space.len().min(rest.len());
            space[..length].copy_from_slice(&rest[..length]);
            reader.filled(length);
            rest = &rest[length..];
            loop {
                if let Some((block, mut body)) = piece.take() {
                    let length = block.length() as usize;
                    body.extend(reader.take_up_to(length - body.len()));
                    if body.len() < length {
                        piece = Some((block, body));
                        break;
                    }
                    assert!(body == torrent.bytes(block), "not the bytes of this block");
                    heard.push((packet, at, Said::Message(Message::Piece(block))));
                } else if !shaken {
                    let Some(bytes) = reader.take(Handshake::LENGTH) else { break };
                    let bytes = bytes.try_into().expect("as many as asked for");
                    Handshake::decode(bytes).expect("a handshake");
                    heard.push((packet, at, Said::Handshake));
                    shaken = true;
                } else {
                    match Message::next(&mut reader, &torrent.geometry).expect("a message") {
                        Some(Message::Piece(block)) => piece = Some((block, Vec::new())),
                        Some(message) => heard.push((packet, at, Said::Message(message))),
                        None => break,
                    }
                }
            }
        }
    }
    heard
}
