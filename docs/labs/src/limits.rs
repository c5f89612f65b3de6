//! Limits on files, memory and processes. The grader sets them for itself, and every program that it
//! starts inherits them. Windows has no such limits without a job object: there a program is bounded by
//! its time and its output only.

use anyhow::Result;

/// Four checks at a time, each with a thread for each of some hundred connections, fit; a program that
/// forks without end does not. Linux does not hold it against root.
#[cfg(target_os = "linux")]
const MORE_PROCESSES: u64 = 1024;

/// Lowers the limits of this process.
///
/// # Errors
/// When the system refuses.
#[cfg(unix)]
pub(crate) fn apply() -> Result<()> {
    use anyhow::Context;
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limits = [
        // A program with one thread for each of a few hundred connections fits; a leak does not.
        ("open files", Resource::Nofile, 512),
        // Logs fit; a program that fills the disk does not.
        ("size of a file", Resource::Fsize, 64 << 20),
        // Data and not address space: Java and Node reserve far more than they use.
        ("memory", Resource::Data, 2 << 30),
        ("core file", Resource::Core, 0),
    ];
    // The system counts all processes of the user, not only those that begin here.
    #[cfg(target_os = "linux")]
    let limits = limits.into_iter().chain([(
        "processes",
        Resource::Nproc,
        linux::processes_of_this_user() + MORE_PROCESSES,
    )]);
    for (name, resource, limit) in limits {
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

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use rustix::process::getuid;

    /// Counts threads, as the limit does.
    pub(super) fn processes_of_this_user() -> u64 {
        let own = getuid().as_raw();
        let Ok(processes) = fs::read_dir("/proc") else { return 0 };
        let is_own = |entry: &fs::DirEntry| entry.metadata().is_ok_and(|data| data.uid() == own);
        let threads = processes.flatten().filter(is_own).map(|entry| {
            // Other entries, and processes that have ended meanwhile, have none.
            fs::read_dir(entry.path().join("task")).map_or(0, |threads| threads.count() as u64)
        });
        threads.sum()
    }
}
