//! The store as the network sees it.
//!
//! What leaves is hashed on that read by the store. What arrives has been verified by the network and is
//! kept as cached content: not public, so that it is served only while a session here fetches it or
//! seeds it on; pinning makes it public.

use bytes::Bytes;
use shoal_dag::Cid;
use shoal_net::{BlockRead, Blocks, KeepError};
use shoal_store::{KeepPlace, ReadError, Store};
use shoal_swarm::Place;

/// Reads and keeps blocks for the streams of peers.
#[derive(Debug)]
pub struct StoreBlocks {
    store: Store,
}

impl StoreBlocks {
    /// Over this store.
    pub const fn new(store: Store) -> Self {
        Self { store }
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

    fn keep(&self, cid: &Cid, place: Option<&Place>, data: Bytes) -> Result<(), KeepError> {
        let place = place.filter(|place| place.size > 0).map(|place| KeepPlace {
            file: &place.file,
            size: place.size,
            offset: place.offset,
        });
        self.store.keep(cid, place, &data, false).map_err(|error| {
            tracing::warn!(%error, "a block from a peer cannot be kept");
            KeepError { reason: error.to_string() }
        })
    }
}
