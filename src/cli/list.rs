//! `shoal ls`: the entries of a directory.
//!
//! A line is the CID, the content's size (`-` for a directory, and when it is not known without
//! fetching) and the name; a directory's name ends in a slash. Names are raw bytes where a program
//! reads them and escaped on a terminal, where the columns are aligned too.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

use clap::Args;
use shoal_dag::name::escape;

use super::{
    context::Context,
    converse::{Console, Exchange},
    json::{self, Details, Line},
    report::{End, Report, unexpected},
};
use crate::control::{
    client::Answer,
    protocol::{Kind, Listed, Outcome, Request, Response, Target, Wait},
};

/// Width of sizes on a terminal: up to 100 GB without breaking the column.
const SIZE_WIDTH: usize = 12;

/// List a directory
///
/// A line for each entry: its CID, its size in bytes (`-` for a directory, and when it would have to be
/// fetched) and its name, with a slash after a directory's.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// The directory, by its CID or name; a file lists itself
    #[arg(value_name = "CID|NAME[/PATH]")]
    target: OsString,
}

/// Runs the verb.
pub(crate) async fn run(context: &mut Context, args: ListArgs) -> Result<Report, End> {
    let target = args.target.into_vec();
    let mut listing = Listing { target, wait: context.wait, printed: 0, seen: 0 };
    let outcome = context.ask(&mut listing).await?;
    let Outcome::Listed { described, .. } = outcome else {
        return Err(unexpected(&outcome));
    };
    context.console.output.flush().await?;
    Ok(Report::done(Details::Listed {
        cid: described.cid,
        kind: json::kind(described.kind),
        entries: listing.printed,
    }))
}

/// The exchange: a second node lists from the beginning, and what was printed is passed over.
#[derive(Debug)]
struct Listing {
    target: Target,
    wait: Wait,
    printed: u64,
    seen: u64,
}

impl Exchange for Listing {
    fn request(&self) -> Request {
        Request::List { target: self.target.clone(), wait: self.wait }
    }

    fn restart(&mut self) {
        self.seen = 0;
    }

    async fn answer(&mut self, answer: Answer, console: &mut Console) -> Result<(), End> {
        let Answer::Response(Response::Listed(entries)) = answer else {
            return Err(unexpected(&answer));
        };
        for mut entry in entries {
            self.seen += 1;
            if self.seen <= self.printed {
                continue;
            }
            if entry.name.is_empty() {
                entry.name = own_name(&self.target);
            }
            if console.output.is_json() {
                console.output.object(&Line::from(&entry)).await?;
            } else {
                let terminal = console.output.is_terminal();
                console.output.line(&line(&entry, terminal)).await?;
            }
            self.printed += 1;
        }
        console.output.flush().await
    }
}

/// The name of a file that lists itself: the last part of what was typed.
fn own_name(target: &[u8]) -> Vec<u8> {
    let mut parts = target.rsplit(|byte| *byte == b'/');
    parts.find(|part| !part.is_empty()).unwrap_or_default().to_vec()
}

fn line(entry: &Listed, terminal: bool) -> Vec<u8> {
    let size = entry.size.filter(|_| entry.kind != Some(Kind::Directory));
    let size = size.map_or_else(|| "-".to_owned(), |size| size.to_string());
    let width = if terminal { SIZE_WIDTH } else { 0 };
    let mut line = format!("{} {size:>width$} ", entry.cid).into_bytes();
    if terminal {
        line.extend_from_slice(escape(&entry.name).as_bytes());
    } else {
        line.extend_from_slice(&entry.name);
    }
    if entry.kind == Some(Kind::Directory) {
        line.push(b'/');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::Meta;

    fn entry(name: &[u8], kind: Option<Kind>, size: Option<u64>) -> Listed {
        let (name, cid) = (name.to_vec(), "bafk".to_owned());
        Listed { name, cid, kind, size, dag_size: 9, meta: Meta::default() }
    }

    #[test]
    fn a_program_gets_raw_names_and_a_person_harmless_ones() {
        let strange = entry(b"a\x1b[31m\xff", Some(Kind::File), Some(5));
        assert_eq!(line(&strange, false), b"bafk 5 a\x1b[31m\xff");
        assert_eq!(line(&strange, true), b"bafk            5 a\\x1b[31m\\xff");
    }

    #[test]
    fn directories_end_in_a_slash_and_unknown_sizes_are_dashes() {
        assert_eq!(line(&entry(b"d", Some(Kind::Directory), Some(0)), false), b"bafk - d/");
        assert_eq!(line(&entry(b"x", None, None), false), b"bafk - x");
    }

    #[test]
    fn a_file_lists_itself_by_what_was_typed() {
        assert_eq!(own_name(b"bafk/a/b/"), b"b");
        assert_eq!(own_name(b"bafk"), b"bafk");
    }
}
