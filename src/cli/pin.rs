//! `shoal pin`: what is kept and served for good.
//!
//! What is printed is the CID that was pinned, unpinned or listed, as the first word of a line, so
//! that it can be given back to `pin rm`. Several targets are several requests; the first that fails
//! ends the verb.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

use clap::{Args, Subcommand};

use super::{
    context::Context,
    converse::{Ask, Console, Exchange},
    json::{Details, Line},
    report::{End, Report, unexpected},
};
use crate::control::{
    client::Answer,
    protocol::{Outcome, Request, Response},
};

/// Keep and serve what a CID or name holds, or stop to
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct PinArgs {
    #[command(subcommand)]
    verb: PinVerb,
}

#[derive(Debug, Subcommand)]
enum PinVerb {
    Add(PinAddArgs),
    Rm(PinRemoveArgs),
    Ls(PinListArgs),
}

/// Pin CIDs or names, fetching what is missing, and print the CIDs
#[derive(Debug, Args)]
struct PinAddArgs {
    /// What to keep, with everything below it; of a name what it stands for now
    #[arg(required = true, value_name = "CID|NAME[/PATH]")]
    targets: Vec<OsString>,
}

/// Remove pins and print their CIDs
///
/// The content is no longer kept, announced or served on their account.
#[derive(Debug, Args)]
struct PinRemoveArgs {
    /// Pins as `shoal pin ls` shows them
    #[arg(required = true, value_name = "CID")]
    targets: Vec<OsString>,
}

/// List pins: the CID, then `local` if it is neither announced nor served
#[derive(Debug, Args)]
struct PinListArgs {}

/// Runs the verb.
pub(crate) async fn run(context: &mut Context, args: PinArgs) -> Result<Report, End> {
    let wait = context.wait;
    match args.verb {
        PinVerb::Add(args) => {
            let request = |target| Request::PinAdd { target, wait };
            each(context, args.targets, request).await
        }
        PinVerb::Rm(args) => {
            let request = |target| Request::PinRemove { target };
            each(context, args.targets, request).await
        }
        PinVerb::Ls(_) => list(context).await,
    }
}

/// One request for each target, until one fails.
async fn each(
    context: &mut Context,
    targets: Vec<OsString>,
    request: impl Fn(Vec<u8>) -> Request,
) -> Result<Report, End> {
    let mut pins = 0;
    for target in targets {
        let line = match context.ask(&mut Ask(request(target.into_vec()))).await? {
            Outcome::Pinned { cid } => Line::Pinned { cid },
            Outcome::Unpinned { cid } => Line::Unpinned { cid },
            other => return Err(unexpected(&other)),
        };
        print(&mut context.console, &line).await?;
        pins += 1;
    }
    Ok(Report::done(Details::Pins { pins }))
}

async fn print(console: &mut Console, line: &Line) -> Result<(), End> {
    let output = &mut console.output;
    match line {
        line if output.is_json() => output.object(line).await?,
        Line::Pinned { cid } | Line::Unpinned { cid } => output.line(cid.as_bytes()).await?,
        Line::Pin { cid, local: true } => output.line(format!("{cid} local").as_bytes()).await?,
        Line::Pin { cid, local: false } => output.line(cid.as_bytes()).await?,
        _ => {}
    }
    output.flush().await
}

async fn list(context: &mut Context) -> Result<Report, End> {
    let mut listing = PinListing { printed: 0, seen: 0 };
    match context.ask(&mut listing).await? {
        Outcome::Nothing => Ok(Report::done(Details::Pins { pins: listing.printed })),
        other => Err(unexpected(&other)),
    }
}

/// The exchange of `pin ls`; as in `ls`, what was printed is passed over.
#[derive(Debug)]
struct PinListing {
    printed: u64,
    seen: u64,
}

impl Exchange for PinListing {
    fn request(&self) -> Request {
        Request::PinList
    }

    fn restart(&mut self) {
        self.seen = 0;
    }

    async fn answer(&mut self, answer: Answer, console: &mut Console) -> Result<(), End> {
        let Answer::Response(Response::Pins(pins)) = answer else {
            return Err(unexpected(&answer));
        };
        for pin in &pins {
            self.seen += 1;
            if self.seen > self.printed {
                print(console, &Line::from(pin)).await?;
                self.printed += 1;
            }
        }
        Ok(())
    }
}
