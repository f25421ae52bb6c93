//! `shoal add`: files, directories and standard input become CIDs.
//!
//! Prints one CID a line, in the order of the arguments, and nothing else; which path it belongs to
//! is told on standard error. A source that cannot be read is named and left out.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::Path,
};

use clap::{Args, builder::PossibleValuesParser};
use shoal_dag::name::escape;

use super::{
    context::Context,
    converse::{Console, Exchange},
    json::{Details, Line},
    progress::size,
    report::{End, Report, unexpected},
};
use crate::{
    config::PROFILE_DEFAULT,
    control::{
        client::Answer,
        protocol::{Add, Added, Failure, Outcome, Request, Response},
    },
    exit::Exit,
};

/// Names of the profiles.
pub(crate) const PROFILES: [&str; 3] = ["shoal", "unixfs-v1-2025", "unixfs-v0-2015"];

/// Add files, directories or standard input and print their CIDs
///
/// Each argument becomes one CID, printed on a line of its own in the order given; there is no
/// wrapping directory. What is added is copied into the store, pinned, and served by the running
/// peer.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Files and directories to add; `-` is standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<OsString>,

    /// Choices that decide the CID; the unixfs ones give the CIDs that IPFS's kubo gives
    #[arg(long, value_name = "NAME", default_value = PROFILE_DEFAULT)]
    #[arg(value_parser = PossibleValuesParser::new(PROFILES))]
    profile: String,

    /// Keep permissions and modification times, of directories and symlinks too; the setuid, setgid
    /// and sticky bits are not kept
    #[arg(long)]
    preserve: bool,

    /// Keep the files where they are as the store's bytes, without a copy
    #[arg(long = "ref", conflicts_with = "only_hash")]
    reference: bool,

    /// Neither announce nor serve it
    #[arg(long)]
    local: bool,

    /// Compute the CIDs and store nothing
    #[arg(long)]
    only_hash: bool,
}

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    /// As typed, for people.
    typed: OsString,
    /// As the node gets it; `None` is standard input.
    path: Option<Vec<u8>>,
}

impl Source {
    fn new(typed: OsString) -> Result<Self, Failure> {
        let path = if typed == "-" { None } else { Some(absolute(&typed)?.into_vec()) };
        Ok(Self { typed, path })
    }
}

/// An argument as a path that does not depend on the working directory. Symlinks stay.
pub(crate) fn absolute(typed: &OsStr) -> Result<OsString, Failure> {
    let path = Path::new(typed);
    let absolute = std::path::absolute(path).map_err(|error| Failure::io("use", path, &error))?;
    Ok(absolute.into_os_string())
}

/// Runs the verb.
pub(crate) async fn run(context: &mut Context, args: AddArgs) -> Result<Report, End> {
    if args.paths.iter().filter(|path| *path == "-").count() > 1 {
        return Err(Failure::usage("standard input can be added only once").into());
    }
    let sources = args.paths.iter().cloned().map(Source::new).collect::<Result<_, _>>()?;
    let mut adding = Adding { args, pending: sources, tally: Tally::default() };
    let served = match context.ask(&mut adding).await {
        Ok(Outcome::Added { served, .. }) => Ok(served),
        Ok(other) => return Err(unexpected(&other)),
        Err(End::Failed(failure)) => Err(failure),
        Err(end) => return Err(end),
    };
    let Adding { args, tally, .. } = adding;
    let listed = !args.local && !args.only_hash && tally.added > 0;
    if served == Ok(false) && listed {
        context.console.talk.note("no running peer serves this; start one with: shoal seed");
    }
    Ok(tally.report(served))
}

/// What came of the sources so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    added: u64,
    skipped: u64,
    bytes: u64,
    files: u64,
}

impl Tally {
    /// An argument is done.
    pub(crate) const fn count(&mut self, added: &Added) {
        self.added += 1;
        self.bytes += added.size;
        self.files += added.files;
    }

    /// A source was left out: it is named.
    pub(crate) async fn skip(
        &mut self,
        path: &[u8],
        why: String,
        console: &mut Console,
    ) -> Result<(), End> {
        self.skipped += 1;
        console.talk.warning(&format!("left out {}: {why}", escape(path)));
        if console.output.is_json() {
            console.output.object(&Line::Skipped { path: path.into(), why }).await?;
        }
        Ok(())
    }

    /// The end, as the node told it. What was done is told beside a failure.
    pub(crate) fn report(self, served: Result<bool, Failure>) -> Report {
        let Self { added, skipped, bytes, files } = self;
        let partial = |text: String| {
            let hint = "each is named above; the rest is added and durable";
            Some(Failure::new(Exit::Partial, text).hint(hint))
        };
        let left_out = match (added, skipped) {
            (_, 0) => None,
            (0, _) => Some(Failure::failed("nothing could be added")),
            (_, 1) => partial("1 source was left out".to_owned()),
            _ => partial(format!("{skipped} sources were left out")),
        };
        let (served, failure) = match served {
            Ok(served) => (served, left_out),
            Err(failure) => (false, Some(failure)),
        };
        Report { details: Some(Details::Added { added, skipped, bytes, files, served }), failure }
    }
}

/// The exchange: what is left to add, and what came of the rest.
#[derive(Debug)]
struct Adding {
    args: AddArgs,
    pending: VecDeque<Source>,
    tally: Tally,
}

impl Adding {
    async fn added(&mut self, added: Added, console: &mut Console) -> Result<(), End> {
        let path = (added.path != b"-").then_some(&added.path);
        let at = self.pending.iter().position(|source| source.path.as_ref() == path);
        let typed = match at.and_then(|at| self.pending.remove(at)) {
            Some(source) => source.typed,
            None => OsString::from_vec(added.path.clone()),
        };
        self.tally.count(&added);
        if console.output.is_json() {
            console.output.object(&Line::from(&added)).await?;
        } else {
            console.output.line(added.cid.as_bytes()).await?;
        }
        let (typed, size) = (escape(typed.as_bytes()), size(added.size));
        console.talk.note(&format!("added {} {typed} ({size})", added.cid));
        console.output.flush().await
    }
}

impl Exchange for Adding {
    fn request(&self) -> Request {
        Request::Add(Add {
            sources: self.pending.iter().map(|source| source.path.clone()).collect(),
            profile: self.args.profile.clone(),
            preserve: self.args.preserve,
            reference: self.args.reference,
            local: self.args.local,
            only_hash: self.args.only_hash,
        })
    }

    async fn answer(&mut self, answer: Answer, console: &mut Console) -> Result<(), End> {
        match answer {
            Answer::Response(Response::Added(added)) => self.added(added, console).await,
            Answer::Response(Response::Skipped { path, why }) => {
                // The argument itself: after a node's death it need not be tried again.
                self.pending.retain(|source| source.path.as_ref() != Some(&path));
                self.tally.skip(&path, why, console).await
            }
            other => Err(unexpected(&other)),
        }
    }

    fn wants_input(&self) -> bool {
        self.pending.iter().any(|source| source.path.is_none())
    }
}
