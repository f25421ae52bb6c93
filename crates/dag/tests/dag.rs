//! Tests of the package through its public face: vectors of others, what is frozen of our own,
//! round trips and hostile input. One binary, so that they share their helpers.
#![expect(clippy::print_stderr, reason = "a test that skips something says so")]
#![expect(clippy::unwrap_used, reason = "what is not there in a test fails it")]
#![expect(clippy::disallowed_methods, reason = "vectors are files")]

#[path = "dag/car.rs"]
mod car;
#[path = "dag/codecs.rs"]
mod codecs;
#[path = "dag/frozen.rs"]
mod frozen;
#[path = "dag/hostile.rs"]
mod hostile;
#[path = "dag/hostile_shards.rs"]
mod hostile_shards;
#[path = "dag/kubo.rs"]
mod kubo;
#[path = "dag/layouts.rs"]
mod layouts;
#[path = "dag/memory.rs"]
mod memory;
#[path = "dag/properties.rs"]
mod properties;
#[path = "dag/sharded.rs"]
mod sharded;
#[path = "dag/vectors.rs"]
mod vectors;
