//! A small history from one seed: everything that can go wrong, in a handful of nodes.
//!
//! Rates, latency, loss, degree, content, churn, manners and what finished peers do are all drawn.
//! Nothing of it is typical; it is for the audit, and so cheap that thousands are run.

use std::time::Duration;

use crate::random::Random;
use crate::sim::node::{After, Manner};
use crate::sim::scenario::{Group, Renews, Scenario};
use crate::sim::wire::Weather;

const MANNERS: [Manner; 9] = [
    Manner::Honest,
    Manner::Rider,
    Manner::Silent,
    Manner::ClaimAll,
    Manner::Forger,
    Manner::Liar,
    Manner::Garbage,
    Manner::Flooder,
    Manner::TopFour,
];

/// Virtual seconds that a small history may take.
const ENDS: f64 = 900.0;

fn one_of<T: Copy>(random: &mut Random, values: &[T]) -> T {
    values[random.below(values.len() as u32) as usize]
}

/// The small scenario of a seed.
pub fn small(seed: u64) -> Scenario {
    let random = &mut Random::new(seed ^ 0x5eed);
    let mut groups = vec![Group { count: 1 + random.below(2), ..Group::seed(rate(random)) }];
    groups.push(Group { count: 1 + random.below(6), renews: None, ..some("peers", random) });
    for _ in 0..random.below(3) {
        let manner = one_of(random, &MANNERS);
        let seed = matches!(manner, Manner::Liar | Manner::Garbage | Manner::Flooder);
        groups.push(Group { manner, seed, after: After::Open, ..some("others", random) });
    }
    let least = 1 + random.below(50);
    let most = least + random.below(100);
    let latency = [least, most].map(|ms| Duration::from_millis(u64::from(ms)));
    let weather = Weather {
        latency: (latency[0], latency[1]),
        loss: one_of(random, &[0.0, 0.0, 0.02]),
        kernel: one_of(random, &[64 << 10, 256 << 10]),
    };
    Scenario {
        leaves: 1 + random.below(64),
        roots: 1 + random.below(2),
        width: 2 + random.below(30),
        degree: one_of(random, &[0, 0, 3]),
        weather,
        ends: ENDS,
        ..Scenario::new("small", 1, &groups)
    }
}

fn rate(random: &mut Random) -> f64 {
    one_of(random, &[2.0, 10.0, 50.0])
}

fn some(name: &'static str, random: &mut Random) -> Group {
    let renews = Renews { every: 5.0, elsewhere: random.below(2) == 0 };
    let identities = 1 + random.below(3);
    let prefixes = 1 + random.below(identities);
    Group {
        after: one_of(random, &[After::Stay, After::Stay, After::Open, After::Leave]),
        joins: one_of(random, &[(0.0, 0.0), (0.0, 5.0)]),
        renews: (random.below(6) == 0).then_some(renews),
        identities: one_of(random, &[(1, 1), (1, 1), (identities, prefixes)]),
        churn: one_of(random, &[0.0, 0.0, 2.0]),
        breaks: one_of(random, &[0.0, 0.0, 4.0]),
        ..Group::new(name, 1 + random.below(2), rate(random), rate(random))
    }
}
