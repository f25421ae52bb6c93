//! Requests become work.
//!
//! A [`Scope`] is what one control connection holds between its requests: the sessions of roots that it
//! reads, so that a mount does not leave a swarm between two reads. Every request ends with
//! [`Response::Done`] or [`Response::Failed`].

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use shoal_dag::{Cid, Node as DagNode, hash, node::Dirent};
use shoal_store::{Hold, Lease, ReadError, Store};

use super::{
    Node, add, car,
    directory::{self, Entries, Found},
    gc, get, pin,
    read::{Bytestream, Reader, Resolved},
    remove,
    sessions::{Session, Waiting},
    sharing, status,
    swarm::{View, Want},
};
use crate::{
    control::{
        protocol::{
            Described, Failure, Kind, LISTED_BATCH_MAX, Listed, Meta, Outcome, Request, Response,
            Wait,
        },
        server::{DataFrames, Responder},
    },
    exit::Exit,
};

mod backing;

/// Sessions that a connection keeps between requests: a mount has one root.
const SESSIONS_KEPT_MAX: usize = 4;

/// Roots that a connection shows at once: a mount has one, and that of a name follows its versions.
const HOLDS_MAX: usize = 64;

/// Leases that a connection keeps: by the time that as many more paths were given out, a mount has locked
/// the file itself or never will.
const LEASES_KEPT_MAX: usize = 256;

/// Bytes of one `Read`: what the kernel asks of a mount at most.
const READ_BYTES_MAX: u32 = 1 << 20;

/// How soon a listing is waited for; the swarm orders wants by it.
const NODES_WITHIN: Duration = Duration::from_millis(500);

/// What one control connection holds.
#[derive(Debug)]
pub struct Scope {
    node: Arc<Node>,
    sessions: VecDeque<(Cid, Arc<Session>)>,
    /// Roots that it shows.
    holds: VecDeque<Hold>,
    /// Files whose paths were given out last.
    leases: VecDeque<Lease>,
}

impl Scope {
    /// A connection that has asked nothing yet.
    pub const fn new(node: Arc<Node>) -> Self {
        Self { node, sessions: VecDeque::new(), holds: VecDeque::new(), leases: VecDeque::new() }
    }

    /// Does what is asked with the bytes that the client sends.
    pub async fn handle_with_data(
        &mut self,
        request: Request,
        data: DataFrames<'_>,
        out: &Responder,
    ) -> Response {
        let node = &self.node;
        ended(match request {
            Request::Add(request) => add::add_with_data(node, request, data, out.clone()).await,
            Request::CarImport(request) => car::import(node, request, data, out.clone()).await,
            _ => Err(Failure::failed("this request takes no data")),
        })
    }

    /// Does what is asked; the last message is returned.
    pub async fn handle(&mut self, request: Request, out: &Responder) -> Response {
        let node = Arc::clone(&self.node);
        ended(match request {
            Request::Add(request) => add::add(&node, request, out.clone()).await,
            Request::CarImport(_) => Err(Failure::failed("a CAR must follow")),
            Request::CarExport(request) => car::export(&node, request, out).await,
            Request::Get(request) => get::get(&node, request, out).await,
            Request::Cat { target, range, wait } => self.cat(&target, range, wait, out).await,
            Request::List { target, wait } => self.list(&target, wait, out).await,
            Request::Stat { target, wait } => self.stat(&target, wait, out).await,
            Request::PinAdd { target, direct, name, wait } => {
                pin::add(&node, &target, pin::How { direct, name }, wait, out).await
            }
            Request::PinRemove { target } => pin::remove(&node, &target).await,
            Request::PinList(filter) => pin::list(&node, &filter, out).await,
            Request::Collect { dry_run } => gc::collect(&node, dry_run, out).await,
            Request::Remove(item) => remove::remove(&node, item).await,
            Request::Verify(request) => super::verify::verify(&node, request, out).await,
            Request::Seed(request) => super::seed::seed(&node, request, out).await,
            Request::Id => status::identity(&node).await,
            Request::Peers => status::peers(&node).await,
            Request::Status => status::status(&node).await,
            Request::Limit(set) => status::limit(&node, set).await,
            Request::Nodes { root, cids, wait } => self.nodes(&root, &cids, wait).await,
            Request::Directory { root, cid, wait } => self.directory(&root, &cid, wait, out).await,
            Request::Entry { root, cid, name, wait } => {
                self.entry(&root, &cid, &name, wait, out).await
            }
            Request::Read { root, cid, offset, len, wait } => {
                let len = len.min(READ_BYTES_MAX);
                self.read(&root, &cid, offset..offset.saturating_add(len.into()), wait, out).await
            }
            Request::Backing { cid } => self.backing(&cid).await,
            Request::Name(request) => super::names::handle(&node, request, out).await,
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

    /// What is here below a root that the connection shows is not collected before it ends.
    fn hold(&mut self, root: Cid) {
        if self.holds.iter().any(|hold| *hold.root() == root) {
            return;
        }
        if self.holds.len() >= HOLDS_MAX {
            self.holds.pop_front();
        }
        self.holds.push_back(self.node.store().hold(&root));
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
        let (reader, resolved) = follow(&node, target, wait, out).await?;
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
        let (mut reader, resolved) = follow(&node, target, wait, out).await?;
        list_node(&mut reader, &resolved, None, out).await
    }

    async fn directory(
        &mut self,
        root: &str,
        cid: &str,
        wait: Wait,
        out: &Responder,
    ) -> Result<Outcome, Failure> {
        let (root, cid) = (parse(root)?, parse(cid)?);
        self.hold(root);
        let node = Arc::clone(&self.node);
        let mut reader = self.reader(&node, root, impatient(wait), None);
        let resolved = Resolved { cid, trail: Vec::new() };
        let quiet = Some(Duration::from_millis(wait.idle_ms));
        let listed = list_node(&mut reader, &resolved, quiet, out).await;
        self.keep_session(root, &reader);
        listed
    }

    async fn entry(
        &mut self,
        root: &str,
        cid: &str,
        name: &[u8],
        wait: Wait,
        out: &Responder,
    ) -> Result<Outcome, Failure> {
        let (root, cid) = (parse(root)?, parse(cid)?);
        self.hold(root);
        let node = Arc::clone(&self.node);
        let mut reader = self.reader(&node, root, impatient(wait), None);
        let quiet = Some(Duration::from_millis(wait.idle_ms));
        let looked = entry_of(&mut reader, &cid, name, quiet, out).await;
        self.keep_session(root, &reader);
        looked
    }

    async fn stat(
        &mut self,
        target: &[u8],
        wait: Wait,
        out: &Responder,
    ) -> Result<Outcome, Failure> {
        let node = Arc::clone(&self.node);
        let (mut reader, resolved) = follow(&node, target, wait, out).await?;
        let data = reader.block(&resolved.cid, resolved.under(), None).await?;
        // A mount begins with this and goes on in the same swarm.
        self.keep_session(reader.root(), &reader);
        Ok(Outcome::Described(describe(&resolved.cid, data)?))
    }

    /// What each of many things is: all that are missing are asked for at once, against one deadline,
    /// and one that does not come in time costs the others nothing.
    async fn nodes(&mut self, root: &str, cids: &[String], wait: Wait) -> Result<Outcome, Failure> {
        let root = parse(root)?;
        self.hold(root);
        let asked = cids.iter().take(LISTED_BATCH_MAX);
        let cids = asked.map(|cid| parse(cid)).collect::<Result<Vec<_>, _>>()?;
        let mut answers = self.described_here(&cids).await;
        let absent: Vec<usize> = (0..cids.len()).filter(|at| answers[*at].is_none()).collect();
        if !absent.is_empty() {
            let absent_cids: Vec<Cid> = absent.iter().map(|at| cids[*at]).collect();
            let failures = self.fetch_all(root, &absent_cids, wait).await?;
            let described = self.described_here(&absent_cids).await;
            for ((at, failure), described) in absent.into_iter().zip(failures).zip(described) {
                answers[at] = described.or(failure.map(Err));
            }
        }
        let answers = answers.into_iter().zip(cids);
        let told = answers.map(|(answer, cid)| answer.unwrap_or_else(|| Err(removed(&cid))));
        Ok(Outcome::Nodes(told.collect()))
    }

    /// What can be told of these without asking anybody.
    async fn described_here(&self, cids: &[Cid]) -> Vec<Option<Result<Described, Failure>>> {
        let cids = cids.to_vec();
        let work = move |store: &Store| cids.iter().map(|cid| described_here(store, cid)).collect();
        self.node.with_store(work).await
    }

    /// Fetches blocks side by side until the deadline: why each is not here, if it is not.
    async fn fetch_all(
        &mut self,
        root: Cid,
        cids: &[Cid],
        wait: Wait,
    ) -> Result<Vec<Option<Failure>>, Failure> {
        let node = Arc::clone(&self.node);
        let mut reader = self.reader(&node, root, impatient(wait), None);
        let session = reader.ensure_session().await?;
        self.keep_session(root, &reader);
        let until = deadline(wait);
        let fetched = cids.iter().map(|cid| fetched(&session, *cid, wait, until));
        let fetched = futures::future::join_all(fetched).await;
        Ok(fetched.into_iter().map(Result::err).collect())
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
        self.hold(root);
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

    async fn backing(&mut self, cid: &str) -> Result<Outcome, Failure> {
        let cid = parse(cid)?;
        let found = self.node.with_store(move |store| backing::file(store, &cid)).await;
        let path = found.map(|(path, lease)| {
            if self.leases.len() >= LEASES_KEPT_MAX {
                self.leases.pop_front();
            }
            self.leases.extend(lease);
            path
        });
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

/// A reader of what the user named, and what that is.
async fn follow<'a>(
    node: &'a Arc<Node>,
    target: &[u8],
    wait: Wait,
    out: &'a Responder,
) -> Result<(Reader<'a>, Resolved), Failure> {
    let path = super::names::target::follow(node, target, wait, out).await?;
    let mut reader = Reader::new(node, path.root, wait.into(), Some(out));
    let resolved = reader.resolve(&path).await?;
    Ok((reader, resolved))
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

/// Sends the entries of a directory; a file or symlink lists itself. Of a sharded directory no more is
/// held than one message has. With `quiet`, that is how long one of its blocks may take.
async fn list_node(
    reader: &mut Reader<'_>,
    resolved: &Resolved,
    quiet: Option<Duration>,
    out: &Responder,
) -> Result<Outcome, Failure> {
    let top = reader.block(&resolved.cid, resolved.under(), None);
    let data = within(quiet, &resolved.cid, top).await?;
    let described = describe(&resolved.cid, data.clone())?;
    if described.kind != Kind::Directory {
        let listed = listed_self(&described);
        out.send(Response::Listed(vec![listed])).await?;
        return Ok(Outcome::Listed { entries: 1, described });
    }
    let mut entries = Entries::of(resolved.cid, data)?;
    let (mut count, mut part) = (0, Vec::new());
    while let Some(more) = within(quiet, &resolved.cid, entries.next(reader)).await? {
        for entry in more {
            count += 1;
            part.push(entry);
            if part.len() >= LISTED_BATCH_MAX {
                send_listed(reader, std::mem::take(&mut part), out).await?;
            }
        }
    }
    if !part.is_empty() {
        send_listed(reader, part, out).await?;
    }
    Ok(Outcome::Listed { entries: count, described })
}

/// One entry of a sharded directory; of another the whole listing.
async fn entry_of(
    reader: &mut Reader<'_>,
    cid: &Cid,
    name: &[u8],
    quiet: Option<Duration>,
    out: &Responder,
) -> Result<Outcome, Failure> {
    let top = within(quiet, cid, reader.node(cid, None)).await?;
    if !matches!(top, DagNode::Shard(_)) {
        let resolved = Resolved { cid: *cid, trail: Vec::new() };
        return list_node(reader, &resolved, quiet, out).await;
    }
    let found = within(quiet, cid, directory::find(reader, cid, None, name)).await?;
    let Found::Entry { cid, dag_size, .. } = found else { return Ok(Outcome::Entry(None)) };
    let entry = Dirent { name: name.to_vec(), cid, dag_size };
    let listed = reader.node_handle().with_store(move |store| listed(store, entry)).await;
    Ok(Outcome::Entry(Some(listed)))
}

async fn send_listed(
    reader: &Reader<'_>,
    part: Vec<Dirent>,
    out: &Responder,
) -> Result<(), Failure> {
    let list =
        move |store: &Store| part.into_iter().map(|entry| listed(store, entry)).collect::<Vec<_>>();
    let listed = reader.node_handle().with_store(list).await;
    Ok(out.send(Response::Listed(listed)).await?)
}

/// Waits no longer than that.
async fn within<T>(
    quiet: Option<Duration>,
    cid: &Cid,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match quiet {
        None => work.await,
        Some(quiet) => {
            tokio::time::timeout(quiet, work).await.unwrap_or_else(|_| Err(too_late(cid)))
        }
    }
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
fn listed(store: &Store, entry: Dirent) -> Listed {
    let mut listed = Listed {
        name: entry.name,
        cid: entry.cid.to_string(),
        kind: None,
        size: None,
        dag_size: entry.dag_size,
        meta: Meta::default(),
    };
    if entry.cid.codec() == hash::RAW {
        (listed.kind, listed.size) =
            (Some(Kind::File), leaf_size(store, &entry.cid, entry.dag_size));
    } else if let Ok(Some(data)) = store.get(&entry.cid)
        && let Ok(described) = describe(&entry.cid, data)
    {
        (listed.kind, listed.size) = (Some(described.kind), Some(described.size));
        listed.meta = described.meta;
    }
    listed
}

/// The length of a raw leaf: of the one that is here, else what its parent says. A parent may say
/// nothing, which is 0; one that says more than a block can hold is not believed.
fn leaf_size(store: &Store, cid: &Cid, said: u64) -> Option<u64> {
    if let Some(data) = hash::identity(cid) {
        return Some(data.len() as u64);
    }
    let here = store.extent(cid).map(|extent| extent.len.into());
    here.or_else(|| (1..=shoal_dag::BLOCK_BYTES_MAX as u64).contains(&said).then_some(said))
}

/// What a block is that is here; `None` when it is missing.
fn described_here(store: &Store, cid: &Cid) -> Option<Result<Described, Failure>> {
    if let Some(data) = hash::identity(cid) {
        return Some(describe(cid, Bytes::copy_from_slice(data)));
    }
    match store.get(cid) {
        Ok(data) => Some(describe(cid, data?)),
        // The file that an earlier `get` made is gone.
        Err(ReadError::Changed { .. }) if sharing::forget_moved(store, cid) => None,
        Err(error) => Some(Err(error.into())),
    }
}

/// Waits until a block is here, and no longer than `until`.
async fn fetched(
    session: &Session,
    cid: Cid,
    wait: Wait,
    until: tokio::time::Instant,
) -> Result<(), Failure> {
    let want = Want { cid, under: None, place: None, within: Some(NODES_WITHIN), tree: false };
    let mut silent = |_: &View| {};
    let fetching = session.fetch(want, impatient(wait), &mut silent);
    tokio::time::timeout_at(until, fetching).await.unwrap_or_else(|_| Err(too_late(&cid)))
}

/// When what a thing is must be known: unlike bytes, which may go on as long as they flow.
fn deadline(wait: Wait) -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_millis(wait.idle_ms)
}

fn too_late(cid: &Cid) -> Failure {
    Failure::new(Exit::NotFound, format!("{cid} did not come within the deadline"))
}

fn removed(cid: &Cid) -> Failure {
    Failure::new(Exit::TryAgain, format!("{cid} was removed while it was read"))
}

fn decode(cid: &Cid, data: Bytes) -> Result<DagNode, Failure> {
    DagNode::decode(cid, data).map_err(|error| Failure::bad_dag(cid, error))
}

/// Describes a block that is the root of a file, a directory or a symlink.
fn describe(cid: &Cid, data: Bytes) -> Result<Described, Failure> {
    let block = data.len() as u64;
    let node = decode(cid, data)?;
    let meta = node.meta();
    let meta =
        Meta { mode: meta.mode, mtime: meta.mtime.map(|mtime| (mtime.seconds, mtime.nanos)) };
    let sharded = matches!(node, DagNode::Shard(_));
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
        DagNode::Shard(shard) => {
            let dag_size = below(&mut shard.links.iter().map(|link| link.dag_size));
            (Kind::Directory, 0, dag_size, shard.links.len() as u64, None)
        }
        DagNode::Symlink { target, .. } => {
            (Kind::Symlink, target.len() as u64, block, 0, Some(target.to_vec()))
        }
    };
    Ok(Described { cid: cid.to_string(), kind, size, dag_size, links, sharded, target, meta })
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
