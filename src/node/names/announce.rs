//! Telling others of a name: its topic, its record in the DHT, and that we answer for it.
//!
//! Done for names that are our own and have a version, and for names that are followed: any follower keeps the name alive.
//! Only the name's own key makes a record with a later end of life; a follower puts again, byte for byte,
//! what it has, and never one that has expired.

use std::{sync::Arc, time::Duration};

use multibase::Base;
use shoal_dag::{
    Cid, Version,
    hash::{self, HashKind},
};
use shoal_ledger::{
    LedgerId, SecretKey,
    ipns::{Draft, Instant, LIFE_SECONDS_DEFAULT, SignedRecord, routing_key},
};

use super::{judge, keys, now_ms, state::State, version};
use crate::{control::protocol::Failure, node::Node};

/// How long before its end a record of an own name is made anew: half of its life.
const RENEW_BEFORE: Duration = Duration::from_secs(LIFE_SECONDS_DEFAULT / 2);

/// How the topics of records begin.
const TOPIC_PREFIX: &str = "/record/";

/// What stands before the key in what is hashed to the CID that a name's keepers provide.
const RENDEZVOUS_PREFIX: &[u8] = b"shoal-ledger/1:";

/// The gossip topic of a name, as kubo's pubsub names it: base64url of its routing key, behind `/record/`.
pub fn topic(name: LedgerId) -> String {
    let text = multibase::encode(Base::Base64Url, routing_key(name));
    // The letter that says which base it is has no place in a topic.
    format!("{TOPIC_PREFIX}{}", &text[1..])
}

/// The name that a topic is about.
pub fn name_of(topic: &str) -> Option<LedgerId> {
    let key = topic.strip_prefix(TOPIC_PREFIX)?;
    judge::name_of(&Base::Base64Url.decode(key).ok()?)
}

/// The CID under which those who keep a name's ledger are found.
pub fn rendezvous(name: LedgerId) -> Cid {
    let told = [RENDEZVOUS_PREFIX, name.key_bytes()].concat();
    hash::cid_of(HashKind::Sha256, hash::RAW, Version::V1, &told)
}

/// The record of the head of an own name, signed now.
pub fn record(seed: &[u8; 32], state: &State, root: &Cid) -> Option<SignedRecord> {
    let head = state.reader.pin()?.head();
    let life = Duration::from_secs(LIFE_SECONDS_DEFAULT);
    let end = Instant::since_1970(Duration::from_millis(now_ms()) + life);
    Draft::of_head(head, root, end).sign(&SecretKey::from_seed(seed), true).ok()
}

/// Tells the network of a name, from now on until it is taken back.
///
/// # Errors
/// The store.
pub async fn announce(node: &Arc<Node>, name: LedgerId) -> Result<(), Failure> {
    let Some(net) = node.names().line().net() else { return Ok(()) };
    let Some(state) = node.names().ask(move |book| book.state(name)).await? else { return Ok(()) };
    if !state.is_whole() {
        return Ok(());
    }
    net.subscribe(topic(name)).await;
    if state.kept.versions == 0 {
        return Ok(());
    }
    let state = renewed(node, state).await?;
    let live = state.kept.record.clone().filter(|bytes| is_live(bytes, name));
    if let Some(bytes) = live {
        net.put_value(routing_key(name), bytes).await;
    }
    net.provide(rendezvous(name)).await;
    Ok(())
}

/// Gossips the record of a name.
///
/// # Errors
/// The store.
pub async fn gossip(node: &Arc<Node>, name: LedgerId) -> Result<(), Failure> {
    let Some(net) = node.names().line().net() else { return Ok(()) };
    let state = node.names().ask(move |book| book.state(name)).await?;
    let record = state.and_then(|state| state.kept.record);
    if let Some(bytes) = record.filter(|bytes| is_live(bytes, name)) {
        net.gossip(topic(name), bytes).await;
    }
    Ok(())
}

/// Takes everything back that [`announce`] told.
pub async fn withdraw(node: &Arc<Node>, name: LedgerId) {
    if let Some(net) = node.names().line().net() {
        net.unsubscribe(topic(name)).await;
        net.forget_value(routing_key(name)).await;
        net.unprovide(rendezvous(name)).await;
    }
}

/// Whether the end of a record's life has not come.
pub fn is_live(bytes: &[u8], name: LedgerId) -> bool {
    let record = SignedRecord::read(bytes.to_vec(), name);
    record.is_ok_and(|record| record.live(judge::now()).is_ok())
}

/// Whether a name's record is to be made anew: half of its life is over, and the key is here.
///
/// # Errors
/// The store.
pub async fn is_due(node: &Arc<Node>, name: LedgerId) -> Result<bool, Failure> {
    let state = node.names().ask(move |book| book.state(name)).await?;
    Ok(state.is_some_and(|state| state.kept.versions > 0 && needs_renewal(&state)))
}

fn needs_renewal(state: &State) -> bool {
    let lasts = state.kept.record.as_ref().is_some_and(|bytes| {
        let record = SignedRecord::read(bytes.clone(), state.name());
        let renew = Duration::from_millis(now_ms()) + RENEW_BEFORE;
        record.is_ok_and(|record| record.end() > Instant::since_1970(renew))
    });
    state.kept.own && !lasts
}

/// The state with a record whose end is far enough away, where the key is here.
async fn renewed(node: &Arc<Node>, state: State) -> Result<State, Failure> {
    let name = state.name();
    if !needs_renewal(&state) {
        return Ok(state);
    }
    let store = node.store().clone();
    let change = move |book: &super::book::Book| {
        let Some(mut state) = book.state(name)? else { return Ok(state) };
        let Some(newest) = version::newest(book, &state)? else { return Ok(state) };
        let seed = keys::seed(&store, name)?;
        if let Some(record) = record(&seed, &state, &newest.root) {
            state.kept.record = Some(record.bytes().to_vec());
            book.put_state(&state)?;
        }
        Ok(state)
    };
    node.names().change(change).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_those_of_kubo_and_lead_back() {
        let name = LedgerId::from(SecretKey::from_seed(&[1; 32]).public());
        let topic = topic(name);
        assert!(topic.starts_with("/record/L2lwbnMv"), "base64 of /ipns/: {topic}");
        assert_eq!(name_of(&topic), Some(name));
        assert_eq!(name_of("/record/L2lwbnMvAA"), None);
        assert_eq!(name_of("/other/x"), None);
    }
}
