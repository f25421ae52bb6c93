//! Notes about blobs on their way out: what stands for the index until the next checkpoint.
//!
//! An empty note is made before a blob is linked out: "this file may get a second name". Once the
//! final name is known the note says it. A note that is torn counts as an empty one. It is not synced:
//! the store's own name stays until the index says the same.
//!
//! ```text
//! note: root hash 1, root digest 32, blob record (see `blob`), BLAKE3 of all that 32
//! ```

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use shoal_dag::hash::HashKind;

use crate::blob::BlobRecord;
use crate::disk::Disk;
use crate::key::Key;

/// A note is a path and a few numbers; more is not read.
const NOTE_BYTES_MAX: u64 = 8 * 1024;

/// Makes an empty note.
pub(crate) fn announce(disk: &Disk, path: &Path) -> io::Result<()> {
    disk.remove(path)?;
    disk.create_new(path).map(drop)
}

/// Fills the note that [`announce`] made.
pub(crate) fn write_note(
    disk: &Disk,
    path: &Path,
    root: &Key,
    record: &BlobRecord,
) -> io::Result<()> {
    let mut bytes = vec![root.hash];
    bytes.extend_from_slice(&root.digest);
    bytes.extend_from_slice(&record.to_bytes());
    let digest = HashKind::Blake3.digest(&bytes);
    bytes.extend_from_slice(&digest);
    let file = disk.open_or_create(path)?;
    file.set_len(0)?;
    file.write_all_at(&bytes, 0)
}

/// Reads a note; `None` where there is none, or where it is empty or torn.
pub(crate) fn read_note(path: &Path) -> io::Result<Option<(Key, BlobRecord)>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut bytes = Vec::new();
    file.take(NOTE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(parse(&bytes))
}

fn parse(bytes: &[u8]) -> Option<(Key, BlobRecord)> {
    let (said, digest) = bytes.split_last_chunk::<32>()?;
    if HashKind::Blake3.digest(said) != *digest {
        return None;
    }
    let (hash, rest) = said.split_first()?;
    let (digest, rest) = rest.split_first_chunk::<32>()?;
    Some((Key { digest: *digest, hash: *hash }, BlobRecord::from_bytes(rest)?))
}
