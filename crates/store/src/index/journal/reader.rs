//! Reading a journal from its start, past whatever is damaged.
//!
//! Memory is bounded by the largest commit. What the changes mean is the caller's.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::frame::{self, Change, HEADER_BYTES, PAYLOAD_BYTES_MAX};
use super::{HEADER_BYTES as FILE_HEADER_BYTES, MAGIC, VERSION};
use crate::files::read_at;
use crate::layout::Layout;

/// Read at once while the next frame is looked for: a frame and a half at least.
const READ_BYTES: usize = 2 * (HEADER_BYTES + PAYLOAD_BYTES_MAX);

/// What was wrong in a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Damage {
    /// Stretches that were no frames.
    pub(crate) stretches: u64,
    /// Bytes of them.
    pub(crate) bytes: u64,
}

/// The number of the newest journal.
pub(crate) fn newest(layout: &Layout) -> io::Result<Option<u32>> {
    let names = match fs::read_dir(layout.journals()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        names => names?,
    };
    let mut newest = None;
    for name in names {
        let name = name?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".log")?.parse().ok());
        newest = newest.max(number);
    }
    Ok(newest)
}

/// Gives the changes of every commit to `each`, in order. A commit whose end is missing at the end of the
/// file was not acknowledged and is left out. An error of `each` ends it.
pub(crate) fn read<E: From<io::Error>>(
    path: &Path,
    mut each: impl FnMut(&[Change<'_>]) -> Result<(), E>,
) -> Result<Damage, E> {
    let file = File::open(path)?;
    let mut reading = Reading { file: &file, at: FILE_HEADER_BYTES, damage: Damage::default() };
    let header = read_at(&file, 0, FILE_HEADER_BYTES as usize)?;
    if header
        .strip_prefix(MAGIC)
        .and_then(|rest| rest.strip_prefix(&VERSION.to_le_bytes()))
        .is_none()
    {
        // The frames say themselves what they are.
        reading.damage = Damage { stretches: 1, bytes: FILE_HEADER_BYTES };
    }
    let (mut chain, mut waiting) = (0, Vec::new());
    while let Some(found) = reading.next()? {
        let Some(frame) = frame::read(&found.bytes) else { break };
        if frame.previous != chain && !found.is_after_damage {
            // What a commit that failed left behind.
            break;
        }
        if found.is_after_damage && !waiting.is_empty() {
            // The end of that commit is damaged, and it was acknowledged since another came after it.
            give(&mut waiting, &mut each)?;
        }
        chain = frame.chain;
        waiting.push(frame.payload.to_vec());
        if frame.ends_commit {
            give(&mut waiting, &mut each)?;
        }
    }
    Ok(reading.damage)
}

fn give<E>(
    payloads: &mut Vec<Vec<u8>>,
    each: &mut impl FnMut(&[Change<'_>]) -> Result<(), E>,
) -> Result<(), E> {
    let payloads = std::mem::take(payloads);
    let changes: Vec<Change<'_>> = payloads.iter().flat_map(|p| frame::changes(p)).collect();
    each(&changes)
}

struct Reading<'a> {
    file: &'a File,
    at: u64,
    damage: Damage,
}

/// The bytes of a frame that is whole and undamaged.
struct Found {
    bytes: Vec<u8>,
    is_after_damage: bool,
}

impl Reading<'_> {
    /// The next frame, wherever it begins.
    fn next(&mut self) -> io::Result<Option<Found>> {
        let from = self.at;
        loop {
            let bytes = read_at(self.file, self.at, READ_BYTES)?;
            let is_end = bytes.len() < READ_BYTES;
            // Only where a whole frame fits behind it, unless the file ends there.
            let end = if is_end { bytes.len() } else { READ_BYTES / 2 };
            let found = (0..end).find_map(|start| {
                let frame = &bytes[start..];
                frame::read(frame).and(frame::len_of(frame)).map(|len| (start, len))
            });
            if let Some((start, len)) = found {
                let begins = self.at + start as u64;
                self.at = begins + len as u64;
                self.note(begins - from);
                let bytes = bytes[start..start + len].to_vec();
                return Ok(Some(Found { bytes, is_after_damage: begins > from }));
            }
            self.at += end as u64;
            if is_end {
                self.note(self.at - from);
                return Ok(None);
            }
        }
    }

    fn note(&mut self, bytes: u64) {
        self.damage.stretches += u64::from(bytes > 0);
        self.damage.bytes += bytes;
    }
}
