//! When a stream last moved a frame, for the decision whether its connection is kept.
//!
//! The stream itself does not count for libp2p's keep-alive: most connections are made by DHT
//! lookups and should go when idle. The rule is simple: a connection whose native stream moved a
//! frame (other than `Hello`) within [`KEEP_ALIVE`] stays, any other falls to the idle timeout.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long one frame keeps a connection alive.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_mins(1);

/// Milliseconds after the process's first use of this module, plus one; 0 is never.
#[derive(Debug, Default)]
pub(crate) struct Activity(AtomicU64);

impl Activity {
    /// A frame moved now.
    pub(crate) fn touch(&self) {
        self.0.store(now_ms(), Ordering::Relaxed);
    }

    /// Whether a frame moved within [`KEEP_ALIVE`].
    pub(crate) fn is_recent(&self) -> bool {
        let at = self.0.load(Ordering::Relaxed);
        at != 0 && now_ms() - at < KEEP_ALIVE.as_millis() as u64
    }
}

fn now_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_millis() as u64 + 1
}
