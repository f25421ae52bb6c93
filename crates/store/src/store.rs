//! The store as its users hold it: a cheap handle that every thread may clone, and how one is opened.
//!
//! Order of locks, outermost first: maintenance; shields (see `gc::shields`); moving; commit; homes; then packs, a partial blob's state or a batch's pending
//! set; then the overlay. The set of partial blobs and the open files are taken alone.

mod format;
mod ticker;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use crate::blob::BlobId;
use crate::disk::{Disk, DiskWatch};
use crate::error::{OpenError, WriteError};
use crate::files::Files;
use crate::gc::Shields;
use crate::generation::Generation;
use crate::index::{Index, LEVEL0_ROWS_MAX};
use crate::layout::Layout;
use crate::leases::Leases;
use crate::lock::{Holder, Lock};
use crate::overlay::{Overlay, Pressure};
use crate::pack::Packs;
use crate::partial::Partials;
use crate::recovery;
use crate::stat_cache::StatFile;

pub(crate) use format::begin_rebuild;
use format::{FORMAT_PREFIX, open_or_create_index};
use ticker::Ticker;

/// Names that a store's directory may hold before it has a `format`: an interrupted making of it.
const OWN_NAMES: [&str; 11] = [
    "lock",
    "format.new",
    "sync-failed",
    "index.redb",
    "runs",
    "journal",
    "packs",
    "blobs",
    "partial",
    "secrets",
    "reserve",
];

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the holder of the lock calls itself; shown to those who find the store in use.
    pub command: String,
    /// Stands for the kernel's boot id. For tests.
    #[doc(hidden)]
    pub boot_id: Option<String>,
    /// Makes every sync fail while it is true. For tests.
    #[doc(hidden)]
    pub fail_sync: Option<Arc<AtomicBool>>,
    /// Stands around every change of the disk. For tests.
    #[doc(hidden)]
    pub watch: Option<Arc<dyn DiskWatch>>,
    /// Rows of the index that are not worth a file of their own; a few make every commit write one. For
    /// tests.
    #[doc(hidden)]
    pub level0_rows: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            command: "shoal".to_owned(),
            boot_id: None,
            fail_sync: None,
            watch: None,
            level0_rows: LEVEL0_ROWS_MAX,
        }
    }
}

/// A store that this process owns. Clones share it; the lock is released when the last one, and the
/// last [`Batch`](crate::Batch), is dropped.
///
/// All methods block; call them from threads that may. Dropping does not sync: what
/// [`keep`](Store::keep) took is found again at the next open all the same. Call
/// [`checkpoint`](Store::checkpoint) first for an index that has everything.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
    /// Ends the checkpoint thread with the last clone.
    _ticking: Arc<ticker::Ticking>,
}

/// What the clones share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) layout: Layout,
    pub(crate) index: Index,
    pub(crate) overlay: Overlay,
    pub(crate) packs: Packs,
    pub(crate) partials: Partials,
    pub(crate) files: Files,
    pub(crate) disk: Disk,
    pub(crate) boot_id: String,
    /// See [`Store::generation`].
    pub(crate) generation: Generation,
    pub(crate) stats: StatFile,
    /// One commit at a time.
    pub(crate) commit: Mutex<()>,
    /// Blobs that are between a link and the end of their move: no more than files that are on their way
    /// out at once. Held while it is decided whose file a blob is (see `move_out`).
    pub(crate) homes: Mutex<HashSet<BlobId>>,
    /// Does the file system share extents between files?
    pub(crate) reflinks: OnceLock<bool>,
    /// Whole files that somebody reads without the index.
    pub(crate) leases: Leases,
    /// Held shared from a lookup to a change that repeats where the block lies, and alone by who moves
    /// blocks to other homes: so that nothing old is said again. The outermost lock.
    pub(crate) moving: RwLock<()>,
    /// One at a time of what goes through the store to tidy it.
    pub(crate) maintenance: Mutex<()>,
    /// What no collection may take.
    pub(crate) shields: Arc<Shields>,
    ticker: Ticker,
    /// Dropped last: the lock is held until all files are closed.
    _lock: Lock,
}

impl Store {
    /// Opens the store in `dir`, making it where there is none. What an earlier process had kept and
    /// not indexed is found again.
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        // The layout's root is absolute: the caller may change its directory.
        let dir = std::path::absolute(dir).map_err(|error| OpenError::io(dir, error))?;
        let disk = Disk::new(options.fail_sync, options.watch);
        let layout = Layout::new(&dir, disk.clone());
        disk.mark_failure_at(layout.sync_failed());
        check_is_ours(&layout)?;
        make_root(&layout).map_err(|error| OpenError::io(layout.root(), error))?;
        let lock = Lock::take(&layout, &options.command)?;
        let index = open_or_create_index(&layout, options.level0_rows)?;
        let boot_id = options.boot_id.unwrap_or_else(boot_id);
        let generation = Generation::open(&index, &layout.index())?;
        let shared = Shared {
            generation,
            stats: StatFile::new(layout.clone()),
            layout,
            index,
            overlay: Overlay::default(),
            packs: Packs::default(),
            partials: Partials::default(),
            files: Files::default(),
            disk,
            boot_id,
            commit: Mutex::new(()),
            homes: Mutex::default(),
            reflinks: OnceLock::new(),
            leases: Leases::default(),
            moving: RwLock::default(),
            maintenance: Mutex::default(),
            shields: Arc::default(),
            ticker: Ticker::default(),
            _lock: lock,
        };
        recovery::recover(&shared)?;
        shared.make_reserve();
        let shared = Arc::new(shared);
        let ticking = Arc::new(ticker::start(&shared)?);
        Ok(Self { shared, _ticking: ticking })
    }

    /// Who has the store in `dir` open, if anybody has.
    pub fn holder(dir: &Path) -> Option<Holder> {
        Lock::holder(&Layout::new(dir, Disk::default()))
    }

    /// The store's directory, absolute.
    pub fn dir(&self) -> PathBuf {
        self.shared.layout.root().to_owned()
    }
}

impl Shared {
    /// Does what the overlay's pressure asks for.
    pub(crate) fn relieve(&self, pressure: Pressure) -> Result<(), WriteError> {
        match pressure {
            Pressure::None => Ok(()),
            Pressure::First => {
                self.ticker.arm();
                Ok(())
            }
            Pressure::Soft => {
                self.ticker.hurry();
                Ok(())
            }
            Pressure::Hard => self.checkpoint(),
        }
    }

    /// A checkpoint is due in a while, whatever the overlay says.
    pub(crate) fn arm(&self) {
        self.ticker.arm();
    }
}

/// Whether `dir` is a store, of whatever format and whoever owns it: it has a `format` file that says so
/// beside a `lock` or an index. Reads a few bytes and opens nothing but a regular file.
pub fn is_store(dir: &Path) -> bool {
    let layout = Layout::new(dir, Disk::default());
    let is_file =
        |path: PathBuf| fs::symlink_metadata(path).is_ok_and(|stat| stat.file_type().is_file());
    if !is_file(layout.format()) || !(is_file(layout.lock()) || is_file(layout.index())) {
        return false;
    }
    let mut start = [0; FORMAT_PREFIX.len()];
    let read = fs::File::open(layout.format())
        .and_then(|mut file| io::Read::read_exact(&mut file, &mut start));
    read.is_ok() && start == *FORMAT_PREFIX.as_bytes()
}

/// Refuses a directory that holds other things before anything is written to it.
fn check_is_ours(layout: &Layout) -> Result<(), OpenError> {
    let root = layout.root();
    let names = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        names => names.map_err(|error| OpenError::io(root, error))?,
    };
    if layout.format().exists() {
        return Ok(());
    }
    for name in names {
        let name = name.map_err(|error| OpenError::io(root, error))?.file_name();
        if !OWN_NAMES.iter().any(|own| name == *own) {
            let reason = format!("it has no format file, but {}", name.display());
            return Err(OpenError::NotAStore { path: root.to_owned(), reason });
        }
    }
    let has_data = |dir: PathBuf| fs::read_dir(dir).is_ok_and(|mut names| names.next().is_some());
    if has_data(layout.packs()) || has_data(layout.blobs()) {
        let reason = "it has data, but its format file is missing".to_owned();
        return Err(OpenError::NotAStore { path: root.to_owned(), reason });
    }
    Ok(())
}

fn make_root(layout: &Layout) -> io::Result<()> {
    layout.disk().make_parents(layout.root())?;
    layout.disk().make_dir(layout.root()).map(drop)
}

/// The kernel's id of this boot; where there is none, nothing is trusted across processes.
fn boot_id() -> String {
    match fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(id) => id.trim().to_owned(),
        Err(_) => format!("process {}", BlobId::draw()),
    }
}
