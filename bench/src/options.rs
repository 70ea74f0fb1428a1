//! What the benchmark is asked for.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use serde::Serialize;

/// The pipeline's speed, cost and memory on this machine, against real servers, after what arrived was compared with
/// the source.
#[derive(Clone, Debug, Parser)]
#[command(name = "sisdmk-bench", version)]
pub struct Options {
    /// Synthetic health workers.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1_000..=5_000_000))]
    pub workers: u64,
    /// Everything about them is derived from it.
    #[arg(long, default_value_t = 4)]
    pub seed: u64,
    /// Which records: `standard` measures the person alone too, for the sink's floor.
    #[arg(long, value_enum, default_value = "both")]
    pub record: Records,
    /// How often the standard records are measured; each time with new servers and empty tables. 0 leaves them out.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=21))]
    pub rounds: u32,
    /// How often the rich records are measured.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=21))]
    pub rich_rounds: u32,
    /// How often the processor is measured beside the same work without transactions; 0 leaves it out.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=21))]
    pub transaction_rounds: u32,
    /// How long Postgres stands still in the last scenario; 0 leaves it out.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=600))]
    pub pause_seconds: u64,
    /// `shared_buffers` of Postgres.
    #[arg(long, default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(16..=65_536))]
    pub shared_buffers_mb: u32,
    /// Also write everything measured as JSON.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Also write the tables into this page, between its markers.
    #[arg(long)]
    pub write: Option<PathBuf>,
    /// Folder for data and logs; emptied first, deleted at the end.
    #[arg(long, default_value = ".bench")]
    pub dir: PathBuf,
}

/// Which records are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Records {
    /// The standard record, and the person alone.
    Standard,
    /// The person alone, stage by stage.
    Person,
    /// The rich record.
    Rich,
    /// All of them.
    Both,
}

/// A kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// No job: `sdmk.person` alone is written.
    Person,
    /// One job, about 600 bytes of JSON.
    Standard,
    /// Two jobs, education and training, about 1.2 kB.
    Rich,
}

impl Record {
    /// The simulator's word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Standard => "standard",
            Self::Rich => "rich",
        }
    }
}

impl Options {
    /// The kinds to measure, with the number of rounds of each.
    #[must_use]
    pub fn rounds(&self) -> Vec<(Record, u32)> {
        let standard = [(Record::Standard, self.rounds), (Record::Person, self.rounds)];
        let rich = [(Record::Rich, self.rich_rounds)];
        match self.record {
            Records::Standard => standard.to_vec(),
            Records::Person => standard[1..].to_vec(),
            Records::Rich => rich.to_vec(),
            Records::Both => standard.into_iter().chain(rich).collect(),
        }
    }
}
