//! A token bucket: holds a flow of bytes to a rate without cutting blocks.
//!
//! A block may be taken whenever the bucket is not in debt; its whole size is then owed. Over any
//! time the flow is at most rate x time + burst + one block.

use std::time::Duration;

use crate::limits::{BURST_BYTES_MIN, BURST_TIME};

/// Allows `rate` bytes per second.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    rate: f64,
    tokens: f64,
    at: Duration,
}

impl Bucket {
    pub(crate) fn new(rate: u64, now: Duration) -> Self {
        let mut bucket = Self { rate: (rate as f64).max(1.0), tokens: 0.0, at: now };
        bucket.tokens = bucket.burst();
        bucket
    }

    /// Bytes that may go at once after a pause.
    pub(crate) fn burst(&self) -> f64 {
        (self.rate * BURST_TIME.as_secs_f64()).max(BURST_BYTES_MIN as f64)
    }

    pub(crate) fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate).min(self.burst());
        self.at = self.at.max(now);
    }

    /// Whether something may go now.
    pub(crate) fn ready(&self) -> bool {
        self.tokens >= 1.0
    }

    /// When something may go, if not now.
    pub(crate) fn wake(&self) -> Duration {
        let missing = (1.0 - self.tokens).max(0.0) / self.rate;
        self.at + Duration::from_secs_f64(missing.min(3600.0)) + Duration::from_micros(1)
    }

    /// Owes `bytes`; a negative number gives them back.
    pub(crate) fn take(&mut self, bytes: f64) {
        self.tokens -= bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_held_whatever_the_block_size() {
        for block in [1_000u32, 65_536, 2 << 20] {
            let mut bucket = Bucket::new(1_000_000, Duration::ZERO);
            let (mut now, mut sent) = (Duration::ZERO, 0f64);
            while now < Duration::from_secs(100) {
                bucket.refill(now);
                if bucket.ready() {
                    bucket.take(f64::from(block));
                    sent += f64::from(block);
                } else {
                    now = bucket.wake();
                }
            }
            assert!((0.97..1.03).contains(&(sent / 100e6)), "{block}: {sent}");
        }
    }
}
