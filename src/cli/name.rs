//! `shoal name`: the names that are known here, and their keys.
//!
//! What `new`, `import` and `rm` print is the `k51...` alone, so that it can be given to the next
//! command. [`new`] makes a name and its recovery key, [`key`] takes keys out and in.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _, path::PathBuf};

use clap::{Args, Subcommand};
use shoal_dag::name::escape;

use super::{
    context::Context,
    converse::Ask,
    json::{Details, Line},
    listing::{Item, Listing},
    report::{End, Report, unexpected},
    resolve,
};
use crate::control::protocol::{
    Outcome, Request, Response,
    name::{NameLine, NameRequest},
};

mod key;
mod new;

/// Make, list, forget and move names
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct NameArgs {
    #[command(subcommand)]
    verb: NameVerb,
}

#[derive(Debug, Subcommand)]
enum NameVerb {
    New(NameNewArgs),
    Ls(NameListArgs),
    Rm(NameRemoveArgs),
    Export(NameExportArgs),
    Import(NameImportArgs),
    Accept(NameAcceptArgs),
}

/// Make a name and print it as others know it, `k51...`
///
/// Its secret key stays in the store: whoever has it publishes the versions. A recovery key is made
/// with it, for the day on which that key is lost or stolen; it is written to FILE, or shown once on standard
/// error, and kept nowhere else.
#[derive(Debug, Args)]
struct NameNewArgs {
    /// What it is called here: without `@`, `/` and `#`, no number, not like `k51...`
    #[arg(value_name = "PETNAME")]
    petname: String,

    /// New file for the recovery key
    #[arg(long, value_name = "FILE")]
    recovery: Option<PathBuf>,
}

/// List names: `k51...`, petname, newest version known, what it is here
///
/// What is not known is `-`. The last column is `own` for a name whose secret key is here, `followed` for one
/// whose versions are kept, else `known`; a forked one has `forked` behind it.
#[derive(Debug, Args)]
struct NameListArgs {}

/// Forget a name and print its `k51...`
///
/// It is no longer followed, and its versions are no longer kept.
#[derive(Debug, Args)]
struct NameRemoveArgs {
    /// A petname or `k51...`
    #[arg(value_name = "NAME")]
    name: OsString,

    /// Also a name of your own: its secret key is deleted
    #[arg(long)]
    force: bool,
}

/// Print the secret key of a name, in base64
///
/// Whoever has it can publish in the name. Two machines that use one key fork the name: remove it on
/// one of them.
#[derive(Debug, Args)]
struct NameExportArgs {
    /// A name of your own
    #[arg(value_name = "NAME")]
    name: OsString,

    /// New file for the key, as `ipfs key export` writes it, instead
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Take a secret key and print the name that it signs for
#[derive(Debug, Args)]
struct NameImportArgs {
    /// What the name is called here
    #[arg(value_name = "PETNAME")]
    petname: String,

    /// A key of `shoal name export` or `ipfs key export`; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Leave a fork: choose the branch to follow from now on
///
/// Prints the current path of that branch. The choice is remembered here and nowhere else.
#[derive(Debug, Args)]
struct NameAcceptArgs {
    /// The forked name
    #[arg(value_name = "NAME")]
    name: OsString,

    /// The entry of the branch, as `shoal resolve` shows it [default: the only one possible]
    #[arg(value_name = "ENTRY")]
    branch: Option<String>,
}

/// Runs the verb.
pub(crate) async fn run(context: &mut Context, args: NameArgs) -> Result<Report, End> {
    match args.verb {
        NameVerb::New(args) => new::run(context, args).await,
        NameVerb::Ls(_) => list(context).await,
        NameVerb::Rm(args) => remove(context, args).await,
        NameVerb::Export(args) => key::export(context, args).await,
        NameVerb::Import(args) => key::import(context, args).await,
        NameVerb::Accept(args) => accept(context, args).await,
    }
}

/// Prints what a name is known by, on a line of its own.
async fn print(context: &mut Context, name: &str) -> Result<(), End> {
    let output = &mut context.console.output;
    if !output.is_json() {
        output.line(name.as_bytes()).await?;
        output.flush().await?;
    }
    Ok(())
}

async fn list(context: &mut Context) -> Result<Report, End> {
    let mut listing = Listing::<NameLine>::new(Request::Name(NameRequest::List));
    match context.ask(&mut listing).await? {
        Outcome::Nothing => Ok(Report::done(Details::Names { names: listing.printed() })),
        other => Err(unexpected(&other)),
    }
}

impl Item for NameLine {
    fn batch(response: Response) -> Option<Vec<Self>> {
        match response {
            Response::Names(names) => Some(names),
            _ => None,
        }
    }

    fn line(&self) -> String {
        let petname = self.petname.as_deref().map_or_else(|| "-".into(), |n| escape(n.as_bytes()));
        let version = self.version.map_or_else(|| "-".into(), |version| version.to_string());
        let what = match (self.own, self.followed) {
            (true, _) => "own",
            (false, true) => "followed",
            (false, false) => "known",
        };
        let forked = if self.forked { " forked" } else { "" };
        format!("{} {petname} {version} {what}{forked}", self.name)
    }

    fn object(&self) -> Line {
        Line::Name(self.into())
    }
}

async fn remove(context: &mut Context, args: NameRemoveArgs) -> Result<Report, End> {
    let request = NameRequest::Remove { name: args.name.into_vec(), force: args.force };
    let outcome = context.ask(&mut Ask(Request::Name(request))).await?;
    let Outcome::NameRemoved { name } = outcome else {
        return Err(unexpected(&outcome));
    };
    print(context, &name).await?;
    Ok(Report::done(Details::NameRemoved { name }))
}

async fn accept(context: &mut Context, args: NameAcceptArgs) -> Result<Report, End> {
    let (name, branch, wait) = (args.name.into_vec(), args.branch, context.wait);
    resolve::ask(context, NameRequest::Accept { name, branch, wait }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_line_with_dashes_for_what_is_not_known() {
        let mut name = NameLine {
            name: "k51q".into(),
            petname: Some("no\x1btes".into()),
            own: true,
            followed: true,
            version: Some(3),
            cid: None,
            keep: "last=10".into(),
            forked: false,
        };
        assert_eq!(name.line(), "k51q no\\x1btes 3 own");
        name = NameLine { own: false, petname: None, version: None, forked: true, ..name };
        assert_eq!(name.line(), "k51q - - followed forked");
        assert!(NameLine { followed: false, ..name }.line().contains(" known"));
    }
}
