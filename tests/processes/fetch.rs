//! A fetch from a peer that was found: the tree arrives to the last bit.
//!
//! A runs with content, B runs empty, C is told only of B and is not running: what C finds out about
//! A comes through the DHT. Trees of 20,000 files and files of 4 GiB are for `scripts/`; the kinds of
//! things in them are all here.

use std::{fs, path::Path};

use crate::harness::{Lab, Snapshot, tree};

/// Files of the tree that travels.
const FILES: u64 = 2000;

#[test]
fn a_tree_travels_by_way_of_a_peer_that_only_introduces() {
    let lab = Lab::new();
    let source = lab.path("source");
    tree::small_files(&source, FILES);
    tree::odd_things(&source);
    let introducer = lab.store("b").seed();
    let a = lab.store("a").told(introducer.address());
    let cid = a.add(&source);
    let seed = a.seed();
    a.announced(1);

    let (c, out) = (lab.store("c").told(introducer.address()), lab.path("out"));
    let run = c.run(&[&"get", &cid, &"-o", &out, &"--json"]).ok();
    Snapshot::of(&source).assert_same(&Snapshot::of(&out));
    let outcome = run.outcome();
    assert_eq!(outcome["cid"], cid.as_str());
    assert_eq!(outcome["sources"].as_object().unwrap().len(), 1, "{outcome}");
    assert!(outcome["sources"][seed.peer_id()].as_u64().unwrap() > 3_000_000, "{outcome}");
    assert_eq!(lab.store("d").add(&out), cid, "what arrived adds to another CID");
    assert_eq!(c.add(&out), cid, "what arrived adds to another CID where it arrived");
}

#[test]
fn modes_and_times_travel_when_they_were_preserved() {
    let lab = Lab::new();
    let source = lab.path("source");
    tree::small_files(&source, 100);
    tree::odd_things(&source);
    tree::odd_metadata(&source);
    let introducer = lab.store("b").seed();
    let a = lab.store("a").told(introducer.address());
    let cid = a.add_preserved(&source);
    let _seed = a.seed();
    a.announced(1);

    let (c, out) = (lab.store("c").told(introducer.address()), lab.path("out"));
    drop(c.run(&[&"get", &cid, &"-o", &out]).ok());
    Snapshot::preserved(&source).assert_same(&Snapshot::preserved(&out));
    assert_eq!(lab.store("d").add_preserved(&out), cid);
}

#[test]
fn one_byte_and_nothing_travel() {
    let lab = Lab::new();
    let a = lab.store("a");
    let peer = a.seed();
    let c = lab.store("c").told(peer.address());
    for size in [0, 1] {
        let (source, out) = (lab.path(format!("source{size}")), lab.path(format!("out{size}")));
        tree::file(&source, 1, size);
        let cid = a.add(&source);
        drop(c.run(&[&"get", &cid, &"-o", &out]).ok());
        assert_eq!(fs::read(&source).unwrap(), fs::read(&out).unwrap());
        let bytes = c.run(&[&"cat", &cid]).ok().stdout;
        assert_eq!(bytes, fs::read(&source).unwrap());
    }
}

#[test]
fn a_file_of_several_levels_travels() {
    let lab = Lab::new();
    let source = lab.path("source");
    tree::file(&source, 1, 160 << 20);
    let a = lab.store("a");
    let cid = a.run(&[&"add", &"--ref", &source]).cid();
    let links = a.run(&[&"stat", &"--json", &cid]).ok().outcome()["links"].as_u64().unwrap();
    assert!(links < 100, "{links} links in the root: there is one level only");
    let peer = a.seed();
    let (c, out) = (lab.store("c").told(peer.address()), lab.path("out"));
    drop(c.run(&[&"get", &cid, &"-o", &out]).ok());
    assert_eq!(tree::digest(&source), tree::digest(&out));
}

#[test]
fn a_path_below_a_root_and_a_range_of_a_file_are_fetched_alone() {
    let lab = Lab::new();
    let source = lab.path("source");
    fs::create_dir_all(source.join("sub")).unwrap();
    tree::file(&source.join("sub/wanted"), 1, 5_000_000);
    tree::file(&source.join("not wanted"), 2, 20_000_000);
    let a = lab.store("a");
    let cid = a.add(&source);
    let peer = a.seed();
    let c = lab.store("c").told(peer.address());

    let range = c.run(&[&"cat", &format!("{cid}/sub/wanted"), &"--range", &"1000000-1000999"]);
    let wanted = fs::read(source.join("sub/wanted")).unwrap();
    assert_eq!(range.ok().stdout, wanted[1_000_000..1_001_000]);
    let out = lab.path("out");
    let run = c.run(&[&"get", &format!("{cid}/sub"), &"-o", &out, &"--json"]).ok();
    Snapshot::of(&source.join("sub")).assert_same(&Snapshot::of(&out));
    let received = run.outcome()["bytes_received"].as_u64().unwrap();
    assert!(received < 6_000_000, "{received} bytes for a file of 5,000,000");
}

#[test]
fn the_exact_profiles_travel_too() {
    let lab = Lab::new();
    let source = lab.path("source");
    fs::create_dir_all(&source).unwrap();
    tree::odd_things(&source);
    let a = lab.store("a");
    let peer = a.seed();
    for (number, profile) in ["unixfs-v1-2025", "unixfs-v0-2015"].into_iter().enumerate() {
        let cid = a.run(&[&"add", &"--profile", &profile, &source]).cid();
        let out = lab.path(format!("out{number}"));
        let c = lab.store(&format!("c{number}")).told(peer.address());
        drop(c.run(&[&"get", &cid, &"-o", &out]).ok());
        let again = lab.store("d").run(&[&"add", &"--profile", &profile, &out]).cid();
        assert_eq!(again, cid, "{profile}");
        for file in ["larger than one leaf", "one byte", "empty"] {
            assert_eq!(tree::digest(&source.join(file)), tree::digest(&out.join(file)));
        }
    }
}

/// As `ipfs add --inline` makes it: every block, the directories too, is in the CID above it.
#[test]
fn a_tree_that_is_all_in_its_cid_is_listed_and_fetched() {
    const CID: &str = "bafyaasysfufcmalqaarbehakcuaxaaarbihqqbasbmxwk5ddf5ygc43to5sbealtdaiquaqiaejaczaygmjbmcqpa\
                       fyaacykbeeaeeqdnbuqugadciawmgalbibaqai";
    let lab = Lab::new();
    let store = lab.store("a");
    let listed = store.run(&[&"ls", &CID]).ok().lines();
    let names: Vec<&str> = listed.iter().filter_map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(names, ["d/", "f"]);
    assert_eq!(store.run(&[&"ls", &format!("{CID}/d")]).ok().lines().len(), 1);
    let out = lab.path("out");
    drop(store.run(&[&"get", &CID, &"-o", &out]).ok());
    assert_eq!(fs::read(out.join("f")).unwrap(), b"hi\n");
    assert_eq!(fs::read_link(out.join("d/s")).unwrap(), Path::new("/etc/passwd"));
    let below = fs::read_dir(&out).unwrap().count() + fs::read_dir(out.join("d")).unwrap().count();
    assert_eq!(below, 3);
}
