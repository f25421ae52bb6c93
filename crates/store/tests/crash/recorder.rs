//! The log of what a store did to the disk, and faults that are put between.
//!
//! One lock is held around each change, so that the log has the order in which the changes happened.
//! Files are told apart by their inode, names by their path. A fault is given to one chosen call (an error
//! for a sync, a full disk for what needs room) or to all from one on; a kind of sync can be left out,
//! which is what a forgotten sync in the store would look like.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use shoal_store::{Change, DiskWatch};

/// Space is given by this much.
const PAGE: u64 = 4096;

/// A file, whatever its names.
pub(crate) type Object = usize;

/// One change, with all that is needed to do it again.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    MakeDir {
        path: PathBuf,
    },
    Create {
        path: PathBuf,
        object: Object,
    },
    Write {
        object: Object,
        offset: u64,
        data: Arc<[u8]>,
    },
    SetLen {
        object: Object,
        len: u64,
    },
    Zero {
        object: Object,
        offset: u64,
        len: u64,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Link {
        from: PathBuf,
        to: PathBuf,
    },
    Remove {
        path: PathBuf,
    },
    Sync {
        object: Object,
    },
    SyncDir {
        path: PathBuf,
    },
    /// A sync that failed: what was written before may never reach the disk.
    Failed {
        object: Option<Object>,
    },
    /// An operation begins, and is acknowledged.
    Begun(usize),
    Acknowledged(usize),
}

/// What a sync is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    PackData,
    BlobData,
    CopyData,
    IndexData,
    RunData,
    JournalData,
    FormatData,
    SecretData,
    PackDirectory,
    RunDirectory,
    JournalDirectory,
    BlobDirectory,
    BlobsDirectory,
    StoreDirectory,
    SecretDirectory,
    UsersDirectory,
    Other,
}

/// Which calls get an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The sync of this number fails.
    Sync(usize),
    /// The call of this number that needs room finds none.
    Full(usize),
    /// From the call of this number on nothing new finds room, but what has space can be written anew.
    FullFrom(usize),
}

#[derive(Debug, Default)]
struct Log {
    steps: Vec<Step>,
    /// The file of each inode, as of the last one made with it, and the path under which it was made.
    objects: HashMap<u64, Object>,
    made_at: Vec<PathBuf>,
    /// Pages of each file that have space on the disk.
    taken: Vec<HashSet<u64>>,
    is_paused: bool,
    fault: Option<Fault>,
    syncs: usize,
    rooms: usize,
    was_hit: bool,
    skipped: Option<Kind>,
}

/// Writes the log.
#[derive(Debug)]
pub(crate) struct Recorder {
    base: PathBuf,
    log: Mutex<Log>,
}

impl Recorder {
    pub(crate) fn new(base: &Path, skipped: Option<Kind>) -> Arc<Self> {
        let log = Mutex::new(Log { skipped, ..Log::default() });
        Arc::new(Self { base: base.to_owned(), log })
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }

    pub(crate) fn mark(&self, step: Step) {
        self.log().steps.push(step);
    }

    /// Puts a fault into what follows; counting begins anew.
    pub(crate) fn fault(&self, fault: Fault) {
        let mut log = self.log();
        (log.fault, log.syncs, log.rooms, log.was_hit) = (Some(fault), 0, 0, false);
    }

    /// Whether the fault was met.
    pub(crate) fn was_hit(&self) -> bool {
        self.log().was_hit
    }

    /// From here on nothing is logged.
    pub(crate) fn pause(&self) {
        self.log().is_paused = true;
    }

    /// The log so far.
    pub(crate) fn steps(&self) -> Vec<Step> {
        self.log().steps.clone()
    }

    /// What the sync of a file or directory of this path is for.
    fn kind(&self, path: &Path, is_dir: bool) -> Kind {
        let Ok(path) = path.strip_prefix(self.base.join("store")) else {
            return if is_dir { Kind::UsersDirectory } else { Kind::Other };
        };
        let first = path.iter().next().and_then(|part| part.to_str()).unwrap_or_default();
        let depth = path.iter().count();
        match (first, is_dir, depth) {
            ("packs", true, _) => Kind::PackDirectory,
            ("packs", false, _) => Kind::PackData,
            ("journal", true, _) => Kind::JournalDirectory,
            ("journal", false, _) => Kind::JournalData,
            ("runs", true, _) => Kind::RunDirectory,
            ("runs", false, _) => Kind::RunData,
            ("blobs", true, 1) => Kind::BlobsDirectory,
            ("blobs", true, _) => Kind::BlobDirectory,
            ("blobs", false, _) => Kind::BlobData,
            ("partial", false, _) => Kind::CopyData,
            ("index.redb", ..) => Kind::IndexData,
            ("secrets", true, _) => Kind::SecretDirectory,
            ("secrets", false, _) => Kind::SecretData,
            ("", true, _) => Kind::StoreDirectory,
            ("format" | "format.new", ..) => Kind::FormatData,
            _ => Kind::Other,
        }
    }

    /// Makes a file of the user's, synced, as the user had it before.
    pub(crate) fn users_file(&self, path: &Path, data: &[u8]) {
        fs::write(path, data).unwrap();
        let mut log = self.log();
        let object = log.made(path);
        let dir = path.parent().unwrap().to_owned();
        let steps = [
            Step::Create { path: path.to_owned(), object },
            Step::Write { object, offset: 0, data: data.into() },
            Step::Sync { object },
            Step::SyncDir { path: dir },
        ];
        log.steps.extend(steps);
    }

    /// Syncs a file of the user's, and its directory.
    pub(crate) fn users_sync(&self, path: &Path) {
        let mut log = self.log();
        let object = log.objects[&fs::metadata(path).unwrap().ino()];
        let dir = path.parent().unwrap().to_owned();
        log.steps.extend([Step::Sync { object }, Step::SyncDir { path: dir }]);
    }

    /// Removes a file of the user's, if it is there.
    pub(crate) fn users_remove(&self, path: &Path) {
        if fs::remove_file(path).is_ok() {
            self.mark(Step::Remove { path: path.to_owned() });
        }
    }

    /// Renames a file of the user's.
    pub(crate) fn users_rename(&self, from: &Path, to: &Path) {
        fs::rename(from, to).unwrap();
        self.mark(Step::Rename { from: from.to_owned(), to: to.to_owned() });
    }
}

impl Log {
    fn made(&mut self, path: &Path) -> Object {
        let object = self.made_at.len();
        self.made_at.push(path.to_owned());
        self.taken.push(HashSet::new());
        self.objects.insert(fs::metadata(path).unwrap().ino(), object);
        object
    }

    fn object(&self, file: &File) -> Object {
        let ino = file.metadata().unwrap().ino();
        *self.objects.get(&ino).expect("every file that is written was made under the watcher")
    }

    /// The error of this call, if it is the one that the fault is for.
    fn error(&mut self, change: &Change<'_>) -> Option<io::Error> {
        let is_sync = matches!(change, Change::Sync { .. } | Change::SyncDir { .. });
        let needs_room = match change {
            Change::SetLen { file, len } => file.metadata().unwrap().len() < *len,
            Change::MakeDir { path } | Change::Create { path } => !path.exists(),
            Change::Write { .. } | Change::Fill { .. } | Change::Allocate { .. } => true,
            Change::Link { .. } | Change::Rename { .. } => true,
            _ => false,
        };
        self.syncs += usize::from(is_sync);
        self.rooms += usize::from(needs_room);
        let errno = match self.fault? {
            Fault::Sync(n) if is_sync && self.syncs == n => rustix::io::Errno::IO,
            Fault::Full(n) if needs_room && self.rooms == n => rustix::io::Errno::NOSPC,
            Fault::FullFrom(n) if needs_room && self.rooms >= n && !self.has_space(change) => {
                rustix::io::Errno::NOSPC
            }
            _ => return None,
        };
        self.was_hit = true;
        Some(errno.into())
    }

    /// Is it a write to where the file has space already?
    fn has_space(&self, change: &Change<'_>) -> bool {
        let Change::Write { file, offset, parts } = change else { return false };
        let taken = &self.taken[self.object(file)];
        pages(*offset, parts.iter().map(|part| part.len()).sum()).all(|page| taken.contains(&page))
    }

    /// Notes what a change does to the space of a file.
    fn account(&mut self, step: &Step) {
        match step {
            Step::Write { object, offset, data } => {
                self.taken[*object].extend(pages(*offset, data.len()));
            }
            Step::SetLen { object, len } => self.taken[*object].retain(|page| page * PAGE < *len),
            Step::Zero { object, offset, len } => {
                let gone: HashSet<u64> = pages(*offset, *len as usize).collect();
                self.taken[*object].retain(|page| !gone.contains(page));
            }
            _ => {}
        }
    }

    fn append(&mut self, change: &Change<'_>) {
        let step = match change {
            Change::MakeDir { path } => Step::MakeDir { path: path.to_path_buf() },
            Change::Create { path } => {
                Step::Create { object: self.made(path), path: path.to_path_buf() }
            }
            Change::Write { file, offset, parts } => {
                let (object, offset) = (self.object(file), *offset);
                Step::Write { object, offset, data: parts.concat().into() }
            }
            Change::Fill { file, offset, len } => self.fill(file, *offset, *len),
            Change::SetLen { file, len } => Step::SetLen { object: self.object(file), len: *len },
            Change::Allocate { file, .. } => {
                let len = file.metadata().unwrap().len();
                Step::SetLen { object: self.object(file), len }
            }
            Change::Punch { file, offset, len } => {
                Step::Zero { object: self.object(file), offset: *offset, len: *len }
            }
            Change::Rename { from, to } => {
                Step::Rename { from: from.to_path_buf(), to: to.to_path_buf() }
            }
            Change::Link { from, to } => {
                Step::Link { from: from.to_path_buf(), to: to.to_path_buf() }
            }
            Change::Remove { path } => Step::Remove { path: path.to_path_buf() },
            Change::Sync { file } => Step::Sync { object: self.object(file) },
            Change::SyncDir { path } => Step::SyncDir { path: path.to_path_buf() },
            _ => return,
        };
        self.account(&step);
        self.steps.push(step);
    }

    /// What a copy within the kernel brought, read back.
    fn fill(&self, file: &File, offset: u64, len: u64) -> Step {
        let end = file.metadata().unwrap().len().min(offset + len);
        let mut data = vec![0; end.saturating_sub(offset) as usize];
        // The store may have opened it for writing only.
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file));
        File::open(path).unwrap().read_exact_at(&mut data, offset).unwrap();
        Step::Write { object: self.object(file), offset, data: data.into() }
    }
}

/// The pages of a range.
fn pages(offset: u64, len: usize) -> impl Iterator<Item = u64> {
    offset / PAGE..(offset + len as u64).div_ceil(PAGE)
}

impl DiskWatch for Recorder {
    fn around(
        &self,
        change: &Change<'_>,
        call: &mut dyn FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut log = self.log();
        if log.is_paused {
            return call();
        }
        if let Some(error) = log.error(change) {
            match change {
                Change::Sync { file } => {
                    let object = Some(log.object(file));
                    log.steps.push(Step::Failed { object });
                }
                Change::SyncDir { .. } => log.steps.push(Step::Failed { object: None }),
                _ => {}
            }
            return Err(error);
        }
        if let Some(skipped) = log.skipped {
            let kind = match change {
                Change::Sync { file } => Some(self.kind(&log.made_at[log.object(file)], false)),
                Change::SyncDir { path } => Some(self.kind(path, true)),
                _ => None,
            };
            if kind == Some(skipped) {
                log.was_hit = true;
                return Ok(());
            }
        }
        call()?;
        log.append(change);
        Ok(())
    }
}
