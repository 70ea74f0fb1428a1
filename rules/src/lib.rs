//! Every rule about a health worker's record: one function from bytes to a verdict.
//!
//! [`judge`] takes one raw record and the [`Rules`] compiled from the source's profile, and says either what the
//! clean record is, with its warnings, or every reason why it is refused. The rules are `docs/CONTRACT.md`
//! section 11; each has a module with its own tests.
//!
//! ```text
//! payload -> judge -> reading: values, their type and text  -> text
//!                  -> nik, title, jenis_kelamin, status_aktif, date, place -> region, region_name, wilayah
//!                  -> history: jobs, educations, trainings  -> employment_key
//! ```
//!
//! Pure: no clock ("now" is the time at which the source gave the record out), no I/O, no log. A fault of the world
//! cannot be expressed here, so it cannot become a dead letter.

mod catalogue;
mod date;
mod employment_key;
mod history;
mod jenis_kelamin;
mod judge;
mod kecamatan;
mod memory;
mod nik;
mod place;
mod reading;
mod reason;
mod region;
mod region_name;
mod rulebook;
pub mod status_aktif;
mod text;
mod title;
mod title_forms;
pub mod wilayah;
mod word;

#[cfg(test)]
mod tests;

pub use catalogue::{Action, Code, Party, Severity};
pub use judge::{RawRecord, Verdict, judge, judge_and_count};
pub use memory::Memory;
pub use reading::FieldCounts;
pub use reason::{FieldPath, Reason, codes};
pub use rulebook::{Rules, RulesError, RulesFault};

/// Revision of these rules and their tables. Raised with every change of what [`judge`] answers, so that a
/// corrected rule can replace what an earlier one judged.
pub const REVISION: i32 = 2;
