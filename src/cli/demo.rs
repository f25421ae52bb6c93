//! `shoal demo`: the main job, shown on this machine. The demo itself is [`crate::demo`].

use std::path::PathBuf;

use clap::Args;

use super::{
    context::Context,
    report::{End, Report},
};
use crate::demo::{self, DemoOptions};

/// Show the main job with three peers on this machine
///
/// Two peers add a directory, a third finds them through the peers and fetches from both; one of
/// them is killed half-way; what arrived is compared hash by hash, and again through a mount where
/// that is allowed. Everything happens in a temporary directory and is removed afterwards.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Directory to use [default: one made for this, of at least 300 MB]
    #[arg(value_name = "DIR")]
    source: Option<PathBuf>,

    /// Leave the temporary directory and say where it is
    #[arg(long)]
    keep: bool,
}

/// Runs the verb.
pub(crate) async fn run(_: &mut Context, args: DemoArgs) -> Result<Report, End> {
    demo::run(DemoOptions { dir: args.source, keep: args.keep }).await?;
    Ok(Report::nothing())
}
