//! Who reads a blob's file by its path or descriptor, so that no hole is punched under him.
//!
//! Reading a block checks its bytes and looks again where they moved away. Whoever reads a whole file
//! without that (a copy, a mount, the kernel on its behalf) holds a [`Lease`] on its blob. Taking one:
//! first the lease, then the look at the record that says that the blob is whole. Punching: first the
//! record says that it is not, then the look at the leases. So one of the two always sees the other.
//! A lease does not keep the file's name: who has the file open reads on, as ever.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

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

    /// Is the blob leased? Asked after its record has said that it is not whole.
    pub(crate) fn is_held(&self, id: BlobId) -> bool {
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
}
