//! Formats that the tracker and the peer share: bytes to values and back. No sockets, no clock.
//!
//! | Module | What it holds | Source |
//! |---|---|---|
//! | [`frame`] | cutting a byte stream into length-prefixed frames | K&R 2.7, BEP 3 |
//! | [`wire`] | the handshake and the messages between peers | BEP 3, 10 |
//! | [`bencode`] | the encoding of .torrent files and tracker answers | BEP 3 |
//! | [`metainfo`] | .torrent files: reading, checking, creating | BEP 3, 12, 27, 47 |
//! | [`geometry`] | pieces, blocks, and the files that they touch | BEP 3 |
//! | [`bitfield`] | which pieces a peer has | BEP 3 |
//! | [`id`] | info-hashes and peer ids | BEP 3, 20 |
//! | [`moment`] | time in the cores | |
//! | [`printable`] | text of strangers for a terminal | |
//! | [`report`] | the state of a peer as plain values | |
//! | [`announce`] | requests and answers between peers and trackers, over HTTP and UDP | BEP 3, 7, 15, 23, 48 |

pub mod announce;
pub mod bencode;
pub mod bitfield;
pub mod frame;
pub mod geometry;
mod hex;
pub mod id;
pub mod metainfo;
pub mod moment;
pub mod printable;
pub mod report;
pub mod wire;
