//! A reader as bytes, to be kept between runs: what it accepted must outlive the process.
//!
//! ```text
//! reader      [1, name bytes 32, [checkpoint?], [pin?], [fraud bytes ..], [chosen?], [seen?], until]
//! checkpoint  [sequence, bytes 8]
//! pin         [block, hashes, [block ..]]     the head, the peaks with it, the control entries
//! chosen      sequence of the head that the user chose;  seen: of a recovery that was seen
//! until       uint, Unix milliseconds: confirmed until
//! ```
//!
//! Loading checks signatures again, but the peaks are believed: keep the bytes where they cannot
//! change unnoticed. A text form of checkpoints, for links, is here too.

use std::fmt;
use std::str::FromStr;

use super::{Checkpoint, FRAUDS_MAX, Pin, Reader};
use crate::authority::Authority;
use crate::cbor::{self, Writer};
use crate::head::position;
use crate::tree::Peaks;
use crate::wire::{
    DecodeError, blocks, entry, hashes, optional, write_blocks, write_hashes, write_optional,
};
use crate::{Fraud, LedgerId, Position, PositionError};

type Result<T> = std::result::Result<T, DecodeError>;

/// The version of the bytes.
const VERSION: u64 = 1;

impl Reader {
    /// The whole state as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.array(8);
        out.uint(VERSION);
        out.bytes(self.name.key_bytes());
        write_optional(&mut out, self.checkpoint.as_ref(), |out, checkpoint| {
            out.array(2);
            out.uint(checkpoint.position.sequence());
            out.bytes(&checkpoint.root);
        });
        write_optional(&mut out, self.pin.as_ref(), |out, pin| {
            out.array(3);
            out.bytes(pin.head.block());
            write_hashes(out, pin.peaks.hashes());
            write_blocks(out, &pin.chain);
        });
        out.array(self.frauds.len());
        for fraud in &self.frauds {
            out.bytes(&fraud.encode());
        }
        write_optional(&mut out, self.chosen.as_ref(), |out, at| out.uint(at.sequence()));
        write_optional(&mut out, self.seen_recovery.as_ref(), |out, at| out.uint(at.sequence()));
        out.uint(self.confirmed_until_ms);
        out.finish()
    }

    /// Reads a state that [`Reader::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = cbor::Reader::new(bytes);
        let input = &mut reader;
        input.array_exact(8)?;
        if input.uint()? != VERSION {
            return Err(DecodeError::Format);
        }
        let name = LedgerId::from_key_bytes(input.array_of()?);
        let checkpoint = optional(input, |input| {
            input.array_exact(2)?;
            Ok(Checkpoint { position: position(input)?, root: input.array_of()? })
        })?;
        let pin = optional(input, |input| read_pin(input, name))?;
        let count = input.array()?;
        if count > FRAUDS_MAX {
            return Err(DecodeError::Format);
        }
        let frauds = (0..count).map(|_| read_fraud(input, name)).collect::<Result<_>>()?;
        let chosen = optional(input, position)?;
        let seen_recovery = optional(input, position)?;
        let confirmed_until_ms = input.uint()?;
        reader.end()?;
        Ok(Self { name, checkpoint, pin, frauds, chosen, seen_recovery, confirmed_until_ms })
    }
}

fn read_pin(input: &mut cbor::Reader<'_>, name: LedgerId) -> Result<Pin> {
    input.array_exact(3)?;
    let head = entry(input)?;
    let size = head.index() + 1;
    let peaks = Peaks::from_parts(size, hashes(input)?).ok_or(DecodeError::Format)?;
    let chain = blocks(input)?;
    let authority = Authority::replay(name, &chain).map_err(|_| DecodeError::Format)?;
    let under = head.kind().is_control() && chain.last() == Some(&head);
    if !under && authority.admit(&head).is_err() {
        return Err(DecodeError::Format);
    }
    Ok(Pin { head, peaks, chain, authority })
}

fn read_fraud(input: &mut cbor::Reader<'_>, name: LedgerId) -> Result<Fraud> {
    let fraud = Fraud::decode(input.bytes()?).map_err(|_| DecodeError::Format)?;
    fraud.verify(name).map_err(|_| DecodeError::Format)?;
    Ok(fraud)
}

impl fmt::Display for Checkpoint {
    /// `#epoch.index.` and 16 hex digits, as links carry it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.", self.position)?;
        self.root.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Checkpoint {
    type Err = PositionError;

    /// Reads exactly what `Display` prints.
    fn from_str(text: &str) -> std::result::Result<Self, PositionError> {
        let (position, hex) = text.rsplit_once('.').ok_or(PositionError::Text)?;
        let position: Position = position.parse()?;
        let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if hex.len() != 16 || !hex.bytes().all(lower) {
            return Err(PositionError::Text);
        }
        let root = u64::from_str_radix(hex, 16).map_err(|_| PositionError::Text)?;
        Ok(Self { position, root: root.to_be_bytes() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fraud::conflict;
    use crate::head::prove;
    use crate::sample::*;

    #[track_caller]
    fn comes_back(reader: &Reader) {
        let bytes = reader.encode();
        let read = Reader::decode(&bytes).unwrap();
        assert_eq!((read.pin(), read.frauds()), (reader.pin(), reader.frauds()));
        assert_eq!(read.encode(), bytes);
        assert_eq!(read.status(5), reader.status(5));
    }

    #[test]
    fn a_reader_comes_back_whatever_its_state() {
        let seen = "#0.3.0123456789abcdef".parse().unwrap();
        comes_back(&Reader::new(name(), Some(seen)));
        let (ours, theirs) = (chain(6, 0), chain(9, 50));
        let mut reader = Reader::new(name(), None);
        reader.accept(&prove(&ours, None).unwrap(), u64::MAX).unwrap();
        reader.confirm(ours.tip().head(), 7);
        comes_back(&reader);
        reader.witness(conflict(&ours, &theirs).unwrap()).unwrap();
        comes_back(&reader);
        reader.choose(&prove(&theirs, None).unwrap()).unwrap();
        comes_back(&reader);
        let mut reader = Reader::new(name(), None);
        let mut branch = recover(&ours, 5, RECOVERY[0], &[7]);
        reader.accept(&prove(&branch, None).unwrap(), u64::MAX).unwrap();
        comes_back(&reader);
        push(&mut branch, 7, writers(0, &[8], 0));
        reader.accept(&prove(&branch, reader.have().as_ref()).unwrap(), u64::MAX).unwrap();
        comes_back(&reader);
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let mut reader = Reader::new(name(), None);
        reader.accept(&prove(&chain(6, 0), None).unwrap(), u64::MAX).unwrap();
        let bytes = reader.encode();
        for len in 0..bytes.len() {
            assert!(Reader::decode(&bytes[..len]).is_err(), "{len}");
        }
        let mut other = bytes;
        other[4] ^= 1; // another name than the entries'
        assert_eq!(Reader::decode(&other).err(), Some(DecodeError::Format));
    }

    #[test]
    fn checkpoints_have_one_spelling() {
        let text = "#2.17.00ff0102030405ab";
        let checkpoint: Checkpoint = text.parse().unwrap();
        assert_eq!(checkpoint.to_string(), text);
        for text in
            ["#2.17", "#2.17.", "#2.17.00FF0102030405ab", "#2.17.00ff", "#2.17.+0ff0102030405ab"]
        {
            assert_eq!(text.parse::<Checkpoint>(), Err(PositionError::Text), "{text}");
        }
    }
}
