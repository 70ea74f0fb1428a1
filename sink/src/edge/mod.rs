//! Where the sink touches the world: Postgres, topics, metrics.

pub(crate) mod dead_letters;
pub(crate) mod gauges;
pub(crate) mod ledger;
pub(crate) mod nagle;
pub(crate) mod postgres;
pub(crate) mod start;
pub(crate) mod worker;
pub(crate) mod writer;

#[cfg(all(test, feature = "services"))]
mod tests;
