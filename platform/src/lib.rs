//! The ground under the stages: configuration, secrets, telemetry, Kafka clients, the registry's
//! client, health and shutdown.
//!
//! Bytes and headers go in, bytes and headers come out: this crate has never heard of a health
//! worker. It is the only crate that knows librdkafka ([`kafka`]), OpenTelemetry ([`telemetry`]),
//! the environment ([`settings`]) and the clock ([`clock`]).

pub mod clock;
pub mod contract;
pub mod exit;
pub mod http;
pub mod kafka;
pub mod metrics;
pub mod registry;
#[cfg(feature = "sabotage")]
pub mod sabotage;
pub mod secrets;
pub mod settings;
pub mod shutdown;
pub mod start;
pub mod telemetry;
