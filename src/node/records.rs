//! What the network layer keeps for others and wants kept across restarts: provider records and value records.
//!
//! Changes come as events of the network and are written by a thread of their own, as many at once as there are. A queue that
//! is full drops a change: that record then lives in memory only. Nothing is judged here: the network layer bounds and
//! judges what it restores.

use serde::{Deserialize, Serialize};
use shoal_net::{ProviderRecord, RecordChange, ValueChange};
use shoal_store::{Store, WriteError};
use tokio::sync::mpsc;

/// Why encoding a record cannot fail.
const PLAIN: &str = "plain data has an encoding";

/// Namespace of provider records.
const PROVIDERS: &str = "providers";

/// Namespace of value records, by their key.
const VALUES: &str = "values";

/// Records of each kind loaded at start: as many as the network layer keeps.
const RECORDS_MAX: usize = 32_768;

/// Changes that wait for the disk.
const CHANGES_MAX: usize = 1024;

/// A record that changed.
#[derive(Debug)]
pub enum Changed {
    /// Of a provider.
    Provider(RecordChange),
    /// A value.
    Value(ValueChange),
}

#[derive(Serialize, Deserialize)]
struct StoredRecord {
    key: Vec<u8>,
    provider: Vec<u8>,
    addresses: Vec<Vec<u8>>,
    expires_unix_s: u64,
}

/// The provider records that others gave us before.
pub fn providers(store: &Store) -> Vec<ProviderRecord> {
    let records = store.records(PROVIDERS, &[], RECORDS_MAX).unwrap_or_default();
    let read = |(_, value): (Vec<u8>, Vec<u8>)| {
        let record: StoredRecord = postcard::from_bytes(&value).ok()?;
        let addrs = record.addresses.into_iter().filter_map(|a| a.try_into().ok()).collect();
        Some(ProviderRecord {
            key: record.key,
            provider: shoal_net::PeerId::from_bytes(&record.provider).ok()?,
            addrs,
            expires_unix_s: record.expires_unix_s,
        })
    };
    records.into_iter().filter_map(read).collect()
}

/// The value records that others gave us before, key and value.
pub fn values(store: &Store) -> Vec<(Vec<u8>, Vec<u8>)> {
    store.records(VALUES, &[], RECORDS_MAX).unwrap_or_default()
}

/// Starts the thread that writes changes; it ends with its queue.
pub fn keep(store: Store) -> mpsc::Sender<Changed> {
    let (queue, mut changes) = mpsc::channel(CHANGES_MAX);
    tokio::task::spawn_blocking(move || {
        while let Some(first) = changes.blocking_recv() {
            let mut batch = vec![first];
            while let Ok(next) = changes.try_recv() {
                batch.push(next);
            }
            if let Err(error) = write(&store, &batch) {
                tracing::warn!(%error, "records of the DHT cannot be written down");
            }
        }
    });
    queue
}

/// A row of the index: its key, and its value or none where it is removed.
type Row = (Vec<u8>, Option<Vec<u8>>);

fn write(store: &Store, changes: &[Changed]) -> Result<(), WriteError> {
    let (mut providers, mut values) = (Vec::new(), Vec::new());
    for change in changes {
        match change {
            Changed::Provider(change) => providers.push(provider_row(change)),
            Changed::Value(ValueChange::Put { key, value }) => {
                values.push((key.clone(), Some(value.clone())));
            }
            Changed::Value(ValueChange::Remove { key }) => values.push((key.clone(), None)),
        }
    }
    for (namespace, rows) in [(PROVIDERS, providers), (VALUES, values)] {
        if !rows.is_empty() {
            let rows: Vec<_> =
                rows.iter().map(|(key, value)| (&key[..], value.as_deref())).collect();
            store.put_records(namespace, &rows)?;
        }
    }
    Ok(())
}

fn provider_row(change: &RecordChange) -> Row {
    let key = |key: &[u8], provider: &shoal_net::PeerId| [key, &provider.to_bytes()].concat();
    match change {
        RecordChange::Put(record) => {
            let stored = StoredRecord {
                key: record.key.clone(),
                provider: record.provider.to_bytes(),
                addresses: record.addrs.iter().map(shoal_net::Multiaddr::to_vec).collect(),
                expires_unix_s: record.expires_unix_s,
            };
            let value = postcard::to_stdvec(&stored).expect(PLAIN);
            (key(&record.key, &record.provider), Some(value))
        }
        RecordChange::Remove { key: multihash, provider } => (key(multihash, provider), None),
    }
}

#[cfg(test)]
mod tests;
