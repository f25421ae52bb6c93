//! The UnixFS 1.5 message: what the data of a dag-pb node says about a file system object.
//!
//! Writing gives exactly kubo's bytes: fields in the order of their numbers, block sizes not
//! packed, a modification time without a zero fraction. Reading accepts packed block sizes too
//! and passes over unknown fields, as protobuf asks of readers (the formats grow); it refuses
//! wrong wire types, a repeated type, and a fraction of a billion nanoseconds or more.
//!
//! It does not look at links: see [`crate::node`]. Specification: ipfs `specs/src/unixfs.md`.

use thiserror::Error;

use crate::wire::{self, Kind as Wire, Reader, WireError};

/// Nanoseconds in a second: a fraction is below this.
const NANOS: u32 = 1_000_000_000;

/// Why data is not a UnixFS message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UnixFsError {
    /// Not protobuf.
    #[error("UnixFS: {0}")]
    Wire(#[from] WireError),
    /// A field has the wrong wire type or stands twice.
    #[error("UnixFS: unexpected field {0}")]
    Field(u64),
    /// The type is missing or is none that UnixFS has.
    #[error("UnixFS: missing or unknown type")]
    Type,
    /// The modification time has no seconds or an impossible fraction.
    #[error("UnixFS: malformed modification time")]
    Mtime,
}

/// Type of a UnixFS node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bytes of a file, as old writers marked leaves.
    Raw,
    /// A directory in one block.
    Directory,
    /// A file: bytes, or links to its parts.
    File,
    /// Never used by any writer known.
    Metadata,
    /// A symbolic link.
    Symlink,
    /// A part of a sharded directory.
    HamtShard,
}

impl Kind {
    fn from_number(number: u64) -> Option<Self> {
        use Kind::{Directory, File, HamtShard, Metadata, Raw, Symlink};
        let kinds = [Raw, Directory, File, Metadata, Symlink, HamtShard];
        kinds.into_iter().find(|&kind| kind as u64 == number)
    }
}

/// A modification time since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mtime {
    /// Whole seconds, negative before 1970.
    pub seconds: i64,
    /// Nanoseconds after `seconds`, below a billion.
    pub nanos: u32,
}

/// What a node says about itself beyond its content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Metadata {
    /// Permission bits, and any other that the writer had; absent when not kept.
    pub mode: Option<u32>,
    /// Modification time; absent when not kept.
    pub mtime: Option<Mtime>,
}

impl Metadata {
    /// Neither mode nor time.
    pub const NONE: Self = Self { mode: None, mtime: None };

    /// Whether there is nothing to keep.
    pub const fn is_empty(&self) -> bool {
        self.mode.is_none() && self.mtime.is_none()
    }
}

/// A UnixFS message, borrowed from its block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixFs<'a> {
    /// Type of the node.
    pub kind: Kind,
    /// Bytes of a file, target of a symbolic link, bit field of a shard.
    pub data: Option<&'a [u8]>,
    /// Bytes of the file below this node.
    pub file_size: Option<u64>,
    /// Bytes of the file below each link.
    pub block_sizes: Vec<u64>,
    /// Hash function of a sharded directory.
    pub hash_type: Option<u64>,
    /// Fan-out of a sharded directory.
    pub fanout: Option<u64>,
    /// Mode and modification time.
    pub meta: Metadata,
}

impl<'a> UnixFs<'a> {
    /// A message with nothing but its type.
    pub const fn new(kind: Kind) -> Self {
        Self {
            kind,
            data: None,
            file_size: None,
            block_sizes: Vec::new(),
            hash_type: None,
            fanout: None,
            meta: Metadata::NONE,
        }
    }

    /// Writes the message as kubo does.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.data.map_or(0, <[u8]>::len) + 32);
        wire::put_uint(&mut out, 1, self.kind as u64);
        if let Some(data) = self.data {
            wire::put_bytes(&mut out, 2, data);
        }
        if let Some(size) = self.file_size {
            wire::put_uint(&mut out, 3, size);
        }
        for &size in &self.block_sizes {
            wire::put_uint(&mut out, 4, size);
        }
        if let Some(hash_type) = self.hash_type {
            wire::put_uint(&mut out, 5, hash_type);
        }
        if let Some(fanout) = self.fanout {
            wire::put_uint(&mut out, 6, fanout);
        }
        if let Some(mode) = self.meta.mode {
            wire::put_uint(&mut out, 7, u64::from(mode));
        }
        if let Some(mtime) = self.meta.mtime {
            wire::put_bytes(&mut out, 8, &encode_mtime(mtime));
        }
        out
    }

    /// Reads a message that is all of `message`.
    pub fn decode(message: &'a [u8]) -> Result<Self, UnixFsError> {
        let mut reader = Reader::new(message);
        let mut kind = None;
        let mut node = Self::new(Kind::Raw);
        while let Some((field, wire)) = reader.key()? {
            match (field, wire) {
                (1, Wire::Varint) if kind.is_none() => {
                    kind = Some(Kind::from_number(reader.varint()?).ok_or(UnixFsError::Type)?);
                }
                (2, Wire::Bytes) if node.data.is_none() => node.data = Some(reader.bytes()?),
                (3, Wire::Varint) => node.file_size = Some(reader.varint()?),
                (4, Wire::Varint) => node.block_sizes.push(reader.varint()?),
                (4, Wire::Bytes) => unpack(reader.bytes()?, &mut node.block_sizes)?,
                (5, Wire::Varint) => node.hash_type = Some(reader.varint()?),
                (6, Wire::Varint) => node.fanout = Some(reader.varint()?),
                // As protobuf reads a 32-bit field: the low bits.
                (7, Wire::Varint) => node.meta.mode = Some(reader.varint()? as u32),
                (8, Wire::Bytes) => node.meta.mtime = Some(decode_mtime(reader.bytes()?)?),
                (1..=8, _) => return Err(UnixFsError::Field(field)),
                (_, other) => reader.skip(other)?,
            }
        }
        node.kind = kind.ok_or(UnixFsError::Type)?;
        Ok(node)
    }
}

fn unpack(packed: &[u8], sizes: &mut Vec<u64>) -> Result<(), UnixFsError> {
    let mut reader = Reader::new(packed);
    while !reader.is_empty() {
        sizes.push(reader.varint()?);
    }
    Ok(())
}

fn encode_mtime(mtime: Mtime) -> Vec<u8> {
    let mut out = Vec::with_capacity(16);
    wire::put_uint(&mut out, 1, mtime.seconds as u64);
    if mtime.nanos != 0 {
        out.push(2 << 3 | 5);
        out.extend_from_slice(&mtime.nanos.to_le_bytes());
    }
    out
}

fn decode_mtime(message: &[u8]) -> Result<Mtime, UnixFsError> {
    let mut reader = Reader::new(message);
    let (mut seconds, mut nanos) = (None, 0);
    while let Some((field, wire)) = reader.key()? {
        match (field, wire) {
            (1, Wire::Varint) => seconds = Some(reader.varint()? as i64),
            (2, Wire::Fixed32) => nanos = reader.fixed32()?,
            (1 | 2, _) => return Err(UnixFsError::Mtime),
            (_, other) => reader.skip(other)?,
        }
    }
    match seconds {
        Some(seconds) if nanos < NANOS => Ok(Mtime { seconds, nanos }),
        _ => Err(UnixFsError::Mtime),
    }
}

#[cfg(test)]
mod tests;
