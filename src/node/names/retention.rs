//! Which versions' content is kept: pins that belong to names.
//!
//! A name's [`Policy`] says which versions' roots are to be pinned ([`plan`]). [`apply`] pins those whose
//! content is here and lets go of what the policy keeps no more; what is not here is fetched by whoever
//! follows the name ([`missing`]). Which pins are a name's is written down ([`kept`]), so that a pin of the
//! user's own is never taken away, whether he made it before or later.
//!
//! Invariants: nothing is let go of before the newest version's pin is durable, nor while the name is
//! forked. A pin that the user removed is not made again. Entries are never dropped here.

use std::{collections::HashSet, sync::Arc};

use shoal_dag::Cid;
use shoal_ledger::{Body, Entry, EntryId, LedgerId, Status, chain::Archive};
use shoal_store::{Store, WriteError};

use super::{
    book::{Book, BookError, Branch},
    now_ms,
    policy::{FOLLOWED_DEFAULT, OWN_DEFAULT, Policy},
    state::State,
};
use crate::{
    control::protocol::Failure,
    node::{
        Node, pin,
        sharing::{self, unshare},
    },
};

mod kept;
#[cfg(test)]
mod tests;

use kept::Kept;
pub use kept::{claim, disown};

/// What a policy says of a name's versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Versions whose content is to be kept, newest first. Of a policy of `all` those that are known to
    /// be settled are left out.
    pub keep: Vec<(u64, Cid)>,
    /// Roots that are kept for the name and need not be.
    pub let_go: Vec<Cid>,
}

/// What [`apply`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Roots pinned.
    pub pinned: u64,
    /// Roots whose content is not whole here.
    pub missing: u64,
    /// Roots let go of.
    pub let_go: u64,
}

/// How a root stands that is to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    /// It is pinned, by this call or before.
    Pinned { now: bool },
    /// The user took the pin away.
    TakenAway,
    /// Its content is not whole here.
    Missing,
}

/// The policy of a name.
pub fn policy(state: &State) -> Policy {
    let default = if state.kept.own { OWN_DEFAULT } else { FOLLOWED_DEFAULT };
    state.kept.keep.parse().unwrap_or(default)
}

/// Which roots the policy of a name keeps, and which it lets go. A name that is neither our own nor
/// followed keeps what it has: [`release`] lets that go.
///
/// # Errors
/// The book.
pub fn plan(book: &Book, state: &State) -> Result<Plan, BookError> {
    let (policy, name) = (policy(state), state.name());
    let Some(serves) = state.reader.serves().filter(|_| state.is_whole()) else {
        return Ok(Plan::default());
    };
    let Some(newest) = book.version_at(state, serves)? else { return Ok(Plan::default()) };
    let after = if policy == Policy::All { settled(book, state)? } else { 0 };
    let mut versions = Versions::new(book, state, newest, after);
    let keeps = policy.keeps(versions.by_ref());
    versions.failed.map_or(Ok(()), Err)?;
    let chosen = versions.seen.into_iter().filter(|(version, _)| keeps.contains(version));
    let keep: Vec<(u64, Cid)> = chosen.collect();
    if policy == Policy::All || state.reader.status(now_ms()) == Status::Forked {
        return Ok(Plan { keep, let_go: Vec::new() });
    }
    let roots: HashSet<_> = keep.iter().map(|(_, root)| *root.hash()).collect();
    let mut let_go = kept::of_name(book.store(), name)?;
    let_go.retain(|root| !roots.contains(root.hash()));
    Ok(Plan { keep, let_go })
}

/// The versions of a name from one down, read as they are asked for.
struct Versions<'a> {
    book: &'a Book,
    branch: Branch,
    name: LedgerId,
    next: u64,
    after: u64,
    seen: Vec<(u64, Cid)>,
    failed: Option<BookError>,
}

impl<'a> Versions<'a> {
    fn new(book: &'a Book, state: &State, newest: u64, after: u64) -> Self {
        let (branch, name) = (book.branch(state), state.name());
        Self { book, branch, name, next: newest, after, seen: Vec::new(), failed: None }
    }

    /// The version's time; `None` where it has no content that anybody could fetch.
    fn read(&mut self, version: u64) -> Result<Option<u64>, BookError> {
        let entry = entry_of(self.book, &self.branch, self.name, version)?;
        let Body::Update(update) = entry.body() else { return Err(BookError::Damaged(self.name)) };
        let Some(root) = update.root_cid() else { return Ok(None) };
        self.seen.push((version, root));
        Ok(Some(entry.header().time_ms))
    }
}

impl Iterator for Versions<'_> {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<Self::Item> {
        while self.next > self.after && self.failed.is_none() {
            let version = self.next;
            self.next -= 1;
            match self.read(version) {
                Ok(Some(time_ms)) => return Some((version, time_ms)),
                Ok(None) => {}
                Err(error) => self.failed = Some(error),
            }
        }
        None
    }
}

fn entry_of(
    book: &Book,
    branch: &Branch,
    name: LedgerId,
    version: u64,
) -> Result<Entry, BookError> {
    let index = book.index_of(name, version)?.ok_or(BookError::Damaged(name))?;
    branch.entry(index).ok_or(BookError::Damaged(name))
}

/// The version up to which everything was settled under a policy of `all`; 0 where that is not known,
/// or where a recovery has cut it off.
fn settled(book: &Book, state: &State) -> Result<u64, BookError> {
    let name = state.name();
    let Some((version, id)) = kept::settled(book.store(), name)? else { return Ok(0) };
    if version == 0 || version > state.kept.versions {
        return Ok(0);
    }
    let entry = entry_of(book, &book.branch(state), name, version)?;
    Ok(if entry.id() == id { version } else { 0 })
}

/// Pins what the policy of a name keeps, as far as its content is here, and then lets go of the rest.
///
/// # Errors
/// The store; what was done so far stays done, and the next call does the rest.
pub async fn apply(node: &Arc<Node>, name: LedgerId) -> Result<Applied, Failure> {
    let _one = node.names().keeping.lock().await;
    let applied = node.names().ask(move |book| Ok(apply_here(book, name))).await??;
    if applied.pinned > 0 || applied.let_go > 0 {
        node.swarm().pins_changed();
    }
    Ok(applied)
}

fn apply_here(book: &Book, name: LedgerId) -> Result<Applied, Failure> {
    let Some(state) = book.state(name)? else { return Ok(Applied::default()) };
    let Plan { keep, let_go } = plan(book, &state)?;
    let store = book.store();
    let mut applied = Applied::default();
    for (at, (_, root)) in keep.iter().enumerate() {
        match keep_one(store, name, root)? {
            Root::Missing if at == 0 => return Ok(Applied { missing: 1, ..applied }),
            Root::Missing => applied.missing += 1,
            Root::Pinned { now } => applied.pinned += u64::from(now),
            Root::TakenAway => {}
        }
    }
    for root in &let_go {
        let_go_of(store, name, root)?;
        applied.let_go += 1;
    }
    if let Some((newest, _)) = keep.first()
        && policy(&state) == Policy::All
        && applied.missing == 0
    {
        let id: EntryId = entry_of(book, &book.branch(&state), name, *newest)?.id();
        kept::set_settled(store, name, *newest, id)?;
    }
    Ok(applied)
}

/// Pins a root for a name, if its content is here.
fn keep_one(store: &Store, name: LedgerId, root: &Cid) -> Result<Root, Failure> {
    // From before it is looked for to the pin.
    let _hold = store.hold(root);
    let (known, pin) = (kept::of(store, name, root)?, store.pinned(root)?);
    if let Some(Kept { done: true, .. }) = known {
        return Ok(if pin.is_some() { Root::Pinned { now: false } } else { Root::TakenAway });
    }
    let shared = pin.as_ref().is_some_and(|pin| !pin.local && !pin.direct);
    if !shared && !sharing::is_all_here(store, root) {
        return Ok(Root::Missing);
    }
    // Before the pin is made: one that nobody knows the owner of would stay for ever.
    let of_user = match known {
        Some(kept) => kept.of_user,
        None => pin.is_some() && kept::is_of_user(store, root)?,
    };
    kept::put(store, name, root, Kept { of_user, done: false })?;
    if !shared {
        pin::keep_here(store, root)?;
    }
    kept::put(store, name, root, Kept { of_user, done: true })?;
    Ok(Root::Pinned { now: !shared })
}

/// Takes a name's hold on a root away, and the pin with it if nobody else holds it.
fn let_go_of(store: &Store, name: LedgerId, root: &Cid) -> Result<(), Failure> {
    let Some(kept) = kept::of(store, name, root)? else { return Ok(()) };
    if !kept.of_user && !kept::has_others(store, name, root)? {
        unshare::unpin(store, root)?;
    }
    Ok(kept::remove(store, name, root)?)
}

/// Says that a pin is a name's, unless something is known of it already: for content that was added, and
/// pinned by that, in order to be published.
///
/// # Errors
/// The store.
pub fn adopt(store: &Store, name: LedgerId, root: &Cid) -> Result<(), WriteError> {
    match kept::of(store, name, root)? {
        Some(_) => Ok(()),
        None => kept::put(store, name, root, Kept { of_user: false, done: true }),
    }
}

/// The roots that the policy of a name keeps and whose content is not whole here, newest first.
///
/// # Errors
/// The book.
pub async fn missing(node: &Arc<Node>, name: LedgerId) -> Result<Vec<Cid>, Failure> {
    let missing = node.names().ask(move |book| {
        let Some(state) = book.state(name)? else { return Ok(Vec::new()) };
        let mut missing = Vec::new();
        for (_, root) in plan(book, &state)?.keep {
            let settled = kept::of(book.store(), name, &root)?.is_some_and(|kept| kept.done);
            if !settled && !sharing::is_all_here(book.store(), &root) {
                missing.push(root);
            }
        }
        Ok(missing)
    });
    missing.await
}

/// Lets go of everything that is kept for a name, as when it is forgotten or followed no more.
///
/// # Errors
/// The store; what was done so far stays done.
pub async fn release(node: &Arc<Node>, name: LedgerId) -> Result<(), Failure> {
    let _one = node.names().keeping.lock().await;
    node.with_store(move |store| {
        for root in kept::of_name(store, name)? {
            let_go_of(store, name, &root)?;
        }
        Ok::<_, Failure>(kept::forget_settled(store, name)?)
    })
    .await?;
    node.swarm().pins_changed();
    Ok(())
}
