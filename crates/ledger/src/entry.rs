//! One entry of a ledger: what it says, its exact bytes, and its signatures.
//!
//! A block is the dag-cbor pair `[map, signatures]`, at most [`ENTRY_BYTES_MAX`] bytes. The map has
//! these twelve keys and no other, in this order:
//!
//! ```text
//! n   uint           index: entries before this one; < 2^40 - 1
//! v   uint           format version, 1
//! bd  map            the body, by kind (see `entry/body.rs`)
//! by  uint           signer: position in the set of writers; 0 in a genesis or a recovery
//! ct  link or null   the newest entry before this one that changed keys
//! ep  uint           epoch: recoveries before this entry (and this one, if it is one); < 2^23
//! hr  bytes 32       RFC 6962 root over the blocks of entries 0 .. n-1
//! id  bytes 32       the ledger: the public key that names it
//! jp  link or null   entry `jump::target(n)`
//! kd  uint           kind
//! pv  link or null   entry n-1
//! ts  uint           claimed time, Unix milliseconds, before the year 10000
//! ```
//!
//! `ct`, `jp` and `pv` are null in a genesis (n = 0, and only there) and links everywhere else. A
//! link is tag 42 with a CIDv1, dag-cbor, sha2-256. `signatures` is one byte string of 64 bytes; a
//! recovery has 64 for each key that it reveals, in their order. What is signed is the prefix
//! `shoal-ledger-entry/1:` and the bytes of the map as they stand in the block.
//!
//! Decoding refuses every other form, so that a meaning has one block. It needs no context: it
//! decides neither who may sign nor what was before (`authority.rs`, `tip.rs`), and signatures are
//! checked by whoever knows the keys.

mod body;
mod draft;

use std::fmt;

pub use body::{
    ANCHOR_BYTES_MAX, Anchor, AnchorKind, AnchorProof, Body, Genesis, KeySet, MERGE_HEADS_MAX,
    Merge, MergeHead, NICKNAME_BYTES_MAX, ROOT_BYTES_MAX, Recover, Tombstone, Update, Writers,
};
pub use draft::Draft;
use shoal_dag::Bytes;

use crate::cbor::{CborError, Reader};
use crate::hash::{EntryId, Hash};
use crate::key::{PublicKey, SIGNATURE_BYTES};
use crate::{
    ENTRY_BYTES_MAX, EntryKind, Epoch, Index, LedgerId, Position, PositionError, UnknownKind,
    WRITERS_MAX, tree,
};

/// The version of the format that is written and read.
pub const FORMAT_VERSION: u64 = 1;

/// What comes before the map in the bytes that are signed: no other protocol signs it.
pub(crate) const SIGNED_PREFIX: &[u8] = b"shoal-ledger-entry/1:";

/// The last millisecond of the year 9999: any later one could not be printed as RFC 3339.
pub const TIME_MS_MAX: u64 = 253_402_300_799_999;

/// The links of every entry but a genesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Links {
    /// The entry before (`pv`).
    pub previous: EntryId,
    /// The entry at [`crate::jump::target`] (`jp`).
    pub jump: EntryId,
    /// The newest entry before that changed keys (`ct`).
    pub control: EntryId,
}

/// What every entry says, whatever its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The ledger it belongs to (`id`).
    pub ledger: LedgerId,
    /// Where it stands (`ep`, `n`).
    pub position: Position,
    /// The time it claims, in Unix milliseconds (`ts`).
    pub time_ms: u64,
    /// None for a genesis.
    pub links: Option<Links>,
    /// The root over all earlier entries (`hr`).
    pub history: Hash,
    /// The signer's position in the set of writers (`by`).
    pub signer: u8,
}

/// An entry in its canonical form. Whether it is valid depends on what was before it.
#[derive(Clone)]
pub struct Entry {
    block: Bytes,
    /// Where the map ends in the block; it begins at 1.
    map_end: usize,
    id: EntryId,
    header: Header,
    body: Body,
}

impl Entry {
    /// Reads a block.
    pub fn decode(block: impl Into<Bytes>) -> Result<Self, EntryError> {
        let block = block.into();
        if block.len() > ENTRY_BYTES_MAX {
            return Err(EntryError::TooLong { bytes: block.len() });
        }
        let mut reader = Reader::new(&block);
        reader.array_exact(2)?;
        let (header, body) = read_map(&mut reader)?;
        let map_end = block.len() - reader.remaining();
        let signatures = reader.bytes()?.len();
        reader.end()?;
        let expected = body.signatures() * SIGNATURE_BYTES;
        if signatures != expected {
            return Err(EntryError::Signatures { expected, actual: signatures });
        }
        check_shape(&header, &body)?;
        let id = EntryId::of(&block);
        Ok(Self { block, map_end, id, header, body })
    }

    /// The whole block, as it is stored and linked.
    pub fn block(&self) -> &Bytes {
        &self.block
    }

    /// What links name it by.
    pub fn id(&self) -> EntryId {
        self.id
    }

    /// Its leaf in the tree of the history.
    pub fn leaf(&self) -> Hash {
        tree::leaf_hash(&self.block)
    }

    /// What every entry says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What this kind of entry says.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Which kind it is.
    pub fn kind(&self) -> EntryKind {
        self.body.kind()
    }

    /// The ledger it belongs to.
    pub fn ledger(&self) -> LedgerId {
        self.header.ledger
    }

    /// Where it stands.
    pub fn position(&self) -> Position {
        self.header.position
    }

    /// Its index, as tree sizes count.
    pub fn index(&self) -> u64 {
        self.header.position.index.as_u64()
    }

    /// Whether its signatures are those of the keys, one each and in that order.
    pub fn is_signed_by(&self, keys: &[PublicKey]) -> bool {
        let map = &self.block[1..self.map_end];
        let signatures = &self.block[self.block.len() - self.body.signatures() * SIGNATURE_BYTES..];
        let mut pairs = keys.iter().zip(signatures.chunks_exact(SIGNATURE_BYTES));
        keys.len() == self.body.signatures()
            && pairs.all(|(key, signature)| key.verifies(&[SIGNED_PREFIX, map], signature))
    }
}

/// Entries are equal when their blocks are: the same map with another signature is another entry.
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.block == other.block
    }
}

impl Eq for Entry {}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({:?} {} {:?})", self.kind(), self.position(), self.id)
    }
}

/// Reads the map, key by key in its one order.
fn read_map(reader: &mut Reader<'_>) -> Result<(Header, Body), EntryError> {
    let mut keys = reader.map()?;
    keys.expect(reader, "n")?;
    let index = Index::new(reader.uint()?)?;
    keys.expect(reader, "v")?;
    let version = reader.uint()?;
    if version != FORMAT_VERSION {
        return Err(EntryError::Version(version));
    }
    keys.expect(reader, "bd")?;
    let body_at = reader.clone();
    reader.skip(body::DEPTH_MAX)?;
    keys.expect(reader, "by")?;
    let signer = reader.uint()?;
    if signer >= WRITERS_MAX as u64 {
        return Err(EntryError::Field("by"));
    }
    keys.expect(reader, "ct")?;
    let control = reader.link_or_null()?;
    keys.expect(reader, "ep")?;
    let epoch = Epoch::new(reader.uint()?)?;
    keys.expect(reader, "hr")?;
    let history = Hash::from_bytes(reader.array_of()?);
    keys.expect(reader, "id")?;
    let ledger = LedgerId::from_key_bytes(reader.array_of()?);
    keys.expect(reader, "jp")?;
    let jump = reader.link_or_null()?;
    keys.expect(reader, "kd")?;
    let kind = EntryKind::from_code(reader.uint()?)?;
    keys.expect(reader, "pv")?;
    let previous = reader.link_or_null()?;
    keys.expect(reader, "ts")?;
    let time_ms = reader.uint()?;
    keys.end()?;
    let links = match (previous, jump, control) {
        (Some(previous), Some(jump), Some(control)) => Some(Links { previous, jump, control }),
        (None, None, None) => None,
        _ => return Err(EntryError::Field("links")),
    };
    let body = Body::decode(kind, body_at)?;
    let position = Position { epoch, index };
    Ok((Header { ledger, position, time_ms, links, history, signer: signer as u8 }, body))
}

/// What must hold between the fields of any one entry.
fn check_shape(header: &Header, body: &Body) -> Result<(), EntryError> {
    let Position { epoch, index } = header.position;
    let genesis = matches!(body, Body::Genesis(_));
    let recover = matches!(body, Body::Recover(_));
    let holds = [
        ("kd", genesis == (index.as_u64() == 0)),
        ("links", genesis == header.links.is_none()),
        ("ep", if genesis { epoch.as_u64() == 0 } else { !recover || epoch.as_u64() > 0 }),
        ("by", !(genesis || recover) || header.signer == 0),
        ("hr", !genesis || header.history == tree::EMPTY_ROOT),
        ("ts", header.time_ms <= TIME_MS_MAX),
        ("bd", body.fits(index.as_u64())),
    ];
    match holds.into_iter().find(|(_, holds)| !holds) {
        Some((field, _)) => Err(EntryError::Field(field)),
        None => Ok(()),
    }
}

/// Why bytes are no entry. Nothing that its reader can mend: whoever made it must.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// More than [`ENTRY_BYTES_MAX`] bytes.
    #[error("an entry of {bytes} bytes, above the {} that it may have", ENTRY_BYTES_MAX)]
    TooLong {
        /// The bytes of the block.
        bytes: usize,
    },
    /// Not canonical dag-cbor, or not the keys of an entry.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// A format that this program does not know; a newer one may.
    #[error("ledger format {0} is not known")]
    Version(u64),
    /// A kind that this program does not know; a newer one may.
    #[error(transparent)]
    Kind(#[from] UnknownKind),
    /// A position that does not exist.
    #[error(transparent)]
    Position(#[from] PositionError),
    /// A field out of its range, or at odds with the others.
    #[error("field `{0}` of an entry is out of its range")]
    Field(&'static str),
    /// Another number of signatures than the kind asks for.
    #[error("{expected} bytes of signature are expected, not {actual}")]
    Signatures {
        /// What the kind asks for.
        expected: usize,
        /// What there is.
        actual: usize,
    },
}

#[cfg(test)]
mod tests;
