//! Blocks in memory, for the tests of what reads and keeps blocks.

use std::collections::HashMap;

use bytes::Bytes;
use parking_lot::Mutex;
use shoal_dag::Cid;
use shoal_swarm::Place;

use super::{BlockRead, Blocks, KeepError};

/// All of them are public; those of one byte cannot be kept.
#[derive(Default)]
pub(crate) struct Memory(pub(crate) Mutex<HashMap<Cid, Bytes>>);

impl Blocks for Memory {
    fn read(&self, cid: &Cid, _: bool) -> BlockRead {
        self.0.lock().get(cid).cloned().map_or(BlockRead::Absent, BlockRead::Found)
    }

    fn public_len(&self, cid: &Cid) -> Option<u32> {
        self.0.lock().get(cid).map(|data| data.len() as u32)
    }

    fn keep(&self, cid: &Cid, _: Option<&Place>, data: Bytes) -> Result<(), KeepError> {
        if data.len() == 1 {
            return Err(KeepError { reason: "full".into() });
        }
        self.0.lock().insert(*cid, data);
        Ok(())
    }
}
