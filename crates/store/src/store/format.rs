//! The format of a store's directory: which one it is, making one, and bringing an older one to it.
//!
//! Format 2 has the index in runs, with a journal; format 1 had all of it in redb and is brought to 2 when
//! it is opened. A newer one is refused.

use std::fs;
use std::io;

use crate::error::OpenError;
use crate::index::Index;
use crate::layout::Layout;

/// The format that this version writes, and the newest that it reads.
const FORMAT: u32 = 2;
pub(super) const FORMAT_PREFIX: &str = "shoal-store ";
/// A `format` file is one short line; more is not read.
const FORMAT_BYTES_MAX: usize = 64;

/// Opens the index of a store, or makes an empty store where there is none.
pub(super) fn open_or_create_index(
    layout: &Layout,
    level0_rows: usize,
) -> Result<Index, OpenError> {
    match read_format(layout)? {
        Some(format) => open_index(layout, format, level0_rows),
        None => create(layout, level0_rows),
    }
}

/// Reads the format; `None` where there is none yet.
pub(super) fn read_format(layout: &Layout) -> Result<Option<u32>, OpenError> {
    let path = layout.format();
    let mut text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|error| OpenError::io(&path, error))?,
    };
    text.truncate(FORMAT_BYTES_MAX);
    let text = String::from_utf8_lossy(&text).into_owned();
    let number = text.strip_prefix(FORMAT_PREFIX).and_then(|rest| rest.trim_end().parse().ok());
    match number {
        Some(found) if found > FORMAT => Err(OpenError::NewerFormat { found, known: FORMAT }),
        Some(found) if found > 0 => Ok(Some(found)),
        _ => {
            let first = text.lines().next().unwrap_or_default();
            let reason = format!("its first line is {first:?}, not \"{FORMAT_PREFIX}{FORMAT}\"");
            Err(OpenError::NotAStore { path, reason })
        }
    }
}

/// Makes the files of an empty store; `format` last, so that it says that the rest is there.
fn create(layout: &Layout, level0_rows: usize) -> Result<Index, OpenError> {
    let disk = layout.disk();
    for dir in [layout.packs(), layout.blobs(), layout.partials(), layout.secrets()] {
        disk.make_dir(&dir).map_err(|error| OpenError::io(&dir, error))?;
    }
    let index_path = layout.index();
    disk.remove(&index_path).map_err(|error| OpenError::io(&index_path, error))?;
    let index = Index::open(layout, level0_rows)?;
    write_format(layout)?;
    if let Some(parent) = layout.root().parent() {
        disk.sync_dir_io(parent).map_err(|error| OpenError::io(parent, error))?;
    }
    Ok(index)
}

/// Says in `format` that all else is of this format: the file is there as a whole or not at all.
fn write_format(layout: &Layout) -> Result<(), OpenError> {
    let (disk, path) = (layout.disk(), layout.format());
    let new = path.with_extension("new");
    let write = || {
        disk.remove(&new)?;
        let file = disk.create_new(&new)?;
        file.write_all_at(format!("{FORMAT_PREFIX}{FORMAT}\n").as_bytes(), 0)?;
        file.sync_data()?;
        // What it says is there has to be there first.
        disk.sync_dir_io(layout.root())?;
        disk.rename(&new, &path)?;
        disk.sync_dir_io(layout.root())
    };
    write().map_err(|error| OpenError::io(&path, error))
}

/// Opens the index of a store that has one; an empty or missing file is damage, not a new store.
fn open_index(layout: &Layout, format: u32, level0_rows: usize) -> Result<Index, OpenError> {
    let path = layout.index();
    let len = match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        metadata => metadata.map_err(|error| OpenError::io(&path, error))?.len(),
    };
    if len == 0 {
        return Err(OpenError::Damaged { path, reason: "it is missing or empty".to_owned() });
    }
    if format == FORMAT {
        return Index::open(layout, level0_rows);
    }
    let index = Index::upgrade(layout, level0_rows)?;
    write_format(layout)?;
    Ok(index)
}

/// Before the index is made again: a store of format 1 is brought to this one where its index can be read,
/// and said to be of this one where it cannot.
pub(crate) fn begin_rebuild(layout: &Layout, level0_rows: usize) -> Result<(), OpenError> {
    if read_format(layout)?.is_none_or(|format| format == FORMAT) {
        return Ok(());
    }
    match Index::upgrade(layout, level0_rows) {
        Err(error @ OpenError::Damaged { .. }) => {
            tracing::warn!(%error, "an index of an older format is given up");
        }
        done => drop(done?),
    }
    write_format(layout)
}
