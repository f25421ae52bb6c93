//! Trees of files: made from a seed, and compared to the last bit.
//!
//! A [`Snapshot`] holds what `diff -r` and `ls -l` together would show. Names are bytes: they need not
//! be UTF-8. Contents are compared by BLAKE3 of 1 MiB pieces, so that a large file costs no memory.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File, Permissions},
    io::{Read, Write},
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{MetadataExt, PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use shoal_dag::hash::HashKind;

/// Bytes handled at once.
const PIECE_BYTES: usize = 1 << 20;

/// A stream of bytes from a seed (`SplitMix64`).
pub(crate) struct Noise(u64);

impl Noise {
    /// The stream of `seed`.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

impl Read for Noise {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        for part in out.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            part.copy_from_slice(&word[..part.len()]);
        }
        Ok(out.len())
    }
}

/// Writes a file of `size` bytes from a seed.
#[track_caller]
pub(crate) fn file(path: &Path, seed: u64, size: u64) {
    let mut out = File::create(path).unwrap();
    let mut noise = Noise::new(seed);
    let mut piece = vec![0; PIECE_BYTES];
    let mut left = size;
    while left > 0 {
        let len = left.min(PIECE_BYTES as u64) as usize;
        noise.read_exact(&mut piece[..len]).unwrap();
        out.write_all(&piece[..len]).unwrap();
        left -= len as u64;
    }
}

/// `count` files of up to 8 KiB in nested directories.
#[track_caller]
pub(crate) fn small_files(dir: &Path, count: u64) {
    for number in 0..count {
        let group = number % 50;
        let parent = dir.join(format!("d{}/d{}/d{group}", group % 3, group % 7));
        fs::create_dir_all(&parent).unwrap();
        file(&parent.join(format!("file {number}")), number, number * 37 % 8192);
    }
}

/// What trees have that is not a plain file with a plain name.
#[track_caller]
pub(crate) fn odd_things(dir: &Path) {
    fs::create_dir_all(dir.join("empty directory/inside another")).unwrap();
    file(&dir.join("empty"), 0, 0);
    file(&dir.join("one byte"), 0, 1);
    file(&dir.join("n".repeat(255)), 3, 70_000);
    file(&dir.join(OsStr::from_bytes(b"not \xff\xfe UTF-8")), 4, 10);
    file(&dir.join(OsStr::from_bytes(b"line\nbreak and \x1b[31m colour")), 5, 10);
    file(&dir.join("larger than one leaf"), 6, 3_000_000);
    let directory = dir.join(OsStr::from_bytes(b"directory \x80"));
    fs::create_dir(&directory).unwrap();
    file(&directory.join("inside"), 7, 100);
    symlink("one byte", dir.join("to a file")).unwrap();
    symlink("empty directory", dir.join("to a directory")).unwrap();
    symlink("nowhere/at all", dir.join("to nothing")).unwrap();
    symlink(OsStr::from_bytes(b"bytes \xff"), dir.join("to bytes")).unwrap();
}

/// Gives everything below `dir` and itself odd modes and times, with nanoseconds.
#[track_caller]
pub(crate) fn odd_metadata(dir: &Path) {
    let modes = [0o644, 0o600, 0o755, 0o444, 0o640, 0o700];
    for (number, path) in paths(dir).into_iter().rev().enumerate() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            let mode = if number % 2 == 0 { 0o755 } else { 0o750 };
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        } else if metadata.is_file() {
            let mode = modes[number % modes.len()];
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
        let seconds = 1_000_000_000 + 86_461 * number as i64;
        let time = Timespec { tv_sec: seconds, tv_nsec: 1 + 7919 * number as i64 % 999_999_999 };
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

/// `dir` and all below it, parents first.
fn paths(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![dir.to_owned()];
    let mut next = 0;
    while next < found.len() {
        let path = found[next].clone();
        next += 1;
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            let items = fs::read_dir(&path).unwrap();
            found.extend(items.map(|item| item.unwrap().path()));
        }
    }
    found
}

/// One path of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    kind: String,
    mode: u32,
    modified: Option<(i64, i64)>,
}

/// A tree or a single file, to the last bit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot(BTreeMap<Vec<u8>, Entry>);

impl Snapshot {
    /// Kinds, names, bytes, targets and the executable bit.
    #[track_caller]
    pub(crate) fn of(root: &Path) -> Self {
        Self::read(root, false)
    }

    /// The same with modes and times.
    #[track_caller]
    pub(crate) fn preserved(root: &Path) -> Self {
        Self::read(root, true)
    }

    fn read(root: &Path, preserved: bool) -> Self {
        let entry = |path: PathBuf| {
            let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_owned();
            (name, Entry::read(&path, preserved))
        };
        Self(paths(root).into_iter().map(entry).collect())
    }

    /// How many paths, the root included.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Asserts that `other` is the same, naming the first difference.
    #[track_caller]
    pub(crate) fn assert_same(&self, other: &Self) {
        for (name, entry) in &self.0 {
            let name_shown = name.escape_ascii();
            match other.0.get(name) {
                None => panic!("{name_shown} is missing"),
                Some(found) => assert_eq!(entry, found, "at {name_shown}"),
            }
        }
        if let Some(extra) = other.0.keys().find(|name| !self.0.contains_key(*name)) {
            panic!("{} should not be there", extra.escape_ascii());
        }
    }
}

impl Entry {
    fn read(path: &Path, preserved: bool) -> Self {
        let metadata = fs::symlink_metadata(path).unwrap();
        let kind = if metadata.is_dir() {
            "directory".to_owned()
        } else if metadata.is_symlink() {
            let target = fs::read_link(path).unwrap().into_os_string().into_vec();
            format!("symlink to {}", target.escape_ascii())
        } else {
            format!("file of {} bytes {:02x?}", metadata.len(), digest(path))
        };
        let mode = match metadata.is_symlink() {
            true => 0,
            false if preserved => metadata.mode() & 0o7777,
            false => u32::from(metadata.is_file()) * (metadata.mode() & 0o100),
        };
        let modified = preserved.then(|| (metadata.mtime(), metadata.mtime_nsec()));
        Self { kind, mode, modified }
    }
}

/// Hash of a file's bytes.
#[track_caller]
pub(crate) fn digest(path: &Path) -> [u8; 32] {
    digest_of(File::open(path).unwrap())
}

/// Hash of a stream's bytes.
#[track_caller]
pub(crate) fn digest_of(mut stream: impl Read) -> [u8; 32] {
    let mut hashes = Vec::new();
    loop {
        let mut piece = Vec::new();
        (&mut stream).take(PIECE_BYTES as u64).read_to_end(&mut piece).unwrap();
        if piece.is_empty() {
            return HashKind::Blake3.digest(&hashes);
        }
        hashes.extend(HashKind::Blake3.digest(&piece));
    }
}

/// Bytes on disk of all files below `dir`, one inode counted once. What a store holds in reserve for a full
/// disk is not counted: it is given up when it is needed.
pub(crate) fn disk_bytes(dir: &Path) -> u64 {
    let mut inodes = BTreeMap::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(dir) = pending.pop() {
        // What goes away meanwhile takes no bytes.
        let Ok(items) = fs::read_dir(&dir) else {
            continue;
        };
        for item in items.flatten() {
            let Ok(metadata) = item.metadata() else {
                continue;
            };
            if metadata.is_dir() {
                pending.push(item.path());
            } else if item.file_name() != "reserve" {
                inodes.insert((metadata.dev(), metadata.ino()), metadata.blocks() * 512);
            }
        }
    }
    inodes.values().sum()
}

/// All plain files below `dir`, largest first.
#[track_caller]
pub(crate) fn files_by_size(dir: &Path) -> Vec<(u64, PathBuf)> {
    let files = paths(dir).into_iter().filter_map(|path| {
        let metadata = fs::symlink_metadata(&path).unwrap();
        metadata.is_file().then_some((metadata.len(), path))
    });
    let mut files: Vec<_> = files.collect();
    files.sort_by(|one, two| two.cmp(one));
    files
}
