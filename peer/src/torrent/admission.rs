//! Connections: which peers to dial, to accept and to evict.

use std::net::SocketAddr;
use std::time::Duration;

use common::moment::Moment;
use common::report::{Direction, Identity};
use common::wire::{ExtendedHandshake, Message};

use super::exchange::MAX_UPLOADS;
use super::neighbor::{Connection, Extensions, Neighbor};
use super::sources::Need;
use super::{Output, Torrent};
use crate::PeerKey;
use crate::choker::Occasion;
use crate::decision::{Decision, DisconnectReason};

/// The share of all neighbors that is enough (mainline: 40 of 80). We dial that many ourselves; the
/// other places are for peers that dial us. A peer that has enough tries each address that it
/// learns once, but none that failed or refused it. In a swarm where most peers are full, it would
/// otherwise go on forever, and each place that it gains by an eviction is one that another loses.
const ENOUGH: (usize, usize) = (3, 4);

/// Dials in progress at a time (libtorrent and mainline: 8 to 30).
const MAX_DIALING: usize = 10;

/// With fewer neighbors than this, and fewer than enough, the tracker is asked for more (mainline:
/// 20).
const FEW_NEIGHBORS: usize = 20;

/// If two connections to the same peer open within this time, both sides dialed.
const DIALED_AT_ONCE: Duration = Duration::from_secs(5);

/// The time until a neighbor with which no block was exchanged may be evicted: four changes of the
/// optimistic unchoke, so that it had a chance to trade.
pub(super) const IDLE_AFTER: Duration = Duration::from_secs(120);

/// The least time between two evictions, so that newcomers never evict one neighbor after another.
pub(super) const EVICTION_INTERVAL: Duration = Duration::from_secs(60);

/// The time that a neighbor that connected to us has to tell its listening port; until then
/// addresses with its IP address are not dialed, because one of them may be its own.
pub(super) const LISTEN_PORT_WAIT: Duration = Duration::from_secs(10);

/// BEP 3: keep-alives "are generally sent once every two minutes".
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(110);

/// A peer that is silent for two keep-alives is gone.
const SILENT_AFTER: Duration = Duration::from_secs(240);

/// What becomes of a peer that connected.
enum Admission {
    Accept,
    /// Another neighbor is evicted for it.
    Replace(PeerKey, DisconnectReason),
    Refuse(DisconnectReason),
    /// This neighbor is the same peer, and its connection stays.
    Known(PeerKey),
}

impl Torrent {
    pub(super) fn on_connected(
        &mut self,
        identity: Identity,
        direction: Direction,
        extensions: bool,
        now: Moment,
    ) {
        let pieces = self.geometry.piece_count();
        let mut new = Neighbor::new(identity, direction, extensions, pieces, now);
        if direction == Direction::Outgoing {
            self.sources.book.connected(new.identity().address);
        }
        match self.admission(&new, now) {
            Admission::Accept => self.accept(new, now),
            Admission::Replace(old, reason) => {
                if reason == DisconnectReason::Evicted {
                    self.sources.next_eviction = now + EVICTION_INTERVAL;
                }
                self.accept(new, now);
                self.disconnect(old, reason, now);
            }
            Admission::Refuse(reason) => self.refuse(new, reason, now),
            Admission::Known(old) => {
                let old = self.neighbors.get_mut(old).expect("admission found it");
                // A peer that stays connected is not dialed, whatever addresses it has.
                old.connection.listens_at.append(&mut new.connection.listens_at);
                self.refuse(new, DisconnectReason::Duplicate, now);
            }
        }
    }

    pub(super) fn on_disconnected(&mut self, peer: PeerKey, reason: DisconnectReason, now: Moment) {
        self.remove(peer, reason, now);
    }

    /// Ends the connection from our side.
    pub(super) fn disconnect(&mut self, peer: PeerKey, reason: DisconnectReason, now: Moment) {
        self.remove(peer, reason.clone(), now);
        self.outputs.push_back(Output::Disconnect { peer, reason });
    }

    /// Work that is due every ten seconds.
    pub(super) fn check_neighbors(&mut self, now: Moment) {
        let silent = self.neighbors.keys_where(|other| now >= other.last_received + SILENT_AFTER);
        for peer in silent {
            self.disconnect(peer, DisconnectReason::Silent, now);
        }
        for peer in self.undecided_duplicates(now) {
            self.disconnect(peer, DisconnectReason::Duplicate, now);
        }
        for peer in self.neighbors.keys_where(|other| now >= other.last_sent + KEEP_ALIVE_AFTER) {
            self.send(peer, Message::KeepAlive, now);
        }
        self.abandon_old_requests(now);
    }

    /// A neighbor announced its listening port, so that address is not dialed.
    pub(super) fn on_extended(&mut self, peer: PeerKey, theirs: ExtendedHandshake) {
        let Some(neighbor) = self.neighbors.get_mut(peer) else { return };
        // Only once, so that a neighbor cannot fill the address book with ports.
        let is_first = !matches!(neighbor.connection.extensions, Extensions::Told(_));
        if let Some(port) = theirs.listen_port.filter(|_| is_first) {
            let address = SocketAddr::new(neighbor.ip(), port);
            if !neighbor.connection.listens_at.contains(&address) {
                self.sources.book.connected(address);
                neighbor.connection.listens_at.push(address);
            }
        }
        neighbor.told(theirs);
        self.sources.book.unblocked();
    }

    /// Dials peers while we have fewer neighbors than we want.
    pub(super) fn dial_more(&mut self, now: Moment) {
        while self.next_dial().is_some_and(|due| due <= now) {
            let undecided = |ip| {
                let neighbors = self.neighbors.iter();
                neighbors.filter(|other| other.ip() == ip).any(|other| may_tell_port(other, now))
            };
            let retry = self.lacks_neighbors();
            let next = self.sources.book.next_to_dial(retry, now, &mut self.rng, undecided);
            let Some(address) = next else { break };
            self.outputs.push_back(Output::Dial { address });
        }
    }

    /// When to dial next, which may have passed. Seeds dial as well: a peer that cannot be dialed
    /// needs that.
    pub(super) fn next_dial(&self) -> Option<Moment> {
        let dialing = self.sources.book.dialing();
        let has_place = dialing < MAX_DIALING
            && self.neighbors.len() + dialing < self.config.max_neighbors
            && self.neighbors.outgoing() + dialing < self.enough();
        if has_place { self.sources.book.next_due(self.lacks_neighbors()) } else { None }
    }

    /// Whether to dial addresses that failed before.
    fn lacks_neighbors(&self) -> bool {
        self.neighbors.len() + self.sources.book.dialing() < self.enough()
    }

    fn enough(&self) -> usize {
        let (share, of) = ENOUGH;
        (self.config.max_neighbors * share).div_ceil(of)
    }

    /// What we need from the tracker.
    pub(super) fn need(&self) -> Need {
        match self.neighbors.len() {
            _ if self.is_complete() => Need::Nothing,
            0 => Need::AnyPeer,
            count if count < FEW_NEIGHBORS.min(self.enough()) => Need::MorePeers,
            _ => Need::Nothing,
        }
    }

    /// Decides about a peer that connected; changes nothing.
    fn admission(&self, new: &Neighbor, now: Moment) -> Admission {
        let peer_id = new.peer_id();
        if peer_id == self.config.peer_id {
            return Admission::Refuse(DisconnectReason::Myself);
        }
        if self.downloads.reputation.is_banned(new.ip(), peer_id) {
            return Admission::Refuse(DisconnectReason::SentFalseData);
        }
        let same = |other: &&Neighbor| other.peer_id() == peer_id;
        if let Some(old) = self.neighbors.iter().find(same) {
            return self.duplicate(old, new, now);
        }
        if self.neighbors.len() < self.config.max_neighbors {
            return Admission::Accept;
        }
        // When we dialed the peer a place was free; another peer has taken it since.
        let may_evict = new.direction() == Direction::Incoming && now >= self.sources.next_eviction;
        match self.idle_neighbor(now).filter(|_| may_evict) {
            Some(idle) => Admission::Replace(idle, DisconnectReason::Evicted),
            None => Admission::Refuse(DisconnectReason::EnoughNeighbors),
        }
    }

    /// Decides between two connections to the same peer. Both ends must close the same one, or the
    /// peers lose each other; but how old a connection is differs by a round trip between the ends.
    ///
    /// If both dialed at once, the connection that the peer with the greater id dialed stays (as
    /// in libtorrent); otherwise the older one, which is in use. So a newer connection dialed by
    /// the smaller id always goes, and over one dialed by the greater id that peer alone decides.
    fn duplicate(&self, old: &Neighbor, new: &Neighbor, now: Moment) -> Admission {
        let we_dialed = new.direction() == Direction::Outgoing;
        let we_are_greater = self.config.peer_id > new.peer_id();
        if old.direction() == new.direction() || we_dialed != we_are_greater {
            Admission::Known(old.key())
        } else if !we_are_greater {
            // The peer closes one of the two connections.
            Admission::Accept
        } else if now < old.connected_at + DIALED_AT_ONCE {
            Admission::Replace(old.key(), DisconnectReason::Duplicate)
        } else {
            Admission::Known(old.key())
        }
    }

    /// The newer one of each pair of connections to the same peer, if the peer has closed neither.
    fn undecided_duplicates(&self, now: Moment) -> Vec<PeerKey> {
        self.neighbors.keys_where(|newer| {
            now >= newer.connected_at + super::CHECK_INTERVAL
                && self
                    .neighbors
                    .iter()
                    .any(|older| older.key() < newer.key() && older.peer_id() == newer.peer_id())
        })
    }

    /// The oldest of the neighbors with which no block was exchanged for minutes:
    /// a crowd that wants nothing must not keep out the peers that do.
    fn idle_neighbor(&self, now: Moment) -> Option<PeerKey> {
        let idle =
            |other: &&Neighbor| !other.has_traded() && now >= other.connected_at + IDLE_AFTER;
        self.neighbors.iter().find(idle).map(Neighbor::key)
    }

    fn accept(&mut self, neighbor: Neighbor, now: Moment) {
        let (peer, extensions) = (neighbor.key(), neighbor.connection.extensions.clone());
        if self.neighbors.is_empty() {
            self.uploads.skip_rounds(now);
        }
        self.downloads.reputation.joined(peer, neighbor.ip());
        let Connection { identity, direction, .. } = &*neighbor.connection;
        self.explain(Decision::Connect { peer: identity.clone(), direction: *direction });
        self.neighbors.insert(neighbor);
        if extensions == Extensions::Awaited {
            let ours = ExtendedHandshake {
                client: Some(concat!("peer ", env!("CARGO_PKG_VERSION")).to_owned()),
                listen_port: self.config.listen_port,
                request_queue: Some(u32::try_from(MAX_UPLOADS).expect("a small constant")),
            };
            self.send(peer, Message::Extended(ours), now);
        }
        if !self.have().is_empty() {
            let bitfield = Message::Bitfield(self.have().clone());
            self.send(peer, bitfield, now);
        }
        self.pending.occasions.push(Occasion::Joined(peer));
    }

    fn refuse(&mut self, new: Neighbor, reason: DisconnectReason, now: Moment) {
        let peer = new.key();
        let Connection { identity, listens_at, .. } = *new.connection;
        self.let_go(&listens_at, &reason, false, now);
        self.explain(Decision::Refuse { peer: identity, reason: reason.clone() });
        self.outputs.push_back(Output::Disconnect { peer, reason });
    }

    /// Removes a neighbor and its state. Decides nothing about other neighbors.
    fn remove(&mut self, peer: PeerKey, reason: DisconnectReason, now: Moment) {
        let Some(mut neighbor) = self.neighbors.remove(peer) else { return };
        let dropped = self.downloads.neighbor_left(&neighbor, &mut self.rng);
        self.pending.ask_all |= dropped.is_some();
        self.outputs.extend(dropped.map(Output::DropPiece));
        self.uploads.limiter.forget(peer);
        if may_tell_port(&neighbor, now) {
            self.sources.book.unblocked();
        }
        let same_peer = |other: &&mut Neighbor| other.peer_id() == neighbor.peer_id();
        if let Some(other) = self.neighbors.iter_mut().find(same_peer)
            && !is_final(&reason)
        {
            // The peer is still connected over another connection and must not be dialed.
            other.connection.listens_at.append(&mut neighbor.connection.listens_at);
        }
        self.let_go(&neighbor.connection.listens_at, &reason, neighbor.has_traded(), now);
        self.pending.occasions.push(Occasion::Left(peer));
        self.pending.ask_all |= !neighbor.exchange().is_idle();
        let (downloaded, uploaded) = (neighbor.downloaded(), neighbor.uploaded());
        let peer = neighbor.connection.identity;
        self.explain(Decision::Disconnect { peer, reason, downloaded, uploaded });
    }

    /// Decides whether and when to dial these addresses of the peer again.
    fn let_go(
        &mut self,
        addresses: &[SocketAddr],
        reason: &DisconnectReason,
        traded: bool,
        now: Moment,
    ) {
        for &address in addresses {
            if is_final(reason) {
                self.sources.book.avoid(address);
            } else {
                self.sources.book.disconnected(address, traded, now);
            }
        }
    }
}

/// Whether a neighbor may still tell its listening port.
fn may_tell_port(neighbor: &Neighbor, now: Moment) -> bool {
    neighbor.direction() == Direction::Incoming
        && neighbor.connection.extensions == Extensions::Awaited
        && now < neighbor.connected_at + LISTEN_PORT_WAIT
}

/// Whether never to dial the peer again.
fn is_final(reason: &DisconnectReason) -> bool {
    match reason {
        DisconnectReason::Myself
        | DisconnectReason::SentFalseData
        | DisconnectReason::BothComplete => true,
        DisconnectReason::Closed
        | DisconnectReason::Failed(_)
        | DisconnectReason::ProtocolError(_)
        | DisconnectReason::Duplicate
        | DisconnectReason::EnoughNeighbors
        | DisconnectReason::Evicted
        | DisconnectReason::Silent
        | DisconnectReason::SentUnrequested
        | DisconnectReason::RequestedMissing
        | DisconnectReason::TookBack
        | DisconnectReason::Flooded => false,
    }
}
