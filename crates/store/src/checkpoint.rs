//! Commits: everything that makes changes durable goes through here, in one order.
//!
//! 1. the presence counts and pack lengths are noted, so that they never run ahead of 2;
//! 2. the overlay's live layer is taken;
//! 3. all data is synced: partial blobs, packs, and the files of the batch, then the directories in
//!    which names were made;
//! 4. one index commit takes the layer and the batch's changes;
//! 5. files that are of no use any more go, and the store's own names of blobs that were moved out.
//!
//! A failure before 4 puts the layer back.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::blob::{BlobId, PartialState};
use crate::disk::{Disk, DiskFile};
use crate::error::{ReadError, WriteError};
use crate::index::Changes;
use crate::overlay::Layer;
use crate::partial::Partial;
use crate::store::{Shared, Store};

/// Threads that sync the files of one commit: a journal commit serves several waiting syncs at once.
const SYNC_THREADS: usize = 4;

/// What one commit brings with it.
#[derive(Debug, Default)]
pub(crate) struct Commit {
    /// Changes of the index.
    pub(crate) changes: Changes,
    /// Files that these changes lead to.
    pub(crate) files: Vec<(DiskFile, PathBuf)>,
    /// Directories in which names were made.
    pub(crate) dirs: BTreeSet<PathBuf>,
    /// Files that go afterwards.
    pub(crate) unlink: Vec<PathBuf>,
    /// Take the overlay along: the changes rely on it.
    pub(crate) drain: bool,
}

/// What was taken from the overlay.
struct Drained {
    counts: Vec<(BlobId, u64)>,
    layer: Arc<Layer>,
    dirty: Vec<Arc<Partial>>,
}

impl Store {
    /// Syncs and indexes everything that [`keep`](Self::keep) and [`settle`](Self::settle) took. The
    /// store does it by itself too, ten seconds after a change at the latest.
    pub fn checkpoint(&self) -> Result<(), WriteError> {
        self.shared.checkpoint()
    }
}

impl Shared {
    /// Makes the overlay durable.
    pub(crate) fn checkpoint(&self) -> Result<(), WriteError> {
        self.commit(Commit { drain: true, ..Commit::default() })
    }

    /// Makes changes durable.
    pub(crate) fn commit(&self, commit: Commit) -> Result<(), WriteError> {
        let _one = self.commit.lock();
        self.disk.check()?;
        let lens = self.packs.lens();
        if !commit.drain && !self.overlay.has_removals() {
            // Lengths may not run ahead of entries that stay in the overlay.
            let lens = if self.overlay.has_packed() { Vec::new() } else { lens };
            return self.write_out(commit, None, lens);
        }
        let drained = self.drain();
        let layer = Arc::clone(&drained.layer);
        let done = self.write_out(commit, Some(drained), lens);
        if done.is_err() {
            self.overlay.undo_drain();
            self.arm();
            return done;
        }
        self.overlay.end_drain();
        self.unlink_handed(&layer.handed);
        self.unlink(&layer.unlink);
        done
    }

    fn drain(&self) -> Drained {
        let count = |partial: Arc<Partial>| (partial.id, partial.records());
        let counts = self.partials.dirty().into_iter().map(count).collect();
        let layer = self.overlay.begin_drain();
        Drained { counts, layer, dirty: self.partials.take_dirty() }
    }

    fn write_out(
        &self,
        mut commit: Commit,
        drained: Option<Drained>,
        lens: Vec<(u32, u64)>,
    ) -> Result<(), WriteError> {
        if let Some(drained) = &drained {
            for partial in &drained.dirty {
                partial.file.sync(&partial.path)?;
            }
            for path in &drained.layer.unsynced {
                self.sync_found(path)?;
            }
            for id in drained.layer.blobs.keys() {
                self.note_dirs(*id, &mut commit.dirs);
            }
            sync_users_dirs(&self.disk, &drained.layer);
        }
        self.packs.sync(&self.layout, &self.disk)?;
        sync_files(&commit.files)?;
        commit.dirs.iter().try_for_each(|dir| self.disk.sync_dir(dir))?;
        let mut changes = commit.changes;
        if let Some(drained) = &drained {
            self.take_along(&mut changes, drained)?;
        }
        changes.packs = lens;
        let has_generation = self.generation.save(&mut changes.records);
        if changes.is_empty() {
            return Ok(());
        }
        let applied = self.index.apply(&mut changes);
        if has_generation && applied.is_err() {
            self.generation.was_not_saved();
        }
        applied?;
        self.packs.committed(&changes.packs);
        if drained.is_none() {
            self.overlay.supersede(&changes);
        }
        self.unlink(&commit.unlink);
        Ok(())
    }

    /// Adds the overlay's layer to the changes.
    fn take_along(&self, changes: &mut Changes, drained: &Drained) -> Result<(), WriteError> {
        let mut all = drained.layer.to_changes();
        for (id, records) in &drained.counts {
            let known = match all.blobs.get(id) {
                Some(record) => record.clone(),
                None => self.index.blob(*id).map_err(ReadError::from)?,
            };
            let Some(mut record) = known else { continue };
            let Some(state) = record.partial else { continue };
            record.partial = Some(PartialState { records: *records, ..state });
            all.blobs.insert(*id, Some(record));
        }
        all.entries.append(&mut changes.entries);
        for (id, record) in std::mem::take(&mut changes.blobs) {
            all.blobs.insert(id, record);
        }
        all.wholes.append(&mut changes.wholes);
        all.forgotten.append(&mut changes.forgotten);
        all.doomed.append(&mut changes.doomed);
        let rest = std::mem::take(changes);
        let Changes { entries, forgotten, blobs, wholes, doomed, .. } = all;
        *changes = Changes { entries, forgotten, blobs, wholes, doomed, ..rest };
        Ok(())
    }

    /// The directories in which a blob's name was made.
    pub(crate) fn note_dirs(&self, id: BlobId, dirs: &mut BTreeSet<PathBuf>) {
        let dir = self.layout.blob_dir(id);
        // A blob may have been a user's file from the start.
        if dir.is_dir() {
            dirs.extend([dir, self.layout.blobs()]);
        }
    }

    /// Syncs a file that was found when the store was opened; the user may have removed his since.
    fn sync_found(&self, path: &Path) -> Result<(), WriteError> {
        match self.disk.open_to_sync(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            file => file.map_err(|error| WriteError::io(path, error))?.sync(path),
        }
    }

    /// Removes files that nothing leads to any more.
    pub(crate) fn unlink(&self, paths: &[PathBuf]) {
        for path in paths {
            let is_beneath = path.starts_with(self.layout.root());
            debug_assert!(is_beneath, "only the store's own names go");
            if is_beneath && let Err(error) = self.disk.remove(path) {
                tracing::warn!(path = %path.display(), %error, "cannot remove a file");
            }
        }
    }
}

fn sync_files(files: &[(DiskFile, PathBuf)]) -> Result<(), WriteError> {
    let sync = |(file, path): &(DiskFile, PathBuf)| file.sync(path);
    if files.len() < SYNC_THREADS {
        return files.iter().try_for_each(sync);
    }
    std::thread::scope(|scope| {
        let share = files.len().div_ceil(SYNC_THREADS);
        let threads: Vec<_> = files
            .chunks(share)
            .map(|files| scope.spawn(move || files.iter().try_for_each(sync)))
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or(Err(WriteError::Poisoned))
        };
        threads.into_iter().map(join).fold(Ok(()), Result::and)
    })
}

/// Syncs the directories into which blobs were moved, before the store gives up its own names. They are
/// the user's: one that cannot be synced is his matter and no failure of the store.
fn sync_users_dirs(disk: &Disk, layer: &Layer) {
    let references = layer.blobs.values().flatten().filter_map(|record| record.reference.as_ref());
    let moved = references.filter(|reference| reference.moved);
    let dirs: BTreeSet<&Path> = moved.filter_map(|reference| reference.path.parent()).collect();
    for dir in dirs {
        if let Err(error) = disk.sync_users_dir(dir) {
            tracing::debug!(path = %dir.display(), %error, "cannot sync a directory of the user");
        }
    }
}
