//! Which pins are a name's.
//!
//! ```text
//! namespace "kept", keys:
//! r multihash, id 32   -> flags u8: 1 a pin of the user's own, 2 the pin was made
//! n id 32, CID         -> nothing: the roots of one name
//! s id 32              -> version u64 LE, entry 32: every version up to that one is settled
//! ```
//!
//! By multihash, as pins are. Both rows of a root are written at once. A row without the second flag
//! tells that a pin was about to be made; one with it and without a pin, that the user took it away.

use shoal_dag::Cid;
use shoal_ledger::{EntryId, LedgerId};
use shoal_store::{ReadError, Store, WriteError};

const NAMESPACE: &str = "kept";

const OF_USER: u8 = 1;
const DONE: u8 = 2;

/// Records read at once.
const AT_ONCE: usize = 1_000;

/// What is known of a root that is kept for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    /// The user wants it pinned himself.
    pub(super) of_user: bool,
    /// The pin was made.
    pub(super) done: bool,
}

impl Kept {
    const fn flags(self) -> u8 {
        (if self.of_user { OF_USER } else { 0 }) | (if self.done { DONE } else { 0 })
    }

    fn of_flags(value: &[u8]) -> Self {
        let flags = value.first().copied().unwrap_or(0);
        Self { of_user: flags & OF_USER != 0, done: flags & DONE != 0 }
    }
}

fn root_key(name: LedgerId, root: &Cid) -> Vec<u8> {
    [b"r", root.hash().to_bytes().as_slice(), name.key_bytes()].concat()
}

fn name_key(name: LedgerId, root: &[u8]) -> Vec<u8> {
    [b"n", name.key_bytes().as_slice(), root].concat()
}

fn settled_key(name: LedgerId) -> Vec<u8> {
    [b"s", name.key_bytes().as_slice()].concat()
}

/// What is known of a root for that name.
pub(super) fn of(store: &Store, name: LedgerId, root: &Cid) -> Result<Option<Kept>, ReadError> {
    let value = store.record(NAMESPACE, &root_key(name, root))?;
    Ok(value.map(|value| Kept::of_flags(&value)))
}

pub(super) fn put(store: &Store, name: LedgerId, root: &Cid, kept: Kept) -> Result<(), WriteError> {
    let (by_root, by_name) = (root_key(name, root), name_key(name, &root.to_bytes()));
    store.put_records(NAMESPACE, &[(&by_root, Some(&[kept.flags()])), (&by_name, Some(&[]))])
}

pub(super) fn remove(store: &Store, name: LedgerId, root: &Cid) -> Result<(), WriteError> {
    let (by_root, by_name) = (root_key(name, root), name_key(name, &root.to_bytes()));
    store.put_records(NAMESPACE, &[(&by_root, None), (&by_name, None)])
}

/// Every name that keeps a root, with what is known: as many names as there are here.
fn of_root(store: &Store, root: &Cid) -> Result<Vec<(Vec<u8>, Kept)>, ReadError> {
    let prefix = [b"r", root.hash().to_bytes().as_slice()].concat();
    let (mut found, mut from) = (Vec::new(), prefix.clone());
    loop {
        let rows = store.records(NAMESPACE, &from, AT_ONCE)?;
        let whole = rows.len() == AT_ONCE;
        for (key, value) in rows {
            if !key.starts_with(&prefix) {
                return Ok(found);
            }
            found.push((key, Kept::of_flags(&value)));
        }
        match found.last() {
            Some((last, _)) if whole => from = [last.as_slice(), &[0]].concat(),
            _ => return Ok(found),
        }
    }
}

/// Whether another name keeps the root.
pub(super) fn has_others(store: &Store, name: LedgerId, root: &Cid) -> Result<bool, ReadError> {
    let own = root_key(name, root);
    Ok(of_root(store, root)?.iter().any(|(key, _)| *key != own))
}

/// Whether a pin that is there is one of the user's: no name made it, or he claimed it.
pub(super) fn is_of_user(store: &Store, root: &Cid) -> Result<bool, ReadError> {
    let of_root = of_root(store, root)?;
    Ok(of_root.is_empty() || of_root.iter().any(|(_, kept)| kept.of_user))
}

/// The user pins a root himself: no name that keeps it takes the pin away from now on.
///
/// # Errors
/// The store.
pub fn claim(store: &Store, root: &Cid) -> Result<(), WriteError> {
    let of_root = of_root(store, root)?;
    let flags = [Kept { of_user: true, done: true }.flags()];
    let rows: Vec<_> = of_root.iter().map(|(key, _)| (&key[..], Some(&flags[..]))).collect();
    if rows.is_empty() { Ok(()) } else { store.put_records(NAMESPACE, &rows) }
}

/// The user gives a root up: its pin belongs to the names that keep it. `false` when none does, or when
/// the user took the pin away before.
///
/// # Errors
/// The store.
pub fn disown(store: &Store, root: &Cid) -> Result<bool, WriteError> {
    let mut of_root = of_root(store, root)?;
    of_root.retain(|(_, kept)| kept.done);
    let flags = [Kept { of_user: false, done: true }.flags()];
    let rows: Vec<_> = of_root.iter().map(|(key, _)| (&key[..], Some(&flags[..]))).collect();
    if !rows.is_empty() {
        store.put_records(NAMESPACE, &rows)?;
    }
    Ok(!rows.is_empty())
}

/// The roots that are kept for a name.
pub(super) fn of_name(store: &Store, name: LedgerId) -> Result<Vec<Cid>, ReadError> {
    let prefix = name_key(name, &[]);
    let (mut roots, mut from) = (Vec::new(), prefix.clone());
    loop {
        let rows = store.records(NAMESPACE, &from, AT_ONCE)?;
        let whole = rows.len() == AT_ONCE;
        for (key, _) in &rows {
            let Some(root) = key.strip_prefix(&prefix[..]) else { return Ok(roots) };
            roots.extend(Cid::try_from(root).ok());
        }
        match rows.last() {
            Some((last, _)) if whole => from = [last.as_slice(), &[0]].concat(),
            _ => return Ok(roots),
        }
    }
}

/// The version up to which everything is settled, with its entry.
pub(super) fn settled(store: &Store, name: LedgerId) -> Result<Option<(u64, EntryId)>, ReadError> {
    let value = store.record(NAMESPACE, &settled_key(name))?.unwrap_or_default();
    let Some((version, id)) = value.split_first_chunk::<8>() else { return Ok(None) };
    let id = <[u8; 32]>::try_from(id).ok().map(EntryId::from_bytes);
    Ok(id.map(|id| (u64::from_le_bytes(*version), id)))
}

pub(super) fn set_settled(
    store: &Store,
    name: LedgerId,
    version: u64,
    id: EntryId,
) -> Result<(), WriteError> {
    let value = [version.to_le_bytes().as_slice(), id.as_bytes()].concat();
    store.put_record(NAMESPACE, &settled_key(name), &value)
}

pub(super) fn forget_settled(store: &Store, name: LedgerId) -> Result<(), WriteError> {
    store.remove_record(NAMESPACE, &settled_key(name))
}
