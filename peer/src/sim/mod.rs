//! A small world in virtual time that drives [`crate::torrent::Torrent`] as the mio shell does.
//!
//! | File | What is in it |
//! |---|---|
//! | `world/mod.rs` | the clock, the tracker, the hosts; performs outputs |
//! | `world/network.rs` | connections: dials, messages in order, blocks |
//! | `world/ends.rs` | the ends of all connections, by their keys |
//! | `world/queue.rs` | what happens next |
//! | `participant.rs` | the peers that take part |
//! | `observe.rs` | which of their decisions are kept, and what goes over the network |
//! | `scenarios/` | published and derived results, reproduced |
//! | `links.rs` | how long bytes take: rate and delay of a peer's access to the network |
//!
//! A run is repeatable to the byte: all randomness comes from one seed, and simultaneous events run
//! in the order in which they were scheduled.

mod links;
mod observe;
mod participant;
pub mod scenarios;
mod world;

pub use links::Link;
pub use observe::{Entry, Observer, Trace, Traffic};
pub use participant::{Conduct, HostId, Participant, Settings};
pub use world::{Carried, World};
