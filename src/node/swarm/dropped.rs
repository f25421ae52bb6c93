//! Peers whose connections were ended here lately, and why.
//!
//! A bounded list for `shoal peers`, the newest last. It is also why such a peer is not dialled again
//! at once, whoever names it.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use shoal_net::PeerId;

use crate::control::protocol::dropped::DroppedLine;

/// Peers listed: more than anybody reads.
const LISTED_MAX: usize = 64;

/// How long a peer is left alone that did wrong.
const LEFT_ALONE: Duration = Duration::from_mins(1);

#[derive(Debug)]
struct Entry {
    id: PeerId,
    at: Instant,
    /// It did wrong; else room was needed.
    fault: bool,
    line: DroppedLine,
}

/// The list.
#[derive(Debug, Default)]
pub(super) struct Dropped(VecDeque<Entry>);

impl Dropped {
    /// A connection is ended; `fault` where the peer did wrong. One that ends for two reasons at once
    /// is listed with the first.
    pub(super) fn add(&mut self, id: PeerId, fault: bool, line: DroppedLine, now: Instant) {
        let moment = Duration::from_secs(1);
        let again =
            |entry: &Entry| entry.id == id && now.saturating_duration_since(entry.at) < moment;
        if self.0.iter().any(again) {
            return;
        }
        if self.0.len() >= LISTED_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Entry { id, at: now, fault, line });
    }

    /// Whether a peer did wrong so lately that it is not to be dialled.
    pub(super) fn is_left_alone(&self, id: &PeerId, now: Instant) -> bool {
        let lately = |at: Instant| now.saturating_duration_since(at) < LEFT_ALONE;
        self.0.iter().any(|entry| entry.fault && entry.id == *id && lately(entry.at))
    }

    /// For the listing.
    pub(super) fn lines(&self) -> Vec<DroppedLine> {
        self.0.iter().map(|entry| entry.line.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(reason: usize) -> DroppedLine {
        DroppedLine { reason: reason.to_string(), ..DroppedLine::default() }
    }

    #[test]
    fn the_newest_are_listed_and_faults_are_left_alone_for_a_while() {
        let (mut dropped, now) = (Dropped::default(), Instant::now());
        let peers: Vec<PeerId> = (0..=LISTED_MAX).map(|_| PeerId::random()).collect();
        for (n, id) in peers.iter().enumerate() {
            dropped.add(*id, n % 2 == 0, line(n), now);
            dropped.add(*id, true, line(999), now);
        }
        let reasons: Vec<String> = dropped.lines().into_iter().map(|line| line.reason).collect();
        let expected: Vec<String> = (1..=LISTED_MAX).map(|n| n.to_string()).collect();
        assert_eq!(reasons, expected);
        assert!(dropped.is_left_alone(&peers[LISTED_MAX], now));
        assert!(!dropped.is_left_alone(&peers[LISTED_MAX], now + LEFT_ALONE));
        assert!(!dropped.is_left_alone(&peers[1], now), "room was needed");
        assert!(!dropped.is_left_alone(&PeerId::random(), now));
    }
}
