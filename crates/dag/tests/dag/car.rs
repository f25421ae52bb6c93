//! Public CARs: every one is read, every block of it has its CID, and writing it again gives the same bytes.
//!
//! Sources: ipld/ipld at 65cef921090a (CAR v1 and v2, selectors, HAMT), ipfs/gateway-conformance at
//! 22c76440f8b5. What is broken in every way is in `src/car/tests.rs`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use shoal_dag::car::{CarError, CarReader, Event, Header, write};
use shoal_dag::walk::{BlockKind, Budget, TreeStep, TreeWalk};
use shoal_dag::{Block, Cid};

use crate::memory::Memory;
use crate::vectors::vectors;

/// A CAR as it was read.
struct Car {
    header: Header,
    blocks: Vec<Block>,
}

fn read(bytes: &[u8]) -> Result<Car, CarError> {
    let (mut reader, mut fed) = (CarReader::new(), bytes.chunks(1000));
    let mut car = Car { header: Header { version: 0, roots: Vec::new() }, blocks: Vec::new() };
    loop {
        match reader.poll()? {
            Event::More => match fed.next() {
                Some(piece) => reader.feed(piece),
                None => reader.end(),
            },
            Event::Header(header) => car.header = header,
            Event::Block(block) => car.blocks.push(block),
            Event::Refused(refused) => panic!("{refused:?}"),
            Event::Done => return Ok(car),
        }
    }
}

/// Every CAR below a folder of the vectors.
fn cars(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vectors(folder).into_iter().collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "car") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn written_again(car: &Car) -> Vec<u8> {
    let mut out = write::header(&car.header.roots);
    for block in &car.blocks {
        let head = write::section_head(&block.cid, block.data.len());
        let len = (head.len() + block.data.len()) as u64;
        assert_eq!(write::section_len(&block.cid, block.data.len() as u64), len);
        out.extend(head);
        out.extend_from_slice(&block.data);
    }
    out
}

#[test]
fn public_cars_are_read_and_written_again_byte_for_byte() {
    let found = cars("gateway-conformance").into_iter().chain(cars("ipld-specs"));
    let mut count = 0;
    for path in found {
        let bytes = std::fs::read(&path).unwrap();
        let car = read(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(!car.blocks.is_empty(), "{}", path.display());
        let payload = if car.header.version == 1 {
            &bytes[..]
        } else {
            let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
            let (start, len) = (number(27) as usize, number(35) as usize);
            &bytes[start..start + len]
        };
        assert!(written_again(&car) == payload, "{}", path.display());
        count += 1;
    }
    assert!(count == 0 || count == 27, "{count}");
}

/// `carv1-basic.json` and `carv2-basic.json` of the same source say how many blocks and roots there are.
#[test]
fn the_basic_cars_have_the_roots_and_blocks_that_their_descriptions_say() {
    for (name, version, roots, blocks) in [("carv1-basic", 1, 2, 8), ("carv2-basic", 2, 1, 5)] {
        let folder = "ipld-specs/specs/transport/car/fixture";
        let Some(folder) = vectors(&format!("{folder}/{name}")) else { return };
        let read_file = |extension: &str| {
            std::fs::read(folder.join(Path::new(name).with_extension(extension))).unwrap()
        };
        let car = read(&read_file("car")).unwrap();
        let found = (car.header.version, car.header.roots.len(), car.blocks.len());
        assert_eq!(found, (version, roots, blocks), "{name}");
        let told: serde_json::Value = serde_json::from_slice(&read_file("json")).unwrap();
        let told = told.to_string();
        assert!(car.blocks.iter().all(|block| told.contains(&block.cid.to_string())), "{name}");
    }
}

/// Walks by links alone; gives the blocks in order.
fn visit(memory: &Memory, root: Cid) -> Vec<Cid> {
    let mut walk = TreeWalk::new(root, Budget::TREE).of_any_format();
    let mut seen = Vec::new();
    while let TreeStep::Need(cid) = walk.poll().unwrap() {
        seen.push(cid);
        match memory.0.get(&cid) {
            Some(data) => {
                let kind = walk.handle_block(&cid, data.clone()).unwrap();
                assert_ne!(kind, BlockKind::Directory);
            }
            None => walk.skip(&cid).unwrap(),
        }
    }
    seen
}

#[test]
fn a_walk_by_links_goes_through_what_is_no_file_system() {
    let name = "ipld-specs/specs/transport/car/fixture/carv1-basic/carv1-basic.car";
    let Some(path) = vectors(name) else { return };
    let car = read(&std::fs::read(path).unwrap()).unwrap();
    let mut memory = Memory::default();
    memory.keep(car.blocks.iter().cloned());
    // The first root is dag-cbor, below it dag-pb without data, and raw leaves.
    let seen: HashSet<Cid> =
        car.header.roots.iter().flat_map(|root| visit(&memory, *root)).collect();
    assert_eq!(seen, car.blocks.iter().map(|block| block.cid).collect());
}
