//! Opening and reading files.
//!
//! The tree may answer with fewer bytes than asked (a leaf at a time) and is asked again for the rest:
//! the kernel would take a short answer for the end of the file and show zeros behind it. A tree that
//! has nothing left before the size it told lies, and that is an error. A local file is used only when
//! its size is exactly the size that `stat` shows, because the kernel trusts both.

use std::fs::File;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use shoal_dag::Cid;

use super::Fs;
use crate::errno::FsError;
use crate::tree::{Attributes, BACKING_BYTES_MIN, Kind, READ_BYTES_MAX, TreeError};

impl Fs {
    /// Can this inode be opened as a file, and may a local file be behind it? From memory.
    pub(crate) fn known_open(&self, ino: u64) -> Option<Result<bool, FsError>> {
        match self.known(ino) {
            Ok(known) => Some(may_be_backed(&known.attributes?)),
            Err(error) => Some(Err(error)),
        }
    }

    /// The local file that holds this inode's bytes, if there is one and it is whole.
    pub(crate) fn backing(&self, ino: u64) -> Result<Option<File>, FsError> {
        let attributes = self.attributes(ino)?;
        if !may_be_backed(&attributes)? {
            return Ok(None);
        }
        let cid = self.known(ino)?.cid;
        let file = match self.tree.backing(&cid) {
            Ok(file) => file,
            // Reading will tell what is wrong, if it is still wrong then.
            Err(error) => {
                tracing::debug!(ino, %error, "no local file could be asked for");
                None
            }
        };
        Ok(file.filter(|file| is_whole(file, attributes.size)))
    }

    /// Reads from a local file: what the kernel gets is every byte up to the end of the file.
    pub(crate) fn read_local<'a>(
        &self,
        ino: u64,
        file: &File,
        offset: u64,
        buffer: &'a mut [u8],
    ) -> Result<&'a [u8], FsError> {
        let size = self.attributes(ino)?.size;
        let wanted = wanted(size, offset, buffer.len() as u64);
        let buffer = &mut buffer[..wanted as usize];
        file.read_exact_at(buffer, offset).map_err(|error| FsError::LocalFile(error.kind()))?;
        Ok(buffer)
    }

    /// Reads what the tree has ready; never waits.
    pub(crate) fn ready_read(&self, ino: u64, offset: u64, len: u32) -> Option<Bytes> {
        let known = self.known(ino).ok()?;
        let attributes = known.attributes.filter(|it| it.kind == Kind::File)?;
        let wanted = wanted(attributes.size, offset, u64::from(len));
        if wanted > READ_BYTES_MAX.into() {
            return None;
        }
        let ready = self.tree.read_ready(&known.cid, offset, wanted as u32)?;
        (ready.len() as u64 == wanted).then_some(ready)
    }

    /// Reads through the tree.
    pub(crate) fn read(&self, ino: u64, offset: u64, len: u32) -> Result<Bytes, FsError> {
        let cid = self.known(ino)?.cid;
        let attributes = self.attributes(ino)?;
        if attributes.kind == Kind::Directory {
            return Err(TreeError::IsDirectory.into());
        }
        let wanted = wanted(attributes.size, offset, u64::from(len)) as usize;
        self.read_all(&cid, offset, wanted).map_err(|error| self.failed(ino, error))
    }

    /// The last handle on a file is closed.
    pub(crate) fn closed(&self, ino: u64) {
        if let Ok(known) = self.known(ino) {
            self.tree.closed(&known.cid);
        }
    }

    fn read_all(&self, cid: &Cid, offset: u64, wanted: usize) -> Result<Bytes, TreeError> {
        let mut first = Bytes::new();
        let mut rest = Vec::new();
        loop {
            let have = first.len() + rest.len();
            if have >= wanted {
                break;
            }
            let len = (wanted - have).min(READ_BYTES_MAX as usize);
            let part = self.tree.read(cid, offset + have as u64, len as u32)?;
            if part.is_empty() || part.len() > len {
                let detail = format!("{} bytes of {len} at {}", part.len(), offset + have as u64);
                return Err(TreeError::Corrupt { detail });
            }
            if have == 0 {
                first = part;
            } else {
                rest.extend_from_slice(&part);
            }
        }
        if rest.is_empty() {
            return Ok(first);
        }
        Ok([&first[..], &rest].concat().into())
    }
}

/// How many bytes a read gives of a file of `size`.
fn wanted(size: u64, offset: u64, len: u64) -> u64 {
    size.saturating_sub(offset).min(len)
}

fn may_be_backed(attributes: &Attributes) -> Result<bool, FsError> {
    match attributes.kind {
        Kind::File => Ok(attributes.size >= BACKING_BYTES_MIN),
        Kind::Directory => Err(TreeError::IsDirectory.into()),
        // The kernel never opens a link; whoever asks is told what open(2) says with O_NOFOLLOW.
        Kind::Symlink => Err(TreeError::NotSymlink.into()),
    }
}

fn is_whole(file: &File, size: u64) -> bool {
    match file.metadata() {
        Ok(metadata) if metadata.is_file() && metadata.len() == size => true,
        Ok(metadata) => {
            tracing::warn!(len = metadata.len(), size, "a local file does not match its size");
            false
        }
        Err(error) => {
            tracing::warn!(%error, "a local file cannot be looked at");
            false
        }
    }
}
