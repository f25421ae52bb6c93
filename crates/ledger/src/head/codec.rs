//! Heads with their proofs as bytes, as they travel between peers.
//!
//! ```text
//! head proof  [block, hashes, common, [placed ..]]
//! common      [size, root bytes 32, hashes to what the reader has, hashes to the head]
//! placed      [block, hashes]
//! have        [sequence, root bytes 32]       the sequence number of the position
//! ```

use super::{Common, Have, HeadProof, Placed};
use crate::cbor::{Reader, Writer};
use crate::wire::{DecodeError, count, entry, hashes, write_hashes};
use crate::{Hash, Position};

type Result<T> = std::result::Result<T, DecodeError>;

impl Placed {
    pub(crate) fn write(&self, out: &mut Writer) {
        out.array(2);
        out.bytes(self.entry.block());
        write_hashes(out, &self.path);
    }

    pub(crate) fn read(input: &mut Reader<'_>) -> Result<Self> {
        input.array_exact(2)?;
        Ok(Self { entry: entry(input)?, path: hashes(input)? })
    }
}

impl Have {
    /// What a reader has, as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        self.write(&mut out);
        out.finish()
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.array(2);
        out.uint(self.position.sequence());
        out.bytes(self.root.as_bytes());
    }

    /// Reads what a reader says that it has.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut input = Reader::new(bytes);
        let have = Self::read(&mut input)?;
        input.end()?;
        Ok(have)
    }

    pub(crate) fn read(input: &mut Reader<'_>) -> Result<Self> {
        input.array_exact(2)?;
        Ok(Self { position: position(input)?, root: Hash::from_bytes(input.array_of()?) })
    }
}

/// A position by its sequence number.
pub(crate) fn position(input: &mut Reader<'_>) -> Result<Position> {
    Position::from_sequence(input.uint()?).map_err(|_| DecodeError::Format)
}

impl HeadProof {
    /// The proof as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        self.write(&mut out);
        out.finish()
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.array(4);
        out.bytes(self.head.block());
        write_hashes(out, &self.peaks);
        out.array(4);
        out.uint(self.common.size);
        out.bytes(self.common.root.as_bytes());
        write_hashes(out, &self.common.to_have);
        write_hashes(out, &self.common.to_head);
        out.array(self.control.len());
        for placed in &self.control {
            placed.write(out);
        }
    }

    /// Reads a proof. Nothing in it is believed before a reader accepts it.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut input = Reader::new(bytes);
        let proof = Self::read(&mut input)?;
        input.end()?;
        Ok(proof)
    }

    pub(crate) fn read(input: &mut Reader<'_>) -> Result<Self> {
        input.array_exact(4)?;
        let head = entry(input)?;
        let peaks = hashes(input)?;
        input.array_exact(4)?;
        let size = input.uint()?;
        let root = Hash::from_bytes(input.array_of()?);
        let common = Common { size, root, to_have: hashes(input)?, to_head: hashes(input)? };
        let control = (0..count(input)?).map(|_| Placed::read(input)).collect::<Result<_>>()?;
        Ok(Self { head, peaks, common, control })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::{prove, prove_across};
    use crate::reader::Reader as NameReader;
    use crate::sample::*;

    #[test]
    fn proofs_come_back_and_have_one_form() {
        let old = chain(9, 0);
        let mut reader = NameReader::new(name(), None);
        reader.accept(&prove(&old, None).unwrap(), u64::MAX).unwrap();
        let branch = recover(&old, 4, RECOVERY[0], &[7]);
        let have = reader.have().unwrap();
        for proof in [prove(&old, None), prove_across(&branch, Some(&have), &old)] {
            let proof = proof.unwrap();
            let bytes = proof.encode();
            assert_eq!(HeadProof::decode(&bytes), Ok(proof));
            for len in 0..bytes.len() {
                assert!(HeadProof::decode(&bytes[..len]).is_err(), "{len}");
            }
            assert!(HeadProof::decode(&[&bytes[..], &[0]].concat()).is_err());
        }
        assert_eq!(Have::decode(&have.encode()), Ok(have));
        assert_eq!(Have::decode(&[0x82, 0, 0x40]), Err(DecodeError::Format));
    }
}
