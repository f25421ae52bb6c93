//! What is remembered of directories that versions were checked out into.
//!
//! ```text
//! namespace "checkouts": path, or BLAKE3 of a long one -> record (postcard)
//! ```
//!
//! A record belongs to the directory that it was made for, by more than its path ([`Identity`]). While a checkout is on its
//! way it names every version whose entries may stand there; afterwards one.

use std::{os::unix::ffi::OsStrExt, path::Path};

use serde::{Deserialize, Serialize};
use shoal_dag::{
    Cid, Version,
    hash::{self, HashKind},
};
use shoal_ledger::LedgerId;
use shoal_store::{ReadError, Store, WriteError};

use super::disk::Identity;

const NAMESPACE: &str = "checkouts";

/// Versions of which entries may stand in one directory: each checkout that was broken off adds one.
/// Where there were more, what is left of the forgotten ones counts as edited.
const BASES_MAX: usize = 8;

/// One checkout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    path: Vec<u8>,
    identity: Identity,
    /// The name.
    name: [u8; 32],
    /// `#epoch.index` of the newest version among them.
    position: String,
    /// Roots of the versions that may stand there, the one that was whole first; an empty one is none.
    bases: Vec<Vec<u8>>,
    /// Files and symlinks of the first of them.
    pub(super) files: u64,
    /// The directory below it that a checkout on its way writes into first.
    pub(super) staging: Option<Vec<u8>>,
}

/// What is checked out.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    pub(super) name: LedgerId,
    pub(super) position: String,
    pub(super) root: Cid,
}

impl Record {
    /// A directory in which a version stands, whole.
    pub(super) fn whole(path: &Path, identity: Identity, checked: &Checked, files: u64) -> Self {
        Self {
            path: path.as_os_str().as_bytes().to_vec(),
            identity,
            name: *checked.name.key_bytes(),
            position: checked.position.clone(),
            bases: vec![checked.root.to_bytes()],
            files,
            staging: None,
        }
    }

    /// The same while a version takes the place of what stands there.
    pub(super) fn going(mut self, bases: &[Option<Cid>], files: u64, staging: Vec<u8>) -> Self {
        let to = std::mem::take(&mut self.bases);
        self.bases =
            bases.iter().map(|base| base.map_or_else(Vec::new, |cid| cid.to_bytes())).collect();
        self.bases.retain(|base| !to.contains(base));
        // The first was whole, the last are the newest attempts.
        while self.bases.len() >= BASES_MAX {
            self.bases.remove(1);
        }
        self.bases.extend(to);
        self.staging = Some(staging);
        self.files = files;
        self
    }

    /// The versions whose entries may stand there; `None` among them is an empty directory.
    pub(super) fn bases(&self) -> Vec<Option<Cid>> {
        self.bases.iter().map(|base| Cid::try_from(base.as_slice()).ok()).collect()
    }

    /// What is remembered of that directory.
    pub(super) fn read(
        store: &Store,
        path: &Path,
        identity: Identity,
    ) -> Result<Option<Self>, ReadError> {
        let value = store.record(NAMESPACE, &key(path))?;
        let record = value.and_then(|value| postcard::from_bytes::<Self>(&value).ok());
        let path = path.as_os_str().as_bytes();
        Ok(record.filter(|record| record.path == path && record.identity == identity))
    }

    /// Writes it down, durably.
    pub(super) fn write(&self, store: &Store) -> Result<(), WriteError> {
        let value = postcard::to_stdvec(self).expect("plain data has an encoding");
        let path = Path::new(std::ffi::OsStr::from_bytes(&self.path));
        store.put_record(NAMESPACE, &key(path), &value)
    }
}

/// The key of a record: the path, hashed where it would be longer than a key may be.
fn key(path: &Path) -> Vec<u8> {
    let path = path.as_os_str().as_bytes();
    if path.len() < shoal_store::RECORD_KEY_BYTES_MAX {
        return [b"p", path].concat();
    }
    let digest = hash::cid_of(HashKind::Blake3, hash::RAW, Version::V1, path);
    [b"h".as_slice(), &digest.to_bytes()].concat()
}
