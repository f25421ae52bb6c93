//! Pass lines, each with the figure that the rule book asks for.
//!
//! Contents are those of the rule book, or half where a run is long; the worst seed must pass.
//! Scenarios come from the table of the simulator; attacks of the larger ones run in `scripts/sim`.

use shoal_swarm::sim::{Outcome, Scenario, by_name};

/// Duplicates that are allowed anywhere.
const DUPLICATES_MAX: f64 = 0.025;

fn scenario(name: &str) -> Scenario {
    by_name(name).expect("the table has it")
}

/// With half the content: `scripts/sim` runs all of it.
fn short(name: &str) -> Scenario {
    let whole = scenario(name);
    Scenario { leaves: whole.leaves / 2, ..whole }
}

/// Runs seeds of a scenario; every line holds everywhere.
#[track_caller]
fn run(scenario: &Scenario, seeds: u64) -> Vec<Outcome> {
    let outcomes: Vec<Outcome> = (1..=seeds).map(|seed| scenario.run(seed)).collect();
    for outcome in &outcomes {
        assert_eq!(outcome.unfinished, 0);
        assert!(outcome.duplicates <= DUPLICATES_MAX, "{}", outcome.duplicates);
    }
    outcomes
}

/// Median and most.
fn spread(outcomes: &[Outcome], figure: impl Fn(&Outcome) -> f64) -> (f64, f64) {
    let mut values: Vec<f64> = outcomes.iter().map(figure).collect();
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[values.len() - 1])
}

/// How much later contributors are than without those who give nothing: median and worst.
fn slowdown(with: &Scenario, seeds: u64) -> ((f64, f64), Vec<Outcome>) {
    let alone = run(&with.without(|group| group.manner.gives_nothing()), 3);
    let (alone, _) = spread(&alone, |it| it.mean);
    let outcomes = run(with, seeds);
    (spread(&outcomes, |it| it.mean / alone), outcomes)
}

#[track_caller]
fn near_the_bound(scenario: &Scenario, seeds: u64, ratio_max: f64, copies_max: f64) {
    let outcomes = run(scenario, seeds);
    let ratio = spread(&outcomes, Outcome::ratio);
    let copies = spread(&outcomes, |it| it.copies);
    println!("{}: last / bound {ratio:.3?}, copies {copies:.3?}", scenario.name);
    assert!(ratio.1 <= ratio_max, "{ratio:?}");
    assert!(copies.1 <= copies_max, "{copies:?}");
}

/// Contributors are not later than `slower_max`, and riders not sooner than `ratio_min`.
#[track_caller]
fn riders_pay(scenario: &Scenario, seeds: u64, slower_max: f64, ratio_min: f64) {
    let (slower, outcomes) = slowdown(scenario, seeds);
    let mut ratios: Vec<f64> = outcomes.iter().map(Outcome::riders_ratio).collect();
    ratios.sort_by(f64::total_cmp);
    let ceiling = outcomes[0].ceiling();
    println!("{}: contributors {slower:.3?}, riders {ratios:.2?} of {ceiling:.2}", scenario.name);
    assert!(slower.1 <= slower_max, "{slower:?}");
    assert!(ratios[0] >= ratio_min, "{ratios:?}");
}

#[test]
fn one_and_eight() {
    near_the_bound(&scenario("E1"), 5, 1.05, 1.05);
}

#[test]
fn one_and_sixteen() {
    near_the_bound(&short("E1-16-slow"), 2, 1.05, 1.05);
}

#[test]
fn e2_riders_at_a_slow_seed() {
    riders_pay(&scenario("E2"), 5, 1.05, 1.27);
}

#[test]
fn those_who_announce_and_never_serve() {
    riders_pay(&short("announce"), 1, 1.05, 1.2);
}

#[test]
fn e8_forged_confirmations() {
    riders_pay(&scenario("E8"), 5, 1.20, 1.0);
}

#[test]
fn five_identities_in_five_prefixes() {
    riders_pay(&short("sybils-5"), 1, 1.05, 1.2);
}

#[test]
fn a_latecomer_among_riders_starts_soon() {
    let outcomes = run(&short("late-24"), 1);
    let first = spread(&outcomes, |it| it.group("late").marks[0]);
    println!("latecomer: first 2 % {first:.2?} s");
    assert!(first.1 <= 3.0, "{first:?}");
}

#[test]
fn four_liars_of_five() {
    let all = scenario("liars");
    let alone = all.without(|group| !group.manner.honest());
    let (alone, _) = spread(&run(&alone, 1), |it| it.group("peers").last);
    let outcomes: Vec<Outcome> = (1..=5).map(|seed| all.run(seed)).collect();
    let slower = spread(&outcomes, |it| it.group("peers").last / alone);
    println!("1 honest of 5: {slower:.3?} of {alone:.1} s alone");
    assert!(outcomes.iter().all(|it| it.unfinished == 0));
    assert!(slower.1 <= 1.3, "{slower:?}");
}
