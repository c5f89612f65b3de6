//! A BitTorrent tracker: who is in which swarm (K&R 2.5; BEP 3, 7, 15, 23, 48).
//!
//! | Module | What it holds |
//! |---|---|
//! | [`swarms`] | the peers of each torrent: announce, scrape, expire; pure |
//! | [`connection_id`] | proof of a UDP sender's address without remembering it; pure |
//! | [`http`] | bytes of a request in, bytes of a response out; pure |
//! | [`responder`] | from a request to its answer, over HTTP and UDP; pure |
//! | `connection` | one HTTP connection: read, answer, close |
//! | `listen` | the sockets that the server begins with |
//! | [`server`] | the loop that waits for the network |

mod connection;
pub mod connection_id;
pub mod http;
mod listen;
pub mod responder;
pub mod server;
pub mod swarms;
