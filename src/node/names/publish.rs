//! Signing a new version: catch up, sign, store, then send.
//!
//! An honest machine never forks its name (`naming-ledger.md` section 3.6): before the first signature of every node start it asks
//! those whom it can reach what they know of the name. Where the store's marker says that it may be a copy
//! ([`super::machine`]), somebody must have answered. Entries of our own key that we have not got mean that another machine
//! uses the key, or that this store was set back: they are taken in, and this publication is refused
//! once, so that a person sees it. The new entry, its record and the reader that accepted it are one durable commit;
//! only then is anything sent.

use std::sync::Arc;

use shoal_dag::{Cid, path::CidPath};
use shoal_ledger::{
    Body, LedgerId, MESSAGE_BYTES_MAX, SecretKey, Status, Tip, entry::Update, writer::Writer,
};

use super::{
    announce,
    book::Book,
    content as kept, fork, keys,
    learn::extension,
    now_ms,
    resolve::race,
    spelling::Point,
    state::State,
    target,
    version::{self, Version},
};
use crate::{
    control::{
        protocol::{
            Add, Failure, Outcome, Response, Wait,
            name::{PublishSource, Published},
        },
        server::Responder,
    },
    exit::Exit,
    node::{Node, add, get},
};

/// How long a node that lives for one command waits until a record is with others.
const SENT_MAX: std::time::Duration = std::time::Duration::from_secs(5);

/// What is published.
struct Content {
    root: Cid,
    size: Option<u64>,
    files: Option<u64>,
    rolled_back_to: Option<u64>,
}

/// `publish` and `rollback`.
///
/// # Errors
/// Exit 12 without the key, 5 where others must be asked first, 8 when the name is forked.
pub async fn publish(
    node: &Arc<Node>,
    name: &[u8],
    source: PublishSource,
    message: Option<String>,
    force: bool,
    wait: Wait,
    out: &Responder,
) -> Result<Outcome, Failure> {
    let name = target::bare(node, name).await?;
    let message = message.filter(|message| !message.is_empty());
    check_message(message.as_deref())?;
    let seed = node.with_store(move |store| keys::seed(store, name)).await?;
    let content = content(node, name, source, wait, out).await?;
    let _one = node.names().publishing().lock().await;
    catch_up(node, name, force, out).await?;
    if let Some(published) = unchanged(node, name, &content).await? {
        return Ok(Outcome::Published(published));
    }
    let key = SecretKey::from_seed(&seed);
    let (state, version) = sign(node, name, key, seed, content, message).await?;
    kept::keep(node, name).await?;
    let (told, queued) = send(node, &state).await?;
    if !node.is_persistent() {
        let note = "no running peer serves this version; start one with: shoal seed";
        out.send(Response::Note(note.to_owned())).await?;
    }
    Ok(Outcome::Published(published(&state, &version, told, queued, false)))
}

fn check_message(message: Option<&str>) -> Result<(), Failure> {
    match message {
        Some(text) if text.len() > MESSAGE_BYTES_MAX => Err(Failure::usage(format!(
            "the message has {} bytes, {MESSAGE_BYTES_MAX} are possible",
            text.len()
        ))),
        _ => Ok(()),
    }
}

fn published(
    state: &State,
    version: &Version,
    told: u64,
    queued: bool,
    unchanged: bool,
) -> Published {
    Published {
        name: state.name().to_string(),
        version: version.number.unwrap_or(0),
        position: version.entry.position().to_string(),
        cid: version.root.to_string(),
        told,
        queued,
        unchanged,
    }
}

/// Brings what is to be published into the store, whole.
async fn content(
    node: &Arc<Node>,
    name: LedgerId,
    source: PublishSource,
    wait: Wait,
    out: &Responder,
) -> Result<Content, Failure> {
    match source {
        PublishSource::Path(path) => {
            let request = Add { preserve: true, ..Add::path(path) };
            let added = add::add_for(node, request, name, out).await?;
            let root = added.cid.parse().map_err(|_| Failure::failed("the add gave no CID"))?;
            let (size, files) = (Some(added.size), Some(added.files));
            Ok(Content { root, size, files, rolled_back_to: None })
        }
        PublishSource::Target(target) => {
            let path = target::follow(node, &target, wait, out).await?;
            let fetched = get::fetch_tree(node, &path, wait.into(), out).await?;
            let root = fetched.resolved.cid;
            Ok(Content { root, size: None, files: None, rolled_back_to: None })
        }
        PublishSource::Version(number) => {
            let state = node.names().known(name).await?;
            let asked = state.clone();
            let point = Point::Version(number);
            let found = node.names().ask(move |book| version::find(book, &asked, point)).await?;
            let found = found.ok_or_else(|| {
                Failure::new(Exit::NotFound, format!("{} has no version {number}", state.called()))
                    .hint(format!("see: shoal log {}", state.called()))
            })?;
            let path = CidPath { root: found.root, segments: Vec::new() };
            get::fetch_tree(node, &path, wait.into(), out).await?;
            let rolled_back_to = Some(found.entry.index());
            Ok(Content { root: found.root, size: None, files: None, rolled_back_to })
        }
    }
}

/// The newest version, where it has that content already.
async fn unchanged(
    node: &Arc<Node>,
    name: LedgerId,
    content: &Content,
) -> Result<Option<Published>, Failure> {
    let state = node.names().known(name).await?;
    let asked = state.clone();
    let newest = node.names().ask(move |book| version::newest(book, &asked)).await?;
    let same = newest.filter(|newest| newest.root == content.root);
    Ok(same.map(|version| published(&state, &version, 0, state.kept.unsent, true)))
}

/// Asks what others know of an own name before it is signed for.
async fn catch_up(
    node: &Arc<Node>,
    name: LedgerId,
    force: bool,
    out: &Responder,
) -> Result<(), Failure> {
    let state = node.names().known(name).await?;
    let marker = node.names().marker();
    let moved = state.kept.marker != Some(marker);
    if moved || !node.names().has_caught_up(name) {
        let asked = race::catch_up(node, &state, out).await?;
        if moved && asked.answered == 0 && !force {
            return Err(may_be_a_copy(&state));
        }
    }
    settle(node, name, force).await
}

/// Refuses while the name is forked or was signed for elsewhere; else notes that this copy is the newest.
async fn settle(node: &Arc<Node>, name: LedgerId, force: bool) -> Result<(), Failure> {
    let store = node.store().clone();
    let marker = node.names().marker();
    let settled = node.names().change(move |book| {
        let mut state = book.state(name)?.ok_or_else(|| super::unknown(&name.to_string()))?;
        if state.reader.status(now_ms()) == Status::Forked {
            return Err(forked(&store, &state));
        }
        let foreign = std::mem::take(&mut state.kept.foreign);
        state.kept.marker = Some(marker);
        book.put_state(&state)?;
        if foreign > 0 && !force { Err(used_elsewhere(&state, foreign)) } else { Ok(()) }
    });
    settled.await?;
    node.names().note_caught_up(name);
    Ok(())
}

fn may_be_a_copy(state: &State) -> Failure {
    Failure::new(
        Exit::TryAgain,
        format!(
            "{} was not signed for: since its last version the machine was started anew, or this store is a copy, \
             and nobody who keeps the name could be asked what they know",
            state.called()
        ),
    )
    .hint(
        "start or name a peer that follows it (--bootstrap) and publish again; \
         where no other copy exists, say --force: if one does, that forks the name",
    )
}

fn used_elsewhere(state: &State, entries: u64) -> Failure {
    let versions = state.kept.versions;
    Failure::new(
        Exit::TryAgain,
        format!(
            "another machine uses the key of {}, or this store was set back: {entries} of its entries were not here. \
             They are now: version {versions} is the newest",
            state.called()
        ),
    )
    .hint("look at it with shoal log; publish again to go on from there")
}

fn forked(store: &shoal_store::Store, state: &State) -> Failure {
    let at = fork::line(store, state).map(|line| line.position).unwrap_or_default();
    Failure::new(Exit::Forked, format!("{} is forked at {at}: nothing was signed", state.called()))
        .hint(format!("see: shoal resolve {}", state.called()))
}

/// Signs the next version and stores it with everything that follows from it, in one commit.
async fn sign(
    node: &Arc<Node>,
    name: LedgerId,
    key: SecretKey,
    seed: [u8; 32],
    content: Content,
    message: Option<String>,
) -> Result<(State, Version), Failure> {
    let marker = node.names().marker();
    let change = move |book: &Book| {
        let mut state = book.state(name)?.ok_or_else(|| super::unknown(&name.to_string()))?;
        let branch = book.branch(&state);
        let tip = Tip::from_archive(&branch).ok_or_else(|| {
            Failure::new(Exit::Corrupt, format!("the history of {name} is damaged"))
        })?;
        let mut writer = Writer::open(tip, 0);
        let mut update = Update::of_root(content.root.to_bytes());
        (update.message, update.size, update.files) = (message, content.size, content.files);
        update.rolled_back_to = content.rolled_back_to;
        let unstored = writer.sign(Body::Update(update), &[&key], now_ms()).map_err(refuse)?;
        let entry = unstored.to_store().clone();
        let proof = extension(writer.tip(), entry.clone());
        let accepted = state.reader.accept(&proof, entry.header().time_ms);
        accepted
            .map_err(|error| Failure::failed(format!("the new version is not valid: {error}")))?;
        state.kept.record =
            announce::record(&seed, &state, &content.root).map(|record| record.bytes().to_vec());
        (state.kept.unsent, state.kept.marker) = (true, Some(marker));
        book.append(&mut state, std::slice::from_ref(&entry))?;
        let sent = writer.stored(unstored).expect("it was signed last");
        let number = state.kept.versions;
        let version = Version { number: Some(number), entry: sent, root: content.root };
        Ok((state, version))
    };
    node.names().change(change).await
}

fn refuse(error: shoal_ledger::writer::WriteError) -> Failure {
    Failure::failed(format!("nothing was signed: {error}"))
}

/// Tells whoever can be reached; how many that are, and whether the DHT has yet to be told.
async fn send(node: &Arc<Node>, state: &State) -> Result<(u64, bool), Failure> {
    let name = state.name();
    let told = node.names().line().peers(usize::MAX).len() as u64;
    announce::announce(node, name).await?;
    announce::gossip(node, name).await?;
    if told > 0 && !node.is_persistent() {
        let _late = tokio::time::timeout(SENT_MAX, until_sent(node, name)).await;
    }
    let kept = node.names().ask(move |book| book.state(name)).await?;
    let queued = kept.is_some_and(|state| state.kept.unsent) && told == 0;
    Ok((told, queued))
}

/// Resolves when a record of the name is with others.
async fn until_sent(node: &Arc<Node>, name: LedgerId) {
    let mut changes = node.names().changes();
    loop {
        let state = node.names().ask(move |book| book.state(name)).await;
        if !state.is_ok_and(|state| state.is_some_and(|state| state.kept.unsent)) {
            return;
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}
