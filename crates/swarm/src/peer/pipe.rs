//! How much may be asked of a peer at once.
//!
//! One leaf until it has delivered; then slow start, a leaf more per leaf delivered, until the rate
//! over max(2 RTT, 0.25 s) grows by less than 15 %; then 2 x least latency x rate + 256 KiB. On a
//! fast path the start is [`FAST_WINDOW`] at once. Where nothing is delivered for four leaf times
//! (2 to 8 s), everything is taken back and the peer rests, 4 s and then 8 s, and begins with one
//! leaf again. Rule book "Asking", with the bound on bytes in flight that was measured for this
//! transport.

use std::time::Duration;

use crate::limits::{
    EXPIRY_MAX, EXPIRY_MIN, EXPIRY_UNPROVEN, FAST_LATENCY, FAST_WINDOW, PIPE_MAX, PIPE_SLACK,
    REFILL_BYTES_MAX, REST, SPAN_MIN,
};

/// Growth of the rate below which slow start ends.
const GROWTH: f64 = 1.15;

/// The window towards one peer.
#[derive(Debug)]
pub(crate) struct Pipe {
    proven: bool,
    starting: bool,
    window: f64,
    /// Bytes per second over the last full span.
    rate: f64,
    span_at: Duration,
    span_bytes: u64,
    latency: Option<Duration>,
    /// When it last delivered, or was asked with nothing outstanding.
    heard: Duration,
    rest_until: Duration,
    strikes: u32,
    leaf: f64,
}

impl Pipe {
    pub(crate) fn new(now: Duration) -> Self {
        Self {
            proven: false,
            starting: true,
            window: 0.0,
            rate: 0.0,
            span_at: now,
            span_bytes: 0,
            latency: None,
            heard: now,
            rest_until: Duration::ZERO,
            strikes: 0,
            leaf: 65_536.0,
        }
    }

    /// Something is asked of it while nothing was outstanding.
    pub(crate) fn begin(&mut self, now: Duration) {
        self.heard = now;
        self.span_at = now;
        self.span_bytes = 0;
    }

    /// Nothing is outstanding any more: an idle time says nothing about the rate.
    pub(crate) fn pause(&mut self) {
        self.span_bytes = 0;
    }

    /// A block came that was asked for `waited` ago.
    pub(crate) fn delivered(&mut self, bytes: u32, waited: Duration, now: Duration) {
        let bytes = f64::from(bytes);
        let first = !self.proven;
        self.proven = true;
        self.strikes = 0;
        self.heard = now;
        self.leaf += (bytes - self.leaf) / 8.0;
        self.latency = Some(self.latency.map_or(waited, |least| least.min(waited)));
        if first {
            let fast = waited < FAST_LATENCY;
            self.window = if fast { FAST_WINDOW } else { self.leaf };
            self.starting = true;
        }
        if self.starting {
            self.window = (self.window + bytes).min(self.start_cap());
        }
        if self.rate == 0.0 {
            self.rate = bytes / waited.as_secs_f64().max(1e-6);
        }
        self.span_bytes += bytes as u64;
        self.end_span(now);
    }

    fn end_span(&mut self, now: Duration) {
        let latency = self.latency.unwrap_or_default();
        let passed = now.saturating_sub(self.span_at);
        if passed < SPAN_MIN.max(2 * latency) {
            return;
        }
        let rate = self.span_bytes as f64 / passed.as_secs_f64();
        if self.starting && rate < self.rate * GROWTH {
            self.starting = false;
        }
        self.rate = rate;
        self.span_at = now;
        self.span_bytes = 0;
        if !self.starting {
            self.window = (2.0 * latency.as_secs_f64() * rate + PIPE_SLACK).min(PIPE_MAX);
        }
    }

    /// On a short path slow start would ask for far more than is ever in flight.
    fn start_cap(&self) -> f64 {
        let flight = self.rate * self.latency.unwrap_or_default().as_secs_f64();
        (4.0 * flight + PIPE_SLACK).clamp(FAST_WINDOW, PIPE_MAX)
    }

    /// Bytes that may be asked for now; 0 when it is not worth a request yet.
    pub(crate) fn room(&self, inflight: u64, now: Duration) -> f64 {
        if now < self.rest_until {
            return 0.0;
        }
        if inflight == 0 {
            return self.window.max(1.0);
        }
        let room = if self.proven { self.window - inflight as f64 } else { 0.0 };
        let worth = (self.window / 4.0).clamp(1.0, REFILL_BYTES_MAX);
        if room >= worth { room } else { 0.0 }
    }

    /// Whether a reader's block may be asked of it beyond the window.
    pub(crate) fn urgent_room(&self, inflight: u64, now: Duration) -> bool {
        let within = inflight as f64 <= self.window + PIPE_SLACK;
        now >= self.rest_until && (inflight == 0 || (self.proven && within))
    }

    /// Whether what is outstanding has to be taken back.
    pub(crate) fn expired(&self, now: Duration) -> bool {
        let patience = if self.proven && self.rate > 0.0 {
            let leaves = Duration::from_secs_f64((4.0 * self.leaf / self.rate).min(3600.0));
            leaves.clamp(EXPIRY_MIN, EXPIRY_MAX)
        } else {
            EXPIRY_UNPROVEN
        };
        now >= self.heard + patience
    }

    /// Everything was taken back: it rests and begins anew.
    pub(crate) fn expire(&mut self, now: Duration) {
        self.rest_until = now + if self.strikes == 0 { REST } else { 2 * REST };
        self.strikes += 1;
        self.proven = false;
        self.window = 0.0;
        self.rate = 0.0;
    }

    /// Asks nothing of it for a while.
    pub(crate) fn rest(&mut self, until: Duration) {
        self.rest_until = self.rest_until.max(until);
    }

    pub(crate) fn resting(&self, now: Duration) -> bool {
        now < self.rest_until
    }

    /// In how long `more` bytes will have come, asked for behind `inflight` others.
    pub(crate) fn expected(&self, inflight: u64, more: u64, now: Duration) -> Duration {
        if self.proven && self.rate > 0.0 {
            return Duration::from_secs_f64(((inflight + more) as f64 / self.rate).min(3600.0));
        }
        // Nothing is known of it: the longer it keeps silent, the longer it will.
        let silent = if inflight > 0 { now.saturating_sub(self.heard) } else { Duration::ZERO };
        UNKNOWN + 2 * silent
    }

    /// Whether it has delivered since it last began anew.
    pub(crate) fn proven(&self) -> bool {
        self.proven
    }

    pub(crate) fn rate(&self) -> u64 {
        self.rate as u64
    }

    pub(crate) fn latency(&self) -> Option<Duration> {
        self.latency
    }
}

/// Expected time of a peer of which nothing is known.
const UNKNOWN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
