//! The machine: events in, actions out.

use std::collections::VecDeque;
use std::time::Duration;

use crate::{Action, Config, Event, PeerNo, PeerStats, SessionId, Stats};

/// Decides what to ask of whom and whom to serve. See the package documentation.
#[derive(Debug)]
pub struct Engine {
    actions: VecDeque<Action>,
}

impl Engine {
    /// A machine without peers and sessions. Every random choice it ever makes follows from
    /// `seed`.
    pub fn new(config: Config, seed: u64) -> Self {
        let (Config { .. }, _) = (config, seed);
        Self {
            actions: VecDeque::new(),
        }
    }

    /// Takes in what happened at `now`. Time that goes backwards is taken as standing still.
    pub fn handle(&mut self, event: Event, now: Duration) {
        let (_, _) = (event, now);
    }

    /// The next thing to do, until `None`.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called at the latest, if no event
    /// comes before; `None` when there is nothing to wait for.
    pub fn poll_timeout(&self) -> Option<Duration> {
        None
    }

    /// Lets time pass until `now`.
    pub fn handle_timeout(&mut self, now: Duration) {
        let _ = now;
    }

    /// How far a session is; all zero for one that is not open.
    pub fn stats(&self, session: SessionId) -> Stats {
        let _ = session;
        Stats::default()
    }

    /// What is known of a connected peer.
    pub fn peer_stats(&self, peer: PeerNo) -> Option<PeerStats> {
        let _ = peer;
        None
    }
}
