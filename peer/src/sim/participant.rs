//! The peers of a world.

use std::fmt;
use std::time::Duration;

use common::bitfield::Bitfield;
use common::geometry::Geometry;

use super::Link;
use crate::torrent::Config;

/// The settings of a whole world.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The content.
    pub geometry: Geometry,
    /// The announce interval that the tracker gives.
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
    /// Whether it is honest.
    pub conduct: Conduct,
}

/// Whether a peer sends what it was asked for. (A free rider is a choker.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// It does.
    Honest,
    /// The bytes of its blocks are false.
    SendsFalseData,
    /// Its bytes are false, and it uses a new peer id on every connection: it reconnects after each
    /// piece that fails at a neighbor.
    SendsFalseDataUnderNewIds,
    /// Its bytes are false, and it leaves before they are checked: it reconnects after each block,
    /// under a new peer id.
    LeavesMidPiece,
}

/// One of the peers of a world, counted from 0 in the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId(pub u32);

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer {}", self.0)
    }
}
