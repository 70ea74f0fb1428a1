//! Fault tests: what must hold while processes are killed, stopped and cut off.
//!
//! They run stages that were built with the feature `sabotage`: with fail points, at which a test ends or stops a process,
//! and with promises that can be taken away one by one, to see that the checker notices. Without being told they do what
//! every other build does.

mod flat;
mod matrix;
mod random;
mod sabotage;
#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
#[path = "../e2e/support.rs"]
mod support;
mod world;
