//! The options of the Kafka clients: what this product sets, and what nobody may change.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::credentials::{Credentials, Made};
use crate::exit::Failure;
use crate::settings::Settings;

/// Largest request and record of a producer: the largest `max.message.bytes` of any topic.
const MESSAGE_BYTES_MAX: usize = 2_097_152;
/// Memory for records that are not delivered yet, per producer.
const PRODUCER_QUEUE_KIB_MAX: usize = 32 * 1024;
/// Records that are not delivered yet, per producer.
const PRODUCER_QUEUE_RECORDS_MAX: usize = 200_000;
/// Memory for fetched records that were not handed out yet, per consumer.
const CONSUMER_QUEUE_KIB_MAX: usize = 16 * 1024;
/// Answer to one fetch, over all of its partitions. The queue above is looked at before a fetch and not while its answer
/// arrives, so it may be exceeded by one answer, which is larger once it is decompressed.
const FETCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// One partition's part of such an answer.
const PARTITION_FETCH_BYTES_MAX: usize = 1024 * 1024;
/// How long a consumer may work on one poll before the group takes its partitions away.
const POLL_INTERVAL_MAX: Duration = Duration::from_secs(120);
/// How long a consumer may be silent before the group takes its partitions away.
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is asked who leads. A client that was told too early, while a broker that had died still counted as the leader,
/// or in whose hands a leader changed twice, waits for this: its default of 5 minutes would be how long a partition stands still.
const LEADERS_EVERY: Duration = Duration::from_secs(10);
/// For how long an answer counts about a topic that the client only asks about and neither reads nor writes.
const LEADERS_FOR: Duration = Duration::from_secs(30);
/// For how long a topic that nobody has heard of may be one that was just made. Topics are made long before: its default of 30 s
/// would only be how long a record for one that is missing keeps its neighbours waiting.
const TOPIC_PROPAGATION: Duration = Duration::from_secs(2);

/// Properties that a configuration may not set, each with what to do instead.
const DENIED: &[(&str, &str)] = &[
    ("acks", "is fixed: every record is acknowledged by all replicas"),
    ("allow.auto.create.topics", "is fixed: topics are made by `sisdmk setup` alone"),
    ("auto.commit.enable", "is fixed: positions move with the work, not with the clock"),
    ("auto.offset.reset", "is fixed: a lost position stops, it never jumps"),
    ("bootstrap.servers", "is the setting kafka.bootstrap_servers"),
    ("check.crcs", "is fixed: on"),
    ("client.id", "is the name of the process"),
    ("delivery.timeout.ms", "follows processor.transaction_timeout"),
    ("enable.auto.commit", "is fixed: positions move with the work, not with the clock"),
    ("enable.auto.offset.store", "is fixed: positions move with the work, not with the clock"),
    ("enable.idempotence", "is fixed: on"),
    ("enable.partition.eof", "is fixed: on: the end of an idle partition is known by it"),
    ("enable.sasl.oauthbearer.unsecure.jwt", "is refused: it accepts any token"),
    ("enable.ssl.certificate.verification", "is fixed: on; ssl.ca.location names your own authority"),
    ("group.id", "is the name of the process"),
    ("group.instance.id", "is fixed: members are dynamic"),
    ("group.protocol", "is fixed: classic, because librdkafka 2.12 cannot rejoin after a slow poll with the new one"),
    ("isolation.level", "is fixed: read_committed"),
    ("log.connection.close", "is fixed: on, a lost link must be seen"),
    ("log.queue", "is fixed"),
    ("log_level", "is the setting telemetry.log_level"),
    ("max.in.flight", "is fixed: at most 5, or retries would reorder"),
    ("max.in.flight.requests.per.connection", "is fixed: at most 5, or retries would reorder"),
    ("max.poll.interval.ms", "is fixed"),
    ("message.max.bytes", "is fixed, together with the limits of the topics"),
    ("message.send.max.retries", "is fixed: bounded by time, not by count"),
    ("message.timeout.ms", "follows processor.transaction_timeout"),
    ("metadata.broker.list", "is the setting kafka.bootstrap_servers"),
    ("partition.assignment.strategy", "is fixed: cooperative-sticky"),
    ("partitioner", "is fixed: murmur2_random, so that one person stays on one partition"),
    ("plugin.library.paths", "is refused: no foreign code"),
    ("queue.buffering.max.kbytes", "is fixed: it bounds the memory of the process"),
    ("queue.buffering.max.messages", "is fixed: it bounds the memory of the process"),
    ("request.required.acks", "is fixed: every record is acknowledged by all replicas"),
    ("retries", "is fixed: bounded by time, not by count"),
    ("sasl.oauthbearer.client.secret", "is a secret: secrets are read from files only"),
    ("sasl.password", "is a secret: name its file in kafka.password_file"),
    ("ssl.endpoint.identification.algorithm", "is fixed: the host name is always verified"),
    ("ssl.key.password", "is a secret: use a key file without a password that only this user can read"),
    ("ssl.key.pem", "is a secret: name its file in ssl.key.location"),
    ("ssl.keystore.password", "is a secret: use ssl.certificate.location and ssl.key.location"),
    ("transaction.timeout.ms", "is the setting processor.transaction_timeout"),
    ("transactional.id", "is the name of the process"),
];

/// The properties among these that may not be set, or that librdkafka does not take, with why.
pub(crate) fn denied(properties: &BTreeMap<String, String>) -> Vec<(String, &'static str)> {
    let mut refused = Vec::new();
    for (name, value) in properties {
        if let Some((_, why)) = DENIED.iter().find(|(denied, _)| denied == name) {
            refused.push((name.clone(), *why));
        } else if ClientConfig::new().set(name, value).create_native_config().is_err() {
            refused.push((name.clone(), "is not a property of librdkafka, or not with this value"));
        }
    }
    refused
}

/// How to reach Kafka: what the settings say, and what stands in the files that they name. Clones share the latter, which
/// [`follow_files`](Self::follow_files) takes up anew.
#[derive(Clone)]
pub struct KafkaConfig {
    client_id: String,
    given: BTreeMap<String, String>,
    credentials: Credentials,
    transaction_timeout: Duration,
}

impl KafkaConfig {
    /// From `kafka.*` and `processor.transaction_timeout`, for the process of that name.
    ///
    /// # Errors
    /// Exit 2 when `kafka.bootstrap_servers` is missing or a file of password or certificates is not fit for use.
    pub fn new(settings: &Settings, client_id: &str) -> Result<Self, Failure> {
        settings.require(&["kafka.bootstrap_servers"])?;
        let mut given = settings.table("kafka.properties");
        given.insert("bootstrap.servers".to_owned(), settings.text("kafka.bootstrap_servers").to_owned());
        let credentials = Credentials::read(&given, settings.opt_path("kafka.password_file"))?;
        Ok(Self {
            client_id: client_id.to_owned(),
            given,
            credentials,
            transaction_timeout: settings.duration("processor.transaction_timeout"),
        })
    }

    /// The same with another time after which the broker aborts an open transaction.
    #[must_use]
    pub fn with_transaction_timeout(mut self, timeout: Duration) -> Self {
        self.transaction_timeout = timeout;
        self
    }

    /// After this time the broker aborts an open transaction.
    #[must_use]
    pub fn transaction_timeout(&self) -> Duration {
        self.transaction_timeout
    }

    /// How long a record of a transaction may take to be delivered: less than the transaction's
    /// time, so that a record's fault is known before the broker gives up on the transaction.
    pub(crate) fn delivery_timeout(&self) -> Duration {
        self.transaction_timeout * 8 / 10
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The same with another password and other certificates, which nobody follows.
    pub(super) fn with_credentials(&self, credentials: Credentials) -> Self {
        Self { credentials, ..self.clone() }
    }

    /// What a client that is made next is made of.
    pub(super) fn made(&self) -> Made {
        self.credentials.made()
    }

    /// The process's name.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            // Reconnect quickly at first; a broker's restart takes seconds.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "2000")
            .set("retry.backoff.ms", "50")
            .set("socket.timeout.ms", millis(REQUEST_TIMEOUT))
            .set("socket.connection.setup.timeout.ms", millis(REQUEST_TIMEOUT))
            .set("socket.keepalive.enable", "true")
            .set("topic.metadata.refresh.interval.ms", millis(LEADERS_EVERY))
            .set("metadata.max.age.ms", millis(LEADERS_FOR))
            .set("socket.nagle.disable", "true")
            .set("allow.auto.create.topics", "false");
        let debugs = self.given.contains_key("debug");
        config.set_log_level(if debugs { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info });
        config
    }

    /// What an operator gives comes last among the tunables, and before what is fixed.
    fn give(&self, config: &mut ClientConfig) {
        let mut given = self.given.clone();
        self.credentials.give(&mut given);
        for (name, value) in given {
            config.set(name, value);
        }
        config
            .set("client.id", &self.client_id)
            .set("message.max.bytes", MESSAGE_BYTES_MAX.to_string())
            .set("enable.ssl.certificate.verification", "true")
            .set("ssl.endpoint.identification.algorithm", "https");
    }

    fn producer(&self, delivery_timeout: Duration) -> ClientConfig {
        let mut config = self.base();
        config
            .set("linger.ms", "20")
            .set("batch.size", "1000000")
            .set("batch.num.messages", "10000")
            .set("compression.type", "lz4")
            .set("topic.metadata.propagation.max.ms", millis(TOPIC_PROPAGATION));
        self.give(&mut config);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("max.in.flight.requests.per.connection", "5")
            .set("partitioner", "murmur2_random")
            .set("queue.buffering.max.kbytes", PRODUCER_QUEUE_KIB_MAX.to_string())
            .set("queue.buffering.max.messages", PRODUCER_QUEUE_RECORDS_MAX.to_string())
            .set("delivery.timeout.ms", millis(delivery_timeout));
        config
    }

    /// A producer whose records are safe one by one.
    pub(crate) fn idempotent(&self) -> ClientConfig {
        // Longer than a broker's restart: the queue waits instead of failing records.
        self.producer(Duration::from_secs(60))
    }

    /// A producer of transactions.
    pub(crate) fn transactional(&self, transactional_id: &str) -> ClientConfig {
        let mut config = self.producer(self.delivery_timeout());
        let debug = self.given.get("debug").map_or_else(|| "eos".to_owned(), |given| format!("{given},eos"));
        config
            // Some ten lines for each transaction, of which those are read that tell that the request
            // to end it was repeated; see `link`. They are logged at debug level only.
            .set("debug", debug)
            .set_log_level(RDKafkaLogLevel::Debug)
            .set("transactional.id", transactional_id)
            .set("transaction.timeout.ms", millis(self.transaction_timeout))
            // A request that is not answered within a transaction's time is of no use to it.
            .set("socket.timeout.ms", millis(self.delivery_timeout().min(REQUEST_TIMEOUT)));
        config
    }

    /// A consumer.
    pub(crate) fn consumer(&self, group: &str, read_committed: bool) -> ClientConfig {
        let mut config = self.base();
        config
            .set("fetch.wait.max.ms", "100")
            .set("fetch.error.backoff.ms", "100")
            // Its default of a second stops the flow each time the queue below is full for a moment:
            // 69,000 records/s instead of 600,000 with a reader that takes 1.6 us for each.
            .set("fetch.queue.backoff.ms", "5")
            .set("queued.min.messages", "50000")
            .set("queued.max.messages.kbytes", CONSUMER_QUEUE_KIB_MAX.to_string())
            .set("fetch.max.bytes", FETCH_BYTES_MAX.to_string())
            .set("max.partition.fetch.bytes", PARTITION_FETCH_BYTES_MAX.to_string())
            .set("session.timeout.ms", millis(SESSION_TIMEOUT))
            .set("heartbeat.interval.ms", "3000");
        self.give(&mut config);
        config
            .set("group.id", group)
            .set("group.protocol", "classic")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", if read_committed { "read_committed" } else { "read_uncommitted" })
            .set("enable.partition.eof", "true")
            .set("check.crcs", "true")
            .set("max.poll.interval.ms", millis(POLL_INTERVAL_MAX));
        config
    }

    /// A client for questions and topics.
    pub(crate) fn admin(&self) -> ClientConfig {
        let mut config = self.base();
        self.give(&mut config);
        config
    }
}

fn millis(span: Duration) -> String {
    span.as_millis().to_string()
}

/// Names only: values may be secrets.
impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("client_id", &self.client_id)
            .field("properties", &self.given.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(more: &[(&str, &str)]) -> KafkaConfig {
        let mut pairs = vec![("kafka.bootstrap_servers", "127.0.0.1:1")];
        pairs.extend_from_slice(more);
        let settings = Settings::from_pairs(pairs).expect("settings");
        KafkaConfig::new(&settings, "test").expect("config")
    }

    #[test]
    fn librdkafka_takes_every_option_and_the_promises_are_set() {
        let config = config(&[("kafka.properties.linger.ms", "5"), ("processor.transaction_timeout", "10s")]);
        let check = |config: &ClientConfig, expected: &[(&str, &str)]| {
            let native = config.create_native_config().expect("librdkafka takes it");
            for (name, value) in expected {
                assert_eq!(native.get(name).expect(name), *value, "{name}");
            }
        };
        check(
            &config.transactional("t"),
            &[
                ("enable.idempotence", "true"),
                ("max.in.flight", "5"),
                ("linger.ms", "5"),
                ("partitioner", "murmur2_random"),
                ("transaction.timeout.ms", "10000"),
                ("queue.buffering.max.kbytes", "32768"),
                ("queue.buffering.max.messages", "200000"),
                ("delivery.timeout.ms", "8000"),
                ("client.id", "test"),
            ],
        );
        check(&config.idempotent(), &[("enable.idempotence", "true"), ("compression.type", "lz4")]);
        check(
            &config.consumer("g", true),
            &[
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("auto.offset.reset", "error"),
                ("isolation.level", "read_committed"),
                ("queued.max.messages.kbytes", "16384"),
                ("fetch.max.bytes", "8388608"),
                ("max.partition.fetch.bytes", "1048576"),
                ("check.crcs", "true"),
                ("group.protocol", "classic"),
            ],
        );
        check(&config.admin(), &[("ssl.endpoint.identification.algorithm", "https")]);
    }

    #[test]
    fn what_carries_a_promise_or_a_secret_cannot_be_given() {
        for (name, _) in DENIED {
            let given = BTreeMap::from([((*name).to_owned(), "hunter22".to_owned())]);
            let refused = denied(&given);
            assert_eq!(refused.len(), 1, "{name}");
        }
        let typo = BTreeMap::from([("lingr.ms".to_owned(), "5".to_owned())]);
        assert_eq!(denied(&typo).len(), 1);
        let fine = BTreeMap::from([
            ("linger.ms".to_owned(), "5".to_owned()),
            ("security.protocol".to_owned(), "ssl".to_owned()),
        ]);
        assert_eq!(denied(&fine), vec![]);
    }

    #[test]
    fn debug_output_holds_no_value() {
        let shown = format!("{:?}", config(&[("kafka.properties.sasl.username", "hunter22")]));
        assert!(shown.contains("sasl.username") && !shown.contains("hunter22"), "{shown}");
    }
}
