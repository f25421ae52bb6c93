//! An offline checker of what the members of a cluster recorded.
//!
//! It sees calls and answers, and which entries were signed and sent, by identifier; it knows no
//! reader, no proof and no fraud, and shares no code with what it judges. The rules:
//!
//! - **known**: whoever reads, reads an entry that somebody signed, at its position, with its root;
//! - **monotone**: positions that one member reads never go back, crashes or not;
//! - **prefix**: within an epoch a member's later head continues its earlier one;
//! - **proven**: a member that met two heads of its epoch of which neither continues the other says
//!   so from then on, and does not forget it while the epoch lasts;
//! - **honest**: the writers that follow the rules never send two entries for one position, nor open
//!   one epoch twice;
//! - **harmless**: where nobody sent two histories of an epoch or of a later one, nobody calls it forked;
//! - **converged**: after the network healed and all met all, all have one head, or all call it forked;
//! - **called**: what is answered was called, and not before a crash.
//!
//! Heads that a member only held, since they claim the future, are forgotten with its process.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{EntryId, Epoch, Hash, Position};

/// A head as a member has it: where it stands, which it is, and the root over all up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) position: Position,
    pub(crate) entry: EntryId,
    pub(crate) root: Hash,
}

/// What a member says when it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) head: Option<Head>,
    /// Whether it calls its epoch forked.
    pub(crate) forked: bool,
}

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Read,
    Publish,
    /// Meeting somebody who has that head.
    Meet(Option<Head>),
}

/// One line of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// Somebody signed an entry on top of another one; `opens` an epoch if it is a recovery.
    Signed {
        head: Head,
        on: Option<EntryId>,
        opens: bool,
    },
    /// It left whoever signed it.
    Sent {
        entry: EntryId,
        honest: bool,
    },
    Invoke {
        node: usize,
        op: Op,
    },
    Ok {
        node: usize,
        op: Op,
        state: State,
    },
    Crash {
        node: usize,
    },
    /// The disk was set back to an older copy: what was read before does not bind it.
    Restored {
        node: usize,
    },
    /// From here on everybody meets everybody, and clocks are right.
    Healed,
}

/// A signed entry among all of them; jumps make ancestors cheap to find.
#[derive(Debug, Clone, Copy)]
struct Signed {
    head: Head,
    opens: bool,
    on: usize,
    jump: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Member {
    calling: Option<Op>,
    last: Option<State>,
    /// The longest head that it met in its epoch.
    longest: Option<usize>,
    /// The epoch in which it met heads that part.
    met_fork: Option<Epoch>,
}

/// Reads a record from its beginning.
#[derive(Default)]
struct Checker {
    signed: Vec<Signed>,
    by_id: HashMap<EntryId, usize>,
    members: BTreeMap<usize, Member>,
    honest: HashMap<Position, EntryId>,
    opened: HashMap<Epoch, EntryId>,
    /// The longest entry sent in each epoch, and the epochs in which two were sent that part.
    sent: HashMap<Epoch, usize>,
    split: HashSet<Epoch>,
    healed: bool,
    violations: Vec<String>,
}

/// All violations in a record, each beginning with the rule that it breaks.
pub(crate) fn check(record: &[Event]) -> Vec<String> {
    let mut checker = Checker::default();
    for event in record {
        checker.step(event);
    }
    checker.converged();
    checker.violations
}

impl Checker {
    fn step(&mut self, event: &Event) {
        match *event {
            Event::Signed { head, on, opens } => self.sign(head, on, opens),
            Event::Sent { entry, honest } => self.send(entry, honest),
            Event::Invoke { node, op } => self.member(node).calling = Some(op),
            Event::Ok { node, op, state } => self.answer(node, op, state),
            Event::Crash { node } => {
                let pinned = self.pinned(node);
                let member = self.member(node);
                (member.calling, member.longest) = (None, pinned);
                if member.last.is_some_and(|state| !state.forked) {
                    member.met_fork = None;
                }
            }
            Event::Restored { node } => drop(self.members.insert(node, Member::default())),
            Event::Healed => self.healed = true,
        }
    }

    fn member(&mut self, node: usize) -> &mut Member {
        self.members.entry(node).or_default()
    }

    fn pinned(&mut self, node: usize) -> Option<usize> {
        let head = self.member(node).last.and_then(|state| state.head)?;
        self.by_id.get(&head.entry).copied()
    }

    fn broken(&mut self, rule: &str, what: String) {
        self.violations.push(format!("{rule}: {what}"));
    }

    fn sign(&mut self, head: Head, on: Option<EntryId>, opens: bool) {
        if self.by_id.contains_key(&head.entry) {
            return; // the same bytes again: signing is deterministic
        }
        let at = self.signed.len();
        let on = on.map_or(at, |on| self.by_id[&on]);
        let jump = if on == at { at } else { self.jump_over(on) };
        self.by_id.insert(head.entry, at);
        self.signed.push(Signed { head, opens, on, jump });
    }

    /// Where an entry on top of that one jumps to: over two equal jumps at once.
    fn jump_over(&self, on: usize) -> usize {
        let depth = |at: usize| self.depth(at);
        let once = self.signed[on].jump;
        let twice = self.signed[once].jump;
        if depth(on) - depth(once) == depth(once) - depth(twice) { twice } else { on }
    }

    fn depth(&self, at: usize) -> u64 {
        self.signed[at].head.position.index.as_u64()
    }

    fn epoch(&self, at: usize) -> Epoch {
        self.signed[at].head.position.epoch
    }

    /// Whether the later of the two continues the earlier one.
    fn in_line(&self, a: usize, b: usize) -> bool {
        let (low, mut high) = if self.depth(a) <= self.depth(b) { (a, b) } else { (b, a) };
        while self.depth(high) > self.depth(low) {
            let Signed { on, jump, .. } = self.signed[high];
            high = if self.depth(jump) >= self.depth(low) { jump } else { on };
        }
        low == high
    }

    fn longer(&self, a: usize, b: usize) -> usize {
        if self.depth(a) >= self.depth(b) { a } else { b }
    }

    fn send(&mut self, entry: EntryId, honest: bool) {
        let at = self.by_id[&entry];
        let Signed { head, opens, .. } = self.signed[at];
        let epoch = self.epoch(at);
        let longest = self.sent.get(&epoch).copied().unwrap_or(at);
        if !self.in_line(longest, at) {
            self.split.insert(epoch);
        }
        self.sent.insert(epoch, self.longer(longest, at));
        if !honest {
            return;
        }
        let before = *self.honest.entry(head.position).or_insert(entry);
        if before != entry {
            self.broken("honest", format!("two entries sent for {}", head.position));
        }
        if opens && *self.opened.entry(epoch).or_insert(entry) != entry {
            self.broken("honest", format!("epoch {} opened twice", epoch.as_u64()));
        }
    }

    fn answer(&mut self, node: usize, op: Op, state: State) {
        if self.member(node).calling.take() != Some(op) {
            self.broken("called", format!("{node} answers {op:?}, which was not called"));
        }
        if let Some(head) = state.head {
            self.check_head(node, head, state.forked);
        } else if self.member(node).last.is_some_and(|last| last.head.is_some()) {
            self.broken("monotone", format!("{node} forgot all"));
        }
        self.member(node).last = Some(state);
        if let Op::Meet(Some(met)) = op {
            self.meet(node, met, state);
        }
        let member = *self.member(node);
        let epoch = state.head.map(|head| head.position.epoch);
        if member.met_fork.is_some() && member.met_fork == epoch && !state.forked {
            self.broken("proven", format!("{node} met a fork and does not say so: {state:?}"));
        }
    }

    fn check_head(&mut self, node: usize, head: Head, forked: bool) {
        let known = self.by_id.get(&head.entry).copied();
        let Some(at) = known.filter(|at| self.signed[*at].head == head) else {
            return self.broken("known", format!("{node} has {head:?}, which nobody signed"));
        };
        let epoch = head.position.epoch;
        if forked && !self.split.iter().any(|split| *split >= epoch) {
            self.broken("harmless", format!("{node} calls {} forked", epoch.as_u64()));
        }
        let last = self.member(node).last;
        if let Some(before) = last.and_then(|state| state.head) {
            if head.position < before.position {
                let (from, to) = (before.position, head.position);
                self.broken("monotone", format!("{node} went back from {from} to {to}"));
            }
            let same = before.position.epoch == epoch;
            if same && !self.in_line(self.by_id[&before.entry], at) {
                let (from, to) = (before.position, head.position);
                self.broken("prefix", format!("{node} went from {from} to {to} beside it"));
            }
            if same && last.is_some_and(|state| state.forked) && !forked {
                self.broken("proven", format!("{node} forgot that {} is forked", epoch.as_u64()));
            }
            if !same {
                let member = self.member(node);
                (member.longest, member.met_fork) = (None, None);
            }
        }
        let longest = self.member(node).longest.map_or(at, |longest| self.longer(longest, at));
        self.member(node).longest = Some(longest);
    }

    /// What it means to a member to have met a head of its own epoch.
    fn meet(&mut self, node: usize, met: Head, state: State) {
        let Some(at) = self.by_id.get(&met.entry).copied() else {
            return self.broken("known", format!("{node} met {met:?}, which nobody signed"));
        };
        let epoch = state.head.map(|head| head.position.epoch);
        if epoch != Some(self.epoch(at)) {
            return;
        }
        let longest = self.member(node).longest.unwrap_or(at);
        if !self.in_line(longest, at) {
            self.member(node).met_fork = epoch;
        }
        let longest = self.longer(longest, at);
        self.member(node).longest = Some(longest);
    }

    fn converged(&mut self) {
        let states: Vec<_> = self.members.values().filter_map(|member| member.last).collect();
        let agree = states.iter().all(|state| state.head == states[0].head);
        let forked = states.iter().all(|state| state.forked);
        if self.healed && !agree && !forked {
            self.broken("converged", format!("neither one head nor a known fork: {states:?}"));
        }
    }
}

#[cfg(test)]
mod tests;
