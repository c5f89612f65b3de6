//! A running program of the student: bounded output, a bounded wait, and its end.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use std::{io, mem, process};

use crate::program::Program;
use crate::reaper::{self, MARK, Target};

/// A program that runs, or has ended; it ends with its children when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    target: Target,
    status: Option<ExitStatus>,
    stdout: Captured,
    stderr: Captured,
}

/// What a program has written to one of its outputs.
#[derive(Clone, Debug)]
pub(crate) struct Captured {
    shared: Arc<(Mutex<Output>, Condvar)>,
}

#[derive(Debug, Default)]
struct Output {
    bytes: Vec<u8>,
    closed: bool,
}

/// The beginning of an output that is kept, in bytes, if a check does not ask for more. The rest is
/// read and dropped, so that a program that prints much neither waits for the grader nor fills its
/// memory.
pub(crate) const KEPT: usize = 64 << 10;

/// How often to look whether a program has ended: std has no wait with a time limit.
const POLL: Duration = Duration::from_millis(5);

/// How long the last output may take to arrive after the program has ended.
const DRAIN: Duration = Duration::from_millis(500);

/// Every program that runs, for [`end_all`].
static RUNNING: Mutex<BTreeSet<Target>> = Mutex::new(BTreeSet::new());

/// Ends every program that runs, and lets none start anymore. For Ctrl-C.
pub(crate) fn end_all() {
    let running = lock(&RUNNING);
    for target in running.iter() {
        reaper::end_processes(target);
    }
    // Whatever wants to start a program now waits until the grader exits.
    mem::forget(running);
}

impl Running {
    /// Starts the program in this folder. Its standard input is `input` and then the end of the file;
    /// the first `kept` bytes of its standard output are kept.
    ///
    /// # Errors
    /// When the system cannot start it.
    pub(crate) fn start(
        program: &Program,
        arguments: &[&str],
        folder: &Path,
        input: &[u8],
        kept: usize,
    ) -> io::Result<Self> {
        let (mut running, mut stdin, stdout) = Self::open(program, arguments, folder)?;
        running.stdout = Captured::read(stdout, kept);
        let input = input.to_vec();
        // On a thread: a program that does not read must not stop the grader. An error means that it
        // has closed its input.
        thread::spawn(move || _ = stdin.write_all(&input));
        Ok(running)
    }

    /// Starts the program in this folder; its standard input and output are the caller's.
    ///
    /// # Errors
    /// When the system cannot start it.
    pub(crate) fn open(
        program: &Program,
        arguments: &[&str],
        folder: &Path,
    ) -> io::Result<(Self, ChildStdin, ChildStdout)> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mark = format!("{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut command = program.command(arguments);
        command.current_dir(folder).env(MARK, &mark);
        // The same text encoding on every system, whatever its locale.
        command.env("PYTHONUTF8", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        reaper::lead_group(&mut command);
        let mut running = lock(&RUNNING);
        let mut child = command.spawn()?;
        let target = Target { leader: child.id(), mark };
        running.insert(target.clone());
        drop(running);

        let stdin = child.stdin.take().expect("it is piped");
        let stdout = child.stdout.take().expect("it is piped");
        let stderr = Captured::read(child.stderr.take().expect("it is piped"), KEPT);
        let running = Self { child, target, status: None, stdout: Captured::none(), stderr };
        Ok((running, stdin, stdout))
    }

    /// Waits for the program to end, until the deadline; `None` if it still runs then.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub(crate) fn wait(&mut self, deadline: Instant) -> io::Result<Option<ExitStatus>> {
        while self.ended()?.is_none() {
            if Instant::now() >= deadline {
                return Ok(None);
            }
            thread::sleep(POLL);
        }
        Ok(self.status)
    }

    /// How the program ended, if it has; then its outputs are here as well.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
            if self.status.is_some() {
                // A child of the program may hold the outputs open for longer.
                let drained = Instant::now() + DRAIN;
                self.stdout.wait_closed(drained);
                self.stderr.wait_closed(drained);
            }
        }
        Ok(self.status)
    }

    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    pub(crate) fn stdout_bytes(&self) -> Vec<u8> {
        lock(&self.stdout.shared.0).bytes.clone()
    }

    pub(crate) fn stderr(&self) -> &Captured {
        &self.stderr
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        reaper::end(&mut self.child, &self.target);
        lock(&RUNNING).remove(&self.target);
    }
}

impl Captured {
    fn read(mut from: impl Read + Send + 'static, kept: usize) -> Self {
        let captured = Self { shared: Arc::default() };
        let shared = Arc::clone(&captured.shared);
        thread::spawn(move || {
            let mut buffer = [0; 8192];
            // An error ends the output, as its end does.
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                let mut output = lock(&shared.0);
                let free = kept - output.bytes.len();
                output.bytes.extend_from_slice(&buffer[..length.min(free)]);
            }
            lock(&shared.0).closed = true;
            shared.1.notify_all();
        });
        captured
    }

    /// Of an output that another reads.
    fn none() -> Self {
        let closed = Output { closed: true, ..Output::default() };
        Self { shared: Arc::new((Mutex::new(closed), Condvar::new())) }
    }

    fn wait_closed(&self, deadline: Instant) {
        let mut output = lock(&self.shared.0);
        while !output.closed {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.shared.1.wait_timeout(output, left);
            (output, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The beginning of it, with U+FFFD for what is not UTF-8.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&lock(&self.shared.0).bytes).replace("\r\n", "\n")
    }
}

/// A panic elsewhere does not make the value wrong: each change of it is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
