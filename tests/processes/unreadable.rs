//! Sources that cannot be read: left out, each named, the rest added.
//!
//! Root reads everything, so as root the verb runs as `nobody`, on a copy of the binary that this user
//! may execute.

use std::{
    ffi::OsStr,
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, net::UnixListener, process::CommandExt},
    path::Path,
    process::Command,
};

use rustix::fs::{FileType, Gid, Mode, Uid, chown, mknodat};

use crate::harness::{Lab, Run, Snapshot, Started, Store, tree};

/// User and group ids of `nobody` on most systems; any unprivileged pair would do.
const NOBODY: u32 = 65534;

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_added() {
    let lab = Lab::new();
    let source = lab.path("source");
    fs::create_dir_all(source.join("locked")).unwrap();
    for name in ["good", "secret", "locked/inside"] {
        tree::file(&source.join(name), 1, 1000);
    }
    let _listener = UnixListener::bind(source.join("socket")).unwrap();
    let fifo = source.join("fifo");
    mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    give_to_nobody(&lab, &source);
    fs::set_permissions(source.join("secret"), Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(source.join("locked"), Permissions::from_mode(0o000)).unwrap();

    let a = lab.store("store of nobody");
    let run = run_as_nobody(&lab, &a, &[&"add", &source]);
    // So that the laboratory can be removed by anybody.
    fs::set_permissions(source.join("locked"), Permissions::from_mode(0o700)).unwrap();
    let run = run.exits(3);
    for name in ["secret", "locked", "socket", "fifo"] {
        assert!(run.stderr.contains(name), "{name} is not named: {run}");
    }
    let lines = run.lines();
    assert_eq!(lines.len(), 1, "{run}");
    let cid = lines[0].split(' ').next().unwrap();
    let out = lab.path("out");
    drop(lab.store("store of nobody").run(&[&"get", &cid, &"-o", &out]).ok());
    assert_eq!(fs::read(out.join("good")).unwrap(), fs::read(source.join("good")).unwrap());
    for name in ["secret", "socket", "fifo", "locked/inside"] {
        assert!(!out.join(name).exists(), "{name} was added");
    }
}

#[test]
fn nothing_readable_is_a_failure() {
    let lab = Lab::new();
    let source = lab.path("source");
    fs::create_dir(&source).unwrap();
    let (secret, socket) = (source.join("secret"), source.join("socket"));
    tree::file(&secret, 1, 1000);
    let _listener = UnixListener::bind(&socket).unwrap();
    give_to_nobody(&lab, &source);
    fs::set_permissions(&secret, Permissions::from_mode(0o000)).unwrap();
    let a = lab.store("a");
    let run = run_as_nobody(&lab, &a, &[&"add", &secret, &socket]).exits(1);
    assert!(run.stdout.is_empty(), "{run}");
    drop(run.says("secret").says("socket"));
}

#[test]
fn special_files_are_left_out_of_a_directory() {
    let lab = Lab::new();
    let source = lab.path("source");
    fs::create_dir(&source).unwrap();
    tree::file(&source.join("good"), 1, 1000);
    let alone = Snapshot::of(&source);
    let _listener = UnixListener::bind(source.join("socket")).unwrap();
    let a = lab.store("a");
    let run = a.run(&[&"add", &source]).exits(3).says("socket");
    let cid = run.lines()[0].split(' ').next().unwrap().to_owned();
    let out = lab.path("out");
    drop(a.run(&[&"get", &cid, &"-o", &out]).ok());
    alone.assert_same(&Snapshot::of(&out));
}

/// Gives the laboratory and a tree in it to `nobody`, when this is root.
fn give_to_nobody(lab: &Lab, source: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut pending = vec![source.to_owned()];
    let own = |path: &Path| {
        chown(path, Some(Uid::from_raw(NOBODY)), Some(Gid::from_raw(NOBODY))).unwrap();
    };
    own(&lab.path(""));
    while let Some(path) = pending.pop() {
        own(&path);
        if path.is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|item| item.unwrap().path()));
        }
    }
}

/// Runs a verb as a user without privileges.
#[track_caller]
fn run_as_nobody(lab: &Lab, store: &Store, arguments: &[&dyn AsRef<OsStr>]) -> Run {
    if !rustix::process::geteuid().is_root() {
        return store.run(arguments);
    }
    let binary = lab.path("shoal");
    // A link costs nothing, but the binary may lie on another file system or where nobody may not go.
    fs::copy(env!("CARGO_BIN_EXE_shoal"), &binary).unwrap();
    fs::set_permissions(&binary, Permissions::from_mode(0o755)).unwrap();
    let mut command: Command = store.command_in(&[&binary], arguments);
    command.uid(NOBODY).gid(NOBODY);
    Started::new(command).finish()
}
