//! Unsigned varints as the multiformats have them: at most 63 bits in 9 bytes, in their shortest form.
//!
//! For what is read as it comes: a number whose end is missing is no error yet. Protobuf, which allows
//! 64 bits in 10 bytes, has a reader of its own in the package.
//! Specification: multiformats unsigned-varint.

use thiserror::Error;

/// Longest varint, in bytes.
pub const VARINT_BYTES_MAX: usize = 9;

/// A number of more than 63 bits or with superfluous bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("malformed varint")]
pub struct VarintError;

/// Reads a number at the beginning of `bytes` and says how many bytes it has; `None` while its end is
/// missing.
///
/// # Errors
/// [`VarintError`], as soon as it is certain.
pub fn read(bytes: &[u8]) -> Result<Option<(u64, usize)>, VarintError> {
    let mut value = 0_u64;
    for (i, &byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            let is_shortest = byte != 0 || i == 0;
            return if is_shortest { Ok(Some((value, i + 1))) } else { Err(VarintError) };
        }
    }
    if bytes.len() >= VARINT_BYTES_MAX { Err(VarintError) } else { Ok(None) }
}

/// Appends a number of at most 63 bits.
pub fn put(out: &mut Vec<u8>, value: u64) {
    debug_assert!(value < 1 << 63, "{value} has more than 63 bits");
    crate::wire::put_varint(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_when_they_are_complete() {
        for value in [0, 1, 127, 128, 16_383, 16_384, (1 << 63) - 1] {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            for len in 0..bytes.len() {
                assert_eq!(read(&bytes[..len]), Ok(None));
            }
            let len = bytes.len();
            bytes.push(0xff);
            assert_eq!(read(&bytes), Ok(Some((value, len))));
        }
        assert_eq!(read(&[0x80, 0]), Err(VarintError));
        assert_eq!(read(&[0x80; 9]), Err(VarintError));
        assert_eq!(read(&[0x80; 8]), Ok(None));
    }
}
