//! Ctrl-C and other ways to end a loop from outside: a flag, and a waker for each loop; and the exit
//! code that tells how the program was ended.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
#[cfg(unix)]
use std::thread;

use anyhow::Result;
use mio::Waker;
#[cfg(unix)]
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

/// Ctrl-C, on every system.
const INTERRUPT: u8 = 2;

/// The signal that ended the program. Signals are sent to a process, so there is one for all.
static SIGNAL: AtomicU8 = AtomicU8::new(INTERRUPT);

/// The exit code of a program that was ended before it was done, as shells report it: 128 plus the
/// number of the signal.
pub(crate) fn exit_code() -> u8 {
    128 + SIGNAL.load(Ordering::SeqCst)
}

/// Tells the loops of this process that it is time to leave the swarm.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    stopped: AtomicBool,
    wakers: Mutex<Vec<Arc<Waker>>>,
}

impl Stop {
    /// One that Ctrl-C sets, and on Unix SIGTERM and SIGHUP too.
    ///
    /// # Errors
    /// If the handler cannot be installed.
    #[cfg(unix)]
    pub(crate) fn on_ctrl_c() -> Result<Self> {
        let stop = Self::default();
        let handle = stop.clone();
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                SIGNAL.store(u8::try_from(signal).unwrap_or(INTERRUPT), Ordering::SeqCst);
                handle.stop();
            }
        })?;
        Ok(stop)
    }

    /// One that Ctrl-C sets.
    ///
    /// # Errors
    /// If the handler cannot be installed.
    #[cfg(not(unix))]
    pub(crate) fn on_ctrl_c() -> Result<Self> {
        let stop = Self::default();
        let handle = stop.clone();
        ctrlc::set_handler(move || handle.stop())?;
        Ok(stop)
    }

    /// Stops every loop that listens.
    pub(crate) fn stop(&self) {
        self.0.stopped.store(true, Ordering::SeqCst);
        for waker in self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if let Err(error) = waker.wake() {
                log::warn!("cannot wake a loop: {error}");
            }
        }
    }

    /// Registers a loop to wake when it is time to stop.
    pub(crate) fn subscribe(&self, waker: Arc<Waker>) {
        self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner).push(waker);
    }

    /// Whether it is time to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::SeqCst)
    }
}
