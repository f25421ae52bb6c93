//! Directories, and symbolic links.
//!
//! Entries are sorted by the bytes of their names; a name stands once and passes
//! [`crate::name::check`]. A directory is in one block as long as that has
//! [`DIRECTORY_BYTES_MAX`] bytes, measured as the profile says, and sharded above, exactly where
//! kubo shards it. How, is in [`super::sharded`].

use std::collections::BTreeMap;

use thiserror::Error;

use super::block_of;
use super::sharded::Entries;
use crate::Cid;
use crate::name::{self, NameError};
use crate::pb::{PbLink, PbNode};
use crate::profile::{DIRECTORY_BYTES_MAX, DirectoryMeasure, Profile};
use crate::unixfs::{Kind, Metadata, UnixFs};
use crate::{Block, wire};

/// Why a directory cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The name of the entry is not allowed.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is an entry with this name (escaped) already.
    #[error("two entries are named {0:?}")]
    Duplicate(String),
    /// There are two names (escaped) with one hash in a directory that must be sharded by it.
    #[error(
        "{0:?} and {1:?} have the same hash, and so large a directory can hold one of them only"
    )]
    Collision(String, String),
    /// The directory has as many entries as one can have.
    #[error("a directory can have {entries_max} entries")]
    TooMany {
        /// How many there are.
        entries_max: usize,
    },
    /// The directory is sharded, and it was asked for in one block.
    #[error(
        "a directory of {entries} entries needs {bytes} bytes in one block, more than {bytes_max}"
    )]
    TooLarge {
        /// Entries that were given.
        entries: u64,
        /// What they measure, in bytes.
        bytes: u64,
        /// What they may measure at most.
        bytes_max: u64,
    },
}

/// Collects the entries of one directory.
#[derive(Debug)]
pub struct DirectoryBuilder {
    profile: Profile,
    meta: Metadata,
    entries: Collected,
    count: u64,
    bytes: u64,
}

#[derive(Debug)]
enum Collected {
    /// For one block.
    Sorted(BTreeMap<Vec<u8>, (Cid, u64)>),
    /// For shards.
    Hashed(Entries),
}

impl DirectoryBuilder {
    /// A directory without entries.
    pub fn new(profile: Profile, meta: Metadata) -> Self {
        let bytes = match profile.directory_measure() {
            DirectoryMeasure::Block => wire::bytes_field_len(message(meta).len()) as u64,
            DirectoryMeasure::NamesAndCids => 0,
        };
        Self { profile, meta, entries: Collected::Sorted(BTreeMap::new()), count: 0, bytes }
    }

    /// Adds an entry; `dag_size` is that of what it links to. Entries come in any order.
    ///
    /// # Errors
    /// Every [`DirectoryError`] but `TooLarge`: the entry was not added and the builder can go on.
    pub fn insert(&mut self, name: &[u8], cid: Cid, dag_size: u64) -> Result<(), DirectoryError> {
        name::check(name)?;
        let bytes = self.bytes + self.measure(name, &cid, dag_size);
        match &mut self.entries {
            Collected::Hashed(entries) => entries.insert(name, &cid, dag_size)?,
            Collected::Sorted(entries) if entries.contains_key(name) => {
                return Err(DirectoryError::Duplicate(name::escape(name)));
            }
            Collected::Sorted(entries) if bytes > DIRECTORY_BYTES_MAX => {
                let mut hashed = Entries::default();
                for (name, (cid, dag_size)) in &*entries {
                    hashed.insert(name, cid, *dag_size)?;
                }
                hashed.insert(name, &cid, dag_size)?;
                self.entries = Collected::Hashed(hashed);
            }
            Collected::Sorted(entries) => {
                entries.insert(name.to_vec(), (cid, dag_size));
            }
        }
        (self.count, self.bytes) = (self.count + 1, bytes);
        Ok(())
    }

    /// What an entry adds to the size that decides.
    fn measure(&self, name: &[u8], cid: &Cid, dag_size: u64) -> u64 {
        match self.profile.directory_measure() {
            DirectoryMeasure::Block => {
                let link = PbLink { hash: *cid, name: Some(name), tsize: Some(dag_size) };
                wire::bytes_field_len(link.encoded_len()) as u64
            }
            DirectoryMeasure::NamesAndCids => (name.len() + cid.encoded_len()) as u64,
        }
    }

    /// Makes the blocks and gives each to `put`, before any that links to it: the root is the last.
    /// Returns the CID of the root, and the size to put into a link to it.
    ///
    /// # Errors
    /// Those of `put`, at once.
    pub fn finish_into<E>(
        self,
        mut put: impl FnMut(Block) -> Result<(), E>,
    ) -> Result<(Cid, u64), E> {
        match self.entries {
            Collected::Hashed(entries) => entries.finish(self.profile, self.meta, &mut put),
            Collected::Sorted(entries) => {
                let (block, dag_size) = one_block(self.profile, self.meta, &entries);
                let cid = block.cid;
                put(block)?;
                Ok((cid, dag_size))
            }
        }
    }

    /// Makes the one block of a directory that is known to be small, and the size to put into a
    /// link to it.
    ///
    /// # Errors
    /// [`DirectoryError::TooLarge`] when it has to be sharded.
    pub fn finish(self) -> Result<(Block, u64), DirectoryError> {
        match self.entries {
            Collected::Sorted(entries) => Ok(one_block(self.profile, self.meta, &entries)),
            Collected::Hashed(_) => Err(DirectoryError::TooLarge {
                entries: self.count,
                bytes: self.bytes,
                bytes_max: DIRECTORY_BYTES_MAX,
            }),
        }
    }
}

fn message(meta: Metadata) -> Vec<u8> {
    UnixFs { meta, ..UnixFs::new(Kind::Directory) }.encode()
}

fn one_block(
    profile: Profile,
    meta: Metadata,
    entries: &BTreeMap<Vec<u8>, (Cid, u64)>,
) -> (Block, u64) {
    let links = entries.iter().map(|(name, &(hash, dag_size))| PbLink {
        hash,
        name: Some(name.as_slice()),
        tsize: Some(dag_size),
    });
    let message = message(meta);
    let block = block_of(profile, &PbNode { links: links.collect(), data: Some(&message) });
    let below = entries.values().map(|&(_, dag_size)| dag_size);
    let dag_size = below.fold(block.data.len() as u64, u64::saturating_add);
    (block, dag_size)
}

/// Makes the block of a symbolic link, and the size to put into a link to it.
///
/// A mode is not written, whatever `meta` says: on a link it means nothing, and kubo drops it too.
pub fn symlink(profile: Profile, target: &[u8], meta: Metadata) -> (Block, u64) {
    let meta = Metadata { mode: None, ..meta };
    let message = UnixFs { data: Some(target), meta, ..UnixFs::new(Kind::Symlink) }.encode();
    let block = block_of(profile, &PbNode { links: Vec::new(), data: Some(&message) });
    let dag_size = block.data.len() as u64;
    (block, dag_size)
}
