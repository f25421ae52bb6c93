//! The store as its users hold it: a cheap handle that every thread may clone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::OpenError;
use crate::layout::Layout;
use crate::lock::{Holder, Lock};

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the holder of the lock calls itself; shown to those who find the store in use.
    pub command: String,
    /// Stands for the kernel's boot id. For tests.
    #[doc(hidden)]
    pub boot_id: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            command: "shoal".to_owned(),
            boot_id: None,
        }
    }
}

/// A store that this process owns. Clones share it; the lock is released when the last one, and the
/// last [`Batch`](crate::Batch), is dropped.
///
/// All methods block; call them from threads that may. Dropping does not sync: what
/// [`keep`](Store::keep) took is found again at the next open all the same. Call
/// [`checkpoint`](Store::checkpoint) first for an index that has everything.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
}

/// What the clones share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) layout: Layout,
    pub(crate) _lock: Lock,
}

impl Store {
    /// Opens the store in `dir`, making it where there is none.
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        let layout = Layout::new(dir);
        let lock = Lock::take(&layout, &options.command)?;
        Ok(Self {
            shared: Arc::new(Shared {
                layout,
                _lock: lock,
            }),
        })
    }

    /// Who has the store in `dir` open, if anybody has.
    pub fn holder(dir: &Path) -> Option<Holder> {
        Lock::holder(&Layout::new(dir))
    }

    /// The store's directory.
    pub fn dir(&self) -> PathBuf {
        self.shared.layout.root().to_owned()
    }
}
