//! The transaction loop of one worker thread: one consumer of the group, one transactional producer.
//!
//! Records are judged and sent while they are polled; the transaction then gets the report of what became of each
//! position and the positions themselves, and is committed before the next poll. So a change of partitions can meet an
//! open transaction only inside a poll, and such a transaction is given up: whoever has the partition now does it again.

use std::collections::BTreeSet;
use std::time::Duration;

use platform::clock::{self, Stopwatch};
use platform::exit::Failure;
use platform::kafka::{
    Consumer, Deadline, Ended, FaultKind, HeaderSet, KafkaConfig, KafkaFault, Out, PollEvent, RebalanceEvent, Refused,
    Start, TxnProducer,
};
use platform::shutdown::Shutdown;
use schemas::Timestamp;

use crate::carried::LastCarried;
use crate::config::{Config, GROUP};
use crate::edge::take::{DLQ_TOPIC, Taker};
use crate::edge::telemetry::Telemetry;
use crate::edge::views::{CLEAN_TOPIC, Meanwhile, Views};
use crate::policy::{self, Action, AfterPoll};
use crate::report;
use crate::runs::Runs;
use crate::standstill::{self, Standstill};
use crate::transform::{RAW_TOPIC, Transform};

/// How long the coordinator may take to make this worker's producer the only one of its id: longer than the broker
/// needs to abort what a killed predecessor left open.
const INIT_LIMIT: Duration = Duration::from_secs(60);
/// How often the distance to the end of the log is told: two questions to the broker for each partition.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long letters may be under way before their topic is asked for: what one that is not there costs the partitions beside,
/// with the abort and the return to the positions that follow.
const LETTER_PATIENCE: Duration = Duration::from_millis(500);

/// What a worker is told.
pub(crate) struct Part<'c> {
    pub(crate) config: &'c Config,
    pub(crate) kafka: &'c KafkaConfig,
    /// Its place among the workers of the process.
    pub(crate) number: usize,
    pub(crate) audit_schema_id: u32,
}

/// One worker thread.
pub(crate) struct Worker<'c> {
    part: Part<'c>,
    transactional_id: String,
    consumer: Consumer,
    transform: Transform,
    views: Views,
    telemetry: Telemetry,
    runs: Runs,
    /// Partitions whose next record is not there; they stand still until an operator accepts the gap.
    lost: BTreeSet<i32>,
    /// Partitions of which something cannot be written.
    standstill: Standstill,
    /// Positions in memory are not those of the group, or views not what the topic says: both are read again before the next
    /// transaction.
    astray: bool,
    fenced: Option<Stopwatch>,
    told: Option<Stopwatch>,
}

impl<'c> Worker<'c> {
    /// Joins the group. Errors: the configuration of the client.
    pub(crate) fn join(
        part: Part<'c>,
        transform: Transform,
        views: Views,
        telemetry: Telemetry,
    ) -> Result<Self, KafkaFault> {
        Ok(Self {
            transactional_id: part.config.transactional_id(part.number),
            // Held: nothing of a partition is handed out before its view is there.
            consumer: Consumer::subscribe(part.kafka, RAW_TOPIC, GROUP, Start::Held)?,
            part,
            transform,
            views,
            telemetry,
            runs: Runs::default(),
            lost: BTreeSet::new(),
            standstill: Standstill::default(),
            astray: true,
            fenced: None,
            told: None,
        })
    }

    /// Works until `shutdown`. Errors: this transactional id belongs to another process (exit code 3).
    pub(crate) fn run(mut self, shutdown: &Shutdown) -> Result<(), Failure> {
        let mut producer = None;
        let mut faults = 0;
        while !shutdown.is_set() {
            match self.transact(&mut producer, shutdown) {
                // Left in the middle of a view; it goes on at once.
                Ok(()) if self.astray => {}
                Ok(()) => {
                    faults = 0;
                    self.telemetry.working();
                    self.look_around();
                }
                Err(Fault { fault, own_timeout }) => {
                    self.astray = true;
                    faults += 1;
                    let mut action = policy::action(fault.kind);
                    if action == Action::Yield {
                        action = self.fenced(own_timeout);
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

    fn fenced(&mut self, own_timeout: bool) -> Action {
        let action = policy::fenced(self.fenced.map(Stopwatch::elapsed), own_timeout);
        if !own_timeout {
            self.fenced = Some(Stopwatch::start());
        }
        action
    }

    /// From time to time: how far behind we are, and whether what hindered us has gone.
    fn look_around(&mut self) {
        if self.told.is_some_and(|told| told.elapsed() < LOOK_EVERY) {
            return;
        }
        self.told = Some(Stopwatch::start());
        // An operator may have given a lost position back, or the broker only did not answer when it was asked.
        self.astray |= !self.lost.is_empty();
        let Self { standstill, consumer, .. } = self;
        // Where nobody answers the topic is tried, which tells more.
        let is_there = |topic: &str| consumer.partitions(topic).is_ok_and(|found| !found.is_empty());
        self.astray |= standstill.try_again(clock::monotonic(), is_there);
        for (_, partition, next) in self.consumer.positions() {
            // Where the broker does not answer the last figure stands; the next poll says why.
            let Ok((_, end)) = self.consumer.watermarks(RAW_TOPIC, partition) else { break };
            if let Some(next) = next {
                self.telemetry.lag(partition, (end - next).max(0));
            }
            // Somebody else, who erases a person for example, writes there too.
            let Ok((_, end)) = self.consumer.watermarks(CLEAN_TOPIC, partition) else { break };
            self.astray |= self.views.is_behind(partition, end);
        }
        self.views.tell();
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

    /// Where password or certificates have changed, puts new clients in the place of all: nothing is under way between two
    /// transactions. The former consumer leaves the group in order; views are kept for the partitions that come back.
    fn renew(&mut self, slot: &mut Option<TxnProducer>) -> Result<(), KafkaFault> {
        if !self.consumer.is_outdated() {
            return Ok(());
        }
        // It asks to join before the former one leaves, so that one change of the group does for both.
        let successor = Consumer::subscribe(self.part.kafka, RAW_TOPIC, GROUP, Start::Held)?;
        *slot = None;
        let mut ours: BTreeSet<i32> = self.runs.assigned().collect();
        ours.extend(self.consumer.positions().iter().map(|(_, partition, _)| *partition));
        self.consumer = successor;
        ours.into_iter().for_each(|partition| self.release(partition));
        self.views.reconnect();
        self.astray = true;
        Ok(())
    }

    /// One transaction, or none where there is nothing to do. With no producer it makes one first.
    fn transact(&mut self, slot: &mut Option<TxnProducer>, shutdown: &Shutdown) -> Result<(), Fault> {
        self.renew(slot)?;
        let producer = match slot {
            Some(producer) => producer,
            None => {
                let deadline = Deadline::after(INIT_LIMIT);
                // What the last producer of this id left open ends with this, one way or the other.
                self.astray = true;
                slot.insert(TxnProducer::connect(self.part.kafka, &self.transactional_id, deadline)?)
            }
        };
        if self.astray {
            // Not done where partitions changed all the time or the process is to stop.
            self.astray = !self.rewind(shutdown)?;
        }
        if self.astray {
            return Ok(());
        }
        let ended = self.one_transaction(producer);
        if producer.must_replace() {
            // A link was lost on the way: a late request could end the next transaction of this producer, or put old
            // positions into it. A new one cannot be reached by it.
            *slot = None;
        }
        ended
    }

    fn one_transaction(&mut self, producer: &mut TxnProducer) -> Result<(), Fault> {
        let mut open = None;
        let sent = self.poll(producer, &mut open).and_then(|changed| {
            let next = policy::after_poll(open.is_some(), changed, !self.runs.is_empty());
            match next {
                AfterPoll::Nothing => {}
                AfterPoll::GiveUp => return Err(unexpected().into()),
                AfterPoll::Commit => {
                    if open.is_none() {
                        producer.begin()?;
                        open = Some(Stopwatch::start());
                    }
                    #[cfg(feature = "sabotage")]
                    self.commit_too_early();
                    self.account(producer)?;
                    self.see_letters_off(producer)?;
                }
            }
            // A change without a transaction: positions and views are read before the next poll.
            self.astray |= changed;
            Ok(next)
        });
        let own_timeout =
            |open: Option<Stopwatch>| open.is_some_and(|open| open.elapsed() >= self.part.kafka.transaction_timeout());
        match sent {
            Ok(AfterPoll::Nothing | AfterPoll::GiveUp) => Ok(()),
            Ok(AfterPoll::Commit) => match producer.commit(self.part.kafka.transaction_timeout()) {
                Ended::Committed => {
                    self.committed(producer);
                    Ok(())
                }
                Ended::NotEnded(fault) => {
                    let own_timeout = own_timeout(open);
                    self.give_up(producer, fault, None).map_err(|fault| Fault { fault, own_timeout })
                }
                Ended::Unclear(fault) | Ended::Fenced(fault) => {
                    let own_timeout = own_timeout(open);
                    // Nobody knows how it ended; `must_replace` says so. The next producer waits until it has, and then
                    // positions and topic say how.
                    self.forget();
                    Err(Fault { fault: unclear(fault), own_timeout })
                }
            },
            Err(Met { fault, refused }) if open.is_some() => {
                let own_timeout = own_timeout(open);
                self.give_up(producer, fault, refused).map_err(|fault| Fault { fault, own_timeout })
            }
            Err(Met { fault, .. }) => {
                self.forget();
                Err(fault.into())
            }
        }
    }

    /// What a broken processor does: its positions are on record before its records are.
    #[cfg(feature = "sabotage")]
    fn commit_too_early(&self) {
        if !platform::sabotage::Sabotage::OffsetBeforeProduce.is_on() {
            return;
        }
        let next = self.runs.next_offsets();
        let offsets: Vec<(&str, i32, i64)> =
            next.into_iter().map(|(partition, next)| (RAW_TOPIC, partition, next)).collect();
        if let Err(fault) = self.consumer.commit(&offsets) {
            tracing::warn!(error = %fault, "sabotage: positions were not committed");
        }
    }

    fn committed(&mut self, producer: &TxnProducer) {
        self.telemetry.committed(&self.runs);
        for partition in self.runs.open().filter(|run| run.raw_in > 0).map(|run| run.partition).collect::<BTreeSet<_>>()
        {
            self.standstill.wrote(partition);
            self.telemetry.moving(partition);
        }
        self.telemetry.standing(&self.standstill);
        self.astray |= !self.views.commit(&producer.delivered());
        self.runs.commit();
    }

    /// Nothing of the open transaction is taken for done.
    fn forget(&mut self) {
        self.runs.abort();
        self.views.abort();
    }

    /// Aborts; the caller goes back to the committed positions, as after every fault. Where single partitions are to blame,
    /// they stand still from now on and it is no fault for the others.
    fn give_up(
        &mut self,
        producer: &mut TxnProducer,
        fault: KafkaFault,
        refused: Option<Refused>,
    ) -> Result<(), KafkaFault> {
        // Before the abort, which makes every record that is still under way fail.
        let refused: Vec<Refused> = producer.refused().into_iter().chain(refused).collect();
        let with_letters: BTreeSet<i32> = self.runs.open().filter(|run| run.dlq > 0).map(|run| run.partition).collect();
        self.forget();
        if producer.is_outdated() {
            // Nobody may let it in any more; its successor ends the transaction.
            return Err(unclear(fault));
        }
        if let Err(worse) = producer.abort(self.part.kafka.transaction_timeout()) {
            return Err(unclear(worse));
        }
        let missing = (!with_letters.is_empty() && self.has_no_dlq()).then_some((DLQ_TOPIC, &with_letters));
        let culprits = standstill::culprits(&refused, missing);
        if culprits.is_empty() {
            return Err(fault);
        }
        for (partition, cause) in culprits {
            self.telemetry.stopped(partition, &cause);
            self.standstill.stop(partition, cause, clock::monotonic());
        }
        self.telemetry.standing(&self.standstill);
        self.astray = true;
        Ok(())
    }

    /// Polls one batch; every record is judged and sent as it comes. `open` tells since when a transaction is open, the
    /// answer whether partitions changed.
    fn poll(&mut self, producer: &mut TxnProducer, open: &mut Option<Stopwatch>) -> Result<bool, Met> {
        let Self { consumer, transform, runs, views, part, .. } = self;
        let now = Timestamp(clock::now_micros());
        let mut taker = Taker { producer, transform, runs, page: LastCarried::default(), now, open, refused: None };
        let mut fault: Option<KafkaFault> = None;
        let Config { batch_records_max, batch_wait, .. } = *part.config;
        let outcome = consumer.poll_while_flowing(batch_records_max, batch_wait, part.config.flow_max(), |message| {
            if fault.is_some() {
                return;
            }
            let view = views.get_mut(message.partition);
            let taken = match view.filter(|_| taker.runs.expects(message.partition, message.offset)) {
                Some(view) => taker.take(message, view),
                None => Err(unexpected()),
            };
            fault = taken.err();
        });
        let refused = taker.refused;
        let changed = self.follow(&outcome.events);
        // What does not mend itself hinders the work as much as a fault of sending does: readiness must say so.
        let lasting = outcome.events.into_iter().find_map(|event| match event {
            PollEvent::Fault(fault) if !fault.is_retriable() => Some(fault),
            _ => None,
        });
        if let Some(fault) = fault.or(lasting) {
            return Err(Met { fault, refused });
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
            report::encode(run, now, self.part.audit_schema_id, &mut frame);
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
        producer.send_offsets(&self.consumer, &offsets, self.part.kafka.transaction_timeout())
    }

    /// A broker answers for a topic that is not there with silence, and a record waits for it as long as any may. So where letters
    /// are not delivered soon, the topic is asked for; where it is there, the commit waits on and tells what it meets.
    fn see_letters_off(&self, producer: &TxnProducer) -> Result<(), KafkaFault> {
        if self.runs.open().all(|run| run.dlq == 0) {
            return Ok(());
        }
        match producer.flush(LETTER_PATIENCE) {
            Err(fault) if fault.kind == FaultKind::Timeout && self.has_no_dlq() => Err(fault),
            _ => Ok(()),
        }
    }

    fn has_no_dlq(&self) -> bool {
        self.consumer.partitions(DLQ_TOPIC).is_err_and(|fault| fault.kind == FaultKind::Missing)
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
                        self.release(*partition);
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

    /// A partition has gone, with all that was known of it.
    fn release(&mut self, partition: i32) {
        self.runs.revoke(partition);
        self.views.release(partition);
        self.lost.remove(&partition);
        self.standstill.forget(partition);
        self.telemetry.gone(partition);
        self.telemetry.moving(partition);
        self.telemetry.standing(&self.standstill);
    }

    /// Goes back to the committed position of every partition that is ours, once its view is what the topic says, and lets go of
    /// those that were held while waiting. False: partitions changed meanwhile, or the process is to stop.
    ///
    /// The order matters. The committed positions are those of a reader of committed records: the answer waits for a transaction
    /// that is about to end. So whatever the last owner of a partition has committed is below the end that is asked for next.
    fn rewind(&mut self, shutdown: &Shutdown) -> Result<bool, KafkaFault> {
        let partitions: Vec<i32> = self.consumer.positions().iter().map(|(_, partition, _)| *partition).collect();
        for gone in self.runs.assigned().filter(|one| !partitions.contains(one)).collect::<Vec<_>>() {
            self.release(gone);
        }
        self.consumer.pause(RAW_TOPIC, &partitions)?;
        let committed = self.consumer.committed(RAW_TOPIC, &partitions)?;
        let mut met = Vec::new();
        let Self { consumer, views, .. } = self;
        let caught_up = views.catch_up(&partitions, || {
            met.extend(consumer.poll(usize::MAX, Duration::ZERO, |_| {}).events);
            let goes_on = met.is_empty() && !shutdown.is_set() && !consumer.is_outdated();
            if goes_on { Meanwhile::GoOn } else { Meanwhile::LeaveIt }
        });
        let changed = self.follow(&met);
        if !caught_up? || changed {
            return Ok(false);
        }
        self.lost.clear();
        let mut ready = Vec::with_capacity(partitions.len());
        for (partition, position) in partitions.iter().zip(committed) {
            match position {
                Some(position) => {
                    self.runs.assign(*partition, position);
                    self.consumer.seek(RAW_TOPIC, *partition, position)?;
                    if !self.standstill.holds(*partition) {
                        ready.push(*partition);
                    }
                }
                // Never the beginning and never the end: nobody knows what was done.
                None => {
                    self.runs.revoke(*partition);
                    self.lost.insert(*partition);
                }
            }
        }
        self.consumer.resume(RAW_TOPIC, &ready)?;
        self.telemetry.lost(&self.lost);
        Ok(true)
    }
}

/// A fault, and whether the transaction that met it was open for longer than the broker allows.
struct Fault {
    fault: KafkaFault,
    own_timeout: bool,
}

impl From<KafkaFault> for Fault {
    fn from(fault: KafkaFault) -> Self {
        Self { fault, own_timeout: false }
    }
}

/// A fault before the end of a transaction, and the partition whose record could not even be queued.
struct Met {
    fault: KafkaFault,
    refused: Option<Refused>,
}

impl From<KafkaFault> for Met {
    fn from(fault: KafkaFault) -> Self {
        Self { fault, refused: None }
    }
}

/// Partitions changed under an open transaction, or a record came that is not the next one: the positions are read again.
fn unexpected() -> KafkaFault {
    KafkaFault::new(FaultKind::Retriable, "go on where the group's partitions changed")
}

/// An unclear end always costs the producer.
fn unclear(fault: KafkaFault) -> KafkaFault {
    let kind = if fault.kind == FaultKind::Fenced { FaultKind::Fenced } else { FaultKind::Fatal };
    KafkaFault { kind, ..fault }
}
