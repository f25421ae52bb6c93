//! The command line: verbs, their arguments, and what they print.
//!
//! Each verb is a file: it turns its arguments into requests for the node and the node's answers into
//! lines. [`args`] holds what all verbs share, [`values`] the parsers of numbers and sizes;
//! [`converse`] drives an exchange and renews it when the node dies; [`output`] is standard output,
//! [`talk`] standard error, [`json`] the shapes of `--json`. The verbs of names share [`standing`], the
//! words about a name, and [`listing`], lists in batches; [`new_file`] writes keys and proofs.
//!
//! Invariants: data goes to standard output and talk to standard error; a verb prints the same
//! whether this process owns the store or another does; nothing waits for longer than 2 s without
//! saying for what; names from strangers never reach a terminal unescaped. No verb touches the store
//! or the network itself.

use std::{ffi::OsString, io::Write as _, time::Duration};

use clap::{CommandFactory as _, FromArgMatches as _, error::ErrorKind};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{control::protocol::Failure, exit::Exit};

mod add;
mod args;
mod bwlimit;
mod car;
mod cat;
mod checkout;
mod completions;
mod context;
mod converse;
mod demo;
mod diff;
mod gc;
mod get;
mod input;
mod json;
mod list;
mod listing;
mod log;
mod mount;
mod name;
mod new_file;
mod output;
mod phase;
mod pin;
mod progress;
mod prove;
mod publish;
mod report;
mod resolve;
mod rm;
mod seed;
mod show;
mod standing;
mod stat;
mod talk;
mod values;
mod verify;
mod verify_proof;

use args::{Cli, Verb};
use context::Context;
use report::{End, Report};

/// A command line that was understood, and its verb as it was typed.
#[derive(Debug)]
pub struct Invocation(Cli, String);

/// The whole command, as `--help` and the completions describe it.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Understands the process's arguments and environment. Prints help, the version or what is wrong with
/// them, and then returns the code to end with.
///
/// # Errors
/// The process ends here: [`Exit::Usage`], or [`Exit::Done`] after help.
pub fn parse() -> Result<Invocation, Exit> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let error = match understood(&arguments) {
        Ok(invocation) => return Ok(invocation),
        Err(error) => error,
    };
    let _closed = error.print();
    if !error.use_stderr() {
        return Err(Exit::Done);
    }
    let options = arguments.iter().take_while(|argument| *argument != "--");
    if options.into_iter().any(|argument| argument == "--json") {
        let line = json::outcome(&Report::failed(Failure::usage(first_sentence(&error))));
        let _closed = std::io::stdout().write_all(&line);
    }
    Err(Exit::Usage)
}

fn understood(arguments: &[OsString]) -> Result<Invocation, clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    let verb = matches.subcommand_name().unwrap_or_default().to_owned();
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command()))?;
    Ok(Invocation(cli, verb))
}

/// What is wrong, without the advice that follows it.
fn first_sentence(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "a verb or an argument is missing".to_owned();
    }
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = first.split_whitespace().skip_while(|word| *word == "error:").collect();
    words.join(" ")
}

/// Does what was asked for and returns the code to end with.
pub async fn run(Invocation(cli, name): Invocation) -> Exit {
    let Cli { globals, verb } = cli;
    crate::node::call_this(format!("shoal {name}"));
    talk::start_log(&globals);
    let mut context = match Context::new(&globals, &verb) {
        Ok(context) => context,
        Err(failure) => {
            talk::Talk::new(&globals).failure(&failure);
            return failure.exit;
        }
    };
    if verb.minds_signals_itself() {
        let result = dispatch(&mut context, verb).await;
        return match Signals::catch() {
            Ok(mut signals) => context.conclude(result, signals.next()).await,
            Err(failure) => context.conclude(Err(failure.into()), async {}).await,
        };
    }
    let mut signals = match Signals::catch() {
        Ok(signals) => signals,
        Err(failure) => return context.conclude(Err(failure.into()), async {}).await,
    };
    let result = tokio::select! {
        result = dispatch(&mut context, verb) => result,
        () = signals.next() => {
            tokio::spawn(end_at_once(signals));
            end_in_time();
            return context.interrupted().await;
        }
    };
    context.conclude(result, signals.next()).await
}

async fn dispatch(context: &mut Context, verb: Verb) -> Result<Report, End> {
    match verb {
        Verb::Add(args) => add::run(context, args).await,
        Verb::Get(args) => get::run(context, args).await,
        Verb::Cat(args) => cat::run(context, args).await,
        Verb::Ls(args) => list::run(context, args).await,
        Verb::Stat(args) => stat::run(context, args).await,
        Verb::Rm(args) => rm::run(context, args).await,
        Verb::Pin(args) => pin::run(context, args).await,
        Verb::Car(args) => car::run(context, args).await,
        Verb::Verify(args) => verify::run(context, args).await,
        Verb::Gc(args) => gc::run(context, args).await,
        Verb::Seed(args) => seed::run(context, args).await,
        Verb::Name(args) => name::run(context, args).await,
        Verb::Publish(args) => publish::run(context, args).await,
        Verb::Rollback(args) => publish::rollback(context, args).await,
        Verb::Resolve(args) => resolve::run(context, args).await,
        Verb::Follow(args) => resolve::follow(context, args).await,
        Verb::Log(args) => log::run(context, args).await,
        Verb::Diff(args) => diff::run(context, args).await,
        Verb::Checkout(args) => checkout::run(context, args).await,
        Verb::Prove(args) => prove::run(context, args).await,
        Verb::VerifyProof(args) => verify_proof::run(context, args).await,
        Verb::Mount(args) => mount::run(context, args).await,
        Verb::Umount(args) => mount::unmount(&args),
        Verb::Id(_) => show::id(context).await,
        Verb::Peers(_) => show::peers(context).await,
        Verb::Status(_) => show::status(context).await,
        Verb::Bwlimit(args) => bwlimit::run(context, args).await,
        Verb::Demo(args) => demo::run(context, args).await,
        Verb::Completions(args) => completions::run(context, &args).await,
    }
}

/// The signals that ask a process to end: SIGINT, SIGTERM, and SIGHUP unless whoever started it had it
/// ignored, as `nohup` does.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Option<Signal>,
}

impl Signals {
    /// Catches them from now on.
    pub(crate) fn catch() -> Result<Self, Failure> {
        let catch = |kind| {
            signal(kind).map_err(|error| Failure::failed(format!("cannot catch signals: {error}")))
        };
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hang_up: (!hang_up_is_ignored()).then(|| catch(SignalKind::hangup())).transpose()?,
        })
    }

    /// Resolves at the next one. Cancel-safe.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = hung_up(self.hang_up.as_mut()) => {}
        }
    }
}

async fn hung_up(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether this process was started with SIGHUP ignored. The kernel's mask of ignored signals is the
/// one way to ask without changing it.
fn hang_up_is_ignored() -> bool {
    static IGNORED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *IGNORED.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        // The lowest bit is signal 1, SIGHUP.
        mask.is_some_and(|mask| mask & 1 == 1)
    })
}

/// How long an interrupted process may take to close what it holds. The node allows itself less.
const CLOSE_MAX: Duration = Duration::from_millis(1950);

/// After one signal: ends the process at the next.
async fn end_at_once(mut signals: Signals) {
    signals.next().await;
    std::process::exit(Exit::Interrupted.code().into());
}

/// Ends the process when closing takes too long. A thread, because the runtime, when it ends, waits for
/// work on the disk that no signal ends, and for nothing else.
fn end_in_time() {
    std::thread::spawn(|| {
        std::thread::sleep(CLOSE_MAX);
        std::process::exit(Exit::Interrupted.code().into());
    });
}
