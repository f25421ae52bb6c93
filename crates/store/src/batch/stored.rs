//! Which leaves of a new file the store has already, so that they are not written again.
//!
//! A leaf counts as stored when a pin may rely on its home and the file there is long enough; its bytes
//! are not read. Leaves of this batch that wait for their commit count too: both are committed together
//! or neither is.

use shoal_dag::Cid;

use super::{Batch, Pending};
use crate::blob::BlobRecord;
use crate::error::{ReadError, WriteError};
use crate::files::FileEnds;
use crate::key::{Entry, Key, Place};
use crate::read::Found;

impl Batch {
    /// Where each of these leaves lies, if it is stored; a public batch marks those public. A leaf whose
    /// file is gone or cut short is forgotten, so that it is written anew.
    pub(super) fn stored(&self, leaves: &[(Cid, u32)]) -> Result<Vec<Option<Entry>>, WriteError> {
        let shared = &self.store.shared;
        let cids: Vec<Cid> = leaves.iter().map(|leaf| leaf.0).collect();
        self.shield_all(&cids);
        let found = shared.find_many(&cids).map_err(ReadError::from)?;
        let mut ends = FileEnds::default();
        let mut stored = Vec::with_capacity(leaves.len());
        for ((cid, len), found) in leaves.iter().zip(found) {
            let Some(key) = Key::of(cid) else {
                stored.push(None);
                continue;
            };
            let found = found.filter(Found::is_owned);
            let found = match found {
                Some(found) if ends.holds(shared, &found.entry) => Some(found),
                Some(_) => shared.here(&key)?.filter(Found::is_owned),
                None => None,
            };
            let entry = self.note_stored(&key, found);
            stored.push(entry.filter(|entry| entry.len == *len));
        }
        Ok(stored)
    }

    /// Notes that the batch relies on a block that was found.
    fn note_stored(&self, key: &Key, found: Option<Found>) -> Option<Entry> {
        let mut pending = self.pending.lock();
        if let Some(entry) = pending.owned(key) {
            return Some(entry);
        }
        let found = found?;
        pending.needs_drain |= found.is_fresh;
        if self.options.public && !found.entry.public {
            pending.marks.push((key.digest, true));
        }
        Some(found.entry)
    }

    /// Where a block is that was [stored](Self::stored): of this batch first.
    pub(super) fn find(&self, key: &Key) -> Result<Option<Found>, WriteError> {
        match self.pending.lock().owned(key) {
            Some(entry) => Ok(Some(Found { entry, record: None, is_fresh: true })),
            None => Ok(self.store.shared.find(key).map_err(ReadError::from)?),
        }
    }
}

impl Pending {
    /// The entry of a block of this batch, in storage of the store's own.
    fn owned(&self, key: &Key) -> Option<Entry> {
        let entry = *self.entries.get(&key.digest).filter(|entry| entry.hash == key.hash)?;
        let is_owned = match entry.place {
            Place::Pack(_) => true,
            Place::Blob(id) => self.blobs.get(&id).is_some_and(BlobRecord::is_owned),
        };
        is_owned.then_some(entry)
    }
}
