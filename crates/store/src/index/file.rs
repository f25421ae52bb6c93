//! The index file as redb sees it: pages whose bytes are checked whenever they are read, and changes that
//! go through the store's disk.
//!
//! redb looks at its own checksums after a crash only; a bit that flips in a page of a key would lose the
//! key without a word. Here every page carries a checksum: a wrong one is an error that redb passes on.
//!
//! ```text
//! page, 4,112 bytes on the disk for 4,096 of redb's
//!  0                            16        4112
//! +----------------------------+---------+
//! | BLAKE3 of number and bytes | bytes   |   16 zeros before 4,096 zeros: never written
//! +----------------------------+---------+
//! ```
//!
//! redb writes pages as a whole, and never one that the last commit relies on; the header at the start of
//! the first page, which is written in place, lies in one sector together with its checksum. So what a
//! crash tears is never read.
//!
//! Takes no lock of its own: the store's lock covers the whole directory. A sync that fails poisons the
//! disk, as any other does: redb's pages that the kernel dropped would be read back from memory and a
//! later commit built upon them.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use redb::StorageBackend;
use shoal_dag::hash::HashKind;

use crate::disk::DiskFile;

const PAGE_BYTES: u64 = 4096;
const SUM_BYTES: usize = 16;
/// A page on the disk.
const SLOT_BYTES: usize = PAGE_BYTES as usize + SUM_BYTES;
/// What redb's own files begin with.
const REDB_MAGIC: &[u8; 4] = b"redb";

/// The open index file.
#[derive(Debug)]
pub(super) struct IndexFile(pub(super) DiskFile);

/// An index file of format 1, which is redb's own.
#[derive(Debug)]
pub(super) struct PlainFile(pub(super) DiskFile);

/// Is this file one of redb's own, without checksums?
pub(super) fn is_plain(file: &File) -> io::Result<bool> {
    let mut start = [0; REDB_MAGIC.len()];
    match file.read_exact_at(&mut start, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| start == *REDB_MAGIC),
    }
}

/// The checksum of a page on the disk, whose first bytes do not count.
fn sum(slot: &[u8], number: u64) -> [u8; SUM_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes[SUM_BYTES..].copy_from_slice(&slot[SUM_BYTES..]);
    let mut sum = [0; SUM_BYTES];
    sum.copy_from_slice(&HashKind::Blake3.digest(&bytes)[..SUM_BYTES]);
    sum
}

/// The pages in which a range of redb's bytes lies.
fn pages(offset: u64, len: usize) -> Range<u64> {
    offset / PAGE_BYTES..(offset + len as u64).div_ceil(PAGE_BYTES)
}

impl IndexFile {
    /// Reads pages and checks them; they come as they are on the disk.
    fn read_pages(&self, pages: Range<u64>) -> io::Result<Vec<u8>> {
        let mut slots = vec![0; (pages.end - pages.start) as usize * SLOT_BYTES];
        self.0.read_exact_at(&mut slots, pages.start * SLOT_BYTES as u64)?;
        for (slot, number) in slots.chunks_exact(SLOT_BYTES).zip(pages) {
            let is_right = slot[..SUM_BYTES] == sum(slot, number);
            if !is_right && slot.iter().any(|byte| *byte != 0) {
                let reason = format!("page {number} of index.redb has a wrong checksum");
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
        }
        Ok(slots)
    }
}

impl StorageBackend for IndexFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len() / SLOT_BYTES as u64 * PAGE_BYTES)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let pages = pages(offset, out.len());
        let mut skipped = (offset - pages.start * PAGE_BYTES) as usize;
        let slots = self.read_pages(pages)?;
        let mut at = 0;
        for slot in slots.chunks_exact(SLOT_BYTES) {
            let bytes = &slot[SUM_BYTES + skipped..];
            let len = bytes.len().min(out.len() - at);
            out[at..at + len].copy_from_slice(&bytes[..len]);
            (at, skipped) = (at + len, 0);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if !len.is_multiple_of(PAGE_BYTES) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a whole number of pages"));
        }
        self.0.set_len(len / PAGE_BYTES * SLOT_BYTES as u64)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let pages = pages(offset, data.len());
        let mut skipped = (offset - pages.start * PAGE_BYTES) as usize;
        let is_whole = skipped == 0 && (data.len() as u64).is_multiple_of(PAGE_BYTES);
        let mut slots = if is_whole {
            vec![0; (pages.end - pages.start) as usize * SLOT_BYTES]
        } else {
            self.read_pages(pages.clone())?
        };
        let mut at = 0;
        for (slot, number) in slots.chunks_exact_mut(SLOT_BYTES).zip(pages.clone()) {
            let bytes = &mut slot[SUM_BYTES + skipped..];
            let len = bytes.len().min(data.len() - at);
            bytes[..len].copy_from_slice(&data[at..at + len]);
            (at, skipped) = (at + len, 0);
            let sum = sum(slot, number);
            slot[..SUM_BYTES].copy_from_slice(&sum);
        }
        self.0.write_all_at(&slots, pages.start * SLOT_BYTES as u64)
    }
}

impl StorageBackend for PlainFile {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Disk;

    #[test]
    fn bytes_come_back_and_a_wrong_bit_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        let file = IndexFile(Disk::default().create_new(&path).unwrap());
        file.set_len(3 * PAGE_BYTES).unwrap();
        let data: Vec<u8> = (0..8192u32).map(|n| (n % 251) as u8).collect();
        file.write(PAGE_BYTES, &data).unwrap();
        file.write(100, b"header").unwrap();
        assert_eq!(file.len().unwrap(), 3 * PAGE_BYTES);
        let read = |at, len| {
            let mut out = vec![0; len];
            file.read(at, &mut out).map(|()| out)
        };
        assert_eq!(read(PAGE_BYTES + 50, 5000).unwrap(), data[50..5050]);
        assert_eq!(read(98, 10).unwrap(), b"\0\0header\0\0");
        assert!(read(2 * PAGE_BYTES, 5000).is_err(), "beyond the end");
        assert!(file.set_len(5).is_err());
        let good = std::fs::read(&path).unwrap();
        for at in [0, 15, 16, 5000, SLOT_BYTES + 1, 2 * SLOT_BYTES + 4000] {
            let mut bad = good.clone();
            bad[at] ^= 8;
            std::fs::write(&path, &bad).unwrap();
            let page = (at / SLOT_BYTES) as u64;
            assert!(read(page * PAGE_BYTES, 1).is_err(), "byte {at}");
            assert!(read((page + 1) % 3 * PAGE_BYTES, 1).is_ok());
        }
    }

    #[test]
    fn a_page_at_another_ones_place_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        let file = IndexFile(Disk::default().create_new(&path).unwrap());
        file.set_len(2 * PAGE_BYTES).unwrap();
        file.write(0, &[7; 4096]).unwrap();
        let slot = std::fs::read(&path).unwrap()[..SLOT_BYTES].to_vec();
        std::fs::write(&path, [slot.clone(), slot].concat()).unwrap();
        assert!(file.read(0, &mut [0; 9]).is_ok() && file.read(PAGE_BYTES, &mut [0; 9]).is_err());
    }
}
