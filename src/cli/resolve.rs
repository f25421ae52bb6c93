//! `shoal resolve` and `shoal follow`: what a name stands for now.
//!
//! On standard output stands the current path and nothing else; how old and how sure it is, is told by
//! [`super::standing`]. A forked name has the path of the last version that both histories share, and
//! the exit code 8.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

use clap::Args;
use shoal_dag::name::escape;

use super::{
    context::Context,
    converse::{Ask, Console},
    json::Details,
    report::{End, Report, unexpected},
    standing,
};
use crate::control::protocol::{
    Outcome, Request,
    name::{NameRequest, Resolved},
};

/// Print the current path of a name
///
/// The newest version is looked for at all who may know it; how long ago somebody confirmed it is
/// said on standard error, with -v also what was refused or held and why. Of a forked name the last
/// version that is not disputed is printed, and the fork is told.
#[derive(Debug, Args)]
pub(crate) struct ResolveArgs {
    /// A petname or `k51...`; @N is a version, @TIME the one of that time
    #[arg(value_name = "NAME[@VERSION][/PATH]")]
    target: OsString,

    /// Ask nobody: say what is known here
    #[arg(long)]
    offline: bool,
}

/// Keep and serve the versions of a name from now on, and print its current path
///
/// It is recorded and done at once by a running peer. Versions whose content is not kept stay in the
/// log.
#[derive(Debug, Args)]
pub(crate) struct FollowArgs {
    /// A petname, `k51...`, or a link of somebody
    #[arg(value_name = "NAME")]
    name: OsString,

    /// What to call it here
    #[arg(long = "as", value_name = "PETNAME")]
    petname: Option<String>,

    /// Versions whose content is kept, such as last=10,daily=30,monthly=12 [default: last=10]
    #[arg(long, value_name = "POLICY")]
    keep: Option<String>,

    /// Stop to follow it
    #[arg(long, conflicts_with_all = ["petname", "keep"])]
    stop: bool,
}

/// Runs `resolve`.
pub(crate) async fn run(context: &mut Context, args: ResolveArgs) -> Result<Report, End> {
    let (target, offline, wait) = (args.target.into_vec(), args.offline, context.wait);
    ask(context, NameRequest::Resolve { target, offline, wait }).await
}

/// Runs `follow`.
pub(crate) async fn follow(context: &mut Context, args: FollowArgs) -> Result<Report, End> {
    let FollowArgs { name, petname, keep, stop } = args;
    let (name, wait) = (name.into_vec(), context.wait);
    let request = NameRequest::Follow { name, petname, keep, stop, wait };
    if stop {
        let resolved = outcome(context, request).await?;
        let name = standing::shown(&resolved);
        context.console.talk.note(&format!("{name} is no longer followed"));
        return Ok(Report::done(Details::Resolved(Box::new((&*resolved).into()))));
    }
    let report = ask(context, request).await?;
    context.console.talk.note(if context.has_running_peer() {
        "the running peer follows it from now on"
    } else {
        "recorded; no running peer follows it, start one with: shoal seed"
    });
    Ok(report)
}

/// Asks for how a name stands, prints its path and tells the rest.
pub(crate) async fn ask(context: &mut Context, request: NameRequest) -> Result<Report, End> {
    let resolved = outcome(context, request).await?;
    let Console { output, talk } = &mut context.console;
    talk.end();
    if !output.is_json() {
        // A person's terminal obeys nothing that a stranger called a file.
        let harmless = output.is_terminal().then(|| escape(&resolved.path).into_bytes());
        output.line(harmless.as_ref().unwrap_or(&resolved.path)).await?;
        output.flush().await?;
    }
    let failure = standing::tell(talk, &resolved);
    Ok(Report { details: Some(Details::Resolved(Box::new((&*resolved).into()))), failure })
}

async fn outcome(context: &mut Context, request: NameRequest) -> Result<Box<Resolved>, End> {
    match context.ask(&mut Ask(Request::Name(request))).await? {
        Outcome::Resolved(resolved) => Ok(resolved),
        other => Err(unexpected(&other)),
    }
}
