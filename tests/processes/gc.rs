//! `gc`, direct pins and quotas between processes: what goes, what stays, and what is said of it.
//!
//! That nothing is lost beside many writers and kills is shown by `scripts/gc-soak`; here it is the verbs.

use std::fs;

use crate::harness::{Lab, Store, eventually, tree};

/// Bytes that the outcome of `gc` has in a field.
fn collected(store: &Store, arguments: &[&dyn AsRef<std::ffi::OsStr>], field: &str) -> u64 {
    let mut words: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"gc", &"--json"];
    words.extend_from_slice(arguments);
    store.run(&words).ok().outcome()[field].as_u64().unwrap()
}

#[test]
fn what_is_unpinned_goes_and_the_disk_has_its_space_back() {
    let lab = Lab::new();
    let (large, small, kept) = (lab.path("large"), lab.path("small"), lab.path("kept"));
    tree::file(&large, 1, 3_000_000);
    tree::file(&small, 2, 30_000);
    tree::file(&kept, 3, 2_000_000);
    let a = lab.store("a");
    let gone = [a.add(&large), a.add(&small)];
    let stays = a.add(&kept);
    assert_eq!(collected(&a, &[], "removed_blocks"), 0);
    for cid in &gone {
        drop(a.run(&[&"pin", &"rm", cid]).ok());
    }
    let before = a.disk_bytes();
    let would = collected(&a, &[&"--dry-run"], "freed_bytes");
    assert!(would > 2_900_000, "{would}");
    drop(a.run(&[&"cat", &gone[0]]).ok());
    // Beside a running peer, and said in words.
    let peer = a.seed();
    drop(a.run(&[&"gc"]).ok().says("blocks stay"));
    let after = a.disk_bytes();
    assert!(before - after > 2_900_000, "{before} then {after}");
    for cid in &gone {
        drop(a.run(&[&"cat", cid]).exits(4));
    }
    drop(peer.stop());
    drop(a.run(&[&"cat", &stays]).ok());
    assert_eq!(collected(&a, &[], "removed_blocks"), 0);
}

#[test]
fn direct_pins_and_names_are_kept_listed_and_removed() {
    let lab = Lab::new();
    let source = lab.path("source");
    tree::file(&source, 1, 3_000_000);
    let a = lab.store("a");
    let cid = a.add(&source);
    drop(a.run(&[&"pin", &"add", &"--direct", &cid]).exits(1).says("pinned already"));
    drop(a.run(&[&"pin", &"rm", &cid]).ok());
    drop(a.run(&[&"pin", &"add", &"--direct", &"--name", &"the top of it", &cid]).ok());
    let listed = format!("{cid} direct the top of it");
    assert_eq!(a.run(&[&"pin", &"ls"]).ok().lines(), [listed.as_str()]);
    assert_eq!(a.run(&[&"pin", &"ls", &"--type", &"direct"]).ok().lines(), [listed.as_str()]);
    assert!(a.run(&[&"pin", &"ls", &"--type", &"recursive"]).ok().stdout.is_empty());
    assert!(a.run(&[&"pin", &"ls", &"--name", &"another"]).ok().stdout.is_empty());
    assert_eq!(collected(&a, &[], "kept_blocks"), 1);
    drop(a.run(&[&"stat", &cid]).ok());
    drop(a.run(&[&"cat", &cid]).exits(4));
    // All of it again: the name stays.
    assert_eq!(a.add(&source), cid);
    assert_eq!(a.run(&[&"pin", &"ls"]).ok().lines(), [format!("{cid} the top of it")]);
    drop(a.run(&[&"pin", &"rm", &cid]).ok());
    assert!(a.run(&[&"pin", &"ls"]).ok().stdout.is_empty());
    let long = "x".repeat(256);
    drop(a.run(&[&"pin", &"add", &"--name", &long, &cid]).exits(2));
}

#[test]
fn what_was_fetched_and_is_seeded_on_stays_until_it_is_paid_back() {
    let lab = Lab::new();
    let source = lab.path("source");
    tree::file(&source, 1, 2_000_000);
    let a = lab.store("a");
    let cid = a.add(&source);
    let peer = a.seed();
    let b = lab.store("b").told(peer.address());
    drop(b.run(&[&"get", &cid, &"-o", &lab.path("out")]).ok());
    assert_eq!(collected(&b, &[], "removed_blocks"), 0, "it is owed");
    drop(b.run(&[&"cat", &cid]).ok());
    assert_eq!(fs::read(lab.path("out")).unwrap(), fs::read(&source).unwrap());
    // Without a debt it goes, and OUT, which the store referred to, stays as it is.
    let c = lab.store("c").told(peer.address());
    drop(c.run(&[&"get", &"--no-seed-on", &cid, &"-o", &lab.path("out2")]).ok());
    assert!(collected(&c, &[], "removed_blocks") > 0);
    assert_eq!(fs::read(lab.path("out2")).unwrap(), fs::read(&source).unwrap());
}

#[test]
fn a_quota_makes_room_of_the_cache_and_refuses_pins_beyond_it() {
    let lab = Lab::new();
    let files: Vec<_> = (0..4).map(|n| lab.path(format!("file {n}"))).collect();
    for (n, path) in files.iter().enumerate() {
        tree::file(path, n as u64, 2_000_000);
    }
    let a = lab.store("a");
    let cids: Vec<String> = files.iter().map(|path| a.add(path)).collect();
    let peer = a.seed();
    let b = lab.store("b").told(peer.address()).option("--quota", "5M");
    // Read through a running peer: each is cached, and the first ones go again.
    let cache = b.seed();
    for cid in &cids {
        drop(b.run(&[&"cat", cid]).ok());
    }
    let taken = || b.status()["bytes"].as_u64().unwrap();
    drop(b.run(&[&"get", &"--no-seed-on", &cids[3], &"-o", &lab.path("out")]).ok());
    eventually("the cache is below its quota", || (taken() <= 5 << 20).then_some(()));
    drop(b.run(&[&"pin", &"add", &cids[0]]).ok());
    drop(b.run(&[&"pin", &"add", &cids[1]]).ok());
    drop(b.run(&[&"pin", &"add", &cids[2]]).exits(1).says("quota"));
    let out = lab.path("kept");
    drop(b.run(&[&"get", &"--keep", &cids[2], &"-o", &out]).exits(1).says("quota"));
    assert!(!out.exists());
    drop(b.run(&[&"add", &files[3]]).exits(1).says("quota"));
    drop(cache.stop());
    drop(b.run(&[&"cat", &cids[0]]).ok());
}
