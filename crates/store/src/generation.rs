//! The store's generation: a number that changes when the store comes to have less than before.
//!
//! Whoever remembers that some content is here, without looking, remembers the generation with it and
//! looks again when it is another one. It changes when blocks are removed, when a file of the store is
//! found damaged, and when blocks stop to be public. It does not change when something is added.
//!
//! Numbers are drawn at random, so that none comes again, whatever became of the record of the last
//! one. The record is written by the commit that makes the loss durable, never after it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::blob::BlobId;
use crate::error::OpenError;
use crate::index::{Index, IndexError, RECORDS};
use crate::records::full_key;
use crate::store::Store;

/// Where the number is kept among the records: a namespace that no caller uses.
const NAMESPACE: &str = "store";
const KEY: &[u8] = b"generation";

/// A record's full key and its new value.
type Row = (Vec<u8>, Option<Vec<u8>>);

/// The number, and whether the index has it.
#[derive(Debug)]
pub(crate) struct Generation {
    number: AtomicU64,
    is_unsaved: AtomicBool,
}

impl Store {
    /// The number of now. While it is the same, everything that was here is here, is not known to be
    /// damaged, and is as public as it was.
    pub fn generation(&self) -> u64 {
        self.shared.generation.number.load(Ordering::Acquire)
    }
}

impl Generation {
    /// Reads the number of the last commit; a store that never lost anything has 0.
    pub(crate) fn load(index: &Index) -> Result<Self, IndexError> {
        let number = index.read(|tx| {
            let table = tx.open_table(RECORDS)?;
            let value = table.get(key().as_slice())?;
            let bytes = value.and_then(|value| <[u8; 8]>::try_from(value.value()).ok());
            Ok(bytes.map_or(0, u64::from_le_bytes))
        })?;
        Ok(Self { number: AtomicU64::new(number), is_unsaved: AtomicBool::new(false) })
    }

    /// As [`load`](Self::load), for who opens the store.
    pub(crate) fn open(index: &Index, path: &std::path::Path) -> Result<Self, OpenError> {
        Self::load(index).map_err(|error| error.of_open(path))
    }

    /// Draws a new number: to be called before the commit that loses something, which saves it.
    pub(crate) fn change(&self) {
        self.number.store(BlobId::draw().0, Ordering::Release);
        self.is_unsaved.store(true, Ordering::Release);
    }

    /// Gives a commit the number that the index does not have yet; whether it did.
    pub(crate) fn save(&self, rows: &mut Vec<Row>) -> bool {
        let is_unsaved = self.is_unsaved.swap(false, Ordering::AcqRel);
        if is_unsaved {
            let number = self.number.load(Ordering::Acquire);
            rows.push((key(), Some(number.to_le_bytes().to_vec())));
        }
        is_unsaved
    }

    /// The commit that was given it failed.
    pub(crate) fn was_not_saved(&self) {
        self.is_unsaved.store(true, Ordering::Release);
    }
}

fn key() -> Vec<u8> {
    full_key(NAMESPACE, KEY).expect("a short namespace without a zero")
}
