//! Pins: the roots that the user wants kept.

use shoal_dag::Cid;

use crate::error::{ReadError, WriteError};
use crate::store::Store;

/// How a root is pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PinOptions {
    /// Neither announced nor served.
    pub local: bool,
}

/// A pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Neither announced nor served.
    pub local: bool,
    /// When it was made, in seconds since 1970.
    pub created: u64,
}

impl Store {
    /// Pins a root, after making everything durable that was kept or owned before. Pinning again
    /// changes the options and keeps the time.
    pub fn pin(&self, cid: &Cid, options: PinOptions) -> Result<(), WriteError> {
        let _ = (cid, options);
        Ok(())
    }

    /// Removes a pin; says whether there was one.
    pub fn unpin(&self, cid: &Cid) -> Result<bool, WriteError> {
        let _ = cid;
        Ok(false)
    }

    /// The pin of exactly this root.
    pub fn pinned(&self, cid: &Cid) -> Result<Option<Pin>, ReadError> {
        let _ = cid;
        Ok(None)
    }

    /// Is exactly this root pinned?
    pub fn is_pinned(&self, cid: &Cid) -> bool {
        let _ = cid;
        false
    }

    /// At most `limit` pins in the order of their keys, after the pin `after`.
    pub fn pins(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<(Cid, Pin)>, ReadError> {
        let _ = (after, limit);
        Ok(Vec::new())
    }
}
