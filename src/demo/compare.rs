//! What a tree holds, and whether another holds the same.
//!
//! A [`Snapshot`] has, for every path below a directory: its kind, a file's size, executable bit and
//! hash, a symlink's target. A file is hashed in pieces of 1 MiB with BLAKE3 and by the hash of the
//! piece hashes, so that memory stays small whatever its size. Times and the other mode bits are left
//! out: the demo adds without `--preserve`.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, fs,
    io::{self, Read},
    os::unix::{ffi::OsStringExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use shoal_dag::hash::HashKind;
use tokio_util::sync::CancellationToken;

use super::{at, tell};
use crate::control::protocol::Failure;

/// Bytes hashed at once.
const PIECE_BYTES: usize = 1 << 20;

/// Directories below each other that are followed; the node refuses deeper trees.
const DEPTH_MAX: usize = 1024;

/// A BLAKE3 hash.
type Digest = [u8; 32];

/// One thing below the root of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Directory,
    File {
        size: u64,
        executable: bool,
        hash: Digest,
    },
    Symlink {
        target: OsString,
    },
    /// A device, socket or fifo.
    Special,
}

/// All that stands below one directory.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    entries: BTreeMap<PathBuf, Entry>,
    bytes: u64,
}

impl Snapshot {
    /// Reads and hashes all below `root`; ends early once `stop` is set.
    pub(super) fn of(root: &Path, stop: &CancellationToken) -> Result<Self, Failure> {
        let mut snapshot = Self::default();
        let mut pending = vec![(PathBuf::new(), 0)];
        while let Some((dir, depth)) = pending.pop() {
            let full = root.join(&dir);
            for item in fs::read_dir(&full).map_err(|e| at(&full, "list", &e))? {
                if stop.is_cancelled() {
                    return Ok(snapshot);
                }
                let item = item.map_err(|e| at(&full, "list", &e))?;
                let name = dir.join(item.file_name());
                let path = item.path();
                let entry = Entry::read(&path, stop).map_err(|e| at(&path, "read", &e))?;
                if let Entry::File { size, .. } = entry {
                    snapshot.bytes += size;
                }
                if entry == Entry::Directory && depth < DEPTH_MAX {
                    pending.push((name.clone(), depth + 1));
                }
                snapshot.entries.insert(name, entry);
            }
        }
        Ok(snapshot)
    }

    /// Content bytes.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// True when nothing stands there.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Nothing, or the first difference in words.
    pub(super) fn same_as(&self, found: &Self) -> Result<(), String> {
        for (path, entry) in &self.entries {
            match found.entries.get(path) {
                None => return Err(format!("{} is missing", path.display())),
                Some(other) if other != entry => {
                    return Err(format!("{} is {other}, not {entry}", path.display()));
                }
                Some(_) => {}
            }
        }
        match found.entries.keys().find(|path| !self.entries.contains_key(*path)) {
            Some(extra) => Err(format!("{} is not in the source", extra.display())),
            None => Ok(()),
        }
    }

    fn count(&self, kind: impl Fn(&Entry) -> bool) -> usize {
        self.entries.values().filter(|entry| kind(entry)).count()
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = self.count(|entry| matches!(entry, Entry::File { .. }));
        let directories = self.count(|entry| *entry == Entry::Directory);
        let symlinks = self.count(|entry| matches!(entry, Entry::Symlink { .. }));
        write!(out, "{files} files, {directories} directories, {symlinks} symlinks, ")?;
        write!(out, "{}", tell::amount(self.bytes))
    }
}

impl Entry {
    fn read(path: &Path, stop: &CancellationToken) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        let kind = metadata.file_type();
        Ok(if kind.is_dir() {
            Self::Directory
        } else if kind.is_symlink() {
            Self::Symlink { target: fs::read_link(path)?.into_os_string() }
        } else if kind.is_file() {
            let executable = metadata.mode() & 0o100 != 0;
            let (size, hash) = hash_of(path, stop)?;
            Self::File { size, executable, hash }
        } else {
            Self::Special
        })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory => write!(out, "a directory"),
            Self::File { size, executable, hash } => {
                let kind = if *executable { "an executable" } else { "a file" };
                write!(out, "{kind} of {size} bytes with hash ")?;
                hash.iter().take(8).try_for_each(|byte| write!(out, "{byte:02x}"))
            }
            Self::Symlink { target } => {
                let target = target.clone().into_vec();
                write!(out, "a symlink to {}", target.escape_ascii())
            }
            Self::Special => write!(out, "a device, socket or fifo"),
        }
    }
}

/// Bytes read, and the hash of the hashes of the pieces.
fn hash_of(path: &Path, stop: &CancellationToken) -> io::Result<(u64, Digest)> {
    let mut file = fs::File::open(path)?;
    let mut piece = Vec::new();
    let (mut size, mut hashes) = (0, Vec::new());
    while !stop.is_cancelled() {
        piece.clear();
        let len = (&mut file).take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
        if len == 0 {
            break;
        }
        size += len as u64;
        hashes.extend_from_slice(&digest(&piece));
    }
    Ok((size, digest(&hashes)))
}

/// BLAKE3 of one piece.
fn digest(bytes: &[u8]) -> Digest {
    HashKind::Blake3.digest(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A snapshot with one entry.
    fn one(path: &str, entry: Entry) -> Snapshot {
        Snapshot { entries: BTreeMap::from([(path.into(), entry)]), bytes: 0 }
    }

    fn file(size: u64, executable: bool, byte: u8) -> Entry {
        Entry::File { size, executable, hash: [byte; 32] }
    }

    #[test]
    fn whatever_differs_is_named() {
        let expected = one("a/b", file(3, false, 1));
        assert_eq!(expected.same_as(&expected.clone()), Ok(()));
        for other in [file(4, false, 1), file(3, true, 1), file(3, false, 2), Entry::Directory] {
            let difference = expected.same_as(&one("a/b", other)).unwrap_err();
            assert!(difference.starts_with("a/b is "), "{difference}");
        }
        assert_eq!(expected.same_as(&Snapshot::default()), Err("a/b is missing".to_owned()));
        let extra = Snapshot::default().same_as(&expected);
        assert_eq!(extra, Err("a/b is not in the source".to_owned()));
    }

    #[test]
    fn a_real_directory_is_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("empty")).unwrap();
        fs::write(dir.path().join("file"), b"abc").unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("link")).unwrap();
        let snapshot = Snapshot::of(dir.path(), &CancellationToken::new()).unwrap();
        assert_eq!(snapshot.to_string(), "1 files, 1 directories, 1 symlinks, 0.0 MB");
        assert_eq!(snapshot.bytes(), 3);
    }

    #[test]
    fn a_file_of_several_pieces_depends_on_every_one() {
        let dir = tempfile::tempdir().unwrap();
        let (path, stop) = (dir.path().join("file"), CancellationToken::new());
        let mut data = vec![7; PIECE_BYTES * 2 + 1];
        fs::write(&path, &data).unwrap();
        let (size, before) = hash_of(&path, &stop).unwrap();
        assert_eq!(size, data.len() as u64);
        *data.last_mut().unwrap() = 8;
        fs::write(&path, &data).unwrap();
        assert_ne!(hash_of(&path, &stop).unwrap().1, before);
    }
}
