//! Bitswap messages as bytes, and back.
//!
//! ```text
//! Message   1 wantlist: 1 entries: 1 CID, 2 priority, 3 cancel, 4 type (0 block, 1 have), 5 sendDontHave
//!                       2 full
//!           2 block (1.0: a CIDv0 is meant)      3 payload: 1 prefix of a CID, 2 data
//!           4 presence: 1 CID, 2 type (0 have, 1 don't have)     5 pendingBytes
//! ```
//!
//! A block comes without its CID: the receiver hashes it as the prefix says. What is not known here
//! is passed over. Blocks are views of the message, never copies; nothing is allocated by a
//! declared length, and what a message may make is bounded by [`ENTRIES_MAX`], [`BLOCKS_MAX`] and
//! [`PRESENCES_MAX`]. Specification: IPFS Bitswap 1.0.0, 1.1.0 and 1.2.0.

use bytes::{Bytes, BytesMut};
use shoal_dag::hash::{BLAKE3, DAG_PB, HashKind, SHA2_256, cid_from_bytes, cid_of};
use shoal_dag::{BLOCK_BYTES_MAX, Cid, Version};

use super::Dialect;
use super::proto::{Fields, put_bytes, put_head, put_number, put_varint, varint_len};
use crate::event::Violation;

/// Bytes of one message: kubo sends and takes as many.
pub(crate) const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Entries of one wantlist that are looked at; kubo keeps 1,024 of a peer. A hundred and fifty
/// bytes each here.
pub(crate) const ENTRIES_MAX: usize = 16_384;
/// Presences of one message: an answer to every entry of the longest wantlist.
pub(crate) const PRESENCES_MAX: usize = 16_384;
/// Blocks of one message: 4 MiB in blocks of a kibibyte.
pub(crate) const BLOCKS_MAX: usize = 4_096;
/// Bytes of a CID that are looked at: what [`Cid`] has room for, and four varints.
const CID_BYTES_MAX: usize = 128 + 36;
/// Room in front of a message for its length.
const LENGTH_ROOM: usize = 4;

/// What a peer wants of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Its bytes.
    Block,
    /// To know whether it is there.
    Have,
    /// Nothing any more.
    Cancel,
}

/// One line of a wantlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) cid: Cid,
    /// Higher ones first.
    pub(crate) priority: i32,
    pub(crate) wish: Wish,
    /// Say so when it is not there.
    pub(crate) send_dont_have: bool,
}

/// A message that was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// The entries are all that the peer wants.
    pub(crate) full: bool,
    pub(crate) entries: Vec<Entry>,
    /// Entries that were passed over: too many of them, or a CID that this node cannot name.
    pub(crate) passed_over: u32,
    /// Blocks that could be hashed, with the CID that they have.
    pub(crate) blocks: Vec<(Cid, Bytes)>,
    /// Blocks of a hash that nothing here is asked for by.
    pub(crate) foreign_blocks: u32,
    /// What the peer has, and has not.
    pub(crate) presences: Vec<(Cid, bool)>,
}

impl Message {
    /// Reads a message; its blocks are hashed here.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, Violation> {
        let mut message = Self::default();
        let mut fields = Fields(bytes);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => message.wantlist(value.bytes()?)?,
                2 => message.block(&V0, bytes.slice_ref(value.bytes()?))?,
                3 => message.payload(bytes, value.bytes()?)?,
                4 => message.presence(value.bytes()?)?,
                _ => {}
            }
        }
        Ok(message)
    }

    fn wantlist(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        let mut fields = Fields(bytes);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 if self.entries.len() >= ENTRIES_MAX => self.passed_over += 1,
                1 => match entry(value.bytes()?)? {
                    Some(entry) => self.entries.push(entry),
                    None => self.passed_over += 1,
                },
                2 => self.full = value.flag()?,
                _ => {}
            }
        }
        Ok(())
    }

    fn payload(&mut self, message: &Bytes, bytes: &[u8]) -> Result<(), Violation> {
        let (mut prefix, mut data) = (&[][..], &[][..]);
        let mut fields = Fields(bytes);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => prefix = value.bytes()?,
                2 => data = value.bytes()?,
                _ => {}
            }
        }
        match Prefix::decode(prefix)? {
            Some(prefix) => self.block(&prefix, message.slice_ref(data)),
            None => self.foreign_block(),
        }
    }

    fn block(&mut self, prefix: &Prefix, data: Bytes) -> Result<(), Violation> {
        if data.len() > BLOCK_BYTES_MAX || self.blocks.len() >= BLOCKS_MAX {
            return Err(Violation::Oversized);
        }
        let Prefix { version, codec, hash } = *prefix;
        self.blocks.push((cid_of(hash, codec, version, &data), data));
        Ok(())
    }

    fn foreign_block(&mut self) -> Result<(), Violation> {
        self.foreign_blocks += 1;
        if self.foreign_blocks as usize > BLOCKS_MAX { Err(Violation::Oversized) } else { Ok(()) }
    }

    fn presence(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        if self.presences.len() >= PRESENCES_MAX {
            return Err(Violation::Oversized);
        }
        let (mut named, mut kind) = (None, 0);
        let mut fields = Fields(bytes);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => named = cid(value.bytes()?),
                2 => kind = value.number()?,
                _ => {}
            }
        }
        if let (Some(cid), 0 | 1) = (named, kind) {
            self.presences.push((cid, kind == 0));
        }
        Ok(())
    }
}

/// A CID, if it is one that this node can name.
fn cid(bytes: &[u8]) -> Option<Cid> {
    (bytes.len() <= CID_BYTES_MAX).then(|| cid_from_bytes(bytes).ok()).flatten()
}

/// One entry; `None` where its CID is none, or its type is of another time.
fn entry(bytes: &[u8]) -> Result<Option<Entry>, Violation> {
    let (mut named, mut priority, mut cancel, mut kind, mut send_dont_have) =
        (None, 0, false, 0, false);
    let mut fields = Fields(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => named = cid(value.bytes()?),
            // An int32 below zero is written with 64 bits.
            2 => priority = value.number()? as i32,
            3 => cancel = value.flag()?,
            4 => kind = value.number()?,
            5 => send_dont_have = value.flag()?,
            _ => {}
        }
    }
    let wish = match (cancel, kind) {
        (true, _) => Wish::Cancel,
        (false, 0) => Wish::Block,
        (false, 1) => Wish::Have,
        (false, _) => return Ok(None),
    };
    Ok(named.map(|cid| Entry { cid, priority, wish, send_dont_have }))
}

/// What a CID says besides the digest.
#[derive(Debug, Clone, Copy)]
struct Prefix {
    version: Version,
    codec: u64,
    hash: HashKind,
}

/// What a block without a prefix has.
const V0: Prefix = Prefix { version: Version::V0, codec: DAG_PB, hash: HashKind::Sha256 };

impl Prefix {
    /// Reads version, codec, hash function and digest length; `None` where this node has nothing to
    /// do with such blocks.
    fn decode(bytes: &[u8]) -> Result<Option<Self>, Violation> {
        let mut rest = Fields(bytes);
        let [version, codec, code, len] =
            [rest.varint()?, rest.varint()?, rest.varint()?, rest.varint()?];
        let hash = match (code, len) {
            (SHA2_256, 32) => HashKind::Sha256,
            (BLAKE3, 32) => HashKind::Blake3,
            _ => return Ok(None),
        };
        Ok(match version {
            0 if codec == DAG_PB && code == SHA2_256 => Some(V0),
            1 => Some(Self { version: Version::V1, codec, hash }),
            _ => None,
        })
    }
}

/// The prefix of a CID, as bytes.
fn prefix_of(cid: &Cid) -> BytesMut {
    let mut out = BytesMut::new();
    put_varint(&mut out, u64::from(cid.version()));
    put_varint(&mut out, cid.codec());
    put_varint(&mut out, cid.hash().code());
    put_varint(&mut out, u64::from(cid.hash().size()));
    out
}

/// A message that is being written: appended to until it is finished. The wantlist, which is one field,
/// is put last, so that blocks are not copied again.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// Entries of the wantlist.
    wantlist: BytesMut,
    /// Everything else, behind room for the length.
    rest: BytesMut,
}

impl Outgoing {
    /// Nothing in it.
    pub(crate) fn new() -> Self {
        Self { wantlist: BytesMut::new(), rest: BytesMut::zeroed(LENGTH_ROOM) }
    }

    /// Bytes so far, about.
    pub(crate) fn len(&self) -> usize {
        self.wantlist.len() + self.rest.len() - LENGTH_ROOM
    }

    /// Adds a line to the wantlist. Peers before 1.2.0 know of blocks only.
    pub(crate) fn entry(&mut self, entry: &Entry, dialect: Dialect) {
        let Entry { cid, priority, wish, send_dont_have } = entry;
        let mut out = BytesMut::new();
        put_bytes(&mut out, 1, &cid.to_bytes());
        put_number(&mut out, 2, i64::from(*priority) as u64);
        put_number(&mut out, 3, u64::from(*wish == Wish::Cancel));
        if dialect == Dialect::Full {
            put_number(&mut out, 4, u64::from(*wish == Wish::Have));
            put_number(&mut out, 5, u64::from(*send_dont_have));
        }
        put_bytes(&mut self.wantlist, 1, &out);
    }

    /// Adds a block. Peers of 1.0.0 can be given those of a SHA-256 only: false for others.
    pub(crate) fn block(&mut self, cid: &Cid, data: &[u8], dialect: Dialect) -> bool {
        if dialect == Dialect::BlocksOnly {
            let told = cid.codec() == DAG_PB && cid.hash().code() == SHA2_256;
            if told {
                put_bytes(&mut self.rest, 2, data);
            }
            return told;
        }
        let prefix = prefix_of(cid);
        let field = |len: usize| 1 + varint_len(len as u64) + len;
        put_head(&mut self.rest, 3, field(prefix.len()) + field(data.len()));
        put_bytes(&mut self.rest, 1, &prefix);
        put_bytes(&mut self.rest, 2, data);
        true
    }

    /// Says that a block is here, or is not. Peers before 1.2.0 cannot be told.
    pub(crate) fn presence(&mut self, cid: &Cid, have: bool, dialect: Dialect) {
        if dialect != Dialect::Full {
            return;
        }
        let mut out = BytesMut::new();
        put_bytes(&mut out, 1, &cid.to_bytes());
        put_number(&mut out, 2, u64::from(!have));
        put_bytes(&mut self.rest, 4, &out);
    }

    /// The message behind its length; `None` when there is nothing in it.
    pub(crate) fn finish(mut self) -> Option<BytesMut> {
        if self.len() == 0 {
            return None;
        }
        if !self.wantlist.is_empty() {
            put_bytes(&mut self.rest, 1, &self.wantlist);
        }
        let len = self.rest.len() - LENGTH_ROOM;
        debug_assert!(len <= MESSAGE_BYTES_MAX, "bounds are kept before a message is written");
        let mut length = BytesMut::new();
        put_varint(&mut length, len as u64);
        let start = LENGTH_ROOM - length.len();
        self.rest[start..LENGTH_ROOM].copy_from_slice(&length);
        Some(self.rest.split_off(start))
    }
}

#[cfg(test)]
mod tests;
