//! Finding providers through the DHT, from two nodes to a chain of many.
//!
//! Publishing late and again, records over a restart, clients that are not asked, searches with
//! nobody to ask, and how many peers a search connects to. Only what nodes tell is looked at.

use std::time::{Duration, Instant};

use shoal_dag::Cid;
use shoal_net::{
    DialFailure, NetEvent, PeerId, ProvideError, ProviderRecord, QueryId, RecordChange,
};

use super::node::{Node, block};

/// Most peers that a fetch may connect to in a network of a hundred.
const DISTINCT_MAX: usize = 40;

async fn expect_provided(node: &mut Node) -> Result<usize, ProvideError> {
    node.expect(|event| match event {
        NetEvent::Provided { result, .. } => Some(result),
        _ => None,
    })
    .await
}

/// Runs a search until `wanted` is found, then stops it; the providers' addresses.
async fn find(node: &mut Node, cid: Cid, wanted: PeerId) -> Vec<shoal_net::Multiaddr> {
    let deadline = Instant::now() + super::node::PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "not found");
        let query = node.net.find_providers(cid).await;
        let found = node.expect(|event| match event {
            NetEvent::Providers { query: of, providers, .. } if of == query => {
                providers.into_iter().find(|(id, _)| *id == wanted).map(|found| Some(found.1))
            }
            NetEvent::QueryDone { query: of, .. } if of == query => Some(None),
            _ => None,
        });
        if let Some(addrs) = found.await {
            node.net.stop_query(query).await;
            expect_done(node, query).await;
            return addrs;
        }
    }
}

async fn expect_done(node: &mut Node, query: QueryId) -> (usize, u32) {
    node.expect(|event| match event {
        NetEvent::QueryDone { query: of, providers_found, asked, .. } if of == query => {
            Some((providers_found, asked))
        }
        _ => None,
    })
    .await
}

#[tokio::test]
async fn a_provider_is_found_through_a_peer_between() {
    let middle = Node::new(&[]).await;
    let mut provider = Node::new(&[&middle]).await;
    let cid = block(1, 100).0;
    provider.net.provide(cid).await;
    assert_eq!(expect_provided(&mut provider).await, Ok(1));
    let mut getter = Node::with(&[&middle], |config| {
        config.short_lived = true;
        config.server = false;
        config.listen.clear();
    })
    .await;
    let addrs = find(&mut getter, cid, provider.id()).await;
    assert!(!addrs.is_empty());
    getter.net.dial(provider.id(), addrs).await;
    getter.expect_up(provider.id()).await;
}

#[tokio::test]
async fn what_was_provided_alone_is_published_when_a_peer_appears() {
    let mut provider = Node::new(&[]).await;
    let cid = block(1, 100).0;
    provider.net.provide(cid).await;
    let mut other = Node::new(&[&provider]).await;
    assert_eq!(expect_provided(&mut provider).await, Ok(1));
    let put = other.expect(|event| match event {
        NetEvent::ProviderRecord { change: RecordChange::Put(record) } => Some(record),
        _ => None,
    });
    let put = put.await;
    assert_eq!((put.provider, put.key), (provider.id(), cid.hash().to_bytes()));
    assert!(!put.addrs.is_empty(), "a record without an address is of no use");
    find(&mut other, cid, provider.id()).await;
}

#[tokio::test]
async fn records_outlive_a_restart() {
    let cid = block(1, 100).0;
    let provider = Node::new(&[]).await;
    let record = |expires_unix_s| ProviderRecord {
        key: cid.hash().to_bytes(),
        provider: provider.id(),
        addrs: vec![provider.addr.clone()],
        expires_unix_s,
    };
    let mut keeper = Node::with(&[], |config| config.records = vec![record(u64::MAX >> 8)]).await;
    let addrs = find(&mut keeper, cid, provider.id()).await;
    assert_eq!(addrs, vec![provider.addr.clone()]);
    let mut late = Node::with(&[], |config| config.records = vec![record(1)]).await;
    let query = late.net.find_providers(cid).await;
    assert_eq!(expect_done(&mut late, query).await, (0, 0), "an expired record is forgotten");
}

#[tokio::test]
async fn with_nobody_to_ask_a_search_ends_at_once() {
    let gone = Node::new(&[]).await;
    gone.net.shutdown().await;
    for known in [&[][..], &[&gone]] {
        let mut alone = Node::new(known).await;
        let begun = Instant::now();
        let query = alone.net.find_providers(block(1, 1).0).await;
        assert_eq!(expect_done(&mut alone, query).await, (0, 0));
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_client_is_not_asked() {
    let mut server = Node::new(&[]).await;
    let mut client = Node::with(&[&server], |config| config.server = false).await;
    client.expect_up(server.id()).await;
    server.expect_up(client.id()).await;
    client.net.provide(block(1, 1).0).await;
    assert_eq!(expect_provided(&mut client).await, Ok(1));
    assert_eq!((client.net.known_peers(), server.net.known_peers()), (1, 0));
}

#[tokio::test]
async fn what_is_no_longer_provided_is_not_published() {
    let mut provider = Node::new(&[]).await;
    let (kept, given_up) = (block(1, 1).0, block(2, 1).0);
    for cid in [kept, given_up] {
        provider.net.provide(cid).await;
    }
    provider.net.unprovide(given_up).await;
    let mut other = Node::new(&[&provider]).await;
    assert_eq!(expect_provided(&mut provider).await, Ok(1));
    let query = other.net.find_providers(given_up).await;
    assert_eq!(expect_done(&mut other, query).await.0, 0);
}

/// A chain in which each peer is told only its predecessor becomes one DHT: content at one end is
/// found from the other by a peer that knows only the last.
async fn chain(length: usize) -> usize {
    let mut nodes: Vec<Node> = Vec::new();
    for _ in 0..length {
        let known: Vec<_> = nodes.last().into_iter().collect();
        let node = Node::new(&known).await;
        nodes.push(node);
    }
    let cid = block(1, 100).0;
    let provider = nodes[0].id();
    nodes[0].net.provide(cid).await;
    assert!(expect_provided(&mut nodes[0]).await.is_ok());
    let last = nodes.last().into_iter().collect::<Vec<_>>();
    let mut getter = Node::with(&last, |config| {
        config.short_lived = true;
        config.server = false;
    })
    .await;
    let addrs = find(&mut getter, cid, provider).await;
    let met = |node: &Node| node.met.lock().unwrap().contains(&provider);
    while !met(&getter) {
        getter.net.dial(provider, addrs.clone()).await;
        let outcome = getter.expect(|event| match event {
            NetEvent::PeerUp { id, .. } if id == provider => Some(None),
            NetEvent::DialFailed { reason, .. } => Some(Some(reason)),
            _ => None,
        });
        // In a crowd that has just met, a peer may have no room for a moment.
        let failed = outcome.await;
        assert!(matches!(failed, None | Some(DialFailure::Refused)), "{failed:?}");
    }
    getter.met.lock().unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_becomes_one_network() {
    let connected = chain(20).await;
    assert!(connected <= 22, "{connected}");
}

/// The figure for a hundred is asked for by name: it holds a thousand connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_of_as_many_as_told() {
    let length = std::env::var("SHOAL_CHAIN").ok().and_then(|text| text.parse().ok());
    let Some(length) = length else {
        println!("skipped: SHOAL_CHAIN does not say how many peers the chain shall have");
        return;
    };
    let begun = Instant::now();
    let connected = chain(length).await;
    println!("{length} peers: {connected} distinct peers connected, {:?}", begun.elapsed());
    assert!(connected <= DISTINCT_MAX, "{connected}");
}
