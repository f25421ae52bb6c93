//! The journal: the second copy of what cannot be made again from packs and blobs.
//!
//! Blobs, whole files, pins, records and what is hidden from peers lie in redb; every change of them is
//! appended here too, and synced before redb commits it. So redb is a cache: where it is lost or damaged,
//! all of it is made again (see `rebuild`). While redb is well it says how far the journal counts: what a
//! commit that failed had appended is cut off. A journal that has grown to four times its live content is
//! written anew.
//!
//! ```text
//! journal/NNNNNNNN.log: header of 16 bytes, then frames; the newest file has everything
//!  0          8         12       16
//! +----------+---------+--------+
//! | shoaljrn | version | number |
//! +----------+---------+--------+
//! frame, little-endian
//!  0      4     8       12   16         24   32              64
//! +------+-----+-------+----+----------+----+---------------+-----------+
//! | ShJ1 | len | flags | 0  | previous | 0  | BLAKE3 of the | len bytes |   flags: bit 0: ends a commit
//! |      |     |       |    | sum's 8  |    | rest of frame | of changes|   previous: chains the frames
//! +------+-----+-------+----+----------+----+---------------+-----------+
//! change:  table 1, is set 1, key len 2, value len 4, key, value
//! tables:  1 blobs (id big-endian), 2 wholes, 3 pins, 4 records, 5 hidden
//! ```
//!
//! A frame that is damaged costs its own changes: the next one is found by its magic and checksum. One that
//! is whole, undamaged and not chained to the one before it is what a failed commit left.

mod frame;
mod reader;

use std::path::PathBuf;

use crate::disk::DiskFile;
use crate::error::WriteError;
use crate::layout::Layout;

pub(super) use frame::{Change, Frames, Kind, live};
#[cfg(test)]
use reader::Damage;
pub(super) use reader::{newest, read};

const HEADER_BYTES: u64 = 16;
const MAGIC: &[u8; 8] = b"shoaljrn";
const VERSION: u32 = 1;
/// The journal is written anew when it is longer than this many times its live content...
const GROWTH_MAX: u64 = 4;
/// ...and this: less is not worth the two syncs.
const LEN_MIN: u64 = 1024 * 1024;

/// How far the journal counts; kept in redb with every commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Position {
    /// The file; 0: there is none yet.
    pub(super) number: u32,
    pub(super) len: u64,
    /// The first bytes of the last frame's checksum.
    pub(super) previous: u64,
    /// Bytes of the changes that are still in force.
    pub(super) live: u64,
}

impl Position {
    /// Is it time to write it anew?
    pub(super) fn is_overgrown(&self) -> bool {
        self.len > GROWTH_MAX * self.live + LEN_MIN
    }
}

/// The journal's file that is written to.
#[derive(Debug)]
pub(super) struct Journal {
    file: DiskFile,
    path: PathBuf,
}

impl Journal {
    /// Opens the file of a position and cuts off what lies beyond it; `None` where the file is missing or
    /// too short.
    pub(super) fn resume(layout: &Layout, position: &Position) -> Result<Option<Self>, WriteError> {
        let (number, path) = (position.number, layout.journal(position.number));
        let failed = |error| WriteError::io(&path, error);
        let file = match layout.disk().open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(failed)?,
        };
        let len = file.metadata().map_err(failed)?.len();
        if number == 0 || len < position.len {
            return Ok(None);
        }
        if len > position.len {
            file.set_len(position.len).map_err(failed)?;
        }
        Ok(Some(Self { file, path }))
    }

    /// Appends the frames of one commit behind `from` and syncs them; returns the new position, with `live`
    /// as before.
    pub(super) fn append(&self, from: Position, frames: Frames) -> Result<Position, WriteError> {
        let failed = |error| WriteError::io(&self.path, error);
        if self.file.metadata().map_err(failed)?.len() > from.len {
            // A commit that failed.
            self.file.set_len(from.len).map_err(failed)?;
        }
        let mut at = from;
        for payload in frames.into_payloads() {
            let (bytes, previous) = frame::write(&payload, at.previous);
            self.file.write_all_at(&bytes, at.len).map_err(failed)?;
            at = Position { len: at.len + bytes.len() as u64, previous, ..at };
        }
        self.file.sync(&self.path)?;
        Ok(at)
    }
}

/// A journal that is written anew: under a name of its own until it is complete.
#[derive(Debug)]
pub(super) struct NewJournal {
    file: DiskFile,
    temp: PathBuf,
    position: Position,
    frames: Frames,
}

impl NewJournal {
    /// Begins the file of a number.
    pub(super) fn create(layout: &Layout, number: u32) -> Result<Self, WriteError> {
        let (dir, temp) = (layout.journals(), layout.new_journal(number));
        let disk = layout.disk();
        disk.make_dir(&dir).map_err(|error| WriteError::io(&dir, error))?;
        let failed = |error| WriteError::io(&temp, error);
        disk.remove(&temp).map_err(failed)?;
        let file = disk.create_new(&temp).map_err(failed)?;
        let mut header = MAGIC.to_vec();
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&number.to_le_bytes());
        file.write_all_at(&header, 0).map_err(failed)?;
        let position = Position { number, len: HEADER_BYTES, ..Position::default() };
        Ok(Self { file, temp, position, frames: Frames::default() })
    }

    /// Adds something that is in force.
    pub(super) fn push(&mut self, change: &Change<'_>) -> Result<(), WriteError> {
        self.position.live += change.live();
        self.frames.push(change);
        if self.frames.is_long() { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        for payload in std::mem::take(&mut self.frames).into_payloads() {
            let (bytes, previous) = frame::write(&payload, self.position.previous);
            let written = self.file.write_all_at(&bytes, self.position.len);
            written.map_err(|error| WriteError::io(&self.temp, error))?;
            self.position.len += bytes.len() as u64;
            self.position.previous = previous;
        }
        Ok(())
    }

    /// Syncs it and gives it its name.
    pub(super) fn finish(mut self, layout: &Layout) -> Result<(Journal, Position), WriteError> {
        self.flush()?;
        self.file.sync(&self.temp)?;
        let number = self.position.number;
        let path = layout.journal(number);
        let renamed = layout.disk().rename(&self.temp, &path);
        renamed.map_err(|error| WriteError::io(&path, error))?;
        layout.disk().sync_dir(&layout.journals())?;
        Ok((Journal { file: self.file, path }, self.position))
    }
}

/// Removes all journal files but that of this number: what is left of one that was written anew.
pub(super) fn remove_others(layout: &Layout, number: u32) -> std::io::Result<()> {
    let (dir, own) = (layout.journals(), layout.journal(number));
    for name in std::fs::read_dir(dir)? {
        let path = name?.path();
        if path != own {
            layout.disk().remove(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
