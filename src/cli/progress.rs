//! How far a transfer is, in words: bytes, rate, remaining time, peers, what is waited for.
//!
//! Pure: time comes in as an argument. The rate is that of the last [`RATE_OVER`], so that a stall
//! shows within seconds.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::control::protocol::Progress;

/// The time over which a rate is taken.
const RATE_OVER: Duration = Duration::from_secs(5);

/// Most samples kept: ten a second, as often as the node sends them, and some room.
const SAMPLES_MAX: usize = 64;

/// Data that came for this long, or a hundredth of what is missing, makes an estimate of the rest worth
/// showing: the first bytes come slowly.
const STEADY_AFTER: Duration = Duration::from_secs(2);

/// Longest remaining time worth showing.
const REMAINING_SECONDS_MAX: u64 = 99 * 24 * 3600;

/// How fast it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Bytes per second of late.
    per_second: u64,
    /// Data has come for [`STEADY_AFTER`].
    is_steady: bool,
}

/// Bytes over time.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    samples: VecDeque<(Instant, u64)>,
    /// When the first bytes came.
    since: Option<Instant>,
}

impl Rate {
    /// Takes note of how far it is: of a fetch, which knows its end, only what came counts, not what was
    /// here before.
    pub(crate) fn note(&mut self, now: Instant, progress: &Progress) {
        let fetched = progress.bytes_total.is_some();
        self.sample(now, if fetched { progress.bytes_received } else { progress.bytes });
    }

    fn sample(&mut self, now: Instant, bytes: u64) {
        // A node that took over counts from its own beginning.
        if self.samples.back().is_some_and(|(_, before)| *before > bytes) {
            *self = Self::default();
        }
        if bytes > 0 {
            self.since.get_or_insert(now);
        }
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back((now, bytes));
    }

    /// How fast it goes; `None` until there is something to divide.
    pub(crate) fn pace(&mut self, now: Instant) -> Option<Pace> {
        let per_second = self.per_second(now)?;
        let flows = self.since.map(|since| now.saturating_duration_since(since));
        Some(Pace { per_second, is_steady: flows.is_some_and(|flows| flows >= STEADY_AFTER) })
    }

    fn per_second(&mut self, now: Instant) -> Option<u64> {
        // One sample older than the window stays, as its beginning.
        while self.samples.len() > 2 && now.saturating_duration_since(self.samples[1].0) > RATE_OVER
        {
            self.samples.pop_front();
        }
        let (first, last) = (self.samples.front()?, self.samples.back()?);
        let time = now.saturating_duration_since(first.0).as_secs_f64();
        (time > 0.2).then(|| ((last.1 - first.1) as f64 / time) as u64)
    }
}

/// The line about a transfer.
pub(crate) fn describe(label: &str, progress: &Progress, pace: Option<Pace>) -> String {
    let mut parts = vec![match progress.bytes_total {
        Some(total) => format!("{label}: {} of {}", size(progress.bytes), size(total)),
        None => format!("{label}: {}", size(progress.bytes)),
    }];
    if progress.files > 1 {
        parts.push(format!("{} files", progress.files));
    }
    parts.extend(pace.map(|pace| format!("{}/s", size(pace.per_second))));
    parts.extend(remaining(progress, pace).map(|time| format!("{time} left")));
    match progress.peers {
        0 => {}
        1 => parts.push("1 peer".to_owned()),
        peers => parts.push(format!("{peers} peers")),
    }
    parts.join(", ")
}

fn remaining(progress: &Progress, pace: Option<Pace>) -> Option<String> {
    let missing = progress.bytes_total?.checked_sub(progress.bytes)?;
    let pace = pace.filter(|pace| pace.per_second > 0)?;
    if !pace.is_steady && progress.bytes_received < missing / 100 {
        return None;
    }
    let seconds = missing.div_ceil(pace.per_second);
    (missing > 0 && seconds <= REMAINING_SECONDS_MAX).then(|| time(Duration::from_secs(seconds)))
}

/// A size for a person.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // What would print as 1024.0 is 1.0 of the next unit.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A duration for a person.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.1}s", time.as_secs_f64()),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short() {
        let sizes = [0, 1023, 1024, 1536, 1_048_575, 1 << 20, 5 << 30, u64::MAX].map(size);
        let expected =
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "1.0 MiB", "5.0 GiB", "16.0 EiB"];
        assert_eq!(sizes, expected);
        let times = [0, 59, 60, 3599, 3600, 90_000].map(|s| time(Duration::from_secs(s)));
        assert_eq!(times, ["0.0s", "59s", "1m00s", "59m59s", "1h00m", "1d01h"]);
    }

    #[test]
    fn the_rate_is_the_late_one() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut rate = Rate::default();
        assert_eq!(rate.per_second(start), None);
        for at in 0..=10 {
            rate.sample(start + second * at, u64::from(at) * 1000);
        }
        assert_eq!(rate.per_second(start + second * 10), Some(1000));
        // Nothing came for five seconds: the rate falls.
        assert!(rate.per_second(start + second * 15).unwrap() <= 200);
        // Another node counts from its own beginning.
        rate.sample(start + second * 16, 0);
        assert_eq!(rate.per_second(start + second * 17), Some(0));
    }

    #[test]
    fn a_line_says_how_far_how_fast_and_from_how_many() {
        let progress = Progress {
            bytes: 1 << 20,
            bytes_total: Some(3 << 20),
            bytes_received: 1 << 20,
            files: 7,
            peers: 2,
            ..Progress::default()
        };
        let pace = |per_second| Some(Pace { per_second, is_steady: true });
        assert_eq!(
            describe("fetched", &progress, pace(1 << 20)),
            "fetched: 1.0 MiB of 3.0 MiB, 7 files, 1.0 MiB/s, 2.0s left, 2 peers"
        );
        assert_eq!(describe("added", &Progress::default(), None), "added: 0 B");
        // A stalled transfer has no remaining time.
        assert!(!describe("fetched", &progress, pace(0)).contains("left"));
    }

    #[test]
    fn the_first_bytes_say_nothing_of_the_rest() {
        let (start, total) = (Instant::now(), 100 << 20);
        let at = |received| Progress {
            bytes: received,
            bytes_total: Some(total),
            bytes_received: received,
            ..Progress::default()
        };
        let mut rate = Rate::default();
        let mut line = |millis, received| {
            let now = start + Duration::from_millis(millis);
            rate.note(now, &at(received));
            describe("fetched", &at(received), rate.pace(now))
        };
        assert!(!line(0, 0).contains("left"));
        let early = line(3000, 300);
        assert!(early.contains("B/s") && !early.contains("left"), "{early}");
        let share = line(3500, 2 << 20);
        assert!(share.contains("left"), "{share}");
        let slow = {
            line(4000, 0);
            line(4500, 300);
            line(7000, 600)
        };
        assert!(slow.contains("left"), "data came for long enough: {slow}");
    }

    #[test]
    fn what_was_here_before_is_not_of_the_rate() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut rate = Rate::default();
        for at in 0..=3 {
            let received = u64::from(at) * 1000;
            let bytes = (50 << 20) * u64::from(at) + received;
            let bytes_total = Some(1 << 30);
            let bytes_received = received;
            let progress = Progress { bytes, bytes_total, bytes_received, ..Progress::default() };
            rate.note(start + second * at, &progress);
        }
        assert_eq!(rate.per_second(start + second * 3), Some(1000));
        // What has no end in sight is read or written: all of it counts.
        rate = Rate::default();
        for at in 0..=3 {
            let progress = Progress { bytes: 500 * u64::from(at), ..Progress::default() };
            rate.note(start + second * at, &progress);
        }
        assert_eq!(rate.per_second(start + second * 3), Some(500));
    }
}
