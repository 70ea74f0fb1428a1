//! Kafka: the only module that knows librdkafka.
//!
//! Its defaults are not Java's and several are wrong for this product; [`KafkaConfig`] sets every
//! option that carries a promise, and refuses to let a configuration change it. Promises and their
//! limits stand at [`TxnProducer`] (exactly once, as far as this client can) and [`Consumer`]
//! (nothing is skipped in silence).
//!
//! Everything here blocks the calling thread, within a bound that the caller gives or the
//! documentation names. Async code calls it through `spawn_blocking`.

pub mod admin;
mod config;
mod consumer;
mod credentials;
mod fault;
mod headers;
mod idempotent;
mod link;
mod message;
mod native;
mod read;
mod tally;
mod txn;

pub use crate::clock::Deadline;
pub use config::KafkaConfig;
pub(crate) use config::denied;
pub use consumer::{Consumer, PollEvent, PollOutcome, RebalanceEvent, Start};
pub use credentials::Following;
pub use fault::{FaultKind, KafkaFault};
pub use headers::HeaderSet;
pub use idempotent::IdempotentProducer;
pub use message::{Msg, Out};
pub use read::read_to_end;
pub use tally::{Delivered, Deliveries, Refused};
pub use txn::{Ended, TxnProducer};
