//! Names: what this node knows of ledgers, and what it signs, follows and answers.
//!
//! `shoal-ledger` decides what is valid; here it is kept, brought in from others and given out.
//!
//! - [`spelling`] what a person writes; [`target`] from there to a CID; [`version`] which entry is meant.
//! - [`book`] and [`state`] what is kept; [`keys`], [`machine`], [`policy`] beside it.
//! - [`manage`] making and forgetting names.
//!
//! Invariants: what was accepted never goes back, across restarts ([`state::State`] is written before
//! anything is told). An own entry is durable before anybody sees it. One change of a name at a time
//! ([`Names::change`]); nothing waits for the network while it holds that.

use std::{collections::HashSet, sync::Arc};

use parking_lot::Mutex;
use shoal_ledger::LedgerId;
use shoal_store::Store;
use tokio::sync::watch;

use super::{Node, blocking};
use crate::{
    control::{
        protocol::{Failure, Outcome, name::NameRequest},
        server::Responder,
    },
    exit::Exit,
};

pub mod book;
pub mod fork;
pub mod keys;
pub mod machine;
pub mod manage;
pub mod policy;
pub mod resolve;
pub mod spelling;
pub mod state;
pub mod target;
pub mod version;

use book::{Book, BookError};
use state::State;

/// The names of one node.
#[derive(Debug)]
pub struct Names {
    book: Book,
    marker: [u8; 32],
    /// One change at a time: of any name, since none takes longer than a commit.
    changing: tokio::sync::Mutex<()>,
    /// Own names that caught up since this node started.
    caught_up: Mutex<HashSet<LedgerId>>,
    /// Counts changes, for those who wait for one.
    changes: watch::Sender<u64>,
}

impl Names {
    /// The names in a store.
    pub fn new(store: &Store) -> Self {
        Self {
            book: Book::new(store.clone()),
            marker: machine::marker(&store.dir()),
            changing: tokio::sync::Mutex::default(),
            caught_up: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// What is kept, for questions on the blocking pool.
    pub const fn book(&self) -> &Book {
        &self.book
    }

    /// This machine with this store.
    pub const fn marker(&self) -> [u8; 32] {
        self.marker
    }

    /// Told after every change of any name.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Asks the book.
    ///
    /// # Errors
    /// What `work` says.
    pub async fn ask<T, F>(&self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Book) -> Result<T, BookError> + Send + 'static,
    {
        let book = self.book.clone();
        Ok(blocking(move || work(&book)).await?)
    }

    /// Changes the book, one at a time, and tells those who wait for changes.
    ///
    /// # Errors
    /// What `work` says.
    pub async fn change<T, F>(&self, work: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Book) -> Result<T, Failure> + Send + 'static,
    {
        let _one = self.changing.lock().await;
        let book = self.book.clone();
        let changed = blocking(move || work(&book)).await;
        self.changes.send_modify(|count| *count += 1);
        changed
    }

    /// What is kept of a name; exit 4 when nothing is.
    ///
    /// # Errors
    /// As said.
    pub async fn known(&self, name: LedgerId) -> Result<State, Failure> {
        let state = self.ask(move |book| book.state(name)).await?;
        state.ok_or_else(|| unknown(&name.to_string()))
    }
}

/// Nothing is known of a name.
pub fn unknown(name: &str) -> Failure {
    Failure::new(Exit::NotFound, format!("{name} is not known here"))
        .hint("list the names with: shoal name ls")
}

impl From<BookError> for Failure {
    fn from(error: BookError) -> Self {
        match error {
            BookError::Read(error) => error.into(),
            BookError::Write(error) => error.into(),
            BookError::Damaged(_) => Self::new(Exit::Corrupt, error.to_string())
                .hint("a name that is not our own can be forgotten and followed again"),
        }
    }
}

/// Answers a request about names.
///
/// # Errors
/// As told to the user.
pub async fn handle(
    node: &Arc<Node>,
    request: NameRequest,
    out: &Responder,
) -> Result<Outcome, Failure> {
    match request {
        NameRequest::New { petname, recovery } => manage::make(node, petname, recovery).await,
        NameRequest::List => manage::list(node, out).await,
        NameRequest::Remove { name, force } => manage::remove(node, &name, force).await,
        NameRequest::Export { name } => manage::export(node, &name).await,
        NameRequest::Import { petname, key } => manage::import(node, petname, &key).await,
        _ => Err(Failure::failed("not here yet")),
    }
}

/// The time now, Unix milliseconds.
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
