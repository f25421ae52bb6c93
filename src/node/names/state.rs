//! What is kept of one name, beside its entries.
//!
//! The reader's pin (what was accepted, and every proof against it) outlives the process here, so that
//! a name never goes back, whoever is asked after a restart. Everything else says what this node does
//! with the name: whether its key is here, whether it is followed, which versions' content is kept,
//! which IPNS record is put again for others.

use serde::{Deserialize, Serialize};
use shoal_ledger::{LedgerId, Reader, reader::Checkpoint};

/// Sources remembered of the last confirmation.
const SOURCES_MAX: usize = 8;

/// One name as it is kept. The reader lies beside it, since it may be larger than a record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Entries stored, from the first one without a gap; 0 for a name that was only read.
    pub len: u64,
    /// Content versions among them.
    pub versions: u64,
    /// Indices of those that changed keys, ascending.
    pub controls: Vec<u64>,
    /// What it is called here.
    pub petname: Option<String>,
    /// Its key is here.
    pub own: bool,
    /// Its new versions are fetched and served.
    pub followed: bool,
    /// Which versions' content is kept, as [`super::policy::Policy`] reads it; empty is the default.
    pub keep: String,
    /// The newest IPNS record, to be put again byte for byte.
    pub record: Option<Vec<u8>>,
    /// Nobody else has been given the head yet, as far as is known.
    pub unsent: bool,
    /// When somebody else last said that the head is the newest, Unix milliseconds; 0 for never.
    pub confirmed_ms: u64,
    /// Who said so.
    pub confirmed_by: Vec<String>,
    /// The machine and store on which this copy last knew that it is the newest, see
    /// [`super::machine`].
    pub marker: Option<[u8; 32]>,
    /// Entries of an own name that another machine signed, until the user was told.
    pub foreign: u64,
}

/// One name in memory: what is kept of it and its reader.
#[derive(Debug, Clone)]
pub struct State {
    /// What the reader accepted.
    pub reader: Reader,
    /// The rest.
    pub kept: Kept,
}

impl State {
    /// A name that was never seen, but perhaps with a checkpoint from a link.
    pub fn new(name: LedgerId, checkpoint: Option<Checkpoint>) -> Self {
        Self { reader: Reader::new(name, checkpoint), kept: Kept::default() }
    }

    /// The name.
    pub fn name(&self) -> LedgerId {
        self.reader.name()
    }

    /// What to call it when talking to the user.
    pub fn called(&self) -> String {
        self.kept.petname.clone().unwrap_or_else(|| self.name().to_string())
    }

    /// Its whole history is kept here.
    pub const fn is_whole(&self) -> bool {
        self.kept.own || self.kept.followed
    }

    /// Notes entries of an own name that came from elsewhere: another machine signs with its key, or this
    /// store was set back. The first history of an imported key is none of that.
    pub const fn note_foreign(&mut self, entries: u64) {
        if self.kept.own && self.kept.len > 0 {
            self.kept.foreign += entries;
        }
    }

    /// Notes that `source` said that the head is the newest.
    pub fn confirmed(&mut self, now_ms: u64, source: &str) {
        if now_ms.saturating_sub(self.kept.confirmed_ms) > 10_000 {
            self.kept.confirmed_by.clear();
        }
        self.kept.confirmed_ms = self.kept.confirmed_ms.max(now_ms);
        let known = self.kept.confirmed_by.iter().any(|known| known == source);
        if !known && self.kept.confirmed_by.len() < SOURCES_MAX {
            self.kept.confirmed_by.push(source.to_owned());
        }
    }
}
