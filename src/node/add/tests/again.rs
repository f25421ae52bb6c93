//! Adding again: what need not be read is not, and never is anything taken for what it is not.
//!
//! Every root is compared with the one that is computed from the bytes. What is remembered depends on
//! the file system, so that on tmpfs, where nothing is, these tests end with a word of it.

use std::{
    os::unix::fs::{FileExt, PermissionsExt},
    time::{Duration, Instant},
};

use super::*;
use crate::node::sharing::unshare;

/// Until then a file must be old enough to be remembered.
const DEADLINE: Duration = Duration::from_mins(1);

/// Files of the tree that the tests change.
const FILES: u64 = 12;

impl Lab {
    fn tree(&self) -> PathBuf {
        self.dir.path().join("sources")
    }

    fn adding(&self) -> Add {
        request(vec![Some(self.tree().into_os_string().into_encoded_bytes())])
    }

    /// The root, and how many files were not read.
    fn added(&mut self, request: &Add) -> (String, u64) {
        let (added, outcome) =
            add_all(&unlimited(&self.store), request, None, &self.out, &mut Vec::new())
                .expect("an add");
        assert!(self.skipped().is_empty());
        let Ok(Outcome::Added { spared, .. }) = outcome else { panic!("{outcome:?}") };
        (added[0].cid.clone(), spared.unchanged)
    }

    /// The root as it is computed from the bytes, by a way that remembers nothing.
    fn hashed(&mut self) -> String {
        let request = Add { only_hash: true, ..self.adding() };
        let dir = self.store.dir();
        let outcome = only_hash(&request, &dir, std::io::empty(), &self.out);
        outcome.expect("hashed");
        while let Ok(answer) = self.answers.try_recv() {
            if let Frame::Message(Response::Added(added)) = answer {
                return added.cid;
            }
        }
        panic!("no root was told");
    }

    /// Adds until so many files are not read.
    fn settle(&mut self, request: &Add, unchanged: u64) -> String {
        let began = Instant::now();
        loop {
            let (cid, now) = self.added(request);
            if now == unchanged {
                return cid;
            }
            assert!(began.elapsed() < DEADLINE, "{now} of {unchanged} files are remembered");
        }
    }

    fn fill(&self) {
        for number in 0..FILES {
            let sub = format!("d{}", number % 3);
            fs::create_dir_all(self.tree().join(&sub)).expect("a directory");
            let size = if number == 0 { 700_000 } else { 10 + number as usize };
            self.source(&format!("{sub}/f{number}"), &vec![number as u8; size]);
        }
    }
}

/// A lab with a tree; none where the file system under it is not one that is trusted.
fn lab() -> Option<Lab> {
    let lab = Lab::new();
    lab.fill();
    let kind = rustix::fs::statfs(lab.dir.path()).expect("a file system").f_type as u64;
    // tmpfs is where temporary directories lie that are not on a disk.
    if kind == 0x0102_1994 {
        eprintln!("skipped: temporary files lie on tmpfs, where nothing is remembered");
        return None;
    }
    Some(lab)
}

#[test]
fn what_is_unchanged_is_not_read_and_gives_the_same_root() {
    let Some(mut lab) = lab() else { return };
    let request = lab.adding();
    let (first, unchanged) = lab.added(&request);
    assert_eq!(unchanged, 0);
    assert_eq!(lab.settle(&request, FILES), first);
    let all = Add { read_all: true, ..lab.adding() };
    assert_eq!(lab.added(&all), (first.clone(), 0));
    assert_eq!(lab.added(&request), (first, FILES));
}

#[test]
fn one_file_named_alone_is_remembered_too() {
    let Some(mut lab) = lab() else { return };
    let path = lab.tree().join("d0/f0").into_os_string().into_encoded_bytes();
    let request = request(vec![Some(path)]);
    let (first, _) = lab.added(&request);
    assert_eq!(lab.settle(&request, 1), first);
}

#[test]
fn every_change_shows() {
    let Some(mut lab) = lab() else { return };
    let request = lab.adding();
    let (one, two) = (lab.tree().join("d1/f1"), lab.tree().join("d2/f2"));
    let old = fs::metadata(&one).expect("a file").modified().expect("a time");
    let changes: [(&str, &dyn Fn()); 7] = [
        ("a byte, the mtime set back", &|| {
            let file = fs::File::options().write(true).open(&one).expect("a file");
            file.write_all_at(b"x", 3).expect("written");
            file.set_modified(old).expect("a time");
        }),
        ("longer", &|| fs::write(&one, [5; 40]).expect("written")),
        ("executable", &|| {
            fs::set_permissions(&one, fs::Permissions::from_mode(0o755)).expect("a mode");
        }),
        ("another file of the same size and time", &|| {
            let new = one.with_extension("new");
            fs::write(&new, [6; 40]).expect("written");
            fs::File::open(&new).and_then(|file| file.set_modified(old)).expect("a time");
            fs::rename(&new, &one).expect("renamed");
        }),
        ("two files swapped", &|| {
            let aside = one.with_extension("aside");
            fs::rename(&one, &aside).expect("renamed");
            fs::rename(&two, &one).expect("renamed");
            fs::rename(&aside, &two).expect("renamed");
        }),
        ("a file more", &|| fs::write(one.with_extension("more"), "more").expect("written")),
        ("a file less", &|| fs::remove_file(one.with_extension("more")).expect("removed")),
    ];
    lab.settle(&request, FILES);
    let mut roots = vec![lab.hashed()];
    for (what, change) in changes {
        change();
        let hashed = lab.hashed();
        assert_ne!(Some(&hashed), roots.last(), "{what} changes the root");
        assert_eq!(lab.added(&request).0, hashed, "{what}");
        roots.push(hashed);
    }
}

/// Writers of the same moment: a thousand changes, each added at once, of the same files again and
/// again, with sizes that repeat.
#[test]
fn a_change_right_after_an_add_is_never_missed() {
    let Some(mut lab) = lab() else { return };
    let request = lab.adding();
    let mut state = 7_u64;
    for round in 0..400_u64 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let path = lab.tree().join(format!("d1/f{}", 1 + 3 * (state >> 33) % 2));
        let bytes = [round as u8; 16];
        match state >> 60 {
            0 => fs::write(&path, &bytes[..8]).expect("written"),
            1..8 => fs::write(&path, bytes).expect("written"),
            _ => {
                let file = fs::File::options().write(true).create(true).truncate(false).open(&path);
                file.and_then(|file| file.write_all_at(&bytes[..1], 0)).expect("written");
            }
        }
        assert_eq!(lab.added(&request).0, lab.hashed(), "round {round}");
    }
}

#[test]
fn choices_are_not_mixed_up() {
    let Some(mut lab) = lab() else { return };
    for profile in Profile::ALL {
        for preserve in [false, true] {
            let request = Add { profile: profile.name().to_owned(), preserve, ..lab.adding() };
            let hashing = Add { read_all: true, ..request.clone() };
            let (root, _) = lab.added(&hashing);
            assert_eq!(lab.settle(&request, FILES), root, "{profile} {preserve}");
        }
    }
}

#[test]
fn a_block_that_is_lost_is_made_again() {
    let Some(mut lab) = lab() else { return };
    let request = lab.adding();
    let root = lab.settle(&request, FILES);
    let lost = request_of(&lab, "d1/f1");
    lab.store.forget_block(&lost).expect("forgotten");
    assert!(!lab.store.has(&lost));
    let (again, unchanged) = lab.added(&request);
    assert_eq!((again, unchanged), (root.clone(), FILES - 1));
    assert!(lab.store.has(&lost));
    assert_eq!(lab.settle(&request, FILES), root);
}

/// The root of a small file, which is its leaf.
fn request_of(lab: &Lab, name: &str) -> Cid {
    let bytes = fs::read(lab.tree().join(name)).expect("a file");
    let kind = shoal_dag::hash::HashKind::Blake3;
    shoal_dag::hash::cid_of(kind, shoal_dag::hash::RAW, shoal_dag::Version::V1, &bytes)
}

#[test]
fn what_was_taken_back_is_public_again_when_it_is_added_again() {
    let Some(mut lab) = lab() else { return };
    let request = lab.adding();
    let root = lab.settle(&request, FILES);
    let cid: Cid = root.parse().expect("a CID");
    let leaf = request_of(&lab, "d1/f1");
    unshare::unpin(&lab.store, &cid).expect("unpinned");
    unshare::work(&lab.store).expect("worked off");
    assert!(!lab.store.is_public(&leaf));
    lab.added(&request);
    assert!(lab.store.is_public(&leaf) && lab.store.is_public(&cid));
    let mut all = 0;
    unshare::below(&lab.store, &cid, &mut |below| {
        all += 1;
        assert!(lab.store.is_public(&below), "{below}");
    });
    assert!(all > FILES, "{all} blocks");
}

#[test]
fn what_is_local_stays_so_and_does_not_hide_the_rest() {
    let Some(mut lab) = lab() else { return };
    let local = Add { local: true, ..lab.adding() };
    lab.settle(&local, FILES);
    let leaf = request_of(&lab, "d1/f1");
    assert!(!lab.store.is_public(&leaf));
    let (_, unchanged) = lab.added(&lab.adding());
    assert_eq!(unchanged, 0);
    assert!(lab.store.is_public(&leaf));
}

#[test]
fn an_add_that_fails_is_not_remembered() {
    let Some(mut lab) = lab() else { return };
    let request = lab.adding();
    let (out, answers) = Responder::for_tests(1000);
    // Nobody takes the answers of this one.
    drop(answers);
    let gone = add_all(&unlimited(&lab.store), &request, None, &out, &mut Vec::new());
    assert_eq!(gone.expect_err("nobody waits").exit, Exit::Interrupted);
    assert!(!lab.store.dir().join("stat.redb").exists());
    assert_eq!(lab.added(&request).1, 0);
}

#[test]
fn a_damaged_or_deleted_cache_costs_the_reading_only() {
    let Some(mut lab) = lab() else { return };
    let request = lab.adding();
    let root = lab.settle(&request, FILES);
    let file = lab.store.dir().join("stat.redb");
    for bytes in [None, Some(vec![0x55; 8192]), Some(Vec::new())] {
        let dir = lab.store.dir();
        let other = Lab::new();
        drop(std::mem::replace(&mut lab.store, other.store));
        match &bytes {
            None => fs::remove_file(&file).expect("removed"),
            Some(bytes) => fs::write(&file, bytes).expect("written"),
        }
        lab.store = Store::open(&dir, Options::default()).expect("the store");
        assert_eq!(lab.added(&request), (root.clone(), 0), "{bytes:?}");
        assert_eq!(lab.settle(&request, FILES), root);
    }
}
