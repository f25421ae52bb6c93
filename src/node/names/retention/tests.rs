//! What is pinned for names, over a real store.
//!
//! Fetching is the follower's: content is here or made up. Crashes are simulated by what they leave.

use std::fs;

use shoal_store::PinOptions;

use super::*;
use crate::node::{
    names::lab::{Lab, WAIT},
    pin,
};

/// Adds a tree that differs by `text`, as publishing does: its pin is nobody's but the name's.
async fn content(lab: &Lab, text: &str) -> Cid {
    fs::create_dir_all(lab.path("tree/d")).expect("directories");
    fs::write(lab.path("tree/d/file"), text).expect("a file");
    let root = lab.add("tree").await;
    lab.node.with_store(move |store| store.unpin(&root)).await.expect("the store");
    root
}

fn keep(lab: &Lab, name: LedgerId, policy: &str) {
    let mut state = lab.state(name);
    state.kept.keep = policy.to_owned();
    lab.node.names().book().put_state(&state).expect("the index");
}

fn pinned(lab: &Lab, roots: &[Cid]) -> Vec<bool> {
    roots.iter().map(|root| lab.node.store().is_pinned(root)).collect()
}

async fn versions(lab: &Lab, name: LedgerId, texts: &[&str]) -> Vec<Cid> {
    let mut roots = Vec::new();
    for text in texts {
        let root = content(lab, text).await;
        lab.publish(name, root);
        roots.push(root);
    }
    roots
}

#[tokio::test]
async fn the_newest_are_pinned_and_the_others_let_go() {
    let lab = Lab::new().await;
    let name = lab.name("work").await;
    let mut roots = versions(&lab, name, &["1", "2", "3"]).await;
    let applied = apply(&lab.node, name).await.expect("the store");
    assert_eq!((applied.pinned, applied.let_go), (3, 0), "an own name keeps all");
    keep(&lab, name, "last=2");
    let applied = apply(&lab.node, name).await.expect("the store");
    assert_eq!((applied.pinned, applied.let_go), (0, 1));
    assert_eq!(pinned(&lab, &roots), [false, true, true]);
    roots.extend(versions(&lab, name, &["4"]).await);
    assert_eq!(apply(&lab.node, name).await.expect("the store").let_go, 1);
    assert_eq!(pinned(&lab, &roots), [false, false, true, true]);
    assert_eq!(apply(&lab.node, name).await.expect("the store"), Applied::default());
    // Rolled back to: it is the newest again.
    lab.publish(name, roots[0]);
    apply(&lab.node, name).await.expect("the store");
    assert_eq!(pinned(&lab, &roots), [true, false, false, true]);
    let held = lab.node.store().is_public(&roots[3]);
    assert!(held, "what is kept is served");
}

#[tokio::test]
async fn nothing_is_let_go_of_before_the_newest_is_here() {
    let lab = Lab::new().await;
    let name = lab.name("work").await;
    let roots = versions(&lab, name, &["1", "2"]).await;
    apply(&lab.node, name).await.expect("the store");
    keep(&lab, name, "last=1");
    let elsewhere = shoal_dag::build::leaf(shoal_dag::Profile::Shoal, b"not here").cid;
    lab.publish(name, elsewhere);
    let applied = apply(&lab.node, name).await.expect("the store");
    assert_eq!(applied, Applied { missing: 1, ..Applied::default() });
    assert_eq!(pinned(&lab, &roots), [true, true]);
    assert_eq!(missing(&lab.node, name).await.expect("the store"), [elsewhere]);
    let newer = versions(&lab, name, &["4"]).await;
    apply(&lab.node, name).await.expect("the store");
    assert_eq!(pinned(&lab, &roots), [false, false]);
    assert_eq!(pinned(&lab, &newer), [true]);
    assert!(missing(&lab.node, name).await.expect("the store").is_empty());
}

#[tokio::test]
async fn a_pin_of_the_user_stays() {
    let lab = Lab::new().await;
    let name = lab.name("work").await;
    let before = content(&lab, "before").await;
    lab.node
        .with_store(move |store| store.pin(&before, PinOptions::default()))
        .await
        .expect("a pin");
    lab.publish(name, before);
    let later = versions(&lab, name, &["later"]).await[0];
    apply(&lab.node, name).await.expect("the store");
    let target = later.to_string();
    pin::add(&lab.node, target.as_bytes(), pin::How::default(), WAIT, &lab.out)
        .await
        .expect("a pin");
    keep(&lab, name, "last=1");
    versions(&lab, name, &["3"]).await;
    assert_eq!(apply(&lab.node, name).await.expect("the store").let_go, 2);
    assert_eq!(pinned(&lab, &[before, later]), [true, true]);
}

#[tokio::test]
async fn a_pin_that_the_user_took_away_is_not_made_again() {
    let lab = Lab::new().await;
    let name = lab.name("work").await;
    let roots = versions(&lab, name, &["1", "2"]).await;
    keep(&lab, name, "last=5");
    apply(&lab.node, name).await.expect("the store");
    pin::remove(&lab.node, roots[0].to_string().as_bytes()).await.expect("it is pinned");
    let applied = apply(&lab.node, name).await.expect("the store");
    assert_eq!(applied, Applied::default());
    assert_eq!(pinned(&lab, &roots), [false, true]);
    assert!(missing(&lab.node, name).await.expect("the store").is_empty());
}

#[tokio::test]
async fn what_another_name_keeps_stays_until_both_are_gone() {
    let lab = Lab::new().await;
    let (one, other) = (lab.name("one").await, lab.name("other").await);
    let root = versions(&lab, one, &["shared"]).await[0];
    lab.publish(other, root);
    apply(&lab.node, one).await.expect("the store");
    apply(&lab.node, other).await.expect("the store");
    manage_remove(&lab, "one").await;
    assert_eq!(pinned(&lab, &[root]), [true]);
    manage_remove(&lab, "other").await;
    assert_eq!(pinned(&lab, &[root]), [false]);
    let rows = lab.node.store().records("kept", &[], 10).expect("the index");
    assert!(rows.is_empty(), "something is remembered of names that are gone: {rows:?}");
}

async fn manage_remove(lab: &Lab, name: &str) {
    let removed = crate::node::names::manage::remove(&lab.node, name.as_bytes(), true);
    removed.await.expect("it is known");
}

#[tokio::test]
async fn a_pin_that_publishing_made_is_the_names() {
    let lab = Lab::new().await;
    let name = lab.name("work").await;
    fs::create_dir(lab.path("tree")).expect("a directory");
    let root = lab.add("tree").await;
    lab.node.with_store(move |store| adopt(store, name, &root)).await.expect("the store");
    lab.publish(name, root);
    keep(&lab, name, "last=1");
    versions(&lab, name, &["2"]).await;
    apply(&lab.node, name).await.expect("the store");
    assert_eq!(pinned(&lab, &[root]), [false]);
}

/// The crash lies between the note that a pin is to be made, and the note that it was.
#[tokio::test]
async fn a_crash_while_pinning_leaves_the_pin_to_the_name() {
    for was_pinned in [false, true] {
        let lab = Lab::new().await;
        let name = lab.name("work").await;
        let root = versions(&lab, name, &["1"]).await[0];
        kept::put(lab.node.store(), name, &root, Kept { of_user: false, done: false })
            .expect("the store");
        if was_pinned {
            pin::keep_here(lab.node.store(), &root).expect("a pin");
        }
        apply(&lab.node, name).await.expect("the store");
        assert_eq!(pinned(&lab, &[root]), [true]);
        release(&lab.node, name).await.expect("the store");
        assert_eq!(pinned(&lab, &[root]), [false]);
    }
}

#[tokio::test]
async fn what_is_settled_is_not_looked_at_again() {
    let lab = Lab::new().await;
    let name = lab.name("work").await;
    versions(&lab, name, &["1", "2"]).await;
    apply(&lab.node, name).await.expect("the store");
    let book = lab.node.names().book();
    assert!(plan(book, &lab.state(name)).expect("the index").keep.is_empty());
    let third = versions(&lab, name, &["3"]).await[0];
    assert_eq!(plan(book, &lab.state(name)).expect("the index").keep, [(3, third)]);
    // A recovery cut it off: everything is looked at again.
    apply(&lab.node, name).await.expect("the store");
    let mut state = lab.state(name);
    book.cut(&mut state, 2).expect("the index");
    assert_eq!(settled(book, &state).expect("the index"), 0);
}

#[tokio::test]
async fn what_the_user_gives_up_belongs_to_the_name_again() {
    let lab = Lab::new().await;
    let name = lab.name("work").await;
    let root = versions(&lab, name, &["1"]).await[0];
    let store = lab.node.store();
    assert!(!disown(store, &root).expect("the store"), "no name keeps it yet");
    apply(&lab.node, name).await.expect("the store");
    claim(store, &root).expect("the store");
    assert!(disown(store, &root).expect("the store"));
    assert_eq!(pinned(&lab, &[root]), [true]);
    release(&lab.node, name).await.expect("the store");
    assert_eq!(pinned(&lab, &[root]), [false]);
}
