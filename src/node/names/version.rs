//! Which entry of a name's history a person means, from what is stored of it.
//!
//! Content versions count updates from 1; an index over them is kept, so that none of this reads more than a
//! logarithm of the history. Where the name is forked, only what is common to both histories exists here
//! ([`shoal_ledger::Reader::serves`]).

use shoal_dag::Cid;
use shoal_ledger::{Body, Entry, chain::Archive};

use super::{
    book::{Book, BookError},
    spelling::Point,
    state::State,
};

/// A content version.
#[derive(Debug, Clone)]
pub struct Version {
    /// Counts from 1; none where only the head is known.
    pub number: Option<u64>,
    /// The update that brought it.
    pub entry: Entry,
    /// Its content.
    pub root: Cid,
}

impl Version {
    /// The version that an update brought.
    pub fn of(entry: Entry, number: Option<u64>) -> Option<Self> {
        let Body::Update(update) = entry.body() else { return None };
        let root = update.root_cid()?;
        Some(Self { number, entry, root })
    }
}

/// The newest version that may be served, from what is stored, or from the pinned head of a name of which nothing else is.
///
/// # Errors
/// The book.
pub fn newest(book: &Book, state: &State) -> Result<Option<Version>, BookError> {
    let Some(last) = state.reader.serves() else { return Ok(None) };
    if state.kept.len > last {
        return at_index(book, state, last);
    }
    let head = state.reader.pin().map(|pin| pin.head().clone());
    Ok(head.filter(|head| head.index() == last).and_then(|head| Version::of(head, None)))
}

/// The version that a person means, if it is stored.
///
/// # Errors
/// The book.
pub fn find(book: &Book, state: &State, point: Point) -> Result<Option<Version>, BookError> {
    let last = match state.reader.serves() {
        Some(last) if state.kept.len > 0 => last.min(state.kept.len - 1),
        _ => return if point == Point::Newest { newest(book, state) } else { Ok(None) },
    };
    match point {
        Point::Newest => newest(book, state),
        Point::Version(number) => {
            let index = book.index_of(state.name(), number)?;
            match index.filter(|index| *index <= last) {
                Some(index) => at_index(book, state, index),
                None => Ok(None),
            }
        }
        Point::Time(time_ms) => {
            let branch = book.branch(state);
            let damaged = || BookError::Damaged(state.name());
            let (mut not_after, mut after) = (0, last + 1);
            while not_after < after {
                let middle = not_after + (after - not_after) / 2;
                let entry = branch.entry(middle).ok_or_else(damaged)?;
                if entry.header().time_ms <= time_ms {
                    not_after = middle + 1;
                } else {
                    after = middle;
                }
            }
            not_after.checked_sub(1).map_or(Ok(None), |index| at_index(book, state, index))
        }
    }
}

/// The newest version at or before an index that is stored.
fn at_index(book: &Book, state: &State, index: u64) -> Result<Option<Version>, BookError> {
    let Some(number) = book.version_at(state, index)? else { return Ok(None) };
    let damaged = || BookError::Damaged(state.name());
    let index = book.index_of(state.name(), number)?.ok_or_else(damaged)?;
    let entry = book.branch(state).entry(index).ok_or_else(damaged)?;
    // A root that is no CID breaks no rule, and stands for nothing that anybody could fetch.
    Ok(Version::of(entry, Some(number)))
}
