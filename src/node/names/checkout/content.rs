//! Whether what stands on the disk holds what a version says, by its bytes.
//!
//! A file is hashed leaf by leaf, as its tree says where the leaves are: that takes the branches, not the
//! leaves, so that nothing is fetched to look at what is there. Size and time alone prove nothing.

use std::{fs::File, os::unix::fs::FileExt};

use shoal_dag::{
    BLOCK_BYTES_MAX, Bytes, Cid, Node as DagNode, hash,
    walk::{Budget, FileWalk, Step},
};
use shoal_store::Store;

use super::disk::{Found, Out};
use crate::{
    control::protocol::{Failure, Kind},
    node::{export, names::diff::compare::Side},
};

/// Whether what was found at a path is what stands there in a version. What cannot be read, on the disk
/// or in the store, is not.
///
/// # Errors
/// The store.
pub(super) fn is(
    store: &Store,
    out: &Out,
    path: &[u8],
    found: &Found,
    side: Option<&Side>,
) -> Result<bool, Failure> {
    let Some(side) = side else { return Ok(matches!(found, Found::Absent | Found::Blocked)) };
    match (found, side.kind) {
        (Found::Directory(_), Kind::Directory) => Ok(true),
        (Found::Symlink(_), Kind::Symlink) => {
            let Ok(DagNode::Symlink { target, .. }) = export::node(store, &side.cid) else {
                return Ok(false);
            };
            Ok(out.link(path).is_some_and(|link| link == target))
        }
        (Found::File(_), Kind::File) => match out.file(path) {
            Some(file) => holds(store, &file, &side.cid),
            None => Ok(false),
        },
        _ => Ok(false),
    }
}

/// Whether a file holds exactly the bytes of a file of the DAG.
pub(super) fn holds(store: &Store, file: &File, cid: &Cid) -> Result<bool, Failure> {
    let Ok(len) = file.metadata().map(|stat| stat.len()) else { return Ok(false) };
    if cid.codec() == hash::RAW {
        return Ok(len <= BLOCK_BYTES_MAX as u64 && is_block(file, 0, len, cid));
    }
    let mut walk = FileWalk::places(*cid, 0..u64::MAX, Budget::FILE);
    loop {
        let Ok(step) = walk.poll() else { return Ok(false) };
        let same = match step {
            Step::Need(cid) => {
                let Some(data) = store.get(&cid)? else { return Ok(false) };
                walk.handle_block(&cid, data).is_ok() && walk.size().is_none_or(|size| size == len)
            }
            Step::Place { range, cid } if cid.codec() == hash::RAW => {
                is_block(file, range.start, range.end - range.start, &cid)
            }
            Step::Place { range, cid } => match inner(store, &cid)? {
                Some(data) => is_slice(file, range.start, &data),
                None => false,
            },
            Step::Leaf { range, data, .. } => is_slice(file, range.start, &data),
            Step::Done => return Ok(true),
        };
        if !same {
            return Ok(false);
        }
    }
}

/// The bytes of a file that are in a block of dag-pb itself.
fn inner(store: &Store, cid: &Cid) -> Result<Option<Bytes>, Failure> {
    let Some(block) = store.get(cid)? else { return Ok(None) };
    Ok(match DagNode::decode(cid, block) {
        Ok(DagNode::Leaf { data, .. }) => Some(data),
        Ok(DagNode::File(file)) => Some(file.inline),
        _ => None,
    })
}

/// The bytes there, if they are there. No more than a block is ever read, whatever a branch says.
fn slice(file: &File, offset: u64, len: u64) -> Option<Vec<u8>> {
    let len = usize::try_from(len).ok().filter(|len| *len <= BLOCK_BYTES_MAX)?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}

fn is_block(file: &File, offset: u64, len: u64, cid: &Cid) -> bool {
    let Some(bytes) = slice(file, offset, len) else { return false };
    match hash::identity(cid) {
        Some(data) => data == bytes,
        None => hash::verify(cid, &bytes).is_ok(),
    }
}

fn is_slice(file: &File, offset: u64, data: &[u8]) -> bool {
    slice(file, offset, data.len() as u64).is_some_and(|bytes| bytes == data)
}
