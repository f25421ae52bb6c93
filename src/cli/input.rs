//! Standard input, or a file that a verb opens, read ahead by a thread of its own.
//!
//! `add -` and `car import` send it on; a small one is read whole ([`Input::whole`]). The thread fills frames and hands them over a short queue: reading,
//! sending and the node's work overlap, and memory stays at [`FRAMES_MAX`] frames. A read that
//! nobody ends is left behind when the process ends.

use std::io::{self, Read as _};

use tokio::sync::mpsc;

use super::report::End;
use crate::control::{
    client::{ClientError, DataSender},
    frame::DATA_BYTES_MAX,
    protocol::Failure,
};

/// Frames read ahead: one being read, one being sent, two between them.
const FRAMES_MAX: usize = 2;

/// Standard input as frames.
#[derive(Debug)]
pub(crate) struct Input {
    frames: mpsc::Receiver<io::Result<Vec<u8>>>,
    begun: bool,
}

/// Why sending stopped.
#[derive(Debug)]
pub(crate) enum FeedError {
    /// Standard input cannot be read.
    Read(End),
    /// The node is gone, or has ended the request; its answers say which.
    Gone(ClientError),
}

impl Input {
    /// Begins to read standard input.
    pub(crate) fn standard() -> Self {
        Self::of(io::stdin())
    }

    /// What another source holds.
    pub(crate) fn of(mut source: impl io::Read + Send + 'static) -> Self {
        let (sender, frames) = mpsc::channel(FRAMES_MAX);
        std::thread::spawn(move || {
            loop {
                let frame = read_frame(&mut source);
                let last = !matches!(&frame, Ok(frame) if !frame.is_empty());
                if sender.blocking_send(frame).is_err() || last {
                    return;
                }
            }
        });
        Self { frames, begun: false }
    }

    /// True when some of it was sent: it cannot be sent again.
    pub(crate) const fn begun(&self) -> bool {
        self.begun
    }

    /// All of it, when it has at most `bytes_max` bytes; `None` when it has more.
    pub(crate) async fn whole(mut self, bytes_max: usize) -> Result<Option<Vec<u8>>, Failure> {
        let mut whole = Vec::new();
        while let Some(frame) = self.frames.recv().await {
            let frame = frame.map_err(|error| unreadable(&error))?;
            if frame.len() > bytes_max - whole.len() {
                return Ok(None);
            }
            if frame.is_empty() {
                break;
            }
            whole.extend_from_slice(&frame);
        }
        Ok(Some(whole))
    }

    /// Sends all of it. Not cancel-safe.
    pub(crate) async fn feed(&mut self, sender: &mut DataSender<'_>) -> Result<(), FeedError> {
        loop {
            let frame = match self.frames.recv().await {
                Some(Ok(frame)) if !frame.is_empty() => frame,
                Some(Ok(_)) => return sender.finish().await.map_err(FeedError::Gone),
                Some(Err(error)) => return Err(FeedError::Read(unreadable(&error).into())),
                None => return Ok(()),
            };
            self.begun = true;
            sender.send(&frame).await.map_err(FeedError::Gone)?;
        }
    }
}

fn read_frame(source: &mut impl io::Read) -> io::Result<Vec<u8>> {
    let mut frame = Vec::with_capacity(DATA_BYTES_MAX);
    source.by_ref().take(DATA_BYTES_MAX as u64).read_to_end(&mut frame)?;
    Ok(frame)
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::failed(format!("cannot read the input: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_are_full_but_for_the_last() {
        let mut input = Input::of(io::Cursor::new(vec![7; DATA_BYTES_MAX * 2 + 5]));
        let mut lengths = Vec::new();
        while let Some(frame) = input.frames.recv().await {
            lengths.push(frame.unwrap().len());
        }
        assert_eq!(lengths, [DATA_BYTES_MAX, DATA_BYTES_MAX, 5, 0]);
    }

    #[tokio::test]
    async fn a_small_input_is_read_whole_and_a_large_one_is_not() {
        let whole = |max| Input::of(io::Cursor::new(b"12345")).whole(max);
        assert_eq!(whole(5).await.unwrap().unwrap(), b"12345");
        assert_eq!(whole(4).await.unwrap(), None);
        let endless = Input::of(io::repeat(7)).whole(DATA_BYTES_MAX + 1).await;
        assert_eq!(endless.unwrap(), None);
    }
}
