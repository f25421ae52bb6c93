//! `peers`, `status` and their streams against a scripted running peer.
//!
//! The peer is a thread of the test with a socket where the store's would be: what it answers, and
//! that it is silent until a line was read, is the test's choice.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::net::UnixListener,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde::Serialize;
use shoal::control::{
    frame::{self, Frame},
    protocol::{
        Hello, Outcome, PROTOCOL_VERSION, PeerLine, Phase, Request, Response, Status, Welcome,
        dropped::DroppedLine,
    },
};
use tokio::net::UnixStream;

use super::run::{run, shoal};

const PEER: &str = "12D3KooWA1b2c3";

pub(crate) fn at(dir: &Path, arguments: &str) -> Command {
    let mut command = shoal(arguments);
    command.env("SHOAL_DIR", dir);
    command
}

pub(crate) async fn say(stream: &mut UnixStream, message: &(impl Serialize + Sync)) {
    frame::write_message(stream, message).await.unwrap();
}

pub(crate) async fn request(stream: &mut UnixStream) -> Request {
    match frame::read(stream).await.unwrap() {
        Some(Frame::Message(request)) => request,
        other => panic!("no request but {other:?}"),
    }
}

/// Takes one connection and greets it as a running peer.
async fn greet(listener: UnixListener) -> UnixStream {
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::UnixListener::from_std(listener).unwrap();
    accept(&listener, true).await
}

/// Takes a connection and greets it as a running peer, or as a verb that owns the store.
pub(crate) async fn accept(listener: &tokio::net::UnixListener, persistent: bool) -> UnixStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let hello: Option<Frame<Hello>> = frame::read(&mut stream).await.unwrap();
    assert!(matches!(hello, Some(Frame::Message(_))));
    say(&mut stream, &Welcome { version: PROTOCOL_VERSION, pid: 1, persistent }).await;
    stream
}

/// A thread that answers the one request of one connection.
fn answering(dir: &Path, outcome: Outcome) -> std::thread::JoinHandle<()> {
    let listener = UnixListener::bind(dir.join("control.sock")).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut stream = greet(listener).await;
            request(&mut stream).await;
            say(&mut stream, &Response::Done(outcome)).await;
        });
    })
}

fn peers() -> Outcome {
    let connected = vec![PeerLine {
        peer: PEER.into(),
        address: "/ip4/127.0.0.1/tcp/1".into(),
        agent: "evil\x1b[31m\r\n".into(),
        native: true,
        protocol: "native".into(),
        sent: 10,
        received: 20,
        points: 44,
        violations: vec![("Corrupt".into(), 1), ("Flooding".into(), 1)],
    }];
    let dropped = vec![DroppedLine {
        peer: PEER.into(),
        address: "/ip4/127.0.0.1/tcp/2".into(),
        at_unix_s: 1_800_000_000,
        reason: "sent a malformed frame".into(),
        ..DroppedLine::default()
    }];
    Outcome::Peers { connected, dropped }
}

#[test]
fn without_a_running_peer_the_code_is_ten() {
    let dir = tempfile::tempdir().unwrap();
    for verb in ["peers", "status", "bwlimit", "bwlimit 1M"] {
        let ran = run(&mut at(dir.path(), verb));
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(10), ""), "{verb}");
        assert!(ran.stderr.starts_with("error: no running peer"), "{}", ran.stderr);
        assert!(ran.stderr.contains("hint: "), "{}", ran.stderr);
    }
}

#[test]
fn what_strangers_say_of_themselves_is_escaped() {
    let dir = tempfile::tempdir().unwrap();
    let node = answering(dir.path(), peers());
    let ran = run(&mut at(dir.path(), "peers"));
    node.join().unwrap();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let line = format!(
        "{PEER} /ip4/127.0.0.1/tcp/1 10 20 native 44 Corrupt:1,Flooding:1 evil\\x1b[31m\\x0d\\x0a\n\
         dropped {PEER} /ip4/127.0.0.1/tcp/2 2027-01-15T08:00:00Z 0 - sent a malformed frame\n"
    );
    assert_eq!(ran.stdout, line);
}

#[test]
fn json_is_one_object_a_line_and_the_outcome_last() {
    let dir = tempfile::tempdir().unwrap();
    let node = answering(dir.path(), peers());
    let ran = run(&mut at(dir.path(), "peers --json"));
    node.join().unwrap();
    let lines: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!((&lines[0]["type"], &lines[0]["received"]), (&"peer".into(), &20.into()));
    assert_eq!((&lines[0]["points"], &lines[0]["violations"]["Corrupt"]), (&44.into(), &1.into()));
    assert_eq!((&lines[1]["type"], &lines[1]["peer"]), (&"dropped".into(), &PEER.into()));
    assert_eq!(lines[1]["at"], "2027-01-15T08:00:00Z");
    assert_eq!((&lines[2]["type"], &lines[2]["exit"]), (&"outcome".into(), &0.into()));
    assert_eq!((&lines[2]["peers"], &lines[2]["dropped"]), (&1.into(), &1.into()));
}

#[test]
fn a_status_is_a_table() {
    let dir = tempfile::tempdir().unwrap();
    let status = Status { peer: PEER.into(), pid: 77, bytes: 2048, ..Status::default() };
    let node = answering(dir.path(), Outcome::Status(status));
    let ran = run(&mut at(dir.path(), "status"));
    node.join().unwrap();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let rows: Vec<(&str, &str)> =
        ran.stdout.lines().map(|line| line.split_once("  ").unwrap()).collect();
    assert!(rows.iter().any(|(name, value)| (*name, value.trim()) == ("peer", PEER)));
    assert!(rows.iter().any(|(name, value)| (name.trim(), value.trim()) == ("stored", "2.0 KiB")));
}

#[test]
fn waiting_is_told_within_two_seconds_in_whole_lines() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("control.sock")).unwrap();
    let mut child = at(dir.path(), "status").spawn().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    runtime.block_on(async {
        let mut stream = greet(listener).await;
        request(&mut stream).await;
        // Nothing is answered: the silence itself is told, and then what the node says of it.
        let asked = Instant::now();
        assert_eq!(lines.next().unwrap().unwrap(), "waiting for the node");
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        let text = "looking for providers: 3 asked\x1b[2J".to_owned();
        say(&mut stream, &Response::Phase(Phase { text })).await;
        assert_eq!(lines.next().unwrap().unwrap(), "looking for providers: 3 asked\\x1b[2J");
        say(&mut stream, &Response::Done(Outcome::Status(Status::default()))).await;
    });
    assert!(child.wait().unwrap().success());
    assert!(lines.next().is_none());
}

#[test]
fn quiet_waits_without_words() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("control.sock")).unwrap();
    let child = at(dir.path(), "status -q").spawn().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut stream = greet(listener).await;
        request(&mut stream).await;
        say(&mut stream, &Response::Note("nothing that matters".into())).await;
        say(&mut stream, &Response::Done(Outcome::Status(Status::default()))).await;
    });
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stderr, b"");
}

#[test]
fn an_interrupt_ends_with_its_code_and_words() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("control.sock")).unwrap();
    let child = at(dir.path(), "status --json").spawn().unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async {
        let mut stream = greet(listener).await;
        request(&mut stream).await;
        stream
    });
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(stream);
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(output.stderr, b"error: interrupted\n");
    let outcome: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&outcome["exit"], &outcome["error"]), (&130.into(), &"interrupted".into()));
}
