//! The comparison through a mount.
//!
//! The third peer, which is now running and holds all, is mounted read-only by a `shoal mount` in the
//! foreground: a process of the stage like the others, whose end after `umount` is seen too. Where
//! `/dev/fuse` cannot be used the step says so and is left out.

use std::{
    fs::{self, OpenOptions},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    at,
    compare::Snapshot,
    failed,
    stage::{self, Peer, ProcessNo, Stage},
    tell::Teller,
};
use crate::control::protocol::Failure;

/// How long a mount may take to stand in the mount table.
const MOUNT_WAIT_MAX: Duration = Duration::from_secs(20);

/// How long the mount's process may take to end once it is unmounted.
const END_WAIT_MAX: Duration = Duration::from_secs(10);

/// Mounts `cid` on the peer, compares, unmounts; or says why not.
pub(super) async fn compare(
    stage: &mut Stage,
    teller: &Teller,
    peer: &Peer,
    cid: &str,
    expected: Snapshot,
) -> Result<(), Failure> {
    if let Some(why) = unusable() {
        teller.step("mount", format!("left out: {why}"));
        return Ok(());
    }
    let dir = stage.dir().join("mounted");
    fs::create_dir(&dir).map_err(|e| at(&dir, "make", &e))?;
    let begin = Instant::now();
    stage.mounted(Some((peer, &dir)));
    let process = stage.start(peer, &["mount".as_ref(), cid.as_ref(), dir.as_os_str()])?;
    wait_for(stage, process, &dir, begin + MOUNT_WAIT_MAX).await?;
    let time = begin.elapsed().as_millis();
    teller.step("mount", format!("{} in {time} ms", dir.display()));
    super::compare(stage, teller, &expected, dir.clone(), "compared").await?;
    let begin = Instant::now();
    stage.verb(peer, &["umount".as_ref(), dir.as_os_str()]).await?;
    stage.mounted(None);
    stage.finish(process, END_WAIT_MAX).await?;
    teller.step("umount", format!("in {} ms", begin.elapsed().as_millis()));
    Ok(())
}

/// Waits until `dir` is in the mount table.
async fn wait_for(
    stage: &mut Stage,
    process: ProcessNo,
    dir: &Path,
    end: Instant,
) -> Result<(), Failure> {
    while !stands(dir) {
        if stage.ended(process)? {
            // Its exit code and its words are the failure.
            stage.finish(process, END_WAIT_MAX).await?;
            return Err(failed("`shoal mount` ended before it was unmounted".to_owned()));
        }
        if Instant::now() >= end {
            let wait = MOUNT_WAIT_MAX.as_secs();
            return Err(failed(format!("{} was not mounted within {wait} s", dir.display())));
        }
        tokio::time::sleep(stage::POLL).await;
    }
    Ok(())
}

/// True when something is mounted at `dir`, an absolute path.
pub(super) fn stands(dir: &Path) -> bool {
    let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let dir = in_table(dir.as_os_str().as_bytes());
    let mut lines = table.split(|byte| *byte == b'\n');
    lines.any(|line| line.split(|byte| *byte == b' ').nth(4) == Some(&dir))
}

/// A path as the mount table writes it: blanks and backslashes in octal.
fn in_table(path: &[u8]) -> Vec<u8> {
    let mut written = Vec::new();
    for byte in path {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => written.extend(format!("\\{byte:03o}").into_bytes()),
            other => written.push(*other),
        }
    }
    written
}

/// Why nothing can be mounted here, if so.
fn unusable() -> Option<String> {
    if let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        return Some(format!("/dev/fuse cannot be opened: {error}"));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|dir| dir.join("fusermount3"));
    let helper: Option<PathBuf> = places.find(|path| path.exists());
    let root = rustix::process::geteuid().is_root();
    (helper.is_none() && !root).then(|| "fusermount3 is not installed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_octal_in_the_mount_table() {
        assert_eq!(in_table(b"/a b\\c"), b"/a\\040b\\134c");
    }

    #[test]
    fn the_root_is_mounted_and_a_made_up_path_is_not() {
        assert!(stands(Path::new("/")));
        assert!(!stands(Path::new("/no such directory")));
    }
}
