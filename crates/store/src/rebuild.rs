//! Making the index again from the data: for a store whose index is damaged or gone.
//!
//! Blocks are their own proof: every record of a pack and every leaf at its place in a blob is hashed, and
//! what is right gets an entry. What the data does not say (blobs, whole files, pins, records) comes from
//! the old index where it can be read without an error, else from its journal. Whom a block may be given
//! to is what the old index or its runs say, as far as they can be read; else what pins, packs and
//! presence records say, and nothing that was hidden becomes public.
//!
//! The new index is made beside the old one and takes its name at the end, so that an interrupted
//! rebuild leaves what was there, and can be begun again. Packs are never written to. What was on its way
//! into the index (tails of packs, presence records, notes) is found by the next open, as after any crash.

mod blobs;
mod old;
mod packs;
mod public;

use std::cell::Cell;
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::error::{OpenError, WriteError};
use crate::index::{Changes, Index, IndexError};
use crate::key::{Digest, Entry, Key, Place};
use crate::layout::Layout;
use crate::lock::Lock;
use crate::store::{Options, Store, is_store};

use old::Old;

/// Entries that are committed at once: each commit is a run of the index.
const ENTRIES_AT_ONCE: usize = 64 * 1024;

/// Where what the data does not say came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TablesFrom {
    /// Neither the old index nor its journal could be read: pins, records and whole files are lost.
    #[default]
    Nowhere,
    /// The old index.
    Index,
    /// Its journal.
    Journal,
}

/// What a rebuild has done so far, or in all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RebuildReport {
    /// Where pins, records, blobs and whole files came from.
    pub tables: TablesFrom,
    /// Bytes of the journal that were damaged, if it was needed.
    pub journal_damaged: u64,
    /// Packs that were read.
    pub packs: u64,
    /// Bytes in packs that are no block.
    pub pack_damaged: u64,
    /// Whole files, and lists of leaves, that were read.
    pub files: u64,
    /// Of these, files that could not be opened or whose branches are missing.
    pub files_missing: u64,
    /// Leaves of files whose bytes are wrong.
    pub leaves_wrong: u64,
    /// Blocks that the old index knows and the data does not have: reading one names what is damaged.
    pub kept_from_index: u64,
    /// Bytes that were read and hashed.
    pub bytes: u64,
    /// Blocks that the new index has.
    pub blocks: u64,
}

/// Told how far a rebuild is.
pub type Progress<'a> = &'a mut dyn FnMut(&RebuildReport);

impl Store {
    /// Makes the index of the store in `dir` again. Nobody may have the store open. Takes as long as
    /// reading and hashing all of its data.
    ///
    /// # Errors
    /// [`OpenError::InUse`], [`OpenError::NotAStore`], or what the operating system refused. Damage is no
    /// error: the report counts it.
    pub fn rebuild(
        dir: &Path,
        options: &Options,
        progress: Progress<'_>,
    ) -> Result<RebuildReport, OpenError> {
        let dir = std::path::absolute(dir).map_err(|error| OpenError::io(dir, error))?;
        let disk = Disk::new(options.fail_sync.clone(), options.watch.clone());
        let layout = Layout::new(&dir, disk);
        if !is_store(&dir) {
            let reason = "it has no format file".to_owned();
            return Err(OpenError::NotAStore { path: dir, reason });
        }
        let _lock = Lock::take(&layout, &options.command)?;
        // What was known to be here without a look is no more: the data says what is.
        let stats = layout.stats();
        layout.disk().remove(&stats).map_err(|error| OpenError::io(&stats, error))?;
        crate::store::begin_rebuild(&layout, options.level0_rows)?;
        let index_path = layout.index();
        let mut rebuild = Rebuild::begin(layout, options, progress)
            .map_err(|error| error.of_open(&index_path))?;
        rebuild.run().map_err(|error| error.of_open(&index_path))?;
        rebuild.end()
    }
}

/// A rebuild under way.
struct Rebuild<'a> {
    layout: Layout,
    old: Old,
    index: Index,
    /// Entries that are not committed yet.
    entries: Vec<(Digest, Entry)>,
    /// The old index did not say of some block whether it is public.
    has_doubt: Cell<bool>,
    report: RebuildReport,
    progress: Progress<'a>,
}

impl<'a> Rebuild<'a> {
    fn begin(
        layout: Layout,
        options: &Options,
        progress: Progress<'a>,
    ) -> Result<Self, IndexError> {
        let old = Old::open(&layout, options.level0_rows);
        let (tables, journal_damaged, index) = old.tables(&layout, options.level0_rows)?;
        let report = RebuildReport { tables, journal_damaged, ..RebuildReport::default() };
        let (entries, has_doubt) = (Vec::new(), Cell::new(false));
        Ok(Self { layout, old, index, entries, has_doubt, report, progress })
    }

    fn run(&mut self) -> Result<(), IndexError> {
        self.read_packs()?;
        self.read_files()?;
        self.flush()?;
        self.keep_what_is_named();
        self.flush()?;
        self.publish_what_pins_reach()
    }

    fn end(self) -> Result<RebuildReport, OpenError> {
        let Self { layout, old, index, mut report, progress, .. } = self;
        report.blocks = index.count().map_err(|error| error.of_open(&layout.index()))?;
        drop(old);
        index.take_over()?;
        progress(&report);
        Ok(report)
    }

    /// Takes a block that was found at a place; `said`: what found it says that it is public.
    fn take(&mut self, key: Key, entry: Entry) -> Result<(), IndexError> {
        let public = self.is_public(&key.digest, entry.public)?;
        self.entries.push((key.digest, Entry { public, ..entry }));
        if self.entries.len() < ENTRIES_AT_ONCE { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<(), IndexError> {
        let entries = std::mem::take(&mut self.entries);
        self.commit(Changes { entries, ..Changes::default() })?;
        self.report.blocks = self.index.count()?;
        (self.progress)(&self.report);
        Ok(())
    }

    fn commit(&self, mut changes: Changes) -> Result<(), IndexError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.index.apply(&mut changes).map_err(IndexError::write)
    }

    /// The bytes of a block that was found, checked again.
    fn block(&self, key: &Key) -> Result<Option<Vec<u8>>, IndexError> {
        let Some(entry) = self.index.entry(&key.digest)? else { return Ok(None) };
        let Place::Pack(number) = entry.place else { return Ok(None) };
        Ok(read_checked(&self.layout.pack(number), key, &entry))
    }
}

/// Reads a block's bytes; `None` where they are not there or not right.
fn read_checked(path: &PathBuf, key: &Key, entry: &Entry) -> Option<Vec<u8>> {
    let file = std::fs::File::open(path).ok()?;
    let is_small = entry.len as usize <= shoal_dag::BLOCK_BYTES_MAX;
    let data =
        crate::files::read_at(&file, entry.offset, entry.len as usize * usize::from(is_small));
    data.ok().filter(|data| crate::pack::scan::matches(key, data))
}

/// What a write came to, as the index says it.
fn failed(path: &Path, error: std::io::Error) -> IndexError {
    IndexError::write(WriteError::io(path, error))
}
