//! Adds bytes that a client sends: standard input.
//!
//! The connection's task feeds a short queue and the adding thread reads from it like from a file. A
//! client that goes away before the end of its stream makes the read fail, and then nothing of it is
//! kept: half a stream must not get a CID.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use shoal_dag::Metadata;
use tokio::sync::mpsc;

use super::{Adding, Root, file};
use crate::control::{protocol::Failure, server::DataFrames};

/// Frames of at most 1 MiB between the connection and the adding thread.
const FRAMES_MAX: usize = 4;

/// The connection's end.
#[derive(Debug)]
pub struct Feed {
    queue: mpsc::Sender<io::Result<Bytes>>,
}

/// The adding thread's end.
#[derive(Debug)]
pub struct Incoming {
    queue: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
}

/// A queue between the two.
pub fn channel() -> (Feed, Incoming) {
    let (sender, queue) = mpsc::channel(FRAMES_MAX);
    (Feed { queue: sender }, Incoming { queue, rest: Bytes::new() })
}

impl Feed {
    /// Passes data on until its end, or until nobody takes it any more.
    pub async fn run(self, mut data: DataFrames<'_>) {
        loop {
            let item = match data.next().await {
                Ok(Some(bytes)) => Ok(bytes),
                Ok(None) => return,
                Err(error) => Err(error),
            };
            let ended = item.is_err();
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
        while self.rest.is_empty() {
            match self.queue.blocking_recv() {
                Some(Ok(bytes)) => self.rest = bytes,
                Some(Err(error)) => return Err(error),
                None => return Ok(0),
            }
        }
        let len = buffer.len().min(self.rest.len());
        self.rest.copy_to_slice(&mut buffer[..len]);
        Ok(len)
    }
}

/// Adds the stream.
///
/// # Errors
/// The store, or a client that went away before the end.
pub fn add(adding: &mut Adding<'_>, incoming: Incoming) -> Result<Root, Failure> {
    Ok(file::add_bytes(adding, incoming, Metadata::default(), None, None)?)
}
