//! Following a tree: ask the store, map what is there, want what is not.
//!
//! Children of a mapped branch are probed in link order, the branch mapped last first: the walk is
//! depth first, so that sub-trees complete and their slots are dropped. When there is no room for
//! a branch its links are dropped too; it waits and is probed again when there is room, deepest
//! first. Beyond [`FRONTIER_MAX`](crate::limits::FRONTIER_MAX) branches are mapped only when
//! nothing else is left to do, into the rest of the slots, so that the walk always goes on.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::limits::{BRANCHES_DONE_MAX, PROBE_MAX, PROBING_MAX};
use crate::random::{Print, PrintSet};
use crate::swarm::{Out, Swarm};
use crate::table::{NONE, State};
use crate::{Action, Links, Probe};
use shoal_dag::Cid;

/// Where a walk is.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// Mapped branches whose children are to be probed, and the next child.
    cursors: Vec<(u32, u32)>,
    /// Single blocks to be probed.
    singles: VecDeque<(u32, Print)>,
    singles_set: BTreeSet<u32>,
    /// Branches that are here and have no room, deepest first, with their number of children.
    waiting: BTreeMap<(Reverse<u16>, u32), u32>,
    /// Blocks being probed.
    probing: u32,
    /// Some slots belong to a tree.
    active: bool,
    /// Branches known complete, so that a tree that repeats itself is walked once.
    done: PrintSet,
}

impl Walk {
    /// Whether the walk has something to do or waits for the store.
    pub(crate) fn busy(&self) -> bool {
        !self.quiet() || !self.waiting.is_empty()
    }

    /// Whether the store is being asked.
    pub(crate) fn probing(&self) -> bool {
        self.probing > 0
    }

    /// Whether anything was walked since the last stop.
    pub(crate) fn active(&self) -> bool {
        self.active
    }

    /// Whether a branch is known to be complete.
    pub(crate) fn is_done(&self, print: Print) -> bool {
        self.done.contains(&print)
    }

    fn quiet(&self) -> bool {
        self.cursors.is_empty() && self.singles.is_empty() && self.probing == 0
    }

    pub(crate) fn forget_branch(&mut self, number: u32) {
        self.cursors.retain(|(branch, _)| *branch != number);
    }

    /// Remembers a complete branch.
    pub(crate) fn completed(&mut self, print: Print) {
        if self.done.len() < BRANCHES_DONE_MAX {
            self.done.insert(print);
        }
    }

    /// Whether a single block is to be probed.
    pub(crate) fn is_queued(&self, at: u32) -> bool {
        self.singles_set.contains(&at)
    }

    fn single(&mut self, at: u32, print: Print) {
        if self.singles_set.insert(at) {
            self.singles.push_back((at, print));
        }
    }
}

impl Swarm {
    /// Everything below this slot is wanted from now on.
    pub(crate) fn walk_from(&mut self, at: u32, out: &mut Out) {
        self.walk.active = true;
        self.add_to_tree(at);
        self.probe(out);
    }

    fn add_to_tree(&mut self, at: u32) {
        let mut work = vec![self.table.resolve(at)];
        while let Some(at) = work.pop() {
            let slot = self.table.slot_mut(at);
            if slot.tree || slot.state == State::Complete {
                continue;
            }
            slot.tree = true;
            let (print, branch, state) = (slot.print, slot.branch, slot.state);
            match state {
                State::Idle => {
                    self.table.change(at, State::Unknown);
                    self.walk.single(at, print);
                }
                State::Held if branch != NONE => {
                    let children = self.branch(branch).map_or(0..0, super::Branch::slots);
                    work.extend(children.map(|child| self.table.resolve(child)));
                }
                State::Held => self.walk.single(at, print),
                _ => {}
            }
        }
    }

    /// Nothing is walked any more: slots of trees fall back to what they are without a want.
    pub(crate) fn stop_walking(&mut self) {
        self.walk = Walk { done: std::mem::take(&mut self.walk.done), ..Walk::default() };
        for at in 0..self.table.end() {
            let wanted = self.wants.contains_key(&at);
            let slot = self.table.slot_mut(at);
            slot.tree = false;
            let state = slot.state;
            let pending = matches!(state, State::Unknown | State::Probing | State::Missing);
            if pending && !wanted {
                self.table.change(at, State::Idle);
            } else if pending && state != State::Missing {
                self.table.change(at, State::Unknown);
                let print = self.table.slot(at).print;
                self.walk.single(at, print);
            }
        }
    }

    /// The store is to be asked for a single block that is wanted.
    pub(crate) fn probe_single(&mut self, at: u32) {
        let slot = self.table.slot(at);
        let print = slot.print;
        match slot.state {
            State::Idle => self.table.change(at, State::Unknown),
            State::Unknown => {}
            _ => return,
        }
        self.walk.single(at, print);
    }

    /// Asks the store, as far as its queue has room.
    pub(crate) fn probe(&mut self, out: &mut Out) {
        let Some(session) = self.sessions.keys().next().copied() else { return };
        loop {
            self.resume();
            if self.walk.probing as usize + PROBE_MAX > PROBING_MAX {
                return;
            }
            let mut cids = Vec::new();
            while cids.len() < PROBE_MAX {
                let Some(at) = self.next_probe() else { break };
                if self.table.slot(at).state == State::Unknown {
                    self.table.change(at, State::Probing);
                }
                cids.push((self.table.slot(at).cid, self.place(at)));
            }
            if cids.is_empty() {
                return;
            }
            self.walk.probing += cids.len() as u32;
            out.push_back(Action::Probe { session, cids });
        }
    }

    fn next_probe(&mut self) -> Option<u32> {
        while let Some((at, print)) = self.walk.singles.pop_front() {
            self.walk.singles_set.remove(&at);
            let slot = self.table.slot(at);
            let open = matches!(slot.state, State::Unknown | State::Held | State::Idle);
            if slot.print == print && open && slot.branch == NONE {
                return Some(at);
            }
        }
        while let Some((number, next)) = self.walk.cursors.last_mut() {
            let slots = self.branches.get(number).map_or(0..0, super::Branch::slots);
            let at = slots.start + *next;
            if at >= slots.end {
                self.walk.cursors.pop();
                continue;
            }
            *next += 1;
            if self.table.slot(at).state == State::Unknown {
                return Some(at);
            }
        }
        None
    }

    /// Takes in what the store answered.
    pub(crate) fn probed(&mut self, found: Vec<(Cid, Probe)>, out: &mut Out) {
        self.walk.probing = self.walk.probing.saturating_sub(found.len() as u32);
        for (cid, probe) in found {
            let Some(at) = self.table.find(self.keys.print(&cid), &cid) else { continue };
            let slot = self.table.slot(at);
            match (slot.state, probe) {
                (State::Probing, Probe::Missing) => {
                    self.table.change(at, State::Missing);
                    self.check_providers = true;
                }
                (State::Probing, Probe::Leaf) => self.present(at, None, true, out),
                (State::Probing | State::Idle, Probe::Branch(links)) => {
                    self.present(at, Some(&links), true, out);
                }
                (State::Held, Probe::Branch(links)) if slot.branch == NONE => {
                    self.descend(at, &links, out);
                }
                (State::Held, Probe::Leaf) if slot.branch == NONE => self.complete(at, out),
                // It was here and is gone: somebody removed it. Fetch it again if it is wanted.
                (State::Held, Probe::Missing) if slot.tree && slot.branch == NONE => {
                    self.table.change(at, State::Missing);
                }
                _ => {}
            }
        }
        self.probe(out);
    }

    /// The block of a slot is here, from the store or from a peer.
    pub(crate) fn present(&mut self, at: u32, links: Option<&Links>, local: bool, out: &mut Out) {
        self.tally.blocks_present += u64::from(local);
        self.table.change(at, State::Held);
        let slot = self.table.slot_mut(at);
        slot.links = links.is_some();
        let print = slot.print;
        self.held.insert(print);
        if let Some(deadline) = self.deadlines.remove(&at) {
            self.urgent.remove(&(deadline, at));
        }
        let Some(links) = links else { return self.complete(at, out) };
        if self.table.slot(at).cid == self.root {
            self.tally.size_hint = links.size();
        }
        if self.walk.done.contains(&print) {
            return self.complete(at, out);
        }
        self.dirty.insert(at);
        self.dirty.extend(self.aliases.get(&at).into_iter().flatten());
        self.satisfy(at, false, out);
        self.descend(at, links, out);
    }

    /// Maps a present branch if there is room, and walks on below it if it is part of a tree.
    fn descend(&mut self, at: u32, links: &Links, out: &mut Out) {
        let count = links.children.len() as u32;
        let tree = self.table.slot(at).tree;
        if count == 0 {
            return self.complete(at, out);
        }
        while !self.has_room(count) && self.evict() {}
        let overdraft = tree && self.stalled();
        if !(self.has_room(count) || overdraft) || !self.map(at, links) {
            if tree {
                let depth = self.table.slot(at).depth;
                self.walk.waiting.insert((Reverse(depth), at), count);
            }
            return;
        }
        if tree {
            self.want_children(at);
        }
        // All children may be known complete already.
        let number = self.table.slot(at).branch;
        if self.branch(number).is_some_and(|branch| branch.remaining == 0) {
            self.complete(at, out);
        }
    }

    fn want_children(&mut self, at: u32) {
        let number = self.table.slot(at).branch;
        let slots = self.branch(number).map_or(0..0, super::Branch::slots);
        for child in slots {
            match self.table.slot(child).state {
                State::Idle => {
                    self.table.slot_mut(child).tree = true;
                    self.table.change(child, State::Unknown);
                }
                State::Alias(primary) => self.add_to_tree(primary),
                _ => {}
            }
        }
        self.walk.cursors.push((number, 0));
    }

    /// Nothing is being fetched or probed: the frontier may be overdrawn to go on.
    fn stalled(&self) -> bool {
        self.table.pool + self.table.asked == 0
            && self.walk.cursors.is_empty()
            && self.walk.singles.is_empty()
    }

    /// Lets branches that wait for room be probed again when there is some.
    fn resume(&mut self) {
        while let Some((key, count)) = self.walk.waiting.first_key_value() {
            let (key, count) = (*key, *count);
            let go_on = self.stalled() && self.walk.probing == 0;
            if !(self.has_room(count) || go_on) {
                return;
            }
            self.walk.waiting.remove(&key);
            let slot = self.table.slot(key.1);
            if slot.state == State::Held && slot.branch == NONE && slot.tree {
                let print = slot.print;
                self.walk.single(key.1, print);
            }
        }
    }

    /// Asks the store for the links of a branch that is here, to find who holds its children.
    pub(crate) fn learn(&mut self, at: u32, out: &mut Out) {
        let slot = self.table.slot(at);
        if slot.branch == NONE && matches!(slot.state, State::Idle | State::Held) {
            let print = slot.print;
            self.walk.single(at, print);
            self.probe(out);
        }
    }

    /// The session in whose name the store is asked may be about to close.
    pub(crate) fn restart_probes(&mut self, out: &mut Out) {
        let lost: Vec<u32> = (0..self.table.end())
            .filter(|at| self.table.slot(*at).state == State::Probing)
            .collect();
        self.walk.probing = 0;
        for at in lost {
            self.table.change(at, State::Unknown);
            let print = self.table.slot(at).print;
            self.walk.single(at, print);
        }
        self.probe(out);
    }
}
