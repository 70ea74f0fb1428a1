//! What the processor reads from the configuration.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use platform::exit::Failure;
use platform::settings::{Link, Settings, links};
use schemas::layout::{self, Layout};

/// The name of this stage: process, consumer group, log, dashboard row.
pub(crate) const STAGE: &str = "processor";
/// Consumer group of all instances.
pub(crate) const GROUP: &str = "sisdmk-processor";

/// Configuration of one process, read and checked before any connection is opened.
pub(crate) struct Config {
    /// Address of `/livez`, `/readyz`, `/metrics`.
    pub(crate) listen: SocketAddr,
    /// Part of the transactional ids, so that two processes do not fence each other: different for each, and the
    /// same after a restart, so that a new process ends what its predecessor left open.
    pub(crate) instance: String,
    /// Worker threads, 1 to 64. More than there are partitions stand idle.
    pub(crate) threads: usize,
    /// Records in one transaction. Too small: the cost of a transaction dominates; too large: more is done again
    /// after a fault.
    pub(crate) batch_records_max: usize,
    /// How long a transaction that is not full waits for more records: the latency of a quiet hour.
    pub(crate) batch_wait: Duration,
    /// The broker aborts a transaction that is open for longer, and a killed process hides later records from
    /// readers for no more than this and the broker's own look every 10 s.
    pub(crate) transaction_timeout: Duration,
    /// File of the identity key.
    pub(crate) hmac_key_file: PathBuf,
    /// How this source's records look.
    pub(crate) layout: Layout,
    /// Raw status values and what they mean.
    pub(crate) status_aktif: BTreeMap<String, String>,
}

impl Config {
    /// Reads it. Errors: exit code 2, every wrong key at once.
    pub(crate) fn read(settings: &Settings) -> Result<Self, Failure> {
        settings.require_for(STAGE)?;
        links(settings, &[Link::Kafka, Link::Registry])?;
        Ok(Self {
            listen: settings.address("processor.listen"),
            instance: settings.text("processor.instance").to_owned(),
            threads: settings.count("processor.threads"),
            batch_records_max: settings.count("processor.batch_records_max"),
            batch_wait: settings.duration("processor.batch_wait"),
            transaction_timeout: settings.duration("processor.transaction_timeout"),
            hmac_key_file: settings.path("identity.hmac_key_file").to_owned(),
            layout: layout(settings.text("source.profile"))?,
            status_aktif: settings.table("rules.status_aktif"),
        })
    }

    /// How long a transaction takes records in while they keep coming: a small part of the time that the broker allows, because
    /// its records are still to be delivered then.
    pub(crate) fn flow_max(&self) -> Duration {
        flow_max(self.transaction_timeout)
    }

    /// Transactional id of worker `number`.
    pub(crate) fn transactional_id(&self, number: usize) -> String {
        format!("sisdmk-processor-{}-{number}", self.instance)
    }
}

/// See [`Config::flow_max`].
#[must_use]
pub fn flow_max(transaction_timeout: Duration) -> Duration {
    transaction_timeout / 10
}

/// The layout of a shipped profile, or of the file at this path.
fn layout(profile: &str) -> Result<Layout, Failure> {
    let text = match layout::shipped(profile) {
        Some(text) => text.to_owned(),
        None => std::fs::read_to_string(profile).map_err(|error| {
            Failure::config(format!("cannot read the profile {profile}"))
                .hint("set source.profile to a shipped profile or to the path of a profile file")
                .because(error)
        })?,
    };
    Layout::from_profile_toml(&text)
        .map_err(|error| Failure::config(format!("the profile {profile} is wrong: {error}")))
}
