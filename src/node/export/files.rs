//! Files of a tree that is in the store: their bytes in order, and making them whole.
//!
//! Everything needed must be here: a block that is missing means that it was removed since it was
//! fetched, which is told as such. Sizes that a DAG claims are checked by the walk.

use std::ops::ControlFlow;

use shoal_dag::{
    Bytes, Cid, Node as DagNode, hash,
    walk::{Budget, FileWalk, Step, TreeStep, TreeWalk},
};
use shoal_store::{BLOB_BYTES_MIN, SettleOptions, Store};

use crate::{control::protocol::Failure, exit::Exit};

/// A block as a node of a file system.
///
/// # Errors
/// It is missing, corrupt, or of a kind that is not read.
pub fn node(store: &Store, cid: &Cid) -> Result<DagNode, Failure> {
    DagNode::decode(cid, block(store, cid)?).map_err(|error| Failure::bad_dag(cid, error))
}

/// A block.
///
/// # Errors
/// It is missing or corrupt.
pub(super) fn block(store: &Store, cid: &Cid) -> Result<Bytes, Failure> {
    if let Some(data) = hash::identity(cid) {
        return Ok(Bytes::copy_from_slice(data));
    }
    store.get(cid)?.ok_or_else(|| {
        Failure::new(Exit::TryAgain, format!("{cid} was removed while it was written out"))
    })
}

/// Gives the bytes of a file in order.
///
/// # Errors
/// As [`node`], and whatever `give` returns.
pub(super) fn copy(
    store: &Store,
    file: &Cid,
    give: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut walk = FileWalk::new(*file, 0..u64::MAX, Budget::FILE);
    loop {
        match walk.poll().map_err(|error| Failure::bad_dag(file, error))? {
            Step::Need(cid) => {
                let data = block(store, &cid)?;
                walk.handle_block(&cid, data).map_err(|error| Failure::bad_dag(file, error))?;
            }
            Step::Leaf { data, .. } => give(&data)?,
            Step::Place { .. } => {}
            Step::Done => return Ok(()),
        }
    }
}

/// Makes a large file whole in one blob; `false` when it is small or its leaves are not slices of it, it repeats
/// branches, or it was stored by its new leaves.
///
/// # Errors
/// As [`node`], and the store.
pub fn settle(
    store: &Store,
    file: &Cid,
    size: u64,
    options: SettleOptions,
) -> Result<bool, Failure> {
    if size < BLOB_BYTES_MIN || repeats(store, file, size)? {
        return Ok(false);
    }
    let mut leaves = Leaves { store, file, walk: places(file), end: ControlFlow::Continue(()) };
    // What a fetch has just brought was hashed as it came; what lay here before is hashed now.
    if store.whole_file(file)?.is_some() {
        store.verify_whole(file, &mut leaves)?;
        leaves = Leaves { store, file, walk: places(file), end: ControlFlow::Continue(()) };
    }
    let whole = store.settle(file, size, &mut leaves, options)?;
    match leaves.end {
        ControlFlow::Break(Some(failure)) => Err(failure),
        ControlFlow::Break(None) => Ok(false),
        ControlFlow::Continue(()) => Ok(whole),
    }
}

/// Whether a file has branches that stand in it more than once: then a few blocks may be a file of any
/// size, which is never written into the store whole. Linear in the distinct branches.
fn repeats(store: &Store, file: &Cid, size: u64) -> Result<bool, Failure> {
    let mut walk = TreeWalk::new(*file, Budget::TREE).without_leaves();
    let bad = |error| Failure::bad_dag(file, error);
    let mut unfolded = 0_u64;
    if file.codec() == hash::RAW {
        return Ok(false);
    }
    while let TreeStep::Need(cid) = walk.poll().map_err(bad)? {
        let data = block(store, &cid)?;
        let own = match DagNode::decode(&cid, data.clone()) {
            Ok(DagNode::File(branch)) => {
                let raw = branch.links.iter().filter(|link| link.cid.codec() == hash::RAW);
                raw.fold(branch.inline.len() as u64, |sum, link| sum.saturating_add(link.size))
            }
            Ok(DagNode::Leaf { data, .. }) => data.len() as u64,
            _ => 0,
        };
        unfolded = unfolded.saturating_add(own);
        walk.handle_block(&cid, data).map_err(bad)?;
    }
    Ok(size > unfolded)
}

fn places(file: &Cid) -> FileWalk {
    FileWalk::places(*file, 0..u64::MAX, Budget::FILE)
}

/// The leaves of a file with their places, as long as they are slices of it.
struct Leaves<'a> {
    store: &'a Store,
    file: &'a Cid,
    walk: FileWalk,
    end: ControlFlow<Option<Failure>>,
}

impl Iterator for Leaves<'_> {
    type Item = (Cid, u64, u32);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let step = self.walk.poll().map_err(|error| Failure::bad_dag(self.file, error));
            let handled = match step {
                Ok(Step::Place { range, cid }) => {
                    return Some((cid, range.start, (range.end - range.start) as u32));
                }
                // The root is itself the only leaf.
                Ok(Step::Leaf { cid, range, .. }) if cid.codec() == hash::RAW => {
                    return Some((cid, range.start, (range.end - range.start) as u32));
                }
                Ok(Step::Leaf { .. }) => {
                    self.end = ControlFlow::Break(None);
                    return None;
                }
                Ok(Step::Done) => return None,
                Ok(Step::Need(cid)) => block(self.store, &cid).and_then(|data| {
                    let handled = self.walk.handle_block(&cid, data);
                    handled.map_err(|error| Failure::bad_dag(self.file, error))
                }),
                Err(failure) => Err(failure),
            };
            if let Err(failure) = handled {
                self.end = ControlFlow::Break(Some(failure));
                return None;
            }
        }
    }
}

/// Kept, and no more of it than is new where it is a version of something.
const PINNED: SettleOptions = SettleOptions { sync: false, kept: true, sparse: true };

/// Makes every large file below `root` complete, to be relied on by a pin.
///
/// # Errors
/// As [`settle`].
pub fn settle_files(store: &Store, root: &Cid) -> Result<(), Failure> {
    let mut walk = TreeWalk::new(*root, Budget::TREE).without_leaves();
    settle_leaf_root(store, root)?;
    loop {
        match walk.poll().map_err(|error| Failure::bad_dag(root, error))? {
            TreeStep::Done => return Ok(()),
            TreeStep::Need(cid) => {
                let data = block(store, &cid)?;
                if let Ok(DagNode::File(file)) = DagNode::decode(&cid, data.clone()) {
                    settle(store, &cid, file.size, PINNED)?;
                    // Its branches below are parts of it, not files of their own.
                    walk.skip(&cid).map_err(|error| Failure::bad_dag(root, error))?;
                } else {
                    walk.handle_block(&cid, data).map_err(|error| Failure::bad_dag(root, error))?;
                }
            }
        }
    }
}

fn settle_leaf_root(store: &Store, root: &Cid) -> Result<(), Failure> {
    if root.codec() == hash::RAW {
        let size = block(store, root)?.len() as u64;
        settle(store, root, size, PINNED)?;
    }
    Ok(())
}
