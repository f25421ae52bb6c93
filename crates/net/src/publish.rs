//! When which of our records is published: a machine without clock or network.
//!
//! A key is published when it is given and a peer is known; until then it waits. It is put again
//! [`STAGES`] later while the routing table still grows (nearer peers appear), then every
//! [`INTERVAL`] with jitter, so that keys given together spread out. A publish that reached nobody
//! waits for the next peer or [`RETRY`]. At most [`RUNNING_MAX`] lookups run at once. What is given
//! for a key anew, and is another content, is due at once.
//!
//! The driver has one for the CIDs that it provides and one for the values that it puts: a name
//! does not wait behind a hundred thousand leaves.
//! Spec: kad-dht, provider record republish interval (22 h of 48 h).

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use libp2p::kad::RecordKey;

/// Between two publishes of a key that is settled: kad-dht spec, 22 h.
pub(crate) const INTERVAL: Duration = Duration::from_hours(22);
/// Half of the width by which the interval is spread.
const JITTER: Duration = Duration::from_hours(1);
/// After a first publish, when it is put again if the routing table has grown meanwhile: often while a
/// network comes up, when the nearest peers of a key are others every few seconds (in a chain of 100
/// that grows for 20 s, a record put at 5 s and 30 s only cost the getter 48 peers instead of 10).
pub(crate) const STAGES: [Duration; 8] = [
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
    Duration::from_secs(40),
    Duration::from_secs(80),
    Duration::from_mins(3),
    Duration::from_mins(10),
    Duration::from_hours(1),
];
/// After a publish that reached nobody.
const RETRY: Duration = Duration::from_secs(30);
/// Lookups for publishing at once: each has alpha (3) requests under way.
pub(crate) const RUNNING_MAX: usize = 8;

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody to publish to: due when a peer appears.
    Waiting,
    /// To be published at this time.
    Due(Instant),
    /// To be published at this time if the routing table has grown.
    Check(Instant),
    /// A lookup runs.
    Running,
}

#[derive(Debug)]
struct Entry<C> {
    content: C,
    /// Another content was given while a lookup ran for the one before.
    renewed: bool,
    state: State,
    /// The next of [`STAGES`].
    stage: usize,
    /// When it was first published, since its last wait.
    first: Option<Instant>,
    /// Size of the growth counter when it was last published.
    grown: u64,
}

/// The schedule of all keys of one kind that this node publishes.
#[derive(Debug)]
pub(crate) struct Publisher<C> {
    keys_max: usize,
    entries: HashMap<RecordKey, Entry<C>>,
    due: BTreeSet<(Instant, Vec<u8>)>,
    /// Keys that reached nobody so far.
    waiting: Vec<RecordKey>,
    running: usize,
    /// Peers that ever entered the routing table.
    grown: u64,
}

/// What is to be done with a key that came up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Publish<C> {
    pub(crate) key: RecordKey,
    pub(crate) content: C,
}

impl<C: Clone + PartialEq> Publisher<C> {
    /// Nothing is published; so many keys may be.
    pub(crate) fn new(keys_max: usize) -> Self {
        Self {
            keys_max,
            entries: HashMap::new(),
            due: BTreeSet::new(),
            waiting: Vec::new(),
            running: 0,
            grown: 0,
        }
    }

    /// A key is to be published; false if there are too many.
    pub(crate) fn publish(&mut self, key: RecordKey, content: C, now: Instant) -> bool {
        if let Some(entry) = self.entries.get_mut(&key) {
            if entry.content != content {
                entry.content = content;
                self.renew(&key, now);
            }
            return true;
        }
        if self.entries.len() >= self.keys_max {
            return false;
        }
        self.due.insert((now, key.to_vec()));
        let state = State::Due(now);
        let entry = Entry { content, renewed: false, state, stage: 0, first: None, grown: 0 };
        self.entries.insert(key, entry);
        true
    }

    /// The content of a key is another one.
    fn renew(&mut self, key: &RecordKey, now: Instant) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        match entry.state {
            State::Running => {
                entry.renewed = true;
                return;
            }
            // The first peer will make it due.
            State::Waiting => return,
            State::Due(at) | State::Check(at) => {
                self.due.remove(&(at, key.to_vec()));
            }
        }
        entry.due_first(now);
        self.due.insert((now, key.to_vec()));
    }

    /// Whether a lookup runs for a content of this key that has been replaced meanwhile.
    pub(crate) fn is_outdated(&self, key: &RecordKey) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.renewed)
    }

    /// A key is no longer published.
    pub(crate) fn forget(&mut self, key: &RecordKey) {
        if let Some(entry) = self.entries.remove(key)
            && let State::Due(at) | State::Check(at) = entry.state
        {
            self.due.remove(&(at, key.to_vec()));
        }
    }

    /// A peer entered the routing table: what waited for one is due.
    pub(crate) fn table_grew(&mut self, now: Instant) {
        self.grown += 1;
        for key in std::mem::take(&mut self.waiting) {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            match entry.state {
                State::Due(at) => {
                    self.due.remove(&(at, key.to_vec()));
                }
                State::Waiting => {}
                State::Check(_) | State::Running => continue,
            }
            entry.state = State::Due(now);
            self.due.insert((now, key.to_vec()));
        }
    }

    /// When something is due next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let at = self.due.first().map(|(at, _)| *at);
        at.filter(|_| self.running < RUNNING_MAX)
    }

    /// The next key to publish now; `have_peers` says whether a lookup can reach anybody. The
    /// caller reports each with [`Self::finished`].
    pub(crate) fn poll(
        &mut self,
        now: Instant,
        have_peers: bool,
        jitter: f64,
    ) -> Option<Publish<C>> {
        while self.running < RUNNING_MAX {
            let (at, key) = self.due.first().filter(|(at, _)| *at <= now)?.clone();
            self.due.remove(&(at, key.clone()));
            let key = RecordKey::from(key);
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            if !have_peers {
                entry.state = State::Waiting;
                self.waiting.push(key);
                continue;
            }
            if matches!(entry.state, State::Check(_)) && entry.grown == self.grown {
                self.due.insert((entry.settle(now, jitter), key.to_vec()));
                continue;
            }
            entry.state = State::Running;
            entry.grown = self.grown;
            self.running += 1;
            return Some(Publish { key, content: entry.content.clone() });
        }
        None
    }

    /// A publish has ended, having reached so many peers.
    pub(crate) fn finished(&mut self, key: &RecordKey, reached: usize, now: Instant, jitter: f64) {
        self.running = self.running.saturating_sub(1);
        let Some(entry) = self.entries.get_mut(key) else { return };
        if entry.state != State::Running {
            return;
        }
        let next = if std::mem::take(&mut entry.renewed) {
            entry.due_first(now)
        } else if reached == 0 {
            self.waiting.push(key.clone());
            entry.due_first(now + RETRY)
        } else {
            entry.first.get_or_insert(now);
            entry.settle(now, jitter)
        };
        self.due.insert((next, key.to_vec()));
    }
}

impl<C> Entry<C> {
    /// To be published at this time as if it never had been.
    fn due_first(&mut self, at: Instant) -> Instant {
        self.first = None;
        self.stage = 0;
        self.state = State::Due(at);
        at
    }

    /// Moves on to the next stage, or to the next interval once all are done.
    fn settle(&mut self, now: Instant, jitter: f64) -> Instant {
        let first = self.first.unwrap_or(now);
        while STAGES.get(self.stage).is_some_and(|stage| first + *stage <= now) {
            self.stage += 1;
        }
        if let Some(stage) = STAGES.get(self.stage) {
            self.state = State::Check(first + *stage);
            first + *stage
        } else {
            let spread = JITTER.mul_f64(2.0 * jitter.clamp(0.0, 1.0));
            let at = now + INTERVAL.saturating_sub(JITTER) + spread;
            self.state = State::Due(at);
            at
        }
    }
}

#[cfg(test)]
mod tests;
