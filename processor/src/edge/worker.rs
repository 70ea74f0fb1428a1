//! The transaction loop of one worker thread: one consumer of the group, one transactional producer.
//!
//! Records are judged and sent while they are polled; the transaction then gets the report of what became of each
//! position and the positions themselves, and is committed before the next poll. So a change of partitions can meet an
//! open transaction only inside a poll, and such a transaction is given up: whoever has the partition now does it again.

use std::collections::BTreeSet;
use std::time::Duration;

use platform::clock;
use platform::exit::Failure;
use platform::kafka::{
    Consumer, Deadline, Ended, FaultKind, HeaderSet, KafkaConfig, KafkaFault, Msg, Out, PollEvent, RebalanceEvent,
    Start, TxnProducer,
};
use platform::shutdown::Shutdown;
use schemas::Timestamp;
use schemas::letter;

use crate::carried::{Carried, LastCarried};
use crate::config::{Config, GROUP};
use crate::edge::telemetry::Telemetry;
use crate::policy::{self, Action, AfterPoll};
use crate::report;
use crate::runs::Runs;
use crate::transform::{RAW_TOPIC, RawMessage, Transform, Transformed};

const CLEAN_TOPIC: &str = "sisdmk.clean";
const DLQ_TOPIC: &str = "sisdmk.dlq";

/// How long the coordinator may take to make this worker's producer the only one of its id: longer than the broker
/// needs to abort what a killed predecessor left open.
const INIT_LIMIT: Duration = Duration::from_secs(60);
/// How often the distance to the end of the log is told: a question to the broker for each partition.
const LAG_EVERY: Duration = Duration::from_secs(5);
/// Fenced twice within this time, the id belongs to somebody else who is alive.
const FENCED_AGAIN: Duration = Duration::from_secs(60);

/// One worker thread.
pub(crate) struct Worker<'c> {
    config: &'c Config,
    kafka: KafkaConfig,
    transactional_id: String,
    audit_schema_id: u32,
    consumer: Consumer,
    transform: Transform,
    telemetry: Telemetry,
    runs: Runs,
    /// Partitions whose next record is not there; they stand still until an operator accepts the gap.
    lost: BTreeSet<i32>,
    /// Positions in memory are not those of the group: they are read again before the next transaction.
    astray: bool,
    fenced: Option<clock::Stopwatch>,
    lag_told: Option<clock::Stopwatch>,
}

impl<'c> Worker<'c> {
    /// Joins the group. Errors: the configuration of the client.
    pub(crate) fn join(
        config: &'c Config,
        kafka: &KafkaConfig,
        number: usize,
        audit_schema_id: u32,
        transform: Transform,
        telemetry: Telemetry,
    ) -> Result<Self, KafkaFault> {
        Ok(Self {
            config,
            kafka: kafka.clone(),
            transactional_id: config.transactional_id(number),
            audit_schema_id,
            consumer: Consumer::subscribe(kafka, RAW_TOPIC, GROUP, Start::Committed)?,
            transform,
            telemetry,
            runs: Runs::default(),
            lost: BTreeSet::new(),
            astray: true,
            fenced: None,
            lag_told: None,
        })
    }

    /// Works until `shutdown`. Errors: this transactional id belongs to another process (exit code 3).
    pub(crate) fn run(mut self, shutdown: &Shutdown) -> Result<(), Failure> {
        let mut producer = None;
        let mut faults = 0;
        while !shutdown.is_set() {
            match self.transact(&mut producer) {
                Ok(()) => {
                    faults = 0;
                    self.telemetry.working();
                    self.tell_lag();
                }
                Err(fault) => {
                    self.astray = true;
                    faults += 1;
                    let mut action = policy::action(fault.kind);
                    if action == Action::Yield && !self.fenced_again() {
                        // A transaction that took too long looks the same as a newer instance; try once.
                        action = Action::NewProducer;
                    }
                    match action {
                        Action::Yield => {
                            return Err(Failure::environment(format!(
                                "another processor uses the transactional id {}",
                                self.transactional_id
                            ))
                            .hint("give each processor its own processor.instance")
                            .because(fault));
                        }
                        Action::NewProducer => producer = None,
                        Action::Again => {}
                    }
                    let wait = policy::wait_after(faults);
                    self.telemetry.hindered(&fault, wait);
                    self.wait(shutdown, wait);
                }
            }
        }
        Ok(())
    }

    fn tell_lag(&mut self) {
        if self.lag_told.is_some_and(|told| told.elapsed() < LAG_EVERY) {
            return;
        }
        self.lag_told = Some(clock::Stopwatch::start());
        // An operator may have given a lost position back, or the broker only did not answer when it was asked.
        self.astray |= !self.lost.is_empty();
        for (_, partition, next) in self.consumer.positions() {
            // Where the broker does not answer the last figure stands; the next poll says why.
            let Ok((_, end)) = self.consumer.watermarks(RAW_TOPIC, partition) else { break };
            if let Some(next) = next {
                self.telemetry.lag(partition, (end - next).max(0));
            }
        }
    }

    fn fenced_again(&mut self) -> bool {
        self.fenced.replace(clock::Stopwatch::start()).is_some_and(|before| before.elapsed() < FENCED_AGAIN)
    }

    /// Waits, and keeps the membership in the group meanwhile: held partitions hand out nothing.
    fn wait(&mut self, shutdown: &Shutdown, span: Duration) {
        let deadline = Deadline::after(span);
        while !deadline.passed() && !shutdown.is_set() {
            let assigned: Vec<i32> = self.runs.assigned().collect();
            if self.consumer.pause(RAW_TOPIC, &assigned).is_err() {
                // A partition has gone meanwhile; what is handed out of it now is not taken.
                tracing::debug!("partitions changed while waiting");
            }
            let step = deadline.remaining().min(Duration::from_millis(200));
            let outcome = self.consumer.poll(usize::MAX, step, |_| {});
            self.follow(&outcome.events);
        }
    }

    /// One transaction, or none where there is nothing to do. With no producer it makes one first.
    fn transact(&mut self, slot: &mut Option<TxnProducer>) -> Result<(), KafkaFault> {
        let producer = match slot {
            Some(producer) => producer,
            None => {
                let deadline = Deadline::after(INIT_LIMIT);
                // What the last producer of this id left open ends with this, one way or the other.
                self.astray = true;
                slot.insert(TxnProducer::connect(&self.kafka, &self.transactional_id, deadline)?)
            }
        };
        if self.astray {
            self.rewind()?;
            self.astray = false;
        }
        let ended = self.one_transaction(producer);
        if producer.must_replace() {
            // The connection was lost on the way: a late answer of the coordinator could end the next transaction
            // of this producer. A new one cannot be reached by it.
            *slot = None;
        }
        ended
    }

    fn one_transaction(&mut self, producer: &mut TxnProducer) -> Result<(), KafkaFault> {
        let mut open = false;
        let sent = self.poll(producer, &mut open).and_then(|changed| {
            let next = policy::after_poll(open, changed, !self.runs.is_empty());
            match next {
                AfterPoll::Nothing => {}
                AfterPoll::GiveUp => return Err(unexpected()),
                AfterPoll::Commit => {
                    if !open {
                        producer.begin()?;
                        open = true;
                    }
                    self.account(producer)?;
                }
            }
            Ok(next)
        });
        match sent {
            Ok(AfterPoll::Nothing | AfterPoll::GiveUp) => Ok(()),
            Ok(AfterPoll::Commit) => match producer.commit(self.kafka.transaction_timeout()) {
                Ended::Committed => {
                    self.telemetry.committed(&self.runs);
                    self.runs.commit();
                    Ok(())
                }
                Ended::NotEnded(fault) => self.give_up(producer, fault),
                Ended::Unclear(fault) | Ended::Fenced(fault) => {
                    self.runs.abort();
                    // Nobody knows how it ended; `must_replace` says so, and the next producer finds out.
                    Err(KafkaFault { kind: unclear(fault.kind), ..fault })
                }
            },
            Err(fault) if open => self.give_up(producer, fault),
            Err(fault) => {
                self.runs.abort();
                Err(fault)
            }
        }
    }

    /// Aborts; the caller goes back to the committed positions, as after every fault.
    fn give_up(&mut self, producer: &mut TxnProducer, fault: KafkaFault) -> Result<(), KafkaFault> {
        self.runs.abort();
        if let Err(worse) = producer.abort(self.kafka.transaction_timeout()) {
            return Err(KafkaFault { kind: unclear(worse.kind), ..worse });
        }
        Err(fault)
    }

    /// Polls one batch; every record is judged and sent as it comes. `open` tells whether a transaction was begun, the
    /// answer whether partitions changed.
    fn poll(&mut self, producer: &mut TxnProducer, open: &mut bool) -> Result<bool, KafkaFault> {
        let Self { consumer, transform, runs, .. } = self;
        let now = Timestamp(clock::now_micros());
        let mut page = LastCarried::default();
        let mut fault: Option<KafkaFault> = None;
        let outcome = consumer.poll(self.config.batch_records_max, self.config.batch_wait, |message| {
            if fault.is_some() {
                return;
            }
            let taken = if runs.expects(message.partition, message.offset) {
                take(message, producer, open, transform, &mut page, runs, now)
            } else {
                Err(unexpected())
            };
            fault = taken.err();
        });
        let changed = self.follow(&outcome.events);
        // What does not mend itself hinders the work as much as a fault of sending does: readiness must say so.
        let lasting = outcome.events.into_iter().find_map(|event| match event {
            PollEvent::Fault(fault) if !fault.is_retriable() => Some(fault),
            _ => None,
        });
        if let Some(fault) = fault.or(lasting) {
            return Err(fault);
        }
        if changed && !*open {
            self.rewind()?;
        }
        // Behind the last record there may be nothing but transaction markers: an idle partition is at its end.
        for (_, partition, next) in self.consumer.positions() {
            if let Some(next) = next {
                self.runs.skip_to(partition, next);
            }
        }
        Ok(changed)
    }

    /// Puts the report of every range and the positions into the open transaction, as its last writes.
    fn account(&mut self, producer: &mut TxnProducer) -> Result<(), KafkaFault> {
        let now = Timestamp(clock::now_micros());
        let mut frame = Vec::new();
        for run in self.runs.open() {
            report::encode(run, now, self.audit_schema_id, &mut frame);
            let key = run.batch_id.to_string();
            producer.send(Out {
                topic: report::TOPIC,
                partition: None,
                key: Some(key.as_bytes()),
                value: Some(&frame),
                headers: &HeaderSet::default(),
                timestamp_ms: None,
            })?;
        }
        let offsets: Vec<(String, i32, i64)> = self
            .runs
            .next_offsets()
            .into_iter()
            .map(|(partition, next)| (RAW_TOPIC.to_owned(), partition, next))
            .collect();
        producer.send_offsets(&self.consumer, &offsets, self.kafka.transaction_timeout())
    }

    /// Takes note of what a poll met; whether partitions changed.
    fn follow(&mut self, events: &[PollEvent]) -> bool {
        let mut changed = false;
        for event in events {
            match event {
                PollEvent::Rebalance(RebalanceEvent::Assigned(_)) => changed = true,
                PollEvent::Rebalance(RebalanceEvent::Revoked(partitions) | RebalanceEvent::Lost(partitions)) => {
                    changed = true;
                    for partition in partitions {
                        self.runs.revoke(*partition);
                        self.lost.remove(partition);
                        self.telemetry.gone(*partition);
                    }
                }
                PollEvent::PositionLost { partition, .. } => {
                    self.lost.insert(*partition);
                    self.telemetry.lost(&self.lost);
                }
                PollEvent::Fault(fault) => self.telemetry.noted(fault),
            }
        }
        changed
    }

    /// Goes back to the committed position of every partition that is ours, and lets go of those that were held while
    /// waiting.
    fn rewind(&mut self) -> Result<(), KafkaFault> {
        let partitions: Vec<i32> = self.consumer.positions().iter().map(|(_, partition, _)| *partition).collect();
        for gone in self.runs.assigned().filter(|one| !partitions.contains(one)).collect::<Vec<_>>() {
            self.runs.revoke(gone);
        }
        let committed = self.consumer.committed(RAW_TOPIC, &partitions)?;
        self.lost.clear();
        for (partition, position) in partitions.iter().zip(committed) {
            match position {
                Some(position) => {
                    self.runs.assign(*partition, position);
                    self.consumer.seek(RAW_TOPIC, *partition, position)?;
                    self.consumer.resume(RAW_TOPIC, &[*partition])?;
                }
                // Never the beginning and never the end: nobody knows what was done.
                None => {
                    self.runs.revoke(*partition);
                    self.lost.insert(*partition);
                }
            }
        }
        self.telemetry.lost(&self.lost);
        Ok(())
    }
}

/// Judges one record and sends what became of it.
fn take(
    message: &Msg<'_>,
    producer: &mut TxnProducer,
    open: &mut bool,
    transform: &mut Transform,
    page: &mut LastCarried<HeaderSet>,
    runs: &mut Runs,
    now: Timestamp,
) -> Result<(), KafkaFault> {
    if !*open {
        producer.begin()?;
        *open = true;
    }
    let (provenance, carried) = page.read(&Carried::of(message.headers()), |carried| {
        let headers: Vec<(&str, &[u8])> = carried.present().collect();
        HeaderSet::new(&headers)
    });
    let transformed = transform.apply(
        RawMessage {
            partition: message.partition,
            offset: message.offset,
            key: message.key,
            payload: message.value.unwrap_or_default(),
            provenance,
        },
        now,
    );
    let outcome = transformed.outcome();
    match transformed {
        Transformed::Clean { person_id, frame } => producer.send(Out {
            topic: CLEAN_TOPIC,
            // The raw record's partition number, so that one person stays on one number whatever partitions a
            // record that somebody else wrote.
            partition: Some(message.partition),
            key: Some(person_id.to_string().as_bytes()),
            value: Some(frame),
            headers: carried,
            timestamp_ms: message.timestamp_ms,
        })?,
        Transformed::Dead { headers, .. } => producer.send(Out {
            topic: DLQ_TOPIC,
            partition: Some(message.partition),
            key: message.key,
            value: message.value,
            headers: &letter_headers(message, &headers),
            timestamp_ms: None,
        })?,
    }
    runs.take(message.partition, message.offset, provenance.batch_id, outcome);
    runs.count_fields(message.partition, transform.fields());
    Ok(())
}

/// All headers of the record, and those of the letter in place of older ones of their kind.
fn letter_headers(message: &Msg<'_>, added: &[(&'static str, String)]) -> HeaderSet {
    let kept: Vec<(&str, &[u8])> = message
        .headers()
        .filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value?)))
        .filter(|(name, _)| !letter::is_replaced(name))
        .collect();
    let added = added.iter().map(|(name, value)| (*name, value.as_bytes()));
    let all: Vec<(&str, &[u8])> = kept.into_iter().chain(added).collect();
    HeaderSet::new(&all)
}

/// Partitions changed under an open transaction, or a record came that is not the next one: the positions are read again.
fn unexpected() -> KafkaFault {
    KafkaFault::new(FaultKind::Retriable, "go on where the group's partitions changed")
}

/// An unclear end always costs the producer.
fn unclear(kind: FaultKind) -> FaultKind {
    if kind == FaultKind::Fenced { kind } else { FaultKind::Fatal }
}
