//! Frames as bytes: header, `Hello`, `Data`, and the pieces that messages are made of.
//!
//! The layout is in [`super`]'s documentation. Nothing here allocates by a length it read: a
//! [`Cursor`] hands out slices of what has arrived, or a violation.

use bytes::{BufMut, BytesMut};
use shoal_dag::{BLOCK_BYTES_MAX, Cid, hash};

use crate::event::Violation;

/// Bytes of length and kind.
pub(crate) const HEADER_BYTES: usize = 5;
/// Largest body of a control frame; the largest message has 8 KiB of bitmap or 128 CIDs.
pub(crate) const CONTROL_BYTES_MAX: usize = 64 << 10;
/// Largest binary CID: version, codec, hash code, length and 64 bytes of digest fit easily.
pub(crate) const CID_BYTES_MAX: usize = 100;
/// Largest body of a `Data` frame.
pub(crate) const DATA_BYTES_MAX: usize = 1 + CID_BYTES_MAX + BLOCK_BYTES_MAX;
/// Longest agent that is kept; longer ones are a violation.
pub(crate) const AGENT_BYTES_MAX: usize = 128;
/// The version in `Hello`.
pub(crate) const VERSION: u64 = 1;

/// The kinds of frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Hello = 0,
    Data = 1,
    Join = 2,
    Leave = 3,
    Have = 4,
    HaveAll = 5,
    Request = 6,
    Cancel = 7,
    Refuse = 8,
    Peers = 9,
}

impl Kind {
    const ALL: [Self; 10] = [
        Self::Hello,
        Self::Data,
        Self::Join,
        Self::Leave,
        Self::Have,
        Self::HaveAll,
        Self::Request,
        Self::Cancel,
        Self::Refuse,
        Self::Peers,
    ];

    /// The longest body of this kind.
    const fn body_max(self) -> usize {
        match self {
            Self::Data => DATA_BYTES_MAX,
            _ => CONTROL_BYTES_MAX,
        }
    }
}

/// The first bytes of a frame, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) body_len: usize,
}

impl Header {
    /// Reads a header, or says that more bytes are needed.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Option<Self>, Violation> {
        let Some(([a, b, c, d, kind], _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let len = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
        let kind = *Kind::ALL.get(usize::from(*kind)).ok_or(Violation::Malformed)?;
        let body_len = len.checked_sub(1).ok_or(Violation::Malformed)?;
        if body_len > kind.body_max() {
            return Err(Violation::Oversized);
        }
        Ok(Some(Self { kind, body_len }))
    }
}

/// Appends a frame whose body `write` appends.
pub(crate) fn put_frame(out: &mut BytesMut, kind: Kind, write: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u32_le(0);
    out.put_u8(kind as u8);
    write(out);
    let len = out.len() - start - 4;
    debug_assert!(len <= kind.body_max() + 1, "bounds are kept before a frame is written");
    out[start..start + 4].copy_from_slice(&(len as u32).to_le_bytes());
}

/// Appends `Hello`.
pub(crate) fn put_hello(out: &mut BytesMut, agent: &str) {
    put_frame(out, Kind::Hello, |out| {
        put_uvarint(out, VERSION);
        put_bytes(out, agent.as_bytes());
    });
}

/// Reads the body of `Hello`: the agent.
pub(crate) fn hello(body: &[u8]) -> Result<String, Violation> {
    let mut cursor = Cursor(body);
    if cursor.uvarint()? != VERSION {
        return Err(Violation::Malformed);
    }
    let agent = cursor.bytes(AGENT_BYTES_MAX)?;
    cursor.end()?;
    String::from_utf8(agent.to_vec()).map_err(|_| Violation::Malformed)
}

/// Appends everything of a `Data` frame that comes before the block's bytes.
pub(crate) fn put_data_head(out: &mut BytesMut, cid: &Cid, block_len: usize) {
    let cid_len = cid.encoded_len();
    let head = 1 + uvarint_len(cid_len as u64) + cid_len;
    out.put_u32_le((head + block_len) as u32);
    out.put_u8(Kind::Data as u8);
    put_cid(out, cid);
}

/// Splits the body of `Data` into the CID and the place where the block begins.
pub(crate) fn data(body: &[u8]) -> Result<(Cid, usize), Violation> {
    let mut cursor = Cursor(body);
    let cid = cursor.cid()?;
    let start = body.len() - cursor.0.len();
    if cursor.0.len() > BLOCK_BYTES_MAX {
        return Err(Violation::Oversized);
    }
    Ok((cid, start))
}

/// Appends an unsigned varint.
pub(crate) fn put_uvarint(out: &mut BytesMut, value: u64) {
    let mut buffer = unsigned_varint::encode::u64_buffer();
    out.put_slice(unsigned_varint::encode::u64(value, &mut buffer));
}

fn uvarint_len(value: u64) -> usize {
    unsigned_varint::encode::u64(value, &mut unsigned_varint::encode::u64_buffer()).len()
}

/// Appends a length and bytes.
pub(crate) fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_uvarint(out, bytes.len() as u64);
    out.put_slice(bytes);
}

/// Appends a CID.
pub(crate) fn put_cid(out: &mut BytesMut, cid: &Cid) {
    put_uvarint(out, cid.encoded_len() as u64);
    let written = cid.write_bytes(out.writer());
    debug_assert!(written.is_ok(), "a growing buffer takes everything");
}

/// What is left of a body.
#[derive(Debug)]
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    /// One byte.
    pub(crate) fn byte(&mut self) -> Result<u8, Violation> {
        let (first, rest) = self.0.split_first().ok_or(Violation::Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    /// An unsigned varint in its shortest form.
    pub(crate) fn uvarint(&mut self) -> Result<u64, Violation> {
        let decoded = unsigned_varint::decode::u64(self.0);
        let (value, rest) = decoded.map_err(|_| Violation::Malformed)?;
        self.0 = rest;
        Ok(value)
    }

    /// A varint of 32 bits.
    pub(crate) fn u32(&mut self) -> Result<u32, Violation> {
        u32::try_from(self.uvarint()?).map_err(|_| Violation::Malformed)
    }

    /// A count of at most `max`.
    pub(crate) fn count(&mut self, max: usize) -> Result<usize, Violation> {
        let count = usize::try_from(self.uvarint()?).map_err(|_| Violation::Oversized)?;
        if count > max { Err(Violation::Oversized) } else { Ok(count) }
    }

    /// A length of at most `max` and that many bytes.
    pub(crate) fn bytes(&mut self, max: usize) -> Result<&'a [u8], Violation> {
        let len = self.count(max)?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(Violation::Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// A CID and nothing after it in its field.
    pub(crate) fn cid(&mut self) -> Result<Cid, Violation> {
        let bytes = self.bytes(CID_BYTES_MAX)?;
        hash::cid_from_bytes(bytes).map_err(|_| Violation::Malformed)
    }

    /// Checks that nothing is left.
    pub(crate) fn end(&self) -> Result<(), Violation> {
        if self.0.is_empty() { Ok(()) } else { Err(Violation::Malformed) }
    }
}
