//! Pins: the roots that the user wants kept.
//!
//! A pin is keyed by the multihash of its root, so that every way to write a CID finds it, and
//! remembers the CID as it was given. What hangs below a root is the caller's walk.

use std::time::{SystemTime, UNIX_EPOCH};

use shoal_dag::Cid;

use crate::checkpoint::Commit;
use crate::error::{ReadError, WriteError};
use crate::index::{Changes, IndexError, PINS};
use crate::store::Store;

const VERSION: u8 = 1;
const LOCAL: u8 = 1;

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
    /// When it was made, in seconds since 1970; for display only.
    pub created: u64,
}

impl Store {
    /// Pins a root, after making everything durable that was kept or owned before. Pinning again
    /// replaces the pin.
    pub fn pin(&self, cid: &Cid, options: PinOptions) -> Result<(), WriteError> {
        let pins = vec![(cid.hash().to_bytes(), Some(encode_pin(cid, options)))];
        self.change_pins(pins)
    }

    /// Removes a pin; says whether there was one.
    pub fn unpin(&self, cid: &Cid) -> Result<bool, WriteError> {
        if self.pinned(cid)?.is_none() {
            return Ok(false);
        }
        self.change_pins(vec![(cid.hash().to_bytes(), None)])?;
        Ok(true)
    }

    /// The pin of exactly this root.
    pub fn pinned(&self, cid: &Cid) -> Result<Option<Pin>, ReadError> {
        let key = cid.hash().to_bytes();
        let row = self.shared.index.read(|tx| {
            let table = tx.open_table(PINS)?;
            Ok(table.get(key.as_slice())?.and_then(|value| decode_pin(value.value())))
        })?;
        Ok(row.map(|(_, pin)| pin))
    }

    /// Is exactly this root pinned?
    pub fn is_pinned(&self, cid: &Cid) -> bool {
        self.pinned(cid).is_ok_and(|pin| pin.is_some())
    }

    /// At most `limit` pins in the order of their multihashes, after the pin `after`.
    pub fn pins(&self, after: Option<&Cid>, limit: usize) -> Result<Vec<(Cid, Pin)>, ReadError> {
        let after = after.map(|cid| cid.hash().to_bytes()).unwrap_or_default();
        let rows = self.shared.index.read(|tx| {
            let table = tx.open_table(PINS)?;
            let mut rows = Vec::new();
            for row in table.range(after.as_slice()..)? {
                let (key, value) = row?;
                if rows.len() == limit {
                    break;
                }
                if key.value() != after.as_slice() {
                    rows.extend(decode_pin(value.value()));
                }
            }
            Ok::<_, IndexError>(rows)
        })?;
        Ok(rows)
    }

    fn change_pins(&self, pins: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<(), WriteError> {
        let changes = Changes { pins, ..Changes::default() };
        self.shared.commit(Commit { changes, drain: true, ..Commit::default() })
    }
}

/// The bytes of a pin that is made now.
pub(crate) fn encode_pin(cid: &Cid, options: PinOptions) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut bytes = vec![VERSION, if options.local { LOCAL } else { 0 }];
    bytes.extend_from_slice(&now.to_le_bytes());
    bytes.extend_from_slice(&cid.to_bytes());
    bytes
}

/// The root of a pin that is not local.
pub(crate) fn public_root(bytes: &[u8]) -> Option<Cid> {
    let (root, pin) = decode_pin(bytes)?;
    (!pin.local).then_some(root)
}

fn decode_pin(bytes: &[u8]) -> Option<(Cid, Pin)> {
    let ([VERSION, flags], rest) = bytes.split_first_chunk::<2>()? else { return None };
    let (created, cid) = rest.split_first_chunk::<8>()?;
    let pin = Pin { local: flags & LOCAL != 0, created: u64::from_le_bytes(*created) };
    Some((Cid::try_from(cid).ok()?, pin))
}
