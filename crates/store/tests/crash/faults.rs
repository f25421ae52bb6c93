//! A sync that fails, and a disk that is full, at every place of every operation.
//!
//! After a failed sync nothing is acknowledged until the store is opened again, and what was acknowledged
//! before is there, even if the kernel dropped what it could not write. After a full disk the error says
//! so, the store goes on, and the same operation works when there is room.

use std::sync::Arc;

use shoal_store::{PinOptions, Store, WriteError};

use crate::content::small;
use crate::facts::Expected;
use crate::history::{Base, History, Promise, perform};
use crate::image::{Crash, Replay};
use crate::operations::{OPERATIONS, Operation, Plan, World, draw};
use crate::random::Random;
use crate::recorder::{Fault, Recorder, Step};

/// Operations before the one that meets the fault: enough that there is something to work on.
const BEFORE: usize = 8;
/// Seeds that are tried until an operation has something to work on.
const SEEDS_MAX: u64 = 40;

/// A store with a past, and an operation that is about to be done.
struct Scene {
    base: Base,
    recorder: Arc<Recorder>,
    store: Store,
    promises: Vec<Promise>,
    plan: Plan,
    name: &'static str,
}

impl Scene {
    fn new(seed: u64, operation: &Operation) -> Option<Self> {
        let base = Base::new(seed.is_multiple_of(2).then_some(4));
        let recorder = Recorder::new(base.path(), None);
        let mut world = World::new(base.path().to_owned(), &recorder, Random::new(seed));
        let store = base.open("first", Some(&recorder)).unwrap();
        let mut promises = Vec::new();
        for _ in 0..BEFORE {
            let (name, plan) = draw(&mut world);
            perform(&store, &recorder, &mut promises, name, &plan).unwrap();
        }
        let plan = (operation.plan)(&mut world)?;
        drop(world);
        Some(Self { base, recorder, store, promises, plan, name: operation.name })
    }

    fn act(&mut self) -> Result<(), WriteError> {
        perform(&self.store, &self.recorder, &mut self.promises, self.name, &self.plan)
    }

    /// The store is closed and opened again, on the same boot.
    fn reopen(self) -> Self {
        drop(self.store);
        let store = self.base.open("first", Some(&self.recorder)).unwrap();
        Self { store, ..self }
    }

    /// Asks the running store everything.
    #[track_caller]
    fn check(&self, what: &str) {
        self.check_as(what, true);
    }

    /// As well as a store that was opened after a failed sync has it: what was not synced by then may
    /// have been given up, and a file that was moved out is the user's alone.
    #[track_caller]
    fn check_what_was_synced(&self, what: &str) {
        self.check_as(what, false);
    }

    #[track_caller]
    fn check_as(&self, what: &str, is_all: bool) {
        let steps = self.recorder.steps();
        let expected = expected(&self.promises, &steps, is_all);
        let wrong = expected.wrong(&self.store);
        assert!(wrong.is_empty(), "{} {what}: {wrong:#?}", self.name);
    }

    /// Ends it by crashes of all kinds.
    #[track_caller]
    fn crash(self, seed: u64, what: &str) {
        self.recorder.pause();
        let Self { base, recorder, store, promises, name, .. } = self;
        drop(store);
        let history = History { base, steps: recorder.steps(), promises, rebuilt_every: 0 };
        for crash in [Crash::Kill, Crash::Ext4, Crash::Strict] {
            let mut replay = Replay::new(&history.steps, crash, seed);
            let found = history.crash(&mut replay, history.steps.len(), crash);
            assert!(found.wrong.is_empty(), "{name} {what} {crash:?}: {:#?}", found.wrong);
        }
    }
}

/// What is right for a store that runs on: `is_all` counts what holds until the power goes too.
fn expected(promises: &[Promise], steps: &[Step], is_all: bool) -> Expected {
    let mut expected = Expected::default();
    for step in steps {
        match step {
            Step::Begun(n) => {
                expected.withdraw(&promises[*n].withdrawn);
                expected.begin(&promises[*n].facts);
                expected.begin(&promises[*n].until_power_loss);
            }
            Step::Acknowledged(n) => {
                expected.acknowledge(&promises[*n].facts);
                if is_all {
                    expected.acknowledge(&promises[*n].until_power_loss);
                }
            }
            _ => {}
        }
    }
    expected
}

/// The first seed under which the operation has something to work on, so that it meets the fault.
fn seed_for(operation: &Operation, fault: Fault) -> u64 {
    let meets = |seed: &u64| {
        Scene::new(*seed, operation).is_some_and(|mut scene| {
            scene.recorder.fault(fault);
            drop(scene.act());
            scene.recorder.was_hit()
        })
    };
    let found = (1..SEEDS_MAX).find(meets);
    found.unwrap_or_else(|| panic!("{} never meets {fault:?}", operation.name))
}

/// The first calls each, and then every third.
fn places() -> impl Iterator<Item = usize> {
    (1..12).chain((12..).step_by(3))
}

#[track_caller]
fn assert_poisoned(store: &Store, what: &str) {
    let block = small(u64::MAX / 3);
    let batch = store.batch(shoal_store::BatchOptions { public: true });
    let is_refused = |done: Result<(), WriteError>| matches!(done, Err(WriteError::Poisoned));
    assert!(is_refused(batch.put(&block.0, &block.1).and_then(|()| batch.commit())), "{what}");
    assert!(is_refused(store.keep(&block.0, None, &block.1, true)), "{what}");
    assert!(is_refused(store.put_record("crash", b"late", b"late")), "{what}");
    assert!(is_refused(store.pin(&block.0, PinOptions::default())), "{what}");
    assert!(is_refused(store.checkpoint()), "{what}");
}

#[test]
fn a_failed_sync_poisons_the_writer_at_every_sync() {
    for operation in OPERATIONS {
        let seed = seed_for(operation, Fault::Sync(1));
        let mut failed = 0;
        for n in 1.. {
            let mut scene = Scene::new(seed, operation).expect("the seed was found");
            scene.recorder.fault(Fault::Sync(n));
            let done = scene.act();
            if !scene.recorder.was_hit() {
                done.unwrap();
                break;
            }
            let what = format!("with sync {n} failed ({done:?})");
            scene.recorder.fault(Fault::None);
            scene.check(&what);
            if done.is_err() {
                failed += 1;
                assert_poisoned(&scene.store, &what);
                let mut scene = scene.reopen();
                scene.check_what_was_synced(&format!("{what}, opened again"));
                scene.act().unwrap();
                scene.check_what_was_synced(&format!("{what}, done again"));
                scene.crash(seed + n as u64, &format!("{what}, done again and crashed"));
            } else {
                scene.crash(seed + n as u64, &what);
            }
            let mut scene = Scene::new(seed, operation).expect("the seed was found");
            scene.recorder.fault(Fault::Sync(n));
            drop(scene.act());
            scene.crash(seed + n as u64, &format!("{what}, and crashed"));
        }
        println!("{}: {failed} syncs failed, each was noticed", operation.name);
    }
}

#[test]
fn a_full_disk_is_said_and_got_over_at_every_write() {
    for operation in OPERATIONS {
        let seed = seed_for(operation, Fault::Full(1));
        let mut full = 0;
        for n in places() {
            let mut was_hit = false;
            for fault in [Fault::Full(n), Fault::FullFrom(n)] {
                let mut scene = Scene::new(seed, operation).expect("the seed was found");
                scene.recorder.fault(fault);
                let done = scene.act();
                if !scene.recorder.was_hit() {
                    done.unwrap();
                    continue;
                }
                was_hit = true;
                let what = format!("with {fault:?} ({done:?})");
                assert!(matches!(done, Ok(()) | Err(WriteError::Full { .. })), "{what}");
                full += usize::from(done.is_err());
                scene.check(&what);
                scene.recorder.fault(Fault::None);
                scene.act().unwrap_or_else(|error| panic!("{} {what}: {error}", scene.name));
                scene.check(&format!("{what}, done again"));
                let scene = scene.reopen();
                scene.check(&format!("{what}, opened again"));
                scene.crash(seed + n as u64, &what);
            }
            if !was_hit {
                break;
            }
        }
        println!("{}: {full} times full, and got over", operation.name);
    }
}
