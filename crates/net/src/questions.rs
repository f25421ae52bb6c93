//! Questions and answers over `/shoal/ledger/1`: one stream each, one frame in each direction.
//!
//! ```text
//! frame     +----------------+------------------+
//!           | u32 LE: length | bytes            |   question at most 8 KiB, answer at most 512 KiB
//!           +----------------+------------------+
//! ```
//!
//! What the bytes say is the node's business. A frame that declares more than its kind may have
//! ends the stream before anything is read; below that, memory grows only as bytes arrive.
//! The driver's part (who may ask how much, deadlines) is `driver/questions.rs`.

use std::io;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::StreamProtocol;
use libp2p::request_response::{self, Codec, ProtocolSupport};

/// The protocol's name; the number at its end changes with any change of the frames.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/shoal/ledger/1");
/// Bytes of a question: a name and a few numbers, or a list of what is known, with room.
pub(crate) const QUESTION_BYTES_MAX: usize = 8 << 10;
/// Bytes of an answer: 256 entries of 1 KiB with their proofs.
pub(crate) const ANSWER_BYTES_MAX: usize = 512 << 10;
/// From asking to the answer, connecting included; a peer has as long to give it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// Questions of ours that are open: a race of a few peers for each of a dozen names.
pub(crate) const OURS_MAX: usize = 64;
/// Questions of others that are open; with the longest answers under way 32 MiB.
pub(crate) const THEIRS_MAX: usize = 64;
/// Open questions of one peer, so that eight peers are needed to keep the rest from asking.
pub(crate) const THEIRS_PER_PEER_MAX: usize = 8;
/// Memory that a frame is given ahead of its bytes.
const READ_AHEAD_BYTES: usize = 16 << 10;

/// libp2p's half for one direction.
pub(crate) type Behaviour = request_response::Behaviour<LedgerCodec>;

/// The behaviour by which we ask. Apart from the other, so that a peer that fills its share of
/// streams on a connection cannot keep us from asking.
pub(crate) fn asking(deadline: Duration) -> Behaviour {
    behaviour(ProtocolSupport::Outbound, deadline, OURS_MAX)
}

/// The behaviour by which we answer.
pub(crate) fn answering(deadline: Duration) -> Behaviour {
    behaviour(ProtocolSupport::Inbound, deadline, THEIRS_PER_PEER_MAX)
}

fn behaviour(support: ProtocolSupport, deadline: Duration, streams_max: usize) -> Behaviour {
    let config = request_response::Config::default()
        .with_request_timeout(deadline)
        .with_max_concurrent_streams(streams_max);
    request_response::Behaviour::new([(PROTOCOL, support)], config)
}

/// Frames on a stream.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LedgerCodec;

impl Codec for LedgerCodec {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read_frame(io, QUESTION_BYTES_MAX).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read_frame(io, ANSWER_BYTES_MAX).await
    }

    async fn write_request<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        question: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_frame(io, &question, QUESTION_BYTES_MAX).await
    }

    async fn write_response<T>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        answer: Vec<u8>,
    ) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_frame(io, &answer, ANSWER_BYTES_MAX).await
    }
}

/// Reads one frame of at most `max` bytes.
async fn read_frame(io: &mut (impl AsyncRead + Unpin + Send), max: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    io.read_exact(&mut length).await?;
    let length = u32::from_le_bytes(length) as usize;
    if length > max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame longer than allowed"));
    }
    let mut bytes = Vec::new();
    while bytes.len() < length {
        let have = bytes.len();
        bytes.resize(length.min(have + READ_AHEAD_BYTES.max(have)), 0);
        io.read_exact(&mut bytes[have..]).await?;
    }
    Ok(bytes)
}

/// Writes one frame of at most `max` bytes.
async fn write_frame(
    io: &mut (impl AsyncWrite + Unpin + Send),
    bytes: &[u8],
    max: usize,
) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= max);
    let Some(length) = length else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a frame longer than allowed"));
    };
    io.write_all(&length.to_le_bytes()).await?;
    io.write_all(bytes).await?;
    io.flush().await
}

#[cfg(test)]
mod tests;
