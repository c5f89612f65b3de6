//! The questions of lab 4, answered from what the packets say.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use common::announce::Event;
use common::geometry::{Block, PieceIndex};
use common::moment::Moment;
use common::wire::Message;

use crate::answers::Key;
use crate::capture::Subjects;
use crate::capture::dissect::{Announced, Connection, Dissection, Heard, Said};

/// A capture that was read, and the peers that the student is asked about.
pub(super) struct Read {
    seen: Dissection,
    subjects: Subjects,
}

impl Read {
    pub(super) fn new(seen: Dissection, subjects: Subjects) -> Self {
        Self { seen, subjects }
    }

    fn announces_of(&self, peer: Ipv4Addr) -> impl Iterator<Item = &Announced> {
        self.seen.announces.iter().filter(move |announced| announced.by == peer)
    }

    /// When a peer announced that this happened to it.
    fn event_of(&self, peer: Ipv4Addr, event: Event) -> Moment {
        let mut announces = self.announces_of(peer);
        let found = announces.find(|announced| announced.request.event == Some(event));
        found.expect("every peer starts and completes").at
    }

    fn messages(&self) -> impl DoubleEndedIterator<Item = (&Heard, &Message)> {
        self.seen.messages.iter().filter_map(|heard| match &heard.said {
            Said::Message(message) => Some((heard, message)),
            Said::Handshake => None,
        })
    }

    fn requests(&self) -> impl Iterator<Item = (&Heard, Block)> {
        self.messages().filter_map(|(heard, message)| {
            if let Message::Request(block) = message { Some((heard, *block)) } else { None }
        })
    }

    fn blocks(&self) -> impl Iterator<Item = (&Heard, Block)> {
        self.messages().filter_map(|(heard, message)| {
            if let Message::Piece(block) = message { Some((heard, *block)) } else { None }
        })
    }

    /// The place of the connection in which A dials the seed.
    fn to_seed(&self) -> usize {
        let Subjects { a, seed, .. } = self.subjects;
        let is_it = |connection: &Connection| connection.ends.map(|end| *end.ip()) == [a, seed];
        self.seen.connections.iter().position(is_it).expect("every peer dials the seed")
    }

    /// The first request that a peer sends to any other.
    fn first_request(&self, peer: Ipv4Addr) -> (&Heard, Block) {
        self.requests().find(|(heard, _)| heard.from == peer).expect("every peer downloads")
    }
}

pub(super) fn announce(read: &Read) -> Key {
    let Announced { request, response, .. } = &read.seen.announces[0];
    let [first, second, ..] = request.info_hash.0;
    let interval = f64::from(response.interval);
    named([
        ("info-hash-start", f64::from(u16::from_be_bytes([first, second]))),
        ("interval", interval),
    ])
}

pub(super) fn answer(read: &Read) -> Key {
    let first = read.announces_of(read.subjects.a).next().expect("every peer announces itself");
    named([
        ("first-peers", count(first.response.peers.len())),
        ("announces", count(read.announces_of(read.subjects.a).count())),
    ])
}

pub(super) fn two_trackers(read: &Read) -> Key {
    let by_udp = read.seen.announces.iter().find(|announced| announced.over_udp);
    let by_udp = by_udp.expect("one peer uses UDP");
    let by_http = read.announces_of(read.subjects.a).next().expect("A announces itself");
    named([
        ("udp-peer", last_number(by_udp.by)),
        ("udp-packets", count(by_udp.packets)),
        ("http-packets", count(by_http.packets)),
    ])
}

pub(super) fn dial(read: &Read) -> Key {
    let dial = &read.seen.connections[read.to_seed()];
    // SYN, SYN/ACK, ACK.
    let [syn, _, ack, ..] = &dial.segments[..] else { panic!("a connection has more segments") };
    named([("dial-port", f64::from(dial.ends[0].port())), ("dial-rtt-ms", millis(syn.at, ack.at))])
}

pub(super) fn last_chunk(read: &Read) -> Key {
    let of_seed = read.messages().filter(|(heard, _)| heard.from == read.subjects.seed);
    let chunks = of_seed.filter_map(|(_, message)| {
        if let Message::Bitfield(bitfield) = message { Some(bitfield.count()) } else { None }
    });
    let chunks = chunks.max().expect("the seed says what it has");
    let of_last = read.blocks().filter(|(_, block)| block.piece().get() == chunks - 1);
    let length = of_last.map(|(_, block)| block.begin() + block.length()).max();
    let length = length.expect("every chunk is sent");
    named([("chunks", f64::from(chunks)), ("last-chunk", f64::from(length))])
}

pub(super) fn control_and_data(read: &Read) -> Key {
    let place = read.to_seed();
    let blocks = || read.blocks().filter(|(heard, _)| heard.connection == place);
    let data: usize = blocks().map(|(_, block)| block.length() as usize).sum();
    // A connection can end in the midst of a block, which is no message then.
    let last = blocks().map(|(heard, _)| heard.packet).max().unwrap_or(usize::MAX);
    let segments = &read.seen.connections[place].segments;
    let up_to_last = segments.iter().filter(|segment| segment.packet <= last);
    let all: usize = up_to_last.map(|segment| segment.length).sum();
    named([("data-bytes", count(data)), ("control-bytes", count(all - data))])
}

pub(super) fn pipelining(read: &Read) -> Key {
    let (first, _) = read.first_request(read.subjects.a);
    let to_a = |heard: &Heard| heard.connection == first.connection && heard.to == first.from;
    let block = read.blocks().map(|(heard, _)| heard).find(|heard| to_a(heard));
    let block = block.expect("a first request is answered");
    let same = |heard: &Heard| heard.connection == first.connection && heard.from == first.from;
    let requests = read.requests().filter(|(heard, _)| same(heard) && heard.packet < block.packet);
    named([
        ("first-requests", count(requests.count())),
        ("first-block-ms", millis(first.at, block.at)),
    ])
}

pub(super) fn choking(read: &Read) -> Key {
    let Subjects { a, seed, .. } = read.subjects;
    let says = |peer, what| {
        read.messages().filter(move |(heard, message)| heard.from == peer && **message == what)
    };
    let (first, _) = says(seed, Message::Unchoke).next().expect("a seed serves");
    let chokes = says(a, Message::Choke).count();
    named([("seed-unchokes-first", last_number(first.to)), ("chokes", count(chokes))])
}

/// BEP 3: a peer knows of its neighbors what their bitfields and haves say.
pub(super) fn late(read: &Read) -> Key {
    let late = read.subjects.late;
    let (request, wanted) = read.first_request(late);
    let mut holders: BTreeMap<PieceIndex, BTreeSet<Ipv4Addr>> = BTreeMap::new();
    let before = read.messages().take_while(|(heard, _)| heard.packet < request.packet);
    for (heard, message) in before.filter(|(heard, _)| heard.to == late) {
        let has = match message {
            Message::Bitfield(bitfield) => bitfield.iter().collect(),
            Message::Have(piece) => vec![*piece],
            Message::KeepAlive
            | Message::Choke
            | Message::Unchoke
            | Message::Interested
            | Message::NotInterested
            | Message::Request(_)
            | Message::Piece(_)
            | Message::Cancel(_)
            | Message::Port(_)
            | Message::Extended(_)
            | Message::Unknown(_) => Vec::new(),
        };
        for piece in has {
            holders.entry(piece).or_default().insert(heard.from);
        }
    }
    let rarest = holders.values().map(BTreeSet::len).min().expect("the seed has every chunk");
    named([
        ("late-chunk", f64::from(wanted.piece().get())),
        ("late-copies", count(holders[&wanted.piece()].len())),
        ("late-rarest", count(rarest)),
    ])
}

pub(super) fn reciprocity(read: &Read) -> Key {
    let Subjects { a, b, .. } = read.subjects;
    let blocks =
        |from, to| read.blocks().filter(|(heard, _)| (heard.from, heard.to) == (from, to)).count();
    named([("from-b", count(blocks(b, a))), ("to-b", count(blocks(a, b)))])
}

pub(super) fn completed(read: &Read) -> Key {
    let [started, completed] =
        [Event::Started, Event::Completed].map(|event| read.event_of(read.subjects.a, event));
    named([("completed-s", number(completed.as_nanos() - started.as_nanos()) / 1e9)])
}

fn named<const N: usize>(numbers: [(&str, f64); N]) -> Key {
    numbers.map(|(name, number)| (name.to_owned(), number)).into()
}

fn last_number(address: Ipv4Addr) -> f64 {
    f64::from(address.octets()[3])
}

fn millis(from: Moment, to: Moment) -> f64 {
    number(to.as_nanos() - from.as_nanos()) / 1e6
}

fn count(count: usize) -> f64 {
    number(count as u64)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a capture has some megabytes and takes some 10^11 ns"
)]
fn number(number: u64) -> f64 {
    number as f64
}
