//! Taking a set of changes into the index with one commit.
//!
//! Where a digest has an entry already, which the filters of the runs know but for one time in a hundred,
//! the better home wins: what the store owns is never given up for what it does not, so that
//! a pinned block keeps a copy that nobody else can edit or move away.

use std::collections::HashMap;

use redb::{ReadableTable, Table, WriteTransaction};

use super::level0::Rows;
use super::small::{Marked, Noted, apply_blobs, apply_hidden, apply_small};
use super::{BLOBS, COUNT_BLOCKS, COUNTS, Index, IndexError, Whole};
use crate::blob::{BlobId, BlobRecord};
use crate::error::WriteError;
use crate::key::{Digest, Entry, Place, Slot};

/// What one commit changes. `None` removes.
#[derive(Debug, Default, Clone)]
pub(crate) struct Changes {
    /// Blocks that have a (perhaps better) home now.
    pub(crate) entries: Vec<(Digest, Entry)>,
    /// Blocks to forget, before the new entries are taken: one that is in both gets the new home,
    /// whatever the old one was.
    pub(crate) forgotten: Vec<Digest>,
    /// Blocks that moved: where the entry still leads to the first home, it leads to the second from
    /// now on, without a look at which is better.
    pub(crate) moved: Vec<Moved>,
    /// Blocks whose public mark is set to this.
    pub(crate) marks: Vec<(Digest, bool)>,
    /// Blobs.
    pub(crate) blobs: HashMap<BlobId, Option<BlobRecord>>,
    /// Whole files.
    pub(crate) wholes: Vec<(Digest, Option<Whole>)>,
    /// Lengths of packs.
    pub(crate) packs: Vec<(u32, u64)>,
    /// Packs that are no more.
    pub(crate) packs_gone: Vec<u32>,
    /// Homes whose files are to go (true), or are gone (false).
    pub(crate) doomed: Vec<(Place, bool)>,
    /// Pins, by multihash.
    pub(crate) pins: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Records, by namespace and key.
    pub(crate) records: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Changes {
    /// Is there nothing to commit?
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
            && self.forgotten.is_empty()
            && self.marks.is_empty()
            && self.blobs.is_empty()
            && self.wholes.is_empty()
            && self.moved.is_empty()
            && self.packs.is_empty()
            && self.packs_gone.is_empty()
            && self.doomed.is_empty()
            && self.pins.is_empty()
            && self.records.is_empty()
    }
}

/// A block that moves from one home to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) digest: Digest,
    pub(crate) from: Entry,
    pub(crate) to: Entry,
}

impl Moved {
    /// What `now`, the entry of the block, becomes; `None` where it is not the one that was moved.
    pub(crate) fn of(&self, now: Entry) -> Option<Entry> {
        let is_same = Entry { public: self.from.public, ..now } == self.from;
        is_same.then_some(Entry { public: now.public, ..self.to })
    }
}

/// How much a home can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// The blob is gone or damaged.
    Nothing,
    /// A user's file.
    Reference,
    /// A blob that may be moved out.
    Passing,
    /// A kept blob with holes: an older version of something, mostly.
    Sparse,
    /// A pack or a kept blob.
    Owned,
}

impl Index {
    /// Commits the changes.
    pub(crate) fn apply(&self, changes: &mut Changes) -> Result<(), WriteError> {
        changes.entries.sort_by_key(|entry| entry.0);
        let _one = self.writing.lock();
        self.commit(|tx| self.apply_all(tx, changes))?;
        self.tend_journal();
        Ok(())
    }

    /// Commits what `work` does and takes it over. The caller holds the lock of `writing`.
    pub(super) fn commit(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<Done, IndexError>,
    ) -> Result<(), WriteError> {
        let mut done = None;
        let committed = self.write(|tx| {
            let Done { noted, .. } = done.insert(work(tx)?);
            let position = self.append(tx, std::mem::take(noted))?;
            Ok(position)
        });
        match (committed, done) {
            (Ok(position), done) => {
                if let Some(done) = done {
                    self.committed(done, position);
                }
                Ok(())
            }
            (Err(error), done) => {
                if let Some(Done { rows: Rows::Run(Some(new)), .. }) = done {
                    self.discard(new);
                }
                Err(self.write_error(error))
            }
        }
    }

    fn apply_all(&self, tx: &WriteTransaction, changes: &Changes) -> Result<Done, IndexError> {
        let mut noted = Noted::default();
        apply_blobs(tx, changes, &mut noted)?;
        let mut fresh = Fresh {
            index: self,
            rows: HashMap::new(),
            blocks: self.blocks()?,
            marked: Marked::default(),
        };
        fresh.take(tx, changes)?;
        let Fresh { rows, blocks, marked, .. } = fresh;
        tx.open_table(COUNTS)?.insert(COUNT_BLOCKS, blocks)?;
        apply_small(tx, changes, &mut noted)?;
        let rows = self.place_rows(tx, rows)?;
        let done = Done { rows, blocks, noted };
        self.hide(tx, &marked, done)
    }

    /// Notes what is hidden, once it is known whether all rows are in runs. A run whose commit comes to
    /// nothing here goes again.
    pub(super) fn hide(
        &self,
        tx: &WriteTransaction,
        marked: &Marked,
        mut done: Done,
    ) -> Result<Done, IndexError> {
        let is_run = matches!(done.rows, Rows::Run(_));
        match apply_hidden(tx, marked, is_run, &mut done.noted) {
            Ok(()) => Ok(done),
            Err(error) => {
                if let Rows::Run(Some(new)) = done.rows {
                    self.discard(new);
                }
                Err(error)
            }
        }
    }
}

/// What a commit does.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) rows: Rows,
    /// How many blocks there are then.
    pub(super) blocks: u64,
    pub(super) noted: Noted,
}

/// The rows of one commit on top of those of the index.
struct Fresh<'a> {
    index: &'a Index,
    rows: HashMap<Digest, Slot>,
    blocks: u64,
    marked: Marked,
}

impl Fresh<'_> {
    fn take(&mut self, tx: &WriteTransaction, changes: &Changes) -> Result<(), IndexError> {
        for digest in &changes.forgotten {
            if self.entry(digest)?.is_some() {
                self.rows.insert(*digest, None);
                self.blocks -= 1;
            }
        }
        let mut ranks = Ranks { blobs: tx.open_table(BLOBS)?, known: HashMap::new() };
        for (digest, new) in &changes.entries {
            let old = self.entry(digest)?;
            let best = match old {
                Some(old) => ranks.better(old, *new)?,
                None => *new,
            };
            self.set(digest, old, best);
            self.blocks += u64::from(old.is_none());
        }
        for moved in &changes.moved {
            let old = self.entry(&moved.digest)?;
            if let Some(new) = old.and_then(|old| moved.of(old)) {
                self.set(&moved.digest, old, new);
            }
        }
        for (digest, public) in &changes.marks {
            if let Some(old) = self.entry(digest)? {
                self.set(digest, Some(old), Entry { public: *public, ..old });
            }
        }
        Ok(())
    }

    fn entry(&self, digest: &Digest) -> Result<Option<Entry>, IndexError> {
        self.rows.get(digest).map_or_else(|| self.index.entry(digest), |slot| Ok(*slot))
    }

    fn set(&mut self, digest: &Digest, old: Option<Entry>, new: Entry) {
        if old == Some(new) {
            return;
        }
        let was_public = old.is_some_and(|old| old.public);
        match (was_public, new.public) {
            (true, false) => {
                let is_packed = matches!(new.place, Place::Pack(_));
                self.marked.hidden.push((*digest, is_packed));
            }
            (false, true) => self.marked.shown.push(*digest),
            _ => {}
        }
        self.rows.insert(*digest, Some(new));
    }
}

/// Ranks of homes, as of this transaction.
struct Ranks<'a> {
    blobs: Table<'a, u64, &'static [u8]>,
    known: HashMap<BlobId, Rank>,
}

impl Ranks<'_> {
    /// The entry to store: of two homes the better, of equals the new one unless both are owned.
    fn better(&mut self, old: Entry, new: Entry) -> Result<Entry, IndexError> {
        let public = old.public || new.public;
        let (old_rank, new_rank) = (self.rank(old.place)?, self.rank(new.place)?);
        let stays = old_rank > new_rank || old_rank == new_rank && old_rank >= Rank::Sparse;
        let base = if stays && old.hash == new.hash { old } else { new };
        Ok(Entry { public, ..base })
    }

    fn rank(&mut self, place: Place) -> Result<Rank, IndexError> {
        let Place::Blob(id) = place else { return Ok(Rank::Owned) };
        if let Some(rank) = self.known.get(&id) {
            return Ok(*rank);
        }
        let record = self.blobs.get(id.0)?.and_then(|bytes| BlobRecord::from_bytes(bytes.value()));
        let rank = match record {
            None => Rank::Nothing,
            Some(record) if record.damaged => Rank::Nothing,
            Some(record) if record.is_owned() && record.sparse => Rank::Sparse,
            Some(record) if record.is_owned() => Rank::Owned,
            Some(record) if record.reference.is_some() => Rank::Reference,
            Some(_) => Rank::Passing,
        };
        self.known.insert(id, rank);
        Ok(rank)
    }
}
