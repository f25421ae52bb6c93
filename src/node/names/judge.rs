//! Which records of names this node keeps for the DHT: valid IPNS records that have not expired, the newest of each name.
//!
//! A record with a higher sequence replaces one with a lower, exactly as boxo decides
//! ([`shoal_ledger::ipns::select`]). Each valid record of a name that is known here goes to the worker
//! too, also one that is not kept: two that contradict each other are what a fork is found by.

use std::{sync::Arc, time::Duration};

use shoal_ledger::{
    LedgerId,
    ipns::{Instant, SignedRecord, select},
};
use shoal_net::{Judgement, Records};

use super::{
    line::{Arrival, Line},
    now_ms,
};

/// What stands before the multihash in a key of the DHT.
const KEY_PREFIX: &[u8] = b"/ipns/";

/// Judges records for the network layer.
#[derive(Debug)]
pub struct Judge(pub Arc<Line>);

impl Records for Judge {
    fn judge(&self, key: &[u8], value: &[u8], kept: Option<&[u8]>) -> Judgement {
        let Some(name) = name_of(key) else { return Judgement::Invalid };
        let Ok(record) = SignedRecord::read(value.to_vec(), name) else {
            return Judgement::Invalid;
        };
        // Also an expired record teaches the ledger its entry.
        if kept != Some(value) {
            self.0.arrive(Arrival::Record { name, bytes: value.to_vec() });
        }
        let end = record.end();
        let Ok(record) = record.live(now()) else { return Judgement::Invalid };
        let kept = kept.and_then(|kept| SignedRecord::read(kept.to_vec(), name).ok());
        match kept {
            Some(kept) if select(&kept, record.signed()) == &kept => Judgement::Older,
            _ => Judgement::Newer { ends_unix_s: end.to_duration().as_secs() },
        }
    }
}

/// The name that a key of the DHT is about.
pub fn name_of(key: &[u8]) -> Option<LedgerId> {
    let multihash = key.strip_prefix(KEY_PREFIX)?;
    // CIDv1, codec libp2p-key.
    LedgerId::from_cid_bytes(&[&[0x01, 0x72], multihash].concat()).ok()
}

/// The time now, as records tell it.
pub fn now() -> Instant {
    Instant::since_1970(Duration::from_millis(now_ms()))
}

#[cfg(test)]
mod tests {
    use shoal_dag::Bytes;
    use shoal_ledger::{
        SecretKey,
        ipns::{Draft, routing_key},
    };

    use super::*;

    fn record(seed: u8, sequence: u64, end_ms: u64) -> Vec<u8> {
        let draft = Draft {
            value: Bytes::from_static(b"/ipfs/bafkqaaa"),
            sequence,
            end: Instant::since_1970(Duration::from_millis(end_ms)),
            ttl_ns: 0,
            shoal: None,
        };
        draft.sign(&SecretKey::from_seed(&[seed; 32]), true).unwrap().bytes().to_vec()
    }

    #[test]
    fn the_newest_live_record_of_the_right_key_is_kept() {
        let judge = Judge(Arc::default());
        let name = LedgerId::from(SecretKey::from_seed(&[1; 32]).public());
        let (key, later) = (routing_key(name), now_ms() + 60_000);
        let (old, new) = (record(1, 1, later), record(1, 2, later));
        let newer = Judgement::Newer { ends_unix_s: later / 1000 };
        assert_eq!(judge.judge(&key, &old, None), newer);
        assert_eq!(judge.judge(&key, &new, Some(&old)), newer);
        assert_eq!(judge.judge(&key, &old, Some(&new)), Judgement::Older);
        assert_eq!(judge.judge(&key, &new, Some(&new)), Judgement::Older);
        assert_eq!(judge.judge(&key, &record(1, 3, 1_000), Some(&new)), Judgement::Invalid);
        assert_eq!(judge.judge(&key, &record(2, 3, later), Some(&new)), Judgement::Invalid);
        assert_eq!(judge.judge(b"/pk/x", &new, None), Judgement::Invalid);
        assert_eq!(judge.judge(&key[..20], &new, None), Judgement::Invalid);
    }
}
