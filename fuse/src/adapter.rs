//! Between the FUSE library and [`Fs`]: the only file that names `fuser`; its modules take from here what
//! they need of it.
//!
//! Decides who answers: an event loop when the answer is in memory or in a local file, a worker of one
//! of two pools when it may take time. Metadata and reads have pools of their own, so reads that hang
//! never hold up `ls`. Every callback runs under `catch_unwind`: a reply that is dropped unanswered
//! says `EIO`.
//!
//! Invariants: event loops call nothing of the tree but `closed` and `read_ready`, which may not block;
//! an inode is opened passed-through or cached as [`OpenFiles`] says, never both; every request that
//! would change something says `EROFS`.

mod pending;
mod replies;
mod switch;

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use fuser::{
    AccessFlags, BackingId, BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, InitFlags, KernelConfig, LockOwner, Notifier, OpenFlags,
    RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, SessionACL,
    TimeOrNow, WriteFlags,
};

use crate::errno::{FsError, report};
use crate::fs::{Fs, Looked};
use crate::handle::{Mode, OpenFiles};
use crate::mount::MountOptions;
use crate::pool::{Limits, Pool};
use crate::statistics::Counters;
use pending::{ListReply, Pending, Reply};
use replies::{file_attr, give_bytes, give_looked, time_to_live};
pub use switch::{RootSwitch, SwitchError};

/// Threads that fetch metadata: listings are asked for whole windows at a time, so few are enough.
const METADATA_THREADS_MAX: usize = 16;

/// Threads that read through the tree: each holds at most one answer of 1 MiB.
const READ_THREADS_MAX: usize = 64;

/// Requests that wait for a worker; beyond it they fail at once. The kernel sends one for each thread
/// that waits and [`BACKGROUND_MAX`] of read-ahead, so this takes thousands of waiting processes.
const QUEUE_MAX: usize = 4096;

/// Read-ahead requests in flight; the library's 16 starve several readers.
const BACKGROUND_MAX: u16 = 128;

/// Largest request, read or write: `max_pages_limit` of Linux is 256 pages of 4 KiB.
const REQUEST_BYTES_MAX: u32 = 1 << 20;

/// Unit in which `statfs` counts.
const STATFS_BLOCK_BYTES: u32 = 4096;

/// A mounted file system whose handshake is done.
pub(crate) struct Session {
    inner: fuser::Session<Adapter>,
    shared: Weak<Shared>,
    /// Held while somebody serves: it keeps the device open, and an open device that nobody reads
    /// lets callers wait for ever.
    notifier: Arc<Notifier>,
}

impl Session {
    /// Shakes hands with the kernel over `device`.
    pub(crate) fn start(
        fs: Fs,
        device: OwnedFd,
        options: &MountOptions,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        let mut config = fuser::Config::default();
        config.acl = if options.allow_other { SessionACL::All } else { SessionACL::Owner };
        config.n_threads = Some(options.event_loops.clamp(1, 16));
        config.clone_fd = true;
        let acl = config.acl;
        let adapter = Adapter::new(fs, options, counters);
        let shared = Arc::downgrade(&adapter.shared);
        let inner = fuser::Session::from_fd(adapter, device, acl, config)?;
        Ok(Self { notifier: Arc::new(inner.notifier()), inner, shared })
    }

    /// What switches the root while this serves.
    pub(crate) fn root_switch(&self) -> RootSwitch {
        RootSwitch::new(Weak::clone(&self.shared), Arc::downgrade(&self.notifier))
    }

    /// Serves until the mount is gone.
    pub(crate) fn run(self) -> io::Result<()> {
        let _open = self.notifier;
        self.inner.run()
    }
}

struct Shared {
    fs: Fs,
    files: OpenFiles<BackingId>,
    passthrough: AtomicBool,
    counters: Arc<Counters>,
}

struct Adapter {
    shared: Arc<Shared>,
    metadata: Pool,
    reads: Pool,
}

thread_local! {
    /// What an event loop reads local files into.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Adapter {
    fn new(fs: Fs, options: &MountOptions, counters: Arc<Counters>) -> Self {
        let pool = |name, threads_max, guard| {
            Pool::new(name, Limits { threads_max, queue_max: QUEUE_MAX, guard })
        };
        Self {
            shared: Arc::new(Shared {
                fs,
                files: OpenFiles::default(),
                passthrough: AtomicBool::new(options.passthrough),
                counters,
            }),
            metadata: pool("fuse-metadata", METADATA_THREADS_MAX, options.metadata_guard),
            reads: pool("fuse-read", READ_THREADS_MAX, options.read_guard),
        }
    }

    fn pending<R: Reply>(&self, request: &'static str, ino: INodeNo, reply: R) -> Pending<R> {
        let counters = Arc::clone(&self.shared.counters);
        Pending { reply, request, ino: ino.0, counters }
    }

    /// Runs what an event loop does for one request; a panic costs that request only.
    fn guarded(&self, work: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            Counters::add(&self.shared.counters.panicked);
            tracing::error!("a request panicked in its event loop");
        }
    }

    /// Answers from memory with `known`, or has a worker `ask`; `undo` takes an answer back that
    /// came too late to be given.
    fn answer<R: Reply, T: 'static>(
        &self,
        pending: Pending<R>,
        known: impl FnOnce(&Fs) -> Option<Result<T, FsError>>,
        ask: impl FnOnce(&Fs) -> Result<T, FsError> + Send + 'static,
        give: impl FnOnce(R, T) + Send + 'static,
        undo: fn(&Fs, T),
    ) {
        self.guarded(|| {
            if let Some(outcome) = known(&self.shared.fs) {
                return pending.finish(outcome, give);
            }
            let shared = Arc::clone(&self.shared);
            self.metadata.submit(pending, move |ticket| {
                let outcome = ask(&shared.fs);
                match (ticket.take(), outcome) {
                    (Some(pending), outcome) => pending.finish(outcome, give),
                    (None, Ok(answer)) => undo(&shared.fs, answer),
                    (None, Err(_)) => {}
                }
            });
        });
    }

    fn list<R: ListReply>(&self, pending: Pending<R>, handle: u64, offset: u64) {
        self.guarded(|| {
            if offset == 0 {
                self.shared.fs.begin_listing(pending.ino, handle);
            }
            if self.shared.fs.is_window_known(handle, offset) {
                return pending.list(&self.shared.fs, handle, offset);
            }
            let (shared, ino) = (Arc::clone(&self.shared), pending.ino);
            self.metadata.submit(pending, move |ticket| {
                let learned = shared.fs.learn_window(ino, handle, offset);
                match (ticket.take(), learned) {
                    (Some(pending), Ok(())) => pending.list(&shared.fs, handle, offset),
                    (Some(pending), Err(error)) => pending.fail(&error),
                    (None, _) => {}
                }
            });
        });
    }

    fn read_from_tree(&self, pending: Pending<ReplyData>, offset: u64, size: u32) {
        let (shared, ino) = (Arc::clone(&self.shared), pending.ino);
        self.reads.submit(pending, move |ticket| {
            Counters::add(&shared.counters.tree_reads);
            let outcome = shared.fs.read(ino, offset, size);
            if let Some(pending) = ticket.take() {
                pending.finish(outcome, |reply, data| reply.data(&data));
            }
        });
    }
}

impl Shared {
    /// Opens in the mode the inode has, or decides it: passed through when there is a whole local
    /// file and the kernel takes it.
    fn open(&self, pending: Pending<ReplyOpen>, file: Option<File>) {
        let first = || match file {
            None => Mode::Cached(None),
            Some(file) => self.first_mode(&pending.reply, file),
        };
        let mode = self.files.enter(pending.ino, first);
        self.opened(pending.reply, &mode);
    }

    fn first_mode(&self, reply: &ReplyOpen, file: File) -> Mode<BackingId> {
        if self.passthrough.load(Ordering::Relaxed) {
            match reply.open_backing(&file) {
                Ok(backing) => return Mode::Pass(Arc::new(backing)),
                Err(error) => {
                    self.passthrough.store(false, Ordering::Relaxed);
                    tracing::info!(%error, "no passthrough for this mount");
                }
            }
        }
        Mode::Cached(Some(Arc::new(file)))
    }

    fn opened(&self, reply: ReplyOpen, mode: &Mode<BackingId>) {
        let handle = FileHandle(0);
        match mode {
            Mode::Cached(_) => {
                Counters::add(&self.counters.cached_opens);
                reply.opened(handle, FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH);
            }
            Mode::Pass(backing) => {
                Counters::add(&self.counters.passed_opens);
                reply.opened_passthrough(handle, FopenFlags::FOPEN_NOFLUSH, backing);
            }
        }
    }
}

fn take_back(fs: &Fs, looked: Looked) {
    if let Looked::Found(stat) = looked {
        fs.forget(stat.ino, 1);
    }
}

fn wants_to_write(flags: OpenFlags) -> bool {
    flags.0 & libc::O_ACCMODE != libc::O_RDONLY || flags.0 & (libc::O_TRUNC | libc::O_APPEND) != 0
}

impl Filesystem for Adapter {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let mut wanted = vec![
            InitFlags::FUSE_ASYNC_DIO,
            InitFlags::FUSE_CACHE_SYMLINKS,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_PARALLEL_DIROPS,
        ];
        if self.shared.passthrough.load(Ordering::Relaxed) {
            wanted.push(InitFlags::FUSE_PASSTHROUGH);
        }
        for flag in wanted {
            if config.add_capabilities(flag).is_err() {
                tracing::info!(?flag, "the kernel lacks a capability");
                if flag == InitFlags::FUSE_PASSTHROUGH {
                    self.shared.passthrough.store(false, Ordering::Relaxed);
                }
            }
        }
        let depth = u32::from(self.shared.passthrough.load(Ordering::Relaxed));
        // Each is within what its setter takes; the answer of a setter is the value before.
        config.set_max_stack_depth(depth).map_err(|_| invalid())?;
        config.set_max_write(REQUEST_BYTES_MAX).map_err(|_| invalid())?;
        config.set_max_background(BACKGROUND_MAX).map_err(|_| invalid())?;
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let owned = name.as_bytes().to_vec();
        let keep = self.shared.fs.keep(parent.0);
        self.answer(
            self.pending("lookup", parent, reply),
            |fs| fs.known_lookup(parent.0, name.as_bytes()),
            move |fs| fs.lookup(parent.0, &owned),
            move |reply, looked| give_looked(reply, looked, keep),
            take_back,
        );
    }

    fn forget(&self, _req: &Request, ino: INodeNo, nlookup: u64) {
        self.guarded(|| self.shared.fs.forget(ino.0, nlookup));
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        let keep = self.shared.fs.keep(ino.0);
        self.answer(
            self.pending("getattr", ino, reply),
            |fs| fs.known_stat(ino.0),
            move |fs| fs.stat(ino.0),
            move |reply, stat| reply.attr(&time_to_live(keep), &file_attr(&stat)),
            |_, _| {},
        );
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        self.answer(
            self.pending("readlink", ino, reply),
            |_| None,
            move |fs| fs.readlink(ino.0),
            |reply, target| reply.data(&target),
            |_, _| {},
        );
    }

    fn open(&self, _req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let pending = self.pending("open", ino, reply);
        if wants_to_write(flags) {
            return pending.fail(&FsError::ReadOnly);
        }
        self.guarded(|| {
            if let Some(mode) = self.shared.files.join(ino.0) {
                return self.shared.opened(pending.reply, &mode);
            }
            match self.shared.fs.known_open(ino.0) {
                Some(Ok(false)) => return self.shared.open(pending, None),
                Some(Err(error)) => return pending.fail(&error),
                Some(Ok(true)) | None => {}
            }
            let shared = Arc::clone(&self.shared);
            self.metadata.submit(pending, move |ticket| {
                let file = shared.fs.backing(ino.0);
                match (ticket.take(), file) {
                    (Some(pending), Ok(file)) => shared.open(pending, file),
                    (Some(pending), Err(error)) => pending.fail(&error),
                    (None, _) => {}
                }
            });
        });
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let pending = self.pending("read", ino, reply);
        self.guarded(|| {
            let Some(file) = self.shared.files.local_file(ino.0) else {
                if let Some(data) = self.shared.fs.ready_read(ino.0, offset, size) {
                    Counters::add(&self.shared.counters.tree_reads);
                    return pending.reply.data(&data);
                }
                return self.read_from_tree(pending, offset, size);
            };
            BUFFER.with_borrow_mut(|buffer| {
                buffer.resize(size as usize, 0);
                match self.shared.fs.read_local(ino.0, &file, offset, buffer) {
                    Ok(data) => {
                        Counters::add(&self.shared.counters.local_reads);
                        pending.reply.data(data);
                    }
                    Err(error) => {
                        report(&error, "read", ino.0);
                        self.read_from_tree(pending, offset, size);
                    }
                }
            });
        });
    }

    fn release(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.guarded(|| {
            if self.shared.files.leave(ino.0) {
                self.shared.fs.closed(ino.0);
            }
            reply.ok();
        });
    }

    fn opendir(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.answer(
            self.pending("opendir", ino, reply),
            |fs| fs.known_open_directory(ino.0),
            move |fs| fs.open_directory(ino.0),
            |reply, (handle, lasting)| {
                let cached = FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE;
                let flags = if lasting { cached } else { FopenFlags::empty() };
                reply.opened(FileHandle(handle), flags);
            },
            |fs, (handle, _)| fs.release_directory(handle),
        );
    }

    fn readdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        reply: ReplyDirectory,
    ) {
        self.list(self.pending("readdir", ino, reply), fh.0, offset);
    }

    fn readdirplus(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        reply: ReplyDirectoryPlus,
    ) {
        self.list(self.pending("readdirplus", ino, reply), fh.0, offset);
    }

    fn releasedir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.guarded(|| {
            self.shared.fs.release_directory(fh.0);
            reply.ok();
        });
    }

    /// No space is free, as befits a read-only file system.
    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let fs = &self.shared.fs;
        let blocks = fs.total_bytes().div_ceil(u64::from(STATFS_BLOCK_BYTES));
        let files = fs.inode_count() as u64;
        let name_bytes_max = shoal_dag::name::NAME_BYTES_MAX as u32;
        let unit = STATFS_BLOCK_BYTES;
        reply.statfs(blocks, 0, 0, files, 0, unit, name_bytes_max, unit);
    }

    fn getxattr(&self, _req: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let owned = name.as_bytes().to_vec();
        self.answer(
            self.pending("getxattr", ino, reply),
            |fs| fs.known_extended(ino.0, name.as_bytes()),
            move |fs| fs.extended(ino.0, &owned),
            move |reply, value| give_bytes(reply, &value, size),
            |_, _| {},
        );
    }

    fn listxattr(&self, _req: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        self.answer(
            self.pending("listxattr", ino, reply),
            |fs| Some(fs.extended_names(ino.0)),
            |_| Err(FsError::Stale),
            move |reply, names| give_bytes(reply, &names, size),
            |_, _| {},
        );
    }

    /// Asked only where the kernel does not check modes by itself.
    fn access(&self, _req: &Request, _ino: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        if mask.contains(AccessFlags::W_OK) {
            reply.error(Errno::EROFS);
        } else {
            reply.ok();
        }
    }

    // Nothing is ever dirty.

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    // What the kernel does better by itself: it stops asking after ENOSYS.

    fn lseek(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _offset: i64,
        _whence: i32,
        reply: ReplyLseek,
    ) {
        reply.error(Errno::ENOSYS);
    }

    // Everything that would change something. The kernel refuses most of it before it gets here,
    // because the mount itself is read-only.

    fn setattr(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        _size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        reply.error(Errno::EROFS);
    }

    fn mknod(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        reply.error(Errno::EROFS);
    }

    fn mkdir(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        reply.error(Errno::EROFS);
    }

    fn unlink(&self, _req: &Request, _parent: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn rmdir(&self, _req: &Request, _parent: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn symlink(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _target: &Path,
        reply: ReplyEntry,
    ) {
        reply.error(Errno::EROFS);
    }

    fn rename(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _new_parent: INodeNo,
        _new_name: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::EROFS);
    }

    fn link(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _parent: INodeNo,
        _name: &OsStr,
        reply: ReplyEntry,
    ) {
        reply.error(Errno::EROFS);
    }

    fn write(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _offset: u64,
        _data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        reply.error(Errno::EROFS);
    }

    fn create(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        reply.error(Errno::EROFS);
    }

    fn fallocate(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _offset: u64,
        _length: u64,
        _mode: i32,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::EROFS);
    }

    fn setxattr(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _name: &OsStr,
        _value: &[u8],
        _flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::EROFS);
    }

    fn removexattr(&self, _req: &Request, _ino: INodeNo, _name: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }
}

fn invalid() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidInput)
}
