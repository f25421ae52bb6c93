//! How the errors of the parts become failures that a user can act on.
//!
//! A [`Failure`] is born where it is first understood: it carries its exit code, one sentence that
//! says what happened to what, and a hint. The packages' error types say who can mend them; here that
//! becomes an exit code. A client that has gone needs no words: [`Failure::client_gone`].

use std::{fmt::Display, io, path::Path};

use shoal_dag::Cid;
use shoal_store::{OpenError, ReadError, WriteError};

use crate::{
    control::{client::ClientError, protocol::Failure, server::ClientGone},
    exit::Exit,
};

impl Failure {
    /// A failure with an exit code and a sentence.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    /// The same with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A wrong argument.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The general failure.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// An I/O error on a path of the user.
    pub fn io(what: &str, path: &Path, error: &io::Error) -> Self {
        let exit = match error.kind() {
            io::ErrorKind::PermissionDenied => Exit::NotAllowed,
            _ => Exit::Failed,
        };
        Self::new(exit, format!("cannot {what} {}: {error}", path.display()))
    }

    /// The client closed its end: nobody reads this.
    pub fn client_gone() -> Self {
        Self::new(Exit::Interrupted, "interrupted")
    }

    /// A block under `cid` is not what it should be: a fault of the DAG, not of a copy.
    pub fn bad_dag(cid: &Cid, error: impl Display) -> Self {
        Self::failed(format!("{cid} is not what Shoal can read: {error}"))
    }

    /// The store could not be opened.
    pub fn open(dir: &Path, error: OpenError) -> Self {
        if let OpenError::Io { path, source } = &error
            && path == dir
        {
            return Self::of_disk(
                &format!("cannot open the store {}: {source}", dir.display()),
                source,
            );
        }
        let text = format!("cannot open the store {}: {error}", dir.display());
        match error {
            OpenError::InUse { .. } => Self::new(Exit::InUse, text)
                .hint("end that process, or use another store with --dir"),
            OpenError::NewerFormat { .. } => {
                Self::new(Exit::Failed, text).hint("use the newer Shoal that wrote it")
            }
            OpenError::Damaged { .. } => Self::new(Exit::Failed, text)
                .hint("make the index again from the data with: shoal verify --rebuild-index"),
            OpenError::Io { source, .. } => Self::of_disk(&text, &source),
            _ => Self::new(Exit::Failed, text),
        }
    }

    /// What the operating system refused the store.
    fn of_disk(text: &str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => {
                Self::new(Exit::NotAllowed, text).hint("use a store of your own with --dir")
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::failed(text).hint("make room; nothing that was acknowledged is lost")
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                Self::failed(text).hint("use a store elsewhere with --dir")
            }
            _ => Self::failed(text),
        }
    }
}

impl From<ClientGone> for Failure {
    fn from(_: ClientGone) -> Self {
        Self::client_gone()
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let text = error.to_string();
        match error {
            ReadError::Corrupt { .. } => Self::new(Exit::Corrupt, text)
                .hint("nothing wrong was passed on; fetch it again from a peer that has it"),
            ReadError::Changed { gone: false, .. } => Self::new(Exit::Corrupt, text)
                .hint("add the file again to publish what it holds now"),
            ReadError::Changed { gone: true, .. } => Self::new(Exit::Corrupt, text)
                .hint("put the file back, or fetch it again from a peer that has it"),
            ReadError::Io { source, .. } => Self::of_disk(&text, &source),
            _ => Self::failed(text),
        }
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        let text = error.to_string();
        match error {
            WriteError::Full { .. } => {
                Self::failed(text).hint("make room; nothing that was acknowledged is lost")
            }
            WriteError::Poisoned => {
                Self::failed(text).hint("the disk refused a sync; start again and check it")
            }
            WriteError::Io { source, .. } => Self::of_disk(&text, &source),
            _ => Self::failed(text),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Gone(_) => Self::new(Exit::TryAgain, error.to_string()),
            ClientError::Version { .. } => Self::failed(error.to_string())
                .hint("end the running peer, or use the version that it is of"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_cannot_be_opened_is_told_with_its_cause() {
        let dir = Path::new("/s");
        let of = |path: &str, errno| {
            let source = io::Error::from(errno);
            Failure::open(dir, OpenError::Io { path: path.into(), source })
        };
        for (path, errno, exit, says) in [
            ("/s", rustix::io::Errno::ACCESS, Exit::NotAllowed, "/s: Permission denied"),
            ("/s/lock", rustix::io::Errno::ACCESS, Exit::NotAllowed, "/s/lock: Permission denied"),
            ("/s/index.redb", rustix::io::Errno::NOSPC, Exit::Failed, "index.redb: No space left"),
        ] {
            let failure = of(path, errno);
            assert_eq!(failure.exit, exit);
            assert!(failure.message.contains(says), "{}", failure.message);
            assert_eq!(failure.message.matches("/s").count(), if path == "/s" { 1 } else { 2 });
            assert!(failure.hint.is_some());
        }
    }

    #[test]
    fn what_holds_a_store_is_named_or_called_unknown() {
        let held = |pid| OpenError::InUse { pid, command: "shoal seed".to_owned() };
        let message = |pid| Failure::open(Path::new("/s"), held(pid)).message;
        assert_eq!(message(7), "cannot open the store /s: it is in use by shoal seed (pid 7)");
        assert_eq!(message(0), "cannot open the store /s: it is in use by an unknown process");
    }
}
