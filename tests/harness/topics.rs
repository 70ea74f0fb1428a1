//! Reading whole topics, as a consumer that trusts committed records only.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use platform::kafka::admin::Admin;
use platform::kafka::{self, Consumer, Deadline, KafkaConfig, Msg};
use platform::settings::Settings;
use schemas::event::{self, BatchEvent};

use crate::System;

/// Longest time a whole topic may take to be read.
const READ_LIMIT: Duration = Duration::from_secs(900);

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

/// Gives every committed record of `topic` to `next`, each partition in offset order.
pub fn each(system: &System, topic: &str, next: impl FnMut(&Msg<'_>)) -> Result<()> {
    kafka::read_to_end(&config(system)?, topic, true, Deadline::after(READ_LIMIT), next)?;
    Ok(())
}

/// How to reach the broker, past every proxy.
fn config(system: &System) -> Result<KafkaConfig> {
    let bootstrap_servers = system.stack.bootstrap_servers();
    let settings = Settings::from_pairs([
        ("kafka.bootstrap_servers", bootstrap_servers.as_str()),
        ("security.allow_plaintext", "true"),
    ])?;
    Ok(KafkaConfig::new(&settings, "sisdmk-tests")?)
}

/// The sum of the ends of all partitions: of the logs, or, for a reader of committed records, of where the first open
/// transaction begins.
pub fn end(system: &System, topic: &str, committed: bool) -> Result<i64> {
    let config = config(system)?;
    let consumer = if committed { Consumer::manual(&config)? } else { Consumer::manual_uncommitted(&config)? };
    let partitions = consumer.partitions(topic)?;
    Ok(consumer.high_watermarks(topic, &partitions)?.into_iter().sum())
}

/// How many partitions a topic has.
pub fn partitions(system: &System, topic: &str) -> Result<usize> {
    Ok(Consumer::manual(&config(system)?)?.partitions(topic)?.len())
}

/// The committed position of a group.
pub fn committed(system: &System, group: &str, topic: &str, partition: i32) -> Result<Option<i64>> {
    let positions =
        Admin::connect(&config(system)?)?.group_offsets(group, topic, Deadline::after(Duration::from_secs(20)))?;
    Ok(positions.into_iter().find(|(found, _)| *found == partition).and_then(|(_, position)| position))
}

/// Every event on `sisdmk.audit`, oldest first.
pub fn events(system: &System) -> Result<Vec<BatchEvent>> {
    let mut frames = Vec::new();
    each(system, "sisdmk.audit", |message| frames.extend(message.value.map(<[u8]>::to_vec)))?;
    let id = |frame: &[u8]| Some(u32::from_be_bytes(frame.get(1..5)?.try_into().ok()?));
    frames.iter().map(|frame| Ok(event::decode(frame, id(frame).context("a frame is at least five bytes")?)?)).collect()
}

/// How many committed records `topic` holds.
pub fn count(system: &System, topic: &str) -> Result<i64> {
    let mut count = 0;
    each(system, topic, |_| count += 1)?;
    Ok(count)
}

/// Every committed record of `topic`, in partition and offset order. Only for topics that fit in memory.
pub fn read(system: &System, topic: &str) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    each(system, topic, |message| {
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
