//! The messages of the swarm engine as frame bodies, and back.
//!
//! The layout is in [`super`]'s documentation, the meanings and bounds are `shoal-swarm`'s. Lists
//! that are longer than a frame may carry are written as several frames of the same kind; nothing
//! that was read is believed beyond its bound.

use bytes::{BufMut, BytesMut};
use shoal_dag::Cid;
use shoal_swarm::limits::{CONTACT_BYTES_MAX, HAVE_BYTES_MAX, PEERS_MAX, REQUEST_CIDS_MAX};
use shoal_swarm::{Holding, Message};

use super::wire::{Cursor, Kind, put_bytes, put_cid, put_frame, put_uvarint};
use crate::event::Violation;

/// Set in the flags of `Join` when it is an answer.
const REPLY: u8 = 0x80;

/// Appends the frame or frames of a message.
pub(crate) fn put(out: &mut BytesMut, message: &Message) {
    match message {
        Message::Join { root, holding, reply } => put_frame(out, Kind::Join, |out| {
            out.put_u8(flags(*holding, *reply));
            put_cid(out, root);
        }),
        Message::Leave { root } => put_frame(out, Kind::Leave, |out| put_cid(out, root)),
        Message::Have { root, branch, first, bits } => put_have(out, root, branch, *first, bits),
        Message::HaveAll { root, branch } => put_frame(out, Kind::HaveAll, |out| {
            put_cid(out, root);
            put_cid(out, branch);
        }),
        Message::Request { root, cids, deadline_ms } => put_request(out, root, cids, *deadline_ms),
        Message::Cancel { cids } => put_lists(out, Kind::Cancel, cids),
        Message::Refuse { cids } => put_lists(out, Kind::Refuse, cids),
        Message::Peers { root, peers } => put_frame(out, Kind::Peers, |out| {
            let peers = peers.iter().filter(|peer| peer.len() <= CONTACT_BYTES_MAX);
            let peers: Vec<_> = peers.take(PEERS_MAX).collect();
            put_cid(out, root);
            put_uvarint(out, peers.len() as u64);
            for peer in peers {
                put_bytes(out, peer);
            }
        }),
    }
}

/// Appends a request, as several frames if it is long.
pub(crate) fn put_request(out: &mut BytesMut, root: &Cid, cids: &[Cid], deadline_ms: u32) {
    for part in cids.chunks(REQUEST_CIDS_MAX) {
        put_frame(out, Kind::Request, |out| {
            put_cid(out, root);
            put_uvarint(out, u64::from(deadline_ms));
            put_cids(out, part);
        });
    }
}

/// Reads the message in the body of a frame of this kind.
pub(crate) fn decode(kind: Kind, body: &[u8]) -> Result<Message, Violation> {
    let mut cursor = Cursor(body);
    let message = match kind {
        // One comes first, once; blocks do not come here.
        Kind::Hello | Kind::Data => return Err(Violation::Malformed),
        Kind::Join => {
            let (holding, reply) = holding(cursor.byte()?)?;
            Message::Join { root: cursor.cid()?, holding, reply }
        }
        Kind::Leave => Message::Leave { root: cursor.cid()? },
        Kind::Have => Message::Have {
            root: cursor.cid()?,
            branch: cursor.cid()?,
            first: cursor.u32()?,
            bits: cursor.bytes(HAVE_BYTES_MAX)?.to_vec(),
        },
        Kind::HaveAll => Message::HaveAll { root: cursor.cid()?, branch: cursor.cid()? },
        Kind::Request => {
            let root = cursor.cid()?;
            let deadline_ms = cursor.u32()?;
            Message::Request { root, cids: cids(&mut cursor)?, deadline_ms }
        }
        Kind::Cancel => Message::Cancel { cids: cids(&mut cursor)? },
        Kind::Refuse => Message::Refuse { cids: cids(&mut cursor)? },
        Kind::Peers => Message::Peers { root: cursor.cid()?, peers: peers(&mut cursor)? },
    };
    cursor.end()?;
    Ok(message)
}

fn flags(holding: Holding, reply: bool) -> u8 {
    let holding = match holding {
        Holding::Nothing => 0,
        Holding::Part => 1,
        Holding::All => 2,
    };
    if reply { holding | REPLY } else { holding }
}

fn holding(flags: u8) -> Result<(Holding, bool), Violation> {
    let holding = match flags & !REPLY {
        0 => Holding::Nothing,
        1 => Holding::Part,
        2 => Holding::All,
        _ => return Err(Violation::Malformed),
    };
    Ok((holding, flags & REPLY != 0))
}

fn put_have(out: &mut BytesMut, root: &Cid, branch: &Cid, first: u32, bits: &[u8]) {
    for (i, part) in bits.chunks(HAVE_BYTES_MAX).enumerate() {
        let first = first.saturating_add((i * HAVE_BYTES_MAX * 8) as u32);
        put_frame(out, Kind::Have, |out| {
            put_cid(out, root);
            put_cid(out, branch);
            put_uvarint(out, u64::from(first));
            put_bytes(out, part);
        });
    }
}

fn put_lists(out: &mut BytesMut, kind: Kind, cids: &[Cid]) {
    for part in cids.chunks(REQUEST_CIDS_MAX) {
        put_frame(out, kind, |out| put_cids(out, part));
    }
}

fn put_cids(out: &mut BytesMut, cids: &[Cid]) {
    put_uvarint(out, cids.len() as u64);
    for cid in cids {
        put_cid(out, cid);
    }
}

fn cids(cursor: &mut Cursor<'_>) -> Result<Vec<Cid>, Violation> {
    let count = cursor.count(REQUEST_CIDS_MAX)?;
    (0..count).map(|_| cursor.cid()).collect()
}

fn peers(cursor: &mut Cursor<'_>) -> Result<Vec<Vec<u8>>, Violation> {
    let count = cursor.count(PEERS_MAX)?;
    (0..count).map(|_| cursor.bytes(CONTACT_BYTES_MAX).map(<[u8]>::to_vec)).collect()
}

#[cfg(test)]
mod tests;
