//! The one byte scheduler that owns the uplink: whose request is written next.
//!
//! Requests wait in a bounded queue per peer. A grant takes one block at a time: first the peer
//! (module `classes`: credit, newcomer and spare for a node that receives; accounts per prefix for
//! a seed), then from its queue the earliest deadline, else the block sent least often so far.
//! Little is granted ahead of what the connections have written, so that the order decided here is
//! the order on the wire; a bandwidth limit holds grants back. Work-conserving: whenever somebody
//! waits, a connection can take it and the limit allows it, something is granted.

mod accounts;
mod classes;
mod queue;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use shoal_dag::Cid;

pub(crate) use queue::Entry;

use crate::bucket::Bucket;
use crate::limits::{
    GRANTED_FIRST, GRANTED_MAX, GRANTED_MIN, GRANTED_PEER_MAX, GRANTED_TIME, QUEUE_MAX, SPAN_MIN,
};
use crate::random::{Print, Random};
use crate::uplink::accounts::Accounts;
use crate::uplink::queue::Sent;
use crate::{Action, PeerNo, Prefix};

/// A block granted and not yet written.
#[derive(Debug, Clone, Copy)]
struct Granted {
    print: Print,
    swarm: u32,
    bytes: u32,
}

/// A connected peer as the scheduler sees it.
#[derive(Debug)]
struct Requester {
    prefix: Prefix,
    queue: VecDeque<Entry>,
    granted: VecDeque<Granted>,
    granted_bytes: u64,
    /// Order of service, for the one longest unserved.
    served: u64,
    /// Verified, requested bytes received from it, decayed (see `accounts`).
    credit: f64,
    /// Whether it ever delivered.
    contributed: bool,
    /// It is served with what others leave, and is no part of the seed's accounts.
    spare: bool,
}

/// The scheduler.
#[derive(Debug)]
pub(crate) struct Uplink {
    requesters: BTreeMap<PeerNo, Requester>,
    /// Those that wait for something.
    waiting: BTreeSet<PeerNo>,
    accounts: Accounts,
    sent: Sent,
    bucket: Option<Bucket>,
    granted: u64,
    stamp: u64,
    rate: f64,
    span_at: Duration,
    span_bytes: u64,
}

/// A block that has been dealt with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settled {
    pub(crate) swarm: u32,
}

impl Uplink {
    pub(crate) fn new(now: Duration) -> Self {
        Self {
            requesters: BTreeMap::new(),
            waiting: BTreeSet::new(),
            accounts: Accounts::new(now),
            sent: Sent::default(),
            bucket: None,
            granted: 0,
            stamp: 0,
            rate: 0.0,
            span_at: now,
            span_bytes: 0,
        }
    }

    pub(crate) fn limit(&mut self, rate: Option<u64>, now: Duration) {
        self.bucket = rate.map(|rate| Bucket::new(rate, now));
    }

    pub(crate) fn connected(&mut self, peer: PeerNo, prefix: Prefix) {
        let requester = Requester {
            prefix,
            queue: VecDeque::new(),
            granted: VecDeque::new(),
            granted_bytes: 0,
            served: 0,
            credit: 0.0,
            contributed: false,
            spare: false,
        };
        self.requesters.insert(peer, requester);
    }

    /// A peer takes no part in swarms, and is served with what others leave.
    pub(crate) fn spare_only(&mut self, peer: PeerNo) {
        if let Some(requester) = self.requesters.get_mut(&peer) {
            requester.spare = true;
        }
    }

    pub(crate) fn disconnected(&mut self, peer: PeerNo) {
        self.waiting.remove(&peer);
        if let Some(gone) = self.requesters.remove(&peer) {
            self.granted -= gone.granted_bytes;
        }
    }

    /// Queues a request; false when the queue is full. A block that waits already is not queued
    /// twice.
    pub(crate) fn request(&mut self, peer: PeerNo, entry: Entry) -> bool {
        let Some(requester) = self.requesters.get_mut(&peer) else { return true };
        if requester.queue.iter().any(|other| other.print == entry.print) {
            return true;
        }
        if requester.queue.len() >= QUEUE_MAX {
            return false;
        }
        if !requester.spare
            && let Some((holder, bytes)) = self.sent.asked_again(entry.print)
        {
            self.accounts.take_back(holder, bytes);
        }
        requester.queue.push_back(entry);
        self.waiting.insert(peer);
        true
    }

    /// Drops requests that `keep` does not hold for; which ones.
    pub(crate) fn retain(&mut self, peer: PeerNo, keep: impl Fn(&Entry) -> bool) -> Vec<Cid> {
        let mut dropped = Vec::new();
        let Some(requester) = self.requesters.get_mut(&peer) else { return dropped };
        requester.queue.retain(|entry| {
            let kept = keep(entry);
            if !kept {
                dropped.push(entry.cid);
            }
            kept
        });
        if requester.queue.is_empty() {
            self.waiting.remove(&peer);
        }
        dropped
    }

    /// Requests of a peer that wait.
    pub(crate) fn queued(&self, peer: PeerNo) -> u32 {
        self.requesters.get(&peer).map_or(0, |requester| requester.queue.len() as u32)
    }

    /// A block was written, or could not be.
    pub(crate) fn settled(
        &mut self,
        peer: PeerNo,
        print: Print,
        len: u32,
        now: Duration,
    ) -> Option<Settled> {
        let requester = self.requesters.get_mut(&peer)?;
        let at = requester.granted.iter().position(|granted| granted.print == print)?;
        let granted = requester.granted.remove(at)?;
        requester.granted_bytes -= u64::from(granted.bytes);
        self.granted -= u64::from(granted.bytes);
        if let Some(bucket) = &mut self.bucket {
            bucket.take(f64::from(len) - f64::from(granted.bytes));
        }
        if len > 0 {
            self.sent.learnt(print, len);
        }
        self.measure(len, now);
        Some(Settled { swarm: granted.swarm })
    }

    fn measure(&mut self, len: u32, now: Duration) {
        self.span_bytes += u64::from(len);
        let passed = now.saturating_sub(self.span_at);
        if passed >= SPAN_MIN {
            self.rate = self.span_bytes as f64 / passed.as_secs_f64();
            self.span_at = now;
            self.span_bytes = 0;
        }
    }

    /// Verified, requested, non-duplicate bytes came from a peer.
    pub(crate) fn credit(&mut self, peer: PeerNo, bytes: u32, now: Duration) {
        let weight = self.accounts.weight(now, self.requesters.values_mut());
        if let Some(requester) = self.requesters.get_mut(&peer) {
            requester.contributed = true;
            requester.credit += f64::from(bytes) * weight;
        }
    }

    /// A peer announced a block: perhaps it has it from one whom we gave the only copy. `prefixes`
    /// take part in the swarm.
    pub(crate) fn announced(&mut self, peer: PeerNo, print: Print, bytes: u32, prefixes: u32) {
        let Some(by) = self.prefix(peer) else { return };
        let Some(holder) = self.sent.confirmable(print, by) else { return };
        if self.accounts.confirm(holder, by, bytes, prefixes) {
            self.sent.confirm(print, bytes);
        }
    }

    /// Where a peer comes from.
    pub(crate) fn prefix(&self, peer: PeerNo) -> Option<Prefix> {
        self.requesters.get(&peer).map(|requester| requester.prefix)
    }

    /// Most that is granted ahead: what leaves within a moment.
    fn granted_max(&self) -> u64 {
        if let Some(bucket) = &self.bucket {
            bucket.burst() as u64
        } else {
            let least = if self.rate > 0.0 { GRANTED_MIN } else { GRANTED_FIRST };
            let moment = self.rate * GRANTED_TIME.as_secs_f64();
            (moment as u64).clamp(least, GRANTED_MAX)
        }
    }

    /// Whether somebody waits and little is granted.
    pub(crate) fn wants_to_grant(&self) -> bool {
        !self.waiting.is_empty() && self.granted <= self.granted_max() / 2
    }

    /// Grants what may go now.
    pub(crate) fn grant(
        &mut self,
        downloading: bool,
        now: Duration,
        random: &mut Random,
        out: &mut VecDeque<Action>,
    ) {
        if let Some(bucket) = &mut self.bucket {
            bucket.refill(now);
        }
        let max = self.granted_max();
        let mut runs: Vec<(PeerNo, bool, Vec<Cid>)> = Vec::new();
        while self.granted < max && self.bucket.as_ref().is_none_or(Bucket::ready) {
            let Some(peer) = self.pick_peer(downloading, random) else { break };
            let Some((cid, cached)) = self.take(peer) else { break };
            match runs.iter_mut().rev().find(|run| run.0 == peer) {
                Some(run) if run.1 == cached => run.2.push(cid),
                _ => runs.push((peer, cached, vec![cid])),
            }
        }
        out.extend(runs.into_iter().map(|(peer, cached_ok, cids)| Action::Serve {
            peer,
            cids,
            cached_ok,
        }));
    }

    /// Takes the next block of a peer's queue.
    fn take(&mut self, peer: PeerNo) -> Option<(Cid, bool)> {
        let alone = self.waiting.len() == 1;
        let requester = self.requesters.get_mut(&peer)?;
        let entry = queue::next(&mut requester.queue, &self.sent, alone)?;
        if requester.queue.is_empty() {
            self.waiting.remove(&peer);
        }
        let bytes = self.sent.len(entry.print).unwrap_or(entry.bytes);
        self.stamp += 1;
        requester.served = self.stamp;
        requester.granted_bytes += u64::from(bytes);
        requester.granted.push_back(Granted { print: entry.print, swarm: entry.swarm, bytes });
        self.granted += u64::from(bytes);
        if let Some(bucket) = &mut self.bucket {
            bucket.take(f64::from(bytes));
        }
        let holder = (requester.prefix, entry.swarm);
        self.accounts.give(holder, bytes, self.stamp);
        if !requester.spare {
            self.sent.count(entry.print, holder);
        }
        Some((entry.cid, entry.cached_ok))
    }

    /// Whether a connection can take more.
    fn open(requester: &Requester, alone: bool) -> bool {
        let max = if alone { GRANTED_PEER_MAX } else { GRANTED_PEER_MAX / 2 };
        requester.granted_bytes < max
    }

    /// When a grant may be possible only because time passed.
    pub(crate) fn wake(&self) -> Option<Duration> {
        let bucket = self.bucket.as_ref()?;
        (!self.waiting.is_empty() && !bucket.ready()).then(|| bucket.wake())
    }

    /// Panics where more is granted than may be.
    #[track_caller]
    pub(crate) fn check_bounds(&self) {
        let most = GRANTED_MAX.max(self.granted_max()) + shoal_dag::BLOCK_BYTES_MAX as u64;
        assert!(self.granted <= most, "{} bytes granted", self.granted);
    }

    /// Panics where a figure is not what it is counted from.
    #[track_caller]
    pub(crate) fn check_books(&self) {
        let mut total = 0;
        for (peer, requester) in &self.requesters {
            let bytes: u64 = requester.granted.iter().map(|grant| u64::from(grant.bytes)).sum();
            assert_eq!(bytes, requester.granted_bytes);
            assert_eq!(self.waiting.contains(peer), !requester.queue.is_empty());
            total += bytes;
        }
        assert_eq!(total, self.granted);
    }
}

#[cfg(test)]
mod tests;
