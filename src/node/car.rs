//! `car import` and `car export`: blocks in a row, from and to a client's file or pipe.
//!
//! The client opens its file; here there are only bytes of the control socket. Blocks of any DAG are
//! carried, not only those of files: trees are walked by their links alone. What an import reads is
//! durable before anything is said of it, a root is pinned only when everything below it is here, and
//! an import that breaks off keeps what it read and says so. An export is one walk in depth-first
//! order, each block once, and holds one block and what is on its way.

mod export;
mod import;

use shoal_dag::{
    Cid, hash,
    walk::{Budget, TreeStep, TreeWalk},
};
use shoal_store::Store;

use crate::control::protocol::Failure;

pub use export::export;
pub use import::import;

/// What is missing below a root.
#[derive(Debug, Default)]
struct Missing {
    /// How many blocks, as far as the links that are here tell.
    count: u64,
    /// The first of them.
    first: Option<Cid>,
}

/// Looks for what is missing below a root, by links alone.
///
/// # Errors
/// The tree cannot be walked, or the store cannot be read.
fn missing(store: &Store, root: &Cid) -> Result<Missing, Failure> {
    let mut missing = Missing::default();
    let mut walk = TreeWalk::new(*root, Budget::TREE).of_any_format();
    let bad = |error| Failure::bad_dag(root, error);
    while let TreeStep::Need(cid) = walk.poll().map_err(bad)? {
        let is_leaf = cid.codec() == hash::RAW;
        let data = if is_leaf { None } else { store.get(&cid)? };
        if let Some(data) = data {
            walk.handle_block(&cid, data).map_err(bad)?;
            continue;
        }
        if !is_leaf || !store.has(&cid) {
            missing.count += 1;
            missing.first.get_or_insert(cid);
        }
        walk.skip(&cid).map_err(bad)?;
    }
    Ok(missing)
}
