//! Telling members what is here.
//!
//! A peer that joins is told everything once; afterwards every block that becomes present is told
//! within [`TICK`](crate::limits::TICK) to all members, so that they can ask for it before the rest
//! has come (cut-through). Bits of one branch that lie near each other travel in one message.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use shoal_dag::Cid;

use crate::limits::{HAVE_BYTES_MAX, HAVE_GAP_MAX, HOLDINGS_MAX};
use crate::swarm::{Out, Sharing, Swarm};
use crate::table::{NONE, State};
use crate::{Action, Holding, Message, PeerNo};

impl Swarm {
    /// What is here, for a peer that knows nothing of it. Whoever holds all says so in its join.
    pub(crate) fn introduce(&mut self, peer: PeerNo, out: &mut Out) {
        if self.holding() == Holding::All {
            if let Some(member) = self.members.get_mut(&peer) {
                member.untell();
            }
            return;
        }
        let mut messages = Vec::new();
        if let Sharing::Yes(holdings) = &self.sharing {
            for branch in holdings.complete.iter().take(HOLDINGS_MAX) {
                messages.push(Message::HaveAll { root: self.root, branch: *branch });
            }
            for (branch, first, bits) in holdings.have.iter().take(HOLDINGS_MAX) {
                let bits = bits[..bits.len().min(HAVE_BYTES_MAX)].to_vec();
                messages.push(Message::Have {
                    root: self.root,
                    branch: *branch,
                    first: *first,
                    bits,
                });
            }
        }
        let here = |at: &u32| self.table.slot(self.table.resolve(*at)).present();
        let present: Vec<u32> = (0..self.table.end()).filter(here).collect();
        self.describe(&present, &mut messages);
        if let Some(member) = self.members.get_mut(&peer) {
            member.untell();
            member.tell(messages);
            out.extend(member.told_now().map(|message| Action::Send { peer, message }));
        }
    }

    /// Tells all members what became present since the last time.
    pub(crate) fn announce(&mut self, out: &mut Out) {
        let dirty: Vec<u32> = std::mem::take(&mut self.dirty).into_iter().collect();
        if !self.members.is_empty() && !dirty.is_empty() {
            self.tell_members(&dirty);
        }
        for (peer, member) in &mut self.members {
            let peer = *peer;
            out.extend(member.told_now().map(|message| Action::Send { peer, message }));
        }
    }

    fn tell_members(&mut self, dirty: &[u32]) {
        let mut messages = Vec::new();
        if !self.part_told {
            self.part_told = true;
            let holding = self.holding();
            messages.push(Message::Join { root: self.root, holding, reply: true });
        }
        self.describe(dirty, &mut messages);
        let root = self.root;
        let is_last = |message: &Message| matches!(message, Message::HaveAll { branch, .. } if *branch == root);
        let all = messages.iter().find(|message| is_last(message)).cloned();
        for member in self.members.values_mut() {
            match &all {
                Some(all) => {
                    member.untell();
                    member.tell([all.clone()]);
                }
                None => member.tell(messages.iter().cloned()),
            }
        }
    }

    /// Everything that was told so far has been told with the join.
    pub(crate) fn told_holding(&mut self, holding: Holding) {
        self.part_told |= holding != Holding::Nothing;
    }

    /// Messages about present slots, which must be in order. An alias is told where it hangs, with
    /// what its target is: who asks may know the block by that place only.
    fn describe(&self, slots: &[u32], messages: &mut Vec<Message>) {
        let (mut run, mut told): (Option<(u32, u32, u32)>, _) = (None, BTreeSet::new());
        for at in slots {
            let slot = self.table.slot(*at);
            let own = self.table.slot(self.table.resolve(*at));
            // Inside a complete branch there is nothing to tell: the branch says it all.
            let covered = self.is_complete(slot.parent);
            let whole = own.links && own.state == State::Complete && !covered;
            if whole && told.insert(own.print) {
                messages.push(Message::HaveAll { root: self.root, branch: own.cid });
            }
            if slot.parent == NONE || covered {
                continue;
            }
            run = match run {
                Some((parent, first, last))
                    if parent == slot.parent
                        && at - last <= HAVE_GAP_MAX
                        && at - first < HAVE_BYTES_MAX as u32 * 8 - 8 =>
                {
                    Some((parent, first, *at))
                }
                other => {
                    messages.extend(other.and_then(|run| self.have_message(run)));
                    Some((slot.parent, *at, *at))
                }
            };
        }
        messages.extend(run.and_then(|run| self.have_message(run)));
    }

    /// Whether a branch, by its number, is complete.
    fn is_complete(&self, number: u32) -> bool {
        let branch = (number != NONE).then(|| self.branch(number)).flatten();
        branch.is_some_and(|branch| self.table.slot(branch.slot).state == State::Complete)
    }

    fn have_message(&self, (parent, first, last): (u32, u32, u32)) -> Option<Message> {
        let branch = self.branch(parent)?;
        let cid: Cid = self.table.slot(branch.slot).cid;
        let bits = self.bits(first..=last);
        Some(Message::Have { root: self.root, branch: cid, first: first - branch.base, bits })
    }

    fn bits(&self, slots: RangeInclusive<u32>) -> Vec<u8> {
        let first = *slots.start();
        let mut bits = vec![0u8; (*slots.end() - first) as usize / 8 + 1];
        for at in slots {
            if self.table.slot(self.table.resolve(at)).present() {
                bits[(at - first) as usize / 8] |= 1 << ((at - first) % 8);
            }
        }
        bits
    }
}
