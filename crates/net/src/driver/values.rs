//! Searches for value records, putting our own, and judging those of others.
//!
//! A search tells each distinct value once and never ends at one: the newest may come last, and all
//! of them matter to who looks for forks. When it has ended, the peers that answered without the
//! newest are told, so that they can be given it (kad-dht, "Entry correction").
//! Every put is judged before: what has run out is put by nobody.

use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::PeerId;
use libp2p::kad::store::RecordStore;
use libp2p::kad::{
    self, GetRecordError, GetRecordOk, GetRecordResult, PeerRecord, PutRecordError,
    PutRecordResult, QueryStats, Quorum, RecordKey,
};

use super::Driver;
use super::lookups::{K, Wanted};
use crate::event::{NetEvent, ProvideError, QueryId};
use crate::providers::{RECORD_TTL, now_unix_s};
use crate::publish::Publish;
use crate::records::Judgement;
use crate::values::{RECORD_BYTES_MAX, VALUE_KEY_BYTES_MAX, is_sized};

/// Distinct values told per search: two are a fork, many are an attack.
const VALUES_PER_SEARCH_MAX: usize = 16;
/// Restored records that are judged before other things have their turn: 2 ms of signatures.
const RESTORE_STEP: usize = 32;

/// The values that a search has found, with the peers that answered with each.
#[derive(Debug, Default)]
pub(super) struct Found {
    values: Vec<(Vec<u8>, Vec<PeerId>)>,
}

impl Found {
    /// Whether this value had not been seen, and may be told.
    fn insert(&mut self, value: &[u8], from: Option<PeerId>) -> bool {
        if let Some((_, peers)) = self.values.iter_mut().find(|(seen, _)| seen == value) {
            peers.extend(from);
            return false;
        }
        let room = self.values.len() < VALUES_PER_SEARCH_MAX;
        if room {
            self.values.push((value.to_vec(), from.into_iter().collect()));
        }
        room
    }
}

/// The key of a value search, if it can be one.
pub(super) fn value_key(key: &[u8]) -> Option<RecordKey> {
    (key.len() <= VALUE_KEY_BYTES_MAX).then(|| RecordKey::new(&key))
}

impl Driver {
    /// Begins a search for the records of a key.
    pub(super) fn find_value(&mut self, query: QueryId, key: &[u8]) {
        let wanted = Wanted::Value(Found::default());
        match value_key(key) {
            Some(key) => self.begin(query, key, wanted),
            None => self.search_done(query, wanted, Vec::new(), &QueryStats::empty()),
        }
    }

    /// A search found a record.
    pub(super) fn value_found(&mut self, query: QueryId, found: PeerRecord) {
        let PeerRecord { peer, record } = found;
        let Some(search) = self.searches.get_mut(query) else { return };
        let Wanted::Value(seen) = &mut search.wanted else { return };
        let fits = record.key == search.key && record.value.len() <= RECORD_BYTES_MAX;
        if fits && seen.insert(&record.value, peer) {
            let key = record.key.to_vec();
            self.outbox.push(NetEvent::Value { query, key, value: record.value, from: peer });
        }
    }

    /// A lookup for a record has something to tell; when it was the last, who lacks the record.
    pub(super) fn value_progressed(
        &mut self,
        query: QueryId,
        result: GetRecordResult,
    ) -> Vec<PeerId> {
        match result {
            Ok(GetRecordOk::FoundRecord(found)) => {
                self.value_found(query, found);
                Vec::new()
            }
            Ok(GetRecordOk::FinishedWithNoAdditionalRecord { cache_candidates }) => {
                cache_candidates.into_values().collect()
            }
            Err(GetRecordError::NotFound { closest_peers, .. }) => closest_peers,
            Err(GetRecordError::Timeout { .. }) => Vec::new(),
        }
    }

    /// The peers to be given the newest record: those with an older one, then those with none.
    pub(super) fn without_newest(
        &self,
        key: &[u8],
        found: &Found,
        without: Vec<PeerId>,
    ) -> Vec<PeerId> {
        let mut newest: Option<&[u8]> = None;
        for (value, _) in &found.values {
            if matches!(self.records.judge(key, value, newest), Judgement::Newer { .. }) {
                newest = Some(value);
            }
        }
        let older = found.values.iter().filter(|(value, _)| newest.is_some_and(|it| it != value));
        let older = older.flat_map(|(_, peers)| peers.iter().copied());
        older.chain(without).take(K).collect()
    }

    /// What is kept here is told where nobody can be asked.
    pub(super) fn tell_kept_value(&mut self, query: QueryId, key: &RecordKey) {
        let record = self.swarm.behaviour_mut().kad.store_mut().get(key);
        if let Some(record) = record.map(std::borrow::Cow::into_owned) {
            self.value_found(query, PeerRecord { peer: None, record });
        }
    }

    /// The end of a record's life, in seconds since 1970, if it may be put.
    fn ends_of(&self, key: &[u8], value: &[u8]) -> Option<u64> {
        match self.records.judge(key, value, None) {
            Judgement::Newer { ends_unix_s } => Some(ends_unix_s),
            Judgement::Older | Judgement::Invalid => None,
        }
        .filter(|ends| *ends > now_unix_s())
    }

    /// A record for the wire, if it may be put.
    fn record(&self, key: &RecordKey, value: &[u8]) -> Option<kad::Record> {
        let ends = self.ends_of(key.as_ref(), value)?;
        let left = Duration::from_secs(ends.saturating_sub(now_unix_s()));
        Some(kad::Record {
            key: key.clone(),
            value: value.to_vec(),
            publisher: None,
            expires: Instant::now().checked_add(left.min(RECORD_TTL)),
        })
    }

    /// A value is to be put from now on.
    pub(super) fn put_value(&mut self, key: &[u8], value: Vec<u8>) {
        if !is_sized(key, &value) {
            return self.value_put(key, Err(ProvideError::BadKey));
        }
        let Some(ends) = self.ends_of(key, &value) else {
            return self.value_put(key, Err(ProvideError::Expired));
        };
        let (key, value) = (RecordKey::new(&key), Bytes::from(value));
        // Who asks us directly is told at once.
        let values = &mut self.swarm.behaviour_mut().kad.store_mut().values;
        let kept = values.set_own(&*self.records, &key, &value, ends, now_unix_s());
        if !kept || !self.putter.publish(key.clone(), value, Instant::now()) {
            return self.value_put(key.as_ref(), Err(ProvideError::TooMany));
        }
        // The put of the value before may be waiting for a peer that is gone.
        let mut running = self.putting.iter().filter(|_| self.putter.is_outdated(&key));
        if let Some((id, _)) = running.find(|(_, put)| **put == key)
            && let Some(mut put) = self.swarm.behaviour_mut().kad.query_mut(id)
        {
            put.finish();
        }
    }

    /// A value is no longer to be put.
    pub(super) fn forget_value(&mut self, key: &[u8]) {
        let Some(key) = value_key(key) else { return };
        self.putter.forget(&key);
        self.swarm.behaviour_mut().kad.store_mut().values.forget_own(&key);
    }

    fn value_put(&mut self, key: &[u8], result: Result<usize, ProvideError>) {
        self.outbox.push(NetEvent::ValuePut { key: key.to_vec(), result });
    }

    /// Puts a value to these peers, once.
    pub(super) fn put_value_to(&mut self, key: &[u8], value: &[u8], mut peers: Vec<PeerId>) {
        peers.truncate(K);
        peers.retain(|peer| *peer != self.shared.id);
        if peers.is_empty() || !is_sized(key, value) {
            return;
        }
        let Some(record) = self.record(&RecordKey::new(&key), value) else {
            return tracing::debug!("a record that is not valid any more is not put");
        };
        // All, or those that are not connected yet would be left out after the first answer.
        let kad = &mut self.swarm.behaviour_mut().kad;
        kad.put_record_to(record, peers.into_iter(), Quorum::All);
    }

    /// Puts what is due.
    pub(super) fn pump_putting(&mut self, now: Instant) {
        if self.putter.next_due().is_none_or(|due| due > now) {
            return;
        }
        let have_peers = self.known_peers() > 0;
        while let Some(Publish { key, content }) = self.putter.poll(now, have_peers, rand::random())
        {
            let Some(record) = self.record(&key, &content) else {
                self.forget_value(key.as_ref());
                self.putter.finished(&key, 0, now, rand::random());
                self.value_put(key.as_ref(), Err(ProvideError::Expired));
                continue;
            };
            // All, so that it is told how many have it.
            let started = self.swarm.behaviour_mut().kad.put_record(record, Quorum::All);
            if let Ok(id) = started {
                self.putting.insert(id, key);
            } else {
                self.putter.finished(&key, 0, now, rand::random());
                self.value_put(key.as_ref(), Err(ProvideError::TooMany));
            }
        }
    }

    /// A put has ended, having reached whom it could.
    pub(super) fn put_ended(&mut self, id: kad::QueryId, result: PutRecordResult) {
        let Some(key) = self.putting.remove(&id) else { return };
        let (reached, otherwise) = match result {
            Ok(_) => (K, ProvideError::NoPeers),
            Err(PutRecordError::QuorumFailed { success, .. }) => {
                (success.len(), ProvideError::NoPeers)
            }
            Err(PutRecordError::Timeout { success, .. }) => (success.len(), ProvideError::TimedOut),
        };
        let outdated = self.putter.is_outdated(&key);
        self.putter.finished(&key, reached, Instant::now(), rand::random());
        if outdated {
            // The node would take it for the value that it has given meanwhile.
            return;
        }
        let result = if reached == 0 { Err(otherwise) } else { Ok(reached) };
        self.value_put(key.as_ref(), result);
    }

    /// A peer puts a record here; it is kept if it is valid and newer.
    pub(super) fn judge_put(&mut self, from: PeerId, record: kad::Record) {
        let values = &mut self.swarm.behaviour_mut().kad.store_mut().values;
        values.accept(&*self.records, &record.key, record.value, from, now_unix_s());
    }

    /// Judges some of the records that had been kept before the start.
    pub(super) fn pump_restoring(&mut self) {
        let values = &mut self.swarm.behaviour_mut().kad.store_mut().values;
        for (key, value) in self.restoring.by_ref().take(RESTORE_STEP) {
            values.restore(&*self.records, &RecordKey::from(key), value, now_unix_s());
        }
    }
}
