//! The sink's settings, read and checked before anything is opened.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use platform::exit::Failure;
use platform::kafka::KafkaConfig;
use platform::settings::{Link, Settings, links};

/// Bytes of records that a worker holds before it writes without waiting for more. Above the bytes
/// of a usual full batch (20,000 records of 1 kB), so it shows only where records are unusually
/// large; a worker's memory is at most this, one poll of [`POLL_RECORDS_MAX`] and what decoding adds.
pub(crate) const HELD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Records taken in one poll before the bytes held are looked at again.
pub(crate) const POLL_RECORDS_MAX: usize = 500;
/// First wait after a fault; doubled for each further one.
pub(crate) const BACKOFF: Duration = Duration::from_millis(250);
/// Cap on that wait. A tenth of the minute within which the flow must resume after a fault.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How long a dead letter or an event may take to be acknowledged.
pub(crate) const PUBLISH_TIMEOUT: Duration = Duration::from_secs(15);

/// What the sink needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// How to reach Kafka.
    pub(crate) kafka: KafkaConfig,
    /// Where Postgres is, without a password.
    pub(crate) postgres_url: String,
    /// The file with the password, read again for each connection.
    pub(crate) postgres_password_file: Option<PathBuf>,
    /// Address of health and metrics.
    pub(crate) listen: SocketAddr,
    /// Worker threads. Each is a member of the group with a connection of its own; more than the
    /// topic has partitions stand idle.
    pub(crate) threads: usize,
    /// Records of one transaction. Too small: the transaction's fixed cost dominates; too large:
    /// more work is repeated after a fault, and memory grows.
    pub(crate) batch_rows_max: usize,
    /// How long records wait for company. Adds to the latency of a lonely record.
    pub(crate) batch_wait: Duration,
    /// After this time a fetched batch that does not tie is closed as incomplete.
    pub(crate) ledger_deadline: Duration,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// Exit 2 with every fault of the configuration.
    pub(crate) fn new(settings: &Settings) -> Result<Self, Failure> {
        settings.require_for("sink")?;
        links(settings, &[Link::Kafka, Link::Registry, Link::Postgres, Link::Telemetry])?;
        let postgres_url = settings.text("postgres.url").to_owned();
        crate::edge::postgres::check_url(&postgres_url)?;
        Ok(Self {
            kafka: KafkaConfig::new(settings, "sisdmk-sink")?,
            postgres_url,
            postgres_password_file: settings.opt_path("postgres.password_file").map(PathBuf::from),
            listen: settings.address("sink.listen"),
            threads: settings.count("sink.threads"),
            batch_rows_max: settings.count("sink.batch_rows_max"),
            batch_wait: settings.duration("sink.batch_wait"),
            ledger_deadline: settings.duration("ledger.deadline"),
        })
    }
}
