//! Questions and answers as bytes: canonical dag-cbor lists, the kind first.
//!
//! ```text
//! question  [0, name, [have?]]                     head
//!           [1, name, index, size]                 get
//!           [2, name, have, time]                  by time, Unix milliseconds
//!           [3, name, from, count]                 range
//!           [4, name, size]                        root
//!           [5, name]                              forks
//!           [6, name, index]                       head after a checkpoint
//! answer    [0]                                    unknown
//!           [1, head proof, [record?], [fraud ..]] head
//!           [2, head proof, [record?], [fraud ..]] diverged
//!           [3, placed]                            entry
//!           [4, [placed?], [placed?]]              by time: the entry, the one after it
//!           [5, [block ..]]                        entries
//!           [6, bytes 32]                          root
//!           [7, [fraud ..]]                        forks
//! name      bytes 32
//! record    bytes
//! fraud     bytes, as in `fraud/codec.rs`
//! ```
//!
//! `have`, `head proof` and `placed` are those of `head/codec.rs`. One value has one form.

use shoal_dag::Bytes;

use super::{ANSWER_BYTES_MAX, Answer, QUESTION_BYTES_MAX, Question, RANGE_MAX};
use crate::by_time::ByTime;
use crate::cbor::{Reader, Writer};
use crate::head::{Have, HeadProof, Placed};
use crate::ipns::RECORD_BYTES_MAX;
use crate::reader::FRAUDS_MAX;
use crate::wire::{DecodeError, entry, optional, write_blocks, write_optional};
use crate::{Fraud, Hash, LedgerId};

type Result<T> = std::result::Result<T, DecodeError>;

impl Question {
    /// The question as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        let (kind, numbers): (u64, &[u64]) = match self {
            Self::Head { .. } => (0, &[]),
            Self::Get { index, size, .. } => (1, &[*index, *size]),
            Self::ByTime { time_ms, .. } => (2, &[*time_ms]),
            Self::Range { from, count, .. } => (3, &[*from, *count]),
            Self::Root { size, .. } => (4, &[*size]),
            Self::Forks { .. } => (5, &[]),
            Self::HeadAfter { index, .. } => (6, &[*index]),
        };
        let has = usize::from(matches!(self, Self::Head { .. } | Self::ByTime { .. }));
        out.array(2 + has + numbers.len());
        out.uint(kind);
        out.bytes(self.name().key_bytes());
        match self {
            Self::Head { have, .. } => {
                write_optional(&mut out, have.as_ref(), |out, have| have.write(out));
            }
            Self::ByTime { have, .. } => have.write(&mut out),
            _ => {}
        }
        for number in numbers {
            out.uint(*number);
        }
        out.finish()
    }

    /// Reads a question of at most [`QUESTION_BYTES_MAX`] bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        bounded(bytes, QUESTION_BYTES_MAX)?;
        let mut reader = Reader::new(bytes);
        let input = &mut reader;
        let items = input.array()?;
        let kind = input.uint()?;
        let name = LedgerId::from_key_bytes(input.array_of()?);
        let question = match (kind, items) {
            (0, 3) => Self::Head { name, have: optional(input, Have::read)? },
            (1, 4) => Self::Get { name, index: input.uint()?, size: input.uint()? },
            (2, 4) => Self::ByTime { name, have: Have::read(input)?, time_ms: input.uint()? },
            (3, 4) => Self::Range { name, from: input.uint()?, count: input.uint()? },
            (4, 3) => Self::Root { name, size: input.uint()? },
            (5, 2) => Self::Forks { name },
            (6, 3) => Self::HeadAfter { name, index: input.uint()? },
            _ => return Err(DecodeError::Format),
        };
        reader.end()?;
        match question {
            Self::Range { count, .. } if count > RANGE_MAX => Err(DecodeError::Format),
            question => Ok(question),
        }
    }
}

impl Answer {
    /// The answer as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Self::Unknown => begin(&mut out, 1, 0),
            Self::Head { proof, record, frauds } => {
                begin(&mut out, 4, 1);
                write_head(&mut out, proof, record.as_ref(), frauds);
            }
            Self::Diverged { head, record, frauds } => {
                begin(&mut out, 4, 2);
                write_head(&mut out, head, record.as_ref(), frauds);
            }
            Self::Entry(placed) => {
                begin(&mut out, 2, 3);
                placed.write(&mut out);
            }
            Self::ByTime(found) => {
                begin(&mut out, 3, 4);
                for placed in [&found.at, &found.next] {
                    write_optional(&mut out, placed.as_ref(), |out, placed| placed.write(out));
                }
            }
            Self::Entries(entries) => {
                begin(&mut out, 2, 5);
                write_blocks(&mut out, entries);
            }
            Self::Root(root) => {
                begin(&mut out, 2, 6);
                out.bytes(root.as_bytes());
            }
            Self::Forks(frauds) => {
                begin(&mut out, 2, 7);
                write_frauds(&mut out, frauds);
            }
        }
        out.finish()
    }

    /// Reads an answer of at most [`ANSWER_BYTES_MAX`] bytes. Nothing in it is believed yet.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        bounded(bytes, ANSWER_BYTES_MAX)?;
        let mut reader = Reader::new(bytes);
        let input = &mut reader;
        let items = input.array()?;
        let answer = match (input.uint()?, items) {
            (0, 1) => Self::Unknown,
            (1, 4) => {
                let (proof, record, frauds) = read_head(input)?;
                Self::Head { proof, record, frauds }
            }
            (2, 4) => {
                let (head, record, frauds) = read_head(input)?;
                Self::Diverged { head, record, frauds }
            }
            (3, 2) => Self::Entry(Box::new(Placed::read(input)?)),
            (4, 3) => {
                let at = optional(input, Placed::read)?;
                Self::ByTime(Box::new(ByTime { at, next: optional(input, Placed::read)? }))
            }
            (5, 2) => {
                let entries = 0..counted(input, RANGE_MAX as usize)?;
                Self::Entries(entries.map(|_| entry(input)).collect::<Result<_>>()?)
            }
            (6, 2) => Self::Root(Hash::from_bytes(input.array_of()?)),
            (7, 2) => Self::Forks(read_frauds(input)?),
            _ => return Err(DecodeError::Format),
        };
        reader.end()?;
        Ok(answer)
    }

    /// The answer without what makes it too large to be sent: proofs of fraud from the last on, or
    /// all of it.
    pub(super) fn cut(mut self) -> Self {
        while self.encode().len() > ANSWER_BYTES_MAX {
            let left_out = match &mut self {
                Self::Head { frauds, .. } | Self::Diverged { frauds, .. } | Self::Forks(frauds) => {
                    frauds.pop()
                }
                _ => None,
            };
            if left_out.is_none() {
                return Self::Unknown;
            }
        }
        self
    }
}

fn bounded(bytes: &[u8], bytes_max: usize) -> Result<()> {
    if bytes.len() > bytes_max { Err(DecodeError::Format) } else { Ok(()) }
}

fn begin(out: &mut Writer, items: usize, kind: u64) {
    out.array(items);
    out.uint(kind);
}

fn write_head(out: &mut Writer, proof: &HeadProof, record: Option<&Bytes>, frauds: &[Fraud]) {
    proof.write(out);
    write_optional(out, record, |out, record| out.bytes(record));
    write_frauds(out, frauds);
}

fn read_head(input: &mut Reader<'_>) -> Result<(Box<HeadProof>, Option<Bytes>, Vec<Fraud>)> {
    let proof = Box::new(HeadProof::read(input)?);
    let record = optional(input, |input| {
        let record = input.bytes()?;
        bounded(record, RECORD_BYTES_MAX)?;
        Ok(Bytes::copy_from_slice(record))
    })?;
    Ok((proof, record, read_frauds(input)?))
}

fn write_frauds(out: &mut Writer, frauds: &[Fraud]) {
    out.array(frauds.len());
    for fraud in frauds {
        out.bytes(&fraud.encode());
    }
}

fn read_frauds(input: &mut Reader<'_>) -> Result<Vec<Fraud>> {
    (0..counted(input, FRAUDS_MAX)?).map(|_| Fraud::decode(input.bytes()?)).collect()
}

/// The head of a list of at most that many items.
fn counted(input: &mut Reader<'_>, items_max: usize) -> Result<usize> {
    let items = input.array()?;
    if items > items_max { Err(DecodeError::Format) } else { Ok(items) }
}
