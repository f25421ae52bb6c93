//! Finding again, at the opening of a store, what an earlier process kept and did not index.
//!
//! Looks at three things only: the tails of packs beyond their committed lengths, the presence records
//! in `partial/`, and the notes of blobs that were moved out. What was committed is not looked at, so
//! the time to open does not grow with the store. Whatever is found goes into the overlay and is
//! synced and indexed by the next checkpoint.
//!
//! After a sync that failed the kernel's cache may show what the disk does not have, and a later sync
//! would not write it. What is found then is hashed, and written once more.

mod blobs;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::ops::Range;

use crate::disk::DiskFile;
use crate::error::OpenError;
use crate::files::read_at;
use crate::layout::Layout;
use crate::pack::scan::scan;
use crate::store::Shared;

/// What is written again is read by this much.
const AGAIN_BYTES: u64 = 1 << 20;

/// Recovers what can be.
pub(crate) fn recover(shared: &Shared) -> Result<(), OpenError> {
    shared.recover_doomed()?;
    let mark = shared.layout.sync_failed();
    let had_failed = mark.exists();
    recover_packs(shared, had_failed)?;
    blobs::recover(shared, had_failed)?;
    shared.disk.remove(&mark).map_err(|error| OpenError::io(&mark, error))?;
    if !shared.overlay.is_empty() {
        shared.arm();
    }
    Ok(())
}

fn recover_packs(shared: &Shared, had_failed: bool) -> Result<(), OpenError> {
    let index_path = shared.layout.index();
    let damaged = |error: crate::index::IndexError| error.of_open(&index_path);
    let committed: HashMap<u32, u64> = shared.index.packs().map_err(damaged)?.into_iter().collect();
    let mut newest = committed.iter().map(|(number, len)| (*number, *len)).max().unwrap_or((0, 0));
    let dir = shared.layout.packs();
    for number in pack_numbers(&shared.layout).map_err(|error| OpenError::io(&dir, error))? {
        let from = committed.get(&number).copied().unwrap_or(0);
        let end = recover_pack(shared, number, from, had_failed)?;
        newest = newest.max((number, end));
    }
    let len = fs::metadata(shared.layout.pack(newest.0)).map_or(0, |metadata| metadata.len());
    if len < newest.1 {
        // Nothing is appended to a damaged pack: a hole would look like blocks that are there.
        newest = (newest.0 + 1, 0);
    }
    shared.packs.resume(newest.0, newest.1);
    Ok(())
}

/// Reads the tail of a pack, cuts off what does not count, and returns its length.
fn recover_pack(
    shared: &Shared,
    number: u32,
    from: u64,
    had_failed: bool,
) -> Result<u64, OpenError> {
    let path = shared.layout.pack(number);
    let failed = |error| OpenError::io(&path, error);
    let len = fs::metadata(&path).map_err(failed)?.len();
    if len < from {
        tracing::error!(path = %path.display(), len, expected = from, "a pack was cut short");
    }
    if len <= from {
        return Ok(from);
    }
    let mut found = 0;
    let end = scan(&path, number, from, |key, entry| {
        found += 1;
        shared.overlay.insert(key.digest, entry);
    })
    .map_err(failed)?;
    if end < len {
        tracing::info!(path = %path.display(), cut = len - end, "cut off a torn tail");
        let file = shared.disk.open_or_create(&path).map_err(failed)?;
        file.set_len(end).map_err(failed)?;
    }
    if found > 0 {
        tracing::info!(path = %path.display(), found, "found blocks that were not indexed");
        let file = shared.disk.open(&path).map_err(failed)?;
        if had_failed {
            write_again(&file, from..end).map_err(failed)?;
        }
        shared.packs.found(number, end, file, path.clone());
    }
    Ok(end)
}

/// Makes the kernel write a range that it believes to be on the disk.
fn write_again(file: &DiskFile, range: Range<u64>) -> io::Result<()> {
    let mut at = range.start;
    while at < range.end {
        let now = (range.end - at).min(AGAIN_BYTES) as usize;
        let bytes = read_at(file, at, now)?;
        if bytes.len() < now {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_all_at(&bytes, at)?;
        at += now as u64;
    }
    Ok(())
}

/// The numbers of the packs that are there, the oldest first.
pub(crate) fn pack_numbers(layout: &Layout) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for name in fs::read_dir(layout.packs())? {
        let name = name?.file_name();
        let number: Option<u32> =
            name.to_str().and_then(|name| name.strip_suffix(".pack")?.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use shoal_dag::hash::{DAG_PB, HashKind, RAW, cid_of};
    use shoal_dag::{Bytes, Version};

    use crate::{KeepPlace, Options, Store};

    #[test]
    fn what_a_killed_process_wrote_is_synced_before_it_is_indexed() {
        let dir = tempfile::tempdir().unwrap();
        let root = cid_of(HashKind::Blake3, DAG_PB, Version::V1, b"a file");
        let place = KeepPlace { file: &root, size: 1 << 20, offset: 0 };
        let data = Bytes::from(vec![7; 4096]);
        let leaf = cid_of(HashKind::Blake3, RAW, Version::V1, &data);
        let store = Store::open(dir.path(), Options::default()).unwrap();
        store.keep(&leaf, Some(place), &data, true).unwrap();
        drop(store);
        let store = Store::open(dir.path(), Options::default()).unwrap();
        let blob = store.locate(&leaf).unwrap();
        assert_eq!(store.shared.overlay.begin_drain().unsynced, [blob]);
        store.shared.overlay.undo_drain();
        store.checkpoint().unwrap();
        drop(store);
        let store = Store::open(dir.path(), Options::default()).unwrap();
        assert_eq!(store.shared.overlay.begin_drain().unsynced.len(), 0, "nothing is new");
    }
}
