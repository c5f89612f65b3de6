//! The books of a swarm, kept from the decisions of its members.

use std::collections::BTreeMap;
use std::time::Duration;

use common::geometry::Geometry;
use common::id::PeerId;
use common::moment::Moment;
use common::report::{Snapshot, Totals};

use super::{Member, Role};
use crate::decision::Decision;

/// What each member sent and received, how long it was served, and when it finished.
#[derive(Debug)]
pub struct Ledger {
    geometry: Geometry,
    members: Vec<Member>,
    /// In the order of the members.
    records: Vec<Record>,
    promotions: u32,
}

/// The part of one member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Chunks that it has.
    pub have: u32,
    /// Bytes of blocks.
    pub totals: Totals,
    /// Bytes of blocks from each other member, by the place of that member.
    pub received_from: BTreeMap<usize, u64>,
    /// How long each other member served it, by the place of that member.
    pub served_by: BTreeMap<usize, Duration>,
    /// Since when each other member has been serving it.
    served_since: BTreeMap<usize, Moment>,
    /// When it had every chunk; `None` for a seed, and for a peer that has not finished.
    pub finished: Option<Moment>,
}

/// What Kurose & Ross 2.5 say about the time that the distribution takes, counted over what was
/// missing at the start.
///
/// Where the peers begin with nothing, these are the book's NF/u_s and
/// max{F/u_s, F/d, NF/(u_s + Σu)}; without download limits F/d is zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// Bytes that the peers lacked, all together.
    pub missing: u64,
    /// Bytes of the chunks that no peer had.
    pub only_at_seed: u64,
    /// Seconds that a server with the seed's upload limit would need if no peer helped.
    pub client_server: f64,
    /// Seconds that the swarm needs at least.
    pub peer_to_peer: f64,
}

impl Ledger {
    /// The books of these members, who have done nothing yet.
    pub fn new(geometry: Geometry, members: Vec<Member>) -> Self {
        let records = members
            .iter()
            .map(|member| Record { have: member.have.count(), ..Record::default() })
            .collect();
        Self { geometry, members, records, promotions: 0 }
    }

    /// The members with their records.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (&Member, &Record)> {
        self.members.iter().zip(&self.records)
    }

    /// All members, the seed first.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Seconds until the last peer had everything; `None` before that.
    pub fn time(&self) -> Option<f64> {
        let peers = self.rows().filter(|(member, _)| member.role != Role::Seed);
        let times: Option<Vec<Moment>> = peers.map(|(_, record)| record.finished).collect();
        times?.into_iter().max().map(|last| last.since_start().as_secs_f64())
    }

    /// Upload limit and finishing time, in seconds, of each peer that uploads and has finished.
    #[expect(clippy::cast_precision_loss, reason = "rates are far below 2^52")]
    pub fn limits_and_times(&self) -> Vec<(f64, f64)> {
        let peers = self.rows().filter(|(member, _)| member.role == Role::Peer);
        peers
            .filter_map(|(member, record)| {
                let time = record.finished?.since_start().as_secs_f64();
                Some((member.upload_limit? as f64, time))
            })
            .collect()
    }

    /// The place of the first free rider to finish, over the number of peers; `None` if none has.
    #[expect(clippy::cast_precision_loss, reason = "there are few members")]
    pub fn first_free_rider(&self) -> Option<f64> {
        let finished =
            self.rows().filter_map(|(member, record)| Some((record.finished?, member.role)));
        let mut finished: Vec<_> = finished.collect();
        finished.sort_by_key(|&(time, _)| time);
        let place = finished.iter().position(|&(_, role)| role == Role::FreeRider)?;
        Some((place + 1) as f64 / (self.members.len() - 1) as f64)
    }

    /// How many neighbors earned the slot that they had been given optimistically, over all members.
    pub fn promotions(&self) -> u32 {
        self.promotions
    }

    /// How many chunks the file has.
    pub fn chunks(&self) -> u32 {
        self.geometry.piece_count()
    }

    /// How many members do not have every chunk.
    pub fn unfinished(&self) -> usize {
        let all = self.geometry.piece_count();
        self.records.iter().filter(|record| record.have < all).count()
    }

    /// A member decided something.
    pub fn decision(&mut self, member: PeerId, at: Moment, decision: &Decision) {
        let Some(own) = self.place(member) else { return };
        match decision {
            Decision::Unchoke { peer, .. } => {
                if let Some(other) = self.place(peer.peer_id) {
                    self.records[other].served_since.entry(own).or_insert(at);
                }
            }
            Decision::Choke { peer, .. } => self.end_of_service(own, peer.peer_id, at),
            Decision::Disconnect { peer, downloaded, .. } => {
                self.end_of_service(own, peer.peer_id, at);
                self.received(own, peer.peer_id, *downloaded);
            }
            Decision::KeepUnchoked { promoted: true, .. } => self.promotions += 1,
            Decision::Verified { have, .. } => self.records[own].have = *have,
            Decision::Complete { .. } => self.records[own].finished = Some(at),
            Decision::Connect { .. }
            | Decision::Refuse { .. }
            | Decision::Round { .. }
            | Decision::KeepUnchoked { .. }
            | Decision::KeepChoked { .. }
            | Decision::BeginChunk { .. }
            | Decision::Endgame { .. }
            | Decision::RequestTimedOut { .. }
            | Decision::HashFailed { .. } => {}
        }
    }

    /// A member leaves, and this is its last state.
    pub fn end(&mut self, snapshot: &Snapshot, at: Moment) {
        let Some(own) = self.place(snapshot.peer_id) else { return };
        self.records[own].totals = snapshot.totals;
        for neighbor in &snapshot.neighbors {
            self.end_of_service(own, neighbor.identity.peer_id, at);
            self.received(own, neighbor.identity.peer_id, neighbor.downloaded);
        }
    }

    /// The bounds, where all uploads are limited.
    pub fn bounds(&self) -> Option<Bounds> {
        let limits: Option<Vec<u64>> = self
            .members
            .iter()
            .filter(|m| m.role != Role::FreeRider)
            .map(|m| m.upload_limit)
            .collect();
        let limits = limits?;
        let peers = || self.members.iter().filter(|member| member.role != Role::Seed);
        let size = |piece| u64::from(self.geometry.piece_size(piece));
        let lacked_by = |member: &Member| -> u64 {
            let lacked = self.geometry.pieces().filter(|&piece| !member.have.contains(piece));
            lacked.map(size).sum()
        };
        let missing = peers().map(lacked_by).sum();
        let held = |piece| peers().any(|member| member.have.contains(piece));
        let only_at_seed = self.geometry.pieces().filter(|&piece| !held(piece)).map(size).sum();
        let (seed, all) = (*limits.first()?, limits.iter().sum());
        Some(Bounds {
            missing,
            only_at_seed,
            client_server: seconds(missing, seed),
            peer_to_peer: seconds(only_at_seed, seed).max(seconds(missing, all)),
        })
    }

    fn place(&self, peer_id: PeerId) -> Option<usize> {
        self.members.iter().position(|member| member.peer_id == peer_id)
    }

    fn received(&mut self, own: usize, from: PeerId, bytes: u64) {
        if let Some(from) = self.place(from) {
            *self.records[own].received_from.entry(from).or_default() += bytes;
        }
    }

    fn end_of_service(&mut self, by: usize, of: PeerId, at: Moment) {
        let Some(of) = self.place(of) else { return };
        let record = &mut self.records[of];
        if let Some(since) = record.served_since.remove(&by) {
            *record.served_by.entry(by).or_default() += at - since;
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes and rates are far below 2^52")]
fn seconds(bytes: u64, rate: u64) -> f64 {
    bytes as f64 / rate as f64
}

/// Spearman's correlation of pairs of values: that of their ranks, from -1 (the greater the one, the
/// less the other) to 1. Equal values share the mean of their ranks.
#[expect(clippy::cast_precision_loss, reason = "there are few values")]
pub fn rank_correlation(pairs: &[(f64, f64)]) -> f64 {
    let ranks = |value: fn(&(f64, f64)) -> f64| -> Vec<f64> {
        let rank = |pair| {
            let before = pairs.iter().filter(|other| value(other) < value(pair)).count();
            let equal = pairs.iter().filter(|other| value(other) == value(pair)).count();
            before as f64 + (equal as f64 - 1.0) / 2.0
        };
        pairs.iter().map(rank).collect()
    };
    let (xs, ys) = (ranks(|pair| pair.0), ranks(|pair| pair.1));
    let mean = (pairs.len() as f64 - 1.0) / 2.0;
    let covariance = |xs: &[f64], ys: &[f64]| -> f64 {
        xs.iter().zip(ys).map(|(x, y)| (x - mean) * (y - mean)).sum()
    };
    covariance(&xs, &ys) / (covariance(&xs, &xs) * covariance(&ys, &ys)).sqrt()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use common::id::PeerKey;
    use common::report::Identity;
    use fastrand::Rng;

    use super::*;
    use crate::choker::{ChokeReason, UnchokeReason};
    use crate::decision::DisconnectReason;
    use crate::demo::Setup;

    /// A seed and two peers with half of ten chunks of ten bytes; the fastest has 50 B/s.
    fn ledger(head_start: u8) -> Ledger {
        let geometry = Geometry::new(100, 10).unwrap();
        let setup = Setup { peers: 2, free_riders: 0, upload_limit: Some(50), head_start };
        Ledger::new(geometry, setup.members(&geometry, &mut Rng::with_seed(1)))
    }

    fn after(seconds: u64) -> Moment {
        Moment::START + Duration::from_secs(seconds)
    }

    #[test]
    fn a_peer_is_served_from_the_unchoke_to_the_choke_or_the_end_of_the_connection() {
        let mut ledger = ledger(50);
        let ids: Vec<_> = ledger.members().iter().map(|member| member.peer_id).collect();
        let identity = |member: usize| Identity {
            key: PeerKey(7),
            address: SocketAddr::from(([127, 0, 0, 1], 6881)),
            peer_id: ids[member],
            name: None,
        };
        let unchoke =
            |of| Decision::Unchoke { peer: identity(of), reason: UnchokeReason::Optimistic };
        let choke = |of| Decision::Choke { peer: identity(of), reason: ChokeReason::NotInterested };
        ledger.decision(ids[1], after(10), &unchoke(2));
        ledger.decision(ids[1], after(13), &choke(2));
        ledger.decision(ids[1], after(20), &unchoke(2));
        ledger.decision(ids[0], after(21), &unchoke(2));
        let left = Decision::Disconnect {
            peer: identity(2),
            reason: DisconnectReason::Closed,
            downloaded: 30,
            uploaded: 20,
        };
        ledger.decision(ids[1], after(24), &left);
        let record = &ledger.records[2];
        assert_eq!(record.served_by, BTreeMap::from([(1, Duration::from_secs(7))]));
        assert_eq!(ledger.records[1].received_from, BTreeMap::from([(2, 30)]));
    }

    #[test]
    fn peers_that_begin_with_nothing_have_the_bounds_of_the_book() {
        // F 100 bytes, N 2, u_s 10 B/s, u 10 and 50 B/s.
        let bounds = ledger(0).bounds().unwrap();
        assert_eq!((bounds.missing, bounds.only_at_seed), (200, 100));
        assert_eq!((bounds.client_server, bounds.peer_to_peer), (20.0, 10.0));
        // With a head start the uplinks of all are what counts.
        let bounds = ledger(90).bounds().unwrap();
        assert_eq!((bounds.missing, bounds.client_server), (20, 2.0));
        assert!(bounds.peer_to_peer >= 20.0 / 70.0);
    }

    #[test]
    fn the_swarm_takes_as_long_as_its_last_peer() {
        let mut ledger = ledger(50);
        let ids: Vec<_> = ledger.members().iter().map(|member| member.peer_id).collect();
        for (member, at) in [(2, 30), (1, 40)] {
            assert_eq!(ledger.time(), None);
            let complete = Decision::Complete { downloaded: 50, uploaded: 50 };
            ledger.decision(ids[member], after(at), &complete);
        }
        assert_eq!(ledger.time(), Some(40.0));
        assert_eq!(ledger.limits_and_times(), [(10.0, 40.0), (50.0, 30.0)]);
        assert_eq!(ledger.first_free_rider(), None);
    }

    #[test]
    fn the_rank_correlation_is_minus_one_if_the_one_falls_whenever_the_other_rises() {
        assert_eq!(rank_correlation(&[(1.0, 9.0), (5.0, 8.0), (6.0, 1.0)]), -1.0);
        assert_eq!(rank_correlation(&[(1.0, 1.0), (2.0, 8.0), (9.0, 9.0)]), 1.0);
        // As computed by scipy.stats.spearmanr, with a tie.
        let pairs = [(1.0, 2.0), (2.0, 1.0), (3.0, 4.0), (4.0, 4.0), (5.0, 3.0)];
        assert!((rank_correlation(&pairs) - 0.564_288).abs() < 1e-6);
    }
}
