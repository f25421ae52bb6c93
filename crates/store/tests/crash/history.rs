//! One run of a store that is recorded, and what is left of it after a crash.
//!
//! The crashed disk is made at the path where the run was, since the store remembers users' files by
//! their paths. All of it lies in memory (`/dev/shm`) where the machine has that: what a sync means is the
//! replay's business, not the kernel's.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use shoal_store::{Options, Store, WriteError};
use tempfile::TempDir;

use crate::facts::{Expected, Fact, Question};
use crate::image::{Crash, Replay};
use crate::operations::{Plan, World, draw};
use crate::random::Random;
use crate::recorder::{Kind, Recorder, Step};

/// Opening after a crash takes this long at the most (a budget of the design).
pub(crate) const RECOVERY_MAX: Duration = Duration::from_secs(2);

/// A directory for one run: `store` and the user's `out` in it.
pub(crate) struct Base {
    dir: TempDir,
    /// A few make nearly every commit write a run of the index.
    level0_rows: Option<usize>,
}

impl Base {
    pub(crate) fn new(level0_rows: Option<usize>) -> Self {
        shoal_store::know_users_files_by_size();
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let base = Self { dir: dir.unwrap(), level0_rows };
        base.clear();
        base
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path().join("store")
    }

    /// Makes it empty but for the user's directory.
    fn clear(&self) {
        for name in ["store", "out"] {
            drop(fs::remove_dir_all(self.path().join(name)));
        }
        fs::create_dir(self.path().join("out")).unwrap();
    }

    /// Opens the store on the boot `boot`.
    pub(crate) fn open(&self, boot: &str, watch: Option<&Arc<Recorder>>) -> Result<Store, String> {
        let options = self.options(boot, watch);
        Store::open(&self.store(), options).map_err(|error| error.to_string())
    }

    fn options(&self, boot: &str, watch: Option<&Arc<Recorder>>) -> Options {
        let watch = watch.map(|watch| Arc::clone(watch) as Arc<dyn shoal_store::DiskWatch>);
        let mut options = Options { boot_id: Some(boot.to_owned()), watch, ..Options::default() };
        options.level0_rows = self.level0_rows.unwrap_or(options.level0_rows);
        options
    }
}

/// What an operation promised.
#[derive(Debug)]
pub(crate) struct Promise {
    pub(crate) name: &'static str,
    pub(crate) facts: Vec<Fact>,
    pub(crate) until_power_loss: Vec<Fact>,
    pub(crate) withdrawn: Vec<Question>,
}

/// A recorded run.
pub(crate) struct History {
    pub(crate) base: Base,
    pub(crate) steps: Vec<Step>,
    pub(crate) promises: Vec<Promise>,
    /// One crash of so many takes the index away too; 0: none does.
    pub(crate) rebuilt_every: usize,
}

/// What was found after a crash.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) acknowledged: usize,
    pub(crate) facts: usize,
    pub(crate) wrong: Vec<String>,
    pub(crate) recovery: Duration,
}

/// One crash of so many takes the index away.
const REBUILT_EVERY: usize = 10;
/// The name of the boot under which the run is recorded.
const BOOT: &str = "first";

impl History {
    /// Records `count` operations that `seed` draws; now and then the store is closed and opened again.
    pub(crate) fn record(seed: u64, count: usize, skipped: Option<Kind>) -> Self {
        let mut random = Random::new(seed);
        let base = Base::new(random.chance(50).then_some(4));
        let recorder = Recorder::new(base.path(), skipped);
        let mut world = World::new(base.path().to_owned(), &recorder, random.fork());
        let mut store = base.open(BOOT, Some(&recorder)).unwrap();
        let mut promises = Vec::new();
        for _ in 0..count {
            if random.chance(15) {
                drop(store);
                store = base.open(BOOT, Some(&recorder)).unwrap();
            }
            let (name, plan) = draw(&mut world);
            perform(&store, &recorder, &mut promises, name, &plan).unwrap();
        }
        recorder.pause();
        drop(store);
        Self { base, steps: recorder.steps(), promises, rebuilt_every: REBUILT_EVERY }
    }

    /// Makes the disk as a crash before step `at` leaves it, opens the store and asks it everything.
    pub(crate) fn crash(&self, replay: &mut Replay<'_>, at: usize, crash: Crash) -> Found {
        self.base.clear();
        replay.advance(at);
        replay.make(self.base.path());
        let (expected, acknowledged) = self.expected(at, crash);
        let boot = if crash == Crash::Kill { BOOT } else { "second" };
        let began = Instant::now();
        let opened = self.base.open(boot, None);
        let recovery = began.elapsed();
        let facts = expected.certain();
        let mut wrong = match opened {
            Ok(store) => after_crash(&self.base, store, boot, &expected),
            Err(error) => vec![format!("it does not open: {error}")],
        };
        let is_rebuilt = self.rebuilt_every > 0 && at.is_multiple_of(self.rebuilt_every);
        if is_rebuilt && wrong.is_empty() {
            // Once more, before an opening could mend the journal from the index.
            self.base.clear();
            replay.make(self.base.path());
            wrong = rebuilt(&self.base, boot, &expected);
        }
        Found { acknowledged, facts, wrong, recovery }
    }

    /// What is right after a crash before step `at`, and how many operations were acknowledged.
    pub(crate) fn expected(&self, at: usize, crash: Crash) -> (Expected, usize) {
        let (mut expected, mut acknowledged) = (Expected::default(), 0);
        // After a failed sync what was not synced may be given up, whoever lives.
        let had_failed = self.steps[..at].iter().any(|step| matches!(step, Step::Failed { .. }));
        let is_all = crash == Crash::Kill && !had_failed;
        for step in &self.steps[..at] {
            match step {
                Step::Begun(n) => {
                    expected.withdraw(&self.promises[*n].withdrawn);
                    expected.begin(&self.promises[*n].facts);
                    expected.begin(&self.promises[*n].until_power_loss);
                }
                Step::Acknowledged(n) => {
                    acknowledged += 1;
                    expected.acknowledge(&self.promises[*n].facts);
                    if is_all {
                        expected.acknowledge(&self.promises[*n].until_power_loss);
                    }
                }
                _ => {}
            }
        }
        (expected, acknowledged)
    }

    /// The operation under way at a step.
    pub(crate) fn operation_at(&self, at: usize) -> &'static str {
        let before = self.steps[..at].iter().rev();
        let mut marks = before.filter(|s| matches!(s, Step::Begun(_) | Step::Acknowledged(_)));
        match marks.next() {
            Some(Step::Begun(n)) => self.promises[*n].name,
            _ => "between",
        }
    }
}

/// Asks a store everything at once, after a checkpoint and after another opening; then it must still take
/// something new.
fn after_crash(base: &Base, store: Store, boot: &str, expected: &Expected) -> Vec<String> {
    let mut wrong = expected.wrong(&store);
    if !wrong.is_empty() {
        return wrong;
    }
    let (cid, data) = crate::content::small(u64::MAX / 2);
    let batch = store.batch(shoal_store::BatchOptions { public: true });
    let put = batch.put(&cid, &data).and_then(|()| batch.commit());
    if let Err(error) = put.and_then(|()| store.checkpoint()) {
        return vec![format!("it takes nothing new: {error}")];
    }
    drop(store);
    match base.open(boot, None) {
        Ok(store) => {
            wrong.extend(expected.wrong(&store));
            if store.get(&cid).ok().flatten() != Some(data) {
                wrong.push("what was added after the crash is lost".to_owned());
            }
        }
        Err(error) => wrong.push(format!("it does not open again: {error}")),
    }
    wrong
}

/// Takes the index away, makes it again and asks for what only the journal has. The blocks are left out:
/// most of these files have no branches to find their leaves by.
fn rebuilt(base: &Base, boot: &str, expected: &Expected) -> Vec<String> {
    if !base.store().join("format").exists() {
        // It was not made yet in this draw.
        return Vec::new();
    }
    // One that a left-out sync took away is gone already.
    drop(fs::remove_file(base.store().join("index.redb")));
    let options = base.options(boot, None);
    if let Err(error) = Store::rebuild(&base.store(), &options, &mut |_| {}) {
        return vec![format!("its index cannot be made again: {error}")];
    }
    match base.open(boot, None) {
        Ok(store) => expected.of_journal().wrong(&store),
        Err(error) => vec![format!("it does not open after a rebuild: {error}")],
    }
}

/// Does one operation and notes its beginning and its acknowledgement in the log.
pub(crate) fn perform(
    store: &Store,
    recorder: &Recorder,
    promises: &mut Vec<Promise>,
    name: &'static str,
    plan: &Plan,
) -> Result<(), WriteError> {
    let (facts, until_power_loss) = (plan.facts.clone(), plan.until_power_loss.clone());
    let withdrawn = plan.withdrawn.clone();
    let number = promises.len();
    promises.push(Promise { name, facts, until_power_loss, withdrawn });
    recorder.mark(Step::Begun(number));
    (plan.act)(store, recorder)?;
    recorder.mark(Step::Acknowledged(number));
    Ok(())
}
