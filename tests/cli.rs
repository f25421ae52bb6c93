//! The command line as the shell sees it: help, usage errors, exit codes, completions, and what
//! stands on which stream. Nothing here needs a store or a network.

#![expect(clippy::unwrap_used, reason = "this is a test as a whole")]

#[path = "cli/help.rs"]
mod help;
#[path = "cli/history.rs"]
mod history;
#[path = "cli/name.rs"]
mod name;
#[path = "cli/peer.rs"]
mod peer;
#[path = "cli/proof.rs"]
mod proof;
#[path = "cli/publish.rs"]
mod publish;
#[path = "cli/resolve.rs"]
mod resolve;
#[path = "cli/run.rs"]
mod run;
#[path = "cli/script.rs"]
mod script;
#[path = "cli/usage.rs"]
mod usage;
