//! The command line's grammar: the verbs and the options that all of them take.
//!
//! Options of one verb stand in the verb's file. Defaults come from [`crate::config`], so that help
//! and behaviour cannot differ; an option that is not given comes from its environment variable.

use std::{fmt::Write as _, net::SocketAddr, path::PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use shoal_net::{CONNECTIONS_DEFAULT, CONNECTIONS_MAX, Network};

use super::{
    add, bwlimit, car, cat, checkout, completions, demo, diff, gc, get, list, log, mount, name,
    pin, prove, publish, resolve, rm, seed, show, stat,
    values::{self, Quota, Timeout},
    verify, verify_proof,
};
use crate::{
    config::{
        CONNECTIONS_MIN, LISTEN_DEFAULT, LISTEN_ISOLATED_DEFAULT, NETWORK_DEFAULT, Settings,
        TIMEOUT_DEFAULT, bandwidth::Timetable,
    },
    control::protocol::{Failure, Wait},
    exit::Exit,
};

/// Share files by their content, from peer to peer
///
/// Add files and get a CID; on any other peer that CID gets the files back, found through the peers
/// themselves, fetched from several at once and verified block by block.
#[derive(Debug, Parser)]
#[command(name = "shoal", version, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(disable_help_subcommand = true, infer_subcommands = false)]
#[command(after_help = after_help(), after_long_help = after_help())]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What is asked for.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Add(add::AddArgs),
    Rm(rm::RmArgs),
    Get(get::GetArgs),
    Cat(cat::CatArgs),
    Ls(list::ListArgs),
    Stat(stat::StatArgs),
    Pin(pin::PinArgs),
    Car(car::CarArgs),
    Verify(verify::VerifyArgs),
    Gc(gc::GcArgs),
    Seed(seed::SeedArgs),
    Name(name::NameArgs),
    Publish(publish::PublishArgs),
    Rollback(publish::RollbackArgs),
    Resolve(resolve::ResolveArgs),
    Follow(resolve::FollowArgs),
    Log(log::LogArgs),
    Diff(diff::DiffArgs),
    Checkout(checkout::CheckoutArgs),
    Prove(prove::ProveArgs),
    VerifyProof(verify_proof::VerifyProofArgs),
    Mount(mount::MountArgs),
    Umount(mount::UmountArgs),
    Id(show::IdArgs),
    Peers(show::PeersArgs),
    Status(show::StatusArgs),
    Bwlimit(bwlimit::BwlimitArgs),
    Demo(demo::DemoArgs),
    Completions(completions::CompletionsArgs),
}

impl Verb {
    /// It ends itself on SIGINT and SIGTERM, as what stays in the foreground must.
    pub(crate) const fn minds_signals_itself(&self) -> bool {
        matches!(self, Self::Seed(_) | Self::Mount(_) | Self::Demo(_))
    }

    /// Its standard output is bytes, not lines: `--json` tells the outcome on standard error.
    pub(crate) const fn writes_bytes(&self) -> bool {
        match self {
            Self::Cat(_) | Self::Completions(_) => true,
            Self::Car(args) => args.writes_bytes(),
            _ => false,
        }
    }

    /// It goes on where it stopped when it is run again.
    pub(crate) const fn resumes(&self) -> bool {
        matches!(self, Self::Get(_) | Self::Pin(_) | Self::Checkout(_))
    }

    /// Words for what its progress counts.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Add(_) | Self::Publish(_) => "added",
            Self::Seed(_) => "read",
            Self::Car(args) => args.label(),
            Self::Verify(_) => "checked",
            _ => "fetched",
        }
    }
}

/// Options of every verb, before or after it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Directory of the store [default: $XDG_DATA_HOME/shoal, else ~/.local/share/shoal]
    #[arg(long, global = true, value_name = "DIR", env = "SHOAL_DIR", hide_env_values = true)]
    pub(crate) dir: Option<PathBuf>,

    /// Network to join: lan (peers nearby and peers named) or isolated (peers named, no others)
    #[arg(long, global = true, value_name = "NAME", env = "SHOAL_NETWORK", hide_env_values = true)]
    #[arg(default_value = NETWORK_DEFAULT, value_parser = values::network)]
    pub(crate) network: Network,

    /// Peer to start from, repeatable; in the environment separated by commas
    #[arg(long, global = true, value_name = "MULTIADDR", env = "SHOAL_BOOTSTRAP")]
    #[arg(hide_env_values = true, value_delimiter = ',', value_parser = values::multiaddr)]
    pub(crate) bootstrap: Vec<String>,

    #[arg(long, global = true, value_name = "MULTIADDR", env = "SHOAL_LISTEN")]
    #[arg(hide_env_values = true, value_delimiter = ',', value_parser = values::multiaddr)]
    #[arg(help = format!(
        "Address to listen on, repeatable [default: {LISTEN_DEFAULT}, when isolated \
         {LISTEN_ISOLATED_DEFAULT}]"
    ))]
    pub(crate) listen: Vec<String>,

    /// Bytes per second to send and to receive at most, with K, M or G; `off` is no limit. Or a
    /// timetable such as "08:00,512K:1M 23:00,off", see `shoal bwlimit` [default: off]
    #[arg(long, global = true, value_name = "UP:DOWN", env = "SHOAL_BWLIMIT")]
    #[arg(hide_env_values = true, value_parser = values::bwlimit)]
    pub(crate) bwlimit: Option<Timetable>,

    #[arg(long, global = true, value_name = "N", env = "SHOAL_CONNECTIONS")]
    #[arg(hide_env_values = true, default_value_t = CONNECTIONS_DEFAULT)]
    #[arg(value_parser = clap::value_parser!(u32).range(i64::from(CONNECTIONS_MIN)..=i64::from(CONNECTIONS_MAX)))]
    #[arg(help = format!(
        "Connections to other peers at once, from {CONNECTIONS_MIN} to {CONNECTIONS_MAX}"
    ))]
    pub(crate) connections: u32,

    /// Bytes that the store takes at most, with K, M or G: unpinned content is a cache that fits into
    /// what pins leave; `off` is no limit [default: off]
    #[arg(long, global = true, value_name = "SIZE", env = "SHOAL_QUOTA", hide_env_values = true)]
    #[arg(value_parser = values::quota)]
    pub(crate) quota: Option<Quota>,

    /// Longest time without progress before giving up, such as 500ms, 5s, 2m or 1h
    #[arg(long, global = true, value_name = "TIME", env = "SHOAL_TIMEOUT", hide_env_values = true)]
    #[arg(default_value_t = Timeout(TIMEOUT_DEFAULT), value_parser = values::timeout)]
    pub(crate) timeout: Timeout,

    /// Print one JSON object a line, the last one the outcome
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Print no progress, phases or notes; errors only
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,

    /// Log more to standard error, repeatable; RUST_LOG overrides
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Colour messages; auto honours NO_COLOR
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = Colour::Auto)]
    pub(crate) color: Colour,
}

/// When messages are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    Auto,
    Always,
    Never,
}

impl Globals {
    /// What the node is told.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        Ok(Settings {
            dir: self.absolute_dir()?,
            network: self.network,
            bootstrap: given(&self.bootstrap),
            listen: given(&self.listen),
            bandwidth: self.bwlimit.clone().unwrap_or_default(),
            connections_max: self.connections,
            quota: self.quota.and_then(|quota| quota.0),
            timeout: self.timeout.0,
            dns: dns()?,
        })
    }

    fn absolute_dir(&self) -> Result<PathBuf, Failure> {
        let from = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let dir = match &self.dir {
            Some(dir) => dir.clone(),
            None => from("XDG_DATA_HOME")
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
                .or_else(|| from("HOME").map(|home| PathBuf::from(home).join(".local/share")))
                .ok_or_else(|| Failure::usage("there is no HOME").hint("say --dir DIR"))?
                .join("shoal"),
        };
        std::path::absolute(&dir).map_err(|error| Failure::io("use the store", &dir, &error))
    }

    /// How long the node may wait for the network.
    pub(crate) fn wait(&self) -> Wait {
        Wait { idle_ms: self.timeout.0.as_millis() as u64 }
    }
}

/// The name server of the environment.
fn dns() -> Result<Option<SocketAddr>, Failure> {
    let Some(text) = std::env::var("SHOAL_DNS").ok().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let wrong = || Failure::usage(format!("SHOAL_DNS is {text:?}, and not an address IP:PORT"));
    text.parse().map(Some).map_err(|_| wrong())
}

fn given(addresses: &[String]) -> Vec<String> {
    addresses.iter().filter(|address| !address.is_empty()).cloned().collect()
}

fn after_help() -> String {
    let mut text = String::from(
        "Examples:\n  \
         shoal add photos               add a directory; prints its CID\n  \
         shoal seed                     serve what was added, until Ctrl-C\n  \
         shoal get CID -o photos        fetch it on another machine\n  \
         shoal cat CID/a.txt | head     read one file of it\n  \
         shoal mount CID /mnt           read it through a mounted drive\n  \
         shoal name new notes           make a name; prints it as others know it\n  \
         shoal publish notes photos     sign a new version of it\n  \
         shoal resolve notes            print its current path; any verb takes notes or notes@3\n  \
         shoal log notes                list its versions\n\n\
         Exit codes:\n",
    );
    for (exit, words) in Exit::ALL {
        writeln!(text, "{:>5}  {words}", exit.code()).expect("writing to a string cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    #[track_caller]
    fn parsed(line: &str) -> Cli {
        Cli::try_parse_from(line.split(' ')).unwrap()
    }

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    /// An argument of the same id would be taken for the global option.
    #[track_caller]
    fn keeps_clear_of_globals(command: &clap::Command, globals: &[&str]) {
        for verb in command.get_subcommands() {
            let clash = verb.get_arguments().find(|argument| {
                !argument.is_global_set() && globals.contains(&argument.get_id().as_str())
            });
            assert!(clash.is_none(), "{} has {clash:?}", verb.get_name());
            keeps_clear_of_globals(verb, globals);
        }
    }

    #[test]
    fn no_verb_hides_a_global_option() {
        let command = Cli::command();
        let globals = command.get_arguments().filter(|argument| argument.is_global_set());
        let globals: Vec<&str> = globals.map(|argument| argument.get_id().as_str()).collect();
        assert!(globals.len() > 8, "{globals:?}");
        keeps_clear_of_globals(&command, &globals);
    }

    #[test]
    fn global_options_stand_before_or_after_the_verb() {
        for line in [
            "shoal --dir /s --network isolated --timeout 5s --json -q --bwlimit 1M:2M ls X",
            "shoal ls X --dir /s --network isolated --timeout 5s --json -q --bwlimit 1M:2M",
            "shoal --dir /s --json ls --network isolated X --timeout 5s --bwlimit 1M:2M -q",
        ] {
            let globals = parsed(line).globals;
            let settings = globals.settings().unwrap();
            assert_eq!(settings.dir, PathBuf::from("/s"));
            assert!(matches!(settings.network, Network::Isolated));
            assert_eq!(settings.bandwidth.to_string(), "1M:2M");
            assert_eq!(settings.connections_max, CONNECTIONS_DEFAULT);
            assert_eq!(globals.wait().idle_ms, 5000);
            assert!(globals.json && globals.quiet);
        }
    }

    #[test]
    fn addresses_repeat_and_split_at_commas() {
        let line = "shoal seed --bootstrap /ip4/127.0.0.1/tcp/1,/ip4/127.0.0.1/tcp/2 \
                    --bootstrap /ip4/127.0.0.1/tcp/3 --listen=";
        let settings = parsed(line).globals.settings().unwrap();
        assert_eq!(settings.bootstrap.len(), 3);
        assert!(settings.listen.is_empty());
    }
}
