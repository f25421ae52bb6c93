//! `shoal get`: a CID becomes files.
//!
//! Nothing is printed on standard output unless `--json` is given: the data is at OUT. Entries whose
//! names may not stand on a disk are named and left out; then OUT is there and the exit code is 3.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::Path,
    time::Duration,
};

use clap::Args;
use shoal_dag::name::escape;

use super::{
    add::absolute,
    context::Context,
    converse::{Console, Exchange},
    json::Details,
    progress::{size, time},
    report::{End, Report, unexpected},
    talk::Talk,
    values,
};
use crate::{
    control::{
        client::Answer,
        protocol::{Failure, Get, Outcome, Request, Response},
    },
    exit::Exit,
    node::export::spared,
};

/// Fetch a file or directory by its CID or name
///
/// It is found through the peers, fetched from several at once, verified, and appears at OUT when it
/// is whole. A fetch that was interrupted goes on where it stopped. What was fetched is seeded on by
/// a running peer until as much was given as was taken, or for ten minutes.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// What to fetch: a CID or name
    #[arg(value_name = "CID|NAME[/PATH]")]
    target: OsString,

    /// Where to put it [default: the last part of CID|NAME[/PATH], here]
    #[arg(short, long, value_name = "OUT")]
    out: Option<OsString>,

    /// Pin it and keep a copy in the store
    #[arg(long)]
    keep: bool,

    /// Replace what stands at OUT, a directory with everything in it
    #[arg(long)]
    force: bool,

    /// End only when the bytes are safe on disk
    #[arg(long)]
    sync: bool,

    /// Refuse what has more content than this many bytes, with K, M, G or T
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    max_size: Option<u64>,

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
        Some(out) if out.is_empty() => {
            return Err(Failure::usage("OUT is empty").hint("say -o with a path").into());
        }
        Some(out) => out.clone(),
        None => last_part(&args.target)?,
    };
    let out = absolute(&out)?;
    if args.force {
        // Only here is it known where "here" is.
        spared::check_asker(Path::new(&out))?;
    }
    let mut getting = Writing(Request::Get(Get {
        target: args.target.into_vec(),
        out: out.as_bytes().to_vec(),
        keep: args.keep,
        force: args.force,
        sync: args.sync,
        size_max: args.max_size,
        seed_on: !args.no_seed_on,
        umask: context.umask,
        wait: context.wait,
    }));
    let outcome = context.ask(&mut getting).await?;
    let Some(details) = details(outcome) else {
        return Err(unexpected(&"get"));
    };
    context.console.talk.end();
    tell(&context.console.talk, &details, &out);
    let failure = left_out(&details);
    Ok(Report { details: Some(details), failure })
}

/// The exchange of what writes files: what is left out is named as it comes.
#[derive(Debug)]
pub(super) struct Writing(pub(super) Request);

impl Exchange for Writing {
    fn request(&self) -> Request {
        self.0.clone()
    }

    async fn answer(&mut self, answer: Answer, console: &mut Console) -> Result<(), End> {
        match answer {
            Answer::Response(Response::Skipped { path, why }) => {
                console.talk.warning(&format!("left out {}: {why}", escape(&path)));
                Ok(())
            }
            other => Err(unexpected(&other)),
        }
    }
}

/// OUT is whole but for entries that no disk may hold.
fn left_out(details: &Details) -> Option<Failure> {
    let Details::Fetched { refused, .. } = details else {
        return None;
    };
    let text = match refused.len() {
        0 => return None,
        1 => "1 entry was left out for its name",
        _ => "entries were left out for their names",
    };
    Some(Failure::new(Exit::Partial, text))
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
    let Details::Fetched { bytes, files, bytes_received, sources, elapsed_ms, .. } = details else {
        return;
    };
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
    use clap::Parser as _;

    use super::*;
    use crate::{
        cli::{args::Cli, output::Output},
        control::protocol::Wait,
    };

    fn fetched(refused: &[&str]) -> Details {
        Details::Fetched {
            cid: String::new(),
            bytes: 0,
            files: 0,
            bytes_received: 0,
            sources: BTreeMap::new(),
            peers_connected: 0,
            elapsed_ms: 0,
            refused: refused.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn entries_that_were_left_out_make_the_fetch_a_part() {
        assert_eq!(left_out(&fetched(&[])), None);
        for refused in [&[".."][..], &["..", "a/b"]] {
            assert_eq!(left_out(&fetched(refused)).unwrap().exit, Exit::Partial);
        }
    }

    #[tokio::test]
    async fn an_entry_that_is_left_out_belongs_to_the_question() {
        let globals = Cli::try_parse_from(["shoal", "-q", "id"]).unwrap().globals;
        let output = Output::over(tempfile::tempfile().unwrap(), false, false);
        let mut console = Console { output, talk: Talk::new(&globals) };
        let mut getting = Writing(Request::Get(Get {
            target: Vec::new(),
            out: Vec::new(),
            keep: false,
            force: false,
            sync: false,
            size_max: None,
            seed_on: false,
            umask: 0,
            wait: Wait { idle_ms: 0 },
        }));
        let skipped = Response::Skipped { path: b"..".to_vec(), why: "not a name".to_owned() };
        assert!(getting.answer(Answer::Response(skipped), &mut console).await.is_ok());
        let strange = Response::Pins(Vec::new());
        assert!(getting.answer(Answer::Response(strange), &mut console).await.is_err());
    }

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
