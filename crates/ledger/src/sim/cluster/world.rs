//! What happens to a cluster: the network, crashes, disks, clocks, and the thief.
//!
//! Each step is one operation, rolled from the seed. What leaves a machine is recorded when it does.

use super::owner::{WRITERS, opening, seed_of};
use super::{
    Cluster, DAY_MS, Event, Member, Op, STEP_MS, STOLEN_MAX, UNDER_WAY_MAX, Ways, head_of, signed,
};
use crate::chain::Archive;
use crate::sample::{OWNER, genesis_draft, key, update};
use crate::sim::dice::Dice;
use crate::{Entry, Tip};

impl Cluster {
    pub(super) fn new(seed: u64, members: usize, thief: bool, ways: Ways) -> Self {
        let seeds = [seed_of(0, 0), seed_of(1, 0)];
        let genesis = genesis_draft(OWNER, &seeds, 0).sign(&[&key(OWNER)]).expect("a genesis");
        let mut cluster = Self {
            dice: Dice(seed),
            ways,
            members: (0..members).map(|_| Member::new(ways)).collect(),
            parts: vec![0; members],
            under_way: Vec::new(),
            stolen: Vec::new(),
            thief,
            now_ms: 100 * DAY_MS,
            record: Vec::new(),
        };
        cluster.members[0].tip = Some(Tip::begin(genesis.clone()).expect("a genesis"));
        cluster.members[0].shelf.push(genesis.clone());
        cluster.record.push(signed(&cluster.members[0].shelf));
        cluster.keep_own(0, None);
        cluster.send(0, genesis);
        cluster
    }

    pub(super) fn step(&mut self) {
        self.now_ms += STEP_MS;
        let node = self.dice.roll(self.members.len());
        match self.dice.roll(200) {
            0..=49 => self.publish(node % WRITERS),
            50..=89 => self.read(node),
            90..=144 => {
                let other = self.dice.roll(self.members.len());
                self.meet(node, other);
            }
            145..=169 => self.deliver(),
            170..=174 => self.part(),
            175..=179 => self.crash(node),
            180..=184 => self.jump(node),
            185..=186 => self.members[node % WRITERS].back_up(),
            187..=188 => self.restore(node % WRITERS),
            189 => self.hand_over(node % WRITERS),
            190..=192 => self.recover(),
            193..=194 if self.thief => self.steal(),
            195..=199 if self.thief => self.meet_thief(node),
            _ => {}
        }
    }

    pub(super) fn clock(&self, node: usize) -> u64 {
        self.now_ms.saturating_add_signed(self.members[node].ahead_ms)
    }

    fn read(&mut self, node: usize) {
        self.call(node, Op::Read);
        self.answer(node, Op::Read);
    }

    /// Meets another member, if it can be reached.
    pub(super) fn meet(&mut self, node: usize, other: usize) {
        if node == other || self.parts[node] != self.parts[other] {
            return;
        }
        self.send_unsent(other);
        let theirs = std::mem::take(&mut self.members[other].shelf);
        let frauds = self.members[other].reader.frauds().to_vec();
        let op = Op::Meet(head_of(&theirs));
        self.call(node, op);
        let now_ms = self.clock(node);
        let whole = self.members[node].meet(&theirs, &frauds, now_ms, &mut self.dice);
        self.members[other].shelf = theirs;
        if whole.is_none() {
            return; // It broke off, and is never answered.
        }
        self.answer(node, op);
        if node < WRITERS {
            self.hear(node, other);
        }
    }

    /// A writer counts whom it heard what they know of the name: not those who know more than it
    /// could adopt yet, or it would forget that at the next crash.
    fn hear(&mut self, node: usize, other: usize) {
        let head = self.members[other].shelf.head().cloned();
        let member = &mut self.members[node];
        if member.is_behind() {
            return;
        }
        let own = head.as_ref().and_then(|head| member.shelf.entry(head.index()));
        if member.heard >> other & 1 == 0 {
            member.heard |= 1 << other;
            if let Some(writer) = &mut member.writer {
                let _ = writer.heard(head.as_ref(), own.as_ref());
            }
        }
        if member.has_caught_up() {
            member.sources = 1; // after the next crash, its disk is its own again
        }
    }

    fn deliver(&mut self) {
        if self.under_way.is_empty() {
            return;
        }
        let at = self.dice.roll(self.under_way.len());
        let (to, from, head) = self.under_way[at].clone();
        // Some come twice.
        if !self.dice.once_in(4) {
            self.under_way.swap_remove(at);
        }
        let news = self.members[to].shelf.head().is_none_or(|own| head.position() > own.position());
        if news || !self.members[to].shelf.has(&head) {
            self.meet(to, from);
        }
    }

    /// What was stored and not sent before a crash goes out with the branch.
    fn send_unsent(&mut self, node: usize) {
        let unsent = self.members[node].unsent.take();
        if let Some(entry) = unsent.filter(|entry| self.members[node].shelf.has(entry)) {
            self.record.push(Event::Sent { entry: entry.id(), honest: true });
            self.members[node].sent = Some(entry);
        }
    }

    pub(super) fn send(&mut self, node: usize, entry: Entry) {
        self.send_unsent(node);
        self.record.push(Event::Sent { entry: entry.id(), honest: true });
        self.members[node].sent = Some(entry.clone());
        for to in 0..self.members.len() {
            if to != node && self.parts[to] == self.parts[node] && !self.dice.once_in(5) {
                self.under_way.push((to, node, entry.clone()));
            }
        }
        let late = self.under_way.len().saturating_sub(UNDER_WAY_MAX);
        self.under_way.drain(..late);
    }

    fn part(&mut self) {
        let whole = self.dice.once_in(2);
        for part in &mut self.parts {
            *part = if whole { 0 } else { self.dice.roll(2) };
        }
    }

    fn jump(&mut self, node: usize) {
        let days = [1, -1, 0, 0][self.dice.roll(4)];
        let member = &mut self.members[node];
        member.ahead_ms = if member.ahead_ms == 0 { days * DAY_MS as i64 } else { 0 };
    }

    pub(super) fn crash(&mut self, node: usize) {
        self.record.push(Event::Crash { node });
        self.members[node].crash();
    }

    /// A disk is set back to its older copy. The machine then hears from all others before it signs;
    /// that helps only where one of them has what it sent since, so it waits for that.
    fn restore(&mut self, node: usize) {
        let others = || self.members.iter().enumerate().filter(|(other, _)| *other != node);
        let sent = self.members[node].sent.as_ref();
        let kept = sent.is_none_or(|sent| others().any(|(_, other)| other.shelf.has(sent)));
        let alone = self.members[..WRITERS].iter().all(Member::has_caught_up);
        if !kept || !alone || self.members[node].backup.is_none() {
            return;
        }
        let sources = if self.ways.catch_up { self.members.len() as u32 - 1 } else { 0 };
        let member = &mut self.members[node];
        let backup = member.backup.clone().expect("there is one");
        member.shelf = backup.shelf.clone().expect("a copy is whole");
        member.disk.reader.clone_from(&backup.reader);
        if member.disk.shelf.is_some() {
            member.disk = backup;
        }
        member.sources = sources;
        member.crash();
        // What was under way has come by now: a restore takes longer than a message.
        self.under_way.clear();
        self.record.push(Event::Restored { node });
    }

    /// The thief signs with the active key on top of some place of the newest epoch of a member.
    fn steal(&mut self) {
        let from = self.dice.roll(self.members.len());
        self.send_unsent(from);
        let shelf = &self.members[from].shelf;
        if shelf.is_empty() {
            return;
        }
        let opened = opening(shelf);
        let at = shelf.len() - 1 - self.dice.roll((shelf.len() - opened).min(12) as usize) as u64;
        let mut branch = shelf.beginning(at + 1);
        let tip = Tip::from_archive(&branch).expect("a whole branch");
        let active = tip.authority().active();
        let epoch = tip.authority().epoch().as_u64();
        let seed = [0, 1].map(|machine| seed_of(machine, epoch));
        let seed = seed.into_iter().find(|seed| key(*seed).public() == active);
        let stolen = key(seed.expect("one of both machines"));
        let body = update((1 << 30) + self.dice.roll(1 << 20) as u64);
        let draft = tip.draft(body, &active, self.now_ms).expect("it has the key");
        let entry = draft.sign(&[&stolen]).expect("an entry");
        branch.push(entry.clone());
        self.record.push(signed(&branch));
        self.record.push(Event::Sent { entry: entry.id(), honest: false });
        self.stolen.push(branch);
        if self.stolen.len() > STOLEN_MAX {
            self.stolen.remove(0);
        }
    }

    fn meet_thief(&mut self, node: usize) {
        if self.stolen.is_empty() {
            return;
        }
        let branch = self.stolen[self.dice.roll(self.stolen.len())].clone();
        let op = Op::Meet(head_of(&branch));
        self.call(node, op);
        let now_ms = self.clock(node);
        if self.members[node].meet(&branch, &[], now_ms, &mut self.dice).is_some() {
            self.answer(node, op);
        }
    }

    /// The network is whole, clocks are right, and all meet all; then all read.
    pub(super) fn heal(&mut self) {
        self.parts.fill(0);
        self.now_ms += 3 * DAY_MS;
        self.members.iter_mut().for_each(|member| member.ahead_ms = 0);
        self.record.push(Event::Healed);
        let count = self.members.len();
        for round in 0..3 * count * count {
            let (node, other) = (round / count % count, round % count);
            // Until nothing breaks off any more.
            for _ in 0..8 {
                self.meet(node, other);
            }
        }
        (0..count).for_each(|node| self.read(node));
    }
}
