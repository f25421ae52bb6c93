//! The kinds of entry, with the codes that stand for them in an entry.
//!
//! The codes are a format: they are never reused and never renumbered. A reader refuses a code that
//! it does not know, since an entry that it cannot judge may change who is allowed to sign.

/// What an entry does to its ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EntryKind {
    /// Code 0: the first entry of epoch 0; sets the writers and commits to the recovery keys.
    Genesis,
    /// Code 1: a new content root. The only kind that makes a content version.
    Update,
    /// Code 2: replaces the set of writers, or hands over between them.
    Writers,
    /// Code 3: opens the next epoch on the last good entry, signed by recovery keys.
    Recover,
    /// Code 4: a proof from outside (witness, timestamp) about the root of earlier entries.
    Anchor,
    /// Code 5: joins the heads of several writers' ledgers into one view.
    Merge,
    /// Code 6: ends the ledger; nothing after it is valid. What was published stays provable.
    Tombstone,
}

impl EntryKind {
    /// Every kind, in the order of its code.
    pub const ALL: [Self; 7] = [
        Self::Genesis,
        Self::Update,
        Self::Writers,
        Self::Recover,
        Self::Anchor,
        Self::Merge,
        Self::Tombstone,
    ];

    /// The number that stands for this kind in an entry (`kd`).
    pub const fn code(self) -> u64 {
        match self {
            Self::Genesis => 0,
            Self::Update => 1,
            Self::Writers => 2,
            Self::Recover => 3,
            Self::Anchor => 4,
            Self::Merge => 5,
            Self::Tombstone => 6,
        }
    }

    /// The kind of a code read from an entry.
    pub fn from_code(code: u64) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.code() == code).ok_or(UnknownKind(code))
    }

    /// Whether it can change who may sign. Readers replay these and no others, so the authority of
    /// an entry costs as many steps as there were changes of keys.
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Genesis | Self::Writers | Self::Recover)
    }
}

/// A code that this version does not know: the entry is refused, and a newer program may read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind of ledger entry: {0}")]
pub struct UnknownKind(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_count_up_from_zero_and_come_back() {
        for (code, kind) in (0..).zip(EntryKind::ALL) {
            assert_eq!(kind.code(), code, "{kind:?}");
            assert_eq!(EntryKind::from_code(code), Ok(kind));
        }
    }

    #[test]
    fn unknown_codes_are_refused() {
        for code in [7, 255, 256, u64::MAX] {
            assert_eq!(EntryKind::from_code(code), Err(UnknownKind(code)));
        }
    }

    #[test]
    fn control_kinds_are_those_that_change_keys() {
        let control: Vec<u64> = EntryKind::ALL
            .into_iter()
            .filter(|kind| kind.is_control())
            .map(EntryKind::code)
            .collect();
        assert_eq!(control, [0, 2, 3]);
    }
}
