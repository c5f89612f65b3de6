//! What neighbours say, message by message (BEP 3).

use std::time::Instant;

use common::bitfield::Bitfield;
use common::geometry::{Block, PieceIndex};
use common::message::Message;

use super::{Action, Torrent};
use crate::PeerKey;
use crate::choker::Occasion;
use crate::decision::DisconnectReason;
use crate::rate::Take;
use crate::remote::Remote;

impl Torrent {
    pub(super) fn on_message(&mut self, peer: PeerKey, message: Message, now: Instant) {
        // What a peer had sent before we closed its connection is of no interest.
        let Some(remote) = self.remotes.get_mut(&peer) else { return };
        remote.last_received = now;
        if is_control(&message) && remote.control_messages.take(1, now) != Take::Taken {
            return self.disconnect(peer, DisconnectReason::Flooded, now);
        }
        match message {
            Message::KeepAlive | Message::Port(_) | Message::Unknown(_) => {}
            Message::Choke => self.on_choke(peer, now),
            Message::Unchoke => {
                remote.peer_choking = false;
                self.request_more(peer, now);
            }
            Message::Interested => self.on_interest(peer, true, now),
            Message::NotInterested => self.on_interest(peer, false, now),
            Message::Have(piece) => self.on_have(peer, piece, now),
            Message::Bitfield(bitfield) => self.on_bitfield(peer, bitfield, now),
            Message::Request(block) => self.on_request(peer, block, now),
            Message::Piece(block) => self.on_block(peer, block, now),
            Message::Cancel(block) => remote.uploads.retain(|&queued| queued != block),
        }
    }

    /// BEP 3: a choke discards what was asked for. What is on the way already may still come.
    fn on_choke(&mut self, peer: PeerKey, now: Instant) {
        let Some(remote) = self.remotes.get_mut(&peer) else { return };
        remote.peer_choking = true;
        if remote.requests.is_empty() {
            return;
        }
        for request in std::mem::take(&mut remote.requests) {
            self.picker.release(request.block);
            remote.give_up(request.block);
        }
        self.request_from_all(now);
    }

    fn on_interest(&mut self, peer: PeerKey, interested: bool, now: Instant) {
        let Some(remote) = self.remotes.get_mut(&peer) else { return };
        if remote.peer_interested != interested {
            remote.peer_interested = interested;
            self.rechoke(Occasion::InterestChanged(peer), now);
        }
    }

    fn on_have(&mut self, peer: PeerKey, piece: PieceIndex, now: Instant) {
        let Some(remote) = self.remotes.get_mut(&peer) else { return };
        if remote.has.contains(piece) {
            return;
        }
        remote.has.insert(piece);
        self.picker.peer_gained(piece, &remote.has, &mut self.rng);
        if !self.picker.have().contains(piece) {
            remote.wanted += 1;
        }
        self.after_news(peer, now);
    }

    fn on_bitfield(&mut self, peer: PeerKey, bitfield: Bitfield, now: Instant) {
        let Some(remote) = self.remotes.get_mut(&peer) else { return };
        // BEP 3: "only ever sent as the first message". In practice it is not: aria2 sends one in
        // place of many haves. But nobody loses a piece.
        if remote.has.count_missing_in(&bitfield) > 0 {
            return self.disconnect(peer, DisconnectReason::TookBack, now);
        }
        if remote.has.is_empty() {
            self.picker.peer_joined(&bitfield, &mut self.rng);
            remote.has = bitfield;
        } else {
            for piece in bitfield.iter() {
                if !remote.has.contains(piece) {
                    remote.has.insert(piece);
                    self.picker.peer_gained(piece, &remote.has, &mut self.rng);
                }
            }
        }
        remote.wanted = remote.has.count_missing_in(self.picker.have());
        self.after_news(peer, now);
    }

    /// A neighbour has more than before.
    fn after_news(&mut self, peer: PeerKey, now: Instant) {
        if self.part_if_both_complete(peer, now) {
            return;
        }
        self.update_interest(peer, now);
        self.request_more(peer, now);
    }

    fn on_request(&mut self, peer: PeerKey, block: Block, now: Instant) {
        let has_piece = self.have().contains(block.piece());
        let Some(remote) = self.remotes.get_mut(&peer) else { return };
        if !has_piece {
            return self.disconnect(peer, DisconnectReason::AskedForMissing, now);
        }
        // Whoever is choked may not have heard of it yet: no fault, and no answer. Who is not
        // interested has no business to ask.
        if !remote.am_choking && remote.peer_interested {
            remote.queue_upload(block);
            self.act(Action::Upload { peer });
        }
    }

    /// Seeds part: neither can use the other. Says whether they did.
    pub(super) fn part_if_both_complete(&mut self, peer: PeerKey, now: Instant) -> bool {
        let both = self.is_complete()
            && self.remotes.get(&peer).is_some_and(|remote| remote.has.is_full());
        if both {
            self.disconnect(peer, DisconnectReason::BothComplete, now);
        }
        both
    }

    /// BEP 3: the interested state "must be kept up to date at all times".
    pub(super) fn update_interest(&mut self, peer: PeerKey, now: Instant) {
        let Some(remote) = self.remotes.get_mut(&peer) else { return };
        let interested = remote.wanted > 0;
        if remote.am_interested != interested {
            remote.am_interested = interested;
            let message = if interested { Message::Interested } else { Message::NotInterested };
            self.send(peer, message, now);
        }
    }

    /// Everybody who answers requests is asked for what became free, in random order.
    pub(super) fn request_from_all(&mut self, now: Instant) {
        let answers = |remote: &Remote| !remote.peer_choking && remote.am_interested;
        let mut peers: Vec<PeerKey> =
            self.remotes.iter().filter(|(_, r)| answers(r)).map(|(&p, _)| p).collect();
        self.rng.shuffle(&mut peers);
        peers.into_iter().for_each(|peer| self.request_more(peer, now));
    }
}

/// Messages that cost their sender nothing and bring it nothing, and so are counted.
fn is_control(message: &Message) -> bool {
    match message {
        Message::KeepAlive
        | Message::Choke
        | Message::Unchoke
        | Message::Interested
        | Message::NotInterested
        | Message::Bitfield(_)
        | Message::Port(_)
        | Message::Unknown(_) => true,
        // These cost little, and the queue bounds what is asked for.
        Message::Have(_) | Message::Request(_) | Message::Piece(_) | Message::Cancel(_) => false,
    }
}
