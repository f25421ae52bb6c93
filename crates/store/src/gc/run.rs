//! One collection: its parts in their order, and what they share.
//!
//! Memory: two bits for each row of the index, some 100 bytes for each blob and pack, and bounded lists.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::RwLockWriteGuard;

use super::account::Homes;
use super::mark::{Marks, Of};
use super::shields::Said;
use super::{CollectOptions, Collected, Collecting, Progress};
use crate::checkpoint::Commit;
use crate::error::WriteError;
use crate::index::snapshot::Snapshot;
use crate::index::{Changes, Moved};
use crate::key::{Digest, Place};
use crate::store::Shared;

/// So many things that were said are marked while nobody may look: a millisecond or so.
const SAID_AT_ONCE: usize = 256;
/// How often that many are waited for before they are marked all the same.
const QUIET_TRIES: usize = 8;
/// Digests that came in during a collection and are remembered: 40 MB. With more it ends.
const LATE_MAX: usize = 1 << 20;

/// Why a collection ends before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// It was asked to, or too much came in.
    Early,
    /// Something failed.
    Failed(WriteError),
}

impl<E: Into<WriteError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// A collection.
pub(super) struct Run<'a> {
    pub(super) shared: &'a Shared,
    pub(super) collecting: &'a Collecting<'a>,
    pub(super) snapshot: Arc<Snapshot>,
    /// Packs from this one on may have records that the snapshot does not know.
    pub(super) pack_end: u32,
    pub(super) marks: Marks,
    pub(super) homes: Homes,
    /// What came in, or was relied on, since the snapshot.
    pub(super) late: HashSet<Digest>,
    /// Rows of blocks that moved to another home since.
    pub(super) moved: HashSet<u64>,
    /// Homes whose files are gone, still noted to go.
    pub(super) gone: Vec<Place>,
    pub(super) report: Collected,
    go_on: &'a mut dyn FnMut(Progress) -> bool,
}

impl<'a> Run<'a> {
    /// Begins: from now on nothing that comes in is unknown.
    pub(super) fn new(
        shared: &'a Shared,
        collecting: &'a Collecting<'a>,
        go_on: &'a mut dyn FnMut(Progress) -> bool,
    ) -> Result<Self, WriteError> {
        let rolled = shared.packs.roll();
        // After the roll: a batch that is not listed here writes to a new pack.
        let pack_end = shared.shields.first_pack().map_or(rolled, |first| first.min(rolled));
        shared.with_reserve(|| shared.checkpoint())?;
        // Before the snapshot: it has all entries of every blob that is listed.
        let homes = Homes::list(shared, !collecting.batches.is_empty())?;
        let snapshot = shared.with_reserve(|| shared.index.snapshot())?;
        let marks = Marks::new(snapshot.count());
        let (late, moved, gone) = (HashSet::new(), HashSet::new(), Vec::new());
        let report = Collected::default();
        Ok(Self {
            shared,
            collecting,
            snapshot,
            pack_end,
            marks,
            homes,
            late,
            moved,
            gone,
            report,
            go_on,
        })
    }

    /// Does all of it.
    pub(super) fn collect(&mut self, options: &CollectOptions) -> Result<(), WriteError> {
        match self.parts(options) {
            Ok(()) => {
                self.report.is_complete = true;
                Ok(())
            }
            Err(Stop::Early) => Ok(()),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    fn parts(&mut self, options: &CollectOptions) -> Result<(), Stop> {
        self.mark(options)?;
        self.count()?;
        self.find_roots()?;
        if options.dry_run {
            self.estimate();
            return Ok(());
        }
        let has_dead = self.report.removed_blocks > 0 || self.homes.has_dead();
        if has_dead {
            self.shared.generation.change();
        }
        (self.report.removed_blocks, self.report.removed_bytes) = (0, 0);
        self.repoint()?;
        self.doom_blobs()?;
        let sparse = self.thin_blobs()?;
        if has_dead {
            self.sweep()?;
        }
        self.step(Progress::Freeing(0))?;
        self.free_blobs(&sparse)?;
        self.free_packs()?;
        self.settle_gone()
    }

    /// Tells how far it is; an end where that is asked for.
    pub(super) fn step(&mut self, progress: Progress) -> Result<(), Stop> {
        if (self.go_on)(progress) { Ok(()) } else { Err(Stop::Early) }
    }

    /// Marks what was said since the last time, and what lies below it.
    pub(super) fn listen(&mut self) -> Result<(), Stop> {
        self.hear()?;
        self.walk(Of::Use)
    }

    /// Marks what was said since the last time; what lies below it waits for the next walk.
    pub(super) fn hear(&mut self) -> Result<(), Stop> {
        let said = self.shared.shields.take().ok_or(Stop::Early)?;
        self.heed(said)
    }

    fn heed(&mut self, said: Vec<Said>) -> Result<(), Stop> {
        for said in said {
            self.mark_said(said)?;
        }
        if self.late.len() > LATE_MAX { Err(Stop::Early) } else { Ok(()) }
    }

    /// Waits until everything that was said is marked, and lets nobody look while the answer lives.
    pub(super) fn quiet(&mut self) -> Result<RwLockWriteGuard<'a, ()>, Stop> {
        for _ in 0..QUIET_TRIES {
            let nobody = self.shared.shields.shut();
            let said = self.shared.shields.take().ok_or(Stop::Early)?;
            let is_little = said.len() <= SAID_AT_ONCE && !said.iter().any(|said| said.below);
            if is_little {
                self.heed(said)?;
                return Ok(nobody);
            }
            drop(nobody);
            self.heed(said)?;
            self.walk(Of::Use)?;
        }
        let nobody = self.shared.shields.shut();
        self.listen()?;
        Ok(nobody)
    }

    /// Commits changes together with the overlay, on a full disk too.
    pub(super) fn commit(&self, changes: &Changes) -> Result<(), Stop> {
        let shared = self.shared;
        let done = shared.with_reserve(|| {
            let changes = changes.clone();
            shared.commit(Commit { changes, drain: true, ..Commit::default() })
        });
        Ok(done?)
    }

    /// Commits that blocks have moved, while nobody repeats where they were.
    pub(super) fn commit_moved(&self, moved: Vec<Moved>) -> Result<(), Stop> {
        // What waits for a commit goes first, so that the lock is held for a short one.
        self.commit(&Changes::default())?;
        let _alone = self.shared.moving.write();
        self.commit(&Changes { moved, ..Changes::default() })
    }

    /// Removes the files of homes, which the index has noted to go, and counts what that frees.
    pub(super) fn remove_files(&mut self, places: &[Place]) {
        for place in places {
            for path in self.shared.files_of(*place) {
                self.report.freed_bytes += super::holes::last_name_bytes(&path);
                self.shared.unlink(&[path]);
            }
            self.shared.files.close(*place);
            self.gone.push(*place);
        }
    }

    /// Forgets that files are to go which are gone.
    fn settle_gone(&mut self) -> Result<(), Stop> {
        let doomed: Vec<_> = self.gone.drain(..).map(|place| (place, false)).collect();
        if !doomed.is_empty() {
            self.commit(&Changes { doomed, ..Changes::default() })?;
        }
        Ok(())
    }
}
