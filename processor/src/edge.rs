//! Where the processor touches the world: the group, the transactions, the registry, telemetry.

pub(crate) mod start;
mod take;
pub(crate) mod telemetry;
pub(crate) mod views;
pub(crate) mod worker;
