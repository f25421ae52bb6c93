//! The task itself: one loop over commands, network events, answers from the disk and timers.
//!
//! After whatever comes, the engine's actions are carried out until there are none. Nothing here waits
//! for the network or the disk: sending goes into the queues of the streams, probing the store and
//! deciding what is shared happen on the blocking pool and come back as [`Work`].

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use shoal_dag::Cid;
use shoal_net::{Net, NetEvent, PeerId, PeerProtocol};
use shoal_store::Store;
use shoal_swarm::{Action, Engine, Event, Holdings, PeerNo, Prefix, Probe, SessionId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub(crate) use online::keypair;
use online::unconnected;

use super::{
    Command, Report, View, Want, bandwidth::Bandwidth, candidates::Candidates, dropped::Dropped,
    exchange::Peer, publish::Published, remembered::Remembered, search::Searching,
};
use crate::{
    config::Settings,
    control::protocol::Failure,
    node::{
        blocks::KeptError,
        names::line::{Arrival, Line},
        records::{Changed, Keeper},
        sharing,
    },
};

mod online;
mod report;

/// Answers from the disk that wait for the task: as many as blocking threads may hold.
const WORK_MAX: usize = 512;

/// How often views are published while nothing else happens: five times a second feels immediate.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Events taken in one go before actions are carried out.
const EVENTS_AT_ONCE: usize = 64;

/// How long it is remembered what of a root is shared: finding it out may cost a walk, and a stranger
/// may ask again and again.
const SHARED_KEPT: Duration = Duration::from_secs(2);

/// Peers of a swarm below which more are looked for.
const FEW: u32 = 4;

/// How long a fetch lasts before others are told of it: a shorter one would be over before they came,
/// and telling costs a lookup of its own.
const ANNOUNCE_AFTER: Duration = Duration::from_secs(2);

/// Distinct peers counted per session: more than a session ever has at once.
const CONNECTED_COUNTED_MAX: usize = 4_096;

/// Identities remembered of peers that are gone, for the figures of sessions that they gave to.
const IDS_MAX: usize = 16_384;

/// Roots of which that is remembered.
const SHARED_KEPT_MAX: usize = 256;

/// Blocks that a session asks the store about.
type Question = (SessionId, Vec<(Cid, Option<shoal_swarm::Place>)>);

/// What came back from the disk.
#[derive(Debug)]
pub(super) enum Work {
    Probed(Vec<(SessionId, Vec<(Cid, Probe)>)>),
    Shared { peer: PeerNo, root: Cid, holdings: Holdings },
}

/// A session of the node.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) root: Cid,
    announce: bool,
    announced: bool,
    pub(super) view: watch::Sender<View>,
    /// Who waits, by block and by whether everything below it is meant.
    waiting: HashMap<(Cid, bool), Vec<oneshot::Sender<()>>>,
    starving: BTreeSet<Cid>,
    connected: BTreeSet<PeerId>,
    /// Peers with which blocks are exchanged: each is asked whether it takes part.
    asked: BTreeSet<PeerId>,
    pub(super) searching: Searching,
    /// Whom members told of.
    pub(super) candidates: Candidates,
    /// Something was missing here, so that the network is needed.
    pub(super) needs_network: bool,
    opened: Instant,
}

impl Session {
    fn satisfied(&mut self, cid: Cid, tree: bool) {
        for done in self.waiting.remove(&(cid, tree)).unwrap_or_default() {
            let _gone = done.send(());
        }
        if !self.waits_for(&cid) {
            self.starving.remove(&cid);
        }
    }

    fn waits_for(&self, cid: &Cid) -> bool {
        [true, false]
            .iter()
            .any(|tree| self.waiting.get(&(*cid, *tree)).is_some_and(|waiting| has_reader(waiting)))
    }

    /// Forgets who has stopped waiting for a block; true when nobody waits for it any more.
    fn taken_back(&mut self, cid: &Cid) -> bool {
        for tree in [true, false] {
            if let Some(waiting) = self.waiting.get_mut(&(*cid, tree)) {
                waiting.retain(|done| !done.is_closed());
                if waiting.is_empty() {
                    self.waiting.remove(&(*cid, tree));
                }
            }
        }
        let nobody = !self.waits_for(cid);
        if nobody {
            self.starving.remove(cid);
        }
        nobody
    }

    /// Somebody waits for something that nobody connected has. What was only read ahead counts for
    /// nothing.
    pub(super) fn is_starving(&self) -> bool {
        self.starving.iter().any(|cid| self.waits_for(cid))
    }

    /// What somebody waits for and nobody connected has.
    fn starving_wants(&self) -> BTreeSet<Cid> {
        self.starving.iter().filter(|cid| self.waits_for(cid)).copied().collect()
    }

    /// Somebody waits, and so few peers take part that more would help.
    pub(super) fn is_served_by_few(&self) -> bool {
        self.is_wanting() && self.view.borrow().joined < FEW
    }

    /// Somebody waits for something.
    pub(super) fn is_wanting(&self) -> bool {
        self.waiting.values().any(|waiting| has_reader(waiting))
    }
}

fn has_reader(waiting: &[oneshot::Sender<()>]) -> bool {
    waiting.iter().any(|done| !done.is_closed())
}

/// The owner of swarm state.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) settings: Settings,
    store: Store,
    /// What concerns names goes there.
    names: Arc<Line>,
    persistent: bool,
    pub(super) engine: Engine,
    started: Instant,
    pub(super) net: Option<Net>,
    events: Option<mpsc::Receiver<NetEvent>>,
    network_error: Option<Failure>,
    commands: mpsc::Receiver<Command>,
    work: mpsc::Receiver<Work>,
    work_queue: mpsc::Sender<Work>,
    /// Questions about the store; the engine bounds how many it has open.
    to_probe: Vec<Question>,
    probing: bool,
    pub(super) sessions: BTreeMap<SessionId, Session>,
    sessions_begun: u64,
    pub(super) peers: BTreeMap<PeerNo, Peer>,
    /// Who is behind a number, also of those that are gone.
    ids: BTreeMap<PeerNo, PeerId>,
    published: Published,
    records: Option<Keeper>,
    /// Peers that gave before, and when that was written last.
    pub(super) remembered: Remembered,
    pub(super) remembered_at: Instant,
    pub(super) dropped: Dropped,
    pub(super) bandwidth: Bandwidth,
    shared_lately: HashMap<Cid, (Instant, Holdings)>,
    /// Why the store cannot keep what arrives, if it cannot.
    kept_error: Arc<KeptError>,
    violations: BTreeMap<String, u64>,
    /// A block arrived since searches were looked at.
    pub(super) delivered: bool,
    sent: u64,
    received: u64,
}

impl Task {
    pub(super) fn new(
        settings: Settings,
        store: Store,
        persistent: bool,
        commands: mpsc::Receiver<Command>,
        names: Arc<Line>,
    ) -> Self {
        let (work_queue, work) = mpsc::channel(WORK_MAX);
        let bandwidth = Bandwidth::new(settings.bandwidth.clone());
        let rates = bandwidth.rates();
        let config = shoal_swarm::Config { up: rates.up, down: rates.down };
        Self {
            engine: Engine::new(config, rand::random()),
            settings,
            store,
            names,
            persistent,
            started: Instant::now(),
            net: None,
            events: None,
            network_error: None,
            commands,
            work,
            work_queue,
            to_probe: Vec::new(),
            probing: false,
            sessions: BTreeMap::new(),
            sessions_begun: 0,
            peers: BTreeMap::new(),
            ids: BTreeMap::new(),
            published: Published::default(),
            records: None,
            remembered: Remembered::default(),
            remembered_at: Instant::now(),
            dropped: Dropped::default(),
            bandwidth,
            shared_lately: HashMap::new(),
            kept_error: Arc::default(),
            violations: BTreeMap::new(),
            delivered: false,
            sent: 0,
            received: 0,
        }
    }

    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let timeout = self.engine.poll_timeout().map(|at| self.started + at);
            tokio::select! {
                () = stop.cancelled() => break,
                Some(command) = self.commands.recv() => self.command(command).await,
                event = next_event(&mut self.events) => self.net_events(event).await,
                Some(work) = self.work.recv() => self.take_work(work).await,
                () = until(timeout) => {
                    let now = self.now();
                    self.engine.handle_timeout(now);
                }
                () = until(self.bandwidth.next()) => self.follow_timetable(),
                _ = look.tick(), if !self.sessions.is_empty() => self.look_round().await,
            }
            self.act().await;
        }
        let sessions: Vec<SessionId> = self.sessions.keys().copied().collect();
        for session in sessions {
            self.remember_givers(session, None);
        }
        self.write_remembered();
        if let Some(net) = self.net.take() {
            net.shutdown().await;
        }
        if let Some(records) = self.records.take() {
            records.end().await;
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn tell_engine(&mut self, event: Event) {
        let now = self.now();
        self.engine.handle(event, now);
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Online(reply) => {
                let answer = self.go_online().await;
                let _gone = reply.send(answer);
            }
            Command::Open { root, announce, reply } => {
                let opened = self.open(root, announce);
                let _gone = reply.send(opened);
            }
            Command::Close(session) => self.close(session).await,
            Command::Want { session, want, done } => self.want(session, *want, done),
            Command::Unwant(session, cid) => {
                let unwanted =
                    self.sessions.get_mut(&session).is_some_and(|state| state.taken_back(&cid));
                if unwanted {
                    self.tell_engine(Event::Unwant { session, cid });
                }
            }
            Command::Announce(roots) => {
                self.shared_lately.clear();
                self.published.share(roots, self.net.as_ref()).await;
                self.tell_engine(Event::SharingChanged);
            }
            Command::Limit { set, reply } => self.limit(set, reply),
            Command::Report(reply) => {
                let _gone = reply.send(self.report());
            }
            Command::Settle(session, reply) => {
                self.publish_view(session);
                if let Some(state) = self.sessions.get(&session) {
                    let _gone = reply.send(state.view.borrow().clone());
                }
            }
        }
    }

    fn open(&mut self, root: Cid, announce: bool) -> (SessionId, watch::Receiver<View>) {
        self.sessions_begun += 1;
        let session = SessionId(self.sessions_begun);
        let (view, watched) = watch::channel(View::new());
        // Peers that are all named by the user, or by whom he named, share what machines they like.
        let by_prefix = !matches!(self.settings.network, shoal_net::Network::Isolated);
        let state = Session {
            root,
            announce,
            announced: false,
            view,
            waiting: HashMap::new(),
            starving: BTreeSet::new(),
            connected: BTreeSet::new(),
            asked: BTreeSet::new(),
            searching: Searching::default(),
            candidates: Candidates::new(by_prefix, Instant::now()),
            needs_network: false,
            opened: Instant::now(),
        };
        self.sessions.insert(session, state);
        self.tell_engine(Event::Open { session, root });
        (session, watched)
    }

    async fn close(&mut self, session: SessionId) {
        self.remember_givers(session, None);
        self.write_remembered();
        let Some(state) = self.sessions.remove(&session) else {
            return;
        };
        self.shared_lately.remove(&state.root);
        self.tell_engine(Event::Close { session });
        if state.announced {
            self.published.fetch_ends(&state.root, self.net.as_ref()).await;
        }
        if let (Some(net), Some(query)) = (&self.net, state.searching.query()) {
            net.stop_query(query).await;
        }
    }

    fn want(&mut self, session: SessionId, want: Want, done: oneshot::Sender<()>) {
        let now = self.now();
        let Some(state) = self.sessions.get_mut(&session) else {
            return;
        };
        if state.waiting.is_empty() {
            state.view.send_modify(|view| view.moved = Instant::now());
        }
        // What is only read ahead has nobody who waits.
        if !done.is_closed() {
            state.waiting.entry((want.cid, want.tree)).or_default().push(done);
        }
        let missing = !want.tree;
        self.tell_engine(Event::Want {
            session,
            cid: want.cid,
            under: want.under,
            place: want.place,
            deadline: want.within.map(|within| now + within),
            tree: want.tree,
        });
        if missing {
            self.missing_here(session);
        }
    }

    /// Something is not in the store: from now on this session needs others.
    fn missing_here(&mut self, session: SessionId) {
        if let Some(state) = self.sessions.get_mut(&session)
            && !state.needs_network
        {
            state.needs_network = true;
            state.searching.begin_at_once();
        }
    }

    async fn take_work(&mut self, work: Work) {
        match work {
            Work::Probed(answers) => {
                self.probing = false;
                for (session, found) in answers {
                    if found.iter().any(|(_, probe)| matches!(probe, Probe::Missing)) {
                        self.missing_here(session);
                    }
                    self.tell_engine(Event::Probed { session, found });
                }
            }
            Work::Shared { peer, root, holdings } => {
                if self.shared_lately.len() < SHARED_KEPT_MAX {
                    self.shared_lately.insert(root, (Instant::now(), holdings.clone()));
                }
                self.tell_engine(Event::Shared { peer, root, holdings });
            }
        }
        self.search_where_needed().await;
    }

    async fn net_events(&mut self, event: Option<NetEvent>) {
        let mut next = event;
        for _ in 0..EVENTS_AT_ONCE {
            if let Some(event) = next {
                self.net_event(event).await;
            } else {
                self.events = None;
                return;
            }
            match self.events.as_mut().map(mpsc::Receiver::try_recv) {
                Some(Ok(event)) => next = Some(event),
                _ => return,
            }
        }
        if let Some(event) = next {
            self.net_event(event).await;
        }
    }

    async fn net_event(&mut self, event: NetEvent) {
        match event {
            NetEvent::Swarm(event) => self.swarm_event(event),
            NetEvent::PeerUp { peer, id, prefix, addr, agent, protocol } => {
                let agent = agent.unwrap_or_default();
                self.peers.insert(peer, Peer { id, address: addr, agent, reach: Vec::new() });
                self.peer_up(peer, id, prefix, protocol);
            }
            NetEvent::PeerDown { peer } => {
                self.publish_views();
                self.remember_leaver(peer);
                self.peers.remove(&peer);
                self.tell_engine(Event::PeerDisconnected { peer });
            }
            NetEvent::Provided { cid, result } => match result {
                Ok(_) => self.published.published(&cid),
                Err(error) => tracing::debug!(%cid, %error, "not published yet"),
            },
            NetEvent::ProviderRecord { change } => self.remember(Changed::Provider(change)),
            NetEvent::ValueRecord { change } => self.remember(Changed::Value(change)),
            NetEvent::Violation { peer, kind } => {
                self.count_violation(kind.to_string());
                self.note_dropped(peer, true, &kind.to_string());
            }
            NetEvent::Reachable { contact } => self.reachable(&contact),
            NetEvent::MadeRoom { id } => {
                if let Some(peer) = self.number_of(&id) {
                    self.note_dropped(peer, false, "room was needed and it gave nothing");
                }
            }
            NetEvent::Listening(_) => {}
            NetEvent::Providers { query, .. } | NetEvent::QueryDone { query, .. }
                if !self.is_search_of_a_session(query) =>
            {
                self.names.event(event).await;
            }
            search @ (NetEvent::Providers { .. }
            | NetEvent::QueryProgress { .. }
            | NetEvent::QueryDone { .. }
            | NetEvent::DialFailed { .. }) => self.search_event(search).await,
            event => self.names.event(event).await,
        }
    }

    /// A peer is connected, by whatever protocol.
    fn peer_up(&mut self, peer: PeerNo, id: PeerId, prefix: Prefix, protocol: PeerProtocol) {
        self.ids.insert(peer, id);
        if self.ids.len() > IDS_MAX {
            self.ids.pop_first();
        }
        for state in self.sessions.values_mut() {
            state.searching.connected(&id);
        }
        self.forget_dial(&id, true);
        match protocol {
            PeerProtocol::Native => {
                self.tell_engine(Event::PeerConnected { peer, prefix });
                self.known_reach(peer, id);
                // A full queue: the worker asks in its next round.
                let _asked = self.names.arrive(Arrival::Peer(id));
            }
            PeerProtocol::Bitswap => self.tell_engine(Event::CidPeerConnected { peer, prefix }),
        }
    }

    fn swarm_event(&mut self, event: Event) {
        match &event {
            Event::Received { len, .. } => {
                self.received += u64::from(*len);
                self.delivered = true;
            }
            Event::Sent { len, .. } => self.sent += u64::from(*len),
            _ => {}
        }
        self.tell_engine(event);
    }

    fn count_violation(&mut self, kind: String) {
        *self.violations.entry(kind).or_default() += 1;
    }

    /// Hands a changed record to the thread that persists them; a full queue drops it, and
    /// it then lives in memory only.
    pub(super) fn remember(&mut self, change: Changed) {
        let store = &self.store;
        self.records.get_or_insert_with(|| Keeper::start(store.clone())).keep(change);
    }

    /// Carries the engine's actions out.
    async fn act(&mut self) {
        self.search_where_needed().await;
        if std::mem::take(&mut self.delivered) {
            self.end_searches().await;
        }
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Got { session, cid } => self.satisfied(session, cid, false),
                Action::TreeDone { session, cid } => self.satisfied(session, cid, true),
                Action::NoProvider { session, cid } => {
                    if let Some(state) = self.sessions.get_mut(&session)
                        && state.waits_for(&cid)
                    {
                        state.starving.insert(cid);
                    }
                    self.missing_here(session);
                    self.search_where_needed().await;
                }
                Action::Provider { session, cid } => {
                    if let Some(state) = self.sessions.get_mut(&session) {
                        state.starving.remove(&cid);
                    }
                }
                Action::Probe { session, cids } => self.to_probe.push((session, cids)),
                Action::AskShared { peer, root } => self.ask_shared(peer, root),
                Action::Violation { kind, .. } => self.count_violation(format!("{kind:?}")),
                Action::Told { by, root, peers } => self.told(by, root, &peers).await,
                action => self.act_on_net(action),
            }
        }
        self.probe_backlog();
    }

    fn satisfied(&mut self, session: SessionId, cid: Cid, tree: bool) {
        if let Some(state) = self.sessions.get_mut(&session) {
            state.satisfied(cid, tree);
        }
    }

    fn act_on_net(&mut self, action: Action) {
        let Some(net) = &self.net else {
            return;
        };
        // A stream that is gone tells so by `PeerDown`: nothing to do about it here.
        let _sent = match action {
            Action::Send { peer, message } => net.send(peer, message),
            Action::Ask { peer, root, asks, deadline } => {
                let left =
                    deadline.map_or(0, |at| at.saturating_sub(self.now()).as_millis() as u32);
                net.ask(peer, root, asks, left)
            }
            Action::Serve { peer, cids, cached_ok } => net.serve(peer, cids, cached_ok),
            Action::Seek { peer, root, cids } => net.seek(peer, root, cids),
            Action::Affirm { peer, cids } => net.affirm(peer, cids),
            Action::Disconnect { peer } => {
                net.disconnect(peer);
                self.note_dropped(peer, true, "too much of what it did was wrong");
                true
            }
            _ => true,
        };
    }

    /// Looks into the store for everything that was asked since the last look, in one job: a tree of
    /// small files makes a question per file, and a thread for each would cost more than the answer.
    fn probe_backlog(&mut self) {
        if self.probing || self.to_probe.is_empty() {
            return;
        }
        self.probing = true;
        let questions = std::mem::take(&mut self.to_probe);
        let (store, queue) = (self.store.clone(), self.work_queue.clone());
        tokio::task::spawn_blocking(move || {
            let answer = |(session, cids)| (session, sharing::probe(&store, cids));
            let answers = questions.into_iter().map(answer).collect();
            let _stopping = queue.blocking_send(Work::Probed(answers));
        });
    }

    fn ask_shared(&mut self, peer: PeerNo, root: Cid) {
        self.shared_lately.retain(|_, (at, _)| at.elapsed() < SHARED_KEPT);
        if let Some((_, holdings)) = self.shared_lately.get(&root) {
            let holdings = holdings.clone();
            self.tell_engine(Event::Shared { peer, root, holdings });
            return;
        }
        let (store, queue) = (self.store.clone(), self.work_queue.clone());
        tokio::task::spawn_blocking(move || {
            let holdings = sharing::holdings(&store, &root);
            let _stopping = queue.blocking_send(Work::Shared { peer, root, holdings });
        });
    }

    async fn look_round(&mut self) {
        self.search_where_needed().await;
        self.dial_candidates().await;
        self.publish_views();
        self.announce_fetches().await;
        self.write_remembered_sometimes();
    }

    fn publish_views(&mut self) {
        let sessions: Vec<SessionId> = self.sessions.keys().copied().collect();
        for session in sessions {
            self.publish_view(session);
        }
    }

    /// Announces the roots of sessions that have something of them by now.
    async fn announce_fetches(&mut self) {
        let begun: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(_, state)| state.announce && !state.announced && state.needs_network)
            .filter(|(_, state)| state.opened.elapsed() >= ANNOUNCE_AFTER)
            .filter(|(_, state)| state.view.borrow().blocks_received > 0)
            .map(|(session, _)| *session)
            .collect();
        for session in begun {
            self.announce_fetch(session).await;
        }
    }

    /// Brings a session's view up to date.
    pub(super) fn publish_view(&mut self, session: SessionId) {
        let stats = self.engine.stats(session);
        let Some(state) = self.sessions.get(&session) else {
            return;
        };
        let nobody = self.nobody_to_ask(&state.searching);
        let Some(state) = self.sessions.get_mut(&session) else {
            return;
        };
        let connected = self.net.as_ref().map(Net::connected).unwrap_or_default();
        if state.connected.len() < CONNECTED_COUNTED_MAX {
            state.connected.extend(connected.iter().map(|info| info.id));
        }
        if state.asked.len() < CONNECTED_COUNTED_MAX {
            state.asked.extend(self.peers.values().map(|peer| peer.id));
        }
        let asked_directly = state.asked.len() as u32;
        let unconnected = unconnected(&self.settings.bootstrap, &connected);
        let mut sources: BTreeMap<String, u64> = BTreeMap::new();
        for (peer, bytes) in &stats.per_peer {
            if let Some(id) = self.ids.get(peer) {
                *sources.entry(id.to_string()).or_default() += bytes;
            }
        }
        let starving = state.starving_wants();
        let mut search = state.searching.view();
        search.dialling += state.candidates.dialling() as u32;
        let (peers_connected, error) = (state.connected.len() as u64, &self.network_error);
        let store_error = self.kept_error.get();
        state.view.send_modify(|view| {
            // What is found here is progress too, as long as the walk goes on.
            if stats.bytes_received > view.bytes_received
                || stats.blocks_present > view.blocks_present
            {
                view.moved = Instant::now();
            }
            view.store_error = store_error;
            view.sources = sources.into_iter().collect();
            view.bytes_received = stats.bytes_received;
            view.blocks_received = stats.blocks_received;
            view.blocks_present = stats.blocks_present;
            view.bytes_sent = stats.bytes_sent;
            view.joined = stats.peers_joined;
            view.peers_connected = peers_connected;
            view.connected = connected.len() as u32;
            view.asked_directly = asked_directly;
            view.unconnected = unconnected;
            view.search = search;
            view.nobody = nobody && !starving.is_empty();
            view.starving = starving;
            view.network_error = error.as_ref().map(|failure| failure.message.clone());
        });
    }

    /// True when nobody can be asked, and nobody will come by our own doing: that somebody may connect
    /// to a running peer is no reason to keep whoever asks it waiting. Peers that are known but not
    /// connected count until a search has tried them in vain.
    fn nobody_to_ask(&self, searching: &Searching) -> bool {
        let finds_by_itself = matches!(self.settings.network, shoal_net::Network::Lan);
        let connected = self.net.as_ref().is_some_and(|net| !net.connected().is_empty());
        let known = self.net.as_ref().is_some_and(|net| net.known_peers() > 0);
        let may_come = finds_by_itself || !self.settings.bootstrap.is_empty();
        let view = searching.view();
        // Remembered peers are dialled before anybody gives up.
        !may_come && !connected && view.dialling == 0 && (!known || view.tried())
    }

    /// Announces the root of a session.
    async fn announce_fetch(&mut self, session: SessionId) {
        if let Some(state) = self.sessions.get_mut(&session)
            && state.announce
            && !state.announced
        {
            state.announced = true;
            let root = state.root;
            self.published.fetch_begins(root, self.net.as_ref()).await;
        }
    }

    /// The number of a connected peer that blocks can be had from.
    pub(super) fn number_of(&self, id: &PeerId) -> Option<PeerNo> {
        self.peers.iter().find(|(_, peer)| peer.id == *id).map(|(number, _)| *number)
    }

    /// Asks a connected peer again whether it takes part: it may have what it had not before.
    pub(super) fn invite(&mut self, session: SessionId, peer: PeerNo) {
        self.tell_engine(Event::Invite { session, peer });
    }

    /// Asks all connected peers again.
    pub(super) fn invite_all(&mut self, session: SessionId) {
        let peers: Vec<PeerNo> = self.peers.keys().copied().collect();
        for peer in peers {
            self.invite(session, peer);
        }
    }
}

async fn next_event(events: &mut Option<mpsc::Receiver<NetEvent>>) -> Option<NetEvent> {
    match events {
        Some(events) => events.recv().await,
        None => std::future::pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
