//! Fuzz targets of the package, run for a bounded number of cases; `scripts/fuzz` runs them for longer.
//!
//! A target is one function `target(bytes)` with an oracle: a round trip, an independent decoder, or
//! what must hold of everything that is accepted. [`mutate`] makes the inputs and prints seeds.
#![expect(clippy::unwrap_used, reason = "this is a test as a whole")]
#![expect(clippy::disallowed_methods, reason = "targets may be run for a time")]

#[path = "fuzz/car.rs"]
mod car;
#[path = "fuzz/cids.rs"]
mod cids;
#[path = "fuzz/dag_cbor.rs"]
mod dag_cbor;
#[path = "fuzz/dag_pb.rs"]
mod dag_pb;
#[path = "fuzz/hamt.rs"]
mod hamt;
#[path = "fuzz/mutate.rs"]
mod mutate;
#[path = "fuzz/names.rs"]
mod names;
#[path = "fuzz/walks.rs"]
mod walks;
