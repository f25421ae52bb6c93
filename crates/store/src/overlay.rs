//! What the index does not have yet: changes that were made visible before their commit.
//!
//! Two layers: `live` takes changes, `draining` is on its way into the index and still answers. The
//! lock of the overlay is the innermost one: nothing is locked and nothing is waited for under it.
//! Bounded: the store starts a checkpoint at [`OVERLAY_ENTRIES_SOFT_MAX`] and makes writers wait for one
//! at [`OVERLAY_ENTRIES_MAX`].

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::blob::{BlobId, BlobRecord};
use crate::index::{Changes, Whole};
use crate::key::{Digest, Entry, Place};

/// A checkpoint starts here: 2 GiB of 64 KiB leaves, 4 MB of memory.
pub(crate) const OVERLAY_ENTRIES_SOFT_MAX: usize = 32 * 1024;
/// Writers wait here: memory stays at 16 MB.
pub(crate) const OVERLAY_ENTRIES_MAX: usize = 4 * OVERLAY_ENTRIES_SOFT_MAX;

/// Records of blobs; `None` is a removal.
type Blobs = HashMap<BlobId, Option<BlobRecord>>;

/// Changes that belong together. `None` is a removal.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    pub(crate) entries: HashMap<Digest, Option<Entry>>,
    pub(crate) blobs: HashMap<BlobId, Option<BlobRecord>>,
    pub(crate) wholes: HashMap<Digest, Option<Whole>>,
    /// Blocks that were removed, those that came back since included: what the index says of them is
    /// not to be weighed against the new home, since its bytes are about to be given back.
    removed: HashSet<Digest>,
    /// Blobs and packs whose files are to go once nothing leads to them: noted with that, see `gc`.
    pub(crate) doomed: Vec<Place>,
    /// Files that go when the layer is in the index.
    pub(crate) unlink: Vec<PathBuf>,
    /// Blobs that became the user's: the store's own name goes when the layer is in the index.
    pub(crate) handed: Vec<BlobId>,
    /// Files that an earlier process wrote, and nobody synced.
    pub(crate) unsynced: Vec<PathBuf>,
    /// Some entry leads into a pack.
    has_packed: bool,
}

impl Layer {
    fn weight(&self) -> usize {
        let files = self.unlink.len() + self.handed.len() + self.unsynced.len();
        let files = files + self.doomed.len();
        self.entries.len() + self.blobs.len() + self.wholes.len() + files
    }

    /// The layer as index changes.
    pub(crate) fn to_changes(&self) -> Changes {
        let entries = self.entries.iter();
        Changes {
            entries: entries.filter_map(|(digest, entry)| Some((*digest, (*entry)?))).collect(),
            forgotten: self.removed.iter().copied().collect(),
            blobs: self.blobs.clone(),
            wholes: self.wholes.iter().map(|(digest, whole)| (*digest, *whole)).collect(),
            doomed: self.doomed.iter().map(|place| (*place, true)).collect(),
            ..Changes::default()
        }
    }
}

/// What the overlay knows about something that it may also know to be gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known<T> {
    /// Nothing: ask the index.
    Nothing,
    /// It is gone, whatever the index says.
    Gone,
    /// It is this.
    Is(T),
}

impl<T: Clone> Known<T> {
    fn of(found: Option<&Option<T>>) -> Self {
        match found {
            None => Self::Nothing,
            Some(None) => Self::Gone,
            Some(Some(is)) => Self::Is(is.clone()),
        }
    }
}

/// What a change did to the overlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pressure {
    /// Nothing to do.
    None,
    /// It was empty before: a checkpoint is due in a while.
    First,
    /// A checkpoint is due now.
    Soft,
    /// The writer must wait for one.
    Hard,
}

#[derive(Debug, Default)]
struct Layers {
    live: Layer,
    draining: Option<Arc<Layer>>,
}

/// The overlay.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    layers: Mutex<Layers>,
}

impl Overlay {
    /// Adds or replaces an entry; a public mark stays.
    pub(crate) fn insert(&self, digest: Digest, entry: Entry) -> Pressure {
        self.change(|live| {
            live.has_packed |= matches!(entry.place, Place::Pack(_));
            let old = live.entries.get(&digest).copied().flatten();
            let public = entry.public || old.is_some_and(|old| old.public);
            live.entries.insert(digest, Some(Entry { public, ..entry }));
        })
    }

    /// Removes a block, whatever the index says of it: visible at once, durable with the next commit
    /// that drains.
    pub(crate) fn remove(&self, digest: Digest) -> Pressure {
        self.change(|live| {
            live.entries.insert(digest, None);
            live.removed.insert(digest);
        })
    }

    /// Has it removed a block or a blob of which the index does not know yet? Then nothing may be
    /// committed past it: the index would weigh new homes against old ones that are gone.
    pub(crate) fn has_removals(&self) -> bool {
        let live = &self.layers.lock().live;
        !live.removed.is_empty() || live.blobs.values().any(Option::is_none)
    }

    /// Makes any change.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Layer)) -> Pressure {
        let live = &mut self.layers.lock().live;
        let before = live.weight();
        change(live);
        let after = live.weight();
        if after >= OVERLAY_ENTRIES_MAX {
            Pressure::Hard
        } else if after >= OVERLAY_ENTRIES_SOFT_MAX && after != before {
            Pressure::Soft
        } else if before == 0 && after > 0 {
            Pressure::First
        } else {
            Pressure::None
        }
    }

    /// The entry of a digest.
    pub(crate) fn entry(&self, digest: &Digest) -> Known<Entry> {
        let layers = self.layers.lock();
        let draining = || layers.draining.as_ref()?.entries.get(digest);
        Known::of(layers.live.entries.get(digest).or_else(draining))
    }

    /// The record of a blob.
    pub(crate) fn blob(&self, id: BlobId) -> Known<BlobRecord> {
        let layers = self.layers.lock();
        let draining = || layers.draining.as_ref()?.blobs.get(&id);
        Known::of(layers.live.blobs.get(&id).or_else(draining))
    }

    /// The blob of a root.
    pub(crate) fn whole(&self, digest: &Digest) -> Known<Whole> {
        let layers = self.layers.lock();
        let draining = || layers.draining.as_ref()?.wholes.get(digest);
        Known::of(layers.live.wholes.get(digest).or_else(draining))
    }

    /// The digests that it says something of, with whether they are there, and the newest records of
    /// its blobs.
    pub(crate) fn known(&self) -> (Vec<(Digest, bool)>, Blobs) {
        let layers = self.layers.lock();
        let row = |(digest, entry): (&Digest, &Option<Entry>)| (*digest, entry.is_some());
        let live = layers.live.entries.iter();
        let Some(old) = &layers.draining else {
            return (live.map(row).collect(), layers.live.blobs.clone());
        };
        let is_new = |entry: &(&Digest, &Option<Entry>)| !layers.live.entries.contains_key(entry.0);
        let older = old.entries.iter().filter(is_new);
        let mut blobs = old.blobs.clone();
        blobs.extend(layers.live.blobs.iter().map(|(id, record)| (*id, record.clone())));
        (live.chain(older).map(row).collect(), blobs)
    }

    /// Is there nothing that the index does not have?
    pub(crate) fn is_empty(&self) -> bool {
        let layers = self.layers.lock();
        layers.live.weight() == 0 && layers.draining.is_none()
    }

    /// Does an entry that is not in the index lead into a pack?
    pub(crate) fn has_packed(&self) -> bool {
        let layers = self.layers.lock();
        layers.live.has_packed || layers.draining.as_ref().is_some_and(|layer| layer.has_packed)
    }

    /// Takes the live layer for a commit; it goes on answering until [`end_drain`](Self::end_drain).
    pub(crate) fn begin_drain(&self) -> Arc<Layer> {
        let mut layers = self.layers.lock();
        let layer = Arc::new(std::mem::take(&mut layers.live));
        layers.draining = Some(Arc::clone(&layer));
        layer
    }

    /// The drained layer is in the index.
    pub(crate) fn end_drain(&self) {
        self.layers.lock().draining = None;
    }

    /// The drained layer did not get into the index: what is newer stays on top of it.
    pub(crate) fn undo_drain(&self) {
        let mut layers = self.layers.lock();
        let Some(old) = layers.draining.take() else { return };
        let live = &mut layers.live;
        for (digest, entry) in &old.entries {
            live.entries.entry(*digest).or_insert(*entry);
        }
        for (id, record) in &old.blobs {
            live.blobs.entry(*id).or_insert_with(|| record.clone());
        }
        for (digest, whole) in &old.wholes {
            live.wholes.entry(*digest).or_insert(*whole);
        }
        live.removed.extend(&old.removed);
        live.doomed.extend(&old.doomed);
        live.unlink.extend(old.unlink.iter().cloned());
        live.handed.extend(&old.handed);
        live.unsynced.extend(old.unsynced.iter().cloned());
        live.has_packed |= old.has_packed;
    }

    /// Marks a blob as kept, on top of the newest record of it; `known` is what the index says.
    pub(crate) fn keep_blob(&self, id: BlobId, known: BlobRecord) -> Pressure {
        let mut layers = self.layers.lock();
        let layers = &mut *layers;
        let was_empty = layers.live.weight() == 0;
        let draining = || layers.draining.as_ref()?.blobs.get(&id);
        let newest = layers.live.blobs.get(&id).or_else(draining).cloned();
        // A record that is gone stays gone.
        if let Some(record) = newest.unwrap_or(Some(known)) {
            layers.live.blobs.insert(id, Some(BlobRecord { kept: true, ..record }));
        }
        if was_empty { Pressure::First } else { Pressure::None }
    }

    /// A batch was committed past the overlay: where both know a block or a root, the batch's home is the
    /// one that pins rely on. A mark of a block that only the overlay knew did not reach the index.
    pub(crate) fn supersede(&self, changes: &Changes) {
        let live = &mut self.layers.lock().live;
        if live.weight() == 0 {
            return;
        }
        for (digest, new) in &changes.entries {
            match live.entries.get_mut(digest) {
                Some(Some(entry)) => {
                    *entry = Entry { public: entry.public || new.public, ..*new };
                }
                // The batch has brought it back.
                Some(None) => drop(live.entries.remove(digest)),
                None => {}
            }
            live.removed.remove(digest);
        }
        for (digest, public) in &changes.marks {
            if let Some(Some(entry)) = live.entries.get_mut(digest) {
                entry.public = *public;
            }
        }
        for (digest, _) in &changes.wholes {
            live.wholes.remove(digest);
        }
    }

    /// Forgets an entry; the caller sees to the index.
    pub(crate) fn forget(&self, digest: &Digest) {
        self.layers.lock().live.entries.remove(digest);
    }

    /// Sets the public mark of an entry that is not in the index yet.
    pub(crate) fn mark(&self, digest: &Digest, public: bool) {
        if let Some(Some(entry)) = self.layers.lock().live.entries.get_mut(digest) {
            entry.public = public;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(offset: u64) -> Entry {
        Entry { place: Place::Pack(1), offset, len: 1, hash: 0x1e, public: false }
    }

    #[test]
    fn a_draining_layer_answers_and_comes_back_below_newer_changes() {
        let overlay = Overlay::default();
        assert_eq!(overlay.insert([1; 32], entry(1)), Pressure::First);
        assert_eq!(overlay.insert([2; 32], entry(1)), Pressure::None);
        assert_eq!(overlay.begin_drain().entries.len(), 2);
        assert_eq!(overlay.entry(&[1; 32]), Known::Is(entry(1)));
        overlay.insert([1; 32], entry(9));
        overlay.undo_drain();
        assert_eq!(overlay.entry(&[1; 32]), Known::Is(entry(9)));
        assert_eq!(overlay.entry(&[2; 32]), Known::Is(entry(1)));
        assert!(overlay.has_packed());
        overlay.begin_drain();
        overlay.end_drain();
        assert_eq!(overlay.entry(&[2; 32]), Known::Nothing);
        assert!(!overlay.has_packed());
    }

    #[test]
    fn a_removal_hides_what_lies_below_it_until_it_comes_back() {
        let overlay = Overlay::default();
        overlay.insert([1; 32], entry(1));
        overlay.begin_drain();
        overlay.remove([1; 32]);
        assert_eq!(overlay.entry(&[1; 32]), Known::Gone);
        assert_eq!(overlay.known().0, [([1; 32], false)]);
        overlay.undo_drain();
        assert_eq!(overlay.entry(&[1; 32]), Known::Gone, "the newer change wins");
        let changes = overlay.begin_drain().to_changes();
        assert_eq!((changes.entries.len(), changes.forgotten), (0, vec![[1; 32]]));
        overlay.end_drain();
        overlay.remove([2; 32]);
        overlay.insert([2; 32], entry(7));
        assert_eq!(overlay.entry(&[2; 32]), Known::Is(entry(7)));
        let changes = overlay.begin_drain().to_changes();
        assert_eq!(changes.forgotten, [[2; 32]], "the old home does not win against the new one");
        assert_eq!(changes.entries, [([2; 32], entry(7))]);
        overlay.end_drain();
        overlay.remove([2; 32]);
        assert!(overlay.has_removals());
        let entries = vec![([2; 32], entry(8))];
        overlay.supersede(&Changes { entries, ..Changes::default() });
        assert_eq!(overlay.entry(&[2; 32]), Known::Nothing, "the index has it again");
    }

    #[test]
    fn pressure_grows_with_what_is_held() {
        let overlay = Overlay::default();
        let mut seen = Vec::new();
        for n in 0..OVERLAY_ENTRIES_MAX as u64 {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&n.to_le_bytes());
            let pressure = overlay.insert(digest, entry(n));
            if seen.last() != Some(&pressure) {
                seen.push(pressure);
            }
        }
        assert_eq!(seen, [Pressure::First, Pressure::None, Pressure::Soft, Pressure::Hard]);
    }
}
