//! IPv4 packets with TCP and UDP in them: their lengths and checksums are etherparse's.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use common::moment::Moment;
use etherparse::{
    IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, PacketBuilder, TcpHeader, TcpOptionElement,
};

use super::tcp::{Flags, MSS, Segment};
use super::{Host, Packet};

/// The two ends of a conversation: a host and its port each.
pub(super) type Ends = [(Host, u16); 2];

/// The time to live that most systems begin with.
const TTL: u8 = 64;

/// Both sides shift their windows by so much (RFC 7323).
const WINDOW_SHIFT: u8 = 7;

/// Room for some 64 KB, as Linux advertises it: at first unshifted, later in units of 128 bytes.
const FIRST_WINDOW: u16 = 64_240;
const WINDOW: u16 = 502;

/// Makes packets. Each host counts those that it has sent, in the identification field of IPv4.
#[derive(Debug, Default)]
pub(super) struct Sender {
    sent: BTreeMap<Host, u16>,
}

impl Sender {
    /// The packets of a TCP connection, of which the first end is the one that connects.
    pub(super) fn tcp(&mut self, ends: Ends, segments: Vec<Segment>) -> Vec<Packet> {
        segments.into_iter().map(|segment| self.segment(ends, &segment)).collect()
    }

    fn segment(&mut self, ends: Ends, segment: &Segment) -> Packet {
        let (from, from_port) = ends[segment.from];
        let (to, to_port) = ends[1 - segment.from];
        let Flags { syn, ack, psh, fin, rst } = segment.flags;
        let window = match (syn, rst) {
            (true, _) => FIRST_WINDOW,
            (_, true) => 0,
            (false, false) => WINDOW,
        };
        let mut tcp = TcpHeader::new(from_port, to_port, segment.sequence, window);
        (tcp.syn, tcp.ack, tcp.psh, tcp.fin, tcp.rst) = (syn, ack, psh, fin, rst);
        tcp.acknowledgment_number = segment.acknowledgment;
        if syn {
            let options = [
                TcpOptionElement::MaximumSegmentSize(MSS),
                TcpOptionElement::SelectiveAcknowledgementPermitted,
                TcpOptionElement::Noop,
                TcpOptionElement::WindowScale(WINDOW_SHIFT),
            ];
            tcp.set_options(&options).expect("ten of forty bytes");
        }
        let length = tcp.header_len() + segment.payload.len();
        let ip = self.ip(from, to, length, IpNumber::TCP);
        let packet = PacketBuilder::ip(ip).tcp_header(tcp);
        let mut bytes = Vec::with_capacity(packet.size(segment.payload.len()));
        packet.write(&mut bytes, &segment.payload).expect("a segment fits a packet");
        Packet { at: segment.at, interface: from.interface(), bytes }
    }

    /// A datagram from the first end to the other.
    pub(super) fn udp(&mut self, at: Moment, ends: Ends, payload: &[u8]) -> Packet {
        const UDP_HEADER: usize = 8;
        let [(from, from_port), (to, to_port)] = ends;
        let ip = self.ip(from, to, UDP_HEADER + payload.len(), IpNumber::UDP);
        let packet = PacketBuilder::ip(ip).udp(from_port, to_port);
        let mut bytes = Vec::with_capacity(packet.size(payload.len()));
        packet.write(&mut bytes, payload).expect("a datagram fits a packet");
        Packet { at, interface: from.interface(), bytes }
    }

    fn ip(&mut self, from: Host, to: Host, length: usize, protocol: IpNumber) -> IpHeaders {
        let octets = |host: Host| Ipv4Addr::octets(&host.address());
        let length = u16::try_from(length).expect("a packet has at most 1500 bytes");
        let mut ip = Ipv4Header::new(length, TTL, protocol, octets(from), octets(to))
            .expect("so few bytes fit");
        let sent = self.sent.entry(from).or_default();
        *sent = sent.wrapping_add(1);
        ip.identification = *sent;
        IpHeaders::Ipv4(ip, Ipv4Extensions::default())
    }
}
