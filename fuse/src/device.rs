//! Getting a mount into the mount table and the descriptor that serves it.
//!
//! With privilege this is `open("/dev/fuse")` and `mount(2)`; without, the set-uid helper
//! `fusermount3` does both and hands the descriptor back over a socket that it finds by the variable
//! `_FUSE_COMMFD` (protocol: libfuse, `util/fusermount.c`). Mounting is done here and not by the FUSE
//! library, whose 0.18 unmounts a second time at its end whatever is mounted there by then.
//!
//! Every mount is read-only, without set-uid programs and devices, and lets the kernel check modes.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::mount::MountFlags;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::mount::MountError;
use crate::mountinfo::FS_TYPE;
use crate::unmount::helper_name;

const DEVICE: &str = "/dev/fuse";

/// Mounts on `mountpoint` and returns the descriptor that must serve it.
pub(crate) fn mount(
    mountpoint: &Path,
    fs_name: &str,
    allow_other: bool,
) -> Result<OwnedFd, MountError> {
    let opened = OpenOptions::new().read(true).write(true).open(DEVICE);
    let device = match opened {
        Ok(device) => device,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return by_helper(mountpoint, fs_name, allow_other);
        }
        Err(error) => {
            return Err(MountError::NoFuse { detail: error.to_string() });
        }
    };
    match directly(&device, mountpoint, fs_name, allow_other) {
        Ok(()) => Ok(device.into()),
        Err(Errno::PERM | Errno::ACCESS) => by_helper(mountpoint, fs_name, allow_other),
        Err(Errno::NODEV) => Err(MountError::NoFuse { detail: "not in this kernel".to_owned() }),
        Err(errno) => Err(MountError::Io { path: mountpoint.into(), source: errno.into() }),
    }
}

fn directly(
    device: &File,
    mountpoint: &Path,
    fs_name: &str,
    allow_other: bool,
) -> Result<(), Errno> {
    let mut data = format!(
        "fd={},rootmode=40000,user_id={},group_id={},default_permissions",
        device.as_raw_fd(),
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw(),
    );
    if allow_other {
        data.push_str(",allow_other");
    }
    let data = CString::new(data).map_err(|_| Errno::INVAL)?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOATIME;
    rustix::mount::mount(fs_name, mountpoint, FS_TYPE, flags, data.as_c_str())
}

fn by_helper(mountpoint: &Path, fs_name: &str, allow_other: bool) -> Result<OwnedFd, MountError> {
    let not_allowed = |detail: String| MountError::NotAllowed { path: mountpoint.into(), detail };
    let failed = |source: io::Error| MountError::Io { path: mountpoint.into(), source };
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let child = Command::new(helper_name())
        .args(["-o", &helper_options(fs_name, allow_other), "--"])
        .arg(mountpoint)
        // The helper's end of the socket is its standard input.
        .env("_FUSE_COMMFD", "0")
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| not_allowed(format!("fusermount3: {error}")))?;
    let received = receive(&ours);
    let output = child.wait_with_output().map_err(failed)?;
    match received {
        Ok(Some(device)) if output.status.success() => Ok(device),
        Ok(_) => Err(not_allowed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        Err(error) => Err(failed(error)),
    }
}

fn helper_options(fs_name: &str, allow_other: bool) -> String {
    let name = fs_name.replace('\\', "\\\\").replace(',', "\\,");
    let other = if allow_other { ",allow_other" } else { "" };
    format!("ro,nosuid,nodev,noatime,default_permissions,subtype=shoal,fsname={name}{other}")
}

/// The descriptor that the helper sends with one byte; `None` when it ends without sending.
fn receive(socket: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0_u8];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    loop {
        match recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, flags) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    let descriptor = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok(descriptor)
}

#[cfg(test)]
mod tests {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    use super::*;

    #[test]
    fn a_descriptor_comes_over_the_socket() {
        let (one, two) = UnixStream::pair().unwrap();
        let file = File::open("/dev/null").unwrap();
        let descriptors = [std::os::fd::AsFd::as_fd(&file)];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
        let bytes = [io::IoSlice::new(&[0])];
        sendmsg(&one, &bytes, &mut ancillary, SendFlags::empty()).unwrap();
        assert!(receive(&two).unwrap().is_some());
        drop(one);
        assert!(receive(&two).unwrap().is_none());
    }

    #[test]
    fn names_cannot_smuggle_options() {
        let options = helper_options("a,dev\\,suid", false);
        assert!(options.ends_with(",fsname=a\\,dev\\\\\\,suid"), "{options}");
        assert!(!options.contains("allow_other"));
        assert!(helper_options("a", true).ends_with(",allow_other"));
    }
}
