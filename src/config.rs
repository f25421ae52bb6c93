//! Every knob of a node, once: its default, unit and meaning.
//!
//! A value comes from the command line, else the environment (`SHOAL_*`), else the default here.
//! `--help` prints these constants, and the help snapshots hold them in place. This module reads
//! neither arguments nor environment: `cli::args` does and builds [`Settings`].

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use shoal_net::Network;

pub mod bandwidth;

/// Longest time without progress before a fetch gives up: long enough for a lookup through a slow
/// DHT (60 s is the query timeout) and short enough for a person to wait.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_mins(1);

/// Network that a node joins when nothing is said: peers on the local network and peers named, until
/// the protections of the public network are built.
pub const NETWORK_DEFAULT: &str = "lan";

/// Address that a running peer listens on when nothing is said: any port on every interface.
pub const LISTEN_DEFAULT: &str = "/ip4/0.0.0.0/tcp/0";

/// Address that a node on the `isolated` network listens on when nothing is said.
pub const LISTEN_ISOLATED_DEFAULT: &str = "/ip4/127.0.0.1/tcp/0";

/// Fewest connections that a node may be held to: less would not hold a DHT lookup and a fetch.
pub const CONNECTIONS_MIN: u32 = 16;

/// Name of the profile that `add` uses when nothing is said.
pub const PROFILE_DEFAULT: &str = "shoal";

/// How long a fetched root is seeded on at most, counted while a peer serves: ten minutes, after which
/// what was not given back is forgiven (`swarm-spike`: leaving at once doubles the last finisher).
pub const SEED_ON_DEFAULT: Duration = Duration::from_mins(10);

/// What a node is told from outside.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The store's directory.
    pub dir: PathBuf,
    /// The network that it joins.
    pub network: Network,
    /// Multiaddresses of peers to start from, as given; each may end in `/p2p/PEERID`.
    pub bootstrap: Vec<String>,
    /// Multiaddresses to listen on; empty means the network's default.
    pub listen: Vec<String>,
    /// Bytes per second sent and received at most, by the time of the week.
    pub bandwidth: bandwidth::Timetable,
    /// Connections at once.
    pub connections_max: u32,
    /// Bytes that the store takes at most: what is not pinned is a cache, and goes.
    pub quota: Option<u64>,
    /// Longest time without progress.
    pub timeout: Duration,
    /// Name server for DNSLink, instead of the system's; from the environment variable `SHOAL_DNS` alone,
    /// `IP:PORT`.
    pub dns: Option<SocketAddr>,
}

impl Settings {
    /// The control socket of the store.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("control.sock")
    }
}
