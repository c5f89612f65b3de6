//! Ends a student's program and every process that it started.
//!
//! On Unix a program leads a process group of its own, which is killed as a whole. A child that left
//! the group (a daemon) still has the environment of its parent with a mark in it; on Linux `/proc`
//! shows it. On macOS such a child survives, and on Windows a child whose parent has ended.

use std::process::{Child, Command};

/// The environment variable that marks the processes of one program.
pub(crate) const MARK: &str = "LABS_RUN";

/// A program to end: the leader of a process group, and its mark.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    pub(crate) leader: u32,
    pub(crate) mark: String,
}

/// Makes the program the leader of a process group. Ctrl-C in the terminal then reaches only the
/// grader, which ends the program.
#[cfg(unix)]
pub(crate) fn lead_group(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

/// Windows has no process groups of this kind; `taskkill` follows the tree of parents.
#[cfg(not(unix))]
pub(crate) fn lead_group(_command: &mut Command) {}

/// Ends the program and its children, and waits for the program.
pub(crate) fn end(child: &mut Child, target: &Target) {
    end_processes(target);
    // An error means that it has ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// Ends all processes of the program, without waiting for them.
#[cfg(unix)]
pub(crate) fn end_processes(target: &Target) {
    use rustix::process::{Pid, Signal, kill_process_group};

    if let Some(group) = Pid::from_raw(target.leader.cast_signed()) {
        // An error means that the whole group has ended.
        let _ = kill_process_group(group, Signal::KILL);
    }
    #[cfg(target_os = "linux")]
    linux::end_marked(&target.mark);
}

/// Ends the program and those of its children whose parent still runs.
#[cfg(not(unix))]
pub(crate) fn end_processes(target: &Target) {
    use std::process::Stdio;

    let mut kill = Command::new("taskkill");
    kill.args(["/T", "/F", "/PID", &target.leader.to_string()]);
    // An error means that the program has ended.
    let _ = kill.stdout(Stdio::null()).stderr(Stdio::null()).status();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::thread;
    use std::time::Duration;

    use rustix::process::{Pid, Signal, kill_process};

    use super::MARK;

    /// Kills every process that has the mark in its environment, until none is left.
    pub(super) fn end_marked(mark: &str) {
        /// A process may fork while the list is read. One that forks faster than it is found, and
        /// has left its group, survives.
        const ROUNDS: u32 = 100;
        let variable = format!("{MARK}={mark}");
        for _ in 0..ROUNDS {
            let Ok(processes) = fs::read_dir("/proc") else { return };
            let mut found = false;
            for entry in processes.flatten() {
                let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
                let Some(pid) = pid.and_then(Pid::from_raw) else { continue };
                // Other users' processes cannot be read, and are none of ours; a zombie's is empty.
                let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
                if environment.split(|&byte| byte == 0).any(|one| one == variable.as_bytes()) {
                    found = true;
                    // An error means that it has ended meanwhile.
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            if !found {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}
