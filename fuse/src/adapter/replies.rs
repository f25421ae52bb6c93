//! What is put into each kind of reply, and for how long the kernel may keep it.
//!
//! Owns the times to live and the shape of `stat`. Decides nothing about who answers.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use super::pending::{ListReply, Reply};
use super::{
    Errno, FileAttr, FileType, Generation, INodeNo, ReplyAttr, ReplyData, ReplyDirectory,
    ReplyDirectoryPlus, ReplyEntry, ReplyOpen, ReplyXattr,
};
use crate::errno::{FsError, errno};
use crate::fs::{BLOCK_BYTES, Keep, LIVE_KEPT, Listed, Looked, Owner, Stat};
use crate::tree::Kind;

/// How long the kernel may keep names, attributes and proven absence: content never changes under
/// its CID, and kubo says a year of immutable paths as well.
const LASTING: Duration = Duration::from_hours(365 * 24);

/// Inode numbers are never given to something else.
const GENERATION: Generation = Generation(0);

macro_rules! replies {
    ($($reply:ty),*) => {$(
        impl Reply for $reply {
            fn error_number(self, number: i32) {
                self.error(Errno::from_i32(number));
            }
        }
    )*};
}

replies!(
    ReplyEntry,
    ReplyAttr,
    ReplyData,
    ReplyOpen,
    ReplyXattr,
    ReplyDirectory,
    ReplyDirectoryPlus
);

impl ListReply for ReplyDirectory {
    const COUNTED: bool = false;

    fn add_line(&mut self, line: &Listed<'_>) -> bool {
        let name = OsStr::from_bytes(line.name);
        self.add(INodeNo(line.stat.ino), line.next, file_type(line.stat.kind), name)
    }

    fn send(self) {
        self.ok();
    }
}

impl ListReply for ReplyDirectoryPlus {
    const COUNTED: bool = true;

    fn add_line(&mut self, line: &Listed<'_>) -> bool {
        let name = OsStr::from_bytes(line.name);
        let ttl = time_to_live(line.keep);
        let attr = file_attr(&line.stat);
        self.add(attr.ino, line.next, name, &ttl, &attr, GENERATION)
    }

    fn send(self) {
        self.ok();
    }
}

/// For how long the kernel is told to keep something.
pub(super) fn time_to_live(keep: Keep) -> Duration {
    match keep {
        Keep::Lasting => LASTING,
        Keep::Shortly => LIVE_KEPT,
        Keep::Never => Duration::ZERO,
    }
}

fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::File => FileType::RegularFile,
        Kind::Directory => FileType::Directory,
        Kind::Symlink => FileType::Symlink,
    }
}

pub(super) fn file_attr(stat: &Stat) -> FileAttr {
    FileAttr {
        ino: INodeNo(stat.ino),
        size: stat.size,
        blocks: stat.sectors,
        atime: stat.mtime,
        mtime: stat.mtime,
        ctime: stat.mtime,
        crtime: stat.mtime,
        kind: file_type(stat.kind),
        perm: stat.permissions,
        // For directories one means "not told", as btrfs has it: nobody counts subdirectories here.
        nlink: 1,
        uid: stat.owner.uid,
        gid: stat.owner.gid,
        rdev: 0,
        blksize: BLOCK_BYTES,
        flags: 0,
    }
}

/// The kernel keeps "no such name" for an entry whose node is zero; an error it would forget.
pub(super) fn give_looked(reply: ReplyEntry, looked: Looked, keep: Keep) {
    let ttl = time_to_live(keep);
    match looked {
        // What an inode is does not change, whatever its name will stand for.
        Looked::Found(stat) => {
            reply.entry_with_ttls(&LASTING, &ttl, &file_attr(&stat), GENERATION);
        }
        Looked::Absent => {
            let nothing = Owner { uid: 0, gid: 0 }.unknown(0);
            reply.entry(&ttl, &file_attr(&nothing), GENERATION);
        }
    }
}

/// Gives the value of an attribute, or its size to a caller who brings no buffer.
pub(super) fn give_bytes(reply: ReplyXattr, value: &[u8], size: u32) {
    if size == 0 {
        reply.size(value.len() as u32);
    } else if value.len() > size as usize {
        reply.error(Errno::from_i32(errno(&FsError::Range)));
    } else {
        reply.data(value);
    }
}
