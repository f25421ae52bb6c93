//! The bytes of a frame and of the changes in it.
//!
//! Whether a frame counts is not known here: see `reader`.

use super::super::run::checksum;

pub(super) const HEADER_BYTES: usize = 64;
pub(super) const MAGIC: &[u8; 4] = b"ShJ1";
/// A frame is ended at this many bytes, so that a reader needs no more at once. One change is less than
/// 64 KiB of value and a key.
const PAYLOAD_BYTES: usize = 256 * 1024;
/// No frame is longer.
pub(super) const PAYLOAD_BYTES_MAX: usize = 2 * PAYLOAD_BYTES;
const ENDS_COMMIT: u32 = 1;
const SUM_AT: usize = 32;

/// The table that a change is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Blobs = 1,
    Wholes = 2,
    Pins = 3,
    Records = 4,
    Hidden = 5,
}

impl Kind {
    fn of(code: u8) -> Option<Self> {
        [Self::Blobs, Self::Wholes, Self::Pins, Self::Records, Self::Hidden]
            .into_iter()
            .find(|kind| *kind as u8 == code)
    }
}

/// One change; a value of `None` removes the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change<'a> {
    pub(crate) kind: Kind,
    pub(crate) key: &'a [u8],
    pub(crate) value: Option<&'a [u8]>,
}

const CHANGE_BYTES: usize = 8;

impl Change<'_> {
    /// What the change takes while it is in force.
    pub(crate) fn live(&self) -> u64 {
        self.value.map_or(0, |value| live(self.key.len(), value.len()))
    }
}

/// What a key and a value of these lengths take while they are in force.
pub(crate) fn live(key: usize, value: usize) -> u64 {
    (CHANGE_BYTES + key + value) as u64
}

/// A frame's changes and whether it ends a commit.
pub(super) type Payload = (Vec<u8>, bool);

/// The changes of one commit, cut into frames.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    done: Vec<Vec<u8>>,
    last: Vec<u8>,
}

impl Frames {
    /// Adds a change.
    pub(crate) fn push(&mut self, change: &Change<'_>) {
        let Change { kind, key, value } = change;
        let out = &mut self.last;
        out.extend_from_slice(&[*kind as u8, u8::from(value.is_some())]);
        out.extend_from_slice(&(key.len() as u16).to_le_bytes());
        let value = value.unwrap_or_default();
        out.extend_from_slice(&(value.len() as u32).to_le_bytes());
        out.extend_from_slice(key);
        out.extend_from_slice(value);
        if out.len() >= PAYLOAD_BYTES {
            self.done.push(std::mem::take(out));
        }
    }

    /// Is there nothing to write?
    pub(crate) fn is_empty(&self) -> bool {
        self.done.is_empty() && self.last.is_empty()
    }

    /// Is there a whole frame?
    pub(super) fn is_long(&self) -> bool {
        !self.done.is_empty()
    }

    pub(super) fn into_payloads(self) -> impl Iterator<Item = Payload> {
        let mut all = self.done;
        all.extend((!self.last.is_empty()).then_some(self.last));
        let count = all.len();
        all.into_iter().enumerate().map(move |(n, payload)| (payload, n + 1 == count))
    }
}

/// The bytes of a frame, and what the next one is chained to.
pub(super) fn write((payload, ends_commit): &Payload, previous: u64) -> (Vec<u8>, u64) {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&if *ends_commit { ENDS_COMMIT } else { 0 }.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&previous.to_le_bytes());
    bytes.resize(HEADER_BYTES, 0);
    bytes.extend_from_slice(payload);
    let sum = checksum(&bytes);
    bytes[SUM_AT..HEADER_BYTES].copy_from_slice(&sum);
    (bytes, chain(&sum))
}

fn chain(sum: &[u8; 32]) -> u64 {
    let mut start = [0; 8];
    start.copy_from_slice(&sum[..8]);
    u64::from_le_bytes(start)
}

/// A frame that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) payload: &'a [u8],
    pub(super) ends_commit: bool,
    pub(super) previous: u64,
    pub(super) chain: u64,
}

/// How long the frame is that these bytes begin, if they may begin one.
pub(super) fn len_of(bytes: &[u8]) -> Option<usize> {
    let len = bytes.strip_prefix(MAGIC)?.first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len) as usize;
    (len <= PAYLOAD_BYTES_MAX).then_some(HEADER_BYTES + len)
}

/// Reads the frame that these bytes begin; `None` where they are not one, whole and undamaged.
pub(super) fn read(bytes: &[u8]) -> Option<Frame<'_>> {
    let bytes = bytes.get(..len_of(bytes)?)?;
    let mut unsummed = bytes.to_vec();
    unsummed[SUM_AT..HEADER_BYTES].fill(0);
    let sum = checksum(&unsummed);
    if bytes[SUM_AT..HEADER_BYTES] != sum {
        return None;
    }
    let flags = u32::from_le_bytes(bytes[8..12].try_into().ok()?);
    let previous = u64::from_le_bytes(bytes[16..24].try_into().ok()?);
    let payload = &bytes[HEADER_BYTES..];
    Some(Frame { payload, ends_commit: flags & ENDS_COMMIT != 0, previous, chain: chain(&sum) })
}

/// The changes of a frame. Its checksum was right, so all of them are read, or a newer version wrote them.
pub(super) fn changes(mut payload: &[u8]) -> impl Iterator<Item = Change<'_>> {
    std::iter::from_fn(move || {
        let (head, rest) = payload.split_first_chunk::<CHANGE_BYTES>()?;
        let [kind, is_set, k0, k1, v0, v1, v2, v3] = *head;
        let (key, rest) = rest.split_at_checked(u16::from_le_bytes([k0, k1]).into())?;
        let (value, rest) = rest.split_at_checked(u32::from_le_bytes([v0, v1, v2, v3]) as usize)?;
        payload = rest;
        Some(Change { kind: Kind::of(kind)?, key, value: (is_set != 0).then_some(value) })
    })
}
