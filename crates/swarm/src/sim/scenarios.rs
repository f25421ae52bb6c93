//! The scenarios that have a name.
//!
//! E1 to E9 are the experiments that the scheduling rules have to pass; the rest are attacks,
//! troubles and open questions. Rates are in Mbit/s. In a scenario with riders the same without
//! them is what contributors are compared with.

use std::time::Duration;

use crate::sim::node::{After, Manner};
use crate::sim::reader::Reading;
use crate::sim::scenario::{Group, Renews, Scenario};
use crate::sim::wire::Weather;

/// One seed and `count` others with the same links.
pub fn crowd(name: &'static str, count: u32, up: f64, down: f64, mib: u32) -> Scenario {
    Scenario::new(name, mib, &[Group::seed(up), Group::new("peers", count, up, down)])
}

/// A scenario by its name.
pub fn by_name(name: &str) -> Option<Scenario> {
    all().into_iter().find(|scenario| scenario.name == name)
}

/// All names.
pub fn names() -> Vec<&'static str> {
    all().iter().map(|scenario| scenario.name).collect()
}

/// 20 up, 100 down.
fn peers(count: u32) -> Group {
    Group::new("peers", count, 20.0, 100.0)
}

/// The same, in a manner.
fn riders(count: u32, manner: Manner) -> Group {
    Group { manner, ..Group::new("riders", count, 20.0, 100.0) }
}

/// 24 contributors and a seed of 40, with others.
fn two_dozen(name: &'static str, others: &[Group]) -> Scenario {
    Scenario::new(name, 128, &[&[Group::seed(40.0), peers(24)], others].concat())
}

/// E2: the seed is the bottleneck.
fn slow_seed(name: &'static str, others: &[Group]) -> Scenario {
    Scenario::new(name, 128, &[&[Group::seed(20.0), peers(8)], others].concat())
}

/// Riders that change their names.
fn renewing(every: f64, elsewhere: bool) -> Group {
    Group { renews: Some(Renews { every, elsewhere }), ..riders(8, Manner::Rider) }
}

/// Riders that have several names at once.
fn sybils(identities: u32, prefixes: u32) -> Group {
    Group { identities: (identities, prefixes), ..riders(8, Manner::Rider) }
}

/// Everybody of the scenario.
fn all() -> Vec<Scenario> {
    [experiments(), attacks(), troubles(), questions(), large()].concat()
}

fn experiments() -> Vec<Scenario> {
    let unequal = |name, seed| {
        let group = |name, up| Group::new(name, 4, up, 200.0);
        Scenario::new(
            name,
            256,
            &[Group::seed(seed), group("20", 20.0), group("40", 40.0), group("80", 80.0)],
        )
    };
    let wide = [("5", 5.0), ("10", 10.0), ("20", 20.0), ("40", 40.0), ("80", 80.0)];
    let wide = wide.map(|(name, up)| Group::new(name, 6, up, 200.0));
    let strategist = |name, up: f64, gives, manner, identities| {
        let one = Group { manner, gives, identities, ..Group::new("one", 1, up, 100.0) };
        two_dozen(name, &[riders(8, Manner::Rider), one])
    };
    let plain = Manner::Honest;
    vec![
        crowd("E1", 8, 50.0, 100.0, 256),
        crowd("E1-16", 16, 50.0, 100.0, 256),
        crowd("E1-8-slow", 8, 20.0, 100.0, 256),
        crowd("E1-16-slow", 16, 20.0, 100.0, 256),
        slow_seed("E2", &[riders(4, Manner::Rider)]),
        two_dozen("E2-25", &[riders(8, Manner::Rider)]),
        two_dozen("E2-50", &[riders(24, Manner::Rider)]),
        Scenario {
            degree: 20,
            ..Scenario::new(
                "E3",
                64,
                &[
                    Group::seed(40.0),
                    peers(60),
                    Group { large_view: true, ..riders(20, Manner::Rider) },
                ],
            )
        },
        two_dozen("E4-same", &[renewing(15.0, false)]),
        two_dozen("E4-new", &[renewing(15.0, true)]),
        Scenario::new("E5", 128, &[Group::seed(2_000.0), peers(8), riders(8, Manner::Rider)]),
        strategist("E6-honest", 20.0, 1.0, plain, (1, 1)),
        strategist("E6-half", 20.0, 0.5, plain, (1, 1)),
        strategist("E6-tenth", 20.0, 0.1, plain, (1, 1)),
        strategist("E6-four", 20.0, 1.0, Manner::TopFour, (1, 1)),
        strategist("E7-five", 20.0, 1.0, plain, (5, 5)),
        slow_seed("E8", &[riders(4, Manner::Forger)]),
        two_dozen("E8-25", &[riders(8, Manner::Forger)]),
        two_dozen("E8-50", &[riders(24, Manner::Forger)]),
        Scenario::new("E9", 64, &[&[Group::seed(100.0)], &wide[..]].concat()),
        unequal("E9-slow-seed", 40.0),
        unequal("E9-fast-seed", 200.0),
    ]
}

fn attacks() -> Vec<Scenario> {
    let liars = |manner| Group { seed: true, manner, ..Group::new("liar", 1, 20.0, 100.0) };
    let other = [Manner::Liar, Manner::Silent, Manner::Garbage, Manner::Flooder].map(liars);
    let reader = Group::new("peers", 1, 20.0, 100.0);
    vec![
        two_dozen("announce", &[riders(8, Manner::Silent)]),
        two_dozen("claim-all", &[riders(8, Manner::ClaimAll)]),
        two_dozen("sybils-1", &[sybils(5, 1)]),
        two_dozen("sybils-5", &[sybils(5, 5)]),
        two_dozen("renew-30", &[renewing(30.0, true)]),
        two_dozen("renew-10", &[renewing(10.0, true)]),
        two_dozen("renew-10-sybils", &[Group { identities: (5, 5), ..renewing(10.0, true) }]),
        Scenario::new("liars", 64, &[&[Group::seed(20.0)], &other[..], &[reader]].concat()),
    ]
}

fn troubles() -> Vec<Scenario> {
    let late = Group { joins: (20.0, 20.0), ..Group::new("late", 2, 20.0, 100.0) };
    let leaving = |mut scenario: Scenario| {
        for group in scenario.groups.iter_mut().filter(|group| !group.seed) {
            group.after = After::Leave;
        }
        scenario
    };
    let far = Weather {
        latency: (Duration::from_millis(5), Duration::from_millis(150)),
        loss: 0.01,
        ..Weather::default()
    };
    let broken = Group { breaks: 2.0, ..peers(24) };
    let open = |mut scenario: Scenario| {
        for group in &mut scenario.groups {
            group.after = After::Open;
        }
        scenario
    };
    vec![
        two_dozen("late", &[late]),
        two_dozen("late-24", &[late, riders(24, Manner::Rider)]),
        Scenario { degree: 40, ..crowd("degree-40", 64, 50.0, 100.0, 128) },
        Scenario { degree: 20, ..crowd("degree-20", 64, 50.0, 100.0, 128) },
        Scenario { weather: far, ..two_dozen("far", &[]) },
        Scenario::new("breaks", 128, &[Group::seed(40.0), broken]),
        leaving(two_dozen("leavers", &[])),
        open(two_dozen("open", &[])),
        Scenario::new(
            "seeds-4",
            256,
            &[Group { count: 4, ..Group::seed(50.0) }, Group::new("peers", 16, 50.0, 100.0)],
        ),
        Scenario::new("spare", 128, &[Group::seed(1_000.0), Group::new("peers", 16, 5.0, 20.0)]),
    ]
}

fn questions() -> Vec<Scenario> {
    let reads = |name, joins| Group {
        reads: Some(Reading { rate: 8.0 }),
        joins: (joins, joins),
        ..Group::new(name, 1, 20.0, 100.0)
    };
    let stream = |name, joins| {
        Scenario::new(name, 64, &[Group::seed(40.0), peers(23), reads("reader", joins)])
    };
    // 98 % of all uplinks are needed to finish when the seed has sent one copy.
    let knife = Group::new("peers", 24, 19.6, 100.0);
    vec![
        stream("stream", 0.0),
        stream("stream-late", 10.0),
        Scenario {
            degree: 20,
            ..Scenario::new("knife", 64, &[Group::seed(20.0), Group { count: 48, ..knife }])
        },
        Scenario { roots: 4, ..slow_seed("roots", &[]) },
        Scenario { roots: 4, ..slow_seed("roots-riders", &[riders(4, Manner::Rider)]) },
    ]
    .into_iter()
    .map(|mut scenario| {
        if scenario.roots > 1 {
            scenario.leaves /= scenario.roots;
        }
        scenario
    })
    .collect()
}

fn large() -> Vec<Scenario> {
    let churning =
        Group { churn: 0.3, joins: (0.0, 20.0), ..Group::new("peers", 5_000, 20.0, 100.0) };
    let many = Group { joins: (0.0, 60.0), ..Group::new("peers", 100_000, 20.0, 100.0) };
    vec![
        Scenario {
            degree: 20,
            ends: 180.0,
            whole: true,
            ..Scenario::new("churn", 32, &[Group { count: 5, ..Group::seed(100.0) }, churning])
        },
        Scenario {
            degree: 10,
            ..Scenario::new("many", 4, &[Group { count: 8, ..Group::seed(1_000.0) }, many])
        },
    ]
}

/// Names of those that take minutes and gigabytes.
pub fn large_names() -> Vec<&'static str> {
    large().iter().map(|scenario| scenario.name).collect()
}
