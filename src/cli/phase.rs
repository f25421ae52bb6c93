//! When a phase line is due: early enough to be of use, seldom enough not to flood a log.
//!
//! Pure: time comes in as an argument. A first line is due [`FIRST_AFTER`] after waiting began, then
//! one per [`AGAIN_AFTER`] as long as the same is waited for. What comes before the first colon says
//! what that is; numbers that move stand behind it.

use std::time::{Duration, Instant};

/// Waiting that ends sooner is not worth a line; promised is a line within 2 s.
pub(crate) const FIRST_AFTER: Duration = Duration::from_millis(1200);

/// Pause between two lines about the same.
pub(crate) const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Most subjects remembered: more are forgotten oldest first, at the price of a line too many.
const SUBJECTS_MAX: usize = 16;

/// Decides when lines are due.
#[derive(Debug)]
pub(crate) struct PhaseClock {
    since: Instant,
    said: Vec<(String, Instant)>,
}

impl PhaseClock {
    /// Waiting begins.
    pub(crate) const fn new(now: Instant) -> Self {
        Self { since: now, said: Vec::new() }
    }

    /// What was waited for came: waiting begins anew.
    pub(crate) const fn restart(&mut self, now: Instant) {
        self.since = now;
    }

    /// Whether it has waited long enough to say anything.
    pub(crate) fn waits(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= FIRST_AFTER
    }

    /// Says whether a line with this text is due, and takes it as said if so.
    pub(crate) fn due(&mut self, now: Instant, text: &str) -> bool {
        if !self.waits(now) {
            return false;
        }
        let subject = text.split(':').next().unwrap_or_default();
        self.said.retain(|(_, at)| now.saturating_duration_since(*at) < AGAIN_AFTER);
        if self.said.iter().any(|(said, _)| said == subject) {
            return false;
        }
        if self.said.len() == SUBJECTS_MAX {
            self.said.remove(0);
        }
        self.said.push((subject.to_owned(), now));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_line_comes_within_two_seconds() {
        let start = Instant::now();
        let mut clock = PhaseClock::new(start);
        assert!(!clock.due(start + SECOND, "looking: 1 asked"));
        assert!(clock.due(start + SECOND * 3 / 2, "looking: 2 asked"));
    }

    #[test]
    fn the_same_subject_comes_once_in_ten_seconds() {
        let start = Instant::now();
        let mut clock = PhaseClock::new(start);
        let said: Vec<u32> = (0..=300)
            .filter(|tick| clock.due(start + SECOND / 10 * *tick, &format!("looking: {tick}")))
            .collect();
        assert_eq!(said, [12, 112, 212]);
    }

    #[test]
    fn another_subject_comes_at_once_and_turns_do_not_flood() {
        let start = Instant::now();
        let mut clock = PhaseClock::new(start);
        let now = start + SECOND * 2;
        assert!(clock.due(now, "looking: 1"));
        assert!(clock.due(now, "waiting: 1"));
        assert!(!clock.due(now + SECOND, "looking: 2"));
        assert!(!clock.due(now + SECOND, "waiting: 2"));
    }

    #[test]
    fn waiting_anew_starts_anew() {
        let start = Instant::now();
        let mut clock = PhaseClock::new(start);
        clock.restart(start + SECOND * 5);
        assert!(!clock.due(start + SECOND * 6, "looking"));
        assert!(clock.due(start + SECOND * 7, "looking"));
    }
}
