//! The demo's second half: a name with a history.
//!
//! The first peer makes a name and publishes two versions and a way back; the third peer follows it and has
//! each version as soon as it is told of it, opens earlier ones, and proves offline what stood in one. How long a
//! version takes is measured from the end of `publish` to the follower's answer to a question that waits for it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    at, failed,
    stage::{Peer, Stage},
    tell::Teller,
};
use crate::control::protocol::Failure;

/// How long a version may take to reach the follower.
const FOLLOWED_WAIT_MAX: Duration = Duration::from_secs(20);

/// What it is called on both peers.
const PETNAME: &str = "notes";

/// What the file says in the first version, and in the second.
const TEXTS: [&str; 2] = ["the first version\n", "the second version\n"];

/// Publishes, follows, travels in time, rolls back and proves.
pub(super) async fn story(
    stage: &mut Stage,
    teller: &Teller,
    publisher: &Peer,
    follower: &Peer,
) -> Result<(), Failure> {
    let dir = stage.dir().join(PETNAME);
    fs::create_dir(&dir).map_err(|e| at(&dir, "make", &e))?;
    let key = first_word(&stage.verb(publisher, &["name", "new", PETNAME]).await?);
    teller.step("name", format!("{key} is made on the {publisher} peer"));
    let one = published(stage, teller, publisher, &dir, 0).await?;
    let begin = Instant::now();
    stage.verb(follower, &["follow", &key, "--as", PETNAME]).await?;
    let time = begin.elapsed().as_millis();
    teller.step("follow", format!("the {follower} peer follows it after {time} ms"));
    let two = published(stage, teller, publisher, &dir, 1).await?;
    arrived(stage, teller, follower, &one, &two).await?;
    travelled(stage, teller, follower).await?;
    stage.verb(publisher, &["rollback", PETNAME, "1"]).await?;
    teller.step("rollback", format!("{PETNAME}@3 brings the first version back"));
    arrived(stage, teller, follower, &two, &one).await?;
    says(stage, follower, PETNAME, TEXTS[0]).await?;
    proven(stage, teller, follower).await
}

fn first_word(lines: &[String]) -> String {
    let line = lines.first().map(String::as_str).unwrap_or_default();
    line.split(' ').next().unwrap_or_default().to_owned()
}

/// Writes a text and publishes the directory; its CID.
async fn published(
    stage: &mut Stage,
    teller: &Teller,
    publisher: &Peer,
    dir: &Path,
    version: usize,
) -> Result<String, Failure> {
    let file = dir.join("a.txt");
    fs::write(&file, TEXTS[version]).map_err(|e| at(&file, "write", &e))?;
    let begin = Instant::now();
    let arguments = ["publish".as_ref(), PETNAME.as_ref(), dir.as_os_str()];
    let cid = first_word(&stage.verb(publisher, &arguments).await?);
    let time = begin.elapsed().as_millis();
    teller.step("publish", format!("{PETNAME}@{} is {cid}, in {time} ms", version + 1));
    Ok(cid)
}

/// Waits until the follower shows another version than `before`, which must be `expected`.
async fn arrived(
    stage: &Stage,
    teller: &Teller,
    follower: &Peer,
    before: &str,
    expected: &str,
) -> Result<(), Failure> {
    let begin = Instant::now();
    let found = stage.watch(follower, PETNAME, before, FOLLOWED_WAIT_MAX).await?;
    if found != expected {
        return Err(failed(format!("the {follower} peer shows {found}, not {expected}")));
    }
    let time = begin.elapsed().as_millis();
    teller.step("followed", format!("the {follower} peer has the version after {time} ms"));
    Ok(())
}

/// Both versions as the follower reads them.
async fn travelled(stage: &mut Stage, teller: &Teller, follower: &Peer) -> Result<(), Failure> {
    says(stage, follower, &format!("{PETNAME}@1"), TEXTS[0]).await?;
    says(stage, follower, PETNAME, TEXTS[1]).await?;
    teller.step("time travel", format!("{PETNAME}@1 and {PETNAME}@2 read as they were"));
    Ok(())
}

async fn says(stage: &mut Stage, peer: &Peer, version: &str, text: &str) -> Result<(), Failure> {
    let read = stage.verb(peer, &["cat", &format!("{version}/a.txt")]).await?.join("\n");
    if read.trim_end() == text.trim_end() {
        return Ok(());
    }
    Err(failed(format!("{version}/a.txt says {read:?} on the {peer} peer, not {text:?}")))
}

/// A proof of the second version's file, checked offline; with a bit changed it must fail.
async fn proven(stage: &mut Stage, teller: &Teller, follower: &Peer) -> Result<(), Failure> {
    let proof = stage.dir().join("proof");
    let target = format!("{PETNAME}@2/a.txt");
    let arguments = ["prove".as_ref(), target.as_ref(), "-o".as_ref(), proof.as_os_str()];
    stage.verb(follower, &arguments).await?;
    let check = ["verify-proof".as_ref(), proof.as_os_str()];
    stage.verb(follower, &check).await?;
    let mut bytes = fs::read(&proof).map_err(|e| at(&proof, "read", &e))?;
    let len = bytes.len();
    bytes[len / 2] ^= 1;
    let changed: PathBuf = stage.dir().join("proof-changed");
    fs::write(&changed, bytes).map_err(|e| at(&changed, "write", &e))?;
    if stage.verb(follower, &["verify-proof".as_ref(), changed.as_os_str()]).await.is_ok() {
        let why = "a proof with a changed bit was taken for a good one";
        return Err(failed(why.to_owned()));
    }
    let told = format!("{target} is proven by {len} bytes, offline; with one bit changed it fails");
    teller.step("proof", told);
    Ok(())
}
