//! The small tables, and the journal that has a second copy of them.
//!
//! A commit puts its changes into redb's tables and gathers them for the journal, which is appended and
//! synced before redb commits. A change that changes nothing is left out, so that many commits need no
//! sync of the journal.

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, Table, WriteTransaction};

use super::journal::{Change, Frames, Journal, Kind, NewJournal, Position, live, newest};
use super::{
    BLOBS, COUNTS, Changes, DOOMED, HIDDEN, Index, IndexError, PACKS, PINS, RECORDS, WHOLES,
    journal,
};
use crate::blob::BlobId;
use crate::error::WriteError;
use crate::key::Digest;

/// The names of the counts that say how far the journal counts.
const NUMBER: &str = "journal number";
const LEN: &str = "journal length";
const PREVIOUS: &str = "journal chain";
const LIVE: &str = "journal live";

/// A hidden block whose row lies in level 0: a run will tell it, and the hint goes.
const UNTIL_RUN: u8 = 1;
/// A hidden block whose pack says that it is public.
const FOR_GOOD: u8 = 0;

/// What a commit changes in the small tables, for the journal.
#[derive(Debug, Default)]
pub(super) struct Noted {
    frames: Frames,
    live: i64,
}

impl Noted {
    /// Notes that a key has this value now, whose old one was `old`.
    fn note(&mut self, kind: Kind, key: &[u8], value: Option<&[u8]>, old: Option<&[u8]>) {
        if value == old {
            return;
        }
        let bytes = |value: &[u8]| live(key.len(), value.len()) as i64;
        self.live += value.map_or(0, bytes) - old.map_or(0, bytes);
        self.frames.push(&Change { kind, key, value });
    }
}

/// Puts the changes of the blobs' records into their table.
pub(super) fn apply_blobs(
    tx: &WriteTransaction,
    changes: &Changes,
    noted: &mut Noted,
) -> Result<(), IndexError> {
    let mut table = tx.open_table(BLOBS)?;
    for (BlobId(id), record) in &changes.blobs {
        let value = record.as_ref().map(crate::blob::BlobRecord::to_bytes);
        let old = match &value {
            Some(value) => table.insert(id, value.as_slice())?,
            None => table.remove(id)?,
        };
        let old = old.as_ref().map(redb::AccessGuard::value);
        noted.note(Kind::Blobs, &id.to_be_bytes(), value.as_deref(), old);
    }
    Ok(())
}

/// Puts the other changes into their tables.
pub(super) fn apply_small(
    tx: &WriteTransaction,
    changes: &Changes,
    noted: &mut Noted,
) -> Result<(), IndexError> {
    let mut wholes = tx.open_table(WHOLES)?;
    for (digest, whole) in &changes.wholes {
        let value = whole.map(super::Whole::to_bytes);
        let old = match &value {
            Some(value) => wholes.insert(digest, value)?,
            None => wholes.remove(digest)?,
        };
        let old = old.as_ref().map(|old| old.value().as_slice());
        noted.note(Kind::Wholes, digest, value.as_ref().map(<[u8; 9]>::as_slice), old);
    }
    let mut packs = tx.open_table(PACKS)?;
    for (number, len) in &changes.packs {
        packs.insert(number, len)?;
    }
    for number in &changes.packs_gone {
        packs.remove(number)?;
    }
    let mut doomed = tx.open_table(DOOMED)?;
    for (place, is_doomed) in &changes.doomed {
        match is_doomed {
            true => drop(doomed.insert(place.home(), ())?),
            false => drop(doomed.remove(place.home())?),
        }
    }
    apply_bytes(&mut tx.open_table(PINS)?, Kind::Pins, &changes.pins, noted)?;
    apply_bytes(&mut tx.open_table(RECORDS)?, Kind::Records, &changes.records, noted)
}

fn apply_bytes(
    table: &mut Table<'_, &[u8], &[u8]>,
    kind: Kind,
    rows: &[(Vec<u8>, Option<Vec<u8>>)],
    noted: &mut Noted,
) -> Result<(), IndexError> {
    for (key, value) in rows {
        let old = match value {
            Some(value) => table.insert(key.as_slice(), value.as_slice())?,
            None => table.remove(key.as_slice())?,
        };
        noted.note(kind, key, value.as_deref(), old.as_ref().map(redb::AccessGuard::value));
    }
    Ok(())
}

/// Blocks whose public mark a commit changed.
#[derive(Debug, Default)]
pub(super) struct Marked {
    /// With whether a pack says that they are public.
    pub(super) hidden: Vec<(Digest, bool)>,
    pub(super) shown: Vec<Digest>,
}

/// Notes which blocks are hidden though their packs or leaves say that they are public. `is_run`: all of
/// level 0 is in a run now, which says it too.
pub(super) fn apply_hidden(
    tx: &WriteTransaction,
    marked: &Marked,
    is_run: bool,
    noted: &mut Noted,
) -> Result<(), IndexError> {
    let mut table = tx.open_table(HIDDEN)?;
    if !table.is_empty()? {
        let mut gone = marked.shown.clone();
        if is_run {
            for row in table.iter()? {
                let (digest, kind) = row?;
                gone.extend((kind.value() == UNTIL_RUN).then_some(*digest.value()));
            }
        }
        for digest in gone {
            let old = table.remove(&digest)?.map(|old| [old.value()]);
            noted.note(Kind::Hidden, &digest, None, old.as_ref().map(<[u8; 1]>::as_slice));
        }
    }
    for (digest, is_packed) in &marked.hidden {
        if *is_packed || !is_run {
            let kind = if *is_packed { FOR_GOOD } else { UNTIL_RUN };
            let old = table.insert(digest, kind)?.map(|old| [old.value()]);
            let old = old.as_ref().map(<[u8; 1]>::as_slice);
            noted.note(Kind::Hidden, digest, Some(&[kind]), old);
        }
    }
    Ok(())
}

impl Index {
    /// Appends what a commit noted to the journal, syncs it, and says in redb how far it counts.
    pub(super) fn append(
        &self,
        tx: &WriteTransaction,
        noted: Noted,
    ) -> Result<Position, IndexError> {
        let from = self.state()?.journal;
        let journal = self.journal.lock();
        let Some(journal) = journal.as_ref().filter(|_| !noted.frames.is_empty()) else {
            return Ok(from);
        };
        let at = journal.append(from, noted.frames).map_err(IndexError::write)?;
        let at = Position { live: at.live.saturating_add_signed(noted.live), ..at };
        write_position(tx, &at)?;
        Ok(at)
    }

    /// Opens the journal, cutting off what redb does not know of; where there is none that goes with this
    /// redb, it is written anew.
    pub(super) fn open_journal(&self) -> Result<(), WriteError> {
        let position = self.position().map_err(|error| self.write_error(error))?;
        let resumed = Journal::resume(&self.layout, &position)?;
        if resumed.is_none() {
            if position.number > 0 {
                tracing::error!("the journal is missing or cut short; it is written anew");
            }
            return self.rewrite_journal();
        }
        *self.journal.lock() = resumed;
        self.remove_other_journals(position.number);
        Ok(())
    }

    /// Writes the journal anew where it has grown too long. What fails is tried again by the next commit.
    pub(super) fn tend_journal(&self) {
        let is_overgrown = self.position().is_ok_and(|position| position.is_overgrown());
        if is_overgrown && let Err(error) = self.rewrite_journal() {
            tracing::warn!(%error, "cannot write the journal anew");
        }
    }

    fn position(&self) -> Result<Position, IndexError> {
        self.state().map(|state| state.journal)
    }

    /// Writes a new journal of what is in redb. The caller sees to it that nobody else commits.
    fn rewrite_journal(&self) -> Result<(), WriteError> {
        let on_disk =
            newest(&self.layout).map_err(|e| WriteError::io(self.layout.journals(), e))?;
        let now = self.position().map_err(|error| self.write_error(error))?;
        let number = on_disk.unwrap_or(0).max(now.number) + 1;
        let mut new = NewJournal::create(&self.layout, number)?;
        let copied = self
            .read(|tx| copy_tables(tx, &mut |change| new.push(&change).map_err(IndexError::write)));
        copied.map_err(|error| self.write_error(error))?;
        let (journal, position) = new.finish(&self.layout)?;
        let named = self.write(|tx| write_position(tx, &position));
        if let Err(error) = named {
            // Older than what comes: nobody may take it for the newest.
            let known = self.position().map_or(number, |position| position.number);
            self.remove_other_journals(known);
            return Err(self.write_error(error));
        }
        if let Some(state) = self.state.write().as_mut() {
            state.journal = position;
        }
        *self.journal.lock() = Some(journal);
        self.remove_other_journals(number);
        Ok(())
    }

    fn remove_other_journals(&self, number: u32) {
        if let Err(error) = journal::remove_others(&self.layout, number) {
            tracing::warn!(%error, "cannot remove an old journal");
        }
    }
}

/// Gives every row of the small tables to `each`.
pub(super) fn copy_tables(
    tx: &ReadTransaction,
    each: &mut dyn FnMut(Change<'_>) -> Result<(), IndexError>,
) -> Result<(), IndexError> {
    let mut give = |kind, key: &[u8], value: &[u8]| each(Change { kind, key, value: Some(value) });
    for row in tx.open_table(BLOBS)?.iter()? {
        let (id, record) = row?;
        give(Kind::Blobs, &id.value().to_be_bytes(), record.value())?;
    }
    for row in tx.open_table(WHOLES)?.iter()? {
        let (digest, whole) = row?;
        give(Kind::Wholes, digest.value(), whole.value())?;
    }
    for (kind, table) in [(Kind::Pins, PINS), (Kind::Records, RECORDS)] {
        for row in tx.open_table(table)?.iter()? {
            let (key, value) = row?;
            give(kind, key.value(), value.value())?;
        }
    }
    for row in tx.open_table(HIDDEN)?.iter()? {
        let (digest, kind) = row?;
        give(Kind::Hidden, digest.value(), &[kind.value()])?;
    }
    Ok(())
}

/// Puts changes of a journal into the tables; what is no key of its table is left out.
pub(super) fn restore(tx: &WriteTransaction, changes: &[Change<'_>]) -> Result<(), IndexError> {
    let (mut blobs, mut wholes) = (tx.open_table(BLOBS)?, tx.open_table(WHOLES)?);
    let (mut pins, mut records) = (tx.open_table(PINS)?, tx.open_table(RECORDS)?);
    let mut hidden = tx.open_table(HIDDEN)?;
    for Change { kind, key, value } in changes.iter().copied() {
        match (kind, value) {
            (Kind::Blobs, value) => {
                let Ok(id) = key.try_into().map(u64::from_be_bytes) else { continue };
                match value {
                    Some(value) => drop(blobs.insert(id, value)?),
                    None => drop(blobs.remove(id)?),
                }
            }
            (Kind::Wholes, value) => {
                let Ok(digest) = <&Digest>::try_from(key) else { continue };
                match value.map(<&[u8; 9]>::try_from) {
                    Some(Ok(value)) => drop(wholes.insert(digest, value)?),
                    Some(Err(_)) => {}
                    None => drop(wholes.remove(digest)?),
                }
            }
            (Kind::Pins, Some(value)) => drop(pins.insert(key, value)?),
            (Kind::Pins, None) => drop(pins.remove(key)?),
            (Kind::Records, Some(value)) => drop(records.insert(key, value)?),
            (Kind::Records, None) => drop(records.remove(key)?),
            (Kind::Hidden, value) => {
                let Ok(digest) = <&Digest>::try_from(key) else { continue };
                match value.and_then(<[u8]>::first) {
                    Some(kind) => drop(hidden.insert(digest, *kind)?),
                    None => drop(hidden.remove(digest)?),
                }
            }
        }
    }
    Ok(())
}

/// Reads how far the journal counts.
pub(super) fn read_position(tx: &ReadTransaction) -> Result<Position, IndexError> {
    let table = tx.open_table(COUNTS)?;
    let get = |name: &str| -> Result<u64, IndexError> {
        Ok(table.get(name)?.map_or(0, |count| count.value()))
    };
    let (number, len) = (get(NUMBER)? as u32, get(LEN)?);
    Ok(Position { number, len, previous: get(PREVIOUS)?, live: get(LIVE)? })
}

fn write_position(tx: &WriteTransaction, position: &Position) -> Result<(), IndexError> {
    let mut table = tx.open_table(COUNTS)?;
    let rows = [
        (NUMBER, u64::from(position.number)),
        (LEN, position.len),
        (PREVIOUS, position.previous),
        (LIVE, position.live),
    ];
    for (name, count) in rows {
        table.insert(name, count)?;
    }
    Ok(())
}
