//! The index file as redb sees it: plain reads, and changes that go through the store's disk.
//!
//! Takes no lock of its own: the store's lock covers the whole directory. A sync that fails poisons the
//! disk, as any other does: redb's pages that the kernel dropped would be read back from memory and a
//! later commit built upon them.

use std::io;
use std::os::unix::fs::FileExt;

use redb::StorageBackend;

use crate::disk::DiskFile;

/// The open index file.
#[derive(Debug)]
pub(super) struct IndexFile(pub(super) DiskFile);

impl StorageBackend for IndexFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}
