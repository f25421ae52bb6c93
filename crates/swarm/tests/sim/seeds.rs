//! Many small histories, and the same one twice.
//!
//! A failure names its seed: `scripts/sim --scenario small --first SEED` runs it again.

use shoal_swarm::sim::{Scenario, by_name, small};

/// Seeds of this run; `scripts/sim` runs thousands.
const SEEDS: u64 = 240;

#[test]
fn small_histories_hold_what_must_hold() {
    let mut steps = 0;
    for seed in 0..SEEDS {
        let scenario = small(seed);
        let outcome = scenario.run(seed);
        assert_eq!(outcome.unfinished, 0, "seed {seed}: {scenario:#?} {outcome:#?}");
        steps += outcome.steps;
    }
    println!("{SEEDS} seeds, {steps} steps");
}

#[test]
fn one_seed_gives_one_history() {
    let crowd = by_name("E2").map(|it| Scenario { leaves: 64, ..it });
    let large = by_name("churn").map(|it| Scenario { leaves: 16, ends: 20.0, ..it.with_peers(60) });
    let scenarios = (0..20).map(small).chain(crowd).chain(large);
    let mut seen = std::collections::BTreeSet::new();
    for scenario in scenarios {
        let [first, again] = [7, 7].map(|seed| scenario.run(seed));
        assert_eq!(first, again);
        seen.insert(first.fingerprint);
        seen.insert(scenario.run(8).fingerprint);
    }
    assert_eq!(seen.len(), 44, "other seeds and scenarios give other histories");
}
