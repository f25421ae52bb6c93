//! Every bound and every tuned number of the engine, with its reason.
//!
//! "Rule book" is the set of rules that came out of the simulations for this project (design
//! section 4.5): numbers that name it were varied there.

use std::time::Duration;

/// CIDs in one request, cancel or refusal: 128 leaves of 64 KiB are 8 MiB, more than is asked of
/// anybody at once, and 128 CIDs fit a 6 KiB frame.
pub const REQUEST_CIDS_MAX: usize = 128;

/// Wants of a peer of single blocks that are looked at in one event: what a Bitswap peer may want at
/// once.
pub const WANTS_AT_ONCE: usize = 1_024;

/// Blocks that a peer of single blocks is asked about when it is invited: the root, and some that are
/// missed, for it may have a part without the root.
pub const SEEK_MAX: usize = 16;

/// Refusals in a row after which a peer of single blocks is left alone for [`REFUSING_REST`]: it has
/// the root and little else.
pub const REFUSALS_MAX: u32 = 32;

/// See [`REFUSALS_MAX`]: long enough that a question for each of a thousand blocks costs no link.
pub const REFUSING_REST: Duration = Duration::from_secs(5);

/// Bytes of one `Have` bitmap: 65,536 children, more than fit into a block of 2 MiB.
pub const HAVE_BYTES_MAX: usize = 8 << 10;

/// Encoded peers in one `Peers` message.
pub const PEERS_MAX: usize = 64;

/// Blocks in one probe of the store: enough to make the round trip to it cheap, little enough
/// that its answer (links of every branch) stays small.
pub const PROBE_MAX: usize = 256;

/// Blocks being probed at once per swarm: four batches keep the store busy.
pub const PROBING_MAX: usize = 4 * PROBE_MAX;

/// Messages about what is here that one member is told per [`TICK`]: a tree of small files makes one
/// per file, and thousands at once would fill the queue of its stream. 1,280 a second keep up with
/// any fetch of small files over a network.
pub const TOLD_PER_TICK: usize = 128;

/// Messages about what is here that wait for one member.
pub const TELLING_MAX: usize = 4_096;

/// A peer is invited to a swarm at most this often: often enough for a reader who waits, rare
/// enough for any number of searches.
pub const INVITE_EVERY: Duration = Duration::from_secs(1);

/// Peers of which it is remembered how much they gave to a swarm, gone ones too: more than a node
/// has connections.
pub const GIVERS_MAX: usize = 1_024;

/// Sub-trees and bitmaps of a shared root that are told to a peer that joins.
pub const HOLDINGS_MAX: usize = 4_096;

/// Unit of time in which the engine looks after everything that is not driven by an event:
/// announcements (the rule book wants them within 100 ms), expiry, deadlines.
pub const TICK: Duration = Duration::from_millis(50);

/// Slots of a swarm that an ordinary walk spends: with 64 KiB leaves 4 GiB in view, at about 230
/// bytes a slot 14 MiB.
pub const FRONTIER_MAX: usize = 65_536;

/// Slots of a swarm at all: what is beyond [`FRONTIER_MAX`] is spent only to go on when a walk
/// would stand still, deepest branch first. Three of the largest possible branches fit.
pub const SLOTS_MAX: usize = 2 * FRONTIER_MAX;

/// Unsatisfied wants of a swarm: far more than any reader's window.
pub const WANTS_MAX: usize = 65_536;

/// Layers of the memory of held blocks: 64 of 1 MiB hold 33 million blocks, two terabytes.
pub const FILTER_LAYERS_MAX: usize = 64;

/// Words of a full layer: 1 MiB.
pub const FILTER_LAYER_WORDS_MAX: usize = 1 << 17;

/// Complete branches remembered per swarm, so that a tree that repeats itself is walked once: a
/// terabyte has 20,000; 16 bytes each.
pub const BRANCHES_DONE_MAX: usize = 1 << 18;

/// A member that did not have what it was only guessed to have may be asked again when it announces
/// something that is not in view, at most this often.
pub const GUESS_AGAIN: Duration = Duration::from_secs(10);

/// Complete sub-trees remembered per member.
pub const COMPLETE_MAX: usize = 16_384;

/// Bytes of bitmaps kept per member about branches not seen yet: 500 branches of 4,096 leaves.
pub const KEPT_BYTES_MAX: usize = 256 << 10;

/// Announced blocks of one branch at most this many links apart share one message: 32 bytes of
/// zeros cost less than a second message with its two CIDs.
pub const HAVE_GAP_MAX: u32 = 256;

/// How long a peer may take to answer a join before it counts as one that holds nothing.
pub const JOIN_ANSWER_MAX: Duration = Duration::from_secs(2);

/// What may leave at once after a pause under a bandwidth limit: a leaf, or
pub const BURST_BYTES_MIN: u64 = 64 << 10;

/// this much time's worth. More would make priorities late, less would wake too often.
pub const BURST_TIME: Duration = Duration::from_millis(100);

/// First window of a fast path, and the flat part of what was measured over one connection on
/// loopback: 512 KiB to 2 MiB are equal, 8 MiB costs a fifth more time.
pub const FAST_WINDOW: f64 = 1_048_576.0;

/// A path whose first leaf came within this time is fast: 13 MB/s or more.
pub const FAST_LATENCY: Duration = Duration::from_millis(5);

/// Slack of a window beyond twice its bandwidth-delay product (rule book).
pub const PIPE_SLACK: f64 = 262_144.0;

/// Largest window (rule book): 1 Gbit/s at 130 ms, doubled.
pub const PIPE_MAX: f64 = 33_554_432.0;

/// Blocks asked of one peer at once, whatever their size: half of what a peer of this kind queues.
pub const OUTSTANDING_MAX: usize = 1_024;

/// A window is refilled when this much, or a quarter of it, is free: one run on the wire.
pub const REFILL_BYTES_MAX: f64 = 262_144.0;

/// Shortest time over which a rate is measured (rule book).
pub const SPAN_MIN: Duration = Duration::from_millis(250);

/// Ownership expires after four leaf times, at least (rule book)
pub const EXPIRY_MIN: Duration = Duration::from_secs(2);

/// and at most (rule book) this.
pub const EXPIRY_MAX: Duration = Duration::from_secs(8);

/// For a peer that has not delivered yet: in between, for a crowded uploader may take its time.
pub const EXPIRY_UNPROVEN: Duration = Duration::from_secs(4);

/// Rest of a peer after its first expiry; twice that afterwards (rule book).
pub const REST: Duration = Duration::from_secs(4);

/// Blocks taken back from a peer that may still arrive, remembered per peer: two windows' worth.
pub const CANCELLED_MAX: usize = 2 * OUTSTANDING_MAX;

/// For how long such a block is no violation.
pub const CANCELLED_TIME: Duration = Duration::from_secs(30);

/// Points of violations at which a connection ends: three corrupt blocks, or fifteen unrequested
/// ones, or 120 refusals of what was announced.
pub const POINTS_MAX: u32 = 120;

/// Units of work that a peer may cause at once: telling of 20,000 sub-trees is 20,000.
pub const WORK_MAX: f64 = 65_536.0;

/// Units that come back each second.
pub const WORK_PER_SECOND: f64 = 20_000.0;

/// Reader's blocks looked at per decision: a window of 8 s of an 8 Mbit/s stream has 128 leaves.
pub const URGENT_SCAN_MAX: usize = 128;

/// Requests queued per peer: twice what an honest peer has outstanding.
pub const QUEUE_MAX: usize = 2 * OUTSTANDING_MAX;

/// Queued requests looked at for the one sent least often.
pub const LEAST_SENT_SCAN_MAX: usize = 64;

/// Queued requests per peer looked at to find out whether a seed has one that it never sent.
pub const FRESH_SCAN_MAX: usize = 16;

/// Rounds for which a seed passes over a peer that waits only for what was sent before, while others
/// wait for what never was: with more the copies are fewer and the shares less even, and who is not
/// served for long takes everything back.
pub const FRESH_PATIENCE: u64 = 2;

/// A block that would wait longer than this at one that has everything is asked elsewhere when
/// another announces it.
pub const SWAP_MIN: Duration = Duration::from_millis(150);

/// Bytes granted to one peer and not yet written: two runs.
pub const GRANTED_PEER_MAX: u64 = 512 << 10;

/// Bytes granted and not yet written in all, at most; less on a slow uplink, where it is what
/// leaves in [`GRANTED_TIME`].
pub const GRANTED_MAX: u64 = 4 << 20;

/// The same, at least.
pub const GRANTED_MIN: u64 = 128 << 10;

/// The same before anything was written: on a fast path it is little.
pub const GRANTED_FIRST: u64 = 256 << 10;

/// See [`GRANTED_MAX`].
pub const GRANTED_TIME: Duration = Duration::from_millis(50);

/// Half-life of credit (rule book).
pub const CREDIT_HALF_LIFE: Duration = Duration::from_secs(3);

/// Share of newcomers while there are contributors (rule book).
pub const NEWCOMER_SHARE: f64 = 0.1;

/// Least and most allowance of a newcomer's prefix per root (rule book).
pub const ALLOWANCE_MIN: u64 = 64 << 10;
/// See [`ALLOWANCE_MIN`].
pub const ALLOWANCE_MAX: u64 = 2 << 20;

/// Size assumed of a block that is not in view and was never sent: the mean leaf.
pub const BLOCK_BYTES_GUESS: u32 = 64 << 10;

/// Size assumed of a root whose size is not known, for the allowance.
pub const ROOT_BYTES_GUESS: u64 = 256 << 20;

/// Given over confirmed and allowance up to which accounts of a seed stand alike and take turns:
/// without it whoever was confirmed last gets a run, and from a short queue what others have too.
pub const GOOD_STANDING: f64 = 1.25;

/// How much more than its part among those who take part one prefix may confirm for another: with
/// 1.5 accomplices need half of all prefixes, and an honest account, whose blocks everybody
/// announces in the end, lacks nothing.
pub const CONFIRMER_SHARE: f64 = 1.5;

/// Prefixes that confirm for one account: more than peers take part.
pub const CONFIRMERS_MAX: usize = 128;

/// Prefixes, and pairs of prefix and root, with an account: far more than connections.
pub const ACCOUNTS_MAX: usize = 4_096;

/// Blocks of which it is remembered how often they were sent, in each of two generations.
pub const SENT_MAX: usize = 131_072;

/// Children of branches that a seed remembers, to know which block is announced: 16 GiB at 64 KiB
/// a leaf, 4 MiB of memory.
pub const LINEAGE_MAX: usize = 1 << 18;

/// Branches that the store is asked for at once for that.
pub const LINEAGE_ASKED_MAX: usize = 64;

/// Roots shared without a session that are kept because peers joined them.
pub const SHARED_ROOTS_MAX: usize = 1_024;

/// Questions about shared roots open at once per peer.
pub const QUESTIONS_MAX: u32 = 16;

/// Swarms that one peer may be in.
pub const JOINED_MAX: usize = 1_024;

/// Sessions open at once.
pub const SESSIONS_MAX: usize = 65_536;

/// A member is told of others of its swarm at most this often, and only of those it was not told of
/// yet: often enough for a crowd that finds itself while a fetch of a minute lasts.
pub const PEERS_EVERY: Duration = Duration::from_secs(5);

/// Such messages of one root that are taken from a member at once; one more with every half of
/// [`PEERS_EVERY`], so that nobody honest is beyond it, however his messages bunch up.
pub const PEERS_BURST: f64 = 4.0;

/// Bytes of one encoded peer: an identity and a handful of addresses.
pub const CONTACT_BYTES_MAX: usize = 512;
