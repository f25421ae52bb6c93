//! A name that is mounted through the kernel, against a scripted node: from what was typed to what
//! `readdir` says after a new version came.
//!
//! Where /dev/fuse cannot be used it prints why and passes; `SHOAL_TEST_REQUIRE` containing `fuse`
//! turns that into a failure.

use std::{fs::OpenOptions, time::Duration};

use rustix::mount::{UnmountFlags, unmount as system_unmount};
use tokio::{sync::oneshot, task::JoinHandle, time::timeout};

use super::{
    scripted::{Asked, PATIENCE, Scripted, cid, described, directory, resolved, settings},
    *,
};
use crate::control::protocol::{
    Kind, Listed, Meta, Outcome, Request, Response,
    name::{NameRequest, Standing},
};

/// A directory to mount on, cleared of what is left there.
struct Place(tempfile::TempDir);

impl Drop for Place {
    fn drop(&mut self) {
        while system_unmount(self.0.path(), UnmountFlags::DETACH).is_ok() {}
    }
}

fn usable() -> bool {
    let reason = if !rustix::process::getuid().is_root() {
        "mounting takes root here".to_owned()
    } else if let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        format!("/dev/fuse: {error}")
    } else {
        return true;
    };
    let required = std::env::var("SHOAL_TEST_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|word| word.trim() == "fuse"), "{reason}");
    println!("skipped: {reason}");
    false
}

/// What the directory of a number holds: one empty file that says the number.
fn listing(number: u8) -> Vec<Response> {
    let listed = Listed {
        name: format!("in-{number}").into_bytes(),
        cid: cid(100 + number).to_string(),
        kind: Some(Kind::File),
        size: Some(0),
        dag_size: 0,
        meta: Meta::default(),
    };
    let end = Outcome::Listed { entries: 1, described: directory(number) };
    vec![Response::Listed(vec![listed]), Response::Done(end)]
}

fn number_of(text: &str) -> u8 {
    let text = text.rsplit('/').next().unwrap_or_default();
    (0..100).find(|number| cid(*number).to_string() == text).unwrap()
}

/// Answers everything but `Watch`, which is left to the test.
async fn answer_until_watched(node: &mut Scripted) -> Asked {
    loop {
        let asked = node.next().await;
        match &asked.request {
            Request::Name(NameRequest::Watch { .. }) => return asked,
            Request::Name(NameRequest::Resolve { .. }) => asked.answer(resolved(1, Standing::Ok)),
            Request::Stat { target, .. } => {
                let number = number_of(&String::from_utf8_lossy(target));
                asked.answer(described(number));
            }
            Request::Nodes { cids, .. } => {
                let nodes = cids.iter().map(|cid| Ok(directory(number_of(cid)))).collect();
                asked.answer(Response::Done(Outcome::Nodes(nodes)));
            }
            Request::Directory { cid, .. } => {
                let number = number_of(cid);
                asked.answers(listing(number));
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn line(told: &mut mpsc::Receiver<Told>) -> String {
    loop {
        match timeout(PATIENCE, told.recv()).await.expect("nothing is told") {
            Some(Told::Line(line)) => return line,
            Some(_) => {}
            None => panic!("it ended"),
        }
    }
}

/// Lists without holding up the node that answers: it runs on this test's thread.
async fn names(place: &Path) -> Vec<String> {
    let place = place.to_owned();
    let list = move || {
        let entry = |it: std::io::Result<std::fs::DirEntry>| it.unwrap().file_name();
        std::fs::read_dir(place).unwrap().map(entry).map(|it| it.into_string().unwrap()).collect()
    };
    tokio::task::spawn_blocking(list).await.unwrap()
}

struct Running {
    told: mpsc::Receiver<Told>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), Failure>>,
}

fn start(settings: &Settings, target: &'static str, place: &Path) -> Running {
    let (tell, told) = mpsc::channel(16);
    let (stop, stopped) = oneshot::channel();
    let (settings, place) = (settings.clone(), place.to_owned());
    let ended = tokio::spawn(async move {
        let target = Some(target.as_bytes());
        let mounting = Mounting { target, dir: &place, background: false };
        let stopped = async { stopped.await.unwrap() };
        run(&settings, mounting, tell, stopped).await
    });
    Running { told, stop, ended }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_goes_on_to_its_next_version_and_outlives_its_node() {
    if !usable() {
        return;
    }
    let (store, place) = (tempfile::tempdir().unwrap(), Place(tempfile::tempdir().unwrap()));
    let dir = place.0.path();
    let settings = settings(&store);
    let mut node = Scripted::start(&settings, true);
    let Running { mut told, stop, ended } = start(&settings, "photos", dir);

    let watch = answer_until_watched(&mut node).await;
    let mounted = line(&mut told).await;
    assert!(mounted.starts_with("photos, version 1 (") && mounted.ends_with("new versions"));
    let seen = answering(&mut node, names(dir)).await;
    assert_eq!(seen, ["in-1"]);

    watch.answer(resolved(2, Standing::Ok));
    let watch = answer_until_watched(&mut node).await;
    assert_eq!(line(&mut told).await, format!("now version 2, {}", cid(2)));
    assert_eq!(names(dir).await, ["in-2"], "known already: it was read before it was shown");

    drop((watch, node));
    assert_eq!(names(dir).await, ["in-2"]);
    let mut node = Scripted::start(&settings, true);
    answer_until_watched(&mut node).await.answer(resolved(3, Standing::Ok));
    let _watch = answer_until_watched(&mut node).await;
    assert_eq!(line(&mut told).await, format!("now version 3, {}", cid(3)));
    assert_eq!(names(dir).await, ["in-3"]);

    stop.send(()).unwrap();
    assert_eq!(timeout(PATIENCE, ended).await.unwrap().unwrap(), Ok(()));
    assert!(names(dir).await.is_empty(), "it is not mounted any more");
}

/// What a program sees while the node answers it.
async fn answering<T>(node: &mut Scripted, seen: impl Future<Output = T>) -> T {
    let mut seen = std::pin::pin!(seen);
    tokio::select! {
        seen = &mut seen => seen,
        _ = answer_until_watched(node) => panic!("watched twice at once"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_mounted_as_it_is_and_nobody_watches() {
    if !usable() {
        return;
    }
    let (store, place) = (tempfile::tempdir().unwrap(), Place(tempfile::tempdir().unwrap()));
    let dir = place.0.path();
    let settings = settings(&store);
    let mut node = Scripted::start(&settings, true);
    let Running { mut told, stop, ended } = start(&settings, "photos@1", dir);
    let mounted = answering(&mut node, line(&mut told)).await;
    assert_eq!(mounted, format!("photos, version 1 ({}), is mounted at {}", cid(1), dir.display()));
    let seen = answering(&mut node, names(dir)).await;
    assert_eq!(seen, ["in-1"]);
    assert!(node.is_left_alone(Duration::from_millis(200)).await);
    stop.send(()).unwrap();
    assert_eq!(timeout(PATIENCE, ended).await.unwrap().unwrap(), Ok(()));
}
