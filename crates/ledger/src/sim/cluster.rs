//! A cluster of followers with a writer on two machines, as a run of random operations.
//!
//! A [`Member`] is what a node is to a name: a reader, the branch that it follows, a writer where it
//! has a key, and a disk. Members learn by `/shoal/ledger/1` ([`crate::question`]), through bytes,
//! and find forks by comparing histories. Messages are late, doubled and lost, members are parted
//! from one another, crash at every point, come back from their disks or from older copies of them,
//! and their clocks jump by a day. A thief with the active key forks the name where the run has one.
//!
//! What happens is recorded, and judged afterwards by [`super::history`] alone. [`Ways`] breaks one
//! rule of a member at a time: the checker must then find it.

mod member;
mod owner;
mod runs;
mod world;

use member::Member;

use super::dice::Dice;
use super::history::{Event, Head, Op};
use super::shelf::Shelf;
use crate::chain::Archive;
use crate::tree::prove;
use crate::{Entry, EntryKind};

/// Which rules a member keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ways {
    /// Histories are compared, and proofs of fraud kept and passed on.
    pub(super) fork: bool,
    /// A newer head must extend what was pinned.
    pub(super) extend: bool,
    /// What is shown to anybody is on the disk first.
    pub(super) durable: bool,
    /// What is signed is stored before it is sent.
    pub(super) order: bool,
    /// A copy of a disk hears from the others before it signs.
    pub(super) catch_up: bool,
}

pub(super) const ALL: Ways =
    Ways { fork: true, extend: true, durable: true, order: true, catch_up: true };

/// Time that passes with each operation: a clock that is a day ahead is caught up with in 288.
const STEP_MS: u64 = 300_000;
const DAY_MS: u64 = 86_400_000;
/// Recoveries of a run: each adds an entry to every proof for a newcomer.
const EPOCHS_MAX: u64 = 40;
/// Branches of the thief that are served again.
const STOLEN_MAX: usize = 4;
/// Heads under way at one time; older ones are lost.
const UNDER_WAY_MAX: usize = 32;

/// A whole run.
pub(super) struct Cluster {
    dice: Dice,
    ways: Ways,
    members: Vec<Member>,
    /// Members of one number reach each other.
    parts: Vec<usize>,
    /// Who to, who from, what: late, doubled, lost.
    under_way: Vec<(usize, usize, Entry)>,
    stolen: Vec<Shelf>,
    thief: bool,
    now_ms: u64,
    record: Vec<Event>,
}

/// The head of a branch, as the record has it.
fn head_of(shelf: &Shelf) -> Option<Head> {
    let entry = shelf.head()?;
    let root = prove::root(shelf, shelf.len())?;
    Some(Head { position: entry.position(), entry: entry.id(), root })
}

/// What the record says of an entry that was just put on that branch.
fn signed(shelf: &Shelf) -> Event {
    let head = head_of(shelf).expect("there is an entry");
    let entry = shelf.head().expect("there is an entry");
    let on = entry.header().links.map(|links| links.previous);
    Event::Signed { head, on, opens: entry.kind() == EntryKind::Recover }
}

impl Cluster {
    fn call(&mut self, node: usize, op: Op) {
        self.record.push(Event::Invoke { node, op });
    }

    fn answer(&mut self, node: usize, op: Op) {
        let state = self.members[node].state();
        self.record.push(Event::Ok { node, op, state });
    }
}
