//! Hashing everything again: the scrub that bounds how long the store may be wrong without knowing.
//!
//! Reads every block of the index at its place, in the order of the places, so that a disk is read in
//! sequence and all of it at its own speed; hashes it, and compares the header of a pack's record with
//! the index. Bytes of a whole file that no entry leads to (a leaf that stands twice, or that has a
//! better home) are found by walking the file's branches. Files of blobs that nothing leads to are
//! named too.
//!
//! The store works on meanwhile: what moved or was forgotten since it was listed is looked at again
//! before it is called wrong. Nothing is changed; [`Store::forget_faults`] is the first half of mending,
//! fetching again the second, and that is the caller's. Memory: one part of the list of places
//! ([`places::PLACES_AT_ONCE`]) and 24 bytes a blob.
//!
//! What this does not do: look at the index's own pages (see [`Store::check_index`]), at secrets.

mod orphans;
mod places;
mod scan;
mod wholes;

use std::path::PathBuf;

use shoal_dag::Cid;

use crate::blob::BlobId;
use crate::checkpoint::Commit;
use crate::error::{ReadError, WriteError};
use crate::index::Changes;
use crate::key::{Key, Place};
use crate::store::Store;

/// Faults that are remembered one by one; more are only counted. What is mended before the next run
/// finds the rest.
pub const FAULTS_MAX: usize = 100_000;

/// Something that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Bytes that are not the block's.
    Block(BadBlock),
    /// A user's file that is not what was added by reference.
    Reference {
        /// The file.
        path: PathBuf,
        /// Nothing is there.
        gone: bool,
        /// Whose blocks lie in it.
        blob: BlobId,
    },
    /// A file of the store that nothing leads to.
    Orphan {
        /// The file.
        path: PathBuf,
        /// Bytes that it takes.
        bytes: u64,
    },
}

/// Bytes that are not the block's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadBlock {
    /// The block, written as a raw leaf: the store does not know what it is.
    pub cid: Cid,
    /// The file.
    pub path: PathBuf,
    /// Where in the file the block should be.
    pub offset: u64,
    /// How long it is.
    pub len: u32,
    pub(crate) place: Place,
}

/// How far a check is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    /// Blocks that were hashed.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Faults so far.
    pub faults: u64,
}

/// What a check found.
#[derive(Debug, Default)]
pub struct VerifyReport {
    /// How much was hashed, and how many faults there are.
    pub checked: Checked,
    /// The first [`FAULTS_MAX`] faults, in the order of their places.
    pub faults: Vec<Fault>,
    /// It ended early because it was told to.
    pub is_cut_short: bool,
}

impl VerifyReport {
    fn add(&mut self, fault: Fault) {
        self.checked.faults += 1;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        }
    }
}

impl Store {
    /// Hashes everything that the store has. `go_on` is told how far it is about ten times a second
    /// and ends the check by answering `false`.
    ///
    /// # Errors
    /// The index cannot be read, or the operating system refuses a read.
    pub fn verify(
        &self,
        mut go_on: impl FnMut(Checked) -> bool,
    ) -> Result<VerifyReport, WriteError> {
        let shared = &self.shared;
        shared.checkpoint()?;
        let snapshot = shared.index.snapshot()?;
        let mut report = VerifyReport::default();
        let covered = scan::blocks(shared, &snapshot, &mut report, &mut go_on)?;
        if !report.is_cut_short {
            wholes::check(self, &covered, &mut report, &mut go_on)?;
        }
        if !report.is_cut_short {
            orphans::find(shared, &mut report)?;
        }
        Ok(report)
    }

    /// Forgets what was found wrong, so that it counts as missing and can be fetched again: blocks with
    /// wrong bytes, files of the user that changed, files that nothing leads to. What was mended or
    /// moved since is left alone.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn forget_faults(&self, faults: &[Fault]) -> Result<(), WriteError> {
        let shared = &self.shared;
        shared.checkpoint()?;
        let mut changes = Changes::default();
        for fault in faults {
            match fault {
                Fault::Block(bad) => shared.forget_bad(bad, &mut changes)?,
                Fault::Reference { blob, .. } => shared.forget_users_file(*blob),
                Fault::Orphan { path, .. } => shared.unlink(std::slice::from_ref(path)),
            }
        }
        shared.generation.change();
        shared.commit(Commit { changes, drain: true, ..Commit::default() })
    }
}

impl crate::store::Shared {
    /// Forgets one block, if its bytes at this place still count, and that the file around it is whole.
    fn forget_bad(&self, bad: &BadBlock, changes: &mut Changes) -> Result<(), WriteError> {
        let Some(key) = Key::of(&bad.cid) else { return Ok(()) };
        let found = self.find(&key).map_err(ReadError::from)?;
        let is_here =
            |entry: crate::key::Entry| (entry.place, entry.offset) == (bad.place, bad.offset);
        if let Some(found) = found.filter(|found| is_here(found.entry)) {
            self.release_partial(&found)?;
            self.overlay.forget(&key.digest);
            changes.forgotten.push(key.digest);
        }
        match bad.place {
            Place::Blob(id) => self.damage(id),
            Place::Pack(_) => Ok(()),
        }
    }

    /// Forgets a file of the user, as if it had never been given.
    fn forget_users_file(&self, blob: BlobId) {
        let _homes = self.homes.lock();
        let known = self.record(blob).ok().flatten();
        if known.is_some_and(|(record, _)| {
            record.reference.is_some_and(|reference| reference.open().is_none())
        }) {
            self.overlay.change(|layer| {
                layer.blobs.insert(blob, None);
                layer.unlink.push(self.layout.moved(blob));
            });
        }
    }
}
