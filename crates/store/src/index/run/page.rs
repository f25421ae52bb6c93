//! The bytes of a page: rows in the order of their digests, and what says that they are right.
//!
//! A page that was not checked gives no row. What is guarded against is damage, not whoever may write
//! to the store's files, so that the checksum is a fast one: each lookup computes it.

use twox_hash::XxHash3_64;

use super::{PAGE_BYTES, PAGE_ROWS, checksum};
use crate::key::{Digest, EntryBytes, Slot, slot_from_bytes, slot_to_bytes};

const ROW_BYTES: usize = 52;
const DIGEST_BYTES: usize = 32;
const COUNT_AT: usize = ROW_BYTES * PAGE_ROWS as usize;
const NUMBER_AT: usize = COUNT_AT + 4;
const SUM_AT: usize = NUMBER_AT + 4;
const SUM_BYTES: usize = PAGE_BYTES - SUM_AT;

/// The checksum of the pages of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageSum {
    /// BLAKE3, in runs of version 1: 1.7 of the 5 microseconds of a lookup.
    Blake3,
    /// XXH3, 64 bits, little-endian, then zeros; in runs of version 2.
    Xxh3,
}

impl PageSum {
    fn of(self, bytes: &[u8]) -> [u8; SUM_BYTES] {
        match self {
            Self::Blake3 => checksum(bytes),
            Self::Xxh3 => {
                let mut sum = [0; SUM_BYTES];
                sum[..8].copy_from_slice(&XxHash3_64::oneshot(bytes).to_le_bytes());
                sum
            }
        }
    }
}

/// Appends the page of these rows, as the newest version has it.
pub(super) fn write_page(rows: &[(Digest, Slot)], number: u32, out: &mut Vec<u8>) {
    let start = out.len();
    for (digest, slot) in rows {
        out.extend_from_slice(digest);
        out.extend_from_slice(&slot_to_bytes(*slot));
    }
    out.resize(start + COUNT_AT, 0);
    out.extend_from_slice(&(rows.len() as u32).to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    let sum = PageSum::Xxh3.of(&out[start..]);
    out.extend_from_slice(&sum);
}

/// A page whose bytes were found right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page<'a> {
    rows: &'a [[u8; ROW_BYTES]],
}

impl<'a> Page<'a> {
    /// Checks the bytes of page `number`; `None` where they are not what was written there.
    pub(super) fn check(bytes: &'a [u8], number: u32, sum: PageSum) -> Option<Self> {
        if bytes.len() != PAGE_BYTES || sum.of(&bytes[..SUM_AT]) != bytes[SUM_AT..] {
            return None;
        }
        let says = |at: usize| bytes[at..at + 4].try_into().ok().map(u32::from_le_bytes);
        let count = says(COUNT_AT)? as usize;
        let (rows, _) = bytes[..COUNT_AT].as_chunks::<ROW_BYTES>();
        (says(NUMBER_AT)? == number).then_some(())?;
        Some(Self { rows: rows.get(..count)? })
    }

    /// How many rows it has.
    pub(super) fn len(self) -> usize {
        self.rows.len()
    }

    /// The row at a place.
    pub(super) fn row(self, at: usize) -> Option<(Digest, Slot)> {
        let row = self.rows.get(at)?;
        let (mut digest, mut entry) = ([0; DIGEST_BYTES], EntryBytes::default());
        digest.copy_from_slice(&row[..DIGEST_BYTES]);
        entry.copy_from_slice(&row[DIGEST_BYTES..]);
        Some((digest, slot_from_bytes(&entry)))
    }

    /// The row of a digest and its place.
    pub(super) fn find(self, digest: &Digest) -> Option<(usize, Slot)> {
        let at = self.rows.binary_search_by(|row| row[..DIGEST_BYTES].cmp(digest)).ok()?;
        Some((at, self.row(at)?.1))
    }
}
