//! Reading whole topics, as a consumer that trusts committed records only.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use platform::kafka::{self, Deadline, KafkaConfig};
use platform::settings::Settings;

use crate::System;

/// Longest time a whole topic may take to be read.
const READ_LIMIT: Duration = Duration::from_secs(300);

/// One record.
#[derive(Clone, Debug)]
pub struct Record {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Key, as text.
    pub key: Option<String>,
    /// Bytes.
    pub value: Option<Vec<u8>>,
    /// Headers; the last one of a name counts.
    pub headers: BTreeMap<String, String>,
}

/// Every committed record of `topic`, in partition and offset order.
pub fn read(system: &System, topic: &str) -> Result<Vec<Record>> {
    let bootstrap_servers = system.stack.bootstrap_servers();
    let settings = Settings::from_pairs([
        ("kafka.bootstrap_servers", bootstrap_servers.as_str()),
        ("security.allow_plaintext", "true"),
    ])?;
    let config = KafkaConfig::new(&settings, "sisdmk-tests")?;
    let mut records = Vec::new();
    kafka::read_to_end(&config, topic, true, Deadline::after(READ_LIMIT), |message| {
        records.push(Record {
            partition: message.partition,
            offset: message.offset,
            key: message.key.map(text),
            value: message.value.map(<[u8]>::to_vec),
            headers: message.headers().map(|(name, value)| (text(name), text(value.unwrap_or_default()))).collect(),
        });
    })?;
    records.sort_by_key(|record| (record.partition, record.offset));
    Ok(records)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
