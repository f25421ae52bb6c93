//! Requests become work.
//!
//! A [`Scope`] is what one control connection holds between its requests: the sessions of roots that it
//! reads, so that a mount does not leave a swarm between two reads. Every request ends with
//! [`Response::Done`] or [`Response::Failed`].

use std::{
    collections::VecDeque,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use shoal_dag::{Cid, Node as DagNode, hash, node::Dirent};

use super::{
    Node, add, get, pin,
    read::{Bytestream, Reader, Resolved},
    sessions::{Session, Waiting},
    status,
};
use crate::{
    control::{
        protocol::{
            Add, Described, Failure, Kind, LISTED_BATCH_MAX, Listed, Meta, Outcome, Request,
            Response, Wait,
        },
        server::{DataFrames, Responder},
    },
    exit::Exit,
};

/// Sessions that a connection keeps between requests: a mount has one root.
const SESSIONS_KEPT_MAX: usize = 4;

/// Bytes of one `Read`: what the kernel asks of a mount at most.
const READ_BYTES_MAX: u32 = 1 << 20;

/// Answers to `Nodes` that wait for the network at once.
const NODES_AT_ONCE: usize = 32;

/// What one control connection holds.
#[derive(Debug)]
pub struct Scope {
    node: Arc<Node>,
    sessions: VecDeque<(Cid, Arc<Session>)>,
}

impl Scope {
    /// A connection that has asked nothing yet.
    pub const fn new(node: Arc<Node>) -> Self {
        Self { node, sessions: VecDeque::new() }
    }

    /// Adds paths and the bytes that the client sends.
    pub async fn add_with_data(
        &mut self,
        request: &Add,
        data: DataFrames<'_>,
        out: &Responder,
    ) -> Response {
        ended(add::add_with_data(&self.node, request.clone(), data, out.clone()).await)
    }

    /// Does what is asked; the last message is returned.
    pub async fn handle(&mut self, request: Request, out: &Responder) -> Response {
        let node = Arc::clone(&self.node);
        ended(match request {
            Request::Add(request) => add::add(&node, request, out.clone()).await,
            Request::Get(request) => get::get(&node, request, out).await,
            Request::Cat { target, range, wait } => self.cat(&target, range, wait, out).await,
            Request::List { target, wait } => self.list(&target, wait, out).await,
            Request::Stat { target, wait } => self.stat(&target, wait, out).await,
            Request::PinAdd { target, wait } => pin::add(&node, &target, wait.into(), out).await,
            Request::PinRemove { target } => pin::remove(&node, &target).await,
            Request::PinList => pin::list(&node, out).await,
            Request::Seed(request) => super::seed::seed(&node, request, out).await,
            Request::Id => status::identity(&node).await,
            Request::Peers => status::peers(&node).await,
            Request::Status => status::status(&node).await,
            Request::Nodes { root, cids, wait } => self.nodes(&root, &cids, wait).await,
            Request::Directory { root, cid, wait } => self.directory(&root, &cid, wait, out).await,
            Request::Read { root, cid, offset, len, wait } => {
                let len = len.min(READ_BYTES_MAX);
                self.read(&root, &cid, offset..offset.saturating_add(len.into()), wait, out).await
            }
            Request::Backing { cid } => self.backing(&cid).await,
        })
    }

    /// A reader that goes on with the session of an earlier request.
    fn reader<'a>(
        &self,
        node: &'a Arc<Node>,
        root: Cid,
        waiting: Waiting,
        out: Option<&'a Responder>,
    ) -> Reader<'a> {
        let reader = Reader::new(node, root, waiting, out);
        match self.sessions.iter().find(|(known, _)| *known == root) {
            Some((_, session)) => reader.over(Arc::clone(session)),
            None => reader,
        }
    }

    fn keep_session(&mut self, root: Cid, reader: &Reader<'_>) {
        if let Some(session) = reader.session()
            && !self.sessions.iter().any(|(known, _)| *known == root)
        {
            if self.sessions.len() >= SESSIONS_KEPT_MAX {
                self.sessions.pop_front();
            }
            self.sessions.push_back((root, Arc::clone(session)));
        }
    }

    async fn cat(
        &mut self,
        target: &[u8],
        range: Option<(u64, u64)>,
        wait: Wait,
        out: &Responder,
    ) -> Result<Outcome, Failure> {
        let node = Arc::clone(&self.node);
        let path = get::parse_target(target)?;
        let mut reader = Reader::new(&node, path.root, wait.into(), Some(out));
        let resolved = reader.resolve(&path).await?;
        let range = range.map_or(0..u64::MAX, |(first, last)| first..last.saturating_add(1));
        let start = range.start;
        let stream = reader.range(resolved.cid, resolved.under(), range, 0);
        let (bytes, size) = send_all(stream, out).await?;
        if bytes == 0 && start > 0 && size.is_some_and(|size| start >= size) {
            let size = size.unwrap_or(0);
            return Err(Failure::failed(format!("{} ends at byte {size}", resolved.cid)));
        }
        Ok(Outcome::Read { bytes })
    }

    async fn list(
        &mut self,
        target: &[u8],
        wait: Wait,
        out: &Responder,
    ) -> Result<Outcome, Failure> {
        let node = Arc::clone(&self.node);
        let path = get::parse_target(target)?;
        let mut reader = Reader::new(&node, path.root, wait.into(), Some(out));
        let resolved = reader.resolve(&path).await?;
        list_node(&mut reader, &resolved, out).await
    }

    async fn directory(
        &mut self,
        root: &str,
        cid: &str,
        wait: Wait,
        out: &Responder,
    ) -> Result<Outcome, Failure> {
        let (root, cid) = (parse(root)?, parse(cid)?);
        let node = Arc::clone(&self.node);
        let mut reader = self.reader(&node, root, impatient(wait), None);
        let resolved = Resolved { cid, trail: Vec::new() };
        let listed = list_node(&mut reader, &resolved, out).await;
        self.keep_session(root, &reader);
        listed
    }

    async fn stat(
        &mut self,
        target: &[u8],
        wait: Wait,
        out: &Responder,
    ) -> Result<Outcome, Failure> {
        let node = Arc::clone(&self.node);
        let path = get::parse_target(target)?;
        let mut reader = Reader::new(&node, path.root, wait.into(), Some(out));
        let resolved = reader.resolve(&path).await?;
        let data = reader.block(&resolved.cid, resolved.under(), None).await?;
        Ok(Outcome::Described(describe(&resolved.cid, data)?))
    }

    async fn nodes(&mut self, root: &str, cids: &[String], wait: Wait) -> Result<Outcome, Failure> {
        let root = parse(root)?;
        let mut answers = Vec::with_capacity(cids.len().min(LISTED_BATCH_MAX));
        for part in cids.chunks(NODES_AT_ONCE) {
            let asked = part.iter().map(|cid| self.describe_one(root, cid, wait));
            answers.extend(futures::future::join_all(asked).await);
        }
        if self.sessions.is_empty() {
            // Found by a reader of this call, if anything was missing; kept for the next one.
            if let Some(session) = self.node.sessions().existing(&root) {
                self.sessions.push_back((root, session));
            }
        }
        Ok(Outcome::Nodes(answers))
    }

    async fn describe_one(&self, root: Cid, cid: &str, wait: Wait) -> Result<Described, Failure> {
        let cid = parse(cid)?;
        let mut reader = self.reader(&self.node, root, impatient(wait), None);
        let data = reader.block(&cid, None, None).await?;
        describe(&cid, data)
    }

    async fn read(
        &mut self,
        root: &str,
        cid: &str,
        range: std::ops::Range<u64>,
        wait: Wait,
        out: &Responder,
    ) -> Result<Outcome, Failure> {
        let (root, cid) = (parse(root)?, parse(cid)?);
        let node = Arc::clone(&self.node);
        let reader = self.reader(&node, root, impatient(wait), None);
        let session = reader.session().cloned();
        let ahead = session.map_or(0, |s| s.read_ahead(&cid, range.start, range.end));
        let mut stream = reader.range(cid, None, range, ahead);
        let mut bytes = 0;
        while let Some(data) = stream.next().await? {
            bytes += data.len() as u64;
            out.data(data).await?;
        }
        let reader = stream.into_reader();
        self.keep_session(root, &reader);
        Ok(Outcome::Read { bytes })
    }

    async fn backing(&self, cid: &str) -> Result<Outcome, Failure> {
        let cid = parse(cid)?;
        let whole = self.node.with_store(move |store| store.whole_file(&cid)).await;
        // A referenced file may be edited at any time: it is read, and hashed, through the node.
        let path = match whole {
            Ok(Some(whole)) if !whole.reference => Some(whole.path),
            _ => None,
        };
        let bytes = |path: std::path::PathBuf| {
            std::os::unix::ffi::OsStringExt::into_vec(path.into_os_string())
        };
        Ok(Outcome::Backing(path.map(bytes)))
    }
}

fn ended(result: Result<Outcome, Failure>) -> Response {
    match result {
        Ok(outcome) => Response::Done(outcome),
        Err(failure) => Response::Failed(failure),
    }
}

/// A mount's reader fails as soon as nobody is left who could answer.
const fn impatient(wait: Wait) -> Waiting {
    Waiting { idle: Duration::from_millis(wait.idle_ms), impatient: true }
}

fn parse(cid: &str) -> Result<Cid, Failure> {
    cid.parse().map_err(|_| Failure::usage(format!("{cid:?} is not a CID")))
}

async fn send_all(
    mut stream: Bytestream<'_>,
    out: &Responder,
) -> Result<(u64, Option<u64>), Failure> {
    let mut bytes = 0;
    while let Some(data) = stream.next().await? {
        bytes += data.len() as u64;
        out.data(data).await?;
    }
    Ok((bytes, stream.size()))
}

/// Sends the entries of a directory; a file or symlink lists itself.
async fn list_node(
    reader: &mut Reader<'_>,
    resolved: &Resolved,
    out: &Responder,
) -> Result<Outcome, Failure> {
    let data = reader.block(&resolved.cid, resolved.under(), None).await?;
    let described = describe(&resolved.cid, data.clone())?;
    let node = decode(&resolved.cid, data)?;
    let DagNode::Directory { entries, .. } = node else {
        let listed = listed_self(&described);
        out.send(Response::Listed(vec![listed])).await?;
        return Ok(Outcome::Listed { entries: 1, described });
    };
    let count = entries.len() as u64;
    for part in entries.chunks(LISTED_BATCH_MAX) {
        let part = part.to_vec();
        let listed = reader.node_handle().with_store(move |store| {
            part.into_iter().map(|entry| listed(store, entry)).collect()
        });
        out.send(Response::Listed(listed.await)).await?;
    }
    Ok(Outcome::Listed { entries: count, described })
}

fn listed_self(described: &Described) -> Listed {
    Listed {
        name: Vec::new(),
        cid: described.cid.clone(),
        kind: Some(described.kind),
        size: Some(described.size),
        dag_size: described.dag_size,
        meta: described.meta,
    }
}

/// An entry with what can be told of it without asking anybody.
fn listed(store: &shoal_store::Store, entry: Dirent) -> Listed {
    let mut listed = Listed {
        name: entry.name,
        cid: entry.cid.to_string(),
        kind: None,
        size: None,
        dag_size: entry.dag_size,
        meta: Meta::default(),
    };
    if entry.cid.codec() == hash::RAW {
        (listed.kind, listed.size) = (Some(Kind::File), Some(entry.dag_size));
    } else if let Ok(Some(data)) = store.get(&entry.cid)
        && let Ok(described) = describe(&entry.cid, data)
    {
        (listed.kind, listed.size) = (Some(described.kind), Some(described.size));
        listed.meta = described.meta;
    }
    listed
}

fn decode(cid: &Cid, data: Bytes) -> Result<DagNode, Failure> {
    DagNode::decode(cid, data).map_err(|error| Failure::bad_dag(cid, error))
}

/// Describes a block that is the root of a file, a directory or a symlink.
fn describe(cid: &Cid, data: Bytes) -> Result<Described, Failure> {
    let block = data.len() as u64;
    let node = decode(cid, data)?;
    let meta = node.meta();
    let meta = Meta {
        mode: meta.mode,
        mtime: meta.mtime.map(|mtime| (mtime.seconds, mtime.nanos)),
    };
    let below = |sizes: &mut dyn Iterator<Item = u64>| sizes.fold(block, u64::saturating_add);
    let (kind, size, dag_size, links, target) = match node {
        DagNode::Leaf { data, .. } => (Kind::File, data.len() as u64, block, 0, None),
        DagNode::File(file) => {
            let dag_size = below(&mut file.links.iter().map(|link| link.dag_size));
            (Kind::File, file.size, dag_size, file.links.len() as u64, None)
        }
        DagNode::Directory { entries, .. } => {
            let dag_size = below(&mut entries.iter().map(|entry| entry.dag_size));
            (Kind::Directory, 0, dag_size, entries.len() as u64, None)
        }
        DagNode::Symlink { target, .. } => {
            (Kind::Symlink, target.len() as u64, block, 0, Some(target.to_vec()))
        }
    };
    Ok(Described { cid: cid.to_string(), kind, size, dag_size, links, target, meta })
}

/// The running peer's requests on a node that is none.
///
/// # Errors
/// Exit 10.
pub fn need_persistent(node: &Node) -> Result<(), Failure> {
    if node.is_persistent() {
        return Ok(());
    }
    Err(Failure::new(Exit::NoPeer, "no running peer").hint("start one with: shoal seed"))
}
