//! The end of a ledger: what the next entry must be.
//!
//! A [`Tip`] knows everything about entries 0 to n that decides whether an entry n + 1 is valid, in
//! memory that grows with the logarithm of n: the newest entry, the mountain range, the spine of jump
//! links, and the authority. A full verifier replays a ledger by [`Tip::extend`]; a writer makes its
//! next entry by [`Tip::draft`], from the same fields, so that the two cannot disagree. Whoever kept
//! a branch goes on from it by [`Tip::from_archive`], without a replay.
//!
//! Validity is decided here and depends on nothing but the entries: no clock, no rate, no network.
//! A tip never signs twice for one index by itself; that what was signed is stored before anybody
//! sees it is up to its owner.

use crate::authority::{Authority, AuthorityError};
use crate::chain::Archive;
use crate::entry::{Draft, Header, Links, TIME_MS_MAX};
use crate::head::chain_before;
use crate::jump::{self, Spine};
use crate::key::PublicKey;
use crate::tree::{Peaks, prove};
use crate::{Body, Entry, EntryKind, Epoch, Index, Position, PositionError};

/// The end of a ledger, or of one branch of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    head: Entry,
    peaks: Peaks,
    spine: Spine,
    authority: Authority,
}

impl Tip {
    /// The end of a ledger of one entry.
    pub fn begin(genesis: Entry) -> Result<Self, Invalid> {
        let authority = Authority::begin(&genesis)?;
        let (mut peaks, mut spine) = (Peaks::default(), Spine::default());
        peaks.push(genesis.leaf());
        spine.push(genesis.id());
        Ok(Self { head: genesis, peaks, spine, authority })
    }

    /// The end of a branch out of what was kept of it: the newest entry, the mountain range over the
    /// entries before it, the spine with it, and the control entries before it as
    /// [`Authority::replay`] takes them. The head's signature vouches for the rest, all but the older
    /// part of the spine.
    pub fn restore(
        head: Entry,
        before: Peaks,
        spine: Spine,
        chain: &[Entry],
    ) -> Result<Self, Invalid> {
        if before.size() != head.index() {
            return Err(Invalid::Index { expected: before.size() });
        }
        if before.root() != head.header().history {
            return Err(Invalid::History);
        }
        let [older @ .., newest] = spine.entries() else { return Err(Invalid::Link("jp")) };
        let jump = head.header().links.map(|links| links.jump);
        if *newest != (head.index(), head.id()) || older.last().map(|(_, id)| *id) != jump {
            return Err(Invalid::Link("jp"));
        }
        let authority = match head.header().links {
            None => Authority::begin(&head)?,
            Some(_) => Authority::replay(head.ledger(), chain)?.admit(&head)?,
        };
        let mut peaks = before;
        peaks.push(head.leaf());
        Ok(Self { head, peaks, spine, authority })
    }

    /// The end of a stored branch, of which it reads as many entries and nodes as the logarithm of
    /// its length, and the control entries. None when the archive lacks one, or when they do not
    /// belong together.
    pub fn from_archive(branch: &(impl Archive + ?Sized)) -> Option<Self> {
        let head = branch.entry(branch.len().checked_sub(1)?)?;
        let mut spine = Vec::new();
        let mut jump = None;
        for index in jump::spine(head.index()) {
            let entry = branch.entry(index)?;
            if entry.index() != index || entry.header().links.map(|links| links.jump) != jump {
                return None;
            }
            jump = Some(entry.id());
            spine.push((index, entry.id()));
        }
        let spine = Spine::from_parts(spine)?;
        let before = prove::peaks(branch, head.index())?;
        let chain = chain_before(branch, &head)?;
        Self::restore(head, before, spine, &chain).ok()
    }

    /// Appends an entry, if it is valid here; else nothing changes.
    pub fn extend(&mut self, entry: Entry) -> Result<(), Invalid> {
        self.authority = self.check(&entry)?;
        self.peaks.push(entry.leaf());
        self.spine.push(entry.id());
        self.head = entry;
        Ok(())
    }

    /// The authority after that entry, if it is the next one.
    fn check(&self, entry: &Entry) -> Result<Authority, Invalid> {
        let header = entry.header();
        if self.head.kind() == EntryKind::Tombstone {
            return Err(Invalid::Ended);
        }
        if entry.index() != self.peaks.size() {
            return Err(Invalid::Index { expected: self.peaks.size() });
        }
        let authority = self.authority.admit(entry)?;
        let links = header.links.ok_or(Invalid::Link("pv"))?;
        let holds = [
            (links.previous == self.head.id(), Invalid::Link("pv")),
            (Some(links.jump) == self.spine.next(), Invalid::Link("jp")),
            (links.control == self.authority.control(), Invalid::Link("ct")),
            (header.history == self.peaks.root(), Invalid::History),
            (header.time_ms >= self.head.header().time_ms, Invalid::Time),
        ];
        match holds.into_iter().find(|(holds, _)| !holds) {
            Some((_, why)) => Err(why),
            None => Ok(authority),
        }
    }

    /// The next entry as that writer would make it, at that time or at the newest entry's, whichever
    /// is later. A recovery is drafted with the first key that it reveals.
    pub fn draft(&self, body: Body, writer: &PublicKey, time_ms: u64) -> Result<Draft, DraftError> {
        let (epoch, signer) = match &body {
            Body::Genesis(_) => return Err(DraftError::Genesis),
            Body::Recover(_) => (Epoch::new(self.authority.epoch().as_u64() + 1)?, 0),
            _ => (self.authority.epoch(), self.signer(&body, writer)?),
        };
        if self.head.kind() == EntryKind::Tombstone {
            return Err(DraftError::Ended);
        }
        let header = Header {
            ledger: self.authority.ledger(),
            position: Position { epoch, index: Index::new(self.peaks.size())? },
            time_ms: time_ms.max(self.head.header().time_ms).min(TIME_MS_MAX),
            links: Some(Links {
                previous: self.head.id(),
                jump: self.spine.next().expect("there is an entry"),
                control: self.authority.control(),
            }),
            history: self.peaks.root(),
            signer,
        };
        Ok(Draft { header, body })
    }

    fn signer(&self, body: &Body, writer: &PublicKey) -> Result<u8, DraftError> {
        let position = self.authority.writers().iter().position(|key| key == writer);
        let position = position.ok_or(DraftError::NotAWriter)?;
        if body.kind() != EntryKind::Writers && *writer != self.authority.active() {
            return Err(DraftError::NotActive);
        }
        Ok(position as u8)
    }

    /// The newest entry.
    pub fn head(&self) -> &Entry {
        &self.head
    }

    /// The mountain range over all entries, the newest included.
    pub fn peaks(&self) -> &Peaks {
        &self.peaks
    }

    /// The entries that the next jump links may name.
    pub fn spine(&self) -> &Spine {
        &self.spine
    }

    /// Who may sign the next entry.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }
}

/// Why an entry is not the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// Another index: a gap, or a place that is taken.
    #[error("index {expected} is next")]
    Index {
        /// The index that is next.
        expected: u64,
    },
    /// A tombstone ended the ledger.
    #[error("the ledger was ended by a tombstone")]
    Ended,
    /// A link to another entry than the rules say.
    #[error("link `{0}` names another entry than it must")]
    Link(&'static str),
    /// Its root is not the root over the entries before it.
    #[error("its history root is not that of the entries before it")]
    History,
    /// It claims an earlier time than the entry before it.
    #[error("its time is before that of the entry before it")]
    Time,
    /// Whoever signed it may not.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

/// Why no next entry can be made; its maker can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DraftError {
    /// A genesis stands only at the beginning.
    #[error("the ledger has begun already")]
    Genesis,
    /// A tombstone ended the ledger.
    #[error("the ledger was ended by a tombstone")]
    Ended,
    /// The key is not one of the writers.
    #[error("this key is not one of the ledger's writers")]
    NotAWriter,
    /// The key is a writer's, and another one has got the baton.
    #[error("another writer is the active one; take over with a writers entry first")]
    NotActive,
    /// There is no next position.
    #[error(transparent)]
    Position(#[from] PositionError),
}

#[cfg(test)]
mod tests;
