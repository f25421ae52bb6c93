//! Removing entries: a step of them at once, gone at once, then committed.
//!
//! By now no blob is taken for whole that is about to lose a leaf. A block that lies elsewhere since the
//! snapshot is left alone. The bytes are given back by who comes after.

use std::ops::ControlFlow;

use super::Progress;
use super::run::{Run, Stop};
use crate::error::{ReadError, WriteError};
use crate::index::Changes;
use crate::key::{Digest, Entry};
use crate::overlay::Known;

/// Entries that are removed with one commit: what the overlay and the index take in one go.
const REMOVED_AT_ONCE: usize = 16 * 1024;

impl Run<'_> {
    /// Removes every entry that does not stay.
    pub(super) fn sweep(&mut self) -> Result<(), Stop> {
        let mut from = 0;
        let mut dead = Vec::with_capacity(REMOVED_AT_ONCE);
        while from < self.snapshot.count() {
            from = self.gather_dead(from, &mut dead)?;
            if !dead.is_empty() {
                self.remove(&dead)?;
                dead.clear();
                self.commit(&Changes::default())?;
            }
            self.step(Progress::Removing(self.report.removed_blocks))?;
        }
        Ok(())
    }

    /// The next dead entries.
    fn gather_dead(
        &mut self,
        from: u64,
        dead: &mut Vec<(u64, Digest, Entry)>,
    ) -> Result<u64, Stop> {
        let (marks, moved, homes) = (&self.marks, &self.moved, &self.homes);
        let end = self.snapshot.each(from, |row| {
            let stays = marks.stays(row.id) || moved.contains(&row.id);
            if row.is_newest && !stays && !homes.is_rooted(row.entry.place) {
                dead.push((row.id, row.digest, row.entry));
            }
            if dead.len() == REMOVED_AT_ONCE {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        Ok(end.map_err(ReadError::from)?)
    }

    fn remove(&mut self, dead: &[(u64, Digest, Entry)]) -> Result<(), Stop> {
        let nobody = self.quiet()?;
        for (id, digest, entry) in dead {
            let stays = self.marks.stays(*id) || self.homes.is_rooted(entry.place);
            if stays || self.overlay_has_newer(digest, entry) {
                continue;
            }
            // The commit that follows makes room.
            let _pressure = self.shared.overlay.remove(*digest);
            self.report.removed_blocks += 1;
            self.report.removed_bytes += u64::from(entry.len);
        }
        drop(nobody);
        Ok(())
    }

    /// Does the block lie elsewhere by now? Then it is not this collection's to judge.
    fn overlay_has_newer(&self, digest: &Digest, entry: &Entry) -> bool {
        match self.shared.overlay.entry(digest) {
            Known::Is(now) => now.place != entry.place || now.offset != entry.offset,
            Known::Gone => true,
            Known::Nothing => false,
        }
    }

    /// An error of the index, as a write's.
    pub(super) fn unread(error: crate::index::IndexError) -> Stop {
        Stop::Failed(WriteError::from(ReadError::from(error)))
    }
}
