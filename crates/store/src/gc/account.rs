//! What lives and what is dead in each home, and which blobs a root keeps whole.
//!
//! Only blobs that were listed before the snapshot are judged: all entries of those are in it. A blob
//! is kept whole by a root that stays, with everything in it, also where the root's own block is missing; else it is dead when nothing in it stays, and may lose a part of
//! its bytes when something does. An add in progress keeps its blobs.

use std::collections::HashMap;

use super::run::{Run, Stop};
use crate::blob::{BlobId, BlobRecord};
use crate::error::{ReadError, WriteError};
use crate::index::Whole;
use crate::key::{Digest, Entry, Place};
use crate::pack::RECORD_HEADER_BYTES;
use crate::store::Shared;

/// What a home has.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Life {
    /// Blocks that stay, and their bytes (in a pack with their headers).
    pub(super) live: u64,
    pub(super) live_bytes: u64,
    /// Blocks that do not.
    pub(super) dead: u64,
}

impl Life {
    fn count(&mut self, bytes: u64, stays: bool) {
        if stays {
            self.live += 1;
            self.live_bytes += bytes;
        } else {
            self.dead += 1;
        }
    }

    fn revive(&mut self, bytes: u64) {
        self.dead = self.dead.saturating_sub(1);
        self.count(bytes, true);
    }

    /// A block has moved elsewhere.
    pub(super) fn leave(&mut self, bytes: u64) {
        self.live = self.live.saturating_sub(1);
        self.live_bytes = self.live_bytes.saturating_sub(bytes);
    }
}

/// A blob that is judged.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Blob {
    pub(super) life: Life,
    /// A root keeps it whole, or it is being written.
    pub(super) is_rooted: bool,
    /// Its bytes lie in a user's file.
    pub(super) is_reference: bool,
    /// It may be read as a whole by everybody, and pins rely on it.
    pub(super) is_whole: bool,
    /// It has holes, and may have got more dead bytes than holes.
    pub(super) is_sparse: bool,
}

impl Blob {
    fn of(record: &BlobRecord, is_adding: bool) -> Self {
        let is_being_added = record.partial.is_some_and(|state| state.root.is_none());
        Self {
            life: Life::default(),
            is_rooted: is_being_added && is_adding,
            is_reference: record.reference.is_some(),
            is_whole: record.is_whole() && record.is_owned(),
            is_sparse: record.sparse,
        }
    }

    /// Does nothing stay of it?
    pub(super) fn is_dead(&self) -> bool {
        !self.is_rooted && self.life.live == 0
    }

    /// Does only a part of it stay?
    pub(super) fn is_dying(&self) -> bool {
        !self.is_rooted && !self.is_reference && self.life.live > 0
    }
}

/// All homes.
#[derive(Debug, Default)]
pub(super) struct Homes {
    pub(super) packs: HashMap<u32, Life>,
    pub(super) blobs: HashMap<BlobId, Blob>,
    /// Roots of blobs that none of their roots keeps so far.
    roots: HashMap<Digest, BlobId>,
    /// The roots of files that are being fetched.
    fetched: Vec<(Digest, BlobId)>,
    /// Rows before this one were counted.
    pub(super) counted_to: u64,
}

impl Homes {
    /// Lists the blobs; while content is added, blobs that are being written stay.
    pub(super) fn list(shared: &Shared, is_adding: bool) -> Result<Self, WriteError> {
        let mut homes = Self::default();
        let mut each = |id, record: BlobRecord| {
            homes.blobs.insert(id, Blob::of(&record, is_adding));
            if let Some(root) = record.partial.and_then(|state| state.root) {
                homes.fetched.push((root.digest, id));
            }
        };
        shared.index.blobs(&mut each).map_err(ReadError::from)?;
        Ok(homes)
    }

    /// Counts a block.
    pub(super) fn count(&mut self, entry: &Entry, stays: bool) {
        if let Some(life) = self.life(entry.place) {
            life.count(bytes_of(entry), stays);
        }
    }

    /// A block stays after all: says whether it had been counted.
    pub(super) fn revive(&mut self, id: u64, entry: &Entry) -> bool {
        let is_counted = id < self.counted_to;
        if is_counted && let Some(life) = self.life(entry.place) {
            life.revive(bytes_of(entry));
        }
        is_counted
    }

    /// This block stays: a blob that it is the root of stays whole.
    pub(super) fn rescue(&mut self, root: &Digest) {
        if let Some(id) = self.roots.get(root)
            && let Some(blob) = self.blobs.get_mut(id)
        {
            blob.is_rooted = true;
        }
    }

    /// Does a root keep this home with everything that is in it?
    pub(super) fn is_rooted(&self, place: Place) -> bool {
        match place {
            Place::Pack(_) => false,
            Place::Blob(id) => self.blobs.get(&id).is_some_and(|blob| blob.is_rooted),
        }
    }

    /// The life of a home; of a blob that is not judged none.
    pub(super) fn life(&mut self, place: Place) -> Option<&mut Life> {
        match place {
            Place::Pack(number) => Some(self.packs.entry(number).or_default()),
            Place::Blob(id) => self.blobs.get_mut(&id).map(|blob| &mut blob.life),
        }
    }

    /// Is there a blob of which nothing stays?
    pub(super) fn has_dead(&self) -> bool {
        self.blobs.values().any(Blob::is_dead)
    }

    /// The roots of a blob that does not stay whole.
    pub(super) fn roots_of(&self, ids: &[BlobId]) -> HashMap<BlobId, Vec<Digest>> {
        let mut roots: HashMap<BlobId, Vec<Digest>> =
            ids.iter().map(|id| (*id, Vec::new())).collect();
        for (digest, id) in &self.roots {
            if let Some(known) = roots.get_mut(id) {
                known.push(*digest);
            }
        }
        roots
    }
}

impl Shared {
    /// Gives every root whose content is one blob to `each`.
    pub(super) fn each_whole(&self, each: &mut dyn FnMut(Digest, Whole)) -> Result<(), ReadError> {
        let mut after = None;
        loop {
            let rows = self.index.wholes(after.as_ref(), WHOLES_AT_ONCE)?;
            let Some((last, _)) = rows.last() else { return Ok(()) };
            after = Some(*last);
            for (digest, whole) in rows {
                each(digest, whole);
            }
        }
    }
}

/// Rows of whole files that are read in one look at the index.
const WHOLES_AT_ONCE: usize = 4096;

/// The bytes that a block takes in its home.
pub(super) fn bytes_of(entry: &Entry) -> u64 {
    let header = match entry.place {
        Place::Pack(_) => RECORD_HEADER_BYTES,
        Place::Blob(_) => 0,
    };
    u64::from(entry.len) + header
}

impl Run<'_> {
    /// Finds out which blobs a root keeps whole.
    pub(super) fn find_roots(&mut self) -> Result<(), Stop> {
        let mut wholes = std::mem::take(&mut self.homes.fetched);
        self.shared.each_whole(&mut |digest, whole| wholes.push((digest, whole.blob)))?;
        for (digest, id) in wholes {
            let stays = self.stays_as_root(&digest, id)?;
            let Some(blob) = self.homes.blobs.get_mut(&id) else { continue };
            if stays {
                blob.is_rooted = true;
            } else {
                self.homes.roots.insert(digest, id);
            }
        }
        self.listen()
    }

    /// Does the content below this root stay, which is that blob, or may it be about to come? A root that
    /// is pinned as a block alone keeps no content, unless it is all of it.
    fn stays_as_root(&self, digest: &Digest, blob: BlobId) -> Result<bool, Stop> {
        if self.late.contains(digest) {
            return Ok(true);
        }
        let row = self.snapshot.find(digest).map_err(ReadError::from)?;
        let stays = row.is_some_and(|(id, entry)| {
            let is_all_of_it = entry.place == Place::Blob(blob);
            self.marks.stays(id) && (is_all_of_it || self.marks.is_followed(id))
        });
        Ok(stays || self.collecting.batches.iter().any(|batch| batch.covers(digest)))
    }

    /// Says what would be freed.
    pub(super) fn estimate(&mut self) {
        let dead = self.homes.blobs.iter().filter(|(_, blob)| blob.is_dead());
        let files = dead.map(|(id, _)| self.shared.layout.blob(*id));
        self.report.freed_bytes = files.map(|path| super::holes::last_name_bytes(&path)).sum();
        // Of packs, and of blobs of which a part stays, the blocks that go are near enough.
        let judged = self.report.removed_bytes.saturating_sub(self.report.freed_bytes);
        self.report.freed_bytes += judged;
    }
}
