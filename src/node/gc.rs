//! `gc`: what nothing here needs is removed, while everything else goes on.
//!
//! What stays: pins, what is read, fetched or shown by a mount now (each holds its root), what is still
//! seeded on, and kept parts of roots with the directories on the way to them. There is no grace period.
//! With a quota ([`tend`]) unpinned content is a cache: what was used last stays as long as it fits.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use shoal_dag::{Cid, path::CidPath};
use shoal_store::{CollectOptions, Progress as Step, Store};

use super::{Node, blocking, sharing, unix_s};
use crate::{
    control::{
        protocol::{self, Failure, Outcome, Phase, Response},
        server::Responder,
    },
    exit::Exit,
};

/// How often it is told how far it is.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// Namespace of roots that were fetched and are not pinned, with when they were last used.
const CACHED: &str = "cached";

/// Cached roots that are remembered: what is older goes with the next collection.
const CACHED_MAX: usize = 10_000;

/// How often a running peer looks whether the store is over its quota.
const TEND_EVERY: Duration = Duration::from_secs(30);

/// A cache is emptied to this part of a hundred, so that it is not done again at once.
const FILLED_PERCENT: u64 = 90;

/// A use is written down again after this.
const USED_AGAIN: u64 = 60;

/// `gc`.
///
/// # Errors
/// The store; exit 6 where a branch below a pin cannot be read.
pub async fn collect(node: &Arc<Node>, dry_run: bool, out: &Responder) -> Result<Outcome, Failure> {
    let began = Instant::now();
    let (store, told) = (node.store().clone(), out.clone());
    let done = blocking(move || {
        let mut options = keeping(&store);
        options.dry_run = dry_run;
        let mut last = None;
        store.collect(&options, &mut |step| {
            if last.is_none_or(|last: Instant| last.elapsed() >= TELL_EVERY) {
                last = Some(Instant::now());
                tell(&told, step);
            }
            !told.is_gone()
        })
    });
    let done = done.await?;
    if out.is_gone() {
        return Err(Failure::client_gone());
    }
    Ok(Outcome::Collected(protocol::Collected {
        dry_run,
        kept_blocks: done.kept_blocks,
        kept_bytes: done.kept_bytes,
        removed_blocks: done.removed_blocks,
        removed_bytes: done.removed_bytes,
        freed_bytes: done.freed_bytes,
        missing: done.missing,
        left: done.left,
        complete: done.is_complete,
        elapsed_ms: began.elapsed().as_millis() as u64,
    }))
}

fn tell(out: &Responder, step: Step) {
    let text = match step {
        Step::Marking(blocks) => format!("marking what stays: {blocks} blocks"),
        Step::Counting(done, all) => format!("counting: {done} of {all} blocks"),
        Step::Removing(blocks) => format!("removing: {blocks} blocks"),
        Step::Freeing(_) => "giving space back".to_owned(),
    };
    out.offer(Response::Phase(Phase { text }));
}

/// What stays though it is not pinned.
fn keeping(store: &Store) -> CollectOptions {
    let (roots, blocks) = sharing::kept(store);
    CollectOptions { roots, blocks, ..CollectOptions::default() }
}

/// Remembers that a root was fetched or read, for a store with a quota.
pub async fn used(node: &Arc<Node>, root: Cid) {
    if node.settings().quota.is_none() {
        return;
    }
    let noted = node.with_store(move |store| {
        let (key, now) = (root.to_bytes(), unix_s());
        let known = store.record(CACHED, &key)?.and_then(|value| time_of(&value));
        if known.is_some_and(|then| now.saturating_sub(then) < USED_AGAIN) {
            return Ok(());
        }
        store.put_record(CACHED, &key, &now.to_le_bytes())
    });
    if let Err(error) = noted.await {
        tracing::warn!(%error, "it cannot be noted that a root was used");
    }
}

fn time_of(value: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(value.try_into().ok()?))
}

/// The worker of a running peer with a quota.
pub async fn run(node: Arc<Node>) {
    if node.settings().quota.is_none() {
        return;
    }
    loop {
        tend(&node).await;
        tokio::select! {
            () = node.stopped() => return,
            () = tokio::time::sleep(TEND_EVERY) => {}
        }
    }
}

/// Removes cached content where the store is over its quota, what was used longest ago first.
pub async fn tend(node: &Arc<Node>) {
    let Some(quota) = node.settings().quota else { return };
    if let Err(error) = node.with_store(move |store| evict(store, quota)).await {
        tracing::warn!(error = error.message, "the store cannot be brought below its quota");
    }
}

fn taken(store: &Store) -> Result<u64, Failure> {
    let usage = store.usage()?;
    Ok(usage.pack_bytes + usage.blob_bytes)
}

fn evict(store: &Store, quota: u64) -> Result<(), Failure> {
    if taken(store)? <= quota {
        return Ok(());
    }
    let mut options = CollectOptions { dry_run: true, ..keeping(store) };
    let pinned = store.collect(&options, &mut |_| true)?.kept_bytes;
    let mut room = (quota / 100 * FILLED_PERCENT).saturating_sub(pinned);
    let mut cached = cached(store);
    cached.sort_by_key(|(_, used)| std::cmp::Reverse(*used));
    let (mut seen, mut gone) = (HashSet::new(), Vec::new());
    for (root, _) in cached {
        let bytes = size_below(store, &root, &mut seen);
        if gone.is_empty() && bytes <= room {
            room -= bytes;
            options.roots.push(root);
        } else {
            gone.push(root.to_bytes());
        }
    }
    let rows: Vec<(&[u8], Option<&[u8]>)> = gone.iter().map(|key| (&key[..], None)).collect();
    store.put_records(CACHED, &rows)?;
    options.dry_run = false;
    let done = store.collect(&options, &mut |_| true)?;
    tracing::info!(freed = done.freed_bytes, "the cache was over its quota");
    Ok(())
}

fn cached(store: &Store) -> Vec<(Cid, u64)> {
    let records = store.records(CACHED, &[], CACHED_MAX).unwrap_or_default();
    let read = |(key, value): (Vec<u8>, Vec<u8>)| {
        Some((Cid::try_from(key.as_slice()).ok()?, time_of(&value)?))
    };
    records.into_iter().filter_map(read).collect()
}

/// The bytes of what is here below a root and was not seen before.
fn size_below(store: &Store, root: &Cid, seen: &mut HashSet<Cid>) -> u64 {
    let mut bytes = 0;
    sharing::unshare::below(store, root, &mut |cid| {
        if seen.insert(cid) {
            bytes += store.extent(&cid).map_or(0, |extent| u64::from(extent.len));
        }
    });
    bytes
}

/// Makes sure that so many more bytes may be pinned; cached content makes room for them.
///
/// # Errors
/// Exit 1 where they would put what is pinned over the quota.
pub fn check_room(store: &Store, quota: Option<u64>, bytes: u64) -> Result<(), Failure> {
    let Some(quota) = quota else { return Ok(()) };
    if taken(store)?.saturating_add(bytes) <= quota {
        return Ok(());
    }
    let options = CollectOptions { dry_run: true, pins_only: true, ..CollectOptions::default() };
    let pinned = store.collect(&options, &mut |_| true)?.kept_bytes;
    if pinned.saturating_add(bytes) <= quota {
        return Ok(());
    }
    let text = format!("{bytes} bytes more would put what is pinned ({pinned} bytes) over {quota}");
    Err(Failure::new(Exit::Failed, format!("the quota of the store is reached: {text}"))
        .hint("remove pins with: shoal pin rm, or give more with --quota"))
}

/// The root of a path is in use until the answer is dropped.
pub fn hold(node: &Node, path: &CidPath) -> shoal_store::Hold {
    node.store().hold(&path.root)
}
