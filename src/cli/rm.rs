//! `shoal rm`: the opposite of `shoal add`.
//!
//! What is printed is the CID of each root that is not pinned any more, one a line. An argument that
//! reads as a CID is one; anything else is a path as it was given to `add` or `seed`, which need not
//! exist any more. Each argument is a request of its own: the rest is done whatever becomes of one, and
//! the first failure is the verb's.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
};

use clap::Args;

use super::{
    add::absolute,
    context::Context,
    converse::{Ask, Console},
    json::{Details, Line},
    report::{End, Report, unexpected},
};
use crate::control::protocol::{Failure, Outcome, Removed, Request, SeedItem};

/// Take back what was added: unpin it, and print the CIDs
///
/// A path is one as it was given to `shoal add` or `shoal seed`, and need not exist any more; every
/// version that was added from there is taken back, unless it was added from elsewhere too. The content
/// is no longer kept, announced or served on its account, and files that were added with --ref are
/// forgotten. Your own files are not touched. What another pin covers stays, and so does what a name
/// keeps.
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// What to take back; say ./NAME for a path that reads as a CID
    #[arg(required = true, value_name = "CID|PATH")]
    what: Vec<OsString>,
}

/// What came of all arguments.
#[derive(Debug, Default)]
struct Tally {
    unpinned: u64,
    kept: u64,
    references: u64,
    references_kept: u64,
}

/// Runs the verb.
pub(crate) async fn run(context: &mut Context, args: RmArgs) -> Result<Report, End> {
    let (mut tally, mut first) = (Tally::default(), None);
    for what in &args.what {
        match context.ask(&mut Ask(Request::Remove(item(what)?))).await {
            Ok(Outcome::Removed(removed)) => {
                tally.count(&removed);
                tell(&mut context.console, removed).await?;
            }
            Ok(other) => return Err(unexpected(&other)),
            Err(End::Failed(failure)) => {
                // The last words are about the first failure; a later one has its own now.
                if first.is_some() {
                    context.console.talk.failure(&failure);
                }
                first.get_or_insert(failure);
            }
            Err(end) => return Err(end),
        }
    }
    if tally.unpinned > 0 {
        context.console.talk.note("no space was freed yet; that is done by: shoal gc");
    }
    Ok(Report { details: Some(tally.into()), failure: first })
}

/// A CID, or a path that does not depend on the working directory.
fn item(typed: &OsStr) -> Result<SeedItem, Failure> {
    if shoal_dag::path::parse(typed.as_bytes()).is_ok() {
        return Ok(SeedItem::Root(typed.as_bytes().to_vec()));
    }
    Ok(SeedItem::Path(absolute(typed)?.into_vec()))
}

async fn tell(console: &mut Console, removed: Removed) -> Result<(), End> {
    for cid in removed.unpinned {
        if console.output.is_json() {
            console.output.object(&Line::Unpinned { cid }).await?;
        } else {
            console.output.line(cid.as_bytes()).await?;
        }
    }
    for (cid, why) in removed.kept {
        console.talk.note(&format!("{cid} stays: {why}"));
        if console.output.is_json() {
            console.output.object(&Line::Kept { cid, why }).await?;
        }
    }
    if removed.references > 0 {
        console.talk.note(&format!("{} are referred to no more", files(removed.references)));
    }
    if removed.references_kept > 0 {
        let files = files(removed.references_kept);
        console.talk.note(&format!("{files} stay referred to: another pin needs blocks of them"));
    }
    console.output.flush().await
}

fn files(count: u64) -> String {
    format!("{count} of your files")
}

impl Tally {
    const fn count(&mut self, removed: &Removed) {
        self.unpinned += removed.unpinned.len() as u64;
        self.kept += removed.kept.len() as u64;
        self.references += removed.references;
        self.references_kept += removed.references_kept;
    }
}

impl From<Tally> for Details {
    fn from(tally: Tally) -> Self {
        let Tally { unpinned, kept, references, references_kept } = tally;
        Self::Removed { unpinned, kept, references, references_kept }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_as_a_cid_is_one_and_the_rest_a_path() {
        let cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
        assert_eq!(item(OsStr::new(cid)).unwrap(), SeedItem::Root(cid.as_bytes().to_vec()));
        let path = format!("./{cid}");
        assert!(
            matches!(item(OsStr::new(&path)).unwrap(), SeedItem::Path(path) if path[0] == b'/')
        );
        assert_eq!(item(OsStr::new("/gone")).unwrap(), SeedItem::Path(b"/gone".to_vec()));
    }
}
