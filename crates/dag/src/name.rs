//! Names of directory entries: which ones may reach a disk, and how they are shown.
//!
//! A name is bytes, not text. [`check`] is the one gate that every name passes before it is
//! written into a directory here or becomes a path on a disk or in a mount; decoding a foreign
//! directory does not apply it, so that a listing can still show what is there. [`escape`] makes
//! a name harmless for a terminal and keeps it unambiguous.
//!
//! It does not know the rules of other systems than Unix.

use std::fmt::Write as _;

use thiserror::Error;

/// Longest name in bytes: Linux's NAME_MAX.
pub const NAME_BYTES_MAX: usize = 255;

/// Why a name may not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// The name has no bytes.
    #[error("an entry name is empty")]
    Empty,
    /// The name is `.` or `..`.
    #[error("an entry name is \".\" or \"..\"")]
    Dots,
    /// The name has a slash or a zero byte in it.
    #[error("an entry name contains '/' or a zero byte")]
    Byte,
    /// The name is longer than [`NAME_BYTES_MAX`].
    #[error("an entry name has {0} bytes, more than {NAME_BYTES_MAX}")]
    Long(usize),
}

/// Says whether a name may become a directory entry.
pub fn check(name: &[u8]) -> Result<(), NameError> {
    match name {
        [] => Err(NameError::Empty),
        b"." | b".." => Err(NameError::Dots),
        _ if name.iter().any(|byte| matches!(byte, b'/' | 0)) => Err(NameError::Byte),
        _ if name.len() > NAME_BYTES_MAX => Err(NameError::Long(name.len())),
        _ => Ok(()),
    }
}

/// Shows a name on a terminal or in a log line.
///
/// Printable text stays; control characters, characters that change the direction or the line,
/// bytes that are not UTF-8, and the backslash itself become `\xNN`, `\u{N}` and `\\`. Two names
/// never look the same by escaping.
pub fn escape(name: &[u8]) -> String {
    let mut out = String::with_capacity(name.len());
    for part in name.utf8_chunks() {
        for c in part.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '\0'..='\x1f' | '\x7f' => push(&mut out, format_args!("\\x{:02x}", c as u32)),
                _ if is_unsafe(c) => push(&mut out, format_args!("\\u{{{:x}}}", c as u32)),
                _ => out.push(c),
            }
        }
        for byte in part.invalid() {
            push(&mut out, format_args!("\\x{byte:02x}"));
        }
    }
    out
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a string cannot fail");
}

/// Characters that a terminal obeys or hides: C1 controls, marks and overrides of direction,
/// separators of lines, invisible ones and tags.
const fn is_unsafe(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_may_not_reach_a_disk_are_refused() {
        assert_eq!(check(b""), Err(NameError::Empty));
        assert_eq!(check(b"."), Err(NameError::Dots));
        assert_eq!(check(b".."), Err(NameError::Dots));
        assert_eq!(check(b"a/b"), Err(NameError::Byte));
        assert_eq!(check(b"a\0"), Err(NameError::Byte));
        assert_eq!(check(&[b'x'; 256]), Err(NameError::Long(256)));
        for good in [&b"..."[..], b"a b", b"\xff\xfe", b" ", b"-rf", &[b'x'; 255]] {
            assert_eq!(check(good), Ok(()), "{}", escape(good));
        }
    }

    #[test]
    fn escaped_names_are_harmless_and_unambiguous() {
        assert_eq!(escape("plain \u{e9}".as_bytes()), "plain \u{e9}");
        assert_eq!(escape(b"\x1b[31m\n\x7f"), "\\x1b[31m\\x0a\\x7f");
        assert_eq!(escape(b"a\xff\xfeb"), "a\\xff\\xfeb");
        assert_eq!(escape(b"\\xff"), "\\\\xff");
        assert_eq!(escape("\u{202e}gpj\u{200b}".as_bytes()), "\\u{202e}gpj\\u{200b}");
        assert_eq!(escape("\u{9b}31m".as_bytes()), "\\u{9b}31m");
    }
}
