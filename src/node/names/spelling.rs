//! How a person writes a name, a version of it, and a path below it.
//!
//! ```text
//! PETNAME[@VERSION][/path]            k51...[@VERSION][/path]
//! /ipns/k51...[/path]  ipns://k51...  shoal://k51...[#EPOCH.INDEX.HASH][/path]
//! VERSION = a number (content versions count from 1) | an RFC 3339 time, at least a full date
//! ```
//!
//! A petname has no `@`, `/`, `#` or control character, does not begin with `k51` and is not a number, so that
//! nothing written here can mean two things. A date without a time means the end of that day, in UTC: what was
//! published on it counts. `2026` alone is version 2026.

use shoal_dag::name;
use shoal_ledger::{LedgerId, ipns::Instant, reader::Checkpoint};

use crate::control::protocol::Failure;

/// Bytes of a petname: fits a line, and a directory entry with a version behind it.
pub const PETNAME_BYTES_MAX: usize = 64;

/// Which name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// What it is called here.
    Petname(String),
    /// The key itself.
    Ledger(LedgerId),
    /// A domain, whose DNSLink is a hint at a name.
    Domain(String),
}

/// Which of its versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The newest.
    Newest,
    /// A content version.
    Version(u64),
    /// The newest at that time, Unix milliseconds.
    Time(u64),
}

/// A name as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spelling {
    /// Which name.
    pub which: Which,
    /// Which version.
    pub point: Point,
    /// What whoever made the link had seen.
    pub checkpoint: Option<Checkpoint>,
    /// The entries to follow below its content.
    pub segments: Vec<Vec<u8>>,
}

/// Reads a name. `None` when the text cannot be one; a name that nobody knows is found out later.
///
/// # Errors
/// A usage failure for what is clearly meant as a name and is none.
pub fn parse(text: &[u8]) -> Result<Option<Spelling>, Failure> {
    let (rest, explicit) = strip_scheme(text);
    let mut parts = rest.splitn(2, |byte| *byte == b'/');
    let Ok(head) = std::str::from_utf8(parts.next().unwrap_or_default()) else { return Ok(None) };
    let segments = segments(parts.next().unwrap_or_default())?;
    let (head, checkpoint) = match head.split_once('#') {
        Some((head, checkpoint)) => (head, Some(parse_checkpoint(checkpoint)?)),
        None => (head, None),
    };
    let (head, point) = match head.split_once('@') {
        Some((head, point)) => (head, parse_point(point)?),
        None => (head, Point::Newest),
    };
    let which = match head.parse::<LedgerId>() {
        Ok(ledger) => Which::Ledger(ledger),
        Err(_) if explicit && head.contains('.') => Which::Domain(head.to_owned()),
        Err(_) if is_petname(head) => Which::Petname(head.to_owned()),
        Err(_) if head.starts_with("k51") || explicit => {
            return Err(Failure::usage(format!("{:?} is not a name", name::escape(text))));
        }
        Err(_) => return Ok(None),
    };
    Ok(Some(Spelling { which, point, checkpoint, segments }))
}

fn strip_scheme(text: &[u8]) -> (&[u8], bool) {
    for scheme in ["/ipns/", "ipns://", "shoal://"] {
        if let Some(rest) = text.strip_prefix(scheme.as_bytes()) {
            return (rest, true);
        }
    }
    (text, false)
}

fn segments(path: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    parts
        .map(|part| match name::check(part) {
            Ok(()) => Ok(part.to_vec()),
            Err(reason) => {
                let part = name::escape(part);
                Err(Failure::usage(format!("bad path segment {part:?}: {reason}")))
            }
        })
        .collect()
}

/// Whether a name may be called so.
pub fn is_petname(text: &str) -> bool {
    let number = text.bytes().all(|byte| byte.is_ascii_digit());
    let fits = (1..=PETNAME_BYTES_MAX).contains(&text.len());
    let clean = !text.contains(['@', '/', '#']) && !text.chars().any(char::is_control);
    let other = text.starts_with("k51") || text.starts_with('-') || text == "." || text == "..";
    // What is a CID stays one.
    fits && clean && !number && !other && shoal_dag::path::parse(text.as_bytes()).is_err()
}

/// A petname that may be given to a name.
///
/// # Errors
/// A usage failure that says what one looks like.
pub fn check_petname(text: &str) -> Result<(), Failure> {
    if is_petname(text) {
        return Ok(());
    }
    Err(Failure::usage(format!("{:?} cannot be a petname", name::escape(text.as_bytes()))).hint(
        "at most 64 bytes without @, / or #, not a number, not a CID, not beginning with k51",
    ))
}

fn parse_checkpoint(text: &str) -> Result<Checkpoint, Failure> {
    format!("#{text}").parse().map_err(|_| {
        Failure::usage(format!("{:?} is no checkpoint", name::escape(text.as_bytes())))
            .hint("a link ends in #EPOCH.INDEX.HASH, as shoal resolve prints it")
    })
}

fn parse_point(text: &str) -> Result<Point, Failure> {
    let wrong = || {
        Failure::usage(format!("{:?} is no version", name::escape(text.as_bytes())))
            .hint("a version is a number from 1, or a time such as 2026-01-31 or 2026-01-31T12:00Z")
    };
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let version: u64 = text.parse().map_err(|_| wrong())?;
        return if version == 0 { Err(wrong()) } else { Ok(Point::Version(version)) };
    }
    time_ms(text).map(Point::Time).ok_or_else(wrong)
}

/// The instant that a date or time means, in Unix milliseconds: a date is its last millisecond, a
/// minute its first second.
fn time_ms(text: &str) -> Option<u64> {
    let full = match (text.len(), text.as_bytes().get(10)) {
        (10, None) => format!("{text}T23:59:59.999Z"),
        (_, Some(b'T' | b't' | b' ')) => with_seconds(text)?,
        _ => return None,
    };
    Instant::parse(&full).map(|at| at.to_duration().as_millis() as u64)
}

/// A time with its seconds written out: `12:00Z` is `12:00:00Z`.
fn with_seconds(text: &str) -> Option<String> {
    let (minutes, zone) = (text.get(..16)?, text.get(16..)?);
    let whole = zone.starts_with(':');
    Some(if whole { text.to_owned() } else { format!("{minutes}:00{zone}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "k51qzi5uqu5dlkw8pxuw9qmqayfdeh4kfebhmreauqdc6a7c3y7d5i9fi8mk9w";

    #[track_caller]
    fn parsed(text: &str) -> Spelling {
        parse(text.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn names_versions_and_paths() {
        let plain = parsed("photos");
        assert_eq!(plain.which, Which::Petname("photos".to_owned()));
        assert_eq!((plain.point, plain.segments.len()), (Point::Newest, 0));
        let part = parsed("photos@3/a/b.txt");
        assert_eq!(part.point, Point::Version(3));
        assert_eq!(part.segments, [b"a".to_vec(), b"b.txt".to_vec()]);
        let key = parsed(&format!("/ipns/{KEY}/a"));
        assert_eq!(key.which, Which::Ledger(KEY.parse().unwrap()));
        assert_eq!(parsed(&format!("{KEY}@2026")).point, Point::Version(2026));
        let link = parsed(&format!("shoal://{KEY}#0.7.00112233aabbccdd/x"));
        assert_eq!(link.checkpoint.unwrap().position.to_string(), "#0.7");
        assert_eq!(link.segments, [b"x".to_vec()]);
        assert_eq!(parsed("/ipns/example.org").which, Which::Domain("example.org".to_owned()));
    }

    #[test]
    fn times_are_rfc_3339_and_a_date_is_its_end() {
        let ms = |text: &str| match parsed(&format!("n@{text}")).point {
            Point::Time(ms) => ms,
            other => panic!("{other:?}"),
        };
        assert_eq!(ms("1970-01-02"), 2 * 86_400_000 - 1);
        assert_eq!(ms("1970-01-01T12:00Z"), 43_200_000);
        assert_eq!(ms("1970-01-01T12:00:01Z"), 43_201_000);
        assert_eq!(ms("1970-01-01T12:00+01:00"), 39_600_000);
    }

    #[test]
    fn what_is_no_version_is_said() {
        for text in ["n@", "n@0", "n@x", "n@2026-01", "n@2026-13-01", "n@2026-01-01T25:00Z"] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn petnames_mean_one_thing() {
        for good in ["a", "my photos", "2026-01", "a.b", "Fotos\u{e4}"] {
            assert!(is_petname(good), "{good}");
        }
        let long = "x".repeat(65);
        let cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
        for bad in ["", "7", "a@b", "a/b", "a#b", "k51x", "-x", ".", "..", "a\nb", &long, cid] {
            assert!(!is_petname(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_no_name_is_left_to_others() {
        assert_eq!(parse(b"\xff\xfe").unwrap(), None);
        assert_eq!(parse(b"7").unwrap(), None);
        assert!(parse(b"k51broken").is_err());
        assert!(parse(b"/ipns/a/../b").is_err());
    }
}
