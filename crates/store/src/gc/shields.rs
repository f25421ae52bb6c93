//! What a collection may not take although no pin leads to it: content that is on its way to a pin.
//!
//! Whoever relies on a block says so here *before* looking it up: a [`Batch`](crate::Batch) for
//! everything it puts or finds present, and everybody else while a collection runs. The look and the
//! saying happen under the shared lock of [`Shields::entering`]; a collection removes under the
//! exclusive one ([`Shields::shut`]). So either the block is removed before it is looked up, and is
//! absent to the looker, or it is looked up and stays.
//!
//! A batch that began before the collection is known by its [`Shield`], a filter that may protect too
//! much and never too little. What is said during a collection is a list, which the collection takes
//! and marks as if a pin led to it. Both are bounded: beyond its bound a filter protects everything, and
//! a list ends the collection early.
//!
//! A [`Hold`] stands for a root in use: what was present below it when it was taken stays while it
//! lives. The lock order: this lock is the outermost one, and no commit is waited for under the
//! exclusive one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use shoal_dag::Cid;
use shoal_dag::hash::RAW;

use crate::key::{Digest, Key};
use crate::store::Store;

/// Digests that the first segment of a filter is made for: a small add costs 80 KiB.
const SEGMENT_DIGESTS_MIN: usize = 64 * 1024;
/// Digests of the later segments: 1.25 MiB each.
const SEGMENT_DIGESTS: usize = 1024 * 1024;
/// Segments of one filter: 40 MiB for 32 million blocks, 2 TiB of 64 KiB leaves in one add.
const SEGMENTS_MAX: usize = 32;
/// Bits of a filter for each digest: one of 120 that are not in it is protected all the same.
const BITS_PER_DIGEST: usize = 10;
/// Bits set for each digest.
const BITS_SET: usize = 7;
/// What may be said between two looks of a collection: 40 MB. The looks are milliseconds apart.
const SAID_MAX: usize = 512 * 1024;

/// One filter of fixed size. A digest is as good as a random number.
#[derive(Debug)]
struct Segment {
    words: Vec<u64>,
    room: usize,
}

impl Segment {
    fn new(digests: usize) -> Self {
        Self { words: vec![0; digests * BITS_PER_DIGEST / 64], room: digests }
    }

    fn bits(&self, digest: &Digest) -> impl Iterator<Item = (usize, u64)> + use<> {
        let len = (self.words.len() * 64) as u64;
        let (chunks, _) = digest.as_chunks::<4>();
        let (a, b) = (wide(chunks[0], chunks[1]), wide(chunks[2], chunks[3]) | 1);
        (0..BITS_SET as u64).map(move |n| {
            let bit = a.wrapping_add(n.wrapping_mul(b)) % len;
            ((bit / 64) as usize, 1 << (bit % 64))
        })
    }

    fn insert(&mut self, digest: &Digest) {
        for (word, bit) in self.bits(digest) {
            self.words[word] |= bit;
        }
        self.room -= 1;
    }

    fn contains(&self, digest: &Digest) -> bool {
        self.bits(digest).all(|(word, bit)| self.words[word] & bit != 0)
    }
}

fn wide(low: [u8; 4], high: [u8; 4]) -> u64 {
    u64::from(u32::from_le_bytes(low)) | u64::from(u32::from_le_bytes(high)) << 32
}

#[derive(Debug, Default)]
struct Filter {
    segments: Vec<Segment>,
    is_full: bool,
}

/// What one batch relies on.
#[derive(Debug)]
pub(crate) struct Shield {
    filter: Mutex<Filter>,
    /// No record of the batch lies in a pack before this one.
    pack: AtomicU32,
}

impl Shield {
    fn insert(&self, digest: &Digest) {
        let mut filter = self.filter.lock();
        if filter.is_full || filter.segments.iter().any(|segment| segment.contains(digest)) {
            return;
        }
        if filter.segments.last().is_none_or(|last| last.room == 0) {
            let is_first = filter.segments.is_empty();
            if filter.segments.len() == SEGMENTS_MAX {
                filter.is_full = true;
                filter.segments = Vec::new();
                return;
            }
            let digests = if is_first { SEGMENT_DIGESTS_MIN } else { SEGMENT_DIGESTS };
            filter.segments.push(Segment::new(digests));
        }
        filter.segments.last_mut().expect("one was pushed").insert(digest);
    }

    /// Protects everything from now on.
    pub(crate) fn fill(&self) {
        self.filter.lock().is_full = true;
    }

    /// May the batch rely on this block?
    pub(crate) fn covers(&self, digest: &Digest) -> bool {
        let filter = self.filter.lock();
        filter.is_full || filter.segments.iter().any(|segment| segment.contains(digest))
    }
}

/// Something that was said to be relied on while a collection runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) key: Key,
    /// What is here of everything below it is relied on too.
    pub(crate) below: bool,
}

#[derive(Debug, Default)]
struct Saying {
    said: Vec<Said>,
    is_overfull: bool,
}

#[derive(Debug, Default)]
struct Known {
    /// Those of batches that live.
    batches: Vec<Weak<Shield>>,
    /// Roots in use, with how often.
    holds: HashMap<Cid, usize>,
}

/// What is on its way to a pin.
#[derive(Debug, Default)]
pub(crate) struct Shields {
    /// Shared: a look at what is here. Exclusive: a removal.
    lock: RwLock<()>,
    /// A collection runs. Changed under the exclusive lock.
    is_collecting: AtomicBool,
    saying: Mutex<Saying>,
    known: Mutex<Known>,
}

/// While it lives nothing is removed.
#[derive(Debug)]
pub(crate) struct Entering<'a> {
    shields: &'a Shields,
    _guard: RwLockReadGuard<'a, ()>,
}

impl Shields {
    /// Begins a look at what is here.
    pub(crate) fn entering(&self) -> Entering<'_> {
        // Recursive: somebody who looks may call something that looks.
        Entering { shields: self, _guard: self.lock.read_recursive() }
    }

    /// Nobody looks while the answer lives.
    pub(crate) fn shut(&self) -> RwLockWriteGuard<'_, ()> {
        self.lock.write()
    }

    /// A new batch, whose records will lie in the pack of this number or later ones.
    pub(crate) fn batch(&self, pack: u32) -> Arc<Shield> {
        let (filter, pack) = (Mutex::default(), AtomicU32::new(pack));
        let shield = Arc::new(Shield { filter, pack });
        let mut known = self.known.lock();
        known.batches.retain(|shield| shield.strong_count() > 0);
        known.batches.push(Arc::downgrade(&shield));
        shield
    }

    /// Begins a collection: the shields of all batches that live, and the roots in use.
    pub(super) fn begin(&self) -> (Vec<Arc<Shield>>, Vec<Cid>) {
        let _nobody = self.shut();
        *self.saying.lock() = Saying::default();
        self.is_collecting.store(true, Ordering::Release);
        let known = self.known.lock();
        let batches = known.batches.iter().filter_map(Weak::upgrade).collect();
        (batches, known.holds.keys().copied().collect())
    }

    /// The first pack that a batch may have written to, of all batches that live.
    pub(super) fn first_pack(&self) -> Option<u32> {
        let known = self.known.lock();
        let live = known.batches.iter().filter_map(Weak::upgrade);
        live.map(|shield| shield.pack.load(Ordering::Acquire)).min()
    }

    /// Takes what was said since the last time; `None` when it was too much.
    pub(super) fn take(&self) -> Option<Vec<Said>> {
        let mut saying = self.saying.lock();
        (!saying.is_overfull).then(|| std::mem::take(&mut saying.said))
    }

    /// The collection is over.
    pub(super) fn end(&self) {
        let _nobody = self.shut();
        self.is_collecting.store(false, Ordering::Release);
        *self.saying.lock() = Saying::default();
    }

    fn say(&self, said: Said) {
        if !self.is_collecting.load(Ordering::Acquire) {
            return;
        }
        let mut saying = self.saying.lock();
        if saying.said.len() < SAID_MAX {
            saying.said.push(said);
        } else {
            saying.is_overfull = true;
        }
    }
}

impl Entering<'_> {
    /// This block is relied on from now on.
    pub(crate) fn rely(&self, key: &Key) {
        self.shields.say(Said { key: *key, below: false });
    }

    /// This block, and what is here of everything below it, is relied on from now on.
    pub(crate) fn rely_below(&self, cid: &Cid) {
        if let Some(key) = Key::of(cid) {
            let below = cid.codec() != RAW;
            self.shields.say(Said { key, below });
        }
    }

    /// A batch relies on this block.
    pub(crate) fn shield(&self, shield: &Shield, key: &Key) {
        shield.insert(&key.digest);
        self.rely(key);
    }
}

/// A root in use: what was here below it when the hold was taken, and what comes while it lives, is
/// not collected before it is dropped.
#[derive(Debug)]
#[must_use = "what it holds may be collected once it is dropped"]
pub struct Hold {
    shields: Arc<Shields>,
    root: Cid,
}

impl Store {
    /// Keeps a collection from taking anything that is here below `root`, until the answer is dropped.
    /// It is for what is read, fetched or about to be pinned, and costs no look at the disk. What was
    /// removed before is absent already.
    pub fn hold(&self, root: &Cid) -> Hold {
        let shields = &self.shared.shields;
        let entering = shields.entering();
        *shields.known.lock().holds.entry(*root).or_default() += 1;
        entering.rely_below(root);
        drop(entering);
        Hold { shields: Arc::clone(shields), root: *root }
    }
}

impl Hold {
    /// The root.
    pub fn root(&self) -> &Cid {
        &self.root
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut known = self.shields.known.lock();
        if let Some(count) = known.holds.get_mut(&self.root) {
            *count -= 1;
            if *count == 0 {
                known.holds.remove(&self.root);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: u64) -> Digest {
        shoal_dag::hash::HashKind::Blake3.digest(&n.to_le_bytes())
    }

    #[test]
    fn a_shield_forgets_nothing_and_protects_little_else() {
        let shields = Shields::default();
        let shield = shields.batch(3);
        let count = SEGMENT_DIGESTS_MIN as u64 * 2;
        (0..count).for_each(|n| shield.insert(&digest(n)));
        assert_eq!(shield.filter.lock().segments.len(), 2);
        assert!((0..count).all(|n| shield.covers(&digest(n))));
        let wrong = (count..2 * count).filter(|n| shield.covers(&digest(*n))).count();
        assert!((wrong as u64) < count / 50, "{wrong} of {count}");
        shield.fill();
        assert!(shield.covers(&digest(u64::MAX)));
    }

    #[test]
    fn only_what_is_said_during_a_collection_is_listed() {
        let shields = Shields::default();
        let key = |n| Key { digest: digest(n), hash: 0x1e };
        let shield = shields.batch(7);
        shields.entering().shield(&shield, &key(1));
        let (batches, holds) = shields.begin();
        assert!(batches[0].covers(&digest(1)) && holds.is_empty());
        assert_eq!(shields.first_pack(), Some(7));
        shields.entering().rely(&key(2));
        assert_eq!(shields.take(), Some(vec![Said { key: key(2), below: false }]));
        assert_eq!(shields.take(), Some(Vec::new()));
        (0..=SAID_MAX as u64).for_each(|_| shields.entering().rely(&key(3)));
        assert_eq!(shields.take(), None, "too much was said");
        drop((shield, batches));
        assert_eq!(shields.first_pack(), None);
        shields.end();
        shields.entering().rely(&key(2));
        assert_eq!(shields.take(), Some(Vec::new()));
    }
}
