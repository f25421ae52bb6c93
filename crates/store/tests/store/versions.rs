//! Files with real branches, and versions of them: for tests of what is stored of each.
//!
//! Cut and hashed by the code that an add uses, and appended in pieces of its size.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use shoal_dag::build::{self, FileBuilder};
use shoal_dag::chunk::Chunker;
use shoal_dag::{Bytes, Cid, Metadata, Profile};
use shoal_store::{Batch, BlobWriter, Store};

use crate::fixture::{files_in, public};

/// Bytes that are appended at once, as an add does.
const PIECE_BYTES: usize = 1 << 20;

/// A file that was added: its root, its leaves with their places, its bytes.
pub(crate) struct Doc {
    pub(crate) root: Cid,
    pub(crate) leaves: Vec<(Cid, u64, u32)>,
    pub(crate) content: Vec<u8>,
}

impl Doc {
    /// Every leaf can be read and is right, and so is the whole file where there is one.
    #[track_caller]
    pub(crate) fn assert_right(&self, store: &Store) {
        for (cid, offset, len) in &self.leaves {
            let data = store.get(cid).unwrap().expect("it is here");
            assert!(data == self.content[*offset as usize..][..*len as usize]);
        }
        if let Some(whole) = store.whole_file(&self.root).unwrap() {
            assert!(std::fs::read(&whole.path).unwrap() == self.content);
        }
    }

    #[track_caller]
    pub(crate) fn assert_whole(&self, store: &Store, is_whole: bool) {
        assert_eq!(store.whole_file(&self.root).unwrap().is_some(), is_whole);
        self.assert_right(store);
    }
}

/// Cuts and writes a file into `blob`, and gives its branches to the batch.
fn write(batch: &Batch, mut blob: BlobWriter<'_>, content: &[u8], meta: Metadata) -> Doc {
    let mut builder = FileBuilder::new(Profile::Shoal, meta);
    let mut chunker = Chunker::new(&Profile::Shoal);
    let (mut branches, mut leaves, mut piece) = (Vec::new(), Vec::new(), Vec::new());
    let (mut at, mut start) = (0, 0);
    while let Some(len) = chunker.cut(&content[at..], true) {
        let leaf = build::leaf(builder.leaf_form(), &content[at..at + len]);
        builder.push(leaf.link(), &mut branches);
        leaves.push((leaf.cid, at as u64, len as u32));
        piece.push((leaf.cid, len as u32));
        at += len;
        if at - start >= PIECE_BYTES || at == content.len() {
            blob.append(&piece, &content[start..at]).unwrap();
            piece.clear();
            start = at;
        }
    }
    let built = builder.finish(&mut branches);
    for block in branches {
        batch.put(&block.cid, &block.data).unwrap();
    }
    blob.finish(&built.cid).unwrap();
    Doc { root: built.cid, leaves, content: content.to_vec() }
}

/// Adds a file to a batch.
pub(crate) fn add_to(batch: &Batch, content: &[u8], meta: Metadata) -> Doc {
    write(batch, batch.blob().unwrap(), content, meta)
}

/// Adds a file by a clone of the user's, whose bytes are read from the clone.
pub(crate) fn add_clone(store: &Store, path: &Path) -> Doc {
    let batch = store.batch(public());
    let blob = batch.clone_of(&std::fs::File::open(path).unwrap()).unwrap().expect("a clone");
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut blob.reader().unwrap(), &mut content).unwrap();
    let doc = write(&batch, blob, &content, Metadata::default());
    batch.commit().unwrap();
    doc
}

/// Adds a file, durably.
pub(crate) fn add(store: &Store, content: &[u8]) -> Doc {
    add_with(store, content, Metadata::default())
}

pub(crate) fn add_with(store: &Store, content: &[u8], meta: Metadata) -> Doc {
    let batch = store.batch(public());
    let doc = add_to(&batch, content, meta);
    batch.commit().unwrap();
    doc
}

/// What the blobs take on the disk.
pub(crate) fn blob_bytes(store: &Store) -> u64 {
    store.checkpoint().unwrap();
    let files = files_in(&store.dir().join("blobs"));
    files.iter().map(|path| std::fs::metadata(path).unwrap().blocks() * 512).sum()
}

/// Bytes of the distinct leaves of all these files, and how many those are.
pub(crate) fn unique<'a>(docs: impl IntoIterator<Item = &'a Doc>) -> (u64, u64) {
    let leaves = docs.into_iter().flat_map(|doc| &doc.leaves);
    let distinct: HashMap<Cid, u32> = leaves.map(|(cid, _, len)| (*cid, *len)).collect();
    (distinct.values().map(|len| u64::from(*len)).sum(), distinct.len() as u64)
}

/// A change of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edit {
    /// Where, as a part of 2^16 of the length.
    pub(crate) at: u16,
    pub(crate) kind: EditKind,
    pub(crate) len: usize,
    pub(crate) seed: u64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum EditKind {
    Overwrite,
    Insert,
    Remove,
    Zeros,
}

impl Edit {
    /// The edited file.
    pub(crate) fn apply(&self, content: &[u8]) -> Vec<u8> {
        let at = content.len() * usize::from(self.at) / (1 << 16);
        let end = (at + self.len).min(content.len());
        let new: Bytes = match self.kind {
            EditKind::Overwrite => crate::fixture::bytes(self.seed, end - at),
            EditKind::Insert => crate::fixture::bytes(self.seed, self.len),
            EditKind::Remove => Bytes::new(),
            EditKind::Zeros => Bytes::from(vec![0; self.len]),
        };
        let kept = match self.kind {
            EditKind::Insert => at,
            _ => end,
        };
        [&content[..at], &new, &content[kept..]].concat()
    }
}
