//! What `stat` shows of the attributes a tree tells.
//!
//! A mount presents everything as owned by whoever mounted it; of a stored mode only the nine
//! permission bits are shown, so neither set-uid nor sticky bits ever reach the kernel. What the DAG
//! does not say gets a fixed value: 0444 for files, 0555 for directories, the epoch for times.
//!
//! Sizes come from strangers: what no file can have is refused as corrupt, never shown clamped.

use std::time::{Duration, SystemTime};

use crate::errno::FsError;
use crate::tree::{Attributes, Kind, TreeError};

/// The transfer size that programs are told: makes `cp` and `dd` read in large pieces.
pub(crate) const BLOCK_BYTES: u32 = 1 << 20;

/// PATH_MAX of Linux without its NUL: no longer target can be followed.
pub(crate) const LINK_BYTES_MAX: u64 = 4095;

/// The unit of `st_blocks`.
const SECTOR_BYTES: u64 = 512;

/// Mode of a file whose DAG has none.
const FILE_MODE_DEFAULT: u32 = 0o444;

/// Mode of a directory whose DAG has none.
const DIRECTORY_MODE_DEFAULT: u32 = 0o555;

/// Mode of every link; nobody looks at it.
const LINK_MODE: u32 = 0o777;

/// The bits of a stored mode that are shown.
const PERMISSION_BITS: u32 = 0o777;

/// Who owns everything in the mount.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Owner {
    /// User id.
    pub(crate) uid: u32,
    /// Group id.
    pub(crate) gid: u32,
}

/// What `stat` shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stat {
    /// Inode number.
    pub(crate) ino: u64,
    /// What sort of thing it is.
    pub(crate) kind: Kind,
    /// Bytes.
    pub(crate) size: u64,
    /// Sectors of 512 bytes, rounded up.
    pub(crate) sectors: u64,
    /// Permission bits.
    pub(crate) permissions: u16,
    /// Time of last change of anything.
    pub(crate) mtime: SystemTime,
    /// Who owns it.
    pub(crate) owner: Owner,
}

impl Owner {
    /// The stat of an inode with these attributes.
    pub(crate) fn stat(self, ino: u64, attributes: &Attributes) -> Result<Stat, FsError> {
        let size_max = match attributes.kind {
            Kind::File | Kind::Directory => i64::MAX as u64,
            Kind::Symlink => LINK_BYTES_MAX,
        };
        if attributes.size > size_max {
            let detail = format!("a size of {} bytes", attributes.size);
            return Err(TreeError::Corrupt { detail }.into());
        }
        Ok(Stat {
            ino,
            kind: attributes.kind,
            size: attributes.size,
            sectors: attributes.size.div_ceil(SECTOR_BYTES),
            permissions: permissions(attributes),
            mtime: attributes.mtime.map_or(SystemTime::UNIX_EPOCH, system_time),
            owner: self,
        })
    }

    /// The stand-in for an entry whose kind could not be learned: a directory that nobody may enter,
    /// so that every program which walks there runs into the error instead of passing it by.
    pub(crate) fn unknown(self, ino: u64) -> Stat {
        Stat {
            ino,
            kind: Kind::Directory,
            size: 0,
            sectors: 0,
            permissions: 0,
            mtime: SystemTime::UNIX_EPOCH,
            owner: self,
        }
    }
}

fn permissions(attributes: &Attributes) -> u16 {
    let mode = match attributes.kind {
        Kind::File => attributes.mode.unwrap_or(FILE_MODE_DEFAULT),
        Kind::Directory => attributes.mode.unwrap_or(DIRECTORY_MODE_DEFAULT),
        Kind::Symlink => LINK_MODE,
    };
    (mode & PERMISSION_BITS) as u16
}

/// Times that the system cannot represent become the epoch.
fn system_time((seconds, nanos): (i64, u32)) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let second = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(whole)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(whole)
    };
    second
        .filter(|_| nanos < 1_000_000_000)
        .and_then(|second| second.checked_add(Duration::from_nanos(nanos.into())))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner = Owner { uid: 7, gid: 8 };

    fn stat(kind: Kind, size: u64, mode: Option<u32>) -> Result<Stat, FsError> {
        let mtime = Some((-1, 500_000_000));
        OWNER.stat(5, &Attributes { kind, size, mode, mtime })
    }

    #[test]
    fn modes_are_masked_and_have_defaults() {
        let permissions = |kind, mode| stat(kind, 0, mode).unwrap().permissions;
        assert_eq!(permissions(Kind::File, None), 0o444);
        assert_eq!(permissions(Kind::Directory, None), 0o555);
        assert_eq!(permissions(Kind::File, Some(0o106_755)), 0o755);
        assert_eq!(permissions(Kind::Directory, Some(0o41_777)), 0o777);
        assert_eq!(permissions(Kind::Symlink, Some(0)), 0o777);
    }

    #[test]
    fn sectors_round_up_and_owner_is_the_mounter() {
        let sectors = |size| stat(Kind::File, size, None).unwrap().sectors;
        assert_eq!((sectors(0), sectors(1), sectors(512), sectors(513)), (0, 1, 1, 2));
        assert_eq!(stat(Kind::File, 0, None).unwrap().owner, OWNER);
    }

    #[test]
    fn sizes_no_file_can_have_are_corrupt() {
        let corrupt = |kind, size| {
            matches!(stat(kind, size, None), Err(FsError::Tree(TreeError::Corrupt { .. })))
        };
        assert!(corrupt(Kind::File, u64::MAX));
        assert!(corrupt(Kind::File, 1 << 63));
        assert!(!corrupt(Kind::File, (1 << 63) - 1));
        assert!(corrupt(Kind::Symlink, 4096));
        assert!(!corrupt(Kind::Symlink, 4095));
    }

    #[test]
    fn times_before_the_epoch_and_absurd_ones() {
        let half = SystemTime::UNIX_EPOCH - Duration::from_millis(500);
        assert_eq!(stat(Kind::File, 0, None).unwrap().mtime, half);
        assert_eq!(system_time((0, 1_000_000_000)), SystemTime::UNIX_EPOCH);
        assert_eq!(system_time((1, 1)), SystemTime::UNIX_EPOCH + Duration::new(1, 1));
        system_time((i64::MIN, 0));
        system_time((i64::MAX, 999_999_999));
    }
}
