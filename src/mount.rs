//! A mounted drive in a process of its own.
//!
//! It holds the FUSE session and asks the node over the control socket ([`link`]), so that a node that
//! restarts does not take the drive with it: what the kernel knows goes on, the rest waits for the node
//! within its deadline. With no node there it starts one as a child, again if it dies. Files that are
//! whole on the local disk are handed to the kernel by descriptor ([`tree`]).
//!
//! Read-only; one CID, or one name, whose new versions take the place of the old when they come
//! ([`source`], [`watch`]). Writing comes with the writable mount.

use std::{path::Path, pin::pin, sync::Arc};

use shoal_fuse::{MountError, MountOptions, Mounted, UnmountError};
use tokio::sync::mpsc;

use crate::{
    config::Settings,
    control::protocol::{Failure, Wait},
    exit::Exit,
};

mod background;
mod child;
mod drive;
mod failures;
mod link;
mod node;
#[cfg(test)]
mod scripted;
mod source;
mod tree;
mod watch;

use drive::Drive;
use link::Link;
use source::Source;
use tree::NodeTree;
use watch::{PACE, Watcher};

/// What is mounted, and where.
#[derive(Debug)]
pub struct Mounting<'a> {
    /// `CID[/path]` or a name as typed.
    pub target: Option<&'a [u8]>,
    /// The mountpoint, absolute.
    pub dir: &'a Path,
    /// Return when it can be used.
    pub background: bool,
}

/// What is to be told.
#[derive(Debug)]
pub enum Told {
    /// What is waited for.
    Phase(String),
    /// Something that a person may want to know: what is mounted, a new version, what is wrong with
    /// one; a line of the process that mounts in the background.
    Line(String),
    /// The drive can be used: nothing is waited for any more.
    Ready,
}

/// Mounts and stays until it is unmounted or `stop` resolves; in the background, returns when it can be
/// used.
///
/// # Errors
/// It cannot be mounted; exit 130 when `stop` came first.
pub async fn run(
    settings: &Settings,
    mounting: Mounting<'_>,
    tell: mpsc::Sender<Told>,
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let Some(target) = mounting.target else {
        return Err(Failure::usage("mounting every tree at once is not built yet")
            .hint("mount one: shoal mount NAME|CID DIR"));
    };
    check_directory(mounting.dir)?;
    if mounting.background {
        return background::run(mounting.dir, tell, stop).await;
    }
    let link = Arc::new(Link::new(settings.clone()));
    let ended = mount(&link, settings, target, mounting.dir, tell, stop).await;
    link.close().await;
    ended
}

async fn mount(
    link: &Arc<Link>,
    settings: &Settings,
    target: &[u8],
    dir: &Path,
    tell: mpsc::Sender<Told>,
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let mut stop = pin!(stop);
    let wait = Wait { idle_ms: settings.timeout.as_millis() as u64 };
    let source = tokio::select! {
        found = source::find(link, target, wait, &tell) => found?,
        () = &mut stop => return Err(interrupted()),
    };
    let tree = Arc::new(NodeTree::new(Arc::clone(link), source.place.clone()));
    let mounted = start(Arc::clone(&tree), dir, &source).await?;
    for line in source.told(dir) {
        let _unheard = tell.send(Told::Line(line)).await;
    }
    let _unheard = tell.send(Told::Ready).await;
    background::tell_ready(&tell).await;
    let watching = watching(link, source, &mounted, tree, tell, wait);
    serve(mounted, watching, stop).await
}

async fn start(tree: Arc<NodeTree>, dir: &Path, source: &Source) -> Result<Mounted, Failure> {
    let options =
        MountOptions { fs_name: source.label(), live: source.follows, ..MountOptions::default() };
    let place = dir.to_owned();
    let started = tokio::task::spawn_blocking(move || Mounted::start(tree, &place, &options));
    match started.await {
        Ok(started) => started.map_err(mount_failure),
        Err(error) => Err(Failure::failed(format!("mounting failed: {error}"))),
    }
}

/// Follows the name that is mounted, if it is one; ends with the mount only.
fn watching<'a>(
    link: &'a Link,
    source: Source,
    mounted: &Mounted,
    tree: Arc<NodeTree>,
    tell: mpsc::Sender<Told>,
    wait: Wait,
) -> impl Future<Output = ()> + 'a {
    let followed = source.version.filter(|_| source.follows).zip(mounted.root_switch());
    async move {
        if let Some((version, root)) = followed {
            let show = Drive { tree, root };
            let shown = source.place.cid;
            Watcher { link, version, shown, show, tell, wait, pace: PACE }.run().await;
        }
        std::future::pending::<()>().await;
    }
}

/// Serves until the drive is unmounted from outside, or `stop` takes it down.
async fn serve(
    mounted: Mounted,
    watching: impl Future<Output = ()>,
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let unmounter = mounted.unmounter();
    let place = mounted.mountpoint().to_owned();
    let waiting = tokio::task::spawn_blocking(move || mounted.wait());
    tokio::pin!(waiting);
    let ended = tokio::select! {
        ended = &mut waiting => ended,
        () = watching => return Ok(()),
        () = stop => {
            // Something may still stand in it: then it leaves the tree and ends with its last user.
            let taken = tokio::task::spawn_blocking(move || {
                unmounter.unmount().or_else(|_| unmounter.detach())
            });
            return match taken.await {
                Ok(Ok(()) | Err(UnmountError::NotMounted { .. })) => Ok(()),
                Ok(Err(error)) => Err(unmount_failure(error)),
                Err(error) => Err(Failure::failed(error.to_string())),
            };
        }
    };
    match ended {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Failure::io("serve the drive at", &place, &error)),
        Err(error) => Err(Failure::failed(format!("the drive's server failed: {error}"))),
    }
}

fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted")
}

fn check_directory(dir: &Path) -> Result<(), Failure> {
    match std::fs::metadata(dir) {
        // A dead mount answers ENOTCONN: the mount itself clears it away.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOTCONN.raw_os_error()) => {
            Ok(())
        }
        Err(error) => Err(Failure::io("mount at", dir, &error).hint("make the directory first")),
        Ok(found) if !found.is_dir() => {
            Err(Failure::failed(format!("{} is not a directory", dir.display())))
        }
        Ok(_) => Ok(()),
    }
}

fn mount_failure(error: MountError) -> Failure {
    let exit = match error {
        MountError::NotAllowed { .. } => Exit::NotAllowed,
        _ => Exit::Failed,
    };
    let text = chain(&error);
    let failure = Failure::new(exit, text);
    match error {
        MountError::NotADirectory { .. } => failure.hint("make the directory first"),
        MountError::AlreadyMounted { .. } => failure.hint("unmount it with: shoal umount DIR"),
        MountError::NoFuse { .. } => failure.hint("load the module fuse, or give /dev/fuse"),
        MountError::NotAllowed { .. } => failure.hint("install fusermount3, or be root"),
        _ => failure,
    }
}

/// Unmounts `dir`, also when the mount's process died.
///
/// # Errors
/// It is not a mount of Shoal's, or it is in use.
pub fn unmount(dir: &Path) -> Result<(), Failure> {
    shoal_fuse::unmount(dir).map_err(unmount_failure)
}

fn unmount_failure(error: UnmountError) -> Failure {
    let exit = match error {
        UnmountError::NotAllowed { .. } => Exit::NotAllowed,
        UnmountError::Busy { .. } => Exit::TryAgain,
        _ => Exit::Failed,
    };
    let failure = Failure::new(exit, chain(&error));
    match error {
        UnmountError::Busy { .. } => failure.hint("close the files that are open in it"),
        _ => failure,
    }
}

/// An error with what lies behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
