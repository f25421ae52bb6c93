//! Whether a tree fits where it is to be written, found out before a byte is.
//!
//! A few kilobytes of blocks can stand for 2^60 bytes, or for 2^40 empty files: each directory is
//! therefore added up once, however often it is linked to, and each file counts what its root says.
//! What a root says is a claim; a file that has less than it claims fails when it is read. Refused is
//! only what cannot fit: bytes that the store holds already may be moved instead of written.

use std::{collections::HashMap, os::unix::fs::MetadataExt, path::Path};

use rustix::fs::StatVfs;
use shoal_dag::{
    Cid, Node as DagNode, hash,
    walk::{Budget, PENDING_MAX, TreeStep, TreeWalk},
};
use shoal_store::Store;

use super::files::node;
use crate::control::protocol::Failure;

/// Most entries that are written: as many as a tree may have distinct blocks.
const ENTRIES_MAX: u64 = Budget::TREE.nodes_max;

/// What a tree has when it is written out, saturating.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measure {
    /// Content bytes, repeated ones repeatedly.
    pub bytes: u64,
    /// Files, directories and symlinks, in the same way.
    pub entries: u64,
}

impl Measure {
    const fn add(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.entries = self.entries.saturating_add(other.entries);
    }
}

/// A directory whose entries are being added up.
struct Open {
    cid: Cid,
    links: std::vec::IntoIter<Cid>,
    sum: Measure,
}

/// Adds up what a tree has, linear in its distinct directories and their entries.
///
/// # Errors
/// A block is missing, or the tree exceeds the bounds of a walk.
pub fn measure(store: &Store, root: &Cid) -> Result<Measure, Failure> {
    let mut known: HashMap<Cid, Measure> = HashMap::new();
    let mut stack: Vec<Open> = Vec::new();
    let (mut sum, mut pending) = (Measure::default(), 0);
    let mut next = Some(*root);
    loop {
        if let Some(cid) = next.take() {
            let looked = match known.get(&cid) {
                Some(sum) => Look::Sum(*sum),
                None => look(store, &cid)?,
            };
            match looked {
                Look::Sum(part) => {
                    stack.last_mut().map_or(&mut sum, |open| &mut open.sum).add(part);
                }
                Look::Links(links) => {
                    pending += links.len();
                    check_walk(root, stack.len(), pending)?;
                    let sum = Measure { bytes: 0, entries: 1 };
                    stack.push(Open { cid, links: links.into_iter(), sum });
                }
            }
        }
        let Some(open) = stack.last_mut() else { return Ok(sum) };
        next = open.links.next();
        if next.is_some() {
            pending -= 1;
        } else if let Some(open) = stack.pop() {
            known.insert(open.cid, open.sum);
            stack.last_mut().map_or(&mut sum, |parent| &mut parent.sum).add(open.sum);
        }
    }
}

enum Look {
    Sum(Measure),
    Links(Vec<Cid>),
}

fn look(store: &Store, cid: &Cid) -> Result<Look, Failure> {
    let file = |bytes| Look::Sum(Measure { bytes, entries: 1 });
    if cid.codec() == hash::RAW && hash::identity(cid).is_none() {
        // The length is enough, and its index entry has it.
        return Ok(file(store.extent(cid).map_or(0, |extent| extent.len.into())));
    }
    let node = node(store, cid)?;
    Ok(match (&node, node.file_size()) {
        (_, Some(bytes)) => file(bytes),
        (DagNode::Symlink { .. }, None) => file(0),
        _ => Look::Links(node.links().collect()),
    })
}

fn check_walk(root: &Cid, depth: usize, pending: usize) -> Result<(), Failure> {
    if depth > Budget::TREE.depth_max as usize {
        let text = format!("directories are nested more than {} deep", Budget::TREE.depth_max);
        return Err(Failure::bad_dag(root, text));
    }
    if pending > PENDING_MAX {
        let text = format!("more than {PENDING_MAX} entries are open at once");
        return Err(Failure::bad_dag(root, text));
    }
    Ok(())
}

/// Refuses a file that claims more than there can be room for, before it is fetched. More of it than
/// the store takes in all cannot be here already.
///
/// # Errors
/// Exit 1, naming the size.
pub fn check_claim(
    store: &Store,
    cid: &Cid,
    claimed: u64,
    target: &Path,
    max: Option<u64>,
) -> Result<(), Failure> {
    let measure = Measure { bytes: claimed, entries: 1 };
    check_wanted(cid, measure, max)?;
    let Some(stat) = statvfs(target).filter(|stat| claimed > free(stat)) else { return Ok(()) };
    let usage = store.usage();
    let held = usage.map_or(u64::MAX, |usage| usage.pack_bytes.saturating_add(usage.blob_bytes));
    if claimed.saturating_sub(held) > free(&stat) {
        return Err(too_large(cid, measure, &stat, target));
    }
    Ok(())
}

/// Refuses a tree that cannot fit where it is to be written, or that has more than was wanted.
///
/// # Errors
/// Exit 1, naming the size.
pub fn check(store: &Store, root: &Cid, target: &Path, max: Option<u64>) -> Result<(), Failure> {
    let measure = measure(store, root)?;
    check_wanted(root, measure, max)?;
    let Some(stat) = statvfs(target) else { return Ok(()) };
    let inodes = if stat.f_files == 0 { u64::MAX } else { stat.f_favail };
    if measure.entries > ENTRIES_MAX.min(inodes) {
        let (Measure { bytes, entries }, most) = (measure, ENTRIES_MAX.min(inodes));
        let text = format!(
            "{root} has {entries} entries ({bytes} bytes), more than the {most} \
             that can be made at {}",
            parent(target).display()
        );
        return Err(Failure::failed(text).hint("take a part of it; look with: shoal ls"));
    }
    if measure.bytes <= free(&stat) {
        return Ok(());
    }
    let held = if is_beside(store, target) { held_below(store, root) } else { 0 };
    if measure.bytes.saturating_sub(held) > free(&stat) {
        return Err(too_large(root, measure, &stat, target));
    }
    Ok(())
}

fn check_wanted(cid: &Cid, measure: Measure, max: Option<u64>) -> Result<(), Failure> {
    match max {
        Some(max) if measure.bytes > max => {
            let text = format!("{cid} has {} bytes, more than the {max} wanted", measure.bytes);
            Err(Failure::failed(text).hint("--max-size says how many are wanted"))
        }
        _ => Ok(()),
    }
}

fn too_large(cid: &Cid, measure: Measure, stat: &StatVfs, target: &Path) -> Failure {
    let (Measure { bytes, .. }, free) = (measure, free(stat));
    let dir = parent(target).display();
    Failure::failed(format!("{cid} has {bytes} bytes, more than the {free} that are free at {dir}"))
        .hint("nothing was written; take a part of it, or read it with: shoal cat")
}

fn parent(target: &Path) -> &Path {
    super::parent_of(target)
}

fn statvfs(target: &Path) -> Option<StatVfs> {
    rustix::fs::statvfs(parent(target)).ok()
}

const fn free(stat: &StatVfs) -> u64 {
    stat.f_bavail.saturating_mul(stat.f_frsize)
}

/// Whether the store's bytes could be moved to the target.
fn is_beside(store: &Store, target: &Path) -> bool {
    let device = |path: &Path| std::fs::metadata(path).ok().map(|stat| stat.dev());
    let device_of_store = device(&store.dir());
    device_of_store.is_some() && device_of_store == device(parent(target))
}

/// Bytes of the distinct leaves below a root that the store holds.
fn held_below(store: &Store, root: &Cid) -> u64 {
    let mut walk = TreeWalk::new(*root, Budget::TREE);
    let mut held = 0_u64;
    while let Ok(TreeStep::Need(cid)) = walk.poll() {
        let branch = if cid.codec() == hash::RAW { None } else { store.get(&cid).ok().flatten() };
        held = held.saturating_add(store.extent(&cid).map_or(0, |extent| extent.len.into()));
        let entered = branch.is_some_and(|data| walk.handle_block(&cid, data).is_ok());
        if !entered && walk.skip(&cid).is_err() {
            break;
        }
    }
    held
}
