//! Requesting blocks, and what becomes of them.

use common::bitfield::Bitfield;
use common::geometry::{BLOCK_LENGTH, Block, Geometry, PieceIndex};
use common::moment::Moment;
use common::report::{Identity, Totals};
use common::wire::Message;
use fastrand::Rng;

use super::exchange::{Receiving, Request};
use super::neighbor::Neighbor;
use super::{Config, Output, Torrent};
use crate::PeerKey;
use crate::decision::{Decision, DisconnectReason};
use crate::limiter::{Limiter, Turn};
use crate::picker::{Arrival, Asked, Pick, Picker, Policy, Sender};
use crate::reputation::{Judgement, Reputation};

/// The number of blocks that we never requested at which we disconnect.
const MAX_UNREQUESTED: u32 = 10;

/// What is missing, and which peers may send it.
#[derive(Debug)]
pub(super) struct Downloads {
    pub(super) picker: Picker,
    pub(super) limiter: Limiter,
    pub(super) reputation: Reputation,
    /// As it was after the last input.
    in_endgame: bool,
}

impl Downloads {
    pub(super) fn new(
        config: &Config,
        geometry: Geometry,
        have: Bitfield,
        rng: &mut Rng,
        now: Moment,
    ) -> Self {
        let policy = Policy { order: config.order, strict_priority: config.strict_priority };
        Self {
            picker: Picker::new(geometry, have, policy, rng),
            limiter: Limiter::new(config.download_limit, now),
            reputation: Reputation::default(),
            in_endgame: false,
        }
    }

    /// Whether the endgame has started since the last call.
    pub(super) fn endgame_began(&mut self) -> bool {
        let before = std::mem::replace(&mut self.in_endgame, self.picker.in_endgame());
        self.in_endgame && !before
    }

    /// Its pieces no longer count, and its requests are released.
    /// Returns a piece that is no longer in progress because of it.
    pub(super) fn neighbor_left(
        &mut self,
        neighbor: &Neighbor,
        rng: &mut Rng,
    ) -> Option<PieceIndex> {
        self.picker.peer_left(&neighbor.has, rng);
        self.limiter.forget(neighbor.key());
        let exchange = neighbor.exchange();
        let receiving = exchange.receiving.and_then(|receiving| receiving.request);
        let requests = exchange.requests.iter().copied().chain(receiving);
        requests.for_each(|request| self.picker.release(request.block));
        self.reputation.departed(neighbor.key());
        self.picker.departed(neighbor.key(), rng)
    }

    fn pick(&mut self, neighbor: &Neighbor, rng: &mut Rng) -> Option<Pick> {
        let asked = Asked {
            peer: neighbor.key(),
            has: &neighbor.has,
            on_parole: self.is_on_parole(neighbor),
        };
        if let Some(pick) = self.picker.pick(asked, rng) {
            return Some(pick);
        }
        let is_idle = neighbor.exchange().is_idle();
        let block = if is_idle { self.picker.pick_again(asked, rng) } else { None };
        Some(Pick { block: block?, begins: None, abandons: None })
    }

    pub(super) fn is_on_parole(&self, neighbor: &Neighbor) -> bool {
        self.reputation.is_on_parole(&sender(neighbor))
    }
}

impl Torrent {
    /// Sends as many requests to a neighbor as should be in flight.
    pub(super) fn request_more(&mut self, peer: PeerKey, now: Moment) {
        let count = self.neighbors.len();
        let Some(neighbor) = self.neighbors.get_mut(peer) else { return };
        if !neighbor.answers() {
            return;
        }
        let downloads = &mut self.downloads;
        while neighbor.takes_requests(now) {
            if downloads.limiter.take(peer, 1, BLOCK_LENGTH, now) == Turn::Wait {
                break;
            }
            let Some(pick) = downloads.pick(neighbor, &mut self.rng) else {
                downloads.limiter.refund(BLOCK_LENGTH);
                break;
            };
            let Pick { block, begins, abandons } = pick;
            downloads.limiter.refund(BLOCK_LENGTH - block.length());
            self.outputs.extend(abandons.map(Output::DropPiece));
            if let Some(reason) = begins {
                let (chunk, from) = (block.piece().get(), neighbor.identity().clone());
                let begin = Decision::BeginChunk { chunk, peer: from, reason, neighbors: count };
                self.outputs.push_back(Output::Explain(begin));
            }
            let exchange = neighbor.exchange.as_mut().expect("it has unchoked us");
            exchange.requests.push_back(Request { block, since: now });
            neighbor.last_sent = now;
            self.outputs.push_back(Output::Send { peer, message: Message::Request(block) });
        }
    }

    /// Requests blocks from every neighbor that answers, in random order.
    pub(super) fn request_from_all(&mut self, now: Moment) {
        let mut peers = self.neighbors.keys_where(Neighbor::answers);
        self.rng.shuffle(&mut peers);
        peers.into_iter().for_each(|peer| self.request_more(peer, now));
    }

    /// A block begins to arrive. Decides whether its bytes are of use.
    pub(super) fn on_piece_head(&mut self, peer: PeerKey, block: Block, now: Moment) {
        let Some(neighbor) = self.neighbors.get_mut(peer) else { return };
        let exchange = neighbor.begin_exchange(self.uploads.last_round());
        let request = exchange.take_request(block);
        if request.is_none() && !exchange.take_abandoned(block) {
            exchange.unrequested += 1;
            self.totals.wasted += u64::from(block.length());
            if exchange.unrequested > MAX_UNREQUESTED {
                return self.disconnect(peer, DisconnectReason::SentUnrequested, now);
            }
            self.outputs.push_back(Output::SkipBlock { peer, block });
            return;
        }
        let accepted = self.downloads.picker.needs(block);
        exchange.receiving = Some(Receiving { block, request, accepted });
        self.outputs.push_back(if accepted {
            Output::AcceptBlock { peer, block }
        } else {
            Output::SkipBlock { peer, block }
        });
    }

    /// All bytes of a block have arrived, or were skipped.
    pub(super) fn on_block_arrived(&mut self, peer: PeerKey, block: Block, now: Moment) {
        let Some(neighbor) = self.neighbors.get_mut(peer) else { return };
        neighbor.last_received = now;
        let Some(exchange) = &mut neighbor.exchange else { return };
        let Some(received) = exchange.receiving.take_if(|receiving| receiving.block == block)
        else {
            // It was not requested; that was counted when its head arrived.
            return;
        };
        let length = u64::from(block.length());
        exchange.block_arrived(block, now);
        self.totals.downloaded += length;
        self.pending.ask.push(peer);
        let arrival = if received.accepted {
            let sender = sender(neighbor);
            self.downloads.picker.received(block, sender, received.request.is_some())
        } else {
            Arrival::Unneeded
        };
        let (last, asked_elsewhere) = match arrival {
            Arrival::Unneeded => {
                self.totals.wasted += length;
                return;
            }
            Arrival::Stored { asked_elsewhere } => (false, asked_elsewhere),
            Arrival::LastOfPiece { asked_elsewhere } => (true, asked_elsewhere),
        };
        self.outputs.push_back(Output::KeepBlock { peer, block });
        if last {
            self.outputs.push_back(Output::CheckPiece(block.piece()));
        }
        if asked_elsewhere {
            self.cancel(block, now);
        }
    }

    pub(super) fn on_verified(&mut self, piece: PieceIndex, now: Moment) {
        let senders = self.downloads.picker.verified(piece);
        self.downloads.reputation.passed(&senders);
        let (have, of) = (self.have().count(), self.geometry.piece_count());
        self.explain(Decision::Verified { chunk: piece.get(), have, of });
        let mut exhausted = Vec::new();
        for neighbor in self.neighbors.iter_mut() {
            let peer = neighbor.key();
            neighbor.last_sent = now;
            self.outputs.push_back(Output::Send { peer, message: Message::Have(piece) });
            if neighbor.wanted == Some(piece) {
                neighbor.wanted = neighbor.has.first_missing_in(self.downloads.picker.have());
                exhausted.extend(neighbor.wanted.is_none().then_some(peer));
            }
        }
        exhausted.into_iter().for_each(|peer| self.update_interest(peer, now));
        // A peer on parole waits for the hash, and others perhaps for memory.
        self.pending.ask.extend(self.neighbors.keys_where(Neighbor::answers));
        if self.is_complete() {
            self.on_complete(now);
        }
    }

    pub(super) fn on_hash_failed(&mut self, piece: PieceIndex, now: Moment) {
        self.totals.wasted += u64::from(self.geometry.piece_size(piece));
        let senders = self.downloads.picker.failed(piece, &mut self.rng);
        let from: Vec<Identity> = senders
            .iter()
            .filter_map(|sender| self.neighbors.get(sender.peer))
            .map(|neighbor| neighbor.identity().clone())
            .collect();
        self.explain(Decision::HashFailed { chunk: piece.get(), from });
        if let Judgement::Banned(liar) = self.downloads.reputation.failed(&senders) {
            let is_it = |other: &Neighbor| (other.ip(), other.peer_id()) == (liar.ip, liar.peer_id);
            for peer in self.neighbors.keys_where(is_it) {
                self.disconnect(peer, DisconnectReason::SentFalseData, now);
            }
        }
        self.pending.ask_all = true;
    }

    /// Requests that stay unanswered for too long go to other peers.
    pub(super) fn abandon_old_requests(&mut self, now: Moment) {
        for neighbor in self.neighbors.iter_mut() {
            let peer = neighbor.key();
            let Some(exchange) = &mut neighbor.exchange else { continue };
            let timed_out = exchange.take_timed_out(now);
            if timed_out.is_empty() {
                // Requests that a limit held back, or that waited for their turn, may go now.
                self.pending.ask.push(peer);
                continue;
            }
            let (peer, blocks) = (neighbor.identity().clone(), timed_out.len());
            timed_out.into_iter().for_each(|block| self.downloads.picker.release(block));
            self.outputs.push_back(Output::Explain(Decision::RequestTimedOut { peer, blocks }));
            self.pending.ask_all = true;
        }
    }

    fn on_complete(&mut self, now: Moment) {
        let Totals { downloaded, uploaded, .. } = self.totals;
        self.explain(Decision::Complete { downloaded, uploaded });
        self.sources.tracker.completed(now);
        self.uploads.become_seed(&self.config);
        for peer in self.neighbors.keys_where(|other| other.has.is_full()) {
            self.disconnect(peer, DisconnectReason::BothComplete, now);
        }
        self.outputs.push_back(Output::Complete);
    }

    /// BEP 3: in the endgame, a block that has arrived is canceled at the other peers that were
    /// asked for it.
    fn cancel(&mut self, block: Block, now: Moment) {
        for neighbor in self.neighbors.iter_mut() {
            let peer = neighbor.key();
            let Some(exchange) = &mut neighbor.exchange else { continue };
            if let Some(receiving) = &mut exchange.receiving
                && receiving.block == block
            {
                // The block is already arriving, too late to cancel; but the request no longer
                // stands.
                receiving.request = None;
            }
            if exchange.take_request(block).is_some() {
                exchange.abandon(block);
                neighbor.last_sent = now;
                self.outputs.push_back(Output::Send { peer, message: Message::Cancel(block) });
                self.pending.ask.push(peer);
            }
        }
    }
}

fn sender(neighbor: &Neighbor) -> Sender {
    Sender { peer: neighbor.key(), ip: neighbor.ip(), peer_id: neighbor.peer_id() }
}
