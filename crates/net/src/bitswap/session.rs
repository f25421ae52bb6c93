//! The task that speaks Bitswap with one peer, for as long as both are connected.
//!
//! Bitswap has no conversation on a stream: either side opens streams and sends messages when it
//! has something to say, and answers come on the other side's streams. So the task holds the sending
//! half ([`Writer`]), which keeps one stream open, and one reader for each stream that the peer
//! opens, at most [`READERS_MAX`] at once. Blocks are hashed, kept and told by the reader in this
//! task; none changes tasks. The node's event queue is bounded; when it is full the readers wait,
//! their streams' windows close, and the peer waits.
//!
//! To the node such a peer looks like any other: `PeerUp` first, `PeerDown` last, its wants and
//! blocks as swarm events in between. What it says of single blocks becomes what a native peer
//! would say of a swarm ([`Seeks`]). A peer's fault ends the session as a [`Violation`].

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use futures::{AsyncRead, AsyncWrite, AsyncWriteExt};
use parking_lot::Mutex;
use shoal_dag::Cid;
use shoal_swarm::limits::REQUEST_CIDS_MAX;
use shoal_swarm::{Event, Holding, Message as Said, PeerNo, Receipt};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::timeout;

use super::handler::{Opened, Opener};
use super::message::Message;
use super::reader::{BUDGET_BYTES, MessageReader};
use super::seeks::{Answer, Seeks};
use super::wants::{Change, Wants};
use super::writer::Writer;
use crate::blocks::Blocks;
use crate::event::{NetEvent, PeerProtocol, Violation};
use crate::native::{
    Activity, Admission, Outstanding, Patience, Remote, Stop, UNREQUESTED_MAX, keep_block,
};

/// Streams of one peer that are read at once; others wait unread. kubo sends from eight workers.
pub(crate) const READERS_MAX: usize = 16;
/// Presences that wait to be told; more are not told, and the peer finds out by its own patience.
const TELLING_MAX: usize = 4_096;
/// Messages in which a peer asked more than it may, before the session ends.
const FLOODS_MAX: u32 = 32;

/// What the readers and the writer of a session share.
pub(crate) struct Context {
    pub(super) peer: PeerNo,
    pub(super) blocks: Arc<dyn Blocks>,
    pub(super) events: mpsc::Sender<NetEvent>,
    pub(super) activity: Arc<Activity>,
    pub(super) patience: Patience,
    /// What was asked of the peer.
    pub(super) outstanding: Mutex<Outstanding>,
    pub(super) seeks: Mutex<Seeks>,
    /// What the peer asked of us.
    pub(super) wants: Mutex<Wants>,
    telling: Mutex<Telling>,
    /// There is something to tell.
    pub(super) news: Notify,
    budget: Semaphore,
    faults: Mutex<Faults>,
}

/// What readers have the writer say.
#[derive(Debug, Default)]
pub(super) struct Telling {
    pub(super) absent: Vec<Cid>,
    pub(super) cancels: Vec<Cid>,
}

#[derive(Debug, Default)]
struct Faults {
    unrequested: u32,
    floods: u32,
}

impl Context {
    /// A session that has not begun.
    pub(super) fn new(
        peer: PeerNo,
        blocks: Arc<dyn Blocks>,
        events: mpsc::Sender<NetEvent>,
        activity: Arc<Activity>,
    ) -> Self {
        Self {
            peer,
            blocks,
            events,
            activity,
            patience: Patience::default(),
            outstanding: Mutex::default(),
            seeks: Mutex::default(),
            wants: Mutex::new(Wants::new(Instant::now())),
            telling: Mutex::default(),
            news: Notify::new(),
            budget: Semaphore::new(BUDGET_BYTES),
            faults: Mutex::default(),
        }
    }

    /// Tells the node, waiting for room; a node that is gone ends the session.
    pub(super) async fn event(&self, event: NetEvent) -> Result<(), Stop> {
        self.events.send(event).await.map_err(|_| Stop::Gone)
    }

    /// Tells the engine.
    pub(super) async fn swarm_event(&self, event: Event) -> Result<(), Stop> {
        self.event(NetEvent::Swarm(event)).await
    }

    /// Tells the engine what a native peer would have said.
    async fn said(&self, message: Said) -> Result<(), Stop> {
        self.swarm_event(Event::Message { peer: self.peer, message }).await
    }

    /// Takes what the writer is to say.
    pub(super) fn take_telling(&self) -> Telling {
        std::mem::take(&mut self.telling.lock())
    }

    fn tell(&self, telling: impl FnOnce(&mut Telling)) {
        let mut all = self.telling.lock();
        telling(&mut all);
        all.absent.truncate(TELLING_MAX);
        all.cancels.truncate(TELLING_MAX);
        drop(all);
        self.news.notify_one();
    }
}

/// Runs a session to its end and says whether the peer broke the protocol.
pub(super) async fn run(
    remote: Remote,
    context: Context,
    opener: Opener,
    inbound: mpsc::Receiver<Opened>,
    admission: &mut Admission,
) -> Option<Violation> {
    let close = admission.close.clone();
    let mut up = false;
    let stop = tokio::select! {
        biased;
        () = close.cancelled() => Stop::Gone,
        stop = drive(remote, &context, opener, inbound, admission, &mut up) => stop,
    };
    let violation = match stop {
        Stop::Violation(kind) => Some(kind),
        Stop::Gone => None,
    };
    if up {
        let peer = context.peer;
        let told = violation.map(|kind| NetEvent::Violation { peer, kind });
        for event in told.into_iter().chain([NetEvent::PeerDown { peer }]) {
            if context.event(event).await.is_err() {
                tracing::trace!("the node is gone");
            }
        }
    }
    violation
}

async fn drive(
    remote: Remote,
    context: &Context,
    opener: Opener,
    mut inbound: mpsc::Receiver<Opened>,
    admission: &mut Admission,
    up: &mut bool,
) -> Stop {
    if let Some(before) = &admission.before {
        before.cancelled().await;
    }
    let Remote { id, addr, prefix } = remote;
    let (peer, protocol) = (context.peer, PeerProtocol::Bitswap);
    let event = NetEvent::PeerUp { peer, id, addr, prefix, agent: None, protocol };
    if let Err(stop) = context.event(event).await {
        return stop;
    }
    *up = true;
    let mut writer = Writer::new(opener, context);
    let both =
        tokio::try_join!(read_streams(&mut inbound, context), writer.run(&mut admission.commands));
    both.err().unwrap_or(Stop::Gone)
}

/// Reads all streams that the peer opens; never returns `Ok`.
async fn read_streams(inbound: &mut mpsc::Receiver<Opened>, context: &Context) -> Result<(), Stop> {
    let mut readers = FuturesUnordered::new();
    loop {
        tokio::select! {
            opened = inbound.recv(), if readers.len() < READERS_MAX => {
                let (stream, _) = opened.ok_or(Stop::Gone)?;
                readers.push(read_stream(stream, context));
            }
            Some(ended) = readers.next() => match ended {
                // A stream that broke is only that: the peer opens another.
                Ok(()) | Err(Stop::Gone) => {}
                Err(violation) => return Err(violation),
            },
        }
    }
}

/// Reads one stream to its end.
pub(super) async fn read_stream<S>(stream: S, context: &Context) -> Result<(), Stop>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut reader = MessageReader::new(stream, context.patience);
    while let Some(framed) = reader.next(&context.budget).await? {
        context.activity.touch();
        let message = Message::decode(&framed.body)?;
        receive(message, context).await?;
    }
    let mut stream = reader.into_inner();
    if timeout(context.patience.idle, stream.close()).await.is_err() {
        tracing::trace!("a stream of the peer does not close");
    }
    Ok(())
}

/// Deals with one message.
async fn receive(message: Message, context: &Context) -> Result<(), Stop> {
    let Message { full, entries, passed_over, blocks, foreign_blocks, presences } = message;
    if full || !entries.is_empty() {
        let now = Instant::now();
        let change = context.wants.lock().take(full, entries, &*context.blocks, now);
        changed(change, passed_over, context).await?;
    }
    for (cid, data) in blocks {
        receive_block(cid, data, context).await?;
    }
    for _ in 0..foreign_blocks {
        unrequested(context)?;
    }
    receive_presences(presences, context).await
}

/// The peer wants something, or no longer.
async fn changed(change: Change, passed_over: u32, context: &Context) -> Result<(), Stop> {
    let Change { wants, cancelled, absent, flooded } = change;
    if !absent.is_empty() {
        context.tell(|telling| telling.absent.extend(absent));
    }
    if flooded + passed_over > 0 {
        tracing::debug!(
            peer = context.peer.0,
            flooded,
            passed_over,
            "wants that are not looked at"
        );
        let mut faults = context.faults.lock();
        faults.floods += 1;
        if faults.floods > FLOODS_MAX {
            return Err(Violation::Flood.into());
        }
    }
    for part in cancelled.chunks(REQUEST_CIDS_MAX) {
        context.said(Said::Cancel { cids: part.to_vec() }).await?;
    }
    if !wants.is_empty() {
        context.swarm_event(Event::Wants { peer: context.peer, wants }).await?;
    }
    Ok(())
}

/// A block has come, hashed: it is what its CID says, but perhaps nobody asked for it.
async fn receive_block(cid: Cid, data: Bytes, context: &Context) -> Result<(), Stop> {
    let len = data.len() as u32;
    let asked = context.outstanding.lock().take(&cid);
    let place = asked.as_ref().and_then(|ask| ask.place);
    let receipt = if asked.is_some() || context.seeks.lock().has(&cid) {
        keep_block(&*context.blocks, &cid, place.as_ref(), data)
    } else {
        unrequested(context)?;
        Receipt::Unrequested
    };
    if matches!(receipt, Receipt::Stored { .. }) {
        context.activity.gave();
    }
    context.swarm_event(Event::Received { peer: context.peer, cid, len, receipt }).await?;
    let answer = context.seeks.lock().have(&cid);
    answered(answer, context).await
}

/// Counts a block that nobody asked for.
fn unrequested(context: &Context) -> Result<(), Stop> {
    let mut faults = context.faults.lock();
    faults.unrequested += 1;
    if faults.unrequested > UNREQUESTED_MAX { Err(Violation::Flood.into()) } else { Ok(()) }
}

/// The peer says what it has and what not.
async fn receive_presences(presences: Vec<(Cid, bool)>, context: &Context) -> Result<(), Stop> {
    let mut refused = Vec::new();
    for (cid, have) in presences {
        let answer = {
            let mut seeks = context.seeks.lock();
            if have { seeks.have(&cid) } else { seeks.deny(&cid) }
        };
        answered(answer, context).await?;
        if !have && context.outstanding.lock().is_open(&cid) {
            refused.push(cid);
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    // Without a word it would send the block when it comes by it. It may have it on the way already.
    context.outstanding.lock().cancel(&refused);
    // Before the engine hears of it, which may ask again.
    context.tell(|telling| telling.cancels.extend(refused.iter().copied()));
    for part in refused.chunks(REQUEST_CIDS_MAX) {
        context.said(Said::Refuse { cids: part.to_vec() }).await?;
    }
    Ok(())
}

async fn answered(answer: Answer, context: &Context) -> Result<(), Stop> {
    match answer {
        Answer::Open => Ok(()),
        Answer::Joins(root) => {
            let holding = Holding::All;
            context.said(Said::Join { root, holding, reply: true }).await
        }
        Answer::Leaves(root) => context.said(Said::Leave { root }).await,
    }
}

#[cfg(test)]
mod tests;
