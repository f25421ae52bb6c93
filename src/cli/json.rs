//! The shapes of `--json`: one object a line, told apart by `type`; the last one is the outcome.
//!
//! Sizes are bytes, durations milliseconds, times RFC 3339. A name or path that is not UTF-8 stands
//! with replacement characters in its field and exactly, in hexadecimal, in a second field
//! `<field>_hex`. Fields may be added; none is renamed or removed.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;

use super::report::Report;
use crate::control::protocol::car::{Exported, Imported};
use crate::control::protocol::dropped::DroppedLine;
use crate::control::protocol::{
    Added, Collected, Described, FaultKind, FaultLine, Kind, Listed, Meta, PeerLine, PinLine,
    Status,
};

pub(crate) mod name;

/// An object that is not the outcome.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Line {
    /// An argument was added.
    Added {
        cid: String,
        #[serde(flatten)]
        path: Path,
        bytes: u64,
        files: u64,
    },
    /// A source was left out.
    Skipped {
        #[serde(flatten)]
        path: Path,
        why: String,
    },
    /// A root of a CAR, and why it is not pinned if it is not.
    Root {
        cid: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        incomplete: Option<String>,
    },
    /// An entry of a directory.
    Entry(Entry),
    /// A pin.
    Pin {
        cid: String,
        local: bool,
        direct: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// A pin was made.
    Pinned { cid: String },
    /// A pin was removed.
    Unpinned { cid: String },
    /// Something that `verify` found.
    Fault {
        fault: &'static str,
        cid: Option<String>,
        #[serde(flatten)]
        path: Path,
        offset: Option<u64>,
        bytes: Option<u64>,
        mended: bool,
    },
    /// A pin stays.
    Kept { cid: String, why: String },
    /// A connected peer.
    Peer {
        peer: String,
        address: String,
        agent: String,
        native: bool,
        protocol: String,
        sent: u64,
        received: u64,
        points: u32,
        violations: BTreeMap<String, u64>,
    },
    /// A peer whose connection was ended here lately.
    Dropped {
        peer: String,
        address: String,
        agent: String,
        at: String,
        reason: String,
        points: u32,
        violations: BTreeMap<String, u64>,
    },
    /// A running peer listens here.
    Ready { address: String },
    /// A name that is known here.
    Name(name::NameLine),
    /// A version of a name.
    Version(name::VersionLine),
    /// A path at which two versions differ.
    Change(name::ChangeLine),
}

/// A path, exactly.
#[derive(Debug, Serialize)]
pub(crate) struct Path {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
}

impl From<&[u8]> for Path {
    fn from(path: &[u8]) -> Self {
        Self { path: String::from_utf8_lossy(path).into_owned(), path_hex: hex_if_needed(path) }
    }
}

fn hex_if_needed(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).is_err().then(|| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a string cannot fail");
            text
        })
    })
}

/// One entry of `ls`.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    cid: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_hex: Option<String>,
    kind: Option<&'static str>,
    bytes: Option<u64>,
    dag_bytes: u64,
    #[serde(flatten)]
    times: Times,
}

#[derive(Debug, Serialize)]
struct Times {
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtime: Option<String>,
}

impl From<Meta> for Times {
    fn from(meta: Meta) -> Self {
        Self { mode: meta.mode.map(mode), mtime: meta.mtime.map(|(s, n)| rfc3339(s, n)) }
    }
}

impl From<&Added> for Line {
    fn from(added: &Added) -> Self {
        Self::Added {
            cid: added.cid.clone(),
            path: added.path.as_slice().into(),
            bytes: added.size,
            files: added.files,
        }
    }
}

impl From<&Listed> for Line {
    fn from(listed: &Listed) -> Self {
        Self::Entry(Entry {
            cid: listed.cid.clone(),
            name: String::from_utf8_lossy(&listed.name).into_owned(),
            name_hex: hex_if_needed(&listed.name),
            kind: listed.kind.map(kind),
            bytes: listed.size,
            dag_bytes: listed.dag_size,
            times: listed.meta.into(),
        })
    }
}

impl From<&PinLine> for Line {
    fn from(pin: &PinLine) -> Self {
        let PinLine { cid, local, direct, name } = pin.clone();
        Self::Pin { cid, local, direct, name }
    }
}

impl From<&FaultLine> for Line {
    fn from(fault: &FaultLine) -> Self {
        Self::Fault {
            fault: fault_kind(fault.kind),
            cid: fault.cid.clone(),
            path: fault.path.as_slice().into(),
            offset: fault.offset,
            bytes: fault.bytes,
            mended: fault.mended,
        }
    }
}

/// What a fault is called.
pub(crate) const fn fault_kind(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Corrupt => "corrupt",
        FaultKind::Changed => "changed",
        FaultKind::Gone => "gone",
        FaultKind::Orphan => "orphan",
        FaultKind::Missing => "missing",
    }
}

impl From<&PeerLine> for Line {
    fn from(peer: &PeerLine) -> Self {
        Self::Peer {
            peer: peer.peer.clone(),
            address: peer.address.clone(),
            agent: peer.agent.clone(),
            native: peer.native,
            protocol: peer.protocol.clone(),
            sent: peer.sent,
            received: peer.received,
            points: peer.points,
            violations: peer.violations.iter().cloned().collect(),
        }
    }
}

impl From<&DroppedLine> for Line {
    fn from(dropped: &DroppedLine) -> Self {
        Self::Dropped {
            peer: dropped.peer.clone(),
            address: dropped.address.clone(),
            agent: dropped.agent.clone(),
            at: rfc3339(dropped.at_unix_s as i64, 0),
            reason: dropped.reason.clone(),
            points: dropped.points,
            violations: dropped.violations.iter().cloned().collect(),
        }
    }
}

/// Fields of an outcome, by verb.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Details {
    /// Of `add` and `seed`.
    Added {
        added: u64,
        skipped: u64,
        excluded: u64,
        hidden: u64,
        unchanged: u64,
        bytes: u64,
        files: u64,
        served: bool,
    },
    /// Of `gc`.
    Collected(Collected),
    /// Of `car import`.
    Imported(Imported),
    /// Of `car export`.
    Exported(Exported),
    /// Of `get`.
    Fetched {
        cid: String,
        bytes: u64,
        files: u64,
        bytes_received: u64,
        sources: BTreeMap<String, u64>,
        peers_connected: u64,
        elapsed_ms: u64,
        refused: Vec<String>,
    },
    /// Of `cat`.
    Read { bytes: u64 },
    /// Of `ls`.
    Listed { cid: String, kind: &'static str, entries: u64 },
    /// Of `stat`.
    Described(Stat),
    /// Of `pin`.
    Pins { pins: u64 },
    /// Of `verify`.
    Checked { blocks: u64, bytes: u64, faults: u64, mended: u64, elapsed_ms: u64 },
    /// Of `rm`.
    Removed { unpinned: u64, kept: u64, references: u64, references_kept: u64 },
    /// Of `id`.
    Identity { peer: String, addresses: Vec<String> },
    /// Of `peers`.
    Peers { peers: u64, dropped: u64 },
    /// Of `bwlimit`: bytes per second, null where there is no limit.
    Limited {
        up: Option<u64>,
        down: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        timetable: Option<String>,
    },
    /// Of `status`.
    Status(serde_json::Value),
    /// Of `name new` and `name import`; the recovery key itself is never among them.
    NameMade {
        name: String,
        petname: String,
        #[serde(flatten)]
        recovery: Option<Path>,
    },
    /// Of `name ls`.
    Names { names: u64 },
    /// Of `name rm`.
    NameRemoved { name: String },
    /// Of `name export`: the key in base64, unless a file has it.
    NameKey {
        name: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        #[serde(flatten)]
        file: Option<Path>,
    },
    /// Of `publish` and `rollback`.
    Published(name::Published),
    /// Of `resolve`, `follow` and `name accept`.
    Resolved(Box<name::Resolved>),
    /// Of `log`.
    Versions { versions: u64 },
    /// Of `diff`.
    Compared { added: u64, removed: u64, changed: u64 },
    /// Of `checkout`.
    CheckedOut(Box<name::CheckedOut>),
    /// Of `prove`.
    Proved(Box<name::Proved>),
    /// Of `verify-proof`.
    Verified(Box<name::Verified>),
}

/// Fields of `stat`.
#[derive(Debug, Serialize)]
pub(crate) struct Stat {
    cid: String,
    kind: &'static str,
    bytes: u64,
    dag_bytes: u64,
    links: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sharded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_hex: Option<String>,
    #[serde(flatten)]
    times: Times,
}

impl From<&Described> for Stat {
    fn from(described: &Described) -> Self {
        let target = described.target.as_deref();
        Self {
            cid: described.cid.clone(),
            kind: kind(described.kind),
            bytes: described.size,
            dag_bytes: described.dag_size,
            links: described.links,
            sharded: described.sharded,
            target: target.map(|target| String::from_utf8_lossy(target).into_owned()),
            target_hex: target.and_then(hex_if_needed),
            times: described.meta.into(),
        }
    }
}

/// Fields of `status`: as they travel, with the violations by kind.
pub(crate) fn status(status: &Status) -> Details {
    let mut fields = serde_json::to_value(status).expect("a status has text keys and no floats");
    let violations: BTreeMap<_, _> = status.violations.iter().cloned().collect();
    fields["violations"] = serde_json::json!(violations);
    Details::Status(fields)
}

#[derive(Serialize)]
struct Outcome<'a> {
    r#type: &'static str,
    exit: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(flatten)]
    details: Option<&'a Details>,
}

/// The last line.
pub(crate) fn outcome(report: &Report) -> Vec<u8> {
    let failure = report.failure.as_ref();
    line(&Outcome {
        r#type: "outcome",
        exit: report.exit().code(),
        error: failure.map(|failure| failure.message.as_str()),
        hint: failure.and_then(|failure| failure.hint.as_deref()),
        details: report.details.as_ref(),
    })
}

/// An object as a line, its end included.
pub(crate) fn line(object: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(object).expect("these shapes have text keys and no floats");
    line.push(b'\n');
    line
}

/// The word for a kind.
pub(crate) const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Directory => "directory",
        Kind::Symlink => "symlink",
    }
}

/// Permission bits, in octal.
pub(crate) fn mode(mode: u32) -> String {
    format!("{:04o}", mode & 0o7777)
}

/// Seconds since 1970 and nanoseconds as RFC 3339 in UTC. Years outside 0 to 9999, which it has no
/// form for, are written with a sign as ISO 8601 does.
pub(crate) fn rfc3339(seconds: i64, nanos: u32) -> String {
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    let date = match year {
        0..=9999 => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("{year:+}-{month:02}-{day:02}"),
    };
    let time = format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
    match nanos {
        0 => format!("{date}T{time}Z"),
        _ => format!("{date}T{time}.{nanos:09}Z"),
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar. Years are taken
/// to begin in March, so that the leap day is the last one.
const fn civil(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_ERA: i64 = 146_097; // 400 years
    let days = days + 719_468; // from 0000-03-01
    let era = days.div_euclid(DAYS_PER_ERA);
    let day_of_era = days.rem_euclid(DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months = (5 * day_of_year + 2) / 153; // since March
    let day = day_of_year - (153 * months + 2) / 5 + 1;
    let month = if months < 10 { months + 3 } else { months - 9 };
    (era * 400 + year_of_era + (month <= 2) as i64, month, day)
}

#[cfg(test)]
mod tests;
