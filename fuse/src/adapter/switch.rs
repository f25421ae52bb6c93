//! Switching the root of a mount that is in use, and telling the kernel.
//!
//! The kernel is told the names of the root that stand for something else, and that the root's own
//! attributes are others. To take an entry back it waits for the lock of the directory, which whoever
//! looks something up there holds until the answer comes: so this is never done by a thread that
//! answers requests, and not while an answer waits for the tree. Once [`LIVE_KEPT`] has passed since
//! the switch the kernel has forgotten the entries by itself, and nothing need be told.
//!
//! Holds neither the file system nor the device: a mount that has ended stays ended.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Weak;
use std::time::Instant;

use shoal_dag::Cid;

use super::{INodeNo, Notifier, Shared};
use crate::fs::LIVE_KEPT;
use crate::inode::ROOT;
use crate::tree::TreeError;

/// Switches the root of a live mount ([`crate::MountOptions::live`]) to another tree.
#[derive(Clone)]
pub struct RootSwitch {
    shared: Weak<Shared>,
    notifier: Weak<Notifier>,
}

/// Why the root was not switched; the mount shows what it showed.
#[derive(Clone, Debug, thiserror::Error, Eq, PartialEq)]
#[non_exhaustive]
pub enum SwitchError {
    /// The new root could not be read.
    #[error("cannot read the root of the tree")]
    Tree(#[source] TreeError),
    /// The mount is no more.
    #[error("the mount has ended")]
    Ended,
}

impl std::fmt::Debug for RootSwitch {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("RootSwitch").finish_non_exhaustive()
    }
}

impl RootSwitch {
    pub(super) fn new(shared: Weak<Shared>, notifier: Weak<Notifier>) -> Self {
        Self { shared, notifier }
    }

    /// Shows `root` from now on: what is looked up below the mountpoint after this returns is looked
    /// up there. Open files, and directories that are open or somebody's working directory (but for
    /// the mountpoint itself), stay in the tree that they are of.
    ///
    /// Waits for the tree, which keeps the deadlines, and up to a second for who waits for it in the
    /// root: not for event loops. One switch at a time; true when the root was another one before.
    ///
    /// # Errors
    /// The new root cannot be read, or the mount has ended.
    pub fn switch(&self, root: Cid) -> Result<bool, SwitchError> {
        let shared = self.shared.upgrade().ok_or(SwitchError::Ended)?;
        let Some(changed) = shared.fs.switch_root(root).map_err(SwitchError::Tree)? else {
            return Ok(false);
        };
        let forgotten = Instant::now() + LIVE_KEPT;
        let notifier = self.notifier.upgrade().ok_or(SwitchError::Ended)?;
        // Takes no lock of the directory.
        told(notifier.inval_inode(INodeNo(ROOT), 0, 0));
        for name in changed {
            if !shared.fs.root_rests(forgotten) || Instant::now() >= forgotten {
                tracing::debug!("names of the root are left to expire");
                break;
            }
            told(notifier.inval_entry(INodeNo(ROOT), OsStr::from_bytes(&name)));
        }
        Ok(true)
    }
}

fn told(outcome: std::io::Result<()>) {
    if let Err(error) = outcome {
        tracing::debug!(%error, "the kernel was not told of a switch");
    }
}
