//! The bandwidth limit in force: by a timetable, and replaced while the node runs.
//!
//! The engine holds a limit; here is only which one holds now. A timetable is looked at on every minute,
//! so that a clock that jumps is followed too; a limit that never changes costs no timer.

use std::time::Instant;

use shoal_swarm::Event;
use tokio::sync::oneshot;

use super::task::Task;
use crate::config::bandwidth::{Minute, Rates, Timetable};

/// The limits of a node.
#[derive(Debug)]
pub(super) struct Bandwidth {
    timetable: Timetable,
    rates: Rates,
    /// When the timetable is looked at again.
    next: Option<Instant>,
}

impl Bandwidth {
    /// Follows a timetable from now on.
    pub(super) fn new(timetable: Timetable) -> Self {
        let mut bandwidth = Self { timetable, rates: Rates::default(), next: None };
        bandwidth.look();
        bandwidth
    }

    /// The limits that hold now.
    pub(super) const fn rates(&self) -> Rates {
        self.rates
    }

    /// When [`Self::look`] is due.
    pub(super) const fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Looks at the clock; whether other limits hold now.
    fn look(&mut self) -> bool {
        let (minute, left) = Minute::now();
        self.next = self.timetable.changes().then(|| Instant::now() + left);
        let before = std::mem::replace(&mut self.rates, self.timetable.at(minute));
        before != self.rates
    }
}

impl Task {
    /// Does what the timetable says.
    pub(super) fn follow_timetable(&mut self) {
        if self.bandwidth.look() {
            let Rates { up, down } = self.bandwidth.rates();
            tracing::info!(limit = %self.bandwidth.rates(), "bandwidth limit changed");
            self.tell_engine(Event::Limits { up, down });
        }
    }

    /// Replaces the limits, if told to, and tells which hold.
    pub(super) fn limit(
        &mut self,
        set: Option<Timetable>,
        reply: oneshot::Sender<(Rates, Timetable)>,
    ) {
        if let Some(timetable) = set {
            self.bandwidth.timetable = timetable;
            self.follow_timetable();
        }
        let _gone = reply.send((self.bandwidth.rates, self.bandwidth.timetable.clone()));
    }
}
