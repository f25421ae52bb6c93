//! Which error number, and which log level, each failure becomes.
//!
//! One exhaustive match per error type, so that a new variant cannot be forgotten. Programs act on
//! what they see: `ENOENT` is said only of a name proven absent, whatever could not be fetched in
//! time or is corrupt is `EIO` (`ETIMEDOUT` confuses tools), every attempt to write is `EROFS`.
//!
//! Levels: what a peer or the network does is `debug`, corrupt data and a failing node are `warn`.

use tracing::Level;

use crate::tree::TreeError;

/// Why a request to the mount fails.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum FsError {
    /// The tree could not answer.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The kernel named an inode or handle that was never given out or is forgotten.
    #[error("no such inode or handle")]
    Stale,
    /// The mount is read-only.
    #[error("the mount is read-only")]
    ReadOnly,
    /// A name longer than 255 bytes.
    #[error("the name is too long")]
    NameTooLong,
    /// There is no such extended attribute.
    #[error("no such attribute")]
    NoAttribute,
    /// Attributes of this namespace are not kept; programs stop asking.
    #[error("attributes of this namespace are not supported")]
    NotSupported,
    /// The caller's buffer for an attribute is too small.
    #[error("the buffer is too small")]
    Range,
    /// More directories are open than the mount keeps track of.
    #[error("too many open directories")]
    TooManyOpen,
    /// Too many requests wait, or the guard of this one has passed.
    #[error("the request could not be served in time")]
    Overdue,
    /// The request ran into a bug.
    #[error("the request panicked")]
    Panicked,
    /// Reading the local file behind an inode failed.
    #[error("failed to read a local file: {0}")]
    LocalFile(std::io::ErrorKind),
}

/// The error number a caller sees.
pub(crate) fn errno(error: &FsError) -> i32 {
    match error {
        FsError::Tree(error) => tree(error).0,
        FsError::Stale => libc::ESTALE,
        FsError::ReadOnly => libc::EROFS,
        FsError::NameTooLong => libc::ENAMETOOLONG,
        FsError::NoAttribute => libc::ENODATA,
        FsError::NotSupported => libc::EOPNOTSUPP,
        FsError::Range => libc::ERANGE,
        FsError::TooManyOpen => libc::ENFILE,
        FsError::Overdue | FsError::Panicked | FsError::LocalFile(_) => libc::EIO,
    }
}

/// How loudly a failure is logged.
pub(crate) fn level(error: &FsError) -> Level {
    match error {
        FsError::Tree(error) => tree(error).1,
        FsError::Stale | FsError::Overdue | FsError::TooManyOpen | FsError::LocalFile(_) => {
            Level::WARN
        }
        FsError::Panicked => Level::ERROR,
        FsError::ReadOnly
        | FsError::NameTooLong
        | FsError::NoAttribute
        | FsError::NotSupported
        | FsError::Range => Level::TRACE,
    }
}

/// The table of README: error number and level of everything a tree can say.
fn tree(error: &TreeError) -> (i32, Level) {
    match error {
        TreeError::NotFound => (libc::ENOENT, Level::TRACE),
        TreeError::Unreachable { .. } | TreeError::TimedOut => (libc::EIO, Level::DEBUG),
        TreeError::Corrupt { .. } => (libc::EIO, Level::WARN),
        TreeError::Unsupported { .. } => (libc::EOPNOTSUPP, Level::DEBUG),
        TreeError::NotDirectory => (libc::ENOTDIR, Level::TRACE),
        TreeError::IsDirectory => (libc::EISDIR, Level::TRACE),
        TreeError::NotSymlink => (libc::EINVAL, Level::TRACE),
        TreeError::Full => (libc::ENOSPC, Level::WARN),
        TreeError::Refused => (libc::EACCES, Level::DEBUG),
        TreeError::NodeGone => (libc::EIO, Level::DEBUG),
        TreeError::Failed { .. } => (libc::EIO, Level::WARN),
    }
}

/// Logs a failure of `request` on inode `ino` at its level.
pub(crate) fn report(error: &FsError, request: &'static str, ino: u64) {
    match level(error) {
        Level::ERROR => tracing::error!(request, ino, %error, "request failed"),
        Level::WARN => tracing::warn!(request, ino, %error, "request failed"),
        Level::INFO => tracing::info!(request, ino, %error, "request failed"),
        Level::DEBUG => tracing::debug!(request, ino, %error, "request failed"),
        Level::TRACE => tracing::trace!(request, ino, %error, "request failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absence_is_said_only_of_what_is_proven_absent() {
        let text = String::new;
        let table = [
            (TreeError::NotFound, libc::ENOENT),
            (TreeError::Unreachable { detail: text() }, libc::EIO),
            (TreeError::TimedOut, libc::EIO),
            (TreeError::Corrupt { detail: text() }, libc::EIO),
            (TreeError::Unsupported { detail: text() }, libc::EOPNOTSUPP),
            (TreeError::NotDirectory, libc::ENOTDIR),
            (TreeError::IsDirectory, libc::EISDIR),
            (TreeError::NotSymlink, libc::EINVAL),
            (TreeError::Full, libc::ENOSPC),
            (TreeError::Refused, libc::EACCES),
            (TreeError::NodeGone, libc::EIO),
            (TreeError::Failed { detail: text() }, libc::EIO),
        ];
        for (error, number) in table {
            assert_eq!(errno(&FsError::Tree(error.clone())), number, "{error:?}");
        }
    }

    #[test]
    fn peers_cannot_flood_the_log() {
        for error in [TreeError::TimedOut, TreeError::Unreachable { detail: String::new() }] {
            assert_eq!(level(&FsError::Tree(error)), Level::DEBUG);
        }
        assert_eq!(level(&FsError::Panicked), Level::ERROR);
    }

    #[test]
    fn the_rest_of_the_table() {
        let table = [
            (FsError::Stale, libc::ESTALE),
            (FsError::ReadOnly, libc::EROFS),
            (FsError::NameTooLong, libc::ENAMETOOLONG),
            (FsError::NoAttribute, libc::ENODATA),
            (FsError::NotSupported, libc::EOPNOTSUPP),
            (FsError::Range, libc::ERANGE),
            (FsError::TooManyOpen, libc::ENFILE),
            (FsError::Overdue, libc::EIO),
            (FsError::Panicked, libc::EIO),
            (FsError::LocalFile(std::io::ErrorKind::Other), libc::EIO),
        ];
        for (error, number) in table {
            assert_eq!(errno(&error), number, "{error:?}");
        }
    }
}
