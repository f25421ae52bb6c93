//! Punching out of older versions what the newest one has.
//!
//! A range of a sparse blob is dead when the *committed* entry of its leaf leads elsewhere, to a home
//! that a pin may rely on, and nothing newer leads back. Whether a file is worked on is decided first:
//! its record says that it is sparse, nobody reads it as a whole (see [`leases`](crate::leases)), it has no
//! second name. From then on none of
//! these changes, since only whole blobs are leased and linked. Dead bytes that were punched twice are
//! still dead: so a crash costs a second walk.
//!
//! ```text
//! records, namespace "thin": root CID -> nothing: its blob is to be thinned
//! ```

use std::ops::Range;

use shoal_dag::Cid;

use super::check_is_alone;
use super::spans::{LEAVES_AT_ONCE, Span, Spans};
use crate::blob::BlobId;
use crate::disk::DiskFile;
use crate::error::{ReadError, WriteError};
use crate::key::{Digest, Entry, Key, Place, inline};
use crate::overlay::Known;
use crate::records::full_key;
use crate::store::{Shared, Store};

const NAMESPACE: &str = "thin";
/// Roots that are read from the list at once.
const ROOTS_AT_ONCE: usize = 256;

/// What [`Store::thin`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Thinned {
    /// Bytes that no entry leads to, punched out (holes that were there already count again).
    pub punched: u64,
    /// Files that are still to be thinned: somebody reads them, or it was told to stop.
    pub left: u64,
}

/// The change of the index that puts a root on the list, or takes it off.
pub(super) fn row(root: &Cid, is_due: bool) -> Result<(Vec<u8>, Option<Vec<u8>>), WriteError> {
    Ok((full_key(NAMESPACE, &root.to_bytes())?, is_due.then(Vec::new)))
}

impl Store {
    /// Gives back the space of older versions that a [`rebase`](Store::rebase) left to do. A file that
    /// somebody reads as a whole stays as it is until the next call.
    pub fn thin(&self, go_on: &mut dyn FnMut() -> bool) -> Result<Thinned, WriteError> {
        let shared = &self.shared;
        let _one = shared.maintenance.lock();
        shared.disk.check()?;
        let mut done = Thinned::default();
        let mut from = Vec::new();
        loop {
            let rows = self.records(NAMESPACE, &from, ROOTS_AT_ONCE)?;
            let Some((last, _)) = rows.last() else { return Ok(done) };
            from = [last.as_slice(), &[0]].concat();
            for (key, _) in &rows {
                let is_done = match Cid::try_from(key.as_slice()) {
                    Ok(root) => shared.thin_or_tell(&root, &mut done, go_on)?,
                    Err(_) => true,
                };
                if is_done {
                    self.remove_record(NAMESPACE, key)?;
                } else {
                    done.left += 1;
                }
            }
        }
    }
}

impl Shared {
    /// As [`thin_one`](Self::thin_one); one that cannot be walked, or is not as it should be, is told and
    /// given up.
    fn thin_or_tell(
        &self,
        root: &Cid,
        done: &mut Thinned,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<bool, WriteError> {
        match self.thin_one(root, done, go_on) {
            Err(error @ (WriteError::Read(_) | WriteError::SourceChanged { .. })) => {
                tracing::warn!(%root, %error, "the space of an older version cannot be given back");
                Ok(true)
            }
            done => done,
        }
    }

    /// Thins the blob of one root; `false` where that has to wait.
    fn thin_one(
        &self,
        root: &Cid,
        done: &mut Thinned,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<bool, WriteError> {
        let Some((id, record)) = self.own_complete(root)?.filter(|(_, record)| record.sparse)
        else {
            return Ok(true);
        };
        let path = self.layout.blob(id);
        let file = self.disk.open(&path).map_err(|error| WriteError::io(&path, error))?;
        if !self.leases.keep_out(id, &file) {
            return Ok(false);
        }
        check_is_alone(&file, &path, record.len)?;
        let mut spans = Spans::of(self, root);
        let mut dead = Dead { file: &file, range: 0..0, punched: 0 };
        let failed = |error| WriteError::io(&path, error);
        let mut is_done = true;
        loop {
            let group = spans.group(LEAVES_AT_ONCE)?;
            if group.is_empty() {
                break;
            }
            for span in self.dead_of(id, &group)? {
                dead.add(span.offset..span.offset + u64::from(span.len)).map_err(failed)?;
            }
            is_done = go_on();
            if !is_done {
                break;
            }
        }
        dead.punch().map_err(failed)?;
        done.punched += dead.punched;
        // Before it is taken off the list.
        file.sync(&path)?;
        Ok(is_done)
    }

    /// Which of these leaves need not be in this blob.
    pub(super) fn dead_of(&self, id: BlobId, group: &[Span]) -> Result<Vec<Span>, WriteError> {
        let keyed = || group.iter().filter_map(|span| Some((span, Key::of(&span.cid)?)));
        let digests: Vec<Digest> = keyed().map(|(_, key)| key.digest).collect();
        let committed = self.index.entries(&digests).map_err(ReadError::from)?;
        let mut dead: Vec<Span> =
            group.iter().filter(|span| inline(&span.cid).is_some()).copied().collect();
        for ((span, key), entry) in keyed().zip(committed) {
            let Some(entry) = entry.filter(|entry| entry.hash == key.hash) else { continue };
            let leads_here =
                |entry: &Entry| (entry.place, entry.offset) == (Place::Blob(id), span.offset);
            let newer = match self.overlay.entry(&key.digest) {
                Known::Is(newer) => Some(newer),
                _ => None,
            };
            let stays = leads_here(&entry) || newer.is_some_and(|newer| leads_here(&newer));
            if !stays && self.is_reliable(&entry)? {
                dead.push(*span);
            }
        }
        dead.sort_unstable_by_key(|span| span.offset);
        Ok(dead)
    }

    /// Is the home of an entry one that a pin may rely on, and as long as it should be?
    fn is_reliable(&self, entry: &Entry) -> Result<bool, WriteError> {
        if let Place::Blob(id) = entry.place {
            let known = self.record(id).map_err(ReadError::from)?;
            if !known.is_some_and(|(record, _)| record.is_owned()) {
                return Ok(false);
            }
        }
        let end = entry.offset.saturating_add(u64::from(entry.len));
        let file = self.files.open(&self.layout, entry.place);
        Ok(file.and_then(|file| file.metadata()).is_ok_and(|metadata| metadata.len() >= end))
    }
}

/// Dead bytes that touch each other, punched together: a hole frees whole blocks only.
struct Dead<'a> {
    file: &'a DiskFile,
    range: Range<u64>,
    punched: u64,
}

impl Dead<'_> {
    fn add(&mut self, range: Range<u64>) -> std::io::Result<()> {
        if range.start == self.range.end {
            self.range.end = range.end;
            return Ok(());
        }
        self.punch()?;
        self.range = range;
        Ok(())
    }

    fn punch(&mut self) -> std::io::Result<()> {
        let len = self.range.end - self.range.start;
        if len > 0 {
            self.file.punch(self.range.start, len)?;
            self.punched += len;
        }
        self.range = self.range.end..self.range.end;
        Ok(())
    }
}
