//! How a verb ends: what it reports, and what stops it early.
//!
//! A [`Report`] may carry details and a failure at once: a part of the sources was added, a part was
//! left out. A reader of standard output that goes away ([`End::PipeClosed`]) is no failure.

use super::json::Details;
use crate::{control::protocol::Failure, exit::Exit};

/// What a verb that ran to its end has to tell.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Fields of the outcome, for `--json`.
    pub(crate) details: Option<Details>,
    /// What went wrong in spite of that.
    pub(crate) failure: Option<Failure>,
}

impl Report {
    /// All went well.
    pub(crate) const fn done(details: Details) -> Self {
        Self { details: Some(details), failure: None }
    }

    /// All went well and there is nothing to tell.
    pub(crate) const fn nothing() -> Self {
        Self { details: None, failure: None }
    }

    /// Nothing but a failure.
    pub(crate) const fn failed(failure: Failure) -> Self {
        Self { details: None, failure: Some(failure) }
    }

    /// The code that the process ends with.
    pub(crate) fn exit(&self) -> Exit {
        self.failure.as_ref().map_or(Exit::Done, |failure| failure.exit)
    }
}

/// What stops a verb.
#[derive(Debug)]
pub(crate) enum End {
    /// It failed.
    Failed(Failure),
    /// Nobody reads standard output any more, as in `shoal cat X | head`: it ends quietly.
    PipeClosed,
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// The node answered a request with the outcome of another one.
pub(crate) fn unexpected(outcome: &impl std::fmt::Debug) -> End {
    tracing::debug!(?outcome, "unexpected answer");
    Failure::failed("the node gave an answer that does not belong to the question").into()
}
