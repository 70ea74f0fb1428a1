//! Topics, their settings and ends, and the positions of groups.
//!
//! Only `sisdmk setup` and `sisdmk offsets reset` change anything through here; everything else asks.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::config::KafkaConfig;
use super::consumer::Consumer;
use super::fault::{FaultKind, KafkaFault};
use super::link::Links;
use crate::clock::Deadline;

/// What the broker says about a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicFacts {
    /// Its name.
    pub name: String,
    /// Number of partitions.
    pub partitions: usize,
    /// Its settings, those of the broker's defaults included.
    pub config: BTreeMap<String, String>,
}

/// A topic to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// Number of partitions.
    pub partitions: i32,
    /// Its settings; the rest are the broker's defaults, the number of replicas too.
    pub config: Vec<(String, String)>,
}

/// What a partition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// The partition.
    pub partition: i32,
    /// First offset.
    pub low: i64,
    /// Where readers of committed records end: where the first open transaction begins, or else the log's end.
    pub high: i64,
}

#[derive(Debug, Default)]
struct Quiet(Links);

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(&error, reason);
    }
}

/// A client for questions and topics.
pub struct Admin {
    config: KafkaConfig,
    client: AdminClient<Quiet>,
}

impl Admin {
    /// Makes the client; it connects in the background.
    ///
    /// # Errors
    /// `Config` when librdkafka refuses an option.
    pub fn connect(config: &KafkaConfig) -> Result<Self, KafkaFault> {
        let client: AdminClient<Quiet> = config
            .admin()
            .create_with_context(Quiet::default())
            .map_err(|error| KafkaFault::of("start the admin client", &error))?;
        Ok(Self { config: config.clone(), client })
    }

    /// Number of brokers that answer for the cluster.
    ///
    /// # Errors
    /// `Timeout` or `Retriable` when none answers before the deadline.
    pub fn brokers(&self, deadline: Deadline) -> Result<usize, KafkaFault> {
        let metadata = self
            .client
            .inner()
            .fetch_metadata(None, patience(deadline))
            .map_err(|error| KafkaFault::of("ask for brokers", &error))?;
        Ok(metadata.brokers().len())
    }

    /// What the broker says about these topics, in their order; none for one that is not there.
    ///
    /// # Errors
    /// `Timeout` or `Retriable` when no broker answers before the deadline; `Denied`.
    pub fn describe_topics(&self, names: &[&str], deadline: Deadline) -> Result<Vec<Option<TopicFacts>>, KafkaFault> {
        const WHAT: &str = "describe topics";
        let mut facts = Vec::with_capacity(names.len());
        for name in names {
            match partitions(self.client.inner(), name, patience(deadline)) {
                Ok(found) => facts.push(Some(TopicFacts {
                    name: (*name).to_owned(),
                    partitions: found.len(),
                    config: BTreeMap::new(),
                })),
                Err(fault) if fault.kind == FaultKind::Missing => facts.push(None),
                Err(fault) => return Err(fault),
            }
        }
        let present: Vec<ResourceSpecifier<'_>> =
            facts.iter().flatten().map(|fact| ResourceSpecifier::Topic(&fact.name)).collect();
        if present.is_empty() {
            return Ok(facts);
        }
        let described = block_on(self.client.describe_configs(&present, &options(deadline)))
            .map_err(|error| KafkaFault::of(WHAT, &error))?;
        let mut configs = Vec::with_capacity(described.len());
        for resource in described {
            let resource = resource.map_err(|code| KafkaFault::of_code(WHAT, code))?;
            let config: BTreeMap<String, String> =
                resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect();
            configs.push((resource.specifier, config));
        }
        for fact in facts.iter_mut().flatten() {
            let of_this = |specifier: &rdkafka::admin::OwnedResourceSpecifier| matches!(specifier, rdkafka::admin::OwnedResourceSpecifier::Topic(name) if *name == fact.name);
            if let Some(index) = configs.iter().position(|(specifier, _)| of_this(specifier)) {
                fact.config = configs.swap_remove(index).1;
            }
        }
        Ok(facts)
    }

    /// Makes the topics that are not there; those that are stay as they are. Returns the names made.
    ///
    /// # Errors
    /// The first topic that the broker refuses.
    pub fn create_topics(&self, specs: &[TopicSpec], deadline: Deadline) -> Result<Vec<String>, KafkaFault> {
        let topics: Vec<NewTopic<'_>> = specs
            .iter()
            .map(|spec| {
                // -1: as many replicas as the broker's default says.
                let topic = NewTopic::new(&spec.name, spec.partitions, TopicReplication::Fixed(-1));
                spec.config.iter().fold(topic, |topic, (name, value)| topic.set(name, value))
            })
            .collect();
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let results = block_on(self.client.create_topics(&topics, &options(deadline)))
            .map_err(|error| KafkaFault::of("create topics", &error))?;
        let mut made = Vec::new();
        for result in results {
            match result {
                Ok(name) => made.push(name),
                Err((_, Code::TopicAlreadyExists)) => {}
                Err((name, code)) => return Err(KafkaFault::of_code(&format!("create topic {name}"), code)),
            }
        }
        Ok(made)
    }

    /// First offset of every partition of a topic, and its end as readers of committed records have it: where the first
    /// open transaction begins, or else the log's end.
    ///
    /// # Errors
    /// `Missing` when the topic is not there; `Timeout`, `Retriable`, `Denied`.
    pub fn watermarks(&self, topic: &str, deadline: Deadline) -> Result<Vec<Watermarks>, KafkaFault> {
        let client = self.client.inner();
        partitions(client, topic, patience(deadline))?
            .into_iter()
            .map(|partition| {
                let (low, high) = client
                    .fetch_watermarks(topic, partition, patience(deadline))
                    .map_err(|error| KafkaFault::of("read watermarks", &error))?;
                Ok(Watermarks { partition, low, high })
            })
            .collect()
    }

    /// The committed offset of every partition of a topic for a group; none where there is none.
    ///
    /// # Errors
    /// `Missing` when the topic is not there; `Timeout`, `Retriable`, `Denied`.
    pub fn group_offsets(
        &self,
        group: &str,
        topic: &str,
        deadline: Deadline,
    ) -> Result<Vec<(i32, Option<i64>)>, KafkaFault> {
        let partitions = partitions(self.client.inner(), topic, patience(deadline))?;
        let committed = Consumer::of_group(&self.config, group)?.committed(topic, &partitions)?;
        Ok(partitions.into_iter().zip(committed).collect())
    }

    /// Sets the committed offsets of a group that has no members. Setting the same again changes
    /// nothing.
    ///
    /// # Errors
    /// `Fenced` when the group has members; `Timeout`, `Retriable`, `Denied`.
    pub fn set_group_offsets(&self, group: &str, topic: &str, offsets: &[(i32, i64)]) -> Result<(), KafkaFault> {
        let consumer = Consumer::of_group(&self.config, group)?;
        let offsets: Vec<(&str, i32, i64)> =
            offsets.iter().map(|(partition, offset)| (topic, *partition, *offset)).collect();
        consumer.commit(&offsets)
    }
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The partitions of a topic.
pub(super) fn partitions<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    timeout: Duration,
) -> Result<Vec<i32>, KafkaFault> {
    let what = format!("ask for topic {topic}");
    let metadata = client.fetch_metadata(Some(topic), timeout).map_err(|error| KafkaFault::of(&what, &error))?;
    let Some(found) = metadata.topics().iter().find(|one| one.name() == topic) else {
        return Err(KafkaFault::new(FaultKind::Missing, format!("{what}: there is none of that name")));
    };
    if let Some(code) = found.error() {
        return Err(KafkaFault::of_code(&what, code.into()));
    }
    let mut partitions: Vec<i32> = found.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect();
    partitions.sort_unstable();
    Ok(partitions)
}

/// What is left until the deadline, at least a moment: librdkafka takes zero for "do not wait".
fn patience(deadline: Deadline) -> Duration {
    deadline.remaining().max(Duration::from_millis(10))
}

fn options(deadline: Deadline) -> AdminOptions {
    let timeout = patience(deadline);
    AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout))
}

/// Waits for one future on this thread, whether or not it belongs to an async runtime. The admin
/// client completes its futures from a thread of its own.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
