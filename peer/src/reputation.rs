//! Which peers may have sent false data, and which ones did.
//!
//! A hash tells that a piece is false, not which of its senders lied. Only a piece that one peer
//! sent alone is proof, and that peer is banned. When several sent it, each of them is on parole:
//! it is given whole pieces to itself until one of them passes (libtorrent's parole mode). So no
//! honest peer is ever banned for what others sent.
//!
//! A peer chooses its own peer id, so the record covers the IP address as well: while an address
//! has a record, newcomers from it start on parole. A liar that comes back
//! under another name spoils one piece, its own, each time. Honest peers that share the address (a
//! class behind one router) are on parole too, and lose nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use common::id::PeerId;

use crate::PeerKey;
use crate::picker::Sender;

/// What is remembered of peers, across their connections.
#[derive(Debug, Default)]
pub struct Reputation {
    records: BTreeMap<(IpAddr, PeerId), Record>,
    /// Records that were ever made.
    made: u64,
    /// Connections from an address with a record that have not sent a good piece yet.
    newcomers: BTreeSet<PeerKey>,
}

/// The record of one peer. The least record is the first to be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Record {
    standing: Standing,
    /// Counts up.
    number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// It sent a part of a false piece.
    Suspect,
    /// It sent all of a false piece.
    Banned,
}

/// What follows from a false piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// This peer sent all of it.
    Banned(Sender),
    /// Any of its senders may have lied.
    Paroled,
}

/// Peers remembered. A record costs a peer a block of data at least.
const MAX_RECORDS: usize = 10_000;

impl Reputation {
    /// A connection was accepted.
    pub fn joined(&mut self, peer: PeerKey, ip: IpAddr) {
        let all_ids = (ip, PeerId([0; 20]))..=(ip, PeerId([0xff; 20]));
        if self.records.range(all_ids).next().is_some() {
            self.newcomers.insert(peer);
        }
    }

    /// A connection ended.
    pub fn departed(&mut self, peer: PeerKey) {
        self.newcomers.remove(&peer);
    }

    /// A piece has the right hash, and these peers sent the blocks of it.
    pub fn passed(&mut self, senders: &[Sender]) {
        // With help a liar passes as well: it lies in another piece.
        let [sender] = senders else { return };
        self.newcomers.remove(&sender.peer);
        let name = (sender.ip, sender.peer_id);
        if self.standing(name) == Some(Standing::Suspect) {
            self.records.remove(&name);
        }
    }

    /// A piece has the wrong hash, and these peers sent the blocks of it.
    pub fn failed(&mut self, senders: &[Sender]) -> Judgement {
        if let &[sender] = senders {
            self.record((sender.ip, sender.peer_id), Standing::Banned);
            return Judgement::Banned(sender);
        }
        for sender in senders {
            let name = (sender.ip, sender.peer_id);
            if self.standing(name).is_none() {
                self.record(name, Standing::Suspect);
            }
        }
        Judgement::Paroled
    }

    /// Whether this peer is to be given whole pieces to itself.
    pub fn is_on_parole(&self, peer: &Sender) -> bool {
        self.newcomers.contains(&peer.peer) || self.standing((peer.ip, peer.peer_id)).is_some()
    }

    /// Whether this peer is to be refused.
    pub fn is_banned(&self, ip: IpAddr, peer_id: PeerId) -> bool {
        self.standing((ip, peer_id)) == Some(Standing::Banned)
    }

    fn standing(&self, name: (IpAddr, PeerId)) -> Option<Standing> {
        self.records.get(&name).map(|record| record.standing)
    }

    fn record(&mut self, name: (IpAddr, PeerId), standing: Standing) {
        self.made += 1;
        self.records.insert(name, Record { standing, number: self.made });
        if self.records.len() > MAX_RECORDS
            && let Some((&oldest, _)) = self.records.iter().min_by_key(|(_, record)| **record)
        {
            self.records.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use common::bitfield::Bitfield;
    use common::geometry::Geometry;
    use fastrand::Rng;

    use super::*;
    use crate::picker::{Arrival, Asked, Picker, Policy};

    /// A connection with this number, to a host and a peer id with these numbers.
    fn sender(peer: u64, host: u8, id: u8) -> Sender {
        let ip = IpAddr::from([192, 0, 2, host]);
        Sender { peer: PeerKey(peer), ip, peer_id: PeerId([id; 20]) }
    }

    fn banned(reputation: &Reputation, peer: &Sender) -> bool {
        reputation.is_banned(peer.ip, peer.peer_id)
    }

    #[test]
    fn a_false_piece_of_one_sender_is_proof() {
        let mut reputation = Reputation::default();
        let [liar, other] = [sender(1, 1, 1), sender(2, 1, 2)];
        assert_eq!(reputation.failed(&[liar]), Judgement::Banned(liar));
        assert!(banned(&reputation, &liar) && !banned(&reputation, &other));
        assert!(!reputation.is_banned(sender(1, 2, 1).ip, liar.peer_id), "the id proves nothing");
        assert!(!reputation.is_on_parole(&other), "it was there before");
        // A good piece that was sent before is no excuse.
        reputation.passed(&[liar]);
        assert!(banned(&reputation, &liar));
    }

    #[test]
    fn those_that_sent_a_false_piece_together_are_on_parole_until_they_pass_alone() {
        let mut reputation = Reputation::default();
        let [liar, seed, other] = [sender(1, 1, 1), sender(2, 2, 2), sender(3, 3, 3)];
        for _ in 0..10 {
            assert_eq!(reputation.failed(&[liar, seed]), Judgement::Paroled);
        }
        assert!(reputation.is_on_parole(&liar) && reputation.is_on_parole(&seed));
        assert!(!banned(&reputation, &liar) && !reputation.is_on_parole(&other));
        reputation.passed(&[liar, seed]);
        reputation.passed(&[other]);
        assert!(reputation.is_on_parole(&liar) && reputation.is_on_parole(&seed));
        reputation.passed(&[seed]);
        assert!(!reputation.is_on_parole(&seed));
        assert_eq!(reputation.failed(&[liar]), Judgement::Banned(liar));
        // Suspicion does not replace proof.
        reputation.failed(&[liar, seed]);
        assert!(banned(&reputation, &liar));
    }

    #[test]
    fn newcomers_from_an_address_with_a_record_start_on_parole() {
        let mut reputation = Reputation::default();
        let [liar, seed] = [sender(1, 1, 1), sender(2, 2, 2)];
        reputation.failed(&[liar, seed]);
        reputation.departed(liar.peer);
        let again = sender(3, 1, 9);
        reputation.joined(again.peer, again.ip);
        assert!(reputation.is_on_parole(&again));
        assert_eq!(reputation.failed(&[again]), Judgement::Banned(again));
        // The seed comes back as itself, and passes: its address has no record.
        let seed = sender(4, 2, 2);
        reputation.joined(seed.peer, seed.ip);
        reputation.passed(&[seed]);
        let newcomers = [sender(5, 1, 8), sender(6, 2, 8), sender(7, 3, 8)];
        newcomers.iter().for_each(|peer| reputation.joined(peer.peer, peer.ip));
        assert_eq!(newcomers.map(|peer| reputation.is_on_parole(&peer)), [true, false, false]);
        // One good piece is enough.
        reputation.passed(&[newcomers[0]]);
        assert!(!reputation.is_on_parole(&newcomers[0]));
    }

    #[test]
    fn a_liar_that_comes_back_under_new_names_spoils_a_piece_each_and_the_seed_stays() {
        for chance in 0..50 {
            let mut rng = Rng::with_seed(chance);
            // Pieces of four blocks.
            let geometry = Geometry::new(20 << 16, 1 << 16).unwrap();
            let nothing = Bitfield::empty(20);
            let mut picker = Picker::new(geometry, nothing, Policy::default(), &mut rng);
            let mut reputation = Reputation::default();
            let has = Bitfield::full(20);
            let seed = sender(1, 1, 1);
            let mut liar = sender(2, 2, 2);
            let mut names = 1;
            let mut requests = [VecDeque::new(), VecDeque::new()];
            let mut false_blocks = BTreeSet::new();
            let mut shared = 0;
            for _ in 0..10_000 {
                let who = rng.usize(..2);
                let peer = [seed, liar][who];
                let on_parole = reputation.is_on_parole(&peer);
                let asked = Asked { peer: peer.peer, has: &has, on_parole };
                while requests[who].len() < 3
                    && let Some(pick) = picker.pick(asked, &mut rng)
                {
                    requests[who].push_back(pick.block);
                }
                let Some(block) = requests[who].pop_front() else { continue };
                let arrival = picker.received(block, peer, true);
                if who == 0 {
                    false_blocks.remove(&block);
                } else {
                    false_blocks.insert(block);
                }
                let Arrival::LastOfPiece { .. } = arrival else { continue };
                let piece = block.piece();
                if !false_blocks.iter().any(|block| block.piece() == piece) {
                    reputation.passed(&picker.verified(piece));
                    continue;
                }
                match reputation.failed(&picker.failed(piece, &mut rng)) {
                    Judgement::Banned(banned) => assert_eq!(banned.ip, liar.ip),
                    Judgement::Paroled => shared += 1,
                }
                // It does not wait for the proof.
                requests[1].drain(..).for_each(|block| picker.release(block));
                picker.departed(liar.peer, &mut rng);
                reputation.departed(liar.peer);
                names += 1;
                liar = sender(u64::from(names) + 1, 2, names + 1);
                reputation.joined(liar.peer, liar.ip);
            }
            assert!(picker.have().is_full());
            assert!(!banned(&reputation, &seed) && !reputation.is_on_parole(&seed));
            assert!(shared <= 3, "{shared} of {names} false pieces had blocks of the seed");
        }
    }

    #[test]
    fn a_connection_that_ended_is_forgotten() {
        let mut reputation = Reputation::default();
        reputation.failed(&[sender(1, 1, 1)]);
        reputation.joined(PeerKey(2), sender(2, 1, 2).ip);
        reputation.departed(PeerKey(2));
        assert!(reputation.newcomers.is_empty());
    }

    #[test]
    fn records_are_bounded_and_the_banned_are_kept_longest() {
        let mut reputation = Reputation::default();
        let numbered = |n: u64| {
            let mut sender = sender(n, 1, 0);
            // Not in the order of the records.
            sender.peer_id.0[..8].copy_from_slice(&(!n).to_be_bytes());
            sender
        };
        let last = 3 + MAX_RECORDS as u64;
        for n in 0..last {
            let times = if n < 3 { 1 } else { 2 };
            reputation.failed(&vec![numbered(n); times]);
        }
        assert_eq!(reputation.records.len(), MAX_RECORDS);
        assert!((0..3).all(|n| banned(&reputation, &numbered(n))));
        let suspects = [3, 5, 6, last - 1].map(|n| reputation.is_on_parole(&numbered(n)));
        assert_eq!(suspects, [false, false, true, true], "the oldest suspicion goes first");
    }
}
