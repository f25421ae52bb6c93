//! The threads that work while nobody asks for it: one checkpoints, one merges the index's runs.
//!
//! They sleep without a timeout while there is nothing to do, so an idle store costs nothing. They end
//! with the last handle of the store, and hold no handle themselves.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::Shared;
use crate::error::OpenError;

/// What was kept is indexed after this time at the latest. It bounds what a power loss takes and what
/// the next open has to look at.
const CHECKPOINT_AFTER: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct State {
    due: Option<Instant>,
    is_stopped: bool,
}

/// When the next checkpoint is due.
#[derive(Debug, Default)]
pub(super) struct Ticker {
    state: Mutex<State>,
    changed: Condvar,
}

impl Ticker {
    /// A checkpoint is due in a while, unless one is sooner.
    pub(super) fn arm(&self) {
        self.set(Instant::now() + CHECKPOINT_AFTER);
    }

    /// A checkpoint is due now.
    pub(super) fn hurry(&self) {
        self.set(Instant::now());
    }

    fn set(&self, at: Instant) {
        let mut state = self.state.lock();
        if state.due.is_none_or(|due| at < due) {
            state.due = Some(at);
            self.changed.notify_one();
        }
    }

    /// Waits until a checkpoint is due; `false` when the store goes.
    fn wait(&self) -> bool {
        let mut state = self.state.lock();
        loop {
            if state.is_stopped {
                return false;
            }
            match state.due {
                Some(due) if due <= Instant::now() => {
                    state.due = None;
                    return true;
                }
                Some(due) => {
                    self.changed.wait_until(&mut state, due);
                }
                None => self.changed.wait(&mut state),
            }
        }
    }

    fn stop(&self) {
        self.state.lock().is_stopped = true;
        self.changed.notify_one();
    }
}

/// The running threads; dropping it ends them.
#[derive(Debug)]
pub(super) struct Ticking {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// Starts the threads.
pub(super) fn start(shared: &Arc<Shared>) -> Result<Ticking, OpenError> {
    let seen = Arc::clone(shared);
    let run = move || {
        while seen.ticker.wait() {
            if let Err(error) = seen.checkpoint() {
                tracing::warn!(%error, "checkpoint failed");
            }
        }
    };
    // Made first: where the second thread cannot be started, dropping it ends the first.
    let mut ticking = Ticking { shared: Arc::clone(shared), threads: Vec::new() };
    ticking.spawn("store-checkpoint", run)?;
    let merging = Arc::clone(shared);
    ticking.spawn("store-merge", move || merging.index.merge_until_stopped())?;
    Ok(ticking)
}

impl Ticking {
    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), OpenError> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        let root = self.shared.layout.root();
        self.threads.push(thread.map_err(|error| OpenError::io(root, error))?);
        Ok(())
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.shared.ticker.stop();
        self.shared.index.stop_merging();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use shoal_dag::hash::{HashKind, RAW, cid_of};
    use shoal_dag::{Bytes, Version};

    use crate::{Options, Store};

    #[test]
    fn nothing_is_due_while_nothing_changes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Options::default()).unwrap();
        let due = |store: &Store| store.shared.ticker.state.lock().due;
        assert_eq!(due(&store), None, "a new store");
        let data = Bytes::from_static(b"a block");
        let cid = cid_of(HashKind::Blake3, RAW, Version::V1, &data);
        store.keep(&cid, None, &data, true).unwrap();
        let armed = due(&store);
        assert!(armed.is_some());
        store.keep(&cid, None, &data, true).unwrap();
        assert_eq!(due(&store), armed, "the second change waits with the first");
        store.checkpoint().unwrap();
        drop(store);
        let store = Store::open(dir.path(), Options::default()).unwrap();
        assert!(store.get(&cid).unwrap().is_some());
        store.keep(&cid, None, &data, true).unwrap();
        assert_eq!(due(&store), None, "it has that block");
        store.checkpoint().unwrap();
        assert_eq!(due(&store), None);
    }

    #[test]
    fn what_is_due_is_done_once() {
        let ticker = super::Ticker::default();
        ticker.arm();
        ticker.hurry();
        assert!(ticker.wait());
        assert_eq!(ticker.state.lock().due, None, "the next wait has no end");
        ticker.stop();
        assert!(!ticker.wait());
    }
}
