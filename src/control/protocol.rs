//! Requests, answers and their shapes on the control socket.
//!
//! Each message is one frame (see [`super::frame`]) holding a `postcard` encoding. The first exchange
//! on a connection is [`Hello`] and [`Welcome`]. After that the client sends a [`Request`] and reads
//! [`Response`]s until [`Response::Done`] or [`Response::Failed`]; then it may send the next one.
//! Bytes of `add -`, `cat` and CARs travel as data frames in between. Paths and names are raw bytes, since
//! file names need not be UTF-8. Both ends are normally the same binary; [`PROTOCOL_VERSION`] tells
//! when they are not.

use serde::{Deserialize, Serialize};

use crate::{
    config::{PROFILE_DEFAULT, bandwidth::Rates},
    exit::Exit,
};

pub mod car;
pub mod dropped;
pub mod name;

use car::{CarExport, CarImport, CarRoot, Exported, Imported};
use dropped::DroppedLine;
use name::{ChangeLine, NameLine, NameRequest, Published, Resolved, VersionLine};

/// Version of this protocol: raised with every change of a shape in this file.
pub const PROTOCOL_VERSION: u32 = 5;

/// First message of a client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL_VERSION`] of the client.
    pub version: u32,
}

/// First message of the node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Welcome {
    /// [`PROTOCOL_VERSION`] of the node.
    pub version: u32,
    /// Process id of the node.
    pub pid: u32,
    /// True for a running peer (`seed`), false for a verb that happens to own the store.
    pub persistent: bool,
}

/// What a verb asks of the node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// Add files, directories or the data frames that follow. Answers: `Added`, `Skipped`,
    /// `Progress`, then `Done(Outcome::Added)`.
    Add(Add),
    /// Add the blocks of the CAR that follows as data frames. Answers: `CarRoot`, `Skipped`,
    /// `Progress`, then `Done(Outcome::Imported)`.
    CarImport(CarImport),
    /// Write a CAR as data frames. Answers: data frames, `Phase`, `Done(Outcome::Exported)`.
    CarExport(CarExport),
    /// Fetch to a path. Answers: `Phase`, `Progress`, then `Done(Outcome::Fetched)`.
    Get(Get),
    /// Write a file's bytes as data frames. Answers: data frames, `Phase`, `Done(Outcome::Read)`.
    Cat {
        /// What to read.
        target: Target,
        /// First and last byte, inclusive as in HTTP; `None` reads all. A last byte beyond the
        /// end means the end.
        range: Option<(u64, u64)>,
        /// Waiting rules.
        wait: Wait,
    },
    /// List a directory (a file lists itself). Answers: `Listed` batches, `Done(Outcome::Listed)`.
    List {
        /// What to list.
        target: Target,
        /// Waiting rules.
        wait: Wait,
    },
    /// Describe one file, directory or symlink. Answers: `Done(Outcome::Described)`.
    Stat {
        /// What to describe.
        target: Target,
        /// Waiting rules.
        wait: Wait,
    },
    /// Pin recursively, fetching what is missing. Answers: `Phase`, `Progress`,
    /// `Done(Outcome::Pinned)`.
    PinAdd {
        /// What to pin.
        target: Target,
        /// The block alone, and nothing below it.
        direct: bool,
        /// What the user calls the pin.
        name: Option<String>,
        /// Waiting rules.
        wait: Wait,
    },
    /// Remove a pin. Answers: `Done(Outcome::Unpinned)`.
    PinRemove {
        /// The pin to remove, as `pin ls` shows it.
        target: Target,
    },
    /// Take back what was added: unpin and forget. Answers: `Done(Outcome::Removed)`; exit 4 when there
    /// is nothing of it.
    Remove(SeedItem),
    /// List pins. Answers: `Pins` batches, `Done(Outcome::Nothing)`.
    PinList(PinFilter),
    /// Remove what nothing needs. Answers: `Phase`, `Progress`, `Done(Outcome::Collected)`.
    Collect {
        /// Only say what would be removed.
        dry_run: bool,
    },
    /// Hash everything again. Answers: `Progress`, `Phase`, `Fault`, `Done(Outcome::Verified)`.
    Verify(Verify),
    /// Seed paths (by reference) or CIDs, remembered. Only a persistent node takes it; another one
    /// answers `Failed`. Answers: as `Add`, then `Done(Outcome::Nothing)`.
    Seed(Seed),
    /// The node's identity. Answers: `Done(Outcome::Identity)`.
    Id,
    /// Connected peers. Answers: `Done(Outcome::Peers)`; exit 10 when the node is not persistent.
    Peers,
    /// State of the running peer. Answers: `Done(Outcome::Status)`; exit 10 as above.
    Status,
    /// Bandwidth limits of the running peer, set first when text is given, spelled as `--bwlimit` is.
    /// Answers: `Done(Outcome::Limited)`; exit 10 as above.
    Limit(Option<String>),
    /// About names.
    Name(NameRequest),
    /// For a mount: what each CID is. Answers: `Done(Outcome::Nodes)`.
    Nodes {
        /// The root of the mount, whose swarm is asked for what is missing.
        root: String,
        /// At most [`LISTED_BATCH_MAX`] CIDs.
        cids: Vec<String>,
        /// Waiting rules.
        wait: Wait,
    },
    /// For a mount: a directory's entries. Answers: `Listed` batches, `Done(Outcome::Listed)`.
    Directory {
        /// As in `Nodes`.
        root: String,
        /// The directory.
        cid: String,
        /// Waiting rules.
        wait: Wait,
    },
    /// For a mount: one entry of a directory. Answers: `Done(Outcome::Entry)` for a sharded directory;
    /// for one in one block as `Directory`, which costs no more.
    Entry {
        /// As in `Nodes`.
        root: String,
        /// The directory.
        cid: String,
        /// Name of the entry.
        name: Vec<u8>,
        /// Waiting rules.
        wait: Wait,
    },
    /// For a mount: bytes of a file. Answers: data frames, `Done(Outcome::Read)`.
    Read {
        /// As in `Nodes`.
        root: String,
        /// The file.
        cid: String,
        /// First byte.
        offset: u64,
        /// How many bytes; fewer come at the end of the file.
        len: u32,
        /// Waiting rules.
        wait: Wait,
    },
    /// For a mount: the one local file that holds a whole, owned file's bytes, if there is one.
    /// Answers: `Done(Outcome::Backing)`.
    Backing {
        /// The file.
        cid: String,
    },
}

/// `CID[/path]` or a name, as the user typed it; the node parses it.
pub type Target = Vec<u8>;

/// How long a verb waits for the network.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Wait {
    /// Longest time without progress, in milliseconds.
    pub idle_ms: u64,
}

/// Arguments of `add`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Add {
    /// What to add, in order; `None` is standard input, whose bytes follow as data frames and end
    /// with an empty one. Paths are absolute.
    pub sources: Vec<Option<Vec<u8>>>,
    /// Name of the profile, as [`shoal_dag::profile::Profile`] parses it.
    pub profile: String,
    /// Keep mode and mtime exactly.
    pub preserve: bool,
    /// Keep the user's files as the store's bytes instead of a copy.
    pub reference: bool,
    /// Neither announce nor serve.
    pub local: bool,
    /// Compute CIDs, store nothing.
    pub only_hash: bool,
    /// What of the directories is left out.
    pub leaving: Leaving,
    /// Read every file, also one that looks as it did when it was last added.
    pub read_all: bool,
}

impl Add {
    /// Adds a path as the default profile has it, whole, into the store.
    pub fn path(path: Vec<u8>) -> Self {
        let profile = PROFILE_DEFAULT.to_owned();
        Self { sources: vec![Some(path)], profile, ..Self::default() }
    }
}

/// What an add leaves out on purpose, below the directories that it was given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// Patterns in gitignore's syntax, relative to each argument.
    pub exclude: Vec<String>,
    /// Add hidden files also with a profile that leaves them out.
    pub hidden: bool,
    /// Take no notice of `.shoalignore`.
    pub no_ignore: bool,
}

/// Arguments of `get`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Get {
    /// What to fetch.
    pub target: Target,
    /// Absolute path to create.
    pub out: Vec<u8>,
    /// Pin it and leave a copy in the store.
    pub keep: bool,
    /// Replace what stands at `out`.
    pub force: bool,
    /// End only when the bytes are synced.
    pub sync: bool,
    /// Content bytes wanted at most.
    pub size_max: Option<u64>,
    /// Seed on after the end, until what was taken is given back.
    pub seed_on: bool,
    /// The asking process's umask, for files whose DAG carries no mode.
    pub umask: u32,
    /// Waiting rules.
    pub wait: Wait,
}

/// Arguments of `verify`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Verify {
    /// Fetch again what is wrong and pinned.
    pub repair: bool,
    /// Waiting rules.
    pub wait: Wait,
}

/// Arguments of `seed`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seed {
    /// Paths that exist, absolute, or CIDs as typed.
    pub what: Vec<SeedItem>,
    /// Forget them instead.
    pub forget: bool,
}

/// One argument of `seed` or `rm`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeedItem {
    /// A file or directory of the user, absolute; `seed` takes it by reference.
    Path(Vec<u8>),
    /// A CID; `seed` fetches, pins and serves it, or what a name stands for.
    Root(Target),
}

/// What the node answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Response {
    /// What is waited for, in words; the client decides how often to print.
    Phase(Phase),
    /// How far it is; sent at most ten times a second.
    Progress(Progress),
    /// One argument of `add` is done.
    Added(Added),
    /// What came of a root of a CAR.
    CarRoot(CarRoot),
    /// A source was left out.
    Skipped {
        /// The source's path.
        path: Vec<u8>,
        /// Why, in words.
        why: String,
    },
    /// Something the user should know that does not change the outcome.
    Note(String),
    /// Directory entries, in batches of at most [`LISTED_BATCH_MAX`].
    Listed(Vec<Listed>),
    /// Pins, in batches of at most [`LISTED_BATCH_MAX`].
    Pins(Vec<PinLine>),
    /// Something that `verify` found.
    Fault(FaultLine),
    /// Names, in batches of at most [`LISTED_BATCH_MAX`].
    Names(Vec<NameLine>),
    /// Versions of a name, in batches of at most [`LISTED_BATCH_MAX`].
    Versions(Vec<VersionLine>),
    /// Differences of two versions, in batches of at most [`LISTED_BATCH_MAX`].
    Changes(Vec<ChangeLine>),
    /// It is done. Last message of a request.
    Done(Outcome),
    /// It failed. Last message of a request.
    Failed(Failure),
}

/// Most entries of one `Listed` or `Pins` message: 1,000 names of 255 bytes are far below the frame
/// limit.
pub const LISTED_BATCH_MAX: usize = 1000;

/// A phase of waiting for the network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Sentence without full stop, such as `looking for providers of bafy...: 12 asked, 9 answered`.
    pub text: String,
}

/// Progress of an add or a fetch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes done, local ones included.
    pub bytes: u64,
    /// Bytes in all, when known.
    pub bytes_total: Option<u64>,
    /// Bytes that came from peers.
    pub bytes_received: u64,
    /// Files done.
    pub files: u64,
    /// Peers that sent something or hold something of it.
    pub peers: u32,
    /// What is waited for, empty when bytes flow.
    pub waiting: String,
}

/// One finished argument of `add` or `seed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// Its root.
    pub cid: String,
    /// The argument, `-` for standard input.
    pub path: Vec<u8>,
    /// Content bytes.
    pub size: u64,
    /// Files below it, itself included.
    pub files: u64,
}

/// What an add did not have to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spared {
    /// Entries left out by a pattern; of a directory nothing below is counted.
    pub excluded: u64,
    /// Hidden entries left out.
    pub hidden: u64,
    /// Files that were not read, being as they were when they were last added.
    pub unchanged: u64,
}

/// What `rm` took back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Roots that are not pinned any more.
    pub unpinned: Vec<String>,
    /// Roots whose pin stays, and why.
    pub kept: Vec<(String, String)>,
    /// The user's files that the store referred to and does not any more.
    pub references: u64,
    /// The user's files that it goes on to refer to, for another pin.
    pub references_kept: u64,
}

/// One line of `ls`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Raw name; empty when the target is itself a file.
    pub name: Vec<u8>,
    /// The entry's CID.
    pub cid: String,
    /// What it is, when its first block is local.
    pub kind: Option<Kind>,
    /// Content bytes of a file when known; else `None`.
    pub size: Option<u64>,
    /// Bytes of its DAG, branches included, as its parent says.
    pub dag_size: u64,
    /// Mode and mtime when the DAG carries them and its first block is local.
    pub meta: Meta,
}

/// One line of `pin ls`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinLine {
    /// The pinned root.
    pub cid: String,
    /// Neither announced nor served.
    pub local: bool,
    /// The block alone.
    pub direct: bool,
    /// What the user calls it.
    pub name: Option<String>,
}

/// Which pins are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinFilter {
    /// Those of the block alone (true), or those with all below it (false).
    pub direct: Option<bool>,
    /// Those that are called so.
    pub name: Option<String>,
}

/// Something that `verify` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultLine {
    /// What it is.
    pub kind: FaultKind,
    /// The block, as a raw leaf (the store does not know what it is), or the pin.
    pub cid: Option<String>,
    /// The file that it lies in; empty where there is none.
    pub path: Vec<u8>,
    /// Where in the file it begins.
    pub offset: Option<u64>,
    /// Its length.
    pub bytes: Option<u64>,
    /// It is right now, or nothing needs it.
    pub mended: bool,
}

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultKind {
    /// Bytes that are not the block's.
    Corrupt,
    /// A user's file that was given by reference and is another one now.
    Changed,
    /// A user's file that was given by reference and is not there.
    Gone,
    /// A file of the store that nothing leads to.
    Orphan,
    /// A pin of which something is not here.
    Missing,
}

/// File, directory or symlink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Bytes.
    File,
    /// Named entries.
    Directory,
    /// A target path.
    Symlink,
}

/// Metadata that a DAG may carry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Seconds since 1970 and nanoseconds.
    pub mtime: Option<(i64, u32)>,
}

/// A file, directory or symlink as `stat` and the mount see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    /// Its CID.
    pub cid: String,
    /// What it is.
    pub kind: Kind,
    /// Content bytes of a file, length of a symlink's target, 0 for a directory.
    pub size: u64,
    /// Bytes of its DAG, branches included; 0 when unknown.
    pub dag_size: u64,
    /// Entries of a directory, links of a file; of a sharded directory links of its first block.
    pub links: u64,
    /// Whether it is a directory whose entries are in several blocks.
    pub sharded: bool,
    /// Target of a symlink.
    pub target: Option<Vec<u8>>,
    /// Mode and mtime.
    pub meta: Meta,
}

/// What `gc` did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    /// Nothing was removed, only looked at.
    pub dry_run: bool,
    /// Blocks that stay.
    pub kept_blocks: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// Blocks removed, or that would be.
    pub removed_blocks: u64,
    /// Their bytes.
    pub removed_bytes: u64,
    /// Bytes of the disk given back; an estimate where nothing was removed.
    pub freed_bytes: u64,
    /// Blocks below pins that are not here.
    pub missing: u64,
    /// Files whose dead bytes are in use and go next time.
    pub left: u64,
    /// It went to its end.
    pub complete: bool,
    /// Milliseconds from request to end.
    pub elapsed_ms: u64,
}

/// What came of a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Outcome {
    /// Nothing to tell.
    Nothing,
    /// Of `add` and `seed`.
    Added {
        /// Arguments done.
        added: u64,
        /// Sources that could not be read.
        skipped: u64,
        /// Content bytes.
        bytes: u64,
        /// Files.
        files: u64,
        /// What was left out on purpose, and what need not be read.
        spared: Spared,
        /// True when a running peer serves it.
        served: bool,
    },
    /// Of `gc`.
    Collected(Collected),
    /// Of `rm`.
    Removed(Removed),
    /// Of `car import`.
    Imported(Imported),
    /// Of `car export`.
    Exported(Exported),
    /// Of `get`.
    Fetched {
        /// The root of what stands at OUT.
        cid: String,
        /// Content bytes.
        bytes: u64,
        /// Files.
        files: u64,
        /// Bytes of blocks received, duplicates included.
        bytes_received: u64,
        /// Who sent how many bytes.
        sources: Vec<(String, u64)>,
        /// Distinct peers that were connected during the fetch.
        peers_connected: u64,
        /// Milliseconds from request to end.
        elapsed_ms: u64,
        /// Entry names that are not allowed on disk, left out: escaped paths.
        refused: Vec<String>,
    },
    /// Of `cat` and `Read`: bytes sent.
    Read {
        /// How many.
        bytes: u64,
    },
    /// Of `ls`: entries sent.
    Listed {
        /// How many.
        entries: u64,
        /// The target itself.
        described: Described,
    },
    /// Of `Entry`: the entry, if the directory has it.
    Entry(Option<Listed>),
    /// Of `stat`.
    Described(Described),
    /// Of `pin add`.
    Pinned {
        /// The pinned root.
        cid: String,
    },
    /// Of `pin rm`.
    Unpinned {
        /// The root.
        cid: String,
    },
    /// Of `verify`.
    Verified {
        /// Blocks that were hashed.
        blocks: u64,
        /// Their bytes.
        bytes: u64,
        /// What was wrong.
        faults: u64,
        /// What of it is right now, or not needed by anything.
        mended: u64,
        /// Milliseconds that it took.
        elapsed_ms: u64,
    },
    /// Of `id`.
    Identity {
        /// Peer id.
        peer: String,
        /// Addresses it listens on, none when it is not a running peer.
        addresses: Vec<String>,
    },
    /// Of `peers`.
    Peers {
        /// Those that are connected.
        connected: Vec<PeerLine>,
        /// Those whose connections were ended by the node lately, the newest last.
        dropped: Vec<DroppedLine>,
    },
    /// Of `status`.
    Status(Status),
    /// Of `Limit`.
    Limited {
        /// What holds now.
        rates: Rates,
        /// The timetable, where time changes it.
        timetable: Option<String>,
    },
    /// Of `Nodes`: an answer per CID, in the order asked.
    Nodes(Vec<Result<Described, Failure>>),
    /// Of `name new` and `name import`.
    NameMade {
        /// `k51...`.
        name: String,
        /// What it is called here.
        petname: String,
    },
    /// Of `name rm`.
    NameRemoved {
        /// `k51...`.
        name: String,
    },
    /// Of `name export`: a libp2p protobuf of the Ed25519 secret key, as kubo reads it.
    NameKey {
        /// `k51...`.
        name: String,
        /// The key.
        key: Vec<u8>,
    },
    /// Of `publish` and `rollback`.
    Published(Published),
    /// Of `resolve`, `follow`, `name accept` and `Watch`.
    Resolved(Box<Resolved>),
    /// Of `diff`: how many paths.
    Compared {
        /// Only in the second.
        added: u64,
        /// Only in the first.
        removed: u64,
        /// Different.
        changed: u64,
    },
    /// Of `checkout`.
    CheckedOut {
        /// What stands there now.
        resolved: Box<Resolved>,
        /// Entries written anew or replaced.
        written: u64,
        /// Entries removed.
        removed: u64,
        /// Entries that were the same.
        kept: u64,
        /// Bytes of blocks received.
        bytes_received: u64,
        /// Entry names that are not allowed on disk, left out: escaped paths.
        refused: Vec<String>,
    },
    /// Of `prove`: what the proof that was sent shows.
    Proved {
        /// The version.
        resolved: Box<Resolved>,
        /// What stands at the path.
        cid: String,
        /// Bytes of the proof.
        bytes: u64,
    },
    /// Of `Backing`: absolute path of a plain file with exactly the file's bytes.
    Backing(Option<Vec<u8>>),
}

/// One line of `peers`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PeerLine {
    /// Peer id.
    pub peer: String,
    /// Its address.
    pub address: String,
    /// Agent it names, if any.
    pub agent: String,
    /// It speaks the native protocol.
    pub native: bool,
    /// What it speaks: `native`, `bitswap`, or `-` for neither.
    pub protocol: String,
    /// Bytes of blocks sent to it.
    pub sent: u64,
    /// Bytes of blocks received from it.
    pub received: u64,
    /// What it did wrong, weighed; at 120 it is dropped.
    pub points: u32,
    /// The same by kind.
    pub violations: Vec<(String, u64)>,
}

/// State of a running peer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Status {
    /// Peer id.
    pub peer: String,
    /// Process id.
    pub pid: u32,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// Addresses it listens on.
    pub addresses: Vec<String>,
    /// Network it is on.
    pub network: String,
    /// Connected peers.
    pub peers: u64,
    /// Pins.
    pub pins: u64,
    /// Blocks in the index.
    pub blocks: u64,
    /// Bytes of packs and blobs.
    pub bytes: u64,
    /// Roots with a provider record published.
    pub announced: u64,
    /// Roots still to be announced.
    pub announce_queue: u64,
    /// Fetches going on.
    pub fetches: u64,
    /// Fetched roots that are seeded on.
    pub seeding_on: u64,
    /// Bytes of blocks sent since start.
    pub sent: u64,
    /// Bytes of blocks received since start.
    pub received: u64,
    /// Faults of peers, by kind.
    pub violations: Vec<(String, u64)>,
    /// What is done to make newest versions whole.
    pub rebasing: Rebasing,
}

/// What the worker does that makes the newest versions of names whole files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebasing {
    /// It was told to wait.
    pub paused: bool,
    /// The name that is worked on.
    pub now: Option<String>,
    /// Names that wait for it.
    pub waiting: u64,
    /// Older files whose space comes back when nobody reads them any more.
    pub in_use: u64,
}

/// A failure, ready to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The exit code it ends the verb with.
    pub exit: Exit,
    /// What happened, to what: one sentence without full stop.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}
