//! The messages of neighbors, one by one (BEP 3).

use common::bitfield::Bitfield;
use common::geometry::{Block, PieceIndex};
use common::moment::Moment;
use common::wire::Message;

use super::Torrent;
use crate::PeerKey;
use crate::choker::Occasion;
use crate::decision::DisconnectReason;
use crate::rate::Take;

impl Torrent {
    pub(super) fn on_message(&mut self, peer: PeerKey, message: Message, now: Moment) {
        // What a peer had sent before we closed its connection is of no interest.
        let Some(neighbor) = self.neighbors.get_mut(peer) else { return };
        neighbor.last_received = now;
        if is_control(&message) && neighbor.connection.control_messages.take(1, now) != Take::Taken
        {
            return self.disconnect(peer, DisconnectReason::Flooded, now);
        }
        match message {
            Message::KeepAlive | Message::Port(_) | Message::Unknown(_) => {}
            Message::Choke => self.on_choke(peer),
            Message::Unchoke => {
                neighbor.peer_choking = false;
                neighbor.begin_exchange(self.uploads.last_round());
                self.pending.ask.push(peer);
            }
            Message::Interested => self.on_interest(peer, true),
            Message::NotInterested => self.on_interest(peer, false),
            Message::Have(piece) => self.on_have(peer, piece, now),
            Message::Bitfield(bitfield) => self.on_bitfield(peer, bitfield, now),
            Message::Request(block) => self.on_request(peer, block, now),
            Message::Piece(block) => self.on_piece_head(peer, block, now),
            Message::Cancel(block) => {
                if let Some(exchange) = &mut neighbor.exchange {
                    exchange.uploads.retain(|&queued| queued != block);
                }
            }
            Message::Extended(theirs) => self.on_extended(peer, theirs),
        }
    }

    /// BEP 3: a choke discards the requests. Blocks that are in flight already may still come.
    fn on_choke(&mut self, peer: PeerKey) {
        let Some(neighbor) = self.neighbors.get_mut(peer) else { return };
        neighbor.peer_choking = true;
        let Some(exchange) = &mut neighbor.exchange else { return };
        let blocks = exchange.abandon_requests();
        self.pending.ask_all |= !blocks.is_empty();
        blocks.into_iter().for_each(|block| self.downloads.picker.release(block));
    }

    fn on_interest(&mut self, peer: PeerKey, interested: bool) {
        let Some(neighbor) = self.neighbors.get_mut(peer) else { return };
        if neighbor.peer_interested != interested {
            neighbor.peer_interested = interested;
            self.pending.occasions.push(Occasion::InterestChanged(peer));
        }
    }

    fn on_have(&mut self, peer: PeerKey, piece: PieceIndex, now: Moment) {
        let Some(neighbor) = self.neighbors.get_mut(peer) else { return };
        if neighbor.has.contains(piece) {
            return;
        }
        neighbor.has.insert(piece);
        neighbor.haves += 1;
        let picker = &mut self.downloads.picker;
        picker.peer_gained(piece, &neighbor.has, &mut self.rng);
        // Most haves come from neighbors that interest us already, and choke us.
        let interests_now = neighbor.wanted.is_none() && !picker.have().contains(piece);
        if interests_now {
            neighbor.wanted = Some(piece);
        }
        if interests_now || neighbor.answers() || neighbor.has.is_full() {
            self.after_news(peer, now);
        }
    }

    fn on_bitfield(&mut self, peer: PeerKey, bitfield: Bitfield, now: Moment) {
        let Some(neighbor) = self.neighbors.get_mut(peer) else { return };
        // BEP 3: "only ever sent as the first message". In practice it is not: aria2 sends one in
        // place of many haves. But no peer loses a piece.
        if neighbor.has.count_missing_in(&bitfield) > 0 {
            return self.disconnect(peer, DisconnectReason::TookBack, now);
        }
        let picker = &mut self.downloads.picker;
        if neighbor.has.is_empty() {
            picker.peer_joined(&bitfield, &mut self.rng);
            neighbor.has = bitfield;
        } else {
            for piece in bitfield.iter() {
                if !neighbor.has.contains(piece) {
                    neighbor.has.insert(piece);
                    picker.peer_gained(piece, &neighbor.has, &mut self.rng);
                }
            }
        }
        neighbor.wanted = neighbor.has.first_missing_in(picker.have());
        self.after_news(peer, now);
    }

    /// A neighbor has more pieces than before.
    fn after_news(&mut self, peer: PeerKey, now: Moment) {
        if self.is_complete() && self.neighbors.get(peer).is_some_and(|other| other.has.is_full()) {
            // Neither has anything that the other needs.
            return self.disconnect(peer, DisconnectReason::BothComplete, now);
        }
        self.update_interest(peer, now);
        self.pending.ask.push(peer);
    }

    fn on_request(&mut self, peer: PeerKey, block: Block, now: Moment) {
        let has_piece = self.have().contains(block.piece());
        let Some(neighbor) = self.neighbors.get_mut(peer) else { return };
        if !has_piece {
            return self.disconnect(peer, DisconnectReason::RequestedMissing, now);
        }
        // The peer may not have seen our choke yet; ignore the request. A peer that is not
        // interested may not request blocks.
        if !neighbor.am_choking
            && neighbor.peer_interested
            && let Some(exchange) = &mut neighbor.exchange
        {
            exchange.queue_upload(block);
            self.upload_ready(peer);
        }
    }

    /// BEP 3: the interested state "must be kept up to date at all times".
    pub(super) fn update_interest(&mut self, peer: PeerKey, now: Moment) {
        let Some(neighbor) = self.neighbors.get_mut(peer) else { return };
        let interested = neighbor.wanted.is_some();
        if neighbor.am_interested != interested {
            neighbor.am_interested = interested;
            let message = if interested { Message::Interested } else { Message::NotInterested };
            self.send(peer, message, now);
        }
    }
}

/// Messages that cost their sender nothing and gain it nothing; we limit how many arrive.
fn is_control(message: &Message) -> bool {
    // These four cost little, and the queue bounds what is requested.
    !matches!(
        message,
        Message::Have(_) | Message::Request(_) | Message::Piece(_) | Message::Cancel(_)
    )
}
