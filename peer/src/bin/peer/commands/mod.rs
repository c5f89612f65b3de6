//! What each command does.

pub(crate) mod create;
pub(crate) mod replay;
pub(crate) mod share;
pub(crate) mod show;
pub(crate) mod simulate;
pub(crate) mod swarm;
