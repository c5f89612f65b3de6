//! The connections between peers (BEP 3): handshakes and messages as bytes, and when they are sent and
//! arrive.

use std::time::Duration;

use common::geometry::Block;
use common::moment::Moment;
use common::wire::{Handshake, Message};
use fastrand::Rng;

use super::journal::{self, Sent};
use super::packet::Sender;
use super::swarm::{Run, host_at};
use super::tcp::{self, Side, Write};
use super::{Host, Packet};

/// The source port of the first dial that is refused, well above those that the simulator chooses.
const FIRST_REFUSED: u16 = 65_000;

/// The packets of all connections, and of the dials to peers that had left.
pub(super) fn packets(run: &Run, sender: &mut Sender, rng: &mut Rng) -> Vec<Packet> {
    let listens = |host| (Host::Peer(host), LISTEN_PORT);
    let mut packets = Vec::new();
    for connection in &run.journal.connections {
        let [by, to] = connection.hosts;
        let way = run.delay(connection.hosts);
        let sides = [0, 1].map(|side| side_of(run, connection, side));
        let first_numbers = [rng.u32(..), rng.u32(..)];
        let segments = tcp::connection(connection.dialed_at, way, &sides, first_numbers);
        packets.extend(sender.tcp([(Host::Peer(by), connection.port), listens(to)], segments));
    }
    for (port, dial) in (FIRST_REFUSED..).zip(&run.journal.unanswered) {
        let to = host_at(dial.to);
        let segments = tcp::refused(dial.at, run.delay([dial.host, to]), rng.u32(..));
        packets.extend(sender.tcp([(Host::Peer(dial.host), port), listens(to)], segments));
    }
    packets
}

/// All peers listen on the first of BitTorrent's ports (BEP 3).
const LISTEN_PORT: u16 = 6881;

/// What one side of a connection sends: 0 has dialed.
fn side_of(run: &Run, connection: &journal::Connection, number: usize) -> Side {
    let side = &connection.sides[number];
    let [host, to] = [number, 1 - number].map(|side| connection.hosts[side]);
    let way = run.delay([host, to]);
    // The peer that dials sends its handshake as soon as TCP's is over, which takes one round trip; the
    // other peer answers it.
    let sent_at = [connection.dialed_at + 2 * way, connection.opened_at][number];
    let handshake = Handshake::new(run.torrent.info_hash, run.peer(host).id);
    let mut writes = vec![at_once(handshake.encode().to_vec(), sent_at, sent_at + way)];
    for sent in &side.sent {
        let Sent { began_at, at, message, received_at } = sent;
        if let Message::Piece(block) = message {
            let passes = transmission(*block, run.peer(to).link.down);
            let received_at = received_at.unwrap_or(*at + way + passes);
            writes.push(block_write(run, way, *block, [*began_at, *at], received_at));
            continue;
        }
        let received_at = received_at.unwrap_or(*at + way);
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        match writes.last_mut() {
            // A program writes all queued messages at once.
            Some(last) if last.sent == [*at; 2] => {
                last.bytes.extend(bytes);
                last.received = [received_at; 2];
            }
            _ => writes.push(at_once(bytes, *at, received_at)),
        }
    }
    if let Some((began_at, block)) = side.sending {
        // The connection ended in the middle of it.
        let up = run.peer(host).link.up;
        let ends_at = began_at + transmission(block, up);
        let received_at = ends_at + way + transmission(block, run.peer(to).link.down);
        writes.push(block_write(run, way, block, [began_at, ends_at], received_at));
    }
    Side { writes, closes_at: side.closed_at }
}

/// A piece message, whose bytes pass the uplink of the sender and the downlink of the receiver.
fn block_write(
    run: &Run,
    way: Duration,
    block: Block,
    sent: [Moment; 2],
    received_at: Moment,
) -> Write {
    let mut bytes = Vec::new();
    Message::Piece(block).encode(&mut bytes);
    bytes.extend(run.torrent.bytes(block));
    Write { bytes, sent, received: [sent[0] + way, received_at] }
}

fn at_once(bytes: Vec<u8>, sent: Moment, received: Moment) -> Write {
    Write { bytes, sent: [sent; 2], received: [received; 2] }
}

/// How long a block occupies a link of so many bytes a second.
fn transmission(block: Block, rate: u64) -> Duration {
    let nanos = u64::from(block.length()) * 1_000_000_000 / rate;
    Duration::from_nanos(nanos)
}
