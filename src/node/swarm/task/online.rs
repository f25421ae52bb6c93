//! The network of the task: started with the first miss, or at once for a running peer.
//!
//! The node's key and what it kept for others are read from the store, on the blocking pool; the
//! addresses to listen on and to start from are those of the settings. A network that could not be
//! started is not tried again: the reason is told to everybody who needs it.

use std::{sync::Arc, time::Duration};

use shoal_net::{Keypair, Net, PeerInfo};
use shoal_store::Store;

use super::{Task, next_event};
use crate::node::swarm::{
    remembered::{self, Remembered},
    view::UNCONNECTED_MAX,
};
use crate::{
    config::{LISTEN_DEFAULT, LISTEN_ISOLATED_DEFAULT},
    control::protocol::Failure,
    node::{blocking, blocks::StoreBlocks, names::judge::Judge, records, unix_s},
};

/// Longest wait for the ports of addresses that are bound already: it takes milliseconds.
const LISTENING_MAX: Duration = Duration::from_secs(1);

impl Task {
    /// Starts the network where it is not up.
    pub(in crate::node::swarm) async fn go_online(&mut self) -> Result<Vec<String>, Failure> {
        if let Some(net) = &self.net {
            return Ok(addresses(net));
        }
        if let Some(failure) = &self.network_error {
            return Err(failure.clone());
        }
        match self.start_network().await {
            Ok(()) => Ok(self.net.as_ref().map(addresses).unwrap_or_default()),
            Err(failure) => {
                self.network_error = Some(failure.clone());
                Err(failure)
            }
        }
    }

    async fn start_network(&mut self) -> Result<(), Failure> {
        let store = self.store.clone();
        let network = format!("{:?}", self.settings.network);
        let kept = move || {
            let rows = records::peers(&store, &remembered::prefix(&network), remembered::PEERS_MAX);
            let peers = Remembered::read(&network, rows, unix_s());
            (keypair(&store), records::providers(&store), records::values(&store), peers)
        };
        let (keypair, providers, values, peers) = blocking(kept).await;
        self.remembered = peers;
        let mut config = shoal_net::Config::new(keypair?, self.settings.network);
        let listen = match self.settings.network {
            shoal_net::Network::Isolated => LISTEN_ISOLATED_DEFAULT,
            shoal_net::Network::Lan => LISTEN_DEFAULT,
        };
        config.listen = parse_addresses(&self.settings.listen)?;
        if config.listen.is_empty() {
            config.listen = parse_addresses(&[listen.to_owned()])?;
        }
        let addresses = config.listen.len();
        config.bootstrap = parse_addresses(&self.settings.bootstrap)?;
        config.server = self.persistent;
        config.short_lived = !self.persistent;
        config.limits.connections_max = self.settings.connections_max;
        (config.records, config.values) = (providers, values);
        let blocks = Arc::new(StoreBlocks::new(self.store.clone(), Arc::clone(&self.kept_error)));
        let (net, events) =
            shoal_net::start(config, blocks, Arc::new(Judge(Arc::clone(&self.names))))
                .await
                .map_err(|error| Failure::failed(error.to_string()))?;
        self.net = Some(net);
        self.events = Some(events);
        self.until_listening(addresses).await;
        self.published.reconcile(self.net.as_ref()).await;
        if let Some(net) = &self.net {
            self.names.connect(net.clone());
        }
        Ok(())
    }

    /// The addresses are bound, but which ports they have comes as events.
    async fn until_listening(&mut self, addresses: usize) {
        let until = tokio::time::Instant::now() + LISTENING_MAX;
        while self.net.as_ref().is_some_and(|net| net.listeners().len() < addresses) {
            let event = tokio::time::timeout_at(until, next_event(&mut self.events)).await;
            let Ok(Some(event)) = event else { return };
            self.net_event(event).await;
        }
    }
}

/// Addresses with the peer id, as others give them to `--bootstrap`.
pub(super) fn addresses(net: &Net) -> Vec<String> {
    let id = net.peer_id();
    net.listeners().into_iter().map(|address| format!("{address}/p2p/{id}")).collect()
}

/// The first peers to start from that are not connected: by their id, or without one by their address.
pub(super) fn unconnected(bootstrap: &[String], connected: &[PeerInfo]) -> Vec<String> {
    let reached = |text: &&String| {
        connected.iter().any(|info| match text.rsplit_once("/p2p/") {
            Some((_, id)) => info.id.to_string() == id,
            None => without_id(&info.addr.to_string()) == text.trim_end_matches('/'),
        })
    };
    bootstrap.iter().filter(|text| !reached(text)).take(UNCONNECTED_MAX).cloned().collect()
}

fn without_id(address: &str) -> &str {
    address.split_once("/p2p/").map_or(address, |(address, _)| address)
}

fn parse_addresses(texts: &[String]) -> Result<Vec<shoal_net::Multiaddr>, Failure> {
    let parse = |text: &String| {
        text.parse()
            .map_err(|error| Failure::usage(format!("{text:?} is no multiaddress: {error}")))
    };
    texts.iter().map(parse).collect()
}

/// The node's key: made once, kept in the store's secrets.
pub(crate) fn keypair(store: &Store) -> Result<Keypair, Failure> {
    let unusable = |error: &dyn std::fmt::Display| {
        Failure::failed(format!("the node's key in {} is unusable: {error}", store.dir().display()))
    };
    let fresh = || {
        let key = Keypair::generate_ed25519();
        key.to_protobuf_encoding().expect("an Ed25519 key has a protobuf form")
    };
    let bytes = store.read_or_create_secret("node.key", fresh).map_err(|error| unusable(&error))?;
    Keypair::from_protobuf_encoding(&bytes).map_err(|error| unusable(&error))
}
