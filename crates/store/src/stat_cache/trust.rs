//! When what stat(2) says is proof enough that a file is the one that was read.
//!
//! A file is remembered only when a later write would have to show. So none is on a file system that
//! is not known to keep ctimes of its own clock (networks, FUSE, tmpfs, which forgets the mtime of
//! what is written through mappings), and none that was changed so shortly before it was read that a
//! write of the same moment would carry the same time: the rule of git's index. A time in the future
//! is such a one too.
//!
//! What is written through a shared mapping moves the mtime only with the first write to each page
//! after it was last written out, which may take the kernel half a minute. Databases, images and
//! downloads are written so, and they are large: a file of [`MAPPED_BYTES_MIN`] and more has to be
//! older than that.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Kernels count file times in ticks of at most 10 ms; this is ten of them.
const TICK: Duration = Duration::from_millis(100);
/// A file system that has whole seconds only, FAT's pairs of them included.
const COARSE: Duration = Duration::from_secs(3);
/// Longer than the kernel leaves written pages in memory only (30 s and 5 s by default).
const WRITTEN_OUT: Duration = Duration::from_mins(1);
/// From this size on a file may be one that is written through a mapping.
const MAPPED_BYTES_MIN: u64 = 1024 * 1024;
/// Devices whose file system is looked at once; more of them are looked at each time.
const DEVICES_MAX: usize = 256;

/// File systems that set a ctime of this machine's clock with every change: ext2 to ext4, XFS, Btrfs,
/// F2FS, bcachefs, and overlays of such.
const TRUSTED: [u64; 6] = [0xEF53, 0x5846_5342, 0x9123_683E, 0xF2F5_2010, 0xCA45_1A4E, 0x794C_7630];

/// What is known of the devices that files lie on.
#[derive(Debug, Default)]
pub struct Trust {
    devices: HashMap<u64, bool>,
}

impl Trust {
    /// Whether a file that looked like `stat` before it was read, and does after it, may be
    /// remembered. `now` is the time just before the first look.
    pub fn is_settled(&mut self, file: &File, stat: &Metadata, now: SystemTime) -> bool {
        let mtime = (stat.mtime(), stat.mtime_nsec());
        let ctime = (stat.ctime(), stat.ctime_nsec());
        is_old_enough(mtime, ctime, stat.size(), now) && self.is_trusted(file, stat.dev())
    }

    fn is_trusted(&mut self, file: &File, dev: u64) -> bool {
        if let Some(known) = self.devices.get(&dev) {
            return *known;
        }
        let trusted = rustix::fs::fstatfs(file).is_ok_and(|found| is_local(found.f_type as u64));
        if self.devices.len() < DEVICES_MAX {
            self.devices.insert(dev, trusted);
        }
        trusted
    }
}

fn is_local(kind: u64) -> bool {
    // The field is a signed number of 32 bits on some machines.
    TRUSTED.contains(&(kind & 0xFFFF_FFFF))
}

/// Whether a change after `now` would show in the times.
fn is_old_enough(mtime: (i64, i64), ctime: (i64, i64), size: u64, now: SystemTime) -> bool {
    let Ok(now) = now.duration_since(UNIX_EPOCH) else { return false };
    let margin = match ctime {
        _ if size >= MAPPED_BYTES_MIN => WRITTEN_OUT,
        (_, 0) => COARSE,
        _ => TICK,
    };
    let now = i128::try_from(now.as_nanos()).unwrap_or(i128::MAX);
    let margin = i128::try_from(margin.as_nanos()).unwrap_or(i128::MAX);
    let nanos = |time: (i64, i64)| i128::from(time.0) * 1_000_000_000 + i128::from(time.1);
    nanos(mtime).max(nanos(ctime)) + margin < now
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A moment of 2026 with a part of a second.
    const NOW: (i64, i64) = (1_790_000_000, 123_456_789);

    fn settled(mtime: (i64, i64), ctime: (i64, i64), size: u64) -> bool {
        let now = UNIX_EPOCH + Duration::new(NOW.0 as u64, NOW.1 as u32);
        is_old_enough(mtime, ctime, size, now)
    }

    #[test]
    fn what_changed_just_now_is_not_trusted() {
        let old = (NOW.0 - 1000, 5);
        assert!(settled(old, old, 10));
        for young in [NOW, (NOW.0, NOW.1 - 99_000_000), (NOW.0 + 1, 1), (NOW.0 + 100_000, 1)] {
            assert!(!settled(young, old, 10), "mtime {young:?}");
            assert!(!settled(old, young, 10), "ctime {young:?}");
        }
        assert!(settled(old, (NOW.0, NOW.1 - 101_000_000), 10));
    }

    #[test]
    fn whole_seconds_need_more_of_them() {
        let mtime = (NOW.0 - 1000, 0);
        assert!(!settled(mtime, (NOW.0 - 2, 0), 10));
        assert!(settled(mtime, (NOW.0 - 4, 0), 10));
    }

    #[test]
    fn large_files_need_to_be_written_out() {
        let mtime = (NOW.0 - 59, 1);
        assert!(!settled(mtime, mtime, MAPPED_BYTES_MIN));
        assert!(settled(mtime, mtime, MAPPED_BYTES_MIN - 1));
        let mtime = (NOW.0 - 61, 1);
        assert!(settled(mtime, mtime, MAPPED_BYTES_MIN));
    }

    #[test]
    fn times_before_1970_and_at_the_ends_of_the_range_are_none_to_fear() {
        assert!(settled((i64::MIN, 0), (0, 1), 10));
        assert!(!settled((i64::MAX, 999_999_999), (0, 1), 10));
        assert!(!is_old_enough((0, 0), (0, 0), 0, UNIX_EPOCH - Duration::from_secs(9)));
    }

    #[test]
    fn only_file_systems_of_this_machine_are_trusted() {
        assert!(is_local(0xEF53) && is_local(0xFFFF_FFFF_9123_683E));
        // NFS, CIFS, SMB2, FUSE, 9P, tmpfs, FAT.
        for kind in
            [0x6969, 0xFF53_4D42, 0xFE53_4D42, 0x6573_5546, 0x0102_1997, 0x0102_1994, 0x4D44]
        {
            assert!(!is_local(kind), "{kind:x}");
        }
    }
}
