//! A fetch as the rest of the node sees it: a session on one root's swarm, and rules of waiting.
//!
//! [`Session`] is a handle; dropping the last one of a session ends it. [`Session::fetch`] resolves when
//! the block or tree is in the store, or fails by the rules of [`Waiting`]: nothing arrived for so long,
//! nobody can ever be asked, or (for a mount) every way to a provider has been tried and led nowhere.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use shoal_dag::Cid;
use shoal_swarm::SessionId;
use tokio::sync::{oneshot, watch};

use super::swarm::{Command, Handle, View, Want};
use crate::{control::protocol::Failure, exit::Exit};

/// How often a waiter looks although nothing changed: deadlines are kept to this.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Files of one session whose readers' positions are remembered.
const READERS_MAX: usize = 64;

/// Largest read-ahead beyond what a reader asked for: eight runs of 1 MiB, what a 100 ms path at
/// 80 MB/s needs.
const READ_AHEAD_MAX: u64 = 8 << 20;

/// How long a fetch waits.
#[derive(Debug, Clone, Copy)]
pub struct Waiting {
    /// Longest time in which nothing arrives.
    pub idle: Duration,
    /// Fail as soon as no provider is left, instead of hoping for one.
    pub impatient: bool,
}

/// A session on the swarm of a root.
#[derive(Debug)]
pub struct Session {
    handle: Handle,
    id: SessionId,
    view: watch::Receiver<View>,
    readers: Mutex<HashMap<Cid, Reader>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Reader {
    end: u64,
    window: u64,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.handle.tell_later(Command::Close(self.id));
    }
}

impl Session {
    /// Takes part in the swarm of `root`.
    ///
    /// # Errors
    /// The node is stopping.
    pub async fn open(handle: &Handle, root: Cid, announce: bool) -> Result<Arc<Self>, Failure> {
        let (id, view) = handle.open(root, announce).await?;
        let handle = handle.clone();
        Ok(Arc::new(Self { handle, id, view, readers: Mutex::default() }))
    }

    /// The session from outside, as of the last publication.
    pub fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// The session from outside, as of now.
    pub async fn settled_view(&self) -> View {
        let (reply, answer) = oneshot::channel();
        self.handle.tell(Command::Settle(self.id, reply)).await;
        answer.await.unwrap_or_else(|_| self.view())
    }

    /// Asks for a block without waiting for it.
    pub async fn want(&self, want: Want) {
        let (done, _) = oneshot::channel();
        self.handle.tell(Command::Want { session: self.id, want, done }).await;
    }

    /// Resolves when what is wanted is in the store. `tell` sees the session a few times a second.
    /// Cancel-safe: a dropped fetch takes its want back.
    ///
    /// # Errors
    /// Exit 4 by the rules of `waiting`; exit 1 when the network cannot be started.
    pub async fn fetch(
        &self,
        want: Want,
        waiting: Waiting,
        tell: &mut (dyn FnMut(&View) + Send),
    ) -> Result<(), Failure> {
        let cid = want.cid;
        let (done, mut fetched) = oneshot::channel();
        let began = Instant::now();
        self.handle.tell(Command::Want { session: self.id, want, done }).await;
        let mut taken_back = TakeBack { session: self, cid, armed: true };
        let mut view = self.view.clone();
        loop {
            tokio::select! {
                result = &mut fetched => {
                    taken_back.armed = false;
                    return result.map_err(|_| Failure::new(Exit::TryAgain, "the node is stopping"));
                }
                _ = view.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let now = view.borrow_and_update().clone();
            tell(&now);
            if let Some(failure) = given_up(&cid, &now, began, waiting) {
                return Err(failure);
            }
        }
    }

    /// How far beyond `end` a reader of `file` that begins at `start` should be read ahead: nothing at
    /// first, then twice as far each time it goes on where it ended.
    pub fn read_ahead(&self, file: &Cid, start: u64, end: u64) -> u64 {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() >= READERS_MAX && !readers.contains_key(file) {
            readers.clear();
        }
        let reader = readers.entry(*file).or_default();
        // The kernel's own read-ahead comes in parts and slightly out of order.
        let goes_on = reader.end > 0 && start <= reader.end && start + (2 << 20) >= reader.end;
        let least = (end - start) * 2;
        reader.window =
            if goes_on { (reader.window * 2).clamp(least, READ_AHEAD_MAX) } else { 0 };
        reader.end = reader.end.max(end);
        if !goes_on {
            reader.end = end;
        }
        reader.window
    }
}

struct TakeBack<'a> {
    session: &'a Session,
    cid: Cid,
    armed: bool,
}

impl Drop for TakeBack<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.session.handle.tell_later(Command::Unwant(self.session.id, self.cid));
        }
    }
}

fn given_up(cid: &Cid, view: &View, began: Instant, waiting: Waiting) -> Option<Failure> {
    if let Some(error) = &view.network_error {
        return Some(Failure::failed(error.clone()));
    }
    if view.nobody {
        let failure = Failure::new(
            Exit::NotFound,
            format!("{cid} is not in the store and there is nobody to ask"),
        );
        return Some(failure.hint("name a peer to start from with --bootstrap MULTIADDR"));
    }
    if waiting.impatient && view.exhausted() {
        let text = format!("no provider of {cid} is left ({})", view.waiting_for());
        return Some(Failure::new(Exit::NotFound, text));
    }
    let quiet = view.moved.max(began).elapsed();
    if quiet >= waiting.idle {
        let text = format!(
            "nothing of {cid} arrived for {:.0} s ({})",
            quiet.as_secs_f64(),
            view.waiting_for()
        );
        return Some(Failure::new(Exit::NotFound, text).hint("--timeout says how long to wait"));
    }
    None
}

/// The sessions that are open, by root, so that many readers of one root share one.
#[derive(Debug, Default)]
pub struct Sessions {
    open: Mutex<HashMap<Cid, Weak<Session>>>,
}

impl Sessions {
    /// The session on `root`, opened if there is none.
    ///
    /// # Errors
    /// The node is stopping.
    pub async fn shared(&self, handle: &Handle, root: Cid) -> Result<Arc<Session>, Failure> {
        if let Some(session) = self.existing(&root) {
            return Ok(session);
        }
        let fresh = Session::open(handle, root, false).await?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, session| session.strong_count() > 0);
        match open.get(&root).and_then(Weak::upgrade) {
            Some(session) => Ok(session),
            None => {
                open.insert(root, Arc::downgrade(&fresh));
                Ok(fresh)
            }
        }
    }

    /// The session on `root`, if somebody reads it now.
    pub fn existing(&self, root: &Cid) -> Option<Arc<Session>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(root).and_then(Weak::upgrade)
    }
}
