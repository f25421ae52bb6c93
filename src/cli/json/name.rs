//! The shapes of `--json` that names have.
//!
//! The rules are those of [`super`]. `version` counts contents from 1, `position` is the ledger's own
//! `#epoch.index`; `time` is what the signer claims. The secret of a recovery key stands in none of
//! them.

use serde::Serialize;

use super::{Path, hex_if_needed, kind, rfc3339};
use crate::control::protocol::name as protocol;

/// One name of `name ls`.
#[derive(Debug, Serialize)]
pub(crate) struct NameLine {
    name: String,
    petname: Option<String>,
    own: bool,
    followed: bool,
    version: Option<u64>,
    cid: Option<String>,
    keep: String,
    forked: bool,
}

impl From<&protocol::NameLine> for NameLine {
    fn from(line: &protocol::NameLine) -> Self {
        Self {
            name: line.name.clone(),
            petname: line.petname.clone(),
            own: line.own,
            followed: line.followed,
            version: line.version,
            cid: line.cid.clone(),
            keep: line.keep.clone(),
            forked: line.forked,
        }
    }
}

/// One version of `log`. `cid` is null where the path that was asked for names nothing in it.
#[derive(Debug, Serialize)]
pub(crate) struct VersionLine {
    version: u64,
    position: String,
    cid: Option<String>,
    time: String,
    message: String,
    rolled_back_to: Option<u64>,
    kept: bool,
}

impl From<&protocol::VersionLine> for VersionLine {
    fn from(line: &protocol::VersionLine) -> Self {
        Self {
            version: line.version,
            position: line.position.clone(),
            cid: line.cid.clone(),
            time: time(line.time_ms),
            message: line.message.clone(),
            rolled_back_to: line.rolled_back_to,
            kept: line.kept,
        }
    }
}

/// One path of `diff`. `from` and `to` are CIDs, null where nothing stood.
#[derive(Debug, Serialize)]
pub(crate) struct ChangeLine {
    change: &'static str,
    #[serde(flatten)]
    path: Path,
    kind: &'static str,
    from: Option<String>,
    to: Option<String>,
}

impl From<&protocol::ChangeLine> for ChangeLine {
    fn from(line: &protocol::ChangeLine) -> Self {
        let change = match line.change {
            protocol::Change::Added => "added",
            protocol::Change::Removed => "removed",
            protocol::Change::Changed => "changed",
            protocol::Change::Metadata => "metadata",
        };
        Self {
            change,
            path: line.path.as_slice().into(),
            kind: kind(line.kind),
            from: line.from.clone(),
            to: line.to.clone(),
        }
    }
}

/// Fields of `publish` and `rollback`. `skipped` counts sources that were left out.
#[derive(Debug, Serialize)]
pub(crate) struct Published {
    name: String,
    version: u64,
    position: String,
    cid: String,
    told: u64,
    queued: bool,
    unchanged: bool,
    skipped: u64,
}

impl Published {
    /// What the node says of it, and how many sources were left out.
    pub(crate) fn new(published: &protocol::Published, skipped: u64) -> Self {
        Self {
            name: published.name.clone(),
            version: published.version,
            position: published.position.clone(),
            cid: published.cid.clone(),
            told: published.told,
            queued: published.queued,
            unchanged: published.unchanged,
            skipped,
        }
    }
}

/// How a name stands. `path` is the current path, `link` one that protects whoever follows it;
/// `confirmed_ms` is how long ago somebody else confirmed the version, null if nobody did.
#[derive(Debug, Serialize)]
pub(crate) struct Resolved {
    name: String,
    petname: Option<String>,
    #[serde(flatten)]
    path: Path,
    cid: String,
    version: Option<u64>,
    position: String,
    link: String,
    time: String,
    standing: &'static str,
    confirmed_ms: Option<u64>,
    sources: Vec<String>,
    refused: Vec<String>,
    fork: Option<Fork>,
}

impl From<&protocol::Resolved> for Resolved {
    fn from(resolved: &protocol::Resolved) -> Self {
        Self {
            name: resolved.name.clone(),
            petname: resolved.petname.clone(),
            path: resolved.path.as_slice().into(),
            cid: resolved.cid.clone(),
            version: resolved.version,
            position: resolved.position.clone(),
            link: resolved.link.clone(),
            time: time(resolved.time_ms),
            standing: standing(resolved.standing),
            confirmed_ms: resolved.confirmed_ms,
            sources: resolved.sources.clone(),
            refused: resolved.refused.clone(),
            fork: resolved.fork.as_ref().map(Into::into),
        }
    }
}

/// A proven fork: the branches stand in the same order in `entries` and `roots`.
#[derive(Debug, Serialize)]
pub(crate) struct Fork {
    position: String,
    common: Option<u64>,
    version: Option<u64>,
    entries: Vec<String>,
    roots: Vec<Option<String>>,
    guilty: Vec<String>,
    proof: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof_hex: Option<String>,
}

impl From<&protocol::ForkLine> for Fork {
    fn from(fork: &protocol::ForkLine) -> Self {
        Self {
            position: fork.position.clone(),
            common: fork.common,
            version: fork.version,
            entries: fork.entries.clone(),
            roots: fork.roots.clone(),
            guilty: fork.guilty.clone(),
            proof: String::from_utf8_lossy(&fork.proof).into_owned(),
            proof_hex: hex_if_needed(&fork.proof),
        }
    }
}

/// Fields of `checkout`: those of `resolve`, of what stands there now, and what was done for it.
#[derive(Debug, Serialize)]
pub(crate) struct CheckedOut {
    #[serde(flatten)]
    pub(crate) resolved: Resolved,
    pub(crate) written: u64,
    pub(crate) removed: u64,
    pub(crate) kept: u64,
    pub(crate) bytes_received: u64,
    pub(crate) left_out: Vec<String>,
}

/// Fields of `prove`: those of `resolve`; `target` is what the proof shows at the path.
#[derive(Debug, Serialize)]
pub(crate) struct Proved {
    #[serde(flatten)]
    pub(crate) resolved: Resolved,
    pub(crate) target: String,
    pub(crate) proof_bytes: u64,
}

/// Fields of `verify-proof`: what a sound proof shows.
#[derive(Debug, Serialize)]
#[serde(tag = "proves", rename_all = "snake_case")]
pub(crate) enum Verified {
    /// What stood at a path in a version.
    File {
        name: String,
        position: String,
        time: String,
        message: String,
        root: String,
        #[serde(flatten)]
        path: Path,
        cid: String,
    },
    /// The rules of a name were broken there; of a fork `fraud` is `fork`.
    Fraud { name: String, position: String, fraud: &'static str, guilty: Vec<String> },
}

/// The word for how a name stands.
pub(crate) const fn standing(standing: protocol::Standing) -> &'static str {
    match standing {
        protocol::Standing::Own => "own",
        protocol::Standing::Ok => "ok",
        protocol::Standing::Stale => "stale",
        protocol::Standing::Superseded => "superseded",
        protocol::Standing::Ended => "ended",
        protocol::Standing::Forked => "forked",
    }
}

/// Milliseconds since 1970 as RFC 3339, to the millisecond.
pub(crate) fn time(ms: u64) -> String {
    rfc3339((ms / 1000) as i64, (ms % 1000) as u32 * 1_000_000)
}

/// The same to the second, as lines for people have it.
pub(crate) fn seconds(ms: u64) -> String {
    rfc3339((ms / 1000) as i64, 0)
}
