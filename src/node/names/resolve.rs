//! Finding out what a name stands for now.

use std::sync::Arc;

use shoal_ledger::Status;
use shoal_store::Store;

use super::{
    fork, now_ms,
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

/// Whom to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Only what is kept here.
    Offline,
    /// Others too, unless what is here cannot be improved upon.
    Fresh,
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
    let _ = (how, wait, out);
    let name = target::ledger(node, spelling).await?;
    let state = node.names().known(name).await?;
    let (asked, point) = (state.clone(), spelling.point);
    let found = node.names().ask(move |book| version::find(book, &asked, point)).await?;
    let version = found.ok_or_else(|| no_version(&state, point))?;
    Ok(Found { state, version, refused: Vec::new() })
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
