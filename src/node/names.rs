//! Names: what this node knows of ledgers, and what it signs, follows and answers.
//!
//! `shoal-ledger` decides what is valid; here it is kept, brought in from others and given out.
//!
//! - [`spelling`] what a person writes; [`target`] from there to a CID ([`dnslink`] from a domain); [`version`] which entry is meant.
//! - [`book`] and [`state`] what is kept; [`keys`], [`machine`], [`policy`] beside it.
//! - [`manage`] making and forgetting names; [`publish`] signing versions; [`resolve`] finding them.
//! - [`mod@line`] the way to other peers; [`learn`] what becomes of what they say; [`follow`] the worker
//!   that takes what comes; [`announce`] what is told; [`judge`] which records are kept for the DHT.
//! - [`retention`] which versions' content is pinned for names, [`content`] how it comes here.
//! - [`log`], [`diff`], [`checkout`], [`prove`] what is asked about their histories.
//!
//! Invariants: what was accepted never goes back, across restarts ([`state::State`] is written before
//! anything is told). An own entry is durable before anybody sees it. One change of a name at a time
//! ([`Names::change`]); nothing waits for the network while it holds that.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

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

pub mod announce;
pub mod book;
pub mod checkout;
pub mod content;
pub mod diff;
pub mod dnslink;
pub mod follow;
pub mod following;
pub mod fork;
pub mod judge;
pub mod keys;
#[cfg(test)]
mod lab;
pub mod learn;
pub mod line;
pub mod log;
pub mod machine;
pub mod manage;
pub mod policy;
pub mod prove;
pub mod publish;
pub mod resolve;
pub mod retention;
pub mod spelling;
pub mod state;
pub mod target;
pub mod version;

use book::{Book, BookError};
use state::State;

/// Reasons for refusals that are remembered, of all names together.
const REFUSED_MAX: usize = 256;

/// The names of one node.
#[derive(Debug)]
pub struct Names {
    book: Book,
    marker: [u8; 32],
    /// One change at a time: of any name, since none takes longer than a commit.
    changing: tokio::sync::Mutex<()>,
    /// One at a time pins and unpins roots for names: a root may be of several.
    keeping: tokio::sync::Mutex<()>,
    /// Own names that caught up since this node started.
    caught_up: Mutex<HashSet<LedgerId>>,
    /// One publication at a time.
    publishing: tokio::sync::Mutex<()>,
    /// Counts changes, for those who wait for one.
    changes: watch::Sender<u64>,
    line: Arc<line::Line>,
    /// What was refused lately of what came unasked, by name.
    refused: Mutex<VecDeque<(LedgerId, String)>>,
}

impl Names {
    /// The names in a store.
    pub fn new(store: &Store) -> Self {
        Self {
            book: Book::new(store.clone()),
            marker: machine::marker(&store.dir()),
            changing: tokio::sync::Mutex::default(),
            keeping: tokio::sync::Mutex::default(),
            caught_up: Mutex::default(),
            publishing: tokio::sync::Mutex::default(),
            changes: watch::Sender::new(0),
            line: Arc::default(),
            refused: Mutex::default(),
        }
    }

    /// What is kept, for questions on the blocking pool.
    pub const fn book(&self) -> &Book {
        &self.book
    }

    /// The way to other peers.
    pub const fn line(&self) -> &Arc<line::Line> {
        &self.line
    }

    /// This machine with this store.
    pub const fn marker(&self) -> [u8; 32] {
        self.marker
    }

    /// Notes why something was refused, to be told by `resolve -v`.
    pub fn note_refused(&self, name: LedgerId, why: &str) {
        let mut refused = self.refused.lock();
        if refused.iter().any(|(of, known)| *of == name && known == why) {
            return;
        }
        if refused.len() >= REFUSED_MAX {
            refused.pop_front();
        }
        refused.push_back((name, why.to_owned()));
    }

    /// What was refused lately of that name.
    pub fn refused(&self, name: LedgerId) -> Vec<String> {
        let refused = self.refused.lock();
        refused.iter().filter(|(of, _)| *of == name).map(|(_, why)| why.clone()).collect()
    }

    /// Held from catching up to storing what was signed.
    pub const fn publishing(&self) -> &tokio::sync::Mutex<()> {
        &self.publishing
    }

    /// Whether others were asked about an own name since this node started.
    pub fn has_caught_up(&self, name: LedgerId) -> bool {
        self.caught_up.lock().contains(&name)
    }

    /// Notes that they were.
    pub fn note_caught_up(&self, name: LedgerId) {
        self.caught_up.lock().insert(name);
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
        NameRequest::Accept { name, branch, wait } => {
            following::accept(node, &name, branch.as_deref(), wait, out).await
        }
        NameRequest::Publish { name, source, message, force, wait } => {
            publish::publish(node, &name, source, message, force, wait, out).await
        }
        NameRequest::Resolve { target, offline, wait } => {
            following::resolve(node, &target, offline, wait, out).await
        }
        NameRequest::Follow { name, petname, keep, stop, wait } => {
            let follow = following::Follow { name, petname, keep, stop };
            following::follow(node, follow, wait, out).await
        }
        NameRequest::Watch { target, seen, wait } => {
            following::watch(node, &target, seen.as_deref(), wait, out).await
        }
        NameRequest::Diff { from, to, wait } => diff::diff(node, &from, &to, wait, out).await,
        NameRequest::Checkout { target, out: directory, force, umask, wait } => {
            let request = checkout::Checkout { target, out: directory, force, umask, wait };
            checkout::checkout(node, request, out).await
        }
        NameRequest::Log { target, limit, wait } => log::log(node, &target, limit, wait, out).await,
        NameRequest::Prove { target, wait } => prove::prove(node, &target, wait, out).await,
    }
}

/// The time now, Unix milliseconds.
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
