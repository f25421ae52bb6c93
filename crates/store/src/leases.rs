//! Who reads a blob's file by its path or descriptor, so that no hole is punched under him.
//!
//! Reading a block checks its bytes and looks again where they moved away. Whoever reads a whole file
//! without that (a copy, a mount, the kernel on its behalf) holds a [`Lease`] on its blob. Taking one:
//! first the lease, then the look at the record that says that the blob is whole. Punching: first the
//! record says that it is not, then the look at the leases. So one of the two always sees the other.
//! A lease does not keep the file's name: who has the file open reads on, as ever.
//!
//! Another process that was given a path, as a mount is, holds a shared flock(2) on the open file besides:
//! that lasts as long as anybody, the kernel too, has it open, and longer than this process. Whoever gave
//! the path keeps the lease until the lock can have been taken.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{FlockOperation, flock};

use crate::blob::BlobId;

/// How often each blob is leased: as many as there are open whole files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leases {
    held: Arc<Mutex<HashMap<BlobId, usize>>>,
}

/// While it lives, the bytes of one blob's file stay where they are.
#[derive(Debug)]
#[must_use = "the file may lose bytes from its drop on"]
pub struct Lease {
    leases: Leases,
    id: BlobId,
}

impl Leases {
    /// Takes a lease, before the blob's record is looked at.
    pub(crate) fn take(&self, id: BlobId) -> Lease {
        *self.held.lock().entry(id).or_default() += 1;
        Lease { leases: self.clone(), id }
    }

    /// Locks the open file of a blob against readers until it is closed; `false` where there are any.
    /// Asked after its record has said that it is not whole.
    pub(crate) fn keep_out(&self, id: BlobId, file: &File) -> bool {
        !self.is_held(id) && flock(file, FlockOperation::NonBlockingLockExclusive).is_ok()
    }

    fn is_held(&self, id: BlobId) -> bool {
        self.held.lock().contains_key(&id)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut held = self.leases.held.lock();
        if let Some(count) = held.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_held_until_the_last_lease_is_dropped() {
        let (leases, id) = (Leases::default(), BlobId::draw());
        assert!(!leases.is_held(id));
        let (first, second) = (leases.take(id), leases.take(id));
        drop(first);
        assert!(leases.is_held(id));
        drop(second);
        assert!(!leases.is_held(id));
    }

    #[test]
    fn who_has_locked_the_file_is_a_reader_too() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (leases, id) = (Leases::default(), BlobId::draw());
        let reader = File::open(file.path()).unwrap();
        flock(&reader, FlockOperation::NonBlockingLockShared).unwrap();
        let open = || File::options().write(true).open(file.path()).unwrap();
        assert!(!leases.keep_out(id, &open()));
        drop(reader);
        let (lease, alone) = (leases.take(id), open());
        assert!(!leases.keep_out(id, &alone));
        drop(lease);
        assert!(leases.keep_out(id, &alone));
        let late = File::open(file.path()).unwrap();
        assert!(flock(&late, FlockOperation::NonBlockingLockShared).is_err());
    }
}
