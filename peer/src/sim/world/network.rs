//! Connections between hosts: calls and handshakes, messages in order, blocks over the links.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::geometry::Block;
use common::message::Message;

use super::{Happening, Host, PORT, Presence, World, address};
use crate::PeerKey;
use crate::decision::DisconnectReason;
use crate::remote::Direction;
use crate::sim::HostId;
use crate::sim::links::transmission;
use crate::torrent::Event;

/// One end of a connection.
#[derive(Debug)]
pub(super) struct End {
    host: HostId,
    remote: HostId,
    /// A block of it is on the uplink.
    sending: bool,
    /// What was said since that block began, and goes out after it.
    behind: VecDeque<Item>,
    /// When the last thing that reached this end is through the downlink.
    received_until: Instant,
}

/// What travels over a connection.
#[derive(Debug)]
pub(super) enum Item {
    Message(Message),
    Close,
}

/// A peer that calls has a port that its system chose; the first of those (RFC 6335).
const FIRST_EPHEMERAL_PORT: u16 = 49_152;

impl World {
    /// The way there, the way back and the way there again: TCP's handshake, then ours.
    pub(super) fn call(&mut self, caller: HostId, address: SocketAddr) {
        let near = self.hosts[caller.0 as usize].link.delay;
        let way = self.host_at(address).map_or(near, |callee| self.delay(caller, callee));
        self.cause(self.now + 3 * way, Happening::Called { caller, address });
    }

    pub(super) fn on_called(&mut self, caller: HostId, called: SocketAddr) {
        if !self.is_here(caller) {
            return;
        }
        let callee = self.host_at(called).filter(|&host| self.is_here(host));
        let Some(callee) = callee.filter(|_| called.port() == PORT) else {
            let back = self.now + self.hosts[caller.0 as usize].link.delay;
            return self.cause(back, Happening::CallFailed { caller, address: called });
        };
        let outgoing = PeerKey(2 * self.connections);
        let incoming = other_end(outgoing);
        let port = u64::from(FIRST_EPHEMERAL_PORT) + self.connections % (1 << 14);
        let port = u16::try_from(port).expect("there are 2^14 ephemeral ports");
        self.connections += 1;

        self.ends.insert(outgoing, End::new(caller, callee, self.now));
        self.ends.insert(incoming, End::new(callee, caller, self.now));
        let back = self.now + self.delay(caller, callee);
        self.cause(back, Happening::Answered { peer: outgoing, address: called });
        let connected = Event::Connected {
            peer: incoming,
            address: SocketAddr::new(address(caller).ip(), port),
            direction: Direction::Incoming,
            peer_id: self.hosts[caller.0 as usize].peer_id,
        };
        self.tell(callee, connected);
        self.rearm(callee);
    }

    pub(super) fn on_answered(&mut self, peer: PeerKey, address: SocketAddr) {
        let Some(&End { host, remote, .. }) = self.ends.get(&peer) else { return };
        if !self.is_here(host) {
            return self.close(peer);
        }
        let peer_id = self.hosts[remote.0 as usize].peer_id;
        let direction = Direction::Outgoing;
        self.tell(host, Event::Connected { peer, address, direction, peer_id });
        self.rearm(host);
    }

    /// Puts something on its way, behind the block that is on the uplink.
    pub(super) fn send(&mut self, peer: PeerKey, item: Item) {
        let Some(end) = self.ends.get_mut(&peer) else { return };
        if end.sending {
            end.behind.push_back(item);
        } else {
            let (from, to) = (end.host, end.remote);
            let reached = Happening::Reached { end: other_end(peer), item };
            self.cause(self.now + self.delay(from, to), reached);
        }
    }

    /// Fills the uplink if it is free. A block that is on it cannot be called back.
    pub(super) fn send_blocks(&mut self, host: HostId) {
        let now = self.now;
        let Host { torrent, uplink, link, presence, .. } = &mut self.hosts[host.0 as usize];
        if *presence != Presence::Here || link.up == 0 || uplink.busy {
            return;
        }
        while let Some(peer) = uplink.next() {
            let Some(block) = torrent.next_upload(peer, now) else { continue };
            uplink.busy = true;
            let end = self.ends.get_mut(&peer).expect("the core names blocks for open connections");
            end.sending = true;
            let out = now + transmission(block.length(), link.up);
            return self.cause(out, Happening::WentOut { host, peer, block });
        }
    }

    pub(super) fn on_went_out(&mut self, host: HostId, peer: PeerKey, block: Block) {
        let uplink = &mut self.host_mut(host).uplink;
        uplink.busy = false;
        if let Some(end) = self.ends.get_mut(&peer) {
            end.sending = false;
            let behind = std::mem::take(&mut end.behind);
            self.send(peer, Item::Message(Message::Piece(block)));
            behind.into_iter().for_each(|item| self.send(peer, item));
            self.host_mut(host).uplink.queue(peer);
            self.tell(host, Event::Sent { peer, block });
        }
        self.send_blocks(host);
        self.rearm(host);
    }

    pub(super) fn on_reached(&mut self, end: PeerKey, item: Item) {
        let now = self.now;
        let Some(&End { host, received_until, .. }) = self.ends.get(&end) else { return };
        let through = match &item {
            Item::Message(Message::Piece(block)) => {
                let Host { downlink, link, .. } = self.host_mut(host);
                downlink.pass(block.length(), link.down, now)
            }
            // It cannot overtake the blocks that wait at the downlink.
            Item::Message(_) | Item::Close => received_until.max(now),
        };
        self.ends.get_mut(&end).expect("it was found above").received_until = through;
        if through > now || received_until == now {
            self.cause(through, Happening::Delivered { end, item });
        } else {
            self.deliver(end, item);
        }
    }

    pub(super) fn deliver(&mut self, end: PeerKey, item: Item) {
        let Some(&End { host, remote, .. }) = self.ends.get(&end) else { return };
        match item {
            Item::Message(message) => {
                let conduct = self.hosts[remote.0 as usize].conduct;
                self.tell_of(host, Event::Received { peer: end, message }, conduct);
            }
            Item::Close => {
                self.ends.remove(&end);
                let reason = DisconnectReason::Closed;
                self.tell(host, Event::Disconnected { peer: end, reason });
            }
        }
        self.rearm(host);
    }

    /// Closes our end now. What is on the way still comes, and then the other end hears of it.
    pub(super) fn close(&mut self, peer: PeerKey) {
        if let Some(End { host, remote, .. }) = self.ends.remove(&peer) {
            let reached = Happening::Reached { end: other_end(peer), item: Item::Close };
            self.cause(self.now + self.delay(host, remote), reached);
        }
    }

    fn delay(&self, from: HostId, to: HostId) -> Duration {
        self.hosts[from.0 as usize].link.delay + self.hosts[to.0 as usize].link.delay
    }
}

impl End {
    fn new(host: HostId, remote: HostId, now: Instant) -> Self {
        Self { host, remote, sending: false, behind: VecDeque::new(), received_until: now }
    }
}

/// The two ends of a connection have keys that differ in the last bit.
fn other_end(peer: PeerKey) -> PeerKey {
    PeerKey(peer.0 ^ 1)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "an instant to count from")]
mod tests {
    use common::bitfield::Bitfield;
    use common::geometry::Geometry;

    use super::*;
    use crate::sim::{Conduct, Link, Participant, Settings};

    /// A seed that sends a block a second, and a leecher that receives two.
    fn seed_and_leecher() -> (World, [HostId; 2]) {
        let geometry = Geometry::new(1 << 20, 1 << 16).unwrap();
        let announce_interval = Duration::from_secs(1800);
        let mut world = World::new(Settings { geometry, announce_interval }, 1, Instant::now());
        let haves = [Bitfield::full(16), Bitfield::empty(16)];
        let hosts = haves.map(|have| {
            let participant = Participant {
                config: world.config(),
                link: Link::new(16 * 1024, 32 * 1024),
                have,
                arrives_at: Duration::ZERO,
                conduct: Conduct::Honest,
            };
            world.add_peer(participant)
        });
        (world, hosts)
    }

    #[test]
    fn a_block_takes_as_long_as_its_way() {
        let (mut world, [_, leecher]) = seed_and_leecher();
        let came = |world: &World| world.peer(leecher).totals().downloaded > 0;
        assert!(world.run_until(came, Duration::from_secs(10)));
        // Of 10 ms: 2 to the tracker and back; of 20 ms: 3 to call, 1 for the answer, which the
        // bitfield follows; then interested, unchoke, request, and the block over both links.
        let delays = Duration::from_millis(2 * 10 + (3 + 1 + 3 + 1) * 20);
        assert_eq!(world.elapsed(), delays + Duration::from_millis(1000 + 500));
    }

    #[test]
    fn what_is_said_while_a_block_goes_out_comes_after_it() {
        let (mut world, [seed, leecher]) = seed_and_leecher();
        let sends = |world: &World| world.ends.values().any(|end| end.sending);
        assert!(world.run_until(sends, Duration::from_secs(10)));
        let (&peer, _) = world.ends.iter().find(|(_, end)| end.host == seed).unwrap();
        world.send(peer, Item::Message(Message::Choke));
        let choked = |world: &World| world.peer(leecher).neighbors().all(|(_, r)| r.peer_choking);
        assert!(world.run_until(choked, Duration::from_secs(10)));
        assert_eq!(world.peer(leecher).totals().downloaded, 16 * 1024);
    }

    #[test]
    fn a_call_to_nobody_fails() {
        let (mut world, [seed, leecher]) = seed_and_leecher();
        world.leave(seed);
        world.introduce(leecher, seed);
        world.run_for(Duration::from_secs(600));
        assert_eq!((world.ends.len(), world.connections), (0, 0));
    }
}
