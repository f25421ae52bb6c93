//! `shoal pin`: what is kept and served for good.
//!
//! What is printed is the CID that was pinned, unpinned or listed, as the first word of a line, so
//! that it can be given back to `pin rm`. Several targets are several requests; the first that fails
//! ends the verb.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

use clap::{Args, Subcommand, ValueEnum};
use shoal_dag::name::escape;
use shoal_store::PIN_NAME_BYTES_MAX;

use super::{
    context::Context,
    converse::{Ask, Console, Exchange},
    json::{Details, Line},
    report::{End, Report, unexpected},
};
use crate::control::{
    client::Answer,
    protocol::{Outcome, PinFilter, Request, Response},
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

    /// Keep the block alone, and nothing below it
    #[arg(long)]
    direct: bool,

    /// What to call the pins: a remark of at most 255 bytes, which need not be unique
    #[arg(long = "name", value_name = "TEXT", value_parser = pin_name)]
    called: Option<String>,
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

/// List pins: the CID, what kind of pin it is, and its name
///
/// After the CID stands `direct` for a pin of one block, and `local` for one that is neither announced nor
/// served.
#[derive(Debug, Args)]
struct PinListArgs {
    /// Only pins of this kind
    #[arg(long = "type", value_name = "TYPE", value_enum, default_value_t = PinKind::All)]
    kind: PinKind,

    /// Only pins that are called so
    #[arg(long = "name", value_name = "TEXT")]
    called: Option<String>,
}

/// Kinds of pins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PinKind {
    All,
    Recursive,
    Direct,
}

/// Reads a name, which must fit.
fn pin_name(text: &str) -> Result<String, String> {
    match text.len() {
        1..=PIN_NAME_BYTES_MAX => Ok(text.to_owned()),
        found => Err(format!("a name has 1 to {PIN_NAME_BYTES_MAX} bytes, and this one {found}")),
    }
}

/// Runs the verb.
pub(crate) async fn run(context: &mut Context, args: PinArgs) -> Result<Report, End> {
    let wait = context.wait;
    match args.verb {
        PinVerb::Add(args) => {
            let PinAddArgs { targets, direct, called } = args;
            let request = |target| {
                let name = called.clone();
                Request::PinAdd { target, direct, name, wait }
            };
            each(context, targets, request).await
        }
        PinVerb::Rm(args) => {
            let request = |target| Request::PinRemove { target };
            each(context, args.targets, request).await
        }
        PinVerb::Ls(args) => list(context, args).await,
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
        Line::Pin { cid, local, direct, name } => {
            let mut words = cid.clone();
            for (word, is_so) in [(" direct", *direct), (" local", *local)] {
                words.push_str(if is_so { word } else { "" });
            }
            if let Some(name) = name {
                words.push(' ');
                words.push_str(&escape(name.as_bytes()));
            }
            output.line(words.as_bytes()).await?;
        }
        _ => {}
    }
    output.flush().await
}

async fn list(context: &mut Context, args: PinListArgs) -> Result<Report, End> {
    let direct = match args.kind {
        PinKind::All => None,
        PinKind::Recursive => Some(false),
        PinKind::Direct => Some(true),
    };
    let filter = PinFilter { direct, name: args.called };
    let mut listing = PinListing { filter, printed: 0, seen: 0 };
    match context.ask(&mut listing).await? {
        Outcome::Nothing => Ok(Report::done(Details::Pins { pins: listing.printed })),
        other => Err(unexpected(&other)),
    }
}

/// The exchange of `pin ls`; as in `ls`, what was printed is passed over.
#[derive(Debug)]
struct PinListing {
    filter: PinFilter,
    printed: u64,
    seen: u64,
}

impl Exchange for PinListing {
    fn request(&self) -> Request {
        Request::PinList(self.filter.clone())
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
