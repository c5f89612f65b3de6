//! What every run of a scenario records, and what must hold in it: no byte appears or vanishes, no
//! link is faster than its rate, and no peer has a chunk that no peer sent it.

use std::collections::BTreeMap;

use common::bitfield::Bitfield;
use common::geometry::{BLOCK_LENGTH, Block, Geometry, PieceIndex};
use common::moment::Moment;
use common::report::Identity;

use super::swarm::{Follow, Swarm};
use crate::choker::UnchokeReason;
use crate::decision::Decision;
use crate::sim::world::host_with;
use crate::sim::{HostId, Observer};

/// The books of a run.
pub(super) struct Books<'a> {
    geometry: Geometry,
    pub(super) follow: &'a mut dyn Follow,
    peers: Vec<Account>,
    /// Which chunks a peer has that did not bring them.
    spread: Vec<bool>,
    /// How many chunks no such peer has.
    missing: usize,
    /// When the peers that came without it together had everything.
    pub(super) first_copy: Option<Moment>,
    /// Bytes that arrived from peers that lacked something themselves.
    pub(super) from_leechers: u64,
    /// Of all deliveries, with their times: the same for two runs only if they are the same.
    pub(super) digest: u64,
}

/// The books of one peer.
#[derive(Debug)]
struct Account {
    has: Bitfield,
    /// Bytes that arrived of each chunk that it lacks.
    arrived: BTreeMap<PieceIndex, u32>,
    /// Bytes that arrived.
    bytes: u64,
    /// In how many rounds it unchoked each other peer, optimistic unchokes aside.
    regular: BTreeMap<HostId, u32>,
}

impl<'a> Books<'a> {
    pub(super) fn new(geometry: Geometry, follow: &'a mut dyn Follow) -> Self {
        let missing = geometry.piece_count() as usize;
        let spread = vec![false; missing];
        Self {
            geometry,
            follow,
            peers: Vec::new(),
            spread,
            missing,
            first_copy: None,
            from_leechers: 0,
            digest: 0,
        }
    }

    /// The next peer joins with these chunks.
    pub(super) fn brings(&mut self, has: Bitfield) {
        let (arrived, regular) = Default::default();
        self.peers.push(Account { has, arrived, bytes: 0, regular });
    }

    /// In how many rounds a peer unchoked another, optimistic unchokes aside.
    pub(super) fn regular_unchokes(&self, by: HostId, of: HostId) -> u32 {
        self.peers[by.0 as usize].regular.get(&of).copied().unwrap_or(0)
    }

    fn verified(&mut self, at: Moment, host: HostId, piece: PieceIndex) {
        let size = self.geometry.piece_size(piece);
        let account = &mut self.peers[host.0 as usize];
        let arrived = account.arrived.remove(&piece).unwrap_or(0);
        assert!(arrived >= size, "{host}: no peer sent {piece:?}");
        account.has.insert(piece);
        if !std::mem::replace(&mut self.spread[piece.as_usize()], true) {
            self.missing -= 1;
            if self.missing == 0 {
                self.first_copy = Some(at);
            }
        }
    }

    fn unchoked(&mut self, by: HostId, of: &Identity, reason: &UnchokeReason) {
        // A choker that ranks no peer gives a reason of its own.
        if let UnchokeReason::Top { .. } | UnchokeReason::Other { .. } = reason {
            let of = host_with(of.address).expect("all neighbors are hosts");
            *self.peers[by.0 as usize].regular.entry(of).or_default() += 1;
        }
    }
}

impl Observer for Books<'_> {
    fn decision(&mut self, at: Moment, host: HostId, decision: Decision) {
        self.follow.decision(at, host, &decision);
        match decision {
            Decision::Verified { chunk, .. } => {
                let piece = self.geometry.piece(chunk).expect("the core has checked it");
                self.verified(at, host, piece);
            }
            Decision::Unchoke { peer, reason } | Decision::KeepUnchoked { peer, reason, .. } => {
                self.unchoked(host, &peer, &reason);
            }
            Decision::Connect { .. }
            | Decision::Refuse { .. }
            | Decision::Disconnect { .. }
            | Decision::Round { .. }
            | Decision::Choke { .. }
            | Decision::KeepChoked { .. }
            | Decision::BeginChunk { .. }
            | Decision::Endgame { .. }
            | Decision::RequestTimedOut { .. }
            | Decision::HashFailed { .. }
            | Decision::Complete { .. } => {}
        }
    }

    fn delivered(&mut self, at: Moment, from: HostId, to: HostId, block: Block) {
        let piece = block.piece();
        let sender = &self.peers[from.0 as usize].has;
        assert!(sender.contains(piece), "{from} sent what it lacks");
        self.from_leechers += if sender.is_full() { 0 } else { u64::from(block.length()) };
        let account = &mut self.peers[to.0 as usize];
        if !account.has.contains(piece) {
            *account.arrived.entry(piece).or_default() += block.length();
        }
        account.bytes += u64::from(block.length());
        self.digest = digest(self.digest, at, from, to, block);
    }
}

/// The digest of all deliveries, after one more.
pub(super) fn digest(before: u64, at: Moment, from: HostId, to: HostId, block: Block) -> u64 {
    let piece = block.piece().get();
    let words = [at.as_nanos(), from.0.into(), to.0.into(), piece.into(), block.begin().into()];
    words.into_iter().fold(before, |digest, word| {
        // FNV's step, a word at a time.
        (digest ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29)
    })
}

/// Panics if the books of a swarm do not balance.
pub(super) fn audit(swarm: &Swarm<'_>) {
    let (world, books) = (&swarm.world, &swarm.world.observer);
    let time = world.elapsed().as_nanos();
    let (mut sent, mut received) = (0, 0);
    for (number, (account, link)) in (0..).zip(books.peers.iter().zip(&swarm.links)) {
        let host = HostId(number);
        let core = world.peer(host);
        let totals = core.totals();
        assert_eq!(account.bytes, totals.downloaded, "{host}: all that arrives was requested");
        assert!(account.has == *core.have(), "{host} has chunks that it never verified");
        for (bytes, rate) in [(totals.uploaded, link.up), (account.bytes, link.down)] {
            let most = u128::from(rate) * time / 1_000_000_000 + u128::from(BLOCK_LENGTH);
            assert!(u128::from(bytes) <= most, "{host}: {bytes} bytes at {rate} bytes a second");
        }
        sent += totals.uploaded;
        received += account.bytes;
    }
    let carried = world.carried();
    assert_eq!(sent, received + carried.in_flight + carried.lost, "bytes appear or vanish");
}
