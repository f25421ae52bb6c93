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
        let text = format!("cannot open the store {}: {error}", dir.display());
        match error {
            OpenError::InUse { .. } => Self::new(Exit::InUse, text)
                .hint("end that process, or use another store with --dir"),
            OpenError::NewerFormat { .. } => {
                Self::new(Exit::Failed, text).hint("use the newer Shoal that wrote it")
            }
            OpenError::Damaged { .. } => Self::new(Exit::Failed, text)
                .hint("the blocks are in packs/ and blobs/; do not delete them"),
            _ => Self::new(Exit::Failed, text),
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
        match error {
            ReadError::Corrupt { .. } => Self::new(Exit::Corrupt, error.to_string())
                .hint("nothing wrong was passed on; fetch it again from a peer that has it"),
            ReadError::Changed { .. } => Self::new(Exit::Corrupt, error.to_string())
                .hint("add the file again to publish what it holds now"),
            _ => Self::failed(error.to_string()),
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
