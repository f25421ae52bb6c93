//! Following a name against a scripted node: what is asked, what is shown, and what is told when.
//!
//! The drive is a list of what was shown; the kernel's part is tested where the drive is.

use std::sync::Arc;

use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{
    super::scripted::{
        NAME, PATIENCE, Scripted, cid, described, resolved, settings as settings_of,
    },
    *,
};
use crate::{
    config::Settings,
    control::protocol::{Response, name::Standing},
    exit::Exit,
};

/// Short pauses, so that tests need not wait; whoever waits for a node waits long.
const QUICK: Pace = Pace {
    wait: PATIENCE,
    guard: PATIENCE,
    pause_min: Duration::from_millis(20),
    pause_max: Duration::from_millis(40),
    revive: Duration::from_mins(10),
};

/// A watcher, and everything around it.
struct Rig {
    settings: Settings,
    shown: mpsc::Receiver<Place>,
    outcomes: mpsc::Sender<Result<(), SwitchError>>,
    told: mpsc::Receiver<Told>,
    watching: JoinHandle<()>,
    _dir: TempDir,
}

/// A drive that the test looks at.
struct Shows {
    show: mpsc::Sender<Place>,
    outcome: mpsc::Receiver<Result<(), SwitchError>>,
}

impl Show for Shows {
    async fn show(&mut self, place: Place) -> Result<(), SwitchError> {
        self.show.send(place).await.unwrap();
        self.outcome.recv().await.unwrap()
    }
}

impl Rig {
    /// Shows version 1, or what is at a path in it.
    fn start(segments: &[&str], pace: Pace) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings_of(&dir);
        let link = Arc::new(Link::new(settings.clone()));
        let (show, shown) = mpsc::channel(16);
        let (outcomes, outcome) = mpsc::channel(16);
        let (tell, told) = mpsc::channel(16);
        let version = Version {
            name: NAME.into(),
            called: "photos".into(),
            segments: segments.iter().map(|segment| segment.as_bytes().to_vec()).collect(),
            content: cid(1).to_string(),
            number: "version 1".into(),
            standing: Standing::Ok,
        };
        let watching = tokio::spawn(async move {
            let show = Shows { show, outcome };
            let wait = Wait { idle_ms: 1000 };
            let shown = cid(1);
            Watcher { link: &link, version, shown, show, tell, wait, pace }.run().await;
        });
        Self { settings, shown, outcomes, told, watching, _dir: dir }
    }

    fn node(&self) -> Scripted {
        Scripted::start(&self.settings, true)
    }

    /// The next thing that is shown, which goes as said.
    async fn shows(&mut self, place: u8, swarm: u8, outcome: Result<(), SwitchError>) {
        let shown = timeout(PATIENCE, self.shown.recv()).await.expect("nothing is shown").unwrap();
        assert_eq!(shown, Place { swarm: cid(swarm).to_string(), cid: cid(place) });
        self.outcomes.send(outcome).await.unwrap();
    }

    async fn hears(&mut self) -> String {
        match timeout(PATIENCE, self.told.recv()).await.expect("nothing is told") {
            Some(Told::Line(line)) => line,
            other => panic!("no line but {other:?}"),
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

fn whole(number: u8) -> String {
    format!("/ipfs/{}", cid(number))
}

#[tokio::test]
async fn another_version_is_shown_and_told_and_the_next_is_waited_for() {
    let mut rig = Rig::start(&[], QUICK);
    let mut node = rig.node();
    for number in 2..5 {
        node.watched(number - 1).await.answer(resolved(number, Standing::Ok));
        node.looked_at(&whole(number)).await.answer(described(number));
        rig.shows(number, number, Ok(())).await;
        assert_eq!(rig.hears().await, format!("now version {number}, {}", cid(number)));
    }
    node.watched(4).await;
}

#[tokio::test]
async fn nothing_new_is_asked_again_and_not_at_once() {
    let pace = Pace { pause_min: Duration::from_millis(150), ..QUICK };
    let mut rig = Rig::start(&[], pace);
    let mut node = rig.node();
    let began = Instant::now();
    for _ in 0..4 {
        node.watched(1).await.answer(resolved(1, Standing::Stale));
    }
    assert!(began.elapsed() >= pace.pause_min * 3);
    assert!(rig.told.is_empty() && rig.shown.try_recv().is_err());
}

#[tokio::test]
async fn a_path_is_looked_for_in_each_version_and_may_stay_what_it_was() {
    let mut rig = Rig::start(&["a b", "c"], QUICK);
    let mut node = rig.node();
    node.watched(1).await.answer(resolved(2, Standing::Own));
    node.looked_at(&format!("{}/a b/c", whole(2))).await.answer(described(1));
    rig.shows(1, 2, Ok(())).await;
    node.watched(2).await.answer(resolved(3, Standing::Own));
    node.looked_at(&format!("{}/a b/c", whole(3))).await.answer(described(9));
    rig.shows(9, 3, Ok(())).await;
    let told = rig.hears().await;
    assert_eq!(told, format!("now version 3, {}", cid(9)), "and nothing before");
}

#[tokio::test]
async fn a_node_that_comes_back_is_asked_again() {
    let mut rig = Rig::start(&[], QUICK);
    let mut node = rig.node();
    node.watched(1).await;
    drop(node);
    let mut node = rig.node();
    node.watched(1).await.answer(resolved(2, Standing::Ok));
    node.looked_at(&whole(2)).await.answer(described(2));
    // Gone again between its answer and the next question.
    drop(node);
    rig.shows(2, 2, Ok(())).await;
    let mut node = rig.node();
    node.watched(2).await;
    assert_eq!(rig.hears().await, format!("now version 2, {}", cid(2)));
}

#[tokio::test]
async fn a_node_that_stands_still_is_left_after_its_time() {
    let wait = Duration::from_millis(30);
    let mut rig = Rig::start(&[], Pace { wait, guard: wait, ..QUICK });
    let mut node = rig.node();
    let mut silent = node.watched(1).await;
    assert!(silent.is_given_up().await);
    let _again = node.watched(1).await;
    assert!(rig.shown.try_recv().is_err());
}

#[tokio::test]
async fn a_version_that_cannot_be_had_is_told_once_and_tried_until_it_can() {
    let mut rig = Rig::start(&[], QUICK);
    let mut node = rig.node();
    for _ in 0..3 {
        node.watched(1).await.answer(resolved(2, Standing::Ok));
        let failure = Failure::new(Exit::NotFound, "nobody has it");
        node.looked_at(&whole(2)).await.answer(Response::Failed(failure));
    }
    node.watched(1).await.answer(resolved(2, Standing::Ok));
    node.looked_at(&whole(2)).await.answer(described(2));
    let unreadable = shoal_fuse::TreeError::TimedOut;
    rig.shows(2, 2, Err(SwitchError::Tree(unreadable))).await;
    node.watched(1).await.answer(resolved(2, Standing::Ok));
    node.looked_at(&whole(2)).await.answer(described(2));
    rig.shows(2, 2, Ok(())).await;
    let told = rig.hears().await;
    assert_eq!(told, "photos stays at version 1: version 2 cannot be shown: nobody has it");
    let told = rig.hears().await;
    assert!(told.contains("version 2 cannot be shown") && told.contains("deadline"), "{told}");
    assert_eq!(rig.hears().await, format!("now version 2, {}", cid(2)));
}

#[tokio::test]
async fn a_name_that_the_node_does_not_follow_any_more_is_told_once() {
    let mut rig = Rig::start(&[], QUICK);
    let mut node = rig.node();
    for _ in 0..3 {
        let failure = Failure::new(Exit::NotFound, "photos is not known here");
        node.watched(1).await.answer(Response::Failed(failure));
    }
    node.watched(1).await.answer(resolved(2, Standing::Ok));
    node.looked_at(&whole(2)).await.answer(described(2));
    rig.shows(2, 2, Ok(())).await;
    assert_eq!(rig.hears().await, "photos stays at version 1: photos is not known here");
    assert_eq!(rig.hears().await, format!("now version 2, {}", cid(2)));
}

#[tokio::test]
async fn a_fork_is_told_when_it_shows() {
    let mut rig = Rig::start(&[], QUICK);
    let mut node = rig.node();
    node.watched(1).await.answer(resolved(1, Standing::Forked));
    node.watched(1).await.answer(resolved(1, Standing::Forked));
    node.watched(1).await.answer(resolved(2, Standing::Ok));
    node.looked_at(&whole(2)).await.answer(described(2));
    rig.shows(2, 2, Ok(())).await;
    let told = rig.hears().await;
    assert!(told.starts_with("photos is forked: ") && told.ends_with("shoal resolve photos)"));
    assert_eq!(rig.hears().await, format!("now version 2, {}", cid(2)), "it was settled");
}

#[tokio::test]
async fn a_verb_that_owns_the_store_is_not_kept() {
    let rig = Rig::start(&[], QUICK);
    let mut verb = Scripted::start(&rig.settings, false);
    assert!(verb.is_left_alone(QUICK.pause_max * 5).await);
    drop(verb);
    rig.node().watched(1).await;
}

#[tokio::test]
async fn it_ends_with_the_mount() {
    let mut rig = Rig::start(&[], QUICK);
    let mut node = rig.node();
    node.watched(1).await.answer(resolved(2, Standing::Ok));
    node.looked_at(&whole(2)).await.answer(described(2));
    rig.shows(2, 2, Err(SwitchError::Ended)).await;
    timeout(PATIENCE, &mut rig.watching).await.expect("it goes on").unwrap();
}
