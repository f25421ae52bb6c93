//! Which paths were added, so that `rm` takes the words that `add` took.
//!
//! One record for each path, with the roots that it was added as and that were not removed since. The
//! key is the path as it was given, made absolute; what stands there now does not matter. A pin that
//! was taken away by other means leaves its root here, which then means nothing.
//!
//! Invariant: written after the add was committed. A crash in between loses the words, not the pin,
//! which `rm` takes by its CID.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use shoal_dag::Cid;
use shoal_store::{ReadError, Store, WriteError};

use crate::{
    control::protocol::{Added, Failure, SeedItem},
    node::{
        Node,
        seed::{self, Seeded},
        sharing::SEEDS,
    },
};

/// Namespace of paths that were added.
const GIVEN: &str = "given";

/// Roots of one path: the versions of a file that is added again and again. Of more the newest count;
/// the pins of the others stay and are removed by their CIDs.
const ROOTS_MAX: usize = 256;

/// Records read at once.
const AT_ONCE: usize = 1_000;

/// Why encoding a record cannot fail.
const PLAIN: &str = "plain data has an encoding";

/// What was added from one path.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Given {
    /// In full, since the key may be only its hash.
    path: Vec<u8>,
    /// Oldest first.
    roots: Vec<Vec<u8>>,
}

/// Writes down what was added, unless that is written already.
///
/// # Errors
/// The store.
pub async fn note(node: &Arc<Node>, added: &[Added]) -> Result<(), Failure> {
    let paths = added.iter().filter(|added| added.path != b"-");
    let paths: Vec<(Vec<u8>, Cid)> =
        paths.filter_map(|added| Some((added.path.clone(), added.cid.parse().ok()?))).collect();
    Ok(node.with_store(move |store| note_all(store, &paths)).await?)
}

/// As [`note`], of paths with the roots that they were added as.
///
/// # Errors
/// The store.
pub fn note_all(store: &Store, paths: &[(Vec<u8>, Cid)]) -> Result<(), WriteError> {
    let mut changes: HashMap<Vec<u8>, Given> = HashMap::new();
    for (path, root) in paths {
        let key = key(path);
        let root = root.to_bytes();
        let mut given = match changes.remove(&key) {
            Some(given) => given,
            None => read(store, GIVEN, &key)?.unwrap_or_default(),
        };
        if given.roots.last() == Some(&root) {
            continue;
        }
        given.roots.retain(|known| *known != root);
        given.roots.push(root);
        let more = given.roots.len().saturating_sub(ROOTS_MAX);
        given.roots.drain(..more);
        given.path.clone_from(path);
        changes.insert(key, given);
    }
    if changes.is_empty() {
        return Ok(());
    }
    let encoded = |(key, given)| (key, postcard::to_stdvec(&given).expect(PLAIN));
    let rows: Vec<(Vec<u8>, Vec<u8>)> = changes.into_iter().map(encoded).collect();
    let rows: Vec<(&[u8], Option<&[u8]>)> =
        rows.iter().map(|(key, value)| (&key[..], Some(&value[..]))).collect();
    store.put_records(GIVEN, &rows)
}

/// The roots that a path was added or is seeded as, newest last; `None` when it never was.
///
/// # Errors
/// The store.
pub fn roots(store: &Store, path: &[u8]) -> Result<Option<Vec<Cid>>, ReadError> {
    let key = key(path);
    let given: Option<Given> = read(store, GIVEN, &key)?;
    let seeded: Option<Seeded> = read(store, SEEDS, &key)?;
    if given.is_none() && seeded.is_none() {
        return Ok(None);
    }
    let mut roots = given.map(|given| given.roots()).unwrap_or_default();
    let seeded = seeded.and_then(|seeded| seeded.remembered.root?.parse().ok());
    roots.extend(seeded.filter(|root| !roots.contains(root)));
    Ok(Some(roots))
}

/// Of these roots those that another path was added as too, or that are seeded by other words, with
/// those.
///
/// # Errors
/// The store.
pub fn of_others(
    store: &Store,
    path: &[u8],
    roots: &[Cid],
) -> Result<HashMap<Cid, Vec<u8>>, ReadError> {
    let mut others = HashMap::new();
    let wanted: HashSet<&Cid> = roots.iter().collect();
    each(store, GIVEN, |_, given: &Given| {
        for root in given.roots().into_iter().filter(|root| wanted.contains(root)) {
            if given.path != path {
                others.insert(root, given.path.clone());
            }
        }
    })?;
    each(store, SEEDS, |_, seeded: &Seeded| {
        let root = seeded.remembered.root.as_ref().and_then(|root| root.parse().ok());
        let (SeedItem::Path(words) | SeedItem::Root(words)) = &seeded.item;
        if let Some(root) = root.filter(|root| wanted.contains(root) && words != path) {
            others.insert(root, words.clone());
        }
    })?;
    Ok(others)
}

/// Forgets that a path was added or is seeded.
///
/// # Errors
/// The store.
pub fn forget(store: &Store, path: &[u8]) -> Result<(), WriteError> {
    let key = key(path);
    store.remove_record(GIVEN, &key)?;
    store.remove_record(SEEDS, &key)
}

/// Forgets a root, whatever it was added from or seeded by.
///
/// # Errors
/// The store.
pub fn forget_root(store: &Store, root: &Cid) -> Result<(), WriteError> {
    let (bytes, text) = (root.to_bytes(), root.to_string());
    let mut given_by = Vec::new();
    each(store, GIVEN, |key, given: &Given| {
        if given.roots.contains(&bytes) {
            let roots: Vec<_> =
                given.roots.iter().filter(|known| **known != bytes).cloned().collect();
            given_by.push((key, Given { path: given.path.clone(), roots }));
        }
    })?;
    for (key, given) in given_by {
        let value = postcard::to_stdvec(&given).expect(PLAIN);
        let value = (!given.roots.is_empty()).then_some(&value[..]);
        store.put_records(GIVEN, &[(&key, value)])?;
    }
    let mut seeded_by = Vec::new();
    each(store, SEEDS, |key, seeded: &Seeded| {
        if seeded.remembered.root.as_ref() == Some(&text) {
            seeded_by.push(key);
        }
    })?;
    seeded_by.iter().try_for_each(|key| store.remove_record(SEEDS, key))
}

impl Given {
    fn roots(&self) -> Vec<Cid> {
        self.roots.iter().filter_map(|root| Cid::try_from(&root[..]).ok()).collect()
    }
}

fn key(path: &[u8]) -> Vec<u8> {
    seed::key(&SeedItem::Path(path.to_vec()))
}

fn read<T: DeserializeOwned>(store: &Store, ns: &str, key: &[u8]) -> Result<Option<T>, ReadError> {
    Ok(store.record(ns, key)?.and_then(|value| postcard::from_bytes(&value).ok()))
}

/// Visits every record of a namespace that can be read, a page of them at a time.
fn each<T: DeserializeOwned>(
    store: &Store,
    ns: &str,
    mut visit: impl FnMut(Vec<u8>, &T),
) -> Result<(), ReadError> {
    let mut from = Vec::new();
    loop {
        let records = store.records(ns, &from, AT_ONCE)?;
        let Some((last, _)) = records.last() else { return Ok(()) };
        // The next key that there can be.
        from = [last, &[0][..]].concat();
        for (key, value) in records {
            if let Ok(record) = postcard::from_bytes(&value) {
                visit(key, &record);
            }
        }
    }
}
