//! `shoal publish` and `shoal rollback`: a new version of an own name.
//!
//! One line is printed: the CID as its first word, as `add` does, then `NAME@N`. Whether somebody was
//! told is said on standard error. A publication that nobody heard of yet has succeeded: it is signed,
//! stored and queued.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
};

use clap::Args;
use shoal_dag::name::escape;
use shoal_ledger::MESSAGE_BYTES_MAX;

use super::{
    add::absolute,
    context::Context,
    converse::{Console, Exchange},
    json::{Details, Line, name::Published as Fields},
    progress::size,
    report::{End, Report, unexpected},
};
use crate::{
    control::{
        client::Answer,
        protocol::{
            Added, Failure, Outcome, Request, Response,
            name::{NameRequest, PublishSource, Published},
        },
    },
    exit::Exit,
};

/// Publish a path, a CID or another name as the next version of a name
///
/// A path is added with permissions and times, and without what its .shoalignore files leave out, then
/// its CID is signed, stored, and sent to the peers
/// who follow the name. Prints the CID and NAME@N. With nobody connected it succeeds and is sent when
/// somebody is.
#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    /// A name of your own
    #[arg(value_name = "NAME")]
    name: OsString,

    /// What to publish; what exists as a path is one
    #[arg(value_name = "PATH|CID|NAME")]
    what: Option<OsString>,

    #[command(flatten)]
    signing: Signing,
}

/// Publish an earlier version of a name again
///
/// History is not shortened: what version N holds becomes the next version. Prints its CID and NAME@N.
#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// A name of your own
    #[arg(value_name = "NAME")]
    name: OsString,

    /// The version to bring back
    #[arg(value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    version: u64,

    #[command(flatten)]
    signing: Signing,
}

/// Options of what is signed.
#[derive(Debug, Args)]
struct Signing {
    #[arg(short, long, value_name = "TEXT", value_parser = message)]
    #[arg(help = format!(
        "Words for the log, public for good, at most {MESSAGE_BYTES_MAX} bytes"
    ))]
    message: Option<String>,

    /// Sign also where nobody could be asked for versions that are missing here: it may fork the name
    #[arg(long)]
    force: bool,
}

/// Parses a message.
fn message(text: &str) -> Result<String, String> {
    match text.len() {
        0..=MESSAGE_BYTES_MAX => Ok(text.to_owned()),
        long => Err(format!("a message has at most {MESSAGE_BYTES_MAX} bytes, this has {long}")),
    }
}

/// Runs `publish`.
pub(crate) async fn run(context: &mut Context, args: PublishArgs) -> Result<Report, End> {
    let Some(what) = args.what else {
        let failure = Failure::usage("publishing a working tree is not built yet");
        return Err(failure.hint("say what to publish: shoal publish NAME PATH").into());
    };
    publish(context, args.name, source(&what)?, args.signing).await
}

/// Runs `rollback`.
pub(crate) async fn rollback(context: &mut Context, args: RollbackArgs) -> Result<Report, End> {
    publish(context, args.name, PublishSource::Version(args.version), args.signing).await
}

/// An argument that exists is a path, otherwise a CID or a name.
fn source(typed: &OsStr) -> Result<PublishSource, Failure> {
    match std::fs::symlink_metadata(typed) {
        Ok(_) => Ok(PublishSource::Path(absolute(typed)?.into_vec())),
        Err(_) => Ok(PublishSource::Target(typed.as_bytes().to_vec())),
    }
}

async fn publish(
    context: &mut Context,
    name: OsString,
    source: PublishSource,
    signing: Signing,
) -> Result<Report, End> {
    let Signing { message, force } = signing;
    let typed = name.into_vec();
    let (name, wait) = (typed.clone(), context.wait);
    let request = NameRequest::Publish { name, source, message, force, wait };
    let mut publishing = Publishing { request: Request::Name(request), skipped: 0, added: false };
    let published = match context.ask(&mut publishing).await? {
        Outcome::Published(published) => published,
        other => return Err(unexpected(&other)),
    };
    let Console { output, talk } = &mut context.console;
    talk.end();
    let version = format!("{}@{}", shown(&typed, &published.name), published.version);
    for line in tell(&published, &version) {
        talk.note(&line);
    }
    if !output.is_json() {
        output.line(format!("{} {version}", published.cid).as_bytes()).await?;
        output.flush().await?;
    }
    let skipped = publishing.skipped;
    let details = Some(Details::Published(Fields::new(&published, skipped)));
    Ok(Report { details, failure: left_out(skipped) })
}

/// What was typed, when it is a petname or a key and nothing more; else the key.
fn shown(typed: &[u8], key: &str) -> String {
    let typed = typed.strip_prefix(b"/ipns/").unwrap_or(typed);
    let more = typed.iter().any(|byte| matches!(byte, b'/' | b'@' | b'#'));
    if more { key.to_owned() } else { escape(typed) }
}

/// What to say of it: whether anything was signed, and who heard of it.
fn tell(published: &Published, version: &str) -> Vec<String> {
    let mut lines = Vec::new();
    if published.unchanged {
        lines.push(format!("unchanged: {version} has this content already, nothing was signed"));
    }
    match published.told {
        0 if published.queued || !published.unchanged => {
            lines.push("queued: nobody is connected; it is announced when a peer is there".into());
        }
        0 => {}
        1 => lines.push("told 1 peer".into()),
        told => lines.push(format!("told {told} peers")),
    }
    lines
}

fn left_out(skipped: u64) -> Option<Failure> {
    match skipped {
        0 => None,
        1 => Some(Failure::new(Exit::Partial, "1 source was left out of what was published")),
        _ => {
            let text = format!("{skipped} sources were left out of what was published");
            Some(Failure::new(Exit::Partial, text))
        }
    }
}

/// The exchange: a path is added on the way.
#[derive(Debug)]
struct Publishing {
    request: Request,
    skipped: u64,
    /// It was told what was added: a second node adds it again.
    added: bool,
}

impl Publishing {
    async fn added(&mut self, added: &Added, console: &mut Console) -> Result<(), End> {
        if std::mem::replace(&mut self.added, true) {
            return Ok(());
        }
        let (path, size) = (escape(&added.path), size(added.size));
        console.talk.note(&format!("added {} {path} ({size})", added.cid));
        if console.output.is_json() {
            console.output.object(&Line::from(added)).await?;
            console.output.flush().await?;
        }
        Ok(())
    }

    async fn skip(&mut self, path: &[u8], why: String, console: &mut Console) -> Result<(), End> {
        self.skipped += 1;
        console.talk.warning(&format!("left out {}: {why}", escape(path)));
        if console.output.is_json() {
            console.output.object(&Line::Skipped { path: path.into(), why }).await?;
        }
        Ok(())
    }
}

impl Exchange for Publishing {
    fn request(&self) -> Request {
        self.request.clone()
    }

    fn restart(&mut self) {
        self.skipped = 0;
    }

    async fn answer(&mut self, answer: Answer, console: &mut Console) -> Result<(), End> {
        match answer {
            Answer::Response(Response::Added(added)) => self.added(&added, console).await,
            Answer::Response(Response::Skipped { path, why }) => {
                self.skip(&path, why, console).await
            }
            other => Err(unexpected(&other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(told: u64, queued: bool, unchanged: bool) -> Published {
        let (name, position, cid) = ("k51q".into(), "#0.3".into(), "bafy".into());
        Published { name, version: 3, position, cid, told, queued, unchanged }
    }

    #[test]
    fn who_heard_of_it_is_said() {
        let said = |told, queued, unchanged| tell(&published(told, queued, unchanged), "notes@3");
        assert_eq!(said(1, false, false), ["told 1 peer"]);
        assert_eq!(said(7, true, false), ["told 7 peers"]);
        let queued = "queued: nobody is connected; it is announced when a peer is there";
        assert_eq!(said(0, true, false), [queued]);
        let unchanged = "unchanged: notes@3 has this content already, nothing was signed";
        assert_eq!(said(0, false, true), [unchanged]);
        assert_eq!(said(0, true, true), [unchanged, queued]);
    }

    #[test]
    fn the_version_is_named_as_the_name_was() {
        assert_eq!(shown(b"notes", "k51q"), "notes");
        assert_eq!(shown(b"/ipns/k51q", "k51q"), "k51q");
        assert_eq!(shown(b"notes@7", "k51q"), "k51q");
        assert_eq!(shown(b"no\x1btes", "k51q"), "no\\x1btes");
    }

    #[test]
    fn what_exists_is_a_path() {
        let dir = tempfile::tempdir().unwrap();
        let there = source(dir.path().as_os_str()).unwrap();
        assert!(
            matches!(there, PublishSource::Path(path) if path == dir.path().as_os_str().as_bytes())
        );
        let gone = source(dir.path().join("x").as_os_str()).unwrap();
        assert!(matches!(gone, PublishSource::Target(_)));
    }

    #[test]
    fn messages_are_bounded_in_bytes() {
        assert!(message(&"x".repeat(MESSAGE_BYTES_MAX)).is_ok());
        assert!(message(&"\u{e4}".repeat(129)).unwrap_err().contains("this has 258"));
    }
}
