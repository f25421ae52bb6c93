//! Prints what proofs cost in a ledger of a million versions: sizes, and times to check them.
//!
//!     cargo run --release -p shoal-ledger --example long_history [ENTRIES]
//!
//! Every entry is made and signed as a writer makes it, and kept as bytes only: about 430 MB for a
//! million. A reader then goes from many versions to the newest by its proof alone, and times are
//! looked up and compared with a linear scan. Ends with an error where a proof is larger or slower
//! than what is promised.

#![expect(clippy::print_stdout, reason = "an example that prints figures")]

use std::error::Error;
use std::time::{Duration, Instant};

use shoal_dag::Bytes;
use shoal_ledger::by_time;
use shoal_ledger::chain::Archive;
use shoal_ledger::entry::{Body, Draft, Genesis, Header, KeySet, Links, Update};
use shoal_ledger::head::{self, Have, Placed};
use shoal_ledger::jump::{self, Spine};
use shoal_ledger::tree::prove::{self, Levels, Nodes};
use shoal_ledger::tree::{EMPTY_ROOT, Peaks};
use shoal_ledger::{
    Entry, EntryId, Epoch, Evidence, Fraud, Hash, Index, LedgerId, Position, Reader, SecretKey,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const BEGAN_MS: u64 = 1_795_000_000_000;
const STEP_MS: u64 = 1_000;
/// Versions from which the reader goes to the newest.
const SAMPLES: u64 = 500;
/// What is promised for a million entries: bytes of a proof, and the time to check one.
const PROOF_BYTES_MAX: usize = 672;
const VERIFY_MAX: Duration = Duration::from_millis(1);

/// A ledger as bytes.
#[derive(Default)]
struct Blocks {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    levels: Levels,
}

impl Blocks {
    fn push(&mut self, entry: &Entry) {
        self.bytes.extend_from_slice(entry.block());
        self.ends.push(self.bytes.len());
        self.levels.push(entry.leaf());
    }
}

/// The ledger as it was when it had that many entries.
struct View<'a> {
    blocks: &'a Blocks,
    len: u64,
}

impl Nodes for View<'_> {
    fn node(&self, level: u32, index: u64) -> Option<Hash> {
        self.blocks.levels.node(level, index)
    }
}

impl Archive for View<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn entry(&self, index: u64) -> Option<Entry> {
        let index = usize::try_from(index).ok()?;
        let begin = if index == 0 { 0 } else { *self.blocks.ends.get(index - 1)? };
        let block = self.blocks.bytes.get(begin..*self.blocks.ends.get(index)?)?;
        Entry::decode(Bytes::copy_from_slice(block)).ok()
    }

    fn control_before(&self, index: u64) -> Option<u64> {
        (index > 0).then_some(0)
    }
}

fn genesis(key: &SecretKey) -> Body {
    let recovery = vec![SecretKey::from_seed(&[8; 32]).public().commitment()];
    let keys = KeySet { writers: vec![key.public()], recovery, threshold: 1 };
    Body::Genesis(Genesis { nickname: None, nonce: [0; 16], policy: None, keys })
}

fn update(index: u64) -> Body {
    // A CIDv1, raw, BLAKE3, as content roots are.
    let mut root = vec![0x01, 0x55, 0x1e, 0x20];
    root.extend(EntryId::of(&index.to_be_bytes()).as_bytes());
    Body::Update(Update {
        files: Some(index % 1000),
        size: Some(index << 12),
        ..Update::of_root(root)
    })
}

/// Entry `index` on top of what is there.
fn sign(
    key: &SecretKey,
    index: u64,
    links: Option<Links>,
    history: Hash,
    body: Body,
) -> Result<Entry> {
    let header = Header {
        ledger: LedgerId::from(key.public()),
        position: Position { epoch: Epoch::new(0)?, index: Index::new(index)? },
        time_ms: BEGAN_MS + index * STEP_MS,
        links,
        history,
        signer: 0,
    };
    Ok(Draft { header, body }.sign(&[key])?)
}

/// The ledger, and another entry for its last place.
fn grow(key: &SecretKey, entries: u64) -> Result<(Blocks, Entry)> {
    let (mut blocks, mut peaks, mut spine) =
        (Blocks::default(), Peaks::default(), Spine::default());
    let first = sign(key, 0, None, EMPTY_ROOT, genesis(key))?;
    let control = first.id();
    let mut last = first;
    loop {
        peaks.push(last.leaf());
        spine.push(last.id());
        blocks.push(&last);
        let index = peaks.size();
        let jump = spine.next().ok_or("there is an entry")?;
        let links = Some(Links { previous: last.id(), jump, control });
        if index == entries {
            let before = blocks.levels.size() - 1;
            let links = last.header().links;
            let history = prove::root(&blocks.levels, before).ok_or("a whole tree")?;
            return Ok((blocks, sign(key, before, links, history, update(index + 7))?));
        }
        last = sign(key, index, links, peaks.root(), update(index))?;
    }
}

/// Sizes and times of one kind of proof.
#[derive(Default)]
struct Figures {
    bytes: Vec<usize>,
    times: Vec<Duration>,
}

impl Figures {
    /// Prints, and says whether the promise about times is kept: by the median, since the slowest
    /// one is whatever else the machine did.
    fn print(&mut self, what: &str) -> Result<()> {
        self.bytes.sort_unstable();
        self.times.sort_unstable();
        let average = self.bytes.iter().sum::<usize>() / self.bytes.len().max(1);
        let most = self.bytes.last().unwrap_or(&0);
        print!("{what:<34} {average:>5} B average {most:>5} B most");
        let (middle, slowest) = (self.times.get(self.times.len() / 2), self.times.last());
        if let (Some(middle), Some(slowest)) = (middle, slowest) {
            print!("   {middle:>9.1?} median {slowest:>9.1?} most");
        }
        println!();
        let kept = self.times.get(self.times.len() / 2).is_none_or(|middle| *middle < VERIFY_MAX);
        if kept { Ok(()) } else { Err(format!("{what}: more than {VERIFY_MAX:?}").into()) }
    }

    /// Says whether the promise about sizes is kept.
    fn small(&self) -> Result<()> {
        let most = *self.bytes.last().unwrap_or(&0);
        if most <= PROOF_BYTES_MAX { Ok(()) } else { Err(format!("a proof of {most} B").into()) }
    }
}

#[expect(clippy::disallowed_methods, reason = "an example that measures")]
fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let begin = Instant::now();
    let result = act();
    (result, begin.elapsed())
}

/// From many versions to the newest.
fn heads(blocks: &Blocks, name: LedgerId, entries: u64) -> Result<()> {
    let newest = View { blocks, len: entries };
    let (mut consistency, mut whole) = (Figures::default(), Figures::default());
    for sample in 0..SAMPLES {
        let len = 1 + sample * (entries - 2) / SAMPLES;
        let mut reader = Reader::new(name, None);
        let first = head::prove(&View { blocks, len }, None).ok_or("a whole archive")?;
        reader.accept(&first, u64::MAX)?;
        let proof = head::prove(&newest, reader.have().as_ref()).ok_or("a whole archive")?;
        let (accepted, time) = timed(|| reader.accept(&proof, u64::MAX));
        accepted?;
        let path = proof.common.to_head.len() * 32;
        consistency.bytes.push(path);
        whole.bytes.push(path + proof.peaks.len() * 32 + proof.head.block().len());
        whole.times.push(time);
    }
    consistency.print("consistency proof")?;
    consistency.small()?;
    whole.print("newest head, and to accept it")
}

/// Old versions, by number and by time.
fn lookups(blocks: &Blocks, have: &Have) -> Result<()> {
    let newest = View { blocks, len: have.size() };
    let time_of = |index| newest.entry(index).map(|entry| entry.header().time_ms);
    let times: Vec<u64> = (0..have.size()).map_while(time_of).collect();
    let (mut by_number, mut at_time) = (Figures::default(), Figures::default());
    for sample in 0..SAMPLES {
        let index = sample * have.size() / SAMPLES;
        let placed = Placed::prove(&newest, index, have.size()).ok_or("a whole archive")?;
        let (stands, time) = timed(|| placed.stands_in(have.size(), &have.root));
        assert!(stands);
        by_number.bytes.push(placed.path.len() * 32);
        by_number.times.push(time);
        let asked = BEGAN_MS + index * STEP_MS + STEP_MS / 2;
        let answer = by_time::prove(&newest, have, asked).ok_or("a whole archive")?;
        let (found, time) =
            timed(|| answer.verify(have, asked).map(|entry| entry.map(Entry::index)));
        let linear = times.iter().rposition(|time| *time <= asked).map(|index| index as u64);
        assert_eq!((found?, linear), (Some(index), Some(index)));
        let size = |placed: &Placed| placed.path.len() * 32 + placed.entry.block().len();
        at_time.bytes.push(answer.at.iter().chain(&answer.next).map(size).sum());
        at_time.times.push(time);
    }
    by_number.print("inclusion proof")?;
    by_number.small()?;
    at_time.print("answer by time, two entries")?;
    println!(
        "by time: {SAMPLES} look-ups, each as a linear scan over all {} finds it",
        times.len()
    );
    let longest = (0..have.size()).step_by(997).map(|to| jump::way(have.size() - 1, to).len() - 1);
    println!("by jump links alone                {:>5} blocks most", longest.max().unwrap_or(0));
    Ok(())
}

fn fork(blocks: &Blocks, name: LedgerId, other: Entry, entries: u64) -> Result<()> {
    let ours = View { blocks, len: entries }.entry(entries - 1).ok_or("the last entry")?;
    let (ours, other) = (Evidence::of(ours, &[]), Evidence::of(other, &[]));
    let mut figures = Figures::default();
    for _ in 0..SAMPLES {
        let fraud = Fraud::equivocation(ours.clone(), other.clone()).ok_or("two entries differ")?;
        figures.bytes.push(fraud.encode().len());
        let (verified, time) = timed(|| fraud.verify(name));
        verified?;
        figures.times.push(time);
    }
    figures.print("proof of a fork")
}

fn main() -> Result<()> {
    let entries = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let key = SecretKey::from_seed(&[7; 32]);
    let name = LedgerId::from(key.public());
    let (grown, time) = timed(|| grow(&key, entries));
    let (blocks, other) = grown?;
    let average = blocks.bytes.len() as u64 / entries;
    println!("{entries} entries of {average} B on average, signed in {time:.1?}");
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let (entry_bytes, node_bytes) = (blocks.bytes.len() as u64, entries * 64);
    println!(
        "to keep: {:.0} MB of entries, {:.0} MB of tree",
        megabytes(entry_bytes),
        megabytes(node_bytes)
    );
    let newest = View { blocks: &blocks, len: entries };
    let root = prove::root(&newest, entries).ok_or("a whole tree")?;
    let head = newest.entry(entries - 1).ok_or("the last entry")?;
    heads(&blocks, name, entries)?;
    lookups(&blocks, &Have { position: head.position(), root })?;
    fork(&blocks, name, other, entries)
}
