//! Every bound and every tuned number of the engine, with its reason.
//!
//! "Rule book" is the set of rules that came out of the simulations for this project (design
//! section 4.5): numbers that name it were varied there.

use std::time::Duration;

/// CIDs in one request, cancel or refusal: 128 leaves of 64 KiB are 8 MiB, more than is asked of
/// anybody at once, and 128 CIDs fit a 6 KiB frame.
pub const REQUEST_CIDS_MAX: usize = 128;

/// Bytes of one `Have` bitmap: 65,536 children, more than fit into a block of 2 MiB.
pub const HAVE_BYTES_MAX: usize = 8 << 10;

/// Encoded peers in one `Peers` message.
pub const PEERS_MAX: usize = 64;

/// Blocks in one probe of the store: enough to make the round trip to it cheap, little enough
/// that its answer (links of every branch) stays small.
pub const PROBE_MAX: usize = 256;

/// Blocks being probed at once per swarm: four batches keep the store busy.
pub const PROBING_MAX: usize = 4 * PROBE_MAX;

/// Sub-trees and bitmaps of a shared root that are told to a peer that joins.
pub const HOLDINGS_MAX: usize = 4_096;

/// Unit of time in which the engine looks after everything that is not driven by an event:
/// announcements (the rule book wants them within 100 ms), expiry, deadlines.
pub const TICK: Duration = Duration::from_millis(50);
