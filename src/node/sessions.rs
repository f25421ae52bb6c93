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
use shoal_store::Hold;
use shoal_swarm::SessionId;
use tokio::sync::{oneshot, watch};

use super::swarm::{Command, Handle, View, Want};
use crate::{control::protocol::Failure, exit::Exit};

/// How often a waiter looks although nothing changed: deadlines are kept to this.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Files of one session whose readers' positions are remembered.
const READERS_MAX: usize = 64;

/// How long it is remembered that nobody is left: a new search then finds out again.
const LEFT_ALONE_KEPT: Duration = Duration::from_secs(5);

/// Largest read-ahead beyond what a reader asked for: eight runs of 1 MiB, what a 100 ms path at
/// 80 MB/s needs.
const READ_AHEAD_MAX: u64 = 8 << 20;

/// How far behind the furthest read another one still belongs to the same reader: two reads of the
/// largest size that the kernel sends.
const OUT_OF_ORDER_MAX: u64 = 2 << 20;

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
    left_alone: Mutex<Option<Instant>>,
    /// What was fetched is not collected before it is used.
    _hold: Hold,
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
    /// Takes part in the swarm of the root that is held.
    ///
    /// # Errors
    /// The node is stopping.
    pub async fn open(handle: &Handle, hold: Hold, announce: bool) -> Result<Arc<Self>, Failure> {
        let (id, view) = handle.open(*hold.root(), announce).await?;
        let handle = handle.clone();
        let (readers, left_alone) = (Mutex::default(), Mutex::default());
        Ok(Arc::new(Self { handle, id, view, readers, left_alone, _hold: hold }))
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
        self.handle.tell(Command::Want { session: self.id, want: Box::new(want), done }).await;
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
        let began = Instant::now();
        self.check_left_alone(&cid, waiting)?;
        // Dropped after the receiver, so that the task sees who has stopped waiting.
        let mut taken_back = TakeBack { session: self, cid, armed: true };
        let (done, mut fetched) = oneshot::channel();
        self.handle.tell(Command::Want { session: self.id, want: Box::new(want), done }).await;
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
                if now.exhausted(&cid) {
                    *self.left_alone.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some(Instant::now());
                }
                return Err(failure);
            }
        }
    }

    /// Fails at once where another reader has just found out that nobody is left, so that a listing of
    /// a thousand names does not find it out a thousand times.
    fn check_left_alone(&self, cid: &Cid, waiting: Waiting) -> Result<(), Failure> {
        let since = *self.left_alone.lock().unwrap_or_else(PoisonError::into_inner);
        let view = self.view();
        let alone = since.is_some_and(|since| since.elapsed() < LEFT_ALONE_KEPT);
        if waiting.impatient && alone && view.joined == 0 {
            return Err(nobody_left(cid, &view));
        }
        Ok(())
    }

    /// How far beyond `end` a reader of `file` that begins at `start` should be read ahead: nothing at
    /// first, then twice as far each time it goes on where it ended.
    pub fn read_ahead(&self, file: &Cid, start: u64, end: u64) -> u64 {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() >= READERS_MAX && !readers.contains_key(file) {
            readers.clear();
        }
        readers.entry(*file).or_default().read(start, end)
    }
}

impl Reader {
    /// Takes note of a read and says how far beyond it to read ahead.
    fn read(&mut self, start: u64, end: u64) -> u64 {
        // The kernel's own read-ahead comes in parts and slightly out of order.
        let goes_on = self.end > 0 && start <= self.end && start + OUT_OF_ORDER_MAX >= self.end;
        let least = ((end - start) * 2).min(READ_AHEAD_MAX);
        self.window = if goes_on { (self.window * 2).clamp(least, READ_AHEAD_MAX) } else { 0 };
        self.end = if goes_on { self.end.max(end) } else { end };
        self.window
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
    if let Some(failure) = &view.store_error {
        return Some(failure.clone());
    }
    if view.nobody && view.starving.contains(cid) {
        let failure = Failure::new(
            Exit::NotFound,
            format!("{cid} is not in the store and there is nobody to ask"),
        );
        return Some(failure.hint("name a peer to start from with --bootstrap MULTIADDR"));
    }
    if waiting.impatient && view.exhausted(cid) {
        return Some(nobody_left(cid, view));
    }
    let quiet = view.moved.max(began).elapsed();
    if quiet >= waiting.idle {
        let more = if view.bytes_received > 0 { "more " } else { "" };
        let text = format!(
            "nothing {more}of {cid} arrived for {:.0} s ({})",
            quiet.as_secs_f64(),
            view.waiting_for()
        );
        return Some(Failure::new(Exit::NotFound, text).hint("--timeout says how long to wait"));
    }
    None
}

fn nobody_left(cid: &Cid, view: &View) -> Failure {
    let text = format!("no provider of {cid} is left ({})", view.waiting_for());
    Failure::new(Exit::NotFound, text)
}

/// The sessions that are open, by root, so that many readers of one root share one.
#[derive(Debug, Default)]
pub struct Sessions {
    open: Mutex<HashMap<Cid, Weak<Session>>>,
}

impl Sessions {
    /// The session on the root that is held, opened if there is none.
    ///
    /// # Errors
    /// The node is stopping.
    pub async fn shared(&self, handle: &Handle, hold: Hold) -> Result<Arc<Session>, Failure> {
        let root = *hold.root();
        if let Some(session) = self.existing(&root) {
            return Ok(session);
        }
        let fresh = Session::open(handle, hold, false).await?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, session| session.strong_count() > 0);
        if let Some(session) = open.get(&root).and_then(Weak::upgrade) {
            Ok(session)
        } else {
            open.insert(root, Arc::downgrade(&fresh));
            Ok(fresh)
        }
    }

    /// The session on `root`, if somebody reads it now.
    pub fn existing(&self, root: &Cid) -> Option<Arc<Session>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(root).and_then(Weak::upgrade)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_ahead_grows_with_a_reader_that_goes_on_and_ends_with_a_jump() {
        let mut reader = Reader::default();
        let mib = 1 << 20;
        assert_eq!(reader.read(0, mib), 0, "the first read may be the only one");
        assert_eq!(reader.read(mib, 2 * mib), 2 * mib);
        assert_eq!(reader.read(2 * mib, 3 * mib), 4 * mib);
        assert_eq!(reader.read(3 * mib, 4 * mib), 8 * mib);
        assert_eq!(reader.read(4 * mib, 5 * mib), READ_AHEAD_MAX, "bounded");
        assert_eq!(reader.read(900 * mib, 901 * mib), 0, "a jump");
        assert_eq!(reader.read(0, 4096), 0, "a jump back");
    }

    #[test]
    fn reads_slightly_out_of_order_are_one_reader() {
        let mut reader = Reader::default();
        reader.read(0, 128 << 10);
        reader.read(256 << 10, 384 << 10);
        reader.read(256 << 10, 384 << 10);
        assert!(reader.read(128 << 10, 256 << 10) > 0);
        assert_eq!(reader.end, 384 << 10);
    }

    #[test]
    fn waiting_ends_by_its_rules() {
        let cid: Cid = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
            .parse()
            .expect("the CID of nothing");
        let patient = Waiting { idle: Duration::from_mins(1), impatient: false };
        let impatient = Waiting { impatient: true, ..patient };
        let began = Instant::now();
        let mut view = View::new();
        assert_eq!(given_up(&cid, &view, began, patient), None);
        view.starving.insert(cid);
        view.search.rounds = 1;
        assert_eq!(given_up(&cid, &view, began, impatient), None, "not settled yet");
        view.search.settled = true;
        assert_eq!(given_up(&cid, &view, began, patient), None, "patience hopes on");
        let failure = given_up(&cid, &view, began, impatient).expect("nobody is left");
        assert_eq!(failure.exit, Exit::NotFound);
        view.search.dialling = 1;
        assert_eq!(given_up(&cid, &view, began, impatient), None, "a provider is being dialled");
        view.nobody = true;
        assert!(given_up(&cid, &view, began, patient).is_some(), "a miss fails at once");
        let idle = Waiting { idle: Duration::ZERO, impatient: false };
        let failure = given_up(&cid, &View::new(), began, idle).expect("time is up");
        assert!(failure.message.contains("arrived"), "{}", failure.message);
    }
}
