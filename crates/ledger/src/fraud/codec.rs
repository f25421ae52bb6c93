//! Proofs of fraud as bytes: canonical dag-cbor lists, to be stored and passed on.
//!
//! ```text
//! proof     [0, evidence, evidence]                    equivocation, smaller block first
//!           [1, evidence, block, hashes]               bad history
//!           [2, evidence, leaf]                        bad leaf
//!           [3, evidence, link, 0, block]              bad link that names a block
//!           [3, evidence, link, 1, leaf]               bad link that misses a leaf
//!           [3, evidence, 2, 2, block, leaf]           outdated control link
//!           [4, evidence, leaf]                        time regress
//!           [5, evidence, 0, leaf]                     after the end
//!           [5, evidence, 1, [leaf ..]]                after removal
//!           [5, evidence, 2, leaf, [block ..]]         on top of what nobody might sign
//! evidence  [block, [block ..]]                        the entry, the control entries behind it
//! leaf      [index, block, hashes]
//! link      0 pv, 1 jp, 2 ct
//! hashes    bytes 32*k
//! block     bytes
//! ```
//!
//! Blocks of entries are opaque here, so a proof is as exact as the bytes that were signed.

use super::{Evidence, Fraud, Leaf, LinkFault, LinkName, Usurpation};
use crate::cbor::{Reader, Writer};
use crate::wire::{
    DecodeError, block, blocks, count, entry as read_entry, hashes, write_blocks, write_hashes,
};

type Result<T> = std::result::Result<T, DecodeError>;

impl Fraud {
    /// The proof as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        match self {
            Self::Equivocation(pair) => {
                begin(&mut out, 3, 0);
                for evidence in pair.iter() {
                    write_evidence(&mut out, evidence);
                }
            }
            Self::BadHistory { entry, previous, peaks } => {
                begin(&mut out, 4, 1);
                write_evidence(&mut out, entry);
                out.bytes(previous);
                write_hashes(&mut out, peaks);
            }
            Self::BadLeaf { entry, leaf } => write_with_leaf(&mut out, 2, entry, leaf),
            Self::BadLink { entry, link, fault } => write_link(&mut out, entry, *link, fault),
            Self::TimeRegress { entry, earlier } => write_with_leaf(&mut out, 4, entry, earlier),
            Self::Unauthorised { entry, by } => write_usurpation(&mut out, entry, by),
        }
        out.finish()
    }

    /// Reads a proof. It proves nothing before it is verified.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let input = &mut reader;
        let items = input.array()?;
        let kind = input.uint()?;
        let entry = evidence(input)?;
        let fraud = match (kind, items) {
            (0, 3) => Self::Equivocation(Box::new([entry, evidence(input)?])),
            (1, 4) => Self::BadHistory { entry, previous: block(input)?, peaks: hashes(input)? },
            (2, 3) => Self::BadLeaf { entry, leaf: leaf(input)? },
            (3, 5 | 6) => {
                let (link, fault) = link_fault(input, items)?;
                Self::BadLink { entry, link, fault }
            }
            (4, 3) => Self::TimeRegress { entry, earlier: leaf(input)? },
            (5, 4 | 5) => Self::Unauthorised { entry, by: usurpation(input, items)? },
            _ => return Err(DecodeError::Format),
        };
        reader.end()?;
        Ok(fraud)
    }
}

fn begin(out: &mut Writer, items: usize, kind: u64) {
    out.array(items);
    out.uint(kind);
}

fn write_with_leaf(out: &mut Writer, kind: u64, entry: &Evidence, leaf: &Leaf) {
    begin(out, 3, kind);
    write_evidence(out, entry);
    write_leaf(out, leaf);
}

fn write_evidence(out: &mut Writer, evidence: &Evidence) {
    out.array(2);
    out.bytes(evidence.entry.block());
    write_blocks(out, &evidence.chain);
}

fn write_leaf(out: &mut Writer, leaf: &Leaf) {
    out.array(3);
    out.uint(leaf.index);
    out.bytes(&leaf.block);
    write_hashes(out, &leaf.path);
}

fn write_link(out: &mut Writer, entry: &Evidence, link: LinkName, fault: &LinkFault) {
    begin(out, if matches!(fault, LinkFault::Outdated { .. }) { 6 } else { 5 }, 3);
    write_evidence(out, entry);
    out.uint(match link {
        LinkName::Previous => 0,
        LinkName::Jump => 1,
        LinkName::Control => 2,
    });
    match fault {
        LinkFault::Names(block) => {
            out.uint(0);
            out.bytes(block);
        }
        LinkFault::Misses(leaf) => {
            out.uint(1);
            write_leaf(out, leaf);
        }
        LinkFault::Outdated { named, newer } => {
            out.uint(2);
            out.bytes(named);
            write_leaf(out, newer);
        }
    }
}

fn write_usurpation(out: &mut Writer, entry: &Evidence, by: &Usurpation) {
    begin(out, if matches!(by, Usurpation::OnTop { .. }) { 5 } else { 4 }, 5);
    write_evidence(out, entry);
    match by {
        Usurpation::AfterEnd(leaf) => {
            out.uint(0);
            write_leaf(out, leaf);
        }
        Usurpation::AfterRemoval(changes) => {
            out.uint(1);
            out.array(changes.len());
            for leaf in changes {
                write_leaf(out, leaf);
            }
        }
        Usurpation::OnTop { leaf, chain } => {
            out.uint(2);
            write_leaf(out, leaf);
            write_blocks(out, chain);
        }
    }
}

fn evidence(input: &mut Reader<'_>) -> Result<Evidence> {
    input.array_exact(2)?;
    Ok(Evidence { entry: read_entry(input)?, chain: blocks(input)? })
}

fn leaf(input: &mut Reader<'_>) -> Result<Leaf> {
    input.array_exact(3)?;
    Ok(Leaf { index: input.uint()?, block: block(input)?, path: hashes(input)? })
}

fn link_fault(input: &mut Reader<'_>, items: usize) -> Result<(LinkName, LinkFault)> {
    let link = match input.uint()? {
        0 => LinkName::Previous,
        1 => LinkName::Jump,
        2 => LinkName::Control,
        _ => return Err(DecodeError::Format),
    };
    let fault = match (input.uint()?, items) {
        (0, 5) => LinkFault::Names(block(input)?),
        (1, 5) => LinkFault::Misses(leaf(input)?),
        (2, 6) => LinkFault::Outdated { named: block(input)?, newer: leaf(input)? },
        _ => return Err(DecodeError::Format),
    };
    Ok((link, fault))
}

fn usurpation(input: &mut Reader<'_>, items: usize) -> Result<Usurpation> {
    match (input.uint()?, items) {
        (0, 4) => Ok(Usurpation::AfterEnd(leaf(input)?)),
        (1, 4) => {
            let changes = (0..count(input)?).map(|_| leaf(input)).collect::<Result<_>>()?;
            Ok(Usurpation::AfterRemoval(changes))
        }
        (2, 5) => Ok(Usurpation::OnTop { leaf: leaf(input)?, chain: blocks(input)? }),
        _ => Err(DecodeError::Format),
    }
}
