//! Exit codes, as a documented closed set.
//!
//! Scripts rely on these numbers: they are part of the interface, printed by `shoal --help` and
//! tested by the binary's tests. A failure is born with its code where it is first understood, in
//! the node, and travels with it to the process that prints it. Two numbers that design and tests
//! name but that no verb of this version returns are kept here, so that nobody reuses them.

use serde::{Deserialize, Serialize};

/// What a `shoal` process ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for was done.
    Done = 0,
    /// It failed; the message says what, to what, and what to do next.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Part of the sources could not be read; the rest was done.
    Partial = 3,
    /// Nobody provided it in time.
    NotFound = 4,
    /// A passing condition; the same command may work later.
    TryAgain = 5,
    /// Bytes did not match their CID.
    Corrupt = 6,
    /// The name is forked.
    Forked = 8,
    /// No running peer.
    NoPeer = 10,
    /// The store is in use by a process that does not answer.
    InUse = 11,
    /// Not allowed.
    NotAllowed = 12,
    /// Interrupted.
    Interrupted = 130,
}

impl Exit {
    /// Every code with the words that the help prints, in numeric order.
    pub const ALL: [(Self, &'static str); 12] = [
        (Self::Done, "done"),
        (Self::Failed, "failed"),
        (Self::Usage, "usage"),
        (Self::Partial, "part of the sources could not be read"),
        (Self::NotFound, "not found: nobody provided it in time"),
        (Self::TryAgain, "try again"),
        (Self::Corrupt, "verification failed"),
        (Self::Forked, "the name is forked"),
        (Self::NoPeer, "no running peer"),
        (Self::InUse, "the store is in use by a process that does not answer"),
        (Self::NotAllowed, "not allowed"),
        (Self::Interrupted, "interrupted"),
    ];

    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_listed_once_and_in_order() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|(exit, _)| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 130]);
    }
}
