//! What the demonstration is asked for.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// SISDMK to Postgres through real Kafka on this machine, with synthetic health workers.
#[derive(Debug, Parser)]
#[command(name = "sisdmk-demo", version)]
pub(crate) struct Options {
    /// Synthetic health workers.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) workers: u64,
    /// Everything about them is derived from it.
    #[arg(long, default_value_t = 4)]
    pub(crate) seed: u64,
    /// Two batches with changes between them, then compare every row with the source and end.
    #[arg(long)]
    pub(crate) once: bool,
    /// With --once: kill each stage with `kill -9` during the second batch.
    #[arg(long, requires = "once")]
    pub(crate) kill: bool,
    /// Also start Kafka Connect, which copies `sisdmk.clean` into a second database.
    #[arg(long)]
    pub(crate) connect: bool,
    /// Folder for data, logs and configuration; emptied first.
    #[arg(long, default_value = ".demo")]
    pub(crate) dir: PathBuf,
}

impl Options {
    /// Longest time one batch may take: five minutes, and a minute for each further 50,000 workers.
    pub(crate) fn batch_limit(&self) -> Duration {
        Duration::from_secs(300 + self.workers / 50_000 * 60)
    }
}
