//! `shoal stat`: what a CID is.
//!
//! A table of names and values for a person; `--json` has the same in the outcome, with sizes in
//! bytes. Mode and time stand there only when the DAG carries them.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

use clap::Args;
use shoal_dag::name::escape;

use super::{
    context::Context,
    converse::Ask,
    json::{self, Details},
    report::{End, Report, unexpected},
    show::table,
};
use crate::control::protocol::{Described, Kind, Outcome, Request};

/// Show what a CID or name is: kind, sizes, permissions and time if kept
#[derive(Debug, Args)]
pub(crate) struct StatArgs {
    /// A file, directory or symlink, by its CID or name
    #[arg(value_name = "CID|NAME[/PATH]")]
    target: OsString,
}

/// Runs the verb.
pub(crate) async fn run(context: &mut Context, args: StatArgs) -> Result<Report, End> {
    let target = args.target.into_vec();
    let outcome = context.ask(&mut Ask(Request::Stat { target, wait: context.wait })).await?;
    let Outcome::Described(described) = outcome else {
        return Err(unexpected(&outcome));
    };
    table(&mut context.console.output, &rows(&described)).await?;
    Ok(Report::done(Details::Described((&described).into())))
}

fn rows(described: &Described) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("cid", described.cid.clone()),
        ("kind", json::kind(described.kind).to_owned()),
        ("size", described.size.to_string()),
    ];
    if described.dag_size > 0 {
        rows.push(("dag size", described.dag_size.to_string()));
    }
    if described.sharded {
        rows.push(("entries", "in several blocks".to_owned()));
    } else {
        let links = if described.kind == Kind::Directory { "entries" } else { "links" };
        rows.push((links, described.links.to_string()));
    }
    if let Some(target) = &described.target {
        rows.push(("target", escape(target)));
    }
    if let Some(mode) = described.meta.mode {
        rows.push(("mode", json::mode(mode)));
    }
    if let Some((seconds, nanos)) = described.meta.mtime {
        rows.push(("mtime", json::rfc3339(seconds, nanos)));
    }
    rows
}
