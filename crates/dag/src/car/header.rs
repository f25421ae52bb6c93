//! The header of a version 1 payload: a dag-cbor map of roots and version.
//!
//! Writers disagree about the order of the two keys, so both are read; one is written, the
//! canonical one. A header without roots is read as one with none: a stream of blocks may have no root.

use crate::Cid;

use super::{CarFault, ROOTS_MAX};
use crate::cbor::{self, Major, Reader};

/// What a CAR says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Version of the file: 1 or 2.
    pub version: u64,
    /// Where its trees begin, in order. A claim: their blocks may be missing.
    pub roots: Vec<Cid>,
}

impl Header {
    /// Reads a header and its version, whatever that is.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CarFault> {
        let mut reader = Reader::new(bytes);
        let (mut version, mut roots) = (None, None);
        for _ in 0..reader.map()? {
            match reader.text()? {
                b"version" if version.is_none() => version = Some(reader.uint()?),
                b"roots" if roots.is_none() => roots = Some(read_roots(&mut reader)?),
                _ => return Err(CarFault::HeaderKeys),
            }
        }
        reader.end()?;
        let version = version.ok_or(CarFault::HeaderKeys)?;
        Ok(Self { version, roots: roots.unwrap_or_default() })
    }

    /// The header of version 1 with these roots, its length not before it.
    pub(super) fn encode(roots: &[Cid]) -> Vec<u8> {
        let mut out = Vec::new();
        cbor::put_head(&mut out, Major::Map, 2);
        put_text(&mut out, "roots");
        cbor::put_head(&mut out, Major::Array, roots.len() as u64);
        for root in roots {
            cbor::put_link(&mut out, root);
        }
        put_text(&mut out, "version");
        cbor::put_head(&mut out, Major::Uint, 1);
        out
    }
}

fn read_roots(reader: &mut Reader<'_>) -> Result<Vec<Cid>, CarFault> {
    let count = reader.array()?;
    if count > ROOTS_MAX as u64 {
        return Err(CarFault::Roots(count));
    }
    // Collected one by one: the count is a claim.
    let mut roots = Vec::new();
    for _ in 0..count {
        roots.push(reader.link()?);
    }
    Ok(roots)
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    cbor::put_head(out, Major::Text, text.len() as u64);
    out.extend(text.as_bytes());
}
