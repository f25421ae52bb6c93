//! The verb's end of a control connection.
//!
//! A [`Client`] sends one request at a time and yields what the node answers. It neither prints nor
//! decides: `cli` does. When the node dies in the middle, [`ClientError::Gone`] tells so, and the verb
//! opens the store itself and goes on (see [`crate::node::attach`]).

use std::{io, path::Path};

use bytes::Bytes;
use tokio::{
    io::BufReader,
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::{
    frame::{self, Frame},
    protocol::{Hello, PROTOCOL_VERSION, Request, Response, Welcome},
    socket,
};

/// Why an exchange with the node ended.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The node is gone; opening the store oneself is the way on.
    #[error("the node that owns the store is gone")]
    Gone(#[source] io::Error),
    /// The node is of another version of Shoal; the user ends it or uses its version.
    #[error("the running peer (pid {pid}) speaks control protocol {theirs}, this command {ours}")]
    Version {
        /// The node's process.
        pid: u32,
        /// The node's version.
        theirs: u32,
        /// Ours.
        ours: u32,
    },
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

/// What the node sends.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one is on its way at a time, and none is kept")]
pub enum Answer {
    /// A message; `Done` or `Failed` is the last one of a request.
    Response(Response),
    /// Data of `cat` or `Read`.
    Data(Bytes),
}

/// A connection to the node.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    welcome: Welcome,
}

impl Client {
    /// Connects to the control socket at `path`.
    ///
    /// # Errors
    /// As [`Self::over`]; nobody listening is [`ClientError::Gone`].
    pub async fn connect(path: &Path) -> Result<Self, ClientError> {
        Self::over(socket::connect(path).await?).await
    }

    /// Speaks over a connected stream.
    ///
    /// # Errors
    /// [`ClientError::Version`] when the node is of another version.
    pub async fn over(stream: UnixStream) -> Result<Self, ClientError> {
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::with_capacity(64 << 10, reader);
        frame::write_message(&mut writer, &Hello { version: PROTOCOL_VERSION }).await?;
        let Some(Frame::Message(welcome)) = frame::read::<_, Welcome>(&mut reader).await? else {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        };
        if welcome.version != PROTOCOL_VERSION {
            let (pid, theirs) = (welcome.pid, welcome.version);
            return Err(ClientError::Version { pid, theirs, ours: PROTOCOL_VERSION });
        }
        Ok(Self { reader, writer, welcome })
    }

    /// Who the node is.
    pub const fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Sends a request. The previous one must have ended.
    ///
    /// # Errors
    /// [`ClientError::Gone`].
    pub async fn send(&mut self, request: &Request) -> Result<(), ClientError> {
        Ok(frame::write_message(&mut self.writer, request).await?)
    }

    /// The next answer. Not cancel-safe.
    ///
    /// # Errors
    /// [`ClientError::Gone`].
    pub async fn next(&mut self) -> Result<Answer, ClientError> {
        next(&mut self.reader).await
    }

    /// Splits into an end that sends data frames and an end that reads answers, for `add -`.
    pub fn split(&mut self) -> (DataSender<'_>, Answers<'_>) {
        (DataSender { writer: &mut self.writer }, Answers { reader: &mut self.reader })
    }
}

/// Sends the bytes of `add -`.
#[derive(Debug)]
pub struct DataSender<'a> {
    writer: &'a mut OwnedWriteHalf,
}

impl DataSender<'_> {
    /// Sends bytes, in frames of at most [`frame::DATA_BYTES_MAX`].
    ///
    /// # Errors
    /// [`ClientError::Gone`].
    pub async fn send(&mut self, data: &[u8]) -> Result<(), ClientError> {
        for part in data.chunks(frame::DATA_BYTES_MAX) {
            frame::write_data(self.writer, part).await?;
        }
        Ok(())
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// [`ClientError::Gone`].
    pub async fn finish(&mut self) -> Result<(), ClientError> {
        Ok(frame::write_data(self.writer, &[]).await?)
    }
}

/// Reads answers while data is sent.
#[derive(Debug)]
pub struct Answers<'a> {
    reader: &'a mut BufReader<OwnedReadHalf>,
}

impl Answers<'_> {
    /// The next answer. Not cancel-safe.
    ///
    /// # Errors
    /// [`ClientError::Gone`].
    pub async fn next(&mut self) -> Result<Answer, ClientError> {
        next(self.reader).await
    }
}

async fn next(reader: &mut BufReader<OwnedReadHalf>) -> Result<Answer, ClientError> {
    match frame::read::<_, Response>(reader).await? {
        Some(Frame::Message(response)) => Ok(Answer::Response(response)),
        Some(Frame::Data(data)) => Ok(Answer::Data(data)),
        None => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
    }
}
