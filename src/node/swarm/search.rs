//! Finding providers for the sessions that need them.
//!
//! A search starts with the first block that is missing here, whoever is connected: more providers mean
//! more speed. It is repeated, with growing pauses, as long as somebody waits and nobody connected can
//! help. Every provider found is dialled once per round; what became of the dials is part of the view,
//! so that a reader can be told "nobody" without waiting for a timeout.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use shoal_net::{DialFailure, NetEvent, PeerId, QueryId};
use shoal_swarm::SessionId;

use super::{Search, exchange::PEERS_PER_ROOT_MAX, task::Task};

/// Pause after the first search that left somebody waiting; doubled up to [`PAUSE_MAX`]. The record of
/// a provider that has just begun is in the DHT within a second.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// When more providers are looked for, for a session that few serve.
const MORE_AFTER: Duration = Duration::from_secs(10);

/// How long a search goes on at least, unless it has found two providers: the first that answers may be a provider
/// that names itself alone, and another one a moment later makes the fetch twice as fast and survives it.
const SEARCH_MIN: Duration = Duration::from_millis(300);

/// Longest pause between two searches.
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// How long nothing must change before it is settled that nobody has what is wanted: a peer that has
/// just connected needs a round trip to say what it holds.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// How long a dial counts as going on. One that ends in a connection over which the peer never says
/// what it speaks is not told of otherwise.
const DIAL_MAX: Duration = Duration::from_secs(10);

/// Providers found that are remembered per session; more are dialled all the same.
const FOUND_MAX: usize = 4_096;

/// Providers dialled per round: more than a session can use at once.
const DIALS_PER_ROUND_MAX: usize = 32;

/// The search of one session.
#[derive(Debug, Default)]
pub(super) struct Searching {
    query: Option<QueryId>,
    began: Option<Instant>,
    next: Option<Instant>,
    /// The next one is only for more providers: whoever waits does not wait for it.
    at_leisure: bool,
    pause: Duration,
    view: Search,
    found: BTreeSet<PeerId>,
    dialled: usize,
    dialling: BTreeMap<PeerId, Instant>,
    unreachable: BTreeSet<PeerId>,
    /// Peers remembered from earlier that were dialled.
    remembered: u32,
    changed: Option<Instant>,
}

impl Searching {
    /// The session needs others from now on.
    pub(super) fn begin_at_once(&mut self) {
        self.next = Some(Instant::now());
        self.at_leisure = false;
        self.pause = PAUSE_MIN;
    }

    /// The search that is running.
    pub(super) const fn query(&self) -> Option<QueryId> {
        self.query
    }

    /// For the view.
    pub(super) fn view(&self) -> Search {
        Search {
            running: self.query.is_some(),
            found: self.found.len() as u32,
            unreachable: self.unreachable.len() as u32,
            remembered: self.remembered,
            dialling: self.dialling.values().filter(|at| at.elapsed() < DIAL_MAX).count() as u32,
            settled: self.changed.is_some_and(|at| at.elapsed() >= SETTLED_AFTER),
            ..self.view
        }
    }

    /// A peer that is remembered from earlier is being dialled.
    pub(super) fn dials_remembered(&mut self, id: PeerId) {
        self.remembered += 1;
        self.dialling.insert(id, Instant::now());
    }

    /// A peer is connected.
    pub(super) fn connected(&mut self, id: &PeerId) {
        self.dialling.remove(id);
        self.unreachable.remove(id);
        self.changed = Some(Instant::now());
    }

    /// A dial ended without a connection. Only a provider that was found counts as one that could not
    /// be reached.
    fn failed(&mut self, id: PeerId) {
        if self.dialling.remove(&id).is_some() {
            if self.found.contains(&id) {
                self.unreachable.insert(id);
            }
            self.changed = Some(Instant::now());
        }
    }

    fn due(&self) -> bool {
        self.query.is_none() && self.next.is_some_and(|at| at <= Instant::now())
    }

    fn started(&mut self, query: QueryId) {
        self.query = Some(query);
        self.began = Some(Instant::now());
        self.next = None;
        self.dialled = 0;
    }

    /// How many the search has asked. One that was stopped, or had nobody to ask, hides nothing of
    /// what an earlier one did.
    fn counted(&mut self, asked: u32, answered: u32) {
        if asked > 0 {
            (self.view.asked, self.view.answered) = (asked, answered);
        }
    }

    /// Whether it has gone on for long enough, once somebody delivers.
    fn may_end(&self) -> bool {
        self.found.len() > 1 || self.began.is_none_or(|began| began.elapsed() >= SEARCH_MIN)
    }

    fn ended(&mut self) {
        self.query = None;
        self.view.rounds += 1;
        self.changed = Some(Instant::now());
    }

    /// Plans a look for more providers of a session that is being served.
    fn plan_more(&mut self) {
        if self.query.is_none() && self.next.is_none() {
            self.next = Some(Instant::now() + MORE_AFTER);
            self.at_leisure = true;
        }
    }

    /// Plans the next search of a session that still waits.
    fn plan(&mut self) {
        if self.query.is_none() && (self.next.is_none() || self.at_leisure) {
            self.at_leisure = false;
            self.next = Some(Instant::now() + self.pause);
            self.pause = (self.pause * 2).min(PAUSE_MAX);
        }
    }
}

impl Task {
    /// Starts the searches that are due; brings the network up for the first one.
    pub(super) async fn search_where_needed(&mut self) {
        let due: Vec<SessionId> = self
            .sessions
            .iter_mut()
            .filter_map(|(session, state)| {
                if state.is_starving() && state.needs_network {
                    state.searching.plan();
                } else if state.needs_network && state.is_served_by_few() {
                    state.searching.plan_more();
                }
                (state.is_wanting() && state.searching.due()).then_some(*session)
            })
            .collect();
        for session in due {
            self.search(session).await;
        }
    }

    /// Ends the searches of sessions that a provider has begun to serve: whoever keeps the records of a
    /// root knows most of its providers, and asking the rest would only cost connections.
    pub(super) async fn end_searches(&mut self) {
        let Some(net) = self.net.clone() else { return };
        for (session, state) in &self.sessions {
            if let Some(query) = state.searching.query
                && state.searching.may_end()
                && self.engine.stats(*session).bytes_received > 0
            {
                net.stop_query(query).await;
            }
        }
    }

    async fn search(&mut self, session: SessionId) {
        if self.go_online().await.is_err() {
            // The view tells it; those who wait end.
            self.publish_view(session);
            return;
        }
        let Some(net) = self.net.clone() else { return };
        self.invite_all(session);
        let first =
            self.sessions.get(&session).is_some_and(|state| state.searching.began.is_none());
        if first {
            self.dial_remembered(session).await;
        }
        if let Some(state) = self.sessions.get_mut(&session) {
            let query = net.find_providers(state.root).await;
            state.searching.started(query);
        }
    }

    /// Takes in what a search found.
    pub(super) async fn search_event(&mut self, event: NetEvent) {
        match event {
            NetEvent::Providers { query, providers, .. } => {
                for (id, addresses) in providers {
                    self.provider(query, id, addresses).await;
                }
            }
            NetEvent::QueryProgress { query, asked, answered, .. } => {
                self.with_query(query, |_, searching| searching.counted(asked, answered));
            }
            NetEvent::QueryDone { query, asked, answered, .. } => {
                self.with_query(query, |_, searching| {
                    searching.counted(asked, answered);
                    searching.ended();
                });
            }
            NetEvent::DialFailed { id, reason } => {
                tracing::debug!(%id, %reason, "a provider could not be dialled");
                // A limit of ours or theirs says nothing about where it is.
                if !matches!(reason, DialFailure::Limited | DialFailure::Refused) {
                    self.remembered.failed(&id);
                }
                self.forget_dial(&id, false);
                for state in self.sessions.values_mut() {
                    state.searching.failed(id);
                }
            }
            _ => {}
        }
    }

    async fn provider(&mut self, query: QueryId, id: PeerId, addresses: Vec<shoal_net::Multiaddr>) {
        let Some(net) = self.net.clone() else { return };
        if id == net.peer_id() {
            return;
        }
        let connected = self.number_of(&id);
        let alone = self.dropped.is_left_alone(&id, Instant::now());
        let (mut dial, mut of) = (false, None);
        self.with_query(query, |session, searching| {
            of = Some(session);
            if searching.found.len() < FOUND_MAX {
                searching.found.insert(id);
            }
            let room = searching.dialled < DIALS_PER_ROUND_MAX
                && searching.dialling.len() < PEERS_PER_ROOT_MAX;
            if connected.is_none() && room && !alone {
                searching.dialled += 1;
                dial = searching.dialling.insert(id, Instant::now()).is_none();
            }
        });
        if dial {
            net.dial(id, addresses).await;
        }
        if let (Some(session), Some(peer)) = (of, connected) {
            self.invite(session, peer);
        }
    }

    /// Whether a search was begun for a session; the others are the names'.
    pub(super) fn is_search_of_a_session(&self, query: QueryId) -> bool {
        self.sessions.values().any(|state| state.searching.query == Some(query))
    }

    fn with_query(&mut self, query: QueryId, change: impl FnOnce(SessionId, &mut Searching)) {
        let session =
            self.sessions.iter_mut().find(|(_, state)| state.searching.query == Some(query));
        if let Some((session, state)) = session {
            let session = *session;
            change(session, &mut state.searching);
            self.publish_view(session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who waited for a block that its only giver refused waited for the look for more givers.
    #[test]
    fn a_session_that_waits_does_not_wait_for_a_look_for_more() {
        let mut searching = Searching::default();
        searching.begin_at_once();
        searching.started(QueryId(1));
        searching.ended();
        searching.plan_more();
        let leisure = searching.next.expect("planned");
        searching.plan();
        let next = searching.next.expect("planned");
        assert!(next + MORE_AFTER / 2 < leisure, "{:?} earlier", leisure - next);
        searching.plan();
        assert_eq!(searching.next, Some(next), "and is not put off");
    }

    #[test]
    fn a_search_that_asked_nobody_hides_nothing() {
        let mut searching = Searching::default();
        searching.counted(3, 2);
        searching.started(QueryId(2));
        searching.counted(0, 0);
        assert_eq!((searching.view().asked, searching.view().answered), (3, 2));
    }
}
