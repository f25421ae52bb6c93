//! Small durable values for the node: provider records, debts, remembered seeds.
//!
//! A record has a namespace, which is a short word without a zero byte, and a key. Each change is
//! synced before it is acknowledged, so those who change many give them at once.

use crate::checkpoint::Commit;
use crate::error::{ReadError, WriteError};
use crate::index::{Changes, IndexError, RECORDS};
use crate::store::Store;

/// A namespace is a short word.
pub const RECORD_NAMESPACE_BYTES_MAX: usize = 32;
/// Holds a multihash and a peer id with room to spare.
pub const RECORD_KEY_BYTES_MAX: usize = 512;
/// Records are facts, not content; content goes into blocks.
pub const RECORD_VALUE_BYTES_MAX: usize = 64 * 1024;

/// A record's key, then its value.
pub type Record = (Vec<u8>, Vec<u8>);

impl Store {
    /// Writes a record durably, replacing one of the same key.
    pub fn put_record(&self, ns: &str, key: &[u8], value: &[u8]) -> Result<(), WriteError> {
        self.put_records(ns, &[(key, Some(value))])
    }

    /// Removes a record durably.
    pub fn remove_record(&self, ns: &str, key: &[u8]) -> Result<(), WriteError> {
        self.put_records(ns, &[(key, None)])
    }

    /// Writes (`Some`) and removes (`None`) many records with one sync.
    pub fn put_records(
        &self,
        ns: &str,
        changes: &[(&[u8], Option<&[u8]>)],
    ) -> Result<(), WriteError> {
        let mut records = Vec::with_capacity(changes.len());
        for (key, value) in changes {
            check("the record's key", key.len(), RECORD_KEY_BYTES_MAX)?;
            check("the record", value.map_or(0, <[u8]>::len), RECORD_VALUE_BYTES_MAX)?;
            records.push((full_key(ns, key)?, value.map(<[u8]>::to_vec)));
        }
        let changes = Changes { records, ..Changes::default() };
        self.shared.commit(Commit { changes, ..Commit::default() })
    }

    /// Reads a record.
    pub fn record(&self, ns: &str, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        let Ok(key) = full_key(ns, key) else { return Ok(None) };
        Ok(self.shared.index.record(&key)?)
    }

    /// At most `limit` records in the order of their keys, from the key `from` on (inclusive).
    pub fn records(&self, ns: &str, from: &[u8], limit: usize) -> Result<Vec<Record>, ReadError> {
        let Ok(prefix) = full_key(ns, &[]) else { return Ok(Vec::new()) };
        let first = [prefix.as_slice(), from].concat();
        let rows = self.shared.index.read(|tx| {
            let table = tx.open_table(RECORDS)?;
            let mut rows = Vec::new();
            for row in table.range(first.as_slice()..)?.take(limit) {
                let (key, value) = row?;
                let Some(key) = key.value().strip_prefix(prefix.as_slice()) else { break };
                rows.push((key.to_vec(), value.value().to_vec()));
            }
            Ok::<_, IndexError>(rows)
        })?;
        Ok(rows)
    }
}

/// The key in the index: namespace, zero, key.
pub(crate) fn full_key(ns: &str, key: &[u8]) -> Result<Vec<u8>, WriteError> {
    let max = RECORD_NAMESPACE_BYTES_MAX;
    check("the record's namespace", if ns.contains('\0') { usize::MAX } else { ns.len() }, max)?;
    Ok([ns.as_bytes(), &[0], key].concat())
}

fn check(what: &'static str, found: usize, max: usize) -> Result<(), WriteError> {
    if found <= max {
        return Ok(());
    }
    Err(WriteError::TooLarge { what, found: found as u64, max: max as u64 })
}
