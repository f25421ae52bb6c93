//! Mapping the children of a branch to slots, and dropping them again.
//!
//! A branch is mapped when its links are known and there is room: its children get consecutive
//! slots, members' bits about it are applied, and places flow down from it. It is dropped when it
//! is complete, or, when nothing below it is wanted, to make room for another; so are single blocks.

use shoal_dag::Cid;

use crate::limits::{FRONTIER_MAX, SLOTS_MAX};
use crate::random::Print;
use crate::swarm::{Out, Swarm};
use crate::table::{NONE, Slot, State, Table};
use crate::{Child, Links, LinksKind, Place};

/// A branch whose children have slots.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) slot: u32,
    pub(crate) print: Print,
    pub(crate) base: u32,
    pub(crate) count: u32,
    kind: LinksKind,
    /// The file that it is an inner block of.
    file: Option<(Cid, u64)>,
    /// Children not complete.
    pub(crate) remaining: u32,
    /// Children that are mapped branches.
    below: u32,
    /// Order of mapping, for dropping the oldest.
    touched: u64,
}

impl Branch {
    /// The place of a child. For children that turn out to be branches it means nothing.
    pub(crate) fn place_of(&self, child: &Slot) -> Option<Place> {
        match (self.kind, self.file) {
            (LinksKind::File, Some((file, size))) => {
                Some(Place { file, size, offset: child.offset })
            }
            (LinksKind::Directory, _) => {
                let size = if child.cid.codec() == shoal_dag::hash::RAW { child.size } else { 0 };
                Some(Place { file: child.cid, size, offset: 0 })
            }
            _ => None,
        }
    }

    /// The slots of its children.
    pub(crate) fn slots(&self) -> std::ops::Range<u32> {
        self.base..self.base + self.count
    }
}

impl Swarm {
    /// The branch that a fingerprint names, if it is mapped.
    pub(crate) fn mapped(&self, print: Print, cid: &Cid) -> Option<u32> {
        let slot = self.table.find(print, cid)?;
        Some(self.table.slot(slot).branch).filter(|branch| *branch != NONE)
    }

    pub(crate) fn branch(&self, number: u32) -> Option<&Branch> {
        self.branches.get(&number)
    }

    /// Whether `count` more slots are within what is spent on an ordinary walk.
    pub(crate) fn has_room(&self, count: u32) -> bool {
        (self.table.used() as usize + count as usize) <= FRONTIER_MAX
    }

    /// Gives the children of a present branch slots; false when there is no room for them.
    pub(crate) fn map(&mut self, at: u32, links: &Links) -> bool {
        let count = links.children.len() as u32;
        if links.children.len() > SLOTS_MAX {
            return false;
        }
        let Some(base) = self.table.allocate(count) else { return false };
        let number = self.branch_next;
        self.branch_next = self.branch_next.wrapping_add(1) % NONE;
        let own = self.table.slot_mut(at);
        own.branch = number;
        own.links = true;
        let (print, parent, depth, own_offset) =
            (own.print, own.parent, own.depth.saturating_add(1), own.offset);
        let (file, offset) = self.file_of(at, links, own_offset);
        let branch = Branch {
            slot: at,
            print,
            base,
            count,
            kind: links.kind,
            file,
            remaining: count,
            below: 0,
            touched: u64::from(number),
        };
        if let Some(parent) = self.branches.get_mut(&parent) {
            parent.below += 1;
        }
        self.branches.insert(number, branch);
        self.fill_children(number, base, depth, offset, &links.children);
        self.apply_members(number);
        true
    }

    /// The file that the children of a branch belong to, and where its first child begins.
    fn file_of(&self, at: u32, links: &Links, offset: u64) -> (Option<(Cid, u64)>, u64) {
        if links.kind != LinksKind::File {
            return (None, 0);
        }
        let slot = self.table.slot(at);
        let above = self.branches.get(&slot.parent).filter(|up| up.kind == LinksKind::File);
        if let Some(file) = above.and_then(|up| up.file) {
            return (Some(file), offset);
        }
        if let Some(place) = self.places.get(&at) {
            return (Some((place.file, place.size)), place.offset);
        }
        let size = links.children.iter().fold(0u64, |sum, child| sum.saturating_add(child.size));
        (Some((slot.cid, size)), 0)
    }

    fn fill_children(
        &mut self,
        number: u32,
        base: u32,
        depth: u16,
        mut offset: u64,
        children: &[Child],
    ) {
        let orphans = self.branches.get(&number).is_some_and(|up| self.orphans.has(up.slot));
        for (index, child) in (base..).zip(children) {
            let slot = Slot {
                parent: number,
                depth,
                size: child.size,
                offset,
                ..Table::fresh(child.cid, self.keys.print(&child.cid))
            };
            offset = offset.saturating_add(child.size);
            let slot_print = slot.print;
            if let State::Alias(primary) = self.table.fill(index, slot) {
                self.aliases.entry(primary).or_default().push(index);
                // It was here before the way to it was: members hear of it only by this place.
                if self.table.slot(primary).present() {
                    self.dirty.insert(index);
                }
                if !orphans {
                    self.orphans.clear(primary);
                }
                continue;
            }
            self.tally.known_blocks += 1;
            if orphans && slot_print != self.root_print {
                self.orphans.set(index);
            }
        }
        self.complete_aliases(number, base..base + children.len() as u32);
    }

    /// An alias of something complete is complete; its target may be gone soon.
    fn complete_aliases(&mut self, number: u32, slots: std::ops::Range<u32>) {
        for index in slots {
            let primary = self.table.resolve(index);
            if primary != index && self.table.slot(primary).state == State::Complete {
                self.unalias(primary, index);
                // It stands for itself from now on.
                self.table.slot_mut(index).links = self.table.slot(primary).links;
                self.table.change(index, State::Complete);
                if let Some(branch) = self.branches.get_mut(&number) {
                    branch.remaining -= 1;
                }
            }
        }
    }

    fn unalias(&mut self, primary: u32, alias: u32) {
        if let Some(list) = self.aliases.get_mut(&primary) {
            list.retain(|other| *other != alias);
            if list.is_empty() {
                self.aliases.remove(&primary);
            }
        }
    }

    /// Drops the children of a branch. None of them may be in the pool or asked.
    pub(crate) fn unmap(&mut self, number: u32) {
        let Some(branch) = self.branches.remove(&number) else { return };
        for at in branch.slots() {
            if let State::Alias(primary) = self.table.slot(at).state {
                self.unalias(primary, at);
            }
            self.forget_slot(at);
        }
        self.walk.forget_branch(number);
        self.table.release(branch.base, branch.count);
        let own = self.table.slot_mut(branch.slot);
        own.branch = NONE;
        let parent = own.parent;
        if let Some(parent) = self.branches.get_mut(&parent) {
            parent.below -= 1;
        }
    }

    /// Makes room by dropping the branch mapped longest ago of which nothing is wanted.
    pub(crate) fn evict(&mut self) -> bool {
        let idle = |branch: &&Branch| {
            branch.below == 0
                && !self.table.slot(branch.slot).tree
                && branch.slots().all(|at| {
                    let slot = self.table.slot(at);
                    let quiet = matches!(slot.state, State::Idle | State::Held | State::Complete);
                    (quiet || matches!(slot.state, State::Alias(_)))
                        && !slot.tree
                        && !self.wants.contains_key(&at)
                        && !self.aliases.contains_key(&at)
                })
        };
        let oldest = self
            .branches
            .iter()
            .filter(|(_, branch)| idle(branch))
            .min_by_key(|(_, branch)| branch.touched)
            .map(|(number, _)| *number);
        let Some(number) = oldest else { return false };
        self.keep_bits(number);
        self.unmap(number);
        true
    }

    /// Makes room by forgetting all single blocks that nobody wants any more; false when there are
    /// none.
    pub(crate) fn forget_singles(&mut self) -> bool {
        let before = self.table.used();
        for at in 0..self.table.end() {
            let slot = self.table.slot(at);
            let quiet = matches!(slot.state, State::Idle | State::Held | State::Complete);
            let alone = slot.parent == NONE && slot.branch == NONE && slot.print != self.root_print;
            let needed = slot.tree
                || self.wants.contains_key(&at)
                || self.aliases.contains_key(&at)
                || self.walk.is_queued(at);
            if quiet && alone && !needed {
                self.forget_slot(at);
                self.table.release(at, 1);
            }
        }
        self.table.used() < before
    }

    /// Drops everything that is kept by the number of a slot.
    fn forget_slot(&mut self, at: u32) {
        self.aliases.remove(&at);
        self.orphans.clear(at);
        self.dirty.remove(&at);
        self.wants.remove(&at);
        self.places.remove(&at);
        if let Some(deadline) = self.deadlines.remove(&at) {
            self.urgent.remove(&(deadline, at));
        }
        for member in self.members.values_mut() {
            member.has.clear(at);
            member.not.clear(at);
        }
    }

    /// Hands members' bits about a branch back to them before it is dropped.
    fn keep_bits(&mut self, number: u32) {
        let Some(branch) = self.branches.get(&number) else { return };
        for member in self.members.values_mut().filter(|member| !member.all()) {
            let mut bits = vec![0u8; branch.count.div_ceil(8) as usize];
            for (index, at) in branch.slots().enumerate() {
                if member.has.has(at) {
                    bits[index / 8] |= 1 << (index % 8);
                }
            }
            if bits.iter().any(|byte| *byte != 0) {
                member.keep(branch.print, 0, &bits);
            }
        }
    }

    /// A block and everything below it is here: satisfies wants and goes on upwards.
    pub(crate) fn complete(&mut self, at: u32, out: &mut Out) {
        let mut work = vec![at];
        while let Some(at) = work.pop() {
            if self.table.slot(at).state == State::Complete {
                continue;
            }
            self.table.change(at, State::Complete);
            self.dirty.insert(at);
            let links = self.table.slot(at).links;
            for alias in self.aliases.remove(&at).unwrap_or_default() {
                self.table.slot_mut(alias).links = links;
                work.push(alias);
            }
            self.satisfy(at, true, out);
            let (own, parent) = {
                let slot = self.table.slot(at);
                (slot.branch, slot.parent)
            };
            if own != NONE {
                self.walk.completed(self.table.slot(at).print);
                self.unmap(own);
            }
            if let Some(branch) = self.branches.get_mut(&parent) {
                branch.remaining -= 1;
                if branch.remaining == 0 {
                    work.push(branch.slot);
                }
            }
        }
    }
}

impl Swarm {
    /// Panics where a branch is not what it is counted from.
    #[track_caller]
    pub(crate) fn check_branches(&self) {
        for (number, branch) in &self.branches {
            let open = branch.slots().filter(|at| self.table.slot(*at).state != State::Complete);
            assert_eq!(branch.remaining as usize, open.count(), "{branch:?}");
            assert!(branch.remaining > 0, "a complete branch is dropped: {branch:?}");
            let below = branch.slots().filter(|at| self.table.slot(*at).branch != NONE).count();
            assert_eq!(branch.below as usize, below);
            assert_eq!(self.table.slot(branch.slot).branch, *number);
        }
        for (deadline, slot) in &self.urgent {
            assert_eq!(self.deadlines.get(slot), Some(deadline));
        }
        assert_eq!(self.urgent.len(), self.deadlines.len());
        for slot in self.wants.keys().chain(self.deadlines.keys()).chain(&self.dirty) {
            assert_ne!(self.table.slot(*slot).state, State::Free);
        }
    }
}
