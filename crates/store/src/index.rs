//! The index: what leads from digests to extents, and holds blobs, pins and records.
//!
//! The rows of blocks lie in *runs*, sorted files that are written once (see [`run`]), and in *level 0*,
//! a table of redb that takes small commits and is bounded. A commit with many rows, or one that would
//! fill level 0, writes a new run; runs are merged in the background (see [`merging`]). Everything else
//! lies in redb. Of several rows of a digest the newest counts: level 0, then the runs by their age.
//!
//! Invariants: an entry is committed only after the bytes it leads to were synced, and a run after it was
//! synced itself; every commit is immediate and two-phase, with quick repair, so that opening after a
//! crash walks nothing. Level 0 and the names of the runs are held in memory as the last commit left
//! them, so that a lookup asks redb nothing. The blocks in it are never trusted: what they lead to is
//! hashed. Its pages are treated as hostile: an error or a panic of redb becomes an [`IndexError`], and
//! after an I/O error the file is opened anew, since redb refuses to go on (a full disk must not end the
//! store).
//!
//! ```text
//! blocks   digest 32            -> entry 20 (see `key`): level 0
//! runs     number u32           -> run 28 (see `run`)
//! blobs    id u64               -> blob record (see `blob`)
//! wholes   digest 32            -> blob id 8, hash 1: this root's content is that blob
//! packs    number u32           -> length u64 up to which every record is in `blocks` or dead
//! pins     multihash            -> see `pins`
//! records  namespace, 0, key    -> value
//! doomed   home u64 (see `key`) -> nothing: a blob or pack that nothing leads to; its files are to go
//! hidden   digest 32            -> u8: not for peers, whatever its pack says (0) or until a run says so (1)
//! counts   name                 -> u64: "blocks", how many there are; how far the journal counts
//! ```

mod anew;
mod apply;
mod check;
mod error;
mod file;
mod journal;
mod level0;
pub(crate) mod merging;
pub(crate) mod run;
mod small;
pub(crate) mod snapshot;
mod state;
mod upgrade;

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::{MappedRwLockReadGuard, Mutex, RwLock, RwLockReadGuard};
use redb::{
    Builder, Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition,
    WriteTransaction,
};

use crate::blob::{BlobId, BlobRecord};
use crate::error::{OpenError, WriteError};
use crate::key::{Digest, EntryBytes, Place};
use crate::layout::Layout;

pub(crate) use anew::is_plain_index;
pub(crate) use apply::{Changes, Moved};
pub use check::IndexFault;
use error::Failure;
pub use error::is_guarded;
pub(crate) use error::{IndexError, guarded};
use file::IndexFile;
use journal::Journal;
pub(crate) use level0::LEVEL0_ROWS_MAX;
use merging::Wake;
use run::RunRow;
use state::State;

/// redb's page cache: the process has 60 MB in all when idle. Level 0 fits into it several times.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

pub(crate) const BLOCKS: TableDefinition<'_, &Digest, &EntryBytes> = TableDefinition::new("blocks");
const RUNS: TableDefinition<'_, u32, &[u8; RunRow::BYTES]> = TableDefinition::new("runs");
pub(crate) const BLOBS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blobs");
pub(crate) const WHOLES: TableDefinition<'_, &Digest, &[u8; 9]> = TableDefinition::new("wholes");
pub(crate) const PACKS: TableDefinition<'_, u32, u64> = TableDefinition::new("packs");
pub(crate) const PINS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("pins");
pub(crate) const DOOMED: TableDefinition<'_, u64, ()> = TableDefinition::new("doomed");
pub(crate) const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
const HIDDEN: TableDefinition<'_, &Digest, u8> = TableDefinition::new("hidden");
const COUNTS: TableDefinition<'_, &str, u64> = TableDefinition::new("counts");
/// How many tables there are.
const TABLES: usize = 10;
/// The name of the count of blocks.
const COUNT_BLOCKS: &str = "blocks";

/// A root whose content is one blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) blob: BlobId,
    pub(crate) hash: u8,
}

impl Whole {
    fn to_bytes(self) -> [u8; 9] {
        let mut bytes = [self.hash; 9];
        bytes[..8].copy_from_slice(&self.blob.0.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; 9]) -> Self {
        let mut id = [0; 8];
        id.copy_from_slice(&bytes[..8]);
        Self { blob: BlobId(u64::from_le_bytes(id)), hash: bytes[8] }
    }
}

/// The open index.
#[derive(Debug)]
pub(crate) struct Index {
    layout: Layout,
    path: PathBuf,
    database: RwLock<Option<Database>>,
    /// What the last commit left; `None` when redb could not be opened again.
    state: RwLock<Option<State>>,
    /// redb could not be opened again: whoever asks next tries it once more.
    is_lost: AtomicBool,
    /// Why it could not.
    why_closed: Mutex<String>,
    /// Where the small tables have their second copy; `None` while an index is made under another name.
    journal: Mutex<Option<Journal>>,
    /// One commit at a time.
    writing: Mutex<()>,
    next_run: AtomicU32,
    /// Level 0 has no more rows than this.
    level0_rows: usize,
    wake: Wake,
}

impl Index {
    /// Opens the index of a store, or makes it where it is not.
    /// `level0_rows` is how many rows level 0 takes at most.
    pub(crate) fn open(layout: &Layout, level0_rows: usize) -> Result<Self, OpenError> {
        let path = &layout.index();
        let index = Self::new(layout, path, level0_rows).map_err(|error| error.of_open(path))?;
        index.remove_unnamed().map_err(|error| OpenError::io(layout.runs(), error))?;
        index.open_journal().map_err(|error| OpenError::of_write(path, error))?;
        Ok(index)
    }

    fn new(layout: &Layout, path: &Path, level0_rows: usize) -> Result<Self, IndexError> {
        let mut index = Self::unread(layout, path, level0_rows)?;
        let state = index.load()?;
        *index.next_run.get_mut() = state.newest_number() + 1;
        *index.state.write() = Some(state);
        Ok(index)
    }

    /// An index whose file is open, and of which nothing else is known.
    fn unread(layout: &Layout, path: &Path, level0_rows: usize) -> Result<Self, IndexError> {
        let runs = layout.runs();
        layout.disk().make_dir(&runs).map_err(|error| IndexError::io(&runs, error))?;
        let index = Self {
            layout: layout.clone(),
            path: path.to_owned(),
            database: RwLock::new(Some(open_database(layout, path)?)),
            state: RwLock::default(),
            is_lost: AtomicBool::new(false),
            why_closed: Mutex::default(),
            journal: Mutex::default(),
            writing: Mutex::default(),
            next_run: AtomicU32::default(),
            level0_rows,
            wake: Wake::default(),
        };
        index.make_tables()?;
        Ok(index)
    }

    /// Makes the tables in a new file, so that reading never meets a missing one.
    fn make_tables(&self) -> Result<(), IndexError> {
        let complete = self.read_once(|tx| Ok(tx.list_tables()?.count() == TABLES))?;
        if complete {
            return Ok(());
        }
        self.write(|tx| {
            tx.open_table(BLOCKS)?;
            tx.open_table(RUNS)?;
            tx.open_table(BLOBS)?;
            tx.open_table(WHOLES)?;
            tx.open_table(PACKS)?;
            tx.open_table(PINS)?;
            tx.open_table(RECORDS)?;
            tx.open_table(HIDDEN)?;
            tx.open_table(COUNTS)?;
            tx.open_table(DOOMED)?;
            Ok(())
        })
    }

    /// Reads within one snapshot.
    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        self.mend();
        let done = self.read_once(work);
        if done.as_ref().is_err_and(|error| error.kind != Failure::Other)
            // Where somebody commits, he meets the same error.
            && let Some(_one) = self.writing.try_lock()
        {
            self.reopen();
        }
        done
    }

    fn read_once<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        let database = self.database.read();
        guarded(|| work(&database.as_ref().ok_or_else(|| self.closed())?.begin_read()?))
    }

    /// Writes and commits: immediate, two-phase, quick to repair.
    fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        self.mend();
        let done = {
            let database = self.database.read();
            guarded(|| {
                let mut tx = database.as_ref().ok_or_else(|| self.closed())?.begin_write()?;
                tx.set_durability(redb::Durability::Immediate)?;
                tx.set_quick_repair(true);
                let given = work(&tx)?;
                tx.commit()?;
                Ok(given)
            })
        };
        if done.as_ref().is_err_and(|error| error.kind != Failure::Other) {
            self.reopen();
        }
        done
    }

    /// Opens the file again after an I/O error, after which redb refuses to work, and looks what it says:
    /// nobody knows whether the commit that failed is in it.
    fn reopen(&self) {
        self.is_lost.store(false, Ordering::Release);
        let opened = {
            let mut database = self.database.write();
            let old = database.take();
            // Closing may panic on a damaged file as everything else may.
            let closed = guarded(|| {
                drop(old);
                Ok(())
            });
            closed.and_then(|()| open_database(&self.layout, &self.path)).map(|opened| {
                *database = Some(opened);
            })
        };
        let state = opened.and_then(|()| self.load());
        if let Err(error) = &state {
            tracing::error!(%error, "the index could not be opened again");
            self.is_lost.store(true, Ordering::Release);
            *self.why_closed.lock() = error.to_string();
        }
        *self.state.write() = state.ok();
    }

    /// Opens redb again where that failed before: a disk that was full may have room by now.
    fn mend(&self) {
        if self.is_lost.load(Ordering::Acquire) {
            self.reopen();
        }
    }

    fn closed(&self) -> IndexError {
        IndexError::other(format!("it could not be opened again: {}", self.why_closed.lock()))
    }

    /// What the last commit left.
    fn state(&self) -> Result<MappedRwLockReadGuard<'_, State>, IndexError> {
        self.mend();
        RwLockReadGuard::try_map(self.state.read(), Option::as_ref).map_err(|_| self.closed())
    }

    /// The record of a blob; one that cannot be read is none.
    pub(crate) fn blob(&self, id: BlobId) -> Result<Option<BlobRecord>, IndexError> {
        self.read(|tx| {
            let table = tx.open_table(BLOBS)?;
            Ok(table.get(id.0)?.and_then(|bytes| BlobRecord::from_bytes(bytes.value())))
        })
    }

    /// The blob that is the whole content of a root.
    pub(crate) fn whole(&self, digest: &Digest) -> Result<Option<Whole>, IndexError> {
        self.read(|tx| {
            let table = tx.open_table(WHOLES)?;
            Ok(table.get(digest)?.map(|bytes| Whole::from_bytes(bytes.value())))
        })
    }

    /// At most `limit` whole files in the order of their digests, after the one of `after`.
    pub(crate) fn wholes(
        &self,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<(Digest, Whole)>, IndexError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.read(|tx| {
            let table = tx.open_table(WHOLES)?;
            let rows = table.range::<&Digest>((from, Bound::Unbounded))?.take(limit).map(|row| {
                let (digest, whole) = row?;
                Ok((*digest.value(), Whole::from_bytes(whole.value())))
            });
            rows.collect()
        })
    }

    /// How far each pack is indexed.
    pub(crate) fn packs(&self) -> Result<Vec<(u32, u64)>, IndexError> {
        self.read(|tx| {
            let table = tx.open_table(PACKS)?;
            let rows = table.iter()?.map(|row| {
                let (number, len) = row?;
                Ok((number.value(), len.value()))
            });
            rows.collect()
        })
    }

    /// Every blob with its record, in the order of their ids; those that cannot be read are left out.
    pub(crate) fn blobs(&self, each: &mut dyn FnMut(BlobId, BlobRecord)) -> Result<(), IndexError> {
        self.read(|tx| {
            for row in tx.open_table(BLOBS)?.iter()? {
                let (id, record) = row?;
                if let Some(record) = BlobRecord::from_bytes(record.value()) {
                    each(BlobId(id.value()), record);
                }
            }
            Ok(())
        })
    }

    /// The value of a record.
    pub(crate) fn record(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.read(|tx| {
            let table = tx.open_table(RECORDS)?;
            Ok(table.get(key)?.map(|value| value.value().to_vec()))
        })
    }

    /// The homes whose files are to go.
    pub(crate) fn doomed(&self) -> Result<Vec<Place>, IndexError> {
        self.read(|tx| {
            let table = tx.open_table(DOOMED)?;
            let rows = table.iter()?.map(|row| Ok(Place::of_home(row?.0.value())));
            rows.collect()
        })
    }

    /// Turns an error of a write into the caller's.
    pub(crate) fn write_error(&self, error: IndexError) -> WriteError {
        error.of_write(&self.path)
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        let database = self.database.get_mut().take();
        // redb writes when it closes, and panics where its pages are damaged.
        if let Err(error) = guarded(|| {
            drop(database);
            Ok(())
        }) {
            tracing::error!(%error, "the index did not close cleanly");
        }
    }
}

fn open_database(layout: &Layout, path: &Path) -> Result<Database, IndexError> {
    guarded(|| {
        let file = IndexFile(layout.disk().open_or_create(path).map_err(redb::Error::Io)?);
        Ok(Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(file)?)
    })
}

#[cfg(test)]
mod tests;
