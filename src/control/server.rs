//! The node's end of control connections.
//!
//! One task per connection reads requests and hands each to [`crate::node::service`]; a writer task of
//! its own sends what the handler answers, so that a handler on a blocking thread can answer too. A
//! client that closes its end cancels the request that it waits for. The number of connections is
//! counted, because an owner that is no running peer stays until the last one is gone.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
};

use super::{
    frame::{self, Frame},
    protocol::{Hello, PROTOCOL_VERSION, Request, Response, Welcome},
};
use crate::node::{CLOSED, Node, service};

/// Answers that wait for a slow client; then the handler waits too.
const ANSWERS_MAX: usize = 16;

/// Connections served at once: verbs, mounts and their readers of one user.
const CONNECTIONS_MAX: usize = 256;

/// Where a handler sends its answers.
#[derive(Debug, Clone)]
pub struct Responder {
    queue: mpsc::Sender<Frame<Response>>,
    hung_up: Arc<AtomicBool>,
}

/// The client has gone; the handler ends.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the client has gone")]
pub struct ClientGone;

impl Responder {
    /// A responder whose answers are taken from the returned queue, for tests.
    #[cfg(test)]
    pub(crate) fn for_tests(answers: usize) -> (Self, mpsc::Receiver<Frame<Response>>) {
        let (queue, taken) = mpsc::channel(answers);
        (Self::new(queue), taken)
    }

    fn new(queue: mpsc::Sender<Frame<Response>>) -> Self {
        Self { queue, hung_up: Arc::default() }
    }

    /// True once nobody waits for an answer: the client closed its end, or the node stops. Work on a
    /// blocking thread, which no dropped future ends, asks this before it makes anything last.
    pub fn is_gone(&self) -> bool {
        self.hung_up.load(Ordering::Acquire) || self.queue.is_closed()
    }

    /// Ends the work if nobody waits for its answer.
    ///
    /// # Errors
    /// [`ClientGone`].
    pub fn check(&self) -> Result<(), ClientGone> {
        if self.is_gone() { Err(ClientGone) } else { Ok(()) }
    }

    fn hang_up(&self) {
        self.hung_up.store(true, Ordering::Release);
    }

    /// A responder whose answers somebody of this process takes.
    pub fn pair() -> (Self, mpsc::Receiver<Frame<Response>>) {
        let (queue, taken) = mpsc::channel(ANSWERS_MAX);
        (Self::new(queue), taken)
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`ClientGone`].
    pub async fn send(&self, response: Response) -> Result<(), ClientGone> {
        self.queue.send(Frame::Message(response)).await.map_err(|_| ClientGone)
    }

    /// Sends data, of any length.
    ///
    /// # Errors
    /// [`ClientGone`].
    pub async fn data(&self, mut data: Bytes) -> Result<(), ClientGone> {
        while !data.is_empty() {
            let part = data.split_to(data.len().min(frame::DATA_BYTES_MAX));
            self.queue.send(Frame::Data(part)).await.map_err(|_| ClientGone)?;
        }
        Ok(())
    }

    /// Sends a message from a blocking thread.
    ///
    /// # Errors
    /// [`ClientGone`].
    pub fn send_blocking(&self, response: Response) -> Result<(), ClientGone> {
        self.check()?;
        self.queue.blocking_send(Frame::Message(response)).map_err(|_| ClientGone)
    }

    /// Sends data from a blocking thread, of any length.
    ///
    /// # Errors
    /// [`ClientGone`].
    pub fn data_blocking(&self, mut data: Bytes) -> Result<(), ClientGone> {
        while !data.is_empty() {
            self.check()?;
            let part = data.split_to(data.len().min(frame::DATA_BYTES_MAX));
            self.queue.blocking_send(Frame::Data(part)).map_err(|_| ClientGone)?;
        }
        Ok(())
    }

    /// Sends a message if there is room: for progress, of which the next one tells as much.
    pub fn offer(&self, response: Response) {
        // A full queue or a client that has gone loses one line of progress, nothing else.
        let _ignored = self.queue.try_send(Frame::Message(response));
    }
}

/// Accepts connections until the node stops.
pub async fn accept(node: Arc<Node>, listener: UnixListener) {
    let permits = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    loop {
        let stream = tokio::select! {
            () = node.stopped() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "control socket: accept failed");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            continue;
        };
        let node = Arc::clone(&node);
        tokio::spawn(async move {
            serve(node, stream).await;
            drop(permit);
        });
    }
}

/// Serves one connection until either end closes it.
pub async fn serve(node: Arc<Node>, stream: UnixStream) {
    let Some(counted) = Counted::new(node.clients()) else {
        return;
    };
    let (reader, writer) = stream.into_split();
    let (queue, answers) = mpsc::channel(ANSWERS_MAX);
    let connection = Connection {
        reader: BufReader::with_capacity(64 << 10, reader),
        responder: Responder::new(queue),
    };
    let writing = tokio::spawn(write_answers(writer, answers, welcome(&node)));
    tokio::select! {
        () = node.stopped() => {}
        result = connection.run(&node) => {
            if let Err(error) = result {
                tracing::debug!(%error, "control connection ended");
            }
        }
    }
    let _ended = writing.await;
    drop(counted);
}

fn welcome(node: &Node) -> Welcome {
    Welcome { version: PROTOCOL_VERSION, pid: std::process::id(), persistent: node.is_persistent() }
}

struct Counted(watch::Sender<usize>);

impl Counted {
    /// `None` when the node takes no more connections.
    fn new(count: &watch::Sender<usize>) -> Option<Self> {
        let open = count.send_if_modified(|count| {
            let open = *count != CLOSED;
            if open {
                *count += 1;
            }
            open
        });
        open.then(|| Self(count.clone()))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

async fn write_answers(
    writer: OwnedWriteHalf,
    mut answers: mpsc::Receiver<Frame<Response>>,
    welcome: Welcome,
) {
    let mut writer = BufWriter::with_capacity(16 << 10, writer);
    if frame::write_message(&mut writer, &welcome).await.is_err() {
        return;
    }
    while let Some(answer) = answers.recv().await {
        let written = match answer {
            Frame::Message(response) => frame::write_message(&mut writer, &response).await,
            Frame::Data(data) => frame::write_data(&mut writer, &data).await,
        };
        if written.is_err() {
            return;
        }
    }
    let _closed = writer.shutdown().await;
}

struct Connection {
    reader: BufReader<OwnedReadHalf>,
    responder: Responder,
}

impl Drop for Connection {
    /// However it ends, work that goes on for it elsewhere learns that.
    fn drop(&mut self) {
        self.responder.hang_up();
    }
}

impl Connection {
    async fn run(mut self, node: &Arc<Node>) -> std::io::Result<()> {
        let Some(Frame::Message(hello)) = frame::read::<_, Hello>(&mut self.reader).await? else {
            return Ok(());
        };
        if hello.version != PROTOCOL_VERSION {
            return Ok(());
        }
        let mut scope = service::Scope::new(Arc::clone(node));
        while let Some(request) = frame::read::<_, Request>(&mut self.reader).await? {
            let Frame::Message(request) = request else {
                return Ok(());
            };
            let last = if brings_data(&request) {
                let data = DataFrames { reader: &mut self.reader, ended: false };
                scope.handle_with_data(request, data, &self.responder).await
            } else {
                tokio::select! {
                    last = scope.handle(request, &self.responder) => last,
                    // Nothing may come before the answer: readable means that the client closed.
                    _ = self.reader.fill_buf() => return Ok(()),
                }
            };
            if self.responder.send(last).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Whether data frames follow a request.
fn brings_data(request: &Request) -> bool {
    match request {
        Request::Add(add) => add.sources.contains(&None),
        Request::CarImport(_) => true,
        _ => false,
    }
}

/// The bytes that a client sends for `add -` or `car import`.
#[derive(Debug)]
pub struct DataFrames<'a> {
    reader: &'a mut BufReader<OwnedReadHalf>,
    ended: bool,
}

impl DataFrames<'_> {
    /// The next bytes; `None` at the end of the stream.
    ///
    /// # Errors
    /// The client went away before the end: what came so far is not the whole.
    pub async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        if self.ended {
            return Ok(None);
        }
        match frame::read::<_, Request>(self.reader).await? {
            Some(Frame::Data(data)) if data.is_empty() => {
                self.ended = true;
                Ok(None)
            }
            Some(Frame::Data(data)) => Ok(Some(data)),
            _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
