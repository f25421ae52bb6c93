//! Finds the links of a dag-cbor block, and refuses what is not strict dag-cbor.
//!
//! It does not build values: what walks and CAR headers need of a block is which CIDs it names.
//! The scan is a loop with a stack of counters, so that neither depth nor a declared length costs
//! memory: a list of 2^63 items is an error at its first missing item.
//!
//! Invariant: [`links`] is `Ok` only for bytes that have one meaning and are its only encoding:
//! shortest heads, definite lengths, map keys of text in order (shorter first, then by bytes) and
//! once each, no tag but 42, finite floats of 64 bits, no simple value but false, true and null.
//! Specification: IPLD dag-cbor, "Strictness". Entries of ledgers are read by the ledger package.

use crate::Cid;
use thiserror::Error;

use crate::hash;

/// Deepest nesting that is read: ordinary blocks have a handful of levels.
pub const DEPTH_MAX: usize = 64;

/// Most links of a block: one of 2 MiB has room for 51,000 that are no identity CIDs.
pub const LINKS_MAX: usize = 1 << 16;

const UINT: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;

/// Tag of a link.
const LINK: u64 = 42;

/// Why bytes are not a dag-cbor block; whoever made them must mend them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CborError {
    /// The bytes end inside of a value.
    #[error("dag-cbor ends early")]
    Truncated,
    /// A number or a length in more bytes than it needs, or a length left open.
    #[error("dag-cbor is not in its shortest form")]
    NotShortest,
    /// A tag other than 42, a float that is short or not finite, an unknown simple value.
    #[error("dag-cbor holds what the data model does not have")]
    Kind,
    /// A key that is no text, stands twice or is out of order.
    #[error("dag-cbor map keys are not text in canonical order")]
    Key,
    /// Text that is not UTF-8.
    #[error("dag-cbor text is not UTF-8")]
    Utf8,
    /// A link that holds no CID.
    #[error("a dag-cbor link is malformed")]
    Link,
    /// More links than a block may have.
    #[error("a dag-cbor block has more than {LINKS_MAX} links")]
    Links,
    /// Values within values, too many times.
    #[error("dag-cbor is nested more than {DEPTH_MAX} deep")]
    Depth,
    /// Bytes after the value.
    #[error("bytes after the end of the dag-cbor value")]
    Trailing,
}

/// The CIDs that a block links to, in order, repeated ones too; at most [`LINKS_MAX`].
///
/// # Errors
/// Every [`CborError`].
pub fn links(block: &[u8]) -> Result<Vec<Cid>, CborError> {
    let mut scan = Scan { reader: Reader::new(block), open: Vec::new(), links: Vec::new() };
    scan.value()?;
    while let Some(open) = scan.open.last_mut() {
        if open.left == 0 {
            scan.open.pop();
            continue;
        }
        open.left -= 1;
        if open.is_map {
            let key = scan.reader.text()?;
            if open.key.is_some_and(|last| (last.len(), last) >= (key.len(), key)) {
                return Err(CborError::Key);
            }
            open.key = Some(key);
        }
        scan.value()?;
    }
    scan.reader.end()?;
    Ok(scan.links)
}

/// A list or a map that is being read.
struct Open<'a> {
    /// Items, or pairs, still to come, as was declared.
    left: u64,
    is_map: bool,
    key: Option<&'a [u8]>,
}

struct Scan<'a> {
    reader: Reader<'a>,
    open: Vec<Open<'a>>,
    links: Vec<Cid>,
}

impl Scan<'_> {
    /// Reads a value, or the head of one that holds others.
    fn value(&mut self) -> Result<(), CborError> {
        let (major, value) = self.reader.head()?;
        match major {
            UINT | NEGATIVE => Ok(()),
            BYTES => self.reader.take(value).map(drop),
            TEXT => utf8(self.reader.take(value)?),
            ARRAY | MAP => {
                if self.open.len() >= DEPTH_MAX {
                    return Err(CborError::Depth);
                }
                self.open.push(Open { left: value, is_map: major == MAP, key: None });
                Ok(())
            }
            TAG if value == LINK => {
                let cid = self.reader.link_body()?;
                if self.links.len() >= LINKS_MAX {
                    return Err(CborError::Links);
                }
                self.links.push(cid);
                Ok(())
            }
            // Major type 7 was checked with its head; any other tag is none of ours.
            TAG => Err(CborError::Kind),
            _ => Ok(()),
        }
    }
}

/// Cursor over the bytes; the caller knows what it expects.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn end(&self) -> Result<(), CborError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CborError::Trailing) }
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], CborError> {
        let len = usize::try_from(len).map_err(|_| CborError::Truncated)?;
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(CborError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Reads a head: the major type and its number, which must be in its shortest form.
    fn head(&mut self) -> Result<(u8, u64), CborError> {
        let first = self.take(1)?[0];
        let (major, info) = (first >> 5, first & 0x1f);
        if major == 7 {
            return self.simple(info).map(|()| (major, 0));
        }
        let len = match info {
            0..0x18 => return Ok((major, u64::from(info))),
            0x18..=0x1b => 1 << (info - 0x18),
            _ => return Err(CborError::NotShortest),
        };
        let bytes = self.take(len)?;
        let value = bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        let least = if len == 1 { 0x18 } else { 1 << (len * 4) };
        if value < least { Err(CborError::NotShortest) } else { Ok((major, value)) }
    }

    /// The rest of a value of major type 7.
    fn simple(&mut self, info: u8) -> Result<(), CborError> {
        match info {
            // false, true, null
            20..=22 => Ok(()),
            27 => {
                let bytes = self.take(8)?.try_into().expect("eight bytes were taken");
                if f64::from_be_bytes(bytes).is_finite() { Ok(()) } else { Err(CborError::Kind) }
            }
            _ => Err(CborError::Kind),
        }
    }

    fn expect(&mut self, major: u8) -> Result<u64, CborError> {
        let (found, value) = self.head()?;
        if found == major { Ok(value) } else { Err(CborError::Kind) }
    }

    pub(crate) fn map(&mut self) -> Result<u64, CborError> {
        self.expect(MAP)
    }

    pub(crate) fn array(&mut self) -> Result<u64, CborError> {
        self.expect(ARRAY)
    }

    pub(crate) fn uint(&mut self) -> Result<u64, CborError> {
        self.expect(UINT)
    }

    /// A text, which a key must be.
    pub(crate) fn text(&mut self) -> Result<&'a [u8], CborError> {
        let (major, len) = self.head()?;
        if major != TEXT {
            return Err(CborError::Key);
        }
        let text = self.take(len)?;
        utf8(text).map(|()| text)
    }

    pub(crate) fn link(&mut self) -> Result<Cid, CborError> {
        if self.expect(TAG)? == LINK { self.link_body() } else { Err(CborError::Kind) }
    }

    /// The byte string within tag 42: the multibase byte 0 and a binary CID.
    fn link_body(&mut self) -> Result<Cid, CborError> {
        let (BYTES, len) = self.head()? else {
            return Err(CborError::Link);
        };
        match self.take(len)? {
            [0, cid @ ..] => hash::cid_from_bytes(cid).map_err(|_| CborError::Link),
            _ => Err(CborError::Link),
        }
    }
}

fn utf8(text: &[u8]) -> Result<(), CborError> {
    str::from_utf8(text).map(drop).map_err(|_| CborError::Utf8)
}

/// Appends a head.
pub(crate) fn put_head(out: &mut Vec<u8>, major: Major, value: u64) {
    let major = (major as u8) << 5;
    let bytes = value.to_be_bytes();
    match value {
        0..0x18 => out.push(major | value as u8),
        0x18..0x100 => out.extend([major | 0x18, bytes[7]]),
        0x100..0x1_0000 => {
            out.push(major | 0x19);
            out.extend(&bytes[6..]);
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(major | 0x1a);
            out.extend(&bytes[4..]);
        }
        _ => {
            out.push(major | 0x1b);
            out.extend(bytes);
        }
    }
}

/// Major types that a CAR header is written with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Major {
    Uint = 0,
    Bytes = 2,
    Text = 3,
    Array = 4,
    Map = 5,
    Tag = 6,
}

/// Appends a link.
pub(crate) fn put_link(out: &mut Vec<u8>, cid: &Cid) {
    let bytes = cid.to_bytes();
    put_head(out, Major::Tag, LINK);
    put_head(out, Major::Bytes, bytes.len() as u64 + 1);
    out.push(0);
    out.extend(bytes);
}

#[cfg(test)]
mod tests;
