//! The worker that makes the newest version of every own and followed name whole.
//!
//! Versions are stored by their new leaves, so the newest one of a name is in pieces at first, and cannot
//! be handed to a mount. A running peer turns that over in the background, one name after the other, when a
//! name has changed, and gives back the space of the older ones ([`Store::rebase`], [`Store::thin`]). How
//! far it came is written down for each name, so that a restart walks nothing twice.
//!
//! It is polite: half of the time it rests, and it stops between two steps when it is paused or the node
//! ends. It decides nothing about what is kept: a version whose content is not pinned here is left alone.
//!
//! ```text
//! records, namespace "rebase": name 32 -> CID of the version that was made whole last
//! ```

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use shoal_dag::{
    Cid, Node as DagNode, hash,
    walk::{Budget, TreeStep, TreeWalk},
};
use shoal_ledger::LedgerId;
use shoal_store::{BLOB_BYTES_MIN, OLDER_MAX, Store, WriteError};
use tokio::sync::Notify;

use super::{
    Node,
    names::{book::Book, spelling::Point, version},
};
use crate::control::protocol::{Failure, Rebasing};

const NAMESPACE: &str = "rebase";

/// Large files of one version that are worked on: more stay in pieces, and are read through the node.
const FILES_MAX: usize = 64 * 1024;

/// Versions before the newest one that are looked at: as many may come while no peer runs.
const VERSIONS_MAX: u64 = 256;

/// A name changes in several steps: signed, fetched, pinned.
const QUIET: Duration = Duration::from_millis(500);

/// How often it is looked again at what somebody was reading.
const AGAIN_EVERY: Duration = Duration::from_mins(1);

/// The longest rest between two steps.
const REST_MAX: Duration = Duration::from_millis(200);

/// What the worker is about.
#[derive(Debug, Default)]
pub struct Worker {
    due: Notify,
    paused: AtomicBool,
    state: Mutex<Rebasing>,
}

impl Worker {
    /// Something may be there to do.
    pub fn wake(&self) {
        self.due.notify_one();
    }

    /// Stops before the next step, or goes on.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
        self.wake();
    }

    /// What it does, and what waits.
    pub fn listed(&self) -> Rebasing {
        Rebasing { paused: self.paused.load(Ordering::Acquire), ..self.state.lock().clone() }
    }
}

/// Works until the node stops. Only a running peer has the time.
pub async fn run(node: Arc<Node>) {
    if !node.is_persistent() {
        return;
    }
    let mut changes = node.names().changes();
    loop {
        if let Err(failure) = round(&node).await {
            tracing::warn!(reason = failure.message, "versions could not be rebased");
        }
        tokio::select! {
            () = node.stopped() => return,
            changed = changes.changed() => if changed.is_err() { return },
            () = node.rebase().due.notified() => {}
            () = tokio::time::sleep(AGAIN_EVERY) => {}
        }
        tokio::time::sleep(QUIET).await;
        changes.mark_unchanged();
    }
}

/// The newest version of a name, and those before it.
#[derive(Debug)]
struct Versions {
    name: LedgerId,
    newest: Cid,
    older: Vec<Cid>,
    is_due: bool,
}

/// One look at all names.
async fn round(node: &Arc<Node>) -> Result<(), Failure> {
    let all = node.names().ask(|book| Ok(versions(book))).await??;
    let task = Arc::clone(node);
    super::blocking(move || work(&task, &all)).await
}

/// The versions of all names of which the newest is pinned here.
fn versions(book: &Book) -> Result<Vec<Versions>, Failure> {
    let store = book.store();
    let mut all = Vec::new();
    for name in book.names()? {
        let Some(state) = book.state(name)? else { continue };
        if !state.is_whole() {
            continue;
        }
        let Some(newest) = version::newest(book, &state)? else { continue };
        if !store.is_pinned(&newest.root) {
            continue;
        }
        let done = store.record(NAMESPACE, name.key_bytes())?;
        let is_due = done.is_none_or(|done| done != newest.root.to_bytes());
        let mut older = Vec::new();
        let last = newest.number.filter(|_| is_due).unwrap_or(1);
        for number in (last.saturating_sub(VERSIONS_MAX).max(1)..last).rev() {
            let found = version::find(book, &state, Point::Version(number))?;
            older.extend(found.map(|version| version.root));
        }
        all.push(Versions { name, newest: newest.root, older, is_due });
    }
    Ok(all)
}

fn work(node: &Node, all: &[Versions]) -> Result<(), Failure> {
    let (store, worker) = (node.store(), node.rebase());
    let mut pace = Pace { node, since: Instant::now() };
    let due: Vec<&Versions> = all.iter().filter(|versions| versions.is_due).collect();
    if !due.is_empty() {
        // What is the newest of any name keeps what it has.
        let mut newest = HashSet::new();
        for versions in all {
            files_of(store, &versions.newest, &mut newest)?;
        }
        for (at, versions) in due.iter().enumerate() {
            let (now, waiting) = (Some(versions.name.to_string()), (due.len() - at - 1) as u64);
            *worker.state.lock() = Rebasing { now, waiting, ..worker.listed() };
            if !rebase(store, versions, &newest, &mut pace)? {
                break;
            }
        }
    }
    let left = store.thin(&mut || pace.goes_on())?.left;
    *worker.state.lock() = Rebasing { in_use: left, ..Rebasing::default() };
    Ok(())
}

/// Makes the files of a name's newest version whole; `false` where it was told to stop.
fn rebase(
    store: &Store,
    versions: &Versions,
    newest: &HashSet<Cid>,
    pace: &mut Pace<'_>,
) -> Result<bool, Failure> {
    let mut files = HashSet::new();
    files_of(store, &versions.newest, &mut files)?;
    let mut older = Vec::new();
    for root in &versions.older {
        let mut of_version = HashSet::new();
        files_of(store, root, &mut of_version)?;
        older.extend(of_version.difference(newest));
        if older.len() >= OLDER_MAX {
            break;
        }
    }
    for file in &files {
        let done = match store.rebase(file, &older, &mut || pace.goes_on()) {
            Err(error @ (WriteError::Read(_) | WriteError::SourceChanged { .. })) => {
                // It stays in pieces, of which one is broken: reading it tells.
                tracing::warn!(%file, %error, "a newest version cannot be made whole");
                continue;
            }
            done => done?,
        };
        if done.stopped {
            return Ok(false);
        }
        if done.filled > 0 || done.moved > 0 {
            tracing::info!(%file, filled = done.filled, leaves = done.moved, "made whole");
        }
    }
    store.put_record(NAMESPACE, versions.name.key_bytes(), &versions.newest.to_bytes())?;
    Ok(true)
}

/// Adds the large files below a root, as far as they are here.
fn files_of(store: &Store, root: &Cid, files: &mut HashSet<Cid>) -> Result<(), Failure> {
    let mut walk = TreeWalk::new(*root, Budget::TREE).without_leaves();
    if root.codec() == hash::RAW {
        files.insert(*root);
        return Ok(());
    }
    while files.len() < FILES_MAX {
        let failed = |error| Failure::bad_dag(root, error);
        let TreeStep::Need(cid) = walk.poll().map_err(failed)? else { return Ok(()) };
        let data = store.get(&cid)?;
        match data.map(|data| (DagNode::decode(&cid, data.clone()), data)) {
            Some((Ok(DagNode::File(file)), _)) => {
                if file.size >= BLOB_BYTES_MIN {
                    files.insert(cid);
                }
                walk.skip(&cid).map_err(failed)?;
            }
            Some((_, data)) => drop(walk.handle_block(&cid, data).map_err(failed)?),
            // An older version that was let go of, perhaps in part.
            None => walk.skip(&cid).map_err(failed)?,
        }
    }
    Ok(())
}

/// Rests as long as it has worked.
struct Pace<'a> {
    node: &'a Node,
    since: Instant,
}

impl Pace<'_> {
    fn goes_on(&mut self) -> bool {
        std::thread::sleep(self.since.elapsed().min(REST_MAX));
        self.since = Instant::now();
        !self.node.is_stopping() && !self.node.rebase().paused.load(Ordering::Acquire)
    }
}
