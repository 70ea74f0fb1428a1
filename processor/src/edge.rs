//! Where the processor touches the world: the group, the transactions, the registry, telemetry.

pub(crate) mod start;
pub(crate) mod telemetry;
pub(crate) mod worker;
