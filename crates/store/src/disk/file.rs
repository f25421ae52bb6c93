//! A file that the store may write to.
//!
//! Derefs to the plain file for reading, stat and locks; everything that changes the file is a method
//! here and goes through the [`Disk`] that opened it.

use std::fs::{File, Permissions};
use std::io::{self, IoSlice};
use std::num::NonZeroU64;
use std::ops::{Deref, Range};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{Advice, FallocateFlags};

use super::{Change, Disk};
use crate::error::WriteError;

/// An open file, and the disk that it is on.
#[derive(Debug)]
pub(crate) struct DiskFile {
    disk: Disk,
    file: File,
}

impl Deref for DiskFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl DiskFile {
    pub(super) fn new(disk: &Disk, file: File) -> Self {
        Self { disk: disk.clone(), file }
    }

    /// Another descriptor of the same open file.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self::new(&self.disk, self.file.try_clone()?))
    }

    /// The file, for reading only.
    pub(crate) fn into_plain(self) -> File {
        self.file
    }

    /// Writes all of the bytes.
    pub(crate) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let change = Change::Write { file: &self.file, offset, parts: [bytes, &[]] };
        self.disk.change(&change, || self.file.write_all_at(bytes, offset))
    }

    /// Writes a header and its data with one call, and what that leaves with more.
    pub(crate) fn write_both_at(&self, header: &[u8], data: &[u8], at: u64) -> io::Result<()> {
        let change = Change::Write { file: &self.file, offset: at, parts: [header, data] };
        self.disk.change(&change, || write_both(&self.file, header, data, at))
    }

    /// Cuts the file, or makes it longer with zeros.
    pub(crate) fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.change(&Change::SetLen { file: &self.file, len }, || self.file.set_len(len))
    }

    /// Takes the space of the first `len` bytes. Where the file system cannot, the error says so.
    pub(crate) fn allocate(&self, len: u64) -> io::Result<()> {
        self.disk.change(&Change::Allocate { file: &self.file, len }, || {
            Ok(rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, len)?)
        })
    }

    /// Gives the space of a range back; it reads as zeros from then on and the length stays.
    pub(crate) fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        self.disk.change(&Change::Punch { file: &self.file, offset, len }, || {
            Ok(rustix::fs::fallocate(&self.file, flags, offset, len)?)
        })
    }

    /// Makes the file, which is empty, a reflink of another one.
    pub(crate) fn clone_from(&self, from: &File) -> io::Result<()> {
        let len = from.metadata()?.len();
        self.disk.change(&Change::Fill { file: &self.file, offset: 0, len }, || {
            Ok(rustix::fs::ioctl_ficlone(&self.file, from)?)
        })
    }

    /// Lets the kernel copy bytes of another file, from `start` on, to `offset` of this one; says how
    /// many, 0 at the other one's end.
    pub(crate) fn copy_from(
        &self,
        from: &File,
        start: u64,
        offset: u64,
        len: usize,
    ) -> io::Result<usize> {
        let mut copied = 0;
        let change = Change::Fill { file: &self.file, offset, len: len as u64 };
        self.disk.change(&change, || {
            let (mut at, mut out) = (start, offset);
            let (from_at, to_at) = (Some(&mut at), Some(&mut out));
            copied = rustix::fs::copy_file_range(from, from_at, &self.file, to_at, len)?;
            Ok(())
        })?;
        Ok(copied)
    }

    /// Sets the permission bits.
    pub(crate) fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        let permissions = Permissions::from_mode(mode);
        let set = || self.file.set_permissions(permissions.clone());
        self.disk.change(&Change::Mode { path }, set)
    }

    /// fdatasync(2), with an error that names the file.
    pub(crate) fn sync(&self, path: &Path) -> Result<(), WriteError> {
        self.sync_data().map_err(|source| WriteError::Io { path: path.to_owned(), source })
    }

    /// fdatasync(2). One that fails poisons the disk.
    pub(crate) fn sync_data(&self) -> io::Result<()> {
        let synced = self.disk.change(&Change::Sync { file: &self.file }, || {
            self.disk.fail_if_told()?;
            Ok(rustix::fs::fdatasync(&self.file)?)
        });
        self.disk.poison_if_failed(synced, || format!("{:?}", self.file))
    }

    /// Asks the kernel to begin writing a range out, without waiting: the sync that comes finds less to
    /// do. It proves nothing. (Advice that the range is not needed does it; what is still dirty stays in
    /// the cache.)
    pub(crate) fn begin_write_out(&self, range: Range<u64>) {
        let len = NonZeroU64::new(range.end.saturating_sub(range.start));
        if let Err(error) = rustix::fs::fadvise(&self.file, range.start, len, Advice::DontNeed) {
            // The sync will take its time, and nothing else changes.
            tracing::debug!(%error, "cannot ask for a write-out");
        }
    }
}

fn write_both(file: &File, header: &[u8], data: &[u8], at: u64) -> io::Result<()> {
    let slices = [IoSlice::new(header), IoSlice::new(data)];
    let done = match rustix::io::pwritev(file, &slices, at) {
        Err(rustix::io::Errno::INTR) => 0,
        done => done?,
    };
    if done < header.len() {
        file.write_all_at(&header[done..], at + done as u64)?;
    }
    let written = done.saturating_sub(header.len());
    file.write_all_at(&data[written..], at + (header.len() + written) as u64)
}
