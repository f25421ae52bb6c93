//! DAGs that are small and stand for more than there is: told, refused, pinned in time.
//!
//! Ten kilobytes of blocks that are a file of 2^60 bytes, or 2^60 empty files; files that claim what
//! they have not. Blocks are written by hand, as in `hostile`, whose bad names stay there.

use std::{fs, io::Read, path::Path, time::Duration};

use shoal_dag::{
    Cid,
    unixfs::{Kind, UnixFs},
};

use crate::{
    harness::{Lab, Peer, Store, mounted::Mounted, require},
    hostile::Blocks,
};

const EXBIBYTE: u64 = 1 << 60;

/// A linear walk of these trees takes milliseconds, any other outlives the test.
const SOON: Duration = Duration::from_secs(30);

/// A file of 2^60 bytes in 21 blocks.
fn file_bomb(blocks: &mut Blocks) -> Cid {
    let (mut root, mut size) = (blocks.file(b"x"), 1);
    for _ in 0..20 {
        root = blocks.branch(&[(root, size); 8]);
        size *= 8;
    }
    assert_eq!(size, EXBIBYTE);
    assert!(blocks.bytes() < 10_000, "{}", blocks.bytes());
    root
}

/// 2^60 empty files in 61 directories.
fn directory_bomb(blocks: &mut Blocks) -> Cid {
    let mut root = blocks.file(b"");
    for _ in 0..60 {
        root = blocks.directory(&[(b"a", root), (b"b", root)]);
    }
    root
}

/// A peer with what was made, and a store that is told of it.
fn seeded(lab: &Lab, make: impl FnOnce(&mut Blocks) -> Cid) -> (Peer, Store, String) {
    let mut blocks = Blocks::default();
    let root = make(&mut blocks);
    let a = lab.store("a");
    blocks.store(a.dir(), &root);
    let peer = a.seed();
    let c = lab.store("c").told(peer.address());
    (peer, c, root.to_string())
}

#[test]
fn a_file_of_an_exbibyte_is_described_and_refused_and_pinned() {
    let lab = Lab::new();
    let (peer, c, cid) = seeded(&lab, file_bomb);
    let out = lab.path("out");
    for store in [&c, peer.store()] {
        let run = store.run(&[&"stat", &cid, &"--json"]).ok();
        assert_eq!(run.outcome()["bytes"], EXBIBYTE, "{run}");
        let run = store.run(&[&"get", &cid, &"-o", &out]).exits(1);
        drop(run.says(&EXBIBYTE.to_string()).says("free"));
        assert!(!out.exists());
        let run = store.run(&[&"pin", &"add", &cid]).ok();
        assert!(run.took < SOON, "{run}");
        // Once more, now that everything is here.
        let run = store.run(&[&"get", &cid, &"-o", &out]).exits(1);
        assert!(run.took < SOON, "{run}");
        let run = store.run(&[&"cat", &cid, &"--range", &"1152921504606846970-"]).ok();
        assert_eq!(run.stdout, b"xxxxxx");
        assert!(store.disk_bytes() < 16 << 20, "{}", store.disk_bytes());
    }
    let run = c.run(&[&"car", &"export", &cid]).ok();
    assert!(run.stdout.len() < 20_000, "each block once: {}", run.stdout.len());
}

#[test]
fn directories_that_double_are_refused_and_pinned() {
    let lab = Lab::new();
    let (_peer, c, cid) = seeded(&lab, directory_bomb);
    let out = lab.path("out");
    drop(c.run(&[&"stat", &cid]).ok());
    assert_eq!(c.run(&[&"ls", &cid]).ok().lines().len(), 2);
    let run = c.run(&[&"get", &cid, &"-o", &out]).exits(1).says("entries");
    assert!(run.took < SOON, "{run}");
    assert!(!out.exists());
    assert!(c.run(&[&"pin", &"add", &cid]).ok().took < SOON);
    // Sixty levels down there is a file, and any of the paths leads to it.
    let path = format!("{cid}{}", "/a".repeat(60));
    assert_eq!(c.run(&[&"cat", &path]).ok().stdout, b"");
}

#[test]
fn no_more_is_fetched_than_was_wanted() {
    let lab = Lab::new();
    let (_peer, c, cid) = seeded(&lab, |blocks| {
        let file = blocks.file(&[7; 1000]);
        blocks.directory(&[(b"a", file), (b"b", file)])
    });
    let out = lab.path("out");
    let run = c.run(&[&"get", &cid, &"-o", &out, &"--max-size", &"1K"]).exits(1);
    drop(run.says("2000").says("--max-size"));
    assert!(!out.exists());
    drop(c.run(&[&"get", &cid, &"-o", &out, &"--max-size", &"2K"]).ok());
}

/// A file of three leaves whose root claims another length of the second, and of all.
fn liar(blocks: &mut Blocks, claimed: u64) -> Cid {
    let leaf = blocks.file(b"boom");
    let root = blocks.branch(&[(leaf, 4), (leaf, claimed), (leaf, 4)]);
    blocks.directory(&[(b"liar", root)])
}

#[test]
fn sizes_that_lie_are_errors_and_never_zeros() {
    let lab = Lab::new();
    let (_peer, c, cid) = seeded(&lab, |blocks| liar(blocks, 5));
    let path = format!("{cid}/liar");
    let run = c.run(&[&"cat", &path]).exits(1);
    assert!(b"boomboomboom".starts_with(&run.stdout), "{run}");
    drop(run.says("is not what Shoal can read"));
    let out = lab.path("out");
    drop(c.run(&[&"get", &cid, &"-o", &out]).exits(1));
    assert!(!out.exists());
    if !require::fuse() {
        return;
    }
    let running = c.seed();
    let mounted = Mounted::new(running.store(), &cid, lab.path("mounted"));
    let mut read = Vec::new();
    let opened = fs::File::open(mounted.path("liar"));
    let error = opened.and_then(|mut file| file.read_to_end(&mut read)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()));
    assert!(b"boomboomboom".starts_with(&read), "{read:?}");
}

/// Names of 255 bytes are written, one byte more is left out and named.
#[test]
fn the_longest_name_is_written_and_a_longer_one_left_out() {
    let lab = Lab::new();
    let (long, longer) = ([b'x'; 255], [b'y'; 256]);
    let (_peer, c, cid) = seeded(&lab, |blocks| {
        let file = blocks.file(b"good");
        blocks.directory(&[(&long, file), (&longer, file)])
    });
    let out = lab.path("out");
    drop(c.run(&[&"get", &cid, &"-o", &out]).exits(3).says("256 bytes"));
    assert_eq!(names(&out), [str::from_utf8(&long).unwrap()]);
}

/// On a file system that does not tell `A` from `a`, one of them is left out and named.
#[test]
fn names_that_differ_in_case_only_are_both_written_or_one_is_named() {
    let lab = Lab::new();
    let (_peer, c, cid) = seeded(&lab, |blocks| {
        let (upper, lower) = (blocks.file(b"upper"), blocks.file(b"lower"));
        blocks.directory(&[(b"A", upper), (b"a", lower)])
    });
    let out = lab.path("out");
    drop(c.run(&[&"get", &cid, &"-o", &out]).ok());
    assert_eq!(names(&out), ["A", "a"]);
    let Some(folding) = folding(&lab.path("folding")) else { return };
    let out = folding.0.join("out");
    drop(c.run(&[&"get", &cid, &"-o", &out]).exits(3).says("another entry"));
    assert_eq!(names(&out), ["A"]);
    assert_eq!(fs::read(out.join("A")).unwrap(), b"upper");
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A directory whose file system folds case, unmounted at the end.
struct Folding(std::path::PathBuf);

impl Drop for Folding {
    fn drop(&mut self) {
        let flags = rustix::mount::UnmountFlags::DETACH;
        rustix::mount::unmount(self.0.parent().unwrap(), flags).unwrap();
    }
}

/// A tmpfs that can fold case, where the kernel has that and this user may mount it.
fn folding(at: &Path) -> Option<Folding> {
    if !require::root() {
        return None;
    }
    fs::create_dir(at).unwrap();
    let flags = rustix::mount::MountFlags::empty();
    if let Err(error) = rustix::mount::mount("tmpfs", at, "tmpfs", flags, c"casefold,size=16m") {
        println!("skipped: no tmpfs that folds case: {error}");
        return None;
    }
    let dir = Folding(at.join("dir"));
    fs::create_dir(&dir.0).unwrap();
    let opened = fs::File::open(&dir.0).unwrap();
    let folds = rustix::fs::ioctl_getflags(&opened)
        .and_then(|flags| rustix::fs::ioctl_setflags(&opened, flags | CASEFOLD));
    if let Err(error) = folds {
        println!("skipped: this tmpfs does not fold case: {error}");
        return None;
    }
    Some(dir)
}

/// `FS_CASEFOLD_FL`.
const CASEFOLD: rustix::fs::IFlags = rustix::fs::IFlags::from_bits_retain(0x4000_0000);

/// Metadata of a stranger's file reaches no further than its permission bits.
#[test]
fn special_bits_of_a_stranger_are_not_set() {
    use std::os::unix::fs::PermissionsExt;
    let lab = Lab::new();
    let (_peer, c, cid) = seeded(&lab, |blocks| {
        let mut message = UnixFs { data: Some(b"file"), ..UnixFs::new(Kind::File) };
        message.file_size = Some(4);
        // A device with setuid, setgid and sticky bits.
        message.meta.mode = Some(0o020_000 | 0o7755);
        let file = blocks.node(&[], &message);
        blocks.directory(&[(b"file", file)])
    });
    let out = lab.path("out");
    drop(c.run(&[&"get", &cid, &"-o", &out]).ok());
    let stat = fs::symlink_metadata(out.join("file")).unwrap();
    assert!(stat.is_file());
    assert_eq!(stat.permissions().mode() & 0o7777, 0o755);
}
