//! Who holds what: announcements in, the next block to ask of a peer out.
//!
//! Bits count towards a slot's rarity only for peers that hold a part; those that hold everything
//! make every block equally less rare. A block whose way up to the root is not known here may lie in
//! a sub-tree that a member told to hold completely: holders of a part are asked for such blocks
//! when there is nothing better, and may say no. An announcement about a branch that is complete here is
//! dropped: nothing of it will be asked for.

use std::collections::BTreeSet;
use std::time::Duration;

use shoal_dag::Cid;

use crate::limits::GUESS_AGAIN;
use crate::random::{Print, Random};
use crate::swarm::{Member, Swarm};
use crate::table::{NONE, State};
use crate::{Holding, PeerNo};

/// One slot that a peer has just announced, for the uploader's account.
pub(crate) struct News {
    pub(crate) slot: u32,
    pub(crate) print: Print,
    pub(crate) bytes: u32,
}

/// How a branch that somebody speaks of stands here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// Its children are in view.
    Mapped,
    /// It is complete, or nothing is fetched.
    Done,
    /// Not in view.
    Unknown,
}

impl Swarm {
    /// A peer takes part, or takes part in another way than before. What it says of itself now holds:
    /// "nothing" takes back what it told, "part" that it holds all.
    pub(crate) fn join(&mut self, peer: PeerNo, holding: Holding, random: &mut Random) {
        self.asked_to_join.remove(&peer);
        self.to_invite.remove(&peer);
        self.check_providers = true;
        let others = self.members.iter().any(|(other, member)| *other != peer && member.all());
        let start = if others { random.below(self.table.end()) } else { 0 };
        let member = self.members.entry(peer).or_insert_with(|| Member::new(holding, start));
        let before = std::mem::replace(&mut member.holding, holding);
        match holding {
            Holding::All if before != Holding::All => self.uncount(peer),
            Holding::Nothing => {
                member.forget_told();
                self.uncount(peer);
            }
            _ => {}
        }
        let known: Vec<u32> = self.branches.keys().copied().collect();
        for number in known {
            self.apply_member(number, peer);
        }
        self.apply_singles(peer);
    }

    /// A member is not to be told what is here.
    pub(crate) fn tell_nothing(&mut self, peer: PeerNo) {
        if let Some(member) = self.members.get_mut(&peer) {
            member.deaf = true;
        }
    }

    /// A member that says of single blocks only that it does not have them may have them by now.
    pub(crate) fn forgive(&mut self, peer: PeerNo) {
        if let Some(member) = self.members.get_mut(&peer) {
            member.not = crate::bits::BitSet::default();
            self.check_providers = true;
        }
    }

    /// Blocks that are missed, the root first: one that has any of them is of use.
    pub(crate) fn missed(&self, most: usize) -> Vec<Cid> {
        let missing = |at: &&u32| {
            let slot = self.table.slot(**at);
            let open = matches!(slot.state, State::Missing | State::Asked(..));
            open && slot.print != self.root_print
        };
        let wanted = self.wants.keys().filter(missing).map(|at| self.table.slot(*at).cid);
        [self.root].into_iter().chain(wanted).take(most).collect()
    }

    /// A peer is sent an invitation.
    pub(crate) fn invite(&mut self, peer: PeerNo, now: Duration) {
        // One that never answers keeps nobody waiting twice.
        self.asked_to_join.entry(peer).or_insert(now);
        self.invited.insert(peer, now);
        self.to_invite.remove(&peer);
    }

    /// When a peer was last invited.
    pub(crate) fn invited(&self, peer: PeerNo) -> Option<Duration> {
        self.invited.get(&peer).copied()
    }

    /// A peer is not connected any more.
    pub(crate) fn forget_invitation(&mut self, peer: PeerNo) {
        self.invited.remove(&peer);
        self.to_invite.remove(&peer);
    }

    /// A peer is gone.
    pub(crate) fn part(&mut self, peer: PeerNo) {
        self.asked_to_join.remove(&peer);
        self.check_providers = true;
        self.uncount(peer);
        self.members.remove(&peer);
    }

    /// Takes a peer's bits out of the rarity counts.
    fn uncount(&mut self, peer: PeerNo) {
        let Some(member) = self.members.get_mut(&peer) else { return };
        let has = std::mem::take(&mut member.has);
        for at in has.iter() {
            self.table.count_holder(at, false);
        }
    }

    fn mark(&mut self, peer: PeerNo, at: u32) -> bool {
        let at = self.table.resolve(at);
        let Some(member) = self.members.get_mut(&peer) else { return false };
        member.not.clear(at);
        if member.all() || !member.has.set(at) {
            return false;
        }
        self.table.count_holder(at, true);
        self.check_providers = true;
        true
    }

    /// Applies what all members told about a branch that has just been mapped.
    pub(crate) fn apply_members(&mut self, number: u32) {
        let peers: Vec<PeerNo> = self.members.keys().copied().collect();
        for peer in peers {
            self.apply_member(number, peer);
        }
    }

    fn apply_member(&mut self, number: u32, peer: PeerNo) {
        let Some(branch) = self.branches.get(&number) else { return };
        let (print, slots) = (branch.print, branch.slots());
        let whole = self.completed_by(peer, number);
        let Some(member) = self.members.get_mut(&peer) else { return };
        if member.all() {
            return;
        }
        let kept = member.take_kept(print);
        for (index, at) in slots.enumerate() {
            let bit = kept.as_ref().is_some_and(|bits| bit(bits, index));
            let own = self.table.slot(at).print;
            let top = self.members.get(&peer).is_some_and(|member| member.completed(own));
            if whole || bit || top {
                self.mark(peer, at);
            }
        }
    }

    /// Whether a peer told that it holds a branch, or one above it, completely.
    fn completed_by(&self, peer: PeerNo, number: u32) -> bool {
        let Some(member) = self.members.get(&peer) else { return false };
        let mut number = number;
        while let Some(branch) = self.branches.get(&number) {
            if member.completed(branch.print) {
                return true;
            }
            number = self.table.slot(branch.slot).parent;
        }
        false
    }

    /// Applies to blocks that hang under no known branch: the root, and tops of wanted trees.
    fn apply_singles(&mut self, peer: PeerNo) {
        let tops: Vec<u32> = self.wants.keys().copied().collect();
        for at in tops {
            self.apply_single(peer, at);
        }
    }

    fn apply_single(&mut self, peer: PeerNo, at: u32) {
        let slot = self.table.slot(at);
        let Some(member) = self.members.get(&peer) else { return };
        let is_root = slot.print == self.root_print && member.holding != Holding::Nothing;
        if is_root || member.completed(slot.print) {
            self.mark(peer, at);
        }
    }

    /// Applies what members told to a slot made for a want.
    pub(crate) fn apply_all_singles(&mut self, at: u32) {
        let peers: Vec<PeerNo> = self.members.keys().copied().collect();
        for peer in peers {
            self.apply_single(peer, at);
        }
    }

    /// A peer told which children of a branch it holds. What is new goes to `news`.
    pub(crate) fn have(
        &mut self,
        peer: PeerNo,
        branch: &Cid,
        first: u32,
        bits: &[u8],
        news: &mut Vec<News>,
    ) -> View {
        let print = self.keys.print(branch);
        let Some(number) = self.mapped(print, branch) else {
            if self.walk.is_done(print) || self.sessions.is_empty() {
                return View::Done;
            }
            if let Some(member) = self.members.get_mut(&peer).filter(|member| !member.all()) {
                member.keep(print, first, bits);
            }
            return View::Unknown;
        };
        let slots = self.branches.get(&number).map_or(0..0, super::Branch::slots);
        for index in 0..bits.len() * 8 {
            let at = u64::from(slots.start) + u64::from(first) + index as u64;
            if at >= u64::from(slots.end) {
                break;
            }
            if bit(bits, index) && self.mark(peer, at as u32) {
                let at = self.table.resolve(at as u32);
                let slot = self.table.slot(at);
                news.push(News { slot: at, print: slot.print, bytes: slot.bytes() });
            }
        }
        View::Mapped
    }

    /// A peer told that it holds a whole sub-tree.
    pub(crate) fn have_all(&mut self, peer: PeerNo, branch: &Cid, random: &mut Random) -> View {
        if *branch == self.root {
            self.join(peer, Holding::All, random);
            return View::Mapped;
        }
        let print = self.keys.print(branch);
        if self.walk.is_done(print) || self.sessions.is_empty() {
            return View::Done;
        }
        let Some(member) = self.members.get_mut(&peer).filter(|member| !member.all()) else {
            return View::Mapped;
        };
        member.complete(print);
        let Some(at) = self.table.find(print, branch) else { return View::Unknown };
        // Aliases make the blocks in view a graph: every branch is entered once.
        let (mut work, mut seen) = (vec![at], BTreeSet::new());
        while let Some(at) = work.pop() {
            self.mark(peer, at);
            let number = self.table.slot(self.table.resolve(at)).branch;
            if number != NONE && seen.insert(number) {
                work.extend(self.branches.get(&number).map_or(0..0, super::Branch::slots));
            }
        }
        View::Mapped
    }

    /// A peer does not give what it was asked for: it is not asked for it again until it announces
    /// it anew. Whether it had announced it.
    pub(crate) fn deny(&mut self, peer: PeerNo, at: u32) -> bool {
        self.check_providers = true;
        let Some(member) = self.members.get_mut(&peer) else { return false };
        let announced = member.can_give(at);
        member.not.set(at);
        if member.has.clear(at) {
            self.table.count_holder(at, false);
        }
        if !announced && self.orphans.has(at) {
            // It does not hold all of anything above: of what hangs beside, it has what it told.
            let parent = self.table.slot(at).parent;
            let beside = self.branches.get(&parent).map_or(0..0, super::Branch::slots);
            for other in beside.filter(|other| !member.has.has(*other)) {
                member.not.set(other);
            }
        }
        announced
    }

    /// The next block to ask of a peer: its rarest, ties at random; where only peers that hold
    /// everything take part, the next one of its run. When it holds a part and nothing that it told
    /// is wanted: one of which nobody can tell from afar whether it hangs in that part.
    pub(crate) fn next_for(&mut self, peer: PeerNo, random: &mut Random) -> Option<u32> {
        if self.table.pool == 0 {
            return None;
        }
        let runs = self.members.values().all(super::member::Member::all);
        let member = self.members.get_mut(&peer)?;
        let start = if runs { member.cursor } else { random.below(self.table.end()) };
        let held = (!member.all()).then_some(&member.has);
        let known = self.table.rarest(start, held, &member.not);
        let guess = member.holding == Holding::Part && self.orphans.count() > 0;
        let guessed = || self.table.rarest(start, Some(&self.orphans), &member.not);
        let found = known.or_else(|| guess.then(guessed).flatten())?;
        member.cursor = found + 1;
        Some(found)
    }

    /// Whether any member could give something that is in the pool.
    pub(crate) fn pool_has_provider(&self) -> bool {
        self.members.values().any(|member| {
            let held = (!member.all()).then_some(&member.has);
            let guess = member.holding == Holding::Part;
            self.table.rarest(0, held, &member.not).is_some()
                || (guess && self.table.rarest(0, Some(&self.orphans), &member.not).is_some())
        })
    }

    /// Whether any member could give the block of a slot.
    pub(crate) fn has_provider(&self, at: u32) -> bool {
        let able = |member: &Member| member.can_give(at) || member.may_have(at, &self.orphans);
        self.members.values().any(able)
    }

    /// A member announced something that is not in view: it may have what it did not have before.
    pub(crate) fn guess_again(&mut self, peer: PeerNo, now: Duration) {
        let Some(member) = self.members.get_mut(&peer) else { return };
        let early = member.guessed_at.is_some_and(|at| now < at + GUESS_AGAIN);
        if early || self.table.pool == 0 || self.orphans.count() == 0 {
            return;
        }
        member.guessed_at = Some(now);
        for at in self.orphans.iter().filter(|at| self.table.slot(*at).state == State::Missing) {
            member.not.clear(at);
        }
        self.check_providers = true;
    }

    /// Whether everybody who was asked to join has answered, or had the time to.
    pub(crate) fn joins_settled(&self, now: Duration) -> bool {
        self.asked_to_join.values().all(|at| now >= *at + crate::limits::JOIN_ANSWER_MAX)
    }

    /// Puts an asked slot back into the pool.
    pub(crate) fn give_back(&mut self, at: u32) {
        if matches!(self.table.slot(at).state, State::Asked(..)) {
            let wanted = self.table.slot(at).tree || self.wants.contains_key(&at);
            self.table.change(at, if wanted { State::Missing } else { State::Idle });
            self.check_providers = true;
        }
    }
}

/// Whether a bitmap has a bit.
pub(crate) fn bit(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8).is_some_and(|byte| byte & (1 << (index % 8)) != 0)
}
