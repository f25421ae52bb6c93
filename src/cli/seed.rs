//! `shoal seed`: the running peer, in the foreground.
//!
//! On standard output stand the `ready` lines and nothing else. What it was given is remembered by
//! the store until `--forget`. SIGINT, SIGTERM and SIGHUP end it cleanly with code 0. Where a peer already
//! runs, arguments are handed to it.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
};

use clap::Args;
use shoal_dag::name::escape;
use tokio::io::AsyncReadExt as _;

use super::{
    Signals,
    add::{Tally, absolute},
    context::Context,
    converse::{Console, Exchange},
    json::Line,
    report::{End, Report, unexpected},
};
use crate::{
    control::{
        client::{Answer, Client},
        protocol::{Failure, Outcome, Request, Response, Seed, SeedItem},
    },
    exit::Exit,
    node::attach::{self, Peer, Seeding},
};

/// Run the peer: serve what was added, fetched and pinned
///
/// It serves in the foreground until it is interrupted. Files and directories given are served from
/// where they are, without a copy of what has 256 KiB and more; what a CID or name given stands for is
/// fetched and pinned. Both are remembered until --forget. When it listens it prints a line `ready ADDRESS` for each address. Where a peer already
/// runs on this store, arguments are handed to that one.
#[derive(Debug, Args)]
pub(crate) struct SeedArgs {
    /// What to serve besides
    #[arg(value_name = "PATH|CID|NAME")]
    what: Vec<OsString>,

    /// Stop to serve these, and do not run the peer
    #[arg(long, requires = "what")]
    forget: bool,

    /// End when standard input does: whoever started it holds the other end
    #[arg(long, hide = true)]
    until_eof: bool,
}

/// What ends the peer.
#[derive(Debug)]
struct Stop {
    signals: Signals,
    until_eof: bool,
}

impl Stop {
    /// Resolves when it is time. Cancel-safe.
    async fn next(&mut self) {
        tokio::select! {
            () = self.signals.next() => {}
            () = end_of_input(), if self.until_eof => {}
        }
    }
}

async fn end_of_input() {
    let mut input = tokio::io::stdin();
    let mut bytes = [0; 64];
    while matches!(input.read(&mut bytes).await, Ok(1..)) {}
}

/// Runs the verb.
pub(crate) async fn run(context: &mut Context, args: SeedArgs) -> Result<Report, End> {
    let mut stop = Stop { signals: Signals::catch()?, until_eof: args.until_eof };
    let what =
        args.what.iter().map(|what| item(what, args.forget)).collect::<Result<Vec<_>, _>>()?;
    let mut asking = Asking { seed: Seed { what, forget: args.forget }, tally: Tally::default() };
    tokio::select! {
        begun = begin(context, &mut asking) => match begun? {
            Some(peer) => serve(context, peer, asking, stop).await,
            None => Ok(asking.tally.report(Ok(true))),
        },
        () = stop.next() => Err(Failure::new(Exit::Interrupted, "interrupted").into()),
    }
}

/// Becomes the running peer, or hands the arguments to who can use them and returns `None`.
async fn begin(context: &mut Context, asking: &mut Asking) -> Result<Option<Peer>, End> {
    if asking.seed.forget {
        done(&context.ask(asking).await?)?;
        context.console.talk.note("forgotten");
        return Ok(None);
    }
    let text = format!("waiting for the store {}", context.settings.dir.display());
    let seeding = attach::seed(&context.settings);
    match context.console.talk.while_waiting(&text, seeding).await? {
        Seeding::Here(peer) => Ok(Some(peer)),
        Seeding::Elsewhere(mut client) => {
            hand_over(context, asking, &mut client).await?;
            Ok(None)
        }
    }
}

async fn hand_over(
    context: &mut Context,
    asking: &mut Asking,
    client: &mut Client,
) -> Result<(), End> {
    let pid = client.welcome().pid;
    if asking.seed.what.is_empty() {
        let text = format!("a peer already runs on {}", context.settings.dir.display());
        return Err(Failure::failed(format!("{text}, process {pid}")).into());
    }
    done(&context.ask_client(client, asking).await?)?;
    context.console.talk.note(&format!("handed to the running peer, process {pid}"));
    Ok(())
}

/// Serves until a signal.
async fn serve(
    context: &mut Context,
    mut peer: Peer,
    mut asking: Asking,
    mut stop: Stop,
) -> Result<Report, End> {
    for address in &peer.addresses {
        let output = &mut context.console.output;
        if output.is_json() {
            output.object(&Line::Ready { address: address.clone() }).await?;
        } else {
            output.line(format!("ready {address}").as_bytes()).await?;
        }
    }
    context.console.output.flush().await?;
    let taken = tokio::select! {
        taken = take_up(context, &mut peer.client, &mut asking) => taken,
        () = stop.next() => {
            peer.serve_until(async {}).await;
            return Ok(Report::nothing());
        }
    };
    match taken {
        Ok(()) => {
            peer.serve_until(stop.next()).await;
            Ok(Report::nothing())
        }
        Err(end) => {
            peer.serve_until(async {}).await;
            Err(end)
        }
    }
}

/// Gives the peer its arguments. What nobody provides now is remembered and tried again; a wrong
/// argument ends the peer, since nobody may be looking.
async fn take_up(
    context: &mut Context,
    client: &mut Client,
    asking: &mut Asking,
) -> Result<(), End> {
    if asking.seed.what.is_empty() {
        return Ok(());
    }
    let failure = match context.ask_client(client, asking).await {
        Ok(outcome) => return done(&outcome),
        Err(End::Failed(failure)) => failure,
        Err(end) => return Err(end),
    };
    context.console.talk.end();
    if !passes(failure.exit) {
        return Err(failure.into());
    }
    context.console.talk.failure(&failure);
    context.console.talk.note("serving what there is");
    Ok(())
}

const fn passes(exit: Exit) -> bool {
    matches!(exit, Exit::Partial | Exit::NotFound | Exit::TryAgain | Exit::Corrupt)
}

fn done(outcome: &Outcome) -> Result<(), End> {
    match outcome {
        Outcome::Nothing | Outcome::Added { .. } => Ok(()),
        other => Err(unexpected(other)),
    }
}

/// An argument that exists is a path, otherwise a CID or name; one to forget may have gone from the disk.
fn item(typed: &OsStr, forget: bool) -> Result<SeedItem, Failure> {
    let exists = std::fs::symlink_metadata(typed).is_ok();
    if exists || (forget && shoal_dag::path::parse(typed.as_bytes()).is_err()) {
        return Ok(SeedItem::Path(absolute(typed)?.into_vec()));
    }
    Ok(SeedItem::Root(typed.as_bytes().to_vec()))
}

/// The exchange: what is handed over, and what came of it.
#[derive(Debug)]
struct Asking {
    seed: Seed,
    tally: Tally,
}

impl Exchange for Asking {
    fn request(&self) -> Request {
        Request::Seed(self.seed.clone())
    }

    async fn answer(&mut self, answer: Answer, console: &mut Console) -> Result<(), End> {
        match answer {
            Answer::Response(Response::Added(added)) => {
                self.tally.count(&added);
                console.talk.note(&format!("seeding {} {}", added.cid, escape(&added.path)));
                if console.output.is_json() {
                    console.output.object(&Line::from(&added)).await?;
                    console.output.flush().await?;
                }
                Ok(())
            }
            Answer::Response(Response::Skipped { path, why }) => {
                self.tally.skip(&path, why, console).await
            }
            other => Err(unexpected(&other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CID: &str = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";

    #[test]
    fn what_exists_is_a_path_and_the_rest_a_cid() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let missing = item(path.as_os_str(), false).unwrap();
        assert_eq!(missing, SeedItem::Root(path.as_os_str().as_bytes().to_vec()));
        std::fs::write(&path, "x").unwrap();
        let there = item(path.as_os_str(), false).unwrap();
        assert_eq!(there, SeedItem::Path(path.into_os_string().into_vec()));
    }

    #[test]
    fn what_is_forgotten_need_not_exist() {
        let gone = item(OsStr::new("/no/such/file"), true).unwrap();
        assert_eq!(gone, SeedItem::Path(b"/no/such/file".to_vec()));
        let root = item(OsStr::new(CID), true).unwrap();
        assert_eq!(root, SeedItem::Root(CID.as_bytes().to_vec()));
    }
}
