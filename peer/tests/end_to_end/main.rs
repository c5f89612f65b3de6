//! The `peer` program as its users run it: processes, real files, sockets on loopback.
//!
//! | File | What it holds |
//! |---|---|
//! | `transfer.rs` | content goes from a seed to others, whatever its shape |
//! | `resume.rs` | files of earlier runs and of others on the disk |
//! | `exits.rs` | exit codes and error messages |
//! | `fetch.rs` | a .torrent that is named by its URL |
//! | `waiting.rs` | what a peer without progress says |
//! | `swarm.rs` | `peer swarm` |
//! | `simulate.rs` | `peer simulate` |
//! | `choker_cmd.rs` | a choker that is a program of the user |
//! | `hostile.rs` | a seed among peers that break the protocol |
//! | `liars.rs` | a download from neighbors that lie or stay silent |
//! | `record.rs` | runs that are recorded and decided again |
//! | `aria2.rs`, `libtorrent.rs`, `mktorrent.rs`, `transmission.rs`, `wireshark.rs` | together with other programs; ignored by default |
//! | `programs.rs`, `scene.rs`, `wire.rs` | helpers of the tests |
//!
//! No test sleeps: it waits for a line, for bytes or for an end, and fails if that takes too long.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests of programs have files, sockets and clocks"
)]

mod aria2;
mod choker_cmd;
mod exits;
mod fetch;
mod hostile;
mod liars;
mod libtorrent;
mod mktorrent;
mod programs;
mod record;
mod resume;
mod scene;
mod simulate;
mod swarm;
mod transfer;
mod transmission;
mod waiting;
mod wire;
#[cfg(unix)]
mod wireshark;
