//! End to end: real processes, real Kafka, real registry, real Postgres, and a simulator that knows the truth.
//!
//! Each test starts its own servers on free ports in its own folder. A server that cannot start fails the test.

mod connect;
mod consumer;
mod contract;
mod facilities;
mod incidents;
mod logins;
mod oauth2;
mod quarantine;
mod refusals;
mod resume;
mod setup;
mod silence;
mod standstill;
mod support;
mod trace;
mod transactions;
mod view;
mod whole;
