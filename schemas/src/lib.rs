//! The contract of SISDMK Stream in Rust: what stands on the topics, how it is encoded, who a
//! record is about, and which of two versions is the newer.
//!
//! Pure: no clock, no file, no network, no log. The schemas themselves are the files in `avro/`
//! with every version they ever had in `history/`; `docs/CONTRACT.md` describes them in words.
//!
//! - [`worker`], [`event`], [`frame`]: the two Avro values and the frame around them
//! - [`json`]: strict reading of one record, lenient cutting of a page
//! - [`layout`]: where a source's records have our fields
//! - [`identity`], [`version`], [`stamp`]: one person, one key; the newer version wins
//!
//! What is not here: any judgement about a record's contents (`rules/`), any topic or header
//! (`platform/` and the stages).

mod avro;
mod date;
pub mod event;
pub mod foreign;
pub mod frame;
pub mod identity;
mod ids;
pub mod json;
pub mod layout;
pub mod letter;
mod masked;
mod nik;
pub mod stamp;
mod symbols;
mod timestamp;
pub mod version;
pub mod worker;

pub use avro::{DecodeFault, FieldFault};
pub use date::Date;
pub use ids::{PersonId, TraceId};
pub use masked::Masked;
pub use nik::Nik;
pub use timestamp::Timestamp;

/// The Avro schema of `sisdmk.clean`'s values, as registered.
pub const SDMK_WORKER_AVSC: &str = include_str!("../avro/sdmk_worker.avsc");
/// The Avro schema of `sisdmk.audit`'s values, as registered.
pub const BATCH_EVENT_AVSC: &str = include_str!("../avro/batch_event.avsc");
