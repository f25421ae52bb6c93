//! `log`: the versions of a name, newest first; with a path those in which what it names changed.
//!
//! Versions are read from the stored history in parts and told as they are read. With a path, each version
//! is compared with the one before, by CID ([`history`]): nothing is read below a directory that is the
//! same. Content of old versions may be kept by nobody: such a version is passed over, which is told.

use std::sync::Arc;

use shoal_dag::Cid;
use shoal_ledger::{Body, Entry, chain::Archive};

use super::{
    book::{Book, BookError},
    resolve::{self, Found, How},
    state::State,
    target,
};
use crate::{
    control::{
        protocol::{Failure, LISTED_BATCH_MAX, Outcome, Response, Wait, name::VersionLine},
        server::Responder,
    },
    exit::Exit,
    node::Node,
};

mod history;
#[cfg(test)]
mod tests;

use history::History;

/// Versions read from the book at once.
const AT_ONCE: u64 = 256;

/// A version, as far as the log tells of it.
#[derive(Debug, Clone)]
struct Listed {
    line: VersionLine,
    /// Its content; none where that is no CID.
    root: Option<Cid>,
}

/// Tells the versions of a name.
///
/// # Errors
/// Exit 4 for a name or version that is not known, or where only the newest one is.
pub async fn log(
    node: &Arc<Node>,
    text: &[u8],
    limit: Option<u64>,
    wait: Wait,
    out: &Responder,
) -> Result<Outcome, Failure> {
    let spelling = target::parse(text)?;
    let found = resolve::find(node, &spelling, How::Whole, wait, out).await?;
    for note in found.notes() {
        out.send(Response::Note(note)).await?;
    }
    let Some(newest) = found.version.number else { return Err(history_absent(&found)) };
    let mut lines = Lines { batch: Vec::new(), left: limit.unwrap_or(u64::MAX), out };
    let mut history = History::new(node, spelling.segments, wait, out);
    let mut next = newest;
    while next > 0 && lines.left > 0 {
        let state = found.state.clone();
        let part = node.names().ask(move |book| part(book, &state, next)).await?;
        next = next.saturating_sub(AT_ONCE);
        for listed in part {
            if let Some(line) = history.changed(listed).await? {
                lines.push(line).await?;
            }
            if lines.left == 0 {
                break;
            }
        }
        lines.send().await?;
    }
    if lines.left > 0
        && let Some(line) = history.first()
    {
        lines.push(line).await?;
    }
    lines.send().await?;
    if let Some(note) = history.note() {
        out.send(Response::Note(note)).await?;
    }
    Ok(Outcome::Nothing)
}

fn history_absent(found: &Found) -> Failure {
    let name = found.state.called();
    Failure::new(Exit::NotFound, format!("of {name} only the newest version is known here"))
        .hint(format!("its history comes with: shoal follow {name}"))
}

/// Lines on their way to the asking process.
struct Lines<'a> {
    batch: Vec<VersionLine>,
    /// How many more are asked for.
    left: u64,
    out: &'a Responder,
}

impl Lines<'_> {
    async fn push(&mut self, line: VersionLine) -> Result<(), Failure> {
        self.left = self.left.saturating_sub(1);
        self.batch.push(line);
        if self.batch.len() >= LISTED_BATCH_MAX { self.send().await } else { Ok(()) }
    }

    async fn send(&mut self) -> Result<(), Failure> {
        if self.batch.is_empty() {
            return Ok(());
        }
        Ok(self.out.send(Response::Versions(std::mem::take(&mut self.batch))).await?)
    }
}

/// Versions from that one down.
fn part(book: &Book, state: &State, newest: u64) -> Result<Vec<Listed>, BookError> {
    let branch = book.branch(state);
    let damaged = || BookError::Damaged(state.name());
    let versions = (newest.saturating_sub(AT_ONCE) + 1..=newest).rev();
    let listed = versions.map(|version| {
        let index = book.index_of(state.name(), version)?.ok_or_else(damaged)?;
        let entry = branch.entry(index).ok_or_else(damaged)?;
        listed(book, state, version, &entry)?.ok_or_else(damaged)
    });
    listed.collect()
}

/// What is told of a version; none for an entry that brings none.
fn listed(
    book: &Book,
    state: &State,
    version: u64,
    entry: &Entry,
) -> Result<Option<Listed>, BookError> {
    let Body::Update(update) = entry.body() else { return Ok(None) };
    let root = update.root_cid();
    let rolled_back_to = match update.rolled_back_to {
        Some(index) => book.version_at(state, index)?,
        None => None,
    };
    let line = VersionLine {
        version,
        position: entry.position().to_string(),
        cid: root.map(|root| root.to_string()),
        time_ms: entry.header().time_ms,
        message: update.message.clone().unwrap_or_default(),
        rolled_back_to,
        kept: root.is_some_and(|root| book.store().is_pinned(&root)),
    };
    Ok(Some(Listed { line, root }))
}
