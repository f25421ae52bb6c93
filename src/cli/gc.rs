//! `shoal gc`: what nothing needs any more goes, and its space comes back.
//!
//! What stays is pinned, in use, or still seeded on; there is no grace period. It works beside
//! everything else, with or without a running peer. What is printed is what was freed.

use clap::Args;

use super::{
    context::Context,
    converse::Ask,
    json::Details,
    progress::size,
    report::{End, Report, unexpected},
};
use crate::{
    control::protocol::{Failure, Outcome, Request},
    exit::Exit,
};

/// Remove what is not pinned, in use or seeded on, and print what was freed
///
/// There is no grace period: what was fetched and not pinned goes. Users' files that the store refers
/// to are forgotten and never touched.
#[derive(Debug, Args)]
pub(crate) struct GcArgs {
    /// Remove nothing; print what would be freed
    #[arg(long)]
    dry_run: bool,
}

/// Runs the verb.
pub(crate) async fn run(context: &mut Context, args: GcArgs) -> Result<Report, End> {
    let outcome = context.ask(&mut Ask(Request::Collect { dry_run: args.dry_run })).await?;
    let Outcome::Collected(done) = outcome else {
        return Err(unexpected(&outcome));
    };
    let freed = if args.dry_run { "would be freed" } else { "freed" };
    let output = &mut context.console.output;
    if !output.is_json() {
        let text = format!("{} {freed}, {} blocks", size(done.freed_bytes), done.removed_blocks);
        output.line(text.as_bytes()).await?;
    }
    output.flush().await?;
    let talk = &context.console.talk;
    talk.note(&format!("{} blocks stay, {}", done.kept_blocks, size(done.kept_bytes)));
    if done.missing > 0 {
        let text = format!("{} blocks of what is pinned are missing", done.missing);
        talk.warning(&format!("{text}; fetch them with: shoal verify --repair"));
    }
    if done.left > 0 {
        talk.note(&format!("{} files are in use and are freed next time", done.left));
    }
    let failure = (!done.complete).then(|| {
        Failure::new(Exit::TryAgain, "too much came in meanwhile, and not everything was looked at")
            .hint("run it again: shoal gc")
    });
    Ok(Report { details: Some(Details::Collected(done)), failure })
}
