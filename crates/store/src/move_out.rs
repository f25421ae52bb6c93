//! Moving a whole file out of the store to where the user wants it.

use std::path::Path;

use shoal_dag::Cid;

use crate::error::WriteError;
use crate::store::Store;

/// How a file got out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// The store's file itself was linked there; the store will refer to it.
    Linked,
    /// It shares its extents with the store's file.
    Reflinked,
    /// It is a copy.
    Copied,
}

/// A file that is out under its temporary name. Call [`finish`](MovedOut::finish) after the rename.
#[derive(Debug)]
#[must_use = "finish it after the rename, else the store keeps its own name for a linked file"]
pub struct MovedOut {
    pub(crate) store: Store,
    pub(crate) how: Moved,
}

impl Store {
    /// Puts the content of `root` at `temp`, which must not exist, with the permission bits `mode`.
    /// `None` when the file is not whole in one blob. A blob that is kept (pinned) or a reference is
    /// never linked; with `copy` nothing is.
    pub fn move_out(
        &self,
        root: &Cid,
        temp: &Path,
        mode: u32,
        copy: bool,
    ) -> Result<Option<MovedOut>, WriteError> {
        let _ = (root, temp, mode, copy);
        Ok(None)
    }
}

impl MovedOut {
    /// How the file got out.
    pub fn how(&self) -> Moved {
        self.how
    }

    /// Tells the store the final, absolute name, after the rename and after mode and times were set:
    /// a linked blob becomes a reference to it, and the store's own name goes.
    pub fn finish(self, path: &Path) -> Result<(), WriteError> {
        let _ = (path, self.store);
        Ok(())
    }
}
