//! The order of writes and syncs in what `strace -f -y` wrote.
//!
//! Time is the number of the line. A call that `strace` tells in two lines begins at the first and
//! ends at the second. A write counts as synced when a sync of the same file begins after the write
//! ended and itself ends before the CID is written to stdout; a name likewise by a sync of its
//! directory. Writes through a memory map do not show; the store makes none.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Calls that are watched.
pub(super) const CALLS: &str = "--trace=write,pwrite64,writev,pwritev,pwritev2,ftruncate,fallocate,\
                                copy_file_range,sendfile,fsync,fdatasync,sync_file_range,\
                                open,openat,rename,renameat,renameat2,link,linkat,mkdir,mkdirat";

/// One call: its name, arguments and when it began and ended.
struct Call {
    name: String,
    arguments: String,
    begin: usize,
    end: usize,
}

/// What happened below the store before the CID was written.
#[derive(Default)]
pub(super) struct Trace {
    /// Path to the end of its last write.
    written: BTreeMap<String, usize>,
    /// Directory to the end of the last call that made a name in it.
    named: BTreeMap<String, usize>,
    /// Every path that was made.
    made: BTreeSet<String>,
    /// Path to the latest beginning of a sync that ended in time.
    synced: BTreeMap<String, usize>,
}

impl Trace {
    /// Reads a log, up to the write of `cid` to stdout.
    #[track_caller]
    pub(super) fn read(log: &Path, store: &Path, cid: &str) -> Self {
        let calls = calls(&fs::read_to_string(log).unwrap());
        // Its number need not be 1: stdout may have been duplicated. Only there is it the first word.
        let writes_cid = |call: &&Call| {
            call.name == "write"
                && call.arguments.split('"').nth(1).is_some_and(|w| w.starts_with(cid))
        };
        let cid_at = calls.iter().find(writes_cid).expect("the CID is written to stdout").begin;
        let store = store.to_str().expect("a temporary directory has a plain name");
        let mut trace = Self::default();
        for call in calls.iter().filter(|call| call.end < cid_at) {
            trace.take(call, store);
        }
        trace
    }

    fn take(&mut self, call: &Call, store: &str) {
        let quoted: Vec<&str> = call.arguments.split('"').skip(1).step_by(2).collect();
        let made = match call.name.as_str() {
            "fsync" | "fdatasync" => {
                self.synced.extend(path_of(&call.arguments).map(|path| (path, call.begin)));
                return;
            }
            "open" | "openat" => quoted.first().filter(|_| call.arguments.contains("O_CREAT")),
            "mkdir" | "mkdirat" => quoted.first(),
            "rename" | "renameat" | "renameat2" | "link" | "linkat" => quoted.last(),
            _ => {
                let path = path_of(&call.arguments).filter(|path| below(path, store));
                self.written.extend(path.map(|path| (path, call.end)));
                return;
            }
        };
        let made = made.filter(|path| below(path, store) || **path == store);
        // Opening what was made before makes nothing.
        if let Some(path) = made.filter(|path| self.made.insert((**path).to_owned()))
            && let Some((directory, _)) = path.rsplit_once('/')
        {
            self.named.insert(directory.to_owned(), call.end);
        }
    }

    /// Files whose last write, and directories whose last new name, no sync covered.
    pub(super) fn unsynced(&self) -> (Vec<&str>, Vec<&str>) {
        let late = |(path, end): &(&String, &usize)| {
            self.synced.get(*path).is_none_or(|begin| begin < end)
        };
        let files = self.written.iter().filter(late).map(|(path, _)| path.as_str());
        let names = self.named.iter().filter(late).map(|(path, _)| path.as_str());
        (files.collect(), names.collect())
    }

    /// Every path that was synced.
    pub(super) fn synced(&self) -> Vec<&str> {
        self.synced.keys().map(String::as_str).collect()
    }
}

/// True for what lies in the store and must last. The lock names its holder, the socket is no file,
/// `partial` tells what is not whole (for content that is added, it is there to be removed), the reserve
/// has no bytes, and what `stat.redb` remembers may be lost.
fn below(path: &str, store: &str) -> bool {
    let spared = ["lock", "control.sock", "partial/", "reserve", "stat.redb"];
    let inside = path.strip_prefix(store).and_then(|path| path.strip_prefix('/'));
    inside.is_some_and(|path| !spared.iter().any(|start| path.starts_with(start)))
}

/// The path that `-y` shows behind the first file descriptor: `12</path>, ...`.
fn path_of(arguments: &str) -> Option<String> {
    let (number, rest) = arguments.split_once('<')?;
    number.parse::<u32>().ok()?;
    let (path, _) = rest.split_once('>')?;
    Some(path.to_owned())
}

/// The calls that succeeded, in the order of their ends.
fn calls(log: &str) -> Vec<Call> {
    let mut pending = BTreeMap::new();
    let mut calls = Vec::new();
    for (number, line) in log.lines().enumerate() {
        let Some((process, rest)) = line.split_once(' ') else {
            continue;
        };
        let rest = rest.trim_start();
        if let Some(rest) = rest.strip_prefix("<... ") {
            let begun: Option<(String, String, usize)> = pending.remove(process);
            if let Some((name, arguments, begin)) = begun.filter(|_| succeeded(rest)) {
                calls.push(Call { name, arguments, begin, end: number });
            }
        } else if let Some((name, arguments)) = rest.split_once('(') {
            let (name, arguments) = (name.to_owned(), arguments.to_owned());
            if rest.ends_with("<unfinished ...>") {
                pending.insert(process.to_owned(), (name, arguments, number));
            } else if succeeded(rest) {
                calls.push(Call { name, arguments, begin: number, end: number });
            }
        }
    }
    calls
}

/// True when a call's result is not an error.
fn succeeded(line: &str) -> bool {
    line.rsplit_once(" = ").is_some_and(|(_, result)| !result.starts_with('-'))
}

#[test]
fn a_write_after_its_sync_and_a_call_in_two_lines_are_seen() {
    let log = "\
1 openat(AT_FDCWD</>, \"/s/packs/1\", O_RDWR|O_CREAT|O_EXCL, 0600) = 5</s/packs/1>
1 write(5</s/packs/1>, \"x\", 1) = 1
2 fdatasync(5</s/packs/1> <unfinished ...>
1 write(6</s/late>, \"x\", 1) = 1
2 <... fdatasync resumed>) = 0
1 fsync(7</s/packs>) = 0
1 write(5</s/packs/1>, \"y\", 1) = 1
1 write(8</s/good>, \"x\", 1) = 1
1 fsync(8</s/good>) = 0
1 fsync(6</s/late>) = -1 EIO (Input/output error)
1 write(2<pipe:[2]>, \"added bafy path\\n\", 16) = 16
1 write(9<pipe:[1]>, \"bafy path\\n\", 10) = 10
1 fsync(5</s/packs/1>) = 0
";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    fs::write(&path, log).unwrap();
    let trace = Trace::read(&path, Path::new("/s"), "bafy");
    assert_eq!(trace.unsynced(), (vec!["/s/late", "/s/packs/1"], vec![]));
    let without = log.replace("1 fsync(7</s/packs>) = 0\n", "");
    fs::write(&path, without).unwrap();
    let trace = Trace::read(&path, Path::new("/s"), "bafy");
    assert_eq!(trace.unsynced().1, ["/s/packs"]);
}
