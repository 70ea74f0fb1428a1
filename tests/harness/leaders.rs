//! Who leads a partition, and so who coordinates transactions and groups.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::System;

/// Longest time a broker may take to answer.
const ASK_LIMIT: Duration = Duration::from_secs(10);

/// Topic with the state of transactions: the leader of a partition coordinates the transactional ids that fall on it.
pub const TRANSACTIONS: &str = "__transaction_state";
/// Topic with the positions of groups: the same for groups.
pub const GROUPS: &str = "__consumer_offsets";

/// A partition as a broker describes it; brokers by their node ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Led {
    /// Its number.
    pub partition: i32,
    /// Who leads; none at present.
    pub leader: Option<i32>,
    /// Who has it, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Who has all of it.
    pub in_sync: Vec<i32>,
}

impl Led {
    /// Whether everybody has all of it and the preferred one leads.
    #[must_use]
    pub fn is_at_home(&self) -> bool {
        self.leader.is_some()
            && self.leader == self.replicas.first().copied()
            && self.in_sync.len() == self.replicas.len()
    }
}

/// The partitions of a topic, in their order; any broker that runs is asked.
pub fn of(system: &System, topic: &str) -> Result<Vec<Led>> {
    let client: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", system.stack.bootstrap_servers()).create()?;
    let metadata = client.fetch_metadata(Some(topic), ASK_LIMIT).with_context(|| format!("who leads {topic}"))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic).context("the topic is there")?;
    let mut partitions: Vec<Led> = found
        .partitions()
        .iter()
        .map(|one| Led {
            partition: one.id(),
            leader: Some(one.leader()).filter(|leader| *leader >= 0),
            replicas: one.replicas().to_vec(),
            in_sync: one.isr().to_vec(),
        })
        .collect();
    partitions.sort_by_key(|led| led.partition);
    Ok(partitions)
}

/// The partition of [`TRANSACTIONS`] or [`GROUPS`] on which an id falls: `hashCode` of Java's strings, without its sign.
/// Source: Apache Kafka 4.3, `TransactionStateManager.partitionFor`, `GroupCoordinatorService.partitionFor`.
pub fn partition_of(id: &str, partitions: usize) -> Result<i32> {
    let hash = id.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    Ok((hash & i32::MAX) % i32::try_from(partitions)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_fall_where_java_puts_them() {
        // "polygenelubricants".hashCode() is the smallest int there is; the others are from the same documentation of hashes.
        for (id, expected) in [("", 0), ("a", 97 % 50), ("hello", 99_162_322 % 50), ("polygenelubricants", 0)] {
            assert_eq!(partition_of(id, 50).expect("few partitions"), expected, "{id}");
        }
    }
}
