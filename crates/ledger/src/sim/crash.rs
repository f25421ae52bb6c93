//! A writer whose power is cut at every point of sign, sync and send.
//!
//! The disk has a cache: what was written is there after a cut only if it was synced; else a part of
//! it, or nothing. A machine that comes back reads its disk, sends its newest entry again, hears what
//! is known of the name, and publishes something else. Whatever the cuts: for one position at most one
//! byte string ever leaves. A machine that sends before it synced must be caught.

use std::collections::BTreeMap;

use super::dice::Dice;
use super::shelf::Shelf;
use crate::chain::Archive;
use crate::sample::*;
use crate::writer::Writer;
use crate::{Entry, Position, Tip};

/// Sends of one publication: to so many peers, one after the other.
const PEERS: usize = 3;
/// Publications of one run, cut off or not.
const PUBLICATIONS: u64 = 7;

/// A disk with a cache.
#[derive(Default)]
struct Disk {
    synced: Shelf,
    cached: Vec<Entry>,
}

impl Disk {
    fn sync(&mut self) {
        for entry in self.cached.drain(..) {
            self.synced.push(entry);
        }
    }

    /// The power is cut: some of the cache may have reached the disk.
    fn cut(&mut self, dice: &mut Dice) {
        let reached = dice.roll(self.cached.len() + 1);
        self.cached.truncate(reached);
        self.sync();
    }
}

/// A machine, and what left it.
struct Machine {
    disk: Disk,
    sent: BTreeMap<Position, Entry>,
    /// Points until the power is cut.
    left: usize,
    cuts: usize,
    /// Whether it syncs before it sends.
    careful: bool,
    /// Positions for which two byte strings left.
    twice: Vec<Position>,
}

impl Machine {
    fn new(careful: bool, left: usize) -> Self {
        let mut disk = Disk::default();
        disk.synced.push(begin(&[OWNER]).tip().head().clone());
        Self { disk, sent: BTreeMap::new(), left, cuts: 0, careful, twice: Vec::new() }
    }

    /// A point at which the power may be cut.
    fn point(&mut self) -> Option<()> {
        self.left = self.left.checked_sub(1)?;
        Some(())
    }

    fn send(&mut self, entry: &Entry) -> Option<()> {
        for _ in 0..PEERS {
            self.point()?;
            let before = self.sent.insert(entry.position(), entry.clone());
            if before.is_some_and(|before| before != *entry) {
                self.twice.push(entry.position());
            }
        }
        self.point()
    }

    /// Starts, and publishes until it is cut off or done; each time something else.
    fn run(&mut self, published: &mut u64) -> Option<()> {
        let tip = Tip::from_archive(&self.disk.synced).expect("the disk has a whole branch");
        self.send(&tip.head().clone())?;
        let mut writer = Writer::open(tip, 1);
        let head = self.sent.values().next_back().cloned();
        let own = head.as_ref().and_then(|head| self.disk.synced.entry(head.index()));
        let _ = writer.heard(head.as_ref(), own.as_ref());
        if !self.careful {
            writer.force();
        }
        while *published < PUBLICATIONS {
            self.point()?;
            *published += 1;
            let unstored = writer.sign(update(*published), &[&key(OWNER)], 0).ok()?;
            self.point()?;
            let entry = unstored.to_store().clone();
            self.disk.cached.push(entry.clone());
            self.point()?;
            if !self.careful {
                self.send(&entry)?;
            }
            self.disk.sync();
            self.point()?;
            let entry = writer.stored(unstored).expect("it was signed last");
            self.point()?;
            if self.careful {
                self.send(&entry)?;
            }
        }
        Some(())
    }

    /// Runs with cuts: the first one at its point, later ones anywhere.
    fn run_with_cuts(&mut self, dice: &mut Dice) {
        let mut published = 0;
        while self.run(&mut published).is_none() {
            self.cuts += 1;
            self.disk.cut(dice);
            self.left = 5 + dice.roll(60);
            if published == PUBLICATIONS {
                return;
            }
        }
    }
}

#[test]
fn a_thousand_cuts_and_never_two_entries_for_one_index() {
    let (mut cuts, mut entries) = (0, 0);
    for (seed, first) in (0..20).flat_map(|seed| (0..50).map(move |first| (seed, first))) {
        let mut machine = Machine::new(true, first);
        machine.run_with_cuts(&mut Dice(seed * 50 + first as u64));
        assert_eq!(machine.twice, Vec::<Position>::new(), "seed {seed}, first cut at {first}");
        cuts += machine.cuts;
        entries += machine.sent.len();
        // What left is one history: each entry links the one before it, as far as both were sent.
        let mut sent = machine.sent.values();
        let linked = sent.clone().zip(sent.by_ref().skip(1)).all(|(before, entry)| {
            let links = entry.header().links.expect("no second genesis");
            before.index() + 1 != entry.index() || links.previous == before.id()
        });
        assert!(linked, "seed {seed}, first cut at {first}");
    }
    println!("{cuts} cuts, {entries} entries sent");
    assert!(cuts >= 1_000 && entries > 2_000, "{cuts} cuts, {entries} entries: too tame");
}

#[test]
fn who_sends_before_syncing_is_caught() {
    let caught = (0..50).any(|first| {
        let mut machine = Machine::new(false, first);
        machine.run_with_cuts(&mut Dice(first as u64));
        !machine.twice.is_empty()
    });
    assert!(caught);
}
