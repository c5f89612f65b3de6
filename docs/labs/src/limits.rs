//! Limits on files and memory. The grader sets them for itself, and every program that it starts
//! inherits them. Windows has no such limits without a job object: there a program is bounded by
//! its time and its output only.

use anyhow::Result;

/// Lowers the limits of this process.
///
/// # Errors
/// When the system refuses.
#[cfg(unix)]
pub(crate) fn apply() -> Result<()> {
    use anyhow::Context;
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    for (name, resource, limit) in [
        // A program with one thread for each of a few hundred connections fits; a leak does not.
        ("open files", Resource::Nofile, 512),
        // Logs fit; a program that fills the disk does not.
        ("size of a file", Resource::Fsize, 64 << 20),
        // Data and not address space: Java and Node reserve far more than they use.
        ("memory", Resource::Data, 2 << 30),
        ("core file", Resource::Core, 0),
    ] {
        let now = getrlimit(resource);
        // A limit that is lower already stays.
        let lower = |old: Option<u64>| Some(old.map_or(limit, |old| old.min(limit)));
        let new = Rlimit { current: lower(now.current), maximum: lower(now.maximum) };
        setrlimit(resource, new).with_context(|| format!("limit: {name}"))?;
    }
    Ok(())
}

/// Does nothing on this system.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub(crate) fn apply() -> Result<()> {
    Ok(())
}
