//! The store as the network sees it.
//!
//! What leaves is hashed on that read by the store. What arrives has been verified by the network and is
//! kept as cached content: not public, so that it is served only while a session here fetches it or
//! seeds it on; pinning makes it public.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use shoal_dag::{Cid, hash};
use shoal_net::{BlockRead, Blocks, KeepError};
use shoal_store::{KeepPlace, ReadError, Store, WriteError};
use shoal_swarm::Place;

use crate::control::protocol::Failure;

/// Why the store cannot keep what arrives; set by the streams, read by the swarm task. It stays until
/// something could be kept again.
#[derive(Debug, Default)]
pub struct KeptError(Mutex<Option<Failure>>);

impl KeptError {
    /// The failure, if there is one now.
    pub fn get(&self) -> Option<Failure> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Failure>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a write; each failure is logged once, not once per block.
    fn note(&self, result: Result<(), WriteError>) -> Result<(), KeepError> {
        let mut now = self.lock();
        match result {
            Ok(()) => {
                *now = None;
                Ok(())
            }
            Err(error) => {
                let reason = error.to_string();
                if now.is_none() {
                    tracing::warn!(%error, "what arrives from peers cannot be kept");
                    *now = Some(error.into());
                }
                Err(KeepError { reason })
            }
        }
    }
}

/// Reads and keeps blocks for the streams of peers.
#[derive(Debug)]
pub struct StoreBlocks {
    store: Store,
    error: Arc<KeptError>,
}

impl StoreBlocks {
    /// Over this store; what it cannot keep is told in `error`.
    pub const fn new(store: Store, error: Arc<KeptError>) -> Self {
        Self { store, error }
    }
}

impl Blocks for StoreBlocks {
    fn read(&self, cid: &Cid, cached_ok: bool) -> BlockRead {
        let read = if cached_ok { self.store.get(cid) } else { self.store.get_public(cid) };
        match read {
            Ok(Some(data)) => BlockRead::Found(data),
            Ok(None) => BlockRead::Absent,
            Err(error @ (ReadError::Corrupt { .. } | ReadError::Changed { .. })) => {
                tracing::warn!(%error, "a block is not served");
                BlockRead::Corrupt
            }
            Err(error) => {
                tracing::warn!(%error, "a block cannot be read");
                BlockRead::Absent
            }
        }
    }

    fn public_len(&self, cid: &Cid) -> Option<u32> {
        self.store.public_len(cid)
    }

    fn keep(&self, cid: &Cid, place: Option<&Place>, data: Bytes) -> Result<(), KeepError> {
        // Only a raw leaf is a slice of its file; the engine cannot know what a block will turn out to be.
        let slice = |place: &&Place| place.size > 0 && cid.codec() == hash::RAW;
        let place = place.filter(slice).map(|place| KeepPlace {
            file: &place.file,
            size: place.size,
            offset: place.offset,
        });
        self.error.note(self.store.keep(cid, place, &data, false))
    }
}

#[cfg(test)]
mod tests {
    use shoal_dag::{Version, hash::HashKind};
    use shoal_store::{Home, Options};
    use tempfile::TempDir;

    use super::*;

    /// A branch of a large file once was written over the place of its first leaf.
    #[test]
    fn only_raw_leaves_are_put_at_a_place_in_their_file() {
        let dir = TempDir::new().expect("a temporary directory");
        let store = Store::open(&dir.path().join("store"), Options::default()).expect("a store");
        let blocks = StoreBlocks::new(store.clone(), Arc::default());
        let data = Bytes::from(vec![7; 1000]);
        let cid_of = |codec| hash::cid_of(HashKind::Blake3, codec, Version::V1, &data);
        let (leaf, file) = (cid_of(hash::RAW), cid_of(hash::DAG_PB));
        let other = Bytes::from(vec![8; 1000]);
        let branch = hash::cid_of(HashKind::Blake3, hash::DAG_PB, Version::V1, &other);
        let place = Place { file, size: 1 << 20, offset: 4096 };
        blocks.keep(&leaf, Some(&place), data).expect("room");
        blocks.keep(&branch, Some(&place), other.clone()).expect("room");
        let home = |cid| store.extent(cid).map(|extent| extent.home);
        assert!(matches!(home(&leaf), Some(Home::Blob(_))));
        assert!(matches!(home(&branch), Some(Home::Pack(_))));
        assert_eq!(store.get(&branch).expect("readable"), Some(other));
    }
}
