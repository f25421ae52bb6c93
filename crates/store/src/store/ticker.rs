//! The thread that checkpoints while nobody asks for it.
//!
//! It sleeps without a timeout while there is nothing to do, so an idle store costs nothing. It ends
//! with the last handle of the store, and holds no handle itself.

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

/// The running thread; dropping it ends it.
#[derive(Debug)]
pub(super) struct Ticking {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the thread.
pub(super) fn start(shared: &Arc<Shared>) -> Result<Ticking, OpenError> {
    let seen = Arc::clone(shared);
    let run = move || {
        while seen.ticker.wait() {
            if let Err(error) = seen.checkpoint() {
                tracing::warn!(%error, "checkpoint failed");
            }
        }
    };
    let thread = std::thread::Builder::new()
        .name("store-checkpoint".to_owned())
        .spawn(run)
        .map_err(|error| OpenError::io(shared.layout.root(), error))?;
    Ok(Ticking { shared: Arc::clone(shared), thread: Some(thread) })
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.shared.ticker.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the checkpoint thread panicked");
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
