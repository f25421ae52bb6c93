//! `verify`: everything that the store has is hashed again; what is wrong is named and, with
//! `--repair`, fetched again. A pin that lacks something is wrong too.
//!
//! Mending is: forget what is wrong, complete every pin that is not whole any more (from the swarm of
//! the pin, or of the roots that it is a part of), and look again at what was found. Content that no pin
//! needs is forgotten and not fetched. Nothing is asked of peers without `--repair`.

use std::{
    os::unix::ffi::OsStrExt as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use shoal_dag::{Cid, path::CidPath};
use shoal_store::{Checked, Fault, Pin, ReadError, Store, VerifyReport};

use super::{Node, get::fetch_tree, pin, read::Reader, sharing};
use crate::{
    control::{
        protocol::{Failure, FaultKind, FaultLine, Outcome, Phase, Progress, Response, Verify},
        server::Responder,
    },
    exit::Exit,
};

pub mod index;

/// Pins that lack something and are named one by one in one run.
const LACKING_MAX: usize = 10_000;

/// How often it is told how far it is.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// Checks everything, and mends it when asked.
///
/// # Errors
/// Exit 6 when something is wrong in the end; the store cannot be read or written.
pub async fn verify(
    node: &Arc<Node>,
    request: Verify,
    out: &Responder,
) -> Result<Outcome, Failure> {
    let began = Instant::now();
    let report = check(node, out).await?;
    if report.is_cut_short {
        return Err(Failure::client_gone());
    }
    let checked = report.checked;
    let lacked = node.with_store(lacking_pins).await?;
    let faults = checked.faults + lacked.len() as u64;
    let lines = if request.repair && faults > 0 {
        mend(node, &request, report.faults, &lacked, out).await?
    } else {
        let lines = report.faults.iter().map(|fault| line(fault, false));
        lines.chain(lacked.iter().map(|cid| missing(cid, false))).collect()
    };
    let mended = lines.iter().filter(|line| line.mended).count() as u64;
    for line in lines {
        out.send(Response::Fault(line)).await?;
    }
    let (blocks, bytes) = (checked.blocks, checked.bytes);
    let elapsed_ms = began.elapsed().as_millis() as u64;
    Ok(Outcome::Verified { blocks, bytes, faults, mended, elapsed_ms })
}

async fn check(node: &Arc<Node>, out: &Responder) -> Result<VerifyReport, Failure> {
    let out = out.clone();
    let check = move |store: &Store| {
        let mut told = Instant::now();
        store.verify(|checked| {
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                out.offer(Response::Progress(progress(checked)));
            }
            !out.is_gone()
        })
    };
    Ok(node.with_store(check).await?)
}

fn progress(checked: Checked) -> Progress {
    Progress { bytes: checked.bytes, files: checked.blocks, ..Progress::default() }
}

/// Forgets what is wrong and completes what is pinned; what of it is right now.
async fn mend(
    node: &Arc<Node>,
    request: &Verify,
    faults: Vec<Fault>,
    lacked: &[Cid],
    out: &Responder,
) -> Result<Vec<FaultLine>, Failure> {
    let forget = move |store: &Store| store.forget_faults(&faults).map(|()| faults);
    let faults = node.with_store(forget).await?;
    let lacking = complete_pins(node, request, out).await?;
    node.swarm().pins_changed();
    let lack = !lacking.is_empty();
    let look = move |store: &Store| -> Vec<FaultLine> {
        faults.iter().map(|fault| line(fault, is_mended(store, fault, lack))).collect()
    };
    let mut lines = node.with_store(look).await;
    lines.extend(lacked.iter().map(|cid| missing(cid, !lacking.contains(cid))));
    Ok(lines)
}

/// The pins that are not whole.
fn lacking_pins(store: &Store) -> Result<Vec<Cid>, ReadError> {
    let mut lacking = Vec::new();
    sharing::for_each_pin(store, &mut |cid, pin| {
        let has =
            |cid: &Cid| if pin.direct { store.has(cid) } else { sharing::is_all_here(store, cid) };
        if lacking.len() < LACKING_MAX && !has(&cid) {
            lacking.push(cid);
        }
    })?;
    Ok(lacking)
}

/// Is it right, or not needed any more? While pins lack something, what is missing may be theirs.
fn is_mended(store: &Store, fault: &Fault, pins_lack: bool) -> bool {
    match fault {
        Fault::Block(bad) => match store.get(&bad.cid) {
            Ok(data) => data.is_some() || !pins_lack,
            Err(_) => false,
        },
        Fault::Reference { .. } => !pins_lack,
        Fault::Orphan { path, .. } => !path.exists(),
        _ => false,
    }
}

/// Fetches what the pins lack; those that still lack something.
async fn complete_pins(
    node: &Arc<Node>,
    request: &Verify,
    out: &Responder,
) -> Result<Vec<Cid>, Failure> {
    let mut lacking = Vec::new();
    for cid in node.with_store(lacking_pins).await? {
        let Some(pin) = node.with_store(move |store| store.pinned(&cid)).await? else { continue };
        if let Err(failure) = complete(node, &cid, &pin, request, out).await {
            if failure.exit == Exit::Interrupted {
                return Err(failure);
            }
            let text = format!("the pin {cid} is not whole: {}", failure.message);
            out.send(Response::Note(text)).await?;
            lacking.push(cid);
        }
    }
    Ok(lacking)
}

/// Fetches what one pin lacks: from its own swarm, else from those of the roots that it is a part of.
async fn complete(
    node: &Arc<Node>,
    cid: &Cid,
    pin: &Pin,
    request: &Verify,
    out: &Responder,
) -> Result<(), Failure> {
    out.send(Response::Phase(Phase { text: format!("fetching what {cid} lacks") })).await?;
    let public = !pin.local;
    if pin.direct {
        let mut reader = Reader::new(node, *cid, request.wait.into(), Some(out));
        drop(reader.block(cid, None, None).await?);
        let cid = *cid;
        return Ok(node.with_store(move |store| store.own(&cid, public)).await.map(drop)?);
    }
    let target = *cid;
    let paths = node.with_store(move |store| sharing::paths_of_part(store, &target)).await;
    let own = CidPath { root: *cid, segments: Vec::new() };
    let mut failed = None;
    for path in std::iter::once(own).chain(paths) {
        match fetch_tree(node, &path, request.wait.into(), out).await {
            Ok(_) => {
                let cid = *cid;
                return node.with_store(move |store| pin::own_tree(store, &cid, public)).await;
            }
            Err(failure) => failed = failed.or(Some(failure)),
        }
    }
    failed.map_or(Ok(()), Err)
}

/// A pin that lacks something.
fn missing(cid: &Cid, mended: bool) -> FaultLine {
    FaultLine {
        kind: FaultKind::Missing,
        cid: Some(cid.to_string()),
        path: Vec::new(),
        offset: None,
        bytes: None,
        mended,
    }
}

fn line(fault: &Fault, mended: bool) -> FaultLine {
    let of = |kind, path: &Path| FaultLine {
        kind,
        cid: None,
        path: path.as_os_str().as_bytes().to_vec(),
        offset: None,
        bytes: None,
        mended,
    };
    match fault {
        Fault::Block(bad) => FaultLine {
            cid: Some(bad.cid.to_string()),
            offset: Some(bad.offset),
            bytes: Some(bad.len.into()),
            ..of(FaultKind::Corrupt, &bad.path)
        },
        Fault::Reference { path, gone: true, .. } => of(FaultKind::Gone, path),
        Fault::Orphan { path, bytes } => {
            FaultLine { bytes: Some(*bytes), ..of(FaultKind::Orphan, path) }
        }
        Fault::Reference { path, .. } => of(FaultKind::Changed, path),
        _ => of(FaultKind::Corrupt, Path::new("")),
    }
}
