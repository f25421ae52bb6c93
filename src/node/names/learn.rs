//! What becomes of something that is heard about a name: a record, a head, an answer.
//!
//! Nothing that is heard is believed. A head is accepted when it is shown to extend what was accepted before
//! ([`shoal_ledger::Reader`]); one that is not is compared with our history ([`mod@diverged`]), and two
//! histories that were both signed become a proof. A name whose whole history is kept takes in every entry before it
//! moves on ([`mod@replicate`]); one that was only read keeps the pin alone, and needs no entry but those of a proof.
//!
//! Every way ends in one commit by [`super::Names::change`], made on the state as it is then: what another task
//! accepted meanwhile is not lost.

use std::sync::Arc;

use shoal_dag::Bytes;
use shoal_ledger::{
    Entry, Evidence, Fraud, LedgerId, Reader, Refusal, Tip,
    head::{Common, HeadProof},
    ipns::{SignedRecord, TTL_SECONDS_DEFAULT, select},
    question::{Answer, Question},
    reader::Heard,
};
use shoal_net::PeerId;

use super::{book::Book, fork, judge, now_ms, state::State};
use crate::{control::protocol::Failure, exit::Exit, node::Node};

mod diverged;
mod replicate;

/// Peers asked for a proof of a head that came without one.
const ASKED_MAX: usize = 4;

/// Where something came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Gossip, passed on by that neighbour.
    Gossip(PeerId),
    /// A record in the DHT.
    Dht,
    /// A record that this node keeps for the DHT: nobody else's word.
    Here,
    /// A direct answer.
    Peer(PeerId),
}

impl Source {
    /// As it is told.
    pub fn told(self) -> String {
        match self {
            Self::Gossip(_) => "gossip".to_owned(),
            Self::Dht => "dht".to_owned(),
            Self::Here => "a record kept here".to_owned(),
            Self::Peer(peer) => peer.to_string(),
        }
    }

    const fn peer(self) -> Option<PeerId> {
        match self {
            Self::Gossip(peer) | Self::Peer(peer) => Some(peer),
            Self::Dht | Self::Here => None,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Learned {
    /// A newer head was accepted.
    News,
    /// The head that is known was confirmed.
    Confirmed,
    /// It says nothing that is not known.
    Nothing,
    /// A fork was proven.
    Fork,
    /// It was refused, or held, for this reason.
    Refused(String),
}

/// What is kept of a name, or a fresh reader of it.
pub(super) async fn state_of(node: &Node, name: LedgerId) -> Result<State, Failure> {
    let kept = node.names().ask(move |book| book.state(name)).await?;
    Ok(kept.unwrap_or_else(|| State::new(name, None)))
}

/// Hears an IPNS record.
///
/// # Errors
/// The store.
pub async fn record(
    node: &Arc<Node>,
    name: LedgerId,
    bytes: &[u8],
    source: Source,
) -> Result<Learned, Failure> {
    let record = match SignedRecord::read(bytes.to_vec(), name) {
        Ok(record) => record,
        Err(error) => return Ok(refused(source, error)),
    };
    let head = match record.head(name) {
        Ok(Some(head)) => head,
        Ok(None) => return stripped(node, name, &record, source).await,
        Err(error) => return Ok(refused(source, error)),
    };
    let learned = self::head(node, name, head.clone(), source).await?;
    if matches!(learned, Learned::News | Learned::Confirmed) {
        keep_record(node, name, record, head).await?;
    }
    Ok(learned)
}

/// A record without an entry: made by a program that knows nothing of ledgers, or stripped.
async fn stripped(
    node: &Node,
    name: LedgerId,
    record: &SignedRecord,
    source: Source,
) -> Result<Learned, Failure> {
    let state = state_of(node, name).await?;
    let ours = state.reader.pin().map_or(0, |pin| pin.head().position().sequence());
    if record.sequence() <= ours {
        return Ok(Learned::Nothing);
    }
    let sequence = record.sequence();
    Ok(refused(source, format!("a record of sequence {sequence} that carries no entry")))
}

/// Keeps the record of the pinned head, to be put again.
async fn keep_record(
    node: &Node,
    name: LedgerId,
    record: SignedRecord,
    head: Entry,
) -> Result<(), Failure> {
    if record.clone().live(judge::now()).is_err() {
        return Ok(());
    }
    let change = move |book: &Book| {
        let Some(mut state) = book.state(name)? else { return Ok(()) };
        let kept = state.kept.record.as_ref();
        let kept = kept.and_then(|kept| SignedRecord::read(kept.clone(), name).ok());
        let newer = kept.is_none_or(|kept| select(&kept, &record) != &kept);
        if newer && state.reader.pin().is_some_and(|pin| *pin.head() == head) {
            state.kept.record = Some(record.bytes().to_vec());
            book.put_state(&state)?;
        }
        Ok(())
    };
    node.names().change(change).await
}

/// Hears a head without a proof.
///
/// # Errors
/// The store.
pub async fn head(
    node: &Arc<Node>,
    name: LedgerId,
    head: Entry,
    source: Source,
) -> Result<Learned, Failure> {
    let state = state_of(node, name).await?;
    match state.reader.hear(&head) {
        Heard::Known if source == Source::Here => Ok(Learned::Nothing),
        Heard::Known => confirm(node, name, head, source).await,
        Heard::Ended => Ok(Learned::Nothing),
        Heard::Foreign => Ok(refused(source, "an entry of another name")),
        Heard::Newer(_) => {
            if let Some(learned) = append_next(node, &state, &head, source).await? {
                return Ok(learned);
            }
            ask_around(node, name, source).await
        }
        Heard::Older { .. } | Heard::Conflict => compare(node, &state, head, source).await,
    }
}

/// The fast way of a follower: the head is the next entry of the history that is kept.
async fn append_next(
    node: &Arc<Node>,
    state: &State,
    head: &Entry,
    source: Source,
) -> Result<Option<Learned>, Failure> {
    let (name, next) = (state.name(), state.kept.len);
    if next == 0 || head.index() != next {
        return Ok(None);
    }
    let head = head.clone();
    let change = move |book: &Book| {
        let Some(mut state) = book.state(name)?.filter(|state| state.kept.len == next) else {
            return Ok(None);
        };
        let Some(mut tip) = Tip::from_archive(&book.branch(&state)) else { return Ok(None) };
        let proof = extension(&tip, head.clone());
        if tip.extend(head.clone()).is_err() {
            return Ok(None);
        }
        if let Err(error) = state.reader.accept(&proof, now_ms()) {
            return Ok(Some(refused(source, error)));
        }
        if source != Source::Here {
            state.reader.confirm(&head, confirmed_until());
            state.confirmed(now_ms(), &source.told());
        }
        state.note_foreign(1);
        book.append(&mut state, &[head])?;
        Ok(Some(Learned::News))
    };
    node.names().change(change).await
}

/// The proof that an entry is the next one after a tip, for a reader that pinned that tip.
pub fn extension(tip: &Tip, next: Entry) -> HeadProof {
    let peaks = tip.peaks();
    HeadProof {
        head: next,
        peaks: peaks.hashes().to_vec(),
        common: Common {
            size: peaks.size(),
            root: peaks.root(),
            to_have: Vec::new(),
            to_head: Vec::new(),
        },
        control: Vec::new(),
    }
}

/// Asks for the proof of a head that came without one: whoever told of it first.
async fn ask_around(node: &Arc<Node>, name: LedgerId, source: Source) -> Result<Learned, Failure> {
    let mut peers: Vec<PeerId> = source.peer().into_iter().collect();
    for peer in node.names().line().peers(ASKED_MAX) {
        if !peers.contains(&peer) {
            peers.push(peer);
        }
    }
    let mut last = refused(source, "a newer head that nobody asked could show to be valid");
    for peer in peers.into_iter().take(ASKED_MAX) {
        match Box::pin(ask_head(node, name, peer)).await? {
            Some(learned @ (Learned::News | Learned::Fork)) => return Ok(learned),
            Some(Learned::Refused(why)) => last = Learned::Refused(why),
            _ => {}
        }
    }
    Ok(last)
}

/// Asks a peer for its head; `None` when it does not know the name or does not answer.
///
/// # Errors
/// The store.
pub async fn ask_head(
    node: &Arc<Node>,
    name: LedgerId,
    peer: PeerId,
) -> Result<Option<Learned>, Failure> {
    let state = state_of(node, name).await?;
    ask_head_for(node, state, peer).await
}

/// The same for a reader that nothing is kept of yet, such as one with a checkpoint from a link.
///
/// # Errors
/// The store.
pub async fn ask_head_for(
    node: &Arc<Node>,
    state: State,
    peer: PeerId,
) -> Result<Option<Learned>, Failure> {
    let name = state.name();
    let question = match (state.reader.have(), state.reader.checkpoint()) {
        (None, Some(checkpoint)) => {
            Question::HeadAfter { name, index: checkpoint.position.index.as_u64() }
        }
        (have, _) => Question::Head { name, have },
    };
    let source = Source::Peer(peer);
    match node.names().line().ask(peer, &question).await {
        Ok(Answer::Head { proof, record, frauds }) => {
            let forked = witness(node, name, frauds).await?;
            let learned = proven(node, &state, *proof, peer).await?;
            after_answer(node, name, record, forked, learned, source).await.map(Some)
        }
        Ok(Answer::Diverged { head, record, frauds }) => {
            let forked = witness(node, name, frauds).await?;
            let learned = diverged::compare(node, &state, &head, peer).await?;
            after_answer(node, name, record, forked, learned, source).await.map(Some)
        }
        Ok(Answer::Unknown) => Ok(None),
        Ok(_) => Ok(Some(refused(source, "another answer than was asked for"))),
        Err(error) => {
            tracing::debug!(%peer, %error, "no answer about a name");
            Ok(None)
        }
    }
}

/// Takes the record that came with an answer, once its head is known.
async fn after_answer(
    node: &Arc<Node>,
    name: LedgerId,
    record: Option<Bytes>,
    forked: bool,
    learned: Learned,
    source: Source,
) -> Result<Learned, Failure> {
    if let Some(bytes) = record.filter(|_| matches!(learned, Learned::News | Learned::Confirmed))
        && let Ok(record) = SignedRecord::read(bytes, name)
        && let Ok(Some(head)) = record.head(name)
    {
        keep_record(node, name, record, head).await?;
    }
    if learned == Learned::Confirmed || learned == Learned::News {
        let state = state_of(node, name).await?;
        if let Some(pin) = state.reader.pin() {
            confirm(node, name, pin.head().clone(), source).await?;
        }
    }
    Ok(if forked { Learned::Fork } else { learned })
}

/// Brings the whole history of a name here, up to the pinned head, from whoever has it.
///
/// # Errors
/// Exit 4 when nobody who is connected has it.
pub async fn whole_history(node: &Arc<Node>, name: LedgerId) -> Result<(), Failure> {
    for peer in node.names().line().peers(ASKED_MAX) {
        let mut state = state_of(node, name).await?;
        let Some(pin) = state.reader.pin() else { break };
        if state.kept.len > pin.head().index() {
            return Ok(());
        }
        // Asked as a newcomer, so that the answer is taken in from its beginning.
        state.reader = Reader::new(name, None);
        let question = Question::Head { name, have: None };
        if let Ok(Answer::Head { proof, .. }) = node.names().line().ask(peer, &question).await {
            replicate::fill(node, &state, *proof, peer).await?;
        }
    }
    let state = state_of(node, name).await?;
    if state.reader.pin().is_some_and(|pin| state.kept.len > pin.head().index()) {
        return Ok(());
    }
    let called = state.called();
    Err(Failure::new(Exit::NotFound, format!("nobody who is connected has all of {called}"))
        .hint(format!("its history comes with: shoal follow {called}")))
}

/// Goes over to the branch that the user chose: everything from the fork on is replaced.
///
/// # Errors
/// The store; a branch that is refused.
pub async fn adopt(
    node: &Arc<Node>,
    state: &State,
    entry: &Entry,
    proof: HeadProof,
    peer: PeerId,
) -> Result<(), Failure> {
    let mut probe = state.reader.clone();
    let chosen = probe.choose(&proof);
    chosen.map_err(|error| Failure::failed(format!("that branch is refused: {error}")))?;
    if state.kept.len == 0 {
        let fresh = state.clone();
        let change = move |book: &Book| {
            let mut state = book.state(fresh.name())?.unwrap_or(fresh);
            let chosen = state.reader.choose(&proof);
            chosen.map_err(|error| Failure::failed(format!("that branch is refused: {error}")))?;
            Ok(book.put_state(&state)?)
        };
        return node.names().change(change).await;
    }
    replicate::replace(node, state, entry.index(), proof, peer).await
}

/// Takes a head with its proof.
async fn proven(
    node: &Arc<Node>,
    state: &State,
    proof: HeadProof,
    peer: PeerId,
) -> Result<Learned, Failure> {
    let source = Source::Peer(peer);
    let mut probe = state.reader.clone();
    if state.reader.pin().is_some_and(|pin| *pin.head() == proof.head) {
        return Ok(Learned::Confirmed);
    }
    match probe.accept(&proof, now_ms()) {
        Ok(accepted) if state.is_whole() || state.kept.len > 0 => {
            replicate::take_in(node, state, proof, accepted.cut_off_from, peer).await
        }
        Ok(_) => take_pin(node, state.clone(), proof).await,
        Err(Refusal::Older) => Box::pin(compare(node, state, proof.head, source)).await,
        Err(Refusal::NotExtending) => diverged::compare(node, state, &proof, peer).await,
        Err(error) => Ok(refused(source, error)),
    }
}

/// A light reader's way: the pin alone is kept.
async fn take_pin(node: &Arc<Node>, fresh: State, proof: HeadProof) -> Result<Learned, Failure> {
    let change = move |book: &Book| {
        let mut state = book.state(fresh.name())?.unwrap_or(fresh);
        if state.reader.accept(&proof, now_ms()).is_err() {
            return Ok(Learned::Nothing);
        }
        book.put_state(&state)?;
        Ok(Learned::News)
    };
    node.names().change(change).await
}

/// A head that is not newer: it is of our history, or a fork.
async fn compare(
    node: &Arc<Node>,
    state: &State,
    head: Entry,
    source: Source,
) -> Result<Learned, Failure> {
    let (ours, name) = (state.clone(), state.name());
    let index = head.index();
    let found = node.names().ask(move |book| {
        let branch = book.branch(&ours);
        let pinned = ours.reader.pin().filter(|pin| pin.head().index() == index);
        Ok(match pinned {
            Some(pin) => Some(Evidence::of(pin.head().clone(), pin.chain())),
            None => Evidence::from_archive(&branch, index),
        })
    });
    let Some(ours) = found.await? else { return Ok(Learned::Nothing) };
    if ours.entry == head {
        return Ok(Learned::Nothing);
    }
    let fraud = Fraud::equivocation(ours, Evidence::of(head, &[]));
    let forked = witness(node, name, fraud.into_iter().collect()).await?;
    // Where the histories part is found by asking; and so is a signer that the entry alone does not show.
    if let Some(peer) = source.peer()
        && let Ok(Answer::Diverged { head, .. }) = {
            let have = state.reader.have();
            node.names().line().ask(peer, &Question::Head { name, have }).await
        }
        && let Learned::Fork = diverged::compare(node, state, &head, peer).await?
    {
        return Ok(Learned::Fork);
    }
    Ok(if forked { Learned::Fork } else { refused(source, "an entry at odds with what is known") })
}

/// Takes proofs of fraud; true if the name is forked by one of them that is new.
pub(super) async fn witness(
    node: &Arc<Node>,
    name: LedgerId,
    frauds: Vec<Fraud>,
) -> Result<bool, Failure> {
    if frauds.is_empty() {
        return Ok(false);
    }
    let store = node.store().clone();
    let change = move |book: &Book| {
        let mut state = book.state(name)?.unwrap_or_else(|| State::new(name, None));
        let mut news = false;
        for fraud in frauds {
            match state.reader.witness(fraud) {
                Ok(new) => news |= new,
                Err(error) => tracing::debug!(%error, "a proof of fraud proves nothing"),
            }
        }
        if news {
            book.put_state(&state)?;
            fork::line(&store, &state);
            tracing::warn!(name = %state.called(), "the name is forked");
        }
        Ok(news)
    };
    node.names().change(change).await
}

/// Notes that a source has the head that is pinned here.
async fn confirm(
    node: &Node,
    name: LedgerId,
    head: Entry,
    source: Source,
) -> Result<Learned, Failure> {
    let told = source.told();
    let change = move |book: &Book| {
        if let Some(mut state) = book.state(name)? {
            state.reader.confirm(&head, confirmed_until());
            state.confirmed(now_ms(), &told);
            book.put_state(&state)?;
        }
        Ok(Learned::Confirmed)
    };
    node.names().change(change).await
}

fn confirmed_until() -> u64 {
    now_ms() + TTL_SECONDS_DEFAULT * 1000
}

fn refused(source: Source, why: impl std::fmt::Display) -> Learned {
    Learned::Refused(format!("{}: {why}", source.told()))
}

/// Judges a head proof on its own, as a newcomer would.
fn newcomer(name: LedgerId, proof: &HeadProof) -> Result<Reader, Refusal> {
    let mut reader = Reader::new(name, None);
    reader.accept(proof, now_ms())?;
    Ok(reader)
}
