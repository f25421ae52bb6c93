//! What happens when: the clock of a simulated world.
//!
//! A heap of happenings by time and, within one instant, by the order in which they were planned:
//! the one order there is, whatever the machine. Time is nanoseconds since the start.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::sim::catalog::BlockNo;
use crate::{Event, Message};

/// Something that happens to a node.
#[derive(Debug)]
pub(crate) enum Happening {
    /// An event from outside the model.
    Told(Box<Event>),
    /// The node's end of a connection is up.
    Opens { conn: u32 },
    /// The node's end of a connection is gone.
    Closes { conn: u32 },
    /// A message has come.
    Message { conn: u32, message: Box<Message> },
    /// A block begins to pass the downlink.
    Door { conn: u32, block: BlockNo, wrong: bool },
    /// A block has come.
    Arrives { conn: u32, block: BlockNo, wrong: bool },
    /// A block has left its uplink.
    Left,
    /// A connection has room again.
    Resumes,
    /// The engine asked to be woken.
    Timer,
    /// It comes.
    Joins,
    /// It goes; whether it comes back as somebody else.
    Leaves { again: bool },
    /// It takes new identities.
    Renews,
    /// It connects to a node again.
    Meets { other: u32 },
    /// One of its connections breaks and is made again.
    Breaks,
    /// It looks for peers.
    Searches,
    /// An agent looks around.
    Acts,
    /// A reader reads on.
    Reads,
}

#[derive(Debug)]
struct Entry {
    at: u64,
    order: u64,
    node: u32,
    what: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// The earliest is the greatest: a heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// All that is planned.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    heap: BinaryHeap<Entry>,
    order: u64,
}

impl Agenda {
    /// Plans something.
    pub(crate) fn plan(&mut self, at: u64, node: usize, what: Happening) {
        self.order += 1;
        self.heap.push(Entry { at, order: self.order, node: node as u32, what });
    }

    /// When the next thing happens.
    pub(crate) fn next_at(&self) -> Option<u64> {
        self.heap.peek().map(|entry| entry.at)
    }

    /// Takes the next thing.
    pub(crate) fn take(&mut self) -> Option<(u64, usize, Happening)> {
        self.heap.pop().map(|entry| (entry.at, entry.node as usize, entry.what))
    }
}
