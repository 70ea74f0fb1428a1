//! One recorded history of the pipeline, and what must hold of it whatever was done to the processes.
//!
//! In the manner of Jepsen's workload for Kafka: a run is recorded first (what the source served, every committed
//! record with its place, every report, every write of a row in its order), then judged by pure code that knows
//! nothing of how the stages work. A checker that looked only at the final tables could not tell a row that went
//! back and came forward again, or a record that was lost and polled again later.
//!
//! [`record`] makes a history from a running system; [`check`] judges it. The rule for versions is written down
//! here a second time on purpose: a model that shares code with what it judges shares its mistakes.

mod check;
pub mod record;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

pub use check::{check, passed_percent};

/// A position of a topic whose name follows from the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.partition, self.offset)
    }
}

/// Which of two states of a person is the newer: compared field by field, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Microseconds since 1970.
    pub last_updated: i64,
    /// Microseconds since 1970.
    pub fetched_at: i64,
    /// Revision of the rules.
    pub rules_revision: i32,
    /// Hash of the content.
    pub content_hash: i64,
}

/// An answer that the source gave.
#[derive(Clone, Debug)]
pub struct Served {
    /// Id of the request.
    pub request: String,
    /// Rows in it.
    pub rows: u64,
}

/// A committed record of `sisdmk.raw`.
#[derive(Clone, Debug)]
pub struct Raw {
    /// Where it stands.
    pub place: Place,
    /// Key.
    pub key: Option<String>,
    /// Batch that brought it.
    pub batch: String,
    /// Request that brought it.
    pub request: String,
    /// Hash of key and bytes: two polls of one state have the same.
    pub digest: u64,
}

/// A committed record of `sisdmk.clean`.
#[derive(Clone, Debug)]
pub struct Clean {
    /// Where it stands.
    pub place: Place,
    /// Key.
    pub key: String,
    /// Batch that brought it.
    pub batch: String,
    /// Place in `sisdmk.raw` and version; none for a tombstone.
    pub state: Option<(Place, Version)>,
}

/// A committed dead letter.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Where it stands.
    pub place: Place,
    /// Whether the sink refused it; then its raw record has ended as a clean one.
    pub by_sink: bool,
    /// Place in `sisdmk.raw`, or in `sisdmk.clean` where the sink could not read more.
    pub origin: Place,
    /// Batch that brought it.
    pub batch: String,
}

/// A stage report of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// `producer`, `processor` or `sink`.
    pub stage: String,
    /// Input topic.
    pub topic: String,
    /// Input partition.
    pub partition: i32,
    /// First position.
    pub first: i64,
    /// Position after the last.
    pub next: i64,
    /// Batch.
    pub batch: String,
    /// What was counted.
    pub counts: BTreeMap<String, i64>,
}

impl Report {
    fn count(&self, name: &str) -> i64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    fn sum(&self, names: &[&str]) -> i64 {
        names.iter().map(|name| self.count(name)).sum()
    }

    fn covers(&self, place: Place) -> bool {
        place.partition == self.partition && (self.first..self.next).contains(&place.offset)
    }
}

/// A write of a row of `sdmk.person`, as the trigger saw it.
#[derive(Clone, Debug)]
pub struct Write {
    /// Order of the writes of one row.
    pub order: i64,
    /// Transaction of the database.
    pub transaction: i64,
    /// Whose row.
    pub person: String,
    /// Version after it.
    pub version: Version,
    /// Whether the row is marked as deleted after it.
    pub deleted: bool,
    /// Place in `sisdmk.raw` that the row names after it.
    pub origin: Place,
}

/// A move of a position in `sink.offset`, as the trigger saw it.
#[derive(Clone, Debug)]
pub struct Move {
    /// Order of the moves of one position.
    pub order: i64,
    /// Transaction of the database.
    pub transaction: i64,
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Whether a sink did it; else an operator, who may set any position.
    pub by_sink: bool,
    /// Position before; none where there was none.
    pub from: Option<i64>,
    /// Position after.
    pub to: i64,
}

/// Everything that is judged. The pipeline was at rest when it was recorded.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Answers of the source.
    pub served: Vec<Served>,
    /// `sisdmk.raw`.
    pub raw: Vec<Raw>,
    /// `sisdmk.clean`.
    pub clean: Vec<Clean>,
    /// `sisdmk.dlq`.
    pub letters: Vec<Letter>,
    /// The reports that the ledger holds.
    pub reports: Vec<Report>,
    /// The reports of producer and processor on `sisdmk.audit`.
    pub told: Vec<Report>,
    /// Writes of rows.
    pub writes: Vec<Write>,
    /// Moves of positions.
    pub moves: Vec<Move>,
    /// Versions that the tables hold at the end.
    pub rows: BTreeMap<String, Version>,
}

/// What can be wrong with a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A committed record that ended nowhere.
    Lost,
    /// A record that ended more than once.
    Duplicate,
    /// Something was made of a record that was never committed.
    AbortedRead,
    /// Part of a transaction is there and part is not.
    Torn,
    /// Records of one person in another order than before.
    Reordered,
    /// A row that went to an older version.
    Backwards,
    /// Ranges with a gap or an overlap.
    Untiled,
    /// A position that did not go on from where it was.
    Jumped,
    /// The ledger holds another report than was told.
    Misreported,
}

/// One thing that is wrong: never with a value of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// What kind of thing.
    pub kind: Kind,
    /// Where.
    pub what: String,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}: {}", self.kind, self.what)
    }
}

/// Anomalies told in full; the rest is counted by kind.
const TOLD_MAX: usize = 25;

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Everything wrong.
    pub anomalies: Vec<Anomaly>,
    /// How much was judged.
    pub judged: String,
}

impl Verdict {
    /// Whether anything of this kind was found.
    #[must_use]
    pub fn has(&self, kind: Kind) -> bool {
        self.anomalies.iter().any(|anomaly| anomaly.kind == kind)
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.anomalies.is_empty()
    }

    /// How many anomalies there are of each kind.
    #[must_use]
    pub fn by_kind(&self) -> BTreeMap<Kind, usize> {
        let mut kinds = BTreeMap::new();
        for anomaly in &self.anomalies {
            *kinds.entry(anomaly.kind).or_default() += 1;
        }
        kinds
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "history of {}: {:?}", self.judged, self.by_kind())?;
        for anomaly in self.anomalies.iter().take(TOLD_MAX) {
            writeln!(out, "  - {anomaly}")?;
        }
        Ok(())
    }
}
