//! Runs: immutable files of index rows, sorted by digest.
//!
//! A run is written once, from its start to its end, synced, and only then named by the index; it is
//! never changed. What a lookup needs besides one page is small and stays in memory from the first
//! use on: the fences (8 bytes for each page of 78 rows) and the filter (10 bits a row). So a block
//! that is here costs one read of one page, and one that is not costs none.
//!
//! ```text
//! file:   pages; fences; filter; footer
//! page, 4,096 bytes, little-endian
//!  0            52                4056    4058  4060   4064       4096
//! +------------+----- ... -------+-------+-----+------+----------+
//! | digest 32, | up to 78 rows   | count |  0  | page | checksum |   rows: see `key`; after the last
//! | entry 20   |                 |       |     |number| of 0-4063|   one zeros
//! +------------+----- ... -------+-------+-----+------+----------+
//! fence, 8 bytes: the first 8 bytes of a page's first digest
//! filter: see `filter`
//! footer, 136 bytes
//!  0          8         12      16     24     32    36   40          72           104         136
//! +----------+---------+-------+------+------+-----+----+-----------+------------+-----------+
//! | shoalrun | version | pages | rows | gone | age | 0  | BLAKE3 of | BLAKE3 of  | BLAKE3 of |
//! |          |         |       |      | rows |     |    | fences    | filter     | 0-103     |
//! +----------+---------+-------+------+------+-----+----+-----------+------------+-----------+
//! ```
//!
//! Every part has a checksum, which is looked at whenever the part is read: a wrong one is an error
//! that names the file, never an answer.

mod filter;
mod page;
mod reader;
mod scan;
mod writer;

use shoal_dag::hash::HashKind;

use super::IndexError;
use page::PageSum;

pub(crate) use reader::{Run, RunRow, find_newest};
pub(crate) use scan::{Merge, Scan};
pub(crate) use writer::{RunWriter, Written};

/// Read at once by a lookup, and what a file system reads anyway.
pub(crate) const PAGE_BYTES: usize = 4096;
/// Rows of a page.
pub(crate) const PAGE_ROWS: u64 = 78;
const FOOTER_BYTES: usize = 136;
const MAGIC: &[u8; 8] = b"shoalrun";
/// Written. Version 1 is read too; only the checksum of pages differs, see [`PageSum`].
const VERSION: u32 = 2;
/// More pages than 10^10 rows need; a footer that says more is not one of ours.
const PAGES_MAX: u64 = 1 << 28;

/// The checksum of a part.
pub(super) fn checksum(bytes: &[u8]) -> [u8; 32] {
    HashKind::Blake3.digest(bytes)
}

/// What the last bytes of a run say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Footer {
    page_sum: PageSum,
    pages: u32,
    rows: u64,
    gone: u64,
    age: u32,
    fences: [u8; 32],
    filter: [u8; 32],
}

impl Footer {
    fn to_bytes(self) -> [u8; FOOTER_BYTES] {
        let mut bytes = [0; FOOTER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&self.version().to_le_bytes());
        bytes[12..16].copy_from_slice(&self.pages.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.rows.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.gone.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.age.to_le_bytes());
        bytes[40..72].copy_from_slice(&self.fences);
        bytes[72..104].copy_from_slice(&self.filter);
        let sum = checksum(&bytes[..104]);
        bytes[104..].copy_from_slice(&sum);
        bytes
    }

    fn version(self) -> u32 {
        match self.page_sum {
            PageSum::Blake3 => 1,
            PageSum::Xxh3 => VERSION,
        }
    }

    /// The row by which the index names a run with this footer.
    fn row(&self, bytes: u64) -> RunRow {
        RunRow { age: self.age, rows: self.rows, gone: self.gone, bytes }
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (said, sum) = bytes.split_last_chunk::<32>()?;
        if said.len() != FOOTER_BYTES - 32 || checksum(said) != *sum {
            return None;
        }
        let (version, rest) = said.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
        let page_sum = match u32::from_le_bytes(*version) {
            1 => PageSum::Blake3,
            VERSION => PageSum::Xxh3,
            _ => return None,
        };
        let (pages, rest) = rest.split_first_chunk::<4>()?;
        let (rows, rest) = rest.split_first_chunk::<8>()?;
        let (gone, rest) = rest.split_first_chunk::<8>()?;
        let (age, rest) = rest.split_first_chunk::<4>()?;
        let (fences, filter) = rest.get(4..)?.split_first_chunk::<32>()?;
        let pages = u32::from_le_bytes(*pages);
        let rows = u64::from_le_bytes(*rows);
        let is_sound = u64::from(pages) <= PAGES_MAX && rows.div_ceil(PAGE_ROWS) == pages.into();
        is_sound.then_some(Self {
            page_sum,
            pages,
            rows,
            gone: u64::from_le_bytes(*gone),
            age: u32::from_le_bytes(*age),
            fences: *fences,
            filter: filter.try_into().ok()?,
        })
    }
}

#[cfg(test)]
mod tests;
