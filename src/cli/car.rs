//! `shoal car`: blocks in a row, from and to a file or a pipe.
//!
//! The file is opened here, by the user's process; the node sees bytes only. [`import`] prints the roots,
//! [`export`] is bytes on standard output unless a file is named.

use clap::{Args, Subcommand};

use super::{
    context::Context,
    report::{End, Report},
};

mod export;
mod import;

/// Read or write CAR files: blocks with their CIDs
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct CarArgs {
    #[command(subcommand)]
    verb: CarVerb,
}

#[derive(Debug, Subcommand)]
enum CarVerb {
    Import(import::CarImportArgs),
    Export(export::CarExportArgs),
}

impl CarArgs {
    /// Standard output is a CAR.
    pub(crate) const fn writes_bytes(&self) -> bool {
        match &self.verb {
            CarVerb::Import(_) => false,
            CarVerb::Export(args) => args.writes_bytes(),
        }
    }

    /// A word for what its progress counts.
    pub(crate) const fn label(&self) -> &'static str {
        match &self.verb {
            CarVerb::Import(_) => "read",
            CarVerb::Export(_) => "fetched",
        }
    }
}

/// Runs the verb.
pub(crate) async fn run(context: &mut Context, args: CarArgs) -> Result<Report, End> {
    match args.verb {
        CarVerb::Import(args) => import::run(context, args).await,
        CarVerb::Export(args) => export::run(context, args).await,
    }
}
