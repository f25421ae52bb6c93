//! Space that is kept for the day on which the disk is full, so that collecting can commit then.
//!
//! A file of plain length beside everything else. It is given up when a collection, or the removal of a
//! pin, finds the disk full, and made again when a collection ends and there is room.

use std::io;

use crate::error::WriteError;
use crate::store::Shared;

/// Enough for the commits of one collection: an index page for each of 2,000 of its steps.
const RESERVE_BYTES: u64 = 8 * 1024 * 1024;
/// No more than this part of what is free is taken for it.
const FREE_PART: u64 = 8;
/// A smaller one helps nobody.
const RESERVE_BYTES_MIN: u64 = 512 * 1024;

impl Shared {
    /// Makes the reserve where there is none, if there is room for it.
    pub(crate) fn make_reserve(&self) {
        let path = self.layout.reserve();
        if path.exists() {
            return;
        }
        let free = rustix::fs::statvfs(self.layout.root())
            .map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
        let len = RESERVE_BYTES.min(free / FREE_PART);
        if len < RESERVE_BYTES_MIN {
            return;
        }
        let made: io::Result<()> = self.disk.create_new(&path).and_then(|file| file.allocate(len));
        if let Err(error) = made {
            // Where space cannot be taken ahead, there is no reserve.
            tracing::debug!(%error, "no space is held in reserve");
            self.unlink(&[path]);
        }
    }

    /// Gives the reserve up; says whether there was one.
    pub(crate) fn give_up_reserve(&self) -> bool {
        let path = self.layout.reserve();
        if !path.exists() {
            return false;
        }
        tracing::warn!("the disk is full; the reserve is given up");
        self.unlink(&[path]);
        true
    }

    /// Does something that may find the disk full, a second time without the reserve.
    pub(crate) fn with_reserve<T>(
        &self,
        mut work: impl FnMut() -> Result<T, WriteError>,
    ) -> Result<T, WriteError> {
        match work() {
            Err(WriteError::Full { .. }) if self.give_up_reserve() => work(),
            done => done,
        }
    }
}
