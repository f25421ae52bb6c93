//! The dag-pb codec: nodes of links and data.
//!
//! Strict. Writing gives the one canonical form: links, then data; in a link hash, name, size.
//! Reading accepts that form and the older one that has the data first, and refuses everything
//! else: unknown fields, wrong wire types, links on both sides of the data, a second data field,
//! links without a hash or with fields out of order, bytes left over.
//!
//! Reading borrows from the block (no byte is copied) and allocates one entry per link that is
//! really there. Absent and empty names, sizes and data are told apart, so that a node read and
//! written again has the same CID. Names are bytes: kubo's are not always UTF-8.
//! It gives no meaning to nodes: see [`crate::node`]. Specification: ipld.io `dag-pb/spec`.

use thiserror::Error;

use crate::Cid;
use crate::hash;
use crate::wire::{self, Kind, Reader, WireError};

/// Why bytes are not a dag-pb node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PbError {
    /// Not protobuf.
    #[error("dag-pb: {0}")]
    Wire(#[from] WireError),
    /// A field that dag-pb does not have, or one with the wrong wire type, or out of order.
    #[error("dag-pb: unexpected field")]
    Field,
    /// The hash of a link is missing or is not a CID.
    #[error("dag-pb: a link has no valid CID")]
    Hash,
    /// On writing: the links are not sorted by the bytes of their names.
    #[error("dag-pb: links are not sorted by name")]
    Unsorted,
}

/// A link of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PbLink<'a> {
    /// The block that is linked to.
    pub hash: Cid,
    /// Name of the link; file branches have the empty one.
    pub name: Option<&'a [u8]>,
    /// What the writer says the size of the tree below is, in bytes. A hint, never proven.
    pub tsize: Option<u64>,
}

/// A node as it is in a block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PbNode<'a> {
    /// The links, in the order of the block.
    pub links: Vec<PbLink<'a>>,
    /// The data, a UnixFS message in files and directories.
    pub data: Option<&'a [u8]>,
}

impl PbNode<'_> {
    /// Length of the block that [`Self::encode`] gives, in bytes.
    pub fn encoded_len(&self) -> usize {
        let links: usize =
            self.links.iter().map(|link| wire::bytes_field_len(link.encoded_len())).sum();
        links + self.data.map_or(0, |data| wire::bytes_field_len(data.len()))
    }

    /// Writes the canonical form.
    ///
    /// # Errors
    /// [`PbError::Unsorted`] when the names of the links do not ascend (equal ones may follow
    /// each other): the caller sorts.
    pub fn encode(&self) -> Result<Vec<u8>, PbError> {
        if !self.links.is_sorted_by_key(|link| link.name.unwrap_or_default()) {
            return Err(PbError::Unsorted);
        }
        let mut out = Vec::with_capacity(self.encoded_len());
        for link in &self.links {
            out.push(2 << 3 | 2);
            wire::put_varint(&mut out, link.encoded_len() as u64);
            link.encode_to(&mut out);
        }
        if let Some(data) = self.data {
            wire::put_bytes(&mut out, 1, data);
        }
        Ok(out)
    }
}

impl<'a> PbLink<'a> {
    /// Length of the link's own message, in bytes.
    pub fn encoded_len(&self) -> usize {
        wire::bytes_field_len(self.hash.encoded_len())
            + self.name.map_or(0, |name| wire::bytes_field_len(name.len()))
            + self.tsize.map_or(0, |tsize| 1 + wire::varint_len(tsize))
    }

    fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(1 << 3 | 2);
        wire::put_varint(out, self.hash.encoded_len() as u64);
        self.hash.write_bytes(&mut *out).expect("writing to a vector cannot fail");
        if let Some(name) = self.name {
            wire::put_bytes(out, 2, name);
        }
        if let Some(tsize) = self.tsize {
            wire::put_uint(out, 3, tsize);
        }
    }

    fn decode(message: &'a [u8]) -> Result<Self, PbError> {
        let mut reader = Reader::new(message);
        let hash = match reader.key()? {
            Some((1, Kind::Bytes)) => reader.bytes()?,
            _ => return Err(PbError::Hash),
        };
        let hash = hash::cid_from_bytes(hash).map_err(|_| PbError::Hash)?;
        let mut link = Self { hash, name: None, tsize: None };
        while let Some(key) = reader.key()? {
            match key {
                (2, Kind::Bytes) if link.name.is_none() && link.tsize.is_none() => {
                    link.name = Some(reader.bytes()?);
                }
                (3, Kind::Varint) if link.tsize.is_none() => link.tsize = Some(reader.varint()?),
                _ => return Err(PbError::Field),
            }
        }
        Ok(link)
    }
}

/// Reads a whole node.
pub fn decode(block: &[u8]) -> Result<PbNode<'_>, PbError> {
    let mut node = PbNode::default();
    for field in Fields::new(block) {
        match field? {
            Field::Link(link) => node.links.push(link),
            Field::Data(data) => node.data = Some(data),
        }
    }
    Ok(node)
}

/// The data of a node, found without reading its links: those who read them check the rest.
pub(crate) fn data(block: &[u8]) -> Result<Option<&[u8]>, PbError> {
    let mut reader = Reader::new(block);
    while let Some((field, kind)) = reader.key()? {
        match (field, kind) {
            (1, Kind::Bytes) => return Ok(Some(reader.bytes()?)),
            (_, kind) => reader.skip(kind)?,
        }
    }
    Ok(None)
}

/// Iterates over the links of a node; fails where the node is not well formed, also behind them.
pub(crate) fn links(block: &[u8]) -> impl Iterator<Item = Result<PbLink<'_>, PbError>> {
    Fields::new(block).filter_map(|field| match field {
        Ok(Field::Link(link)) => Some(Ok(link)),
        Ok(Field::Data(_)) => None,
        Err(error) => Some(Err(error)),
    })
}

/// One field of a node.
#[derive(Debug, Clone, Copy)]
enum Field<'a> {
    Link(PbLink<'a>),
    Data(&'a [u8]),
}

/// Iterates over the fields of a block and checks their order. Ends after the first error.
#[derive(Debug)]
struct Fields<'a> {
    reader: Reader<'a>,
    links: bool,
    data: bool,
    /// The data came after links: nothing may follow.
    closed: bool,
}

impl<'a> Fields<'a> {
    const fn new(block: &'a [u8]) -> Self {
        Self { reader: Reader::new(block), links: false, data: false, closed: false }
    }

    fn read(&mut self) -> Result<Option<Field<'a>>, PbError> {
        match self.reader.key()? {
            None => Ok(None),
            Some((1, Kind::Bytes)) if !self.data => {
                self.data = true;
                self.closed = self.links;
                Ok(Some(Field::Data(self.reader.bytes()?)))
            }
            Some((2, Kind::Bytes)) if !self.closed => {
                self.links = true;
                Ok(Some(Field::Link(PbLink::decode(self.reader.bytes()?)?)))
            }
            Some(_) => Err(PbError::Field),
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, PbError>;

    fn next(&mut self) -> Option<Self::Item> {
        let field = self.read().transpose();
        if matches!(field, Some(Err(_))) {
            self.reader = Reader::new(&[]);
        }
        field
    }
}

#[cfg(test)]
mod tests;
