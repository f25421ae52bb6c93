//! What a history shows: times against the fluid bound, copies, duplicates.
//!
//! The bound is the one of a fluid that is cut at will: no crowd of N with uplinks u and one source
//! of rate s can have F bytes before max(F/s, F/d, N F/(s + sum u)). Times count from when a node
//! came.

use crate::sim::node::Node;
use crate::sim::scenario::{Group, Scenario};
use crate::sim::wire::SECOND;
use crate::sim::world::World;

/// Figures of one group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupOutcome {
    /// Its name.
    pub name: &'static str,
    /// Nodes that came to fetch.
    pub count: u32,
    /// Those of them that finished; with churn, earlier lives too.
    pub finished: u32,
    /// Lives that ended before the fetch was done.
    pub given_up: u32,
    /// Seconds until a node had everything: on average, and the last.
    pub mean: f64,
    /// See `mean`.
    pub last: f64,
    /// Seconds until a node had 2, 10 and 50 %, at worst.
    pub marks: [f64; 3],
    /// Content copies that it sent.
    pub copies: f64,
    /// Seconds until a reader began to play, and for which it stood still, at worst.
    pub reads: (f64, f64),
}

/// Figures of one history.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Group by group.
    pub groups: Vec<GroupOutcome>,
    /// Seconds of the fluid bound of those who contribute, and of all.
    pub bounds: (f64, f64),
    /// Last finisher of those who contribute.
    pub last: f64,
    /// Their mean.
    pub mean: f64,
    /// Mean of those who give nothing; 0 when there are none.
    pub riders: f64,
    /// Copies that the seeds sent.
    pub copies: f64,
    /// Bytes that came again, over those that were needed.
    pub duplicates: f64,
    /// Rank correlation of uplink and speed among those who contribute.
    pub spearman: f64,
    /// Honest ones that fetch, are there for two minutes and more, and have not finished.
    pub unfinished: u32,
    /// The history as one number.
    pub fingerprint: u64,
    /// Happenings.
    pub steps: u64,
    /// Virtual seconds.
    pub seconds: f64,
}

impl Outcome {
    /// The figures of a world that was run by a scenario.
    pub fn of(scenario: &Scenario, world: &World) -> Self {
        let groups: Vec<GroupOutcome> = (0..)
            .zip(&scenario.groups)
            .map(|(number, group)| group_outcome(scenario, world, number, group))
            .collect();
        let named = |keep: &dyn Fn(&Group) -> bool| {
            let own = world
                .nodes
                .iter()
                .filter(|node| !node.seed && keep(&scenario.groups[usize::from(node.group)]));
            own.filter_map(took).collect::<Vec<f64>>()
        };
        let contributors = named(&Group::contributes);
        let riders = named(&|group| !group.contributes());
        let all = world.nodes.iter();
        let again: u64 = all.clone().map(|node| node.figures.duplicates).sum();
        let needed: u64 = all.map(|node| node.figures.kept).sum();
        let bytes = (scenario.bytes() * u64::from(scenario.roots)) as f64;
        Self {
            bounds: (bound(scenario, Group::contributes), bound(scenario, |_| true)),
            last: contributors.iter().copied().fold(0.0, f64::max),
            mean: mean(&contributors),
            riders: mean(&riders),
            copies: sent_by(world, |node| node.seed) / bytes,
            duplicates: again as f64 / (needed as f64).max(1.0),
            spearman: spearman(world, scenario),
            unfinished: unfinished(world),
            fingerprint: world.history.fingerprint(),
            steps: world.history.steps,
            seconds: world.now().as_secs_f64(),
            groups,
        }
    }

    /// Last contributor over its bound.
    pub fn ratio(&self) -> f64 {
        self.last / self.bounds.0
    }

    /// Riders' mean over contributors' mean.
    pub fn riders_ratio(&self) -> f64 {
        self.riders / self.mean
    }

    /// What that can be at most when finished peers stay: the bound of all over the contributors'.
    pub fn ceiling(&self) -> f64 {
        self.bounds.1 / self.bounds.0
    }

    /// A group's figures, by name.
    ///
    /// # Panics
    /// No group has that name.
    pub fn group(&self, name: &str) -> &GroupOutcome {
        let found = self.groups.iter().find(|group| group.name == name);
        found.expect("the caller names a group of the scenario")
    }
}

fn unfinished(world: &World) -> u32 {
    let patience = 120 * SECOND;
    let now = world.now().as_nanos() as u64;
    let late = |node: &&Node| {
        node.manner.honest() && node.fetching() && node.figures.joined + patience <= now
    };
    world.nodes.iter().filter(late).count() as u32
}

fn took(node: &Node) -> Option<f64> {
    let done = node.figures.done?;
    Some(done.saturating_sub(node.figures.joined) as f64 / SECOND as f64)
}

fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

fn sent_by(world: &World, whose: impl Fn(&Node) -> bool) -> f64 {
    world.nodes.iter().filter(|node| whose(node)).map(|node| node.figures.sent as f64).sum()
}

fn group_outcome(scenario: &Scenario, world: &World, number: u16, group: &Group) -> GroupOutcome {
    let own = || world.nodes.iter().filter(|node| node.group == number);
    let times: Vec<f64> = own().filter_map(took).collect();
    let worst = |at: usize| {
        let times = own().filter_map(|node| Some((node.figures.marks[at]?, node.figures.joined)));
        times.map(|(at, joined)| (at - joined.min(at)) as f64 / SECOND as f64).fold(0.0, f64::max)
    };
    let bytes = (scenario.bytes() * u64::from(scenario.roots)) as f64;
    let before: u32 = own().map(|node| node.figures.finished_before).sum();
    let reads = own().filter_map(|node| {
        let reader = node.reader.as_ref()?;
        let began = reader.began.unwrap_or(u64::MAX / 2).saturating_sub(node.figures.joined);
        Some((began as f64 / SECOND as f64, reader.stood as f64 / SECOND as f64))
    });
    GroupOutcome {
        name: group.name,
        count: if group.seed { 0 } else { group.count },
        finished: times.len() as u32 + before,
        given_up: own().map(|node| node.figures.given_up).sum(),
        mean: mean(&times),
        last: times.iter().copied().fold(0.0, f64::max),
        marks: [worst(0), worst(1), worst(2)],
        copies: own().map(|node| node.figures.sent as f64).sum::<f64>() / bytes,
        reads: reads.fold((0.0, 0.0), |most: (f64, f64), it| (most.0.max(it.0), most.1.max(it.1))),
    }
}

/// The fluid bound of the seeds and those of `counts` who fetch, in seconds.
pub fn bound(scenario: &Scenario, counts: impl Fn(&Group) -> bool) -> f64 {
    let bytes = (scenario.bytes() * u64::from(scenario.roots)) as f64;
    let up = |group: &Group| f64::from(group.count) * group.rates.0 * 125_000.0 * group.gives;
    let seeds: f64 = scenario.groups.iter().filter(|group| group.seed).map(up).sum();
    let fetchers = || scenario.groups.iter().filter(|group| !group.seed && counts(group));
    let count: f64 = fetchers().map(|group| f64::from(group.count)).sum();
    let gives: f64 = fetchers().filter(|group| !group.manner.gives_nothing()).map(up).sum();
    let down = fetchers().map(|group| group.rates.1 * 125_000.0).fold(f64::INFINITY, f64::min);
    (bytes / seeds).max(bytes / down).max(count * bytes / (seeds + gives))
}

/// Rank correlation of uplink and speed; ties share their mean rank.
fn spearman(world: &World, scenario: &Scenario) -> f64 {
    let pairs: Vec<(f64, f64)> = world
        .nodes
        .iter()
        .filter(|node| !node.seed && scenario.groups[usize::from(node.group)].contributes())
        .filter_map(|node| Some((node.rates.0, 1.0 / took(node)?)))
        .collect();
    let ups = ranks(&pairs.iter().map(|pair| pair.0).collect::<Vec<_>>());
    let speeds = ranks(&pairs.iter().map(|pair| pair.1).collect::<Vec<_>>());
    let middle = (pairs.len() as f64 - 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - middle) * (b - middle)).sum()
    };
    let spread = (product(&ups, &ups) * product(&speeds, &speeds)).sqrt();
    if spread > 0.0 { product(&ups, &speeds) / spread } else { 0.0 }
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: f64| {
        let below = values.iter().filter(|other| **other < value).count() as f64;
        let same = values.iter().filter(|other| (**other - value).abs() < f64::EPSILON).count();
        below + (same as f64 - 1.0) / 2.0
    };
    values.iter().map(|value| rank(*value)).collect()
}
