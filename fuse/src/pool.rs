//! Worker threads for whatever may wait, with an end to every wait.
//!
//! An event loop hands over a reply and the work that will fill it. Workers are started when there is
//! work and end when there has been none for a while. A watchdog answers a reply whose guard has
//! passed; the worker that comes back later finds it taken and undoes what it did. A worker that never
//! comes back is lost to the pool, which is why metadata and reads have pools of their own.
//!
//! Invariants: at most `threads_max` threads and `queue_max` waiting jobs; every reply handed over is
//! answered exactly once, within its guard and one tick, whatever the work does: also when it panics,
//! or when the queue is full (at once). Does not know what the work is.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::errno::FsError;

/// How long a worker waits for work before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// A reply that can be given as a refusal.
pub(crate) trait Refuse: Send + 'static {
    /// Answers with an error.
    fn refuse(self, error: FsError);
}

/// The place where a reply lies until somebody gives it: the worker or the watchdog.
struct Slot<R>(Mutex<Option<R>>);

trait Expire: Send + Sync {
    /// Refuses the reply unless it is given; true when it was still there.
    fn expire(&self, error: FsError) -> bool;
}

impl<R: Refuse> Expire for Slot<R> {
    fn expire(&self, error: FsError) -> bool {
        // Taken in a statement of its own: the lock is not held while the kernel is spoken to.
        let reply = self.0.lock().take();
        reply.map(|reply| reply.refuse(error)).is_some()
    }
}

/// What a worker gets instead of the reply, which may be gone when the work is done.
pub(crate) struct Ticket<R>(Arc<Slot<R>>);

impl<R> Ticket<R> {
    /// The reply, or `None` when its guard has passed: then undo.
    pub(crate) fn take(self) -> Option<R> {
        self.0.0.lock().take()
    }
}

struct Job {
    key: (Instant, u64),
    run: Box<dyn FnOnce() + Send>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    /// Jobs queued or running, by when their guard passes.
    waiting: BTreeMap<(Instant, u64), Arc<dyn Expire>>,
    last: u64,
    threads: usize,
    idle: usize,
    watched: bool,
    closed: bool,
}

struct Shared {
    name: &'static str,
    limits: Limits,
    state: Mutex<State>,
    work: Condvar,
    watch: Condvar,
}

/// What a pool may use, and how long its work may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Most threads.
    pub(crate) threads_max: usize,
    /// Most jobs that wait for a thread.
    pub(crate) queue_max: usize,
    /// When a reply is refused.
    pub(crate) guard: Duration,
}

/// A bounded pool of worker threads. Dropping it ends the idle ones and lets the busy ones finish.
pub(crate) struct Pool(Arc<Shared>);

impl std::fmt::Debug for Pool {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Pool").field("name", &self.0.name).finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool without threads yet.
    pub(crate) fn new(name: &'static str, limits: Limits) -> Self {
        Self(Arc::new(Shared {
            name,
            limits,
            state: Mutex::default(),
            work: Condvar::new(),
            watch: Condvar::new(),
        }))
    }

    /// Has `work` done by a worker, which gives `reply`.
    pub(crate) fn submit<R: Refuse>(
        &self,
        reply: R,
        work: impl FnOnce(Ticket<R>) + Send + 'static,
    ) {
        let slot = Arc::new(Slot(Mutex::new(Some(reply))));
        let run = {
            let slot = Arc::clone(&slot);
            Box::new(move || run(slot, work))
        };
        if !self.0.admit(Arc::<Slot<R>>::clone(&slot), run) {
            slot.expire(FsError::Overdue);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.state.lock().closed = true;
        self.0.work.notify_all();
        self.0.watch.notify_all();
    }
}

/// Does the work unless its guard has passed while it waited, and answers for it when it panics.
fn run<R: Refuse>(slot: Arc<Slot<R>>, work: impl FnOnce(Ticket<R>)) {
    if slot.0.lock().is_none() {
        return;
    }
    let ticket = Ticket(Arc::clone(&slot));
    if catch_unwind(AssertUnwindSafe(|| work(ticket))).is_err() {
        slot.expire(FsError::Panicked);
    }
}

impl Shared {
    fn admit(self: &Arc<Self>, slot: Arc<dyn Expire>, run: Box<dyn FnOnce() + Send>) -> bool {
        let mut state = self.state.lock();
        if state.closed || state.queue.len() >= self.limits.queue_max {
            return false;
        }
        state.last += 1;
        let key = (Instant::now() + self.limits.guard, state.last);
        state.waiting.insert(key, slot);
        state.queue.push_back(Job { key, run });
        if state.idle >= state.queue.len() {
            self.work.notify_one();
        } else if state.threads < self.limits.threads_max {
            state.threads += 1;
            self.start(&mut state, "worker", Self::serve);
        }
        if !state.watched {
            state.watched = true;
            self.start(&mut state, "watch", Self::watch);
        }
        // Without a single thread nobody would ever answer.
        state.threads > 0
    }

    fn start(self: &Arc<Self>, state: &mut State, what: &str, body: fn(&Self)) {
        let shared = Arc::clone(self);
        let builder = std::thread::Builder::new().name(format!("{}-{what}", self.name));
        if let Err(error) = builder.spawn(move || body(&shared)) {
            tracing::warn!(%error, what, "cannot start a thread");
            match what {
                "worker" => state.threads -= 1,
                _ => state.watched = false,
            }
        }
    }

    fn serve(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                drop(state);
                (job.run)();
                state = self.state.lock();
                state.waiting.remove(&job.key);
                continue;
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let timed_out = self.work.wait_for(&mut state, IDLE).timed_out();
            state.idle -= 1;
            if timed_out && state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }

    /// Refuses what is overdue, until nothing has waited for a while; the next job starts it again.
    fn watch(&self) {
        let tick = (self.limits.guard / 8).clamp(Duration::from_millis(10), Duration::from_secs(1));
        let mut state = self.state.lock();
        let mut quiet = Duration::ZERO;
        while !(state.waiting.is_empty() && (quiet >= IDLE || state.closed)) {
            let now = Instant::now();
            let rest = state.waiting.split_off(&(now, 0));
            let overdue = std::mem::replace(&mut state.waiting, rest);
            if overdue.is_empty() {
                self.watch.wait_for(&mut state, tick);
                quiet = if state.waiting.is_empty() { quiet + tick } else { Duration::ZERO };
                continue;
            }
            drop(state);
            for slot in overdue.into_values() {
                slot.expire(FsError::Overdue);
            }
            state = self.state.lock();
        }
        state.watched = false;
    }
}

#[cfg(test)]
mod tests;
