//! `car export`: what lies below a root, as a CAR of version 1 or 2.
//!
//! Depth first, in the order of the links, each block once; blocks that their CID carries are left out.
//! Version 2 says its length at its beginning, so the tree is gone through twice, and only then written.

use std::sync::Arc;

use bytes::Bytes;
use shoal_dag::{
    Cid,
    car::index::{self, IndexBuilder},
    car::write,
    hash,
    path::CidPath,
    walk::{Budget, TreeStep, TreeWalk},
};
use shoal_store::Store;

use super::missing;
use crate::{
    control::{
        protocol::{
            Failure, Outcome,
            car::{CarExport, Exported},
        },
        server::Responder,
    },
    exit::Exit,
    node::{
        Node, blocking,
        get::{Fetched, fetch_tree},
        names::target,
        sharing,
    },
};

/// Bytes gathered before they are sent: small blocks share a frame.
const GATHERED_BYTES: usize = 256 << 10;

/// Writes a CAR.
///
/// # Errors
/// As a fetch; exit 5 when blocks go away while they are written.
pub async fn export(
    node: &Arc<Node>,
    request: CarExport,
    out: &Responder,
) -> Result<Outcome, Failure> {
    let path = target::follow(node, &request.target, request.wait, out).await?;
    // A session that fetched stays open while its blocks are written.
    let (root, _fetched) = if request.partial {
        (here(node, &path).await?, None)
    } else {
        whole(node, &path, &request, out).await?
    };
    let (store, out) = (node.store().clone(), out.clone());
    let written = blocking(move || Writing::new(&store, root, request.partial, &out).run(&request));
    written.await.map(Outcome::Exported)
}

/// The end of a path, without asking anybody.
async fn here(node: &Arc<Node>, path: &CidPath) -> Result<Cid, Failure> {
    let path = path.clone();
    let root = path.root;
    let resolved = node.with_store(move |store| {
        let resolved = sharing::resolve_here(store, &path)?;
        let cid = resolved.cid;
        (hash::identity(&cid).is_some() || store.has(&cid)).then_some(cid)
    });
    resolved.await.ok_or_else(|| {
        let text = format!("what is asked for below {root} is not in the store");
        Failure::new(Exit::NotFound, text).hint("without --partial it is fetched")
    })
}

/// The end of a path with everything below it in the store.
async fn whole(
    node: &Arc<Node>,
    path: &CidPath,
    request: &CarExport,
    out: &Responder,
) -> Result<(Cid, Option<Fetched>), Failure> {
    let looked = path.clone();
    let found = node.with_store(move |store| {
        let cid = sharing::resolve_here(store, &looked)?.cid;
        let is_whole = missing(store, &cid).is_ok_and(|missing| missing.count == 0);
        is_whole.then_some(cid)
    });
    if let Some(cid) = found.await {
        return Ok((cid, None));
    }
    let fetched = fetch_tree(node, path, request.wait.into(), out).await?;
    Ok((fetched.resolved.cid, Some(fetched)))
}

/// The state of one export.
struct Writing<'a> {
    store: &'a Store,
    root: Cid,
    partial: bool,
    out: &'a Responder,
    gathered: Vec<u8>,
    done: Exported,
}

/// What a version 2 says at its beginning, and its index.
struct Planned {
    payload: u64,
    index: Option<Vec<u8>>,
}

impl<'a> Writing<'a> {
    fn new(store: &'a Store, root: Cid, partial: bool, out: &'a Responder) -> Self {
        let done = Exported { cid: root.to_string(), blocks: 0, bytes: 0, missing: 0 };
        Self { store, root, partial, out, gathered: Vec::new(), done }
    }

    fn run(mut self, request: &CarExport) -> Result<Exported, Failure> {
        if !request.version2 {
            self.payload()?;
            self.send()?;
            return Ok(self.done);
        }
        let planned = self.plan()?;
        let head = write::head_v2(planned.payload, planned.index.is_some());
        let end = head.len() as u64 + planned.payload;
        self.put(&head)?;
        self.payload()?;
        if self.done.bytes != end {
            return Err(changed());
        }
        self.put(&planned.index.unwrap_or_default())?;
        self.send()?;
        Ok(self.done)
    }

    /// Header and sections.
    fn payload(&mut self) -> Result<(), Failure> {
        self.put(&write::header(&[self.root]))?;
        let missing = self.walk(&mut |writing, cid, data| {
            writing.put(&write::section_head(cid, data.len()))?;
            writing.put(data)?;
            writing.done.blocks += 1;
            Ok(())
        })?;
        self.done.missing = missing;
        Ok(())
    }

    /// Adds up what the payload will be.
    fn plan(&mut self) -> Result<Planned, Failure> {
        let mut payload = write::header(&[self.root]).len() as u64;
        let (mut index, mut blocks) = (IndexBuilder::new(), 0);
        self.walk(&mut |writing, cid, data| {
            writing.out.check()?;
            blocks += 1;
            if blocks <= index::BLOCKS_MAX {
                index.push(cid, payload);
            }
            payload += write::section_len(cid, data.len() as u64);
            Ok(())
        })?;
        let index = (blocks <= index::BLOCKS_MAX).then(|| index.finish());
        Ok(Planned { payload, index })
    }

    /// Gives every block below the root; says how many are missing.
    fn walk(&mut self, give: &mut Give<'_, 'a>) -> Result<u64, Failure> {
        let root = self.root;
        let bad = |error| Failure::bad_dag(&root, error);
        let mut walk = TreeWalk::new(root, Budget::TREE).of_any_format();
        let mut missing = 0;
        while let TreeStep::Need(cid) = walk.poll().map_err(bad)? {
            match self.store.get(&cid)? {
                Some(data) => {
                    give(self, &cid, &data)?;
                    walk.handle_block(&cid, data).map_err(bad)?;
                }
                None if self.partial => {
                    missing += 1;
                    walk.skip(&cid).map_err(bad)?;
                }
                None => return Err(gone(&cid)),
            }
        }
        Ok(missing)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.gathered.extend_from_slice(bytes);
        self.done.bytes += bytes.len() as u64;
        if self.gathered.len() >= GATHERED_BYTES { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), Failure> {
        let gathered = Bytes::from(std::mem::take(&mut self.gathered));
        Ok(self.out.data_blocking(gathered)?)
    }
}

/// Takes a block of a walk.
type Give<'g, 'a> = dyn FnMut(&mut Writing<'a>, &Cid, &Bytes) -> Result<(), Failure> + 'g;

fn gone(cid: &Cid) -> Failure {
    let text = format!("{cid} is not in the store any more, or belongs to no tree of files");
    Failure::new(Exit::TryAgain, text).hint("write what is here with --partial")
}

fn changed() -> Failure {
    Failure::new(Exit::TryAgain, "what is in the store changed while it was written")
        .hint("run it again; version 1 does not mind")
}
