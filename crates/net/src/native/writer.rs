//! The sending half of a stream: control frames first, then blocks in runs.
//!
//! Small frames gather in a buffer of [`RUN_BYTES`] before they are written, so that leaves of
//! 64 KiB leave as frames of 256 KiB; blocks that fill a run by themselves are not copied. Between
//! two blocks every waiting command is taken, so a message waits for one block at most. What is
//! written is flushed when nothing more is to be done.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{AsyncWrite, AsyncWriteExt};
use shoal_dag::Cid;
use shoal_swarm::{Event, Message, Served};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::reader::Stop;
use super::stream::Context;
use super::{StreamCommand, message, wire};
use crate::blocks::BlockRead;

/// Bytes gathered before they are written: the frame size of the muxer below.
const RUN_BYTES: usize = 256 << 10;
/// Blocks that wait to be served over one stream before commands wait instead.
const SERVES_MAX: usize = 4096;
/// Without a byte accepted for so long the peer has stopped reading.
pub(crate) const WRITE_STALL_MAX: Duration = Duration::from_mins(1);

/// Writes what it is told.
pub(crate) struct Writer<'a, W> {
    write: W,
    context: &'a Context,
    run: BytesMut,
    serves: VecDeque<(Cid, bool)>,
    /// Blocks in the run, to be told when it is written.
    sent: Vec<(Cid, u32)>,
}

impl<'a, W: AsyncWrite + Unpin> Writer<'a, W> {
    /// Nothing to do yet.
    pub(crate) fn new(write: W, context: &'a Context) -> Self {
        let (run, serves, sent) = (BytesMut::new(), VecDeque::new(), Vec::new());
        Self { write, context, run, serves, sent }
    }

    /// Sends the first frame of every stream.
    pub(crate) async fn hello(&mut self) -> Result<(), Stop> {
        wire::put_hello(&mut self.run, super::AGENT);
        self.write_run().await?;
        self.flush().await
    }

    /// Carries out commands until their queue is closed or the stream breaks.
    pub(crate) async fn run(
        &mut self,
        commands: &mut mpsc::Receiver<StreamCommand>,
    ) -> Result<(), Stop> {
        loop {
            if self.serves.is_empty() {
                self.write_run().await?;
                if commands.is_empty() {
                    self.flush().await?;
                    self.run = BytesMut::new();
                }
                let command = commands.recv().await.ok_or(Stop::Gone)?;
                self.apply(command);
            }
            while self.serves.len() < SERVES_MAX {
                let Ok(command) = commands.try_recv() else { break };
                self.apply(command);
            }
            if let Some((cid, cached_ok)) = self.serves.pop_front() {
                self.serve(cid, cached_ok).await?;
            }
            if self.run.len() >= RUN_BYTES {
                self.write_run().await?;
            }
        }
    }

    fn apply(&mut self, command: StreamCommand) {
        self.context.activity.touch();
        match command {
            StreamCommand::Send(message) => {
                if let Message::Cancel { cids } = &message {
                    self.context.outstanding.lock().cancel(cids);
                }
                message::put(&mut self.run, &message);
            }
            StreamCommand::Ask { root, asks, deadline_ms } => {
                let mut outstanding = self.context.outstanding.lock();
                let asks = asks.iter().filter(|ask| outstanding.ask(ask));
                let cids: Vec<_> = asks.map(|ask| ask.cid).collect();
                drop(outstanding);
                message::put_request(&mut self.run, &root, &cids, deadline_ms);
            }
            // Native peers are asked and told by root.
            StreamCommand::Seek { .. } | StreamCommand::Affirm { .. } => {}
            StreamCommand::Serve { cids, cached_ok } => {
                self.serves.extend(cids.into_iter().map(|cid| (cid, cached_ok)));
            }
        }
    }

    async fn serve(&mut self, cid: Cid, cached_ok: bool) -> Result<(), Stop> {
        match self.context.blocks.read(&cid, cached_ok) {
            BlockRead::Found(data) if data.len() <= shoal_dag::BLOCK_BYTES_MAX => {
                wire::put_data_head(&mut self.run, &cid, data.len());
                self.sent.push((cid, data.len() as u32));
                self.append(&data).await
            }
            BlockRead::Found(_) | BlockRead::Absent | BlockRead::Corrupt => {
                self.tell(cid, 0, Served::Absent).await
            }
        }
    }

    async fn append(&mut self, data: &Bytes) -> Result<(), Stop> {
        if data.len() < RUN_BYTES {
            self.run.extend_from_slice(data);
            return Ok(());
        }
        self.write_only_run().await?;
        write_all(&mut self.write, data).await?;
        self.tell_sent().await
    }

    /// Writes the run and tells which blocks went with it.
    async fn write_run(&mut self) -> Result<(), Stop> {
        self.write_only_run().await?;
        self.tell_sent().await
    }

    async fn write_only_run(&mut self) -> Result<(), Stop> {
        write_all(&mut self.write, &self.run).await?;
        self.run.clear();
        Ok(())
    }

    async fn tell_sent(&mut self) -> Result<(), Stop> {
        self.context.activity.touch();
        if !self.sent.is_empty() {
            self.context.activity.took();
        }
        for (cid, len) in std::mem::take(&mut self.sent) {
            self.tell(cid, len, Served::Done).await?;
        }
        Ok(())
    }

    async fn tell(&self, cid: Cid, len: u32, outcome: Served) -> Result<(), Stop> {
        let peer = self.context.peer;
        self.context.swarm_event(Event::Sent { peer, cid, len, outcome }).await
    }

    async fn flush(&mut self) -> Result<(), Stop> {
        match timeout(WRITE_STALL_MAX, self.write.flush()).await {
            Ok(flushed) => Ok(flushed?),
            Err(_) => Err(Stop::Gone),
        }
    }
}

/// Writes everything, as long as the peer keeps taking some of it.
pub(crate) async fn write_all(
    write: &mut (impl AsyncWrite + Unpin),
    mut bytes: &[u8],
) -> io::Result<()> {
    while !bytes.is_empty() {
        match timeout(WRITE_STALL_MAX, write.write(bytes)).await {
            Ok(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(Ok(n)) => bytes = &bytes[n..],
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
    }
    Ok(())
}
