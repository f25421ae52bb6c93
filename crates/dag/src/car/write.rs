//! Writes CARs, a part at a time: the caller sends each on its way.
//!
//! Version 1 needs nothing beforehand. Version 2 says in its head how long the payload is, so the
//! caller finds that out first, with [`section_len`].

use crate::Cid;

use super::{Header, PRAGMA, V2_PAYLOAD_MIN};
use crate::wire::{put_varint, varint_len};

/// The begin of a version 1 CAR, or of the payload of version 2.
pub fn header(roots: &[Cid]) -> Vec<u8> {
    let header = Header::encode(roots);
    let mut out = Vec::with_capacity(header.len() + 4);
    put_varint(&mut out, header.len() as u64);
    out.extend(header);
    out
}

/// What stands before a block of `len` bytes: the length of its section, and its CID.
pub fn section_head(cid: &Cid, len: usize) -> Vec<u8> {
    let cid = cid.to_bytes();
    let mut out = Vec::with_capacity(cid.len() + 4);
    put_varint(&mut out, (cid.len() + len) as u64);
    out.extend(cid);
    out
}

/// Bytes of the section of a block of `len` bytes.
pub fn section_len(cid: &Cid, len: u64) -> u64 {
    let inner = cid.encoded_len() as u64 + len;
    varint_len(inner) as u64 + inner
}

/// The begin of a version 2 CAR, which a payload of `payload` bytes follows: pragma and header. The
/// index, if there is one, follows the payload at once.
pub fn head_v2(payload: u64, has_index: bool) -> Vec<u8> {
    let mut out = PRAGMA.to_vec();
    // No characteristics: the index leaves out identity blocks, so it is not a full one.
    out.extend([0; 16]);
    out.extend(V2_PAYLOAD_MIN.to_le_bytes());
    out.extend(payload.to_le_bytes());
    let index = if has_index { V2_PAYLOAD_MIN.saturating_add(payload) } else { 0 };
    out.extend(index.to_le_bytes());
    out
}
