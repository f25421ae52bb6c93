//! Reading a run: one digest at a time.
//!
//! The file stays open for as long as somebody has the run, so that it can be unlinked at any time.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::filter::{BLOCK_BYTES, Filter};
use super::page::Page;
use super::{FOOTER_BYTES, Footer, IndexError, PAGE_BYTES, PAGE_ROWS, checksum};
use crate::files::read_at;
use crate::key::{Digest, Slot};

const FENCE_BYTES: u64 = 8;

/// What the index says of a run.
///
/// ```text
/// age u32, rows u64, gone u64, bytes u64, little-endian
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunRow {
    /// The greater, the newer; a merged run has that of its newest part.
    pub(crate) age: u32,
    pub(crate) rows: u64,
    /// Rows that say that a block is gone.
    pub(crate) gone: u64,
    /// The file's length.
    pub(crate) bytes: u64,
}

impl RunRow {
    pub(crate) const BYTES: usize = 28;

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.age.to_le_bytes());
        for (n, part) in [self.rows, self.gone, self.bytes].into_iter().enumerate() {
            bytes[4 + 8 * n..][..8].copy_from_slice(&part.to_le_bytes());
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let part = |n: usize| {
            let mut part = [0; 8];
            part.copy_from_slice(&bytes[4 + 8 * n..][..8]);
            u64::from_le_bytes(part)
        };
        let mut age = [0; 4];
        age.copy_from_slice(&bytes[..4]);
        Self { age: u32::from_le_bytes(age), rows: part(0), gone: part(1), bytes: part(2) }
    }
}

/// What stays in memory.
#[derive(Debug)]
pub(super) struct Resident {
    pub(super) fences: Vec<u64>,
    pub(super) filter: Filter,
}

/// An open run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) number: u32,
    pub(crate) row: RunRow,
    path: PathBuf,
    file: File,
    footer: Footer,
    resident: OnceLock<Resident>,
    /// Held while they are read.
    loading: Mutex<()>,
}

/// The first 8 bytes of a digest, so that numbers are in the order of digests.
pub(super) fn fence_of(digest: &Digest) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(bytes)
}

impl Run {
    /// Opens a run that the index names. Reads its footer only.
    pub(crate) fn open(number: u32, row: RunRow, path: &Path) -> Result<Self, IndexError> {
        Self::open_as(number, Some(row), path)
    }

    /// Opens a run that was found and that no index names.
    pub(crate) fn open_found(number: u32, path: &Path) -> Result<Self, IndexError> {
        Self::open_as(number, None, path)
    }

    fn open_as(number: u32, row: Option<RunRow>, path: &Path) -> Result<Self, IndexError> {
        let wrong = |what: &str| IndexError::damaged(path, what);
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(wrong("it is missing"));
            }
            file => file.map_err(|error| IndexError::io(path, error))?,
        };
        let len = file.metadata().map_err(|error| IndexError::io(path, error))?.len();
        let at = len.checked_sub(FOOTER_BYTES as u64);
        let bytes = row.map_or(len, |row| row.bytes);
        let Some(at) = at.filter(|_| len == bytes) else {
            return Err(wrong(&format!("it has {len} bytes, not {bytes}")));
        };
        let bytes =
            read_at(&file, at, FOOTER_BYTES).map_err(|error| IndexError::io(path, error))?;
        let footer = Footer::from_bytes(&bytes).ok_or_else(|| wrong("its footer is wrong"))?;
        let parts = u64::from(footer.pages) * (PAGE_BYTES as u64 + FENCE_BYTES);
        let filter = at.checked_sub(parts).filter(|len| len.is_multiple_of(BLOCK_BYTES as u64));
        let row = row.unwrap_or_else(|| footer.row(len));
        if footer.row(len) != row || filter.is_none() {
            return Err(wrong("it is another run"));
        }
        let (path, resident) = (path.to_owned(), OnceLock::new());
        Ok(Self { number, row, path, file, footer, resident, loading: Mutex::default() })
    }

    /// A run that was written just now.
    pub(super) fn of(
        number: u32,
        row: RunRow,
        path: PathBuf,
        file: File,
        footer: Footer,
        resident: Resident,
    ) -> Self {
        let resident = OnceLock::from(resident);
        Self { number, row, path, file, footer, resident, loading: Mutex::default() }
    }

    /// Its file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Can this digest have a row here? Answered from memory.
    pub(crate) fn may_have(&self, digest: &Digest) -> Result<bool, IndexError> {
        Ok(self.resident()?.filter.may_have(digest))
    }

    /// The row of a digest and its rank.
    pub(crate) fn find(&self, digest: &Digest) -> Result<Option<(u64, Slot)>, IndexError> {
        let Resident { fences, filter } = self.resident()?;
        if !filter.may_have(digest) {
            return Ok(None);
        }
        let fence = fence_of(digest);
        // The page before the first that begins at or above it, and those that begin like it.
        let first = fences.partition_point(|at| *at < fence).saturating_sub(1);
        let end = fences.partition_point(|at| *at <= fence);
        for number in first..end {
            let bytes = self.read_pages(number as u32, 1)?;
            let page = self.check(&bytes, number as u32)?;
            if let Some((at, slot)) = page.find(digest) {
                return Ok(Some((number as u64 * PAGE_ROWS + at as u64, slot)));
            }
        }
        Ok(None)
    }

    /// The row of a rank, which is below the count of rows.
    pub(crate) fn row_at(&self, rank: u64) -> Result<Option<(Digest, Slot)>, IndexError> {
        if rank >= self.row.rows {
            return Ok(None);
        }
        let number = (rank / PAGE_ROWS) as u32;
        let bytes = self.read_pages(number, 1)?;
        Ok(self.check(&bytes, number)?.row((rank % PAGE_ROWS) as usize))
    }

    pub(super) fn pages(&self) -> u32 {
        self.footer.pages
    }

    pub(super) fn read_pages(&self, first: u32, count: u32) -> Result<Vec<u8>, IndexError> {
        let at = u64::from(first) * PAGE_BYTES as u64;
        let read = read_at(&self.file, at, count as usize * PAGE_BYTES);
        read.map_err(|error| IndexError::io(&self.path, error))
    }

    /// The rows of a page whose bytes were read.
    pub(super) fn check<'a>(&self, bytes: &'a [u8], number: u32) -> Result<Page<'a>, IndexError> {
        let expected = (self.footer.rows - u64::from(number) * PAGE_ROWS).min(PAGE_ROWS);
        let page = Page::check(bytes, number, self.footer.page_sum);
        page.filter(|page| page.len() as u64 == expected).ok_or_else(|| {
            IndexError::damaged(&self.path, &format!("page {number} has a wrong checksum"))
        })
    }

    /// Reads fences and filter from the disk.
    pub(crate) fn load_all(&self) -> Result<(), IndexError> {
        self.resident().map(drop)
    }

    fn resident(&self) -> Result<&Resident, IndexError> {
        if let Some(resident) = self.resident.get() {
            return Ok(resident);
        }
        let _one = self.loading.lock();
        if let Some(resident) = self.resident.get() {
            return Ok(resident);
        }
        let resident = self.load()?;
        Ok(self.resident.get_or_init(|| resident))
    }

    fn load(&self) -> Result<Resident, IndexError> {
        let pages = u64::from(self.footer.pages);
        let (at, len) = (pages * PAGE_BYTES as u64, pages * FENCE_BYTES);
        let read = |at, len: u64| {
            read_at(&self.file, at, len as usize).map_err(|error| IndexError::io(&self.path, error))
        };
        let wrong = |what| IndexError::damaged(&self.path, what);
        let fences = read(at, len)?;
        if checksum(&fences) != self.footer.fences {
            return Err(wrong("its fences have a wrong checksum"));
        }
        let filter = read(at + len, self.row.bytes - FOOTER_BYTES as u64 - at - len)?;
        if checksum(&filter) != self.footer.filter {
            return Err(wrong("its filter has a wrong checksum"));
        }
        let (fences, _) = fences.as_chunks::<{ FENCE_BYTES as usize }>();
        let fences = fences.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        let filter = Filter::from_bytes(&filter).ok_or_else(|| wrong("it has no filter"))?;
        Ok(Resident { fences, filter })
    }
}

/// The newest row of a digest in runs that are given the newest first, with the place of its run.
pub(crate) fn find_newest(
    runs: &[Arc<Run>],
    digest: &Digest,
) -> Result<Option<(usize, u64, Slot)>, IndexError> {
    for (at, run) in runs.iter().enumerate() {
        if let Some((rank, slot)) = run.find(digest)? {
            return Ok(Some((at, rank, slot)));
        }
    }
    Ok(None)
}
