//! Making an index anew beside the old one: what `rebuild` needs.
//!
//! Owns the order in which the new one takes over; what goes into it is `rebuild`'s.

use redb::ReadableTable;
use shoal_dag::Cid;

use super::journal::{newest, read};
use super::run::{Scan, find_newest};
use super::small::{copy_tables, restore};
use super::{BLOBS, HIDDEN, Index, IndexError, PINS, WHOLES, Whole, file};
use crate::blob::{BlobRecord, PartialState};
use crate::error::OpenError;
use crate::key::{Digest, Entry, Slot};
use crate::layout::Layout;
use crate::pins::public_root;

/// Changes that are restored in one commit.
const CHANGES_AT_ONCE: usize = 16 * 1024;

/// Is this file an index of format 1?
pub(crate) fn is_plain_index(file: &std::fs::File) -> std::io::Result<bool> {
    file::is_plain(file)
}

impl Index {
    /// Opens an index to see what can be read of it, past runs that are damaged; nothing is cleaned up.
    pub(crate) fn look_at(layout: &Layout, level0_rows: usize) -> Result<Self, IndexError> {
        let index = Self::unread(layout, &layout.index(), level0_rows)?;
        let state = index.load_past(&mut |_, error| {
            tracing::warn!(%error, "a run of the old index cannot be read");
            Ok(())
        })?;
        *index.state.write() = Some(state);
        Ok(index)
    }

    /// What the newest row that can be read says, and whether a newer one may have been lost with its run.
    pub(crate) fn slot_and_doubt(
        &self,
        digest: &Digest,
    ) -> Result<(Option<Slot>, bool), IndexError> {
        let (runs, lost) = {
            let state = self.state()?;
            if let Some(slot) = state.level0.get(digest) {
                return Ok((Some(*slot), false));
            }
            (std::sync::Arc::clone(&state.runs), state.lost)
        };
        Ok(match find_newest(&runs, digest)? {
            Some((at, _, slot)) => (Some(slot), lost > Some(runs[at].row.age)),
            None => (None, lost.is_some()),
        })
    }

    /// Begins an empty index beside the old one. It has no journal before it
    /// [takes over](Self::take_over), and its runs have numbers of their own.
    pub(crate) fn begin_anew(layout: &Layout, level0_rows: usize) -> Result<Self, IndexError> {
        let path = layout.new_index();
        layout.disk().remove(&path).map_err(|error| IndexError::io(&path, error))?;
        let mut index = Self::new(layout, &path, level0_rows)?;
        let mut newest = 0;
        let runs = std::fs::read_dir(layout.runs());
        for name in runs.map_err(|error| IndexError::io(&layout.runs(), error))? {
            let name = name.map_err(|error| IndexError::io(&layout.runs(), error))?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".run")?.parse().ok());
            newest = newest.max(number.unwrap_or(0));
        }
        *index.next_run.get_mut() = newest + 1;
        Ok(index)
    }

    /// Copies the small tables of the old index.
    pub(crate) fn copy_from(&self, old: &Self) -> Result<(), IndexError> {
        self.write(|tx| {
            old.read_once(|from| copy_tables(from, &mut |change| restore(tx, &[change])))
        })?;
        self.mend_partials()
    }

    /// Restores the small tables from the newest journal and says how many bytes of it are damaged; `None`
    /// where there is none.
    pub(crate) fn restore_from_journal(&self) -> Result<Option<u64>, IndexError> {
        let dir = self.layout.journals();
        let newest = newest(&self.layout).map_err(|error| IndexError::io(&dir, error))?;
        let Some(number) = newest else { return Ok(None) };
        let path = self.layout.journal(number);
        let read = read(&path, |changes| {
            for changes in changes.chunks(CHANGES_AT_ONCE) {
                self.write(|tx| restore(tx, changes)).map_err(Stopped::Index)?;
            }
            Ok(())
        });
        let damage = match read {
            Ok(damage) => damage,
            Err(Stopped::Index(error)) => return Err(error),
            Err(Stopped::Io(error)) => return Err(IndexError::io(&path, error)),
        };
        self.mend_partials()?;
        Ok(Some(damage.bytes))
    }

    /// Nothing of a partial blob is taken in yet, so that the next open reads all of its presence record.
    /// An add that was never finished is forgotten.
    fn mend_partials(&self) -> Result<(), IndexError> {
        let mut mended = Vec::new();
        self.read_once(|tx| {
            for row in tx.open_table(BLOBS)?.iter()? {
                let (id, record) = row?;
                let record = BlobRecord::from_bytes(record.value());
                let Some((state, record)) = record.and_then(|r| Some((r.partial?, r))) else {
                    continue;
                };
                let partial = Some(PartialState { records: 0, ..state });
                mended.push((id.value(), state.root.map(|_| BlobRecord { partial, ..record })));
            }
            Ok(())
        })?;
        self.write(|tx| {
            let mut table = tx.open_table(BLOBS)?;
            for (id, record) in mended {
                match record {
                    Some(record) => table.insert(id, record.to_bytes().as_slice())?,
                    None => table.remove(id)?,
                };
            }
            Ok(())
        })
    }

    /// Writes the journal and takes the old index's name; the old one's runs go with the next open.
    pub(crate) fn take_over(self) -> Result<(), OpenError> {
        let (layout, path) = (self.layout.clone(), self.path.clone());
        self.open_journal().map_err(|error| OpenError::of_write(&path, error))?;
        drop(self);
        Self::take_name(&layout)
    }

    /// How many blocks there are.
    pub(crate) fn count(&self) -> Result<u64, IndexError> {
        self.blocks()
    }

    /// Is a block hidden from peers, whatever its pack says?
    pub(crate) fn is_hidden(&self, digest: &Digest) -> Result<bool, IndexError> {
        self.read_once(|tx| Ok(tx.open_table(HIDDEN)?.get(digest)?.is_some()))
    }

    /// Every root whose content is one blob: some 60 bytes of memory each.
    pub(crate) fn all_wholes(&self) -> Result<Vec<(Digest, Whole)>, IndexError> {
        self.read_once(|tx| {
            let mut all = Vec::new();
            for row in tx.open_table(WHOLES)?.iter()? {
                let (digest, whole) = row?;
                all.push((*digest.value(), Whole::from_bytes(whole.value())));
            }
            Ok(all)
        })
    }

    /// The roots of the pins that may be served.
    pub(crate) fn public_pins(&self) -> Result<Vec<Cid>, IndexError> {
        self.read_once(|tx| {
            let mut roots = Vec::new();
            for row in tx.open_table(PINS)?.iter()? {
                let (_, pin) = row?;
                roots.extend(public_root(pin.value()));
            }
            Ok(roots)
        })
    }

    /// Gives every digest that is there to `each`, with its newest entry.
    pub(crate) fn each_known(
        &self,
        mut each: impl FnMut(Digest, Entry) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let (level0, runs, lost) = {
            let state = self.state()?;
            (state.level0.clone(), std::sync::Arc::clone(&state.runs), state.lost)
        };
        for (digest, slot) in &level0 {
            slot.map_or(Ok(()), |entry| each(*digest, entry))?;
        }
        // Behind a run that is lost, a row may have been removed since.
        let known = runs.iter().take_while(|run| lost <= Some(run.row.age));
        for (at, run) in known.enumerate() {
            let mut scan = Scan::new(run, 0);
            while let Some((_, digest, slot)) = scan.next()? {
                let Some(entry) = slot.filter(|_| !level0.contains_key(&digest)) else { continue };
                if find_newest(&runs[..at], &digest)?.is_none() {
                    each(digest, entry)?;
                }
            }
        }
        Ok(())
    }
}

/// Why a journal was not read to its end.
enum Stopped {
    Index(IndexError),
    Io(std::io::Error),
}

impl From<std::io::Error> for Stopped {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}
