//! `shoal mount` and `shoal umount`: a tree as a drive.
//!
//! The mount itself is [`crate::mount`]; here are its arguments. It ends itself on SIGINT and
//! SIGTERM, unmounting first.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _, path::PathBuf, pin::pin};

use clap::Args;
use tokio::sync::mpsc;

use super::{
    Signals,
    add::absolute,
    context::Context,
    report::{End, Report},
    talk::Talk,
};
use crate::{
    control::protocol::Failure,
    mount::{self, Mounting, Told},
};

/// Phases and lines that wait to be told; they come a few times a second.
const TOLD_MAX: usize = 16;

/// Mount a tree at a directory
///
/// The drive reads what is not here yet from the peers. It stays in the foreground until it is
/// unmounted or interrupted. Of a name it shows the newest version, and the next one as soon as it is
/// there; NAME@VERSION and a CID stay what they are. What is open stays in the version it was opened in.
#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct MountArgs {
    /// The tree, or a part of it; all trees at once are not built yet
    #[arg(value_name = "NAME|CID[/PATH]")]
    target: Option<OsString>,

    /// Where to mount it: a directory
    #[arg(required = true, value_name = "DIR")]
    mountpoint: PathBuf,

    /// Return when the drive can be used
    #[arg(long)]
    background: bool,

    /// Mount for writing
    #[arg(long, hide = true)]
    rw: bool,
}

/// Unmount a drive, also one whose process died
#[derive(Debug, Args)]
pub(crate) struct UmountArgs {
    /// Where it is mounted
    #[arg(value_name = "DIR")]
    mountpoint: PathBuf,
}

/// Runs `mount`.
pub(crate) async fn run(context: &mut Context, args: MountArgs) -> Result<Report, End> {
    if args.rw {
        return Err(Failure::failed("mounting for writing is not built yet").into());
    }
    let mut signals = Signals::catch()?;
    let dir = PathBuf::from(absolute(args.mountpoint.as_os_str())?);
    let target = args.target.map(OsString::into_vec);
    let mounting = Mounting { target: target.as_deref(), dir: &dir, background: args.background };
    let (tell, told) = mpsc::channel(TOLD_MAX);
    let ended = mount::run(&context.settings, mounting, tell, signals.next());
    Box::pin(telling(&mut context.console.talk, told, ended)).await?;
    Ok(Report::nothing())
}

/// Tells what is waited for until the drive can be used, and from then on what becomes of it.
async fn telling(
    talk: &mut Talk,
    mut told: mpsc::Receiver<Told>,
    mount: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let mut mount = pin!(mount);
    let mut waits = true;
    talk.begin();
    let ended = loop {
        tokio::select! {
            ended = &mut mount => break ended,
            Some(told) = told.recv() => match told {
                Told::Phase(text) => talk.phase(text),
                Told::Line(text) => talk.note(&text),
                Told::Ready => {
                    waits = false;
                    talk.end();
                }
            },
            () = talk.tick(), if waits => {}
        }
    };
    // Said before it ended, and not heard yet.
    while let Ok(told) = told.try_recv() {
        if let Told::Line(text) = told {
            talk.note(&text);
        }
    }
    ended
}

/// Runs `umount`.
pub(crate) fn unmount(args: &UmountArgs) -> Result<Report, End> {
    let dir = PathBuf::from(absolute(args.mountpoint.as_os_str())?);
    mount::unmount(&dir)?;
    Ok(Report::nothing())
}
