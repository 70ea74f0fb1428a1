//! The transactional producer.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::config::KafkaConfig;
use super::consumer::Consumer;
use super::credentials::Made;
use super::fault::{FaultKind, KafkaFault};
use super::message::Out;
use super::native;
use super::tally::{Deliveries, Refused, Tally};
use crate::clock::Deadline;

/// How long one step waits for room in a full queue before it looks again.
const QUEUE_STEP: Duration = Duration::from_millis(5);

/// How long one step of taking over an id waits before it looks whether password or certificates have changed.
const INIT_STEP: Duration = Duration::from_secs(2);

/// How a transaction ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a transaction that did not end cleanly needs an answer"]
pub enum Ended {
    /// It is committed. Ask [`TxnProducer::must_replace`] before the next one.
    Committed,
    /// The broker was not asked to commit it: abort it, then the same producer may go on.
    NotEnded(KafkaFault),
    /// Nobody knows. Throw the producer away: the next one with the same transactional id waits until
    /// this transaction has ended, and what it did is then seen in the topics.
    Unclear(KafkaFault),
    /// Another producer has taken over the transactional id.
    Fenced(KafkaFault),
}

/// A producer of transactions.
///
/// **Promise.** What is sent between [`begin`](Self::begin) and a [`commit`](Self::commit) that
/// returns [`Ended::Committed`] is seen by `read_committed` readers completely and once, together
/// with the offsets of [`send_offsets`](Self::send_offsets); what is aborted is never seen.
///
/// **When it breaks.** librdkafka does not yet speak the protocol in which every transaction has an
/// epoch of its own (KIP-890 part 2): a request to end a transaction that was delayed on the way can
/// end a later one of the same producer, and one to add offsets can put old positions into it. Therefore
/// a producer is used no further after any end that is unclear, and after any transaction during which
/// a link was lost or a request timed out, because librdkafka silently repeats the request on the next
/// link: [`must_replace`](Self::must_replace) is then true and `begin` refuses. A new producer gets a
/// new epoch, which makes the late request void. The same holds after a transaction in which a record
/// failed.
///
/// One thread drives it; another one, inside, serves delivery reports. Dropping it takes at most
/// about a second: records that are not delivered are purged, an open transaction is left to the
/// next producer of the same id or to the transaction's time-out.
pub struct TxnProducer {
    producer: ThreadedProducer<Tally>,
    made: Made,
    spent: bool,
    /// Links lost before the open transaction began.
    lost_before: u64,
    send_wait: Duration,
}

impl TxnProducer {
    /// Connects and takes over the transactional id: producers that had it before are fenced, a
    /// transaction of theirs is ended.
    ///
    /// # Errors
    /// `Timeout` or `Retriable` when the coordinator cannot be reached before the deadline, or password or certificates change
    /// meanwhile; `Denied` without the right to the id; `Login`; `Config` when librdkafka refuses an option.
    pub fn connect(config: &KafkaConfig, transactional_id: &str, deadline: Deadline) -> Result<Self, KafkaFault> {
        let what = "start the transactional producer";
        let made = config.made();
        let producer: ThreadedProducer<Tally> = config
            .transactional(transactional_id)
            .create_with_context(Tally::default())
            .map_err(|error| KafkaFault::of(what, &error))?;
        loop {
            match producer.init_transactions(deadline.remaining().clamp(QUEUE_STEP, INIT_STEP)) {
                Ok(()) => break,
                Err(error) => {
                    let fault = KafkaFault::of(what, &error);
                    // One that waits with a password of yesterday would wait until the deadline.
                    if !fault.is_retriable() || deadline.passed() || made.is_outdated() {
                        return Err(fault);
                    }
                    // librdkafka resumes the call; the pause keeps an instant refusal from spinning.
                    std::thread::sleep(QUEUE_STEP.min(deadline.remaining()));
                }
            }
        }
        Ok(Self { producer, made, spent: false, lost_before: 0, send_wait: config.delivery_timeout() })
    }

    fn tally(&self) -> &Tally {
        self.producer.context()
    }

    /// Begins a transaction and forgets the deliveries of the last one.
    ///
    /// # Errors
    /// `Fatal` when the producer must be replaced.
    pub fn begin(&mut self) -> Result<(), KafkaFault> {
        if self.must_replace() {
            return Err(KafkaFault::new(FaultKind::Fatal, "begin a transaction: this producer must be replaced"));
        }
        self.tally().reset();
        self.lost_before = self.links_lost();
        self.producer.begin_transaction().map_err(|error| self.fault("begin a transaction", &error))
    }

    /// Puts a record into the queue. Where the queue is full it waits for room, at most as long as a
    /// record may take to be delivered.
    ///
    /// # Errors
    /// `TooLarge` when the record is larger than any topic takes; `Timeout` when the queue stays full;
    /// `Abortable` when the transaction has already failed; `Fenced` or `Fatal`.
    pub fn send(&self, out: Out<'_>) -> Result<(), KafkaFault> {
        send(&self.producer, out, self.send_wait, |error| self.fault("send", error))
    }

    /// Adds the consumer's next offsets to the transaction: they are committed with it.
    ///
    /// The consumer's membership goes with them: a member that has lost its partitions is refused.
    ///
    /// # Errors
    /// `Abortable` or `Fenced` when the group does not take them; `Timeout`.
    pub fn send_offsets(
        &mut self,
        consumer: &Consumer,
        offsets: &[(String, i32, i64)],
        timeout: Duration,
    ) -> Result<(), KafkaFault> {
        const WHAT: &str = "add offsets to the transaction";
        let mut list = TopicPartitionList::with_capacity(offsets.len());
        for (topic, partition, offset) in offsets {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
                .map_err(|error| KafkaFault::of(WHAT, &error))?;
        }
        let Some(group) = consumer.group_metadata() else {
            return Err(KafkaFault::new(FaultKind::Fatal, format!("{WHAT}: the consumer has no group")));
        };
        self.producer.send_offsets_to_transaction(&list, &group, timeout).map_err(|error| self.fault(WHAT, &error))
    }

    /// Waits until everything sent is acknowledged.
    ///
    /// # Errors
    /// The first record's fault when any failed; `Timeout` when records are left after `timeout`.
    pub fn flush(&self, timeout: Duration) -> Result<Deliveries, KafkaFault> {
        let flushed = native::flush(self.producer.client(), timeout);
        // In the order of how much they explain: a producer that has failed for good fails every
        // record that was under way, and failed records end the flush.
        if let Some(fault) = self.fatal("flush").or_else(|| self.tally().fault()) {
            return Err(fault);
        }
        flushed.map(|()| self.tally().delivered()).map_err(|code| KafkaFault::of_code("flush", code))
    }

    /// Commits the transaction: flushes first, so that a fault of a record is known to be one, then
    /// asks the coordinator. `timeout` bounds both together.
    pub fn commit(&mut self, timeout: Duration) -> Ended {
        const WHAT: &str = "commit the transaction";
        let deadline = Deadline::after(timeout);
        if let Err(fault) = self.flush(timeout) {
            return if fault.kind == FaultKind::Fenced { self.fence(fault) } else { Ended::NotEnded(fault) };
        }
        #[cfg(feature = "sabotage")]
        crate::sabotage::point("flushed");
        let lost_before = self.links_lost();
        let ended = self.producer.commit_transaction(deadline.remaining());
        #[cfg(feature = "sabotage")]
        crate::sabotage::point("ended");
        let link_lost = self.links_lost() != lost_before;
        self.lost_a_link();
        let error = match ended {
            Ok(()) => return Ended::Committed,
            Err(error) => error,
        };
        let fault = self.fault(WHAT, &error);
        match (end_of(&error), link_lost) {
            (End::Fenced, _) => self.fence(fault),
            (End::NotAsked | End::Refused, false) | (End::NotAsked, true) => Ended::NotEnded(fault),
            (End::Refused, true) | (End::Unknown, _) => {
                self.spent = true;
                Ended::Unclear(fault)
            }
        }
    }

    /// A request of this transaction may have been sent twice, and the first one may still be on its way.
    fn lost_a_link(&mut self) {
        self.spent |= self.links_lost() != self.lost_before;
    }

    fn fence(&mut self, fault: KafkaFault) -> Ended {
        self.spent = true;
        Ended::Fenced(fault)
    }

    /// Aborts the transaction; what is still in the queue is dropped.
    ///
    /// # Errors
    /// Anything but success means that the producer must be replaced.
    pub fn abort(&mut self, timeout: Duration) -> Result<(), KafkaFault> {
        // A record that failed leaves a gap in the sequence of its partition. librdkafka closes it
        // only after the next transaction has failed for it.
        self.spent |= self.tally().fault().is_some();
        let aborted = self.producer.abort_transaction(timeout);
        self.spent |= aborted.is_err();
        self.lost_a_link();
        aborted.map_err(|error| self.fault("abort the transaction", &error))
    }

    /// What the transaction has delivered; kept after its end, until the next one begins. Complete once it is committed.
    #[must_use]
    pub fn delivered(&self) -> Deliveries {
        self.tally().delivered()
    }

    /// Partitions that refused a record of the transaction, or did not take it in time; kept likewise.
    #[must_use]
    pub fn refused(&self) -> Vec<Refused> {
        self.tally().refused()
    }

    /// Links lost or not made since this producer was created.
    #[must_use]
    pub fn links_lost(&self) -> u64 {
        self.tally().links.lost()
    }

    /// Whether password or certificates are others by now: between two transactions a new producer is to take its place.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        self.made.is_outdated()
    }

    /// Whether this producer is of no use for another transaction.
    #[must_use]
    pub fn must_replace(&self) -> bool {
        #[cfg(feature = "sabotage")]
        if crate::sabotage::Sabotage::ReuseProducer.is_on() {
            return self.producer.client().fatal_error().is_some();
        }
        self.spent || self.producer.client().fatal_error().is_some()
    }

    /// A fault of a call; where the client has failed for good, that is told instead.
    fn fault(&self, what: &str, error: &KafkaError) -> KafkaFault {
        self.fatal(what).unwrap_or_else(|| KafkaFault::of(what, error))
    }

    fn fatal(&self, what: &str) -> Option<KafkaFault> {
        let (code, text) = self.producer.client().fatal_error()?;
        let mut fault = KafkaFault::of_code(what, code);
        if fault.kind != FaultKind::Fenced {
            fault.kind = FaultKind::Fatal;
        }
        fault.message = format!("{}: {text}", fault.message);
        Some(fault)
    }
}

impl std::fmt::Debug for TxnProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TxnProducer").field("spent", &self.spent).finish_non_exhaustive()
    }
}

/// What an error of the commit call says about the end of the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The coordinator was not asked.
    NotAsked,
    /// The coordinator was asked and said no, or the transaction had failed before.
    Refused,
    /// Nobody knows.
    Unknown,
    /// Somebody else has the id.
    Fenced,
}

fn end_of(error: &KafkaError) -> End {
    match error {
        // The binding flushes once more before it asks.
        KafkaError::Flush(_) => End::NotAsked,
        KafkaError::Transaction(error) => match error.code() {
            RDKafkaErrorCode::Fenced | RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch => {
                End::Fenced
            }
            // librdkafka marks a transaction that timed out here as abortable although the
            // coordinator may have committed it.
            RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::TimedOutQueue => End::Unknown,
            _ if error.is_fatal() => End::Unknown,
            _ if error.txn_requires_abort() => End::Refused,
            _ => End::Unknown,
        },
        _ => End::Unknown,
    }
}

/// Puts a record into a producer's queue and waits, within `wait`, while it is full.
pub(super) fn send(
    producer: &ThreadedProducer<Tally>,
    out: Out<'_>,
    wait: Duration,
    fault: impl Fn(&KafkaError) -> KafkaFault,
) -> Result<(), KafkaFault> {
    let mut record = BaseRecord::<[u8], [u8]>::to(out.topic);
    record.key = out.key;
    record.payload = out.value;
    record.partition = out.partition;
    record.timestamp = out.timestamp_ms;
    record.headers = out.headers.copy();
    let mut deadline = None;
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((error, back)) => {
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    return Err(fault(&error));
                }
                let deadline = *deadline.get_or_insert_with(|| Deadline::after(wait));
                if deadline.passed() {
                    return Err(KafkaFault::new(
                        FaultKind::Timeout,
                        format!("send to {}: the queue stayed full for {} ms", out.topic, wait.as_millis()),
                    ));
                }
                record = back;
                // Delivery reports make the room; this serves them and waits at most one step.
                producer.poll(QUEUE_STEP);
            }
        }
    }
}
