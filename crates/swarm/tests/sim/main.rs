//! The pass lines of the scheduling rules, over the real engine in virtual time.
//!
//! `lines`: crowds against the fluid bound, riders, forgers, sybils, latecomers, liars; the worst of
//! several seeds counts as well as the median. `seeds`: hundreds of small histories in which
//! everything goes wrong, each audited at every step, and the same seed twice. Figures are printed;
//! what is too large for here is run by `scripts/sim`.

#![expect(clippy::print_stdout, reason = "figures are for who reads the output")]

mod lines;
mod seeds;
