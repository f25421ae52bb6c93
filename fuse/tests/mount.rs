//! The mount as the kernel sees it: every test here mounts a tree in memory and uses it as programs
//! do.
//!
//! Where /dev/fuse cannot be used they print why and pass; `SHOAL_TEST_REQUIRE` containing `fuse`
//! (and `passthrough`) turns that into failures. No test leaves a mount behind.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "what tests call may do what tests may"
)]

#[path = "mount/deadlines.rs"]
mod deadlines;
#[path = "mount/dying.rs"]
mod dying;
#[path = "mount/passing.rs"]
mod passing;
#[path = "mount/reading.rs"]
mod reading;
#[path = "mount/refusing.rs"]
mod refusing;
#[path = "mount/scratch.rs"]
mod scratch;
#[path = "mount/switching.rs"]
mod switching;
