//! Proofs as files that people hand on: one header, and what kind of proof follows.
//!
//! ```text
//! file   "shoal-proof", version byte 1, kind byte, body
//! kind   0  a file was in a version of a name: the body is a file proof (`file_proof/codec.rs`)
//!        1  a name is forked, or its writers broke another rule: [name bytes 32, fraud bytes]
//! ```
//!
//! Whoever is given such a file learns from [`ProofFile::decode`] what it claims, and from the
//! proof's own `verify` whether that is so. A file is at most [`PROOF_FILE_BYTES_MAX`] bytes.

use crate::cbor::{Reader, Writer};
use crate::file_proof::{FILE_PROOF_BYTES_MAX, FileProof};
use crate::wire::DecodeError;
use crate::{Fraud, LedgerId};

/// How every proof file begins.
pub const MAGIC: &[u8; 11] = b"shoal-proof";

/// Bytes of a proof file: the largest proof, and its header.
pub const PROOF_FILE_BYTES_MAX: usize = FILE_PROOF_BYTES_MAX + HEADER_BYTES;

const HEADER_BYTES: usize = MAGIC.len() + 2;

/// The version that is written and read.
const VERSION: u8 = 1;

/// A proof file that was read; nothing in it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProofFile {
    /// That a file was in a version of a name: see [`FileProof::verify`].
    File(Box<FileProof>),
    /// That somebody who may sign for a name broke its rules: see [`Fraud::verify`].
    Fraud {
        /// The name.
        name: LedgerId,
        /// The proof.
        fraud: Box<Fraud>,
    },
}

impl ProofFile {
    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, body) = match self {
            Self::File(proof) => (0, proof.encode()),
            Self::Fraud { name, fraud } => {
                let mut out = Writer::default();
                out.array(2);
                out.bytes(name.key_bytes());
                out.bytes(&fraud.encode());
                (1, out.finish())
            }
        };
        [&MAGIC[..], &[VERSION, kind], &body].concat()
    }

    /// Reads a file.
    pub fn decode(bytes: &[u8]) -> Result<Self, ProofFileError> {
        if bytes.len() > PROOF_FILE_BYTES_MAX {
            return Err(ProofFileError::TooLarge { bytes: bytes.len() });
        }
        match bytes.strip_prefix(MAGIC) {
            Some([VERSION, 0, body @ ..]) => Ok(Self::File(Box::new(FileProof::decode(body)?))),
            Some([VERSION, 1, body @ ..]) => Ok(read_fraud(body)?),
            Some([VERSION, kind, ..]) => Err(ProofFileError::Kind(*kind)),
            Some([version, ..]) => Err(ProofFileError::Version(*version)),
            _ => Err(ProofFileError::NoProof),
        }
    }
}

fn read_fraud(body: &[u8]) -> Result<ProofFile, DecodeError> {
    let mut input = Reader::new(body);
    input.array_exact(2)?;
    let name = LedgerId::from_key_bytes(input.array_of()?);
    let fraud = Box::new(Fraud::decode(input.bytes()?)?);
    input.end()?;
    Ok(ProofFile::Fraud { name, fraud })
}

/// Why a file is no proof file; get it again, or a program that knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofFileError {
    /// It does not begin as proof files do.
    #[error("not a proof file")]
    NoProof,
    /// A version that this program does not know; a newer one may.
    #[error("a proof file of version {0}, which is not known")]
    Version(u8),
    /// A kind of proof that this program does not know; a newer one may.
    #[error("a proof of kind {0}, which is not known")]
    Kind(u8),
    /// More than [`PROOF_FILE_BYTES_MAX`] bytes.
    #[error("a proof file of {bytes} bytes, above {PROOF_FILE_BYTES_MAX}")]
    TooLarge {
        /// The bytes of the file.
        bytes: usize,
    },
    /// The proof in it cannot be read.
    #[error("the proof in the file: {0}")]
    Decode(#[from] DecodeError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fraud::conflict;
    use crate::sample::*;

    fn forked() -> ProofFile {
        let fraud = Box::new(conflict(&chain(6, 0), &chain(9, 50)).unwrap());
        ProofFile::Fraud { name: name(), fraud }
    }

    fn holds(bytes: &[u8]) -> bool {
        match ProofFile::decode(bytes) {
            Ok(ProofFile::File(proof)) => proof.verify().is_ok(),
            Ok(ProofFile::Fraud { name, fraud }) => fraud.verify(name).is_ok(),
            Err(_) => false,
        }
    }

    #[test]
    fn every_bit_of_a_proof_of_a_fork_matters() {
        let bytes = forked().encode();
        assert_eq!(ProofFile::decode(&bytes), Ok(forked()));
        assert!(holds(&bytes));
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!holds(&changed), "bit {bit} of {}", bytes.len() * 8);
        }
        assert!((0..bytes.len()).all(|len| ProofFile::decode(&bytes[..len]).is_err()));
        assert!(!holds(&[&bytes[..], &[0]].concat()));
    }

    #[test]
    fn other_files_say_what_they_are() {
        let why = |bytes: &[u8]| ProofFile::decode(bytes).unwrap_err();
        assert_eq!(why(b""), ProofFileError::NoProof);
        assert_eq!(why(b"shoal-proof"), ProofFileError::NoProof);
        assert_eq!(why(b"shoal-proof\x02\x00"), ProofFileError::Version(2));
        assert_eq!(why(b"shoal-proof\x01\x02rest"), ProofFileError::Kind(2));
        assert!(matches!(why(b"shoal-proof\x01\x00"), ProofFileError::Decode(_)));
        let bytes = PROOF_FILE_BYTES_MAX + 1;
        assert_eq!(why(&vec![0; bytes]), ProofFileError::TooLarge { bytes });
        // One kind does not pass for the other.
        let mut other = forked().encode();
        other[MAGIC.len() + 1] = 0;
        assert!(matches!(why(&other), ProofFileError::Decode(_)));
    }
}
