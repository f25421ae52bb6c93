//! What the store may rely on: turning references and passing content into the store's own, changing
//! whom blocks may be given to, and forgetting what is broken.

use shoal_dag::Cid;

use crate::blob::{BlobId, BlobRecord};
use crate::checkpoint::Commit;
use crate::error::{ReadError, WriteError};
use crate::index::Changes;
use crate::key::{Entry, Key, Place, inline};
use crate::read::Found;
use crate::store::{Shared, Store};

impl Store {
    /// Makes sure that a block lies in storage that the store owns and keeps, for a pin: copies the
    /// user's file that [`move_out`](Self::move_out) made (not one given by reference), and marks the
    /// block public when asked. `false` when the store does not have it. Durable with the next pin or
    /// checkpoint.
    pub fn own(&self, cid: &Cid, public: bool) -> Result<bool, WriteError> {
        if inline(cid).is_some() {
            return Ok(true);
        }
        let Some(key) = Key::of(cid) else { return Ok(false) };
        self.shared.shields.entering().rely(&key);
        let found = self.shared.find(&key).map_err(ReadError::from)?;
        let Some(found) = found else { return Ok(false) };
        let is_owned = found.is_owned();
        if let (Place::Blob(id), false) = (found.entry.place, is_owned)
            && !self.shared.own_blob(id)?
        {
            return Ok(false);
        }
        if public && !found.entry.public {
            self.shared.publish(&key)?;
        }
        Ok(true)
    }

    /// Says whether peers may be given these blocks; those that are not here are skipped.
    pub fn set_public(&self, cids: &[Cid], public: bool) -> Result<(), WriteError> {
        let keys: Vec<Key> = cids.iter().filter_map(Key::of).collect();
        let _stay = self.shared.moving.read();
        if !public {
            self.shared.generation.change();
        }
        for key in &keys {
            self.shared.overlay.mark(&key.digest, public);
        }
        let marks = keys.iter().map(|key| (key.digest, public)).collect();
        let changes = Changes { marks, ..Changes::default() };
        self.shared.commit(Commit { changes, drain: true, ..Commit::default() })
    }

    /// Forgets where a block is, because its bytes there are wrong. A whole file around it is not whole
    /// any more; its other blocks stay.
    pub fn forget_block(&self, cid: &Cid) -> Result<(), WriteError> {
        Key::of(cid).map_or(Ok(()), |key| self.shared.forget(&key))
    }

    /// As [`forget_reference`](Self::forget_reference), but only for a file that
    /// [`move_out`](Self::move_out) made and that is not what it was: its blocks may be fetched again,
    /// while a file that the user gave by reference stays and is named as changed.
    pub fn forget_moved(&self, root: &Cid) -> Result<bool, WriteError> {
        let Some(key) = Key::of(root) else { return Ok(false) };
        let whole = self.shared.whole(&key).map_err(ReadError::from)?;
        let moved_away = whole.is_some_and(|(_, record)| {
            record.reference.is_some_and(|file| file.moved && file.open().is_none())
        });
        if moved_away { self.forget_reference(root) } else { Ok(false) }
    }

    /// Whether a file that the user gave by reference stands for `root`.
    pub fn is_reference(&self, root: &Cid) -> Result<bool, ReadError> {
        let Some(key) = Key::of(root) else { return Ok(false) };
        let whole = self.shared.whole(&key)?;
        Ok(whole.is_some_and(|(_, record)| record.reference.is_some_and(|file| !file.moved)))
    }

    /// Forgets the user's file that stands for `root`, with all blocks that lie only there. Says whether
    /// there was one.
    pub fn forget_reference(&self, root: &Cid) -> Result<bool, WriteError> {
        Ok(self.forget_references(std::slice::from_ref(root))? > 0)
    }

    /// As [`forget_reference`](Self::forget_reference), of many with one commit; says of how many there
    /// was a file.
    pub fn forget_references(&self, roots: &[Cid]) -> Result<u64, WriteError> {
        let shared = &self.shared;
        let mut forgotten = 0;
        for key in roots.iter().filter_map(Key::of) {
            let Some((id, _)) = shared.whole(&key).map_err(ReadError::from)? else { continue };
            let _homes = shared.homes.lock();
            let known = shared.record(id).map_err(ReadError::from)?;
            if known.is_none_or(|(record, _)| record.reference.is_none()) {
                continue;
            }
            shared.overlay.change(|layer| {
                layer.blobs.insert(id, None);
                layer.wholes.insert(key.digest, None);
                layer.unlink.push(shared.layout.moved(id));
                layer.handed.push(id);
            });
            forgotten += 1;
        }
        if forgotten > 0 {
            shared.generation.change();
        }
        // Also for none: an earlier try may have forgotten it and failed to say so durably.
        shared.checkpoint()?;
        Ok(forgotten)
    }
}

impl Shared {
    /// Peers may be given this block, wherever it is now.
    fn publish(&self, key: &Key) -> Result<(), WriteError> {
        let pressure = {
            let _stay = self.moving.read();
            let Some(found) = self.find(key).map_err(ReadError::from)? else { return Ok(()) };
            self.overlay.insert(key.digest, Entry { public: true, ..found.entry })
        };
        self.relieve(pressure)
    }

    /// See [`Store::forget_block`].
    pub(crate) fn forget(&self, key: &Key) -> Result<(), WriteError> {
        // First the overlay into the index, so that one removal does it.
        self.checkpoint()?;
        let Some(found) = self.find(key).map_err(ReadError::from)? else { return Ok(()) };
        if let (Place::Blob(id), false) = (found.entry.place, self.release_partial(&found)?) {
            self.damage(id)?;
        }
        self.overlay.forget(&key.digest);
        self.generation.change();
        let changes = Changes { forgotten: vec![key.digest], ..Changes::default() };
        self.commit(Commit { changes, drain: true, ..Commit::default() })
    }

    /// Gives up the range of a block in a blob that is being fetched; says whether it was in one.
    pub(crate) fn release_partial(&self, found: &Found) -> Result<bool, WriteError> {
        let record = found.record.as_ref();
        let state = record.and_then(|record| Some((record.partial?.root?, record.len)));
        let Some((root, len)) = state else { return Ok(false) };
        if let Some(partial) = self.partial(&root, len)? {
            partial.release(found.entry.offset, found.entry.len);
        }
        Ok(true)
    }

    /// Marks a whole blob as damaged, on top of the newest record of it. The next commit that drains the
    /// overlay tells the index.
    pub(crate) fn damage(&self, id: BlobId) -> Result<(), WriteError> {
        let _homes = self.homes.lock();
        let known = self.record(id).map_err(ReadError::from)?;
        if let Some((record, _)) = known.filter(|(record, _)| record.partial.is_none()) {
            self.generation.change();
            self.overlay.change(|layer| {
                layer.blobs.insert(id, Some(BlobRecord { damaged: true, ..record }));
            });
            self.arm();
        }
        Ok(())
    }

    /// Makes a blob one that pins may rely on; `false` when it is gone. A file that the user gave by
    /// reference stays one.
    pub(crate) fn own_blob(&self, id: BlobId) -> Result<bool, WriteError> {
        let homes = self.homes.lock();
        let Some((record, _)) = self.record(id).map_err(ReadError::from)? else {
            return Ok(false);
        };
        match record.reference.clone() {
            _ if record.is_owned() => Ok(true),
            Some(reference) if reference.moved => {
                drop(homes);
                self.take_back(id, &reference)
            }
            Some(_) => Ok(true),
            None => {
                let pressure = self.overlay.keep_blob(id, record);
                drop(homes);
                // It may be on its way out: then the user has a name for it.
                self.part(id)?;
                self.relieve(pressure)?;
                Ok(true)
            }
        }
    }
}
