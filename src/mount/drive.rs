//! The drive that a followed name is shown on: its tree and the switch of its root.
//!
//! A switch reads the new root and tells the kernel, which may keep it waiting. It has a thread of its
//! own, for which the end of the mount does not wait.

use std::sync::Arc;

use shoal_fuse::{RootSwitch, SwitchError, TreeError};
use tokio::sync::oneshot;

use super::{source::Place, tree::NodeTree, watch::Show};

/// A mounted drive.
#[derive(Debug)]
pub(super) struct Drive {
    /// What it reads.
    pub(super) tree: Arc<NodeTree>,
    /// What switches its root.
    pub(super) root: RootSwitch,
}

impl Show for Drive {
    async fn show(&mut self, place: Place) -> Result<(), SwitchError> {
        self.tree.ask_in(place.swarm);
        let (done, outcome) = oneshot::channel();
        let root = self.root.clone();
        // Nobody waits any more for the outcome of a mount that ends.
        let work = move || drop(done.send(root.switch(place.cid)));
        match std::thread::Builder::new().name("mount-switch".to_owned()).spawn(work) {
            Ok(_detached) => outcome.await.unwrap_or(Err(SwitchError::Ended)).map(drop),
            Err(error) => {
                let detail = format!("no thread to switch the drive: {error}");
                Err(SwitchError::Tree(TreeError::Failed { detail }))
            }
        }
    }
}
