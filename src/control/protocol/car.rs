//! Shapes of `car import` and `car export`.
//!
//! The bytes of a CAR travel as data frames; here is what is asked for, and what came of it.

use serde::{Deserialize, Serialize};

use super::{Target, Wait};

/// Arguments of `car import`; the bytes of the CAR follow as data frames and end with an empty one.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct CarImport {
    /// Neither announce nor serve what is pinned.
    pub local: bool,
    /// Pin the roots that are complete.
    pub pin: bool,
}

/// Arguments of `car export`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CarExport {
    /// What to write.
    pub target: Target,
    /// Write version 2 with an index, instead of version 1.
    pub version2: bool,
    /// Write what is here and fetch nothing.
    pub partial: bool,
    /// Waiting rules.
    pub wait: Wait,
}

/// What came of one root of a CAR.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarRoot {
    /// The root.
    pub cid: String,
    /// Why it is not pinned though it should be, in words; `None` when it is.
    pub incomplete: Option<String>,
}

/// What came of `car import`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Version of the CAR: 1 or 2.
    pub version: u64,
    /// Roots that it names.
    pub roots: u64,
    /// Of these, roots that are not whole in the store and so not pinned.
    pub incomplete: u64,
    /// Blocks that were read and are in the store now, those of identity CIDs too.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blocks that cannot be checked or kept, left out.
    pub refused: u64,
    /// True when a running peer serves what was pinned.
    pub served: bool,
}

/// What came of `car export`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// The root of the CAR.
    pub cid: String,
    /// Blocks written.
    pub blocks: u64,
    /// Bytes of the CAR.
    pub bytes: u64,
    /// Blocks that are linked to and not here, as far as is known.
    pub missing: u64,
}
