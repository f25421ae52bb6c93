//! Parses what a person types: a CID, or a path that begins with one.
//!
//! Accepted: `CID`, `CID/a/b`, `/ipfs/CID/a/b`, `ipfs://CID/a/b`. Segments are bytes, taken as
//! they are; only the URI form is percent-decoded, as URIs are. Superfluous slashes are passed
//! over; segments that could never be entry names (`.`, `..`) are refused, never resolved. The CID
//! must be one that blocks can be fetched by ([`crate::hash::check`]).
//!
//! Printing a CID is its `Display`. Names of ledgers are not parsed here.

use thiserror::Error;

use crate::Cid;
use crate::hash::{self, CidError};
use crate::name::{self, NameError};

/// Longest text of a CID that is looked at, in bytes: a CID of 64 bytes of digest in base 2.
const CID_TEXT_BYTES_MAX: usize = 1024;

/// Why a text is not a path. Every message is fit to be shown to the one who typed it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PathError {
    /// The first part is not a CID. It may still be something else, such as a name.
    #[error("not a CID: {0}")]
    NotCid(String),
    /// It is a CID, but of a kind that is not handled.
    #[error("CID {text} cannot be used: {reason}")]
    Unusable {
        /// The CID as it was typed, escaped.
        text: String,
        /// What is wrong with it.
        reason: CidError,
    },
    /// A segment cannot be the name of an entry.
    #[error("bad path segment {text:?}: {reason}")]
    Segment {
        /// The segment, escaped.
        text: String,
        /// What is wrong with it.
        reason: NameError,
    },
    /// A `%` in a URI is not followed by two hexadecimal digits.
    #[error("bad percent escape in {0:?}")]
    Percent(String),
}

/// A root and the names to follow below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CidPath {
    /// Where the path begins.
    pub root: Cid,
    /// Names of the entries to follow, each good for [`name::check`].
    pub segments: Vec<Vec<u8>>,
}

/// Parses a CID or a path that begins with one.
///
/// # Errors
/// [`PathError::NotCid`] lets a caller try the text as something else.
pub fn parse(text: impl AsRef<[u8]>) -> Result<CidPath, PathError> {
    let text = text.as_ref();
    let (rest, uri) = match text.strip_prefix(b"ipfs://") {
        Some(rest) => (rest, true),
        None => (text.strip_prefix(b"/ipfs/").unwrap_or(text), false),
    };
    let mut parts = rest.split(|&byte| byte == b'/');
    let root = cid_from_text(parts.next().unwrap_or_default())?;
    let mut segments = Vec::new();
    for part in parts.filter(|part| !part.is_empty()) {
        let segment = if uri { percent_decode(part)? } else { part.to_vec() };
        name::check(&segment)
            .map_err(|reason| PathError::Segment { text: name::escape(part), reason })?;
        segments.push(segment);
    }
    Ok(CidPath { root, segments })
}

/// Parses a text that is one CID and nothing else.
pub fn cid_from_text(text: &[u8]) -> Result<Cid, PathError> {
    let shown = || name::escape(&text[..text.len().min(CID_TEXT_BYTES_MAX)]);
    let cid = decode(text).ok_or_else(|| PathError::NotCid(shown()))?;
    hash::check(&cid).map_err(|reason| PathError::Unusable { text: shown(), reason })?;
    Ok(cid)
}

fn decode(text: &[u8]) -> Option<Cid> {
    if text.len() > CID_TEXT_BYTES_MAX {
        return None;
    }
    let text = str::from_utf8(text).ok()?;
    let version0 = text.len() == 46 && text.starts_with("Qm");
    let bytes = if version0 {
        multibase::Base::Base58Btc.decode(text).ok()?
    } else {
        multibase::decode(text).ok()?.1
    };
    let cid = hash::cid_from_bytes(&bytes).ok()?;
    // A version 0 CID has no multibase prefix, a version 1 CID always has.
    (version0 == (cid.version() == cid::Version::V0)).then_some(cid)
}

fn percent_decode(part: &[u8]) -> Result<Vec<u8>, PathError> {
    let error = || PathError::Percent(name::escape(part));
    let mut out = Vec::with_capacity(part.len());
    let mut rest = part;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            out.push(*first);
            continue;
        }
        let (digits, tail) = tail.split_at_checked(2).ok_or_else(error)?;
        let digits = str::from_utf8(digits).map_err(|_| error())?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(error());
        }
        out.push(u8::from_str_radix(digits, 16).map_err(|_| error())?);
        rest = tail;
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
