//! The protocols of a node and their settings.
//!
//! identify and ping as everybody has them, Kademlia `/ipfs/kad/1.0.0` over our record store, mDNS
//! on a LAN, the native protocol, Bitswap, questions, gossip, and the limits. Kademlia's own republishing and its
//! walks are off: `publish` and `joining` do them. It keeps no record by itself either: each is
//! judged first (`events`). Peers enter the routing table by hand only, once identify has said that
//! they answer lookups.

use std::num::NonZeroUsize;
use std::time::Duration;

use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{StreamProtocol, identify, kad, mdns, ping};

use crate::bitswap;
use crate::config::{
    CONNECTIONS_PER_PEER_MAX, Config, Limits, NetError, Network, PENDING_INCOMING_MAX,
    PENDING_OUTGOING_MAX,
};
use crate::gate::DialGate;
use crate::gossip::{self, Door, Gossip};
use crate::native;
use crate::providers::{ProviderStore, RECORD_TTL};
use crate::questions;
use crate::quiet::Quiet;

/// The public DHT's protocol.
pub(super) const KAD_PROTOCOL: StreamProtocol = StreamProtocol::new("/ipfs/kad/1.0.0");
/// What identify says of the protocol family, as kubo does.
const IDENTIFY_VERSION: &str = "ipfs/0.1.0";
/// Bytes of a DHT message: twenty peers with many addresses do not fit the default of 16 KiB.
const KAD_PACKET_BYTES_MAX: usize = 64 << 10;
/// Requests under way in one lookup: the paper's alpha; design 4.4.
const KAD_ALPHA: NonZeroUsize = NonZeroUsize::new(3).expect("not zero");
/// Peers without the record that a lookup remembers: all that it was to be put to (k).
const KAD_WITHOUT_MAX: u16 = 20;
/// A lookup is given up after this.
const KAD_QUERY_TIMEOUT: Duration = Duration::from_mins(1);

/// Everything that runs on a connection; limits first, so that nothing is set up for nothing.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) limits: connection_limits::Behaviour,
    pub(super) gate: DialGate,
    pub(super) kad: kad::Behaviour<ProviderStore>,
    pub(super) identify: identify::Behaviour,
    pub(super) ping: ping::Behaviour,
    pub(super) mdns: Toggle<mdns::tokio::Behaviour>,
    pub(super) native: Toggle<native::Behaviour>,
    pub(super) bitswap: bitswap::Behaviour,
    pub(super) asking: questions::Behaviour,
    pub(super) answering: questions::Behaviour,
    pub(super) gossip: Quiet<Gossip>,
}

impl Behaviour {
    /// The protocols of a node with this configuration, and the door of its gossip.
    pub(super) fn new(
        config: Config,
        surroundings: native::Surroundings,
    ) -> Result<(Self, Door), NetError> {
        let local = config.keypair.public().to_peer_id();
        let mdns = match config.network {
            Network::Isolated => None,
            Network::Lan => Some(
                mdns::tokio::Behaviour::new(mdns::Config::default(), local)
                    .map_err(NetError::Mdns)?,
            ),
        };
        let identify = identify::Config::new(IDENTIFY_VERSION.into(), config.keypair.public())
            .with_agent_version(native::AGENT.into())
            .with_push_listen_addr_updates(true);
        let Limits { dials_per_second, dial_burst, .. } = config.limits;
        let store = ProviderStore::new(local, config.records);
        let mut kad = kad::Behaviour::with_config(local, store, kad_config());
        let mode = if config.server { kad::Mode::Server } else { kad::Mode::Client };
        kad.set_mode(Some(mode));
        let (gossip, door) = gossip::behaviour(config.keypair)?;
        let behaviour = Self {
            limits: connection_limits::Behaviour::new(limits(config.limits)),
            gate: DialGate::new(dials_per_second, dial_burst),
            kad,
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::default(),
            mdns: mdns.into(),
            bitswap: bitswap::Behaviour::new(surroundings.clone()),
            native: config.native.then(|| native::Behaviour::new(surroundings)).into(),
            asking: questions::asking(config.question_deadline),
            answering: questions::answering(config.question_deadline),
            gossip,
        };
        Ok((behaviour, door))
    }
}

fn limits(limits: Limits) -> ConnectionLimits {
    let total = limits.connections_max.max(2);
    ConnectionLimits::default()
        .with_max_established(Some(total))
        // The rest is for peers that we want ourselves.
        .with_max_established_incoming(Some(total - total / 4))
        .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_MAX))
        .with_max_pending_incoming(Some(PENDING_INCOMING_MAX))
        .with_max_pending_outgoing(Some(PENDING_OUTGOING_MAX))
}

fn kad_config() -> kad::Config {
    let mut config = kad::Config::new(KAD_PROTOCOL);
    config
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_provider_publication_interval(None)
        .set_provider_record_ttl(Some(RECORD_TTL))
        .set_parallelism(KAD_ALPHA)
        .set_query_timeout(KAD_QUERY_TIMEOUT)
        .set_max_packet_size(KAD_PACKET_BYTES_MAX)
        .set_caching(kad::Caching::Enabled { max_peers: KAD_WITHOUT_MAX })
        .set_periodic_bootstrap_interval(None);
    config
}
