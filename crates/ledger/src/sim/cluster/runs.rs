//! Seeded runs of a cluster, judged from their records.
//!
//! `SHOAL_LEDGER_SEEDS` and `SHOAL_LEDGER_STEPS` make the short runs of every day long ones;
//! `scripts/ledger` does so.

use super::{ALL, Cluster, Event, Op, Ways};
use crate::sim::dice::setting;
use crate::sim::history::check;

fn run(seed: u64, steps: u64, thief: bool, ways: Ways) -> (Vec<Event>, Vec<String>) {
    let members = 3 + (seed % 5) as usize;
    let mut cluster = Cluster::new(seed, members, thief, ways);
    for _ in 0..steps {
        cluster.step();
    }
    cluster.heal();
    let violations = check(&cluster.record);
    (cluster.record, violations)
}

/// What was in the records of many runs: a run in which nothing happens shows nothing.
#[derive(Debug, Default)]
struct Figures {
    answered: usize,
    met: usize,
    sent: usize,
    crashed: usize,
    restored: usize,
    recovered: usize,
    forked: usize,
}

impl Figures {
    fn add(&mut self, record: &[Event]) {
        for event in record {
            match event {
                Event::Ok { op, state, .. } => {
                    self.answered += 1;
                    self.met += usize::from(matches!(op, Op::Meet(_)));
                    self.forked += usize::from(state.forked);
                }
                Event::Sent { .. } => self.sent += 1,
                Event::Crash { .. } => self.crashed += 1,
                Event::Restored { .. } => self.restored += 1,
                Event::Signed { opens, .. } => self.recovered += usize::from(*opens),
                Event::Invoke { .. } | Event::Healed => {}
            }
        }
    }
}

/// Every second seed is of a run with a thief; these are the ones with or those without.
fn runs(thief: bool) -> Figures {
    let (seeds, steps) = (setting("SHOAL_LEDGER_SEEDS", 8), setting("SHOAL_LEDGER_STEPS", 1_000));
    let mut figures = Figures::default();
    let mut violations = Vec::new();
    let mut count = 0;
    for seed in (0..seeds).filter(|seed| (seed % 2 == 1) == thief) {
        let (record, found) = run(seed, steps, thief, ALL);
        figures.add(&record);
        violations.extend(found.into_iter().map(|what| format!("seed {seed}: {what}")));
        count += 1;
    }
    let who = if thief { "with a thief" } else { "all honest" };
    let operations = count * steps;
    println!("{who}: {count} seeds, {operations} operations, {} violations", violations.len());
    println!("{who}: {figures:?}");
    assert_eq!(violations.iter().take(10).collect::<Vec<_>>(), Vec::<&String>::new());
    figures
}

#[test]
fn honest_members_agree_and_nobody_is_accused() {
    let figures = runs(false);
    assert!(figures.met > 500 && figures.sent > 100 && figures.crashed > 20, "{figures:?}");
    assert!(figures.restored > 2 && figures.recovered > 0 && figures.forked == 0, "{figures:?}");
}

#[test]
fn members_with_a_thief_among_them_prove_every_fork_that_they_meet() {
    let figures = runs(true);
    assert!(figures.met > 500 && figures.forked > 50 && figures.recovered > 2, "{figures:?}");
}

#[test]
fn a_member_without_one_of_its_rules_is_found_out() {
    let broken = [
        (Ways { fork: false, ..ALL }, true, "proven"),
        (Ways { extend: false, ..ALL }, true, "prefix"),
        (Ways { durable: false, ..ALL }, false, "monotone"),
        (Ways { order: false, ..ALL }, false, "honest"),
        (Ways { catch_up: false, ..ALL }, false, "honest"),
    ];
    for (ways, thief, rule) in broken {
        let found = (0..40).any(|seed| {
            let (_, violations) = run(seed, 600, thief, ways);
            violations.iter().any(|what| what.starts_with(rule))
        });
        assert!(found, "{rule} with {ways:?}");
    }
}
