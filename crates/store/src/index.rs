//! The index: one redb file that leads from digests to extents, and holds blobs, pins and records.
//!
//! Invariants: an entry is committed only after the bytes it leads to were synced; every commit is
//! immediate and two-phase, with quick repair, so that opening after a crash walks nothing. The
//! blocks in it are never trusted: what they lead to is hashed. Its pages are treated as hostile: an
//! error or a panic of redb becomes an [`IndexError`], and after an I/O error the file is opened anew,
//! since redb refuses to go on (a full disk must not end the store).
//!
//! ```text
//! blocks   digest 32            -> entry 20 (see `key`)
//! blobs    id u64               -> blob record (see `blob`)
//! wholes   digest 32            -> blob id 8, hash 1: this root's content is that blob
//! packs    number u32           -> length u64 up to which every record is in `blocks` or dead
//! pins     multihash            -> see `pins`
//! records  namespace, 0, key    -> value
//! doomed   home u64 (see `key`) -> nothing: a blob or pack that nothing leads to; its files are to go
//! ```

mod apply;
mod file;
pub(crate) mod snapshot;

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use parking_lot::RwLock;
use redb::{Builder, Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};

use crate::blob::{BlobId, BlobRecord};
use crate::disk::Disk;
use crate::error::{OpenError, ReadError, WriteError};
use crate::key::{Digest, Entry, EntryBytes, Place};

pub(crate) use apply::{Changes, Moved};
use file::IndexFile;

/// redb's page cache: the process has 60 MB in all when idle, and branches of a tree of 10^7 entries
/// fit into this.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

pub(crate) const BLOCKS: TableDefinition<'_, &Digest, &EntryBytes> = TableDefinition::new("blocks");
pub(crate) const BLOBS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blobs");
pub(crate) const WHOLES: TableDefinition<'_, &Digest, &[u8; 9]> = TableDefinition::new("wholes");
pub(crate) const PACKS: TableDefinition<'_, u32, u64> = TableDefinition::new("packs");
pub(crate) const PINS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("pins");
pub(crate) const DOOMED: TableDefinition<'_, u64, ()> = TableDefinition::new("doomed");
pub(crate) const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

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

/// Why the index did not answer.
#[derive(Debug)]
pub(crate) struct IndexError {
    reason: String,
    kind: Failure,
    /// What the operating system refused, if it was that.
    refused: Option<std::io::Error>,
}

impl IndexError {
    fn other(reason: String) -> Self {
        Self { reason, kind: Failure::Other, refused: None }
    }

    /// What the opener of the store in whose `path` the index is gets: a file that the operating system
    /// refuses is not damaged.
    pub(crate) fn of_open(self, path: &Path) -> OpenError {
        match self.refused {
            Some(refused) => OpenError::io(path, refused),
            None => OpenError::Damaged { path: path.to_owned(), reason: self.reason },
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Full,
    Io,
    Other,
}

impl fmt::Display for IndexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl<E: Into<redb::Error>> From<E> for IndexError {
    fn from(error: E) -> Self {
        let error = error.into();
        let kind = match &error {
            redb::Error::Io(io) if io.kind() == std::io::ErrorKind::StorageFull => Failure::Full,
            redb::Error::Io(_) | redb::Error::PreviousIo => Failure::Io,
            _ => Failure::Other,
        };
        let reason = error.to_string();
        let refused = match error {
            // One that redb made itself says that the file is not what it should be.
            redb::Error::Io(io) if io.raw_os_error().is_some() => Some(io),
            _ => None,
        };
        Self { reason, kind, refused }
    }
}

impl From<IndexError> for ReadError {
    fn from(error: IndexError) -> Self {
        Self::Index { reason: error.reason }
    }
}

/// Runs something of redb's and turns its panic into an error.
///
/// The process's panic hook runs before the panic is caught, and the default one prints a line to
/// stderr. The hook belongs to the program and is not touched here; it can ask [`is_guarded`]. No check
/// before the open would spare it: redb finds most damage only in the page that it reads.
fn guarded<T>(work: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    let outer = GUARDED.replace(true);
    let caught = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    caught.unwrap_or_else(|panic| {
        let said = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        let reason = format!("its pages are damaged ({})", said.unwrap_or("no detail"));
        Err(IndexError::other(reason))
    })
}

thread_local! {
    /// A panic of this thread is caught in [`guarded`].
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread, now, would be caught by the store and become an error: for the
/// program's panic hook, which may then be silent.
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// The open index.
#[derive(Debug)]
pub(crate) struct Index {
    path: PathBuf,
    disk: Disk,
    database: RwLock<Option<Database>>,
}

impl Index {
    /// Opens the index file, or makes it where it is not.
    pub(crate) fn open(path: &Path, disk: &Disk) -> Result<Self, OpenError> {
        let database = Self::open_database(path, disk).map_err(|error| error.of_open(path))?;
        let (path_owned, disk) = (path.to_owned(), disk.clone());
        let index = Self { path: path_owned, disk, database: RwLock::new(Some(database)) };
        index.make_tables().map_err(|error| error.of_open(path))?;
        Ok(index)
    }

    fn open_database(path: &Path, disk: &Disk) -> Result<Database, IndexError> {
        guarded(|| {
            let file = IndexFile(disk.open_or_create(path).map_err(redb::Error::Io)?);
            Ok(Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(file)?)
        })
    }

    /// Makes the tables in a new file, so that reading never meets a missing one.
    fn make_tables(&self) -> Result<(), IndexError> {
        let complete = self.read(|tx| Ok(tx.list_tables()?.count() == 7))?;
        if complete {
            return Ok(());
        }
        self.write(|tx| {
            tx.open_table(BLOCKS)?;
            tx.open_table(BLOBS)?;
            tx.open_table(WHOLES)?;
            tx.open_table(PACKS)?;
            tx.open_table(PINS)?;
            tx.open_table(RECORDS)?;
            tx.open_table(DOOMED)?;
            Ok(())
        })
    }

    /// Reads within one snapshot.
    pub(crate) fn read<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        let database = self.database.read();
        guarded(|| work(&database.as_ref().ok_or_else(closed)?.begin_read()?))
    }

    /// Writes and commits: immediate, two-phase, quick to repair.
    fn write(
        &self,
        work: impl FnOnce(&redb::WriteTransaction) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let done = {
            let database = self.database.read();
            guarded(|| {
                let mut tx = database.as_ref().ok_or_else(closed)?.begin_write()?;
                tx.set_durability(redb::Durability::Immediate)?;
                tx.set_quick_repair(true);
                work(&tx)?;
                Ok(tx.commit()?)
            })
        };
        if done.as_ref().is_err_and(|error| error.kind != Failure::Other) {
            self.reopen();
        }
        done
    }

    /// Opens the file again after an I/O error, after which redb refuses to work.
    fn reopen(&self) {
        let mut database = self.database.write();
        let old = database.take();
        // Closing may panic on a damaged file as everything else may.
        let closed = guarded(|| {
            drop(old);
            Ok(())
        });
        match closed.and_then(|()| Self::open_database(&self.path, &self.disk)) {
            Ok(opened) => *database = Some(opened),
            Err(error) => tracing::error!(%error, "the index could not be opened again"),
        }
    }

    /// The entry of a digest.
    pub(crate) fn entry(&self, digest: &Digest) -> Result<Option<Entry>, IndexError> {
        self.read(|tx| {
            let table = tx.open_table(BLOCKS)?;
            Ok(table.get(digest)?.map(|bytes| Entry::from_bytes(bytes.value())))
        })
    }

    /// The entries of many digests.
    pub(crate) fn entries(&self, digests: &[Digest]) -> Result<Vec<Option<Entry>>, IndexError> {
        self.read(|tx| {
            let table = tx.open_table(BLOCKS)?;
            let look = |digest| -> Result<Option<Entry>, IndexError> {
                Ok(table.get(digest)?.map(|bytes| Entry::from_bytes(bytes.value())))
            };
            digests.iter().map(look).collect()
        })
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

    /// Every root whose content is one blob.
    pub(crate) fn wholes(&self, each: &mut dyn FnMut(Digest, Whole)) -> Result<(), IndexError> {
        self.read(|tx| {
            for row in tx.open_table(WHOLES)?.iter()? {
                let (digest, whole) = row?;
                each(*digest.value(), Whole::from_bytes(whole.value()));
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
        match error.kind {
            Failure::Full => WriteError::Full { path: self.path.clone() },
            _ => WriteError::Index { reason: error.reason },
        }
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

fn closed() -> IndexError {
    IndexError::other("it could not be opened again".to_owned())
}
