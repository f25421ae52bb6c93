//! Adds bytes that a client sends: standard input.
//!
//! The connection's task feeds a short queue and the adding thread reads from it like from a file. The
//! end of the stream is a mark of its own in the queue: a queue that closes without it means that the
//! client went away or that the node stops, the read fails, and then nothing of it is kept. Half a
//! stream must not get a CID.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use shoal_dag::Metadata;
use tokio::sync::mpsc;

use super::{Adding, Root, file};
use crate::control::{protocol::Failure, server::DataFrames};

/// What is in the queue: bytes, the end of the stream (`None`), or why it broke off.
type Item = io::Result<Option<Bytes>>;

/// Frames of at most 1 MiB between the connection and the adding thread.
const FRAMES_MAX: usize = 4;

/// The connection's end.
#[derive(Debug)]
pub struct Feed {
    queue: mpsc::Sender<Item>,
}

/// The adding thread's end.
#[derive(Debug)]
pub struct Incoming {
    queue: mpsc::Receiver<Item>,
    rest: Bytes,
    ended: bool,
}

/// A queue between the two.
pub fn channel() -> (Feed, Incoming) {
    let (sender, queue) = mpsc::channel(FRAMES_MAX);
    (Feed { queue: sender }, Incoming { queue, rest: Bytes::new(), ended: false })
}

impl Feed {
    /// Puts one item into the queue.
    #[cfg(test)]
    pub(super) fn give(&self, item: Item) {
        self.queue.blocking_send(item).expect("the other end is there");
    }

    /// Passes data on until its end, or until nobody takes it any more.
    pub async fn run(self, mut data: DataFrames<'_>) {
        loop {
            let item = data.next().await;
            let ended = !matches!(item, Ok(Some(_)));
            if self.queue.send(item).await.is_err() {
                // The adding side gave up: read on, so that the client gets to our answer.
                while let Ok(Some(_)) = data.next().await {}
                return;
            }
            if ended {
                return;
            }
        }
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() && !self.ended {
            match self.queue.blocking_recv() {
                Some(Ok(Some(bytes))) => self.rest = bytes,
                Some(Ok(None)) => self.ended = true,
                Some(Err(error)) => return Err(error),
                None => return Err(broken_off()),
            }
        }
        let len = buffer.len().min(self.rest.len());
        self.rest.copy_to_slice(&mut buffer[..len]);
        Ok(len)
    }
}

fn broken_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it broke off before its end")
}

/// Adds the stream.
///
/// # Errors
/// The store, or a client that went away before the end.
pub fn add(adding: &mut Adding<'_>, input: impl Read + Send) -> Result<Root, Failure> {
    Ok(file::add_bytes(adding, input, Metadata::default(), None)?)
}
