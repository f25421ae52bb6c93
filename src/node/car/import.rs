//! `car import`: the blocks of a CAR become blocks of the store.
//!
//! First every block is read, checked and written, and that is made durable; then the roots are looked
//! at, and those below which nothing is missing are pinned. Until a root is pinned its blocks are for
//! this user only. A block whose hash is not supported is named and left out.

use std::{
    collections::HashSet,
    io::Read,
    sync::Arc,
    time::{Duration, Instant},
};

use shoal_dag::{
    Block, Cid,
    car::{CarReader, Event, Refused},
    hash,
    node::NodeError,
    walk::{Budget, TreeStep, TreeWalk, WalkError},
};
use shoal_store::{Batch, BatchOptions, PinOptions, Store, WriteError};

use super::missing;
use crate::{
    control::{
        protocol::{
            Failure, Outcome, Progress, Response,
            car::{CarImport, CarRoot, Imported},
        },
        server::{DataFrames, Responder},
    },
    exit::Exit,
    node::{
        Node,
        add::stream::{self, Incoming},
        blocking, export, names, pin,
        sharing::unshare,
    },
};

/// Bytes that the reader is fed at a time.
const PIECE_BYTES: usize = 256 << 10;

/// Blocks left out that are named; of the rest only the number is told.
const REFUSED_NAMED_MAX: u64 = 100;

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// Adds the blocks of the CAR that the client sends.
///
/// # Errors
/// Exit 1 when it is no CAR or ends early, exit 6 when a block does not match its CID: what came before
/// is kept. A client that goes away before the end leaves nothing behind that is told of.
pub async fn import(
    node: &Arc<Node>,
    request: CarImport,
    data: DataFrames<'_>,
    out: Responder,
) -> Result<Outcome, Failure> {
    let (feed, bytes) = stream::channel();
    let store = node.store().clone();
    let served = node.is_persistent() && request.pin && !request.local;
    let importing = blocking(move || Importing::new(&store, request, &out).run(bytes));
    let (imported, ()) = tokio::join!(importing, feed.run(data));
    node.swarm().pins_changed();
    let imported = imported?;
    Ok(Outcome::Imported(Imported { served, ..imported }))
}

/// The state of one import.
struct Importing<'a> {
    store: &'a Store,
    request: CarImport,
    out: &'a Responder,
    roots: Vec<Cid>,
    done: Imported,
    told: Instant,
}

impl<'a> Importing<'a> {
    fn new(store: &'a Store, request: CarImport, out: &'a Responder) -> Self {
        let (roots, done, told) = (Vec::new(), Imported::default(), Instant::now());
        Self { store, request, out, roots, done, told }
    }

    fn run(mut self, mut bytes: Incoming) -> Result<Imported, Failure> {
        let batch = self.store.batch(BatchOptions { public: false });
        let read = self.read(&batch, &mut bytes)?;
        // The last moment at which a cancelled request leaves nothing behind.
        self.out.check()?;
        // Until they are pinned, when the batch holds on to nothing any more.
        let _holds: Vec<_> = self.roots.iter().map(|root| self.store.hold(root)).collect();
        batch.commit()?;
        self.tell_unnamed()?;
        read.map_err(|broken| self.broken(&broken))?;
        self.finish_roots()?;
        Ok(self.done)
    }

    /// Reads all of it; what is wrong with the CAR is the inner error.
    fn read(
        &mut self,
        batch: &Batch,
        bytes: &mut Incoming,
    ) -> Result<Result<(), shoal_dag::car::CarError>, Failure> {
        let (mut reader, mut piece) = (CarReader::new(), vec![0; PIECE_BYTES]);
        loop {
            match reader.poll() {
                Ok(Event::More) => {
                    self.tell_progress(reader.offset())?;
                    let len = bytes.read(&mut piece).map_err(|error| cut_off(&error))?;
                    if len == 0 { reader.end() } else { reader.feed(&piece[..len]) }
                }
                Ok(Event::Header(header)) => {
                    self.done.version = header.version;
                    self.roots = header.roots;
                }
                Ok(Event::Block(block)) => self.block(batch, &block, reader.offset())?,
                Ok(Event::Refused(refused)) => self.refused(&refused)?,
                Ok(Event::Done) => return Ok(Ok(())),
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    fn block(&mut self, batch: &Batch, block: &Block, offset: u64) -> Result<(), Failure> {
        match batch.put(&block.cid, &block.data) {
            Ok(()) => {
                self.done.blocks += 1;
                self.done.bytes += block.data.len() as u64;
                Ok(())
            }
            Err(WriteError::Unsupported { cid }) => {
                let why = "the store keeps digests of 32 bytes of sha2-256 and blake3 only";
                self.leave_out(&cid.to_string(), &format!("{why}; it ends at byte {offset}"))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn refused(&mut self, refused: &Refused) -> Result<(), Failure> {
        let Refused { offset, cid, reason } = refused;
        let shown = cid.map_or_else(|| "a block".to_owned(), |cid| cid.to_string());
        self.leave_out(&shown, &format!("{reason}; its section is at byte {offset}"))
    }

    fn leave_out(&mut self, what: &str, why: &str) -> Result<(), Failure> {
        self.done.refused += 1;
        if self.done.refused <= REFUSED_NAMED_MAX {
            let (path, why) = (what.as_bytes().to_vec(), why.to_owned());
            self.out.send_blocking(Response::Skipped { path, why })?;
        }
        Ok(())
    }

    fn tell_unnamed(&self) -> Result<(), Failure> {
        let unnamed = self.done.refused.saturating_sub(REFUSED_NAMED_MAX);
        if unnamed > 0 {
            let text = format!("left out {unnamed} more blocks that cannot be checked or kept");
            self.out.send_blocking(Response::Note(text))?;
        }
        Ok(())
    }

    fn tell_progress(&mut self, bytes: u64) -> Result<(), Failure> {
        // A client that has gone is found here: nobody waits for the rest.
        self.out.check()?;
        if self.told.elapsed() >= TELL_EVERY {
            self.told = Instant::now();
            self.out.offer(Response::Progress(Progress { bytes, ..Progress::default() }));
        }
        Ok(())
    }

    fn broken(&self, error: &shoal_dag::car::CarError) -> Failure {
        let exit = if error.fault.is_mismatch() { Exit::Corrupt } else { Exit::Failed };
        let kept = match self.done.blocks {
            0 => "nothing of it is kept".to_owned(),
            1 => "the block before that is kept, no root is pinned".to_owned(),
            blocks => format!("the {blocks} blocks before that are kept, no root is pinned"),
        };
        Failure::new(exit, format!("this is not a whole CAR: {error}")).hint(kept)
    }

    /// Pins the roots that are complete, and tells what came of each.
    fn finish_roots(&mut self) -> Result<(), Failure> {
        let mut seen = HashSet::new();
        let mut roots = std::mem::take(&mut self.roots);
        roots.retain(|root| seen.insert(*root));
        self.done.roots = roots.len() as u64;
        for root in roots {
            self.out.check()?;
            let incomplete = if self.request.pin { self.finish_root(&root)? } else { None };
            self.done.incomplete += u64::from(incomplete.is_some());
            let told = CarRoot { cid: root.to_string(), incomplete };
            self.out.send_blocking(Response::CarRoot(told))?;
        }
        Ok(())
    }

    /// Pins a root, or says why not.
    fn finish_root(&self, root: &Cid) -> Result<Option<String>, Failure> {
        if let Err(reason) = hash::check(root) {
            return Ok(Some(reason.to_string()));
        }
        let found = match missing(self.store, root) {
            Ok(found) => found,
            Err(failure) if failure.exit == Exit::Failed => return Ok(Some(failure.message)),
            Err(failure) => return Err(failure),
        };
        if let Some(first) = found.first {
            let others = found.count - 1;
            let more = if others > 0 { format!(" and {others} more") } else { String::new() };
            return Ok(Some(format!("{first}{more} is not in the store")));
        }
        self.pin(root).map(|()| None)
    }

    fn pin(&self, root: &Cid) -> Result<(), Failure> {
        let (store, public) = (self.store, !self.request.local);
        match is_a_tree(store, root) {
            Ok(()) => export::settle_files(store, root)?,
            Err(reason) => {
                let text = format!("{root} is pinned block by block, not as files: {reason}");
                self.out.send_blocking(Response::Note(text))?;
            }
        }
        if self.request.local && store.is_public(root) {
            // It was shared before: from now on it is not.
            unshare::unshare(store, root)?;
        }
        let walk = TreeWalk::new(*root, Budget::TREE).of_any_format();
        pin::own_walked(store, root, walk, public)?;
        names::retention::claim(store, root)?;
        Ok(store.pin(root, PinOptions { local: self.request.local, ..PinOptions::default() })?)
    }
}

/// Whether everything below a root is files and directories.
fn is_a_tree(store: &Store, root: &Cid) -> Result<(), WalkError> {
    let mut walk = TreeWalk::new(*root, Budget::TREE).without_leaves();
    while let TreeStep::Need(cid) = walk.poll()? {
        match store.get(&cid) {
            Ok(Some(data)) => walk.handle_block(&cid, data).map(drop)?,
            // What is missing or unreadable is found, and told, by those who need it.
            _ => walk.skip(&cid)?,
        }
    }
    let reason = NodeError::Unsupported("a file system in this codec");
    if matches!(root.codec(), hash::RAW | hash::DAG_PB) {
        return Ok(());
    }
    Err(WalkError::Node { cid: Box::new(*root), reason })
}

fn cut_off(error: &std::io::Error) -> Failure {
    Failure::failed(format!("the CAR cannot be read: {error}"))
}
