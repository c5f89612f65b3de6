//! Choking, and the blocks that we send.

use std::collections::VecDeque;
use std::time::Duration;

use common::geometry::Block;
use common::moment::Moment;
use common::report::Identity;
use common::wire::Message;

use super::exchange::Traffic;
use super::neighbor::{Neighbor, Reason};
use super::{Config, Output, Torrent};
use crate::PeerKey;
use crate::choker::{
    self, AskChoker, Asked, Candidate, Choice, Choker, Occasion, SNUBBED_AFTER, Strategy,
    UnchokeReason,
};
use crate::decision::Decision;
use crate::limiter::{Limiter, Turn};

/// Which neighbors we serve, and how fast.
#[derive(Debug)]
pub(super) struct Uploads {
    chooser: Chooser,
    pub(super) limiter: Limiter,
    /// Rounds so far.
    pub(super) round: u32,
    last_round: Moment,
    next_round: Moment,
    /// No neighbor is unchoked before.
    opens_at: Moment,
    /// Time between two rounds.
    period: Duration,
}

impl Uploads {
    pub(super) fn new(config: &Config, complete: bool, now: Moment) -> Self {
        let strategy = if complete { config.choker.when_complete() } else { config.choker };
        Self {
            chooser: Chooser::Named { strategy, choker: strategy.choker(&rules(config)) },
            limiter: Limiter::new(config.upload_limit, now),
            round: 0,
            last_round: now,
            next_round: now + config.gathering.unwrap_or(config.rechoke),
            opens_at: now + config.gathering.unwrap_or_default(),
            period: config.rechoke,
        }
    }

    /// When the last round began; before the first one, when the torrent started.
    pub(super) fn last_round(&self) -> Moment {
        self.last_round
    }

    pub(super) fn next_round(&self) -> Moment {
        self.next_round
    }

    /// Rounds keep to their times even if one was late, or some passed without a neighbor.
    pub(super) fn skip_rounds(&mut self, now: Moment) {
        while self.next_round <= now {
            self.next_round += self.period;
        }
    }

    /// From now on no neighbor can pay us back, and another rule applies.
    pub(super) fn become_seed(&mut self, config: &Config) {
        match &mut self.chooser {
            Chooser::Named { strategy, choker } => {
                *strategy = strategy.when_complete();
                *choker = strategy.choker(&rules(config));
            }
            Chooser::Asked(asked) => asked.become_seed(),
        }
    }
}

/// The choker: one of our own, or one outside.
#[derive(Debug)]
enum Chooser {
    Named { strategy: Strategy, choker: Box<dyn Choker> },
    Asked(Asked),
}

impl Chooser {
    fn choker(&mut self) -> &mut dyn Choker {
        match self {
            Self::Named { choker, .. } => choker.as_mut(),
            Self::Asked(asked) => asked,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Named { strategy, .. } => strategy.name,
            Self::Asked(_) => Asked::NAME,
        }
    }
}

fn rules(config: &Config) -> choker::Rules {
    let rounds = |period: Duration| {
        let rounds = period.as_nanos() / config.rechoke.as_nanos().max(1);
        u32::try_from(rounds).unwrap_or(u32::MAX).max(1)
    };
    choker::Rules { slots: config.slots, rounds_per_optimistic: config.optimistic.map(rounds) }
}

impl Torrent {
    /// From now on this decides in place of [`Config::choker`], also as a seed.
    ///
    /// A record does not hold its answers, so such a run cannot be replayed.
    pub fn ask_choker(&mut self, asks: Box<dyn AskChoker>) {
        let asked = Asked::new(asks, &rules(&self.config), self.is_complete());
        self.uploads.chooser = Chooser::Asked(asked);
    }

    /// The connection can take a block. No more than one or two should wait in a connection: a
    /// block there can no longer be canceled or choked.
    pub(super) fn on_writable(&mut self, peer: PeerKey, now: Moment) {
        let Some(neighbor) = self.neighbors.get_mut(peer) else { return };
        let Some(exchange) = &mut neighbor.exchange else { return };
        let Some(&block) = exchange.uploads.front() else { return };
        let turn = self.uploads.limiter.take(peer, exchange.share, block.length(), now);
        if turn == Turn::Granted {
            exchange.uploads.pop_front();
            exchange.sending += 1;
            self.outputs.push_back(Output::SendBlock { peer, block });
        }
    }

    pub(super) fn on_sent(&mut self, peer: PeerKey, block: Block, now: Moment) {
        let Some(neighbor) = self.neighbors.get_mut(peer) else { return };
        neighbor.last_sent = now;
        neighbor.begin_exchange(self.uploads.last_round).block_sent(block, now);
        self.totals.uploaded += u64::from(block.length());
    }

    pub(super) fn upload_ready(&mut self, peer: PeerKey) {
        let share = self.share(peer);
        self.outputs.push_back(Output::UploadReady { peer, share });
    }

    /// The weight of a neighbor, where connections take turns at one uplink.
    pub fn share(&self, peer: PeerKey) -> u32 {
        self.neighbors.get(peer).map_or(1, |neighbor| neighbor.exchange().share)
    }

    /// K&R 2.5: every ten seconds the peers that send us data at the highest rate are chosen again.
    pub(super) fn run_round(&mut self, now: Moment) {
        self.uploads.skip_rounds(now);
        if self.neighbors.is_empty() {
            return;
        }
        self.uploads.round += 1;
        self.uploads.last_round = now;
        self.neighbors.exchanges().for_each(|exchange| exchange.round(now));
        self.pending.occasions.push(Occasion::Round);
    }

    /// Runs the choker and applies its choice.
    pub(super) fn rechoke(&mut self, occasion: Occasion, now: Moment) {
        if now < self.uploads.opens_at {
            return;
        }
        let seeding = self.is_complete();
        let candidates: Vec<Candidate> =
            self.neighbors.iter().map(|neighbor| candidate(neighbor, seeding, now)).collect();
        let choice = self.uploads.chooser.choker().rechoke(occasion, &candidates, &mut self.rng);
        let is_round = occasion == Occasion::Round;
        if is_round {
            self.explain_round(&candidates, &choice);
        }
        let choker = self.uploads.chooser.name();
        for (neighbor, candidate) in self.neighbors.iter_mut().zip(&candidates) {
            let peer = candidate.peer;
            let unchoke = choice.unchoke(peer);
            let stays_choked = neighbor.am_choking && unchoke.is_none();
            if stays_choked && !occasion.is_about(peer) && choice.ranking.is_none() {
                // Between rounds most chokers rank no one: what the last round showed holds.
                continue;
            }
            let until_now = neighbor.connection.last_choice.reason.take();
            let was_optimistic = until_now.as_ref().is_some_and(Reason::is_optimistic);
            let reason = match unchoke {
                Some(unchoke) => {
                    let exchange = neighbor.begin_exchange(self.uploads.last_round);
                    if unchoke.share.is_some() || unchoke.reason != UnchokeReason::Kept {
                        exchange.share = unchoke.share.unwrap_or(1);
                    }
                    Reason::Unchoke(match (&unchoke.reason, until_now) {
                        (UnchokeReason::Kept, Some(Reason::Unchoke(before))) => before,
                        (reason, _) => reason.clone(),
                    })
                }
                None => Reason::Choke(match until_now {
                    Some(Reason::Choke(before)) if !occasion.is_about(peer) => before,
                    until_now => {
                        let until_now = until_now.as_ref().and_then(Reason::to_unchoke);
                        choice.choke_reason(candidate, until_now, &candidates, choker)
                    }
                }),
            };
            let chokes = reason.to_unchoke().is_none();
            let changes = chokes != neighbor.am_choking;
            if changes {
                let message = if chokes { Message::Choke } else { Message::Unchoke };
                self.outputs.push_back(Output::Send { peer, message });
                neighbor.am_choking = chokes;
                neighbor.last_sent = now;
                if chokes && let Some(exchange) = &mut neighbor.exchange {
                    // BEP 3: what the peer requested is discarded.
                    exchange.uploads = VecDeque::new();
                    self.uploads.limiter.forget(peer);
                }
            }
            if changes || is_round {
                let peer = neighbor.identity().clone();
                let decision = reason.decision(peer, changes, was_optimistic);
                self.outputs.push_back(Output::Explain(decision));
            }
            neighbor.connection.last_choice.reason = Some(reason);
            if let Some(ranking) = &choice.ranking {
                neighbor.connection.last_choice.rank = ranking.rank(peer);
            }
            if is_round {
                neighbor.haves = 0;
                if let Some(exchange) = &mut neighbor.exchange {
                    exchange.this_round = Traffic::default();
                }
            }
        }
    }

    fn explain_round(&mut self, candidates: &[Candidate], choice: &Choice) {
        let interested = candidates.iter().filter(|candidate| candidate.interested).count();
        let cut = choice.ranking.as_ref().and_then(|ranking| ranking.cut(candidates));
        let (round, neighbors) = (self.uploads.round, candidates.len());
        self.explain(Decision::Round { round, interested, neighbors, cut });
    }
}

impl Reason {
    fn to_unchoke(&self) -> Option<&UnchokeReason> {
        match self {
            Self::Unchoke(reason) => Some(reason),
            Self::Choke(_) => None,
        }
    }

    fn is_optimistic(&self) -> bool {
        use UnchokeReason::{Optimistic, OptimisticFill};
        matches!(self.to_unchoke(), Some(Optimistic | OptimisticFill))
    }

    /// Explains the choice about a neighbor; `changes` says whether it was choked or unchoked by
    /// it.
    fn decision(&self, peer: Identity, changes: bool, was_optimistic: bool) -> Decision {
        match (self.clone(), changes) {
            (Self::Unchoke(reason), true) => Decision::Unchoke { peer, reason },
            (Self::Unchoke(reason), false) => {
                let promoted = was_optimistic && matches!(reason, UnchokeReason::Top { .. });
                Decision::KeepUnchoked { peer, reason, promoted }
            }
            (Self::Choke(reason), true) => Decision::Choke { peer, reason },
            (Self::Choke(reason), false) => Decision::KeepChoked { peer, reason },
        }
    }
}

pub(super) fn candidate(neighbor: &Neighbor, seeding: bool, now: Moment) -> Candidate {
    let exchange = neighbor.exchange();
    let rate = if seeding { &exchange.upload_rate } else { &exchange.download_rate };
    Candidate {
        peer: neighbor.key(),
        interested: neighbor.peer_interested,
        unchoked: !neighbor.am_choking,
        snubbed: !seeding && is_snubbed_by(neighbor, now),
        since_block: exchange.last_block.map(|last| now - last),
        rate: rate.per_second(now),
        received: exchange.this_round.received,
        sent: exchange.this_round.sent,
        haves: neighbor.haves,
        pending: exchange.sending > 0 || !exchange.uploads.is_empty(),
    }
}

/// Whether a peer has sent nothing for over a minute though we want something of it.
pub(super) fn is_snubbed_by(neighbor: &Neighbor, now: Moment) -> bool {
    neighbor.am_interested && neighbor.silent_for(now) > SNUBBED_AFTER
}
