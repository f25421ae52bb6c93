//! Bodies to bytes and back.
//!
//! Keys are written and asked for in canonical order, so what is written is canonical, and whatever
//! else comes in is refused: a key too many, twice, or in another place is left over at the end.
//! Bounds are judged when reading; a draft is read back before anyone else sees it, so nothing out
//! of bounds is ever sent.

use shoal_dag::Bytes;

use super::fields::{
    digest, ensure, key_set, policy, public_keys, root, text, uint, write_digest, write_key_set,
    write_public_keys, write_text, write_uint,
};
use super::{
    ANCHOR_BYTES_MAX, ANCHOR_KINDS, Anchor, AnchorKind, AnchorProof, Body, Genesis,
    MERGE_HEADS_MAX, Merge, MergeHead, NICKNAME_BYTES_MAX, Recover, Tombstone, Update, Writers,
};
use crate::cbor::{Keys, Reader, Writer};
use crate::entry::EntryError;
use crate::hash::{EntryId, Hash};
use crate::{
    EntryKind, Epoch, Index, LedgerId, MESSAGE_BYTES_MAX, Position, RECOVERY_KEYS_MAX, WRITERS_MAX,
};

type Result<T> = std::result::Result<T, EntryError>;

impl Body {
    /// Writes the map.
    pub(in crate::entry) fn encode(&self, writer: &mut Writer) {
        match self {
            Self::Genesis(body) => body.encode(writer),
            Self::Update(body) => body.encode(writer),
            Self::Writers(body) => body.encode(writer),
            Self::Recover(body) => body.encode(writer),
            Self::Anchor(body) => body.encode(writer),
            Self::Merge(body) => body.encode(writer),
            Self::Tombstone(body) => body.encode(writer),
        }
    }

    /// Reads the map of that kind; what comes after it is not looked at.
    pub(in crate::entry) fn decode(kind: EntryKind, mut reader: Reader<'_>) -> Result<Self> {
        let reader = &mut reader;
        let mut keys = reader.map()?;
        let body = match kind {
            EntryKind::Genesis => Self::Genesis(Genesis::decode(reader, &mut keys)?),
            EntryKind::Update => Self::Update(Update::decode(reader, &mut keys)?),
            EntryKind::Writers => Self::Writers(Writers::decode(reader, &mut keys)?),
            EntryKind::Recover => Self::Recover(Recover::decode(reader, &mut keys)?),
            EntryKind::Anchor => Self::Anchor(Anchor::decode(reader, &mut keys)?),
            EntryKind::Merge => Self::Merge(Merge::decode(reader, &mut keys)?),
            EntryKind::Tombstone => Self::Tombstone(Tombstone::decode(reader, &mut keys)?),
        };
        keys.end()?;
        Ok(body)
    }
}

/// How many of the optional keys are there.
fn count(there: &[bool]) -> usize {
    there.iter().filter(|there| **there).count()
}

impl Genesis {
    fn encode(&self, writer: &mut Writer) {
        writer.map(4 + count(&[self.nickname.is_some(), self.policy.is_some()]));
        write_text(writer, "nk", self.nickname.as_ref());
        writer.text("no");
        writer.bytes(&self.nonce);
        write_digest(writer, "pr", self.policy.as_ref().map(Hash::as_bytes));
        write_key_set(writer, &self.keys);
    }

    fn decode(reader: &mut Reader<'_>, keys: &mut Keys) -> Result<Self> {
        let nickname = text(reader, keys, "nk", NICKNAME_BYTES_MAX)?;
        keys.expect(reader, "no")?;
        let nonce = reader.array_of()?;
        Ok(Self { nickname, nonce, policy: policy(reader, keys)?, keys: key_set(reader, keys)? })
    }
}

impl Update {
    fn encode(&self, writer: &mut Writer) {
        let optional = [
            self.message.is_some(),
            self.files.is_some(),
            self.policy.is_some(),
            self.rolled_back_to.is_some(),
            self.size.is_some(),
        ];
        writer.map(1 + count(&optional));
        write_text(writer, "ms", self.message.as_ref());
        write_uint(writer, "nf", self.files);
        write_digest(writer, "pr", self.policy.as_ref().map(Hash::as_bytes));
        write_uint(writer, "rb", self.rolled_back_to);
        writer.text("rt");
        writer.bytes(&self.root);
        write_uint(writer, "sz", self.size);
    }

    fn decode(reader: &mut Reader<'_>, keys: &mut Keys) -> Result<Self> {
        let message = text(reader, keys, "ms", MESSAGE_BYTES_MAX)?;
        let files = uint(reader, keys, "nf")?;
        let policy = policy(reader, keys)?;
        let rolled_back_to = uint(reader, keys, "rb")?;
        keys.expect(reader, "rt")?;
        let root = root(reader)?;
        Ok(Self { message, files, policy, rolled_back_to, root, size: uint(reader, keys, "sz")? })
    }
}

impl Writers {
    fn encode(&self, writer: &mut Writer) {
        writer.map(3 + count(&[self.policy.is_some()]));
        writer.text("ac");
        writer.uint(u64::from(self.active));
        write_public_keys(writer, "ad", &self.added);
        write_digest(writer, "pr", self.policy.as_ref().map(Hash::as_bytes));
        writer.text("rm");
        writer.uint(u64::from(self.removed));
    }

    fn decode(reader: &mut Reader<'_>, keys: &mut Keys) -> Result<Self> {
        keys.expect(reader, "ac")?;
        let active = reader.uint()?;
        ensure(active < WRITERS_MAX as u64, "ac")?;
        let added = public_keys(reader, keys, "ad", WRITERS_MAX)?;
        let policy = policy(reader, keys)?;
        keys.expect(reader, "rm")?;
        let removed = u32::try_from(reader.uint()?).map_err(|_| EntryError::Field("rm"))?;
        Ok(Self { active: active as u8, added, policy, removed })
    }
}

impl Recover {
    fn encode(&self, writer: &mut Writer) {
        writer.map(4 + count(&[self.policy.is_some()]));
        write_public_keys(writer, "ks", &self.revealed);
        write_digest(writer, "pr", self.policy.as_ref().map(Hash::as_bytes));
        write_key_set(writer, &self.keys);
    }

    fn decode(reader: &mut Reader<'_>, keys: &mut Keys) -> Result<Self> {
        let revealed = public_keys(reader, keys, "ks", RECOVERY_KEYS_MAX)?;
        ensure(!revealed.is_empty() && revealed.is_sorted(), "ks")?;
        Ok(Self { revealed, policy: policy(reader, keys)?, keys: key_set(reader, keys)? })
    }
}

impl Anchor {
    fn encode(&self, writer: &mut Writer) {
        let (key, proof) = match &self.proof {
            AnchorProof::Inline(proof) => ("pf", proof),
            AnchorProof::Stored(cid) => ("rt", cid),
        };
        writer.map(3);
        writer.text("at");
        writer.uint(self.size);
        writer.text(key);
        writer.bytes(proof);
        writer.text("ty");
        writer.uint(u64::from(self.kind.code()));
    }

    fn decode(reader: &mut Reader<'_>, keys: &mut Keys) -> Result<Self> {
        keys.expect(reader, "at")?;
        let size = reader.uint()?;
        let proof = if keys.optional(reader, "pf")? {
            let proof = reader.bytes()?;
            ensure((1..=ANCHOR_BYTES_MAX).contains(&proof.len()), "pf")?;
            AnchorProof::Inline(Bytes::copy_from_slice(proof))
        } else {
            keys.expect(reader, "rt")?;
            AnchorProof::Stored(root(reader)?)
        };
        keys.expect(reader, "ty")?;
        let code = reader.uint()?;
        ensure(code < ANCHOR_KINDS, "ty")?;
        Ok(Self { size, proof, kind: AnchorKind::from_code(code as u8) })
    }
}

impl Merge {
    fn encode(&self, writer: &mut Writer) {
        writer.map(1);
        writer.text("hd");
        writer.array(self.heads.len());
        for head in &self.heads {
            writer.array(4);
            writer.bytes(head.ledger.key_bytes());
            writer.uint(head.position.epoch.as_u64());
            writer.uint(head.position.index.as_u64());
            writer.bytes(head.entry.as_bytes());
        }
    }

    fn decode(reader: &mut Reader<'_>, keys: &mut Keys) -> Result<Self> {
        keys.expect(reader, "hd")?;
        let count = reader.array()?;
        ensure((1..=MERGE_HEADS_MAX).contains(&count), "hd")?;
        let heads: Vec<_> = (0..count).map(|_| merge_head(reader)).collect::<Result<_>>()?;
        ensure(heads.windows(2).all(|pair| pair[0].ledger < pair[1].ledger), "hd")?;
        Ok(Self { heads })
    }
}

fn merge_head(reader: &mut Reader<'_>) -> Result<MergeHead> {
    reader.array_exact(4)?;
    let ledger = LedgerId::from_key_bytes(reader.array_of()?);
    let epoch = Epoch::new(reader.uint()?)?;
    let index = Index::new(reader.uint()?)?;
    let entry = EntryId::from_bytes(reader.array_of()?);
    Ok(MergeHead { ledger, position: Position { epoch, index }, entry })
}

impl Tombstone {
    fn encode(&self, writer: &mut Writer) {
        writer.map(count(&[self.forward.is_some(), self.message.is_some()]));
        write_digest(writer, "fw", self.forward.as_ref().map(LedgerId::key_bytes));
        write_text(writer, "ms", self.message.as_ref());
    }

    fn decode(reader: &mut Reader<'_>, keys: &mut Keys) -> Result<Self> {
        let forward = digest(reader, keys, "fw")?.map(LedgerId::from_key_bytes);
        Ok(Self { forward, message: text(reader, keys, "ms", MESSAGE_BYTES_MAX)? })
    }
}
