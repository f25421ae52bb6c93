//! Profiles: named sets of choices that decide the CID of given bytes.
//!
//! Owns every number that a tree's shape depends on. Invariant: what a profile says never
//! changes; another choice is another profile. The two `unixfs-*` profiles are those of IPIP-0499
//! and give kubo's CIDs exactly.
//!
//! The default cuts chunks and branches by content, so that a new version of a file shares with
//! the old one all chunks and all branches that an edit did not touch. It does not build trees:
//! see [`crate::build`].

use std::fmt;
use std::str::FromStr;

use cid::Version;
use thiserror::Error;

use crate::Cid;
use crate::hash::HashKind;
use crate::unixfs::Metadata;

/// Bytes of a directory block (or of kubo's estimate of it) above which it is sharded.
pub const DIRECTORY_BYTES_MAX: u64 = 262_144;

/// A named set of choices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Profile {
    /// BLAKE3, chunks and branches cut by content, raw leaves. The default.
    #[default]
    Shoal,
    /// SHA-256, chunks of 1 MiB, raw leaves, branches of 1,024 links, CIDv1.
    UnixfsV1_2025,
    /// SHA-256, chunks of 256 KiB, leaves wrapped in dag-pb, branches of 174 links, CIDv0.
    UnixfsV0_2015,
}

/// How a file is cut into chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunking {
    /// Every so many bytes.
    Fixed(usize),
    /// FastCDC of 2020 with these bounds; see [`crate::chunk`] for what is frozen of it.
    Content {
        /// No chunk but the last is shorter.
        min: usize,
        /// Where the mask changes from the strict to the loose one.
        avg: usize,
        /// No chunk is longer.
        max: usize,
    },
}

/// Where a branch ends, at every level of the balanced tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Branching {
    /// After so many children.
    Index(usize),
    /// After a child that [`ends_branch`], within these numbers of children.
    Content {
        /// A branch never ends before it has so many children, unless the level ends.
        min: usize,
        /// A branch always ends when it has so many children.
        max: usize,
    },
}

/// How a directory is measured against [`DIRECTORY_BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectoryMeasure {
    /// Bytes of the block as it would be written.
    Block,
    /// Bytes of all names and all binary CIDs: what kubo estimated before IPIP-0499.
    NamesAndCids,
}

/// The text is not the name of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a profile: {0:?} (there are shoal, unixfs-v1-2025 and unixfs-v0-2015)")]
pub struct UnknownProfile(String);

impl Profile {
    /// Every profile, the default first.
    pub const ALL: [Self; 3] = [Self::Shoal, Self::UnixfsV1_2025, Self::UnixfsV0_2015];

    /// Name as it is typed and printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shoal => "shoal",
            Self::UnixfsV1_2025 => "unixfs-v1-2025",
            Self::UnixfsV0_2015 => "unixfs-v0-2015",
        }
    }

    /// Hash function of every block.
    pub const fn hash(self) -> HashKind {
        match self {
            Self::Shoal => HashKind::Blake3,
            Self::UnixfsV1_2025 | Self::UnixfsV0_2015 => HashKind::Sha256,
        }
    }

    /// Version of every CID.
    pub const fn cid_version(self) -> Version {
        match self {
            Self::Shoal | Self::UnixfsV1_2025 => Version::V1,
            Self::UnixfsV0_2015 => Version::V0,
        }
    }

    /// How files are cut.
    pub const fn chunking(self) -> Chunking {
        match self {
            Self::Shoal => Chunking::Content { min: 16 << 10, avg: 64 << 10, max: 256 << 10 },
            Self::UnixfsV1_2025 => Chunking::Fixed(1 << 20),
            Self::UnixfsV0_2015 => Chunking::Fixed(256 << 10),
        }
    }

    /// Where branches end.
    pub const fn branching(self) -> Branching {
        match self {
            Self::Shoal => Branching::Content { min: 256, max: 4096 },
            Self::UnixfsV1_2025 => Branching::Index(1024),
            Self::UnixfsV0_2015 => Branching::Index(174),
        }
    }

    /// Whether the leaves of a file with this metadata are raw blocks.
    ///
    /// kubo refuses raw leaves together with mode or time, so the exact profiles wrap the leaves
    /// of a file that has any; the default profile keeps them raw, below a root that carries it.
    pub const fn raw_leaves(self, meta: &Metadata) -> bool {
        match self {
            Self::Shoal => true,
            Self::UnixfsV1_2025 => meta.is_empty(),
            Self::UnixfsV0_2015 => false,
        }
    }

    /// How a directory is measured against [`DIRECTORY_BYTES_MAX`].
    pub const fn directory_measure(self) -> DirectoryMeasure {
        match self {
            Self::Shoal | Self::UnixfsV1_2025 => DirectoryMeasure::Block,
            Self::UnixfsV0_2015 => DirectoryMeasure::NamesAndCids,
        }
    }

    /// Whether `add` without `--preserve` keeps the executable bit of files, as git does.
    pub const fn keeps_executable_bit(self) -> bool {
        matches!(self, Self::Shoal)
    }

    /// What `add` without `--preserve` keeps of a file with this mode: mode 0755 when any
    /// executable bit is set and the profile keeps it, else nothing.
    pub const fn metadata_of_mode(self, mode: u32) -> Metadata {
        let executable = self.keeps_executable_bit() && mode & 0o111 != 0;
        Metadata { mode: if executable { Some(0o755) } else { None }, mtime: None }
    }
}

/// Whether a branch cut by content may end after this child: the low ten bits of the last two
/// bytes of its digest, read as a big-endian number, are all zero.
///
/// One child in 1,024 does; with the lower bound of 256 a branch has about 1,280 children.
pub fn ends_branch(child: &Cid) -> bool {
    match child.hash().digest() {
        [.., high, low] => u16::from_be_bytes([*high, *low]).trailing_zeros() >= 10,
        _ => false,
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        let found = Self::ALL.into_iter().find(|profile| profile.name() == text);
        found.ok_or_else(|| UnknownProfile(text.chars().take(64).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_to_what_they_were_printed_from() {
        for profile in Profile::ALL {
            assert_eq!(profile.to_string().parse(), Ok(profile));
        }
        assert!("unixfs".parse::<Profile>().is_err());
    }

    #[test]
    fn ten_low_bits_of_the_digest_end_a_branch() {
        let child = |last: [u8; 2]| {
            let mut digest = [0xff; 32];
            digest[30..].copy_from_slice(&last);
            let hash = multihash::Multihash::wrap(crate::hash::BLAKE3, &digest).unwrap();
            Cid::new_v1(crate::hash::RAW, hash)
        };
        assert!(ends_branch(&child([0, 0])));
        assert!(ends_branch(&child([0b1111_1100, 0])));
        assert!(!ends_branch(&child([0b0000_0100 >> 1, 0])));
        assert!(!ends_branch(&child([0, 1])));
        assert!(!ends_branch(&child([0, 0x80])));
    }

    #[test]
    fn only_the_executable_bit_is_kept_by_default() {
        assert_eq!(Profile::Shoal.metadata_of_mode(0o644), Metadata::NONE);
        assert_eq!(Profile::Shoal.metadata_of_mode(0o700).mode, Some(0o755));
        assert_eq!(Profile::UnixfsV1_2025.metadata_of_mode(0o755), Metadata::NONE);
    }
}
