//! The worker of names: it takes what arrives, keeps followed names up to date, and answers questions.
//!
//! It runs on every node whose network is up; a node that lives for one command answers and learns too. A running
//! peer besides asks for the heads of the names that it follows when a peer connects and every [`REFRESH_EVERY`],
//! and fetches the content of the versions that its policy keeps.

use std::{collections::HashMap, sync::Arc, time::Duration};

use shoal_dag::Bytes;
use shoal_ledger::{
    LedgerId,
    question::{self, Answer, Question},
};
use shoal_net::{GossipVerdict, PeerId, QuestionId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    announce, judge,
    learn::{self, Learned, Source},
    line::Arrival,
    state::State,
};
use crate::{control::protocol::Failure, node::Node};

/// Arrivals that are worked on at once; more wait in their queue.
const AT_ONCE: usize = 16;

/// New peers that are asked at once. They have permits of their own: one that does not answer costs a deadline for
/// each name, and must not keep gossip and questions waiting.
const PEERS_AT_ONCE: usize = 16;

/// How often a running peer asks for the heads of the names that it follows, though nobody told it of any.
const REFRESH_EVERY: Duration = Duration::from_mins(1);

/// Names asked for when a peer connects: more are left to the round.
const NAMES_PER_PEER_MAX: usize = 64;

/// Peers asked in one round for one name.
const PEERS_PER_ROUND: usize = 3;

/// Works until the node stops.
pub async fn run(node: Arc<Node>) {
    let Some(mut arrivals) = node.names().line().take_arrivals() else { return };
    let (quick, slow) =
        (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(Semaphore::new(PEERS_AT_ONCE)));
    let mut round = tokio::time::interval(REFRESH_EVERY);
    round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = node.stopped() => return,
            arrival = arrivals.recv() => {
                let Some(arrival) = arrival else { return };
                let permit = if matches!(arrival, Arrival::Peer(_)) {
                    // Too many at once: the round asks them too.
                    Arc::clone(&slow).try_acquire_owned().ok()
                } else {
                    Arc::clone(&quick).acquire_owned().await.ok()
                };
                if let Some(permit) = permit {
                    tokio::spawn(work(Arc::clone(&node), arrival, permit));
                }
            }
            _ = round.tick(), if node.is_persistent() => {
                tokio::spawn(refresh_all(Arc::clone(&node)));
            }
        }
    }
}

async fn work(node: Arc<Node>, arrival: Arrival, permit: OwnedSemaphorePermit) {
    if let Err(failure) = arrived(&node, arrival).await {
        tracing::warn!(reason = failure.message, "an arrival about a name was lost");
    }
    drop(permit);
}

async fn arrived(node: &Arc<Node>, arrival: Arrival) -> Result<(), Failure> {
    match arrival {
        Arrival::Question { from, question, bytes } => answer(node, from, question, bytes).await,
        Arrival::Gossip { topic, from, gossip, bytes } => {
            let verdict = gossiped(node, &topic, from, &bytes).await?;
            if let Some(net) = node.names().line().net() {
                net.judge_gossip(gossip, verdict).await;
            }
            Ok(())
        }
        Arrival::Record { name, bytes } => {
            let kept = whole(node, name).await?;
            // Our own put comes by here too, and is nobody else's word.
            if kept.is_some_and(|state| state.kept.record.as_ref() != Some(&bytes)) {
                let learned = learn::record(node, name, &bytes, Source::Dht).await?;
                follow_up(node, name, &learned).await?;
            }
            Ok(())
        }
        Arrival::Peer(peer) => connected(node, peer).await,
        Arrival::Online => announce_all(node).await,
        Arrival::Put { key, reached } => put(node, &key, reached).await,
    }
}

/// What is kept of a name whose whole history is here.
async fn whole(node: &Arc<Node>, name: LedgerId) -> Result<Option<State>, Failure> {
    let state = node.names().ask(move |book| book.state(name)).await?;
    Ok(state.filter(State::is_whole))
}

/// Answers a peer's question from what is kept of a name that is ours or followed.
async fn answer(
    node: &Arc<Node>,
    from: PeerId,
    asked: QuestionId,
    bytes: Vec<u8>,
) -> Result<(), Failure> {
    let Some(net) = node.names().line().net() else { return Ok(()) };
    let answer = match Question::decode(&bytes) {
        Ok(question) => answer_to(node, question).await?,
        Err(error) => {
            tracing::debug!(%from, %error, "a question that is none");
            Answer::Unknown
        }
    };
    net.answer(asked, answer.encode()).await;
    Ok(())
}

async fn answer_to(node: &Arc<Node>, question: Question) -> Result<Answer, Failure> {
    node.names()
        .ask(move |book| {
            let state = book.state(question.name())?;
            let known = state.filter(|state| state.is_whole() && state.kept.versions > 0);
            let Some(state) = known else { return Ok(Answer::Unknown) };
            let pinned = state.reader.pin().map_or(0, |pin| pin.head().index() + 1);
            let branch = book.branch(&state).up_to(pinned);
            let live = |bytes: &Vec<u8>| announce::is_live(bytes, state.name());
            let record = state.kept.record.clone().filter(live).map(Bytes::from);
            Ok(question::answer(&branch, state.reader.frauds(), record.as_ref(), &question))
        })
        .await
}

/// Judges a record that was gossiped.
async fn gossiped(
    node: &Arc<Node>,
    topic: &str,
    from: PeerId,
    bytes: &[u8],
) -> Result<GossipVerdict, Failure> {
    let Some(name) = announce::name_of(topic) else { return Ok(GossipVerdict::Reject) };
    if whole(node, name).await?.is_none() {
        return Ok(GossipVerdict::Ignore);
    }
    if shoal_ledger::ipns::SignedRecord::read(bytes.to_vec(), name).is_err() {
        return Ok(GossipVerdict::Reject);
    }
    let learned = learn::record(node, name, bytes, Source::Gossip(from)).await?;
    follow_up(node, name, &learned).await?;
    Ok(match learned {
        // Two histories: everybody who follows the name shall see both.
        Learned::News | Learned::Fork => GossipVerdict::Accept,
        _ => GossipVerdict::Ignore,
    })
}

/// What follows from something new.
async fn follow_up(node: &Arc<Node>, name: LedgerId, learned: &Learned) -> Result<(), Failure> {
    match learned {
        Learned::News => {
            announce::announce(node, name).await?;
            if node.is_persistent() {
                tokio::spawn(fetch(Arc::clone(node), name));
            }
        }
        Learned::Refused(why) => {
            tracing::debug!(%name, why, "refused");
            node.names().note_refused(name, why);
        }
        Learned::Fork | Learned::Confirmed | Learned::Nothing => {}
    }
    Ok(())
}

/// Brings the content of the kept versions here.
pub async fn fetch(node: Arc<Node>, name: LedgerId) {
    if let Err(failure) = super::content::fetch(&node, name).await {
        tracing::info!(%name, reason = failure.message, "content of a name is not here yet");
    }
}

/// A peer has connected: what does it know of the names that we keep?
async fn connected(node: &Arc<Node>, peer: PeerId) -> Result<(), Failure> {
    for name in kept(node).await?.into_iter().take(NAMES_PER_PEER_MAX) {
        if let Some(learned) = learn::ask_head(node, name, peer).await? {
            follow_up(node, name, &learned).await?;
        }
    }
    Ok(())
}

/// The names whose whole history is kept.
async fn kept(node: &Arc<Node>) -> Result<Vec<LedgerId>, Failure> {
    let kept = node.names().ask(|book| {
        let mut kept = Vec::new();
        for name in book.names()? {
            if book.state(name)?.is_some_and(|state| state.is_whole()) {
                kept.push(name);
            }
        }
        Ok(kept)
    });
    kept.await
}

async fn announce_all(node: &Arc<Node>) -> Result<(), Failure> {
    for name in kept(node).await? {
        announce::announce(node, name).await?;
    }
    Ok(())
}

/// A record of ours is with others.
async fn put(node: &Arc<Node>, key: &[u8], reached: usize) -> Result<(), Failure> {
    let Some(name) = judge::name_of(key).filter(|_| reached > 0) else { return Ok(()) };
    let change = move |book: &super::book::Book| {
        if let Some(mut state) = book.state(name)?.filter(|state| state.kept.unsent) {
            state.kept.unsent = false;
            book.put_state(&state)?;
        }
        Ok(())
    };
    node.names().change(change).await
}

/// Asks for the heads of all followed names, and fetches what is still missing of their content.
async fn refresh_all(node: Arc<Node>) {
    let Ok(names) = kept(&node).await else { return };
    for name in names {
        if let Err(failure) = refresh(&node, name).await {
            tracing::info!(%name, reason = failure.message, "a name could not be refreshed");
        }
    }
}

async fn refresh(node: &Arc<Node>, name: LedgerId) -> Result<(), Failure> {
    let mut answers: HashMap<PeerId, Learned> = HashMap::new();
    for peer in node.names().line().peers(PEERS_PER_ROUND) {
        if let Some(learned) = learn::ask_head(node, name, peer).await? {
            follow_up(node, name, &learned).await?;
            answers.insert(peer, learned);
        }
    }
    if announce::is_due(node, name).await? {
        announce::announce(node, name).await?;
    }
    if answers.is_empty() {
        super::resolve::search(node, name).await?;
    }
    super::content::fetch(node, name).await
}
