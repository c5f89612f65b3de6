//! What the tracker and the peer share: bytes to values and back. No sockets, no clock.
//!
//! | Module | What it holds | Source |
//! |---|---|---|
//! | [`frame`] | cutting a byte stream into length-prefixed frames | K&R 2.7, BEP 3 |
//! | [`message`] | the handshake and the messages between peers | BEP 3 |
//! | [`bencode`] | the encoding of .torrent files and tracker answers | BEP 3 |
//! | [`metainfo`] | .torrent files: reading, checking, creating | BEP 3, 12, 27, 47 |
//! | [`geometry`] | pieces, blocks, and the files that they touch | BEP 3 |
//! | [`bitfield`] | which pieces a peer has | BEP 3 |
//! | [`id`] | info-hashes and peer ids | BEP 3, 20 |
//! | [`moment`] | the time that the cores know | |
//! | [`announce`] | what peers and trackers tell each other, over HTTP and UDP | BEP 3, 7, 15, 23, 48 |

pub mod announce;
pub mod bencode;
pub mod bitfield;
pub mod frame;
pub mod geometry;
pub mod id;
pub mod message;
pub mod metainfo;
pub mod moment;
