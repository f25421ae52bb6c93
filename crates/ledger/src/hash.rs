//! The two kinds of SHA-256 value that a ledger is made of.
//!
//! [`EntryId`] is the digest of an entry's block, which is also the digest in the CID that kubo
//! stores it under. [`struct@Hash`] is everything else: roots, nodes and leaves of the history tree, and
//! commitments to keys. They are two types, because a leaf is the digest of 0x00 and the block
//! (RFC 6962 section 2.1) and so never equals the identifier of the same entry.

use std::fmt;

use sha2::{Digest, Sha256};
use shoal_dag::Cid;

/// CIDv1, dag-cbor, sha2-256, 32 bytes.
const CID_PREFIX: [u8; 4] = [0x01, 0x71, 0x12, 0x20];

/// SHA-256 over the parts, one after the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

macro_rules! digest {
    ($name:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Takes 32 bytes as they are.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "("))?;
                self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("..)")
            }
        }
    };
}

digest!(Hash, "A SHA-256 value: a root, node or leaf of a history, or a commitment to a key.");
digest!(EntryId, "What an entry is linked by: the SHA-256 of its whole block.");

impl EntryId {
    /// The identifier of the entry with that block.
    pub fn of(block: &[u8]) -> Self {
        Self(sha256(&[block]))
    }

    /// The CID under which the block is stored and linked: CIDv1, dag-cbor, sha2-256.
    pub fn to_cid(self) -> Cid {
        let mut bytes = CID_PREFIX.to_vec();
        bytes.extend(self.0);
        Cid::try_from(bytes.as_slice()).expect("the prefix announces the 32 bytes that follow")
    }

    /// The identifier in a CID, if the CID is of the form that entries have.
    pub fn from_cid(cid: &Cid) -> Option<Self> {
        let bytes = cid.to_bytes();
        bytes.strip_prefix(&CID_PREFIX)?.try_into().ok().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_the_cid_of_a_dag_cbor_block() {
        let id = EntryId::of(b"\xa0");
        // The empty map, from the tables of ipld/codec-fixtures (`map-empty`).
        assert_eq!(
            id.to_cid().to_string(),
            "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua"
        );
        assert_eq!(EntryId::from_cid(&id.to_cid()), Some(id));
        let raw = shoal_dag::Cid::new_v1(0x55, *id.to_cid().hash());
        assert_eq!(EntryId::from_cid(&raw), None);
    }

    #[test]
    fn debug_is_short_and_display_is_whole() {
        let hash = Hash::from_bytes([0xab; 32]);
        assert_eq!(format!("{hash:?}"), "Hash(abababab..)");
        assert_eq!(hash.to_string(), "ab".repeat(32));
    }
}
