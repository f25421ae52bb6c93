//! The file of the stat cache: opened when it is first needed, and thrown away when it is not good.
//!
//! Its pages are as hostile as the index's: an error or a panic of redb means that the file goes, and
//! a new one begins with the next write. A file that was not closed and would have to be walked for it
//! goes too. It is bounded by [`FILE_BYTES_MAX`]: one that has grown beyond it is begun anew. It is never
//! synced: what a power loss makes of it is damage like any other, and a sync that fails must not
//! poison a store for a cache.

use std::io;
use std::os::unix::fs::FileExt;

use parking_lot::Mutex;
use redb::{Builder, Database, ReadableDatabase, StorageBackend, TableDefinition};

use super::StatKey;
use crate::disk::DiskFile;
use crate::index::{IndexError, guarded};
use crate::layout::Layout;

const DIRECTORIES: TableDefinition<'_, &StatKey, &[u8]> = TableDefinition::new("directories");

/// Rows of about ten million files. Whoever has more begins anew now and then.
const FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// redb's page cache: records are read once each.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// The file, which need not be there.
#[derive(Debug)]
pub(crate) struct StatFile {
    layout: Layout,
    database: Mutex<Option<Database>>,
}

/// The file as redb sees it.
#[derive(Debug)]
struct Unsynced(DiskFile);

impl StorageBackend for Unsynced {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}

impl StatFile {
    /// Nothing is opened yet.
    pub(crate) fn new(layout: Layout) -> Self {
        Self { layout, database: Mutex::new(None) }
    }

    /// A record, if there is one that can be read.
    pub(super) fn get(&self, key: &StatKey) -> Option<Vec<u8>> {
        let mut slot = self.database.lock();
        if slot.is_none() && !self.layout.stats().exists() {
            return None;
        }
        let found = self.open(&mut slot).and_then(|database| {
            guarded(|| {
                let tx = database.begin_read()?;
                let table = match tx.open_table(DIRECTORIES) {
                    Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                    table => table?,
                };
                Ok(table.get(key)?.map(|value| value.value().to_vec()))
            })
        });
        found.unwrap_or_else(|error| {
            self.discard(&mut slot, &error);
            None
        })
    }

    /// Writes records (`Some`) and removes them (`None`).
    pub(super) fn put(&self, rows: Vec<(StatKey, Option<Vec<u8>>)>) {
        let mut slot = self.database.lock();
        if std::fs::metadata(self.layout.stats()).is_ok_and(|file| file.len() > FILE_BYTES_MAX) {
            tracing::info!("the stat cache is full and begins anew");
            self.remove(&mut slot);
        }
        let written = self.open(&mut slot).and_then(|database| write(database, rows));
        if let Err(error) = written {
            self.discard(&mut slot, &error);
        }
    }

    fn open<'a>(&self, slot: &'a mut Option<Database>) -> Result<&'a Database, IndexError> {
        if slot.is_none() {
            let opened = guarded(|| {
                let opened = self.layout.disk().open_or_create(&self.layout.stats());
                let file = Unsynced(opened.map_err(redb::Error::Io)?);
                let mut builder = Builder::new();
                builder.set_cache_size(CACHE_BYTES);
                // A walk through all of it is not worth what it holds.
                builder.set_repair_callback(redb::RepairSession::abort);
                Ok(builder.create_with_backend(file)?)
            });
            *slot = Some(opened?);
        }
        Ok(slot.as_ref().expect("it was just put there"))
    }

    /// The file is not good: it goes.
    fn discard(&self, slot: &mut Option<Database>, error: &IndexError) {
        tracing::info!(%error, "the stat cache begins anew");
        self.remove(slot);
    }

    fn remove(&self, slot: &mut Option<Database>) {
        close(slot.take());
        if let Err(error) = self.layout.disk().remove(&self.layout.stats()) {
            tracing::debug!(%error, "the stat cache stays");
        }
    }
}

impl Drop for StatFile {
    fn drop(&mut self) {
        close(self.database.get_mut().take());
    }
}

/// redb writes when it closes, and panics where its pages are damaged.
fn close(database: Option<Database>) {
    let closed = guarded(|| {
        drop(database);
        Ok(())
    });
    if let Err(error) = closed {
        tracing::debug!(%error, "the stat cache did not close cleanly");
    }
}

fn write(database: &Database, rows: Vec<(StatKey, Option<Vec<u8>>)>) -> Result<(), IndexError> {
    guarded(|| {
        let mut tx = database.begin_write()?;
        tx.set_quick_repair(true);
        let mut table = tx.open_table(DIRECTORIES)?;
        for (key, value) in &rows {
            match value {
                Some(value) => drop(table.insert(key, value.as_slice())?),
                None => drop(table.remove(key)?),
            }
        }
        drop(table);
        Ok(tx.commit()?)
    })
}
