//! Who is a neighbour: whom we call, whom we take in, whom we let go.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::id::PeerId;
use common::message::Message;

use super::announcing::Need;
use super::{Action, Torrent};
use crate::PeerKey;
use crate::choker::Occasion;
use crate::decision::{Decision, DisconnectReason};
use crate::remote::{Direction, Remote};

/// Of all neighbours, how many we call ourselves (mainline: 40 of 80); the rest may call us.
const CALLED_SHARE: (usize, usize) = (3, 4);

/// Calls at a time that were not answered yet (libtorrent and mainline: 8 to 30).
const MAX_CALLING: usize = 10;

/// With fewer neighbours than this the tracker is asked for more (mainline: 20).
const FEW_NEIGHBORS: usize = 20;

/// Two connections to the same peer that open within this time were opened by both sides.
const CALLED_AT_ONCE: Duration = Duration::from_secs(5);

/// Until a neighbour with whom no block was exchanged may have to make room: four changes of the
/// optimistic unchoke, so that it had a chance.
pub(super) const IDLE_AFTER: Duration = Duration::from_secs(120);

/// BEP 3: keep-alives "are generally sent once every two minutes".
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(110);

/// Who is silent for two keep-alives is gone.
const SILENT_AFTER: Duration = Duration::from_secs(240);

impl Torrent {
    pub(super) fn on_connected(
        &mut self,
        peer: PeerKey,
        address: SocketAddr,
        direction: Direction,
        peer_id: PeerId,
        now: Instant,
    ) {
        let mut remote = Remote::new(address, peer_id, direction, self.geometry.piece_count(), now);
        if direction == Direction::Outgoing {
            self.contacts.connected(address);
        }
        if let Err(reason) = self.make_room_for(&mut remote, now) {
            self.let_go(&remote.contacts, &reason, now);
            let (peer_id, why) = (peer_id.to_string(), reason.clone());
            self.explain(Decision::Refuse { peer: address, peer_id, reason: why });
            self.act(Action::Disconnect { peer, reason });
            self.call_more(now);
            return;
        }
        if self.remotes.is_empty() {
            self.skip_rounds(now);
        }
        self.remotes.insert(peer, remote);
        self.explain(Decision::Connect { peer: address, peer_id: peer_id.to_string(), direction });
        if !self.have().is_empty() {
            let bitfield = Message::Bitfield(self.have().clone());
            self.send(peer, bitfield, now);
        }
        self.rechoke(Occasion::Joined(peer), now);
    }

    pub(super) fn on_disconnected(
        &mut self,
        peer: PeerKey,
        reason: DisconnectReason,
        now: Instant,
    ) {
        let Some(remote) = self.remotes.remove(&peer) else { return };
        self.let_go(&remote.contacts, &reason, now);
        self.explain(Decision::Disconnect { peer: remote.address, reason });
        self.forget(peer, &remote, now);
    }

    /// Ends the connection from our side.
    pub(super) fn disconnect(&mut self, peer: PeerKey, reason: DisconnectReason, now: Instant) {
        let Some(remote) = self.remotes.remove(&peer) else { return };
        self.let_go(&remote.contacts, &reason, now);
        self.explain(Decision::Disconnect { peer: remote.address, reason: reason.clone() });
        self.act(Action::Disconnect { peer, reason });
        self.forget(peer, &remote, now);
    }

    /// Calls peers while there are fewer than we would like.
    pub(super) fn call_more(&mut self, now: Instant) {
        while self.wants_neighbors() {
            let Some(address) = self.contacts.next_to_call(now, &mut self.rng) else { break };
            self.act(Action::Connect { address });
        }
    }

    /// Whether to call somebody now. Seeds call as well: who cannot be called needs that.
    pub(super) fn wants_neighbors(&self) -> bool {
        let (share, of) = CALLED_SHARE;
        let outgoing = |remote: &&Remote| remote.direction == Direction::Outgoing;
        let called = || self.remotes.values().filter(outgoing).count();
        let calling = self.contacts.calling();
        calling < MAX_CALLING
            && self.remotes.len() + calling < self.config.max_neighbors
            && called() + calling < (self.config.max_neighbors * share).div_ceil(of)
    }

    /// What is looked after every ten seconds.
    pub(super) fn check_neighbors(&mut self, now: Instant) {
        let peers: Vec<PeerKey> = self.remotes.keys().copied().collect();
        for peer in peers {
            let Some(remote) = self.remotes.get(&peer) else { continue };
            if now >= remote.last_received + SILENT_AFTER {
                self.disconnect(peer, DisconnectReason::Silent, now);
                continue;
            }
            if now >= remote.last_sent + KEEP_ALIVE_AFTER {
                self.send(peer, Message::KeepAlive, now);
            }
            self.give_up_old_requests(peer, now);
            self.request_more(peer, now);
        }
    }

    /// What the tracker could do for us.
    pub(super) fn need(&self) -> Need {
        match self.remotes.len() {
            _ if self.is_complete() => Need::Nothing,
            0 => Need::AnyPeer,
            1..FEW_NEIGHBORS => Need::MorePeers,
            FEW_NEIGHBORS.. => Need::Nothing,
        }
    }

    /// Sees to it that there is a place for somebody new, or says why there is none for it.
    fn make_room_for(&mut self, new: &mut Remote, now: Instant) -> Result<(), DisconnectReason> {
        if new.peer_id == self.config.peer_id {
            return Err(DisconnectReason::Myself);
        }
        if self.reputation.is_banned(new.peer_id) {
            return Err(DisconnectReason::SentFalseData);
        }
        let same = |(_, other): &(&PeerKey, &mut Remote)| other.peer_id == new.peer_id;
        if let Some((&old_key, old)) = self.remotes.iter_mut().find(same) {
            // Both sides may have called each other at once. Then both must close the same one of
            // the two connections: the one that was opened by the smaller peer id (as libtorrent
            // does). One that has been at work for a while is not given up for a new one.
            let at_once = now < old.connected_at + CALLED_AT_ONCE;
            let kept = if self.config.peer_id > new.peer_id {
                Direction::Outgoing
            } else {
                Direction::Incoming
            };
            if !at_once || old.direction == new.direction || new.direction != kept {
                // Who stays connected is not to be called, whatever addresses it has.
                old.contacts.append(&mut new.contacts);
                return Err(DisconnectReason::Duplicate);
            }
            new.contacts.append(&mut old.contacts);
            self.disconnect(old_key, DisconnectReason::Duplicate, now);
        }
        if self.remotes.len() >= self.config.max_neighbors {
            let idle = self.idle_neighbor(now).ok_or(DisconnectReason::EnoughNeighbors)?;
            self.disconnect(idle, DisconnectReason::MadeRoom, now);
        }
        Ok(())
    }

    /// The one that has been here longest of those with whom no block was exchanged for minutes:
    /// a crowd that wants nothing must not keep out those who do.
    fn idle_neighbor(&self, now: Instant) -> Option<PeerKey> {
        let idle = |remote: &Remote| {
            remote.downloaded == 0
                && remote.uploaded == 0
                && now >= remote.connected_at + IDLE_AFTER
        };
        // Keys count up.
        self.remotes.iter().find(|(_, remote)| idle(remote)).map(|(&peer, _)| peer)
    }

    /// Settles whether whoever was reached at these addresses is to be called again.
    fn let_go(&mut self, contacts: &[SocketAddr], reason: &DisconnectReason, now: Instant) {
        for &address in contacts {
            if is_final(reason) {
                self.contacts.avoid(address);
            } else {
                self.contacts.disconnected(address, now);
            }
        }
    }

    /// What is to be done when a neighbour is no longer there.
    fn forget(&mut self, peer: PeerKey, remote: &Remote, now: Instant) {
        self.picker.peer_left(&remote.has, &mut self.rng);
        self.upload_limiter.forget(peer);
        self.download_limiter.forget(peer);
        let requests = remote.requests.iter();
        requests.for_each(|request| self.picker.release(request.block));
        self.rechoke(Occasion::Left(peer), now);
        if !remote.requests.is_empty() {
            self.request_from_all(now);
        }
        self.call_more(now);
    }
}

/// Whether to call somebody never again.
fn is_final(reason: &DisconnectReason) -> bool {
    match reason {
        DisconnectReason::Myself
        | DisconnectReason::SentFalseData
        | DisconnectReason::BothComplete => true,
        DisconnectReason::Closed
        | DisconnectReason::Failed(_)
        | DisconnectReason::BrokeProtocol(_)
        | DisconnectReason::Duplicate
        | DisconnectReason::EnoughNeighbors
        | DisconnectReason::MadeRoom
        | DisconnectReason::Silent
        | DisconnectReason::SentUnrequested
        | DisconnectReason::AskedForMissing
        | DisconnectReason::TookBack
        | DisconnectReason::Flooded => false,
    }
}
