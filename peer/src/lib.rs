//! A BitTorrent peer without sockets, files or clock (Kurose & Ross 2.5; BEP 3).
//!
//! A shell tells [`torrent::Torrent`] what happened and carries out what it answers. The mio shell
//! of the `peer` program does so on a network, [`sim`] does so in virtual time.
//!
//! | Module | What it decides or knows |
//! |---|---|
//! | [`torrent`] | one torrent: [`torrent::Event`] in, [`torrent::Action`]s out |
//! | [`remote`] | one neighbour: its four flags, its pieces, what is on the way |
//! | [`picker`] | which block to ask for next: rarest first and its rivals |
//! | [`choker`] | who may download from us: tit-for-tat and its rivals |
//! | [`contacts`] | whom we could call, and when again |
//! | [`reputation`] | who sent pieces that failed their hash |
//! | [`rate`] | how fast something flows, and how fast it may |
//! | [`limiter`] | whose turn it is under a rate limit |
//! | [`decision`] | every choice with its reason, as a sentence and as JSON |
//! | [`sim`] | a small world in virtual time |

pub mod choker;
pub mod contacts;
pub mod decision;
pub mod limiter;
pub mod picker;
pub mod rate;
pub mod remote;
pub mod reputation;
pub mod sim;
pub mod torrent;

pub use common::id::PeerKey;
