//! `seed`: what a running peer was given to seed, remembered until it is forgotten.
//!
//! A path is added by reference and pinned; a CID is fetched, pinned and served. The record of it is
//! written with the argument that the user gave, so that `--forget` takes the same words. The running
//! peer needs nothing of it at its next start: the pins are there, and an edited file is found out
//! when it is read.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use shoal_dag::{
    Cid, Version,
    hash::{self, HashKind},
};

use super::{
    Node, add,
    names::target,
    pin,
    service::need_persistent,
    sharing::{SEEDS, SEEDS_MAX, unshare},
};
use crate::{
    control::{
        protocol::{Add, Added, Failure, Outcome, Response, Seed, SeedItem, Wait},
        server::Responder,
    },
    exit::Exit,
};

/// What is remembered of one argument.
#[derive(Debug, Serialize, Deserialize)]
pub struct Remembered {
    /// Its root; `None` while it could not be fetched yet.
    pub root: Option<String>,
    /// The root was pinned before it was seeded, so that forgetting the seed leaves the pin.
    pub pinned_before: bool,
}

/// How often what could not be fetched is tried again.
const TRY_AGAIN: Duration = Duration::from_mins(2);

/// Seeds or forgets.
///
/// # Errors
/// As `add` and `pin`; exit 4 for something to forget that was not seeded.
pub async fn seed(node: &Arc<Node>, request: Seed, out: &Responder) -> Result<Outcome, Failure> {
    if request.forget {
        for item in request.what {
            forget(node, &item).await?;
        }
        node.swarm().pins_changed();
        return Ok(Outcome::Nothing);
    }
    need_persistent(node)?;
    let mut first = None;
    for item in request.what {
        let seeded = match &item {
            SeedItem::Path(path) => seed_path(node, path, out).await,
            SeedItem::Root(target) => seed_root(node, target, out).await,
        };
        // The rest is seeded whatever becomes of one of them.
        if let Err(failure) = seeded {
            first.get_or_insert(failure);
        }
    }
    node.swarm().pins_changed();
    first.map_or(Ok(Outcome::Nothing), Err)
}

async fn seed_path(node: &Arc<Node>, path: &[u8], out: &Responder) -> Result<(), Failure> {
    let request = Add { reference: true, ..Add::path(path.to_vec()) };
    let (added, outcome) = add::add_told(node, request, out).await?;
    add::claim(node, &added).await?;
    for added in &added {
        let item = SeedItem::Path(path.to_vec());
        remember(node, &item, Some(added.cid.clone()), false).await?;
        out.send(Response::Added(added.clone())).await?;
    }
    outcome.and_then(add::whole).map(|_| ())
}

async fn seed_root(node: &Arc<Node>, text: &[u8], out: &Responder) -> Result<(), Failure> {
    let item = SeedItem::Root(text.to_vec());
    let wait = Wait { idle_ms: node.settings().timeout.as_millis() as u64 };
    // Of a name what is newest now is seeded, and remembered as it was typed.
    let path = match target::follow(node, text, wait, out).await {
        Ok(path) => path,
        Err(failure) if failure.exit == Exit::Usage => return Err(failure),
        Err(failure) => {
            remember(node, &item, None, false).await?;
            return Err(failure);
        }
    };
    let pinned = node.with_store(move |store| store.is_pinned(&path.root)).await;
    let pinned_before = pinned && path.segments.is_empty();
    // Before it is fetched: what cannot be fetched now is tried again later.
    remember(node, &item, None, pinned_before).await?;
    let cid = pin::add_path(node, &path, wait, out).await?.to_string();
    remember(node, &item, Some(cid.clone()), pinned_before).await?;
    let added = Added { cid, path: text.to_vec(), size: 0, files: 0 };
    Ok(out.send(Response::Added(added)).await?)
}

async fn remember(
    node: &Arc<Node>,
    item: &SeedItem,
    root: Option<String>,
    pinned_before: bool,
) -> Result<(), Failure> {
    let key = key(item);
    let value = Seeded { item: item.clone(), remembered: Remembered { root, pinned_before } };
    let value = postcard::to_stdvec(&value).expect("plain data has an encoding");
    Ok(node.with_store(move |store| store.put_record(SEEDS, &key, &value)).await?)
}

/// The record: the argument in full, since the key may be only its hash.
#[derive(Debug, Serialize, Deserialize)]
pub struct Seeded {
    /// The argument.
    pub item: SeedItem,
    /// What is remembered of it.
    pub remembered: Remembered,
}

/// Tries again, until the node stops, to fetch what was to be seeded and could not be fetched.
pub async fn try_again(node: Arc<Node>) {
    loop {
        for target in missing(&node).await {
            let (out, mut answers) = Responder::pair();
            let told = tokio::spawn(async move { while answers.recv().await.is_some() {} });
            if let Err(failure) = seed_root(&node, &target, &out).await {
                tracing::info!(reason = failure.message, "what is to be seeded is not here yet");
            }
            drop(out);
            let _ended = told.await;
            node.swarm().pins_changed();
        }
        // With nobody to ask it fails at once: whoever comes first may have it.
        let line = node.names().line();
        let alone = line.peers(1).is_empty();
        tokio::select! {
            () = node.stopped() => return,
            () = line.has_peer(), if alone => {}
            () = tokio::time::sleep(TRY_AGAIN) => {}
        }
    }
}

async fn missing(node: &Arc<Node>) -> Vec<Vec<u8>> {
    let records = node.with_store(|store| store.records(SEEDS, &[], SEEDS_MAX)).await;
    let target = |(_, value): (Vec<u8>, Vec<u8>)| {
        let seeded: Seeded = postcard::from_bytes(&value).ok()?;
        match (seeded.item, seeded.remembered.root) {
            (SeedItem::Root(target), None) => Some(target),
            _ => None,
        }
    };
    records.unwrap_or_default().into_iter().filter_map(target).collect()
}

async fn forget(node: &Arc<Node>, item: &SeedItem) -> Result<(), Failure> {
    let key = key(item);
    let shown = match item {
        SeedItem::Path(path) => shoal_dag::name::escape(path),
        SeedItem::Root(target) => shoal_dag::name::escape(target),
    };
    node.with_store(move |store| {
        let Some(value) = store.record(SEEDS, &key)? else {
            return Err(Failure::new(Exit::NotFound, format!("{shown} is not seeded")));
        };
        store.remove_record(SEEDS, &key)?;
        let seeded = postcard::from_bytes::<Seeded>(&value).ok().map(|seeded| seeded.remembered);
        let root = seeded.filter(|seeded| !seeded.pinned_before).and_then(|seeded| seeded.root);
        if let Some(root) = root.and_then(|root| root.parse::<Cid>().ok()) {
            unshare::unpin(store, &root)?;
        }
        Ok(())
    })
    .await
}

/// The key of a record: what the user gave, hashed where a path would be longer than a key may be.
pub fn key(item: &SeedItem) -> Vec<u8> {
    let (kind, words) = match item {
        SeedItem::Path(path) => (b'p', path),
        SeedItem::Root(target) => (b'c', target),
    };
    let mut key = vec![kind];
    if words.len() < shoal_store::RECORD_KEY_BYTES_MAX {
        key.extend_from_slice(words);
    } else {
        let digest = hash::cid_of(HashKind::Blake3, hash::RAW, Version::V1, words);
        key.extend_from_slice(&digest.to_bytes());
    }
    key
}
