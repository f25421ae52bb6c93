//! Directories in one block, and symbolic links.
//!
//! Entries are sorted by the bytes of their names; a name stands once and passes
//! [`crate::name::check`]. Where kubo would shard a directory it is refused, so that no directory
//! ever has another CID than kubo's: the block may have [`DIRECTORY_BYTES_MAX`] bytes, measured as
//! the profile says. Sharded directories are not made here.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use cid::Cid;
use thiserror::Error;

use super::block_of;
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
    /// The directory would have to be sharded.
    #[error(
        "a directory of {entries} entries needs {bytes} bytes in one block, more than {bytes_max}: \
         sharded directories are not supported yet"
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
    measure: DirectoryMeasure,
    profile: Profile,
    message: Vec<u8>,
    /// Empty once the directory is too large: it cannot be made, only measured.
    entries: BTreeMap<Vec<u8>, (Cid, u64)>,
    count: u64,
    bytes: u64,
}

impl DirectoryBuilder {
    /// A directory without entries.
    pub fn new(profile: Profile, meta: Metadata) -> Self {
        let message = UnixFs { meta, ..UnixFs::new(Kind::Directory) }.encode();
        let measure = profile.directory_measure();
        let bytes = match measure {
            DirectoryMeasure::Block => wire::bytes_field_len(message.len()) as u64,
            DirectoryMeasure::NamesAndCids => 0,
        };
        Self { measure, profile, message, entries: BTreeMap::new(), count: 0, bytes }
    }

    /// Adds an entry; `dag_size` is that of what it links to.
    ///
    /// # Errors
    /// [`DirectoryError::Name`] and [`DirectoryError::Duplicate`]: the entry was not added and the
    /// builder can go on. Above the limit of size entries are only counted and measured, so a
    /// directory of any length costs bounded memory; [`Self::finish`] then tells the sizes.
    pub fn insert(&mut self, name: &[u8], cid: Cid, dag_size: u64) -> Result<(), DirectoryError> {
        name::check(name)?;
        if !self.is_too_large() {
            match self.entries.entry(name.to_vec()) {
                Entry::Occupied(_) => return Err(DirectoryError::Duplicate(name::escape(name))),
                Entry::Vacant(entry) => entry.insert((cid, dag_size)),
            };
        }
        self.count += 1;
        self.bytes += match self.measure {
            DirectoryMeasure::Block => {
                let link = PbLink { hash: cid, name: Some(name), tsize: Some(dag_size) };
                wire::bytes_field_len(link.encoded_len()) as u64
            }
            DirectoryMeasure::NamesAndCids => (name.len() + cid.encoded_len()) as u64,
        };
        if self.is_too_large() {
            self.entries.clear();
        }
        Ok(())
    }

    /// Makes the block, and the size to put into a link to it.
    ///
    /// # Errors
    /// [`DirectoryError::TooLarge`] when kubo would shard the directory.
    pub fn finish(self) -> Result<(Block, u64), DirectoryError> {
        if self.is_too_large() {
            let (entries, bytes) = (self.count, self.bytes);
            return Err(DirectoryError::TooLarge {
                entries,
                bytes,
                bytes_max: DIRECTORY_BYTES_MAX,
            });
        }
        let links = self.entries.iter().map(|(name, &(hash, dag_size))| PbLink {
            hash,
            name: Some(name.as_slice()),
            tsize: Some(dag_size),
        });
        let node = PbNode { links: links.collect(), data: Some(&self.message) };
        let block = block_of(self.profile, &node);
        let below = self.entries.values().map(|&(_, dag_size)| dag_size);
        let dag_size = below.fold(block.data.len() as u64, u64::saturating_add);
        Ok((block, dag_size))
    }

    const fn is_too_large(&self) -> bool {
        self.bytes > DIRECTORY_BYTES_MAX
    }
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
