//! One number for everything that happened: the same seed must give the same.
//!
//! Every happening is folded in, with its time, node and content, in order. It is a fingerprint for
//! comparison, no hash against anybody's intent.

use crate::sim::agenda::Happening;
use crate::{Event, Message};

/// The fingerprint so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    state: u64,
    /// Happenings folded in.
    pub steps: u64,
}

impl History {
    /// The fingerprint.
    pub fn fingerprint(self) -> u64 {
        self.state
    }

    fn fold(&mut self, value: u64) {
        let mixed = (self.state ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.state = mixed ^ (mixed >> 29);
    }

    pub(crate) fn note(&mut self, at: u64, node: usize, what: &Happening) {
        self.steps += 1;
        self.fold(at);
        self.fold(node as u64);
        match what {
            Happening::Told(event) => self.fold(1 + told(event) * 64),
            Happening::Opens { conn } => self.pair(2, *conn),
            Happening::Closes { conn } => self.pair(3, *conn),
            Happening::Message { conn, message } => {
                self.pair(4, *conn);
                self.message(message);
            }
            Happening::Door { conn, block, .. } => self.block(5, *conn, block.0),
            Happening::Arrives { conn, block, wrong } => {
                self.block(6 + 64 * u64::from(*wrong), *conn, block.0);
            }
            Happening::Left => self.fold(7),
            Happening::Resumes => self.fold(17),
            Happening::Timer => self.fold(8),
            Happening::Joins => self.fold(9),
            Happening::Leaves { .. } => self.fold(10),
            Happening::Renews => self.fold(11),
            Happening::Breaks => self.fold(12),
            Happening::Searches => self.fold(13),
            Happening::Acts => self.fold(14),
            Happening::Reads => self.fold(16),
            Happening::Meets { other } => self.pair(15, *other),
        }
    }

    fn pair(&mut self, kind: u64, number: u32) {
        self.fold(kind << 32 | u64::from(number));
    }

    fn block(&mut self, kind: u64, conn: u32, block: u32) {
        self.pair(kind, conn);
        self.fold(u64::from(block));
    }

    fn message(&mut self, message: &Message) {
        let cids = match message {
            Message::Join { holding, reply, .. } => {
                self.fold(1 + *holding as u64 * 16 + u64::from(*reply) * 64);
                return;
            }
            Message::Leave { .. } => return self.fold(2),
            Message::Have { first, bits, .. } => {
                self.pair(3, *first);
                for byte in bits {
                    self.fold(u64::from(*byte));
                }
                return;
            }
            Message::HaveAll { branch, .. } => std::slice::from_ref(branch),
            Message::Request { cids, .. } | Message::Cancel { cids } | Message::Refuse { cids } => {
                cids
            }
            Message::Peers { .. } => return self.fold(8),
        };
        for cid in cids {
            for part in cid.hash().digest().chunks_exact(8).take(1) {
                self.fold(part.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
            }
        }
    }
}

fn told(event: &Event) -> u64 {
    match event {
        Event::Open { .. } => 1,
        Event::Close { .. } => 2,
        Event::Want { tree, .. } => 3 + u64::from(*tree),
        _ => 5,
    }
}
