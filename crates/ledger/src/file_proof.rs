//! Shows that a file was in a version of a name, to anybody, offline.
//!
//! A [`FileProof`] has every hash from the file up to the signature: the blocks of the directories on
//! its path, verbatim, each checked against the CID that the one above it gives; the update that
//! published their root; the path of that update to the root which a later head signed; and the
//! control entries that gave the head's signer the right to sign. Whoever knows the name needs
//! nothing else.
//!
//! What it shows: [`Shown::target`] was at that path of that entry of that name. What it does not:
//! that the name has no other history (compare [`Shown::head`] with a checkpoint from elsewhere), that
//! the entry's time is more than its signer's claim, and what bytes the target has (they have its
//! CID, or they do not). Which content version the entry is takes all updates before it.
//!
//! Of a sharded directory the proof has the shards on the way to the name, one for each level. A block
//! that is in its own CID (identity) is left out.

mod codec;

use shoal_dag::hash::{self, Mismatch};
use shoal_dag::name::{self, NameError};
use shoal_dag::walk::{Lookup, LookupStep, WalkError};
use shoal_dag::{Bytes, Cid};

use crate::chain::Archive;
use crate::entry::Update;
use crate::head::{HeadProof, Placed, prove};
use crate::reader::{Checkpoint, Reader, Refusal};
use crate::{Body, Entry, LedgerId, Position};

/// Bytes of a proof of a file: eight of the largest blocks and all entries behind them.
pub const FILE_PROOF_BYTES_MAX: usize = 16 << 20;

/// Names on the path of a file: four times as deep as file systems let anybody go by one path.
pub const SEGMENTS_MAX: usize = 256;

/// A proof that a file was in a version of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProof {
    name: LedgerId,
    /// Proven from nothing.
    head: HeadProof,
    /// The update, in the head's history; none where the head is the update.
    version: Option<Placed>,
    segments: Vec<Vec<u8>>,
    /// The blocks of the directories that the segments are looked up in, in the order of the way.
    directories: Vec<Bytes>,
}

/// What a proof shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The name.
    pub name: LedgerId,
    /// Where the update stands.
    pub position: Position,
    /// The time that the update claims, Unix milliseconds.
    pub time_ms: u64,
    /// What its publisher said of it.
    pub message: Option<String>,
    /// The root that it published.
    pub root: Cid,
    /// The way from there, name by name.
    pub path: Vec<Vec<u8>>,
    /// What was at the end of it.
    pub target: Cid,
    /// The head that was signed over all of this: its position, and the beginning of its root.
    pub head: Checkpoint,
}

impl FileProof {
    /// The proof for the update at that index of a branch, and that path in its root. `directories`
    /// are the blocks that the segments are looked up in, in the order of the way, the root's first:
    /// one for each directory, or for each level of a sharded one. What is made has been verified.
    pub fn make(
        branch: &(impl Archive + ?Sized),
        index: u64,
        segments: Vec<Vec<u8>>,
        directories: Vec<Bytes>,
    ) -> Result<Self, FileProofError> {
        let head = prove(branch, None).ok_or(FileProofError::Lacking)?;
        let version = if index == head.head.index() {
            None
        } else {
            let placed = Placed::prove(branch, index, head.head.index());
            Some(placed.ok_or(FileProofError::Lacking)?)
        };
        let proof = Self { name: head.head.ledger(), head, version, segments, directories };
        proof.verify()?;
        if proof.encode().len() > FILE_PROOF_BYTES_MAX {
            return Err(FileProofError::TooLarge);
        }
        Ok(proof)
    }

    /// The name that it is about.
    pub fn name(&self) -> LedgerId {
        self.name
    }

    /// Checks all of it, with nothing but what is in it, and says what it shows.
    pub fn verify(&self) -> Result<Shown, FileProofError> {
        let mut reader = Reader::new(self.name, None);
        // Whether the head's time has come is no question here.
        reader.accept(&self.head, u64::MAX)?;
        let entry = self.entry()?;
        let update = published(entry)?;
        let root = update.root_cid().ok_or(FileProofError::Root)?;
        Ok(Shown {
            name: self.name,
            position: entry.position(),
            time_ms: entry.header().time_ms,
            message: update.message.clone(),
            root,
            path: self.segments.clone(),
            target: self.walk(root)?,
            head: reader.pin().ok_or(FileProofError::NotInHistory)?.checkpoint(),
        })
    }

    /// The update, which stands in the head's history.
    fn entry(&self) -> Result<&Entry, FileProofError> {
        let head = &self.head.head;
        let Some(placed) = &self.version else { return Ok(head) };
        let entry = &placed.entry;
        let stands = placed.stands_in(head.index(), &head.header().history);
        let fits = entry.ledger() == self.name && entry.position() < head.position();
        if stands && fits { Ok(entry) } else { Err(FileProofError::NotInHistory) }
    }

    /// What is at the end of the path.
    fn walk(&self, root: Cid) -> Result<Cid, FileProofError> {
        if self.segments.len() > SEGMENTS_MAX {
            return Err(FileProofError::Path);
        }
        let mut blocks = self.directories.iter().enumerate();
        let end = self.segments.iter().try_fold(root, |cid, segment| {
            name::check(segment)?;
            find(cid, segment, &mut blocks)
        })?;
        // What proves nothing may not be in it.
        if blocks.next().is_some() { Err(FileProofError::Path) } else { Ok(end) }
    }
}

/// What a name stands for in a directory, by the blocks that come next.
fn find<'a>(
    directory: Cid,
    segment: &[u8],
    blocks: &mut impl Iterator<Item = (usize, &'a Bytes)>,
) -> Result<Cid, FileProofError> {
    let (mut lookup, mut at) = (Lookup::new(directory, segment), 0);
    loop {
        let step = lookup.poll().map_err(|why| FileProofError::Directory { at, why })?;
        match step {
            LookupStep::Found(entry) => return Ok(entry.cid),
            LookupStep::Absent => return Err(FileProofError::NoEntry { at }),
            LookupStep::Need(cid) => {
                let block;
                (at, block) = blocks.next().ok_or(FileProofError::Path)?;
                hash::verify(&cid, block).map_err(|why| FileProofError::Block { at, why })?;
                lookup.handle_block(&cid, block.clone()).map_err(|why| match why {
                    WalkError::NotADirectory(_) => FileProofError::NoEntry { at },
                    why => FileProofError::Directory { at, why },
                })?;
            }
        }
    }
}

fn published(entry: &Entry) -> Result<&Update, FileProofError> {
    match entry.body() {
        Body::Update(update) => Ok(update),
        _ => Err(FileProofError::NoUpdate),
    }
}

/// Why a proof of a file proves nothing, or cannot be made. `at` counts the blocks of directories from
/// the root's, which is 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileProofError {
    /// The keeper of the history lacks a part of it that a proof needs.
    #[error("a part of the history that the proof needs is not here")]
    Lacking,
    /// More than [`FILE_PROOF_BYTES_MAX`] bytes.
    #[error("a proof of more than {FILE_PROOF_BYTES_MAX} bytes")]
    TooLarge,
    /// Its head is not one that the name's keys signed.
    #[error("the head of the proof: {0}")]
    Head(#[from] Refusal),
    /// The version is not shown to be in the history that the head signed.
    #[error("the version is not shown to be in the history that was signed")]
    NotInHistory,
    /// The entry publishes no content.
    #[error("the entry publishes no content")]
    NoUpdate,
    /// The root that was published is no CID.
    #[error("the root that was published is no CID")]
    Root,
    /// More or fewer blocks of directories than the names on the path need, or more names than
    /// [`SEGMENTS_MAX`].
    #[error("not the blocks of one directory for each name of the path")]
    Path,
    /// A name on the path is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A block is not the one that the directory above it, or the version, names.
    #[error("directory {at} of the path: {why}")]
    Block {
        /// Which directory.
        at: usize,
        /// What is wrong with it.
        why: Mismatch,
    },
    /// A block cannot be read as a directory, or as the shard of one that should be there.
    #[error("directory {at} of the path: {why}")]
    Directory {
        /// Which directory.
        at: usize,
        /// What is wrong with it.
        why: WalkError,
    },
    /// A directory on the path has no entry of the next name, or is no directory.
    #[error("directory {at} of the path has no such entry")]
    NoEntry {
        /// Which directory.
        at: usize,
    },
}

#[cfg(test)]
mod tests;
