//! Keeping verified blocks from peers: the hot path of a fetch.
//!
//! A leaf of a file of [`BLOB_BYTES_MIN`] and more is written to its place in the file's partial blob:
//! one pwrite, one presence record of 48 bytes, one insertion in memory. Everything else is appended to
//! a pack. Neither waits for a sync or an index commit.

use std::sync::Arc;

use shoal_dag::hash::RAW;
use shoal_dag::{BLOCK_BYTES_MAX, Bytes, Cid};

use crate::BLOB_BYTES_MIN;
use crate::blob::{BlobRecord, PartialState};
use crate::error::{ReadError, WriteError};
use crate::key::{Entry, Key, inline};
use crate::overlay::Pressure;
use crate::partial::{BLOB_BYTES_MAX, Leaf, Partial};
use crate::read::Found;
use crate::store::{Shared, Store};

/// Where a leaf's bytes lie in the file that it belongs to.
#[derive(Debug, Clone, Copy)]
pub struct KeepPlace<'a> {
    /// The root of the file.
    pub file: &'a Cid,
    /// The length of the file's content.
    pub size: u64,
    /// Where the leaf begins in it.
    pub offset: u64,
}

impl Store {
    /// Prepares the partial blob of a file that is about to be fetched; with `allocate` its space is
    /// taken at once (for whole fetches, never for ranges). Optional: [`keep`](Self::keep) makes it too.
    /// Does nothing for content below [`BLOB_BYTES_MIN`], for whole files, and for a file whose root is in
    /// its CID, which has no blob.
    pub fn prepare(&self, file: &Cid, size: u64, allocate: bool) -> Result<(), WriteError> {
        self.shared.disk.check()?;
        let Some(root) = root_key(file)? else { return Ok(()) };
        self.shared.shields.entering().rely(&root);
        match self.shared.partial(&root, size)? {
            Some(partial) if allocate => partial.allocate(),
            _ => Ok(()),
        }
    }

    /// Keeps a block whose bytes the caller has verified against its CID. From the return on it can be
    /// read and survives the death of the process; it survives power loss after a checkpoint.
    pub fn keep(
        &self,
        cid: &Cid,
        place: Option<KeepPlace<'_>>,
        data: &Bytes,
        public: bool,
    ) -> Result<(), WriteError> {
        if inline(cid).is_some() {
            return Ok(());
        }
        let shared = &self.shared;
        shared.disk.check()?;
        let key = checked_key(cid, data)?;
        shared.shields.entering().rely_below(cid);
        let is_large_leaf = cid.codec() == RAW && data.len() as u64 >= BLOB_BYTES_MIN;
        let alone = KeepPlace { file: cid, size: data.len() as u64, offset: 0 };
        let pressure = match place.or(is_large_leaf.then_some(alone)) {
            Some(place) => shared.keep_in_blob(key, place, data, public)?,
            None => None,
        };
        let pressure = match pressure {
            Some(pressure) => pressure,
            None => shared.keep_in_pack(key, data, public)?,
        };
        shared.relieve(pressure)
    }
}

/// The key of a block that may be stored.
pub(crate) fn checked_key(cid: &Cid, data: &[u8]) -> Result<Key, WriteError> {
    if data.len() > BLOCK_BYTES_MAX {
        let (found, max) = (data.len() as u64, BLOCK_BYTES_MAX as u64);
        return Err(WriteError::TooLarge { what: "the block", found, max });
    }
    Key::of(cid).ok_or(WriteError::Unsupported { cid: *cid })
}

/// The key of a file's root; `None` for one that is in its CID: the store does not keep such blocks and has no
/// name for such a file.
pub(crate) fn root_key(root: &Cid) -> Result<Option<Key>, WriteError> {
    match Key::of(root) {
        None if inline(root).is_none() => Err(WriteError::Unsupported { cid: *root }),
        key => Ok(key),
    }
}

impl Shared {
    /// Writes a leaf to its place; `None` where there is no such place.
    fn keep_in_blob(
        &self,
        key: Key,
        place: KeepPlace<'_>,
        data: &[u8],
        public: bool,
    ) -> Result<Option<Pressure>, WriteError> {
        let Some(root) = Key::of(place.file) else { return Ok(None) };
        self.shields.entering().rely(&root);
        let Some(partial) = self.partial(&root, place.size)? else { return Ok(None) };
        let leaf = Leaf { key, offset: place.offset, data, public };
        let _stay = self.moving.read();
        let owned = self.here(&key)?.filter(Found::is_owned).map(|found| found.entry);
        let mut pressure = Pressure::None;
        let was_written = partial.write(leaf, &self.partials, |_, entry| {
            pressure = self.adopt(&key, entry, owned);
        })?;
        Ok(was_written.then_some(pressure))
    }

    /// Finds a block whose file is there. One whose file in the store is gone or cut short is forgotten,
    /// so that a new copy is not dropped for it.
    pub(crate) fn here(&self, key: &Key) -> Result<Option<Found>, WriteError> {
        let Some(found) = self.find(key).map_err(ReadError::from)? else { return Ok(None) };
        let record = found.record.as_ref();
        if record.is_some_and(|record| record.damaged) || self.is_there(&found) {
            return Ok(Some(found));
        }
        let is_own = record.is_none_or(|record| record.reference.is_none());
        if is_own {
            tracing::error!(path = %found.path(self).display(), "a file of the store is missing");
            self.forget(key)?;
        }
        Ok(None)
    }

    /// The entry of a block that the store owns.
    pub(crate) fn owned(&self, key: &Key) -> Result<Option<Entry>, ReadError> {
        Ok(self.find(key)?.filter(Found::is_owned).map(|found| found.entry))
    }

    /// Makes a new home of a block visible, unless it has one that pins may rely on: that one is not
    /// hidden behind a home that may be moved out, not even until the next checkpoint.
    pub(crate) fn adopt(&self, key: &Key, new: Entry, owned: Option<Entry>) -> Pressure {
        match owned {
            None => self.overlay.insert(key.digest, new),
            Some(owned) if owned.public || !new.public => Pressure::None,
            Some(owned) => self.overlay.insert(key.digest, Entry { public: true, ..owned }),
        }
    }

    /// Appends a block to a pack, unless the store has it in a file that is there.
    fn keep_in_pack(&self, key: Key, data: &[u8], public: bool) -> Result<Pressure, WriteError> {
        let is_good = |record: &BlobRecord| !record.damaged;
        let _stay = self.moving.read();
        let found = self.here(&key)?;
        let found = found.filter(|found| found.record.as_ref().is_none_or(is_good));
        match found.map(|found| found.entry) {
            Some(entry) if entry.public || !public => Ok(Pressure::None),
            Some(mut entry) => {
                entry.public = true;
                Ok(self.overlay.insert(key.digest, entry))
            }
            None => self.packs.append(&self.layout, key, public, data, |entry| {
                self.overlay.insert(key.digest, entry)
            }),
        }
    }

    /// The partial blob of a file, made where there is none. `None` where the content is too small or
    /// too large for a blob, whole already, or was begun with another size.
    pub(crate) fn partial(
        &self,
        root: &Key,
        size: u64,
    ) -> Result<Option<Arc<Partial>>, WriteError> {
        if !(BLOB_BYTES_MIN..=BLOB_BYTES_MAX).contains(&size) {
            return Ok(None);
        }
        let make = || {
            let whole = self.whole(root).map_err(ReadError::from)?;
            let is_here = |record: &BlobRecord| {
                record.reference.as_ref().is_none_or(|reference| reference.open().is_some())
            };
            if whole.is_some_and(|(_, record)| is_here(&record)) {
                return Ok(None);
            }
            let partial = Partial::create(&self.layout, *root, size, &self.boot_id)?;
            let state = PartialState { root: Some(*root), records: 0 };
            let record = BlobRecord {
                len: size,
                kept: false,
                damaged: false,
                sparse: false,
                partial: Some(state),
                reference: None,
            };
            let pressure =
                self.overlay.change(|layer| drop(layer.blobs.insert(partial.id, Some(record))));
            if pressure == Pressure::First {
                self.arm();
            }
            Ok(Some(partial))
        };
        let partial = self.partials.get(&self.layout, root, make)?;
        Ok(partial.filter(|partial| partial.size == size))
    }
}
