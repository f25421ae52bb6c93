//! Where an entry stands in its ledger, and which content version a reader means.
//!
//! A position is (epoch, index). The index counts entries from 0 without gaps; the epoch grows by
//! one with each recovery, and a higher epoch supersedes whatever a lower one says. Positions have
//! a total order, and that order is also the order of IPNS sequence numbers, so a reader that knows
//! only IPNS agrees with ours about which record is newer.
//!
//! Content versions (`NAME@n`) count updates from 1 and are another number: entries that only
//! change keys have a position and no version.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

/// Bits of an IPNS sequence number that hold the index.
const INDEX_BITS: u32 = 40;

/// The last epoch: sequence numbers stay below 2^63, because kubo reads them as signed.
pub const EPOCH_MAX: u64 = (1 << (63 - INDEX_BITS)) - 1;

/// The last index of an epoch: one less than fits 40 bits, because sequence numbers count from 1.
pub const INDEX_MAX: u64 = (1 << INDEX_BITS) - 2;

/// Counts the recoveries of a ledger, from 0.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

/// Counts the entries of a ledger, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(u64);

/// Counts the content versions of a name, from 1: the `n` of `NAME@n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub NonZeroU64);

impl Epoch {
    /// The epoch of that number, at most [`EPOCH_MAX`].
    pub const fn new(epoch: u64) -> Result<Self, PositionError> {
        if epoch > EPOCH_MAX { Err(PositionError::Epoch(epoch)) } else { Ok(Self(epoch)) }
    }

    /// The number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl Index {
    /// The index of that number, at most [`INDEX_MAX`].
    pub const fn new(index: u64) -> Result<Self, PositionError> {
        if index > INDEX_MAX { Err(PositionError::Index(index)) } else { Ok(Self(index)) }
    }

    /// The number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

/// The place of an entry: ordered by epoch, then by index. Printed and read as `#epoch.index`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Recoveries before this entry.
    pub epoch: Epoch,
    /// Entries before this one in the chain.
    pub index: Index,
}

impl Position {
    /// The IPNS sequence number of the record that carries this entry: never 0, never of 2^63 or
    /// more, and in the same order as positions.
    pub const fn sequence(self) -> u64 {
        (self.epoch.0 << INDEX_BITS) + self.index.0 + 1
    }

    /// The position that a sequence number stands for.
    pub const fn from_sequence(sequence: u64) -> Result<Self, PositionError> {
        let counted = sequence & ((1 << INDEX_BITS) - 1);
        let epoch = sequence >> INDEX_BITS;
        if counted == 0 || epoch > EPOCH_MAX {
            return Err(PositionError::Sequence(sequence));
        }
        Ok(Self { epoch: Epoch(epoch), index: Index(counted - 1) })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}.{}", self.epoch.0, self.index.0)
    }
}

impl FromStr for Position {
    type Err = PositionError;

    /// Reads exactly what `Display` prints: no sign, no leading zero, no space.
    fn from_str(text: &str) -> Result<Self, PositionError> {
        let parts = text.strip_prefix('#').and_then(|rest| rest.split_once('.'));
        let (epoch, index) = parts.ok_or(PositionError::Text)?;
        Ok(Self { epoch: Epoch::new(decimal(epoch)?)?, index: Index::new(decimal(index)?)? })
    }
}

/// A number in its one spelling.
fn decimal(text: &str) -> Result<u64, PositionError> {
    let number: u64 = text.parse().map_err(|_| PositionError::Text)?;
    if number.to_string() == text { Ok(number) } else { Err(PositionError::Text) }
}

/// Why something is no position in a ledger; whoever gave it must give another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PositionError {
    /// An epoch above [`EPOCH_MAX`].
    #[error("epoch {0} is above the last one, {EPOCH_MAX}")]
    Epoch(u64),
    /// An index above [`INDEX_MAX`].
    #[error("index {0} is above the last one, {INDEX_MAX}")]
    Index(u64),
    /// A sequence number that no position has.
    #[error("sequence number {0} belongs to no entry")]
    Sequence(u64),
    /// Text of another form.
    #[error("a position is written #epoch.index")]
    Text,
}

#[cfg(test)]
mod tests;
