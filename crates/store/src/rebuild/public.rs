//! Whom the blocks may be given to, and what the old index alone knows.
//!
//! In doubt a block is private: a peer that misses it asks another, and what leaked does not come back.

use shoal_dag::hash::DAG_PB;
use shoal_dag::{Cid, pb};

use super::old::{Old, Said};
use super::{ENTRIES_AT_ONCE, Rebuild};
use crate::index::snapshot::Snapshot;
use crate::index::{Changes, IndexError};
use crate::key::{Digest, Entry, Key, Place};

impl Rebuild<'_> {
    /// May a block be given to peers? `said` is what the place where it was found says.
    pub(super) fn is_public(&self, digest: &Digest, said: bool) -> Result<bool, IndexError> {
        Ok(match self.old.say(digest) {
            Said::Exactly(Some(entry)) => entry.public,
            Said::Perhaps(Some(entry)) => {
                (entry.public || said) && !self.index.is_hidden(digest)?
            }
            Said::Doubtful(Some(entry)) if !entry.public => false,
            said_of_it => {
                let is_known = matches!(said_of_it, Said::Exactly(_) | Said::Nothing);
                self.has_doubt.set(self.has_doubt.get() || !is_known);
                said && !self.index.is_hidden(digest)?
            }
        })
    }

    /// The leaf that was taken last is public by its record.
    pub(super) fn say_public(&mut self, digest: &Digest) -> Result<(), IndexError> {
        let public = self.is_public(digest, true)?;
        if let Some(last) = self.entries.last_mut().filter(|last| last.0 == *digest) {
            last.1.public |= public;
        }
        Ok(())
    }

    /// Keeps what the old index knows and the data does not have, so that reading it names the file that
    /// is damaged.
    pub(super) fn keep_what_is_named(&mut self) {
        let mut lost = Vec::new();
        if let Old::Index(old) = &self.old {
            // A damaged run ends it; nothing depends on it.
            let walked = old.each_known(|digest, entry| {
                let is_lost = self.index.entry(&digest)?.is_none() && self.has_place(&entry)?;
                lost.extend(is_lost.then_some((digest, entry)));
                Ok(())
            });
            if let Err(error) = walked {
                tracing::warn!(%error, "not all of the old index could be read");
            }
        }
        self.report.kept_from_index = lost.len() as u64;
        self.entries = lost;
    }

    /// Is there a file where the entry leads?
    fn has_place(&self, entry: &Entry) -> Result<bool, IndexError> {
        Ok(match entry.place {
            Place::Pack(number) => self.layout.pack(number).exists(),
            Place::Blob(id) => self.index.blob(id)?.is_some_and(|record| record.partial.is_none()),
        })
    }

    /// Marks what public pins reach, unless the old index had a word about everything.
    pub(super) fn publish_what_pins_reach(&mut self) -> Result<(), IndexError> {
        if !self.has_doubt.get() {
            return Ok(());
        }
        let snapshot = self.index.snapshot().map_err(IndexError::write)?;
        let mut walk =
            Walk { seen: vec![0; snapshot.count().div_ceil(64) as usize], ids: Vec::new() };
        for root in self.index.public_pins()? {
            walk.push(&snapshot, &root)?;
        }
        let mut marks = Vec::new();
        while let Some((id, is_branch)) = walk.ids.pop() {
            let Some(digest) = snapshot.digest_of(id)? else { continue };
            let Some((_, entry)) = snapshot.find(&digest)? else { continue };
            if !entry.public && self.is_unsaid(&digest)? {
                marks.push((digest, true));
            }
            if is_branch && let Some(block) = self.block(&Key { digest, hash: entry.hash })? {
                for link in pb::decode(&block).map(|node| node.links).unwrap_or_default() {
                    walk.push(&snapshot, &link.hash)?;
                }
            }
            if marks.len() >= ENTRIES_AT_ONCE {
                self.commit(Changes { marks: std::mem::take(&mut marks), ..Changes::default() })?;
            }
        }
        self.commit(Changes { marks, ..Changes::default() })
    }

    /// Has nothing said that this block is not for peers?
    fn is_unsaid(&self, digest: &Digest) -> Result<bool, IndexError> {
        let is_private = match self.old.say(digest) {
            Said::Exactly(slot) | Said::Perhaps(slot) | Said::Doubtful(slot) => {
                slot.is_some_and(|entry| !entry.public)
            }
            Said::Nothing | Said::Unreadable => false,
        };
        Ok(!is_private && !self.index.is_hidden(digest)?)
    }
}

/// A walk over what pins reach: each block once.
struct Walk {
    /// A bit for each row of the snapshot.
    seen: Vec<u64>,
    /// Blocks to look at, and whether they are branches; no more than there are rows.
    ids: Vec<(u64, bool)>,
}

impl Walk {
    fn push(&mut self, snapshot: &Snapshot, cid: &Cid) -> Result<(), IndexError> {
        let Some(key) = Key::of(cid) else { return Ok(()) };
        let Some((id, _)) = snapshot.find(&key.digest)? else { return Ok(()) };
        let (word, bit) = ((id / 64) as usize, 1 << (id % 64));
        if self.seen[word] & bit == 0 {
            self.seen[word] |= bit;
            self.ids.push((id, cid.codec() == DAG_PB));
        }
        Ok(())
    }
}
