//! `shoal completions`: the grammar for a shell.

use clap::Args;
use clap_complete::Shell;

use super::{
    command,
    context::Context,
    report::{End, Report},
};

/// Print a script that completes shoal's arguments in a shell
///
/// For bash: shoal completions bash > ~/.local/share/bash-completion/completions/shoal
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Runs the verb.
pub(crate) async fn run(context: &mut Context, args: &CompletionsArgs) -> Result<Report, End> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "shoal", &mut script);
    context.console.output.bytes(&script).await?;
    context.console.output.flush().await?;
    Ok(Report::nothing())
}
