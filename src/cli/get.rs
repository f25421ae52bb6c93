//! `shoal get`: a CID becomes files.
//!
//! Nothing is printed on standard output unless `--json` is given: the data is at OUT.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    time::Duration,
};

use clap::Args;
use shoal_dag::name::escape;

use super::{
    add::absolute,
    context::Context,
    converse::Ask,
    json::Details,
    progress::{size, time},
    report::{End, Report, unexpected},
    talk::Talk,
};
use crate::control::protocol::{Failure, Get, Outcome, Request};

/// Fetch a file or directory by its CID
///
/// It is found through the peers, fetched from several at once, verified, and appears at OUT when it
/// is whole. A fetch that was interrupted goes on where it stopped. What was fetched is seeded on by
/// a running peer until as much was given as was taken, or for ten minutes.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// What to fetch
    #[arg(value_name = "CID[/PATH]")]
    target: OsString,

    /// Where to put it [default: the last part of CID[/PATH], here]
    #[arg(short, long, value_name = "OUT")]
    out: Option<OsString>,

    /// Pin it and keep a copy in the store
    #[arg(long)]
    keep: bool,

    /// Replace what stands at OUT
    #[arg(long)]
    force: bool,

    /// End only when the bytes are safe on disk
    #[arg(long)]
    sync: bool,

    /// Do not seed it on afterwards
    #[arg(long)]
    no_seed_on: bool,
}

/// Runs the verb.
pub(crate) async fn run(context: &mut Context, args: GetArgs) -> Result<Report, End> {
    let out = match &args.out {
        Some(out) if out == "-" => {
            return Err(Failure::usage("OUT is a path")
                .hint("to write it to standard output: shoal cat")
                .into());
        }
        Some(out) => out.clone(),
        None => last_part(&args.target)?,
    };
    let out = absolute(&out)?;
    let mut ask = Ask(Request::Get(Get {
        target: args.target.into_vec(),
        out: out.as_bytes().to_vec(),
        keep: args.keep,
        force: args.force,
        sync: args.sync,
        seed_on: !args.no_seed_on,
        umask: context.umask,
        wait: context.wait,
    }));
    let outcome = context.ask(&mut ask).await?;
    let Some(details) = details(outcome) else {
        return Err(unexpected(&"get"));
    };
    context.console.talk.end();
    tell(&context.console.talk, &details, &out);
    Ok(Report::done(details))
}

fn details(outcome: Outcome) -> Option<Details> {
    let Outcome::Fetched {
        cid,
        bytes,
        files,
        bytes_received,
        sources,
        peers_connected,
        elapsed_ms,
        refused,
    } = outcome
    else {
        return None;
    };
    let mut by_peer = BTreeMap::new();
    for (peer, bytes) in sources {
        *by_peer.entry(peer).or_insert(0) += bytes;
    }
    Some(Details::Fetched {
        cid,
        bytes,
        files,
        bytes_received,
        sources: by_peer,
        peers_connected,
        elapsed_ms,
        refused,
    })
}

fn tell(talk: &Talk, details: &Details, out: &OsStr) {
    let Details::Fetched { bytes, files, bytes_received, sources, elapsed_ms, refused, .. } =
        details
    else {
        return;
    };
    for name in refused {
        talk.warning(&format!("left out {name}: not a name that may stand on a disk"));
    }
    let files = if *files == 1 { String::new() } else { format!(" in {files} files") };
    let peers = match (sources.len(), bytes_received) {
        (0, _) => "from the store".to_owned(),
        (1, received) => format!("{} from 1 peer", size(*received)),
        (peers, received) => format!("{} from {peers} peers", size(*received)),
    };
    let took = time(Duration::from_millis(*elapsed_ms));
    let (out, size) = (escape(out.as_bytes()), size(*bytes));
    talk.note(&format!("{out}: {size}{files} in {took}, {peers}"));
}

/// The name that the target suggests for OUT.
fn last_part(target: &OsStr) -> Result<OsString, Failure> {
    let parts = target.as_bytes().split(|byte| *byte == b'/');
    match parts.rev().find(|part| !part.is_empty()) {
        Some(part) if part != b"." && part != b".." => Ok(OsString::from_vec(part.to_vec())),
        _ => Err(Failure::usage("the target suggests no name for OUT").hint("say -o OUT")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_is_the_last_part_of_the_target() {
        for (target, out) in [
            ("bafk", "bafk"),
            ("bafk/a/b", "b"),
            ("bafk/a/", "a"),
            ("/ipfs/bafk", "bafk"),
            ("ipfs://bafk/x", "x"),
        ] {
            assert_eq!(last_part(OsStr::new(target)).unwrap(), out);
        }
        for target in ["", "/", "bafk/..", "bafk/./"] {
            assert!(last_part(OsStr::new(target)).is_err(), "{target}");
        }
    }
}
