//! Runs scenarios of the simulator and prints what they show, one row each.
//!
//! `scripts/sim` builds and calls it; its head tells the options and what the columns mean.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "it measures time and memory and prints them"
)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use shoal_swarm::sim::{Outcome, Scenario, by_name, large_names, names, small};

const USAGE: &str = "usage: scripts/sim [--scenario NAME] [--seeds N] [--first SEED] [--peers N]";

/// Runs without those who give nothing, to compare with.
const ALONE_SEEDS: u64 = 3;

struct Options {
    scenario: String,
    seeds: u64,
    first: u64,
    peers: Option<u32>,
}

fn options() -> Option<Options> {
    let mut options = Options { scenario: "all".into(), seeds: 3, first: 1, peers: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next()?;
        match word.as_str() {
            "--scenario" => options.scenario = value,
            "--seeds" => options.seeds = value.parse().ok()?,
            "--first" => options.first = value.parse().ok()?,
            "--peers" => options.peers = Some(value.parse().ok()?),
            _ => return None,
        }
    }
    (options.seeds > 0).then_some(options)
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{USAGE}\nscenarios: all small {}", names().join(" "));
        return 2.into();
    };
    if options.scenario == "small" {
        return smalls(&options);
    }
    let chosen = |name: &&str| match options.scenario.as_str() {
        "all" => !large_names().contains(name),
        "large" => large_names().contains(name),
        one => one == *name,
    };
    let chosen: Vec<Scenario> = names().into_iter().filter(chosen).filter_map(by_name).collect();
    if chosen.is_empty() {
        eprintln!("no scenario {}; there are: all small {}", options.scenario, names().join(" "));
        return 2.into();
    }
    println!("{HEAD}");
    for scenario in chosen {
        let scenario = options.peers.map_or(scenario.clone(), |peers| scenario.with_peers(peers));
        let Some(outcomes) = run(&scenario, &options) else { return 1.into() };
        row(&scenario, &outcomes);
        if large_names().contains(&scenario.name) {
            cost(&scenario, &outcomes);
        }
    }
    0.into()
}

/// Small histories, each made of its seed.
fn smalls(options: &Options) -> ExitCode {
    let (mut steps, begun) = (0, Instant::now());
    for seed in options.first..options.first + options.seeds {
        let Some((outcome, _)) = history(&small(seed), seed) else { return 1.into() };
        if outcome.unfinished > 0 {
            eprintln!("seed {seed}: {} did not finish: {outcome:?}", outcome.unfinished);
            return 1.into();
        }
        steps += outcome.steps;
    }
    let took = begun.elapsed().as_secs_f64();
    println!("{} small histories, {steps} steps, {took:.0} s: all held", options.seeds);
    0.into()
}

/// One history, and the seconds it took here; a broken invariant is told with its seed.
fn history(scenario: &Scenario, seed: u64) -> Option<(Outcome, f64)> {
    let begun = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| scenario.run(seed))).ok();
    if outcome.is_none() {
        let name = scenario.name;
        eprintln!("broken by: scripts/sim --scenario {name} --first {seed} --seeds 1");
    }
    outcome.map(|outcome| (outcome, begun.elapsed().as_secs_f64()))
}

fn run(scenario: &Scenario, options: &Options) -> Option<Vec<(Outcome, f64)>> {
    (options.first..options.first + options.seeds).map(|seed| history(scenario, seed)).collect()
}

const HEAD: &str = "scenario          last/bound      copies          dup %   contributors    \
slower          riders/contr.   (max)  2 %, 10 %      rank   left  s";

/// Median and worst.
fn spread(outcomes: &[(Outcome, f64)], figure: impl Fn(&Outcome) -> f64) -> (f64, f64) {
    let mut values: Vec<f64> = outcomes.iter().map(|(it, _)| figure(it)).collect();
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[values.len() - 1])
}

fn pair(values: (f64, f64), digits: usize) -> String {
    format!("{:.digits$} ({:.digits$})", values.0, values.1)
}

fn row(scenario: &Scenario, outcomes: &[(Outcome, f64)]) {
    let of = |figure: &dyn Fn(&Outcome) -> f64| spread(outcomes, figure);
    let attacked = scenario.groups.iter().any(|group| group.manner.gives_nothing());
    let (mut slower, mut riders, mut ceiling) = ("-".into(), "-".into(), "-".into());
    if attacked {
        let alone = scenario.without(|group| group.manner.gives_nothing());
        let alone: Vec<_> = (1..=ALONE_SEEDS).filter_map(|seed| history(&alone, seed)).collect();
        let alone = spread(&alone, |it| it.mean).0;
        slower = pair(of(&|it| it.mean / alone), 3);
        let ratio = of(&|it| -it.riders_ratio());
        riders = pair((-ratio.0, -ratio.1), 2);
        ceiling = format!("{:.2}", outcomes[0].0.ceiling());
    }
    let mark =
        |at: usize| of(&|it| it.groups.iter().map(|group| group.marks[at]).fold(0.0, f64::max)).1;
    let seconds: f64 = outcomes.iter().map(|(_, took)| took).sum();
    println!(
        "{:<17} {:<15} {:<15} {:<7.2} {:<15} {slower:<15} {riders:<15} {ceiling:<6} {:<15} {:<6.2} {:<5} {seconds:.0}",
        scenario.name,
        pair(of(&Outcome::ratio), 3),
        pair(of(&|it| it.copies), 3),
        100.0 * of(&|it| it.duplicates).1,
        pair(of(&|it| it.mean), 1),
        format!("{:.1}, {:.1}", mark(0), mark(1)),
        of(&|it| it.spearman).0,
        of(&|it| f64::from(it.unfinished)).1,
    );
    let more = scenario.groups.len() > 2 && !attacked;
    for (at, group) in scenario
        .groups
        .iter()
        .enumerate()
        .filter(|(_, it)| !it.seed && (more || it.reads.is_some() || it.count == 1))
    {
        let reads = (of(&|it| it.groups[at].reads.0), of(&|it| it.groups[at].reads.1));
        let reads = group.reads.map_or(String::new(), |_| {
            format!(", plays after {} s, stands still {} s", pair(reads.0, 1), pair(reads.1, 1))
        });
        println!("  {:<15} mean {} s{reads}", group.name, pair(of(&|it| it.groups[at].mean), 1));
    }
}

/// What a large history costs here.
fn cost(scenario: &Scenario, outcomes: &[(Outcome, f64)]) {
    let peers: u32 = scenario.groups.iter().map(|group| group.count).sum();
    for (outcome, took) in outcomes {
        let finished: u32 = outcome.groups.iter().map(|group| group.finished).sum();
        let given_up: u32 = outcome.groups.iter().map(|group| group.given_up).sum();
        println!(
            "  {peers} peers, {finished} fetches finished, {given_up} given up by who left, {} stuck; \
             {} steps, {:.0} per fetch; {took:.0} s here, {:.1} ms per fetch; {:.1} KiB of memory per peer",
            outcome.unfinished,
            outcome.steps,
            outcome.steps as f64 / f64::from(finished.max(1)),
            1e3 * took / f64::from(finished.max(1)),
            peak_kib() / f64::from(peers),
        );
    }
}

/// Most memory that this process had, in KiB; 0 where the system does not tell.
fn peak_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse().ok()).unwrap_or(0.0)
}
