//! The only modules that speak to the world: Kafka, the registry, Postgres, the producer's admin
//! endpoint. They bring facts in and carry decisions out; they decide nothing.

pub(crate) mod admin;
pub(crate) mod kafka;
pub(crate) mod postgres;
pub(crate) mod registry;
pub(crate) mod surroundings;
