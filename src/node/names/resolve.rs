//! Finding out what a name stands for now.
//!
//! What is here answers at once where nothing better can come in the time of a read; else others are asked, all ways at
//! the same time ([`race`]). The answer is a version of the reader's history: what is not accepted is told with its reason,
//! and never shown as the name's content.

use std::sync::Arc;

use shoal_ledger::{LedgerId, Status, tree::prove};
use shoal_store::Store;

use super::{
    fork, learn, now_ms,
    spelling::{Point, Spelling},
    state::State,
    target,
    version::{self, Version},
};
use crate::{
    control::{
        protocol::{
            Failure, Wait,
            name::{Resolved, Standing},
        },
        server::Responder,
    },
    exit::Exit,
    node::Node,
};

pub mod race;

use race::Asked;

/// How long a confirmation makes further questions needless for a verb that only reads.
const LATELY_MS: u64 = 60_000;

/// Entries of a history that is fetched to look up a version of a name that is not followed: 40 MB of them.
const HISTORY_MAX: u64 = 100_000;

/// Whom to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Only what is kept here.
    Offline,
    /// Others too, unless what is here is as good.
    Near,
    /// Others in any case.
    Fresh,
    /// The same, and the whole history is brought here if only the head of it is.
    Whole,
}

/// A version of a name.
#[derive(Debug, Clone)]
pub struct Found {
    /// The name.
    pub state: State,
    /// The version.
    pub version: Version,
    /// What was refused or held meanwhile, and why.
    pub refused: Vec<String>,
}

impl Found {
    /// What whoever reads it must be told.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.state.reader.status(now_ms()) == Status::Forked {
            notes.push(format!(
                "{} is forked: this is the last version that both histories share (see: shoal resolve)",
                self.state.called()
            ));
        }
        notes
    }

    /// As it travels to the asking process, with the path below the content.
    pub fn told(&self, store: &Store, segments: &[Vec<u8>]) -> Resolved {
        let (state, entry) = (&self.state, &self.version.entry);
        let mut path = format!("/ipfs/{}", self.version.root).into_bytes();
        for segment in segments {
            path.push(b'/');
            path.extend_from_slice(segment);
        }
        let checkpoint = state.reader.pin().map(|pin| pin.checkpoint().to_string());
        let confirmed = state.kept.confirmed_ms;
        Resolved {
            name: state.name().to_string(),
            petname: state.kept.petname.clone(),
            path,
            cid: self.version.root.to_string(),
            version: self.version.number,
            position: entry.position().to_string(),
            link: format!("shoal://{}{}", state.name(), checkpoint.unwrap_or_default()),
            time_ms: entry.header().time_ms,
            standing: standing(state),
            confirmed_ms: (confirmed > 0).then(|| now_ms().saturating_sub(confirmed)),
            sources: state.kept.confirmed_by.clone(),
            refused: self.refused.clone(),
            fork: fork::line(store, state),
        }
    }
}

fn standing(state: &State) -> Standing {
    match state.reader.status(now_ms()) {
        Status::Forked => Standing::Forked,
        Status::Superseded => Standing::Superseded,
        Status::Tombstoned => Standing::Ended,
        _ if state.kept.own => Standing::Own,
        Status::Ok => Standing::Ok,
        Status::Unknown | Status::Stale => Standing::Stale,
    }
}

/// Finds the version that is meant.
///
/// # Errors
/// Exit 4 when nobody knows the name or the version.
pub async fn find(
    node: &Arc<Node>,
    spelling: &Spelling,
    how: How,
    wait: Wait,
    out: &Responder,
) -> Result<Found, Failure> {
    let name = target::ledger(node, spelling).await?;
    let mut refused = node.names().refused(name);
    let kept = node.names().ask(move |book| book.state(name)).await?;
    let fresh = || State::new(name, spelling.checkpoint);
    let before = kept.unwrap_or_else(fresh);
    let here = stored(node, &before, spelling.point).await?;
    let asks = match how {
        How::Offline => false,
        How::Near => !suffices(node, &before, here.as_ref(), spelling.point),
        How::Fresh | How::Whole => true,
    };
    let mut asked = Asked::default();
    if asks {
        asked = race::ask(node, before.clone(), here.is_some(), wait, out).await?;
        refused.append(&mut asked.refused);
    }
    let state = node.names().ask(move |book| book.state(name)).await?.unwrap_or(before);
    check_link(node, &state, spelling).await?;
    let counted = spelling.point != Point::Newest || how == How::Whole;
    if state.kept.len == 0 && counted && asks {
        history(node, &state).await?;
    }
    let state = node.names().ask(move |book| book.state(name)).await?.unwrap_or(state);
    match stored(node, &state, spelling.point).await? {
        Some(version) => Ok(Found { state, version, refused }),
        None if state.reader.pin().is_none() => Err(asked.nobody(&state, how)),
        None => Err(no_version(&state, spelling.point)),
    }
}

async fn stored(node: &Node, state: &State, point: Point) -> Result<Option<Version>, Failure> {
    let state = state.clone();
    node.names().ask(move |book| version::find(book, &state, point)).await
}

/// Whether what is here is as good as anything that others could say within the time of a read.
fn suffices(node: &Node, state: &State, here: Option<&Version>, point: Point) -> bool {
    let Some(_) = here else { return false };
    let lately = now_ms().saturating_sub(state.kept.confirmed_ms) < LATELY_MS;
    // A number stands for one version for ever, and the past does not change.
    let settled = matches!(point, Point::Version(_));
    settled || state.kept.own || lately || (state.kept.followed && node.is_persistent())
}

/// A link says what its maker had seen: a history that lacks it is an older or another one. Until a head was
/// accepted the reader checks that itself.
async fn check_link(node: &Node, state: &State, spelling: &Spelling) -> Result<(), Failure> {
    let (Some(checkpoint), Some(pin)) = (spelling.checkpoint, state.reader.pin()) else {
        return Ok(());
    };
    let (name, at) = (state.called(), checkpoint.position);
    if pin.head().position() < at {
        return Err(Failure::new(
            Exit::TryAgain,
            format!("the link was made at {at} of {name}, and nobody who was asked has that yet"),
        ));
    }
    let root = if pin.head().position() == at {
        Some(pin.peaks().root())
    } else {
        let (state, size) = (state.clone(), at.index.as_u64() + 1);
        node.names().ask(move |book| Ok(prove::root(&book.branch(&state), size))).await?
    };
    match root {
        Some(root) if !root.as_bytes().starts_with(&checkpoint.root) => Err(Failure::new(
            Exit::Forked,
            format!("the link was made in another history of {name}: at {at} its hash is another"),
        )
        .hint("ask whoever gave the link; two signed histories of a name are a fork")),
        _ => Ok(()),
    }
}

/// Fetches the whole history of a name of which only the head is known, since a version by number or time is
/// counted from its beginning.
async fn history(node: &Arc<Node>, state: &State) -> Result<(), Failure> {
    let Some(pin) = state.reader.pin() else { return Ok(()) };
    if pin.head().index() >= HISTORY_MAX {
        return Err(Failure::failed(format!(
            "{} has {} entries: too many to look a version up in",
            state.called(),
            pin.head().index() + 1
        ))
        .hint("follow it first: shoal follow NAME"));
    }
    learn::whole_history(node, state.name()).await
}

/// Searches the DHT for a name outside of a request: records and keepers.
///
/// # Errors
/// The store.
pub async fn search(node: &Arc<Node>, name: LedgerId) -> Result<(), Failure> {
    let state = learn::state_of(node, name).await?;
    race::search(node, &state, &mut Asked::default(), None).await
}

fn no_version(state: &State, point: Point) -> Failure {
    let name = state.called();
    let message = match point {
        Point::Newest => format!("{name} has no version yet"),
        Point::Version(number) => format!("{name} has no version {number}"),
        Point::Time(_) => format!("{name} had no version at that time"),
    };
    Failure::new(Exit::NotFound, message).hint(format!("see: shoal log {name}"))
}
