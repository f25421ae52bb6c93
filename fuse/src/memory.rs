//! A tree in memory: the double for tests of the mount and of whoever mounts.
//!
//! Built bottom-up with [`MemoryTreeBuilder`], then changed only in how it *behaves*: single things can
//! be made to fail, to hang or to panic, and files can be given a local file that backs them. Counts
//! what it is asked.
//!
//! Its CIDs are made up: unique and of the right shape, but not hashes of the content, so nothing
//! here may be given to something that verifies. Does not know FUSE.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use shoal_dag::Cid;

use crate::tree::{Attributes, Directory, Entry, Kind, Named, Tree, TreeError};

/// How a thing behaves when it is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Behaviour {
    /// It answers with this error.
    Fail(TreeError),
    /// It answers only after [`MemoryTree::release`].
    Hang,
    /// It panics.
    Panic,
}

/// How often each method was called.
#[derive(Debug, Default)]
pub struct Calls {
    /// [`Tree::attributes`], single or as part of many.
    pub attributes: AtomicU64,
    /// [`Tree::directory`].
    pub directory: AtomicU64,
    /// [`Tree::entry`] of a large directory.
    pub entry: AtomicU64,
    /// [`Tree::readlink`].
    pub readlink: AtomicU64,
    /// [`Tree::read`].
    pub read: AtomicU64,
    /// [`Tree::backing`].
    pub backing: AtomicU64,
    /// [`Tree::closed`].
    pub closed: AtomicU64,
}

#[derive(Debug)]
enum Content {
    File(Bytes),
    Directory(Arc<Directory>),
    Symlink(Vec<u8>),
}

#[derive(Debug)]
struct Thing {
    attributes: Attributes,
    content: Content,
}

/// Puts a [`MemoryTree`] together, children first.
#[derive(Debug, Default)]
pub struct MemoryTreeBuilder {
    things: HashMap<Cid, Thing>,
    hidden: bool,
}

/// A tree in memory.
#[derive(Debug)]
pub struct MemoryTree {
    root: Cid,
    things: HashMap<Cid, Thing>,
    behaviours: Mutex<HashMap<Cid, Behaviour>>,
    backings: Mutex<HashMap<Cid, PathBuf>>,
    large: Mutex<HashSet<Cid>>,
    released: Mutex<bool>,
    release: Condvar,
    calls: Calls,
}

/// A made-up CID: version 1, raw, a BLAKE3 digest that is just this number.
pub fn cid_of_number(number: u64) -> Cid {
    let mut bytes = vec![0x01, 0x55, 0x1e, 32];
    bytes.extend_from_slice(&[0x5a; 24]);
    bytes.extend_from_slice(&number.to_be_bytes());
    Cid::try_from(bytes).expect("version, codec, hash and length are well-formed")
}

impl MemoryTreeBuilder {
    /// A builder with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Directories made from now on do not tell the attributes of their entries, as a directory
    /// whose children are not here yet.
    pub fn hide_attributes(&mut self, hidden: bool) -> &mut Self {
        self.hidden = hidden;
        self
    }

    /// Adds a file without mode or time.
    pub fn file(&mut self, data: impl Into<Bytes>) -> Cid {
        let data = data.into();
        let attributes = Attributes::plain(Kind::File, data.len() as u64);
        self.add(attributes, Content::File(data))
    }

    /// Adds a file with mode and time.
    pub fn file_with(&mut self, data: impl Into<Bytes>, mode: u32, mtime: (i64, u32)) -> Cid {
        let data = data.into();
        let plain = Attributes::plain(Kind::File, data.len() as u64);
        let attributes = Attributes { mode: Some(mode), mtime: Some(mtime), ..plain };
        self.add(attributes, Content::File(data))
    }

    /// Adds a file that says it has `size` bytes but holds none: read it through a backing, or as a
    /// tree whose sizes lie.
    pub fn hollow_file(&mut self, size: u64) -> Cid {
        self.add(Attributes::plain(Kind::File, size), Content::File(Bytes::new()))
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, target: impl Into<Vec<u8>>) -> Cid {
        let target = target.into();
        let attributes = Attributes::plain(Kind::Symlink, target.len() as u64);
        self.add(attributes, Content::Symlink(target))
    }

    /// Adds a directory of things that were added before. Names are sorted here.
    pub fn directory<N: Into<Vec<u8>>>(
        &mut self,
        entries: impl IntoIterator<Item = (N, Cid)>,
    ) -> Cid {
        let mut entries: Vec<Entry> = entries
            .into_iter()
            .map(|(name, cid)| Entry {
                name: name.into(),
                cid,
                attributes: self.things.get(&cid).map(|it| it.attributes).filter(|_| !self.hidden),
            })
            .collect();
        entries.sort_by(|one, two| one.name.cmp(&two.name));
        let directory = Arc::new(Directory { entries });
        self.add(Attributes::plain(Kind::Directory, 0), Content::Directory(directory))
    }

    /// The tree below `root`.
    pub fn finish(self, root: Cid) -> MemoryTree {
        MemoryTree {
            root,
            things: self.things,
            behaviours: Mutex::default(),
            backings: Mutex::default(),
            large: Mutex::default(),
            released: Mutex::new(false),
            release: Condvar::new(),
            calls: Calls::default(),
        }
    }

    fn add(&mut self, attributes: Attributes, content: Content) -> Cid {
        let cid = cid_of_number(self.things.len() as u64);
        self.things.insert(cid, Thing { attributes, content });
        cid
    }
}

impl MemoryTree {
    /// From now on `cid` behaves like this whatever is asked of it.
    pub fn behave(&self, cid: Cid, behaviour: Behaviour) {
        self.behaviours.lock().insert(cid, behaviour);
    }

    /// From now on `cid` answers again.
    pub fn heal(&self, cid: &Cid) {
        self.behaviours.lock().remove(cid);
    }

    /// Everything that hangs goes on, and nothing hangs any more.
    pub fn release(&self) {
        *self.released.lock() = true;
        self.release.notify_all();
    }

    /// Reads of `cid` may be served from this local file.
    pub fn back(&self, cid: Cid, path: &Path) {
        self.backings.lock().insert(cid, path.to_path_buf());
    }

    /// One name of this directory is answered without its listing.
    pub fn enlarge(&self, cid: Cid) {
        self.large.lock().insert(cid);
    }

    /// How often each method was called.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    fn thing(&self, cid: &Cid) -> Result<&Thing, TreeError> {
        let behaviour = self.behaviours.lock().get(cid).cloned();
        match behaviour {
            None => {}
            Some(Behaviour::Fail(error)) => return Err(error),
            Some(Behaviour::Panic) => panic!("the tree was told to panic at {cid}"),
            Some(Behaviour::Hang) => {
                let mut released = self.released.lock();
                self.release.wait_while(&mut released, |released| !*released);
            }
        }
        self.things
            .get(cid)
            .ok_or_else(|| TreeError::Unreachable { detail: "not in this tree".to_owned() })
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Tree for MemoryTree {
    fn root(&self) -> Cid {
        self.root
    }

    fn attributes(&self, cid: &Cid) -> Result<Attributes, TreeError> {
        count(&self.calls.attributes);
        Ok(self.thing(cid)?.attributes)
    }

    fn directory(&self, cid: &Cid) -> Result<Arc<Directory>, TreeError> {
        count(&self.calls.directory);
        match &self.thing(cid)?.content {
            Content::Directory(directory) => Ok(Arc::clone(directory)),
            Content::File(_) | Content::Symlink(_) => Err(TreeError::NotDirectory),
        }
    }

    fn entry(&self, cid: &Cid, name: &[u8]) -> Result<Named, TreeError> {
        if !self.large.lock().contains(cid) {
            return self.directory(cid).map(Named::Listing);
        }
        count(&self.calls.entry);
        let Content::Directory(directory) = &self.thing(cid)?.content else {
            return Err(TreeError::NotDirectory);
        };
        let found = directory.entries.iter().find(|entry| entry.name == name);
        Ok(found.cloned().map_or(Named::Absent, |entry| Named::Entry(Box::new(entry))))
    }

    fn readlink(&self, cid: &Cid) -> Result<Vec<u8>, TreeError> {
        count(&self.calls.readlink);
        match &self.thing(cid)?.content {
            Content::Symlink(target) => Ok(target.clone()),
            Content::File(_) | Content::Directory(_) => Err(TreeError::NotSymlink),
        }
    }

    fn read(&self, cid: &Cid, offset: u64, len: u32) -> Result<Bytes, TreeError> {
        count(&self.calls.read);
        match &self.thing(cid)?.content {
            Content::File(data) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX).min(data.len());
                let to = from.saturating_add(len as usize).min(data.len());
                Ok(data.slice(from..to))
            }
            Content::Directory(_) => Err(TreeError::IsDirectory),
            Content::Symlink(_) => Err(TreeError::NotSymlink),
        }
    }

    fn backing(&self, cid: &Cid) -> Result<Option<File>, TreeError> {
        count(&self.calls.backing);
        let path = self.backings.lock().get(cid).cloned();
        Ok(path.and_then(|path| File::open(path).ok()))
    }

    fn local_bytes(&self, cid: &Cid) -> Result<Option<u64>, TreeError> {
        Ok(Some(self.thing(cid)?.attributes.size))
    }

    fn closed(&self, _cid: &Cid) {
        count(&self.calls.closed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_what_was_put_in() {
        let mut builder = MemoryTreeBuilder::new();
        let file = builder.file(&b"hello"[..]);
        let link = builder.symlink("hello");
        let root = builder.directory([("z", file), ("a", link)]);
        let tree = builder.finish(root);
        assert_eq!(tree.attributes(&file), Ok(Attributes::plain(Kind::File, 5)));
        assert_eq!(tree.readlink(&link).unwrap(), b"hello");
        let listing = tree.directory(&tree.root()).unwrap();
        assert_eq!(listing.entries[0].name, b"a");
        assert_eq!(listing.entries[1].attributes.unwrap().size, 5);
        assert_eq!(&tree.read(&file, 1, 3).unwrap()[..], b"ell");
        assert!(tree.read(&file, 9, 3).unwrap().is_empty());
        assert_eq!(tree.read(&root, 0, 1), Err(TreeError::IsDirectory));
        assert_eq!(tree.directory(&file).unwrap_err(), TreeError::NotDirectory);
    }

    #[test]
    fn it_fails_and_heals_when_told() {
        let mut builder = MemoryTreeBuilder::new();
        let file = builder.file(&b"hello"[..]);
        let tree = builder.finish(file);
        tree.behave(file, Behaviour::Fail(TreeError::TimedOut));
        assert_eq!(tree.read(&file, 0, 1), Err(TreeError::TimedOut));
        tree.behave(file, Behaviour::Hang);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| tree.read(&file, 0, 1));
            tree.release();
            assert_eq!(&reader.join().unwrap().unwrap()[..], b"h");
        });
        tree.heal(&file);
        assert_eq!(tree.calls().read.load(Ordering::Relaxed), 2);
    }
}
