//! The signed map of a record.
//!
//! Keys in dag-cbor order: TTL, Value, _shoal, Sequence, Validity, ValidityType. Value, Validity and
//! `_shoal` are byte strings. Reading takes any order of keys and skips what it does not know, as
//! boxo does, but no key twice and no number that is not in its shortest form: no known writer makes
//! those. Numbers are below 2^63, since boxo reads them as signed.

use shoal_dag::Bytes;

use super::time::Instant;
use super::wire::Wire;
use super::{RecordError, SHOAL_BYTES_MAX};
use crate::cbor::{Reader, Writer};

/// How deep foreign metadata may nest.
const DEPTH_MAX: u32 = 8;

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Data {
    pub(super) value: Bytes,
    pub(super) sequence: u64,
    pub(super) end: Instant,
    /// The end as it was written.
    pub(super) validity: Bytes,
    pub(super) ttl_ns: Option<u64>,
    pub(super) shoal: Option<Bytes>,
}

impl Data {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.map(4 + usize::from(self.ttl_ns.is_some()) + usize::from(self.shoal.is_some()));
        if let Some(ttl_ns) = self.ttl_ns {
            out.text("TTL");
            out.uint(ttl_ns);
        }
        out.text("Value");
        out.bytes(&self.value);
        if let Some(shoal) = &self.shoal {
            out.text("_shoal");
            out.bytes(shoal);
        }
        out.text("Sequence");
        out.uint(self.sequence);
        out.text("Validity");
        out.bytes(&self.validity);
        out.text("ValidityType");
        out.uint(0);
        out.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut found = Found::default();
        let mut reader = Reader::new(bytes);
        let mut keys = reader.map()?;
        let mut seen = Vec::new();
        while let Some(key) = keys.any(&mut reader)? {
            if seen.contains(&key) {
                return Err(RecordError::Field("(twice)"));
            }
            seen.push(key);
            found.take(key, &mut reader)?;
        }
        reader.end()?;
        found.finish()
    }

    /// Every field of the older format is the signed one, those that are missing by their default.
    pub(super) fn check_v1(&self, wire: &Wire) -> Result<(), RecordError> {
        let holds = [
            ("Value", wire.value == self.value),
            ("Validity", wire.validity == self.validity),
            ("ValidityType", wire.validity_type.unwrap_or(0) == 0),
            ("Sequence", wire.sequence.unwrap_or(0) == self.sequence),
            ("TTL", self.ttl_ns == Some(wire.ttl_ns.unwrap_or(0))),
        ];
        match holds.into_iter().find(|(_, holds)| !holds) {
            Some((field, _)) => Err(RecordError::V1(field)),
            None => Ok(()),
        }
    }
}

/// The fields found so far.
#[derive(Default)]
struct Found {
    value: Option<Bytes>,
    sequence: Option<u64>,
    validity: Option<Bytes>,
    validity_type: Option<u64>,
    ttl_ns: Option<u64>,
    shoal: Option<Bytes>,
}

impl Found {
    fn take(&mut self, key: &str, reader: &mut Reader<'_>) -> Result<(), RecordError> {
        let signed = |value: u64| i64::try_from(value).is_ok().then_some(value);
        match key {
            "Value" => self.value = Some(Bytes::copy_from_slice(reader.bytes()?)),
            "Validity" => self.validity = Some(Bytes::copy_from_slice(reader.bytes()?)),
            "_shoal" => self.shoal = scalar(reader)?,
            "Sequence" => self.sequence = signed(reader.uint()?),
            "ValidityType" => self.validity_type = signed(reader.uint()?),
            "TTL" => self.ttl_ns = Some(signed(reader.uint()?).ok_or(RecordError::Field("TTL"))?),
            _ => reader.skip(DEPTH_MAX)?,
        }
        Ok(())
    }

    fn finish(self) -> Result<Data, RecordError> {
        if self.validity_type != Some(0) {
            return Err(RecordError::Field("ValidityType"));
        }
        let validity = self.validity.ok_or(RecordError::Field("Validity"))?;
        let text = std::str::from_utf8(&validity).ok();
        let end = text.and_then(Instant::parse).ok_or(RecordError::Field("Validity"))?;
        Ok(Data {
            value: self.value.ok_or(RecordError::Field("Value"))?,
            sequence: self.sequence.ok_or(RecordError::Field("Sequence"))?,
            end,
            validity,
            ttl_ns: self.ttl_ns,
            shoal: self.shoal,
        })
    }
}

/// `_shoal` of another type, or too long to be ours, is somebody else's: the record is a plain one.
fn scalar(reader: &mut Reader<'_>) -> Result<Option<Bytes>, RecordError> {
    let mut ahead = reader.clone();
    if let Ok(bytes) = ahead.bytes()
        && bytes.len() <= SHOAL_BYTES_MAX
    {
        *reader = ahead;
        return Ok(Some(Bytes::copy_from_slice(bytes)));
    }
    reader.skip(DEPTH_MAX)?;
    Ok(None)
}
