//! A peer whose history is not ours: a fork, a recovery, or a lie.
//!
//! The peer's head is judged as a newcomer would judge it; what does not even hold by itself is a lie and refused.
//! Then the first place where the histories differ is found by bisection over roots (a light reader compares at
//! its pinned head), the peer's entry there is shown to stand in its history, and both entries together are
//! the proof. After a recovery the histories differ lawfully: then what both share is the bridge to the new epoch.

use std::sync::Arc;

use shoal_ledger::{
    Evidence, Fraud, Position, Reader,
    chain::Archive,
    head::{Bisect, Have, HeadProof, Placed},
    question::{Answer, Question},
    tree::prove,
};
use shoal_net::PeerId;

use super::{Learned, Source, newcomer, refused, replicate, witness};
use crate::{
    control::protocol::Failure,
    node::{
        Node,
        names::{book::Branch, now_ms, state::State},
    },
};

/// Compares our history with that of a peer whose head, proven from nothing, is given.
///
/// # Errors
/// The store.
pub(super) async fn compare(
    node: &Arc<Node>,
    state: &State,
    head: &HeadProof,
    peer: PeerId,
) -> Result<Learned, Failure> {
    let source = Source::Peer(peer);
    let theirs = match newcomer(state.name(), head) {
        Ok(theirs) => theirs,
        Err(error) => return Ok(refused(source, error)),
    };
    let (Some(their_pin), Some(our_pin)) = (theirs.pin(), state.reader.pin()) else {
        return Ok(Learned::Nothing);
    };
    let (there, here) = (their_pin.head().position(), our_pin.head().position());
    if there.epoch < here.epoch {
        return Ok(Learned::Nothing);
    }
    let branch = node.names().book().branch(state);
    let place = match first_difference(node, state, &branch, their_pin.have().size(), peer).await {
        Ok(Some(place)) => place,
        Ok(None) => return Ok(Learned::Nothing),
        Err(why) => return Ok(refused(source, why)),
    };
    if there.epoch > here.epoch {
        return bridge(node, state, &branch, place, &theirs, peer).await;
    }
    let Some(entry) = their_entry(node, &theirs, place, peer).await else {
        return Ok(refused(source, "another history, of which it shows no entry"));
    };
    let ours = if place == here.index.as_u64() {
        Some(Evidence::of(our_pin.head().clone(), our_pin.chain()))
    } else {
        Evidence::from_archive(&branch, place)
    };
    let chain: Vec<_> =
        their_pin.chain().iter().filter(|entry| entry.index() < place).cloned().collect();
    let fraud = ours.and_then(|ours| Fraud::equivocation(ours, Evidence::of(entry, &chain)));
    match fraud {
        Some(fraud) if witness(node, state.name(), vec![fraud.clone()]).await? => Ok(Learned::Fork),
        Some(_) => Ok(Learned::Nothing),
        None => Ok(refused(source, "another history, which nobody authorised signed")),
    }
}

/// The first index at which the histories differ; none when one begins with the other.
async fn first_difference(
    node: &Arc<Node>,
    state: &State,
    branch: &Branch,
    their_size: u64,
    peer: PeerId,
) -> Result<Option<u64>, String> {
    let pinned = state.reader.pin().map_or(0, |pin| pin.head().index());
    if branch.is_empty() {
        // A light reader can show its own head alone.
        return Ok((pinned < their_size).then_some(pinned));
    }
    let shorter = branch.len().min(pinned + 1).min(their_size);
    let ask = async |size: u64| -> Result<bool, String> {
        let question = Question::Root { name: state.name(), size };
        match node.names().line().ask(peer, &question).await {
            Ok(Answer::Root(root)) => Ok(prove::root(branch, size) == Some(root)),
            Ok(_) => Err("it does not say the roots of its history".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    };
    if ask(shorter).await? {
        return Ok(None);
    }
    let mut search = Bisect::new(0, shorter);
    while let Some(size) = search.ask() {
        let same = ask(size).await?;
        search.answer(size, same);
    }
    Ok(Some(search.first_difference()))
}

/// The peer's entry at a place, if it is shown to stand in the history of the peer's head.
async fn their_entry(
    node: &Arc<Node>,
    theirs: &Reader,
    place: u64,
    peer: PeerId,
) -> Option<shoal_ledger::Entry> {
    let head = theirs.pin()?.head();
    if head.index() == place {
        return Some(head.clone());
    }
    let size = head.index();
    let question = Question::Get { name: theirs.name(), index: place, size };
    let answer = node.names().line().ask(peer, &question).await.ok()?;
    let Answer::Entry(placed) = answer else { return None };
    let Placed { entry, .. } = &*placed;
    let stands = entry.index() == place && placed.stands_in(size, &head.header().history);
    stands.then(|| entry.clone())
}

/// Goes over to a later epoch: the histories share the entries before `place`.
async fn bridge(
    node: &Arc<Node>,
    state: &State,
    branch: &Branch,
    place: u64,
    theirs: &Reader,
    peer: PeerId,
) -> Result<Learned, Failure> {
    let source = Source::Peer(peer);
    let shared = place.checked_sub(1).and_then(|last| branch.entry(last));
    let (Some(shared), Some(root)) = (shared, prove::root(branch, place)) else {
        return note_recovery(node, state, theirs).await;
    };
    let have = Have { position: shared.position(), root };
    let question = Question::Head { name: state.name(), have: Some(have) };
    let Ok(Answer::Head { proof, .. }) = node.names().line().ask(peer, &question).await else {
        return note_recovery(node, state, theirs).await;
    };
    let across = state.reader.have().and_then(|have| proof.across(&have, branch));
    let Some(proof) = across else { return note_recovery(node, state, theirs).await };
    match state.reader.clone().accept(&proof, now_ms()) {
        Ok(accepted) => {
            replicate::take_in(node, state, proof, accepted.cut_off_from.or(Some(place)), peer)
                .await
        }
        Err(error) => Ok(refused(source, error)),
    }
}

/// A recovery that cannot be bridged is noted: the name is superseded until somebody shows the way.
async fn note_recovery(
    node: &Arc<Node>,
    state: &State,
    theirs: &Reader,
) -> Result<Learned, Failure> {
    let chain = theirs.pin().map(|pin| pin.chain().to_vec()).unwrap_or_default();
    let epoch = |position: Position| position.epoch;
    let ours = state.reader.pin().map(|pin| epoch(pin.head().position()));
    let recovery = chain.into_iter().find(|entry| Some(epoch(entry.position())) > ours);
    let name = state.name();
    let change = move |book: &crate::node::names::book::Book| {
        if let Some(mut state) = book.state(name)?
            && let Some(recovery) = recovery
            && state.reader.note_recovery(&recovery).is_ok()
        {
            book.put_state(&state)?;
        }
        Ok(Learned::Refused("a recovery that is not shown to build on what is known".to_owned()))
    };
    node.names().change(change).await
}
