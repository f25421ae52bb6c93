//! The leaves of the blobs: of whole and sparse files by the branches of their roots, of others by the
//! records beside them.
//!
//! A partial blob is not looked at: the next open reads its presence record from the start, since the
//! new index has taken in none of it, and hashes what it leads to, since it is said to be of another boot.

use std::fs::{self, File};

use shoal_dag::hash::{DAG_PB, RAW};
use shoal_dag::{BLOCK_BYTES_MAX, Bytes, Cid, Node};

use super::{Rebuild, failed};
use crate::blob::{BlobId, BlobRecord};
use crate::files::read_at;
use crate::index::{IndexError, Whole};
use crate::key::{Entry, Key, Place};
use crate::pack::scan::matches;
use crate::presence::Presence;

/// Branches below each other in one file; more are not ours.
const DEPTH_MAX: usize = 64;

/// A file that is looked through.
struct Looked {
    id: BlobId,
    file: File,
    len: u64,
}

/// A part of a file: its block, where it begins, how long it is and how deep it lies.
struct Part {
    cid: Cid,
    offset: u64,
    size: u64,
    depth: usize,
}

impl Rebuild<'_> {
    /// Takes every leaf that is right at its place in a blob.
    pub(super) fn read_files(&mut self) -> Result<(), IndexError> {
        // Branches are read through the new index.
        self.flush()?;
        for (root, whole) in self.index.all_wholes()? {
            self.report.files += 1;
            let key = Key { digest: root, hash: whole.hash };
            let is_read = match self.open(whole)? {
                Some(file) => self.read_file(&file, &key)?,
                None => false,
            };
            self.report.files_missing += u64::from(!is_read);
            (self.progress)(&self.report);
        }
        self.read_lists()
    }

    /// The file of a blob, the user's where it is still what it was.
    fn open(&self, whole: Whole) -> Result<Option<Looked>, IndexError> {
        let Some(record) = self.index.blob(whole.blob)? else { return Ok(None) };
        Ok(self.open_blob(whole.blob, &record))
    }

    fn open_blob(&self, id: BlobId, record: &BlobRecord) -> Option<Looked> {
        let file = match &record.reference {
            Some(reference) => reference.open(),
            None => File::open(self.layout.blob(id)).ok(),
        };
        Some(Looked { id, file: file?, len: record.len })
    }

    /// Takes the leaves of a file; `false` when a branch of it is missing.
    fn read_file(&mut self, file: &Looked, root: &Key) -> Result<bool, IndexError> {
        if file.len <= BLOCK_BYTES_MAX as u64 && self.take_leaf(file, *root, 0, file.len)? {
            // The file is its leaf.
            return Ok(true);
        }
        let cid = root.cid(DAG_PB);
        let mut parts = vec![Part { cid, offset: 0, size: file.len, depth: 0 }];
        let mut is_complete = true;
        while let Some(part) = parts.pop() {
            let Some(key) = Key::of(&part.cid) else { continue };
            if part.cid.codec() == RAW {
                let is_right = self.take_leaf(file, key, part.offset, part.size)?;
                self.report.leaves_wrong += u64::from(!is_right);
            } else if let Some(block) = self.block(&key)? {
                open_branch(&part, block.into(), &mut parts);
            } else {
                is_complete = false;
            }
        }
        Ok(is_complete)
    }

    /// Takes a leaf, if its bytes are right.
    fn take_leaf(
        &mut self,
        file: &Looked,
        key: Key,
        offset: u64,
        size: u64,
    ) -> Result<bool, IndexError> {
        let is_within = offset.checked_add(size).is_some_and(|end| end <= file.len);
        if !is_within || size > BLOCK_BYTES_MAX as u64 {
            return Ok(false);
        }
        // What cannot be read is not right.
        let data = read_at(&file.file, offset, size as usize).unwrap_or_default();
        self.report.bytes += data.len() as u64;
        if data.len() as u64 != size || !matches(&key, &data) {
            return Ok(false);
        }
        let (place, len) = (Place::Blob(file.id), size as u32);
        self.take(key, Entry { place, offset, len, hash: key.hash, public: false })?;
        Ok(true)
    }

    /// Takes the leaves that are listed beside a blob that does not grow; of others nothing is believed.
    fn read_lists(&mut self) -> Result<(), IndexError> {
        let dir = self.layout.partials();
        for name in fs::read_dir(&dir).map_err(|error| failed(&dir, error))? {
            let name = name.map_err(|error| failed(&dir, error))?.file_name();
            let Some(id) = name.to_str().and_then(BlobId::parse) else { continue };
            let record = self.index.blob(id)?;
            if record.as_ref().is_none_or(|record| record.partial.is_some()) {
                let path = self.layout.presence(id);
                let distrusted = Presence::distrust(self.layout.disk(), &path);
                distrusted.map_err(|error| failed(&path, error))?;
                continue;
            }
            let Some(file) = record.and_then(|record| self.open_blob(id, &record)) else {
                continue;
            };
            self.read_list(&file)?;
        }
        Ok(())
    }

    fn read_list(&mut self, file: &Looked) -> Result<(), IndexError> {
        let path = self.layout.presence(file.id);
        let opened = Presence::open(self.layout.disk(), &path);
        let Some((presence, _)) = opened.map_err(|error| failed(&path, error))? else {
            return Ok(());
        };
        self.report.files += 1;
        let mut records = Vec::new();
        presence.each(0, |record| records.push(record)).map_err(|error| failed(&path, error))?;
        for record in records {
            let key = Key { digest: record.digest, hash: record.hash };
            let is_right = self.take_leaf(file, key, record.offset, record.len.into())?;
            if is_right && record.public {
                self.say_public(&record.digest)?;
            }
        }
        Ok(())
    }
}

/// Adds the parts of a branch, whatever of it can be read.
fn open_branch(part: &Part, block: Bytes, parts: &mut Vec<Part>) {
    let Ok(Node::File(node)) = Node::decode(&part.cid, block) else { return };
    if part.depth >= DEPTH_MAX || node.size != part.size {
        return;
    }
    let mut offset = part.offset + node.inline.len() as u64;
    for link in node.links {
        // One of nothing has no leaves, and any number of them would be no work.
        if link.size > 0 {
            let (cid, size, depth) = (link.cid, link.size, part.depth + 1);
            parts.push(Part { cid, offset, size, depth });
        }
        offset = offset.saturating_add(link.size);
    }
}
