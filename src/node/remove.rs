//! `rm`: the opposite of `add`.
//!
//! What was added is named by its CID, or by the path as it was given to `add` or `seed`; then every
//! version that was added from there is meant. The pin goes, its words are forgotten, and the user's
//! files below it that the store referred to are forgotten too, unless another pin needs blocks that
//! lie in them. Copies of the store's own stay until gc takes back their space, and whatever another
//! pin covers stays for good, and a pin that a name keeps as well is its own from then on. The user's files themselves are never touched.

use std::{collections::HashSet, sync::Arc};

use shoal_dag::{
    Cid,
    path::parse,
    walk::{Budget, TreeStep, TreeWalk},
};
use shoal_store::{ReadError, Store};

use super::{
    Node,
    add::given,
    names::retention,
    sharing::{self, unshare},
};
use crate::{
    control::protocol::{Failure, Outcome, Removed, SeedItem},
    exit::Exit,
};

#[cfg(test)]
mod tests;

/// Takes back what was added.
///
/// # Errors
/// Exit 4 when there is nothing of it; the store.
pub async fn remove(node: &Arc<Node>, item: SeedItem) -> Result<Outcome, Failure> {
    let removed = node.with_store(move |store| match item {
        SeedItem::Root(words) => remove_root(store, &words),
        SeedItem::Path(path) => remove_path(store, &path),
    });
    let removed = removed.await?;
    node.swarm().pins_changed();
    Ok(Outcome::Removed(removed))
}

fn remove_root(store: &Store, words: &[u8]) -> Result<Removed, Failure> {
    let shown = shoal_dag::name::escape(words);
    let path = parse(words).map_err(|_| {
        Failure::usage(format!("{shown} is neither a CID nor a path that was added"))
    })?;
    if !path.segments.is_empty() {
        return Err(Failure::usage(format!("{shown} is not a root"))
            .hint("what was added is removed by its CID alone; see: shoal pin ls"));
    }
    let mut removed = Removed::default();
    take_back(store, &path.root, &mut removed)?;
    if removed.unpinned.is_empty() && removed.kept.is_empty() {
        return Err(Failure::new(Exit::NotFound, format!("{} is not pinned", path.root))
            .hint("list pins with: shoal pin ls"));
    }
    given::forget_root(store, &path.root)?;
    Ok(removed)
}

fn remove_path(store: &Store, path: &[u8]) -> Result<Removed, Failure> {
    let shown = shoal_dag::name::escape(path);
    let Some(roots) = given::roots(store, path)? else {
        return Err(Failure::new(Exit::NotFound, format!("nothing was added from {shown}"))
            .hint("say its CID; list pins with: shoal pin ls"));
    };
    let others = given::of_others(store, path, &roots)?;
    let mut removed = Removed::default();
    for root in roots {
        match others.get(&root).filter(|_| store.is_pinned(&root)) {
            Some(other) => {
                let why = format!("it was added as {} too", shoal_dag::name::escape(other));
                removed.kept.push((root.to_string(), why));
            }
            None => take_back(store, &root, &mut removed)?,
        }
    }
    given::forget(store, path)?;
    if removed.unpinned.is_empty() && removed.kept.is_empty() {
        let text = format!("what was added from {shown} is not pinned any more");
        return Err(Failure::new(Exit::NotFound, text).hint("list pins with: shoal pin ls"));
    }
    Ok(removed)
}

/// Unpins a root and forgets the references below it; one that is not pinned is passed over.
fn take_back(store: &Store, root: &Cid, removed: &mut Removed) -> Result<(), Failure> {
    if !store.is_pinned(root) {
        return Ok(());
    }
    if retention::disown(store, root)? {
        removed.kept.push((root.to_string(), "a name keeps it".to_owned()));
        return Ok(());
    }
    unshare::unpin(store, root)?;
    removed.unpinned.push(root.to_string());
    let files = references(store, root)?;
    if files.is_empty() {
        return Ok(());
    }
    let needed = needed_elsewhere(store, &files)?;
    let (kept, gone): (Vec<&Cid>, Vec<&Cid>) =
        files.iter().partition(|file| needed.contains(*file));
    let gone: Vec<Cid> = gone.into_iter().copied().collect();
    removed.references += store.forget_references(&gone)?;
    removed.references_kept += kept.len() as u64;
    Ok(())
}

/// The files below a root that are the user's own.
fn references(store: &Store, root: &Cid) -> Result<Vec<Cid>, ReadError> {
    let mut files = Vec::new();
    let mut walk = TreeWalk::new(*root, Budget::TREE);
    while let Ok(TreeStep::Need(cid)) = walk.poll() {
        let is_file = store.is_reference(&cid)?;
        if is_file {
            files.push(cid);
        }
        // Below a whole file there are its blocks only.
        let data = if is_file || is_leaf(&cid) { None } else { store.get(&cid).ok().flatten() };
        let entered = data.is_some_and(|data| walk.handle_block(&cid, data).is_ok());
        if !entered && walk.skip(&cid).is_err() {
            break;
        }
    }
    Ok(files)
}

/// Of these files those of which a block lies below another pin: that one might be read from there.
fn needed_elsewhere(store: &Store, files: &[Cid]) -> Result<HashSet<Cid>, ReadError> {
    let mut blocks = HashSet::new();
    for file in files {
        unshare::below(store, file, &mut |cid| {
            blocks.insert(cid);
        });
    }
    let mut pins = Vec::new();
    sharing::for_each_pin(store, &mut |pin, _| pins.push(pin))?;
    let mut shared = HashSet::new();
    for pin in &pins {
        unshare::below(store, pin, &mut |cid| {
            if blocks.contains(&cid) {
                shared.insert(cid);
            }
        });
    }
    let is_needed = |file: &&Cid| {
        let mut is_needed = false;
        unshare::below(store, file, &mut |cid| is_needed |= shared.contains(&cid));
        is_needed
    };
    Ok(files.iter().filter(is_needed).copied().collect())
}

fn is_leaf(cid: &Cid) -> bool {
    cid.codec() == shoal_dag::hash::RAW
}
