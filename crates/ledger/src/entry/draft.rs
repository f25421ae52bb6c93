//! An entry that is not signed yet.
//!
//! Signing reads the result back through the decoder, so that an entry which others would refuse is
//! refused here, before it exists. What a draft says about its past is its maker's word:
//! `tip.rs` makes drafts that are right.

use super::{Body, Entry, EntryError, FORMAT_VERSION, Header, SIGNED_PREFIX};
use crate::cbor::Writer;
use crate::key::SecretKey;

/// What an entry will say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What every entry says.
    pub header: Header,
    /// What its kind says.
    pub body: Body,
}

impl Draft {
    /// Signs with those keys, in their order: one key, or those that a recovery reveals. Whether
    /// they are the keys that may sign is for `authority.rs` to say.
    pub fn sign(&self, keys: &[&SecretKey]) -> Result<Entry, EntryError> {
        let map = self.encode_map();
        let signatures: Vec<_> =
            keys.iter().flat_map(|key| key.sign(&[SIGNED_PREFIX, &map])).collect();
        let mut writer = Writer::default();
        writer.array(2);
        writer.encoded(&map);
        writer.bytes(&signatures);
        Entry::decode(writer.finish())
    }

    /// The bytes that are signed, after the prefix.
    pub(crate) fn encode_map(&self) -> Vec<u8> {
        let Header { ledger, position, time_ms, links, history, signer } = &self.header;
        let mut writer = Writer::default();
        writer.map(12);
        writer.text("n");
        writer.uint(position.index.as_u64());
        writer.text("v");
        writer.uint(FORMAT_VERSION);
        writer.text("bd");
        self.body.encode(&mut writer);
        writer.text("by");
        writer.uint(u64::from(*signer));
        writer.text("ct");
        writer.link_or_null(links.as_ref().map(|links| &links.control));
        writer.text("ep");
        writer.uint(position.epoch.as_u64());
        writer.text("hr");
        writer.bytes(history.as_bytes());
        writer.text("id");
        writer.bytes(ledger.key_bytes());
        writer.text("jp");
        writer.link_or_null(links.as_ref().map(|links| &links.jump));
        writer.text("kd");
        writer.uint(self.body.kind().code());
        writer.text("pv");
        writer.link_or_null(links.as_ref().map(|links| &links.previous));
        writer.text("ts");
        writer.uint(*time_ms);
        writer.finish()
    }
}
