//! What was measured, as data.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::machine::Machine;
use crate::options::Record;
use crate::part::Part;
use crate::transactions::Pair;

/// How the work was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// All stages at the same time, from the first request to the last committed row.
    Whole,
    /// The simulator to `sisdmk.raw`.
    Producer,
    /// A full `sisdmk.raw` to `sisdmk.clean`.
    Processor,
    /// A full `sisdmk.clean` to Postgres.
    Sink,
}

impl Way {
    /// All.
    pub const ALL: [Self; 4] = [Self::Whole, Self::Producer, Self::Processor, Self::Sink];

    /// Its name in a table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "end to end",
            Self::Producer => "producer alone",
            Self::Processor => "processor alone",
            Self::Sink => "sink alone",
        }
    }
}

/// What the records are to the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Empty tables.
    Load,
    /// Every person has changed.
    Update,
    /// Every person is given out again, and one in a hundred has changed.
    Redelivery,
}

impl Phase {
    /// All, in the order in which they are measured.
    pub const ALL: [Self; 3] = [Self::Load, Self::Update, Self::Redelivery];

    /// Its name in a table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Load => "first load",
            Self::Update => "100 % updates",
            Self::Redelivery => "99 % unchanged",
        }
    }
}

/// One measured stretch of work.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// Kind of record.
    pub record: Record,
    /// Number of the round, from 1.
    pub round: u32,
    /// How the work was done.
    pub way: Way,
    /// What the records were to the tables.
    pub phase: Phase,
    /// Records in the stretch.
    pub records: u64,
    /// Its time.
    pub seconds: f64,
    /// Processor time by part.
    pub cpu_seconds: BTreeMap<Part, f64>,
    /// Processor time of everything else on the machine, this program included.
    pub rest_cpu_seconds: f64,
    /// WAL written, where rows are written.
    pub wal_bytes: Option<u64>,
    /// Bytes that the topics grew by, as they lie on the broker's disk.
    pub topic_bytes: BTreeMap<String, u64>,
}

impl Run {
    /// Records a second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn rate(&self) -> f64 {
        self.records as f64 / self.seconds
    }

    /// Microseconds of processor time a record.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn micros(&self, part: Part) -> f64 {
        self.cpu_seconds.get(&part).copied().unwrap_or(0.0) * 1e6 / self.records as f64
    }

    /// WAL a record.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn wal_bytes_per_record(&self) -> Option<f64> {
        Some(self.wal_bytes? as f64 / self.records as f64)
    }
}

/// The same rows, put into empty tables of the same definition with COPY alone.
#[derive(Clone, Debug, Serialize)]
pub struct Floor {
    /// Kind of record.
    pub record: Record,
    /// Number of the round, from 1.
    pub round: u32,
    /// Connections that copied at the same time, as many as the sink has workers.
    pub connections: usize,
    /// Whether the employments were copied too.
    pub employments: bool,
    /// Persons.
    pub rows: u64,
    /// Time until the last connection was done.
    pub seconds: f64,
    /// Processor time of the backends.
    pub backend_cpu_seconds: f64,
    /// WAL written.
    pub wal_bytes: u64,
}

impl Floor {
    /// Persons a second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn rate(&self) -> f64 {
        self.rows as f64 / self.seconds
    }
}

/// What happened to memory while Postgres stood still.
#[derive(Clone, Debug, Serialize)]
pub struct Pause {
    /// How long it stood still.
    pub seconds: f64,
    /// Records written to `sisdmk.clean` meanwhile.
    pub records: u64,
    /// Seconds after which everything was in the tables.
    pub catch_up_seconds: f64,
    /// By process.
    pub memory: BTreeMap<Part, PausedMemory>,
}

/// Memory of one process around the pause, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PausedMemory {
    /// When Postgres stopped.
    pub at_stop: u64,
    /// The most in the first half.
    pub first_half: u64,
    /// The most in the second half.
    pub second_half: u64,
}

/// Everything of one call.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Where it was measured.
    pub machine: Machine,
    /// Health workers.
    pub workers: u64,
    /// Seed of the simulator.
    pub seed: u64,
    /// Settings of the servers that matter.
    pub settings: String,
    /// All stretches.
    pub runs: Vec<Run>,
    /// All floors.
    pub floors: Vec<Floor>,
    /// The most memory that each part ever had.
    pub memory_peaks: BTreeMap<Part, u64>,
    /// Postgres stopped, unless it was left out.
    pub pause: Option<Pause>,
    /// The processor beside the same work without transactions, round by round.
    pub transactions: Vec<Pair>,
    /// What was compared with the source before any of this was shown.
    pub parity: Vec<String>,
}

impl Figures {
    /// Nothing measured yet, on this machine.
    pub(crate) fn new(workers: u64, seed: u64) -> Self {
        Self {
            machine: Machine::here(),
            workers,
            seed,
            settings: String::new(),
            runs: Vec::new(),
            floors: Vec::new(),
            memory_peaks: BTreeMap::new(),
            pause: None,
            transactions: Vec::new(),
            parity: Vec::new(),
        }
    }
}

/// Several values of one figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle one.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of any number of values but none.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Some(Self { median, min, max })
    }

    /// Whether there was more than one value.
    #[must_use]
    pub fn is_spread(&self) -> bool {
        self.max > self.min
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value_or_between_the_two() {
        let check = |values: &[f64], expected: Option<[f64; 3]>| {
            let spread = Spread::of(values.iter().copied());
            assert_eq!(spread.map(|it| [it.median, it.min, it.max]), expected, "{values:?}");
        };
        check(&[], None);
        check(&[4.0], Some([4.0, 4.0, 4.0]));
        check(&[9.0, 1.0, 5.0], Some([5.0, 1.0, 9.0]));
        check(&[9.0, 1.0, 5.0, 7.0], Some([6.0, 1.0, 9.0]));
    }
}
