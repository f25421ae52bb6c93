//! Extended attributes: what Shoal knows of a thing beyond `stat`.
//!
//! `user.shoal.cid` and kubo's `ipfs.cid` tell the CID, `user.shoal.local` how many of its bytes are on
//! this machine, `user.shoal.lasterror` why it failed last. Other names of the `user` namespace do not
//! exist; other namespaces are refused as unsupported, which makes `ls -l` stop asking for each file.

use super::Fs;
use crate::errno::FsError;

const CID: &[u8] = b"user.shoal.cid";
const CID_KUBO: &[u8] = b"ipfs.cid";
const LOCAL: &[u8] = b"user.shoal.local";
const LAST_ERROR: &[u8] = b"user.shoal.lasterror";

impl Fs {
    /// The value of an attribute, from memory.
    pub(crate) fn known_extended(&self, ino: u64, name: &[u8]) -> Option<Result<Vec<u8>, FsError>> {
        match name {
            LOCAL => None,
            CID | CID_KUBO => Some(self.known(ino).map(|it| it.cid.to_string().into_bytes())),
            LAST_ERROR => Some(self.last_error(ino)),
            _ if name.starts_with(b"user.") || name.starts_with(b"ipfs.") => {
                Some(Err(FsError::NoAttribute))
            }
            _ => Some(Err(FsError::NotSupported)),
        }
    }

    /// The value of an attribute, asking the tree.
    pub(crate) fn extended(&self, ino: u64, name: &[u8]) -> Result<Vec<u8>, FsError> {
        if let Some(known) = self.known_extended(ino, name) {
            return known;
        }
        let cid = self.known(ino)?.cid;
        let local = self.tree.local_bytes(&cid).map_err(|error| self.failed(ino, error))?;
        local.map(|bytes| bytes.to_string().into_bytes()).ok_or(FsError::NoAttribute)
    }

    /// The names of the attributes of an inode, each ended by NUL.
    pub(crate) fn extended_names(&self, ino: u64) -> Result<Vec<u8>, FsError> {
        self.known(ino)?;
        let mut names = vec![CID, LOCAL];
        if self.last_error(ino).is_ok() {
            names.push(LAST_ERROR);
        }
        Ok(names.into_iter().flat_map(|name| [name, b"\0"].concat()).collect())
    }

    fn last_error(&self, ino: u64) -> Result<Vec<u8>, FsError> {
        self.known(ino)?;
        let errors = self.last_errors.lock();
        let found = errors.iter().find(|(other, _)| *other == ino);
        found.map(|(_, text)| text.clone().into_bytes()).ok_or(FsError::NoAttribute)
    }
}
