//! Taking in the entries of a head that was proven, for a name whose whole history is kept.
//!
//! Entries come in ranges from the peer that proved the head. Each is checked as the next one ([`Tip::extend`]),
//! and the last one must be the proven head, so that the history is the one that the head commits to. They are stored in
//! steps; the reader moves only with the last one. Until then it serves what it had: a peer that breaks off, or whose
//! entries lead elsewhere, costs its own time.

use std::sync::Arc;

use shoal_ledger::{
    Entry, Tip,
    chain::Archive,
    head::HeadProof,
    question::{Answer, Question, RANGE_MAX},
};
use shoal_net::PeerId;

use super::{Learned, Source, refused};
use crate::{
    control::protocol::Failure,
    node::{
        Node,
        names::{book::Book, now_ms, state::State, unknown},
    },
};

/// Entries between two commits: 2.4 MB of them as they usually are.
const STEP_MAX: usize = 4096;

/// Takes in everything up to the proven head; `cut_off_from` is where a recovery cut our history off.
///
/// # Errors
/// The store.
pub(super) async fn take_in(
    node: &Arc<Node>,
    state: &State,
    proof: HeadProof,
    cut_off_from: Option<u64>,
    peer: PeerId,
) -> Result<Learned, Failure> {
    let pinned = state.reader.pin().map_or(0, |pin| pin.head().index() + 1);
    let mut from = cut_off_from.unwrap_or(state.kept.len).min(state.kept.len);
    let branch = node.names().book().branch(state).up_to(from);
    let mut tip = if from == 0 { None } else { Tip::from_archive(&branch) };
    let mut step = Vec::new();
    while from <= proof.head.index() {
        let entries = match range(node, state, from, peer).await {
            Ok(entries) => entries,
            Err(why) => return Ok(refused(Source::Peer(peer), why)),
        };
        for entry in entries {
            if let Err(why) = check(&mut tip, &entry) {
                back(node, state, pinned).await?;
                return Ok(refused(Source::Peer(peer), why));
            }
            from = entry.index() + 1;
            step.push(entry);
            if from > proof.head.index() {
                break;
            }
        }
        if step.len() >= STEP_MAX && from <= proof.head.index() {
            store(node, state, std::mem::take(&mut step), cut_off_from, None).await?;
        }
    }
    if tip.as_ref().map(Tip::head) != Some(&proof.head) {
        back(node, state, pinned).await?;
        return Ok(refused(Source::Peer(peer), "entries that do not lead to the head"));
    }
    let moved = store(node, state, step, cut_off_from, Some(proof)).await?;
    Ok(if moved { Learned::News } else { Learned::Nothing })
}

fn check(tip: &mut Option<Tip>, entry: &Entry) -> Result<(), String> {
    let text = |error: shoal_ledger::tip::Invalid| error.to_string();
    if let Some(tip) = tip {
        return tip.extend(entry.clone()).map_err(text);
    }
    *tip = Some(Tip::begin(entry.clone()).map_err(text)?);
    Ok(())
}

async fn range(
    node: &Arc<Node>,
    state: &State,
    from: u64,
    peer: PeerId,
) -> Result<Vec<Entry>, String> {
    let question = Question::Range { name: state.name(), from, count: RANGE_MAX };
    match node.names().line().ask(peer, &question).await {
        Ok(Answer::Entries(entries)) if entries.first().map(Entry::index) == Some(from) => {
            Ok(entries)
        }
        Ok(_) => Err(format!("entries from {from} on are not there")),
        Err(error) => Err(error.to_string()),
    }
}

/// Stores entries, and with the last ones the head. False when somebody else was faster.
async fn store(
    node: &Arc<Node>,
    state: &State,
    entries: Vec<Entry>,
    cut_off_from: Option<u64>,
    proof: Option<HeadProof>,
) -> Result<bool, Failure> {
    let fresh = state.clone();
    let change = move |book: &Book| {
        let mut state = book.state(fresh.name())?.unwrap_or(fresh);
        let first = entries.first().map(Entry::index);
        if let Some(cut) = cut_off_from.filter(|cut| first == Some(*cut)) {
            book.cut(&mut state, cut)?;
        }
        if first.is_some_and(|first| first != state.kept.len) {
            return Ok(false);
        }
        if let Some(proof) = proof
            && state.reader.accept(&proof, now_ms()).is_err()
        {
            return Ok(false);
        }
        state.note_foreign(entries.len() as u64);
        book.append(&mut state, &entries)?;
        Ok(true)
    };
    node.names().change(change).await
}

/// Drops entries beyond what the reader accepted: they are not of the head's history.
async fn back(node: &Arc<Node>, state: &State, pinned: u64) -> Result<(), Failure> {
    let name = state.name();
    let change = move |book: &Book| {
        if let Some(mut state) = book.state(name)?
            && book.branch(&state).len() > pinned
        {
            book.cut(&mut state, pinned)?;
        }
        Ok(())
    };
    node.names().change(change).await
}

/// Takes in the entries behind a head that is pinned already, for a name of which only the pin was kept.
///
/// # Errors
/// The store.
pub(super) async fn fill(
    node: &Arc<Node>,
    state: &State,
    proof: HeadProof,
    peer: PeerId,
) -> Result<(), Failure> {
    let (name, mut tip, mut from) = (state.name(), None, 0);
    let mut entries = Vec::new();
    while from <= proof.head.index() {
        let Ok(more) = range(node, state, from, peer).await else { return Ok(()) };
        for entry in more {
            if check(&mut tip, &entry).is_err() {
                return Ok(());
            }
            from = entry.index() + 1;
            entries.push(entry);
        }
    }
    let change = move |book: &Book| {
        let Some(mut state) = book.state(name)?.filter(|state| state.kept.len == 0) else {
            return Ok(());
        };
        // Only what leads to the head that was accepted: the peer may be further on, or elsewhere.
        let Some(pinned) = state.reader.pin().map(|pin| pin.head().clone()) else { return Ok(()) };
        let Ok(at) = usize::try_from(pinned.index()) else { return Ok(()) };
        if entries.get(at) == Some(&pinned) {
            entries.truncate(at + 1);
            book.append(&mut state, &entries)?;
        }
        Ok(())
    };
    node.names().change(change).await
}

/// Replaces the history from an index on by that of a head which the user chose.
///
/// # Errors
/// The store; entries that do not lead to the head.
pub(super) async fn replace(
    node: &Arc<Node>,
    state: &State,
    from: u64,
    proof: HeadProof,
    peer: PeerId,
) -> Result<(), Failure> {
    let name = state.name();
    let branch = node.names().book().branch(state).up_to(from);
    let mut tip = if from == 0 { None } else { Tip::from_archive(&branch) };
    let (mut next, mut entries) = (from, Vec::new());
    while next <= proof.head.index() {
        for entry in range(node, state, next, peer).await.map_err(Failure::failed)? {
            check(&mut tip, &entry).map_err(Failure::failed)?;
            next = entry.index() + 1;
            entries.push(entry);
        }
    }
    entries.truncate((proof.head.index() + 1 - from) as usize);
    if entries.last() != Some(&proof.head) {
        return Err(Failure::failed("the entries of that branch do not lead to its head"));
    }
    let change = move |book: &Book| {
        let mut state = book.state(name)?.ok_or_else(|| unknown(&name.to_string()))?;
        book.cut(&mut state, from)?;
        let chosen = state.reader.choose(&proof);
        chosen.map_err(|error| Failure::failed(format!("that branch is refused: {error}")))?;
        Ok(book.append(&mut state, &entries)?)
    };
    node.names().change(change).await
}
