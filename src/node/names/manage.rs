//! Making, listing, forgetting, exporting and importing names.
//!
//! A new name is a fresh key and a genesis entry that commits to a recovery key, of which only the hash is ever
//! here. The key is synced before the genesis is stored, and both before the name is told.

use std::sync::Arc;

use shoal_ledger::{
    Body, Entry, Epoch, Hash, Index, LedgerId, Position, SecretKey,
    chain::Chain,
    entry::{Draft, Genesis, Header, KeySet},
    head,
    tree::EMPTY_ROOT,
};

use super::{
    announce, book::Book, dnslink, keys, now_ms, retention, spelling, state::State, target, version,
};
use crate::{
    control::{
        protocol::{Failure, LISTED_BATCH_MAX, Outcome, Response, name::NameLine},
        server::Responder,
    },
    exit::Exit,
    node::Node,
};

/// `name new`.
///
/// # Errors
/// Exit 2 for a petname that is none, 1 for one that is taken.
pub async fn make(
    node: &Arc<Node>,
    petname: String,
    recovery: [u8; 32],
) -> Result<Outcome, Failure> {
    spelling::check_petname(&petname)?;
    let (store, marker) = (node.store().clone(), node.names().marker());
    let called = petname.clone();
    let name = node.names().change(move |book| {
        check_free(book, &called)?;
        let seed: [u8; 32] = rand::random();
        let name = keys::keep(&store, &seed)?;
        let genesis = genesis(&SecretKey::from_seed(&seed), Hash::from_bytes(recovery));
        let mut state = State::new(name, None);
        state.kept.own = true;
        state.kept.petname = Some(called);
        state.kept.marker = Some(marker);
        state.kept.unsent = true;
        begin(book, &mut state, genesis)?;
        Ok(name)
    });
    let name = name.await?;
    node.names().note_caught_up(name);
    Ok(Outcome::NameMade { name: name.to_string(), petname })
}

fn genesis(key: &SecretKey, recovery: Hash) -> Entry {
    let keys = KeySet { writers: vec![key.public()], recovery: vec![recovery], threshold: 1 };
    let body = Body::Genesis(Genesis { nickname: None, nonce: rand::random(), policy: None, keys });
    let header = Header {
        ledger: key.public().into(),
        position: Position {
            epoch: Epoch::default(),
            index: Index::new(0).expect("0 is an index"),
        },
        time_ms: now_ms(),
        links: None,
        history: EMPTY_ROOT,
        signer: 0,
    };
    Draft { header, body }.sign(&[key]).expect("a genesis of one key is an entry")
}

/// Stores the first entry of an own name.
fn begin(book: &Book, state: &mut State, genesis: Entry) -> Result<(), Failure> {
    let chain = Chain::begin(genesis.clone())
        .map_err(|error| Failure::failed(format!("the new name is not valid: {error}")))?;
    let proof = head::prove(&chain, None).expect("a chain of one entry proves its head");
    state
        .reader
        .accept(&proof, now_ms())
        .map_err(|error| Failure::failed(format!("the new name is not accepted: {error}")))?;
    Ok(book.append(state, &[genesis])?)
}

fn check_free(book: &Book, petname: &str) -> Result<(), Failure> {
    match book.named(petname)? {
        None => Ok(()),
        Some(name) => Err(Failure::failed(format!("{petname} is {name} already"))
            .hint("choose another petname, or forget that one with: shoal name rm")),
    }
}

/// `name ls`.
///
/// # Errors
/// The index.
pub async fn list(node: &Arc<Node>, out: &Responder) -> Result<Outcome, Failure> {
    let lines = node.names().ask(|book| {
        let states = book.names()?.into_iter().filter_map(|name| book.state(name).transpose());
        states
            .map(|state| state.and_then(|state| line(book, &state)))
            .collect::<Result<Vec<_>, _>>()
    });
    let mut lines = lines.await?;
    lines.sort_by(|a, b| {
        (&a.petname.is_none(), &a.petname, &a.name).cmp(&(
            &b.petname.is_none(),
            &b.petname,
            &b.name,
        ))
    });
    for part in lines.chunks(LISTED_BATCH_MAX) {
        out.send(Response::Names(part.to_vec())).await?;
    }
    Ok(Outcome::Nothing)
}

fn line(book: &Book, state: &State) -> Result<NameLine, super::BookError> {
    let newest = version::newest(book, state)?;
    Ok(NameLine {
        name: state.name().to_string(),
        petname: state.kept.petname.clone(),
        own: state.kept.own,
        followed: state.kept.followed,
        version: newest.as_ref().and_then(|version| version.number),
        cid: newest.map(|version| version.root.to_string()),
        keep: retention::policy(state).to_string(),
        forked: !state.reader.frauds().is_empty()
            && state.reader.status(now_ms()) == shoal_ledger::Status::Forked,
    })
}

/// `name rm`.
///
/// # Errors
/// Exit 12 for an own name without `force`, 4 for one that is not known.
pub async fn remove(node: &Arc<Node>, name: &[u8], force: bool) -> Result<Outcome, Failure> {
    if let spelling::Which::Domain(domain) = target::parse(name)?.which {
        let name = dnslink::forget(node, &domain).await?;
        return Ok(Outcome::NameRemoved { name: name.to_string() });
    }
    let name = target::bare(node, name).await?;
    let state = node.names().known(name).await?;
    if state.kept.own && !force {
        return Err(Failure::new(
            Exit::NotAllowed,
            format!("{} is our own: its key would be gone for ever", state.called()),
        )
        .hint("export it first with: shoal name export; then say --force"));
    }
    // Before it is forgotten: afterwards nobody would know whose pins they are.
    announce::withdraw(node, name).await;
    retention::release(node, name).await?;
    let store = node.store().clone();
    node.names()
        .change(move |book| {
            book.remove(&state)?;
            if state.kept.own { keys::delete(&store, name) } else { Ok(()) }
        })
        .await?;
    Ok(Outcome::NameRemoved { name: name.to_string() })
}

/// `name export`.
///
/// # Errors
/// Exit 12 when the key is not here.
pub async fn export(node: &Arc<Node>, name: &[u8]) -> Result<Outcome, Failure> {
    let name = target::bare(node, name).await?;
    let seed = node.with_store(move |store| keys::seed(store, name)).await?;
    Ok(Outcome::NameKey { name: name.to_string(), key: keys::to_protobuf(&seed) })
}

/// `name import`. What others know of the name is fetched before the first signature.
///
/// # Errors
/// Exit 2 for bytes that are no key, 1 for a petname that is taken.
pub async fn import(node: &Arc<Node>, petname: String, key: &[u8]) -> Result<Outcome, Failure> {
    spelling::check_petname(&petname)?;
    let seed = keys::from_protobuf(key)?;
    let (store, called) = (node.store().clone(), petname.clone());
    let name = node.names().change(move |book| {
        let name = LedgerId::from(SecretKey::from_seed(&seed).public());
        if book.named(&called)?.is_some_and(|known| known != name) {
            check_free(book, &called)?;
        }
        let mut state = book.state(name)?.unwrap_or_else(|| State::new(name, None));
        keys::keep(&store, &seed)?;
        state.kept.own = true;
        state.kept.petname = Some(called);
        state.kept.marker = None;
        book.put_state(&state)?;
        Ok(name)
    });
    let name = name.await?;
    Ok(Outcome::NameMade { name: name.to_string(), petname })
}
