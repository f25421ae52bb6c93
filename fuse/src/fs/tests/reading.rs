//! Opening and reading files: edges, short answers, lies about sizes, local files.
//!
//! The model is the slice of the file's bytes. Whatever a tree does, a read gives that or an error.

use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::tree::{BACKING_BYTES_MIN, READ_BYTES_MAX};
use bytes::Bytes;

/// A tree that answers every read with at most `step` bytes.
struct Dribble {
    inner: MemoryTree,
    step: u32,
}

impl Tree for Dribble {
    fn root(&self) -> Cid {
        self.inner.root()
    }

    fn attributes(&self, cid: &Cid) -> Result<Attributes, TreeError> {
        self.inner.attributes(cid)
    }

    fn directory(&self, cid: &Cid) -> Result<Arc<Directory>, TreeError> {
        self.inner.directory(cid)
    }

    fn readlink(&self, cid: &Cid) -> Result<Vec<u8>, TreeError> {
        self.inner.readlink(cid)
    }

    fn read(&self, cid: &Cid, offset: u64, len: u32) -> Result<Bytes, TreeError> {
        assert!((1..=READ_BYTES_MAX).contains(&len));
        self.inner.read(cid, offset, len.min(self.step))
    }

    fn read_ready(&self, cid: &Cid, offset: u64, len: u32) -> Option<Bytes> {
        self.inner.read(cid, offset, len.min(self.step)).ok()
    }
}

fn one_file(data: &[u8], step: u32) -> (Fs, u64) {
    let mut builder = MemoryTreeBuilder::new();
    let file = builder.file(data.to_vec());
    let root = builder.directory([("file", file)]);
    let tree = Dribble { inner: builder.finish(root), step };
    let fs = Fs::new(Arc::new(tree), OWNER, false).unwrap();
    let ino = find(&fs, ROOT, b"file").ino;
    (fs, ino)
}

proptest! {
    #[test]
    fn a_read_is_the_slice_whatever_steps_the_tree_takes(
        data in proptest::collection::vec(any::<u8>(), 0..40),
        step in 1_u32..9,
        offset in 0_usize..50,
        len in 0_u32..50,
    ) {
        let (fs, ino) = one_file(&data, step);
        let from = offset.min(data.len());
        let to = (from + len as usize).min(data.len());
        let read = fs.read(ino, offset as u64, len).unwrap();
        prop_assert_eq!(&read[..], &data[from..to]);
    }
}

#[test]
fn reads_at_the_edges() {
    let (fs, ino) = one_file(b"0123456789", 99);
    let read = |offset, len| fs.read(ino, offset, len).unwrap();
    assert_eq!(&read(0, 10)[..], b"0123456789");
    assert_eq!(&read(9, 1)[..], b"9");
    assert_eq!(&read(9, 4096)[..], b"9");
    assert!(read(10, 1).is_empty());
    assert!(read(u64::MAX, u32::MAX).is_empty());
    assert!(read(3, 0).is_empty());
    assert_eq!(fs.read(ROOT, 0, 1), Err(FsError::Tree(TreeError::IsDirectory)));
}

#[test]
fn what_is_ready_is_taken_only_when_it_is_everything() {
    let (fs, ino) = one_file(b"0123456789", 4);
    assert_eq!(fs.ready_read(ino, 2, 4).as_deref(), Some(&b"2345"[..]));
    assert_eq!(fs.ready_read(ino, 8, 99).as_deref(), Some(&b"89"[..]));
    assert_eq!(fs.ready_read(ino, 2, 5), None, "the tree had only four bytes ready");
    assert_eq!(fs.ready_read(ROOT, 0, 1), None);
}

#[test]
fn a_request_larger_than_a_read_is_split() {
    let data: Vec<u8> = (0..3 * READ_BYTES_MAX).map(|at| (at % 251) as u8).collect();
    let (fs, ino) = one_file(&data, u32::MAX);
    let read = fs.read(ino, 5, 2 * READ_BYTES_MAX + 7).unwrap();
    assert!(read[..] == data[5..][..2 * READ_BYTES_MAX as usize + 7]);
}

#[test]
fn a_file_shorter_than_it_says_is_an_error_and_never_zeros() {
    let mut builder = MemoryTreeBuilder::new();
    let hollow = builder.hollow_file(100);
    let root = builder.directory([("hollow", hollow)]);
    let (fs, _tree) = fs_of(builder, root);
    let ino = find(&fs, ROOT, b"hollow").ino;
    let error = fs.read(ino, 0, 10).unwrap_err();
    assert!(matches!(error, FsError::Tree(TreeError::Corrupt { .. })), "{error:?}");
}

#[test]
fn only_large_files_are_asked_for_a_backing_and_only_whole_ones_are_taken() {
    let size = BACKING_BYTES_MIN as usize;
    let data = vec![7_u8; size];
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&data).unwrap();
    let mut builder = MemoryTreeBuilder::new();
    let (small, large) = (builder.file(data[1..].to_vec()), builder.file(data.clone()));
    let root = builder.directory([("small", small), ("large", large)]);
    let (fs, tree) = fs_of(builder, root);
    tree.back(small, file.path());
    tree.back(large, file.path());
    let (small, large) = (find(&fs, ROOT, b"small").ino, find(&fs, ROOT, b"large").ino);

    assert_eq!(fs.known_open(small), Some(Ok(false)));
    assert!(fs.backing(small).unwrap().is_none());
    assert_eq!(tree.calls().backing.load(Ordering::Relaxed), 0);
    assert_eq!(fs.known_open(large), Some(Ok(true)));
    let backing = fs.backing(large).unwrap().unwrap();
    let mut buffer = [0; 9];
    assert_eq!(fs.read_local(large, &backing, size as u64 - 4, &mut buffer).unwrap(), [7; 4]);
    assert_eq!(fs.read_local(large, &backing, size as u64, &mut buffer).unwrap(), []);

    file.as_file().set_len(size as u64 - 1).unwrap();
    assert!(fs.backing(large).unwrap().is_none(), "it is not the size that stat shows");
    let cut = fs.read_local(large, &backing, size as u64 - 4, &mut buffer);
    assert!(matches!(cut, Err(FsError::LocalFile(_))), "no zeros for what is gone");
}

#[test]
fn what_is_no_file_cannot_be_opened() {
    let mut builder = MemoryTreeBuilder::new();
    let link = builder.symlink("x");
    let root = builder.directory([("link", link)]);
    let (fs, _tree) = fs_of(builder, root);
    let link = find(&fs, ROOT, b"link").ino;
    assert_eq!(fs.known_open(ROOT), Some(Err(FsError::Tree(TreeError::IsDirectory))));
    assert_eq!(fs.known_open(link), Some(Err(FsError::Tree(TreeError::NotSymlink))));
    assert_eq!(fs.known_open(99), Some(Err(FsError::Stale)));
}

#[test]
fn the_tree_is_told_when_a_file_is_closed() {
    let (fs, ino) = one_file(b"x", 1);
    fs.closed(ino);
    fs.closed(99);
    let mut builder = MemoryTreeBuilder::new();
    let file = builder.file(&b"x"[..]);
    let (fs, tree) = fs_of(builder, file);
    fs.closed(find(&fs, ROOT, file.to_string().as_bytes()).ino);
    assert_eq!(tree.calls().closed.load(Ordering::Relaxed), 1);
}
