//! Ed25519 keys, with the one rule by which signatures are judged everywhere.
//!
//! The rule is ed25519-dalek's `verify_strict`: no key and no commitment of small order, canonical
//! scalars, the equation without the cofactor. A lax rule in one place and a strict one in another
//! would make two readers disagree on what is valid. Keys that entries introduce must besides be
//! canonical points ([`PublicKey::is_sound`]).
//!
//! Randomness is the caller's: a [`SecretKey`] comes from 32 bytes. Signing is deterministic (RFC
//! 8032), so a retry sends the same bytes.

use std::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::LedgerId;
use crate::hash::{Hash, sha256};

/// Bytes of one signature.
pub const SIGNATURE_BYTES: usize = 64;

/// A key that signs. Prints nothing of itself.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key that grows from those 32 random bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// What others know it by.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs the parts, one after the other.
    pub(crate) fn sign(&self, parts: &[&[u8]]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(&parts.concat()).to_bytes()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {:?})", self.public())
    }
}

/// A key that signatures are checked with: 32 bytes, not yet known to be a point.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Takes 32 bytes as they are.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What a name commits to when this is one of its recovery keys: unseen until it is used.
    pub fn commitment(&self) -> Hash {
        Hash::from_bytes(sha256(&[&self.0]))
    }

    /// Whether it is a point of large order in its canonical form. Entries may introduce no other
    /// key: it could sign nothing, or be spelled in two ways.
    pub fn is_sound(&self) -> bool {
        let [first, middle @ .., last] = &self.0;
        let above_field =
            *first >= 0xed && middle.iter().all(|b| *b == 0xff) && last & 0x7f == 0x7f;
        let point = VerifyingKey::from_bytes(&self.0);
        !above_field && point.is_ok_and(|point| !point.is_weak())
    }

    /// Whether that signature is this key's, over the parts one after the other.
    pub(crate) fn verifies(&self, parts: &[&[u8]], signature: &[u8]) -> bool {
        let (Ok(key), Ok(signature)) =
            (VerifyingKey::from_bytes(&self.0), Signature::from_slice(signature))
        else {
            return false;
        };
        key.verify_strict(&parts.concat(), &signature).is_ok()
    }
}

impl From<LedgerId> for PublicKey {
    fn from(ledger: LedgerId) -> Self {
        Self(*ledger.key_bytes())
    }
}

impl From<PublicKey> for LedgerId {
    fn from(key: PublicKey) -> Self {
        Self::from_key_bytes(key.0)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(")?;
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("..)")
    }
}

#[cfg(test)]
mod tests;
