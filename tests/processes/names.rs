//! Names between real processes: versions reach followers, histories outlive their publisher, and copies of a
//! store are caught before they fork a name, or proven when they were made to.

use std::{
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::harness::{
    Lab, Peer, Run, Started, Store, eventually,
    tree::{self, Snapshot},
};

/// A follower on another peer has a version within this time (B19 of the design).
const FOLLOWED_MAX: Duration = Duration::from_secs(1);

/// Makes a name and gives its key.
fn made(store: &Store, petname: &str) -> String {
    let run = store.run(&[&"name", &"new", &petname]).ok();
    let lines = run.lines();
    assert!(lines.len() == 1 && lines[0].starts_with("k51"), "the key alone expected of {run}");
    lines[0].clone()
}

/// A directory whose file `a.txt` says `text`.
fn source(lab: &Lab, text: &str) -> PathBuf {
    let dir = lab.path("source");
    fs::create_dir_all(dir.join("sub")).unwrap();
    fs::write(dir.join("a.txt"), text).unwrap();
    if !dir.join("sub/big").exists() {
        tree::file(&dir.join("sub/big"), 7, 700_000);
    }
    dir
}

fn publish(store: &Store, petname: &str, path: &Path) -> Run {
    store.run(&[&"publish", &petname, &path])
}

/// What `name ls --json` says of the only name.
fn name(store: &Store) -> Value {
    let run = store.run(&[&"name", &"ls", &"--json"]).ok();
    serde_json::from_str(&run.lines()[0]).unwrap()
}

fn versions(store: &Store) -> u64 {
    name(store)["version"].as_u64().unwrap_or(0)
}

#[track_caller]
fn reads(store: &Store, target: &str, text: &str) {
    assert_eq!(store.run(&[&"cat", &target]).ok().stdout, text.as_bytes(), "{target}");
}

/// A publisher that runs with one version, and a peer that follows it and has it.
fn followed(lab: &Lab) -> (Peer, Peer, String) {
    let publisher = lab.store("publisher");
    let key = made(&publisher, "docs");
    drop(publish(&publisher, "docs", &source(lab, "one")).ok().says("queued"));
    let publisher = publisher.seed();
    let follower = lab.store("follower").told(publisher.address()).seed();
    drop(follower.store().run(&[&"follow", &key, &"--as", &"docs"]).ok());
    eventually("the first version is here", || (versions(follower.store()) == 1).then_some(()));
    eventually("its content is kept", || kept(follower.store(), 1).then_some(()));
    (publisher, follower, key)
}

/// Whether a version's content is kept.
fn kept(store: &Store, version: u64) -> bool {
    let run = store.run(&[&"log", &"docs", &"--json"]).ok();
    let lines =
        run.lines().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    lines.into_iter().any(|line| line["version"] == version && line["kept"] == true)
}

#[test]
fn a_follower_has_the_next_version_at_once_and_keeps_the_name_alive() {
    let lab = Lab::new();
    let (publisher, follower, key) = followed(&lab);
    let dir = source(&lab, "two");
    drop(publish(publisher.store(), "docs", &dir).ok());
    let told = Instant::now();
    eventually("the second version is here", || (versions(follower.store()) == 2).then_some(()));
    println!("a follower has a version after {:?}", told.elapsed());
    assert!(told.elapsed() < FOLLOWED_MAX * 10, "far beyond {FOLLOWED_MAX:?}");
    eventually("its content is kept", || kept(follower.store(), 2).then_some(()));
    publisher.kill();
    reads(follower.store(), "docs@1/a.txt", "one");
    reads(follower.store(), "docs/a.txt", "two");
    // Who comes later and never saw the publisher.
    let late = lab.store("late").told(follower.address());
    let resolved = late.run(&[&"resolve", &key]).ok();
    assert!(resolved.lines()[0].starts_with("/ipfs/baf"), "{resolved}");
    reads(&late, &format!("{key}/a.txt"), "two");
    reads(&late, &format!("{key}@1/a.txt"), "one");
    let out = lab.path("checked out");
    drop(late.run(&[&"checkout", &format!("{key}@1"), &"-o", &out]).ok());
    assert_eq!(fs::read(out.join("a.txt")).unwrap(), b"one");
    Snapshot::of(&dir.join("sub")).assert_same(&Snapshot::of(&out.join("sub")));
}

#[test]
fn a_copied_store_refuses_to_sign_until_it_caught_up() {
    let lab = Lab::new();
    let (publisher, follower, key) = followed(&lab);
    let copy = copied(&lab, &publisher);
    drop(publish(publisher.store(), "docs", &source(&lab, "two")).ok());
    eventually("the follower has it", || (versions(follower.store()) == 2).then_some(()));
    drop(publisher.stop());
    // Alone it cannot know.
    let third = source(&lab, "three");
    drop(publish(&copy, "docs", &third).exits(5).says("copy"));
    assert_eq!(versions(&copy), 1);
    // With somebody who follows the name it learns what it lacks, and says so once.
    let told = copy.told(follower.address());
    drop(publish(&told, "docs", &third).exits(5).says("another machine uses the key"));
    assert_eq!(versions(&copy), 2);
    drop(publish(&told, "docs", &third).ok());
    eventually("the follower goes on", || (versions(follower.store()) == 3).then_some(()));
    let log = follower.store().run(&[&"log", &key]).ok();
    assert_eq!(log.lines().len(), 3, "{log}");
}

/// The publisher's store as it is now, copied while nobody runs on it.
fn copied(lab: &Lab, publisher: &Peer) -> Store {
    let copy = lab.store("copy");
    // What is synced is whole at any moment.
    let status = Command::new("cp").arg("-a").arg(publisher.store().dir()).arg(copy.dir()).status();
    assert!(status.unwrap().success());
    fs::remove_file(copy.dir().join("control.sock")).ok();
    copy
}

#[test]
fn a_copy_that_is_forced_forks_the_name_and_the_follower_proves_it() {
    let lab = Lab::new();
    let (publisher, follower, key) = followed(&lab);
    let copy = copied(&lab, &publisher);
    drop(publish(publisher.store(), "docs", &source(&lab, "two")).ok());
    eventually("the follower has it", || (versions(follower.store()) == 2).then_some(()));
    eventually("its content is kept", || kept(follower.store(), 2).then_some(()));
    drop(publisher.stop());
    drop(publish(&copy, "docs", &source(&lab, "other")).exits(5));
    drop(copy.run(&[&"publish", &"docs", &source(&lab, "other"), &"--force"]).ok());
    let copy = copy.told(follower.address()).seed();
    let store = follower.store();
    eventually("the fork is proven", || (name(store)["forked"] == true).then_some(()));
    let resolved = store.run(&[&"resolve", &key]).exits(8).says("#0.2");
    // What both histories share is served on, and nothing else.
    reads(store, "docs/a.txt", "one");
    let outcome = store.run(&[&"resolve", &key, &"--json"]).exits(8).outcome();
    let fork = &outcome["fork"];
    assert_eq!((&fork["position"], &fork["version"]), (&"#0.2".into(), &2.into()), "{resolved}");
    assert_eq!(fork["entries"].as_array().map(Vec::len), Some(2));
    let proof = PathBuf::from(fork["proof"].as_str().unwrap());
    drop(lab.store("nobody").run(&[&"verify-proof", &proof]).ok().says("two histories"));
    // The owner is told as well, and signs no more.
    eventually("the copy knows", || {
        let run = publish(copy.store(), "docs", &source(&lab, "more"));
        (run.code() == Some(8)).then_some(())
    });
    // On the user's word the name goes on.
    let entries = fork["entries"].as_array().unwrap();
    let roots = fork["roots"].as_array().unwrap();
    let ours = roots.iter().position(|root| Some(root) != other_root(&copy).as_ref()).unwrap();
    let chosen = entries[ours].as_str().unwrap();
    drop(store.run(&[&"name", &"accept", &"docs", &chosen]).ok());
    reads(store, "docs/a.txt", "two");
    drop(store.run(&[&"resolve", &"docs"]).ok());
}

/// The content of the version that the copy signed: its newest one, were it not frozen.
fn other_root(copy: &Peer) -> Option<Value> {
    let run = copy.store().run(&[&"resolve", &"docs", &"--json"]);
    let outcome = run.outcome();
    let proof = outcome["fork"]["roots"].as_array()?.clone();
    let text = |root: &Value| {
        let target = format!("{}/a.txt", root.as_str()?);
        let run = copy.store().run(&[&"cat", &target, &"--timeout", &"2s"]);
        (run.stdout == b"other").then(|| root.clone())
    };
    proof.iter().find_map(text)
}

#[test]
fn a_reader_is_never_moved_backwards() {
    let lab = Lab::new();
    let (publisher, follower, key) = followed(&lab);
    let copy = copied(&lab, &publisher);
    drop(publish(publisher.store(), "docs", &source(&lab, "two")).ok());
    let reader = lab.store("reader");
    drop(reader.told(publisher.address()).run(&[&"resolve", &key]).ok());
    publisher.kill();
    follower.kill();
    // Only an older state of the name is to be had.
    let old = copy.seed();
    let outcome = reader.told(old.address()).run(&[&"resolve", &key, &"--json"]).ok().outcome();
    assert_eq!(outcome["position"], "#0.2");
}

#[test]
fn a_link_protects_whoever_follows_it() {
    let lab = Lab::new();
    let (publisher, _follower, key) = followed(&lab);
    let outcome = publisher.store().run(&[&"resolve", &"docs", &"--json"]).ok().outcome();
    let link = outcome["link"].as_str().unwrap().to_owned();
    assert!(link.starts_with(&format!("shoal://{key}#0.1.")), "{link}");
    let reader = |name: &str| lab.store(name).told(publisher.address());
    reads(&reader("first"), &format!("{link}/a.txt"), "one");
    // Of another history, to a newcomer and to one who knows the name.
    let end = if link.ends_with('0') { "1" } else { "0" };
    let other = format!("{}{end}", &link[..link.len() - 1]);
    let refused = reader("second").run(&[&"resolve", &other, &"--timeout", &"5s"]);
    assert_ne!(refused.code(), Some(0), "{refused}");
    drop(reader("first").run(&[&"resolve", &other]).exits(8).says("another history"));
    // From the future of what anybody has.
    let later = link.replace("#0.1.", "#0.9.");
    drop(reader("first").run(&[&"resolve", &later]).exits(5));
}

#[test]
fn a_name_that_is_not_followed_has_its_history_too() {
    let lab = Lab::new();
    let (publisher, _follower, key) = followed(&lab);
    drop(publish(publisher.store(), "docs", &source(&lab, "two")).ok());
    let reader = lab.store("reader").told(publisher.address());
    let log = reader.run(&[&"log", &key]).ok();
    assert_eq!(log.lines().len(), 2, "{log}");
    let proof = lab.path("proof");
    drop(reader.run(&[&"prove", &format!("{key}@1/a.txt"), &"-o", &proof]).ok());
    drop(reader.run(&[&"verify-proof", &proof]).ok());
}

/// A name server that answers every question with one TXT record, which can be changed.
fn name_server(text: &str) -> (std::net::SocketAddr, Arc<Mutex<String>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (address, said) = (socket.local_addr().unwrap(), Arc::new(Mutex::new(text.to_owned())));
    let answers = Arc::clone(&said);
    thread::spawn(move || {
        let mut question = [0; 512];
        // It ends with the process.
        while let Ok((len, from)) = socket.recv_from(&mut question) {
            let name = question[12..len].iter().position(|byte| *byte == 0).unwrap_or(0);
            let text = answers.lock().unwrap().clone();
            let mut answer = question[..12 + name + 5].to_vec();
            // A response without errors: one question, one answer, and nothing else.
            answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
            // The name by a pointer, type TXT, class IN, one minute.
            answer.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, text.len() as u8 + 1]);
            answer.push(text.len() as u8);
            answer.extend(text.as_bytes());
            let _gone = socket.send_to(&answer, from);
        }
    });
    (address, said)
}

#[test]
fn a_domain_is_a_hint_at_a_name() {
    let lab = Lab::new();
    let store = lab.store("a");
    let key = made(&store, "docs");
    drop(publish(&store, "docs", &source(&lab, "one")).ok());
    let (address, said) = name_server(&format!("dnslink=/ipns/{key}"));
    let cat = || {
        let mut command = store.command(&[&"cat", &"/ipns/example.org/a.txt"]);
        command.env("SHOAL_DNS", address.to_string());
        Started::new(command).finish()
    };
    assert_eq!(cat().ok().stdout, b"one");
    // Another key is not followed before the user forgot the first.
    let other = made(&store, "other");
    *said.lock().unwrap() = format!("dnslink=/ipns/{other}");
    drop(cat().exits(12).says(&key));
    drop(store.run(&[&"name", &"rm", &"/ipns/example.org"]).ok());
    drop(cat().exits(4));
    // Without a name server of its own, the isolated network asks nobody.
    drop(store.run(&[&"cat", &"/ipns/example.net/a.txt"]).exits(12).says("isolated"));
}

#[test]
fn what_is_published_alone_is_queued_and_found_later_through_the_dht() {
    let lab = Lab::new();
    let middle = lab.store("middle").seed();
    let publisher = lab.store("publisher");
    let key = made(&publisher, "docs");
    drop(publish(&publisher, "docs", &source(&lab, "one")).ok().says("queued"));
    let peer = publisher.told(middle.address()).seed();
    let reader = lab.store("reader").told(middle.address());
    eventually("it is found", || {
        let run = reader.run(&[&"cat", &format!("{key}/a.txt"), &"--timeout", &"5s"]);
        (run.stdout == b"one").then_some(())
    });
    drop(peer.stop());
}

#[test]
fn histories_are_listed_compared_rolled_back_and_proven() {
    let lab = Lab::new();
    let store = lab.store("publisher");
    let key = made(&store, "docs");
    for text in ["one", "two", "three"] {
        drop(publish(&store, "docs", &source(&lab, text)).ok());
    }
    drop(store.run(&[&"rollback", &"docs", &"1", &"-m", &"back"]).ok());
    reads(&store, "docs/a.txt", "one");
    let log = store.run(&[&"log", &"docs"]).ok();
    assert_eq!(log.lines().len(), 4, "{log}");
    assert!(log.lines()[0].contains("back") && log.lines()[0].contains("@1"), "{log}");
    let diff = store.run(&[&"diff", &"docs@1", &"docs@2"]).ok();
    assert!(diff.lines().iter().any(|line| line == "M a.txt"), "{diff}");
    assert!(!diff.lines().iter().any(|line| line.contains("big")), "{diff}");
    assert!(store.run(&[&"diff", &"docs@1", &"docs@4"]).ok().stdout.is_empty());
    let proof = lab.path("proof");
    drop(store.run(&[&"prove", &"docs@2/a.txt", &"-o", &proof]).ok());
    let nobody = lab.store("nobody");
    let shown = nobody.run(&[&"verify-proof", &proof]).ok().says(&key);
    assert!(shown.lines()[0].starts_with("a.txt baf"), "{shown}");
    let mut bytes = fs::read(&proof).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&proof, bytes).unwrap();
    assert_ne!(nobody.run(&[&"verify-proof", &proof]).code(), Some(0));
    assert!(!nobody.dir().exists(), "a proof is checked without a store");
}

#[test]
fn a_checkout_changes_only_what_differs_and_keeps_what_was_edited() {
    use std::os::unix::fs::MetadataExt;
    let lab = Lab::new();
    let store = lab.store("publisher");
    made(&store, "docs");
    drop(publish(&store, "docs", &source(&lab, "one")).ok());
    drop(publish(&store, "docs", &source(&lab, "two")).ok());
    let out = lab.path("out");
    drop(store.run(&[&"checkout", &"docs@1", &"-o", &out]).ok());
    let inode = |name: &str| fs::metadata(out.join(name)).unwrap().ino();
    let big = inode("sub/big");
    drop(store.run(&[&"checkout", &"docs@2", &"-o", &out]).ok());
    assert_eq!(fs::read(out.join("a.txt")).unwrap(), b"two");
    assert_eq!(inode("sub/big"), big, "what is the same is left alone");
    fs::write(out.join("a.txt"), "edited").unwrap();
    drop(store.run(&[&"checkout", &"docs@1", &"-o", &out]).exits(1).says("a.txt"));
    assert_eq!(fs::read(out.join("a.txt")).unwrap(), b"edited");
    drop(store.run(&[&"checkout", &"docs@1", &"-o", &out, &"--force"]).ok());
    assert_eq!(fs::read(out.join("a.txt")).unwrap(), b"one");
}

#[test]
fn one_key_on_two_machines_is_noticed_before_it_forks() {
    let lab = Lab::new();
    let (publisher, follower, _) = followed(&lab);
    let key = lab.path("key");
    drop(publisher.store().run(&[&"name", &"export", &"docs", &"-o", &key]).ok());
    let second = lab.store("second").told(follower.address());
    drop(second.run(&[&"name", &"import", &"docs", &key]).ok());
    // Nothing was here before, so what comes is no surprise.
    drop(publish(&second, "docs", &source(&lab, "second")).ok());
    eventually("all have it", || (versions(publisher.store()) == 2).then_some(()));
    let first = source(&lab, "first");
    drop(publish(publisher.store(), "docs", &first).exits(5).says("another machine"));
    drop(publish(publisher.store(), "docs", &first).ok());
    eventually("nothing is forked", || (versions(follower.store()) == 3).then_some(()));
    assert_eq!(name(follower.store())["forked"], false);
}

#[test]
fn what_is_no_name_and_what_may_not_be_done_is_said() {
    let lab = Lab::new();
    let store = lab.store("a");
    let key = made(&store, "docs");
    drop(store.run(&[&"name", &"new", &"docs"]).exits(1).says(&key));
    drop(store.run(&[&"name", &"new", &"7"]).exits(2));
    drop(store.run(&[&"resolve", &"nobody"]).exits(4).says("nobody"));
    drop(store.run(&[&"cat", &"nobody/x"]).exits(2).says("not a CID or a known name"));
    drop(store.run(&[&"resolve", &"docs"]).exits(4).says("no version"));
    drop(store.run(&[&"publish", &"docs", &lab.path("missing")]).exits(2));
    drop(store.run(&[&"name", &"rm", &"docs"]).exits(12).says("export"));
    let dir = source(&lab, "one");
    drop(publish(&store, "docs", &dir).ok());
    drop(publish(&store, "docs", &dir).ok());
    // A record that we keep ourselves confirms nothing.
    drop(store.run(&[&"resolve", &"docs"]).ok().says("nobody else has confirmed it yet"));
    assert_eq!(versions(&store), 1, "the same content is no new version");
    drop(store.run(&[&"cat", &"docs@2/a.txt"]).exits(4).says("no version 2"));
    // What cannot be read is named and left out, and the rest is a version.
    let _socket = std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap();
    fs::write(dir.join("a.txt"), "two").unwrap();
    drop(publish(&store, "docs", &dir).exits(3).says("socket"));
    reads(&store, "docs@2/a.txt", "two");
    drop(store.run(&[&"name", &"rm", &"docs", &"--force"]).ok());
    assert!(store.run(&[&"name", &"ls"]).ok().stdout.is_empty());
}
