//! Who takes part in a world, and what is kept of what they decided.

use std::fmt;
use std::time::Duration;

use common::bitfield::Bitfield;
use common::geometry::Geometry;

use super::Link;
use crate::decision::Decision;
use crate::torrent::Config;

/// What all of a world share.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The content.
    pub geometry: Geometry,
    /// How often the tracker wants to hear of each peer.
    pub announce_interval: Duration,
}

/// A peer as it enters the world.
#[derive(Clone, Debug)]
pub struct Participant {
    /// How it decides; see [`super::World::config`].
    pub config: Config,
    /// Its access to the network.
    pub link: Link,
    /// The pieces it brings.
    pub have: Bitfield,
    /// When it comes, counted from the start of the world.
    pub arrives_at: Duration,
    /// Whether it plays by the rules.
    pub conduct: Conduct,
}

/// What a peer does with the decisions of its core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// It carries them out.
    Honest,
    /// It never tells anybody that it unchokes: a free rider.
    NeverUnchokes,
    /// The bytes of the blocks that it sends are false.
    SendsFalseData,
}

/// One of the peers of a world, counted from 0 in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId(pub u32);

/// A decision that a peer made, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Since the start of the world.
    pub at: Duration,
    /// Whose decision it is.
    pub host: HostId,
    /// What was decided.
    pub decision: Decision,
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer {}", self.0)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, host, decision } = self;
        write!(f, "{:10.6} s  {host}  {decision}", at.as_secs_f64())
    }
}
