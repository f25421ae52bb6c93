//! The identity of a ledger: the public key of its name.
//!
//! It is also a libp2p PeerId and an IPNS name. All three are spellings of the same 32 bytes: the
//! key, wrapped in libp2p's protobuf, in an identity multihash, in a CIDv1 of codec `libp2p-key`
//! (IPNS specification, "IPNS name"). Only Ed25519 is a ledger's key.
//!
//! Whether the bytes are a point on the curve, and not one of small order, is decided where
//! signatures are checked; a `LedgerId` alone promises a length.

use std::fmt;
use std::str::FromStr;

use multibase::Base;

/// Length of [`LedgerId::to_cid_bytes`].
pub const LEDGER_CID_BYTES: usize = CID_PREFIX.len() + KEY_BYTES;

/// Characters of a name: base2, the longest spelling that anyone could mean, takes 321.
const NAME_TEXT_MAX: usize = 512;

const KEY_BYTES: usize = 32;

/// CIDv1, codec libp2p-key, identity hash of 36 bytes; then the protobuf: key type Ed25519, 32
/// bytes of key.
const CID_PREFIX: [u8; 8] = [0x01, 0x72, 0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// The Ed25519 public key that names a ledger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LedgerId([u8; KEY_BYTES]);

impl LedgerId {
    /// Takes the 32 bytes of a public key as they are.
    pub const fn from_key_bytes(key: [u8; KEY_BYTES]) -> Self {
        Self(key)
    }

    /// The 32 bytes of the public key, as entries carry them.
    pub const fn key_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// The binary CID that `/ipns/k51...` spells in base36.
    pub fn to_cid_bytes(&self) -> [u8; LEDGER_CID_BYTES] {
        let mut bytes = [0; LEDGER_CID_BYTES];
        bytes[..CID_PREFIX.len()].copy_from_slice(&CID_PREFIX);
        bytes[CID_PREFIX.len()..].copy_from_slice(&self.0);
        bytes
    }

    /// Reads the binary CID of a name.
    pub fn from_cid_bytes(bytes: &[u8]) -> Result<Self, CidError> {
        let key = bytes.strip_prefix(&CID_PREFIX).ok_or(CidError::NotEd25519)?;
        match <[u8; KEY_BYTES]>::try_from(key) {
            Ok(key) => Ok(Self(key)),
            Err(_) => Err(CidError::Length { expected: LEDGER_CID_BYTES, actual: bytes.len() }),
        }
    }
}

impl fmt::Display for LedgerId {
    /// `k51...`: the CID in base36, as kubo prints names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&multibase::encode(Base::Base36Lower, self.to_cid_bytes()))
    }
}

impl FromStr for LedgerId {
    type Err = NameError;

    /// Reads a name in any multibase, as gateways do; `Display` prints base36.
    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > NAME_TEXT_MAX {
            return Err(NameError::Text);
        }
        let (_, bytes) = multibase::decode(text).map_err(|_| NameError::Text)?;
        Ok(Self::from_cid_bytes(&bytes)?)
    }
}

impl fmt::Debug for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LedgerId(")?;
        for byte in &self.0[..4] {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("..)")
    }
}

/// Why a CID names no ledger; whoever gave the name must give another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CidError {
    /// Another codec, another hash, or a key of another type.
    #[error("not the name of an Ed25519 key")]
    NotEd25519,
    /// The right beginning, and too few or too many bytes after it.
    #[error("a name is {expected} bytes as a CID, not {actual}")]
    Length {
        /// [`LEDGER_CID_BYTES`].
        expected: usize,
        /// The bytes given.
        actual: usize,
    },
}

/// Why text names no ledger; whoever gave it must give another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Not multibase.
    #[error("not a name in multibase")]
    Text,
    /// Multibase of something else.
    #[error(transparent)]
    Cid(#[from] CidError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cid_bytes_are_those_of_ipns_and_come_back() {
        let id = LedgerId::from_key_bytes([0xab; 32]);
        let cid = id.to_cid_bytes();
        assert_eq!(cid[..8], [0x01, 0x72, 0x00, 0x24, 0x08, 0x01, 0x12, 0x20]);
        assert_eq!(cid[8..], [0xab; 32]);
        assert_eq!(LedgerId::from_cid_bytes(&cid), Ok(id));
    }

    #[test]
    fn any_changed_byte_of_the_prefix_is_refused() {
        let cid = LedgerId::from_key_bytes([7; 32]).to_cid_bytes();
        for position in 0..CID_PREFIX.len() {
            let mut changed = cid;
            changed[position] ^= 1;
            assert_eq!(LedgerId::from_cid_bytes(&changed), Err(CidError::NotEd25519));
        }
    }

    #[test]
    fn other_lengths_are_refused_with_both_lengths() {
        let mut long = LedgerId::from_key_bytes([7; 32]).to_cid_bytes().to_vec();
        long.push(0);
        let error = |actual| Err(CidError::Length { expected: 40, actual });
        assert_eq!(LedgerId::from_cid_bytes(&long), error(41));
        assert_eq!(LedgerId::from_cid_bytes(&long[..39]), error(39));
        assert_eq!(LedgerId::from_cid_bytes(&[]), Err(CidError::NotEd25519));
    }

    #[test]
    fn text_is_that_of_ipns() {
        // A name of ipfs/gateway-conformance, `fixtures/ipns_records`.
        let text = "k51qzi5uqu5dlkw8pxuw9qmqayfdeh4kfebhmreauqdc6a7c3y7d5i9fi8mk9w";
        let id: LedgerId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!("k51".parse::<LedgerId>(), Err(NameError::Cid(CidError::NotEd25519)));
        assert_eq!("".parse::<LedgerId>(), Err(NameError::Text));
        assert_eq!("?x".parse::<LedgerId>(), Err(NameError::Text));
        assert_eq!("z".repeat(600).parse::<LedgerId>(), Err(NameError::Text));
    }

    #[test]
    fn debug_is_short() {
        assert_eq!(format!("{:?}", LedgerId::from_key_bytes([0x0f; 32])), "LedgerId(0f0f0f0f..)");
    }
}
