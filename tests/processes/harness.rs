//! What every test here stands on: a laboratory directory, stores, processes, trees, and the question
//! whether this machine can do something.
//!
//! Invariants: a test sees no `SHOAL_*` variable of its surroundings and only the network `isolated`;
//! everything that it starts ends with it, also when it panics; only processes that it started itself
//! are signalled; every wait has an end. Where no event can be awaited (a counter of another process)
//! a condition is polled, never slept for.

pub(crate) mod kubo;
pub(crate) mod lab;
pub(crate) mod mounted;
pub(crate) mod process;
pub(crate) mod require;
pub(crate) mod tree;

use std::time::{Duration, Instant};

pub(crate) use self::{
    lab::{Lab, Store},
    process::{Peer, Run, Started},
    tree::Snapshot,
};

/// Bound of every wait that has no tighter one: a debug binary beside other tests on two cores.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(90);

/// Pause between two looks at something that cannot be awaited.
pub(crate) const POLL: Duration = Duration::from_millis(10);

/// Looks until `condition` gives something; panics with `what` after [`WAIT_MAX`].
#[track_caller]
pub(crate) fn eventually<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    match within(WAIT_MAX, condition) {
        Some(value) => value,
        None => panic!("{what}: not within {} s", WAIT_MAX.as_secs()),
    }
}

/// Looks until `condition` gives something or the time is over.
pub(crate) fn within<T>(wait: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + wait;
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(POLL);
    }
}
