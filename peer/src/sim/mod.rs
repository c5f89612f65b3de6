//! A small world in virtual time that drives [`crate::torrent::Torrent`] as the mio shell does.
//!
//! | File | What is in it |
//! |---|---|
//! | `world/mod.rs` | the event queue, the clock, the tracker; carries out what peers decide |
//! | `world/network.rs` | connections: calls, messages in order, blocks |
//! | `participant.rs` | who takes part, and what is kept of what they decided |
//! | `links.rs` | how long bytes take: rate and delay of a peer's access to the network |
//!
//! A run is repeatable to the byte: all chance comes from one seed, and what happens at the same
//! time happens in the order in which it was caused.

mod links;
mod participant;
#[cfg(test)]
mod scenarios;
mod world;

pub use links::Link;
pub use participant::{Conduct, Entry, HostId, Participant, Settings};
pub use world::World;
