//! Kafka, through `platform`: facts for `setup`, positions for `lag`, dead letters.
//!
//! The client blocks; [`blocking`] tells the runtime so.

use std::collections::BTreeMap;
use std::time::Duration;

use platform::exit::{Exit, Failure};
use platform::kafka::admin::Admin;
use platform::kafka::{Consumer, Deadline, FaultKind, KafkaConfig, KafkaFault, Msg, PollEvent, read_to_end};
use platform::settings::{Link, Settings, links};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::command::DlqPlace;
use crate::contract::DLQ;
use crate::dead_letter::Envelope;

/// Longest wait for an answer to one question.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Longest reading of the dead letters: a month of them may be a few gigabytes.
const READ_MAX: Duration = Duration::from_secs(600);
/// Longest gap whose records are counted.
const GAP_MAX: i64 = 1_000;
/// Longest reading of such gaps.
const GAP_READ_MAX: Duration = Duration::from_secs(2);
/// Records taken from one poll.
const RECORDS_PER_POLL: usize = 10_000;
/// How long one poll waits for the one record that is asked for.
const POLL_WAIT: Duration = Duration::from_millis(200);

/// Runs a call that blocks its thread.
pub(crate) fn blocking<T>(call: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(call)
}

/// How to reach Kafka; nothing is connected yet.
pub(crate) fn config(settings: &Settings) -> Result<KafkaConfig, Failure> {
    links(settings, &[Link::Kafka])?;
    KafkaConfig::new(settings, "sisdmk")
}

/// What a fault means to an operator; `settings` says where Kafka should be.
pub(crate) fn failure(settings: &Settings, fault: &KafkaFault) -> Failure {
    let brokers = settings.opt_text("kafka.bootstrap_servers").unwrap_or("-");
    let (exit, hint) = match fault.kind {
        FaultKind::Retriable | FaultKind::Timeout => {
            (Exit::Environment, format!("is Kafka running, and does kafka.bootstrap_servers ({brokers}) name it?"))
        }
        FaultKind::Denied => (
            Exit::Environment,
            "this user has no right to do that in Kafka: give it the right, or use another user in kafka.properties"
                .to_owned(),
        ),
        FaultKind::Login => (
            Exit::Environment,
            "the broker does not let this user in: check sasl.username and kafka.password_file".to_owned(),
        ),
        FaultKind::Missing => (Exit::Environment, "run `sisdmk setup` first; it makes the topics".to_owned()),
        FaultKind::Fenced => {
            (Exit::Runtime, "the group has members: stop the stages that belong to it, then try again".to_owned())
        }
        FaultKind::Config => (Exit::Config, "check [kafka] in the configuration".to_owned()),
        FaultKind::Abortable | FaultKind::Fatal | FaultKind::TooLarge => (Exit::Runtime, "try again".to_owned()),
    };
    Failure::new(exit, format!("failed to {fault}")).hint(hint)
}

/// Position and end of one partition, as one group or the sink sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// Partition.
    pub(crate) partition: i32,
    /// First offset that is still there.
    pub(crate) first: i64,
    /// Offset that the next record will get.
    pub(crate) end: i64,
}

/// First offset and end of every partition of a topic.
pub(crate) fn ends(admin: &Admin, topic: &str) -> Result<Vec<End>, KafkaFault> {
    let marks = blocking(|| admin.watermarks(topic, Deadline::after(ANSWER_MAX)))?;
    Ok(marks.into_iter().map(|mark| End { partition: mark.partition, first: mark.low, end: mark.high }).collect())
}

/// Committed positions of a group on a topic; partitions without one are left out.
pub(crate) fn committed(admin: &Admin, group: &str, topic: &str) -> Result<BTreeMap<i32, i64>, KafkaFault> {
    let offsets = blocking(|| admin.group_offsets(group, topic, Deadline::after(ANSWER_MAX)))?;
    Ok(offsets.into_iter().filter_map(|(partition, offset)| Some((partition, offset?))).collect())
}

/// How many records really lie before the ends of these partitions, where that is quickly told.
///
/// The end of a partition counts markers of transactions too, and a position kept outside of Kafka
/// does not move for them: a difference of a few may be no record at all. Gaps longer than
/// [`GAP_MAX`] are left out (the difference is near enough), and so is what is not read in time.
pub(crate) fn records_left(
    config: &KafkaConfig,
    topic: &str,
    gaps: &[(i32, i64, i64)],
) -> Result<BTreeMap<i32, i64>, KafkaFault> {
    let short: Vec<(i32, i64, i64)> =
        gaps.iter().copied().filter(|(_, from, end)| (1..=GAP_MAX).contains(&(end - from))).collect();
    if short.is_empty() {
        return Ok(BTreeMap::new());
    }
    let starts: Vec<(&str, i32, i64)> = short.iter().map(|(partition, from, _)| (topic, *partition, *from)).collect();
    blocking(|| {
        let deadline = Deadline::after(GAP_READ_MAX);
        let consumer = Consumer::manual(config)?;
        consumer.assign(&starts)?;
        let mut counts: BTreeMap<i32, i64> = short.iter().map(|(partition, ..)| (*partition, 0)).collect();
        let is_read = |(partition, _, end): &(i32, i64, i64)| {
            consumer.position(topic, *partition).is_some_and(|next| next >= *end)
        };
        while !short.iter().all(is_read) && !deadline.passed() {
            let outcome = consumer.poll(RECORDS_PER_POLL, POLL_WAIT, |message| {
                let inside =
                    short.iter().any(|(partition, _, end)| *partition == message.partition && message.offset < *end);
                if inside && let Some(count) = counts.get_mut(&message.partition) {
                    *count += 1;
                }
            });
            if outcome.events.iter().any(|event| matches!(event, PollEvent::PositionLost { .. })) {
                break;
            }
        }
        counts.retain(|partition, _| short.iter().any(|gap| gap.0 == *partition && is_read(gap)));
        Ok(counts)
    })
}

fn headers(message: &Msg<'_>) -> Vec<(String, Vec<u8>)> {
    message
        .headers()
        .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.unwrap_or_default().to_vec()))
        .collect()
}

fn with_envelope<T>(message: &Msg<'_>, each: impl FnOnce(Envelope<'_>) -> T) -> T {
    each(Envelope {
        place: DlqPlace { partition: message.partition, offset: message.offset },
        timestamp_ms: message.timestamp_ms,
        key: message.key,
        headers: &headers(message),
    })
}

/// Hands out every dead letter there is now, without its bytes.
pub(crate) fn read_dead_letters(settings: &Settings, mut each: impl FnMut(Envelope<'_>)) -> Result<(), Failure> {
    let config = config(settings)?;
    blocking(|| read_whole(&config, DLQ, |message| with_envelope(message, &mut each)))
        .map_err(|fault| failure(settings, &fault))
}

/// Hands out everything that a topic holds now.
fn read_whole(config: &KafkaConfig, topic: &str, each: impl FnMut(&Msg<'_>)) -> Result<(), KafkaFault> {
    // A broker that is away is told soon, and not after the time that much reading may take.
    Admin::connect(config)?.watermarks(topic, Deadline::after(ANSWER_MAX))?;
    read_to_end(config, topic, true, Deadline::after(READ_MAX), each)
}

/// Hands out one dead letter with its bytes; `None` where there is none.
pub(crate) fn read_dead_letter<T>(
    settings: &Settings,
    place: DlqPlace,
    each: impl FnOnce(Envelope<'_>, &[u8]) -> T,
) -> Result<Option<T>, Failure> {
    let config = config(settings)?;
    blocking(|| read_one(&config, place, each)).map_err(|fault| failure(settings, &fault))
}

/// Where a record that carries an id lies, and what its headers say; nothing of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) person_id: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) batch_id: Option<String>,
    pub(crate) fetched_at: Option<String>,
    pub(crate) traceparent: Option<String>,
    /// Reason codes of a dead letter.
    pub(crate) codes: Option<String>,
}

impl Seen {
    /// For programs.
    pub(crate) fn json(&self) -> Value {
        json!({
            "partition": self.partition,
            "offset": self.offset,
            "person_id": self.person_id,
            "request_id": self.request_id,
            "batch_id": self.batch_id,
            "fetched_at": self.fetched_at,
            "traceparent": self.traceparent,
            "codes": self.codes,
        })
    }
}

/// Hands out the places of `topic` whose key, request or batch is `id`. Reads the whole topic: there is no index.
pub(crate) fn follow(settings: &Settings, topic: &str, id: Uuid, mut each: impl FnMut(Seen)) -> Result<(), Failure> {
    let config = config(settings)?;
    let wanted = id.to_string();
    // An id that somebody else wrote may be any text; only one that is an id is shown.
    let shown = |bytes: Option<&[u8]>, bytes_max: usize| {
        let text = std::str::from_utf8(bytes?).ok()?;
        let plain = text.len() <= bytes_max && text.bytes().all(|byte| byte.is_ascii_graphic());
        plain.then(|| text.to_owned())
    };
    blocking(|| {
        read_whole(&config, topic, |message| {
            let is = |bytes: Option<&[u8]>| bytes == Some(wanted.as_bytes());
            let header = |name: &str| message.header(name);
            if is(message.key) || is(header("sisdmk-request-id")) || is(header("sisdmk-batch-id")) {
                each(Seen {
                    partition: message.partition,
                    offset: message.offset,
                    person_id: shown(message.key, 36),
                    request_id: shown(header("sisdmk-request-id"), 36),
                    batch_id: shown(header("sisdmk-batch-id"), 36),
                    fetched_at: shown(header("sisdmk-fetched-at"), 27),
                    traceparent: shown(header("traceparent"), 55),
                    codes: shown(header("dlq.error.codes"), 400),
                });
            }
        })
    })
    .map_err(|fault| failure(settings, &fault))
}

fn read_one<T>(
    config: &KafkaConfig,
    place: DlqPlace,
    each: impl FnOnce(Envelope<'_>, &[u8]) -> T,
) -> Result<Option<T>, KafkaFault> {
    let deadline = Deadline::after(ANSWER_MAX);
    let held =
        Admin::connect(config)?.watermarks(DLQ, deadline)?.into_iter().find(|mark| mark.partition == place.partition);
    if held.is_none_or(|mark| !(mark.low..mark.high).contains(&place.offset)) {
        return Ok(None);
    }
    let consumer = Consumer::manual(config)?;
    consumer.assign(&[(DLQ, place.partition, place.offset)])?;
    let mut each = Some(each);
    let mut found = None;
    loop {
        let outcome = consumer.poll(1, POLL_WAIT, |message| {
            // A transaction's marker has an offset too, and the record after it is another one.
            if message.offset == place.offset
                && let Some(each) = each.take()
            {
                found = Some(with_envelope(message, |envelope| each(envelope, message.value.unwrap_or_default())));
            }
        });
        let passed = consumer.position(DLQ, place.partition).is_some_and(|next| next > place.offset);
        if found.is_some() || outcome.records > 0 || passed {
            return Ok(found);
        }
        for event in outcome.events {
            match event {
                PollEvent::PositionLost { .. } => return Ok(None),
                PollEvent::Fault(fault) if !fault.is_retriable() => return Err(fault),
                PollEvent::Fault(_) | PollEvent::Rebalance(_) => {}
            }
        }
        if deadline.passed() {
            return Err(KafkaFault::new(
                FaultKind::Timeout,
                format!("read {place}: no answer within {} s", ANSWER_MAX.as_secs()),
            ));
        }
    }
}
