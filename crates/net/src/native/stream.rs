//! The task that owns one peer's stream for life.
//!
//! Both halves run in it side by side: the reader verifies each block, hands it to [`Blocks`] and
//! tells the node, the writer carries out commands. No block changes tasks. The node's event queue
//! is bounded; when it is full the reader waits, the peer's window closes, and the peer waits.
//!
//! `PeerUp` is told once both sides have sent `Hello` and the stream that this one replaces has
//! told its `PeerDown`; this one's `PeerDown` is the last thing it does. A peer's fault ends the
//! stream as a [`Violation`]; nothing here ends another task.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite};
use libp2p::{Multiaddr, PeerId};
use parking_lot::Mutex;
use shoal_dag::{Cid, hash};
use shoal_swarm::{Event, Links, Message, PeerNo, Place, Prefix, Receipt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::activity::Activity;
use super::message;
use super::outstanding::Outstanding;
use super::reader::{FrameReader, Patience, Stop};
use super::registry::Admission;
use super::wire::{self, Kind};
use super::writer::Writer;
use crate::blocks::Blocks;
use crate::event::{NetEvent, PeerProtocol, Violation};

/// Unrequested blocks that are taken for late answers before they are a flood.
pub(crate) const UNREQUESTED_MAX: u32 = 64;

/// Who is at the other end.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    pub(crate) id: PeerId,
    pub(crate) addr: Multiaddr,
    pub(crate) prefix: Prefix,
}

/// What both halves of a stream share.
pub(crate) struct Context {
    pub(crate) peer: PeerNo,
    pub(crate) blocks: Arc<dyn Blocks>,
    pub(crate) events: mpsc::Sender<NetEvent>,
    pub(crate) activity: Arc<Activity>,
    pub(crate) outstanding: Mutex<Outstanding>,
    pub(crate) patience: Patience,
}

impl Context {
    /// Tells the node, waiting for room; a node that is gone ends the stream.
    pub(crate) async fn event(&self, event: NetEvent) -> Result<(), Stop> {
        self.events.send(event).await.map_err(|_| Stop::Gone)
    }

    /// Tells the engine.
    pub(crate) async fn swarm_event(&self, event: Event) -> Result<(), Stop> {
        self.event(NetEvent::Swarm(event)).await
    }
}

/// Runs a stream from `Hello` to its end and says whether the peer broke the protocol.
pub(crate) async fn run<S>(
    stream: S,
    remote: Remote,
    context: Context,
    admission: &mut Admission,
) -> Option<Violation>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let close = admission.close.clone();
    let mut up = false;
    let stop = tokio::select! {
        biased;
        () = close.cancelled() => Stop::Gone,
        stop = drive(stream, remote, &context, admission, &mut up) => stop,
    };
    let violation = match stop {
        Stop::Violation(kind) => Some(kind),
        Stop::Gone => None,
    };
    if up {
        if let Some(kind) = violation {
            tell_last(&context, NetEvent::Violation { peer: context.peer, kind }).await;
        }
        tell_last(&context, NetEvent::PeerDown { peer: context.peer }).await;
    }
    violation
}

/// The last events matter to the node's books even when it is slow.
async fn tell_last(context: &Context, event: NetEvent) {
    if context.event(event).await.is_err() {
        tracing::trace!("the node is gone");
    }
}

async fn drive<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    remote: Remote,
    context: &Context,
    admission: &mut Admission,
    up: &mut bool,
) -> Stop {
    let (read, write) = stream.split();
    let mut reader = FrameReader::new(read, context.patience);
    let mut writer = Writer::new(write, context);
    let agent = match hello(&mut reader, &mut writer, context.patience.hello).await {
        Ok(agent) => agent,
        Err(stop) => return stop,
    };
    if let Some(before) = &admission.before {
        before.cancelled().await;
    }
    let Remote { id, addr, prefix } = remote;
    let (peer, agent, protocol) = (context.peer, Some(agent), PeerProtocol::Native);
    let event = NetEvent::PeerUp { peer, id, addr, prefix, agent, protocol };
    if let Err(stop) = context.event(event).await {
        return stop;
    }
    *up = true;
    let both = tokio::try_join!(receive(&mut reader, context), writer.run(&mut admission.commands));
    both.err().unwrap_or(Stop::Gone)
}

/// Exchanges the first frames; both directions at once.
async fn hello<R, W>(
    reader: &mut FrameReader<R>,
    writer: &mut Writer<'_, W>,
    patience: Duration,
) -> Result<String, Stop>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let both = async { tokio::try_join!(reader.next(), writer.hello()) };
    let Ok(done) = timeout(patience, both).await else {
        return Err(Violation::Stalled.into());
    };
    let (frame, ()) = done?;
    if frame.kind == Kind::Hello {
        Ok(wire::hello(&frame.body)?)
    } else {
        Err(Violation::Malformed.into())
    }
}

/// Takes frames until the stream ends; never returns `Ok`.
async fn receive<R>(reader: &mut FrameReader<R>, context: &Context) -> Result<(), Stop>
where
    R: AsyncRead + Unpin,
{
    let mut unrequested = 0;
    loop {
        let frame = reader.next().await?;
        context.activity.touch();
        if frame.kind != Kind::Data {
            let message = message::decode(frame.kind, &frame.body)?;
            if let Message::Refuse { cids } = &message {
                context.outstanding.lock().refuse(cids);
            }
            context.swarm_event(Event::Message { peer: context.peer, message }).await?;
            continue;
        }
        let (cid, start) = wire::data(&frame.body)?;
        let data = frame.body.slice(start..);
        drop(frame);
        let len = data.len() as u32;
        let asked = context.outstanding.lock().take(&cid);
        let receipt = match asked {
            Some(ask) => take_block(context, &cid, ask.place.as_ref(), data),
            None => Receipt::Unrequested,
        };
        match receipt {
            Receipt::Unrequested => unrequested += 1,
            Receipt::Stored { .. } => context.activity.gave(),
            Receipt::Corrupt | Receipt::NotKept => {}
        }
        context.swarm_event(Event::Received { peer: context.peer, cid, len, receipt }).await?;
        if unrequested > UNREQUESTED_MAX {
            return Err(Violation::Flood.into());
        }
    }
}

/// Verifies and keeps a block that was asked for.
fn take_block(context: &Context, cid: &Cid, place: Option<&Place>, data: Bytes) -> Receipt {
    if hash::verify(cid, &data).is_err() {
        return Receipt::Corrupt;
    }
    keep_block(&*context.blocks, cid, place, data)
}

/// Keeps a block that was asked for and has been verified.
pub(crate) fn keep_block(
    blocks: &dyn Blocks,
    cid: &Cid,
    place: Option<&Place>,
    data: Bytes,
) -> Receipt {
    // A branch that cannot be understood is kept as what it is: bytes with the right hash.
    let links = match Links::of(cid, &data) {
        Ok(links) => links,
        Err(error) => {
            tracing::debug!(%cid, %error, "block without links that can be read");
            None
        }
    };
    match blocks.keep(cid, place, data) {
        Ok(()) => Receipt::Stored { links },
        Err(error) => {
            tracing::debug!(%cid, %error, "block not kept");
            Receipt::NotKept
        }
    }
}

#[cfg(test)]
mod tests;
