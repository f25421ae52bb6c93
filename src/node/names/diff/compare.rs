//! A walk over two trees side by side, for what differs.
//!
//! Depth first, entries in the order of their names, a directory before what is in it. Where a
//! name stands for a directory on one side only, everything below it was added or removed. Names from
//! a stranger's directory may repeat (the first counts) or be such as no file system has; with
//! [`Compare::checked`] the latter are left out and told.
//!
//! Bounded as other walks are: the number of entries, their depth, those that wait, and the bytes of a
//! path.

use std::{collections::VecDeque, ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use shoal_dag::{
    Cid, Node as DagNode, hash, name,
    walk::{Budget, PENDING_MAX},
};

use super::entries::{Top, differing};
use crate::{
    control::protocol::{Failure, Kind, name::Change},
    node::{
        export::{self, REFUSED_MAX},
        read::Reader,
        swarm::Want,
    },
};

/// Bytes of a path: sixteen times what a system call takes.
const PATH_BYTES_MAX: usize = 64 << 10;

/// Blocks wanted ahead of the walk, of one directory.
pub(super) const AHEAD_MAX: usize = 128;

/// A block, with the directory that it hangs under.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// The block.
    pub cid: Cid,
    /// What links to it.
    pub under: Option<Cid>,
}

/// What stands at a path on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    /// Its root.
    pub cid: Cid,
    /// What it is.
    pub kind: Kind,
}

/// A path at which two trees differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// How.
    pub change: Change,
    /// The path below both roots; empty for the roots themselves.
    pub path: Vec<u8>,
    /// What stands there in the first tree.
    pub from: Option<Side>,
    /// What stands there in the second.
    pub to: Option<Side>,
}

/// An entry that is yet to be looked at.
struct Pair {
    path: Vec<u8>,
    depth: u32,
    from: Option<Link>,
    to: Option<Link>,
}

/// An entry that was read; a raw leaf needs no reading.
struct Item {
    cid: Cid,
    node: Option<DagNode>,
}

/// The walk.
pub struct Compare<'a> {
    from: Reader<'a>,
    to: Reader<'a>,
    stack: Vec<Pair>,
    ready: VecDeque<Difference>,
    visited: u64,
    refused: Option<Refused>,
}

/// Entries of the second tree that were left out for their names.
#[derive(Debug, Default)]
pub struct Refused {
    /// The first of them, as they are shown: at most [`REFUSED_MAX`].
    pub paths: Vec<Vec<u8>>,
    /// How many there are.
    pub count: u64,
}

impl<'a> Compare<'a> {
    /// A walk over two trees, each read by a reader of its own; `None` is an empty one.
    pub fn new(from: Reader<'a>, to: Reader<'a>, a: Option<Link>, b: Option<Link>) -> Self {
        let top = Pair { path: Vec::new(), depth: 1, from: a, to: b };
        Self { from, to, stack: vec![top], ready: VecDeque::new(), visited: 0, refused: None }
    }

    /// Leaves out entries whose names no file system may have.
    #[must_use]
    pub fn checked(mut self) -> Self {
        self.refused = Some(Refused::default());
        self
    }

    /// What was left out for its name, so far.
    pub fn refused(&mut self) -> Refused {
        self.refused.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The readers, with the sessions that were opened on the way.
    pub fn into_readers(self) -> (Reader<'a>, Reader<'a>) {
        (self.from, self.to)
    }

    /// The next difference.
    ///
    /// # Errors
    /// As [`Reader::node`]; exit 1 for a tree beyond the budget.
    pub async fn next(&mut self) -> Result<Option<Difference>, Failure> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Ok(Some(ready));
            }
            let Some(pair) = self.stack.pop() else { return Ok(None) };
            self.visit(pair).await?;
        }
    }

    async fn visit(&mut self, pair: Pair) -> Result<(), Failure> {
        let same = pair.from.map(|link| link.cid) == pair.to.map(|link| link.cid);
        let Some(any) = pair.to.or(pair.from).filter(|_| !same) else { return Ok(()) };
        self.visited += 1;
        if self.visited > Budget::TREE.nodes_max || pair.depth > Budget::TREE.depth_max {
            return Err(Failure::bad_dag(&any.cid, "the trees exceed the budget of a walk"));
        }
        let from = read(&mut self.from, pair.from.as_ref()).await?;
        let to = read(&mut self.to, pair.to.as_ref()).await?;
        if let Some(change) = change(from.as_ref(), to.as_ref()) {
            let path = pair.path.clone();
            let (from, to) = (from.as_ref().map(Item::side), to.as_ref().map(Item::side));
            self.ready.push_back(Difference { change, path, from, to });
        }
        self.descend(&pair, from.as_ref(), to.as_ref()).await
    }

    /// Puts the entries that differ on the stack.
    async fn descend(
        &mut self,
        pair: &Pair,
        from: Option<&Item>,
        to: Option<&Item>,
    ) -> Result<(), Failure> {
        let (a, b) = (from.and_then(Item::top), to.and_then(Item::top));
        let entries = differing(&mut self.from, &mut self.to, a, b).await?;
        let mut below = Vec::with_capacity(entries.len());
        for (entry, (from, to)) in entries {
            if let Some(refused) = &mut self.refused
                && name::check(&entry).is_err()
            {
                if to.is_some() {
                    refused.add(&pair.path, &entry);
                }
                continue;
            }
            let path = joined(&pair.path, &entry);
            if path.len() > PATH_BYTES_MAX {
                let any = to.or(from).map_or_else(Cid::default, |link| link.cid);
                return Err(Failure::bad_dag(&any, "a path in it has more than 64 KiB"));
            }
            below.push(Pair { path, depth: pair.depth + 1, from, to });
        }
        let ahead: Vec<Link> = below.iter().filter_map(|pair| pair.from).collect();
        want_ahead(&mut self.from, &ahead).await?;
        let ahead: Vec<Link> = below.iter().filter_map(|pair| pair.to).collect();
        want_ahead(&mut self.to, &ahead).await?;
        self.stack.extend(below.into_iter().rev());
        if self.stack.len() > PENDING_MAX {
            let cid = self.to.root();
            return Err(Failure::bad_dag(&cid, "too many entries of it wait to be compared"));
        }
        Ok(())
    }
}

impl Refused {
    fn add(&mut self, within: &[u8], name: &[u8]) {
        self.count += 1;
        if self.paths.len() < REFUSED_MAX {
            let within = Path::new(OsStr::from_bytes(within));
            self.paths.push(export::shown(within, name));
        }
    }
}

impl std::fmt::Debug for Compare<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Compare({} and {})", self.from.root(), self.to.root())
    }
}

/// Joins a path and a name, which may be anything.
fn joined(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}

async fn read(reader: &mut Reader<'_>, link: Option<&Link>) -> Result<Option<Item>, Failure> {
    let Some(&Link { cid, under }) = link else { return Ok(None) };
    let node = if cid.codec() == hash::RAW { None } else { Some(reader.node(&cid, under).await?) };
    Ok(Some(Item { cid, node }))
}

/// Asks for the blocks that the walk is about to read, so that they come side by side.
pub(super) async fn want_ahead(reader: &mut Reader<'_>, links: &[Link]) -> Result<(), Failure> {
    let store = reader.node_handle().store();
    let is_read = |link: &&Link| link.cid.codec() != hash::RAW;
    let is_absent = |link: &&Link| hash::identity(&link.cid).is_none() && !store.has(&link.cid);
    let wanted: Vec<Link> =
        links.iter().filter(is_read).take(AHEAD_MAX).filter(is_absent).copied().collect();
    // One block is asked for soon enough by who reads it.
    if wanted.len() < 2 {
        return Ok(());
    }
    let session = reader.ensure_session().await?;
    for Link { cid, under } in wanted {
        session.want(Want { cid, under, place: None, within: None, tree: false }).await;
    }
    Ok(())
}

/// How two entries differ themselves, whatever is below them.
fn change(from: Option<&Item>, to: Option<&Item>) -> Option<Change> {
    let (from, to) = match (from, to) {
        (Some(from), Some(to)) => (from, to),
        (None, Some(_)) => return Some(Change::Added),
        (Some(_), None) => return Some(Change::Removed),
        (None, None) => return None,
    };
    if from.kind() != to.kind() {
        return Some(Change::Changed);
    }
    if let (Some(before), Some(node)) = (&from.node, &to.node)
        && from.kind() == Kind::Directory
    {
        return (before.meta() != node.meta()).then_some(Change::Metadata);
    }
    Some(if from.has_bytes_of(to) { Change::Metadata } else { Change::Changed })
}

impl Item {
    fn kind(&self) -> Kind {
        match &self.node {
            Some(DagNode::Directory { .. } | DagNode::Shard(_)) => Kind::Directory,
            Some(DagNode::Symlink { .. }) => Kind::Symlink,
            Some(DagNode::File(_) | DagNode::Leaf { .. }) | None => Kind::File,
        }
    }

    fn side(&self) -> Side {
        Side { cid: self.cid, kind: self.kind() }
    }

    fn top(&self) -> Option<Top<'_>> {
        self.node.as_ref().map(|node| Top { cid: self.cid, node })
    }

    /// Whether two files, or two symlinks, hold the same, as far as their roots show: the same
    /// leaves, or the same bytes in the roots themselves.
    fn has_bytes_of(&self, other: &Self) -> bool {
        match (&self.node, &other.node) {
            (None, None) => self.cid == other.cid,
            (None, Some(node)) => is_leaf_of(&self.cid, node),
            (Some(node), None) => is_leaf_of(&other.cid, node),
            (Some(DagNode::File(a)), Some(DagNode::File(b))) => {
                let links = a.links.iter().map(|link| (link.cid, link.size));
                a.size == b.size
                    && a.inline == b.inline
                    && links.eq(b.links.iter().map(|link| (link.cid, link.size)))
            }
            (Some(DagNode::Leaf { data: a, .. }), Some(DagNode::Leaf { data: b, .. })) => a == b,
            (
                Some(DagNode::Symlink { target: a, .. }),
                Some(DagNode::Symlink { target: b, .. }),
            ) => a == b,
            _ => false,
        }
    }
}

/// Whether a file holds exactly the bytes of that raw leaf.
fn is_leaf_of(leaf: &Cid, node: &DagNode) -> bool {
    match node {
        DagNode::File(file) => {
            file.inline.is_empty() && matches!(&file.links[..], [only] if only.cid == *leaf)
        }
        DagNode::Leaf { data, .. } => hash::verify(leaf, data).is_ok(),
        _ => false,
    }
}
