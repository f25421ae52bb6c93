//! `shoal checkout`: a version of a name as files.
//!
//! Into a checkout that stands already only what differs is written. As with `get`, nothing is printed
//! on standard output unless `--json` is given: the data is at DIR. Entries whose names may not stand
//! on a disk are named and left out; then the exit code is 3. Of a forked name the version that is
//! not disputed is written and the exit code is 8, unless a version was asked for.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
};

use clap::Args;
use shoal_dag::name::escape;

use super::{
    add::absolute,
    context::Context,
    get::Writing,
    json::{Details, name::CheckedOut},
    progress::size,
    report::{End, Report, unexpected},
    standing,
};
use crate::{
    control::protocol::{Failure, Outcome, Request, name::NameRequest},
    exit::Exit,
};

/// Write a version of a name to a directory
///
/// Where an earlier checkout stands, only what differs is written and what is gone is removed. What was
/// edited there is not overwritten.
#[derive(Debug, Args)]
pub(crate) struct CheckoutArgs {
    /// The version: @N, @TIME such as @2026-01-31T12:00Z, or the newest
    #[arg(value_name = "NAME[@VERSION][/PATH]")]
    target: OsString,

    /// Directory to write
    #[arg(short, long, value_name = "DIR")]
    out: OsString,

    /// Overwrite what was edited there
    #[arg(long)]
    force: bool,
}

/// Runs the verb.
pub(crate) async fn run(context: &mut Context, args: CheckoutArgs) -> Result<Report, End> {
    if args.out == "-" {
        return Err(Failure::usage("DIR is a directory").into());
    }
    let out = absolute(&args.out)?;
    let target = args.target.into_vec();
    let settled = names_a_version(&target);
    let mut writing = Writing(Request::Name(NameRequest::Checkout {
        target,
        out: out.as_bytes().to_vec(),
        force: args.force,
        umask: context.umask,
        wait: context.wait,
    }));
    let Outcome::CheckedOut { resolved, written, removed, kept, bytes_received, refused } =
        context.ask(&mut writing).await?
    else {
        return Err(unexpected(&"checkout"));
    };
    let talk = &mut context.console.talk;
    talk.end();
    talk.note(&counts(&out, [written, removed, kept], bytes_received));
    let forked = standing::tell(talk, &resolved).filter(|_| !settled);
    let failure = left_out(refused.len()).or(forked);
    let resolved = (&*resolved).into();
    let left_out = refused;
    let details = CheckedOut { resolved, written, removed, kept, bytes_received, left_out };
    Ok(Report { details: Some(Details::CheckedOut(Box::new(details))), failure })
}

/// Whether a version was asked for: then a fork that comes after it takes nothing from it.
pub(super) fn names_a_version(target: &[u8]) -> bool {
    let name = target.strip_prefix(b"/ipns/").unwrap_or(target);
    name.split(|byte| *byte == b'/').next().is_some_and(|name| name.contains(&b'@'))
}

fn counts(out: &OsStr, [written, removed, kept]: [u64; 3], received: u64) -> String {
    let (out, received) = (escape(out.as_bytes()), size(received));
    format!("{out}: {written} written, {removed} removed, {kept} the same, {received} received")
}

/// DIR is whole but for entries that no disk may hold.
fn left_out(entries: usize) -> Option<Failure> {
    let text = match entries {
        0 => return None,
        1 => "1 entry was left out for its name".to_owned(),
        _ => format!("{entries} entries were left out for their names"),
    };
    Some(Failure::new(Exit::Partial, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_behind_the_name_and_not_in_the_path() {
        for target in ["notes@3", "notes@2026-01-31/a", "/ipns/k51q@3/a"] {
            assert!(names_a_version(target.as_bytes()), "{target}");
        }
        for target in ["notes", "notes/a@b", "/ipns/k51q/a@b", ""] {
            assert!(!names_a_version(target.as_bytes()), "{target}");
        }
    }

    #[test]
    fn what_was_done_is_counted() {
        let line = counts(OsStr::new("/o\n"), [5, 1, 20], 2048);
        assert_eq!(line, "/o\\x0a: 5 written, 1 removed, 20 the same, 2.0 KiB received");
        assert_eq!(left_out(0), None);
        assert_eq!(left_out(2).unwrap().exit, Exit::Partial);
    }
}
