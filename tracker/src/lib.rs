//! A BitTorrent tracker: which peers are in which swarm (K&R 2.5; BEP 3, 7, 15, 23, 48).
//!
//! | Module | What it holds |
//! |---|---|
//! | [`swarms`] | the peers of each torrent: announce, scrape, expire |
//! | [`connection_id`] | proof of a UDP sender's address without remembering it |
//! | [`http`] | bytes of a request in, bytes of a response out |
//! | [`catalog`] | the .torrent files on offer |
//! | `page` | the page at `/` |
//! | [`notices`] | lines about the peers that join, complete and leave |
//! | [`responder`] | from a request to its answer, over HTTP and UDP |
//!
//! These have no socket and no clock. The feature `server`, on by default, adds the module
//! `server`, which has both: the loop that waits for the network.

pub mod catalog;
pub mod connection_id;
pub mod http;
pub mod notices;
mod page;
pub mod responder;
#[cfg(feature = "server")]
pub mod server;
pub mod swarms;
