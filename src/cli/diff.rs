//! `shoal diff`: the paths at which two versions differ.
//!
//! Lines as name-status lists of version control have them: a letter and the path, escaped. The exit
//! code says nothing of whether anything differs.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

use clap::Args;
use shoal_dag::name::escape;

use super::{
    context::Context,
    json::{Details, Line},
    listing::{Item, Listing},
    report::{End, Report, unexpected},
};
use crate::control::protocol::{
    Outcome, Request, Response,
    name::{Change, ChangeLine, NameRequest},
};

/// List the paths at which two versions differ
///
/// A line for each: A (added), D (deleted), M (other content) or T (the same content with other
/// permissions or another time), and the path, which is `.` for the two themselves.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The earlier one: a version, or any CID or name
    #[arg(value_name = "NAME@A[/PATH]")]
    from: OsString,

    /// The later one
    #[arg(value_name = "NAME@B[/PATH]")]
    to: OsString,
}

/// Runs the verb.
pub(crate) async fn run(context: &mut Context, args: DiffArgs) -> Result<Report, End> {
    let (from, to, wait) = (args.from.into_vec(), args.to.into_vec(), context.wait);
    let request = Request::Name(NameRequest::Diff { from, to, wait });
    let outcome = context.ask(&mut Listing::<ChangeLine>::new(request)).await?;
    let Outcome::Compared { added, removed, changed } = outcome else {
        return Err(unexpected(&outcome));
    };
    Ok(Report::done(Details::Compared { added, removed, changed }))
}

impl Item for ChangeLine {
    fn batch(response: Response) -> Option<Vec<Self>> {
        match response {
            Response::Changes(changes) => Some(changes),
            _ => None,
        }
    }

    fn line(&self) -> String {
        let letter = match self.change {
            Change::Added => 'A',
            Change::Removed => 'D',
            Change::Changed => 'M',
            Change::Metadata => 'T',
        };
        let path = if self.path.is_empty() { ".".to_owned() } else { escape(&self.path) };
        format!("{letter} {path}")
    }

    fn object(&self) -> Line {
        Line::Change(self.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::Kind;

    #[test]
    fn a_change_is_a_letter_and_a_path() {
        let line = |change, path: &[u8]| {
            let (path, kind, from, to) = (path.to_vec(), Kind::File, None, None);
            ChangeLine { change, path, kind, from, to }.line()
        };
        assert_eq!(line(Change::Added, b"a b/c\n"), "A a b/c\\x0a");
        assert_eq!(line(Change::Removed, b"x"), "D x");
        assert_eq!(line(Change::Changed, b""), "M .");
        assert_eq!(line(Change::Metadata, b"\xff"), "T \\xff");
    }
}
