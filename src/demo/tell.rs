//! How the demo tells its steps: one line each, with the time since the start.
//!
//! A line is the demo's data and goes to stdout. A closed stdout is no reason to stop: the exit code
//! still tells how it ended. Sizes and rates are decimal, as network rates are.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

/// Writes steps with the time since it was made.
#[derive(Debug)]
pub(super) struct Teller {
    start: Instant,
}

impl Teller {
    /// Time starts now.
    pub(super) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// One line: time, a word, a sentence.
    pub(super) fn step(&self, word: &str, text: String) {
        let line = format!("{:7.2} s  {word:<11} {text}\n", self.start.elapsed().as_secs_f64());
        let mut out = io::stdout().lock();
        // A reader that went away does not change what the demo finds out.
        drop(out.write_all(line.as_bytes()).and_then(|()| out.flush()));
    }
}

/// `310.4 MB`.
pub(super) fn amount(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// `in 0.52 s (597 MB/s)`.
pub(super) fn taken(bytes: u64, time: Duration) -> String {
    let seconds = time.as_secs_f64().max(1e-6);
    format!("in {seconds:.2} s ({:.0} MB/s)", bytes as f64 / 1e6 / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_rates_are_decimal() {
        assert_eq!(amount(310_400_000), "310.4 MB");
        assert_eq!(taken(310_000_000, Duration::from_millis(500)), "in 0.50 s (620 MB/s)");
    }

    #[test]
    fn no_time_at_all_is_no_division_by_zero() {
        assert!(taken(0, Duration::ZERO).starts_with("in 0.00 s"));
    }
}
