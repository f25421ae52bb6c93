//! The index of a store that nobody has open: looked at, and made again from the data.
//!
//! Both need the store's lock, so a running peer has to end first. The node opens the store afterwards as
//! ever.

use shoal_store::{OpenError, Options, RebuildReport, Store};

use crate::{config::Settings, control::protocol::Failure, node::blocking};

/// How the index of a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It can be read, all of it.
    Sound,
    /// It cannot; what is wrong first, in words.
    Damaged(String),
    /// Somebody has the store open.
    InUse,
}

/// Reads all of the index of a store that nobody has open.
///
/// # Errors
/// The store cannot be opened for another reason.
pub async fn look(settings: &Settings) -> Result<State, Failure> {
    let dir = settings.dir.clone();
    let look = move || match Store::open(&dir, options()) {
        Ok(store) => match store.check_index() {
            Ok(faults) => Ok(faults.first().map_or(State::Sound, |fault| {
                State::Damaged(format!("{}: {}", fault.path.display(), fault.reason))
            })),
            Err(error) => Ok(State::Damaged(error.to_string())),
        },
        Err(error @ OpenError::Damaged { .. }) => Ok(State::Damaged(error.to_string())),
        Err(OpenError::InUse { .. }) => Ok(State::InUse),
        Err(error) => Err(Failure::open(&dir, error)),
    };
    blocking(look).await
}

/// Makes the index again from the data.
///
/// # Errors
/// Exit 11 when somebody has the store open; the store cannot be written.
pub async fn rebuild(settings: &Settings) -> Result<RebuildReport, Failure> {
    let dir = settings.dir.clone();
    let rebuild = move || {
        Store::rebuild(&dir, &options(), &mut |_| {}).map_err(|error| match error {
            OpenError::InUse { .. } => {
                Failure::open(&dir, error).hint("end that process first: it has the index open")
            }
            error => Failure::open(&dir, error),
        })
    };
    blocking(rebuild).await
}

fn options() -> Options {
    Options { command: "shoal verify".to_owned(), ..Options::default() }
}
