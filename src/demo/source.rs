//! The directory that the demo makes when it is given none.
//!
//! 310 MB: one file of 256 MiB of pseudo-random bytes, 640 small ones in nested directories, symlinks
//! (one of them dangling), an empty file, an empty directory and an executable. The bytes come from a
//! fixed seed, so that every run adds the same tree and prints the same CID.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, symlink},
    path::Path,
};

use tokio_util::sync::CancellationToken;

use super::at;
use crate::control::protocol::Failure;

/// Bytes of the large file.
const LARGE_BYTES: u64 = 256 << 20;

/// Small files, and the number of directories over which they go.
const SMALL_FILES: u64 = 640;
const DIRECTORIES: u64 = 40;

/// Small files have up to this many bytes.
const SMALL_BYTES_MAX: u64 = 128 << 10;

/// Bytes written at once.
const PIECE_BYTES: usize = 1 << 20;

/// Makes the tree at `dir`, which does not exist; ends early without an error once `stop` is set.
pub(super) fn make(dir: &Path, stop: &CancellationToken) -> Result<(), Failure> {
    let written = |path: &Path, result: io::Result<()>| result.map_err(|e| at(path, "write", &e));
    written(dir, fs::create_dir(dir))?;
    let large = dir.join("large.bin");
    written(&large, file(&large, 1, LARGE_BYTES, 0o644, stop))?;
    for number in 0..SMALL_FILES {
        if stop.is_cancelled() {
            return Ok(());
        }
        let group = number % DIRECTORIES;
        let parent = dir.join(format!("letters/{}/{group:02}", group % 7));
        written(&parent, fs::create_dir_all(&parent))?;
        let path = parent.join(format!("letter {number:03}.txt"));
        let size = number * 7919 % SMALL_BYTES_MAX;
        written(&path, file(&path, number + 2, size, 0o644, stop))?;
    }
    written(dir, odds(dir, stop))
}

/// What trees have besides plain files of some size.
fn odds(dir: &Path, stop: &CancellationToken) -> io::Result<()> {
    fs::create_dir_all(dir.join("odd/empty directory"))?;
    file(&dir.join("odd/empty"), 0, 0, 0o644, stop)?;
    file(&dir.join("odd/one byte"), 0, 1, 0o644, stop)?;
    file(&dir.join("odd/run.sh"), 0, 300, 0o755, stop)?;
    file(&dir.join("odd/gr\u{fc}n.txt"), 0, 40, 0o644, stop)?;
    symlink("../large.bin", dir.join("odd/to a file"))?;
    symlink("../letters", dir.join("odd/to a directory"))?;
    symlink("nowhere", dir.join("odd/to nothing"))
}

/// Writes one file of `size` pseudo-random bytes.
fn file(path: &Path, seed: u64, size: u64, mode: u32, stop: &CancellationToken) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    let mut noise = Noise(seed);
    let mut left = size;
    let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(size).unwrap_or(PIECE_BYTES))];
    while left > 0 && !stop.is_cancelled() {
        let len = piece.len().min(usize::try_from(left).unwrap_or(PIECE_BYTES));
        noise.fill(&mut piece[..len]);
        file.write_all(&piece[..len])?;
        left -= len as u64;
    }
    allow_execution(&file, mode)
}

/// Sets the mode whatever the umask took from it.
fn allow_execution(file: &File, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(mode))
}

/// `SplitMix64`: a stream of bytes from a seed, faster than any disk.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn fill(&mut self, out: &mut [u8]) {
        for part in out.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            part.copy_from_slice(&word[..part.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_the_published_sequence() {
        // First output of SplitMix64 for seed 1234567, from its author's test values.
        assert_eq!(Noise(1_234_567).next(), 6_457_827_717_110_365_317);
    }

    #[test]
    fn noise_depends_on_the_seed_and_fills_odd_lengths() {
        let (mut one, mut two) = ([0; 13], [0; 13]);
        Noise(1).fill(&mut one);
        Noise(2).fill(&mut two);
        assert_ne!(one, two);
        assert!(one[8..].iter().any(|byte| *byte != 0));
    }
}
