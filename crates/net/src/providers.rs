//! The record store: who provides what, as other peers told us, bounded in every direction.
//!
//! Implements kad's `RecordStore`. Records expire after [`RECORD_TTL`] of wall-clock time, so they
//! can be persisted: every change is queued as a [`RecordChange`] for the node, and comes back
//! through [`crate::Config::records`]. When full it takes room from the provider that holds the
//! most records, so flooding costs the flooder.
//!
//! Value records are [`ValueStore`]'s; kad reads them here, and stores none by itself
//! (`FilterBoth`). Keys that this node provides are remembered without addresses, as kad expects.
//! Spec: libp2p kad-dht, "Content provider advertisement"; bounds from the DHT attacks known.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use libp2p::kad;
use libp2p::kad::RecordKey;
use libp2p::kad::store::{Error, RecordStore, Result};
use libp2p::{Multiaddr, PeerId};

use crate::event::RecordChange;
use crate::values::ValueStore;

/// How long a record lives: kad-dht spec, 48 h.
pub(crate) const RECORD_TTL: Duration = Duration::from_hours(48);
/// Bytes of a key: the spec's limit for provider keys, room for any multihash in use.
pub(crate) const KEY_BYTES_MAX: usize = 80;
/// Records of others: about 20 MB at their largest, 6 MB as they usually are.
pub(crate) const RECORDS_MAX: usize = 32_768;
/// Providers per key: what one answer can carry (k).
pub(crate) const PROVIDERS_PER_KEY_MAX: usize = 20;
/// Records by one provider: an eighth of the store, so eight peers are needed to fill it.
pub(crate) const RECORDS_PER_PROVIDER_MAX: usize = 4096;
/// Addresses kept per record.
pub(crate) const RECORD_ADDRS_MAX: usize = 8;
/// Bytes of one address in a record; longer ones are dropped.
pub(crate) const RECORD_ADDR_BYTES_MAX: usize = 96;
/// Keys that this node provides: two hundred bytes each with their schedule.
pub(crate) const OWN_KEYS_MAX: usize = 262_144;
/// Changes that wait for the node; beyond it the oldest is forgotten (the record then lives in
/// memory only, or expires once more after a restart).
const CHANGES_MAX: usize = 4096;

/// One provider record, in the form that can be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderRecord {
    /// The multihash of what is provided, at most [`KEY_BYTES_MAX`] bytes.
    pub key: Vec<u8>,
    /// Who provides it.
    pub provider: PeerId,
    /// Where it said that it can be reached.
    pub addrs: Vec<Multiaddr>,
    /// When the record ends, in seconds since 1970.
    pub expires_unix_s: u64,
}

/// A provider of one key.
#[derive(Debug, Clone)]
struct Provider {
    id: PeerId,
    addrs: Vec<Multiaddr>,
    expires_unix_s: u64,
}

/// The store that kad works on.
#[derive(Debug)]
pub(crate) struct ProviderStore {
    local: PeerId,
    own: HashSet<RecordKey>,
    records: HashMap<RecordKey, Vec<Provider>>,
    per_provider: HashMap<PeerId, usize>,
    count: usize,
    changes: VecDeque<RecordChange>,
    /// The value records.
    pub(crate) values: ValueStore,
}

impl ProviderStore {
    /// A store of the node `local` with the records that were persisted and still hold.
    pub(crate) fn new(local: PeerId, records: Vec<ProviderRecord>) -> Self {
        let mut store = Self {
            local,
            own: HashSet::new(),
            records: HashMap::new(),
            per_provider: HashMap::new(),
            count: 0,
            changes: VecDeque::new(),
            values: ValueStore::default(),
        };
        let now = now_unix_s();
        for record in records {
            if record.expires_unix_s > now {
                store.insert(record);
            }
        }
        store.changes.clear();
        store
    }

    /// The next change that the node has not been told.
    pub(crate) fn next_change(&mut self) -> Option<RecordChange> {
        self.changes.pop_front()
    }

    /// Takes a record that its provider sent just now.
    pub(crate) fn accept(&mut self, record: &kad::ProviderRecord) {
        let addrs = record.addresses.iter();
        let addrs = addrs.filter(|addr| addr.len() <= RECORD_ADDR_BYTES_MAX);
        self.insert(ProviderRecord {
            key: record.key.to_vec(),
            provider: record.provider,
            addrs: addrs.take(RECORD_ADDRS_MAX).cloned().collect(),
            expires_unix_s: now_unix_s() + RECORD_TTL.as_secs(),
        });
    }

    /// Removes what has expired.
    pub(crate) fn expire(&mut self) {
        let now = now_unix_s();
        let gone: Vec<_> = self
            .records
            .iter()
            .flat_map(|(key, list)| list.iter().map(move |provider| (key, provider)))
            .filter(|(_, provider)| provider.expires_unix_s <= now)
            .map(|(key, provider)| (key.clone(), provider.id))
            .collect();
        for (key, provider) in gone {
            self.take(&key, &provider);
        }
        self.values.expire(now);
    }

    /// The addresses that a provider gave with its record of `key`.
    pub(crate) fn addrs_of(&self, key: &RecordKey, provider: &PeerId) -> Vec<Multiaddr> {
        let list = self.records.get(key).into_iter().flatten();
        list.filter(|entry| entry.id == *provider).flat_map(|entry| entry.addrs.clone()).collect()
    }

    fn insert(&mut self, record: ProviderRecord) {
        if record.key.len() > KEY_BYTES_MAX || record.provider == self.local {
            return;
        }
        let key = RecordKey::from(record.key.clone());
        let known = self
            .records
            .get(&key)
            .is_some_and(|list| list.iter().any(|entry| entry.id == record.provider));
        if !known && !self.make_room(&key, &record.provider) {
            return;
        }
        let entry = Provider {
            id: record.provider,
            addrs: record.addrs.clone(),
            expires_unix_s: record.expires_unix_s,
        };
        let list = self.records.entry(key).or_default();
        if let Some(old) = list.iter_mut().find(|old| old.id == entry.id) {
            *old = entry;
        } else {
            list.push(entry);
            self.count += 1;
            *self.per_provider.entry(record.provider).or_default() += 1;
        }
        self.change(RecordChange::Put(record));
    }

    /// Makes room for one more record, or says that there is none for this provider.
    fn make_room(&mut self, key: &RecordKey, provider: &PeerId) -> bool {
        let held = self.per_provider.get(provider).copied().unwrap_or_default();
        if held >= RECORDS_PER_PROVIDER_MAX {
            return false;
        }
        // The provider whose record ends first was heard of longest ago.
        let oldest = self.records.get(key).filter(|list| list.len() >= PROVIDERS_PER_KEY_MAX);
        let oldest = oldest.and_then(|list| list.iter().min_by_key(|entry| entry.expires_unix_s));
        if let Some(id) = oldest.map(|entry| entry.id) {
            self.take(key, &id);
        }
        if self.count < RECORDS_MAX {
            return true;
        }
        let greedy = self.per_provider.iter().max_by_key(|(_, count)| **count);
        let Some((greedy, most)) = greedy.map(|(id, count)| (*id, *count)) else { return false };
        if greedy == *provider || most <= held + 1 {
            return false;
        }
        self.evict_from(&greedy);
        true
    }

    fn evict_from(&mut self, provider: &PeerId) {
        let key = self
            .records
            .iter()
            .find(|(_, list)| list.iter().any(|entry| entry.id == *provider))
            .map(|(key, _)| key.clone());
        if let Some(key) = key {
            self.take(&key, provider);
        }
    }

    /// Removes one record and tells the node.
    fn take(&mut self, key: &RecordKey, provider: &PeerId) {
        let Some(list) = self.records.get_mut(key) else { return };
        let Some(at) = list.iter().position(|entry| entry.id == *provider) else { return };
        list.swap_remove(at);
        if list.is_empty() {
            self.records.remove(key);
        }
        self.count -= 1;
        if let Entry::Occupied(mut held) = self.per_provider.entry(*provider) {
            *held.get_mut() -= 1;
            if *held.get() == 0 {
                held.remove();
            }
        }
        self.change(RecordChange::Remove { key: key.to_vec(), provider: *provider });
    }

    fn change(&mut self, change: RecordChange) {
        if self.changes.len() >= CHANGES_MAX {
            self.changes.pop_front();
        }
        self.changes.push_back(change);
    }
}

impl RecordStore for ProviderStore {
    type RecordsIter<'a> = std::iter::Empty<Cow<'a, kad::Record>>;
    type ProvidedIter<'a> = std::iter::Empty<Cow<'a, kad::ProviderRecord>>;

    fn get(&self, key: &RecordKey) -> Option<Cow<'_, kad::Record>> {
        let value = self.values.get(key, now_unix_s())?;
        Some(Cow::Owned(kad::Record::new(key.clone(), value.to_vec())))
    }

    /// Keeps nothing: only a put of our own comes here, and the driver lets it stand before.
    fn put(&mut self, _: kad::Record) -> Result<()> {
        Ok(())
    }

    fn remove(&mut self, _: &RecordKey) {}

    fn records(&self) -> Self::RecordsIter<'_> {
        std::iter::empty()
    }

    fn add_provider(&mut self, record: kad::ProviderRecord) -> Result<()> {
        if record.provider != self.local {
            self.accept(&record);
        } else if self.own.len() < OWN_KEYS_MAX || self.own.contains(&record.key) {
            self.own.insert(record.key);
        } else {
            return Err(Error::MaxProvidedKeys);
        }
        Ok(())
    }

    fn providers(&self, key: &RecordKey) -> Vec<kad::ProviderRecord> {
        let now = now_unix_s();
        let instant = Instant::now();
        let list = self.records.get(key).into_iter().flatten();
        let mut found: Vec<_> = list
            .filter(|entry| entry.expires_unix_s > now)
            .map(|entry| kad::ProviderRecord {
                key: key.clone(),
                provider: entry.id,
                expires: instant.checked_add(Duration::from_secs(entry.expires_unix_s - now)),
                addresses: entry.addrs.clone(),
            })
            .collect();
        if self.own.contains(key) {
            found.push(kad::ProviderRecord::new(key.clone(), self.local, Vec::new()));
        }
        found
    }

    /// Empty: kad would republish from it in bursts; `publish` does that on its own schedule.
    fn provided(&self) -> Self::ProvidedIter<'_> {
        std::iter::empty()
    }

    fn remove_provider(&mut self, key: &RecordKey, provider: &PeerId) {
        if *provider == self.local {
            self.own.remove(key);
        } else {
            self.take(key, provider);
        }
    }
}

/// Now, in seconds since 1970.
pub(crate) fn now_unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
