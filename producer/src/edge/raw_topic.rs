//! The only file that publishes: slices, their reports and the state, each in one Kafka transaction.
//!
//! A transaction either is committed with everything in it or leaves nothing. Where its end is not
//! clear, the producer object is thrown away, the next one with the same id waits until the broker has
//! ended the transaction, and the state, read to its end, says which way it went.

use crate::config::{Config, PROCESS};
use crate::cycle::Slice;
use crate::state::{Entry, Keys, StateView};
use platform::clock::Deadline;
use platform::exit::Failure;
use platform::http::Health;
use platform::kafka::{Ended, FaultKind, HeaderSet, KafkaConfig, KafkaFault, Msg, Out, TxnProducer, read_to_end};
use platform::shutdown::Shutdown;
use schemas::event::{self, BatchEvent};
use std::time::Duration;
use uuid::Uuid;

/// Topic of source records.
pub const RAW: &str = "sisdmk.raw";
/// Topic of events.
pub const AUDIT: &str = "sisdmk.audit";
/// Topic of the producer's memory.
pub const STATE: &str = "sisdmk.state";

/// The transactional id. There is one producer: a second one takes over and the first stops.
const TRANSACTIONAL_ID: &str = PROCESS;

/// Waits between tries against brokers that do not answer.
const BACKOFF: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// How long one try to connect, or to read the state, may take before it is reported and repeated.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the first look at the state may take when a producer is to be replaced.
const GLANCE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a flush waits before it looks whether the process is to stop.
const FLUSH_STEP: Duration = Duration::from_millis(500);

/// How long acknowledgements may take before the process says that it is not ready.
const FLUSH_LATE: Duration = Duration::from_secs(5);

/// How long a transaction may still take once the process is to stop.
const STOP_GRACE: Duration = Duration::from_secs(15);

/// How long the coordinator may take to end a transaction whose records are all delivered.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// What goes out in one transaction.
#[derive(Debug, Clone)]
pub struct Transaction<'a> {
    /// Records of a slice.
    pub slice: Option<&'a Slice>,
    /// Events for `sisdmk.audit`.
    pub events: Vec<BatchEvent>,
    /// Entries for `sisdmk.state`; at least one, and one that has never been written before: an unclear
    /// end is cleared up by looking for them.
    pub entries: Vec<Entry>,
    /// The batch's `traceparent`, a header of the events.
    pub traceparent: String,
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It is committed.
    Committed,
    /// A record is larger than the topic takes; nothing was written.
    TooLarge,
    /// The process is to stop and Kafka does not answer; nothing is known to be written.
    Stopped,
}

/// How one try went.
enum Try {
    Done(Written),
    /// There is a fresh producer, and nothing of the transaction is written.
    Ready,
    Again(KafkaFault),
}

/// The producer's only way into Kafka.
pub struct RawTopic {
    kafka: KafkaConfig,
    keys: Keys,
    source: String,
    record_bytes_max: usize,
    audit_schema_id: u32,
    producer: Option<TxnProducer>,
    /// The state as this process last read or wrote it.
    left: StateView,
    health: Health,
    shutdown: Shutdown,
}

impl std::fmt::Debug for RawTopic {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("RawTopic").field("source", &self.source).finish_non_exhaustive()
    }
}

impl RawTopic {
    /// For the source of this configuration. Nothing is opened yet.
    #[must_use]
    pub fn new(config: &Config, audit_schema_id: u32, health: Health, shutdown: Shutdown) -> Self {
        Self {
            kafka: config.kafka.clone(),
            keys: Keys::of(&config.profile.profile.name),
            source: config.source(),
            record_bytes_max: config.limits.record_bytes_max,
            audit_schema_id,
            producer: None,
            left: StateView::default(),
            health,
            shutdown,
        }
    }

    /// Takes over the transactional id, which ends what a former process left open, and reads the state to
    /// its end. `None` when the process is to stop before Kafka answers.
    ///
    /// # Errors
    /// Exit 3: no right to write; the topic of the state is gone, or holds what is not ours.
    pub fn open(&mut self) -> Result<Option<StateView>, Failure> {
        let mut wait = BACKOFF;
        loop {
            match self.connect().and_then(|()| self.read_state()) {
                Ok(view) => {
                    self.health.ok("kafka");
                    self.left = view?;
                    return Ok(Some(self.left.clone()));
                }
                Err(fault) => self.pause(fault, &mut wait)?,
            }
            if self.shutdown.is_set() {
                return Ok(None);
            }
        }
    }

    /// Writes a transaction, however long Kafka stays away.
    ///
    /// # Errors
    /// Exit 3: another producer has taken over, or Kafka refuses for good.
    pub fn write(&mut self, transaction: &Transaction<'_>) -> Result<Written, Failure> {
        let mut wait = BACKOFF;
        loop {
            let outcome = if self.producer.as_ref().is_none_or(is_of_no_use) {
                self.replace(transaction)?
            } else {
                self.attempt(transaction)?
            };
            match outcome {
                Try::Done(written) => {
                    self.health.ok("kafka");
                    if written == Written::Committed {
                        self.keep(transaction)?;
                    }
                    return Ok(written);
                }
                Try::Ready => {}
                Try::Again(fault) => {
                    self.pause(fault, &mut wait)?;
                    if self.shutdown.is_set() {
                        return Ok(Written::Stopped);
                    }
                }
            }
        }
    }

    /// While nothing is to be written: a producer that was made of another password or other certificates goes; the next
    /// transaction gets a new one.
    pub fn rest(&mut self) {
        self.producer = self.producer.take().filter(|producer| !producer.is_outdated());
    }

    /// Remembers what a committed transaction has made of the state.
    fn keep(&mut self, transaction: &Transaction<'_>) -> Result<(), Failure> {
        for entry in &transaction.entries {
            let kept = self.left.apply(&self.keys, &entry.key, Some(&entry.value));
            kept.map_err(|fault| Failure::runtime("this version cannot read what it writes").because(fault))?;
        }
        Ok(())
    }

    fn connect(&mut self) -> Result<(), KafkaFault> {
        if self.producer.as_ref().is_none_or(is_of_no_use) {
            // The former one goes first: it must not be alive beside its successor.
            self.producer = None;
            let deadline = Deadline::after(CONNECT_TIMEOUT);
            self.producer = Some(TxnProducer::connect(&self.kafka, TRANSACTIONAL_ID, deadline)?);
        }
        Ok(())
    }

    /// Puts a new producer in the place of one that is of no use any more, and finds out whether the
    /// transaction that it may have left was committed.
    ///
    /// Meanwhile another process may have taken over: then the state holds what this one has not written.
    /// That is looked at before the id is taken back, so that the newer process is not stopped by the
    /// older one; and again afterwards, because only then nothing can change any more. Before, the end of
    /// the state may be hidden behind our own transaction, which nobody has ended yet; then it was not
    /// taken over either.
    fn replace(&mut self, transaction: &Transaction<'_>) -> Result<Try, Failure> {
        let pending = &transaction.entries;
        let foreign = || taken_over("sisdmk.state holds what this process has not written");
        if let Ok(view) = read_state(&self.kafka, &self.keys, true, Deadline::after(GLANCE_TIMEOUT))
            && !view?.is_as_left(&self.left, pending)
        {
            return Err(foreign());
        }
        let view = match self.connect().and_then(|()| self.read_state()) {
            Ok(view) => view?,
            Err(fault) => return Ok(Try::Again(fault)),
        };
        if !view.is_as_left(&self.left, pending) {
            return Err(foreign());
        }
        Ok(if view.holds(pending) { Try::Done(Written::Committed) } else { Try::Ready })
    }

    fn read_state(&self) -> Result<Result<StateView, Failure>, KafkaFault> {
        read_state(&self.kafka, &self.keys, true, Deadline::after(CONNECT_TIMEOUT))
    }

    /// One try. An error is final.
    fn attempt(&mut self, transaction: &Transaction<'_>) -> Result<Try, Failure> {
        let Some(mut producer) = self.producer.take() else {
            return Ok(Try::Again(KafkaFault::new(FaultKind::Retriable, "begin a transaction: no producer")));
        };
        let sent =
            producer.begin().and_then(|()| self.send(&producer, transaction)).and_then(|()| self.flush(&producer));
        let ended = match sent {
            Ok(()) => producer.commit(COMMIT_TIMEOUT),
            Err(fault) if fault.kind == FaultKind::Fenced => Ended::Fenced(fault),
            Err(fault) => Ended::NotEnded(fault),
        };
        match ended {
            Ended::Committed => {
                self.producer = Some(producer);
                Ok(Try::Done(Written::Committed))
            }
            Ended::NotEnded(fault) => {
                // One that nobody may let in any more is not asked to abort.
                let aborted = (!producer.is_outdated()).then(|| producer.abort(COMMIT_TIMEOUT));
                match aborted {
                    Some(Ok(())) => self.producer = Some(producer),
                    Some(Err(fault)) if fault.kind == FaultKind::Fenced => return Err(fenced(&fault)),
                    // Without a clean abort the producer goes, and its successor ends the transaction.
                    Some(Err(_)) | None => {}
                }
                match fault.kind {
                    FaultKind::TooLarge => Ok(Try::Done(Written::TooLarge)),
                    FaultKind::Fenced => Err(fenced(&fault)),
                    _ => Ok(Try::Again(fault)),
                }
            }
            Ended::Unclear(fault) => {
                tracing::warn!(error = %fault, "the end of a transaction is not clear; looking it up");
                Ok(Try::Ready)
            }
            Ended::Fenced(fault) => Err(fenced(&fault)),
        }
    }

    /// Waits until everything is delivered, as long as a transaction may take, and less when the process is
    /// to stop.
    fn flush(&self, producer: &TxnProducer) -> Result<(), KafkaFault> {
        let deadline = Deadline::after(self.kafka.transaction_timeout());
        let late = Deadline::after(FLUSH_LATE);
        let mut stop_by: Option<Deadline> = None;
        loop {
            match producer.flush(FLUSH_STEP.min(deadline.remaining())) {
                Ok(_) => return Ok(()),
                Err(fault) if fault.kind != FaultKind::Timeout || deadline.passed() => return Err(fault),
                Err(fault) => {
                    if late.passed() {
                        self.health.not_ok("kafka", "records wait for their acknowledgement");
                        if producer.is_outdated() {
                            // It would wait with a password of yesterday until the records time out.
                            return Err(fault);
                        }
                    }
                    if self.shutdown.is_set() && stop_by.get_or_insert_with(|| Deadline::after(STOP_GRACE)).passed() {
                        return Err(fault);
                    }
                }
            }
        }
    }

    fn send(&self, producer: &TxnProducer, transaction: &Transaction<'_>) -> Result<(), KafkaFault> {
        if let Some(slice) = transaction.slice {
            self.send_records(producer, slice)?;
        }
        let headers = HeaderSet::new(&[("traceparent", transaction.traceparent.as_bytes())]);
        let mut value = Vec::new();
        for event in &transaction.events {
            value.clear();
            event::encode(event, self.audit_schema_id, &mut value);
            let key = event.batch_id.to_string();
            producer.send(out(AUDIT, Some(0), Some(key.as_bytes()), &value, &headers))?;
        }
        let none = HeaderSet::default();
        for entry in &transaction.entries {
            producer.send(out(STATE, Some(0), Some(entry.key.as_bytes()), &entry.value, &none))?;
        }
        Ok(())
    }

    fn send_records(&self, producer: &TxnProducer, slice: &Slice) -> Result<(), KafkaFault> {
        let batch_id = slice.batch.batch_id.to_string();
        for page in &slice.pages {
            let origin = &page.origin;
            let headers = HeaderSet::new(&[
                ("sisdmk-batch-id", batch_id.as_bytes()),
                ("sisdmk-request-id", origin.request_id.to_string().as_bytes()),
                ("sisdmk-fetched-at", origin.fetched_at.to_string().as_bytes()),
                ("sisdmk-source", self.source.as_bytes()),
                ("traceparent", origin.traceparent.as_bytes()),
            ]);
            for (row, record) in page.records().filter(|(row, _)| row.len() <= self.record_bytes_max) {
                let mut text = Uuid::encode_buffer();
                let person = row.identity.as_person();
                let key = person.map(|person| &*person.0.hyphenated().encode_lower(&mut text));
                producer.send(out(RAW, None, key.map(str::as_bytes), record, &headers))?;
            }
        }
        Ok(())
    }

    /// Says that Kafka is away and waits, longer each time. An error where waiting does not help.
    fn pause(&mut self, fault: KafkaFault, wait: &mut Duration) -> Result<(), Failure> {
        let message = format!("failed to {fault}");
        match fault.kind {
            FaultKind::Denied => {
                return Err(Failure::environment(message).hint("give this principal the rights of the producer"));
            }
            FaultKind::Missing => return Err(Failure::environment(message).hint("run `sisdmk setup`")),
            FaultKind::Config => return Err(Failure::config(message)),
            FaultKind::Fenced => return Err(fenced(&fault)),
            FaultKind::Fatal => self.producer = None,
            FaultKind::Retriable
            | FaultKind::Abortable
            | FaultKind::Login
            | FaultKind::Timeout
            | FaultKind::TooLarge => {}
        }
        tracing::warn!(error = %fault, "Kafka does not take what is to be written; trying again");
        self.health.not_ok("kafka", message);
        let _ = self.shutdown.wait_blocking(*wait);
        *wait = (*wait * 2).min(BACKOFF_MAX);
        Ok(())
    }
}

/// Whether another producer must take its place before the next transaction.
fn is_of_no_use(producer: &TxnProducer) -> bool {
    producer.must_replace() || producer.is_outdated()
}

/// Reads `sisdmk.state` to its end. The outer fault is Kafka's, the inner one is final.
///
/// # Errors
/// Kafka does not answer; or a value is not what this version writes.
pub fn read_state(
    kafka: &KafkaConfig,
    keys: &Keys,
    committed: bool,
    deadline: Deadline,
) -> Result<Result<StateView, Failure>, KafkaFault> {
    let mut view = StateView::default();
    let mut fault = None;
    read_to_end(kafka, STATE, committed, deadline, |message: &Msg<'_>| {
        let key = message.key.and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default();
        if let Err(error) = view.apply(keys, key, message.value) {
            fault = Some(error);
        }
    })?;
    // Only the last value of a key counts, but a wrong one is never overlooked: somebody else writes there.
    Ok(match fault {
        None => Ok(view),
        Some(fault) => Err(Failure::environment(fault.to_string())
            .hint("only the producer and `sisdmk setup` write this topic; a newer version's state needs that version")),
    })
}

fn fenced(fault: &KafkaFault) -> Failure {
    taken_over(&fault.to_string())
}

fn taken_over(sign: &str) -> Failure {
    Failure::environment(format!("another producer has taken over the transactional id `{TRANSACTIONAL_ID}` ({sign})"))
        .hint("run one producer only; this one stops and leaves the work to the newer one")
}

fn out<'a>(
    topic: &'a str,
    partition: Option<i32>,
    key: Option<&'a [u8]>,
    value: &'a [u8],
    headers: &'a HeaderSet,
) -> Out<'a> {
    Out { topic, partition, key, value: Some(value), headers, timestamp_ms: None }
}
