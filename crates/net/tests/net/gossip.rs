//! Gossip: to a neighbour, through a middle, and what is not passed on.
//!
//! A test cannot see when a subscription has reached the other side, so messages are sent, each
//! with other bytes, until one arrives; how long that took is what counts. Outer nodes are clients,
//! which the DHT does not bring together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use shoal_net::{Config, GossipId, GossipVerdict, NetEvent, PeerId};

use super::node::Node;

const TOPIC: &str = "/record/dG95";
const VERDICTS_MAX: usize = 256;

/// Makes every message another one.
static SENT: AtomicU64 = AtomicU64::new(0);

fn client(config: &mut Config) {
    config.short_lived = true;
    config.server = false;
}

/// A message as a node saw it.
#[derive(Debug)]
struct Heard {
    from: PeerId,
    gossip: GossipId,
    bytes: Vec<u8>,
}

async fn hear(node: &mut Node) -> Heard {
    node.expect(|event| match event {
        NetEvent::Gossip { topic, from, gossip, bytes } => {
            assert_eq!(topic, TOPIC);
            Some(Heard { from, gossip, bytes })
        }
        _ => None,
    })
    .await
}

/// Sends messages that begin with `mark` until the other hears one of them.
async fn deliver(sender: &Node, hearer: &mut Node, mark: u8) -> Heard {
    let send = async {
        loop {
            let n = SENT.fetch_add(1, Ordering::Relaxed);
            let bytes = [&[mark][..], &n.to_le_bytes()].concat();
            sender.net.gossip(TOPIC.to_owned(), bytes).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let heard = async {
        loop {
            let heard = hear(hearer).await;
            if heard.bytes[0] == mark {
                return heard;
            }
        }
    };
    tokio::select! {
        () = send => unreachable!("it goes on"),
        heard = heard => heard,
    }
}

/// A sender, a subscriber that knows it, and a subscriber that knows only the one before.
async fn line() -> (Node, Node, Node) {
    let mut middle = Node::new(&[]).await;
    middle.net.subscribe(TOPIC.to_owned()).await;
    let sender = Node::with(&[&middle], client).await;
    let end = Node::with(&[&middle], client).await;
    end.net.subscribe(TOPIC.to_owned()).await;
    middle.expect_up(sender.id()).await;
    (sender, middle, end)
}

#[tokio::test]
async fn a_subscriber_that_just_connected_hears_within_a_second() {
    let mut sender = Node::new(&[]).await;
    let mut hearer = Node::with(&[&sender], client).await;
    hearer.net.subscribe(TOPIC.to_owned()).await;
    sender.expect_up(hearer.id()).await;
    let up = Instant::now();
    let heard = deliver(&sender, &mut hearer, 1).await;
    assert!(up.elapsed() < Duration::from_secs(1), "{:?}", up.elapsed());
    assert_eq!(heard.from, sender.id());
    // And once the subscription is known, every message at once.
    for n in 0..10 {
        let sent = Instant::now();
        sender.net.gossip(TOPIC.to_owned(), vec![2, n]).await;
        while hear(&mut hearer).await.bytes != [2, n] {}
        assert!(sent.elapsed() < Duration::from_millis(500), "{:?}", sent.elapsed());
    }
}

#[tokio::test]
async fn a_message_goes_on_through_a_middle_within_two_seconds() {
    let (sender, mut middle, mut end) = line().await;
    let begun = Instant::now();
    let pass_on = async {
        loop {
            let heard = hear(&mut middle).await;
            assert_eq!(heard.from, sender.id());
            middle.net.judge_gossip(heard.gossip, GossipVerdict::Accept).await;
        }
    };
    let middle_id = middle_id(&end).await;
    let heard = tokio::select! {
        () = pass_on => unreachable!("it goes on"),
        heard = deliver(&sender, &mut end, 1) => heard,
    };
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(heard.from, middle_id);
}

/// The only peer of a node.
async fn middle_id(node: &Node) -> PeerId {
    node.expect_known(1).await;
    let connected = node.net.connected();
    assert_eq!(connected.len(), 1, "the ends do not meet");
    connected[0].id
}

/// Sends until both have heard something, the end through the middle.
async fn warm_up(sender: &Node, middle: &mut Node, end: &mut Node) {
    loop {
        let heard = deliver(sender, middle, 0).await;
        middle.net.judge_gossip(heard.gossip, GossipVerdict::Accept).await;
        if tokio::time::timeout(Duration::from_millis(200), hear(end)).await.is_ok() {
            return;
        }
    }
}

#[tokio::test]
async fn what_is_not_accepted_is_not_passed_on() {
    let (sender, mut middle, mut end) = line().await;
    warm_up(&sender, &mut middle, &mut end).await;
    let verdicts = [Some(GossipVerdict::Reject), Some(GossipVerdict::Ignore), None];
    for (mark, verdict) in (1..).zip(verdicts) {
        let heard = deliver(&sender, &mut middle, mark).await;
        if let Some(verdict) = verdict {
            middle.net.judge_gossip(heard.gossip, verdict).await;
            // A second word does not change the first.
            middle.net.judge_gossip(heard.gossip, GossipVerdict::Accept).await;
        }
    }
    let heard = deliver(&sender, &mut middle, 9).await;
    middle.net.judge_gossip(heard.gossip, GossipVerdict::Accept).await;
    let mut heard = hear(&mut end).await;
    while heard.bytes[0] == 0 {
        heard = hear(&mut end).await;
    }
    assert_eq!(heard.bytes[0], 9, "none of those before");
}

#[tokio::test]
async fn verdicts_that_are_waited_for_are_bounded() {
    let (sender, mut middle, mut end) = line().await;
    warm_up(&sender, &mut middle, &mut end).await;
    let first = deliver(&sender, &mut middle, 1).await;
    let mut last = None;
    for _ in 0..VERDICTS_MAX {
        last = Some(deliver(&sender, &mut middle, 2).await);
    }
    middle.net.judge_gossip(first.gossip, GossipVerdict::Accept).await;
    middle.net.judge_gossip(last.unwrap().gossip, GossipVerdict::Accept).await;
    let mut heard = hear(&mut end).await;
    while heard.bytes[0] == 0 {
        heard = hear(&mut end).await;
    }
    assert_eq!(heard.bytes[0], 2, "the first had been forgotten");
}

#[tokio::test]
async fn the_same_bytes_are_heard_once() {
    let mut hearer = Node::new(&[]).await;
    hearer.net.subscribe(TOPIC.to_owned()).await;
    let senders = [Node::with(&[&hearer], client).await, Node::with(&[&hearer], client).await];
    for (mark, sender) in (1..).zip(&senders) {
        deliver(sender, &mut hearer, mark).await;
    }
    for sender in [&senders[0], &senders[1], &senders[0]] {
        sender.net.gossip(TOPIC.to_owned(), b"same".to_vec()).await;
    }
    // What each sends last shows that what it sent before has come.
    let mut same = 0;
    for (mark, sender) in (101..).zip(&senders) {
        sender.net.gossip(TOPIC.to_owned(), vec![mark]).await;
    }
    let mut lasts = 0;
    while lasts < senders.len() {
        match &hear(&mut hearer).await.bytes[..] {
            b"same" => same += 1,
            [101 | 102] => lasts += 1,
            _ => {}
        }
    }
    assert_eq!(same, 1);
}

#[tokio::test]
async fn what_nobody_hears_is_gone() {
    let mut sender = Node::new(&[]).await;
    sender.net.gossip(TOPIC.to_owned(), b"early".to_vec()).await;
    let mut hearer = Node::with(&[&sender], client).await;
    hearer.net.subscribe(TOPIC.to_owned()).await;
    sender.expect_up(hearer.id()).await;
    let heard = deliver(&sender, &mut hearer, 1).await;
    assert_eq!(heard.bytes[0], 1);
    // The same bytes can be said again, since nobody has heard them.
    sender.net.gossip(TOPIC.to_owned(), b"early".to_vec()).await;
    while hear(&mut hearer).await.bytes != b"early" {}
}

#[tokio::test]
async fn only_what_was_subscribed_to_is_heard() {
    let other = "/record/b3RoZXI";
    let sender = Node::new(&[]).await;
    let mut hearer = Node::with(&[&sender], client).await;
    for topic in [TOPIC, other, "chat"] {
        hearer.net.subscribe(topic.to_owned()).await;
    }
    deliver(&sender, &mut hearer, 1).await;
    hearer.net.unsubscribe(other.to_owned()).await;
    for (topic, bytes) in [
        (other, vec![2]),
        ("chat", vec![3]),
        (TOPIC, vec![0; (16 << 10) + 1]),
        (TOPIC, vec![7; 16 << 10]),
    ] {
        sender.net.gossip(topic.to_owned(), bytes).await;
    }
    // `hear` holds that the topic is the right one.
    let mut heard = hear(&mut hearer).await;
    while heard.bytes[0] == 1 {
        heard = hear(&mut hearer).await;
    }
    assert_eq!(heard.bytes, vec![7; 16 << 10]);
}
