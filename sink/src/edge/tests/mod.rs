//! The edge against a real PostgreSQL.

mod ledger;
mod people;
mod random;
mod rule;
mod server;
mod speed;
mod tables;
mod writer;
