//! `seed`: what a running peer was given to seed, remembered until it is forgotten.
//!
//! A path is added by reference and pinned; a CID is fetched, pinned and served. The record of it is
//! written with the argument that the user gave, so that `--forget` takes the same words. The running
//! peer needs nothing of it at its next start: the pins are there, and an edited file is found out
//! when it is read.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shoal_dag::{
    Cid, Version,
    hash::{self, HashKind},
};

use super::{Node, add, pin, service::need_persistent, sharing::SEEDS};
use crate::{
    config::PROFILE_DEFAULT,
    control::{
        protocol::{Add, Added, Failure, Outcome, Response, Seed, SeedItem, Wait},
        server::Responder,
    },
    exit::Exit,
};

#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    root: String,
}

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
    let mut partial = None;
    for item in request.what {
        match &item {
            SeedItem::Path(path) => match seed_path(node, path, out).await {
                // The rest is seeded although a part could not be read.
                Err(failure) if failure.exit == Exit::Partial => partial = Some(failure),
                result => result?,
            },
            SeedItem::Root(target) => seed_root(node, target, out).await?,
        }
    }
    node.swarm().pins_changed();
    partial.map_or(Ok(Outcome::Nothing), Err)
}

async fn seed_path(node: &Arc<Node>, path: &[u8], out: &Responder) -> Result<(), Failure> {
    let request = Add {
        sources: vec![Some(path.to_vec())],
        profile: PROFILE_DEFAULT.to_owned(),
        preserve: false,
        reference: true,
        local: false,
        only_hash: false,
    };
    let (added, outcome) = add::add_told(node, request, out).await?;
    for added in &added {
        remember(node, key(&SeedItem::Path(path.to_vec())), added.cid.clone()).await?;
        out.send(Response::Added(added.clone())).await?;
    }
    outcome.map(|_| ())
}

async fn seed_root(node: &Arc<Node>, target: &[u8], out: &Responder) -> Result<(), Failure> {
    let wait = Wait { idle_ms: node.settings().timeout.as_millis() as u64 };
    let outcome = pin::add(node, target, wait.into(), out).await?;
    let Outcome::Pinned { cid } = outcome else {
        return Ok(());
    };
    remember(node, key(&SeedItem::Root(target.to_vec())), cid.clone()).await?;
    let added = Added { cid, path: target.to_vec(), size: 0, files: 0 };
    Ok(out.send(Response::Added(added)).await?)
}

async fn remember(node: &Arc<Node>, key: Vec<u8>, root: String) -> Result<(), Failure> {
    let value = postcard::to_stdvec(&Remembered { root }).unwrap_or_default();
    Ok(node.with_store(move |store| store.put_record(SEEDS, &key, &value)).await?)
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
        let remembered = postcard::from_bytes::<Remembered>(&value).ok();
        if let Some(root) = remembered.and_then(|seed| seed.root.parse::<Cid>().ok()) {
            store.unpin(&root)?;
        }
        Ok(())
    })
    .await
}

/// The key of a record: what the user gave, hashed where a path would be longer than a key may be.
fn key(item: &SeedItem) -> Vec<u8> {
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
