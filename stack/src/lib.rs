//! The real servers on this machine, without Docker: Apache Kafka, Apicurio Registry, PostgreSQL.
//!
//! Tests, the demonstration and the benchmarks run against what this crate starts, so that what
//! they show holds for the real servers and not for doubles; Kafka Connect joins them where asked
//! for. [`Stack::up`] returns when all of them answer their own protocol; everything listens on 127.0.0.1 only, on free ports, and several
//! stacks run side by side. Nothing outlives its owner: a stack stops when it is dropped, and the
//! kernel ends its servers when the owning process is killed (unless the stack is detached).
//!
//! State is durable: the same directory brought up again holds the same topics, schemas and rows,
//! also after `kill -9` of any server.
//!
//! This crate installs nothing and knows nothing of topics, schemas or tables: `sisdmk setup`
//! makes those. It is for development machines; it is not how production servers are run.

mod alertmanager;
mod cache;
mod checksums;
mod cli;
mod connect;
mod deadline;
mod error;
mod java;
mod kafka;
mod options;
mod ports;
mod postgres;
mod probe;
mod process;
mod registry;
mod server;
mod stack;
mod state;
mod tools;

pub use crate::cache::root_here as cache_dir;
pub use crate::cli::main;
pub use crate::error::StackError;
pub use crate::options::Options;
pub use crate::ports::free_port;
pub use crate::server::{Server, ServerHandle};
pub use crate::stack::{Stack, warm};
