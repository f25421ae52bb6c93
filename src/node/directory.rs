//! Directories, in one block or sharded: their entries, part by part, and one entry by its name.
//!
//! Whoever lists holds the entries of one block at a time; whoever follows a path reads one block for each
//! level of the directory. The walks of `shoal_dag` say which blocks; here they come from the store alone,
//! or from a [`Reader`], which fetches what is missing and asks for some shards ahead.

use std::ops::ControlFlow;

use bytes::Bytes;
use shoal_dag::{
    Cid, Metadata, hash,
    node::Dirent,
    walk::{Budget, DirectoryStep, DirectoryWalk, Lookup, LookupStep, WalkError},
};
use shoal_store::Store;

use super::{read::Reader, swarm::Want};
use crate::control::protocol::Failure;

/// Shards wanted ahead of a listing: about 1,000 entries.
const SHARDS_AHEAD: usize = 64;

/// A directory, while its entries are gone through.
#[derive(Debug)]
pub struct Entries {
    walk: DirectoryWalk,
    under: Option<Cid>,
    /// Those of a first block that the walk had already, since its CID carries it.
    first: Option<Vec<Dirent>>,
}

impl Entries {
    /// Those of the directory `cid`, which hangs under that block.
    pub const fn new(cid: Cid, under: Option<Cid>) -> Self {
        Self { walk: DirectoryWalk::new(cid, Budget::DIRECTORY), under, first: None }
    }

    /// The same, where the first block has been read.
    ///
    /// # Errors
    /// Exit 1 when it is no directory.
    pub fn of(cid: Cid, data: Bytes) -> Result<Self, Failure> {
        let mut entries = Self::new(cid, None);
        match entries.step()? {
            DirectoryStep::Need(_) => entries.take(&cid, data)?,
            DirectoryStep::Entries(first) => entries.first = Some(first),
            DirectoryStep::Done => {}
        }
        Ok(entries)
    }

    /// Metadata of the directory, once its first block was read.
    pub const fn meta(&self) -> Option<&Metadata> {
        self.walk.meta()
    }

    /// The next entries, which are not few only because there are few; `None` after the last. Names are
    /// not checked and, of a directory in one block, may repeat.
    ///
    /// # Errors
    /// As [`Reader::block`]; exit 1 when the directory is none, or its shards contradict each other.
    pub async fn next(&mut self, reader: &mut Reader<'_>) -> Result<Option<Vec<Dirent>>, Failure> {
        loop {
            match self.step()? {
                DirectoryStep::Need(cid) => {
                    self.want_ahead(reader).await?;
                    let under = self.walk.parent().or(self.under);
                    let data = reader.block(&cid, under, None).await?;
                    self.take(&cid, data)?;
                }
                DirectoryStep::Entries(entries) => return Ok(Some(entries)),
                DirectoryStep::Done => return Ok(None),
            }
        }
    }

    /// The same from the store alone.
    ///
    /// # Errors
    /// What `get` returns, and exit 1 as above.
    pub fn next_here(
        &mut self,
        get: &dyn Fn(&Cid) -> Result<Bytes, Failure>,
    ) -> Result<Option<Vec<Dirent>>, Failure> {
        loop {
            match self.step()? {
                DirectoryStep::Need(cid) => {
                    let data = get(&cid)?;
                    self.take(&cid, data)?;
                }
                DirectoryStep::Entries(entries) => return Ok(Some(entries)),
                DirectoryStep::Done => return Ok(None),
            }
        }
    }

    fn step(&mut self) -> Result<DirectoryStep, Failure> {
        if let Some(first) = self.first.take() {
            return Ok(DirectoryStep::Entries(first));
        }
        self.walk.poll().map_err(|error| bad_directory(&self.walk.root(), &error))
    }

    fn take(&mut self, cid: &Cid, data: Bytes) -> Result<(), Failure> {
        let taken = self.walk.handle_block(cid, data);
        taken.map_err(|error| bad_directory(&self.walk.root(), &error))
    }

    /// Wants the shards that come after the one that the walk stands at, where that one is missing.
    async fn want_ahead(&self, reader: &mut Reader<'_>) -> Result<(), Failure> {
        let store = reader.node_handle().store();
        let ahead = self.walk.ahead(SHARDS_AHEAD);
        if ahead.first().is_none_or(|first| store.has(first)) {
            return Ok(());
        }
        let missing = ahead.into_iter().skip(1).filter(|cid| !store.has(cid));
        let missing: Vec<Cid> = missing.collect();
        if missing.is_empty() {
            return Ok(());
        }
        let (session, under) = (reader.ensure_session().await?, self.walk.parent());
        for cid in missing {
            session.want(Want { cid, under, place: None, within: None, tree: false }).await;
        }
        Ok(())
    }
}

/// What a name stands for in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// An entry.
    Entry {
        /// Its root.
        cid: Cid,
        /// Bytes of all its blocks, as the directory claims.
        dag_size: u64,
        /// The blocks of the directory on the way to it, with the index of the link that was followed.
        trail: Vec<(Cid, usize)>,
    },
    /// The directory was read as far as it could have the name, and lacks it.
    Absent,
    /// What was asked is no directory.
    NoDirectory,
}

/// Finds the entry of a name, fetching what is missing on the way.
///
/// # Errors
/// As [`Entries::next`], but for what is no directory.
pub async fn find(
    reader: &mut Reader<'_>,
    directory: &Cid,
    under: Option<Cid>,
    name: &[u8],
) -> Result<Found, Failure> {
    let mut lookup = Lookup::new(*directory, name);
    loop {
        match end(directory, &mut lookup)? {
            ControlFlow::Break(found) => return Ok(found),
            ControlFlow::Continue(cid) => {
                let under = lookup.trail().last().map(|(cid, _)| *cid).or(under);
                let data = reader.block(&cid, under, None).await?;
                if let Some(found) = take(directory, &mut lookup, &cid, data)? {
                    return Ok(found);
                }
            }
        }
    }
}

/// Finds the entry of a name in the store alone; `None` where that lacks a block on the way, or cannot
/// read it.
pub fn find_here(store: &Store, directory: &Cid, name: &[u8]) -> Option<Found> {
    let mut lookup = Lookup::new(*directory, name);
    loop {
        match end(directory, &mut lookup).ok()? {
            ControlFlow::Break(found) => return Some(found),
            ControlFlow::Continue(cid) => {
                let data = store.get(&cid).ok()??;
                if let Some(found) = take(directory, &mut lookup, &cid, data).ok()? {
                    return Some(found);
                }
            }
        }
    }
}

/// The block that is needed next, or how the search ended.
fn end(directory: &Cid, lookup: &mut Lookup) -> Result<ControlFlow<Found, Cid>, Failure> {
    Ok(match lookup.poll() {
        Ok(LookupStep::Need(cid)) => ControlFlow::Continue(cid),
        Ok(LookupStep::Absent) => ControlFlow::Break(Found::Absent),
        Ok(LookupStep::Found(entry)) => {
            let (cid, dag_size) = (entry.cid, entry.dag_size);
            ControlFlow::Break(Found::Entry { cid, dag_size, trail: lookup.trail().to_vec() })
        }
        Err(WalkError::NotADirectory(_)) => ControlFlow::Break(Found::NoDirectory),
        Err(error) => return Err(bad_directory(directory, &error)),
    })
}

/// Gives a block to a search, which may end by it.
fn take(
    directory: &Cid,
    lookup: &mut Lookup,
    cid: &Cid,
    data: Bytes,
) -> Result<Option<Found>, Failure> {
    match lookup.handle_block(cid, data) {
        Ok(()) => Ok(None),
        Err(WalkError::NotADirectory(_)) => Ok(Some(Found::NoDirectory)),
        Err(error) => Err(bad_directory(directory, &error)),
    }
}

fn bad_directory(directory: &Cid, error: &WalkError) -> Failure {
    match error {
        WalkError::NotADirectory(_) => Failure::failed(error.to_string()),
        WalkError::Node { cid, reason } => Failure::bad_dag(cid, reason),
        error => Failure::bad_dag(directory, error),
    }
}

/// Whether a block of this CID can be a directory at all: bytes of a file cannot.
pub fn may_be_directory(cid: &Cid) -> bool {
    cid.codec() != hash::RAW
}
