//! Whose processor time and memory is counted.

use serde::Serialize;

/// One of the programs that take part, or a share of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The source; it is no part of the pipeline.
    Simulator,
    /// `sisdmk-producer`.
    Producer,
    /// `sisdmk-processor`.
    Processor,
    /// `sisdmk-sink`.
    Sink,
    /// The server processes that work for connections of ours.
    PostgresBackends,
    /// Checkpointer, writers, autovacuum and the like, and the postmaster.
    PostgresBackground,
    /// Kafka.
    Broker,
    /// The schema registry.
    Registry,
}

impl Part {
    /// All, in the order of the tables.
    pub const ALL: [Self; 8] = [
        Self::Simulator,
        Self::Producer,
        Self::Processor,
        Self::Sink,
        Self::PostgresBackends,
        Self::PostgresBackground,
        Self::Broker,
        Self::Registry,
    ];

    /// The programs whose memory the product promises to bound.
    pub const OURS: [Self; 3] = [Self::Producer, Self::Processor, Self::Sink];

    /// Its name in a table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Simulator => "simulator",
            Self::Producer => "producer",
            Self::Processor => "processor",
            Self::Sink => "sink",
            Self::PostgresBackends => "Postgres backends",
            Self::PostgresBackground => "Postgres background",
            Self::Broker => "Kafka broker",
            Self::Registry => "registry",
        }
    }

    /// Its place in [`Part::ALL`].
    #[must_use]
    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_stands_at_its_index() {
        for (index, part) in Part::ALL.into_iter().enumerate() {
            assert_eq!(part.index(), index, "{part:?}");
        }
    }
}
