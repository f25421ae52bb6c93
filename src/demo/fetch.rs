//! The fetch from two peers, one of which is killed half-way.
//!
//! Half-way is when the two peers' own counters say that half of the content was sent; their uplinks
//! are limited so that there is a half-way to be seen on loopback. What came from whom is what
//! `get --json` says in its outcome.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    failed,
    stage::{self, Monitor, Peer, ProcessNo, Stage},
    tell::{self, Teller},
};
use crate::control::protocol::Failure;

/// The whole fetch is to take about this long from both peers together.
const FETCH_SECONDS: u64 = 3;

/// Bounds of a peer's uplink in bytes per second.
const LIMIT_MIN: u64 = 1_000_000;
const LIMIT_MAX: u64 = 60_000_000;

/// Longest time for the whole fetch beyond what the limits explain.
const FETCH_WAIT_MAX: Duration = Duration::from_secs(90);

/// Below this size a fetch may be over before half-way can be seen.
const INTERRUPTIBLE_BYTES_MIN: u64 = 64_000_000;

/// The uplink of each of the two peers, in bytes per second, for content of `bytes`.
pub(super) fn limit(bytes: u64) -> u64 {
    (bytes / 2 / FETCH_SECONDS).clamp(LIMIT_MIN, LIMIT_MAX)
}

/// Fetches `cid` on the peer `getter` into `out`, and kills the second of `seeds` half-way.
pub(super) async fn half_way_alone(
    stage: &mut Stage,
    teller: &Teller,
    seeds: [&Peer; 2],
    getter: &Peer,
    cid: &str,
    out: &Path,
    bytes: u64,
) -> Result<(), Failure> {
    let begin = Instant::now();
    let mut monitors = [stage.monitor(seeds[0]).await?, stage.monitor(seeds[1]).await?];
    let arguments = ["get".as_ref(), cid.as_ref(), "-o".as_ref(), out.as_os_str()];
    let rest = ["--keep".as_ref(), "--json".as_ref()];
    let process = stage.start(getter, &[&arguments[..], &rest[..]].concat())?;
    let wait_max = FETCH_WAIT_MAX + Duration::from_secs(bytes / limit(bytes));
    let seen = half_way(stage, &mut monitors, process, bytes, begin + wait_max).await?;
    let cut = seen.is_some();
    if let Some(sent) = seen {
        let sum = sent.iter().sum();
        teller.step("get", format!("half-way, {}", tell::taken(sum, begin.elapsed())));
        stage.kill(seeds[1]).await?;
        teller.step("kill", format!("SIGKILL for the {} peer", seeds[1]));
    } else if bytes >= INTERRUPTIBLE_BYTES_MIN {
        stage.finish(process, wait_max).await?;
        return Err(failed("the fetch was over before half of it was sent".to_owned()));
    } else {
        teller.step("get", "too small to be interrupted half-way".to_owned());
    }
    let lines = stage.finish(process, wait_max).await?;
    teller.step("get", format!("all there {}", tell::taken(bytes, begin.elapsed())));
    let outcome = lines.last().cloned().unwrap_or_default();
    let sources = sources(&outcome)
        .ok_or_else(|| failed(format!("`shoal get --json` named no sources: {outcome}")))?;
    for (peer, bytes) in &sources {
        teller.step("get", format!("{} from {peer}", tell::amount(*bytes)));
    }
    // Less than that may come from one of them before the other is asked.
    let both = cut && bytes >= INTERRUPTIBLE_BYTES_MIN;
    if both && sources.iter().filter(|(_, bytes)| *bytes > 0).count() < 2 {
        return Err(failed("only one of the two peers gave anything".to_owned()));
    }
    Ok(())
}

/// Waits until half is sent and gives what each sent; `None` when the fetch ended before.
async fn half_way(
    stage: &mut Stage,
    monitors: &mut [Monitor; 2],
    process: ProcessNo,
    bytes: u64,
    end: Instant,
) -> Result<Option<[u64; 2]>, Failure> {
    let mut before = [0; 2];
    for (monitor, before) in monitors.iter_mut().zip(&mut before) {
        *before = monitor.status().await?.sent;
    }
    while Instant::now() < end {
        if stage.ended(process)? {
            return Ok(None);
        }
        let mut sent = [0; 2];
        for ((monitor, before), sent) in monitors.iter_mut().zip(before).zip(&mut sent) {
            *sent = monitor.status().await?.sent.saturating_sub(before);
        }
        if sent.iter().sum::<u64>() >= bytes / 2 {
            return Ok(Some(sent));
        }
        tokio::time::sleep(stage::POLL).await;
    }
    Err(failed("half of the content was not sent in time".to_owned()))
}

/// The sources in the outcome of `get --json`, most bytes first.
fn sources(line: &str) -> Option<Vec<(String, u64)>> {
    let outcome: Value = serde_json::from_str(line).ok()?;
    let sources = outcome.get("sources")?.as_object()?.iter();
    let mut sources: Vec<_> =
        sources.filter_map(|(peer, bytes)| Some((peer.clone(), bytes.as_u64()?))).collect();
    sources.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    Some(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_leaves_time_for_half_way_and_has_bounds() {
        assert_eq!(limit(310_000_000), 51_666_666);
        assert_eq!(limit(10), LIMIT_MIN);
        assert_eq!(limit(u64::MAX), LIMIT_MAX);
    }

    #[test]
    fn sources_are_read_from_the_outcome() {
        let line = r#"{"type":"outcome","exit":0,"sources":{"P":3,"Q":5}}"#;
        assert_eq!(sources(line), Some(vec![("Q".to_owned(), 5), ("P".to_owned(), 3)]));
        assert_eq!(sources("{}"), None);
        assert_eq!(sources("not json"), None);
    }
}
