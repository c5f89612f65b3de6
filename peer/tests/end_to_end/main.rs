//! The `peer` program as its users run it: processes, real files, sockets on loopback.
//!
//! | File | What it holds |
//! |---|---|
//! | `transfer.rs` | content goes from a seed to others, whatever its shape |
//! | `resume.rs` | what an earlier run or somebody else left on the disk |
//! | `exits.rs` | how the program ends, and what it says |
//! | `swarm.rs` | `peer swarm` |
//! | `hostile.rs` | a seed among strangers who break the protocol |
//! | `liars.rs` | a download from neighbours who lie or say nothing |
//! | `aria2.rs`, `mktorrent.rs`, `wireshark.rs` | together with other programs; ignored by default |
//! | `programs.rs`, `scene.rs`, `wire.rs` | what the tests are made with |
//!
//! Nothing waits for a certain time: a test waits for a line, for bytes or for an end, and fails if
//! that takes longer than anybody has patience.

mod aria2;
mod exits;
mod hostile;
mod liars;
mod mktorrent;
mod programs;
mod resume;
mod scene;
mod swarm;
mod transfer;
mod wire;
#[cfg(unix)]
mod wireshark;
