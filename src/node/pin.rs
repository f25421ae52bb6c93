//! Pins: fetched whole, owned by the store, announced and served unless local.
//!
//! A pinned tree may not rely on bytes that anybody else can change or take away, so every block is
//! brought into storage that the store owns before the pin is written, and the pin is durable before it
//! is acknowledged.

use std::sync::Arc;

use shoal_dag::{
    Cid, Node as DagNode, hash,
    path::CidPath,
    walk::{Budget, TreeStep, TreeWalk},
};
use shoal_store::{Pin, PinOptions, Store};

use super::{
    Node, export, gc,
    get::{Fetched, fetch_fitting, parse_target, size_of},
    names,
    read::Reader,
    sharing,
};
use crate::{
    control::{
        protocol::{Failure, LISTED_BATCH_MAX, Outcome, PinFilter, PinLine, Response, Wait},
        server::Responder,
    },
    exit::Exit,
};

/// `pin add`.
///
/// # Errors
/// As a fetch; exit 1 when the store refuses.
pub async fn add(
    node: &Arc<Node>,
    target: &[u8],
    how: How,
    wait: Wait,
    out: &Responder,
) -> Result<Outcome, Failure> {
    let path = names::target::follow(node, target, wait, out).await?;
    let cid = if how.direct {
        add_block(node, &path, how, wait, out).await?
    } else {
        add_named(node, &path, how.name, wait, out).await?
    };
    Ok(Outcome::Pinned { cid: cid.to_string() })
}

/// How `pin add` pins.
#[derive(Debug, Default)]
pub struct How {
    /// The block alone.
    pub direct: bool,
    /// What the user calls the pin.
    pub name: Option<String>,
}

/// Pins one block, and nothing below it.
async fn add_block(
    node: &Arc<Node>,
    path: &CidPath,
    how: How,
    wait: Wait,
    out: &Responder,
) -> Result<Cid, Failure> {
    let mut reader = Reader::new(node, path.root, wait.into(), Some(out));
    let resolved = reader.resolve(path).await?;
    reader.block(&resolved.cid, resolved.under(), None).await?;
    let cid = resolved.cid;
    node.with_store(move |store| {
        let _hold = store.hold(&cid);
        if store.pinned(&cid)?.is_some_and(|pin| !pin.direct) {
            let text = format!("{cid} is pinned already, with everything below it");
            return Err(Failure::failed(text).hint("remove that pin first: shoal pin rm CID"));
        }
        if !store.own(&cid, true)? {
            return Err(lost(&cid));
        }
        names::retention::claim(store, &cid)?;
        Ok(store.pin(&cid, PinOptions { local: false, direct: true, name: how.name })?)
    })
    .await?;
    Ok(cid)
}

/// Fetches what a path names, and pins it.
///
/// # Errors
/// As a fetch; exit 1 when the store refuses.
pub async fn add_path(
    node: &Arc<Node>,
    path: &CidPath,
    wait: Wait,
    out: &Responder,
) -> Result<Cid, Failure> {
    add_named(node, path, None, wait, out).await
}

async fn add_named(
    node: &Arc<Node>,
    path: &CidPath,
    name: Option<String>,
    wait: Wait,
    out: &Responder,
) -> Result<Cid, Failure> {
    let (store, quota) = (node.store().clone(), node.settings().quota);
    let fit = move |top: &DagNode| gc::check_room(&store, quota, size_of(top));
    let fetched = fetch_fitting(node, path, wait.into(), out, &fit).await?;
    keep(node, &fetched, PinOptions { name, ..PinOptions::default() }).await?;
    node.swarm().pins_changed();
    Ok(fetched.resolved.cid)
}

/// Pins what was fetched, with the blocks on the way to it.
///
/// # Errors
/// The store.
pub async fn keep(node: &Arc<Node>, fetched: &Fetched, options: PinOptions) -> Result<(), Failure> {
    let (root, resolved) = (fetched.root, fetched.resolved.clone());
    let local = options.local;
    node.with_store(move |store| {
        own_tree(store, &resolved.cid, !local)?;
        names::retention::claim(store, &resolved.cid)?;
        for (branch, _) in &resolved.trail {
            store.own(branch, !local)?;
        }
        if !resolved.trail.is_empty() {
            sharing::record_part(store, &root, &resolved.cid, &resolved.trail)?;
        }
        Ok(store.pin(&resolved.cid, options)?)
    })
    .await
}

/// Pins a root of which everything is here.
///
/// # Errors
/// The store; exit 5 where something was removed meanwhile.
pub fn keep_here(store: &Store, root: &Cid) -> Result<(), Failure> {
    let _hold = store.hold(root);
    own_tree(store, root, true)?;
    Ok(store.pin(root, PinOptions::default())?)
}

/// Brings every block below `root` into storage that the store owns, large files whole.
///
/// # Errors
/// The store; exit 5 where something was removed meanwhile.
pub fn own_tree(store: &Store, root: &Cid, public: bool) -> Result<(), Failure> {
    export::settle_files(store, root)?;
    own_walked(store, root, TreeWalk::new(*root, Budget::TREE), public)
}

/// Brings every block that a walk below `root` comes to into storage that the store owns.
///
/// # Errors
/// The store; exit 5 where something was removed meanwhile; exit 1 where the walk fails.
pub(super) fn own_walked(
    store: &Store,
    root: &Cid,
    mut walk: TreeWalk,
    public: bool,
) -> Result<(), Failure> {
    loop {
        match walk.poll().map_err(|error| Failure::bad_dag(root, error))? {
            TreeStep::Done => return Ok(()),
            TreeStep::Need(cid) => {
                if !store.own(&cid, public)? {
                    return Err(lost(&cid));
                }
                let handled = if cid.codec() == hash::RAW {
                    walk.skip(&cid)
                } else {
                    let data = store.get(&cid)?.ok_or_else(|| lost(&cid))?;
                    walk.handle_block(&cid, data).map(|_| ())
                };
                handled.map_err(|error| Failure::bad_dag(root, error))?;
            }
        }
    }
}

fn lost(cid: &Cid) -> Failure {
    Failure::new(Exit::TryAgain, format!("{cid} was removed while it was pinned"))
}

/// `pin rm`.
///
/// # Errors
/// Exit 4 when there is no such pin.
pub async fn remove(node: &Arc<Node>, target: &[u8]) -> Result<Outcome, Failure> {
    let path = parse_target(target)?;
    if !path.segments.is_empty() {
        return Err(Failure::usage("a pin is removed by its CID alone")
            .hint("list pins with: shoal pin ls"));
    }
    let cid = path.root;
    let was = node.with_store(move |store| sharing::unshare::unpin(store, &cid));
    if !was.await? {
        return Err(Failure::new(Exit::NotFound, format!("{cid} is not pinned"))
            .hint("list pins with: shoal pin ls"));
    }
    node.swarm().pins_changed();
    Ok(Outcome::Unpinned { cid: cid.to_string() })
}

/// `pin ls`.
///
/// # Errors
/// The index cannot be read.
pub async fn list(
    node: &Arc<Node>,
    filter: &PinFilter,
    out: &Responder,
) -> Result<Outcome, Failure> {
    let mut after: Option<Cid> = None;
    loop {
        let pins =
            node.with_store(move |store| store.pins(after.as_ref(), LISTED_BATCH_MAX)).await?;
        let Some((last, _)) = pins.last() else {
            return Ok(Outcome::Nothing);
        };
        after = Some(*last);
        let lines = pins.into_iter().filter(|(_, pin)| is_asked_for(filter, pin));
        let lines = lines.map(|(cid, Pin { local, direct, name, .. })| {
            let cid = cid.to_string();
            PinLine { cid, local, direct, name }
        });
        out.send(Response::Pins(lines.collect())).await?;
    }
}

fn is_asked_for(filter: &PinFilter, pin: &Pin) -> bool {
    filter.direct.is_none_or(|direct| direct == pin.direct)
        && filter.name.as_ref().is_none_or(|name| pin.name.as_ref() == Some(name))
}
