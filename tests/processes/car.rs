//! CARs in and out of real stores: whole, in part, broken, through pipes and from a peer.
//!
//! What the bytes of a CAR mean is tested where they are read, in the dag package; here it is what a
//! user is told, what is kept, and what is pinned.

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::Stdio,
};

use shoal_dag::{
    Block, Cid,
    car::{CarReader, Event, write},
};

use crate::harness::{Lab, Run, Snapshot, Started, Store, tree};

/// The root and the blocks of a CAR.
fn read(bytes: &[u8]) -> (Cid, Vec<Block>) {
    let (mut reader, mut root, mut blocks) = (CarReader::new(), None, Vec::new());
    reader.feed(bytes);
    reader.end();
    loop {
        match reader.poll().unwrap() {
            Event::Header(header) => root = header.roots.first().copied(),
            Event::Block(block) => blocks.push(block),
            Event::Done => return (root.unwrap(), blocks),
            other => panic!("{other:?}"),
        }
    }
}

fn car(root: &Cid, blocks: &[Block]) -> Vec<u8> {
    let mut out = write::header(&[*root]);
    for block in blocks {
        out.extend(write::section_head(&block.cid, block.data.len()));
        out.extend_from_slice(&block.data);
    }
    out
}

/// A tree in a store, and the CAR of it.
fn exported(lab: &Lab, store: &Store) -> (PathBuf, String, Vec<u8>) {
    let source = lab.path("source");
    tree::small_files(&source, 40);
    tree::odd_things(&source);
    tree::file(&source.join("large"), 3, 3_000_000);
    let cid = store.add(&source);
    let out = lab.path("exported.car");
    drop(store.run(&[&"car", &"export", &cid, &"-o", &out]).ok());
    (source, cid, fs::read(out).unwrap())
}

/// Runs a verb with these bytes as its standard input.
fn piped(store: &Store, arguments: &[&dyn AsRef<std::ffi::OsStr>], input: &[u8]) -> Run {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut command = store.command(arguments);
    command.stdin(Stdio::from(reader));
    let started = Started::new(command);
    let input = input.to_vec();
    // Whoever does not read all of it closes the pipe, which is no fault of this test.
    let writing = std::thread::spawn(move || drop(writer.write_all(&input)));
    let run = started.finish();
    writing.join().unwrap();
    run
}

#[test]
fn a_tree_goes_through_a_car_and_is_the_same() {
    let lab = Lab::new();
    let (a, b) = (lab.store("a"), lab.store("b"));
    let (source, cid, bytes) = exported(&lab, &a);
    let run = b.run(&[&"car", &"import", &lab.path("exported.car")]).ok();
    assert_eq!(run.lines(), [cid.as_str()], "{run}");
    assert!(b.run(&[&"pin", &"ls"]).ok().lines().contains(&cid));
    let out = lab.path("out");
    drop(b.run(&[&"get", &cid, &"-o", &out, &"--keep"]).ok());
    Snapshot::of(&source).assert_same(&Snapshot::of(&out));
    // Written again from the other store, to a pipe, it is the same to the byte; so is the payload of
    // version 2, and what is read from that and from standard input.
    let run = b.run(&[&"car", &"export", &cid]).ok();
    assert!(run.stdout == bytes, "another CAR of {} bytes", run.stdout.len());
    let two = b.run(&[&"car", &"export", &"--v2", &cid, &"--json"]).ok().stdout;
    assert!(two[51..].starts_with(&bytes) && two.len() > 51 + bytes.len());
    let c = lab.store("c");
    assert_eq!(piped(&c, &[&"car", &"import", &"-"], &two).ok().lines(), [cid.as_str()]);
    assert!(c.run(&[&"car", &"export", &cid]).ok().stdout == bytes);
    // An existing file is not written over.
    let run = a.run(&[&"car", &"export", &cid, &"-o", &lab.path("exported.car")]).exits(1);
    drop(run.says("--force"));
}

#[test]
fn a_part_of_a_tree_is_kept_and_named_and_not_pinned() {
    let lab = Lab::new();
    let (_, cid, bytes) = exported(&lab, &lab.store("a"));
    let (root, mut blocks) = read(&bytes);
    let lost = blocks.pop().unwrap();
    let b = lab.store("b");
    let run = piped(&b, &[&"car", &"import", &"-"], &car(&root, &blocks)).exits(3);
    assert!(run.stdout.is_empty(), "{run}");
    drop(run.says(&cid).says(&lost.cid.to_string()));
    assert!(b.run(&[&"pin", &"ls"]).ok().lines().is_empty());
    // What is here can be written, and the whole cannot.
    let part = b.run(&[&"car", &"export", &"--partial", &cid]).ok();
    assert!(part.stdout == car(&root, &blocks));
    drop(part.says("1 block that it links to is not in the store"));
    drop(b.run(&[&"car", &"export", &cid]).exits(4));
    drop(lab.store("c").run(&[&"car", &"export", &"--partial", &cid]).exits(4));
    // The rest of it makes it whole.
    let rest = car(&root, &[lost]);
    let run = piped(&b, &[&"car", &"import", &"-"], &rest).ok();
    assert_eq!(run.lines(), [cid.as_str()], "{run}");
    assert!(b.run(&[&"car", &"export", &cid]).ok().stdout == bytes);
}

#[test]
fn nothing_is_looked_at_or_pinned_when_that_is_asked_for() {
    let lab = Lab::new();
    let (_, cid, bytes) = exported(&lab, &lab.store("a"));
    let (root, blocks) = read(&bytes);
    let b = lab.store("b");
    let part = car(&root, &blocks[..2]);
    let run = piped(&b, &[&"car", &"import", &"--no-pin", &"-"], &part).ok();
    assert_eq!(run.lines(), [cid.as_str()]);
    assert!(b.run(&[&"pin", &"ls"]).ok().lines().is_empty());
    let run = piped(&b, &[&"car", &"import", &"--local", &"-"], &bytes).ok();
    assert_eq!(run.lines(), [cid.as_str()]);
    assert_eq!(b.run(&[&"pin", &"ls"]).ok().lines(), [format!("{cid} local")]);
}

#[test]
fn of_a_broken_car_what_came_before_is_kept_and_the_place_is_told() {
    let lab = Lab::new();
    let (_, cid, bytes) = exported(&lab, &lab.store("a"));
    let (root, blocks) = read(&bytes);
    let whole = car(&root, &blocks[..5]);
    let last = whole.len()
        - blocks[4].data.len()
        - write::section_head(&blocks[4].cid, blocks[4].data.len()).len();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let long = [&whole[..], &[0xff; 8], b"\x7f"].concat();
    for (name, broken, exit, place, kept) in [
        ("cut", &whole[..whole.len() - 1], 1, last, 4),
        ("flipped", &flipped, 6, last, 4),
        ("long", &long, 1, whole.len(), 5),
        ("none", b"this is no CAR, and it is as long as anything", 1, 0, 0),
        ("bomb", b"\x0a\xa1\x65roots\x9b\x7f\xff\xff\xff\xff\xff\xff\xff", 1, 0, 0),
    ] {
        let store = lab.store(name);
        let run = piped(&store, &[&"car", &"import", &"-"], broken).exits(exit);
        assert!(run.stdout.is_empty(), "{run}");
        let run = run.says(&format!("at byte {place}"));
        assert!(store.run(&[&"pin", &"ls"]).ok().lines().is_empty());
        if kept > 0 {
            drop(run.says(&format!("the {kept} blocks before that are kept")));
            let part = store.run(&[&"car", &"export", &"--partial", &cid]).ok();
            assert_eq!(read(&part.stdout).1, blocks[..kept]);
        }
    }
}

#[test]
fn a_block_whose_hash_is_not_known_is_left_out_and_counted() {
    let lab = Lab::new();
    let (_, cid, mut bytes) = exported(&lab, &lab.store("a"));
    let keccak = [&[1, 0x55, 0x1b, 32][..], &[7; 32]].concat();
    let keccak = shoal_dag::hash::cid_from_bytes(&keccak).unwrap();
    bytes.extend(write::section_head(&keccak, 4));
    bytes.extend(b"data");
    let b = lab.store("b");
    let run = piped(&b, &[&"car", &"import", &"--json", &"-"], &bytes).exits(3);
    let outcome = run.outcome();
    assert_eq!((&outcome["refused"], &outcome["incomplete"]), (&1.into(), &0.into()), "{run}");
    drop(run.says(&keccak.to_string()).says("hash function 0x1b is not supported"));
    assert!(b.run(&[&"pin", &"ls"]).ok().lines().contains(&cid));
}

#[test]
fn an_export_fetches_what_is_missing() {
    let lab = Lab::new();
    let a = lab.store("a");
    let (_, cid, bytes) = exported(&lab, &a);
    let peer = a.seed();
    let c = lab.store("c").told(peer.address());
    let run = c.run(&[&"car", &"export", &cid]).ok();
    assert!(run.stdout == bytes, "{} bytes", run.stdout.len());
    // A reader that has enough ends it quietly.
    let mut command = c.command(&[&"car", &"export", &cid]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut head = [0; 16];
    child.stdout.take().unwrap().read_exact(&mut head).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Public CARs, where their folder lies beside the checkout: which of them are whole, and why the others
/// are not.
#[test]
fn public_cars_are_imported() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors");
    if !folder.exists() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    let lab = Lab::new();
    let mut folders = vec![folder];
    let mut not_whole = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "car") {
                let run = lab.store("b").run(&[&"car", &"import", &path]);
                match run.code() {
                    Some(0) => {}
                    Some(3) => not_whole.push(path.file_stem().unwrap().to_owned()),
                    _ => panic!("{run}"),
                }
            }
        }
    }
    not_whole.sort();
    // Codecs that are not read, and blocks that their makers left out on purpose.
    assert_eq!(not_whole, NOT_WHOLE);
}

/// See [`public_cars_are_imported`]: their roots are JSON, dag-json or plain CBOR, a block is missing, or
/// (`fixtures`, of the subdomain gateway) one has a SHA-512, which the store does not keep.
const NOT_WHOLE: [&str; 8] = [
    "dag-json-traversal",
    "file-3k-and-3-blocks-missing-block",
    "fixtures",
    "plain-cbor",
    "plain-cbor-that-can-be-dag-cbor",
    "plain-cbor-that-can-be-dag-json",
    "plain-json",
    "selector-fixtures-adl",
];

/// As `ipfs add --inline` makes it: the root of a file of two leaves is in its CID.
#[test]
fn a_large_file_whose_root_is_in_its_cid_is_fetched_and_pinned() {
    let lab = Lab::new();
    let (source, out) = (lab.path("source"), lab.path("out"));
    tree::file(&source, 5, 1_500_000);
    let a = lab.store("a");
    let run = a.run(&[&"add", &"--profile", &"unixfs-v1-2025", &source]).ok();
    let root = run.lines()[0].split(' ').next().unwrap().to_owned();
    drop(a.run(&[&"car", &"export", &root, &"-o", &lab.path("car")]).ok());
    let (root, blocks) = read(&fs::read(lab.path("car")).unwrap());
    let block = blocks.iter().find(|block| block.cid == root).unwrap();
    let inline = [&[1, 0x70, 0, block.data.len() as u8][..], &block.data].concat();
    let inline = Cid::try_from(inline.as_slice()).unwrap();

    let leaves: Vec<Block> = blocks.iter().filter(|block| block.cid != root).cloned().collect();
    assert_eq!(leaves.len(), 2);
    fs::write(lab.path("inline.car"), car(&inline, &leaves)).unwrap();
    let b = lab.store("b");
    drop(b.run(&[&"car", &"import", &lab.path("inline.car")]).ok());
    let cid = inline.to_string();
    assert_eq!(b.run(&[&"cat", &cid]).ok().stdout, fs::read(&source).unwrap());
    drop(b.run(&[&"get", &cid, &"-o", &out]).ok());
    assert_eq!(fs::read(&out).unwrap(), fs::read(&source).unwrap());
    let pins = b.run(&[&"pin", &"ls"]).ok().lines();
    assert!(pins.iter().any(|line| line.starts_with(&cid)), "{pins:?}");
    drop(b.run(&[&"gc"]).ok());
    assert_eq!(b.run(&[&"cat", &cid]).ok().stdout, fs::read(&source).unwrap());
    drop(b.run(&[&"verify"]).ok());
    drop(b.run(&[&"rm", &cid]).ok());
    drop(b.run(&[&"gc"]).ok());
    drop(b.run(&[&"cat", &cid]).exits(4));
}
