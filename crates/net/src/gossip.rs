//! Gossip of records: gossipsub as kubo speaks it, held to topics of records and to bounds.
//!
//! Messages are signed by their sender (kubo's StrictSign) and named by the hash of topic and bytes,
//! so that the same record from two senders is one. They go at once to every connected subscriber
//! (flood publishing), and on through the mesh after the node's verdict. gossipsub would keep a
//! message in memory before anybody looked at it; [`Door`] lets in only topics that we subscribed
//! to, at a bounded rate, and so bounds what its caches can hold.
//!
//! Specs: libp2p gossipsub 1.1 to 1.3; IPNS over PubSub for the topics.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libp2p::gossipsub::{
    self, DataTransform, MaxCountSubscriptionFilter, Message, MessageAuthenticity, MessageId,
    RawMessage, TopicHash, TopicSubscriptionFilter, ValidationMode,
};
use libp2p::identity::Keypair;
use parking_lot::Mutex;
use shoal_dag::hash::HashKind;

use crate::config::NetError;
use crate::gate::TokenBucket;
use crate::quiet::Quiet;

/// What a topic begins with: records of the DHT, under their key.
const TOPIC_PREFIX: &str = "/record/";
/// Bytes of a topic: `/record/` and a key of 54 bytes in base64; names have 44.
const TOPIC_BYTES_MAX: usize = 80;
/// Topics that we, or one peer, may subscribe to. A hundred peers with as many cost 15 MB.
pub(crate) const TOPICS_MAX: usize = 1024;
/// Bytes of a message: the longest record, with room.
pub(crate) const GOSSIP_BYTES_MAX: usize = 16 << 10;
/// Bytes of all subscriptions and control messages in one frame: a greeting with [`TOPICS_MAX`]
/// topics must fit.
const CONTROL_BYTES_MAX: usize = 96 << 10;
/// Bytes of a frame. More than the parts, since gossipsub counts what it has read ahead as well.
const FRAME_BYTES_MAX: usize = 128 << 10;
/// Messages in one frame.
const MESSAGES_PER_FRAME_MAX: usize = 64;
/// Messages let in per second in the long run, of all topics. With [`HISTORY`] heartbeats in the
/// cache that is 10 MiB at their largest.
const MESSAGES_PER_SECOND_MAX: u32 = 128;
/// Messages let in at once after a pause.
const MESSAGES_BURST: u32 = 256;
/// Heartbeats that a message stays in the cache: for peers that missed it, and for the verdict.
const HISTORY: usize = 5;
/// Heartbeats in which a message is offered to peers outside the mesh.
const HISTORY_OFFERED: usize = 3;
/// gossipsub's own rhythm.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long the same bytes are no news. Longer than any way through the network, and short enough
/// that a head can be sent again by the minute.
const REMEMBERED: Duration = Duration::from_mins(1);
/// Messages that wait for one slow peer: 1 MiB at their largest.
const QUEUE_PER_PEER_MAX: usize = 64;
/// Verdicts that are waited for; beyond it the oldest message is ignored.
pub(crate) const VERDICTS_MAX: usize = 256;
/// How long a verdict is waited for: less than gossipsub keeps the message.
pub(crate) const VERDICT_WAIT: Duration = Duration::from_secs(4);

/// gossipsub as it is used here.
pub(crate) type Gossip = gossipsub::Behaviour<Door, MaxCountSubscriptionFilter<RecordTopics>>;

/// The behaviour, and what the driver opens its door with.
pub(crate) fn behaviour(keypair: Keypair) -> Result<(Quiet<Gossip>, Door), NetError> {
    let config = gossipsub::ConfigBuilder::default()
        .validation_mode(ValidationMode::Strict)
        .validate_messages()
        .message_id_fn(message_id)
        .flood_publish(true)
        .heartbeat_interval(HEARTBEAT)
        .history_length(HISTORY)
        .history_gossip(HISTORY_OFFERED)
        .duplicate_cache_time(REMEMBERED)
        .max_transmit_size(FRAME_BYTES_MAX)
        .max_control_message_size(CONTROL_BYTES_MAX)
        .max_publish_messages(MESSAGES_PER_FRAME_MAX)
        .connection_handler_queue_len(QUEUE_PER_PEER_MAX)
        .build()
        .map_err(|error| NetError::Transport(error.to_string()))?;
    let filter = MaxCountSubscriptionFilter {
        filter: RecordTopics,
        max_subscribed_topics: TOPICS_MAX,
        max_subscriptions_per_request: TOPICS_MAX,
    };
    let door = Door::default();
    let behaviour = gossipsub::Behaviour::new_with_subscription_filter_and_transform(
        MessageAuthenticity::Signed(keypair),
        config,
        filter,
        door.clone(),
    )
    .map_err(|error| NetError::Transport(error.to_owned()))?;
    Ok((Quiet(behaviour), door))
}

/// The hash of topic and bytes; the zero byte ends the topic.
fn message_id(message: &Message) -> MessageId {
    let topic = message.topic.as_str().as_bytes();
    MessageId::new(&HashKind::Sha256.digest(&[topic, &[0], &message.data].concat()))
}

/// Whether a topic is one of records.
pub(crate) fn is_record_topic(topic: &str) -> bool {
    topic.starts_with(TOPIC_PREFIX) && topic.len() <= TOPIC_BYTES_MAX && !topic.contains('\0')
}

/// Lets subscriptions to topics of records pass.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordTopics;

impl TopicSubscriptionFilter for RecordTopics {
    fn can_subscribe(&mut self, topic: &TopicHash) -> bool {
        is_record_topic(topic.as_str())
    }
}

/// What messages must pass before gossipsub keeps anything of them.
#[derive(Debug, Clone)]
pub(crate) struct Door(Arc<Mutex<Inside>>);

#[derive(Debug)]
struct Inside {
    subscribed: HashSet<String>,
    bucket: TokenBucket,
}

impl Default for Door {
    fn default() -> Self {
        let bucket = TokenBucket::new(MESSAGES_PER_SECOND_MAX, MESSAGES_BURST, Instant::now());
        Self(Arc::new(Mutex::new(Inside { subscribed: HashSet::new(), bucket })))
    }
}

impl Door {
    /// Lets a topic in; false if there are too many.
    pub(crate) fn open(&self, topic: &str) -> bool {
        let subscribed = &mut self.0.lock().subscribed;
        let room = subscribed.len() < TOPICS_MAX || subscribed.contains(topic);
        if room {
            subscribed.insert(topic.to_owned());
        }
        room
    }

    /// Lets a topic in no more.
    pub(crate) fn close(&self, topic: &str) {
        self.0.lock().subscribed.remove(topic);
    }
}

impl DataTransform for Door {
    fn inbound_transform(&self, raw: RawMessage) -> Result<Message, io::Error> {
        if raw.data.len() > GOSSIP_BYTES_MAX {
            return Err(io::Error::other("a message longer than allowed"));
        }
        let mut inside = self.0.lock();
        if !inside.subscribed.contains(raw.topic.as_str()) {
            return Err(io::Error::other("a topic that nobody subscribed to"));
        }
        if !inside.bucket.take(Instant::now()) {
            return Err(io::Error::other("too many messages in a short time"));
        }
        Ok(Message {
            source: raw.source,
            data: raw.data,
            sequence_number: raw.sequence_number,
            topic: raw.topic,
        })
    }

    fn outbound_transform(&self, _: &TopicHash, data: Vec<u8>) -> Result<Vec<u8>, io::Error> {
        Ok(data)
    }
}

#[cfg(test)]
mod tests;
