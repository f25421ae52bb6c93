//! A mounted drive in a process of its own.
//!
//! It holds the FUSE session and asks the node over the control socket, so that a node that restarts
//! does not take the drive with it.

use std::path::Path;

use crate::{config::Settings, control::protocol::Failure};

/// Mounts `target`, or the layout of all trees, at `dir`; stays until it is unmounted, or with
/// `background` returns when it answers.
///
/// # Errors
/// It cannot be mounted.
pub async fn run(
    _settings: &Settings,
    _target: Option<&[u8]>,
    dir: &Path,
    _background: bool,
) -> Result<(), Failure> {
    std::future::ready(Err(Failure::failed(format!(
        "mounting at {} is not built yet",
        dir.display()
    ))))
    .await
}

/// Unmounts `dir`, also when the mount's process died.
///
/// # Errors
/// It is not a mount of Shoal's, or cannot be unmounted.
pub fn unmount(dir: &Path) -> Result<(), Failure> {
    Err(Failure::failed(format!("unmounting {} is not built yet", dir.display())))
}
