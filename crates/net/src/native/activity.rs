//! When a stream last moved a frame, and blocks in which direction, for the decision whether its
//! connection is kept.
//!
//! The stream itself does not count for libp2p's keep-alive: most connections are made by DHT
//! lookups and should go when idle. The rule is simple: a connection whose native stream moved a
//! frame (other than `Hello`) within [`KEEP_ALIVE`] stays, any other falls to the idle timeout. Where
//! room is needed, what the frames were decides too: see [`Standing`].

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long one frame keeps a connection alive.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_mins(1);

/// What a connection is worth, by what moved on its stream within [`KEEP_ALIVE`]; the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// No frame moved, or there is no stream.
    Idle,
    /// Messages moved and no blocks.
    Talks,
    /// Blocks went to the peer.
    Takes,
    /// Verified blocks came from it that were asked for.
    Gives,
}

/// Milliseconds after the process's first use of this module, plus one; 0 is never.
#[derive(Debug, Default)]
struct Stamp(AtomicU64);

impl Stamp {
    fn set(&self) {
        self.0.store(now_ms(), Ordering::Relaxed);
    }

    fn is_recent(&self) -> bool {
        let at = self.0.load(Ordering::Relaxed);
        at != 0 && now_ms() - at < KEEP_ALIVE.as_millis() as u64
    }
}

/// What moved on a stream, and when last.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    moved: Stamp,
    took: Stamp,
    gave: Stamp,
}

impl Activity {
    /// A frame moved now.
    pub(crate) fn touch(&self) {
        self.moved.set();
    }

    /// Blocks went to the peer now.
    pub(crate) fn took(&self) {
        self.took.set();
    }

    /// A verified block that was asked for came from the peer now.
    pub(crate) fn gave(&self) {
        self.gave.set();
    }

    /// Whether a frame moved within [`KEEP_ALIVE`].
    pub(crate) fn is_recent(&self) -> bool {
        self.moved.is_recent()
    }

    /// What the connection is worth.
    pub(crate) fn standing(&self) -> Standing {
        if self.gave.is_recent() {
            Standing::Gives
        } else if self.took.is_recent() {
            Standing::Takes
        } else if self.moved.is_recent() {
            Standing::Talks
        } else {
            Standing::Idle
        }
    }
}

fn now_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_millis() as u64 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moved_decides_what_a_connection_is_worth() {
        let activity = Activity::default();
        assert_eq!(activity.standing(), Standing::Idle);
        activity.touch();
        assert_eq!(activity.standing(), Standing::Talks);
        activity.took();
        assert_eq!(activity.standing(), Standing::Takes);
        activity.gave();
        assert_eq!(activity.standing(), Standing::Gives);
        assert!(Standing::Idle < Standing::Talks && Standing::Takes < Standing::Gives);
    }
}
