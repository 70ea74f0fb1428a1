//! Breaking the contract on purpose: what an operator could do by hand, and what the stages must notice.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewPartitions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::topics::Record;
use crate::{System, wait};

/// Longest time the broker may take over one step of a transaction.
const STEP_LIMIT: Duration = Duration::from_secs(30);

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its records count.
    Commit,
    /// Its records stay on the topic, and nobody may believe them.
    Abort,
}

impl System {
    /// Writes records in one transaction, each to the partition it names.
    pub fn publish(&self, topic: &str, records: &[Record], ending: Ending) -> Result<()> {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", self.stack.bootstrap_servers())
            .set("transactional.id", "by-hand")
            .create()?;
        producer.init_transactions(STEP_LIMIT)?;
        producer.begin_transaction()?;
        for record in records {
            let mut headers = OwnedHeaders::new();
            for (key, value) in &record.headers {
                headers = headers.insert(Header { key, value: Some(value) });
            }
            let mut message: BaseRecord<'_, str, [u8]> =
                BaseRecord::to(topic).partition(record.partition).headers(headers);
            message.key = record.key.as_deref();
            message.payload = record.value.as_deref();
            producer.send(message).map_err(|(error, _)| error)?;
        }
        // Also what is aborted has to be on the topic first, or nobody could mistake it for real.
        producer.flush(STEP_LIMIT)?;
        match ending {
            Ending::Commit => producer.commit_transaction(STEP_LIMIT)?,
            Ending::Abort => producer.abort_transaction(STEP_LIMIT)?,
        }
        Ok(())
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        Ok(ClientConfig::new().set("bootstrap.servers", self.stack.bootstrap_servers()).create()?)
    }

    /// Changes one setting of a topic; its other settings go back to the broker's defaults.
    pub fn alter_topic(&self, topic: &str, key: &str, value: &str) -> Result<()> {
        let admin = self.admin()?;
        let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(key, value);
        let done = block_on(admin.alter_configs([&change], &AdminOptions::new()))??;
        for result in done {
            if let Err((_, code)) = result {
                bail!("cannot alter {topic}: {code}");
            }
        }
        Ok(())
    }

    /// Deletes a topic with all it holds.
    pub fn delete_topic(&self, topic: &str) -> Result<()> {
        let admin = self.admin()?;
        let done = block_on(admin.delete_topics(&[topic], &AdminOptions::new()))??;
        for result in done {
            if let Err((_, code)) = result {
                bail!("cannot delete {topic}: {code}");
            }
        }
        Ok(())
    }

    /// Raises the number of partitions of a topic.
    pub fn add_partitions(&self, topic: &str, partitions: usize) -> Result<()> {
        let admin = self.admin()?;
        let more = NewPartitions::new(topic, partitions);
        let done = block_on(admin.create_partitions([&more], &AdminOptions::new()))??;
        for result in done {
            if let Err((_, code)) = result {
                bail!("cannot add partitions to {topic}: {code}");
            }
        }
        Ok(())
    }

    /// Removes a subject from the registry for good.
    pub fn delete_subject(&self, subject: &str) -> Result<()> {
        let client = reqwest::blocking::Client::new();
        let url = format!("{}/subjects/{subject}", self.stack.registry_url());
        for url in [url.clone(), format!("{url}?permanent=true")] {
            client.delete(&url).send()?.error_for_status().with_context(|| format!("cannot delete {subject}"))?;
        }
        Ok(())
    }
}

fn block_on<F: Future>(future: F) -> Result<F::Output> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}

/// Position after the last committed record of a partition.
pub fn end_of(system: &System, topic: &str, partition: i32) -> Result<i64> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", system.stack.bootstrap_servers())
        .set("isolation.level", "read_committed")
        .create()?;
    let (_, end) = consumer.fetch_watermarks(topic, partition, STEP_LIMIT)?;
    Ok(end)
}

/// Deletes every record of a partition before an offset, as retention would.
pub fn delete_records(system: &System, topic: &str, partition: i32, before: i64) -> Result<()> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(before))?;
    let admin = system.admin()?;
    let done = block_on(admin.delete_records(&list, &AdminOptions::new()))??;
    for one in done.elements() {
        one.error().with_context(|| format!("records of {topic}/{partition} were not deleted"))?;
    }
    Ok(())
}

/// Deletes a group without members, with its positions.
pub fn delete_group(system: &System, group: &str) -> Result<()> {
    let admin = system.admin()?;
    wait::until(&format!("group {group} to be deleted"), STEP_LIMIT, || {
        let done = block_on(admin.delete_groups(&[group], &AdminOptions::new()))??;
        // Its members may have left a moment ago.
        Ok(done.iter().all(Result::is_ok).then_some(()))
    })
}
