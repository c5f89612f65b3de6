//! Asking for blocks, and what becomes of them.

use std::time::Instant;

use common::geometry::{BLOCK_LENGTH, Block, PieceIndex};
use common::message::Message;

use super::{Action, Torrent};
use crate::PeerKey;
use crate::decision::{Decision, DisconnectReason};
use crate::limiter::Turn;
use crate::picker::{Arrival, Pick};
use crate::remote::Request;

/// Blocks that were never asked for, until we have enough of it.
const MAX_UNREQUESTED: u32 = 10;

impl Torrent {
    /// Sends as many requests to a neighbour as should be on the way.
    pub(super) fn request_more(&mut self, peer: PeerKey, now: Instant) {
        let Some(remote) = self.remotes.get(&peer) else { return };
        if remote.peer_choking || !remote.am_interested {
            return;
        }
        let missing = remote.request_depth(now).saturating_sub(remote.requests.len());
        for _ in 0..missing {
            if self.download_limiter.take(peer, BLOCK_LENGTH, now) == Turn::Wait {
                break;
            }
            let Some(pick) = self.pick(peer) else {
                self.download_limiter.refund(BLOCK_LENGTH);
                break;
            };
            self.download_limiter.refund(BLOCK_LENGTH - pick.block.length());
            self.request(peer, pick, now);
        }
    }

    /// A block came, asked for or not. Its bytes are with the shell.
    pub(super) fn on_block(&mut self, peer: PeerKey, block: Block, now: Instant) {
        let Some(remote) = self.remotes.get_mut(&peer) else { return };
        let length = u64::from(block.length());
        let requested = remote.take_request(block).is_some();
        if !requested && !remote.was_given_up(block) {
            remote.unrequested += 1;
            self.totals.wasted += length;
            if remote.unrequested > MAX_UNREQUESTED {
                self.disconnect(peer, DisconnectReason::SentUnrequested, now);
            }
            return;
        }
        remote.block_arrived(block, now);
        let sender = remote.peer_id;
        self.totals.downloaded += length;
        match self.picker.received(block, sender, requested) {
            Arrival::Unneeded => self.totals.wasted += length,
            Arrival::Stored { asked_elsewhere } => {
                self.act(Action::WriteBlock(block));
                self.cancel_if(asked_elsewhere, block, now);
            }
            Arrival::LastOfPiece { asked_elsewhere } => {
                self.act(Action::WriteBlock(block));
                self.act(Action::CheckPiece(block.piece()));
                self.cancel_if(asked_elsewhere, block, now);
            }
        }
        self.request_more(peer, now);
    }

    pub(super) fn on_verified(&mut self, piece: PieceIndex, now: Instant) {
        for sender in self.picker.verified(piece) {
            self.reputation.good_piece(sender);
        }
        let (have, of) = (self.have().count(), self.geometry.piece_count());
        self.explain(Decision::Verified { chunk: piece.get(), have, of });
        let peers: Vec<PeerKey> = self.remotes.keys().copied().collect();
        for peer in peers {
            self.send(peer, Message::Have(piece), now);
            if let Some(remote) = self.remotes.get_mut(&peer)
                && remote.has.contains(piece)
            {
                remote.wanted -= 1;
                self.update_interest(peer, now);
            }
        }
        if self.is_complete() {
            self.on_complete(now);
        }
    }

    pub(super) fn on_hash_failed(&mut self, piece: PieceIndex, now: Instant) {
        self.totals.wasted += u64::from(self.geometry.piece_size(piece));
        let senders = self.picker.failed(piece, &mut self.rng);
        let there = self.remotes.values().filter(|remote| senders.contains(&remote.peer_id));
        let from = there.map(|remote| remote.address).collect();
        self.explain(Decision::HashFailed { chunk: piece.get(), from });
        if let Some(liar) = self.reputation.bad_piece(piece, &senders) {
            let connected = self.remotes.iter().find(|(_, remote)| remote.peer_id == liar);
            if let Some((&peer, _)) = connected {
                self.disconnect(peer, DisconnectReason::SentFalseData, now);
            }
        }
        self.request_from_all(now);
    }

    /// Requests without an answer for too long go to others.
    pub(super) fn give_up_old_requests(&mut self, peer: PeerKey, now: Instant) {
        let Some(remote) = self.remotes.get_mut(&peer) else { return };
        let timed_out = remote.take_timed_out(now);
        if timed_out.is_empty() {
            return;
        }
        let (peer, blocks) = (remote.address, timed_out.len());
        timed_out.into_iter().for_each(|block| self.picker.release(block));
        self.explain(Decision::RequestTimedOut { peer, blocks });
        self.request_from_all(now);
    }

    /// When the endgame begins, whoever was asked for nothing is asked for what others were asked
    /// for. Who becomes idle later asks for itself.
    pub(super) fn begin_endgame(&mut self, now: Instant) {
        let was_in_endgame = std::mem::replace(&mut self.in_endgame, self.picker.in_endgame());
        if was_in_endgame || !self.in_endgame {
            return;
        }
        self.explain(Decision::Endgame { chunks: self.picker.begun_count() });
        self.request_from_all(now);
    }

    fn on_complete(&mut self, now: Instant) {
        let (downloaded, uploaded) = (self.totals.downloaded, self.totals.uploaded);
        self.explain(Decision::Complete { downloaded, uploaded });
        self.announcing.completed(now);
        self.become_seed();
        let peers: Vec<PeerKey> = self.remotes.keys().copied().collect();
        for peer in peers {
            self.part_if_both_complete(peer, now);
        }
        self.act(Action::Complete);
    }

    /// BEP 3: in the endgame, whoever was asked for a block that came from another is told.
    fn cancel_if(&mut self, asked_elsewhere: bool, block: Block, now: Instant) {
        if !asked_elsewhere {
            return;
        }
        let mut cancelled = Vec::new();
        for (&peer, remote) in &mut self.remotes {
            if remote.take_request(block).is_some() {
                remote.give_up(block);
                cancelled.push(peer);
            }
        }
        for peer in cancelled {
            self.send(peer, Message::Cancel(block), now);
            self.request_more(peer, now);
        }
    }

    fn pick(&mut self, peer: PeerKey) -> Option<Pick> {
        let remote = self.remotes.get(&peer)?;
        if let Some(pick) = self.picker.pick(&remote.has, &mut self.rng) {
            return Some(pick);
        }
        let idle = remote.requests.is_empty();
        let block = if idle { self.picker.pick_again(&remote.has, &mut self.rng) } else { None };
        Some(Pick { block: block?, begins: None })
    }

    fn request(&mut self, peer: PeerKey, pick: Pick, now: Instant) {
        let neighbors = self.remotes.len();
        let Some(remote) = self.remotes.get_mut(&peer) else { return };
        remote.requests.push_back(Request { block: pick.block, since: now });
        if let Some(reason) = pick.begins {
            let (chunk, from) = (pick.block.piece().get(), remote.address);
            self.explain(Decision::BeginChunk { chunk, from, reason, neighbors });
        }
        self.send(peer, Message::Request(pick.block), now);
    }
}
