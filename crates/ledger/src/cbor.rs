//! Canonical dag-cbor, as much of it as entries, proofs and IPNS records need.
//!
//! One value has one encoding: shortest heads, definite lengths, map keys ordered by length and
//! then by bytes, no float, no tag but 42 (IPLD dag-cbor specification, "Strictness"). The reader
//! takes nothing else. It is driven by the schema: the caller asks for the keys in canonical order,
//! so an unknown, repeated or misplaced key is left over and refused. It borrows from its input and
//! never allocates from a declared length.
//!
//! An own codec and not a serde one, because what an entry signs is the exact slice of its map, and
//! because a refusal must say what was wrong. Tests hold it against `serde_ipld_dagcbor`.

use crate::hash::EntryId;

const UINT: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const NULL: u8 = 0xf6;

/// In the low five bits of a head: the value follows in one byte; then two, four and eight.
const ONE_BYTE: u8 = 0x18;

/// Tag 42, then a byte string of 37: the multibase byte 0 and a CIDv1, dag-cbor, sha2-256.
const LINK_HEAD: [u8; 9] = [0xd8, 0x2a, 0x58, 37, 0x00, 0x01, 0x71, 0x12, 0x20];

/// Why bytes are not the canonical encoding of what was expected; whoever made them must mend them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CborError {
    /// The bytes end inside of a value.
    #[error("dag-cbor ends early")]
    Truncated,
    /// A number or a length in more bytes than it needs, or a length left open.
    #[error("dag-cbor is not in its shortest form")]
    NotShortest,
    /// A value of another type.
    #[error("dag-cbor has another type where {0} is expected")]
    Type(&'static str),
    /// A key that is missing, unknown, repeated or out of order.
    #[error("dag-cbor map: key {0:?} is expected, or no further one")]
    Key(&'static str),
    /// Text that is not UTF-8.
    #[error("dag-cbor text is not UTF-8")]
    Utf8,
    /// Bytes after the value.
    #[error("bytes after the end of the dag-cbor value")]
    Trailing,
    /// A list of another length.
    #[error("dag-cbor list of {0} items")]
    Items(u64),
    /// A byte string of another length.
    #[error("dag-cbor byte string of {0} bytes")]
    Length(usize),
}

/// Writes values one after the other; the caller keeps the counts and the order of keys.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// The bytes written.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.out
    }

    fn head(&mut self, major: u8, value: u64) {
        let major = major << 5;
        let bytes = value.to_be_bytes();
        match value {
            0..0x18 => self.out.push(major | value as u8),
            0x18..0x100 => self.out.extend([major | ONE_BYTE, bytes[7]]),
            0x100..0x1_0000 => {
                self.out.push(major | (ONE_BYTE + 1));
                self.out.extend(&bytes[6..]);
            }
            0x1_0000..0x1_0000_0000 => {
                self.out.push(major | (ONE_BYTE + 2));
                self.out.extend(&bytes[4..]);
            }
            _ => {
                self.out.push(major | (ONE_BYTE + 3));
                self.out.extend(bytes);
            }
        }
    }

    pub(crate) fn uint(&mut self, value: u64) {
        self.head(UINT, value);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.head(BYTES, bytes.len() as u64);
        self.out.extend(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.head(TEXT, text.len() as u64);
        self.out.extend(text.as_bytes());
    }

    pub(crate) fn array(&mut self, items: usize) {
        self.head(ARRAY, items as u64);
    }

    pub(crate) fn map(&mut self, keys: usize) {
        self.head(MAP, keys as u64);
    }

    pub(crate) fn link_or_null(&mut self, link: Option<&EntryId>) {
        match link {
            None => self.out.push(NULL),
            Some(id) => {
                self.out.extend(LINK_HEAD);
                self.out.extend(id.as_bytes());
            }
        }
    }

    /// A value that is encoded already.
    pub(crate) fn encoded(&mut self, value: &[u8]) {
        self.out.extend(value);
    }
}

/// Reads values in the order in which the schema has them.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not read yet.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Ends the reading: nothing may be left.
    pub(crate) fn end(&self) -> Result<(), CborError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CborError::Trailing) }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], CborError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(CborError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn head(&mut self, major: u8, expected: &'static str) -> Result<u64, CborError> {
        let first = *self.rest.first().ok_or(CborError::Truncated)?;
        if first >> 5 != major {
            return Err(CborError::Type(expected));
        }
        let info = first & 0x1f;
        let width = match info {
            0..24 => 0,
            24..28 => 1 << (info - 24),
            _ => return Err(CborError::NotShortest),
        };
        let bytes = self.take(1 + width)?;
        if width == 0 {
            return Ok(u64::from(info));
        }
        let value = bytes[1..].iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        let needs_more = match width {
            1 => 24,
            2 => 0x100,
            4 => 0x1_0000,
            _ => 0x1_0000_0000,
        };
        if value < needs_more { Err(CborError::NotShortest) } else { Ok(value) }
    }

    pub(crate) fn uint(&mut self) -> Result<u64, CborError> {
        self.head(UINT, "a number")
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], CborError> {
        let len = self.head(BYTES, "a byte string")?;
        self.take(usize::try_from(len).map_err(|_| CborError::Truncated)?)
    }

    /// A byte string of exactly that length.
    pub(crate) fn array_of<const N: usize>(&mut self) -> Result<[u8; N], CborError> {
        let bytes = self.bytes()?;
        bytes.try_into().map_err(|_| CborError::Length(bytes.len()))
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, CborError> {
        let len = self.head(TEXT, "text")?;
        let bytes = self.take(usize::try_from(len).map_err(|_| CborError::Truncated)?)?;
        std::str::from_utf8(bytes).map_err(|_| CborError::Utf8)
    }

    /// The head of a list: how many items follow, at most as many as there are bytes.
    pub(crate) fn array(&mut self) -> Result<usize, CborError> {
        let items = self.head(ARRAY, "a list")?;
        self.countable(items)
    }

    /// The head of a list of a known length.
    pub(crate) fn array_exact(&mut self, items: usize) -> Result<(), CborError> {
        let found = self.array()?;
        if found == items { Ok(()) } else { Err(CborError::Items(found as u64)) }
    }

    fn countable(&self, items: u64) -> Result<usize, CborError> {
        let items = usize::try_from(items).map_err(|_| CborError::Truncated)?;
        if items > self.rest.len() { Err(CborError::Truncated) } else { Ok(items) }
    }

    /// The head of a map; its keys are then asked for in canonical order.
    pub(crate) fn map(&mut self) -> Result<Keys, CborError> {
        let keys = self.head(MAP, "a map")?;
        Ok(Keys { left: self.countable(keys)? })
    }

    pub(crate) fn link_or_null(&mut self) -> Result<Option<EntryId>, CborError> {
        if self.rest.first() == Some(&NULL) {
            self.take(1)?;
            return Ok(None);
        }
        if self.take(LINK_HEAD.len())? != LINK_HEAD {
            return Err(CborError::Type("a link to an entry"));
        }
        let digest = self.take(32)?.try_into().expect("32 bytes were taken");
        Ok(Some(EntryId::from_bytes(digest)))
    }

    /// Reads past one value of any type, at most `depth` levels deep.
    pub(crate) fn skip(&mut self, depth: u32) -> Result<(), CborError> {
        let first = *self.rest.first().ok_or(CborError::Truncated)?;
        let deeper = || depth.checked_sub(1).ok_or(CborError::Type("a shallow value"));
        match first >> 5 {
            major @ 0..=1 => self.head(major, "a number").map(drop),
            BYTES => self.bytes().map(drop),
            TEXT => self.text().map(drop),
            ARRAY => {
                let items = self.array()?;
                (0..items).try_for_each(|_| self.skip(deeper()?))
            }
            MAP => {
                let keys = self.map()?.left;
                (0..keys).try_for_each(|_| self.text().and_then(|_| self.skip(deeper()?)))
            }
            6 if self.rest.starts_with(&LINK_HEAD[..2]) => {
                self.take(2).and_then(|_| self.bytes()).map(drop)
            }
            7 if matches!(first, 0xf4..=NULL) => self.take(1).map(drop),
            7 if first == 0xfb => self.take(9).map(drop),
            _ => Err(CborError::Type("a dag-cbor value")),
        }
    }
}

/// The keys of a map that were not asked for yet.
#[derive(Debug)]
pub(crate) struct Keys {
    left: usize,
}

impl Keys {
    /// Takes that key if it is the next one.
    pub(crate) fn optional(
        &mut self,
        reader: &mut Reader<'_>,
        key: &str,
    ) -> Result<bool, CborError> {
        if self.left == 0 {
            return Ok(false);
        }
        let mut ahead = reader.clone();
        if ahead.text()? != key {
            return Ok(false);
        }
        *reader = ahead;
        self.left -= 1;
        Ok(true)
    }

    /// Takes that key, which must be the next one.
    pub(crate) fn expect(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
    ) -> Result<(), CborError> {
        if self.optional(reader, key)? { Ok(()) } else { Err(CborError::Key(key)) }
    }

    /// Takes whatever key is next; the caller minds order and repetition.
    pub(crate) fn any<'a>(
        &mut self,
        reader: &mut Reader<'a>,
    ) -> Result<Option<&'a str>, CborError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        reader.text().map(Some)
    }

    /// Ends the map: no key may be left.
    pub(crate) fn end(&self) -> Result<(), CborError> {
        if self.left == 0 { Ok(()) } else { Err(CborError::Key("(end)")) }
    }
}

#[cfg(test)]
mod tests;
