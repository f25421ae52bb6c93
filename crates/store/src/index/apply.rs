//! Taking a set of changes into the index with one commit.
//!
//! Entries are inserted sorted by digest, which is what makes them cheap. Where a digest has an entry
//! already, the better home wins: what the store owns is never given up for what it does not, so that
//! a pinned block keeps a copy that nobody else can edit or move away.

use std::collections::HashMap;

use redb::{ReadableTable, Table, WriteTransaction};

use super::{BLOBS, BLOCKS, DOOMED, Index, IndexError, PACKS, PINS, RECORDS, WHOLES, Whole};
use crate::blob::{BlobId, BlobRecord};
use crate::error::WriteError;
use crate::key::{Digest, Entry, EntryBytes, Place};

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
    /// A pack or a kept blob.
    Owned,
}

impl Index {
    /// Commits the changes, whose entries are sorted for it.
    pub(crate) fn apply(&self, changes: &mut Changes) -> Result<(), WriteError> {
        changes.entries.sort_unstable_by_key(|entry| entry.0);
        self.write(|tx| apply(tx, changes)).map_err(|error| self.write_error(error))
    }
}

fn apply(tx: &WriteTransaction, changes: &Changes) -> Result<(), IndexError> {
    apply_blobs(tx, changes)?;
    apply_blocks(tx, changes)?;
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
    for number in &changes.packs_gone {
        packs.remove(number)?;
    }
    let mut doomed = tx.open_table(DOOMED)?;
    for (place, is_doomed) in &changes.doomed {
        if *is_doomed {
            doomed.insert(place.home(), ())?
        } else {
            doomed.remove(place.home())?
        };
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

fn apply_blocks(tx: &WriteTransaction, changes: &Changes) -> Result<(), IndexError> {
    let mut table = tx.open_table(BLOCKS)?;
    for digest in &changes.forgotten {
        table.remove(digest)?;
    }
    let mut ranks = Ranks { blobs: tx.open_table(BLOBS)?, known: HashMap::new() };
    for (digest, new) in &changes.entries {
        let old = table.get(digest)?.map(|bytes| Entry::from_bytes(bytes.value()));
        let best = match old {
            Some(old) => ranks.better(old, *new)?,
            None => *new,
        };
        if Some(best) != old {
            table.insert(digest, &best.to_bytes())?;
        }
    }
    for moved in &changes.moved {
        let now = table.get(&moved.digest)?.map(|bytes| Entry::from_bytes(bytes.value()));
        if let Some(to) = now.and_then(|now| moved.of(now)) {
            table.insert(&moved.digest, &to.to_bytes())?;
        }
    }
    for (digest, public) in &changes.marks {
        mark(&mut table, digest, *public)?;
    }
    Ok(())
}

fn mark(
    table: &mut Table<'_, &Digest, &EntryBytes>,
    digest: &Digest,
    public: bool,
) -> Result<(), IndexError> {
    let old = table.get(digest)?.map(|bytes| Entry::from_bytes(bytes.value()));
    if let Some(old) = old.filter(|old| old.public != public) {
        table.insert(digest, &Entry { public, ..old }.to_bytes())?;
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
        let stays = old_rank == Rank::Owned || old_rank > new_rank;
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
            Some(record) if record.is_owned() => Rank::Owned,
            Some(record) if record.reference.is_some() => Rank::Reference,
            Some(_) => Rank::Passing,
        };
        self.known.insert(id, rank);
        Ok(rank)
    }
}
