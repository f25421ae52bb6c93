//! Leases: somebody reads a blob's file by himself, so no hole may be made in it.
//!
//! A reader that asks the store for blocks needs none: it looks again when the bytes are not what they
//! should be. Whoever was given the file or its path (a [`WholeFile`](crate::WholeFile), a mount that
//! passes it through) cannot know. Removing the file's name is harmless: who has it open keeps it.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::blob::BlobId;

/// The leases of a store, by blob, counted.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    counts: Mutex<HashMap<BlobId, usize>>,
}

/// While it lives, no hole is made in a blob's file.
#[derive(Debug)]
pub struct Lease {
    leases: Arc<Leases>,
    blob: BlobId,
}

impl Leases {
    /// Takes a lease.
    pub(crate) fn take(self: &Arc<Self>, blob: BlobId) -> Lease {
        *self.counts.lock().entry(blob).or_default() += 1;
        Lease { leases: Arc::clone(self), blob }
    }

    /// Does anybody read this blob's file by himself?
    pub(crate) fn is_leased(&self, blob: BlobId) -> bool {
        self.counts.lock().contains_key(&blob)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut counts = self.leases.counts.lock();
        if let Some(count) = counts.get_mut(&self.blob) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.blob);
            }
        }
    }
}
