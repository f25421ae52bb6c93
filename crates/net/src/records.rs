//! The trait by which value records are judged without this crate knowing what they say.
//!
//! A DHT keeps records only of kinds that it can check (kad-dht, "Entry validation"): who puts one
//! must not be able to fill the store with noise, or an older record over a newer one. What a record
//! says is the node's business (names are `shoal-ledger`'s); this crate asks it, and keeps, serves
//! and replaces by its word.

/// Judges value records that peers put, or that a lookup found.
///
/// Called in the driver's task: a signature check is fine, disk and waiting are not.
pub trait Records: Send + Sync + 'static {
    /// Whether `value` may stand under `key`, and whether it replaces `kept`, which is there now.
    fn judge(&self, key: &[u8], value: &[u8], kept: Option<&[u8]>) -> Judgement;
}

/// What becomes of a value record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It is not of a kind that is kept, not signed, expired, or not for this key.
    Invalid,
    /// It is valid, and what is kept stays.
    Older,
    /// It is kept, and served until it ends.
    Newer {
        /// The end of its life, in seconds since 1970.
        ends_unix_s: u64,
    },
}

/// Keeps no records at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRecords;

impl Records for NoRecords {
    fn judge(&self, _: &[u8], _: &[u8], _: Option<&[u8]>) -> Judgement {
        Judgement::Invalid
    }
}
