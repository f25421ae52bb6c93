//! The native protocol `/shoal/swarm/1`: one long-lived stream per peer, for messages and blocks.
//!
//! The dialer of a connection opens the stream; each side first sends `Hello`, then both send
//! whatever they like. A frame is never answered by position: blocks come back in any order.
//!
//! ```text
//! frame     +----------------+--------+------------------+
//!           | u32 LE: length | u8     | body             |   length counts kind and body
//!           |                | kind   | (length - 1)     |
//!           +----------------+--------+------------------+
//!
//! cid       uvarint length (at most 100), binary CID         uvarint: unsigned LEB128, minimal
//! cids      uvarint count (at most 128), then that many cid
//!
//! kind  name      body                                                            at most
//!   0   Hello     uvarint version (1), uvarint length, agent in UTF-8             64 KiB
//!   1   Data      cid, then the block's bytes to the end of the frame             2 MiB + 102
//!   2   Join      u8 flags, cid root                                              64 KiB
//!                 flags: bits 0-1 holding (0 nothing, 1 part, 2 all), bit 7 reply
//!   3   Leave     cid root                                                        64 KiB
//!   4   Have      cid root, cid branch, uvarint first, uvarint length, bitmap     64 KiB
//!                 bit i, lowest first in each byte, is link first + i of branch
//!   5   HaveAll   cid root, cid branch                                            64 KiB
//!   6   Request   cid root, uvarint deadline in ms (0 none), cids                 64 KiB
//!   7   Cancel    cids                                                            64 KiB
//!   8   Refuse    cids                                                            64 KiB
//!   9   Peers     cid root, uvarint count, then per peer uvarint length, bytes    64 KiB
//! ```
//!
//! Decoding is strict: an unknown kind, a longer frame, a byte too many or too few, a varint with
//! padding or a malformed CID ends the stream as a [`crate::Violation`].
//!
//! - `wire`, `message`: the codec. `reader`: frames out of a byte stream in bounded memory.
//! - `stream`: the task that owns a stream for life; `outstanding`: what was asked over it.
//! - `handler`, `behaviour`: how a stream comes out of libp2p. `registry`: which streams live, those
//!   of peers that speak Bitswap included.

mod activity;
mod behaviour;
mod handler;
mod message;
mod outstanding;
mod reader;
mod registry;
mod stream;
mod wire;
mod writer;

pub(crate) use activity::{Activity, Standing};
pub(crate) use behaviour::{Behaviour, StreamEvent, Surroundings, gone, prefix_of};
pub(crate) use outstanding::Outstanding;
pub(crate) use reader::{Patience, Stop};
pub(crate) use registry::{Admission, Registry, StreamCommand};
pub(crate) use stream::{Remote, UNREQUESTED_MAX, keep_block};
pub(crate) use wire::{Cursor, put_bytes, put_uvarint};
pub(crate) use writer::{WRITE_STALL_MAX, write_all};

use libp2p::StreamProtocol;

/// The protocol's name; the number at its end changes with any change of the frames.
pub(crate) const PROTOCOL: StreamProtocol = StreamProtocol::new("/shoal/swarm/1");

/// What this node calls itself, in `Hello` and in identify.
pub(crate) const AGENT: &str = concat!("shoal/", env!("CARGO_PKG_VERSION"));
