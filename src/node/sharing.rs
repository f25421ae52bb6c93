//! What this node shares with others: which roots are announced, which blocks are served.
//!
//! Announced and served are pins that are not local, the parts of roots that were kept, and what was
//! fetched and is seeded on (a *debt*: until as much was given as taken, or ten minutes of serving have
//! passed). Blocks of anything else are cached content and served to nobody. The worker [`run`] of a
//! running peer publishes the roots and settles debts; the rest are the disk-side answers that the
//! swarm task asks for.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use shoal_dag::{
    Cid, Node as DagNode, hash,
    path::CidPath,
    walk::{Budget, TreeStep, TreeWalk},
};
use shoal_store::{Pin, ReadError, Store, WriteError};
use shoal_swarm::{Holdings, Links, Place, Probe};

use super::{
    Node,
    directory::{self, Found},
    read::Resolved,
    seed,
    sessions::Session,
    swarm::{Command, Want},
};
use crate::config::SEED_ON_DEFAULT;

pub mod unshare;

/// Why encoding a record cannot fail.
const PLAIN: &str = "plain data has an encoding";

/// Namespace of records of what was fetched and is owed.
const DEBTS: &str = "debts";

/// Namespace of records of kept parts of roots.
const PARTS: &str = "parts";

/// Namespace of what `seed` was given.
pub const SEEDS: &str = "seeds";

/// Arguments of `seed` that are remembered.
pub const SEEDS_MAX: usize = 10_000;

/// How often debts are looked at.
const SETTLE_EVERY: Duration = Duration::from_secs(5);

/// How often what is left of a debt is written down: what a crash forgets is seeded on again.
const WRITE_EVERY: Duration = Duration::from_mins(1);

/// Debts that are seeded on at once; older ones wait for the next round.
const DEBTS_MAX: usize = 256;

/// Pins read in one look at the index.
const PINS_AT_ONCE: usize = 1_000;

/// Roots announced at most: what the network layer may provide.
const ROOTS_MAX: usize = 100_000;

/// Blocks looked at to find out whether all of a root that is not pinned itself is here.
const LOOK_MAX: u64 = 4_096;

/// Something fetched that is seeded on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debt {
    /// The root whose swarm it was fetched in.
    root: Vec<u8>,
    /// What was fetched: the root or something below it.
    target: Vec<u8>,
    /// The directories on the way, with the link that was followed.
    trail: Vec<(Vec<u8>, u32)>,
    /// Bytes still to be given.
    owed: u64,
    /// Milliseconds of serving that are left.
    left_ms: u64,
}

/// A kept part of a root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    root: Vec<u8>,
    target: Vec<u8>,
    trail: Vec<(Vec<u8>, u32)>,
}

impl Debt {
    /// What is owed for having taken `bytes` of `target` under `root`.
    pub fn new(root: &Cid, target: &Cid, trail: &[(Cid, usize)], bytes: u64) -> Self {
        Self {
            root: root.to_bytes(),
            target: target.to_bytes(),
            trail: trail_bytes(trail),
            owed: bytes,
            left_ms: SEED_ON_DEFAULT.as_millis() as u64,
        }
    }

    /// Writes it down, so that the next running peer takes it up.
    ///
    /// # Errors
    /// The store.
    pub fn record(&self, store: &Store) -> Result<(), WriteError> {
        let value = postcard::to_stdvec(self).expect(PLAIN);
        store.put_record(DEBTS, &self.key(), &value)
    }

    /// The same may be owed to the swarms of several roots.
    fn key(&self) -> Vec<u8> {
        [&self.target[..], &self.root].concat()
    }
}

fn trail_bytes(trail: &[(Cid, usize)]) -> Vec<(Vec<u8>, u32)> {
    trail.iter().map(|(cid, index)| (cid.to_bytes(), *index as u32)).collect()
}

/// Writes down that `target` was kept as a part of `root`.
///
/// # Errors
/// The store.
pub fn record_part(
    store: &Store,
    root: &Cid,
    target: &Cid,
    trail: &[(Cid, usize)],
) -> Result<(), WriteError> {
    let part = Part { root: root.to_bytes(), target: target.to_bytes(), trail: trail_bytes(trail) };
    // One target may be a part of several roots.
    let key = [&part.target[..], &part.root].concat();
    store.put_record(PARTS, &key, &postcard::to_stdvec(&part).expect(PLAIN))
}

/// Forgets of which roots `target` was kept as a part.
///
/// # Errors
/// The store.
pub fn forget_parts(store: &Store, target: &Cid) -> Result<(), WriteError> {
    let target = target.to_bytes();
    for (key, part) in all_of::<Part>(store, PARTS, ROOTS_MAX) {
        if part.target == target {
            store.remove_record(PARTS, &key)?;
        }
    }
    Ok(())
}

/// The paths at which `target` hangs below roots that it was kept as a part of: those who hold a root are
/// asked for its parts. What cannot be followed any more is left out.
pub fn paths_of_part(store: &Store, target: &Cid) -> Vec<CidPath> {
    let bytes = target.to_bytes();
    let parts = all_of::<Part>(store, PARTS, ROOTS_MAX).into_iter().map(|(_, part)| part);
    let path = |part: Part| {
        let root = Cid::try_from(part.root).ok()?;
        let steps = part.trail.iter().map(|(branch, link)| segment(store, branch, *link));
        // A step from a shard to the next one is none of the path.
        let segments = steps.collect::<Option<Vec<_>>>()?.into_iter().flatten().collect();
        Some(CidPath { root, segments })
    };
    parts.filter(|part| part.target == bytes).filter_map(path).collect()
}

/// The name that a link of a directory stands for; none for a link to another shard.
fn segment(store: &Store, branch: &[u8], link: u32) -> Option<Vec<Vec<u8>>> {
    let branch = Cid::try_from(branch).ok()?;
    let data = store.get(&branch).ok()??;
    match DagNode::decode(&branch, data).ok()? {
        DagNode::Directory { entries, .. } => Some(vec![entries.get(link as usize)?.name.clone()]),
        DagNode::Shard(shard) => {
            let link = shard.links.get(link as usize)?;
            Some((!link.is_shard()).then(|| link.name.clone()).into_iter().collect())
        }
        _ => None,
    }
}

fn all_of<T: for<'a> Deserialize<'a>>(store: &Store, ns: &str, max: usize) -> Vec<(Vec<u8>, T)> {
    let records = store.records(ns, &[], max).unwrap_or_default();
    let read = |(key, value): (Vec<u8>, Vec<u8>)| Some((key, postcard::from_bytes(&value).ok()?));
    records.into_iter().filter_map(read).collect()
}

/// The roots to announce: of pins that are not local, and of kept parts and debts.
///
/// # Errors
/// The index.
fn roots(store: &Store) -> Result<Vec<Cid>, ReadError> {
    let mut roots = shared_pins(store)?;
    roots.truncate(ROOTS_MAX);
    let parts = all_of::<Part>(store, PARTS, ROOTS_MAX).into_iter().map(|(_, part)| part.root);
    let debts = all_of::<Debt>(store, DEBTS, DEBTS_MAX).into_iter().map(|(_, debt)| debt.root);
    roots.extend(parts.chain(debts).filter_map(|root| Cid::try_from(root).ok()));
    Ok(roots)
}

/// The roots of pins that are not local.
///
/// # Errors
/// The index.
fn shared_pins(store: &Store) -> Result<Vec<Cid>, ReadError> {
    let mut roots = Vec::new();
    for_each_pin(store, &mut |cid, pin| {
        if !pin.local && !pin.direct {
            roots.push(cid);
        }
    })?;
    Ok(roots)
}

/// Visits every pin, a page of them at a time.
///
/// # Errors
/// The index.
pub fn for_each_pin(store: &Store, visit: &mut dyn FnMut(Cid, Pin)) -> Result<(), ReadError> {
    let mut after = None;
    loop {
        let pins = store.pins(after.as_ref(), PINS_AT_ONCE)?;
        let Some((last, _)) = pins.last() else { return Ok(()) };
        after = Some(*last);
        for (cid, pin) in pins {
            visit(cid, pin);
        }
    }
}

/// A debt that is being seeded on.
struct Seeding {
    session: Arc<Session>,
    debt: Debt,
    sent: u64,
    since: Instant,
    written: Instant,
}

/// The worker of a running peer: announces what is shared and settles debts, until the node stops.
pub async fn run(node: Arc<Node>) {
    let mut seeding: HashMap<Vec<u8>, Seeding> = HashMap::new();
    let mut announced = Vec::new();
    tokio::spawn(seed::try_again(Arc::clone(&node)));
    loop {
        if let Err(error) = node.with_store(unshare::work).await {
            tracing::warn!(%error, "what is not shared any more could not be marked");
        }
        match node.with_store(roots).await {
            Ok(roots) if roots != announced => {
                announced.clone_from(&roots);
                node.swarm().tell(Command::Announce(roots)).await;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "pins cannot be read"),
        }
        settle(&node, &mut seeding).await;
        let debts = !seeding.is_empty();
        tokio::select! {
            () = node.stopped() => break,
            () = node.swarm().until_pins_change() => {}
            () = tokio::time::sleep(SETTLE_EVERY), if debts => {}
        }
    }
    let left: Vec<Debt> = seeding.into_values().map(|seeding| seeding.debt).collect();
    let kept = node.with_store(move |store| left.iter().try_for_each(|debt| debt.record(store)));
    if let Err(error) = kept.await {
        tracing::warn!(%error, "what is owed could not be written down");
    }
}

/// Opens sessions for new debts, counts what was given and the time, and drops what is settled.
async fn settle(node: &Arc<Node>, seeding: &mut HashMap<Vec<u8>, Seeding>) {
    let debts = node.with_store(|store| all_of::<Debt>(store, DEBTS, DEBTS_MAX)).await;
    for (key, debt) in debts {
        let Some(known) = seeding.get_mut(&key) else {
            if let Some(session) = seed_on(node, &debt).await {
                let now = Instant::now();
                let fresh = Seeding { session, debt, sent: 0, since: now, written: now };
                seeding.insert(key, fresh);
            }
            continue;
        };
        known.renewed(debt);
        known.count();
        let settled = known.debt.owed == 0 || known.debt.left_ms == 0;
        if !settled && known.written.elapsed() < WRITE_EVERY {
            continue;
        }
        known.written = Instant::now();
        let debt = known.debt.clone();
        if settled {
            seeding.remove(&key);
        }
        let kept = node.with_store(move |store| {
            if settled { store.remove_record(DEBTS, &key) } else { debt.record(store) }
        });
        if let Err(error) = kept.await {
            tracing::warn!(%error, "a debt cannot be written down");
        }
    }
}

impl Seeding {
    /// The same was fetched again meanwhile: more is owed, and the time begins anew.
    fn renewed(&mut self, recorded: Debt) {
        if recorded.left_ms > self.debt.left_ms && recorded.owed > self.debt.owed {
            self.debt = recorded;
        }
    }

    /// Counts what was given, and the time that it took.
    fn count(&mut self) {
        let sent = self.session.view().bytes_sent;
        self.debt.owed = self.debt.owed.saturating_sub(sent.saturating_sub(self.sent));
        self.sent = sent;
        let passed = self.since.elapsed().as_millis() as u64;
        self.debt.left_ms = self.debt.left_ms.saturating_sub(passed);
        self.since = Instant::now();
    }
}

/// Takes part in the swarm of something that was fetched before.
async fn seed_on(node: &Arc<Node>, debt: &Debt) -> Option<Arc<Session>> {
    let root = Cid::try_from(debt.root.as_slice()).ok()?;
    let cid = Cid::try_from(debt.target.as_slice()).ok()?;
    let under = debt.trail.last().and_then(|(branch, _)| Cid::try_from(branch.as_slice()).ok());
    let session = Session::open(node.swarm(), node.store().hold(&root), false).await.ok()?;
    for (branch, _) in &debt.trail {
        if let Ok(cid) = Cid::try_from(branch.as_slice()) {
            session.want(Want { cid, under: None, place: None, within: None, tree: false }).await;
        }
    }
    session.want(Want { cid, under, place: None, within: None, tree: true }).await;
    Some(session)
}

/// What stays though it is not pinned: the roots of what is seeded on and of kept parts, and the
/// directories on the way to them.
pub fn kept(store: &Store) -> (Vec<Cid>, Vec<Cid>) {
    let debts = all_of::<Debt>(store, DEBTS, usize::MAX).into_iter();
    let parts = all_of::<Part>(store, PARTS, usize::MAX).into_iter();
    let debts = debts.map(|(_, debt)| (debt.target, debt.trail));
    let (mut roots, mut blocks) = (Vec::new(), Vec::new());
    for (target, trail) in debts.chain(parts.map(|(_, part)| (part.target, part.trail))) {
        roots.extend(Cid::try_from(target.as_slice()));
        blocks.extend(trail.iter().filter_map(|(cid, _)| Cid::try_from(cid.as_slice()).ok()));
    }
    (roots, blocks)
}

/// Number of fetched roots that are seeded on.
pub fn debt_count(store: &Store) -> u64 {
    store.records(DEBTS, &[], DEBTS_MAX).map_or(0, |debts| debts.len() as u64)
}

/// Answers the engine's question which blocks are here. A branch that cannot be read counts as missing:
/// it is fetched again.
pub fn probe(store: &Store, cids: Vec<(Cid, Option<Place>)>) -> Vec<(Cid, Probe)> {
    cids.into_iter().map(|(cid, _)| (cid, probe_one(store, &cid))).collect()
}

fn probe_one(store: &Store, cid: &Cid) -> Probe {
    let data = match hash::identity(cid) {
        Some(data) => bytes::Bytes::copy_from_slice(data),
        None if cid.codec() == hash::RAW => {
            forget_moved(store, cid);
            let here = store.has(cid) || keep_nothing(store, cid);
            return if here { Probe::Leaf } else { Probe::Missing };
        }
        None => match store.get(cid) {
            Ok(Some(data)) => data,
            Ok(None) => return Probe::Missing,
            Err(error) => {
                tracing::warn!(%error, "a branch is fetched again");
                if let Err(error) = store.forget_block(cid) {
                    tracing::warn!(%error, "a corrupt branch cannot be forgotten");
                }
                return Probe::Missing;
            }
        },
    };
    forget_moved(store, cid);
    match Links::of(cid, &data) {
        Ok(Some(links)) => Probe::Branch(links),
        Ok(None) | Err(_) => Probe::Leaf,
    }
}

/// Keeps the block without bytes, if this is its CID: nobody need be asked for it, and kubo says that it
/// does not have it.
fn keep_nothing(store: &Store, cid: &Cid) -> bool {
    hash::verify(cid, &[]).is_ok() && store.keep(cid, None, &bytes::Bytes::new(), false).is_ok()
}

/// A file that an earlier `get` made and that the user removed or changed since: its leaves count as
/// missing from now on, so that they are fetched again. A file given by reference stays and is named.
pub fn forget_moved(store: &Store, file: &Cid) -> bool {
    match store.forget_moved(file) {
        Ok(forgotten) => forgotten,
        Err(error) => {
            tracing::warn!(%error, "a file that was moved away cannot be forgotten");
            false
        }
    }
}

/// What of a root is shared with a peer that asks.
pub fn holdings(store: &Store, root: &Cid) -> Holdings {
    let mut holdings = Holdings::default();
    match store.pinned(root) {
        Ok(Some(pin)) => return Holdings { all: !pin.local && !pin.direct, ..holdings },
        Err(_) => return holdings,
        Ok(None) => {}
    }
    for (_, part) in all_of::<Part>(store, PARTS, ROOTS_MAX) {
        if part.root == root.to_bytes() {
            add_part(&mut holdings, &part.target, &part.trail);
        }
    }
    if holdings.is_empty() && store.is_public(root) && !unshare::is_unshared(store, root) {
        holdings.all = all_here(store, root);
    }
    holdings
}

fn add_part(holdings: &mut Holdings, target: &[u8], trail: &[(Vec<u8>, u32)]) {
    holdings.complete.extend(Cid::try_from(target));
    for (branch, index) in trail {
        if let Ok(branch) = Cid::try_from(branch.as_slice()) {
            holdings.have.push((branch, *index, vec![1]));
        }
    }
}

/// Whether everything below a root that lies inside a pinned tree is here and public.
fn all_here(store: &Store, root: &Cid) -> bool {
    let budget = Budget { nodes_max: LOOK_MAX, ..Budget::TREE };
    covers(root, budget, &|cid| store.is_public(cid), &|cid| store.get_public(cid))
}

/// Whether everything below a root is here. A file of the user that stands for a part of it and was
/// changed counts as not here.
pub fn is_all_here(store: &Store, root: &Cid) -> bool {
    let has = |cid: &Cid| {
        forget_moved(store, cid);
        store.has(cid)
    };
    covers(root, Budget::TREE, &has, &|cid| {
        forget_moved(store, cid);
        store.get(cid)
    })
}

/// Walks a tree by what `has` says of leaves and `get` gives of branches.
fn covers(
    root: &Cid,
    budget: Budget,
    has: &dyn Fn(&Cid) -> bool,
    get: &dyn Fn(&Cid) -> Result<Option<bytes::Bytes>, ReadError>,
) -> bool {
    let mut walk = TreeWalk::new(*root, budget);
    loop {
        match walk.poll() {
            Ok(TreeStep::Done) => return true,
            Ok(TreeStep::Need(cid)) if cid.codec() == hash::RAW => {
                if !has(&cid) || walk.skip(&cid).is_err() {
                    return false;
                }
            }
            Ok(TreeStep::Need(cid)) => match get(&cid) {
                Ok(Some(data)) if walk.handle_block(&cid, data.clone()).is_ok() => {}
                _ => return false,
            },
            Err(_) => return false,
        }
    }
}

/// Follows a path as far as it is here; `None` where it leaves the store, or leads nowhere.
pub fn resolve_here(store: &Store, path: &CidPath) -> Option<Resolved> {
    let mut resolved = Resolved { cid: path.root, trail: Vec::new() };
    for segment in &path.segments {
        let Found::Entry { cid, trail, .. } = directory::find_here(store, &resolved.cid, segment)?
        else {
            return None;
        };
        resolved.trail.extend(trail);
        resolved.cid = cid;
    }
    Some(resolved)
}

#[cfg(test)]
mod tests;
