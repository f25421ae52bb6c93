//! Value records in the DHT: put on one node, found by another, kept by those between.
//!
//! The judge is a toy that knows what a record is no better than the crate does: a value is
//! `[counter, ends in 8 bytes LE, anything]`, and a higher counter is newer.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use libp2p::{StreamProtocol, identify, kad};
use shoal_net::{
    Config, Judgement, Multiaddr, NetEvent, PeerId, ProvideError, QueryId, Records, ValueChange,
};

use super::node::Node;
use super::stranger::Stranger;

const KEY: &[u8] = b"/toy/key";

/// Judges by the first byte.
#[derive(Debug)]
pub(crate) struct Counter;

impl Records for Counter {
    fn judge(&self, _: &[u8], value: &[u8], kept: Option<&[u8]>) -> Judgement {
        let Some(ends) = value.get(1..9) else { return Judgement::Invalid };
        let ends_unix_s = u64::from_le_bytes(ends.try_into().unwrap());
        match kept {
            _ if ends_unix_s <= now_unix_s() => Judgement::Invalid,
            Some(kept) if kept[0] >= value[0] => Judgement::Older,
            _ => Judgement::Newer { ends_unix_s },
        }
    }
}

fn now_unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A value that lives longer than this protocol.
fn value(counter: u8) -> Vec<u8> {
    value_until(counter, u64::MAX >> 8)
}

fn value_until(counter: u8, ends_unix_s: u64) -> Vec<u8> {
    let mut value = vec![counter];
    value.extend(ends_unix_s.to_le_bytes());
    value
}

async fn judging(known: &[&Node]) -> Node {
    Node::judging(known, Counter, |_| {}).await
}

fn client(config: &mut Config) {
    config.short_lived = true;
    config.server = false;
    config.listen.clear();
}

async fn expect_put(node: &mut Node) -> Result<usize, ProvideError> {
    node.expect(|event| match event {
        NetEvent::ValuePut { key, result } => {
            assert_eq!(key, KEY);
            Some(result)
        }
        _ => None,
    })
    .await
}

async fn expect_kept(node: &mut Node) -> ValueChange {
    node.expect(|event| match event {
        NetEvent::ValueRecord { change } => Some(change),
        _ => None,
    })
    .await
}

fn kept(value: Vec<u8>) -> ValueChange {
    ValueChange::Put { key: KEY.to_vec(), value }
}

/// How a search ended.
#[derive(Debug, Default)]
struct Searched {
    values: Vec<(Vec<u8>, Option<PeerId>)>,
    asked: u32,
    answered: u32,
    without: Vec<PeerId>,
}

/// Runs a search to its own end.
async fn search(node: &mut Node) -> Searched {
    let query = node.net.find_value(KEY.to_vec()).await;
    finish(node, query).await
}

async fn finish(node: &mut Node, query: QueryId) -> Searched {
    let mut searched = Searched::default();
    let values = &mut searched.values;
    let (asked, answered, without) = node
        .expect(|event| match event {
            NetEvent::Value { query: of, key, value, from } if of == query => {
                assert_eq!(key, KEY);
                values.push((value, from));
                None
            }
            NetEvent::ValueDone { query: of, asked, answered, without } if of == query => {
                Some((asked, answered, without))
            }
            _ => None,
        })
        .await;
    Searched { asked, answered, without, ..searched }
}

#[tokio::test]
async fn what_one_puts_another_finds_through_a_third() {
    let mut b = judging(&[]).await;
    let mut a = judging(&[&b]).await;
    a.net.put_value(KEY.to_vec(), value(1)).await;
    assert_eq!(expect_put(&mut a).await, Ok(1));
    assert_eq!(expect_kept(&mut b).await, kept(value(1)));
    a.net.shutdown().await;
    let mut c = Node::judging(&[&b], Counter, client).await;
    let searched = search(&mut c).await;
    assert_eq!(searched.values, [(value(1), Some(b.id()))]);
    assert!(searched.answered >= 1 && searched.asked >= searched.answered);
    assert!(!searched.without.contains(&b.id()));
}

#[tokio::test]
async fn who_is_asked_directly_has_its_own() {
    let a = judging(&[]).await;
    a.net.put_value(KEY.to_vec(), value(1)).await;
    let mut c = Node::judging(&[&a], Counter, client).await;
    assert_eq!(search(&mut c).await.values, [(value(1), Some(a.id()))]);
}

#[tokio::test]
async fn a_short_lived_client_puts_too() {
    let mut b = judging(&[]).await;
    let mut a = Node::judging(&[&b], Counter, client).await;
    a.net.put_value(KEY.to_vec(), value(1)).await;
    assert_eq!(expect_put(&mut a).await, Ok(1));
    assert_eq!(expect_kept(&mut b).await, kept(value(1)));
    let searched = search(&mut a).await;
    assert_eq!(searched.values, [(value(1), None)], "its own first, and the same only once");
}

#[tokio::test]
async fn an_older_value_never_replaces_a_newer() {
    let mut b = judging(&[]).await;
    let mut a = judging(&[&b]).await;
    let mut late = judging(&[&a, &b]).await;
    a.expect_known(2).await;
    a.net.put_value(KEY.to_vec(), value(5)).await;
    assert_eq!(expect_put(&mut a).await, Ok(2));
    assert_eq!(expect_kept(&mut b).await, kept(value(5)));
    assert_eq!(expect_kept(&mut late).await, kept(value(5)));
    late.net.put_value(KEY.to_vec(), value(4)).await;
    assert!(expect_put(&mut late).await.is_ok());
    late.net.put_value_to(KEY.to_vec(), value(3), vec![b.id()]).await;
    // The one after shows that those before have been judged.
    a.net.put_value(KEY.to_vec(), value(6)).await;
    assert_eq!(expect_put(&mut a).await, Ok(2), "a new value is put at once");
    assert_eq!(expect_kept(&mut b).await, kept(value(6)));
    let searched = search(&mut late).await;
    assert!(searched.values.iter().all(|(found, _)| *found == value(6)), "{searched:?}");
}

#[tokio::test]
async fn a_value_that_is_replaced_at_once_is_not_waited_for() {
    let mut b = judging(&[]).await;
    let mut a = judging(&[&b]).await;
    a.expect_known(1).await;
    for counter in 1..=9 {
        a.net.put_value(KEY.to_vec(), value(counter)).await;
    }
    while expect_kept(&mut b).await != kept(value(9)) {}
    assert_eq!(expect_put(&mut a).await, Ok(1));
}

#[tokio::test]
async fn what_was_put_alone_goes_out_when_a_peer_appears() {
    let mut a = judging(&[]).await;
    a.net.put_value(KEY.to_vec(), value(1)).await;
    a.net.put_value(KEY.to_vec(), value(2)).await;
    a.net.put_value(b"/toy/given up".to_vec(), value(1)).await;
    a.net.forget_value(b"/toy/given up".to_vec()).await;
    let mut b = judging(&[&a]).await;
    assert_eq!(expect_put(&mut a).await, Ok(1));
    assert_eq!(expect_kept(&mut b).await, kept(value(2)));
}

#[tokio::test]
async fn what_has_run_out_or_is_no_record_is_not_put() {
    let mut a = judging(&[]).await;
    for (value, error) in [
        (value_until(1, now_unix_s()), ProvideError::Expired),
        (b"short".to_vec(), ProvideError::Expired),
        (vec![0; (10 << 10) + 1], ProvideError::BadKey),
    ] {
        a.net.put_value(KEY.to_vec(), value).await;
        assert_eq!(expect_put(&mut a).await, Err(error));
    }
    // It was valid when it was given, and is not when the first peer comes.
    let soon = now_unix_s() + 1;
    a.net.put_value(KEY.to_vec(), value_until(1, soon)).await;
    while now_unix_s() < soon {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut b = judging(&[&a]).await;
    assert_eq!(expect_put(&mut a).await, Err(ProvideError::Expired));
    let searched = search(&mut b).await;
    assert_eq!(searched.values, []);
    assert_eq!(searched.without, [a.id()]);
}

#[tokio::test]
async fn an_expired_record_is_not_served() {
    let mut b = judging(&[]).await;
    let mut a = judging(&[&b]).await;
    let soon = now_unix_s() + 2;
    a.net.put_value(KEY.to_vec(), value_until(1, soon)).await;
    assert_eq!(expect_put(&mut a).await, Ok(1));
    expect_kept(&mut b).await;
    assert_eq!(search(&mut b).await.values.len(), 1);
    while now_unix_s() < soon {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(search(&mut b).await.values, []);
    let mut c = Node::judging(&[&a, &b], Counter, client).await;
    assert_eq!(search(&mut c).await.values, []);
}

#[tokio::test]
async fn records_outlive_a_restart_and_are_judged_again() {
    let values = vec![
        (KEY.to_vec(), value(1)),
        (b"/toy/expired".to_vec(), value_until(1, 1)),
        (b"/toy/garbage".to_vec(), vec![1]),
    ];
    let mut b = Node::judging(&[], Counter, |config| config.values = values).await;
    let mut removed = Vec::new();
    while removed.len() < 2 {
        let ValueChange::Remove { key } = expect_kept(&mut b).await else {
            panic!("what is kept is known")
        };
        removed.push(key);
    }
    assert_eq!(removed, [b"/toy/expired".to_vec(), b"/toy/garbage".to_vec()]);
    assert_eq!(search(&mut b).await.values, [(value(1), None)]);
    let mut c = judging(&[&b]).await;
    assert_eq!(search(&mut c).await.values, [(value(1), Some(b.id()))]);
}

#[tokio::test]
async fn with_nobody_to_ask_a_search_ends_at_once() {
    let gone = judging(&[]).await;
    gone.net.shutdown().await;
    for known in [&[][..], &[&gone]] {
        let mut alone = judging(known).await;
        let begun = Instant::now();
        let searched = search(&mut alone).await;
        assert_eq!((searched.asked, searched.values.len(), searched.without.len()), (0, 0, 0));
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        let query = alone.net.find_value(vec![0; 129]).await;
        assert_eq!(finish(&mut alone, query).await.asked, 0, "no such key");
    }
}

#[tokio::test]
async fn a_search_can_be_stopped() {
    let b = judging(&[]).await;
    let mut a = judging(&[&b]).await;
    let query = a.net.find_value(KEY.to_vec()).await;
    a.net.stop_query(query).await;
    finish(&mut a, query).await;
}

#[tokio::test]
async fn a_node_that_judges_nothing_keeps_nothing() {
    let b = Node::new(&[]).await;
    let mut a = judging(&[&b]).await;
    a.net.put_value(KEY.to_vec(), value(1)).await;
    assert_eq!(expect_put(&mut a).await, Ok(1), "it was put to whom it concerns");
    let mut c = Node::judging(&[&b], Counter, client).await;
    let searched = search(&mut c).await;
    assert!(searched.values.iter().all(|(_, from)| *from != Some(b.id())));
    assert!(searched.without.contains(&b.id()));
}

/// A DHT server that answers every question for a record with this one.
async fn liar(value: Vec<u8>) -> Stranger {
    let id = libp2p::identity::Keypair::generate_ed25519();
    Stranger::with_identity(id, |key| {
        let local = key.public().to_peer_id();
        let mut store = kad::store::MemoryStore::new(local);
        let record = kad::Record::new(KEY.to_vec(), value);
        kad::store::RecordStore::put(&mut store, record).unwrap();
        let config = kad::Config::new(StreamProtocol::new("/ipfs/kad/1.0.0"));
        let mut kad = kad::Behaviour::with_config(local, store, config);
        kad.set_mode(Some(kad::Mode::Server));
        let identify = identify::Config::new("ipfs/0.1.0".into(), key.public());
        Both { kad, identify: identify::Behaviour::new(identify) }
    })
    .await
}

#[derive(libp2p::swarm::NetworkBehaviour)]
struct Both {
    kad: kad::Behaviour<kad::store::MemoryStore>,
    identify: identify::Behaviour,
}

#[tokio::test]
async fn every_distinct_value_is_told_and_who_has_an_older_one() {
    let mut a = judging(&[]).await;
    let liars = [
        liar(value(1)).await,
        liar(value(3)).await,
        liar(value(3)).await,
        liar(b"garbage".to_vec()).await,
        liar(vec![0; (10 << 10) + 1]).await,
    ];
    for stranger in &liars {
        let addr: Multiaddr = stranger.addr.clone();
        a.net.dial(stranger.id, vec![addr]).await;
    }
    a.expect_known(liars.len()).await;
    let searched = search(&mut a).await;
    let mut values: Vec<_> = searched.values.iter().map(|(value, _)| value.clone()).collect();
    values.sort_unstable();
    assert_eq!(values, [value(1), value(3), b"garbage".to_vec()]);
    let mut without = searched.without;
    without.sort_unstable();
    let mut expected = vec![liars[0].id, liars[3].id];
    expected.sort_unstable();
    assert_eq!(without, expected, "they are to be given the newest");
    a.net.put_value_to(KEY.to_vec(), value(3), without).await;
    let corrected = async {
        while search(&mut a).await.values.len() > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(super::node::PATIENCE, corrected).await.expect("it is corrected");
}
