//! Reading blocks and whole files.
//!
//! Every byte that leaves through [`Store::get`] was hashed on that read. A lookup asks the overlay
//! first, then the index; an entry whose blob has no record any more leads nowhere and counts as absent.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use shoal_dag::{BLOCK_BYTES_MAX, Bytes, Cid};

use crate::blob::{BlobId, BlobRecord};
use crate::error::ReadError;
use crate::files::read_at;
use crate::index::{IndexError, Whole};
use crate::key::{Entry, Key, Place, inline};
use crate::leases::Lease;
use crate::overlay::Known;
use crate::pack::scan::matches;
use crate::store::{Shared, Store};

/// The file that an extent lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Home {
    /// A blob.
    Blob(BlobId),
    /// A pack, by its number.
    Pack(u32),
}

/// Where the bytes of a block are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The file.
    pub home: Home,
    /// Where in it they begin.
    pub offset: u64,
    /// How many they are.
    pub len: u32,
}

/// A file of the DAG whose content is one blob from 0 to its end.
#[derive(Debug)]
pub struct WholeFile {
    /// Open for reading.
    pub file: File,
    /// Its path.
    pub path: PathBuf,
    /// The content's length, which is the file's.
    pub len: u64,
    /// It is a user's file, which may be edited at any time: hash what is read, never pass it through.
    pub reference: bool,
    /// Keeps the bytes where they are; for a file of the store's own. Whoever passes the path or the
    /// file on keeps it too.
    pub lease: Option<Lease>,
}

impl Store {
    /// Reads a block and checks its bytes; `None` where the store does not have it.
    pub fn get(&self, cid: &Cid) -> Result<Option<Bytes>, ReadError> {
        self.shared.read(cid, false)
    }

    /// As [`get`](Self::get), for blocks that may be given to peers only.
    pub fn get_public(&self, cid: &Cid) -> Result<Option<Bytes>, ReadError> {
        self.shared.read(cid, true)
    }

    /// Does the store have this block? The bytes are not read. An index that cannot be read has
    /// nothing; the log says so.
    pub fn has(&self, cid: &Cid) -> bool {
        inline(cid).is_some() || self.shared.found(cid).is_some()
    }

    /// [`has`](Self::has) for many, in one look at the index.
    pub fn has_many(&self, cids: &[Cid]) -> Vec<bool> {
        let found = self.shared.find_many(cids).unwrap_or_else(|error| {
            tracing::error!(%error, "cannot look up blocks");
            vec![None; cids.len()]
        });
        let is_here =
            |(cid, found): (&Cid, Option<Found>)| found.is_some() || inline(cid).is_some();
        cids.iter().zip(found).map(is_here).collect()
    }

    /// Does the store have this block, and may it be given to peers?
    pub fn is_public(&self, cid: &Cid) -> bool {
        inline(cid).is_some() || self.shared.found(cid).is_some_and(|found| found.entry.public)
    }

    /// The length of a block that may be given to peers, if the store has it. The bytes are not read.
    pub fn public_len(&self, cid: &Cid) -> Option<u32> {
        if let Some(bytes) = inline(cid) {
            return Some(bytes.len() as u32);
        }
        let entry = self.shared.found(cid)?.entry;
        entry.public.then_some(entry.len)
    }

    /// Where a block's bytes are; `None` where the store does not have it or the CID carries them.
    pub fn extent(&self, cid: &Cid) -> Option<Extent> {
        let Entry { place, offset, len, .. } = self.shared.found(cid)?.entry;
        let home = match place {
            Place::Blob(id) => Home::Blob(id),
            Place::Pack(number) => Home::Pack(number),
        };
        Some(Extent { home, offset, len })
    }

    /// The file that holds a block, for messages.
    pub fn locate(&self, cid: &Cid) -> Option<PathBuf> {
        self.shared.found(cid).map(|found| found.path(&self.shared))
    }

    /// Opens the content of a file's root, when it is one blob from 0 to its end. The bytes are not
    /// looked at.
    pub fn whole_file(&self, root: &Cid) -> Result<Option<WholeFile>, ReadError> {
        let Some(key) = Key::of(root) else { return Ok(None) };
        let Some((id, record)) = self.shared.whole(&key)? else { return Ok(None) };
        let len = record.len;
        if let Some(reference) = &record.reference {
            let path = reference.path.clone();
            let Some(file) = reference.open() else {
                return Err(ReadError::changed(*root, path));
            };
            return Ok(Some(WholeFile { file, path, len, reference: true, lease: None }));
        }
        let lease = Some(self.shared.leases.take(id));
        let still = self.shared.whole(&key)?;
        if still.is_none_or(|(now, record)| now != id || record.reference.is_some()) {
            // It changed its home, or became sparse, before the lease was there.
            return Ok(None);
        }
        let path = self.shared.layout.blob(id);
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        match opened {
            Ok((found, file)) if found == len => {
                Ok(Some(WholeFile { file, path, len, reference: false, lease }))
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ReadError::io(path, error))
            }
            _ => Err(ReadError::Corrupt { cid: *root, path }),
        }
    }
}

/// A block that was found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) entry: Entry,
    /// The record of its blob, when it is in one.
    pub(crate) record: Option<BlobRecord>,
    /// The index does not say this yet.
    pub(crate) is_fresh: bool,
}

impl Found {
    /// May a pinned tree rely on it?
    pub(crate) fn is_owned(&self) -> bool {
        self.record.as_ref().is_none_or(BlobRecord::is_owned)
    }

    /// The file that holds it.
    pub(crate) fn path(&self, shared: &Shared) -> PathBuf {
        match self.record.as_ref().and_then(|record| record.reference.as_ref()) {
            Some(reference) => reference.path.clone(),
            None => shared.layout.place(self.entry.place),
        }
    }
}

impl Shared {
    /// Is the file of a block there, and long enough? Its bytes are not looked at.
    pub(crate) fn is_there(&self, found: &Found) -> bool {
        let Entry { place, offset, len, .. } = found.entry;
        let reference = found.record.as_ref().and_then(|record| record.reference.as_ref());
        if let Some(reference) = reference {
            return reference.open().is_some();
        }
        let end = offset.saturating_add(u64::from(len));
        let file = self.files.open(&self.layout, place);
        file.and_then(|file| file.metadata()).is_ok_and(|metadata| metadata.len() >= end)
    }

    /// Finds a block.
    pub(crate) fn find(&self, key: &Key) -> Result<Option<Found>, IndexError> {
        match self.overlay.entry(&key.digest) {
            Known::Is(entry) => self.complete(key, Some(entry), true),
            Known::Gone => Ok(None),
            Known::Nothing => self.complete(key, self.index.entry(&key.digest)?, false),
        }
    }

    /// Adds the blob's record to an entry.
    fn complete(
        &self,
        key: &Key,
        entry: Option<Entry>,
        is_fresh: bool,
    ) -> Result<Option<Found>, IndexError> {
        let Some(entry) = entry.filter(|entry| entry.hash == key.hash) else { return Ok(None) };
        let Place::Blob(id) = entry.place else {
            return Ok(Some(Found { entry, record: None, is_fresh }));
        };
        let found = self.record(id)?;
        Ok(found.map(|(record, is_newer)| Found {
            entry,
            record: Some(record),
            is_fresh: is_fresh || is_newer,
        }))
    }

    /// Finds many blocks, with one look at the index for their entries.
    pub(crate) fn find_many(&self, cids: &[Cid]) -> Result<Vec<Option<Found>>, IndexError> {
        let keys: Vec<Option<Key>> = cids.iter().map(Key::of).collect();
        let look = |key: &Option<Key>| match key {
            Some(key) => self.overlay.entry(&key.digest),
            None => Known::Gone,
        };
        let fresh: Vec<Known<Entry>> = keys.iter().map(look).collect();
        let missing = keys.iter().zip(&fresh).filter(|row| *row.1 == Known::Nothing);
        let digests: Vec<_> = missing.filter_map(|row| Some(row.0.as_ref()?.digest)).collect();
        let mut indexed = self.index.entries(&digests)?.into_iter();
        let mut found = Vec::with_capacity(cids.len());
        for (key, fresh) in keys.into_iter().zip(fresh) {
            found.push(match (key, fresh) {
                (Some(key), Known::Is(entry)) => self.complete(&key, Some(entry), true)?,
                (Some(key), Known::Nothing) => {
                    self.complete(&key, indexed.next().flatten(), false)?
                }
                _ => None,
            });
        }
        Ok(found)
    }

    /// The record of a blob, and whether the index does not say this yet.
    pub(crate) fn record(&self, id: BlobId) -> Result<Option<(BlobRecord, bool)>, IndexError> {
        match self.overlay.blob(id) {
            Known::Is(record) => Ok(Some((record, true))),
            Known::Gone => Ok(None),
            Known::Nothing => Ok(self.index.blob(id)?.map(|record| (record, false))),
        }
    }

    /// The blob that was made for a root, whatever its state.
    pub(crate) fn blob_of(&self, root: &Key) -> Result<Option<(BlobId, BlobRecord)>, IndexError> {
        let whole = match self.overlay.whole(&root.digest) {
            Known::Is(whole) => Some(whole),
            Known::Gone => None,
            Known::Nothing => self.index.whole(&root.digest)?,
        };
        let Some(whole) = whole.filter(|whole| whole.hash == root.hash) else { return Ok(None) };
        Ok(self.record(whole.blob)?.map(|(record, _)| (whole.blob, record)))
    }

    /// The blob that is the whole content of a root.
    pub(crate) fn whole(&self, root: &Key) -> Result<Option<(BlobId, BlobRecord)>, IndexError> {
        let whole = match self.overlay.whole(&root.digest) {
            Known::Is(whole) => Some(whole),
            Known::Gone => None,
            Known::Nothing => self.index.whole(&root.digest)?,
        };
        let id = match whole {
            Some(Whole { blob, hash }) if hash == root.hash => blob,
            Some(_) => return Ok(None),
            // A file of one leaf is whole where its leaf is a whole blob.
            None => match self.find(root)?.map(|found| found.entry) {
                Some(Entry { place: Place::Blob(id), offset: 0, .. }) => id,
                _ => return Ok(None),
            },
        };
        let Some((record, _)) = self.record(id)? else { return Ok(None) };
        let is_one_leaf = whole.is_none();
        if !record.is_whole() || is_one_leaf && !self.is_all_of(root, record.len)? {
            return Ok(None);
        }
        Ok(Some((id, record)))
    }

    fn is_all_of(&self, leaf: &Key, len: u64) -> Result<bool, IndexError> {
        Ok(self.find(leaf)?.is_some_and(|found| u64::from(found.entry.len) == len))
    }

    /// [`find`](Self::find) where an error means absent.
    fn found(&self, cid: &Cid) -> Option<Found> {
        self.find(&Key::of(cid)?).unwrap_or_else(|error| {
            tracing::error!(%error, "cannot look up a block");
            None
        })
    }

    /// Reads a block and checks its bytes.
    pub(crate) fn read(&self, cid: &Cid, public_only: bool) -> Result<Option<Bytes>, ReadError> {
        if let Some(bytes) = inline(cid) {
            return Ok(Some(Bytes::copy_from_slice(bytes)));
        }
        let Some(key) = Key::of(cid) else { return Ok(None) };
        // Twice: between the look at the index and the open, a blob may move out.
        for is_last in [false, true] {
            let Some(found) = self.find(&key)? else { return Ok(None) };
            if public_only && !found.entry.public {
                return Ok(None);
            }
            match self.read_found(cid, &key, &found) {
                Err(ReadError::Corrupt { .. } | ReadError::Changed { .. }) if !is_last => {}
                done => return done.map(Some),
            }
        }
        Ok(None)
    }

    /// Reads the bytes of a block that was found, and hashes them.
    pub(crate) fn read_found(
        &self,
        cid: &Cid,
        key: &Key,
        found: &Found,
    ) -> Result<Bytes, ReadError> {
        let path = found.path(self);
        let reference = found.record.as_ref().and_then(|record| record.reference.as_ref());
        let wrong = |path| match reference {
            Some(_) => ReadError::changed(*cid, path),
            None => ReadError::Corrupt { cid: *cid, path },
        };
        let Entry { place, offset, len, .. } = found.entry;
        if len as usize > BLOCK_BYTES_MAX {
            return Err(wrong(path));
        }
        let file = match reference {
            Some(reference) => reference.open().map(Arc::new).ok_or(io::ErrorKind::NotFound.into()),
            None => self.files.open(&self.layout, place),
        };
        let data = file.and_then(|file| read_at(&file, offset, len as usize));
        let data = match data {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(wrong(path)),
            data => data.map_err(|error| ReadError::io(&path, error))?,
        };
        if data.len() < len as usize || !matches(key, &data) {
            return Err(wrong(path));
        }
        Ok(Bytes::from(data))
    }
}
