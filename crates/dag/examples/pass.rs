//! One pass of chunking and hashing over bytes in memory, by two threads: what an add cannot undercut.
//!
//! ```text
//! pass FILE      prints the seconds of the pass and how many chunks there were
//! ```
//!
//! Each thread cuts and hashes half of the file as the default profile does. Reading the file is outside
//! of the clock; nothing is stored, and no branch is built. A measuring tool for `scripts/bench ref`.
#![expect(clippy::print_stdout, reason = "it is what the tool is for")]
#![expect(
    clippy::disallowed_methods,
    reason = "the package has no files and no clock, its tool has"
)]

use std::error::Error;
use std::time::Instant;

use shoal_dag::Profile;
use shoal_dag::chunk::Chunker;
use shoal_dag::hash::HashKind;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("pass FILE")?;
    let bytes = std::fs::read(path)?;
    let began = Instant::now();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let chunks = std::thread::scope(|scope| {
        let other = scope.spawn(|| pass(first));
        pass(second) + other.join().unwrap_or(0)
    });
    println!("{:.6} {chunks}", began.elapsed().as_secs_f64());
    Ok(())
}

/// Cuts and hashes; how many chunks there were.
fn pass(bytes: &[u8]) -> usize {
    let mut chunker = Chunker::new(&Profile::Shoal);
    let (mut at, mut chunks) = (0, 0);
    while let Some(len) = chunker.cut(&bytes[at..], true) {
        std::hint::black_box(HashKind::Blake3.digest(&bytes[at..at + len]));
        at += len;
        chunks += 1;
    }
    chunks
}
