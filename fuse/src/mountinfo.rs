//! The mount table of this process, read from `/proc/self/mountinfo`.
//!
//! Owns the parsing of that file (format: proc(5)) and the questions the mount code asks of it: what
//! is mounted on top of this directory, and is that mount still there. Answers are read fresh every
//! time, because other processes mount and unmount as they like.
//!
//! Invariant: of several mounts on one directory the last in the table is on top. Paths are bytes;
//! the table escapes space, tab, newline and backslash in octal.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The type under which every mount of this package stands in the table.
pub(crate) const FS_TYPE: &str = "fuse.shoal";

/// One line of the table, as far as it is asked about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct MountEntry {
    /// Unique while the mount lasts; may be given again afterwards.
    pub(crate) id: u64,
    /// `major:minor` of its files, also the name of its read-ahead settings.
    pub(crate) device: String,
    /// Where it is mounted.
    pub(crate) mountpoint: PathBuf,
    /// Type, with subtype: `fuse.shoal` for ours.
    pub(crate) fs_type: String,
    /// What is mounted, as told by whoever mounted it.
    pub(crate) source: OsString,
}

impl MountEntry {
    /// Is it one of ours?
    pub(crate) fn is_shoal(&self) -> bool {
        self.fs_type == FS_TYPE
    }
}

/// The mount on top of exactly this directory, if there is one. `path` is absolute and resolved.
pub(crate) fn on_top_of(path: &Path) -> io::Result<Option<MountEntry>> {
    let table = std::fs::read("/proc/self/mountinfo")?;
    Ok(parse(&table).filter(|entry| entry.mountpoint == path).last())
}

/// Is this very mount still in the table?
pub(crate) fn is_there(mount: &MountEntry) -> io::Result<bool> {
    let table = std::fs::read("/proc/self/mountinfo")?;
    let there = parse(&table).any(|entry| {
        entry.id == mount.id && entry.device == mount.device && entry.mountpoint == mount.mountpoint
    });
    Ok(there)
}

fn parse(table: &[u8]) -> impl Iterator<Item = MountEntry> + '_ {
    table.split(|byte| *byte == b'\n').filter_map(parse_line)
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw`; the fields between the sixth
/// and the lone hyphen are optional.
fn parse_line(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let _parent = fields.next()?;
    let device = String::from_utf8(fields.next()?.to_vec()).ok()?;
    let _root = fields.next()?;
    let mountpoint = unescape(fields.next()?);
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    let fs_type = String::from_utf8(fields.next()?.to_vec()).ok()?;
    let source = unescape(fields.next()?);
    Some(MountEntry { id, device, mountpoint: PathBuf::from(mountpoint), fs_type, source })
}

fn unescape(field: &[u8]) -> OsString {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        if let Some(byte) = octal(rest) {
            out.push(byte);
            rest = &rest[4..];
        } else {
            out.push(first);
            rest = tail;
        }
    }
    OsString::from_vec(out)
}

/// The byte of a `\ooo` at the head of `rest`.
fn octal(rest: &[u8]) -> Option<u8> {
    let digits = rest.strip_prefix(b"\\")?.get(..3)?;
    digits.iter().try_fold(0_u8, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(digit - b'0'),
        _ => None,
    })
}

/// Resolves a path up to its last component only, so that a dead mount there is not touched.
pub(crate) fn resolve_beside(path: &Path) -> io::Result<PathBuf> {
    let Some(name) = path.file_name() else {
        return path.canonicalize();
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().as_bytes().is_empty() => parent.canonicalize()?,
        _ => std::env::current_dir()?.canonicalize()?,
    };
    Ok(parent.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_optional_fields_and_escapes_is_read() {
        let line = b"631 28 0:53 / /tmp/a\\040b\\134c rw,nosuid shared:7 master:1 - fuse.shoal \
            bafy\\040x rw,user_id=0";
        let entry = parse_line(line).unwrap();
        assert_eq!(entry.id, 631);
        assert_eq!(entry.device, "0:53");
        assert_eq!(entry.mountpoint, Path::new("/tmp/a b\\c"));
        assert!(entry.is_shoal());
        assert_eq!(entry.source, "bafy x");
    }

    #[test]
    fn lines_that_are_cut_short_are_no_mounts() {
        for line in
            ["", "12", "12 1 0:1 / /x rw", "12 1 0:1 / /x rw - ext4", "x 1 0:1 / /x rw - a b"]
        {
            assert_eq!(parse_line(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn a_lone_backslash_stays() {
        assert_eq!(unescape(b"a\\09\\777\\"), "a\\09\\777\\");
    }

    #[test]
    fn the_root_is_mounted_and_nothing_is_on_a_name_that_is_not_there() {
        assert!(on_top_of(Path::new("/")).unwrap().is_some());
        assert_eq!(on_top_of(Path::new("/no/such/place")).unwrap(), None);
    }

    #[test]
    fn a_path_is_resolved_beside_its_last_name() {
        assert_eq!(resolve_beside(Path::new("/usr/../x")).unwrap(), Path::new("/x"));
        assert_eq!(resolve_beside(Path::new("/")).unwrap(), Path::new("/"));
        assert!(resolve_beside(Path::new("/no/such/place")).is_err());
    }
}
