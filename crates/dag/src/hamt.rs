//! Sharded directories: how entries are spread over blocks by the hash of their names.
//!
//! A directory that is too large for one block is a tree of *shards*. A shard has `fanout` slots; a
//! slot is empty, or holds one entry, or another shard with every entry whose hash leads there. Which
//! slot is told by the bits of the name's hash, high bits first, as many per level as
//! number the slots. This module owns one shard: [`Shard`], decoded and checked, and [`Fanout`], which
//! knows the arithmetic. Trees of shards are built by [`crate::build`] and walked by
//! [`crate::walk`].
//!
//! Invariants of a decoded shard: as many links as bits in its bit field, each in its slot, in
//! ascending order; so no slot is taken twice. That it stands where it can, and every name where its
//! hash leads, is checked against its [`Place`] by whoever comes to it from the root: a name that
//! passes stands in one place only, so there are no duplicates.
//!
//! Written as kubo writes it: the bit field without its leading zero bytes, the slot as upper-case
//! hexadecimal before the name. Specification: UnixFS, `HAMTShard`, read as boxo does it (the text
//! takes the low bits first, which for the usual 256 slots is the same).

use bytes::Bytes;
use thiserror::Error;

use crate::Cid;
use crate::node::NodeError;
use crate::unixfs::{Kind, Metadata, UnixFs};
use crate::{murmur, pb};

/// Multicodec number of the only hash function of names: `murmur3-x64-64`.
pub const HASH_TYPE: u64 = 0x22;

/// Most slots of a shard (UnixFS specification, after CVE-2023-23625).
pub const FANOUT_MAX: u64 = 1024;

/// Bits of the hash of a name: no tree of shards is deeper than they last.
const HASH_BITS: u32 = u64::BITS;

/// Why a block is not a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ShardError {
    /// Names are spread by another hash function.
    #[error("names are hashed by 0x{0:x}; only murmur3-x64-64 (0x22) is known")]
    Hash(u64),
    /// The number of slots is not one that a shard can have.
    #[error("{0} slots: not a power of two from 8 to 1024")]
    Fanout(u64),
    /// The bit field has more bits than there are slots.
    #[error("a bit field of {bytes} bytes for {fanout} slots")]
    Field {
        /// Bytes of the bit field.
        bytes: usize,
        /// Slots of the shard.
        fanout: u16,
    },
    /// There are more or fewer links than bits in the bit field.
    #[error("the bit field names {bits} slots, and there are {links} links")]
    Links {
        /// Slots that are taken, by the bit field.
        bits: usize,
        /// Links; counting ends one above the bits.
        links: usize,
    },
    /// The name of a link does not begin with the number of its slot.
    #[error("a link is not named by its slot {0:X}")]
    Prefix(u16),
}

/// The number of slots of every shard of one directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fanout(u16);

impl Fanout {
    /// What every profile writes, and kubo by default.
    pub const WRITTEN: Self = Self(256);

    /// This many slots.
    ///
    /// # Errors
    /// [`ShardError::Fanout`].
    pub const fn new(slots: u64) -> Result<Self, ShardError> {
        if slots.is_power_of_two() && slots >= 8 && slots <= FANOUT_MAX {
            Ok(Self(slots as u16))
        } else {
            Err(ShardError::Fanout(slots))
        }
    }

    /// Slots of a shard.
    pub const fn slots(self) -> u16 {
        self.0
    }

    /// Bits of the hash that one level takes.
    pub const fn bits(self) -> u32 {
        self.0.trailing_zeros()
    }

    /// Levels that the bits of a hash last for.
    pub const fn levels(self) -> u32 {
        HASH_BITS / self.bits()
    }

    /// The slot that a hash leads to at a level.
    ///
    /// # Panics
    /// When `level` is not below [`Self::levels`].
    pub const fn slot(self, hash: u64, level: u32) -> u16 {
        (self.way(hash, level) as u16) & (self.0 - 1)
    }

    /// All the bits of a hash that lead to its slot at a level, which is below [`Self::levels`].
    pub(crate) const fn way(self, hash: u64, level: u32) -> u64 {
        hash >> (HASH_BITS - (level + 1) * self.bits())
    }

    /// Digits of a slot's number before a name.
    const fn digits(self) -> usize {
        self.bits().div_ceil(4) as usize
    }

    /// The name of a link: the slot, then the name of the entry; nothing follows for a shard.
    pub fn link_name(self, slot: u16, name: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.digits() + name.len());
        for digit in (0..self.digits()).rev() {
            out.push(b"0123456789ABCDEF"[usize::from(slot >> (4 * digit) & 0xf)]);
        }
        out.extend_from_slice(name);
        out
    }
}

/// A part of a sharded directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Slots.
    pub fanout: Fanout,
    /// Those that are taken, in ascending order.
    pub links: Vec<ShardLink>,
    /// Metadata, if it is the root of the directory.
    pub meta: Metadata,
}

/// A slot of a shard that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardLink {
    /// Number of the slot.
    pub slot: u16,
    /// Name of the entry, unchecked; empty when there is another shard in the slot.
    pub name: Vec<u8>,
    /// Block of what the entry is, or of the shard.
    pub cid: Cid,
    /// Bytes of all its blocks, as the shard claims. A hint.
    pub dag_size: u64,
}

impl ShardLink {
    /// Whether there is another shard in the slot.
    pub const fn is_shard(&self) -> bool {
        self.name.is_empty()
    }
}

impl Shard {
    /// Reads a shard from its block; `message` is the block's data.
    pub(crate) fn decode(block: &Bytes, message: &UnixFs<'_>) -> Result<Self, NodeError> {
        let hash = message.hash_type.unwrap_or_default();
        if hash != HASH_TYPE {
            return Err(ShardError::Hash(hash).into());
        }
        let fanout = Fanout::new(message.fanout.unwrap_or_default())?;
        let slots = slots(message.data.unwrap_or_default(), fanout)?;
        let mut links = Vec::with_capacity(slots.len());
        let mut found = pb::links(block);
        for (at, &slot) in slots.iter().enumerate() {
            let missing = ShardError::Links { bits: slots.len(), links: at };
            let link = found.next().ok_or(missing)??;
            let prefix = fanout.link_name(slot, b"");
            let name = link.name.and_then(|name| name.strip_prefix(prefix.as_slice()));
            links.push(ShardLink {
                slot,
                name: name.ok_or(ShardError::Prefix(slot))?.to_vec(),
                cid: link.hash,
                dag_size: link.tsize.unwrap_or(0),
            });
        }
        match found.next() {
            None => Ok(Self { fanout, links, meta: message.meta }),
            Some(Err(error)) => Err(error.into()),
            Some(Ok(_)) => {
                let bits = slots.len();
                Err(ShardError::Links { bits, links: bits + 1 }.into())
            }
        }
    }

    /// The link that a name's hash leads to here, with its index among the links.
    pub(crate) fn find(&self, hash: u64, place: Place) -> Option<(usize, &ShardLink)> {
        let slot = self.fanout.slot(hash, place.level);
        let at = self.links.binary_search_by_key(&slot, |link| link.slot).ok()?;
        Some((at, &self.links[at]))
    }
}

/// Where a shard stands in its directory: how many levels below the root, in which slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Slots of the root; of the root itself only its block tells.
    fanout: Option<Fanout>,
    level: u32,
    /// The bits of a hash that lead here.
    way: u64,
}

impl Place {
    /// That of the root.
    pub const ROOT: Self = Self { fanout: None, level: 0, way: 0 };

    /// Checks that a shard can be here: it has the root's number of slots, every name is where
    /// its hash leads, and it is not empty unless it is the root. So a shard that stands in two
    /// places passes in one of them at most, and a tree of shards without entries in none.
    ///
    /// # Errors
    /// What is wrong with it, in words: the directory's writer is at fault.
    pub fn check(&self, shard: &Shard) -> Result<(), &'static str> {
        if self.fanout.is_some_and(|fanout| fanout != shard.fanout) {
            return Err("a shard with another number of slots");
        }
        if self.level >= shard.fanout.levels() {
            return Err("more shards above each other than a hash has bits");
        }
        if self.level > 0 && shard.links.is_empty() {
            return Err("a shard without entries");
        }
        let leads_here = |link: &ShardLink| {
            let way = self.way << shard.fanout.bits() | u64::from(link.slot);
            link.is_shard() || shard.fanout.way(hash(&link.name), self.level) == way
        };
        if shard.links.iter().all(leads_here) {
            Ok(())
        } else {
            Err("a name where its hash does not lead")
        }
    }

    /// That of a shard in a slot of the one here, which was checked.
    #[must_use]
    pub const fn below(&self, fanout: Fanout, slot: u16) -> Self {
        let way = self.way << fanout.bits() | slot as u64;
        Self { fanout: Some(fanout), level: self.level + 1, way }
    }

    /// Whether it is that of the root.
    pub const fn is_root(&self) -> bool {
        self.level == 0
    }
}

/// The numbers of the bits that are set, ascending. The last byte has the lowest.
fn slots(field: &[u8], fanout: Fanout) -> Result<Vec<u16>, ShardError> {
    if field.len() * 8 > usize::from(fanout.slots()) {
        return Err(ShardError::Field { bytes: field.len(), fanout: fanout.slots() });
    }
    let bytes = field.iter().rev().zip((0..).step_by(8));
    let set = bytes.flat_map(|(&byte, first)| {
        (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| first + bit)
    });
    Ok(set.collect())
}

/// The UnixFS message of a shard with these slots taken, as kubo writes it.
///
/// # Panics
/// When a slot is none of the `fanout`.
pub fn message(fanout: Fanout, taken: &[u16], meta: Metadata) -> Vec<u8> {
    let mut field = vec![0_u8; usize::from(fanout.slots() / 8)];
    for &slot in taken {
        let at = field.len() - 1 - usize::from(slot / 8);
        field[at] |= 1 << (slot % 8);
    }
    let zeros = field.iter().take_while(|&&byte| byte == 0).count();
    let data = Some(&field[zeros..]).filter(|field| !field.is_empty());
    UnixFs {
        data,
        hash_type: Some(HASH_TYPE),
        fanout: Some(u64::from(fanout.slots())),
        meta,
        ..UnixFs::new(Kind::HamtShard)
    }
    .encode()
}

/// The hash of a name: the first 64 bits of its MurmurHash3 x64-128. It proves nothing.
pub fn hash(name: &[u8]) -> u64 {
    murmur::hash(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_of_slots_that_the_specification_allows_are_accepted() {
        let allowed: Vec<u64> = (0..5_000).filter(|&slots| Fanout::new(slots).is_ok()).collect();
        assert_eq!(allowed, [8, 16, 32, 64, 128, 256, 512, 1024]);
        for slots in [1 << 16, 1 << 32, 1 << 63, u64::MAX] {
            assert_eq!(Fanout::new(slots), Err(ShardError::Fanout(slots)));
        }
    }

    #[test]
    fn slots_are_taken_from_the_high_bits_of_the_hash() {
        let hash = 0x8123_4567_89ab_cdef;
        let way = |slots| {
            let fanout = Fanout::new(slots).unwrap();
            (0..fanout.levels()).map(|level| fanout.slot(hash, level)).collect::<Vec<_>>()
        };
        assert_eq!(way(256), [0x81, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]);
        assert_eq!(way(16)[..4], [8, 1, 2, 3]);
        assert_eq!(way(8)[..4], [0b100, 0b000, 0b010, 0b010]);
        assert_eq!((way(8).len(), way(1024).len()), (21, 6));
        assert_eq!(way(1024)[..2], [0b10_0000_0100, 0b10_0011_0100]);
    }

    #[test]
    fn the_number_of_a_slot_has_as_many_digits_as_the_largest() {
        let name = |slots, slot| Fanout::new(slots).unwrap().link_name(slot, b"x");
        assert_eq!(name(8, 7), b"7x");
        assert_eq!(name(16, 15), b"Fx");
        assert_eq!(name(32, 15), b"0Fx");
        assert_eq!(name(256, 0xab), b"ABx");
        assert_eq!(name(1024, 0x3ff), b"3FFx");
        assert_eq!(name(512, 1), b"001x");
    }

    #[test]
    fn a_bit_field_is_written_without_its_leading_zeros_and_read_with_or_without() {
        let fanout = Fanout::WRITTEN;
        let encoded = message(fanout, &[0, 9, 10], Metadata::NONE);
        let read = UnixFs::decode(&encoded).unwrap();
        assert_eq!(read.data, Some(&[0b110, 0b1][..]));
        assert_eq!(slots(&[0b110, 0b1], fanout), Ok(vec![0, 9, 10]));
        let mut whole = [0; 32];
        whole[30..].copy_from_slice(&[0b110, 0b1]);
        assert_eq!(slots(&whole, fanout), Ok(vec![0, 9, 10]));
        assert_eq!(slots(&[0; 33], fanout), Err(ShardError::Field { bytes: 33, fanout: 256 }));
        let all: Vec<u16> = (0..256).collect();
        assert_eq!(slots(&[0xff; 32], fanout), Ok(all));
        assert_eq!(UnixFs::decode(&message(fanout, &[], Metadata::NONE)).unwrap().data, None);
    }
}
