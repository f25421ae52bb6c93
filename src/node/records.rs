//! What is kept across restarts for the network: provider records and value records of others, and
//! peers that delivered.
//!
//! Changes come as events of the network and are written by a thread of their own, as many at once as there are. A queue that
//! is full drops a change: that record then lives in memory only. Nothing is judged here: the network layer bounds and
//! judges what it restores.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shoal_net::{ProviderRecord, RecordChange, ValueChange};
use shoal_store::{Store, WriteError};
use tokio::{sync::mpsc, task::JoinHandle};

/// Why encoding a record cannot fail.
const PLAIN: &str = "plain data has an encoding";

/// Namespace of provider records.
const PROVIDERS: &str = "providers";

/// Namespace of value records, by their key.
const VALUES: &str = "values";

/// Namespace of peers that delivered, by network and id.
const PEERS: &str = "goodpeers";

/// Records of each kind loaded at start: as many as the network layer keeps.
const RECORDS_MAX: usize = 32_768;

/// Changes that wait for the disk.
const CHANGES_MAX: usize = 1024;

/// How long the end of the node waits for what is being written.
const END_MAX: Duration = Duration::from_millis(500);

/// A record that changed.
#[derive(Debug)]
pub enum Changed {
    /// Of a provider.
    Provider(RecordChange),
    /// A value.
    Value(ValueChange),
    /// Peers that delivered.
    Peers(Vec<Row>),
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

/// Rows of peers that delivered, whose keys begin with `prefix`; at most `limit`.
pub fn peers(store: &Store, prefix: &[u8], limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows = store.records(PEERS, prefix, limit).unwrap_or_default();
    rows.retain(|(key, _)| key.starts_with(prefix));
    rows
}

/// The thread that writes changes, and its queue.
#[derive(Debug)]
pub struct Keeper {
    queue: mpsc::Sender<Changed>,
    thread: JoinHandle<()>,
}

impl Keeper {
    /// Starts it; it ends with its queue.
    pub fn start(store: Store) -> Self {
        let (queue, mut changes) = mpsc::channel(CHANGES_MAX);
        let thread = tokio::task::spawn_blocking(move || {
            while let Some(first) = changes.blocking_recv() {
                let mut batch = vec![first];
                while let Ok(next) = changes.try_recv() {
                    batch.push(next);
                }
                if let Err(error) = write(&store, &batch) {
                    tracing::warn!(%error, "records of the network cannot be written down");
                }
            }
        });
        Self { queue, thread }
    }

    /// Has a change written; a full queue drops it.
    pub fn keep(&self, change: Changed) {
        let _full = self.queue.try_send(change);
    }

    /// Returns when everything is written, or [`END_MAX`] has passed.
    pub async fn end(self) {
        drop(self.queue);
        if tokio::time::timeout(END_MAX, self.thread).await.is_err() {
            tracing::debug!("records of the network are still being written");
        }
    }
}

/// A row of the index: its key, and its value or none where it is removed.
pub type Row = (Vec<u8>, Option<Vec<u8>>);

fn write(store: &Store, changes: &[Changed]) -> Result<(), WriteError> {
    let (mut providers, mut values, mut peers) = (Vec::new(), Vec::new(), Vec::new());
    for change in changes {
        match change {
            Changed::Provider(change) => providers.push(provider_row(change)),
            Changed::Value(ValueChange::Put { key, value }) => {
                values.push((key.clone(), Some(value.clone())));
            }
            Changed::Value(ValueChange::Remove { key }) => values.push((key.clone(), None)),
            Changed::Peers(rows) => peers.extend(rows.iter().cloned()),
        }
    }
    for (namespace, rows) in [(PROVIDERS, providers), (VALUES, values), (PEERS, peers)] {
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
