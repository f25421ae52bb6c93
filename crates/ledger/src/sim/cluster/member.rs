//! One member: how it learns, what it keeps, and what a crash leaves of it.
//!
//! Reader, branch and tip change together, and reach the disk together, before anybody is shown them.
//! A disk of the broken kind is written now and then only.

use super::Ways;
use crate::chain::Archive;
use crate::fraud::conflict;
use crate::head::{self, Bisect, Have, HeadProof};
use crate::question::{Answer, Question, RANGE_MAX, answer};
use crate::reader::{Heard, Reader, Refusal, Status};
use crate::sample::name;
use crate::sim::dice::Dice;
use crate::sim::history::{Head, State};
use crate::sim::shelf::Shelf;
use crate::tree::prove;
use crate::writer::Writer;
use crate::{Entry, Fraud, Tip};

/// Heads that wait for their time, one of an epoch: more recoveries than happen in a day.
const HELD_MAX: usize = 16;

/// What a disk has.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    pub(super) reader: Vec<u8>,
    /// None where it is the member's own branch, which is on the disk whenever it changes.
    pub(super) shelf: Option<Shelf>,
}

/// A follower, and a writer where it has a key.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) reader: Reader,
    pub(super) shelf: Shelf,
    pub(super) tip: Option<Tip>,
    /// Verified heads from the future: compared, not followed.
    held: Vec<Shelf>,
    pub(super) disk: Disk,
    pub(super) backup: Option<Disk>,
    pub(super) writer: Option<Writer>,
    /// How many others must be heard before anything is signed, and who was: a bit each.
    pub(super) sources: u32,
    pub(super) heard: u32,
    /// Clocks differ by days.
    pub(super) ahead_ms: i64,
    /// The newest own entry that others may have, and one that is stored and was not sent yet.
    pub(super) sent: Option<Entry>,
    pub(super) unsent: Option<Entry>,
    ways: Ways,
}

impl Member {
    pub(super) fn new(ways: Ways) -> Self {
        let reader = Reader::new(name(), None);
        let disk = Disk { reader: reader.encode(), shelf: None };
        Self {
            reader,
            shelf: Shelf::default(),
            tip: None,
            held: Vec::new(),
            disk,
            backup: None,
            writer: None,
            sources: 1,
            heard: 0,
            ahead_ms: 0,
            sent: None,
            unsent: None,
            ways,
        }
    }

    pub(super) fn state(&self) -> State {
        let head = self.reader.pin().map(|pin| Head {
            position: pin.head().position(),
            entry: pin.head().id(),
            root: pin.peaks().root(),
        });
        State { head, forked: self.is_forked() }
    }

    pub(super) fn is_forked(&self) -> bool {
        self.reader.status(0) == Status::Forked
    }

    pub(super) fn has_caught_up(&self) -> bool {
        self.heard.count_ones() >= self.sources
    }

    /// Whether it holds a head that is newer than its own.
    pub(super) fn is_behind(&self) -> bool {
        let own = self.shelf.head().map(Entry::position);
        self.held.iter().any(|held| held.head().map(Entry::position) > own)
    }

    /// Meets somebody who has that branch; None if both were parted in the middle of it. What was
    /// learnt is on the disk before it is told.
    pub(super) fn meet(
        &mut self,
        theirs: &Shelf,
        frauds: &[Fraud],
        now_ms: u64,
        dice: &mut Dice,
    ) -> Option<()> {
        let whole = self.learn(theirs, frauds, now_ms, dice);
        self.store(dice);
        whole
    }

    fn learn(
        &mut self,
        theirs: &Shelf,
        frauds: &[Fraud],
        now_ms: u64,
        dice: &mut Dice,
    ) -> Option<()> {
        let have = self.reader.have();
        match ask(theirs, frauds, Question::Head { name: name(), have }) {
            Answer::Head { proof, frauds, .. } => {
                self.believe(frauds);
                match self.reader.hear(&proof.head) {
                    Heard::Newer(_) => self.adopt(theirs, &proof, now_ms, dice)?,
                    Heard::Older { .. } | Heard::Conflict => self.compare(theirs),
                    Heard::Known | Heard::Ended | Heard::Foreign => {}
                }
            }
            Answer::Diverged { head, frauds, .. } => {
                self.believe(frauds);
                if self.ways.extend {
                    self.follow_or_compare(theirs, &head, now_ms, dice)?;
                } else if head.head.position() > have?.position {
                    self.follow_blindly(theirs, &head);
                }
            }
            Answer::Unknown => {}
            other => panic!("{other:?} to a question for the head"),
        }
        let held: Vec<_> = self.held.drain(..).collect();
        for held in &held {
            self.witness(conflict(held, theirs));
        }
        self.held = held;
        Some(())
    }

    fn believe(&mut self, frauds: Vec<Fraud>) {
        for fraud in frauds {
            self.witness(Some(fraud));
        }
    }

    fn witness(&mut self, fraud: Option<Fraud>) {
        if let Some(fraud) = fraud.filter(|_| self.ways.fork) {
            self.reader.witness(fraud).expect("what members pass on is a proof");
        }
    }

    fn compare(&mut self, theirs: &Shelf) {
        self.witness(conflict(&self.shelf, theirs));
    }

    /// Of another history: beyond a recovery it is followed from what both share.
    fn follow_or_compare(
        &mut self,
        theirs: &Shelf,
        head: &HeadProof,
        now_ms: u64,
        dice: &mut Dice,
    ) -> Option<()> {
        let have = self.reader.have()?;
        if head.head.position().epoch <= have.position.epoch {
            self.compare(theirs);
            return Some(());
        }
        let mut search = Bisect::new(1, self.shelf.len().min(head.head.index() + 1) + 1);
        while let Some(size) = search.ask() {
            let root = prove::root(&self.shelf, size).map(Answer::Root);
            let their_root = ask(theirs, &[], Question::Root { name: name(), size });
            search.answer(size, Some(their_root) == root);
        }
        let size = search.first_difference();
        let position = self.shelf.entry(size - 1)?.position();
        let common = Have { position, root: prove::root(&self.shelf, size)? };
        let question = Question::Head { name: name(), have: Some(common) };
        let Answer::Head { proof, .. } = ask(theirs, &[], question) else { return Some(()) };
        let proof = proof.across(&have, &self.shelf)?;
        self.adopt(theirs, &proof, now_ms, dice)
    }

    /// Takes a newer head and the entries up to it, or nothing of both.
    fn adopt(
        &mut self,
        theirs: &Shelf,
        proof: &HeadProof,
        now_ms: u64,
        dice: &mut Dice,
    ) -> Option<()> {
        let mut reader = self.reader.clone();
        let accepted = match reader.accept(proof, now_ms) {
            Ok(accepted) => accepted,
            Err(Refusal::Future { .. }) => {
                self.hold(theirs);
                return Some(());
            }
            Err(_) => return Some(()),
        };
        let from = accepted.cut_off_from.unwrap_or(self.shelf.len());
        let entries = fetch(theirs, from, proof.head.index() + 1, dice)?;
        if from < self.shelf.len() {
            self.shelf.truncate(from);
            self.tip = None;
            self.writer = None;
        }
        for entry in entries {
            self.take(entry);
        }
        self.reader = reader;
        Some(())
    }

    /// Keeps a head for later, instead of those of its epoch that it continues. One beyond a recovery
    /// takes nothing from the epochs before it: they may fork while it waits. Of several that part
    /// from one another one is enough, since the proof is found while they are compared.
    fn hold(&mut self, theirs: &Shelf) {
        let epoch = |shelf: &Shelf| shelf.head().map(|head| head.position().epoch);
        if self.held.iter().any(|held| held.head() == theirs.head()) {
            return;
        }
        let continues = |held: &Shelf| held.head().is_some_and(|head| theirs.has(head));
        self.held.retain(|held| epoch(held) != epoch(theirs) || !continues(held));
        self.held.push(theirs.clone());
        let oldest = self.held.len().saturating_sub(HELD_MAX);
        self.held.drain(..oldest);
    }

    /// Appends an entry that must be valid.
    fn take(&mut self, entry: Entry) {
        let tip = self.tip.take().or_else(|| Tip::from_archive(&self.shelf));
        let tip = match tip {
            None => Tip::begin(entry.clone()),
            Some(mut tip) => tip.extend(entry.clone()).map(|()| tip),
        };
        self.tip = Some(tip.expect("what an accepted head commits to is valid"));
        if let Some(writer) = &mut self.writer {
            writer.adopt(entry.clone()).expect("the writer has the same tip");
        }
        self.shelf.push(entry);
    }

    /// The broken way: whatever is newer replaces what was pinned.
    fn follow_blindly(&mut self, theirs: &Shelf, head: &HeadProof) {
        let mut reader = Reader::new(name(), None);
        if reader.accept(head, u64::MAX).is_ok() {
            self.reader = reader;
            self.shelf = theirs.clone();
            (self.tip, self.writer) = (None, None);
        }
    }

    /// What was just put on the branch by this member itself becomes what it reads.
    pub(super) fn read_own(&mut self, old: Option<&Shelf>, dice: &mut Dice) {
        let have = self.reader.have();
        let old = old.unwrap_or(&self.shelf);
        let proof = head::prove_across(&self.shelf, have.as_ref(), old);
        let proof = proof.expect("the own branch is whole");
        self.reader.accept(&proof, u64::MAX).expect("an own entry is newer");
        self.store(dice);
    }

    pub(super) fn store(&mut self, dice: &mut Dice) {
        if self.ways.durable {
            self.disk.reader = self.reader.encode();
        } else if dice.once_in(20) {
            self.disk = Disk { reader: self.reader.encode(), shelf: Some(self.shelf.clone()) };
        }
    }

    /// What is left of it is what its disk has.
    pub(super) fn crash(&mut self) {
        self.reader = Reader::decode(&self.disk.reader).expect("as it was written");
        if let Some(shelf) = &self.disk.shelf {
            self.shelf = shelf.clone();
        }
        self.tip = Tip::from_archive(&self.shelf);
        self.held.clear();
        (self.writer, self.heard) = (None, 0);
    }

    pub(super) fn back_up(&mut self) {
        let shelf = Some(self.shelf.clone());
        self.backup = Some(Disk { reader: self.reader.encode(), shelf });
    }
}

/// Asks somebody who has that branch, by the bytes of question and answer.
fn ask(theirs: &Shelf, frauds: &[Fraud], question: Question) -> Answer {
    let question = Question::decode(&question.encode()).expect("a question has one form");
    let answer = answer(theirs, frauds, None, &question);
    Answer::decode(&answer.encode()).expect("an answer has one form")
}

/// Entries of a branch; None if the connection breaks.
fn fetch(theirs: &Shelf, from: u64, to: u64, dice: &mut Dice) -> Option<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    while from + (entries.len() as u64) < to {
        if dice.once_in(16) {
            return None;
        }
        let from = from + entries.len() as u64;
        let count = (to - from).min(RANGE_MAX);
        let question = Question::Range { name: name(), from, count };
        let Answer::Entries(more) = ask(theirs, &[], question) else { return None };
        entries.extend(more);
    }
    Some(entries)
}
