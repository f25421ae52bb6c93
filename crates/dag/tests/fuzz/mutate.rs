//! Runs a target on mutated inputs, for every package that has targets.
//!
//! A target is a function of bytes that panics where its oracle says that something is wrong. It gets
//! inputs of a corpus that is written as code, damaged in ways that parsers fear, and now and then pure
//! noise. Every case has a seed of its own, which is printed with the input when the case fails.
//!
//! From the environment: `SHOAL_FUZZ_SEED` is the first seed (0), `SHOAL_FUZZ_CASES` how many follow
//! it, `SHOAL_FUZZ_SECONDS` how long to go on instead. A failure is run again by
//! `SHOAL_FUZZ_SEED=<seed> SHOAL_FUZZ_CASES=1`.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

/// How much the peak of this process's memory may grow while a target runs, all targets of the binary
/// together: inputs are small, and nothing may be allocated from a length that they declare.
const MEMORY_GROWTH_MAX: u64 = 512 << 20;

/// Bytes of a failing input that are printed: its seed makes it again.
const SHOWN_BYTES_MAX: usize = 2000;

/// Bytes that parsers look at more closely than others.
const INTERESTING: [u8; 16] =
    [0, 1, 0x0a, 0x12, 0x20, 0x40, 0x5b, 0x7f, 0x80, 0x81, 0x9b, 0xa2, 0xbb, 0xd8, 0xfe, 0xff];

/// Declared lengths that hurt who believes them.
const LENGTHS: [u64; 10] =
    [0, 1, 64, 1 << 16, 1 << 20, 1 << 31, 1 << 32, 1 << 60, (1 << 63) - 1, u64::MAX];

/// Pseudo-random numbers (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, or 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.next() % end as u64) as usize }
    }
}

/// Runs `target` on `cases` inputs, or on as many as the environment says.
pub(crate) fn run(name: &str, corpus: &[Vec<u8>], cases: u64, target: fn(&[u8])) {
    for input in corpus {
        guarded(name, "of the corpus", input, target);
    }
    let seed = number("SHOAL_FUZZ_SEED").unwrap_or(0);
    let cases = number("SHOAL_FUZZ_CASES").unwrap_or(cases);
    let time = number("SHOAL_FUZZ_SECONDS").map(Duration::from_secs);
    let (began, peak) = (Instant::now(), peak_bytes());
    let mut done = 0;
    while time.map_or(done < cases, |time| began.elapsed() < time) {
        let this = seed.wrapping_add(done);
        let input = input(corpus, &mut Random::new(this));
        guarded(name, &format!("SHOAL_FUZZ_SEED={this}"), &input, target);
        done += 1;
    }
    let grown = peak_bytes().saturating_sub(peak);
    assert!(grown < MEMORY_GROWTH_MAX, "{name}: memory grew by {grown} bytes");
    println!("{name}: seeds {seed} to {}, {done} cases", seed.wrapping_add(done));
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

/// Runs a case; of one that fails the input is told.
fn guarded(name: &str, which: &str, input: &[u8], target: fn(&[u8])) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
        let shown = input[..input.len().min(SHOWN_BYTES_MAX)].escape_ascii();
        println!("{name} fails on {which}, {} bytes: {shown}", input.len());
        resume_unwind(panic);
    }
}

/// The most memory that this process ever had, in bytes; 0 where the system does not tell.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let digits = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    digits.unwrap_or(0) << 10
}

/// An input: of the corpus with some damage, or noise.
fn input(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    if corpus.is_empty() || random.below(16) == 0 {
        let len = random.below(200);
        return (0..len).map(|_| random.next() as u8).collect();
    }
    let mut input = corpus[random.below(corpus.len())].clone();
    for _ in 0..random.below(6) {
        let other = &corpus[random.below(corpus.len())];
        mutate(&mut input, other, random);
    }
    input
}

fn mutate(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(input.len());
    match random.below(9) {
        _ if input.is_empty() => input.extend(other),
        0 => input[at] ^= 1 << random.below(8),
        1 => input[at] = INTERESTING[random.below(INTERESTING.len())],
        2 => input[at] = input[at].wrapping_add(random.next() as u8),
        3 => input.truncate(at),
        4 => drop(input.drain(at..(at + 1 + random.below(8)).min(input.len()))),
        5 => input.insert(at, random.next() as u8),
        6 => {
            let part = input[at..(at + 1 + random.below(40)).min(input.len())].to_vec();
            let to = random.below(input.len());
            input.splice(to..to, part);
        }
        7 => {
            let from = random.below(other.len());
            input.truncate(at);
            input.extend(&other[from..]);
        }
        _ => {
            let length = LENGTHS[random.below(LENGTHS.len())];
            let bytes = if random.below(2) == 0 { varint(length) } else { head(length, random) };
            let end = (at + bytes.len() * random.below(2)).min(input.len());
            input.splice(at..end, bytes);
        }
    }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A number as CBOR, or a fixed 64 bits.
fn head(value: u64, random: &mut Random) -> Vec<u8> {
    let first = [0x1b, 0x5b, 0x7b, 0x9b, 0xbb][random.below(5)];
    match random.below(3) {
        0 => value.to_le_bytes().to_vec(),
        1 => (value as u32).to_le_bytes().to_vec(),
        _ => [&[first][..], &value.to_be_bytes()].concat(),
    }
}
