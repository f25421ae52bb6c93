//! Writing a run, from its first row to its footer.
//!
//! Rows come sorted, each digest once. Memory: the fences and the filter, which the run needs later
//! anyway, and [`WRITE_BYTES`].

use std::path::{Path, PathBuf};

use super::filter::Filter;
use super::page::{PageSum, write_page};
use super::reader::{Resident, Run, RunRow};
use super::{FOOTER_BYTES, Footer, PAGE_BYTES, PAGE_ROWS, checksum};
use crate::disk::{Disk, DiskFile};
use crate::error::WriteError;
use crate::key::{Digest, Slot};

/// Written at once.
const WRITE_BYTES: usize = 256 * 1024;
/// The disk begins with this much while more is made: the sync at the end then finds little to do.
const WRITE_OUT_BYTES: u64 = 8 * 1024 * 1024;

/// A run on its way to the disk. Dropped without [`finish`](RunWriter::finish) it removes its file.
#[derive(Debug)]
pub(crate) struct RunWriter {
    disk: Disk,
    file: Option<DiskFile>,
    path: PathBuf,
    rows: Vec<(Digest, Slot)>,
    buffer: Vec<u8>,
    written: u64,
    writing_out: u64,
    fences: Vec<u64>,
    filter: Filter,
    age: u32,
    count: u64,
    gone: u64,
}

/// A run whose bytes are on the disk, and whose name is not yet.
#[derive(Debug)]
pub(crate) struct Written {
    file: DiskFile,
    path: PathBuf,
    footer: Footer,
    bytes: u64,
    resident: Resident,
}

impl RunWriter {
    /// Begins a run of an age and at most `rows` rows in a new file.
    pub(crate) fn create(
        disk: &Disk,
        path: &Path,
        age: u32,
        rows: u64,
    ) -> Result<Self, WriteError> {
        let failed = |error| WriteError::io(path, error);
        // What an earlier process left unnamed.
        disk.remove(path).map_err(failed)?;
        let file = Some(disk.create_new(path).map_err(failed)?);
        Ok(Self {
            disk: disk.clone(),
            file,
            path: path.to_owned(),
            rows: Vec::with_capacity(PAGE_ROWS as usize),
            buffer: Vec::with_capacity(WRITE_BYTES + PAGE_BYTES),
            written: 0,
            writing_out: 0,
            fences: Vec::new(),
            filter: Filter::new(rows),
            age,
            count: 0,
            gone: 0,
        })
    }

    /// Adds the row of the next digest.
    pub(crate) fn push(&mut self, digest: &Digest, slot: Slot) -> Result<(), WriteError> {
        debug_assert!(self.rows.last().is_none_or(|last| last.0 < *digest), "sorted, each once");
        self.rows.push((*digest, slot));
        self.filter.insert(digest);
        self.count += 1;
        self.gone += u64::from(slot.is_none());
        if self.rows.len() as u64 == PAGE_ROWS { self.end_page() } else { Ok(()) }
    }

    /// Has no row been added?
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Writes what is left and syncs the file. Its directory is the caller's.
    pub(crate) fn finish(mut self) -> Result<Written, WriteError> {
        if !self.rows.is_empty() {
            self.end_page()?;
        }
        let fences: Vec<u8> = self.fences.iter().flat_map(|fence| fence.to_le_bytes()).collect();
        let filter = self.filter.to_bytes();
        let footer = Footer {
            page_sum: PageSum::Xxh3,
            pages: self.fences.len() as u32,
            rows: self.count,
            gone: self.gone,
            age: self.age,
            fences: checksum(&fences),
            filter: checksum(&filter),
        };
        for part in [&fences[..], &filter, &footer.to_bytes()] {
            self.buffer.extend_from_slice(part);
            self.flush()?;
        }
        let file = self.file.take().expect("it is taken here only");
        let synced = file.sync(&self.path);
        if synced.is_err() {
            self.file = Some(file);
            return synced.map(|()| unreachable!("it failed"));
        }
        let resident = Resident {
            fences: std::mem::take(&mut self.fences),
            filter: std::mem::replace(&mut self.filter, Filter::new(0)),
        };
        let path = self.path.clone();
        Ok(Written { file, path, footer, bytes: self.written, resident })
    }

    fn end_page(&mut self) -> Result<(), WriteError> {
        let Some((first, _)) = self.rows.first() else { return Ok(()) };
        self.fences.push(super::reader::fence_of(first));
        write_page(&self.rows, self.fences.len() as u32 - 1, &mut self.buffer);
        self.rows.clear();
        if self.buffer.len() < WRITE_BYTES { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        let file = self.file.as_ref().expect("it is taken by finish only");
        let written = file.write_all_at(&self.buffer, self.written);
        written.map_err(|error| WriteError::io(&self.path, error))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        if self.written - self.writing_out >= WRITE_OUT_BYTES {
            file.begin_write_out(self.writing_out..self.written);
            self.writing_out = self.written;
        }
        Ok(())
    }
}

impl Drop for RunWriter {
    fn drop(&mut self) {
        if self.file.is_some()
            && let Err(error) = self.disk.remove(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove an unfinished run");
        }
    }
}

impl Written {
    /// Removes the file again, since no commit named it.
    pub(crate) fn discard(self, disk: &Disk) {
        if let Err(error) = disk.remove(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove an unnamed run");
        }
    }

    /// The row by which the index names it.
    pub(crate) fn row(&self) -> RunRow {
        self.footer.row(self.bytes)
    }

    /// The run, open for reading.
    pub(crate) fn into_run(self, number: u32) -> Run {
        let row = self.row();
        debug_assert!(row.bytes >= FOOTER_BYTES as u64, "it has a footer");
        Run::of(number, row, self.path, self.file.into_plain(), self.footer, self.resident)
    }
}
