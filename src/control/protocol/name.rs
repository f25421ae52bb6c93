//! Requests and answers about names.
//!
//! A name is written as a petname, `k51...` or `/ipns/k51...`, with `@N`, `@TIME` or
//! `#EPOCH.INDEX.HASH` behind it where a version or a checkpoint is meant; the node parses it
//! ([`crate::node::names`]), as it does every other target.

use serde::{Deserialize, Serialize};

use super::{Kind, Target, Wait};

/// What a verb asks about names.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum NameRequest {
    /// Make a name. Answers: `Done(Outcome::NameMade)`.
    New {
        /// What it is called here.
        petname: String,
        /// SHA-256 of the recovery public key, which stays with the asking process.
        recovery: [u8; 32],
    },
    /// The names known here. Answers: `Names` batches, `Done(Outcome::Nothing)`.
    List,
    /// Forget a name: stop following it and let its versions go; of an own name also the key.
    /// Answers: `Done(Outcome::NameRemoved)`.
    Remove {
        /// A petname or `k51...`.
        name: Target,
        /// Also where it is our own: its key is deleted.
        force: bool,
    },
    /// The secret key of an own name. Answers: `Done(Outcome::NameKey)`.
    Export {
        /// A petname or `k51...`.
        name: Target,
    },
    /// Take a secret key, as `Export` gave it or as kubo exports it. Answers: `Done(Outcome::NameMade)`.
    Import {
        /// What it is called here.
        petname: String,
        /// A libp2p protobuf of an Ed25519 secret key.
        key: Vec<u8>,
    },
    /// Leave a fork: follow this branch from now on. Answers: `Phase`, `Done(Outcome::Resolved)`.
    Accept {
        /// A petname or `k51...`.
        name: Target,
        /// The branch: the CID of its entry, as `resolve` shows it. None where only one is possible.
        branch: Option<String>,
        /// Waiting rules.
        wait: Wait,
    },
    /// Sign a new version. Answers: as `Add`, `Phase`, `Note`, then `Done(Outcome::Published)`.
    Publish {
        /// An own name.
        name: Target,
        /// What to publish.
        source: PublishSource,
        /// Free text, at most 256 bytes.
        message: Option<String>,
        /// Sign without having caught up.
        force: bool,
        /// Waiting rules.
        wait: Wait,
    },
    /// Find out the newest version. Answers: `Phase`, `Note`, `Done(Outcome::Resolved)`.
    Resolve {
        /// A name, with or without version and path.
        target: Target,
        /// Only what is known here.
        offline: bool,
        /// Waiting rules.
        wait: Wait,
    },
    /// Follow a name: keep and serve its versions from now on. Answers: `Phase`, `Note`,
    /// `Done(Outcome::Resolved)`.
    Follow {
        /// A name.
        name: Target,
        /// What to call it here.
        petname: Option<String>,
        /// Which versions' content is kept, such as `last=10,daily=30`; none leaves it as it is.
        keep: Option<String>,
        /// Stop following instead.
        stop: bool,
        /// Waiting rules.
        wait: Wait,
    },
    /// The versions, newest first. Answers: `Phase`, `Versions` batches, `Done(Outcome::Nothing)`.
    Log {
        /// A name; with a path only versions in which what it names changed.
        target: Target,
        /// At most this many.
        limit: Option<u64>,
        /// Waiting rules.
        wait: Wait,
    },
    /// What differs between two versions. Answers: `Phase`, `Changes` batches, `Done(Outcome::Compared)`.
    Diff {
        /// A name with a version, or a CID, with or without a path.
        from: Target,
        /// The same.
        to: Target,
        /// Waiting rules.
        wait: Wait,
    },
    /// Write a version to a directory, changing only what differs. Answers: `Phase`, `Progress`,
    /// `Done(Outcome::CheckedOut)`.
    Checkout {
        /// A name with or without a version and path.
        target: Target,
        /// Absolute path of the directory.
        out: Vec<u8>,
        /// Overwrite what was edited there.
        force: bool,
        /// The asking process's umask, for files whose DAG carries no mode.
        umask: u32,
        /// Waiting rules.
        wait: Wait,
    },
    /// A file that shows, offline, what stood at a path in a version. Answers: `Phase`, data frames,
    /// `Done(Outcome::Proved)`.
    Prove {
        /// A name with or without a version, and a path.
        target: Target,
        /// Waiting rules.
        wait: Wait,
    },
    /// For a mount: the newest version once it is another than `seen`, or what is known when `wait`
    /// has passed. Answers: `Done(Outcome::Resolved)`.
    Watch {
        /// A name without a version.
        target: Target,
        /// The content that the asker shows.
        seen: Option<String>,
        /// How long to wait for another one.
        wait: Wait,
    },
}

/// What is published.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum PublishSource {
    /// A file or directory, absolute: added first, with modes and times.
    Path(Vec<u8>),
    /// A CID or a name, with or without a path.
    Target(Target),
    /// An earlier version of the same name.
    Version(u64),
}

/// One line of `name ls`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameLine {
    /// `k51...`.
    pub name: String,
    /// What it is called here, if anything.
    pub petname: Option<String>,
    /// Its key is here.
    pub own: bool,
    /// It is followed.
    pub followed: bool,
    /// The newest version known here.
    pub version: Option<u64>,
    /// Its content.
    pub cid: Option<String>,
    /// Which versions' content is kept.
    pub keep: String,
    /// It is forked.
    pub forked: bool,
}

/// One line of `log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionLine {
    /// Counts from 1.
    pub version: u64,
    /// `#epoch.index`.
    pub position: String,
    /// What it stands for: of the whole name, or of the path that was asked for. None where the path
    /// names nothing in this version.
    pub cid: Option<String>,
    /// Claimed time, Unix milliseconds.
    pub time_ms: u64,
    /// Its message.
    pub message: String,
    /// It brought this version back.
    pub rolled_back_to: Option<u64>,
    /// Its content is kept here.
    pub kept: bool,
}

/// One line of `diff`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeLine {
    /// What happened.
    pub change: Change,
    /// The path below both targets, raw; empty for the targets themselves.
    pub path: Vec<u8>,
    /// What it is, or was.
    pub kind: Kind,
    /// Before.
    pub from: Option<String>,
    /// After.
    pub to: Option<String>,
}

/// How two versions differ at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Only in the second.
    Added,
    /// Only in the first.
    Removed,
    /// In both, with other bytes, target or kind.
    Changed,
    /// In both with the same bytes, and another mode or time.
    Metadata,
}

/// How a name stands here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// `k51...`.
    pub name: String,
    /// What it is called here, if anything.
    pub petname: Option<String>,
    /// `/ipfs/CID` with the path that was asked for.
    pub path: Vec<u8>,
    /// The content of the version.
    pub cid: String,
    /// The version, where the whole history is here; a light reader knows only the position.
    pub version: Option<u64>,
    /// `#epoch.index` of the version.
    pub position: String,
    /// `shoal://k51...#epoch.index.hash`: a link that protects whoever follows it.
    pub link: String,
    /// The time that it claims, Unix milliseconds.
    pub time_ms: u64,
    /// How it stands.
    pub standing: Standing,
    /// Milliseconds since somebody else confirmed that this is the newest; none if nobody has yet.
    pub confirmed_ms: Option<u64>,
    /// Who said so: `local`, `gossip`, `dht`, peer ids.
    pub sources: Vec<String>,
    /// What was refused or held, and why: for `-v`.
    pub refused: Vec<String>,
    /// The fork, if one is known.
    pub fork: Option<ForkLine>,
}

/// How a name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Its key is here.
    Own,
    /// Confirmed lately.
    Ok,
    /// Not confirmed for a while.
    Stale,
    /// A recovery was seen that could not be verified yet.
    Superseded,
    /// It has ended.
    Ended,
    /// Two histories were signed; the version is the last one that both share.
    Forked,
}

/// A proven fork.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkLine {
    /// `#epoch.index` where the histories part.
    pub position: String,
    /// The version that both have in common last, if any.
    pub common: Option<u64>,
    /// The content versions that stand against each other, where they are updates.
    pub version: Option<u64>,
    /// Their entries' CIDs, to be given to `name accept`.
    pub entries: Vec<String>,
    /// Their contents, in the same order, where they are updates.
    pub roots: Vec<Option<String>>,
    /// Public keys that signed both, in hex.
    pub guilty: Vec<String>,
    /// Absolute path of the proof, which `verify-proof` reads.
    pub proof: Vec<u8>,
}

/// What came of a publication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// `k51...`.
    pub name: String,
    /// The new version.
    pub version: u64,
    /// `#epoch.index`.
    pub position: String,
    /// Its content.
    pub cid: String,
    /// Peers that were told at once; with none it is queued.
    pub told: u64,
    /// It is put to the DHT when there is a peer.
    pub queued: bool,
    /// Nothing was signed, since the newest version has this content already.
    pub unchanged: bool,
}
