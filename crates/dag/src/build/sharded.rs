//! Directories that are too large for one block: a tree of shards.
//!
//! Entries come in any order. They are kept as bytes, about 100 for an entry with a name of 20, and
//! sorted by the hash of their names at the end; then each shard is a run of them, and blocks are
//! given out as they are made, children first. Of blocks nothing is held but the shards that are
//! open, at most eight.
//!
//! Two names with one hash cannot be told apart by shards: the later one is refused. Nobody meets
//! that by accident (it takes some 2^32 names), and kubo cannot make such a directory either.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::{DirectoryError, block_of};
use crate::Cid;
use crate::hamt::{self, Fanout};
use crate::pb::{PbLink, PbNode};
use crate::profile::Profile;
use crate::unixfs::Metadata;
use crate::{Block, hash, name};

/// Most entries of a directory: about 1.7 GB of memory while it is built. As many distinct blocks
/// as a walk over a tree visits ([`crate::walk::Budget::TREE`]): more could not be fetched.
pub const ENTRIES_MAX: usize = 1 << 24;

/// Bytes of a piece of the memory that entries are kept in: it grows without being copied.
const PIECE_BYTES: usize = 1 << 20;

/// Bytes of an entry beside its name and its CID: their lengths and the size below.
const HEAD_BYTES: usize = 10;

/// The entries of a directory that will be sharded.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pieces: Vec<Vec<u8>>,
    /// Where the entry of each hash is: the piece, and the byte in it.
    places: HashMap<u64, (u32, u32)>,
}

/// An entry as it is kept.
#[derive(Debug, Clone, Copy)]
struct Kept<'a> {
    name: &'a [u8],
    cid: &'a [u8],
    dag_size: u64,
}

impl Entries {
    /// Adds an entry, whose name was checked.
    ///
    /// # Errors
    /// [`DirectoryError::Duplicate`], [`DirectoryError::Collision`], [`DirectoryError::TooMany`]: it
    /// was not added.
    pub(super) fn insert(
        &mut self,
        name: &[u8],
        cid: &Cid,
        dag_size: u64,
    ) -> Result<(), DirectoryError> {
        if self.places.len() >= ENTRIES_MAX {
            return Err(DirectoryError::TooMany { entries_max: ENTRIES_MAX });
        }
        let hash = hamt::hash(name);
        match self.places.entry(hash) {
            Entry::Occupied(there) => {
                let there = kept(&self.pieces, *there.get()).name;
                Err(if there == name {
                    DirectoryError::Duplicate(name::escape(name))
                } else {
                    DirectoryError::Collision(name::escape(there), name::escape(name))
                })
            }
            Entry::Vacant(place) => {
                place.insert(keep(&mut self.pieces, name, cid, dag_size));
                Ok(())
            }
        }
    }

    /// Makes the shards and gives them to `put`, the root last. Returns the root's CID and the size
    /// to put into a link to it.
    pub(super) fn finish<E>(
        self,
        profile: Profile,
        meta: Metadata,
        put: &mut impl FnMut(Block) -> Result<(), E>,
    ) -> Result<(Cid, u64), E> {
        let Self { pieces, places } = self;
        let mut sorted: Vec<_> = places.into_iter().collect();
        sorted.sort_unstable();
        Sharding { pieces: &pieces, profile, put }.shard(&sorted, 0, meta)
    }
}

fn keep(pieces: &mut Vec<Vec<u8>>, name: &[u8], cid: &Cid, dag_size: u64) -> (u32, u32) {
    let len = HEAD_BYTES + name.len() + cid.encoded_len();
    if pieces.last().is_none_or(|piece| piece.len() + len > PIECE_BYTES) {
        pieces.push(Vec::with_capacity(PIECE_BYTES));
    }
    let at = pieces.len() - 1;
    let piece = &mut pieces[at];
    let place = (at as u32, piece.len() as u32);
    piece.push(u8::try_from(name.len()).expect("a name that was checked has at most 255 bytes"));
    piece.push(u8::try_from(cid.encoded_len()).expect("a CID has fewer than 256 bytes"));
    piece.extend_from_slice(&dag_size.to_le_bytes());
    piece.extend_from_slice(name);
    cid.write_bytes(&mut *piece).expect("writing to a vector cannot fail");
    place
}

fn kept(pieces: &[Vec<u8>], (piece, at): (u32, u32)) -> Kept<'_> {
    let (head, rest) = pieces[piece as usize][at as usize..].split_at(HEAD_BYTES);
    let (name, rest) = rest.split_at(head[0].into());
    let dag_size = u64::from_le_bytes(head[2..].try_into().expect("ten less two bytes are eight"));
    Kept { name, cid: &rest[..head[1].into()], dag_size }
}

/// A link of a shard, by the name that it has there.
#[derive(Debug)]
struct Named {
    name: Vec<u8>,
    cid: Cid,
    dag_size: u64,
}

/// Entries in the order of their hashes becoming shards.
struct Sharding<'a, P> {
    pieces: &'a [Vec<u8>],
    profile: Profile,
    put: &'a mut P,
}

impl<P> Sharding<'_, P> {
    /// Makes the shard of `entries`, whose hashes agree above `level`, and all below it. The hashes
    /// differ, so it calls itself no deeper than they have levels.
    fn shard<E>(
        &mut self,
        entries: &[(u64, (u32, u32))],
        level: u32,
        meta: Metadata,
    ) -> Result<(Cid, u64), E>
    where
        P: FnMut(Block) -> Result<(), E>,
    {
        let (fanout, pieces) = (Fanout::WRITTEN, self.pieces);
        let (mut taken, mut links) = (Vec::new(), Vec::new());
        let mut rest = entries;
        while let Some(&(hash, place)) = rest.first() {
            let slot = fanout.slot(hash, level);
            let len = rest.partition_point(|&(hash, _)| fanout.slot(hash, level) == slot);
            let (here, after) = rest.split_at(len);
            rest = after;
            taken.push(slot);
            links.push(if len == 1 {
                let Kept { name, cid, dag_size } = kept(pieces, place);
                let cid = hash::cid_from_bytes(cid).expect("it was written from a CID");
                Named { name: fanout.link_name(slot, name), cid, dag_size }
            } else {
                let (cid, dag_size) = self.shard(here, level + 1, Metadata::NONE)?;
                Named { name: fanout.link_name(slot, b""), cid, dag_size }
            });
        }
        self.block(&links, &hamt::message(fanout, &taken, meta))
    }

    fn block<E>(&mut self, links: &[Named], message: &[u8]) -> Result<(Cid, u64), E>
    where
        P: FnMut(Block) -> Result<(), E>,
    {
        let below = links.iter().map(|link| link.dag_size).fold(0, u64::saturating_add);
        let links = links.iter().map(|link| PbLink {
            hash: link.cid,
            name: Some(&link.name),
            tsize: Some(link.dag_size),
        });
        let node = PbNode { links: links.collect(), data: Some(message) };
        let block = block_of(self.profile, &node);
        let (cid, dag_size) = (block.cid, below.saturating_add(block.data.len() as u64));
        (self.put)(block)?;
        Ok((cid, dag_size))
    }
}
