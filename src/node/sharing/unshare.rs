//! Taking back what was shared.
//!
//! Blocks are marked public one by one, and a block may lie under several pins. When a pin goes, or
//! becomes local, its root is written into a queue with the same durability as the change, and
//! [`work`] later marks every block below it as not public that no other shared pin or part covers.
//! A root in the queue is shared with nobody in between. The running peer works the queue off at its
//! start, before it answers anybody, and after every change of pins.

use std::collections::HashSet;

use shoal_dag::{
    Cid, hash,
    walk::{Budget, TreeStep, TreeWalk},
};
use shoal_store::{Store, WriteError};

use super::{PARTS, Part, ROOTS_MAX, all_of, forget_parts, shared_pins};

/// Namespace of roots that are not shared any more.
const UNSHARED: &str = "unshared";

/// Roots worked off in one go.
const WORK_MAX: usize = 1_000;

/// Blocks marked with one commit.
const MARK_MAX: usize = 10_000;

/// Removes a pin and what hangs on it; says whether there was one.
///
/// # Errors
/// The store.
pub fn unpin(store: &Store, root: &Cid) -> Result<bool, WriteError> {
    unshare(store, root)?;
    forget_parts(store, root)?;
    store.unpin(root)
}

/// Notes that a root is shared no more.
///
/// # Errors
/// The store.
pub fn unshare(store: &Store, root: &Cid) -> Result<(), WriteError> {
    store.put_record(UNSHARED, &root.to_bytes(), &[])
}

/// Whether a root waits to be taken back.
pub fn is_unshared(store: &Store, root: &Cid) -> bool {
    matches!(store.record(UNSHARED, &root.to_bytes()), Ok(Some(_)))
}

/// Works the queue off.
///
/// # Errors
/// The store; what was not done stays in the queue.
pub fn work(store: &Store) -> Result<(), WriteError> {
    let queue = store.records(UNSHARED, &[], WORK_MAX)?;
    if queue.is_empty() {
        return Ok(());
    }
    let mut blocks = HashSet::new();
    for root in queue.iter().filter_map(|(key, _)| Cid::try_from(key.as_slice()).ok()) {
        below(store, &root, &mut |cid| {
            blocks.insert(cid);
        });
    }
    for root in shared_pins(store)? {
        if blocks.is_empty() {
            break;
        }
        below(store, &root, &mut |cid| {
            blocks.remove(&cid);
        });
    }
    // The directories on the way to a kept part are shared with it.
    for (_, part) in all_of::<Part>(store, PARTS, ROOTS_MAX) {
        for (branch, _) in &part.trail {
            if let Ok(branch) = Cid::try_from(branch.as_slice()) {
                blocks.remove(&branch);
            }
        }
    }
    let blocks: Vec<Cid> = blocks.into_iter().collect();
    for part in blocks.chunks(MARK_MAX) {
        store.set_public(part, false)?;
    }
    let done: Vec<(&[u8], Option<&[u8]>)> = queue.iter().map(|(key, _)| (&key[..], None)).collect();
    store.put_records(UNSHARED, &done)
}

/// Visits every block below a root as far as it is here.
pub fn below(store: &Store, root: &Cid, visit: &mut dyn FnMut(Cid)) {
    let mut walk = TreeWalk::new(*root, Budget::TREE);
    while let Ok(TreeStep::Need(cid)) = walk.poll() {
        visit(cid);
        let branch = if cid.codec() == hash::RAW { None } else { store.get(&cid).ok().flatten() };
        let entered = branch.is_some_and(|data| walk.handle_block(&cid, data).is_ok());
        if !entered && walk.skip(&cid).is_err() {
            return;
        }
    }
}
