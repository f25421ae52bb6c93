//! The key of a block in the index, and the entry that it leads to.
//!
//! Blocks are keyed by the digest of their multihash: the codec of a CID says how to read bytes, not
//! which bytes. Only functions with digests of 32 bytes are kept, so keys have one width. The code of
//! the function is part of the entry: a digest asked for under another function is not found.
//! Identity CIDs carry their bytes themselves and never reach the index.
//!
//! ```text
//! entry, 20 bytes, little-endian
//!  0        8        14     18   19    20
//! +--------+--------+------+----+-----+
//! | home   | offset | len  |hash|flags|   home: bit 63 set: pack number, else: blob id
//! +--------+--------+------+----+-----+   flags: bit 0: may be given to peers; bit 1: the block is
//! ```                                     gone, and the rest is zero

use shoal_dag::Cid;
use shoal_dag::hash::cid_from_bytes;

use crate::blob::BlobId;

/// The multihash code of the identity function.
const IDENTITY: u64 = 0x00;
/// The multihash code of SHA-256.
const SHA2_256: u64 = 0x12;
/// The multihash code of BLAKE3.
const BLAKE3: u64 = 0x1e;
/// Bit 63 of a home says that it is a pack.
const PACK_BIT: u64 = 1 << 63;

/// The bytes of an index key.
pub(crate) type Digest = [u8; 32];
/// The bytes of an index entry.
pub(crate) type EntryBytes = [u8; 20];

/// What a row of the index says of a digest; `None`: the block is gone, whatever older rows say.
pub(crate) type Slot = Option<Entry>;

/// Bit 1 of an entry's flags.
const GONE: u8 = 2;

/// The bytes of a row's entry.
pub(crate) fn slot_to_bytes(slot: Slot) -> EntryBytes {
    let mut gone = [0; 20];
    gone[19] = GONE;
    slot.map_or(gone, Entry::to_bytes)
}

/// Reads what [`slot_to_bytes`] wrote.
pub(crate) fn slot_from_bytes(bytes: &EntryBytes) -> Slot {
    (bytes[19] & GONE == 0).then(|| Entry::from_bytes(bytes))
}

/// What the index is asked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    /// The digest.
    pub(crate) digest: Digest,
    /// The multihash code, of one byte as all supported ones are.
    pub(crate) hash: u8,
}

impl Key {
    /// The key of a CID, or `None` when the store does not keep its hash function.
    pub(crate) fn of(cid: &Cid) -> Option<Self> {
        let hash = cid.hash();
        let code = match hash.code() {
            SHA2_256 | BLAKE3 => hash.code() as u8,
            _ => return None,
        };
        Some(Self { digest: hash.digest().try_into().ok()?, hash: code })
    }

    /// A CID of version 1 with this digest; the codec, one below 128, says how to read the block, which no
    /// key knows.
    pub(crate) fn cid(&self, codec: u64) -> Cid {
        let mut bytes = vec![1, codec as u8, self.hash, self.digest.len() as u8];
        bytes.extend_from_slice(&self.digest);
        cid_from_bytes(&bytes).expect("version, codec, function and length are there")
    }
}

/// The bytes that an identity CID carries itself.
pub(crate) fn inline(cid: &Cid) -> Option<&[u8]> {
    (cid.hash().code() == IDENTITY).then(|| cid.hash().digest())
}

/// The file that holds a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Place {
    /// A pack, by its number.
    Pack(u32),
    /// A blob.
    Blob(BlobId),
}

impl Place {
    /// The place as the index stores it.
    pub(crate) fn home(self) -> u64 {
        match self {
            Self::Pack(number) => PACK_BIT | u64::from(number),
            Self::Blob(id) => id.0,
        }
    }

    /// Reads what [`home`](Self::home) wrote.
    pub(crate) fn of_home(home: u64) -> Self {
        if home & PACK_BIT == 0 { Self::Blob(BlobId(home)) } else { Self::Pack(home as u32) }
    }
}

/// Where a block is, and whom it may be given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The file.
    pub(crate) place: Place,
    /// Where in the file.
    pub(crate) offset: u64,
    /// How many bytes.
    pub(crate) len: u32,
    /// The multihash code.
    pub(crate) hash: u8,
    /// May be given to peers.
    pub(crate) public: bool,
}

impl Entry {
    /// Where the block begins and ends in its file.
    pub(crate) fn range(&self) -> (u64, u64) {
        (self.offset, self.offset.saturating_add(u64::from(self.len)))
    }

    /// The entry as the index stores it.
    pub(crate) fn to_bytes(self) -> EntryBytes {
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&self.place.home().to_le_bytes());
        bytes[8..14].copy_from_slice(&self.offset.to_le_bytes()[..6]);
        bytes[14..18].copy_from_slice(&self.len.to_le_bytes());
        bytes[18] = self.hash;
        bytes[19] = u8::from(self.public);
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; every pattern of bytes is some entry.
    pub(crate) fn from_bytes(bytes: &EntryBytes) -> Self {
        let mut wide = [0; 8];
        wide.copy_from_slice(&bytes[..8]);
        let home = u64::from_le_bytes(wide);
        wide = [0; 8];
        wide[..6].copy_from_slice(&bytes[8..14]);
        let mut len = [0; 4];
        len.copy_from_slice(&bytes[14..18]);
        Self {
            place: Place::of_home(home),
            offset: u64::from_le_bytes(wide),
            len: u32::from_le_bytes(len),
            hash: bytes[18],
            public: bytes[19] & 1 != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_survives_its_bytes() {
        for place in [Place::Pack(7), Place::Blob(BlobId(0x1234_5678_9abc_def0))] {
            let entry =
                Entry { place, offset: 0xffff_1234_5678, len: 65_536, hash: 0x1e, public: true };
            assert_eq!(Entry::from_bytes(&entry.to_bytes()), entry);
            assert_eq!(slot_from_bytes(&slot_to_bytes(Some(entry))), Some(entry));
        }
        assert_eq!(slot_from_bytes(&slot_to_bytes(None)), None);
    }
}
