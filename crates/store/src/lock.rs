//! The store's lock: one process owns a store, and the others can say who it is.
//!
//! The lock is flock(2) on an open descriptor of `lock`, so it dies with its holder and a file that
//! is left behind locks nothing. The file's contents (pid, then command) are for the error message
//! only and are never trusted.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::error::OpenError;
use crate::layout::{Layout, open_or_create};

/// The command in the lock file is read up to this length: it is for one line of a message.
const COMMAND_BYTES_MAX: usize = 256;

/// How often the lock is tried, with [`TAKE_PAUSE`] between: a question for the holder takes
/// microseconds.
const TAKE_TRIES: u32 = 4;
/// The pause between two tries.
const TAKE_PAUSE: Duration = Duration::from_millis(3);

/// Who holds a store's lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The process id; 0 when the lock file does not say.
    pub pid: u32,
    /// The command that the holder gave.
    pub command: String,
}

/// The held lock; released when it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, or names who holds it.
    pub(crate) fn take(layout: &Layout, command: &str) -> Result<Self, OpenError> {
        let path = layout.lock();
        let mut file = open_or_create(&path).map_err(|error| OpenError::io(&path, error))?;
        match take_exclusive(&file) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let holder = read_holder(&mut file);
                return Err(OpenError::InUse { pid: holder.pid, command: holder.command });
            }
            Err(error) => return Err(OpenError::io(&path, error)),
        }
        let command: String =
            command.chars().filter(|c| !c.is_control()).take(COMMAND_BYTES_MAX).collect();
        write_holder(&mut file, &command).map_err(|error| OpenError::io(&path, error))?;
        Ok(Self { _file: file })
    }

    /// Who holds the lock of a store now, if anybody does.
    pub(crate) fn holder(layout: &Layout) -> Option<Holder> {
        let mut file = File::open(layout.lock()).ok()?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => Some(read_holder(&mut file)),
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

fn write_holder(file: &mut File, command: &str) -> io::Result<()> {
    let text = format!("{}\n{command}\n", std::process::id());
    file.rewind()?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

fn read_holder(file: &mut File) -> Holder {
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
        command: lines.next().unwrap_or("an unknown command").to_owned(),
    }
}
