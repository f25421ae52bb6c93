//! Searches of both kinds, and the publishing of our own provider records.
//!
//! A search begins when a peer is known; before that it waits up to [`PEERS_WAIT`], and not at all
//! when nobody is being connected to. It tells its progress every [`PROGRESS_INTERVAL`]. One for
//! providers tells them as they are found, each once, with the addresses known at that moment, and
//! does not end at the first: the node stops it when somebody has delivered. What is particular to
//! value records is in `values`.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use libp2p::core::Endpoint;
use libp2p::kad::store::RecordStore;
use libp2p::kad::{self, GetProvidersOk, QueryResult, QueryStats, RecordKey};
use libp2p::swarm::{ConnectionId, NetworkBehaviour};
use libp2p::{Multiaddr, PeerId};
use shoal_dag::{Cid, hash};

use super::Driver;
use super::values::Found;
use crate::config::Network;
use crate::event::{NetEvent, ProvideError, QueryId};
use crate::providers::KEY_BYTES_MAX;
use crate::publish::Publish;

/// Searches at once; more end at once with nothing found, and the node tries again.
const SEARCHES_MAX: usize = 256;
/// How often progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);
/// How often a search that waits for a first peer looks whether one can still come.
const WAIT_INTERVAL: Duration = Duration::from_millis(50);
/// How long a search waits for a first peer: a dial and identify on a slow path.
const PEERS_WAIT: Duration = Duration::from_secs(5);
/// Providers told per search; a key has at most 20 at each of 20 peers.
const PROVIDERS_MAX: usize = 400;
/// Peers that a record is put to: kad's k.
pub(super) const K: usize = kad::K_VALUE.get();

/// One search.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) key: RecordKey,
    pub(super) wanted: Wanted,
    /// The lookup, once it runs.
    lookup: Option<kad::QueryId>,
    begun: Instant,
    tick_at: Instant,
}

/// What is searched for, and what was told of it.
#[derive(Debug)]
pub(super) enum Wanted {
    /// Providers of a CID.
    Providers { cid: Cid, told: HashSet<PeerId> },
    /// The value records of the key.
    Value(Found),
}

/// All searches.
#[derive(Debug, Default)]
pub(super) struct Searches {
    searches: HashMap<QueryId, Search>,
    lookups: HashMap<kad::QueryId, QueryId>,
}

impl Searches {
    /// When a search is to be looked at next.
    pub(super) fn next_tick(&self) -> Option<Instant> {
        self.searches.values().map(|search| search.tick_at).min()
    }

    /// A search that has not ended.
    pub(super) fn get_mut(&mut self, query: QueryId) -> Option<&mut Search> {
        self.searches.get_mut(&query)
    }
}

/// The DHT key of a CID: its multihash, whatever the codec.
fn key_of(cid: &Cid) -> Option<RecordKey> {
    let key = cid.hash().to_bytes();
    let usable = key.len() <= KEY_BYTES_MAX && hash::identity(cid).is_none();
    usable.then(|| RecordKey::from(key))
}

impl Driver {
    /// Begins a search for providers.
    pub(super) fn find(&mut self, query: QueryId, cid: Cid) {
        let wanted = Wanted::Providers { cid, told: HashSet::new() };
        match key_of(&cid) {
            Some(key) => self.begin(query, key, wanted),
            None => self.search_done(query, wanted, Vec::new(), &QueryStats::empty()),
        }
    }

    /// Begins a search.
    pub(super) fn begin(&mut self, query: QueryId, key: RecordKey, wanted: Wanted) {
        if self.searches.searches.len() >= SEARCHES_MAX {
            return self.search_done(query, wanted, Vec::new(), &QueryStats::empty());
        }
        let now = Instant::now();
        let search = Search { key, wanted, lookup: None, begun: now, tick_at: now };
        self.searches.searches.insert(query, search);
    }

    /// Ends a search.
    pub(super) fn stop_search(&mut self, query: QueryId) {
        let Some(search) = self.searches.searches.get(&query) else { return };
        let kad = &mut self.swarm.behaviour_mut().kad;
        match search.lookup.and_then(|id| kad.query_mut(&id)) {
            Some(mut lookup) => lookup.finish(),
            None => self.give_up(query),
        }
    }

    /// Starts searches that waited, and tells progress.
    pub(super) fn tick_searches(&mut self, now: Instant) {
        let searches = self.searches.searches.iter();
        let due = searches.filter(|(_, search)| search.tick_at <= now).map(|(query, _)| *query);
        let due: Vec<_> = due.collect();
        if due.is_empty() {
            return;
        }
        let can_ask = self.known_peers() > 0;
        let hopeless = !can_ask && self.is_hopeless();
        for query in due {
            let Some(search) = self.searches.searches.get_mut(&query) else { continue };
            let kad = &mut self.swarm.behaviour_mut().kad;
            if let Some(lookup) = search.lookup {
                search.tick_at = now + PROGRESS_INTERVAL;
                if let Some(lookup) = kad.query(&lookup) {
                    let stats = *lookup.stats();
                    self.search_progress(query, &stats);
                }
            } else if can_ask {
                let lookup = match search.wanted {
                    Wanted::Providers { .. } => kad.get_providers(search.key.clone()),
                    Wanted::Value(_) => kad.get_record(search.key.clone()),
                };
                search.lookup = Some(lookup);
                search.tick_at = now + PROGRESS_INTERVAL;
                self.searches.lookups.insert(lookup, query);
            } else if hopeless || now >= search.begun + PEERS_WAIT {
                self.give_up(query);
            } else {
                search.tick_at = now + WAIT_INTERVAL;
            }
        }
    }

    /// Nobody is connected or being connected to, and nobody can turn up.
    fn is_hopeless(&self) -> bool {
        let counters = self.swarm.network_info();
        let counters = counters.connection_counters();
        self.network != Network::Lan
            && counters.num_established() == 0
            && counters.num_pending() == 0
            && self.dials.is_empty()
            && !self.dials.untried(Instant::now())
    }

    /// A search that never asked anybody ends; what is known here is still told.
    fn give_up(&mut self, query: QueryId) {
        let Some(search) = self.searches.searches.get(&query) else { return };
        let key = search.key.clone();
        if let Wanted::Value(_) = search.wanted {
            self.tell_kept_value(query, &key);
        } else {
            let known = self.swarm.behaviour_mut().kad.store_mut().providers(&key);
            self.found(query, known.into_iter().map(|record| record.provider).collect());
        }
        self.end_search(query, Vec::new(), &QueryStats::empty());
    }

    /// A search has ended.
    fn end_search(&mut self, query: QueryId, without: Vec<PeerId>, stats: &QueryStats) {
        let Some(Search { key, wanted, .. }) = self.searches.searches.remove(&query) else {
            return;
        };
        let without = match &wanted {
            Wanted::Value(found) => self.without_newest(key.as_ref(), found, without),
            Wanted::Providers { .. } => without,
        };
        self.search_done(query, wanted, without, stats);
    }

    fn search_progress(&mut self, query: QueryId, stats: &QueryStats) {
        if self.outbox.is_full() {
            return;
        }
        self.outbox.push(NetEvent::QueryProgress {
            query,
            asked: stats.num_requests(),
            answered: stats.num_successes(),
            failed: stats.num_failures(),
        });
    }

    pub(super) fn search_done(
        &mut self,
        query: QueryId,
        wanted: Wanted,
        without: Vec<PeerId>,
        stats: &QueryStats,
    ) {
        let (asked, answered) = (stats.num_requests(), stats.num_successes());
        self.outbox.push(match wanted {
            Wanted::Providers { cid, told } => {
                NetEvent::QueryDone { query, cid, providers_found: told.len(), asked, answered }
            }
            Wanted::Value(_) => NetEvent::ValueDone { query, asked, answered, without },
        });
    }

    /// Tells providers that were not told before.
    fn found(&mut self, query: QueryId, providers: HashSet<PeerId>) {
        let Some(search) = self.searches.searches.get_mut(&query) else { return };
        let Wanted::Providers { cid, told } = &mut search.wanted else { return };
        let (cid, key) = (*cid, search.key.clone());
        let mut fresh = Vec::new();
        for id in providers {
            let room = told.len() < PROVIDERS_MAX;
            if id != self.shared.id && room && told.insert(id) {
                fresh.push(id);
            }
        }
        if fresh.is_empty() {
            return;
        }
        let providers = fresh.into_iter().map(|id| (id, self.addrs_of(&key, id))).collect();
        self.outbox.push(NetEvent::Providers { query, cid, providers });
    }

    /// The addresses of a provider known now: of its record here, of the routing table, and of
    /// the answers to running lookups (which kad tells only to who is about to dial).
    fn addrs_of(&mut self, key: &RecordKey, id: PeerId) -> Vec<Multiaddr> {
        let kad = &mut self.swarm.behaviour_mut().kad;
        let mut addrs = kad.store_mut().addrs_of(key, &id);
        let connection = ConnectionId::new_unchecked(usize::MAX);
        let more =
            kad.handle_pending_outbound_connection(connection, Some(id), &[], Endpoint::Dialer);
        for addr in more.into_iter().flatten() {
            if !addrs.contains(&addr) {
                addrs.push(addr);
            }
        }
        addrs
    }

    /// A lookup has something to tell.
    pub(super) fn lookup_progressed(
        &mut self,
        id: kad::QueryId,
        result: QueryResult,
        stats: &QueryStats,
        last: bool,
    ) {
        match result {
            QueryResult::GetProviders(result) => {
                let Some(query) = self.searches.lookups.get(&id).copied() else { return };
                if let Ok(GetProvidersOk::FoundProviders { providers, .. }) = result {
                    self.found(query, providers);
                }
                if last {
                    self.searches.lookups.remove(&id);
                    self.end_search(query, Vec::new(), stats);
                }
            }
            QueryResult::GetRecord(result) => {
                let Some(query) = self.searches.lookups.get(&id).copied() else { return };
                let without = self.value_progressed(query, result);
                if last {
                    self.searches.lookups.remove(&id);
                    self.end_search(query, without, stats);
                }
            }
            QueryResult::PutRecord(result) => self.put_ended(id, result),
            QueryResult::StartProviding(result) => {
                let Some((key, cid)) = self.publishing.remove(&id) else { return };
                let reached = if result.is_ok() { reached(stats) } else { 0 };
                self.publisher.finished(&key, reached, Instant::now(), rand::random());
                let result = match (result, reached) {
                    (Err(_), _) => Err(ProvideError::TimedOut),
                    (Ok(_), 0) => Err(ProvideError::NoPeers),
                    (Ok(_), reached) => Ok(reached),
                };
                self.outbox.push(NetEvent::Provided { cid, result });
            }
            QueryResult::Bootstrap(_) => self.walk_progressed(id, last),
            _ => {}
        }
    }

    /// A CID is to be provided from now on.
    pub(super) fn provide(&mut self, cid: Cid) {
        let Some(key) = key_of(&cid) else {
            return self.not_provided(cid, ProvideError::BadKey);
        };
        // Who asks us directly is told at once.
        let own = kad::ProviderRecord::new(key.clone(), self.shared.id, Vec::new());
        let kept = self.swarm.behaviour_mut().kad.store_mut().add_provider(own);
        if kept.is_err() || !self.publisher.publish(key, cid, Instant::now()) {
            self.not_provided(cid, ProvideError::TooMany);
        }
    }

    fn not_provided(&mut self, cid: Cid, error: ProvideError) {
        self.outbox.push(NetEvent::Provided { cid, result: Err(error) });
    }

    /// A CID is no longer to be provided.
    pub(super) fn unprovide(&mut self, cid: &Cid) {
        if let Some(key) = key_of(cid) {
            self.publisher.forget(&key);
            self.swarm.behaviour_mut().kad.stop_providing(&key);
        }
    }

    /// Publishes what is due.
    pub(super) fn pump_publishing(&mut self, now: Instant) {
        if self.publisher.next_due().is_none_or(|due| due > now) {
            return;
        }
        let have_peers = self.known_peers() > 0;
        while let Some(Publish { key, content: cid }) =
            self.publisher.poll(now, have_peers, rand::random())
        {
            let started = self.swarm.behaviour_mut().kad.start_providing(key.clone());
            if let Ok(id) = started {
                self.publishing.insert(id, (key, cid));
            } else {
                self.publisher.finished(&key, 0, now, rand::random());
                self.not_provided(cid, ProvideError::TooMany);
            }
        }
    }
}

/// Peers that a record was put to, from the counts of its lookup and its puts together: every peer
/// that answered the lookup, up to k of them, was sent the record and counted again.
fn reached(stats: &QueryStats) -> usize {
    let both = stats.num_successes() as usize;
    if both <= 2 * K { both / 2 } else { K }
}

#[cfg(test)]
mod tests {
    use shoal_dag::Version;
    use shoal_dag::hash::{DAG_PB, HashKind, RAW, cid_of};

    use super::*;

    #[test]
    fn the_key_is_the_multihash_whatever_the_codec() {
        let raw = cid_of(HashKind::Sha256, RAW, Version::V1, b"x");
        let old = cid_of(HashKind::Sha256, DAG_PB, Version::V0, b"x");
        assert_eq!(key_of(&raw), key_of(&old));
        assert_eq!(key_of(&raw).unwrap().to_vec(), raw.hash().to_bytes());
    }
}
