//! Every attempt to change something is refused with EROFS, and nothing changes.
//!
//! Most of these end in the kernel because the mount itself is read-only; that is part of what is
//! tested, not a shortcut around it.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::SystemTime;

use crate::scratch::{Scratch, number, usable};
use rustix::fs::XattrFlags;
use shoal_fuse::memory::MemoryTreeBuilder;

#[test]
fn every_change_is_refused() {
    if !usable() {
        return;
    }
    let mut builder = MemoryTreeBuilder::new();
    let file = builder.file_with(&b"hello"[..], 0o666, (7, 0));
    let directory = builder.directory([("inner", file)]);
    let root = builder.directory([("file", file), ("directory", directory)]);
    let scratch = Scratch::new(builder.finish(root));
    let at = |name: &str| scratch.at(name);
    let open = |options: &OpenOptions| options.open(at("file")).map(drop);
    let file = fs::File::open(at("file")).unwrap();
    let attempts: [(&str, io::Result<()>); 16] = [
        ("open to write", open(OpenOptions::new().write(true))),
        ("open to read and write", open(OpenOptions::new().read(true).write(true))),
        ("open to append", open(OpenOptions::new().append(true))),
        ("open to truncate", open(OpenOptions::new().write(true).truncate(true))),
        ("create", fs::File::create(at("new")).map(drop)),
        ("mkdir", fs::create_dir(at("new"))),
        ("unlink", fs::remove_file(at("file"))),
        ("rmdir", fs::remove_dir(at("directory"))),
        ("rename", fs::rename(at("file"), at("new"))),
        ("link", fs::hard_link(at("file"), at("new"))),
        ("symlink", symlink("file", at("new"))),
        ("chmod", fs::set_permissions(at("file"), Permissions::from_mode(0o600))),
        ("chown", std::os::unix::fs::chown(at("file"), Some(1), Some(1))),
        ("utimes", file.set_modified(SystemTime::UNIX_EPOCH)),
        (
            "mkfifo",
            rustix::fs::mkfifoat(rustix::fs::CWD, at("new"), 0o600.into()).map_err(Into::into),
        ),
        (
            "setxattr",
            rustix::fs::setxattr(at("file"), "user.x", b"y", XattrFlags::empty())
                .map_err(Into::into),
        ),
    ];
    for (what, outcome) in attempts {
        assert_eq!(number(outcome), libc::EROFS, "{what}");
    }
    assert_eq!(fs::read(at("file")).unwrap(), b"hello");
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 2);
}
