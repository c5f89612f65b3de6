//! The demonstration that `peer swarm` gives: who takes part, and what it showed.
//!
//! Tit-for-tat needs time to find out who pays: a peer tries one neighbor more every 30 s. So the
//! peers begin with a random half of the chunks, and all have something to trade from the first
//! second on. The seed, which gives to all alike, sends little.
//!
//! Before its first round a peer waits until all are connected ([`GATHERING`]). If it gave a free
//! slot to each as it came, two that meet would nearly always unchoke each other, whatever they can
//! send, and each would try far fewer partners: over 40 runs and more in virtual time the rank
//! correlation of upload limit and finishing time is about -0.5 then, and -0.83 so.
//!
//! | File | Its part |
//! |---|---|
//! | `mod.rs` | the set-up: the members of the swarm |
//! | `ledger.rs` | what each member sent and received, how long it was served, when it finished |

mod ledger;

use std::sync::Arc;
use std::time::Duration;

use common::bitfield::Bitfield;
use common::geometry::Geometry;
use common::id::PeerId;
use fastrand::Rng;

use crate::choker::free_rider;
use crate::torrent::Config;

pub use ledger::{Bounds, Ledger, Record, rank_correlation};

/// The set-up of a swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Peers that upload as well, at least 1.
    pub peers: u16,
    /// Peers that only download.
    pub free_riders: u16,
    /// Upload limit of the fastest peer, in bytes a second; `None` for no limit at all.
    pub upload_limit: Option<u64>,
    /// The part of the chunks that each peer begins with, in percent.
    pub head_start: u8,
}

impl Default for Setup {
    fn default() -> Self {
        Self { peers: 24, free_riders: 1, upload_limit: Some(360_000), head_start: 50 }
    }
}

/// The length of the sample, in bytes: 128 chunks. With the default set-up the swarm takes 81 s, and
/// so eight rounds and the first.
pub const SAMPLE_LENGTH: u64 = 32 * 1024 * 1024;

/// From the start of the members to their first round; on a machine that has other work to do they
/// are connected in a third of that.
pub const GATHERING: Duration = Duration::from_secs(1);

/// K&R 2.5: a chunk has 256 KiB.
pub const CHUNK_SIZE: u32 = 256 * 1024;

/// One peer of the swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// `seed`, `peer-1`, `rider-1`.
    pub name: Arc<str>,
    /// It begins with the name, so that a capture shows who it is.
    pub peer_id: PeerId,
    /// What it does in the swarm.
    pub role: Role,
    /// In bytes a second.
    pub upload_limit: Option<u64>,
    /// The chunks that it begins with.
    pub have: Bitfield,
}

/// What a member does in the swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Has every chunk from the start.
    Seed,
    /// Downloads and uploads.
    Peer,
    /// Only downloads.
    FreeRider,
}

impl Member {
    /// The configuration of this member, where that of all is `common`.
    pub fn config(&self, common: &Config) -> Config {
        let rides = self.role == Role::FreeRider;
        let choker = if rides { free_rider::STRATEGY } else { common.choker };
        let upload_limit = self.upload_limit;
        let gathering = Some(GATHERING);
        Config { peer_id: self.peer_id, choker, upload_limit, gathering, ..common.clone() }
    }
}

impl Setup {
    /// The place among the members of the peer whose decisions are shown: not one of the slowest,
    /// and slow enough that its neighbors often find better partners.
    pub fn watched(&self) -> u16 {
        (self.peers * 3).div_ceil(8)
    }

    /// The seed first, then the peers from the slowest to the fastest, then the free riders.
    pub fn members(&self, geometry: &Geometry, rng: &mut Rng) -> Vec<Member> {
        let seed = (Role::Seed, "seed".to_owned(), self.slowest());
        let peers =
            (1..=self.peers).map(|n| (Role::Peer, format!("peer-{n}"), self.limit_of_peer(n)));
        let riders =
            (1..=self.free_riders).map(|n| (Role::FreeRider, format!("rider-{n}"), self.slowest()));
        let all = std::iter::once(seed).chain(peers).chain(riders);
        all.map(|(role, name, upload_limit)| Member {
            peer_id: peer_id(&name, rng),
            have: match role {
                Role::Seed => Bitfield::full(geometry.piece_count()),
                Role::Peer | Role::FreeRider => self.head_start(geometry, rng),
            },
            name: name.into(),
            role,
            upload_limit,
        })
        .collect()
    }

    /// The upload limit of the slowest peer and of the seed.
    pub fn slowest(&self) -> Option<u64> {
        self.upload_limit.map(|fastest| (fastest / SLOWEST).max(1))
    }

    /// In equal steps from the slowest to the fastest.
    fn limit_of_peer(&self, number: u16) -> Option<u64> {
        let (slowest, fastest) = (self.slowest()?, self.upload_limit?);
        let steps = u64::from(self.peers.saturating_sub(1)).max(1);
        let step = if self.peers == 1 { 1 } else { u64::from(number - 1) };
        Some(
            slowest
                + u64::try_from(
                    u128::from(fastest - slowest) * u128::from(step) / u128::from(steps),
                )
                .expect("at most the fastest"),
        )
    }

    fn head_start(&self, geometry: &Geometry, rng: &mut Rng) -> Bitfield {
        let mut pieces: Vec<_> = geometry.pieces().collect();
        rng.shuffle(&mut pieces);
        let count = pieces.len() * usize::from(self.head_start.min(100)) / 100;
        let mut have = Bitfield::empty(geometry.piece_count());
        pieces[..count].iter().for_each(|&piece| have.insert(piece));
        have
    }
}

/// The fastest peer has so many times the upload limit of the slowest.
const SLOWEST: u64 = 5;

fn peer_id(name: &str, rng: &mut Rng) -> PeerId {
    let mut random = std::array::from_fn(|_| alphanumeric(rng));
    random[..name.len()].copy_from_slice(name.as_bytes());
    random[name.len()] = b'-';
    PeerId::from_random(random)
}

/// A byte of a peer id that can be read in a log.
pub fn alphanumeric(rng: &mut Rng) -> u8 {
    u8::try_from(rng.alphanumeric()).expect("letters and digits are ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choker::mainline;

    fn members(setup: Setup) -> Vec<Member> {
        let geometry = Geometry::new(100, 1).unwrap();
        setup.members(&geometry, &mut Rng::with_seed(1))
    }

    #[test]
    fn limits_rise_in_equal_steps_from_a_fifth_and_the_seed_has_as_much_as_the_slowest() {
        let limits = |peers, fastest| {
            let setup = Setup { peers, upload_limit: fastest, ..Setup::default() };
            let members = members(setup);
            members.iter().map(|member| member.upload_limit).collect::<Vec<_>>()
        };
        assert_eq!(limits(3, Some(500)), [100, 100, 300, 500, 100].map(Some));
        assert_eq!(limits(1, Some(500)), [100, 500, 100].map(Some));
        assert_eq!(limits(2, Some(1)), [1, 1, 1, 1].map(Some));
        assert_eq!(limits(2, Some(u64::MAX))[2], Some(u64::MAX));
        assert_eq!(limits(2, None), [None; 4]);
    }

    #[test]
    fn all_but_the_seed_begin_with_their_own_part_of_the_chunks() {
        let members = members(Setup { head_start: 30, ..Setup::default() });
        assert!(members[0].have.is_full());
        assert!(members[1..].iter().all(|member| member.have.count() == 30));
        assert_ne!(members[1].have, members[2].have);
    }

    #[test]
    fn a_free_rider_unchokes_no_peer_whatever_the_choker_of_the_others() {
        let common = Config { choker: mainline::STRATEGY, ..Config::new(PeerId([0; 20])) };
        let members = members(Setup { peers: 1, ..Setup::default() });
        let chokers = members.iter().map(|member| member.config(&common).choker.name);
        assert_eq!(chokers.collect::<Vec<_>>(), ["mainline", "mainline", "free-rider"]);
        assert!(members[2].peer_id.0.starts_with(b"-KR0001-rider-1-"));
    }
}
