//! The tree that is mounted, as the node tells it.
//!
//! Called from the mount's worker threads, which may block: each call is one exchange on the link, with
//! the deadline that the node keeps (10 s for what a thing is, 30 s without progress for bytes, at once
//! when no provider is left) and a guard a little longer, in case the node itself stands still.

use std::{
    fs::File,
    os::unix::ffi::OsStringExt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rustix::fs::{FlockOperation, flock};
use shoal_dag::{Cid, name};
use shoal_fuse::{Attributes, Directory, Entry, Kind, Named, Tree, TreeError};
use tokio::runtime::Handle;

use super::{
    failures::Failures,
    link::{Answered, Link},
    source::Place,
};
use crate::{
    control::protocol::{self, Described, Failure, Listed, Outcome, Request, Wait},
    exit::Exit,
};

/// Deadline for what a thing is.
const METADATA_IDLE: Duration = Duration::from_secs(10);

/// Deadline for bytes: time without progress.
const READ_IDLE: Duration = Duration::from_secs(30);

/// What a node that stands still may take beyond a deadline.
const GUARD: Duration = Duration::from_secs(5);

/// The longest that a read which goes on may take.
const READ_MAX: Duration = Duration::from_secs(110);

/// The longest that a listing which goes on may take: a million entries took a third of it.
const LISTING_MAX: Duration = Duration::from_secs(110);

/// What is waited for of bytes that could not be had a moment ago.
const READ_AGAIN_IDLE: Duration = Duration::from_secs(1);

/// The same of what a thing is: a listing asks for hundreds, one by one.
const METADATA_AGAIN_IDLE: Duration = Duration::from_millis(20);

/// One tree over the link; of a name that is followed, all that is seen of its versions.
#[derive(Debug)]
pub(super) struct NodeTree {
    link: Arc<Link>,
    swarm: RwLock<String>,
    cid: Cid,
    runtime: Handle,
    failures: Mutex<Failures>,
}

impl NodeTree {
    /// A tree, and the swarm that is asked for its missing blocks. Made inside the runtime.
    pub(super) fn new(link: Arc<Link>, Place { swarm, cid }: Place) -> Self {
        let swarm = RwLock::new(swarm);
        Self { link, swarm, cid, runtime: Handle::current(), failures: Mutex::default() }
    }

    /// From now on this swarm is asked for what is missing, of older versions too: who follows a name
    /// has those as well.
    pub(super) fn ask_in(&self, swarm: String) {
        *self.swarm.write().unwrap_or_else(PoisonError::into_inner) = swarm;
    }

    fn swarm(&self) -> String {
        self.swarm.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn call(&self, request: &Request, guard: Duration) -> Result<Answered, TreeError> {
        let answered = self
            .runtime
            .block_on(async { tokio::time::timeout(guard, self.link.call(request)).await });
        answered.map_err(|_| TreeError::TimedOut)?.map_err(tree_error)
    }

    fn describe(&self, cids: &[Cid]) -> Result<Vec<Result<Described, Failure>>, TreeError> {
        let again = self.failures().has_things(cids, Instant::now());
        let quiet = if again { METADATA_AGAIN_IDLE } else { METADATA_IDLE };
        let request = Request::Nodes {
            root: self.swarm(),
            cids: cids.iter().map(ToString::to_string).collect(),
            wait: idle(quiet),
        };
        match self.call(&request, quiet + GUARD)?.outcome {
            Some(Outcome::Nodes(nodes)) if nodes.len() == cids.len() => {
                self.take_note(cids, &nodes, again);
                Ok(nodes)
            }
            _ => Err(unexpected()),
        }
    }

    /// Remembers what was waited for in vain.
    fn take_note(&self, cids: &[Cid], nodes: &[Result<Described, Failure>], again: bool) {
        let mut failures = self.failures();
        for (cid, _) in cids.iter().zip(nodes).filter(|(_, node)| node.is_ok()) {
            failures.forget_thing(cid);
        }
        let absent = |node: &Result<_, Failure>| {
            node.as_ref().is_err_and(|failure: &Failure| failure.exit == Exit::NotFound)
        };
        if !again {
            let in_vain = cids.iter().zip(nodes).filter(|(_, node)| absent(node));
            failures.note_things(in_vain.map(|(cid, _)| *cid), Instant::now());
        }
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A directory's entries, or one of them.
    fn named(&self, request: &Request) -> Result<Named, TreeError> {
        let entries = Mutex::new(Vec::new());
        // As they come: of a million entries nothing is held twice.
        let take = |listed: Vec<Listed>| {
            let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
            entries.extend(listed.into_iter().filter_map(entry));
        };
        let called = self.runtime.block_on(async {
            tokio::time::timeout(LISTING_MAX, self.link.call_listing(request, &take)).await
        });
        let outcome = called.map_err(|_| TreeError::TimedOut)?.map_err(tree_error)?;
        let mut entries = entries.into_inner().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Outcome::Listed { described, .. } if described.kind == protocol::Kind::Directory => {
                // Stable: of two of one name the first in the block counts, as everywhere.
                entries.sort_by(|a, b| a.name.cmp(&b.name));
                entries.dedup_by(|later, first| later.name == first.name);
                Ok(Named::Listing(Arc::new(Directory { entries })))
            }
            Outcome::Listed { .. } => Err(TreeError::NotDirectory),
            Outcome::Entry(found) => Ok(found
                .and_then(entry)
                .map_or(Named::Absent, |entry| Named::Entry(Box::new(entry)))),
            _ => Err(unexpected()),
        }
    }

    fn describe_one(&self, cid: &Cid) -> Result<Described, TreeError> {
        let mut nodes = self.describe(std::slice::from_ref(cid))?;
        nodes.remove(0).map_err(tree_error)
    }
}

impl Tree for NodeTree {
    fn root(&self) -> Cid {
        self.cid
    }

    fn attributes(&self, cid: &Cid) -> Result<Attributes, TreeError> {
        self.describe_one(cid).map(|described| attributes(&described))
    }

    fn attributes_of(&self, cids: &[Cid]) -> Vec<Result<Attributes, TreeError>> {
        match self.describe(cids) {
            Ok(nodes) => nodes
                .into_iter()
                .map(|node| node.map(|described| attributes(&described)).map_err(tree_error))
                .collect(),
            Err(error) => cids.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    fn directory(&self, cid: &Cid) -> Result<Arc<Directory>, TreeError> {
        let (root, cid) = (self.swarm(), cid.to_string());
        match self.named(&Request::Directory { root, cid, wait: idle(METADATA_IDLE) })? {
            Named::Listing(directory) => Ok(directory),
            Named::Entry(_) | Named::Absent => Err(unexpected()),
        }
    }

    fn entry(&self, cid: &Cid, name: &[u8]) -> Result<Named, TreeError> {
        let (root, cid, name) = (self.swarm(), cid.to_string(), name.to_vec());
        self.named(&Request::Entry { root, cid, name, wait: idle(METADATA_IDLE) })
    }

    fn readlink(&self, cid: &Cid) -> Result<Vec<u8>, TreeError> {
        self.describe_one(cid)?.target.ok_or(TreeError::NotSymlink)
    }

    fn read(&self, cid: &Cid, offset: u64, len: u32) -> Result<Bytes, TreeError> {
        let again = self.failures().has_range(cid, offset, Instant::now());
        let quiet = if again { READ_AGAIN_IDLE } else { READ_IDLE };
        let request = Request::Read {
            root: self.swarm(),
            cid: cid.to_string(),
            offset,
            len,
            wait: idle(quiet),
        };
        let read = self.call(&request, if again { quiet + GUARD } else { READ_MAX });
        if read.is_err() && !again {
            self.failures().note_range(*cid, offset..offset + u64::from(len), Instant::now());
        }
        Ok(read?.data)
    }

    fn backing(&self, cid: &Cid) -> Result<Option<File>, TreeError> {
        let request = Request::Backing { cid: cid.to_string() };
        match self.call(&request, METADATA_IDLE + GUARD)?.outcome {
            Some(Outcome::Backing(Some(path))) => {
                // Moved, removed or thinned since: then its bytes are read through the node. The lock says
                // that they stay where they are, for as long as the file is open here or in the kernel.
                let file = File::open(std::ffi::OsString::from_vec(path)).ok();
                Ok(file.filter(|file| flock(file, FlockOperation::NonBlockingLockShared).is_ok()))
            }
            Some(Outcome::Backing(None)) => Ok(None),
            _ => Err(unexpected()),
        }
    }
}

const fn idle(time: Duration) -> Wait {
    Wait { idle_ms: time.as_millis() as u64 }
}

fn entry(listed: Listed) -> Option<Entry> {
    name::check(&listed.name).ok()?;
    let known = listed.kind.zip(listed.size);
    Some(Entry {
        name: listed.name,
        cid: listed.cid.parse().ok()?,
        attributes: known.map(|(of, size)| Attributes {
            kind: kind(of),
            size,
            mode: listed.meta.mode,
            mtime: listed.meta.mtime,
        }),
    })
}

fn attributes(described: &Described) -> Attributes {
    Attributes {
        kind: kind(described.kind),
        size: described.size,
        mode: described.meta.mode,
        mtime: described.meta.mtime,
    }
}

const fn kind(kind: protocol::Kind) -> Kind {
    match kind {
        protocol::Kind::File => Kind::File,
        protocol::Kind::Directory => Kind::Directory,
        protocol::Kind::Symlink => Kind::Symlink,
    }
}

fn unexpected() -> TreeError {
    TreeError::Failed { detail: "the node answered something else".to_owned() }
}

/// What a failure of the node means to whoever reads the drive. Never "no such thing": only a directory
/// that was read proves an absence.
fn tree_error(failure: Failure) -> TreeError {
    let detail = failure.message;
    match failure.exit {
        Exit::NotFound => TreeError::Unreachable { detail },
        Exit::Corrupt => TreeError::Corrupt { detail },
        Exit::NotAllowed => TreeError::Refused,
        Exit::NoPeer | Exit::TryAgain => TreeError::NodeGone,
        _ => TreeError::Failed { detail },
    }
}
