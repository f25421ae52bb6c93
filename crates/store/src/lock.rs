//! The store's lock: one process owns a store, and the others can say who it is.
//!
//! The lock is flock(2) on an open descriptor of `lock`, so it dies with its holder and a file that
//! is left behind locks nothing. The file's contents (pid, then command) are for the error message
//! only and are never trusted: they are the last holder's, and whoever holds the lock now may have
//! written nothing. So they are believed only of a process that the kernel lists as the holder
//! (`/proc/locks`), or, where it lists none, of one that lives.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::disk::DiskFile;
use crate::error::OpenError;
use crate::layout::Layout;

/// The command in the lock file is read up to this length: it is for one line of a message.
const COMMAND_BYTES_MAX: usize = 256;

/// Stands for the command of a holder that gave none.
const UNKNOWN_COMMAND: &str = "an unknown command";

/// How often the lock is tried, with [`TAKE_PAUSE`] between: a question for the holder takes
/// microseconds.
const TAKE_TRIES: u32 = 4;
/// The pause between two tries.
const TAKE_PAUSE: Duration = Duration::from_millis(3);

/// Who holds a store's lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The process id; 0 when nothing says who it is.
    pub pid: u32,
    /// The command that the holder gave.
    pub command: String,
}

/// The held lock; released when it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: DiskFile,
}

impl Lock {
    /// Takes the lock, or names who holds it.
    pub(crate) fn take(layout: &Layout, command: &str) -> Result<Self, OpenError> {
        let path = layout.lock();
        let file =
            layout.disk().open_or_create(&path).map_err(|error| OpenError::io(&path, error))?;
        match take_exclusive(&file) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let holder = read_holder(&file);
                return Err(OpenError::InUse { pid: holder.pid, command: holder.command });
            }
            Err(error) => return Err(OpenError::io(&path, error)),
        }
        let command: String =
            command.chars().filter(|c| !c.is_control()).take(COMMAND_BYTES_MAX).collect();
        write_holder(&file, &command).map_err(|error| OpenError::io(&path, error))?;
        Ok(Self { _file: file })
    }

    /// Who holds the lock of a store now, if anybody does.
    pub(crate) fn holder(layout: &Layout) -> Option<Holder> {
        let file = File::open(layout.lock()).ok()?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => Some(read_holder(&file)),
            _ => None,
        }
    }
}

/// Tries again for a moment: [`Lock::holder`] of another process holds a shared lock for an instant.
fn take_exclusive(file: &File) -> rustix::io::Result<()> {
    for _ in 1..TAKE_TRIES {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(TAKE_PAUSE),
            done => return done,
        }
    }
    flock(file, FlockOperation::NonBlockingLockExclusive)
}

fn write_holder(file: &DiskFile, command: &str) -> io::Result<()> {
    let text = format!("{}\n{command}\n", std::process::id());
    file.write_all_at(text.as_bytes(), 0)?;
    file.set_len(text.len() as u64)
}

/// Who holds the lock on the file, as far as that can be known.
fn read_holder(file: &File) -> Holder {
    let written = read_written(file);
    match listed(file).as_slice() {
        [] if written.pid != 0 && lives(written.pid) => written,
        [] => Holder { pid: 0, command: UNKNOWN_COMMAND.to_owned() },
        listed if listed.contains(&written.pid) => written,
        [first, ..] => Holder { pid: *first, command: UNKNOWN_COMMAND.to_owned() },
    }
}

/// Who took the lock last and said so.
fn read_written(mut file: &File) -> Holder {
    let mut text = Vec::new();
    let mut lines = match file
        .rewind()
        .and_then(|()| file.take(COMMAND_BYTES_MAX as u64 * 4).read_to_end(&mut text))
    {
        Ok(_) => std::str::from_utf8(&text).unwrap_or_default().lines(),
        Err(_) => "".lines(),
    };
    Holder {
        pid: lines.next().and_then(|pid| pid.parse().ok()).unwrap_or(0),
        command: lines.next().unwrap_or(UNKNOWN_COMMAND).to_owned(),
    }
}

/// The processes that the kernel lists with an exclusive lock on the file. None where the list is of
/// another namespace, or the file system shows another device here than there.
fn listed(file: &File) -> Vec<u32> {
    let (Ok(stat), Ok(list)) = (file.metadata(), fs::read_to_string("/proc/locks")) else {
        return Vec::new();
    };
    let (major, minor) = (rustix::fs::major(stat.dev()), rustix::fs::minor(stat.dev()));
    let is_file = format!("{major:02x}:{minor:02x}:{}", stat.ino());
    list.lines().filter_map(|line| listed_pid(line, &is_file)).collect()
}

/// The process of a line such as `1: FLOCK ADVISORY WRITE 14193 fe:00:10445906 0 EOF`.
fn listed_pid(line: &str, file: &str) -> Option<u32> {
    // A line of who waits for the lock has an arrow before its kind.
    let mut words = line.split_whitespace().skip(1);
    let is_held = words.next()? == "FLOCK" && words.nth(1)? == "WRITE";
    let pid = words.next()?.parse().ok()?;
    (is_held && words.next()? == file && pid != 0).then_some(pid)
}

fn lives(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Disk;

    #[test]
    fn the_holder_is_the_kernels_and_not_the_last_one_that_wrote() {
        let dir = tempfile::TempDir::new().unwrap();
        let layout = Layout::new(dir.path(), Disk::default());
        drop(Lock::take(&layout, "shoal seed").unwrap());
        let ours = std::process::id();
        let written = |text: &str| fs::write(layout.lock(), text).unwrap();
        let holder = |pid, command: &str| Some(Holder { pid, command: command.to_owned() });
        assert_eq!(Lock::holder(&layout), None);
        let held = File::open(layout.lock()).unwrap();
        take_exclusive(&held).unwrap();
        for stale in ["1\nshoal seed\n", "", "garbage", "4294967295\nx\n"] {
            written(stale);
            assert_eq!(Lock::holder(&layout), holder(ours, UNKNOWN_COMMAND), "{stale:?}");
        }
        written(&format!("{ours}\nshoal get\n"));
        assert_eq!(Lock::holder(&layout), holder(ours, "shoal get"));
    }

    #[test]
    fn only_who_holds_this_lock_is_listed() {
        let file = "fe:00:42";
        let pid = |line| listed_pid(line, file);
        assert_eq!(pid("1: FLOCK  ADVISORY  WRITE 14193 fe:00:42 0 EOF"), Some(14193));
        for other in [
            "1: FLOCK  ADVISORY  WRITE 14193 fe:00:421 0 EOF",
            "1: FLOCK  ADVISORY  READ 14193 fe:00:42 0 EOF",
            "1: POSIX  ADVISORY  WRITE 14193 fe:00:42 0 EOF",
            "1: -> FLOCK  ADVISORY  WRITE 14193 fe:00:42 0 EOF",
            "1: FLOCK  ADVISORY  WRITE 0 fe:00:42 0 EOF",
            "1: FLOCK",
            "",
        ] {
            assert_eq!(pid(other), None, "{other}");
        }
    }
}
