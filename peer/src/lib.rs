//! A BitTorrent peer without sockets, files or clock (Kurose & Ross 2.5; BEP 3).
//!
//! A shell hands inputs to [`torrent::Torrent`] and performs its outputs. The mio shell of the
//! `peer` program does so on a network, [`sim`] does so in virtual time.
//!
//! | Module | What it decides or knows |
//! |---|---|
//! | [`torrent`] | one torrent: [`torrent::Input`]s in, [`torrent::Output`]s out |
//! | [`picker`] | which block to request next: rarest first and its rivals |
//! | [`choker`] | the choking algorithms: tit-for-tat and its rivals |
//! | [`reputation`] | which peers sent pieces that failed their hash |
//! | [`rate`] | how fast something flows, and how fast it may |
//! | [`limiter`] | whose turn it is at a shared link |
//! | [`backoff`] | how long to wait after a failure |
//! | [`decision`] | every choice with its reason, as a sentence and as JSON |
//! | [`demo`] | the swarm that `peer swarm` shows, and what it showed |
//! | [`named`] | choices by name: tables of chokers and of orders |
//! | [`units`] | sizes and rates as people read them |
//! | [`record`] | a run written down, and decided again |
//! | [`uf_log`] | a recorded run in the words of a students' project |
//! | [`sim`] | a small world in virtual time |

pub mod backoff;
pub mod choker;
pub mod decision;
pub mod demo;
pub mod limiter;
pub mod named;
pub mod picker;
pub mod rate;
pub mod record;
pub mod reputation;
pub mod sim;
pub mod torrent;
pub mod uf_log;
pub mod units;

pub use common::id::PeerKey;
