//! The protobuf wire format, as far as Bitswap needs it.
//!
//! The reader borrows from a message, never allocates and never looks past the end. It takes what
//! any protobuf writer makes: fields in any order, varints that are longer than they need be.
//! Groups, which nobody writes, and field number 0 are refused. It knows nothing of messages.
//! Specification: protobuf encoding, "Message Structure".

use bytes::{BufMut, BytesMut};

use crate::event::Violation;

/// Longest varint, in bytes.
const VARINT_BYTES_MAX: usize = 10;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A number, a boolean or an enum.
    Varint(u64),
    /// Bytes, text or a message.
    Bytes(&'a [u8]),
    /// A number of fixed size, which Bitswap does not have: passed over.
    Fixed,
}

impl<'a> Value<'a> {
    /// The bytes of a field that must have some.
    pub(super) fn bytes(self) -> Result<&'a [u8], Violation> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(Violation::Malformed) }
    }

    /// The number of a field that must have one.
    pub(super) fn number(self) -> Result<u64, Violation> {
        if let Self::Varint(number) = self { Ok(number) } else { Err(Violation::Malformed) }
    }

    /// A field that is zero or not.
    pub(super) fn flag(self) -> Result<bool, Violation> {
        self.number().map(|number| number != 0)
    }
}

/// What is left of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    /// The next field's number and value; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, Violation> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.fixed(8)?,
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| Violation::Malformed)?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.fixed(4)?,
            _ => return Err(Violation::Malformed),
        };
        if key >> 3 == 0 { Err(Violation::Malformed) } else { Ok(Some((key >> 3, value))) }
    }

    /// A varint of at most 64 bits.
    pub(super) fn varint(&mut self) -> Result<u64, Violation> {
        let mut value = 0_u64;
        for (i, &byte) in self.0.iter().take(VARINT_BYTES_MAX).enumerate() {
            if i + 1 == VARINT_BYTES_MAX && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.0 = &self.0[i + 1..];
                return Ok(value);
            }
        }
        Err(Violation::Malformed)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Violation> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Violation::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn fixed(&mut self, len: usize) -> Result<Value<'a>, Violation> {
        self.take(len).map(|_| Value::Fixed)
    }
}

/// Appends a varint.
pub(super) fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// Bytes of a varint.
pub(super) const fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends a number; one that is 0 is what a field that is not there says.
pub(super) fn put_number(out: &mut BytesMut, field: u64, value: u64) {
    if value != 0 {
        put_varint(out, field << 3);
        put_varint(out, value);
    }
}

/// Appends the key and the length of a field of bytes.
pub(super) fn put_head(out: &mut BytesMut, field: u64, len: usize) {
    put_varint(out, field << 3 | 2);
    put_varint(out, len as u64);
}

/// Appends a field of bytes.
pub(super) fn put_bytes(out: &mut BytesMut, field: u64, bytes: &[u8]) {
    put_head(out, field, bytes.len());
    out.put_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_bytes_come_back() {
        for value in [1, 127, 128, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut out = BytesMut::new();
            put_number(&mut out, 7, value);
            put_bytes(&mut out, 20, b"abc");
            let mut fields = Fields(&out);
            assert_eq!(fields.next().unwrap(), Some((7, Value::Varint(value))));
            assert_eq!(fields.next().unwrap(), Some((20, Value::Bytes(b"abc"))));
            assert_eq!(fields.next().unwrap(), None);
            let mut alone = BytesMut::new();
            put_varint(&mut alone, value);
            assert_eq!(alone.len(), varint_len(value));
        }
        assert_eq!(varint_len(0), 1);
    }

    #[test]
    fn what_protobuf_does_not_have_is_refused() {
        for bytes in [
            &[0x08][..],   // a key without its value
            &[0x0a, 5, 1], // bytes that end early
            &[0x0b],       // a group
            &[0x00, 0],    // field 0
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], // 65 bits
            &[0x09, 1, 2, 3], // half of eight bytes
        ] {
            let mut fields = Fields(bytes);
            assert_eq!(fields.next(), Err(Violation::Malformed), "{bytes:x?}");
        }
        let mut padded = Fields(&[0x08, 0x81, 0x80, 0x00]);
        assert_eq!(padded.next().unwrap(), Some((1, Value::Varint(1))), "padding is legal");
    }
}
