//! The command line as the shell sees it: help, usage errors, exit codes, completions, and what
//! stands on which stream. Nothing here needs a store or a network.

#![expect(clippy::unwrap_used, reason = "this is a test as a whole")]

#[path = "cli/help.rs"]
mod help;
#[path = "cli/peer.rs"]
mod peer;
#[path = "cli/run.rs"]
mod run;
#[path = "cli/usage.rs"]
mod usage;
