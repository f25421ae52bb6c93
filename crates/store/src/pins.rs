//! Pins: the roots that the user wants kept.
//!
//! A pin is keyed by the multihash of its root, so that every way to write a CID finds it, and
//! remembers the CID as it was given. What hangs below a root is the caller's walk.

use std::time::{SystemTime, UNIX_EPOCH};

use shoal_dag::Cid;

use crate::checkpoint::Commit;
use crate::error::{ReadError, WriteError};
use crate::index::{Changes, IndexError, PINS};
use crate::store::{Shared, Store};

/// The encoding that is written; version 1 had no name: flags, created, CID.
///
/// ```text
/// version 2, flags 1 (bit 0 local, bit 1 direct), created 8, length of the name 1, name, CID
/// ```
const VERSION: u8 = 2;
const VERSION_NAMELESS: u8 = 1;
const LOCAL: u8 = 1;
const DIRECT: u8 = 2;

/// A pin's name is a short remark, as in kubo.
pub const PIN_NAME_BYTES_MAX: usize = 255;

/// How a root is pinned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PinOptions {
    /// Neither announced nor served.
    pub local: bool,
    /// Only the block itself is kept, and nothing below it.
    pub direct: bool,
    /// What the user calls it, at most [`PIN_NAME_BYTES_MAX`] bytes; not unique.
    pub name: Option<String>,
}

/// A pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Neither announced nor served.
    pub local: bool,
    /// Only the block itself is kept.
    pub direct: bool,
    /// What the user calls it.
    pub name: Option<String>,
    /// When it was made, in seconds since 1970; for display only.
    pub created: u64,
}

impl Store {
    /// Pins a root, after making everything durable that was kept or owned before. Pinning again
    /// replaces the pin; a name stays unless there is a new one. Whoever brought together what lies below the root has a
    /// [`hold`](Self::hold) on it from before he looked, so that nothing of it was collected meanwhile.
    pub fn pin(&self, cid: &Cid, options: PinOptions) -> Result<(), WriteError> {
        check_name(&options)?;
        // A collection that runs now does not see the pin in the index.
        let _hold = self.hold(cid);
        let options = self.named(cid, options)?;
        let pins = vec![(cid.hash().to_bytes(), Some(encode_pin(cid, &options)))];
        self.change_pins(pins)
    }

    /// A pin that is made again without a name keeps the one that it has.
    pub(crate) fn named(&self, cid: &Cid, options: PinOptions) -> Result<PinOptions, ReadError> {
        if options.name.is_some() {
            return Ok(options);
        }
        let name = self.pinned(cid)?.and_then(|pin| pin.name);
        Ok(PinOptions { name, ..options })
    }

    /// Removes a pin; says whether there was one.
    pub fn unpin(&self, cid: &Cid) -> Result<bool, WriteError> {
        if self.pinned(cid)?.is_none() {
            return Ok(false);
        }
        let key = cid.hash().to_bytes();
        match self.change_pins(vec![(key.clone(), None)]) {
            // A full disk is a reason to unpin.
            Err(WriteError::Full { .. }) if self.shared.give_up_reserve() => {
                self.change_pins(vec![(key, None)])?;
            }
            done => done?,
        }
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
        self.shared.pins(after, limit)
    }

    fn change_pins(&self, pins: Vec<(Vec<u8>, Option<Vec<u8>>)>) -> Result<(), WriteError> {
        let changes = Changes { pins, ..Changes::default() };
        self.shared.commit(Commit { changes, drain: true, ..Commit::default() })
    }
}

impl Shared {
    /// See [`Store::pins`].
    pub(crate) fn pins(
        &self,
        after: Option<&Cid>,
        limit: usize,
    ) -> Result<Vec<(Cid, Pin)>, ReadError> {
        let after = after.map(|cid| cid.hash().to_bytes()).unwrap_or_default();
        let rows = self.index.read(|tx| {
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
}

/// Is its name short enough?
pub(crate) fn check_name(options: &PinOptions) -> Result<(), WriteError> {
    let found = options.name.as_ref().map_or(0, String::len);
    if found <= PIN_NAME_BYTES_MAX {
        return Ok(());
    }
    let (found, max) = (found as u64, PIN_NAME_BYTES_MAX as u64);
    Err(WriteError::TooLarge { what: "the pin's name", found, max })
}

/// The bytes of a pin that is made now, whose name was checked.
pub(crate) fn encode_pin(cid: &Cid, options: &PinOptions) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let flags = [(LOCAL, options.local), (DIRECT, options.direct)];
    let name = options.name.as_deref().unwrap_or_default();
    let mut bytes = vec![VERSION, flags.iter().filter(|flag| flag.1).map(|flag| flag.0).sum()];
    bytes.extend_from_slice(&now.to_le_bytes());
    bytes.push(name.len() as u8);
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(&cid.to_bytes());
    bytes
}

/// The root of a pin that is not local.
pub(crate) fn public_root(bytes: &[u8]) -> Option<Cid> {
    let (root, pin) = decode_pin(bytes)?;
    (!pin.local).then_some(root)
}

fn decode_pin(bytes: &[u8]) -> Option<(Cid, Pin)> {
    let ([version, flags], rest) = bytes.split_first_chunk::<2>()?;
    let (created, rest) = rest.split_first_chunk::<8>()?;
    let (name, cid) = match *version {
        VERSION_NAMELESS => (&[][..], rest),
        VERSION => {
            let (len, rest) = rest.split_first()?;
            rest.split_at_checked(usize::from(*len))?
        }
        _ => return None,
    };
    let name = String::from_utf8_lossy(name).into_owned();
    let pin = Pin {
        local: flags & LOCAL != 0,
        direct: flags & DIRECT != 0,
        name: (!name.is_empty()).then_some(name),
        created: u64::from_le_bytes(*created),
    };
    Some((Cid::try_from(cid).ok()?, pin))
}

#[cfg(test)]
mod tests {
    use shoal_dag::Version;
    use shoal_dag::hash::{HashKind, RAW, cid_of};

    use super::*;

    #[test]
    fn pins_of_both_versions_are_read() {
        let cid = cid_of(HashKind::Blake3, RAW, Version::V1, b"a block");
        for (local, direct, name) in [(false, false, None), (true, true, Some("x".repeat(255)))] {
            let options = PinOptions { local, direct, name };
            let bytes = encode_pin(&cid, &options);
            let (found, pin) = decode_pin(&bytes).unwrap();
            assert_eq!((found, pin.local, pin.direct), (cid, local, direct));
            assert_eq!(pin.name, options.name);
            for cut in 0..bytes.len() {
                assert!(decode_pin(&bytes[..cut]).is_none_or(|(other, _)| other != cid));
            }
        }
        let mut old = vec![1, LOCAL];
        old.extend_from_slice(&77u64.to_le_bytes());
        old.extend_from_slice(&cid.to_bytes());
        let pin = Pin { local: true, direct: false, name: None, created: 77 };
        assert_eq!(decode_pin(&old), Some((cid, pin)));
        let name = Some("y".repeat(256));
        let too_long = PinOptions { name, ..PinOptions::default() };
        assert!(matches!(check_name(&too_long), Err(WriteError::TooLarge { .. })));
    }
}
