//! Everything that touches the world: the source, Kafka, the quarantine store, the admin endpoint, and
//! the loop that does what the cycle says.

pub mod admin;
pub mod alerts;
pub mod facilities;
mod metrics;
pub mod poller;
pub mod probe;
pub mod quarantine;
pub mod raw_topic;
pub mod sisdmk;
pub mod start;
