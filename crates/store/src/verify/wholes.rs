//! The bytes of whole files that no entry of the index leads to.
//!
//! A leaf that stands twice in a file, or that another file of the store holds too, has one entry; the
//! other copies are read all the same when the whole file is handed to a mount or taken out by `get`.
//! Their places are found by walking the file's branches.

use std::fs::File;
use std::ops::Range;

use shoal_dag::hash::DAG_PB;
use shoal_dag::walk::{Budget, FileWalk, Step};
use shoal_dag::{BLOCK_BYTES_MAX, Cid};

use super::scan::Covered;
use super::{BadBlock, Checked, Fault, VerifyReport};
use crate::blob::BlobId;
use crate::error::{ReadError, WriteError};
use crate::files::read_at;
use crate::key::{Key, Place};
use crate::pack::scan::matches;
use crate::store::Store;

/// Files that are listed at once.
const WHOLES_AT_ONCE: usize = 1024;

/// Checks every whole file that its blocks do not cover.
pub(super) fn check(
    store: &Store,
    covered: &Covered,
    report: &mut VerifyReport,
    go_on: &mut impl FnMut(Checked) -> bool,
) -> Result<(), WriteError> {
    let mut after = None;
    loop {
        let wholes = store.shared.index.wholes(after.as_ref(), WHOLES_AT_ONCE);
        let wholes = wholes.map_err(ReadError::from)?;
        let Some((last, _)) = wholes.last() else { return Ok(()) };
        after = Some(*last);
        for (digest, whole) in wholes {
            let root = Key { digest, hash: whole.hash };
            let Some((id, record)) = store.shared.whole(&root).map_err(ReadError::from)? else {
                continue;
            };
            let is_covered = covered.get(&id).is_some_and(|bytes| *bytes >= record.len);
            if !is_covered && record.reference.is_none() {
                check_file(store, &root, id, report)?;
            }
            if !go_on(report.checked) {
                report.is_cut_short = true;
                return Ok(());
            }
        }
    }
}

/// Hashes the leaves of a whole file whose entries lead elsewhere.
fn check_file(
    store: &Store,
    root: &Key,
    id: BlobId,
    report: &mut VerifyReport,
) -> Result<(), WriteError> {
    let shared = &store.shared;
    let Ok(file) = shared.files.open(&shared.layout, Place::Blob(id)) else { return Ok(()) };
    // A root that is a raw leaf has an entry, which covers it.
    let cid = root.cid(DAG_PB);
    let mut walk = FileWalk::places(cid, 0..u64::MAX, Budget::FILE);
    // Branches that are not here end it: what cannot be walked cannot be whole for anybody.
    while let Ok(step) = walk.poll() {
        match step {
            Step::Done => break,
            Step::Leaf { .. } => {}
            Step::Need(cid) => {
                let Ok(Some(data)) = store.get(&cid) else { break };
                if walk.handle_block(&cid, data).is_err() {
                    break;
                }
            }
            Step::Place { range, cid } => {
                if let Some(bad) = check_leaf(store, &file, id, (cid, range), report)?
                    && is_whole(store, root, id)?
                {
                    report.add(Fault::Block(bad));
                }
            }
        }
    }
    Ok(())
}

/// Hashes a leaf at its place, unless the index leads there, and says what is wrong with it.
fn check_leaf(
    store: &Store,
    file: &File,
    id: BlobId,
    (cid, range): (Cid, Range<u64>),
    report: &mut VerifyReport,
) -> Result<Option<BadBlock>, WriteError> {
    let shared = &store.shared;
    let (place, path, offset) = (Place::Blob(id), shared.layout.blob(id), range.start);
    let Some(key) = Key::of(&cid) else { return Ok(None) };
    let found = shared.find(&key).map_err(ReadError::from)?;
    let entry = found.map(|found| (found.entry.place, found.entry.offset));
    let len = (range.end - range.start) as u32;
    if entry == Some((place, offset)) || len as usize > BLOCK_BYTES_MAX {
        return Ok(None);
    }
    let data = read_at(file, offset, len as usize).map_err(|error| ReadError::io(&path, error))?;
    report.checked.blocks += 1;
    report.checked.bytes += u64::from(len);
    let is_right = data.len() == len as usize && matches(&key, &data);
    Ok((!is_right).then_some(BadBlock { cid, path, offset, len, place }))
}

/// Is this still the file? It may have been forgotten or moved meanwhile.
fn is_whole(store: &Store, root: &Key, id: BlobId) -> Result<bool, ReadError> {
    let whole = store.shared.whole(root)?;
    Ok(whole.is_some_and(|(now, record)| now == id && record.reference.is_none()))
}
