//! The names in the store's database: entries, tree hashes, versions, readers, petnames.
//!
//! ```text
//! namespace "names", keys:
//! s id 32                   -> kept state (postcard)
//! r id 32, part u8          -> the reader's bytes, in parts of at most 60 KiB
//! e id 32, index u64 BE     -> block of an entry
//! n id 32, level u8, at u64 BE -> hash of a complete subtree
//! v id 32, version u64 BE   -> index u64 LE of the entry that brought this content version
//! x id 32, epoch u64 BE, index u64 BE -> block of an entry that a recovery cut off
//! p petname                 -> id 32
//! d domain                  -> id 32 that its DNSLink said first
//! ```
//!
//! A change of one name is one commit: entries, hashes, versions and the reader that accepted them are
//! durable together or not at all, and an entry of our own is durable before anybody sees it.
//! Everything here blocks on the disk: callers are on the blocking pool.

use std::collections::HashMap;

use shoal_dag::Bytes;
use shoal_ledger::{
    Body, Entry, Hash, Index, LedgerId, Reader,
    chain::Archive,
    tree::prove::{self, Nodes},
};
use shoal_store::{ReadError, Store, WriteError};

use super::state::{Kept, State};

/// Namespace of everything about names.
const NAMESPACE: &str = "names";

/// Bytes of the reader in one record, below what a record may hold.
const PART_BYTES: usize = 60 * 1024;

/// Parts of a reader: its chain of control entries and its proofs are bounded by the ledger.
const PARTS_MAX: u8 = 255;

/// Names looked at in one listing.
pub const NAMES_MAX: usize = 100_000;

/// Records read or removed at once.
const AT_ONCE: usize = 1_000;

/// Why the book of names did not answer.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The index could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The index could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// What is kept of a name cannot be what was written: the disk changed it.
    #[error("what is kept of {0} is damaged")]
    Damaged(LedgerId),
}

type Result<T> = std::result::Result<T, BookError>;

/// A change of records, gathered for one commit.
#[derive(Debug, Default)]
struct Changes(Vec<(Vec<u8>, Option<Vec<u8>>)>);

impl Changes {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.0.push((key, Some(value)));
    }

    fn remove(&mut self, key: Vec<u8>) {
        self.0.push((key, None));
    }
}

/// The names in one store.
#[derive(Debug, Clone)]
pub struct Book {
    store: Store,
}

impl Book {
    /// The names in that store.
    pub const fn new(store: Store) -> Self {
        Self { store }
    }

    /// The store that they lie in.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The name that is called so here.
    ///
    /// # Errors
    /// The index.
    pub fn named(&self, petname: &str) -> Result<Option<LedgerId>> {
        let bytes = self.store.record(NAMESPACE, &petname_key(petname))?;
        let id = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        Ok(id.map(LedgerId::from_key_bytes))
    }

    /// The name that a domain's DNSLink said first.
    ///
    /// # Errors
    /// The index.
    pub fn of_domain(&self, domain: &str) -> Result<Option<LedgerId>> {
        let bytes = self.store.record(NAMESPACE, &domain_key(domain))?;
        let id = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        Ok(id.map(LedgerId::from_key_bytes))
    }

    /// Remembers the name that a domain said, or forgets it.
    ///
    /// # Errors
    /// The index.
    pub fn set_domain(&self, domain: &str, name: Option<LedgerId>) -> Result<()> {
        let (key, value) = (domain_key(domain), name.map(|name| name.key_bytes().to_vec()));
        Ok(self.store.put_records(NAMESPACE, &[(&key[..], value.as_deref())])?)
    }

    /// Every name of which something is kept, up to [`NAMES_MAX`].
    ///
    /// # Errors
    /// The index.
    pub fn names(&self) -> Result<Vec<LedgerId>> {
        let (mut names, mut from) = (Vec::new(), vec![b's']);
        loop {
            let rows = self.store.records(NAMESPACE, &from, AT_ONCE)?;
            let whole = rows.len() == AT_ONCE;
            for (key, _) in &rows {
                let id = key.strip_prefix(b"s").and_then(|id| <[u8; 32]>::try_from(id).ok());
                let Some(id) = id else { return Ok(names) };
                names.push(LedgerId::from_key_bytes(id));
            }
            match rows.last() {
                Some((last, _)) if whole && names.len() < NAMES_MAX => {
                    from.clone_from(last);
                    from.push(0);
                }
                _ => return Ok(names),
            }
        }
    }

    /// What is kept of a name.
    ///
    /// # Errors
    /// The index, or what it holds.
    pub fn state(&self, name: LedgerId) -> Result<Option<State>> {
        let Some(kept) = self.store.record(NAMESPACE, &key(b's', name, &[]))? else {
            return Ok(None);
        };
        let kept: Kept = postcard::from_bytes(&kept).map_err(|_| BookError::Damaged(name))?;
        let mut bytes = Vec::new();
        for part in 0..PARTS_MAX {
            let Some(more) = self.store.record(NAMESPACE, &key(b'r', name, &[part]))? else {
                break;
            };
            bytes.extend_from_slice(&more);
            if more.len() < PART_BYTES {
                break;
            }
        }
        let reader = Reader::decode(&bytes).map_err(|_| BookError::Damaged(name))?;
        if reader.name() != name {
            return Err(BookError::Damaged(name));
        }
        Ok(Some(State { reader, kept }))
    }

    /// Writes what is kept of a name, with its petname.
    ///
    /// # Errors
    /// The index; then nothing has changed.
    pub fn put_state(&self, state: &State) -> Result<()> {
        let mut changes = Changes::default();
        self.change_state(&mut changes, state)?;
        self.commit(changes)
    }

    /// Appends entries to what is stored of a name, and writes the state with it. The entries must be
    /// the next ones: the caller has checked them.
    ///
    /// # Errors
    /// The index; then nothing has changed, and `state` is as it was.
    pub fn append(&self, state: &mut State, entries: &[Entry]) -> Result<()> {
        let mut next = state.clone();
        let mut changes = Changes::default();
        let mut nodes = Fresh { stored: self.branch(state), fresh: HashMap::new() };
        for entry in entries {
            Self::append_one(&mut changes, &mut next, &mut nodes, entry)?;
        }
        self.change_state(&mut changes, &next)?;
        self.commit(changes)?;
        *state = next;
        Ok(())
    }

    fn append_one(
        changes: &mut Changes,
        state: &mut State,
        nodes: &mut Fresh,
        entry: &Entry,
    ) -> Result<()> {
        let (name, index) = (state.name(), state.kept.len);
        changes.put(key(b'e', name, &index.to_be_bytes()), entry.block().to_vec());
        // A subtree that cannot be read must not be passed over: later proofs would lack it for ever.
        let completed = prove::completed(nodes, index, entry.leaf());
        for (level, at, hash) in completed.ok_or(BookError::Damaged(name))? {
            changes.put(node_key(name, level, at), hash.as_bytes().to_vec());
            nodes.fresh.insert((level, at), hash);
        }
        if matches!(entry.body(), Body::Update(_)) {
            state.kept.versions += 1;
            let version = key(b'v', name, &state.kept.versions.to_be_bytes());
            changes.put(version, index.to_le_bytes().to_vec());
        }
        if entry.kind().is_control() {
            state.kept.controls.push(index);
        }
        state.kept.len += 1;
        Ok(())
    }

    /// Takes off everything from an index on, since a recovery cut it off: the entries are kept aside.
    ///
    /// # Errors
    /// The index; then nothing has changed.
    pub fn cut(&self, state: &mut State, from: u64) -> Result<()> {
        let branch = self.branch(state);
        let mut next = state.clone();
        let mut changes = Changes::default();
        for index in from..state.kept.len {
            let entry = branch.entry(index).ok_or(BookError::Damaged(state.name()))?;
            let epoch = entry.position().epoch.as_u64().to_be_bytes();
            let place = [epoch, index.to_be_bytes()].concat();
            changes.put(key(b'x', state.name(), &place), entry.block().to_vec());
            changes.remove(key(b'e', state.name(), &index.to_be_bytes()));
            if matches!(entry.body(), Body::Update(_)) {
                let version = next.kept.versions.to_be_bytes();
                changes.remove(key(b'v', state.name(), &version));
                next.kept.versions -= 1;
            }
        }
        next.kept.controls.retain(|control| *control < from);
        next.kept.len = next.kept.len.min(from);
        self.change_state(&mut changes, &next)?;
        self.commit(changes)?;
        *state = next;
        Ok(())
    }

    /// Forgets a name with all its entries. Proofs against it go with it.
    ///
    /// # Errors
    /// The index; what is left is forgotten by the next call.
    pub fn remove(&self, state: &State) -> Result<()> {
        let name = state.name();
        for kind in [b'e', b'n', b'v', b'x', b'r'] {
            self.remove_all(&key(kind, name, &[]))?;
        }
        let mut changes = Changes::default();
        if let Some(petname) = &state.kept.petname {
            changes.remove(petname_key(petname));
        }
        changes.remove(key(b's', name, &[]));
        self.commit(changes)
    }

    fn remove_all(&self, prefix: &[u8]) -> Result<()> {
        loop {
            let rows = self.store.records(NAMESPACE, prefix, AT_ONCE)?;
            let mut changes = Changes::default();
            for (key, _) in rows.into_iter().take_while(|(key, _)| key.starts_with(prefix)) {
                changes.remove(key);
            }
            if changes.0.is_empty() {
                return Ok(());
            }
            self.commit(changes)?;
        }
    }

    /// The entries that are stored of a name, as proofs are made from them.
    pub fn branch(&self, state: &State) -> Branch {
        Branch {
            store: self.store.clone(),
            name: state.name(),
            len: state.kept.len,
            controls: state.kept.controls.clone(),
        }
    }

    /// The index of the entry that brought a version.
    ///
    /// # Errors
    /// The index.
    pub fn index_of(&self, name: LedgerId, version: u64) -> Result<Option<u64>> {
        let bytes = self.store.record(NAMESPACE, &key(b'v', name, &version.to_be_bytes()))?;
        Ok(bytes.and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes))
    }

    /// The newest version at or before an index: by bisection over what is stored.
    ///
    /// # Errors
    /// The index.
    pub fn version_at(&self, state: &State, index: u64) -> Result<Option<u64>> {
        let (mut not_after, mut after) = (0, state.kept.versions + 1);
        while after - not_after > 1 {
            let middle = not_after + (after - not_after) / 2;
            let at = self.index_of(state.name(), middle)?;
            if at.ok_or(BookError::Damaged(state.name()))? <= index {
                not_after = middle;
            } else {
                after = middle;
            }
        }
        Ok((not_after > 0).then_some(not_after))
    }

    fn change_state(&self, changes: &mut Changes, state: &State) -> Result<()> {
        let name = state.name();
        let kept = postcard::to_stdvec(&state.kept).expect("plain data has an encoding");
        changes.put(key(b's', name, &[]), kept);
        let bytes = state.reader.encode();
        // The last part is always shorter than a full one, so that reading knows where to end.
        let parts = bytes.len() / PART_BYTES + 1;
        for part in 0..parts.min(usize::from(PARTS_MAX)) {
            let end = bytes.len().min((part + 1) * PART_BYTES);
            let slice = &bytes[part * PART_BYTES..end];
            changes.put(key(b'r', name, &[part as u8]), slice.to_vec());
        }
        let before = self.store.record(NAMESPACE, &key(b's', name, &[]))?;
        let before: Option<Kept> = before.and_then(|bytes| postcard::from_bytes(&bytes).ok());
        let before = before.and_then(|kept| kept.petname);
        if before != state.kept.petname {
            if let Some(before) = before {
                changes.remove(petname_key(&before));
            }
            if let Some(petname) = &state.kept.petname {
                changes.put(petname_key(petname), name.key_bytes().to_vec());
            }
        }
        Ok(())
    }

    fn commit(&self, changes: Changes) -> Result<()> {
        let changes: Vec<(&[u8], Option<&[u8]>)> =
            changes.0.iter().map(|(key, value)| (key.as_slice(), value.as_deref())).collect();
        Ok(self.store.put_records(NAMESPACE, &changes)?)
    }
}

/// The entries of one name on the disk. What cannot be read is missing: a proof made of it is none.
#[derive(Debug, Clone)]
pub struct Branch {
    store: Store,
    name: LedgerId,
    len: u64,
    controls: Vec<u64>,
}

impl Branch {
    /// The same, as if it had only the first `len` entries.
    #[must_use]
    pub fn up_to(mut self, len: u64) -> Self {
        self.len = self.len.min(len);
        self.controls.retain(|control| *control < self.len);
        self
    }

    fn record(&self, key: &[u8]) -> Option<Vec<u8>> {
        let read = self.store.record(NAMESPACE, key);
        if let Err(error) = &read {
            tracing::error!(%error, "an entry cannot be read");
        }
        read.ok()?
    }
}

impl Nodes for Branch {
    fn node(&self, level: u32, index: u64) -> Option<Hash> {
        let bytes = self.record(&node_key(self.name, level, index))?;
        Some(Hash::from_bytes(bytes.try_into().ok()?))
    }
}

impl Archive for Branch {
    fn len(&self) -> u64 {
        self.len
    }

    fn entry(&self, index: u64) -> Option<Entry> {
        Index::new(index).ok()?;
        if index >= self.len {
            return None;
        }
        let block = self.record(&key(b'e', self.name, &index.to_be_bytes()))?;
        Entry::decode(Bytes::from(block)).ok()
    }

    fn control_before(&self, index: u64) -> Option<u64> {
        let before = self.controls.partition_point(|control| *control < index);
        before.checked_sub(1).map(|at| self.controls[at])
    }
}

/// Subtrees that appended leaves complete, over those that are stored.
struct Fresh {
    stored: Branch,
    fresh: HashMap<(u32, u64), Hash>,
}

impl Nodes for Fresh {
    fn node(&self, level: u32, index: u64) -> Option<Hash> {
        let fresh = self.fresh.get(&(level, index)).copied();
        fresh.or_else(|| self.stored.node(level, index))
    }
}

fn key(kind: u8, name: LedgerId, rest: &[u8]) -> Vec<u8> {
    [&[kind], name.key_bytes().as_slice(), rest].concat()
}

fn node_key(name: LedgerId, level: u32, index: u64) -> Vec<u8> {
    let place = [&[level as u8], index.to_be_bytes().as_slice()].concat();
    key(b'n', name, &place)
}

fn domain_key(domain: &str) -> Vec<u8> {
    [b"d", domain.as_bytes()].concat()
}

fn petname_key(petname: &str) -> Vec<u8> {
    [b"p", petname.as_bytes()].concat()
}

#[cfg(test)]
mod tests;
