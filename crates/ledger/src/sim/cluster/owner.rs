//! The owner's two machines: publishing with its crashes, handing over, recovering.
//!
//! A machine signs only after it heard from enough others, stores before it sends, and may crash
//! between any two of these. What leaves it is recorded when it does.

use super::{Cluster, EPOCHS_MAX, Op, signed};
use crate::Tip;
use crate::chain::Archive;
use crate::entry::{Body, Recover};
use crate::key::SecretKey;
use crate::sample::{OWNER, RECOVERY, key, keys_of, update, writers};
use crate::sim::shelf::Shelf;
use crate::writer::{Unstored, Writer};

/// The members that have a key: the owner's two machines.
pub(super) const WRITERS: usize = 2;

/// The seed of a machine's key in an epoch.
pub(super) fn seed_of(machine: usize, epoch: u64) -> u8 {
    if epoch == 0 { OWNER + machine as u8 } else { 10 + 2 * epoch as u8 + machine as u8 }
}

impl Cluster {
    /// The writer of a machine, opened if it is not.
    fn writer(&mut self, node: usize) -> Option<Writer> {
        let member = &mut self.members[node];
        if member.is_forked() || !member.has_caught_up() {
            return None;
        }
        let tip = member.tip.clone()?;
        Some(member.writer.take().unwrap_or_else(|| Writer::open(tip, 0)))
    }

    fn active_key(&self, node: usize) -> Option<SecretKey> {
        let authority = self.members[node].tip.as_ref()?.authority();
        let key = key(seed_of(node, authority.epoch().as_u64()));
        (authority.active() == key.public()).then_some(key)
    }

    pub(super) fn publish(&mut self, node: usize) {
        self.call(node, Op::Publish);
        let root = self.dice.roll(1 << 20) as u64;
        let key = self.active_key(node);
        if key.is_some_and(|key| self.sign(node, update(root), &key).is_none()) {
            return self.crash(node);
        }
        self.answer(node, Op::Publish);
    }

    /// The active machine hands over to the other one.
    pub(super) fn hand_over(&mut self, node: usize) {
        if let Some(key) = self.active_key(node) {
            let other = 1 - node as u8;
            if self.sign(node, writers(other, &[], 0), &key).is_none() {
                self.crash(node);
            }
        }
    }

    /// Signs, stores and sends; None where the machine crashed on the way.
    fn sign(&mut self, node: usize, body: Body, key: &SecretKey) -> Option<()> {
        let Some(mut writer) = self.writer(node) else { return Some(()) };
        let time_ms = self.clock(node);
        let signed = writer.sign(body, &[key], time_ms);
        self.members[node].writer = Some(writer);
        let Ok(unstored) = signed else { return Some(()) };
        self.store_and_send(node, unstored, None)
    }

    /// `old` is the branch that was read before, where it is another one.
    fn store_and_send(
        &mut self,
        node: usize,
        unstored: Unstored,
        old: Option<&Shelf>,
    ) -> Option<()> {
        let entry = unstored.to_store().clone();
        self.members[node].shelf.push(entry.clone());
        self.record.push(signed(&self.members[node].shelf));
        if !self.ways.order {
            self.send(node, entry.clone());
        }
        if self.dice.once_in(40) {
            self.members[node].shelf.truncate(entry.index()); // it was never stored
            return None;
        }
        let unsent = self.ways.order.then(|| entry.clone());
        let member = &mut self.members[node];
        member.unsent = unsent;
        let mut writer = member.writer.take()?;
        if self.dice.once_in(40) {
            self.keep_own(node, old);
            return None;
        }
        writer.stored(unstored).expect("it was signed last");
        let member = &mut self.members[node];
        member.tip = Some(writer.tip().clone());
        member.writer = Some(writer);
        self.keep_own(node, old);
        if self.dice.once_in(40) {
            return None;
        }
        if self.ways.order {
            self.members[node].unsent = None;
            self.send(node, entry);
        }
        Some(())
    }

    pub(super) fn keep_own(&mut self, node: usize, old: Option<&Shelf>) {
        let ways = self.ways;
        let member = &mut self.members[node];
        member.read_own(old, &mut self.dice);
        if !ways.durable {
            // Its own entries are stored by the writer, whatever the reader does.
            member.disk.reader = member.reader.encode();
            member.disk.shelf = Some(member.shelf.clone());
        }
    }

    /// The owner recovers a forked name below the fork, and now and then one that is not.
    pub(super) fn recover(&mut self) {
        let member = &self.members[0];
        let forked = member.is_forked();
        let ready = member.has_caught_up() && !member.is_behind();
        let Some(tip) = member.tip.clone().filter(|_| ready) else { return };
        let epoch = tip.authority().epoch().as_u64();
        if epoch >= EPOCHS_MAX || !(forked || self.dice.once_in(4)) {
            return;
        }
        let opened = opening(&member.shelf);
        let last = member.reader.serves().unwrap_or(opened).min(member.shelf.len() - 1);
        let base = last.max(opened);
        let old = member.shelf.clone();
        let keys = keys_of(&[seed_of(0, epoch + 1), seed_of(1, epoch + 1)]);
        let revealed = vec![key(RECOVERY[0]).public()];
        let body = Body::Recover(Recover { revealed, policy: None, keys });
        let member = &mut self.members[0];
        member.shelf.truncate(base + 1);
        let tip = Tip::from_archive(&member.shelf).expect("a whole branch");
        let mut writer = Writer::open(tip, 0);
        let time_ms = self.clock(0);
        let unstored = writer.sign(body, &[&key(RECOVERY[0])], time_ms).expect("it may recover");
        self.members[0].writer = Some(writer);
        let kept = self.store_and_send(0, unstored, Some(&old));
        let member = &mut self.members[0];
        if member.shelf.len() == base + 1 {
            member.shelf = old; // it was not stored: nothing happened
        }
        if kept.is_none() {
            self.crash(0);
        }
    }
}

/// The index of the entry that opened the newest epoch of a branch.
pub(super) fn opening(shelf: &Shelf) -> u64 {
    let epoch = shelf.head().expect("there is an entry").position().epoch;
    let mut opens = 0;
    let mut before = shelf.len();
    while let Some(control) = shelf.control_before(before) {
        if shelf.entry(control).expect("it is there").position().epoch < epoch {
            break;
        }
        opens = control;
        before = control;
    }
    opens
}
