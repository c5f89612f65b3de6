//! Connections between hosts: dials and handshakes, messages in order, blocks over the links.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use common::geometry::{Block, PieceIndex};
use common::report::{Direction, Identity};
use common::wire::Message;

use super::ends::{End, other_end};
use super::{Host, PORT, Scheduled, World, address};
use crate::PeerKey;
use crate::decision::DisconnectReason;
use crate::sim::links::transmission;
use crate::sim::{Conduct, HostId, Observer, Traffic};
use crate::torrent::Input;

/// What travels over a connection.
#[derive(Debug)]
pub(super) enum Item {
    Message(Message),
    Close,
}

/// A have that a peer sends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gathered {
    pub(super) piece: PieceIndex,
    /// The sender's end.
    pub(super) end: PeerKey,
}

/// A peer that dials has an ephemeral port; this is the first of those (RFC 6335).
const FIRST_EPHEMERAL_PORT: u16 = 49_152;

impl<O: Observer> World<O> {
    /// The way there, the way back and the way there again: TCP's handshake, then ours.
    pub(super) fn dial(&mut self, by: HostId, address: SocketAddr) {
        self.observer.traffic(self.now, Traffic::Dials { host: by, to: address });
        let near = self.hosts[by.0 as usize].link.delay;
        let way = self.host_at(address).map_or(near, |to| self.delay(by, to));
        self.schedule_after(3 * way, Scheduled::Dialed { by, address });
    }

    pub(super) fn on_dialed(&mut self, by: HostId, dialed: SocketAddr) {
        if !self.is_here(by) {
            return;
        }
        let to = self.host_at(dialed).filter(|&host| self.is_here(host));
        let Some(to) = to.filter(|_| dialed.port() == PORT) else {
            let back = self.hosts[by.0 as usize].link.delay;
            return self.schedule_after(back, Scheduled::DialFailed { by, address: dialed });
        };
        let port = u64::from(FIRST_EPHEMERAL_PORT) + self.ends.opened() % (1 << 14);
        let port = u16::try_from(port).expect("there are 2^14 ephemeral ports");
        let delay = self.delay(by, to);
        let outgoing = self.ends.open(by, to, delay, self.now);
        let ends = [outgoing, other_end(outgoing)];
        self.observer.traffic(self.now, Traffic::Opens { hosts: [by, to], ends, port });
        self.schedule_after(delay, Scheduled::Answered { peer: outgoing, address: dialed });
        let from = SocketAddr::new(address(by).ip(), port);
        self.connected(other_end(outgoing), from, Direction::Incoming);
    }

    pub(super) fn on_answered(&mut self, peer: PeerKey, address: SocketAddr) {
        let Some(&End { host, .. }) = self.ends.get(peer) else { return };
        if !self.is_here(host) {
            return self.close(peer);
        }
        self.connected(peer, address, Direction::Outgoing);
    }

    fn connected(&mut self, key: PeerKey, address: SocketAddr, direction: Direction) {
        let &End { host, remote, .. } = self.ends.get(key).expect("it is open");
        let Host { peer_id, conduct, .. } = self.hosts[remote.0 as usize];
        let peer_id = match conduct {
            Conduct::Honest | Conduct::SendsFalseData => peer_id,
            Conduct::SendsFalseDataUnderNewIds | Conduct::LeavesMidPiece => self.new_peer_id(),
        };
        let neighbor = Identity { key, address, peer_id, name: None };
        self.tell(host, Input::Connected { neighbor, direction, extensions: true });
    }

    /// Sends an item, behind the block that is on the uplink.
    pub(super) fn send(&mut self, peer: PeerKey, item: Item) {
        let Some(end) = self.ends.get_mut(peer) else { return };
        if let Some(behind) = &mut end.behind {
            behind.push(item);
        } else {
            let delay = end.delay;
            if let Item::Message(message) = &item {
                self.observer.traffic(self.now, Traffic::Sends { end: peer, message });
            }
            self.schedule_after(delay, Scheduled::Reached { end: other_end(peer), item });
        }
    }

    /// A peer tells all its neighbors of a chunk at once. What goes out over idle connections with
    /// the same delay is one event.
    pub(super) fn send_haves(&mut self) {
        if self.haves.is_empty() {
            return;
        }
        let mut haves = std::mem::take(&mut self.haves);
        let idle = |&Gathered { piece, end }: &Gathered| {
            let found = self.ends.get(end).filter(|end| end.behind.is_none())?;
            Some((found.delay, piece, other_end(end)))
        };
        let mut reach: Vec<_> = haves.iter().filter_map(idle).collect();
        reach.sort_by_key(|&(delay, piece, _)| (delay, piece));
        for together in reach.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let (delay, piece, _) = together[0];
            let ends: Box<[_]> = together.iter().map(|&(.., end)| end).collect();
            let message = &Message::Have(piece);
            for &end in &*ends {
                self.observer.traffic(self.now, Traffic::Sends { end: other_end(end), message });
            }
            self.schedule_after(delay, Scheduled::HavesReached { piece, ends });
        }
        for Gathered { piece, end } in haves.drain(..) {
            if self.ends.get(end).is_some_and(|end| end.behind.is_some()) {
                self.send(end, Item::Message(Message::Have(piece)));
            }
        }
        self.haves = haves;
    }

    pub(super) fn on_haves_reached(&mut self, piece: PieceIndex, ends: &[PeerKey]) {
        self.further_haves += ends.len() as u64 - 1;
        self.look_at(piece, ends);
        ends.iter().for_each(|&end| self.on_reached(end, Item::Message(Message::Have(piece))));
    }

    /// Reads, and changes nothing. The peers that a have reaches lie far apart in memory; of reads
    /// in a row the processor does many at once, and none while it waits in the midst of handling
    /// one have after another.
    fn look_at(&self, piece: PieceIndex, ends: &[PeerKey]) {
        let open = |&end: &PeerKey| {
            let found = self.ends.get(end)?;
            Some((&self.hosts[found.host.0 as usize], end))
        };
        let open: Vec<_> = ends.iter().filter_map(open).collect();
        let neighbors: Vec<_> =
            open.iter().filter_map(|&(host, end)| host.torrent.neighbor(end)).collect();
        black_box(neighbors.iter().filter(|neighbor| neighbor.has.contains(piece)).count());
    }

    /// Fills the uplink if it is free.
    pub(super) fn send_blocks(&mut self, host: HostId) {
        let now = self.now;
        while self.is_here(host) && self.hosts[host.0 as usize].link.up > 0 {
            let Host { torrent, uplink, .. } = self.host_mut(host);
            if uplink.busy {
                return;
            }
            let Some(peer) = uplink.turns.pop() else { return };
            torrent.handle(Input::Writable { peer }, now);
            self.perform_all(host);
        }
    }

    /// The core has named a block for the free uplink. From now on it cannot be canceled.
    pub(super) fn send_block(&mut self, host: HostId, peer: PeerKey, block: Block) {
        let Host { uplink, link, .. } = self.host_mut(host);
        uplink.busy = true;
        let out = transmission(block.length(), link.up);
        let end = self.ends.get_mut(peer).expect("the core names blocks for open connections");
        end.behind = Some(Vec::new());
        self.observer.traffic(self.now, Traffic::Begins { end: peer, block });
        self.schedule_after(out, Scheduled::WentOut { host, peer, block });
    }

    pub(super) fn on_went_out(&mut self, host: HostId, peer: PeerKey, block: Block) {
        self.host_mut(host).uplink.busy = false;
        if let Some(end) = self.ends.get_mut(peer) {
            let behind = end.behind.take().unwrap_or_default();
            self.carried.in_flight += u64::from(block.length());
            self.send(peer, Item::Message(Message::Piece(block)));
            behind.into_iter().for_each(|item| self.send(peer, item));
            let share = self.peer(host).share(peer);
            self.host_mut(host).uplink.turns.push(peer, share);
            self.tell(host, Input::Sent { peer, block });
        } else {
            self.send_blocks(host);
            self.rearm(host);
        }
    }

    pub(super) fn on_reached(&mut self, end: PeerKey, item: Item) {
        let now = self.now;
        let Some(&End { host, received_until, .. }) = self.ends.get(end) else {
            return self.lose(&item);
        };
        let (takes, through) = match &item {
            Item::Message(Message::Piece(block)) => {
                let Host { downlink, link, .. } = self.host_mut(host);
                let takes = transmission(block.length(), link.down);
                (takes, downlink.pass(takes, now))
            }
            // It cannot overtake the blocks that wait at the downlink.
            Item::Message(_) | Item::Close => (Duration::ZERO, received_until.max(now)),
        };
        self.ends.get_mut(end).expect("it was found above").received_until = through;
        if through == now && received_until < now {
            return self.deliver(end, item);
        }
        let delivered = Scheduled::Delivered { end, item };
        if through == now + takes {
            // The downlink was free, as for many events.
            self.schedule_after(takes, delivered);
        } else {
            self.schedule_at(through, delivered);
        }
    }

    pub(super) fn deliver(&mut self, end: PeerKey, item: Item) {
        let Some(&End { host, remote, .. }) = self.ends.get(end) else {
            return self.lose(&item);
        };
        self.observer.traffic(self.now, Traffic::Receives { end });
        match item {
            Item::Message(message) => {
                let block = if let Message::Piece(block) = message { Some(block) } else { None };
                self.tell(host, Input::Received { peer: end, message });
                if let Some(block) = block {
                    self.carried.in_flight -= u64::from(block.length());
                    self.observer.delivered(self.now, remote, host, block);
                    self.tell(host, Input::BlockArrived { peer: end, block });
                    if let Some(remote) = self.ends.get(end).map(|end| end.remote)
                        && self.hosts[remote.0 as usize].conduct == Conduct::LeavesMidPiece
                    {
                        self.reconnect(remote, host);
                    }
                }
            }
            Item::Close => {
                self.ends.remove(end);
                let reason = DisconnectReason::Closed;
                self.tell(host, Input::Disconnected { peer: end, reason });
            }
        }
    }

    /// What arrives where the connection has ended is lost.
    fn lose(&mut self, item: &Item) {
        if let Item::Message(Message::Piece(block)) = item {
            self.carried.in_flight -= u64::from(block.length());
            self.carried.lost += u64::from(block.length());
        }
    }

    /// The conduct of the host at the other side of this end.
    pub(super) fn conduct_at(&self, end: PeerKey) -> Conduct {
        let remote = self.ends.get(end).map(|end| end.remote);
        remote.map_or(Conduct::Honest, |remote| self.hosts[remote.0 as usize].conduct)
    }

    /// After a failed piece, the neighbors that lie and change their peer id reconnect.
    pub(super) fn reconnect_liars(&mut self, host: HostId) {
        let to_host = self.ends.iter().filter(|(_, end)| end.remote == host);
        let liars: BTreeSet<HostId> = to_host.map(|(_, end)| end.host).collect();
        for liar in liars {
            if self.hosts[liar.0 as usize].conduct == Conduct::SendsFalseDataUnderNewIds {
                self.reconnect(liar, host);
            }
        }
    }

    /// Closes the connections of one host to another, and dials it again.
    pub(super) fn reconnect(&mut self, host: HostId, remote: HostId) {
        let mine = |(_, end): &(PeerKey, &End)| end.host == host && end.remote == remote;
        let ends: Vec<_> = self.ends.iter().filter(mine).map(|(key, _)| key).collect();
        for end in ends {
            let reason = DisconnectReason::Closed;
            self.close(end);
            self.tell(host, Input::Disconnected { peer: end, reason });
        }
        self.dial(host, address(remote));
    }

    /// Closes our end now. The other end notices once what is in flight has arrived.
    pub(super) fn close(&mut self, peer: PeerKey) {
        if let Some(End { delay, .. }) = self.ends.remove(peer) {
            self.observer.traffic(self.now, Traffic::Closes { end: peer });
            let reached = Scheduled::Reached { end: other_end(peer), item: Item::Close };
            self.schedule_after(delay, reached);
        }
    }

    fn delay(&self, from: HostId, to: HostId) -> Duration {
        self.hosts[from.0 as usize].link.delay + self.hosts[to.0 as usize].link.delay
    }
}

#[cfg(test)]
mod tests {
    use common::bitfield::Bitfield;
    use common::geometry::Geometry;
    use common::moment::Moment;

    use super::*;
    use crate::decision::Decision;
    use crate::sim::{Conduct, Link, Participant, Settings, Trace};

    /// A seed that sends a block a second, and a leecher that receives two.
    fn seed_and_leecher<O: Observer + Default>() -> (World<O>, [HostId; 2]) {
        let geometry = Geometry::new(1 << 20, 1 << 16).unwrap();
        let announce_interval = Duration::from_secs(1800);
        let mut world = World::new(Settings { geometry, announce_interval }, 1);
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
    fn a_block_takes_the_time_of_its_path() {
        let (mut world, [_, leecher]) = seed_and_leecher::<Trace>();
        let came = |world: &World<Trace>| world.peer(leecher).totals().downloaded > 0;
        assert!(world.run_until(came, Duration::from_secs(10)));
        // Of 10 ms: 2 to the tracker and back; of 20 ms: 3 to dial, 1 for the answer, which the
        // bitfield follows; then interested, unchoke, request, and the block over both links.
        let delays = Duration::from_millis(2 * 10 + (3 + 1 + 3 + 1) * 20);
        assert_eq!(world.elapsed(), delays + Duration::from_millis(1000 + 500));
    }

    #[test]
    fn messages_sent_during_a_block_arrive_after_it() {
        let (mut world, [seed, leecher]) = seed_and_leecher::<Trace>();
        let sends = |world: &World<Trace>| world.ends.iter().any(|(_, end)| end.behind.is_some());
        assert!(world.run_until(sends, Duration::from_secs(10)));
        let (peer, _) = world.ends.iter().find(|(_, end)| end.host == seed).unwrap();
        world.send(peer, Item::Message(Message::Choke));
        let choked =
            |world: &World<Trace>| world.peer(leecher).neighbors().all(|other| other.peer_choking);
        assert!(world.run_until(choked, Duration::from_secs(10)));
        assert_eq!(world.peer(leecher).totals().downloaded, 16 * 1024);
    }

    /// What went over the network, counted.
    #[derive(Debug, Default)]
    struct Counts {
        dials: u32,
        opened: u32,
        sent: u32,
        blocks_begun: u32,
        blocks_sent: u32,
        received: u32,
        closed: u32,
        announces: u32,
    }

    impl Observer for Counts {
        fn decision(&mut self, _: Moment, _: HostId, _: Decision) {}

        fn traffic(&mut self, _: Moment, traffic: Traffic<'_>) {
            match traffic {
                Traffic::Dials { .. } => self.dials += 1,
                Traffic::Opens { .. } => self.opened += 1,
                Traffic::Sends { message, .. } => {
                    self.sent += 1;
                    self.blocks_sent += u32::from(matches!(message, Message::Piece(_)));
                }
                Traffic::Begins { .. } => self.blocks_begun += 1,
                Traffic::Receives { .. } => self.received += 1,
                Traffic::Closes { .. } => self.closed += 1,
                Traffic::Announces { .. } => self.announces += 1,
            }
        }
    }

    #[test]
    fn an_observer_sees_all_that_goes_over_the_network() {
        let (mut world, [seed, leecher]) = seed_and_leecher::<Counts>();
        assert!(world.run_until(World::all_complete, Duration::from_secs(100)));
        world.run_for(Duration::from_secs(1));
        world.leave(leecher);
        world.leave(seed);
        world.run_for(Duration::from_secs(1));
        let Counts { dials, opened, sent, blocks_begun, blocks_sent, received, closed, announces } =
            world.observer;
        assert_eq!((dials, opened), (1, 1));
        assert_eq!((blocks_begun, blocks_sent), (64, 64));
        // One close may arrive as well, and the last haves meet a closed end.
        assert!((sent - 2..=sent + 1).contains(&received), "{received} of {sent}");
        assert!((1..=2).contains(&closed));
        // Started twice, completed, stopped twice.
        assert_eq!(announces, 5);
    }

    #[test]
    fn a_dial_to_no_peer_fails() {
        let (mut world, [seed, leecher]) = seed_and_leecher::<Trace>();
        world.leave(seed);
        world.introduce(leecher, seed);
        world.run_for(Duration::from_secs(600));
        assert_eq!((world.ends.iter().count(), world.ends.opened()), (0, 0));
    }
}
