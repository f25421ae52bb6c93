//! A crowd of engines in virtual time: the simulator.
//!
//! It drives the real [`Engine`](crate::Engine), one per node, over modelled links and stores, and
//! knows none of its rules. One seed gives one history, bit for bit ([`History`]), and after every
//! step it is audited (module `audit`). What it shows are algorithms: links are queues with rates
//! known to nobody, blocks are numbers, stores answer at once, and a message costs time but no
//! bytes; what TCP, disks and processors do to it is shown between real processes.
//!
//! - [`World`]: nodes, wires, clock; [`Catalog`]: the made-up trees;
//! - [`Scenario`]: who takes part, as data; `scenarios`: those that have a name;
//! - `agent`: those who do not play by the rules; `people`: who comes, goes and meets whom;
//! - `reader`: who reads a file while it comes;
//! - [`Outcome`]: what it shows.
//!
//! Pure, as the package is: the time is counted and all chance comes from the seed. A broken
//! invariant panics; nothing of this runs in a node.

mod acting;
mod agenda;
mod agent;
mod audit;
mod catalog;
mod history;
mod node;
mod outcome;
mod people;
mod reader;
mod scenario;
mod scenarios;
mod small;
mod wire;
mod world;

pub use catalog::{BlockNo, Catalog, LEAF_BYTES};
pub use history::History;
pub use node::{After, Figures, Manner, Node};
pub use outcome::{GroupOutcome, Outcome, bound};
pub use reader::Reading;
pub use scenario::{Group, Renews, Scenario};
pub use scenarios::{by_name, crowd, large_names, names};
pub use small::small;
pub use wire::Weather;
pub use world::{SESSION, World};
