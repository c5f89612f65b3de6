//! Observers of the decisions and blocks of a world: one keeps nothing, one keeps all decisions.

use std::fmt;

use common::geometry::Block;
use common::moment::Moment;

use super::HostId;
use crate::decision::Decision;

/// Sees every decision of every peer and every block that arrives, in order.
pub trait Observer {
    /// A peer made a decision.
    fn decision(&mut self, at: Moment, host: HostId, decision: Decision);

    /// All of a block has arrived at a peer.
    fn delivered(&mut self, _at: Moment, _from: HostId, _to: HostId, _block: Block) {}
}

/// Keeps nothing: for runs of many peers of which only the outcome counts.
impl Observer for () {
    fn decision(&mut self, _: Moment, _: HostId, _: Decision) {}
}

/// Keeps everything: for tests of small worlds.
pub type Trace = Vec<Entry>;

impl Observer for Trace {
    fn decision(&mut self, at: Moment, host: HostId, decision: Decision) {
        self.push(Entry { at, host, decision });
    }
}

/// A decision that a peer made, and when.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When it was made.
    pub at: Moment,
    /// The peer that made it.
    pub host: HostId,
    /// The decision.
    pub decision: Decision,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, host, decision } = self;
        write!(f, "{:10.6} s  {host}  {decision}", at.since_start().as_secs_f64())
    }
}
