//! Frames on the control socket.
//!
//! ```text
//! | length: u32 LE, of what follows | kind: u8 | payload |
//! kind 0: a postcard message      kind 1: data bytes (an empty one ends a stream)
//! ```
//!
//! A frame is at most [`FRAME_BYTES_MAX`] long; a longer declared length ends the connection. The other
//! end is a process of the same user, so a fault here is a bug or a version mismatch, not an attack;
//! still nothing is allocated from a declared length beyond the bound.

use std::io;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Largest frame: a batch of 1,000 listed entries or 1 MiB of data with room to spare.
pub const FRAME_BYTES_MAX: usize = 4 << 20;

/// Data bytes per frame: the size of a FUSE read and of a pipe's worth of output.
pub const DATA_BYTES_MAX: usize = 1 << 20;

const MESSAGE: u8 = 0;
const DATA: u8 = 1;

/// One frame.
#[derive(Debug)]
pub enum Frame<M> {
    /// A message.
    Message(M),
    /// Data; empty at the end of a stream.
    Data(Bytes),
}

/// Writes a message.
///
/// # Errors
/// The connection is gone, or the message is larger than a frame (a bug).
pub async fn write_message<W, M>(writer: &mut W, message: &M) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
    M: Serialize + Sync,
{
    let body = postcard::to_stdvec(message).map_err(io::Error::other)?;
    write(writer, MESSAGE, &body).await
}

/// Writes data, at most [`DATA_BYTES_MAX`] bytes.
///
/// # Errors
/// The connection is gone.
pub async fn write_data<W: AsyncWrite + Unpin>(writer: &mut W, data: &[u8]) -> io::Result<()> {
    write(writer, DATA, data).await
}

async fn write<W: AsyncWrite + Unpin>(writer: &mut W, kind: u8, body: &[u8]) -> io::Result<()> {
    if body.len() >= FRAME_BYTES_MAX {
        return Err(io::Error::other("control frame too large"));
    }
    let mut head = [0; 5];
    head[..4].copy_from_slice(&(body.len() as u32 + 1).to_le_bytes());
    head[4] = kind;
    writer.write_all(&head).await?;
    writer.write_all(body).await?;
    writer.flush().await
}

/// Reads the next frame; `None` at a clean end of the connection.
///
/// # Errors
/// The connection broke, or the other end speaks something else. Not cancel-safe.
pub async fn read<R, M>(reader: &mut R) -> io::Result<Option<Frame<M>>>
where
    R: AsyncRead + Unpin,
    M: DeserializeOwned,
{
    let mut head = [0; 5];
    match reader.read_exact(&mut head[..1]).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    reader.read_exact(&mut head[1..]).await?;
    let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    if len == 0 || len > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "control frame of a wrong length"));
    }
    let mut body = vec![0; len - 1];
    reader.read_exact(&mut body).await?;
    match head[4] {
        MESSAGE => postcard::from_bytes(&body)
            .map(|message| Some(Frame::Message(message)))
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
        DATA => Ok(Some(Frame::Data(body.into()))),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "control frame of an unknown kind")),
    }
}
