//! The value records kept here: those that peers put, bounded in every direction, and our own.
//!
//! At most one value stands under a key: the newest by the word of [`Records`]. One that a peer put
//! lives until its own end and at most [`RECORD_TTL`] after it was last put; when there is no room,
//! whoever put the most bytes loses what was put longest ago, so flooding costs the flooder. Our
//! own stand here so that who asks us directly gets them; `publish` puts them to others.
//!
//! Changes of what peers put are told by key, and the value is looked up when the node takes them:
//! what waits costs little, and the last change told is always what is kept.
//! Spec: libp2p kad-dht, "Entry validation", "Entry correction".

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;
use libp2p::PeerId;
use libp2p::kad::RecordKey;

use crate::event::ValueChange;
use crate::providers::RECORD_TTL;
use crate::records::{Judgement, Records};

/// Bytes of a value: the limit of IPNS records, the largest kind in use.
pub(crate) const RECORD_BYTES_MAX: usize = 10 << 10;
/// Bytes of a key: `/ipns/` and the longest identity in use, with room.
pub(crate) const VALUE_KEY_BYTES_MAX: usize = 128;
/// Memory for records of others: 12,000 heads of names as they usually are, and little enough that
/// a node that keeps nothing else stays small.
pub(crate) const VALUES_BYTES_MAX: usize = 16 << 20;
/// Records of others, however small.
pub(crate) const VALUES_MAX: usize = 32_768;
/// Values that this node puts itself: names of its own and those it follows, 40 MiB at their
/// largest, 4 MiB as they usually are.
pub(crate) const OWN_VALUES_MAX: usize = 4096;
/// What a record costs beside its bytes: its places in the maps, and their slack.
const RECORD_COST_BYTES: usize = 320;
/// Changes that wait for the node; beyond it the oldest is forgotten (the record then lives in
/// memory only, or is judged once more after a restart).
const CHANGES_MAX: usize = 4096;

/// A record that a peer put.
#[derive(Debug)]
struct Kept {
    value: Bytes,
    /// Its own end, by the judgement.
    ends_unix_s: u64,
    /// When it goes from here.
    expires_unix_s: u64,
    /// None for what was restored.
    putter: Option<PeerId>,
    /// Its place in the order of its putter.
    order: u64,
}

/// A record of ours.
#[derive(Debug)]
struct Own {
    value: Bytes,
    ends_unix_s: u64,
}

/// What one peer has put.
#[derive(Debug, Default)]
struct Share {
    bytes: usize,
    /// Its records, the one put longest ago first.
    order: BTreeMap<u64, RecordKey>,
}

/// The value records kept here.
#[derive(Debug, Default)]
pub(crate) struct ValueStore {
    kept: HashMap<RecordKey, Kept>,
    shares: HashMap<Option<PeerId>, Share>,
    bytes: usize,
    /// The last place given in any order.
    last: u64,
    own: HashMap<RecordKey, Own>,
    changed: VecDeque<RecordKey>,
}

fn cost(key: &RecordKey, value: &[u8]) -> usize {
    key.as_ref().len() + value.len() + RECORD_COST_BYTES
}

/// Whether these could be a record at all.
pub(crate) fn is_sized(key: &[u8], value: &[u8]) -> bool {
    key.len() <= VALUE_KEY_BYTES_MAX && value.len() <= RECORD_BYTES_MAX
}

impl ValueStore {
    /// The record under a key, if it has not ended.
    pub(crate) fn get(&self, key: &RecordKey, now_unix_s: u64) -> Option<&Bytes> {
        let kept = self.kept.get(key).filter(|kept| kept.expires_unix_s > now_unix_s);
        let own = self.own.get(key).filter(|own| own.ends_unix_s > now_unix_s);
        kept.map(|kept| &kept.value).or(own.map(|own| &own.value))
    }

    /// A peer put a record; it is kept if it is newer than what is here.
    pub(crate) fn accept(
        &mut self,
        records: &dyn Records,
        key: &RecordKey,
        value: Vec<u8>,
        putter: PeerId,
        now_unix_s: u64,
    ) {
        if self.keep(records, key, value, Some(putter), now_unix_s) {
            self.tell(key.clone());
        }
    }

    /// Takes back a record that the node had persisted; it is told if it does not stand any more.
    pub(crate) fn restore(
        &mut self,
        records: &dyn Records,
        key: &RecordKey,
        value: Vec<u8>,
        now_unix_s: u64,
    ) {
        if !self.keep(records, key, value, None, now_unix_s) {
            self.tell(key.clone());
        }
    }

    /// Whether the record is a new one here.
    fn keep(
        &mut self,
        records: &dyn Records,
        key: &RecordKey,
        value: Vec<u8>,
        putter: Option<PeerId>,
        now_unix_s: u64,
    ) -> bool {
        if !is_sized(key.as_ref(), &value) {
            return false;
        }
        let there = self.get(key, now_unix_s);
        if there.is_some_and(|there| *there == value) {
            self.put_again(key, now_unix_s);
            return false;
        }
        let judgement = records.judge(key.as_ref(), &value, there.map(AsRef::as_ref));
        let Judgement::Newer { ends_unix_s } = judgement else { return false };
        if ends_unix_s <= now_unix_s {
            return false;
        }
        self.take(key);
        self.own.remove(key);
        self.make_room(cost(key, &value));
        self.last += 1;
        let expires_unix_s = ends_unix_s.min(now_unix_s + RECORD_TTL.as_secs());
        let share = self.shares.entry(putter).or_default();
        share.bytes += cost(key, &value);
        share.order.insert(self.last, key.clone());
        self.bytes += cost(key, &value);
        let value = value.into();
        let kept = Kept { value, ends_unix_s, expires_unix_s, putter, order: self.last };
        self.kept.insert(key.clone(), kept);
        true
    }

    /// The record that is kept was put once more: it lives on, and goes last.
    fn put_again(&mut self, key: &RecordKey, now_unix_s: u64) {
        let Some(kept) = self.kept.get_mut(key) else { return };
        kept.expires_unix_s = kept.ends_unix_s.min(now_unix_s + RECORD_TTL.as_secs());
        self.last += 1;
        let before = std::mem::replace(&mut kept.order, self.last);
        if let Some(share) = self.shares.get_mut(&kept.putter)
            && let Some(key) = share.order.remove(&before)
        {
            share.order.insert(self.last, key);
        }
    }

    fn make_room(&mut self, bytes: usize) {
        while self.kept.len() >= VALUES_MAX || self.bytes + bytes > VALUES_BYTES_MAX {
            let greedy = self.shares.values().max_by_key(|share| share.bytes);
            let oldest = greedy.and_then(|share| share.order.values().next()).cloned();
            let Some(oldest) = oldest else { return };
            self.take(&oldest);
            self.tell(oldest);
        }
    }

    /// Removes a record that a peer put.
    fn take(&mut self, key: &RecordKey) -> Option<Kept> {
        let kept = self.kept.remove(key)?;
        let cost = cost(key, &kept.value);
        self.bytes -= cost;
        if let Some(share) = self.shares.get_mut(&kept.putter) {
            share.bytes -= cost;
            share.order.remove(&kept.order);
            if share.order.is_empty() {
                self.shares.remove(&kept.putter);
            }
        }
        Some(kept)
    }

    /// Removes what has ended.
    pub(crate) fn expire(&mut self, now_unix_s: u64) {
        let gone = self.kept.iter().filter(|(_, kept)| kept.expires_unix_s <= now_unix_s);
        let gone: Vec<_> = gone.map(|(key, _)| key.clone()).collect();
        for key in gone {
            self.take(&key);
            self.tell(key);
        }
        self.own.retain(|_, own| own.ends_unix_s > now_unix_s);
    }

    /// Lets a valid record of ours stand here, unless a newer one does; false if there are too
    /// many.
    pub(crate) fn set_own(
        &mut self,
        records: &dyn Records,
        key: &RecordKey,
        value: &Bytes,
        ends_unix_s: u64,
        now_unix_s: u64,
    ) -> bool {
        if self.own.len() >= OWN_VALUES_MAX && !self.own.contains_key(key) {
            return false;
        }
        let there = self.get(key, now_unix_s);
        let same = there.is_some_and(|there| there == value);
        let judgement = records.judge(key.as_ref(), value, there.map(AsRef::as_ref));
        if !same && !matches!(judgement, Judgement::Newer { .. }) {
            return true;
        }
        // What a peer put and is the same outlives the day that we stop putting it.
        if !same && self.take(key).is_some() {
            self.tell(key.clone());
        }
        self.own.insert(key.clone(), Own { value: value.clone(), ends_unix_s });
        true
    }

    /// We do not put this key any more.
    pub(crate) fn forget_own(&mut self, key: &RecordKey) {
        self.own.remove(key);
    }

    /// The next change that the node has not been told.
    pub(crate) fn next_change(&mut self) -> Option<ValueChange> {
        let key = self.changed.pop_front()?;
        Some(match self.kept.get(&key) {
            Some(kept) => ValueChange::Put { key: key.to_vec(), value: kept.value.to_vec() },
            None => ValueChange::Remove { key: key.to_vec() },
        })
    }

    fn tell(&mut self, key: RecordKey) {
        if self.changed.len() >= CHANGES_MAX {
            self.changed.pop_front();
        }
        self.changed.push_back(key);
    }
}

#[cfg(test)]
mod tests;
