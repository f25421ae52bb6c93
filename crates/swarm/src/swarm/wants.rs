//! What sessions want, and what they are told about it.
//!
//! A want hangs on the slot of its block. A single block's want ends when the block is present, a
//! tree's when everything below is. A want that nobody connected can satisfy is told so once; it
//! stays, and goes on by itself when somebody appears.

use std::time::Duration;

use shoal_dag::Cid;

use crate::limits::WANTS_MAX;
use crate::random::Keys;
use crate::swarm::{Out, Swarm, Want};
use crate::table::{NONE, State, Table};
use crate::{Action, Place, SessionId};

/// A want as a session states it.
pub(crate) struct Wanted {
    pub(crate) session: SessionId,
    pub(crate) cid: Cid,
    pub(crate) under: Option<Cid>,
    pub(crate) place: Option<Place>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) tree: bool,
}

impl Swarm {
    /// The slot of a block, made if there is none; `None` when there is no room.
    fn slot_of(&mut self, cid: &Cid, keys: Keys) -> Option<u32> {
        let print = keys.print(cid);
        if let Some(at) = self.table.find(print, cid) {
            return Some(at);
        }
        loop {
            if let Some(at) = self.table.allocate(1) {
                self.table.fill(at, Table::fresh(*cid, print));
                self.tally.known_blocks += 1;
                if print != self.root_print {
                    self.orphans.set(at);
                }
                return Some(at);
            }
            if !self.evict() && !self.forget_singles() {
                return None;
            }
        }
    }

    /// Takes a want. Beyond [`WANTS_MAX`], or without room, it is told to have no provider.
    pub(crate) fn want(&mut self, wanted: &Wanted, out: &mut Out) {
        let Wanted { session, cid, under, place, deadline, tree } = *wanted;
        if let Some(under) = under {
            self.know(&under, out);
        }
        let room = self.wants.len() < WANTS_MAX;
        let Some(at) = self.slot_of(&cid, self.keys).filter(|_| room) else {
            out.push_back(Action::NoProvider { session, cid });
            return;
        };
        let state = self.table.slot(at).state;
        if state == State::Complete || (self.table.slot(at).present() && !tree) {
            out.push_back(if tree {
                Action::TreeDone { session, cid }
            } else {
                Action::Got { session, cid }
            });
            return;
        }
        let list = self.wants.entry(at).or_default();
        if !list.iter().any(|want| want.session == session && want.tree == tree) {
            list.push(Want { session, tree, told: false });
        }
        if let Some(place) = place {
            self.places.insert(at, place);
        }
        self.set_deadline(at, deadline);
        self.apply_all_singles(at);
        self.check_providers = true;
        if tree {
            self.walk_from(at, out);
        } else {
            self.probe_single(at);
        }
    }

    /// Sees to it that the links of a branch are known, to find who holds its children.
    fn know(&mut self, under: &Cid, out: &mut Out) {
        let Some(at) = self.slot_of(under, self.keys) else { return };
        if self.table.slot(at).branch == NONE {
            self.learn(at, out);
        }
    }

    fn set_deadline(&mut self, at: u32, deadline: Option<Duration>) {
        let Some(new) = deadline else { return };
        let old = self.deadlines.get(&at).copied();
        if old.is_some_and(|old| old <= new) {
            return;
        }
        if let Some(old) = old {
            self.urgent.remove(&(old, at));
        }
        self.deadlines.insert(at, new);
        self.urgent.insert((new, at));
    }

    /// Takes a want back. A block that was asked for already may still arrive.
    pub(crate) fn unwant(&mut self, session: SessionId, cid: &Cid) {
        let Some(at) = self.table.find(self.keys.print(cid), cid) else { return };
        self.drop_wants(at, session);
        self.settle_walk();
    }

    /// Takes all wants of a session back.
    pub(crate) fn unwant_all(&mut self, session: SessionId) {
        let slots: Vec<u32> = self.wants.keys().copied().collect();
        for at in slots {
            self.drop_wants(at, session);
        }
        self.settle_walk();
    }

    fn drop_wants(&mut self, at: u32, session: SessionId) {
        let Some(list) = self.wants.get_mut(&at) else { return };
        list.retain(|want| want.session != session);
        if !list.is_empty() {
            return;
        }
        self.wants.remove(&at);
        if let Some(deadline) = self.deadlines.remove(&at) {
            self.urgent.remove(&(deadline, at));
        }
        let slot = self.table.slot(at);
        let pending = matches!(slot.state, State::Unknown | State::Probing | State::Missing);
        if pending && !slot.tree {
            self.table.change(at, State::Idle);
        }
    }

    fn settle_walk(&mut self) {
        if self.walk.active() && self.no_tree_wanted() {
            self.stop_walking();
        }
    }

    /// Tells the wants of a slot that they are satisfied: single ones when the block is here, all
    /// of them when everything below is.
    pub(crate) fn satisfy(&mut self, at: u32, complete: bool, out: &mut Out) {
        let Some(list) = self.wants.get_mut(&at) else { return };
        let cid = self.table.slot(at).cid;
        list.retain(|want| {
            let session = want.session;
            match (want.tree, complete) {
                (false, _) => out.push_back(Action::Got { session, cid }),
                (true, true) => out.push_back(Action::TreeDone { session, cid }),
                (true, false) => return true,
            }
            false
        });
        if list.is_empty() {
            self.wants.remove(&at);
        }
    }

    /// Whether no tree is wanted any more.
    pub(crate) fn no_tree_wanted(&self) -> bool {
        !self.wants.values().flatten().any(|want| want.tree)
    }

    /// Tells wants that nobody connected can satisfy, and those that somebody can again, once each
    /// time it becomes so.
    pub(crate) fn tell_providers(&mut self, now: Duration, out: &mut Out) {
        if !self.check_providers {
            return;
        }
        let settled = self.joins_settled(now);
        let (asked, probing) = (self.table.asked > 0, self.walk.probing());
        self.check_providers = asked || probing || !settled;
        let tree_able = asked || self.pool_has_provider();
        let tree_stuck = !tree_able && self.table.pool > 0 && !probing;
        let lists: Vec<u32> = self.wants.keys().copied().collect();
        for at in lists {
            let slot = self.table.slot(at);
            let (cid, state) = (slot.cid, slot.state);
            // What is being probed may tell who holds it.
            let clear = !(probing && slot.parent == NONE);
            let held = self.has_provider(at);
            let able = matches!(state, State::Asked(..)) || (state == State::Missing && held);
            let stuck = state == State::Missing && !held && clear;
            for want in self.wants.get_mut(&at).into_iter().flatten() {
                let session = want.session;
                let (able, stuck) = if want.tree { (tree_able, tree_stuck) } else { (able, stuck) };
                if stuck && settled && !want.told {
                    want.told = true;
                    out.push_back(Action::NoProvider { session, cid });
                } else if able && want.told {
                    want.told = false;
                    out.push_back(Action::Provider { session, cid });
                }
            }
        }
    }
}
