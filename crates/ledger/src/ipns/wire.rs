//! The protobuf around a record.
//!
//! Fields are written in ascending order, empty ones left out, as boxo's encoder does; so a record
//! that boxo made and we parsed would be written again to the same bytes. Reading takes fields in any
//! order, the last one of a kind counts, and unknown fields are skipped (proto3). Lengths are
//! bounded by the record's own.

use shoal_dag::Bytes;

use super::RecordError;

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// The fields of a record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Wire {
    pub(super) value: Bytes,
    pub(super) signature_v1: Bytes,
    pub(super) validity_type: Option<u64>,
    pub(super) validity: Bytes,
    pub(super) sequence: Option<u64>,
    pub(super) ttl_ns: Option<u64>,
    pub(super) public_key: Bytes,
    pub(super) signature_v2: Bytes,
    pub(super) data: Bytes,
}

impl Wire {
    /// Whether the older format is there, by boxo's measure.
    pub(super) fn has_v1(&self) -> bool {
        !self.signature_v1.is_empty() || !self.value.is_empty()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_bytes(&mut out, 1, &self.value);
        write_bytes(&mut out, 2, &self.signature_v1);
        write_number(&mut out, 3, self.validity_type);
        write_bytes(&mut out, 4, &self.validity);
        write_number(&mut out, 5, self.sequence);
        write_number(&mut out, 6, self.ttl_ns);
        write_bytes(&mut out, 7, &self.public_key);
        write_bytes(&mut out, 8, &self.signature_v2);
        write_bytes(&mut out, 9, &self.data);
        out
    }

    pub(super) fn decode(bytes: &Bytes) -> Result<Self, RecordError> {
        let mut wire = Self::default();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let tag = varint(&mut rest)?;
            match tag & 7 {
                VARINT => wire.take_number(tag >> 3, varint(&mut rest)?),
                BYTES => {
                    let len = usize::try_from(varint(&mut rest)?).map_err(|_| RecordError::Wire)?;
                    wire.take_bytes(tag >> 3, bytes.slice_ref(take(&mut rest, len)?));
                }
                FIXED64 => drop(take(&mut rest, 8)?),
                FIXED32 => drop(take(&mut rest, 4)?),
                _ => return Err(RecordError::Wire),
            }
        }
        Ok(wire)
    }

    fn take_number(&mut self, field: u64, value: u64) {
        match field {
            3 => self.validity_type = Some(value),
            5 => self.sequence = Some(value),
            6 => self.ttl_ns = Some(value),
            _ => {}
        }
    }

    fn take_bytes(&mut self, field: u64, value: Bytes) {
        match field {
            1 => self.value = value,
            2 => self.signature_v1 = value,
            4 => self.validity = value,
            7 => self.public_key = value,
            8 => self.signature_v2 = value,
            9 => self.data = value,
            _ => {}
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], RecordError> {
    let (taken, after) = rest.split_at_checked(len).ok_or(RecordError::Wire)?;
    *rest = after;
    Ok(taken)
}

fn varint(rest: &mut &[u8]) -> Result<u64, RecordError> {
    let mut value = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = take(rest, 1)?[0];
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return Err(RecordError::Wire);
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(RecordError::Wire)
}

fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn write_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    if !bytes.is_empty() {
        write_varint(out, field << 3 | BYTES);
        write_varint(out, bytes.len() as u64);
        out.extend(bytes);
    }
}

fn write_number(out: &mut Vec<u8>, field: u64, value: Option<u64>) {
    if let Some(value) = value {
        write_varint(out, field << 3 | VARINT);
        write_varint(out, value);
    }
}
