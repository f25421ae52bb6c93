//! The reader: bytes in as they come, header and verified blocks out.
//!
//! It holds what was fed and not yet read. A caller that feeds only when [`Event::More`] says so
//! makes that one section and one piece at most.

use crate::Cid;
use bytes::{Buf as _, Bytes, BytesMut};

use super::{
    CID_BYTES_MAX, CarError, CarFault, HEADER_BYTES_MAX, Header, PRAGMA, Refused,
    SECTION_BYTES_MAX, V2_HEADER_BYTES, V2_PAYLOAD_MIN, verify,
};
use crate::hash::{self, CidError};
use crate::{BLOCK_BYTES_MAX, Block, varint};

/// What the bytes so far were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Feed more, or tell that there are none.
    More,
    /// The header. Comes once, first.
    Header(Header),
    /// A block that has its CID. Identity blocks come too.
    Block(Block),
    /// A block that cannot be checked, passed over.
    Refused(Refused),
    /// The CAR is complete.
    Done,
}

/// Reads a CAR of version 1 or 2.
#[derive(Debug, Default)]
pub struct CarReader {
    buffer: BytesMut,
    /// Byte of the stream at which the buffer begins.
    offset: u64,
    /// No more bytes will come.
    ended: bool,
    state: State,
    /// Bytes of the payload not read yet; version 1 has no such bound.
    left: Option<u64>,
    /// Declared length of the part that is being read.
    len: Option<Length>,
    failed: Option<CarError>,
}

/// A declared length that was read and accepted.
#[derive(Debug, Clone, Copy)]
struct Length {
    /// Byte of the stream at which it stands.
    offset: u64,
    len: usize,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    /// The header of version 1, or the pragma.
    #[default]
    Start,
    /// The header of version 2.
    Places,
    /// So many bytes until the payload.
    Padding(u64),
    /// The header within version 2.
    Header,
    Sections,
    /// What follows the payload: an index, not looked at.
    Tail,
    Done,
}

impl CarReader {
    /// A reader that was fed nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the next bytes of the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Tail | State::Done) && self.failed.is_none() {
            self.buffer.extend_from_slice(bytes);
        } else {
            self.offset += bytes.len() as u64;
        }
    }

    /// Says that the stream is at its end.
    pub const fn end(&mut self) {
        self.ended = true;
    }

    /// Byte of the stream that is read next.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes of memory that it holds.
    pub fn held(&self) -> usize {
        self.buffer.capacity()
    }

    /// Says what was read.
    ///
    /// # Errors
    /// [`CarError`]; the reading is over, polling again gives the same error.
    pub fn poll(&mut self) -> Result<Event, CarError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let event = self.step();
        if let Err(error) = &event {
            self.failed = Some(error.clone());
            self.buffer = BytesMut::new();
        }
        event
    }

    fn step(&mut self) -> Result<Event, CarError> {
        loop {
            let event = match self.state {
                State::Start => self.header(1)?,
                State::Places => self.places()?,
                State::Padding(left) => self.padding(left)?,
                State::Header => self.header(2)?,
                State::Sections => self.section()?,
                State::Tail => self.tail(),
                State::Done => Some(Event::Done),
            };
            if let Some(event) = event {
                return Ok(event);
            }
        }
    }

    /// More bytes are wanted, unless there are none.
    const fn more(&self, part: &'static str) -> Result<Option<Event>, CarError> {
        if self.ended {
            let offset = if let Some(length) = self.len { length.offset } else { self.offset };
            return Err(CarFault::Truncated(part).at(offset));
        }
        Ok(Some(Event::More))
    }

    /// Takes bytes that are there.
    fn take(&mut self, len: usize) -> Bytes {
        self.offset += len as u64;
        self.buffer.split_to(len).freeze()
    }

    fn skip(&mut self, len: usize) {
        self.offset += len as u64;
        self.buffer.advance(len);
    }

    fn header(&mut self, version: u64) -> Result<Option<Event>, CarError> {
        let Some(length) = self.length("a header", HEADER_BYTES_MAX)? else {
            return self.more("its header");
        };
        if self.buffer.len() < length.len {
            return self.more("its header");
        }
        self.len = None;
        let bytes = self.take(length.len);
        let mut header = Header::decode(&bytes).map_err(|fault| fault.at(length.offset))?;
        match (header.version, version) {
            (1, _) => {
                self.state = State::Sections;
                header.version = version;
                Ok(Some(Event::Header(header)))
            }
            // Exactly the bytes that version 2 begins with, so that all readers agree on them.
            (2, 1) if bytes == PRAGMA[1..] => {
                self.state = State::Places;
                Ok(None)
            }
            (2, 1) => Err(CarFault::HeaderKeys.at(length.offset)),
            (other, _) => Err(CarFault::Version(other).at(length.offset)),
        }
    }

    /// Reads the header of version 2. Characteristics say something about the index only.
    fn places(&mut self) -> Result<Option<Event>, CarError> {
        if self.buffer.len() < V2_HEADER_BYTES {
            return self.more("its CARv2 header");
        }
        let at = self.offset;
        let mut bytes = self.take(V2_HEADER_BYTES);
        bytes.advance(16);
        let (start, size, index) = (bytes.get_u64_le(), bytes.get_u64_le(), bytes.get_u64_le());
        let wrong = |what| Err(CarFault::Places(what).at(at));
        if start < V2_PAYLOAD_MIN {
            return wrong("the payload begins within the header");
        }
        let Some(end) = start.checked_add(size) else {
            return wrong("the payload ends beyond 64 bits");
        };
        if size == 0 {
            return wrong("the payload is empty");
        }
        if index != 0 && index < end {
            return wrong("the index begins within the payload");
        }
        self.left = Some(size);
        self.state = State::Padding(start - V2_PAYLOAD_MIN);
        Ok(None)
    }

    fn padding(&mut self, left: u64) -> Result<Option<Event>, CarError> {
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
        self.skip(len);
        let left = left - len as u64;
        self.state = State::Padding(left);
        if left > 0 {
            return self.more("the space before its payload");
        }
        self.state = State::Header;
        Ok(None)
    }

    fn section(&mut self) -> Result<Option<Event>, CarError> {
        if self.len.is_none() {
            if self.left == Some(0) {
                self.state = State::Tail;
                return Ok(None);
            }
            if self.buffer.is_empty() && self.ended && self.left.is_none() {
                self.state = State::Done;
                return Ok(None);
            }
        }
        let Some(length) = self.length("a section", SECTION_BYTES_MAX)? else {
            return self.more("a section");
        };
        if self.buffer.len() < length.len {
            return self.more("a section");
        }
        self.len = None;
        let section = self.take(length.len);
        block(section, length.offset).map(Some).map_err(|fault| fault.at(length.offset))
    }

    /// Everything after the payload is passed over.
    fn tail(&mut self) -> Option<Event> {
        self.skip(self.buffer.len());
        if !self.ended {
            return Some(Event::More);
        }
        self.state = State::Done;
        None
    }

    /// The length of the next part, within the bounds of the payload; `None` while it is not there.
    fn length(&mut self, what: &'static str, max: usize) -> Result<Option<Length>, CarError> {
        if let Some(length) = self.len {
            return Ok(Some(length));
        }
        let offset = self.offset;
        let Some((value, taken)) =
            varint::read(&self.buffer).map_err(|_| CarFault::Varint.at(offset))?
        else {
            return Ok(None);
        };
        let len = usize::try_from(value).ok().filter(|len| *len <= max);
        let len = len.ok_or(CarFault::TooLarge { what, len: value, max: max as u64 }.at(offset))?;
        if len == 0 {
            return Err(CarFault::Empty(what).at(offset));
        }
        if let Some(left) = &mut self.left {
            let rest = left.checked_sub((taken + len) as u64);
            *left = rest.ok_or(CarFault::Places("a part exceeds the payload").at(offset))?;
        }
        self.skip(taken);
        let length = Length { offset, len };
        self.len = Some(length);
        Ok(Some(length))
    }
}

/// Takes a section apart and checks its block.
fn block(section: Bytes, offset: u64) -> Result<Event, CarFault> {
    let len = cid_len(&section)?;
    let data = section.slice(len..);
    if data.len() > BLOCK_BYTES_MAX {
        let (len, max) = (data.len() as u64, BLOCK_BYTES_MAX as u64);
        return Err(CarFault::TooLarge { what: "a block", len, max });
    }
    let Some(cid) = cid_at(&section[..len])? else {
        let (code, len) = digest_of(&section[..len])?;
        let reason = match code {
            hash::IDENTITY | hash::SHA2_256 | hash::SHA2_512 | hash::BLAKE3 => {
                CidError::DigestLength { code, len }
            }
            _ => CidError::Hash(code),
        };
        return Ok(Event::Refused(Refused { offset, cid: None, reason }));
    };
    Ok(match verify(&cid, &data)? {
        Ok(()) => Event::Block(Block { cid, data }),
        Err(reason) => Event::Refused(Refused { offset, cid: Some(cid), reason }),
    })
}

/// Bytes of the CID that a section begins with.
fn cid_len(section: &[u8]) -> Result<usize, CarFault> {
    // Version 0 is a multihash: SHA-256 of 32 bytes.
    let len = if section.starts_with(&[0x12, 0x20]) {
        34
    } else {
        let (head, digest) = digest_head(section)?;
        head.saturating_add(usize::try_from(digest).map_err(|_| CarFault::Cid)?)
    };
    if len <= section.len().min(CID_BYTES_MAX) { Ok(len) } else { Err(CarFault::Cid) }
}

/// Reads the numbers of a version 1 CID: how many bytes they have, and the length of the digest.
fn digest_head(section: &[u8]) -> Result<(usize, u64), CarFault> {
    let (mut at, mut number) = (0, 0);
    for part in 0..4 {
        let taken =
            varint::read(&section[at..]).map_err(|_| CarFault::Cid)?.ok_or(CarFault::Cid)?;
        number = taken.0;
        at += taken.1;
        if part == 0 && number != 1 {
            return Err(CarFault::Cid);
        }
    }
    Ok((at, number))
}

/// Hash function and length of the digest of a CID that [`Cid`] cannot hold.
fn digest_of(cid: &[u8]) -> Result<(u64, usize), CarFault> {
    let (mut at, mut code) = (0, 0);
    for _ in 0..3 {
        let taken = varint::read(&cid[at..]).map_err(|_| CarFault::Cid)?.ok_or(CarFault::Cid)?;
        code = taken.0;
        at += taken.1;
    }
    let (head, _) = digest_head(cid)?;
    Ok((code, cid.len() - head))
}

/// The CID; `None` where its digest is longer than the type allows.
fn cid_at(bytes: &[u8]) -> Result<Option<Cid>, CarFault> {
    match hash::cid_from_bytes(bytes) {
        Ok(cid) => Ok(Some(cid)),
        Err(_) if bytes.first() == Some(&1) && digest_head(bytes)?.1 > 64 => Ok(None),
        Err(_) => Err(CarFault::Cid),
    }
}
