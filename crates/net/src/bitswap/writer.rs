//! The sending half of a session: what is to be said, gathered into messages on one stream.
//!
//! A message takes whatever waits: wants and cancels first, then what is here and what is not, then
//! blocks until it has [`MESSAGE_BYTES`]; the last may be a large one. One stream is kept open and
//! used for all of them, as every implementation allows, and closed when nothing was said for
//! [`IDLE`]. One that the peer has closed is replaced once; then the peer is gone.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::BytesMut;
use futures::AsyncWriteExt;
use shoal_dag::{BLOCK_BYTES_MAX, Cid};
use shoal_swarm::{Event, Message as Said, Served};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::Dialect;
use super::handler::{Opened, Opener};
use super::message::{Entry, Outgoing, Wish};
use super::session::Context;
use crate::blocks::BlockRead;
use crate::native::{Stop, StreamCommand, WRITE_STALL_MAX, write_all};

/// Bytes gathered in one message: the frame size of the muxer below. The peer hands a block on when
/// the whole message has come.
const MESSAGE_BYTES: usize = 256 << 10;
/// Lines of a wantlist and presences in one message: about 100 KiB.
const LINES_PER_MESSAGE: usize = 1_024;
/// Things that wait to be said before commands wait instead: the engine grants and asks far less.
const WAITING_MAX: usize = 8_192;
/// How long a stream may take to be opened.
const OPEN_WAIT: Duration = Duration::from_secs(10);
/// Without anything to say for so long, the stream is closed.
const IDLE: Duration = Duration::from_secs(30);

/// Writes what it is told.
pub(super) struct Writer<'a> {
    opener: Opener,
    stream: Option<Opened>,
    context: &'a Context,
    entries: VecDeque<Entry>,
    presences: VecDeque<(Cid, bool)>,
    serves: VecDeque<(Cid, bool)>,
    /// Blocks in the message, to be told when it is written.
    sent: Vec<(Cid, u32)>,
    /// Wants made so far: the earlier ones have the higher priority.
    wanted: i32,
}

impl<'a> Writer<'a> {
    /// Nothing to say yet.
    pub(super) fn new(opener: Opener, context: &'a Context) -> Self {
        Self {
            opener,
            stream: None,
            context,
            entries: VecDeque::new(),
            presences: VecDeque::new(),
            serves: VecDeque::new(),
            sent: Vec::new(),
            wanted: 0,
        }
    }

    /// Carries out commands until their queue is closed or the peer cannot be written to.
    pub(super) async fn run(
        &mut self,
        commands: &mut mpsc::Receiver<StreamCommand>,
    ) -> Result<(), Stop> {
        loop {
            if self.waiting() == 0 {
                self.rest(commands).await?;
            }
            while self.waiting() < WAITING_MAX {
                let Ok(command) = commands.try_recv() else { break };
                self.apply(command);
            }
            self.take_telling();
            if self.waiting() > 0 {
                self.say().await?;
            }
        }
    }

    fn waiting(&self) -> usize {
        self.entries.len() + self.presences.len() + self.serves.len()
    }

    /// Waits for something to say. The stream is flushed first, and closed after a while.
    async fn rest(&mut self, commands: &mut mpsc::Receiver<StreamCommand>) -> Result<(), Stop> {
        if let Some((stream, _)) = &mut self.stream
            && !matches!(timeout(WRITE_STALL_MAX, stream.flush()).await, Ok(Ok(())))
        {
            self.stream = None;
        }
        let next = async {
            tokio::select! {
                command = commands.recv() => command.ok_or(Stop::Gone).map(Some),
                () = self.context.news.notified() => Ok(None),
            }
        };
        tokio::pin!(next);
        let command = if let Ok(command) = timeout(IDLE, &mut next).await {
            command?
        } else {
            if let Some((mut stream, _)) = self.stream.take() {
                // A peer that does not take the end of a stream will be found out later.
                let _closed = timeout(OPEN_WAIT, stream.close()).await;
            }
            next.await?
        };
        if let Some(command) = command {
            self.apply(command);
        }
        Ok(())
    }

    fn apply(&mut self, command: StreamCommand) {
        // What the readers have to say came first: a command may ask again for what they take back.
        self.take_telling();
        match command {
            StreamCommand::Send(message) => self.said(message),
            StreamCommand::Ask { asks, deadline_ms, .. } => {
                for ask in asks {
                    if self.context.outstanding.lock().ask(&ask) {
                        self.want(ask.cid, Wish::Block, deadline_ms > 0);
                    }
                }
            }
            StreamCommand::Serve { cids, cached_ok } => {
                self.serves.extend(cids.into_iter().map(|cid| (cid, cached_ok)));
            }
            StreamCommand::Seek { root, cids } => {
                let gone = self.context.seeks.lock().ask(root, &cids);
                for cid in gone {
                    self.cancel(cid);
                }
                for cid in cids {
                    self.want(cid, Wish::Have, true);
                }
            }
            StreamCommand::Affirm { cids } => {
                let mut wants = self.context.wants.lock();
                let told = cids.into_iter().filter(|cid| wants.affirmed(cid));
                self.presences.extend(told.map(|cid| (cid, true)));
            }
        }
    }

    /// What the engine would say to a native peer. A Bitswap peer is told neither who takes part in
    /// a swarm nor what is where.
    fn said(&mut self, message: Said) {
        match message {
            Said::Cancel { cids } => {
                self.context.outstanding.lock().cancel(&cids);
                for cid in cids {
                    self.cancel(cid);
                }
            }
            Said::Refuse { cids } => {
                let mut wants = self.context.wants.lock();
                let told = cids.into_iter().filter(|cid| wants.refused(cid));
                self.presences.extend(told.map(|cid| (cid, false)));
            }
            Said::Leave { root } => {
                let gone = self.context.seeks.lock().forget(&root);
                for cid in gone {
                    self.cancel(cid);
                }
            }
            _ => {}
        }
    }

    fn want(&mut self, cid: Cid, wish: Wish, urgent: bool) {
        let top = if urgent { i32::MAX } else { i32::MAX / 2 };
        let priority = top - self.wanted;
        self.wanted = (self.wanted + 1) % (i32::MAX / 4);
        self.entries.push_back(Entry { cid, priority, wish, send_dont_have: true });
    }

    fn cancel(&mut self, cid: Cid) {
        let entry = Entry { cid, priority: 0, wish: Wish::Cancel, send_dont_have: false };
        self.entries.push_back(entry);
    }

    fn take_telling(&mut self) {
        let telling = self.context.take_telling();
        self.presences.extend(telling.absent.into_iter().map(|cid| (cid, false)));
        telling.cancels.into_iter().for_each(|cid| self.cancel(cid));
    }

    /// Writes one message of what waits.
    async fn say(&mut self) -> Result<(), Stop> {
        let dialect = self.open().await?;
        let mut message = Outgoing::new();
        let lines = self.entries.len().min(LINES_PER_MESSAGE);
        self.entries.drain(..lines).for_each(|entry| message.entry(&entry, dialect));
        let lines = self.presences.len().min(LINES_PER_MESSAGE);
        self.presences.drain(..lines).for_each(|(cid, have)| message.presence(&cid, have, dialect));
        while message.len() < MESSAGE_BYTES
            && let Some((cid, cached_ok)) = self.serves.pop_front()
        {
            self.serve(cid, cached_ok, &mut message, dialect).await?;
        }
        self.context.activity.touch();
        if let Some(bytes) = message.finish() {
            self.write(&bytes).await?;
        }
        let peer = self.context.peer;
        if !self.sent.is_empty() {
            self.context.activity.took();
        }
        for (cid, len) in std::mem::take(&mut self.sent) {
            let outcome = Served::Done;
            self.context.swarm_event(Event::Sent { peer, cid, len, outcome }).await?;
        }
        Ok(())
    }

    /// Adds a block to a message, unless it is not wanted any more or not here.
    async fn serve(
        &mut self,
        cid: Cid,
        cached_ok: bool,
        message: &mut Outgoing,
        dialect: Dialect,
    ) -> Result<(), Stop> {
        let wanted = self.context.wants.lock().is_wanted(&cid);
        if wanted
            && let BlockRead::Found(data) = self.context.blocks.read(&cid, cached_ok)
            && data.len() <= BLOCK_BYTES_MAX
            && message.block(&cid, &data, dialect)
        {
            self.context.wants.lock().sent(&cid);
            self.sent.push((cid, data.len() as u32));
            return Ok(());
        }
        let (peer, outcome) = (self.context.peer, Served::Absent);
        self.context.swarm_event(Event::Sent { peer, cid, len: 0, outcome }).await
    }

    /// Writes bytes, on a new stream if the one that was open has ended.
    async fn write(&mut self, bytes: &BytesMut) -> Result<(), Stop> {
        if let Some((stream, _)) = &mut self.stream
            && write_all(stream, bytes).await.is_ok()
        {
            return Ok(());
        }
        self.stream = None;
        self.open().await?;
        let Some((stream, _)) = &mut self.stream else { return Err(Stop::Gone) };
        Ok(write_all(stream, bytes).await?)
    }

    /// Sees to it that there is a stream.
    async fn open(&mut self) -> Result<Dialect, Stop> {
        if let Some((_, dialect)) = &self.stream {
            return Ok(*dialect);
        }
        let (answer, opened) = oneshot::channel();
        let opened = async {
            self.opener.send(answer).await.map_err(|_| Stop::Gone)?;
            opened.await.map_err(|_| Stop::Gone)
        };
        let (stream, dialect) = timeout(OPEN_WAIT, opened).await.map_err(|_| Stop::Gone)??;
        self.stream = Some((stream, dialect));
        Ok(dialect)
    }
}
