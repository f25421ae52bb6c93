//! Somebody who reads a file while it comes.
//!
//! It wants the leaves of the next eight seconds with the deadline at which each is played, begins
//! to play when one second is there, and stands still where a leaf is missing. The whole file is
//! fetched around it.

use std::time::Duration;

use crate::Event;
use crate::sim::agenda::Happening;
use crate::sim::catalog::BlockNo;
use crate::sim::wire::SECOND;
use crate::sim::world::{SESSION, World};

/// How far ahead leaves are wanted with a deadline (rule book).
const WINDOW_SECONDS: f64 = 8.0;

/// What is there before it begins to play.
const BUFFER_SECONDS: f64 = 1.0;

/// How often it looks.
const READS_EVERY: u64 = SECOND / 10;

/// How fast somebody reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Mbit/s.
    pub rate: f64,
}

/// One who reads.
#[derive(Debug)]
pub(crate) struct Reader {
    /// Bytes per second.
    rate: f64,
    leaves: Vec<BlockNo>,
    /// Bytes played.
    played: f64,
    /// Leaves from the start that are there.
    ready: usize,
    /// Leaves wanted so far.
    wanted: usize,
    /// When it began to play, in nanoseconds.
    pub(crate) began: Option<u64>,
    /// Nanoseconds for which it stood still after that.
    pub(crate) stood: u64,
}

impl World {
    /// A node begins to read its first root.
    pub(crate) fn begin_reading(&mut self, node: usize, reading: Reading) {
        let Some(root) = self.nodes[node].wanted.first().copied() else { return };
        let below = self.catalog.below(&root).into_iter();
        let leaves = below.filter(|block| self.catalog.links(*block).is_none()).collect();
        let rate = reading.rate * 125_000.0;
        let (played, ready, wanted) = (0.0, 0, 0);
        let reader = Reader { rate, leaves, played, ready, wanted, began: None, stood: 0 };
        self.nodes[node].reader = Some(Box::new(reader));
        self.agenda.plan(self.now, node, Happening::Reads);
    }

    /// Plays what is there, and wants what comes next.
    pub(crate) fn read_on(&mut self, node: usize) {
        let Some(mut reader) = self.nodes[node].reader.take() else { return };
        while reader.leaves.get(reader.ready).is_some_and(|leaf| self.nodes[node].has(*leaf)) {
            reader.ready += 1;
        }
        let leaf = f64::from(crate::sim::catalog::LEAF_BYTES);
        let (there, whole) = (reader.ready as f64 * leaf, reader.leaves.len() as f64 * leaf);
        let step = reader.rate * READS_EVERY as f64 / SECOND as f64;
        if reader.began.is_some() {
            let played = (reader.played + step).min(there);
            reader.stood +=
                if played < reader.played + step && there < whole { READS_EVERY } else { 0 };
            reader.played = played;
        } else if there >= (reader.rate * BUFFER_SECONDS).min(whole) {
            reader.began = Some(self.now);
        }
        let ends = reader.played >= whole;
        self.want_ahead(node, &mut reader);
        self.nodes[node].reader = Some(reader);
        if !ends {
            self.agenda.plan(self.now + READS_EVERY, node, Happening::Reads);
        }
    }

    fn want_ahead(&mut self, node: usize, reader: &mut Reader) {
        let leaf = f64::from(crate::sim::catalog::LEAF_BYTES);
        let until = ((reader.played + reader.rate * WINDOW_SECONDS) / leaf).ceil() as usize;
        reader.wanted = reader.wanted.max(reader.ready);
        while reader.wanted < until.min(reader.leaves.len()) {
            let block = reader.leaves[reader.wanted];
            let ahead = (reader.wanted as f64 * leaf - reader.played) / reader.rate;
            let deadline = Some(self.now() + Duration::from_secs_f64(ahead.max(0.0)));
            reader.wanted += 1;
            self.want_with_branches(node, block, deadline);
        }
    }

    /// Wants a leaf, and the branches above it that are not there.
    fn want_with_branches(&mut self, node: usize, leaf: BlockNo, deadline: Option<Duration>) {
        let mut path = vec![leaf];
        while let Some((parent, _)) = path.last().and_then(|block| self.catalog.parent(*block)) {
            path.push(parent);
        }
        let mut under = None;
        for block in path.into_iter().rev() {
            let cid = self.catalog.cid(block);
            if !self.nodes[node].has(block) {
                let (session, place, tree) = (SESSION, None, false);
                let want = Event::Want { session, cid, under, place, deadline, tree };
                self.answers.push_back(want);
            }
            under = Some(cid);
        }
    }
}
