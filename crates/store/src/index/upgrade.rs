//! Bringing the index of a store of format 1 to this one.
//!
//! Format 1 kept all blocks in a table of redb's own file, without checksums and without a journal. The
//! new index is made beside it under another name: the blocks become one run, the small tables are
//! copied. Then it takes the old one's name, the journal is written from it, and only then does the caller
//! say in `format` that it is done. Interrupted anywhere, it begins again or goes on; nothing that the old
//! index leads to is touched.

use redb::{
    Builder, Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
};

use super::error::guarded;
use super::file::{PlainFile, is_plain};
use super::level0::NewRun;
use super::run::RunWriter;
use super::{
    BLOBS, BLOCKS, CACHE_BYTES, COUNT_BLOCKS, COUNTS, Index, IndexError, PACKS, PINS, RECORDS,
    RUNS, WHOLES,
};
use crate::error::OpenError;
use crate::key::slot_from_bytes;
use crate::layout::Layout;

impl Index {
    /// Opens the index of a store of format 1 and leaves one of this format.
    pub(crate) fn upgrade(layout: &Layout, level0_rows: usize) -> Result<Self, OpenError> {
        let path = layout.index();
        let failed = |error| OpenError::io(&path, error);
        let file = layout.disk().open(&path).map_err(failed)?;
        if is_plain(&file).map_err(failed)? {
            tracing::info!(path = %path.display(), "brings the index to a newer format");
            let old = guarded(|| {
                let mut builder = Builder::new();
                Ok(builder.set_cache_size(CACHE_BYTES).create_with_backend(PlainFile(file))?)
            });
            let built = old.and_then(|old| build(layout, old, level0_rows));
            built.map_err(|error| error.of_open(&path))?;
            Self::take_name(layout)?;
        }
        Self::open(layout, level0_rows)
    }

    /// Gives the index that was made under another name its own.
    pub(super) fn take_name(layout: &Layout) -> Result<(), OpenError> {
        let (new, path) = (layout.new_index(), layout.index());
        let renamed = layout.disk().rename(&new, &path);
        let named = renamed.and_then(|()| layout.disk().sync_dir_io(layout.root()));
        named.map_err(|error| OpenError::io(path, error))
    }
}

fn build(layout: &Layout, old: Database, level0_rows: usize) -> Result<(), IndexError> {
    let path = layout.new_index();
    layout.disk().remove(&path).map_err(|error| IndexError::io(&path, error))?;
    let index = Index::new(layout, &path, level0_rows)?;
    guarded(|| {
        let tx = old.begin_read()?;
        copy_blocks(&index, &tx)?;
        copy_small(&index, &tx)
    })?;
    drop(index);
    // redb may panic on a damaged file as it closes it.
    guarded(|| {
        drop(old);
        Ok(())
    })
}

/// The table of all blocks becomes a run: it is sorted already.
fn copy_blocks(index: &Index, old: &ReadTransaction) -> Result<(), IndexError> {
    let table = old.open_table(BLOCKS)?;
    let (number, rows, layout) = (1, table.len()?, &index.layout);
    if rows == 0 {
        return Ok(());
    }
    let path = layout.run(number);
    let mut writer = RunWriter::create(layout.disk(), &path, 0, rows).map_err(IndexError::write)?;
    for row in table.iter()? {
        let (digest, entry) = row?;
        writer.push(digest.value(), slot_from_bytes(entry.value())).map_err(IndexError::write)?;
    }
    let written = writer.finish().map_err(IndexError::write)?;
    let new = NewRun { number, written };
    layout.disk().sync_dir(&layout.runs()).map_err(IndexError::write)?;
    index.write(|tx| {
        tx.open_table(RUNS)?.insert(number, &new.written.row().to_bytes())?;
        tx.open_table(COUNTS)?.insert(COUNT_BLOCKS, rows)?;
        Ok(())
    })
}

fn copy_small(index: &Index, old: &ReadTransaction) -> Result<(), IndexError> {
    index.write(|tx| {
        let mut table = tx.open_table(BLOBS)?;
        for row in old.open_table(BLOBS)?.iter()? {
            let (id, record) = row?;
            table.insert(id.value(), record.value())?;
        }
        let mut table = tx.open_table(WHOLES)?;
        for row in old.open_table(WHOLES)?.iter()? {
            let (digest, whole) = row?;
            table.insert(digest.value(), whole.value())?;
        }
        let mut table = tx.open_table(PACKS)?;
        for row in old.open_table(PACKS)?.iter()? {
            let (number, len) = row?;
            table.insert(number.value(), len.value())?;
        }
        for name in [PINS, RECORDS] {
            let mut table = tx.open_table(name)?;
            for row in old.open_table(name)?.iter()? {
                let (key, value) = row?;
                table.insert(key.value(), value.value())?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests;
