//! What is asked of the node for each kind of target, and what is told of it.
//!
//! Against a scripted node, as in the watcher's tests.

use std::path::Path;

use super::{
    super::scripted::{NAME, Scripted, cid, described, resolved, settings},
    *,
};
use crate::control::protocol::Response;

const WAIT: Wait = Wait { idle_ms: 1000 };

/// Finds `target` while the node answers with `answers`, and what was asked.
async fn found(target: &str, answers: Vec<Response>) -> Found {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(&dir);
    let mut node = Scripted::start(&settings, true);
    let link = Link::new(settings);
    let (tell, _told) = mpsc::channel(1);
    let script = async {
        let mut asked = Vec::new();
        for answer in answers {
            let next = node.next().await;
            asked.push(match &next.request {
                Request::Stat { target, .. } => String::from_utf8_lossy(target).into_owned(),
                Request::Name(NameRequest::Resolve { target, offline: false, .. }) => {
                    format!("resolve {}", String::from_utf8_lossy(target))
                }
                other => panic!("{other:?}"),
            });
            next.answer(answer);
        }
        asked
    };
    let (source, asked) = tokio::join!(find(&link, target.as_bytes(), WAIT, &tell), script);
    Found { source, asked }
}

struct Found {
    source: Result<Source, Failure>,
    asked: Vec<String>,
}

#[tokio::test]
async fn a_cid_is_no_name_and_is_not_followed() {
    let target = format!("{}/a/b", cid(1));
    let found = found(&target, vec![described(2)]).await;
    let source = found.source.unwrap();
    assert_eq!(found.asked, [target]);
    assert_eq!(source.place, Place { swarm: cid(1).to_string(), cid: cid(2) });
    assert!(!source.follows && source.version.is_none());
    assert_eq!(source.label(), format!("shoal:{}", cid(2)));
    assert_eq!(source.told(Path::new("/m")), [format!("{} is mounted at /m", cid(2))]);
}

#[tokio::test]
async fn a_name_is_followed_and_a_version_of_it_is_not() {
    for target in ["photos", NAME, &format!("/ipns/{NAME}"), &format!("shoal://{NAME}")] {
        let found = found(target, vec![resolved(3, Standing::Ok), described(3)]).await;
        let source = found.source.unwrap();
        assert_eq!(found.asked, [format!("resolve {target}"), format!("/ipfs/{}", cid(3))]);
        assert_eq!(source.place, Place { swarm: cid(3).to_string(), cid: cid(3) });
        assert!(source.follows, "{target}");
        assert_eq!(source.label(), "shoal:photos");
        let told =
            format!("photos, version 3 ({}), is mounted at /m and follows new versions", cid(3));
        assert_eq!(source.told(Path::new("/m")), [told]);
    }
    for target in ["photos@3", "photos@2026-01-31", &format!("{NAME}@3")] {
        let source =
            found(target, vec![resolved(3, Standing::Ok), described(3)]).await.source.unwrap();
        assert!(!source.follows, "{target}");
        assert_eq!(source.label(), format!("shoal:{}", cid(3)));
        let told = format!("photos, version 3 ({}), is mounted at /m", cid(3));
        assert_eq!(source.told(Path::new("/m")), [told]);
    }
}

#[tokio::test]
async fn a_path_behind_a_name_is_looked_for_in_its_version() {
    let found = found("photos/a b/c", vec![resolved(3, Standing::Own), described(7)]).await;
    let source = found.source.unwrap();
    assert_eq!(found.asked[1], format!("/ipfs/{}/a b/c", cid(3)));
    assert_eq!(source.place, Place { swarm: cid(3).to_string(), cid: cid(7) });
    assert_eq!(source.version.unwrap().segments, [b"a b".to_vec(), b"c".to_vec()]);
}

#[tokio::test]
async fn a_forked_name_is_mounted_as_far_as_it_goes_and_said_to_be_forked() {
    let found = found("photos", vec![resolved(3, Standing::Forked), described(3)]).await;
    let told = found.source.unwrap().told(Path::new("/m"));
    assert_eq!(told.len(), 2);
    assert!(told[1].starts_with("photos is forked: "), "{told:?}");
}

#[tokio::test]
async fn what_is_neither_is_a_usage_error_and_nobody_is_asked() {
    for (target, text) in [
        ("1234", "is not a CID or a known name"),
        ("a/../b", "bad path segment"),
        ("k51nonsense", "is not a name"),
        ("photos@x", "is no version"),
    ] {
        let failure = found(target, Vec::new()).await.source.unwrap_err();
        assert_eq!(failure.exit, Exit::Usage, "{target}: {failure:?}");
        assert!(failure.message.contains(text), "{target}: {}", failure.message);
    }
}

#[tokio::test]
async fn what_the_node_says_of_a_name_is_passed_on() {
    let failed = |failure: &Failure| Response::Failed(failure.clone());
    let nobody = Failure::new(Exit::NotFound, "nobody knows photos");
    let answers = vec![failed(&nobody), failed(&Failure::new(Exit::NotFound, "nor now"))];
    assert_eq!(found("photos", answers).await.source.unwrap_err(), nobody);
    let wrong = Failure::usage("\"photos\" is not a CID or a known name");
    let found = found("photos", vec![failed(&nobody), failed(&wrong)]).await;
    assert_eq!(found.source.unwrap_err(), wrong);
    assert_eq!(found.asked, ["resolve photos", "photos"]);
}
