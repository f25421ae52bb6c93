//! Reads and writes the protobuf wire format, for dag-pb and UnixFS.
//!
//! The reader borrows from the block, never allocates, never looks past the end and refuses what
//! no writer of these formats makes: varints that are not minimal or exceed 64 bits, groups,
//! field number 0. It knows nothing of messages.
//! Specification: protobuf encoding, "Message Structure".

use thiserror::Error;

/// Why bytes are not a protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WireError {
    /// The message ends within a field.
    #[error("truncated")]
    Truncated,
    /// A number has more than 64 bits or superfluous bytes.
    #[error("malformed varint")]
    Varint,
    /// A wire type that protobuf 3 does not have, or field number 0.
    #[error("malformed field key")]
    Key,
}

/// Wire type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Varint,
    Fixed64,
    Bytes,
    Fixed32,
}

/// Cursor over a message.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// Reads the key of the next field; `None` at the end of the message.
    pub(crate) fn key(&mut self) -> Result<Option<(u64, Kind)>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let kind = match key & 7 {
            0 => Kind::Varint,
            1 => Kind::Fixed64,
            2 => Kind::Bytes,
            5 => Kind::Fixed32,
            _ => return Err(WireError::Key),
        };
        if key >> 3 == 0 { Err(WireError::Key) } else { Ok(Some((key >> 3, kind))) }
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0_u64;
        for (i, &byte) in self.rest.iter().enumerate().take(10) {
            if i == 9 && byte > 1 {
                return Err(WireError::Varint);
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                if byte == 0 && i > 0 {
                    return Err(WireError::Varint);
                }
                self.rest = &self.rest[i + 1..];
                return Ok(value);
            }
        }
        Err(WireError::Truncated)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let len = usize::try_from(self.varint()?).map_err(|_| WireError::Truncated)?;
        self.take(len)
    }

    pub(crate) fn fixed32(&mut self) -> Result<u32, WireError> {
        let bytes = self.take(4)?.try_into().expect("four bytes were taken");
        Ok(u32::from_le_bytes(bytes))
    }

    /// Passes over a field of a kind that the caller does not read.
    pub(crate) fn skip(&mut self, kind: Kind) -> Result<(), WireError> {
        match kind {
            Kind::Varint => self.varint().map(drop),
            Kind::Fixed64 => self.take(8).map(drop),
            Kind::Bytes => self.bytes().map(drop),
            Kind::Fixed32 => self.take(4).map(drop),
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let (head, tail) = self.rest.split_at_checked(len).ok_or(WireError::Truncated)?;
        self.rest = tail;
        Ok(head)
    }
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a numeric field (numbers of fields are below 16 in these formats: one byte of key).
pub(crate) fn put_uint(out: &mut Vec<u8>, field: u8, value: u64) {
    out.push(field << 3);
    put_varint(out, value);
}

/// Appends a field of bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    out.push(field << 3 | 2);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Length of a varint, in bytes.
pub(crate) const fn varint_len(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// Length of a field of bytes: key, length and content.
pub(crate) const fn bytes_field_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

#[cfg(test)]
mod tests;
