//! `shoal add`: files, directories and standard input become CIDs.
//!
//! Prints one CID a line, in the order of the arguments, and nothing else; which path it belongs to
//! is told on standard error. A source that cannot be read is named and left out, what a pattern leaves
//! out is counted. `--only-hash` asks no node: this process reads and hashes, and touches no store.

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
        frame::Frame,
        protocol::{Add, Added, Failure, Leaving, Outcome, Request, Response, Spared},
        server::Responder,
    },
    exit::Exit,
    node::add,
};

/// Names of the profiles.
pub(crate) const PROFILES: [&str; 3] = ["shoal", "unixfs-v1-2025", "unixfs-v0-2015"];

/// Add files, directories or standard input and print their CIDs
///
/// Each argument becomes one CID, printed on a line of its own in the order given; there is no
/// wrapping directory. What is added is copied into the store, pinned, and served by the running
/// peer. A file that looks as it did when it was last added (size, times, inode) is not read again. One
/// that changes while it is read is named and left out.
///
/// Below a directory a file `.shoalignore` leaves out what its patterns say, which are those of a
/// .gitignore. Hidden files are added, except with the unixfs profiles, as kubo has it. An argument
/// itself is always added.
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

    /// Keep the files where they are as the store's bytes, without a copy; those below 256 KiB are
    /// copied, and with unixfs-v0-2015 all are
    #[arg(long = "ref", conflicts_with = "only_hash")]
    reference: bool,

    /// Leave out what this pattern says, in .gitignore syntax and relative to each argument; repeatable
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,

    /// Add hidden files with a unixfs profile too
    #[arg(long)]
    hidden: bool,

    /// Take no notice of .shoalignore files
    #[arg(long)]
    no_ignore: bool,

    /// Read every file, also those that look unchanged
    #[arg(long)]
    no_cache: bool,

    /// Neither announce nor serve it
    #[arg(long)]
    local: bool,

    /// Compute the CIDs and store nothing; no store is needed
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
    let asked = if adding.args.only_hash {
        only_hash(context, &mut adding).await
    } else {
        context.ask(&mut adding).await
    };
    let served = match asked {
        Ok(Outcome::Added { served, spared, .. }) => {
            adding.tally.spared = spared;
            Ok(served)
        }
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

/// Reads and hashes in this process, with a thread of its own.
async fn only_hash(context: &mut Context, adding: &mut Adding) -> Result<Outcome, End> {
    let (out, mut answers) = Responder::pair();
    let (told, mut outcome) = tokio::sync::oneshot::channel();
    let (request, dir) = (adding.add(), context.settings.dir.clone());
    std::thread::spawn(move || {
        // Nobody takes it when this verb has ended.
        drop(told.send(add::only_hash(&request, &dir, std::io::stdin(), &out)));
    });
    let console = &mut context.console;
    console.talk.begin();
    loop {
        let answer = tokio::select! {
            answer = answers.recv() => answer,
            () = console.talk.tick() => continue,
        };
        match answer {
            None => break,
            Some(Frame::Message(Response::Progress(progress))) => console.talk.progress(progress),
            Some(Frame::Message(Response::Note(text))) => console.talk.note(&text),
            Some(Frame::Message(answer)) => {
                adding.answer(Answer::Response(answer), console).await?;
            }
            Some(Frame::Data(_)) => {}
        }
    }
    let outcome = outcome.try_recv().map_err(|_| Failure::failed("the reading thread ended"))?;
    Ok(outcome?)
}

/// What came of the sources so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    added: u64,
    skipped: u64,
    bytes: u64,
    files: u64,
    spared: Spared,
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
        let Self { added, skipped, bytes, files, spared } = self;
        let Spared { excluded, hidden, unchanged } = spared;
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
        let details =
            Details::Added { added, skipped, excluded, hidden, unchanged, bytes, files, served };
        Report { details: Some(details), failure }
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
    /// What is left to add.
    fn add(&self) -> Add {
        Add {
            sources: self.pending.iter().map(|source| source.path.clone()).collect(),
            profile: self.args.profile.clone(),
            preserve: self.args.preserve,
            reference: self.args.reference,
            local: self.args.local,
            only_hash: self.args.only_hash,
            leaving: Leaving {
                exclude: self.args.exclude.clone(),
                hidden: self.args.hidden,
                no_ignore: self.args.no_ignore,
            },
            read_all: self.args.no_cache,
        }
    }

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
        Request::Add(self.add())
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
