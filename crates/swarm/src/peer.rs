//! One connected peer: what is asked of it, how it behaves, and which swarms it is in.
//!
//! Owns the window (`pipe`), the record of violations (`conduct`) and the list of what is
//! outstanding, whose bytes always add up to `inflight`. What it asks of us is the uplink's, what
//! it holds is its swarms'.

mod conduct;
mod pipe;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

pub(crate) use conduct::Conduct;
pub(crate) use pipe::Pipe;

use crate::limits::{CANCELLED_MAX, CANCELLED_TIME};
use crate::random::Print;

/// A block asked of a peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) swarm: u32,
    pub(crate) slot: u32,
    pub(crate) bytes: u32,
    pub(crate) at: Duration,
}

/// A connected peer.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) pipe: Pipe,
    pub(crate) conduct: Conduct,
    /// What is asked of it, in the order of asking.
    pub(crate) outstanding: BTreeMap<u64, Asked>,
    /// Expected bytes of that.
    pub(crate) inflight: u64,
    sequence: u64,
    pub(crate) swarms: BTreeSet<u32>,
    /// The swarm that was asked last, so that several take turns.
    pub(crate) turn: u32,
    /// What was asked and taken back: it may still arrive, and is no violation then.
    cancelled: VecDeque<(Print, Duration)>,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    /// Questions to the node about shared roots on behalf of this peer.
    pub(crate) questions: u32,
    /// It speaks of single blocks only.
    pub(crate) cids_only: bool,
    /// Refusals of such a peer since it last gave something.
    pub(crate) refusals: u32,
    /// How others can reach it.
    pub(crate) contact: Option<Vec<u8>>,
}

impl Peer {
    pub(crate) fn new(now: Duration) -> Self {
        Self {
            pipe: Pipe::new(now),
            conduct: Conduct::new(now),
            outstanding: BTreeMap::new(),
            inflight: 0,
            sequence: 0,
            swarms: BTreeSet::new(),
            turn: 0,
            cancelled: VecDeque::new(),
            bytes_received: 0,
            bytes_sent: 0,
            questions: 0,
            cids_only: false,
            refusals: 0,
            contact: None,
        }
    }

    /// Notes that a block is asked for; its sequence number.
    pub(crate) fn ask(&mut self, asked: Asked) -> u64 {
        if self.outstanding.is_empty() {
            self.pipe.begin(asked.at);
        }
        self.sequence += 1;
        self.inflight += u64::from(asked.bytes);
        self.outstanding.insert(self.sequence, asked);
        self.sequence
    }

    /// Notes that a block is no longer outstanding.
    pub(crate) fn settle(&mut self, sequence: u64) -> Option<Asked> {
        let asked = self.outstanding.remove(&sequence)?;
        self.inflight -= u64::from(asked.bytes);
        if self.outstanding.is_empty() {
            self.pipe.pause();
        }
        Some(asked)
    }

    /// Remembers that a block was taken back.
    pub(crate) fn cancelled(&mut self, print: Print, now: Duration) {
        self.cancelled.push_back((print, now));
        while self.cancelled.len() > CANCELLED_MAX
            || self.cancelled.front().is_some_and(|(_, at)| *at + CANCELLED_TIME < now)
        {
            self.cancelled.pop_front();
        }
    }

    /// Whether a block that nobody waits for was asked for not long ago.
    pub(crate) fn was_cancelled(&mut self, print: Print) -> bool {
        let at = self.cancelled.iter().position(|(other, _)| *other == print);
        at.and_then(|at| self.cancelled.remove(at)).is_some()
    }
}
