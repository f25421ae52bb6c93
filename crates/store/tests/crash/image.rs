//! What a disk holds after a crash: a log, done again up to a point, and less of it than was done.
//!
//! What a sync covered is there. Of the rest, each piece (512 bytes or a page of a write, a length, a
//! name made, renamed or removed) is there or is not, by a seeded draw. Three kinds of crash:
//!
//! - [`Crash::Kill`]: the process died and the kernel lives, so everything is there.
//! - [`Crash::Ext4`]: names and lengths reach the disk in order with any later sync, as the journal of
//!   ext4 does it; bytes of other files do not, so that files are there with nothing in them.
//! - [`Crash::Strict`]: only what POSIX promises. A sync of a file covers its bytes and its length and
//!   no name; a sync of a directory covers the names in it; a renamed file may have both names or
//!   one; a sector is the smallest thing.
//!
//! Left out on purpose: a rename that leaves neither name, and bytes that nobody wrote.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::random::Random;
use crate::recorder::{Object, Step};

const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// How the machine went down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    Kill,
    Ext4,
    Strict,
}

#[derive(Debug, Clone)]
enum Node {
    Dir,
    File(Object),
}

/// A change of names that is not on the disk for certain.
#[derive(Debug, Clone)]
struct Naming {
    made: Option<(PathBuf, Node)>,
    gone: Option<PathBuf>,
    is_made: bool,
    is_gone: bool,
}

#[derive(Debug, Clone)]
enum Piece {
    Write { offset: usize, data: Arc<[u8]> },
    SetLen(usize),
    Zero { offset: usize, len: usize },
}

#[derive(Debug, Default)]
struct Content {
    durable: Vec<u8>,
    pending: Vec<Piece>,
}

/// A log that is done again step by step.
#[derive(Debug)]
pub(crate) struct Replay<'a> {
    steps: &'a [Step],
    at: usize,
    crash: Crash,
    random: Random,
    files: HashMap<Object, Content>,
    durable: BTreeMap<PathBuf, Node>,
    pending: Vec<Naming>,
    /// What every process sees: names as they are while nothing crashes.
    seen: BTreeMap<PathBuf, Node>,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(steps: &'a [Step], crash: Crash, seed: u64) -> Self {
        let (random, at) = (Random::new(seed), 0);
        let (files, durable, pending) = (HashMap::new(), BTreeMap::new(), Vec::new());
        Self { steps, at, crash, random, files, durable, pending, seen: BTreeMap::new() }
    }

    /// Does the steps before number `to`.
    pub(crate) fn advance(&mut self, to: usize) {
        for step in &self.steps[self.at..to] {
            self.take(step);
        }
        self.at = to;
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::MakeDir { path } => self.name(Some((path.clone(), Node::Dir)), None),
            Step::Create { path, object } => {
                self.files.insert(*object, Content::default());
                self.name(Some((path.clone(), Node::File(*object))), None);
            }
            Step::Rename { from, to } => {
                let node = self.seen[from].clone();
                self.name(Some((to.clone(), node)), Some(from.clone()));
            }
            Step::Link { from, to } => {
                let node = self.seen[from].clone();
                self.name(Some((to.clone(), node)), None);
            }
            Step::Remove { path } => self.name(None, Some(path.clone())),
            Step::Write { object, offset, data } => {
                let piece = Piece::Write { offset: *offset as usize, data: Arc::clone(data) };
                self.piece(*object, piece);
            }
            Step::SetLen { object, len } => self.piece(*object, Piece::SetLen(*len as usize)),
            Step::Zero { object, offset, len } => {
                let (offset, len) = (*offset as usize, *len as usize);
                self.piece(*object, Piece::Zero { offset, len });
            }
            Step::Sync { object } => {
                self.content(*object).sync();
                self.commit_journal();
            }
            Step::SyncDir { path } => {
                self.sync_dir(path);
                self.commit_journal();
            }
            Step::Failed { object } => self.fail(*object),
            Step::Begun(_) | Step::Acknowledged(_) => {}
        }
    }

    fn content(&mut self, object: Object) -> &mut Content {
        self.files.entry(object).or_default()
    }

    fn piece(&mut self, object: Object, piece: Piece) {
        self.content(object).pending.push(piece);
    }

    fn name(&mut self, made: Option<(PathBuf, Node)>, gone: Option<PathBuf>) {
        if let Some(gone) = &gone {
            self.seen.remove(gone);
        }
        if let Some((path, node)) = &made {
            self.seen.insert(path.clone(), node.clone());
        }
        self.pending.push(Naming { is_made: made.is_none(), is_gone: gone.is_none(), made, gone });
    }

    fn sync_dir(&mut self, dir: &Path) {
        let is_in = |path: &Path| path.parent() == Some(dir);
        for naming in &mut self.pending {
            if let Some((path, node)) = naming.made.as_ref().filter(|_| !naming.is_made)
                && is_in(path)
            {
                self.durable.insert(path.clone(), node.clone());
                naming.is_made = true;
            }
            if let Some(path) = naming.gone.as_ref().filter(|path| !naming.is_gone && is_in(path)) {
                self.durable.remove(path);
                naming.is_gone = true;
            }
        }
        self.pending.retain(|naming| !naming.is_made || !naming.is_gone);
    }

    /// On ext4 any sync commits the journal, with all names and lengths up to now.
    fn commit_journal(&mut self) {
        if self.crash != Crash::Ext4 {
            return;
        }
        for naming in std::mem::take(&mut self.pending) {
            naming.apply(&mut self.durable);
        }
        for content in self.files.values_mut() {
            content.commit_lengths();
        }
    }

    /// After a failed sync of a file the kernel forgets what it could not write: a later sync does not
    /// bring it. Names are not forgotten so: a file system whose journal fails takes no later sync at all.
    fn fail(&mut self, object: Option<Object>) {
        if let Some(object) = object.filter(|_| self.crash != Crash::Kill) {
            let mut random = self.random.fork();
            let content = self.content(object);
            content.durable = content.drawn(SECTOR, &mut random);
            content.pending.clear();
        }
    }

    /// Makes beneath `base`, which is empty, what the disk holds.
    pub(crate) fn make(&mut self, base: &Path) {
        let names = self.names();
        let mut made: HashMap<Object, PathBuf> = HashMap::new();
        for (path, node) in &names {
            // Names come after the directory that they are in.
            if !path.parent().is_some_and(Path::is_dir) {
                continue;
            }
            assert!(path.starts_with(base), "{}", path.display());
            match node {
                Node::Dir => fs::create_dir(path).unwrap(),
                Node::File(object) => {
                    if let Some(first) = made.get(object) {
                        fs::hard_link(first, path).unwrap();
                        continue;
                    }
                    write_sparse(path, &self.bytes(*object));
                    made.insert(*object, path.clone());
                }
            }
        }
    }

    fn names(&mut self) -> BTreeMap<PathBuf, Node> {
        if self.crash == Crash::Kill {
            return self.seen.clone();
        }
        let mut names = self.durable.clone();
        let percent = [0, 50, 50, 100][self.random.below(4)];
        for naming in &self.pending {
            let is_strict = self.crash == Crash::Strict;
            let comes = naming.is_made || self.random.chance(percent);
            if !comes {
                continue;
            }
            let mut naming = naming.clone();
            // Both names at once: never neither.
            if is_strict && !naming.is_made && naming.gone.is_some() && self.random.chance(30) {
                naming.gone = None;
            }
            let is_half = is_strict && naming.made.is_some() && naming.is_made;
            if is_half && self.random.chance(50) {
                continue;
            }
            naming.apply(&mut names);
        }
        names
    }

    fn bytes(&mut self, object: Object) -> Vec<u8> {
        let mut random = self.random.fork();
        let content = &self.files[&object];
        match self.crash {
            Crash::Kill => content.all(),
            Crash::Ext4 => content.drawn(PAGE, &mut random),
            Crash::Strict => content.drawn(SECTOR, &mut random),
        }
    }
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        if let Some(path) = self.gone.as_ref().filter(|_| !self.is_gone) {
            names.remove(path);
        }
        if let Some((path, node)) = self.made.as_ref().filter(|_| !self.is_made) {
            names.insert(path.clone(), node.clone());
        }
    }
}

impl Content {
    fn sync(&mut self) {
        self.durable = self.all();
        self.pending.clear();
    }

    fn all(&self) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for piece in &self.pending {
            piece.apply(&mut bytes);
        }
        bytes
    }

    /// Lengths that were set explicitly are in the journal; those that a write makes come with its bytes.
    fn commit_lengths(&mut self) {
        let is_first = |piece: &Piece| matches!(piece, Piece::SetLen(_));
        while self.pending.first().is_some_and(is_first) {
            self.pending.remove(0).apply(&mut self.durable);
        }
    }

    /// The bytes with some of what is pending, in units of `unit` bytes.
    fn drawn(&self, unit: usize, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let until = match random.below(4) {
            0 => 0,
            // In order, as far as it came.
            1 => random.below(self.pending.len() + 1),
            _ => self.pending.len(),
        };
        let percent = [100, 50, 90][random.below(3)];
        for piece in &self.pending[..until] {
            match piece {
                Piece::Write { offset, data } => {
                    write_some(&mut bytes, *offset, data, unit, percent, random);
                }
                piece if random.chance(percent) => piece.apply(&mut bytes),
                _ => {}
            }
        }
        bytes
    }
}

fn write_some(
    bytes: &mut Vec<u8>,
    offset: usize,
    data: &[u8],
    unit: usize,
    percent: u32,
    random: &mut Random,
) {
    let mut at = offset;
    while at < offset + data.len() {
        let end = (at / unit + 1) * unit;
        let end = end.min(offset + data.len());
        if random.chance(percent) {
            Piece::write(bytes, at, &data[at - offset..end - offset]);
        } else if unit == SECTOR && bytes.len() < end && random.chance(30) {
            // The length came and the bytes did not.
            bytes.resize(end, 0);
        }
        at = end;
    }
}

impl Piece {
    fn write(bytes: &mut Vec<u8>, at: usize, data: &[u8]) {
        let end = at + data.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[at..end].copy_from_slice(data);
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { offset, data } => Self::write(bytes, *offset, data),
            Self::SetLen(len) => bytes.resize(*len, 0),
            Self::Zero { offset, len } => {
                let end = (offset + len).min(bytes.len());
                bytes[(*offset).min(end)..end].fill(0);
            }
        }
    }
}

/// Writes a file and leaves holes where it is zero: the index is mostly that.
fn write_sparse(path: &Path, bytes: &[u8]) {
    let file = fs::File::create_new(path).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    for (number, page) in bytes.chunks(PAGE).enumerate() {
        if page.iter().any(|byte| *byte != 0) {
            file.write_all_at(page, (number * PAGE) as u64).unwrap();
        }
    }
}
