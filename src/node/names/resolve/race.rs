//! All ways to find out a name's head at the same time; the first that leads to something new opens a short grace for the rest.
//!
//! Asked are the connected peers, whoever provides the name's rendezvous in the DHT, and the records under its key.
//! Every record that comes is heard, also when the answer is found already: two that contradict each
//! other are a fork, whichever came first.

use std::{sync::Arc, time::Duration};

use shoal_ledger::{LedgerId, ipns::routing_key};
use shoal_net::PeerId;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::How;
use crate::{
    control::{
        protocol::{Failure, Phase, Response, Wait},
        server::Responder,
    },
    exit::Exit,
    node::{
        Node,
        names::{
            announce,
            learn::{self, Learned, Source},
            line::Found,
            state::State,
        },
    },
};

/// Peers asked directly: as many as one search of the DHT asks in two rounds.
const PEERS_MAX: usize = 16;

/// How long the others have once somebody has answered.
const GRACE: Duration = Duration::from_millis(300);

/// How long a first connection may take before nobody counts as reachable.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// How long catching up may take.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);

/// Reasons that are remembered of one question.
const REFUSED_MAX: usize = 32;

/// What was tried, and what came of it.
#[derive(Debug, Default)]
pub struct Asked {
    /// Peers that were asked.
    pub peers: usize,
    /// Peers that answered with a head.
    pub answered: usize,
    /// Peers of the DHT that answered.
    pub dht: u32,
    /// What was refused, and why.
    pub refused: Vec<String>,
    /// Something new was accepted, or what is known confirmed.
    pub settled: bool,
    /// Nobody's answer ends the search.
    all: bool,
}

impl Asked {
    fn note(&mut self, learned: &Learned) {
        match learned {
            Learned::Refused(why)
                if self.refused.len() < REFUSED_MAX && !self.refused.contains(why) =>
            {
                self.refused.push(why.clone());
            }
            Learned::News | Learned::Confirmed | Learned::Fork => self.settled = true,
            _ => {}
        }
    }

    /// Nobody knows the name: what was tried.
    pub fn nobody(&self, state: &State, how: How) -> Failure {
        let name = state.called();
        let message = match how {
            How::Offline => format!("nothing of {name} is known here"),
            _ => format!(
                "nobody answered for {name}: {} peers asked, {} of the DHT answered",
                self.peers, self.dht
            ),
        };
        let failure = Failure::new(Exit::NotFound, message);
        match self.refused.first() {
            Some(why) => failure.hint(format!("refused: {why}")),
            None => failure.hint("name a peer with --bootstrap, or wait until its publisher is up"),
        }
    }
}

/// Asks everybody, until something is settled and the grace is over, or nobody is left, or the time is up.
///
/// # Errors
/// The store; the network cannot be started.
pub async fn ask(
    node: &Arc<Node>,
    state: State,
    here: bool,
    wait: Wait,
    out: &Responder,
) -> Result<Asked, Failure> {
    let mut asked = Asked::default();
    if let Err(failure) = node.swarm().online().await {
        return if here { Ok(asked) } else { Err(failure) };
    }
    let name = state.called();
    let phase = Phase { text: format!("asking who knows {name}") };
    out.offer(Response::Phase(phase));
    if !connected(node).await {
        return Ok(asked);
    }
    let until = Instant::now() + Duration::from_millis(wait.idle_ms);
    // A name that is known must not wait long for what nobody may have.
    let until = if here { until.min(Instant::now() + CONNECT_MAX) } else { until };
    search(node, &state, &mut asked, Some(until)).await?;
    Ok(asked)
}

/// Asks everybody who can be reached before an own name is signed for: no answer is so good that the others are not
/// waited for.
///
/// # Errors
/// The store.
pub async fn catch_up(node: &Arc<Node>, state: &State, out: &Responder) -> Result<Asked, Failure> {
    let mut asked = Asked { all: true, ..Asked::default() };
    if node.swarm().online().await.is_err() || !connected(node).await {
        return Ok(asked);
    }
    let text = format!("asking what others know of {}", state.called());
    out.offer(Response::Phase(Phase { text }));
    search(node, state, &mut asked, Some(Instant::now() + CATCH_UP_MAX)).await?;
    Ok(asked)
}

/// Waits for a first connection, where one can still come: a peer that has been running for a while has those that it can get.
pub async fn connected(node: &Arc<Node>) -> bool {
    let line = node.names().line();
    let named = !node.settings().bootstrap.is_empty();
    let finds = matches!(node.settings().network, shoal_net::Network::Lan);
    let young = node.uptime() < CONNECT_MAX;
    if !line.peers(1).is_empty() {
        return true;
    }
    if !(named || finds || node.is_persistent()) || (node.is_persistent() && !young) {
        return false;
    }
    tokio::time::timeout(CONNECT_MAX, line.has_peer()).await.is_ok()
}

/// Asks all ways at once.
///
/// # Errors
/// The store.
pub async fn search(
    node: &Arc<Node>,
    state: &State,
    asked: &mut Asked,
    until: Option<Instant>,
) -> Result<(), Failure> {
    let until = until.unwrap_or_else(|| Instant::now() + Duration::from_mins(1));
    let mut ways = Ways::begin(node, state).await;
    let (mut deadline, mut lacking) = (until, Vec::new());
    while let Ok(Some(way)) = timeout_at(deadline, ways.next()).await {
        match way {
            Way::Peer(learned) => {
                if let Some(learned) = learned? {
                    // Who says what cannot be accepted, now or at all, has not been heard.
                    asked.answered += usize::from(!matches!(learned, Learned::Refused(_)));
                    asked.note(&learned);
                }
            }
            Way::Record(learned) => asked.note(&learned?),
            Way::Done { answered, without } => {
                asked.dht = asked.dht.max(answered);
                lacking.extend(without);
            }
        }
        asked.peers = ways.asked.len();
        if asked.settled && !asked.all {
            deadline = deadline.min(Instant::now() + GRACE);
        }
    }
    asked.peers = ways.asked.len();
    correct(node, state.name(), lacking).await
}

/// Gives the newest record to those peers of the DHT that answered with an older one or with none, so that who
/// asks them next is not told less (kad-dht, "entry correction").
async fn correct(node: &Arc<Node>, name: LedgerId, peers: Vec<PeerId>) -> Result<(), Failure> {
    if peers.is_empty() {
        return Ok(());
    }
    let state = node.names().ask(move |book| book.state(name)).await?;
    let record = state.and_then(|state| state.kept.record);
    if let (Some(net), Some(record)) = (node.names().line().net(), record)
        && announce::is_live(&record, name)
    {
        net.put_value_to(routing_key(name), record, peers).await;
    }
    Ok(())
}

/// What one way led to.
enum Way {
    Peer(Result<Option<Learned>, Failure>),
    Record(Result<Learned, Failure>),
    Done { answered: u32, without: Vec<PeerId> },
}

/// Everything that is under way.
struct Ways {
    node: Arc<Node>,
    state: State,
    tasks: JoinSet<Way>,
    found: tokio::sync::mpsc::Receiver<Found>,
    asked: Vec<PeerId>,
    searching: usize,
}

impl Ways {
    async fn begin(node: &Arc<Node>, state: &State) -> Self {
        let (found, searching) = searches(node, state).await;
        let mut ways = Self {
            node: Arc::clone(node),
            state: state.clone(),
            tasks: JoinSet::new(),
            found,
            asked: Vec::new(),
            searching,
        };
        for peer in node.names().line().peers(PEERS_MAX) {
            ways.ask(peer);
        }
        ways
    }

    fn ask(&mut self, peer: PeerId) {
        let ours = self.node.names().line().net().map(|net| net.peer_id());
        if self.asked.contains(&peer) || self.asked.len() >= PEERS_MAX || Some(peer) == ours {
            return;
        }
        self.asked.push(peer);
        let (node, state) = (Arc::clone(&self.node), self.state.clone());
        self.tasks.spawn(async move {
            let kept = learn::state_of(&node, state.name()).await;
            let state = match kept {
                Ok(kept) if kept.reader.pin().is_some() => kept,
                _ => state,
            };
            Way::Peer(learn::ask_head_for(&node, state, peer).await)
        });
    }

    /// The next outcome; `None` when nothing is under way any more.
    async fn next(&mut self) -> Option<Way> {
        loop {
            if self.tasks.is_empty() && self.searching == 0 {
                return None;
            }
            tokio::select! {
                Some(way) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    // A task that was cancelled or panicked has nothing to say.
                    if let Ok(way) = way { return Some(way) }
                }
                found = self.found.recv(), if self.searching > 0 => match found {
                    Some(Found::Provider(peer)) => self.ask(peer),
                    Some(Found::Record { bytes, from }) => {
                        self.hear(bytes, if from.is_some() { Source::Dht } else { Source::Here });
                    }
                    Some(Found::Done { answered, without }) => {
                        self.searching -= 1;
                        return Some(Way::Done { answered, without });
                    }
                    None => self.searching = 0,
                },
            }
        }
    }

    fn hear(&mut self, bytes: Vec<u8>, source: Source) {
        let (node, name) = (Arc::clone(&self.node), self.state.name());
        self.tasks
            .spawn(async move { Way::Record(learn::record(&node, name, &bytes, source).await) });
    }
}

/// The two searches of the DHT, joined into one queue; how many there are.
async fn searches(node: &Arc<Node>, state: &State) -> (tokio::sync::mpsc::Receiver<Found>, usize) {
    let line = node.names().line();
    let records = line.find_records(routing_key(state.name())).await;
    let keepers = line.find_providers(announce::rendezvous(state.name())).await;
    let (both, found) = tokio::sync::mpsc::channel(PEERS_MAX);
    let mut searching = 0;
    for mut search in [records, keepers].into_iter().flatten() {
        searching += 1;
        let both = both.clone();
        tokio::spawn(async move {
            while let Some(found) = search.recv().await {
                if both.send(found).await.is_err() {
                    return;
                }
            }
        });
    }
    (found, searching)
}
