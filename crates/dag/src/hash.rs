//! Makes CIDs from bytes and checks bytes against CIDs.
//!
//! Owns the allow-list: which codecs and hash functions a CID may name to be asked for, kept or
//! served. A CID outside of it can still be held and printed (a directory may link to anything),
//! but [`check`] refuses it and so does every walk.
//!
//! Invariant: [`verify`] returns `Ok` only when the digest in the CID is that of the bytes.
//! It does not parse text: see [`crate::path`]. Limits follow boxo's `verifcid`: digests of at
//! least 20 bytes, identity of at most 128.

use cid::Version;
use multihash::Multihash;
use sha2::Digest as _;
use thiserror::Error;

use crate::Cid;

/// Codec of a leaf that is file bytes and nothing else.
pub const RAW: u64 = 0x55;
/// Codec of directories, branches and wrapped leaves.
pub const DAG_PB: u64 = 0x70;
/// Codec of the ledger's entries.
pub const DAG_CBOR: u64 = 0x71;

/// Multihash code of identity: the digest is the block itself.
pub const IDENTITY: u64 = 0x00;
/// Multihash code of SHA-256.
pub const SHA2_256: u64 = 0x12;
/// Multihash code of SHA-512.
pub const SHA2_512: u64 = 0x13;
/// Multihash code of BLAKE3.
pub const BLAKE3: u64 = 0x1e;

/// Shortest digest accepted, in bytes: 160 bits, as boxo's `verifcid` has it.
pub const DIGEST_BYTES_MIN: usize = 20;
/// Longest identity digest accepted, in bytes (UnixFS specification and IPIP-0512). The [`Cid`]
/// type has no room for more, so longer ones fail to parse.
pub const IDENTITY_BYTES_MAX: usize = 128;

/// A hash function that new blocks are made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashKind {
    /// BLAKE3 with 32 bytes of output.
    Blake3,
    /// SHA-256.
    Sha256,
}

impl HashKind {
    /// Code of the function in a multihash.
    pub const fn code(self) -> u64 {
        match self {
            Self::Blake3 => BLAKE3,
            Self::Sha256 => SHA2_256,
        }
    }

    /// Hashes `data` into 32 bytes.
    pub fn digest(self, data: &[u8]) -> [u8; 32] {
        match self {
            Self::Blake3 => *blake3::hash(data).as_bytes(),
            Self::Sha256 => sha2::Sha256::digest(data).into(),
        }
    }
}

/// Why a CID may not be asked for, kept or served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CidError {
    /// The codec is not raw, dag-pb or dag-cbor.
    #[error("codec 0x{0:x} is not supported (raw, dag-pb and dag-cbor are)")]
    Codec(u64),
    /// The hash function is not on the list.
    #[error("hash function 0x{0:x} is not supported (blake3, sha2-256, sha2-512, identity are)")]
    Hash(u64),
    /// The digest has a length that the function cannot have, or one that proves too little.
    #[error("a digest of {len} bytes is not accepted for hash function 0x{code:x}")]
    DigestLength {
        /// Code of the hash function.
        code: u64,
        /// Length of the digest in the CID.
        len: usize,
    },
    /// The bytes are not a CID.
    #[error("malformed CID")]
    Malformed,
}

/// The bytes are not the ones that the CID names.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// The digest differs: the bytes are wrong.
    #[error("the bytes do not have the digest of {0}")]
    Digest(Box<Cid>),
    /// Nothing can be said about bytes of such a CID.
    #[error(transparent)]
    Cid(#[from] CidError),
}

/// Makes the CID of `data`.
///
/// Version 0 exists for dag-pb with SHA-256 only; any other combination gets version 1, as kubo
/// does for raw leaves below a CIDv0 root.
pub fn cid_of(kind: HashKind, codec: u64, version: Version, data: &[u8]) -> Cid {
    let hash = Multihash::wrap(kind.code(), &kind.digest(data)).expect("32 bytes fit in 128");
    match (version, codec, kind) {
        (Version::V0, DAG_PB, HashKind::Sha256) => {
            Cid::new_v0(hash).expect("a SHA-256 of 32 bytes is what version 0 asks for")
        }
        _ => Cid::new_v1(codec, hash),
    }
}

/// Says whether blocks of this CID are handled at all: codec, hash function, length of digest.
pub fn check(cid: &Cid) -> Result<(), CidError> {
    if !matches!(cid.codec(), RAW | DAG_PB | DAG_CBOR) {
        return Err(CidError::Codec(cid.codec()));
    }
    check_hash(cid)
}

/// Says whether bytes can be checked against this CID: hash function, length of digest.
fn check_hash(cid: &Cid) -> Result<(), CidError> {
    let (code, len) = (cid.hash().code(), usize::from(cid.hash().size()));
    let (min, max) = match code {
        IDENTITY => (0, IDENTITY_BYTES_MAX),
        SHA2_256 => (DIGEST_BYTES_MIN, 32),
        SHA2_512 => (DIGEST_BYTES_MIN, 64),
        BLAKE3 => (DIGEST_BYTES_MIN, 64),
        _ => return Err(CidError::Hash(code)),
    };
    if (min..=max).contains(&len) { Ok(()) } else { Err(CidError::DigestLength { code, len }) }
}

/// Checks that `data` is the block that `cid` names.
pub fn verify(cid: &Cid, data: &[u8]) -> Result<(), Mismatch> {
    check(cid)?;
    verify_digest(cid, data)
}

/// Checks that `data` has the digest that `cid` names, whatever its codec: how bytes are read does
/// not change which bytes they are.
pub(crate) fn verify_digest(cid: &Cid, data: &[u8]) -> Result<(), Mismatch> {
    check_hash(cid)?;
    let want = cid.hash().digest();
    let same = match cid.hash().code() {
        IDENTITY => want == data,
        SHA2_256 => sha2::Sha256::digest(data).starts_with(want),
        SHA2_512 => sha2::Sha512::digest(data).starts_with(want),
        _ => {
            let mut got = [0; 64];
            blake3::Hasher::new().update(data).finalize_xof().fill(&mut got[..want.len()]);
            got.starts_with(want)
        }
    };
    if same { Ok(()) } else { Err(Mismatch::Digest(Box::new(*cid))) }
}

/// The block of an identity CID, which carries its bytes itself; `None` for any other CID.
pub fn identity(cid: &Cid) -> Option<&[u8]> {
    (cid.hash().code() == IDENTITY).then(|| cid.hash().digest())
}

/// Reads a binary CID that is all of `bytes`.
///
/// No allow-list: see [`check`] for that. A CID has one form in bytes: numbers that are too long, of
/// which the `cid` crate drops bits, are refused.
pub fn cid_from_bytes(bytes: &[u8]) -> Result<Cid, CidError> {
    if let [1, codec @ 0..0x80, code @ 0..0x80, len @ 0..0x80, digest @ ..] = bytes
        && digest.len() == usize::from(*len)
    {
        let hash = Multihash::wrap(u64::from(*code), digest).map_err(|_| CidError::Malformed)?;
        return Ok(Cid::new_v1(u64::from(*codec), hash));
    }
    let mut rest = bytes;
    let cid = Cid::read_bytes(&mut rest).map_err(|_| CidError::Malformed)?;
    let is_whole = rest.is_empty() && cid.to_bytes() == bytes;
    if is_whole { Ok(cid) } else { Err(CidError::Malformed) }
}

#[cfg(test)]
mod tests;
