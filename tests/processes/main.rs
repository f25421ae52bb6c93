//! Whole peers as processes of the real binary, on loopback: what the project promises, end to end.
//!
//! One test binary, since each one links all of libp2p; a module per topic. Nothing here looks inside
//! a process: a test starts `shoal` with a store of its own, reads what it prints, sends it signals
//! and looks at the files that it leaves. [`harness`] keeps tests apart from each other and from the
//! machine. What needs more than an ordinary machine gives (root, `/dev/fuse`, namespaces, `strace`, a kubo) is left out
//! with a printed reason, or fails where `SHOAL_TEST_REQUIRE` names it.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "this is a test as a whole")]

mod adding;
mod bad_input;
mod bombs;
mod car;
mod chain;
mod demo;
mod durability;
mod fetch;
mod gc;
mod harness;
mod hostile;
mod interop;
mod kubo;
mod lies;
mod mount;
mod names;
mod namespaces;
mod owners;
mod peers;
mod second_hand;
mod sharded;
mod sharing;
mod swarm;
mod unreadable;
mod verify;
mod versions;
