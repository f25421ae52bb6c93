//! The verbs `follow`, `resolve`, `name accept`, and the question of a mount for the next version.
//!
//! What is followed is written down before anybody is asked, so that a running peer takes it up. A fork is left only
//! here, on the user's word. What a name stands for is found out in [`mod@resolve`], never here.

use std::sync::Arc;

use shoal_dag::Cid;
use shoal_ledger::{
    Entry, LedgerId, Status,
    chain::Archive,
    head::{self, HeadProof},
    question::{Answer, Question},
};
use shoal_net::PeerId;

use super::{
    announce,
    book::Book,
    content, fork, learn, now_ms,
    policy::Policy,
    resolve::{self, Found, How},
    retention,
    spelling::{self, Point, Spelling},
    state::State,
    target,
};
use crate::{
    control::{
        protocol::{Failure, Outcome, Response, Wait},
        server::Responder,
    },
    exit::Exit,
    node::Node,
};

/// Peers asked for the branch that a user chose.
const ASKED_MAX: usize = 16;

/// `resolve`.
///
/// # Errors
/// Exit 4 when nobody knows the name or the version.
pub async fn resolve(
    node: &Arc<Node>,
    text: &[u8],
    offline: bool,
    wait: Wait,
    out: &Responder,
) -> Result<Outcome, Failure> {
    let spelling = target::parse(text)?;
    let how = if offline { How::Offline } else { How::Fresh };
    let found = resolve::find(node, &spelling, how, wait, out).await?;
    told(node, found, &spelling).await
}

async fn told(node: &Arc<Node>, found: Found, spelling: &Spelling) -> Result<Outcome, Failure> {
    let segments = spelling.segments.clone();
    let resolved = node.with_store(move |store| found.told(store, &segments)).await;
    Ok(Outcome::Resolved(Box::new(resolved)))
}

/// What `follow` is asked for.
#[derive(Debug)]
pub struct Follow {
    /// The name.
    pub name: Vec<u8>,
    /// What to call it here.
    pub petname: Option<String>,
    /// Which versions' content is kept.
    pub keep: Option<String>,
    /// Stop following.
    pub stop: bool,
}

/// `follow`: recorded first, so that a running peer goes on looking for a name that nobody answers for now.
///
/// # Errors
/// Exit 4 when nobody answers for it; it is followed all the same.
pub async fn follow(
    node: &Arc<Node>,
    follow: Follow,
    wait: Wait,
    out: &Responder,
) -> Result<Outcome, Failure> {
    let spelling = target::parse(&follow.name)?;
    let name = target::ledger(node, &spelling).await?;
    record(node, name, &spelling, &follow).await?;
    if follow.stop {
        announce::withdraw(node, name).await;
        retention::release(node, name).await?;
        return Ok(Outcome::Nothing);
    }
    let bare = Spelling { point: Point::Newest, segments: Vec::new(), ..spelling };
    let found = resolve::find(node, &bare, How::Fresh, wait, out).await.map_err(|failure| {
        let hint = "it is followed: a running peer goes on looking for it";
        if failure.exit == Exit::NotFound { failure.hint(hint) } else { failure }
    })?;
    if found.state.kept.len == 0 {
        learn::whole_history(node, name).await?;
    }
    announce::announce(node, name).await?;
    if node.is_persistent() {
        tokio::spawn(super::follow::fetch(Arc::clone(node), name));
    } else {
        let note = "no running peer follows it; start one with: shoal seed";
        out.send(Response::Note(note.to_owned())).await?;
    }
    let found = resolve::find(node, &bare, How::Offline, wait, out).await?;
    told(node, found, &bare).await
}

/// Writes down that a name is followed, or is not any more.
async fn record(
    node: &Arc<Node>,
    name: LedgerId,
    spelling: &Spelling,
    follow: &Follow,
) -> Result<(), Failure> {
    let keep = follow.keep.as_deref().map(str::parse::<Policy>).transpose();
    let keep =
        keep.map_err(|error| Failure::usage(error.to_string()))?.map(|keep| keep.to_string());
    if let Some(petname) = &follow.petname {
        spelling::check_petname(petname)?;
    }
    let (petname, checkpoint, stop) = (follow.petname.clone(), spelling.checkpoint, follow.stop);
    let change = move |book: &Book| {
        if let Some(petname) = &petname
            && let Some(other) = book.named(petname)?.filter(|other| *other != name)
        {
            return Err(Failure::failed(format!("{petname} is {other} already"))
                .hint("choose another petname with --as"));
        }
        let mut state = match book.state(name)? {
            Some(state) => state,
            None if stop => return Err(super::unknown(&name.to_string())),
            None => State::new(name, checkpoint),
        };
        state.kept.followed = !stop;
        state.kept.petname = petname.or(state.kept.petname);
        if let Some(keep) = keep {
            state.kept.keep = keep;
        }
        Ok(book.put_state(&state)?)
    };
    node.names().change(change).await?;
    content::keep(node, name).await
}

/// The newest version once it is another than `seen`, or what is known when the time is over.
///
/// # Errors
/// As `resolve`.
pub async fn watch(
    node: &Arc<Node>,
    text: &[u8],
    seen: Option<&str>,
    wait: Wait,
    out: &Responder,
) -> Result<Outcome, Failure> {
    let spelling = target::parse(text)?;
    let until = tokio::time::Instant::now() + std::time::Duration::from_millis(wait.idle_ms);
    let seen: Option<Cid> = seen.and_then(|seen| seen.parse().ok());
    let mut changes = node.names().changes();
    // A name that nobody here keeps up to date is asked for once per question.
    let mut how = How::Near;
    loop {
        let found = resolve::find(node, &spelling, how, wait, out).await?;
        how = How::Offline;
        if Some(found.version.root) != seen {
            return told(node, found, &spelling).await;
        }
        match tokio::time::timeout_at(until, changes.changed()).await {
            Ok(Ok(())) => {}
            _ => return told(node, found, &spelling).await,
        }
    }
}

/// `name accept`: leaves a fork on the user's word.
///
/// # Errors
/// Exit 1 when the name is not forked, 2 when more than one branch could be meant, 4 when nobody shows it.
pub async fn accept(
    node: &Arc<Node>,
    text: &[u8],
    branch: Option<&str>,
    wait: Wait,
    out: &Responder,
) -> Result<Outcome, Failure> {
    let name = target::bare(node, text).await?;
    let state = node.names().known(name).await?;
    if state.reader.status(now_ms()) != Status::Forked {
        return Err(Failure::failed(format!("{} is not forked", state.called())));
    }
    let entry = chosen(&state, branch)?;
    if stands_here(node, &state, &entry).await? {
        choose_ours(node, name).await?;
    } else {
        adopt(node, &state, &entry, out).await?;
    }
    let spelling = Spelling {
        which: spelling::Which::Ledger(name),
        point: Point::Newest,
        checkpoint: None,
        segments: Vec::new(),
    };
    let found = resolve::find(node, &spelling, How::Offline, wait, out).await?;
    told(node, found, &spelling).await
}

/// The entry that the user means, of those that the proof shows.
fn chosen(state: &State, branch: Option<&str>) -> Result<Entry, Failure> {
    let fraud = fork::freezing(state).ok_or_else(|| Failure::failed("there is no proof of it"))?;
    let entries: Vec<&Entry> = fraud.evidence().iter().map(|evidence| &evidence.entry).collect();
    let told = |entry: &&&Entry| Some(entry.id().to_cid().to_string().as_str()) == branch;
    let found = match branch {
        Some(_) => entries.iter().find(told),
        None => None,
    };
    found.map(|entry| (*entry).clone()).ok_or_else(|| {
        let names: Vec<String> = entries.iter().map(|e| e.id().to_cid().to_string()).collect();
        Failure::usage("say which branch to follow").hint(names.join(" or "))
    })
}

async fn stands_here(node: &Arc<Node>, state: &State, entry: &Entry) -> Result<bool, Failure> {
    let (state, entry) = (state.clone(), entry.clone());
    let stands = move |book: &Book| {
        let pinned = state.reader.pin().is_some_and(|pin| *pin.head() == entry);
        Ok(pinned || book.branch(&state).entry(entry.index()).as_ref() == Some(&entry))
    };
    node.names().ask(stands).await
}

/// The branch that is kept here is the one.
async fn choose_ours(node: &Arc<Node>, name: LedgerId) -> Result<(), Failure> {
    let change = move |book: &Book| {
        let mut state = book.state(name)?.ok_or_else(|| super::unknown(&name.to_string()))?;
        let proof = head::prove(&book.branch(&state), None)
            .ok_or_else(|| Failure::failed("only a name that is followed can be chosen here"))?;
        choose(&mut state, &proof)?;
        Ok(book.put_state(&state)?)
    };
    node.names().change(change).await
}

fn choose(state: &mut State, proof: &HeadProof) -> Result<(), Failure> {
    let chosen = state.reader.choose(proof);
    chosen.map(|_| ()).map_err(|error| Failure::failed(format!("that branch is refused: {error}")))
}

/// Another branch than the one that is kept here: its head and entries come from whoever shows them.
async fn adopt(
    node: &Arc<Node>,
    state: &State,
    entry: &Entry,
    out: &Responder,
) -> Result<(), Failure> {
    node.swarm().online().await?;
    resolve::race::connected(node).await;
    out.offer(Response::Phase(crate::control::protocol::Phase {
        text: format!("asking who keeps that branch of {}", state.called()),
    }));
    for peer in node.names().line().peers(ASKED_MAX) {
        if let Some(proof) = head_over(node, state.name(), entry, peer).await {
            return learn::adopt(node, state, entry, proof, peer).await;
        }
    }
    Err(Failure::new(Exit::NotFound, "nobody who is connected keeps that branch")
        .hint("name a peer that has it with --bootstrap"))
}

/// The head of a peer whose history has that entry.
async fn head_over(
    node: &Arc<Node>,
    name: LedgerId,
    entry: &Entry,
    peer: PeerId,
) -> Option<HeadProof> {
    let line = node.names().line();
    let answer = line.ask(peer, &Question::Head { name, have: None }).await.ok()?;
    let Answer::Head { proof, .. } = answer else { return None };
    if proof.head == *entry {
        return Some(*proof);
    }
    let size = proof.head.index();
    let question = Question::Get { name, index: entry.index(), size };
    let Answer::Entry(placed) = line.ask(peer, &question).await.ok()? else { return None };
    let stands = placed.entry == *entry && placed.stands_in(size, &proof.head.header().history);
    stands.then_some(*proof)
}
