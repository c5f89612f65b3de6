//! Whom we let download, and what we send them.

use std::time::{Duration, Instant};

use common::geometry::Block;
use common::message::Message;

use super::{Torrent, rounds};
use crate::PeerKey;
use crate::choker::{Candidate, Occasion, Settings, Verdict};
use crate::decision::Decision;
use crate::limiter::Turn;
use crate::remote::Remote;

/// Cohen's paper: a peer from which nothing came "for over a minute" is taken to snub us.
const SNUBBED_AFTER: Duration = Duration::from_secs(60);

impl Torrent {
    /// The next block for a neighbour whose connection can take one. Not more than one or two
    /// should wait in a connection: what is there can no longer be cancelled or choked.
    pub fn next_upload(&mut self, peer: PeerKey, now: Instant) -> Option<Block> {
        let remote = self.remotes.get_mut(&peer)?;
        let block = *remote.uploads.front()?;
        if self.upload_limiter.take(peer, block.length(), now) == Turn::Wait {
            return None;
        }
        remote.uploads.pop_front();
        remote.sending += 1;
        Some(block)
    }

    pub(super) fn on_sent(&mut self, peer: PeerKey, block: Block, now: Instant) {
        let Some(remote) = self.remotes.get_mut(&peer) else { return };
        remote.sending -= 1;
        remote.last_sent = now;
        remote.uploaded += u64::from(block.length());
        remote.upload_rate.add(block.length(), now);
        self.totals.uploaded += u64::from(block.length());
    }

    /// K&R 2.5: every ten seconds the peers that send us data at the highest rate are chosen anew.
    pub(super) fn run_round(&mut self, now: Instant) {
        if self.remotes.is_empty() {
            return;
        }
        self.round += 1;
        for remote in self.remotes.values_mut() {
            // Mainline's estimator moves its window whenever it is asked, so silence counts.
            remote.download_rate.add(0, now);
            remote.upload_rate.add(0, now);
        }
        let interested = self.remotes.values().filter(|remote| remote.peer_interested).count();
        let (round, neighbors) = (self.round, self.remotes.len());
        self.explain(Decision::Round { round, interested, neighbors });
        self.rechoke(Occasion::Round, now);
    }

    /// Asks the choker, and does what it says.
    pub(super) fn rechoke(&mut self, occasion: Occasion, now: Instant) {
        let candidates: Vec<Candidate> =
            self.remotes.iter().map(|(&peer, remote)| self.candidate(peer, remote, now)).collect();
        let verdicts = self.choker.rechoke(occasion, &candidates, &mut self.rng);
        for Verdict { peer, reason } in verdicts {
            let Some(remote) = self.remotes.get_mut(&peer) else { continue };
            let address = remote.address;
            match (remote.am_choking, reason.unchokes()) {
                (true, true) => {
                    remote.am_choking = false;
                    self.explain(Decision::Unchoke { peer: address, reason });
                    self.send(peer, Message::Unchoke, now);
                }
                (false, false) => {
                    remote.am_choking = true;
                    // BEP 3: what it asked for is discarded.
                    remote.uploads.clear();
                    self.explain(Decision::Choke { peer: address, reason });
                    self.send(peer, Message::Choke, now);
                }
                (false, true) if occasion == Occasion::Round => {
                    self.explain(Decision::KeepUnchoked { peer: address, reason });
                }
                (false, true) | (true, false) => {}
            }
        }
    }

    /// From now on others are served by another rule: nobody can pay us back.
    pub(super) fn become_seed(&mut self) {
        let settings = Settings {
            slots: self.config.slots,
            rounds_per_optimistic: rounds(self.config.optimistic, self.config.rechoke),
        };
        self.choker = self.config.choker.seed(&settings);
    }

    fn candidate(&self, peer: PeerKey, remote: &Remote, now: Instant) -> Candidate {
        let seeding = self.is_complete();
        let rate = if seeding { &remote.upload_rate } else { &remote.download_rate };
        Candidate {
            peer,
            interested: remote.peer_interested,
            unchoked: !remote.am_choking,
            snubbed: !seeding && self.is_snubbed_by(remote, now),
            rate: rate.per_second(now),
            pending: remote.sending > 0 || !remote.uploads.is_empty(),
            silent_for: remote.last_block.map(|last| now.saturating_duration_since(last)),
        }
    }

    /// Whether a peer has sent nothing for a minute though we want something of it.
    fn is_snubbed_by(&self, remote: &Remote, now: Instant) -> bool {
        let is_silent = remote.silent_for(now) > SNUBBED_AFTER;
        if self.config.choker.distrusts_newcomers() {
            remote.last_block.is_none() || is_silent
        } else {
            remote.am_interested && is_silent
        }
    }
}
