//! `get`: a file or tree from the swarm to a path of the user.
//!
//! The path is resolved, the tree fetched into the store (which is what makes resuming possible), then
//! written out by [`super::export`] under a temporary name and renamed. Bytes of large files are moved,
//! not copied, unless `--keep`. What was taken is owed to the swarm ([`Debt`]); a running peer, or the
//! next one, seeds it on.

use std::{sync::Arc, time::Instant};

use shoal_dag::{
    Cid, Node as DagNode,
    path::{self, CidPath},
};

use shoal_store::{Hold, PinOptions};

use super::{
    Node,
    export::{self, Export, Exported},
    gc,
    names::target,
    pin,
    read::{Reader, Resolved, tell},
    sessions::{Session, Waiting},
    sharing::{self, Debt},
    swarm::{View, Want},
};
use crate::control::{
    protocol::{Failure, Get, Outcome, Progress, Response},
    server::Responder,
};

/// Most space that is taken ahead on the word of a root block.
const ALLOCATED_MAX: u64 = 8 << 30;

/// Fetches to a path.
///
/// # Errors
/// As told to the user; what arrived stays in the store, so that the next try needs only the rest.
pub async fn get(node: &Arc<Node>, get: Get, out: &Responder) -> Result<Outcome, Failure> {
    let began = Instant::now();
    let (target, wants_directory) = export::target(&get.out);
    export::check_target(&target, get.force)?;
    export::spared::check(&target, &node.store().dir())?;
    let path = target::follow(node, &get.target, get.wait, out).await?;
    let fit = |top: &DagNode| {
        export::check_kind(&target, wants_directory, top)?;
        if get.keep {
            gc::check_room(node.store(), node.settings().quota, size_of(top))?;
        }
        let claimed = top.file_size().unwrap_or(0);
        export::room::check_claim(node.store(), &path.root, claimed, &target, get.size_max)
    };
    let fetched = fetch_fitting(node, &path, get.wait.into(), out, &fit).await?;
    if get.keep {
        pin::keep(node, &fetched, PinOptions::default()).await?;
    }
    let export = Export {
        store: node.store().clone(),
        root: fetched.resolved.cid,
        target,
        force: get.force,
        copy: get.keep,
        sync: get.sync || get.keep,
        umask: get.umask,
        size_max: get.size_max,
        out: out.clone(),
    };
    let Exported { bytes, files, refused } = super::blocking(move || export.run()).await?;
    let view = match &fetched.session {
        Some(session) => session.settled_view().await,
        None => View::new(),
    };
    if get.seed_on && !get.keep && view.bytes_received > 0 {
        owe(node, &fetched, view.bytes_received).await?;
    }
    node.swarm().pins_changed();
    gc::tend(node).await;
    Ok(Outcome::Fetched {
        cid: fetched.resolved.cid.to_string(),
        bytes,
        files,
        bytes_received: view.bytes_received,
        sources: view.sources,
        peers_connected: view.peers_connected,
        elapsed_ms: began.elapsed().as_millis() as u64,
        refused,
    })
}

async fn owe(node: &Arc<Node>, fetched: &Fetched, taken: u64) -> Result<(), Failure> {
    let debt = Debt::new(&fetched.root, &fetched.resolved.cid, &fetched.resolved.trail, taken);
    Ok(node.with_store(move |store| debt.record(store)).await?)
}

/// A tree that is in the store.
#[derive(Debug)]
pub struct Fetched {
    /// The root whose swarm was asked.
    pub root: Cid,
    /// What was fetched.
    pub resolved: Resolved,
    /// The session, still open; `None` when everything was here.
    pub session: Option<Arc<Session>>,
    /// It is not collected before this is dropped.
    pub hold: Hold,
}

/// Brings everything below what `path` names into the store.
///
/// # Errors
/// Exit 4 when nobody provides it in time.
pub async fn fetch_tree(
    node: &Arc<Node>,
    path: &CidPath,
    waiting: Waiting,
    out: &Responder,
) -> Result<Fetched, Failure> {
    fetch_fitting(node, path, waiting, out, &|_| Ok(())).await
}

/// The same, if `fit` agrees to the top of the tree: asked before the rest is fetched.
///
/// # Errors
/// As [`fetch_tree`], and what `fit` says.
pub async fn fetch_fitting(
    node: &Arc<Node>,
    path: &CidPath,
    waiting: Waiting,
    out: &Responder,
    fit: &(dyn Fn(&DagNode) -> Result<(), Failure> + Sync),
) -> Result<Fetched, Failure> {
    let hold = gc::hold(node, path);
    if let Some((resolved, top)) = all_here(node, path).await {
        fit(&top)?;
        return Ok(Fetched { root: path.root, resolved, session: None, hold });
    }
    gc::used(node, path.root).await;
    let session = Session::open(node.swarm(), gc::hold(node, path), true).await?;
    let mut reader = Reader::new(node, path.root, waiting, Some(out)).over(Arc::clone(&session));
    let resolved = reader.resolve(path).await?;
    let top = reader.node(&resolved.cid, resolved.under()).await?;
    fit(&top)?;
    prepare(node, &resolved.cid, &top).await;
    let total = size_of(&top);
    let (cid, under) = (resolved.cid, resolved.under());
    let want = Want { cid, under, place: None, within: None, tree: true };
    session
        .fetch(want, waiting, &mut |view| {
            tell(Some(out), view);
            out.offer(Response::Progress(progress(view, total)));
        })
        .await?;
    Ok(Fetched { root: path.root, resolved, session: Some(session), hold })
}

/// The end of the path when everything below it is in the store: then nobody is told what is read.
async fn all_here(node: &Arc<Node>, path: &CidPath) -> Option<(Resolved, DagNode)> {
    let path = path.clone();
    node.with_store(move |store| {
        let resolved = sharing::resolve_here(store, &path)?;
        if !sharing::is_all_here(store, &resolved.cid) {
            return None;
        }
        let top = export::node(store, &resolved.cid).ok()?;
        Some((resolved, top))
    })
    .await
}

/// Takes the space of a large file at once: measured, a fetch into allocated space takes half the time.
/// Its size is a stranger's claim, so no more is taken than does no harm. Whether it works does not
/// matter here.
async fn prepare(node: &Arc<Node>, cid: &Cid, top: &DagNode) {
    let (cid, size) = (*cid, top.file_size().unwrap_or(0));
    let prepared = node.with_store(move |store| {
        let free = rustix::fs::statvfs(store.dir())
            .map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
        store.prepare(&cid, size, size <= ALLOCATED_MAX.min(free / 4))
    });
    let prepared = prepared.await;
    if let Err(error) = prepared {
        tracing::debug!(%error, "space is not taken ahead");
    }
}

/// Content bytes of a file, or DAG bytes of a directory, as its top says: what progress is measured by.
pub(super) fn size_of(node: &DagNode) -> u64 {
    match node {
        DagNode::Directory { entries, .. } => {
            entries.iter().fold(0, |sum, entry| sum.saturating_add(entry.dag_size))
        }
        DagNode::Shard(shard) => {
            shard.links.iter().fold(0, |sum, link| sum.saturating_add(link.dag_size))
        }
        node => node.file_size().unwrap_or(0),
    }
}

/// Bytes that were here before count too, at the mean size of what arrived: the walk knows only how
/// many blocks they are.
fn progress(view: &View, total: u64) -> Progress {
    let quiet = view.moved.elapsed().as_millis() > 700;
    let mean = view.bytes_received.checked_div(view.blocks_received).unwrap_or(0);
    let present = mean.saturating_mul(view.blocks_present);
    Progress {
        bytes: view.bytes_received.saturating_add(present).min(total),
        bytes_total: Some(total),
        bytes_received: view.bytes_received,
        files: 0,
        peers: view.joined,
        waiting: if quiet { view.waiting_for() } else { String::new() },
    }
}

/// Reads a target that can only be a CID, as the user typed it: names are followed by [`target::follow`].
///
/// # Errors
/// Exit 2, telling that it is no CID.
pub fn parse_target(target: &[u8]) -> Result<CidPath, Failure> {
    path::parse(target).map_err(|error| match error {
        path::PathError::NotCid(text) => {
            Failure::usage(format!("{text:?} is not a CID or a known name"))
        }
        error => Failure::usage(error.to_string()),
    })
}
