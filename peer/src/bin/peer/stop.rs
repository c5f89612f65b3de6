//! Ctrl-C and other ways to end a loop from outside: a flag, and a waker for each loop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mio::Waker;

/// Tells the loops of this process that it is time to leave the swarm.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    stopped: AtomicBool,
    wakers: Mutex<Vec<Arc<Waker>>>,
}

impl Stop {
    /// One that Ctrl-C sets.
    ///
    /// # Errors
    /// If the handler cannot be installed.
    pub(crate) fn on_ctrl_c() -> Result<Self, ctrlc::Error> {
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
                log::warn!("wake a loop: {error}");
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
