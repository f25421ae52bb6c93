//! Reading: blocks from here or from the swarm, paths, ranges of files.
//!
//! A [`Reader`] belongs to one request and one root. It looks in the store first and opens the root's
//! session only when something is missing. A file is read by walking the places of its leaves ahead of
//! the bytes that are given out, so that missing leaves are wanted in parallel and each knows where it
//! lies in its file. What the store gives has been hashed on that read.

use std::{collections::VecDeque, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use shoal_dag::{
    Cid, Node as DagNode, hash,
    node::FileNode,
    path::CidPath,
    walk::{Budget, FileWalk, Step, WalkError},
};
use shoal_store::{Hold, ReadError};
use shoal_swarm::Place;

use super::{
    Node,
    directory::{self, Found},
    gc,
    sessions::{Session, Waiting},
    sharing,
    swarm::{View, Want},
};
use crate::{
    control::{
        protocol::{Failure, Phase, Response, Wait},
        server::Responder,
    },
    exit::Exit,
};

/// Leaves wanted ahead of the bytes given out by `cat`: 8 MiB of the default profile.
const LEAVES_AHEAD: usize = 128;

/// Blocks that are no raw leaves (branches, wrapped leaves) wanted ahead of a walk.
const BLOCKS_AHEAD: usize = 32;

/// How soon a person waits for the first bytes; the swarm orders wants by it.
const READ_WITHIN: Duration = Duration::from_millis(500);

/// Nothing arrived for this long: what is waited for is told.
const TELL_AFTER: Duration = Duration::from_millis(700);

/// Reads for one request.
#[derive(Debug)]
pub struct Reader<'a> {
    node: &'a Arc<Node>,
    root: Cid,
    session: Option<Arc<Session>>,
    waiting: Waiting,
    out: Option<&'a Responder>,
    /// What it reads is not collected meanwhile.
    _hold: Hold,
}

/// The end of a path.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// What the path names.
    pub cid: Cid,
    /// The blocks of the directories on the way, with the index of the link that was followed: of a
    /// sharded directory one for each level.
    pub trail: Vec<(Cid, usize)>,
}

impl Resolved {
    /// The block that links to it.
    pub fn under(&self) -> Option<Cid> {
        self.trail.last().map(|(branch, _)| *branch)
    }
}

impl<'a> Reader<'a> {
    /// A reader of what lies under `root`. Phases are told to `out`.
    pub fn new(
        node: &'a Arc<Node>,
        root: Cid,
        waiting: Waiting,
        out: Option<&'a Responder>,
    ) -> Self {
        let hold = node.store().hold(&root);
        Self { node, root, session: None, waiting, out, _hold: hold }
    }

    /// The same over a session that is open already.
    #[must_use]
    pub fn over(mut self, session: Arc<Session>) -> Self {
        self.session = Some(session);
        self
    }

    /// The root whose swarm it asks.
    pub const fn root(&self) -> Cid {
        self.root
    }

    /// The node that it reads from.
    pub const fn node_handle(&self) -> &Arc<Node> {
        self.node
    }

    /// The session that was opened, if something was missing.
    pub const fn session(&self) -> Option<&Arc<Session>> {
        self.session.as_ref()
    }

    /// The session on the root.
    ///
    /// # Errors
    /// The node is stopping.
    pub async fn ensure_session(&mut self) -> Result<Arc<Session>, Failure> {
        if let Some(session) = &self.session {
            return Ok(Arc::clone(session));
        }
        let hold = self.node.store().hold(&self.root);
        let session = self.node.sessions().shared(self.node.swarm(), hold).await?;
        gc::used(self.node, self.root).await;
        self.session = Some(Arc::clone(&session));
        Ok(session)
    }

    /// A block, from here or from the swarm.
    ///
    /// # Errors
    /// Exit 6 when the bytes here are wrong; exit 4 when nobody gives it in time.
    pub async fn block(
        &mut self,
        cid: &Cid,
        under: Option<Cid>,
        place: Option<Place>,
    ) -> Result<Bytes, Failure> {
        if let Some(data) = self.local(cid).await? {
            return Ok(data);
        }
        let session = self.ensure_session().await?;
        let within = Some(READ_WITHIN);
        let want = Want { cid: *cid, under, place, within, tree: false };
        let out = self.out;
        session.fetch(want, self.waiting, &mut |view| tell(out, view)).await?;
        let gone = || Failure::new(Exit::TryAgain, format!("{cid} was removed while it was read"));
        self.local(cid).await?.ok_or_else(gone)
    }

    async fn local(&self, cid: &Cid) -> Result<Option<Bytes>, Failure> {
        if let Some(data) = hash::identity(cid) {
            return Ok(Some(Bytes::copy_from_slice(data)));
        }
        let cid = *cid;
        self.local_of(cid, cid).await
    }

    /// A block of a file. Where the file that an earlier `get` made is gone, its blocks are missing.
    async fn local_of(&self, file: Cid, cid: Cid) -> Result<Option<Bytes>, Failure> {
        let read = self.node.with_store(move |store| match store.get(&cid) {
            Err(ReadError::Changed { .. }) if sharing::forget_moved(store, &file) => Ok(None),
            read => read,
        });
        Ok(read.await?)
    }

    /// A block as a node of a file system.
    ///
    /// # Errors
    /// As [`Self::block`]; exit 1 when it is of a kind that is not read.
    pub async fn node(&mut self, cid: &Cid, under: Option<Cid>) -> Result<DagNode, Failure> {
        let data = self.block(cid, under, None).await?;
        DagNode::decode(cid, data).map_err(|error| Failure::bad_dag(cid, error))
    }

    /// Follows a path. Symlinks on the way are not followed.
    ///
    /// # Errors
    /// Exit 4 when a directory was read and lacks the name.
    pub async fn resolve(&mut self, path: &CidPath) -> Result<Resolved, Failure> {
        let mut resolved = Resolved { cid: path.root, trail: Vec::new() };
        for segment in &path.segments {
            let under = resolved.under();
            let text = match directory::find(self, &resolved.cid, under, segment).await? {
                Found::Entry { cid, trail, .. } => {
                    resolved.trail.extend(trail);
                    resolved.cid = cid;
                    continue;
                }
                Found::Absent => "has no entry",
                Found::NoDirectory => "is not a directory, so it has no",
            };
            let shown = shoal_dag::name::escape(segment);
            return Err(Failure::new(Exit::NotFound, format!("{} {text} {shown}", resolved.cid)));
        }
        Ok(resolved)
    }

    /// Reads a range of a file from its start to its end, at most `ahead` bytes beyond the range being
    /// wanted too.
    pub fn range(
        self,
        file: Cid,
        under: Option<Cid>,
        range: Range<u64>,
        ahead: u64,
    ) -> Bytestream<'a> {
        let walked = range.start..range.end.saturating_add(ahead);
        Bytestream {
            reader: self,
            file,
            under,
            range,
            walk: FileWalk::places(file, walked, Budget::FILE),
            walked: false,
            places: VecDeque::new(),
            branches: Vec::new(),
        }
    }
}

/// Tells what is waited for, once it is a wait.
pub fn tell(out: Option<&Responder>, view: &View) {
    if let Some(out) = out
        && view.moved.elapsed() >= TELL_AFTER
    {
        out.offer(Response::Phase(Phase { text: view.waiting_for() }));
    }
}

/// The bytes of a range of a file, part by part.
#[derive(Debug)]
pub struct Bytestream<'a> {
    reader: Reader<'a>,
    file: Cid,
    under: Option<Cid>,
    range: Range<u64>,
    walk: FileWalk,
    walked: bool,
    places: VecDeque<Planned>,
    branches: Vec<Cid>,
}

#[derive(Debug)]
enum Planned {
    Place(Range<u64>, Cid),
    Bytes(Bytes),
}

impl<'a> Bytestream<'a> {
    /// The reader, with the session that was opened on the way.
    pub fn into_reader(self) -> Reader<'a> {
        self.reader
    }

    /// Bytes of the whole file, once something was read.
    pub const fn size(&self) -> Option<u64> {
        self.walk.size()
    }

    /// The next part; `None` at the end of the range or of the file.
    ///
    /// # Errors
    /// As [`Reader::block`]; exit 1 when the DAG is not that of a file, or lies about sizes.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            while !self.walked && self.places.len() < LEAVES_AHEAD {
                self.plan().await?;
            }
            match self.places.pop_front() {
                Some(Planned::Bytes(data)) => return Ok(Some(data)),
                Some(Planned::Place(place, _)) if place.start >= self.range.end => {}
                Some(Planned::Place(place, cid)) => {
                    let data = self.leaf(place, &cid).await?;
                    if !data.is_empty() {
                        return Ok(Some(data));
                    }
                }
                None => return Ok(None),
            }
        }
    }

    /// One step of the walk ahead.
    async fn plan(&mut self) -> Result<(), Failure> {
        let step = self.walk.poll().map_err(|error| bad_file(&self.file, &error))?;
        match step {
            Step::Need(cid) => self.branch(cid).await?,
            Step::Leaf { range, data, .. } => {
                // Beyond the range it was only read ahead.
                let keep = self.range.end.saturating_sub(range.start).min(data.len() as u64);
                if keep > 0 {
                    self.places.push_back(Planned::Bytes(data.slice(..keep as usize)));
                }
            }
            Step::Place { range, cid } => {
                self.want_ahead(&range, cid).await?;
                self.places.push_back(Planned::Place(range, cid));
            }
            Step::Done => self.walked = true,
        }
        Ok(())
    }

    async fn branch(&mut self, cid: Cid) -> Result<(), Failure> {
        if let Some(node) = self.reader.node.branches().find(&cid) {
            self.branches.push(cid);
            return self.walk.handle_branch(&cid, node).map_err(|e| bad_file(&self.file, &e));
        }
        let under = self.parent_of(&cid);
        self.want_siblings(under).await?;
        let data = self.reader.block(&cid, under, None).await?;
        self.reader.node.branches().keep(&cid, &data);
        if cid.codec() == hash::DAG_PB {
            self.branches.push(cid);
        }
        self.walk.handle_block(&cid, data).map_err(|error| bad_file(&self.file, &error))
    }

    /// Wants what the walk will need after the block that it stands at.
    async fn want_siblings(&mut self, under: Option<Cid>) -> Result<(), Failure> {
        let ahead = self.walk.ahead(BLOCKS_AHEAD);
        for cid in ahead.into_iter().skip(1).filter(|cid| cid.codec() != hash::RAW) {
            if !self.reader.node.store().has(&cid) {
                let session = self.reader.ensure_session().await?;
                let within = Some(READ_WITHIN);
                session.want(Want { cid, under, place: None, within, tree: false }).await;
            }
        }
        Ok(())
    }

    async fn want_ahead(&mut self, range: &Range<u64>, cid: Cid) -> Result<(), Failure> {
        if self.reader.node.store().has(&cid) {
            return Ok(());
        }
        let session = self.reader.ensure_session().await?;
        let (under, place) = (self.parent_of(&cid), self.place(range.start));
        let within = Some(READ_WITHIN);
        session.want(Want { cid, under, place: Some(place), within, tree: false }).await;
        Ok(())
    }

    /// The branch that links to a block, among those that were walked through.
    fn parent_of(&self, cid: &Cid) -> Option<Cid> {
        let links_to = |branch: &&Cid| {
            let node = self.reader.node.branches().find(branch);
            node.is_some_and(|node| node.links.iter().any(|link| link.cid == *cid))
        };
        self.branches.iter().rev().find(links_to).copied().or(self.under)
    }

    fn place(&self, offset: u64) -> Place {
        Place { file: self.file, size: self.walk.size().unwrap_or(0), offset }
    }

    async fn leaf(&mut self, place: Range<u64>, cid: &Cid) -> Result<Bytes, Failure> {
        let at = self.place(place.start);
        let data = match self.reader.local_of(self.file, *cid).await? {
            Some(data) => data,
            None => self.reader.block(cid, self.parent_of(cid), Some(at)).await?,
        };
        if data.len() as u64 != place.end - place.start {
            let text = "a leaf is not as long as its parent says";
            return Err(Failure::bad_dag(&self.file, text));
        }
        let start = self.range.start.max(place.start) - place.start;
        let end = self.range.end.min(place.end).max(place.start) - place.start;
        Ok(data.slice(start.min(end) as usize..end as usize))
    }
}

fn bad_file(file: &Cid, error: &WalkError) -> Failure {
    if matches!(error, WalkError::NotAFile(_)) {
        return Failure::failed(error.to_string()).hint("list a directory with: shoal ls");
    }
    Failure::bad_dag(file, error)
}

/// Decoded branches of files that are read again and again, as a mount does.
#[derive(Debug, Default)]
pub struct Branches {
    recent: std::sync::Mutex<VecDeque<(Cid, Arc<FileNode>)>>,
}

/// Branches remembered: of at most 4,096 links of 176 bytes each, 46 MB at worst.
const BRANCHES_MAX: usize = 64;

impl Branches {
    fn find(&self, cid: &Cid) -> Option<Arc<FileNode>> {
        let recent = self.recent.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        recent.iter().find(|(known, _)| known == cid).map(|(_, node)| Arc::clone(node))
    }

    fn keep(&self, cid: &Cid, data: &Bytes) {
        if cid.codec() != hash::DAG_PB {
            return;
        }
        if let Ok(DagNode::File(node)) = DagNode::decode(cid, data.clone()) {
            let mut recent = self.recent.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if recent.len() >= BRANCHES_MAX {
                recent.pop_front();
            }
            recent.push_back((*cid, Arc::new(node)));
        }
    }
}

impl From<Wait> for Waiting {
    fn from(wait: Wait) -> Self {
        Self { idle: Duration::from_millis(wait.idle_ms), impatient: false }
    }
}
