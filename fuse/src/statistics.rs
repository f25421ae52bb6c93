//! What a mount has done so far, counted.
//!
//! Owns the counters that event loops and workers add to, and the snapshot of them that callers get.
//! Counters only grow; they are read without order between them.

use std::sync::atomic::{AtomicU64, Ordering};

/// The counters of a mount.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) passed_opens: AtomicU64,
    pub(crate) cached_opens: AtomicU64,
    pub(crate) local_reads: AtomicU64,
    pub(crate) tree_reads: AtomicU64,
    pub(crate) overdue: AtomicU64,
    pub(crate) panicked: AtomicU64,
}

/// What a mount has done since it was started.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Statistics {
    /// Opens of files that the kernel reads by itself.
    pub passed_opens: u64,
    /// Opens of files that are read through this process.
    pub cached_opens: u64,
    /// Reads that were answered from a local file.
    pub local_reads: u64,
    /// Reads that were answered by the tree, or failed.
    pub tree_reads: u64,
    /// Requests that were refused because their guard passed or the queue was full.
    pub overdue: u64,
    /// Requests that ran into a bug.
    pub panicked: u64,
}

impl Counters {
    /// One more.
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The numbers as they are now.
    pub(crate) fn snapshot(&self) -> Statistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            passed_opens: read(&self.passed_opens),
            cached_opens: read(&self.cached_opens),
            local_reads: read(&self.local_reads),
            tree_reads: read(&self.tree_reads),
            overdue: read(&self.overdue),
            panicked: read(&self.panicked),
        }
    }
}
