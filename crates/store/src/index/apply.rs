//! Taking a set of changes into the index with one commit.
//!
//! Where a digest has an entry already, which the filters of the runs know but for one time in a hundred,
//! the better home wins: what the store owns is never given up for what it does not, so that
//! a pinned block keeps a copy that nobody else can edit or move away.

use std::collections::HashMap;

use redb::{ReadableTable, Table, WriteTransaction};

use super::level0::Rows;
use super::{BLOBS, COUNT_BLOCKS, COUNTS, Index, IndexError, PACKS, PINS, RECORDS, WHOLES, Whole};
use crate::blob::{BlobId, BlobRecord};
use crate::error::WriteError;
use crate::key::{Digest, Entry, Place, Slot};

/// What one commit changes. `None` removes.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Blocks that have a (perhaps better) home now.
    pub(crate) entries: Vec<(Digest, Entry)>,
    /// Blocks to forget.
    pub(crate) forgotten: Vec<Digest>,
    /// Blocks whose public mark is set to this.
    pub(crate) marks: Vec<(Digest, bool)>,
    /// Blobs.
    pub(crate) blobs: HashMap<BlobId, Option<BlobRecord>>,
    /// Whole files.
    pub(crate) wholes: Vec<(Digest, Option<Whole>)>,
    /// Lengths of packs.
    pub(crate) packs: Vec<(u32, u64)>,
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
            && self.packs.is_empty()
            && self.pins.is_empty()
            && self.records.is_empty()
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
        let mut made = None;
        let done = self.write(|tx| {
            let (rows, blocks) = self.apply_blocks(tx, changes)?;
            made = Some((rows, blocks));
            apply_small(tx, changes)
        });
        match (done, made) {
            (Ok(()), made) => {
                made.into_iter().for_each(|(rows, blocks)| self.committed(rows, blocks));
                Ok(())
            }
            (Err(error), made) => {
                if let Some((Rows::Run(Some(new)), _)) = made {
                    self.discard(new);
                }
                Err(self.write_error(error))
            }
        }
    }

    /// The rows of blocks, and how many blocks there are then.
    fn apply_blocks(
        &self,
        tx: &WriteTransaction,
        changes: &Changes,
    ) -> Result<(Rows, u64), IndexError> {
        apply_blobs(tx, changes)?;
        let mut fresh = Fresh { index: self, rows: HashMap::new(), blocks: self.blocks()? };
        for digest in &changes.forgotten {
            if fresh.entry(digest)?.is_some() {
                fresh.set(*digest, None);
                fresh.blocks -= 1;
            }
        }
        let mut ranks = Ranks { blobs: tx.open_table(BLOBS)?, known: HashMap::new() };
        for (digest, new) in &changes.entries {
            let old = fresh.entry(digest)?;
            let best = match old {
                Some(old) => ranks.better(old, *new)?,
                None => *new,
            };
            if Some(best) != old {
                fresh.set(*digest, Some(best));
            }
            fresh.blocks += u64::from(old.is_none());
        }
        for (digest, public) in &changes.marks {
            let old = fresh.entry(digest)?.filter(|old| old.public != *public);
            if let Some(old) = old {
                fresh.set(*digest, Some(Entry { public: *public, ..old }));
            }
        }
        let Fresh { rows, blocks, .. } = fresh;
        tx.open_table(COUNTS)?.insert(COUNT_BLOCKS, blocks)?;
        Ok((self.place_rows(tx, rows)?, blocks))
    }
}

/// The rows of one commit on top of those of the index.
struct Fresh<'a> {
    index: &'a Index,
    rows: HashMap<Digest, Slot>,
    blocks: u64,
}

impl Fresh<'_> {
    fn entry(&self, digest: &Digest) -> Result<Option<Entry>, IndexError> {
        self.rows.get(digest).map_or_else(|| self.index.entry(digest), |slot| Ok(*slot))
    }

    fn set(&mut self, digest: Digest, slot: Slot) {
        self.rows.insert(digest, slot);
    }
}

fn apply_small(tx: &WriteTransaction, changes: &Changes) -> Result<(), IndexError> {
    let mut wholes = tx.open_table(WHOLES)?;
    for (digest, whole) in &changes.wholes {
        match whole {
            Some(whole) => wholes.insert(digest, &whole.to_bytes())?,
            None => wholes.remove(digest)?,
        };
    }
    let mut packs = tx.open_table(PACKS)?;
    for (number, len) in &changes.packs {
        packs.insert(number, len)?;
    }
    apply_bytes(&mut tx.open_table(PINS)?, &changes.pins)?;
    apply_bytes(&mut tx.open_table(RECORDS)?, &changes.records)
}

fn apply_bytes(
    table: &mut Table<'_, &[u8], &[u8]>,
    rows: &[(Vec<u8>, Option<Vec<u8>>)],
) -> Result<(), IndexError> {
    for (key, value) in rows {
        match value {
            Some(value) => table.insert(key.as_slice(), value.as_slice())?,
            None => table.remove(key.as_slice())?,
        };
    }
    Ok(())
}

fn apply_blobs(tx: &WriteTransaction, changes: &Changes) -> Result<(), IndexError> {
    let mut table = tx.open_table(BLOBS)?;
    for (id, record) in &changes.blobs {
        match record {
            Some(record) => table.insert(id.0, record.to_bytes().as_slice())?,
            None => table.remove(id.0)?,
        };
    }
    Ok(())
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
