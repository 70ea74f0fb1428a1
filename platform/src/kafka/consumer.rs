//! The consumer: borrowed records, and every event that a promise depends on.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer as _, ConsumerContext, ConsumerGroupMetadata, RebalanceProtocol,
};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::config::KafkaConfig;
use super::credentials::Made;
use super::fault::{FaultKind, KafkaFault};
use super::link::Links;
use super::message::Msg;
use crate::clock::Deadline;

/// Longest wait for the answer to a request that is made for its own sake. A request that is given up ends its link.
const WAKE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a question to a broker may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// Records between two looks at the clock while they flow.
const CLOCK_EVERY: usize = 64;

/// What the group did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RebalanceEvent {
    /// These partitions are ours from now on.
    Assigned(Vec<i32>),
    /// These partitions are no longer ours; nobody else had them while we held records of theirs.
    Revoked(Vec<i32>),
    /// These partitions were taken away; somebody else may have them already.
    Lost(Vec<i32>),
}

/// What a poll met besides records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PollEvent {
    /// The group changed our partitions. Records of partitions that went away, handed out before
    /// this event, must not be finished.
    Rebalance(RebalanceEvent),
    /// The next record of a partition is not there: no committed position, or one outside of what
    /// the topic holds. The partition stands still until [`Consumer::seek`].
    PositionLost {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// Anything else that librdkafka reports. `Retriable` ones mend themselves.
    Fault(KafkaFault),
}

/// The result of one poll.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "events tell about partitions that went away"]
pub struct PollOutcome {
    /// Records handed out.
    pub records: usize,
    /// What else was met, in order. A poll ends at the first rebalance or lost position.
    pub events: Vec<PollEvent>,
}

/// Where a subscribed consumer starts with a partition that it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the group's committed position.
    Committed,
    /// Held: nothing is delivered until the caller, who keeps positions elsewhere, calls
    /// [`Consumer::seek`] and [`Consumer::resume`]. Who resumes without seeking reads from the
    /// beginning, which repeats work but skips nothing.
    Held,
}

/// A partition and the next offset to be handed out; none until it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    topic: String,
    partition: i32,
    next: Option<i64>,
}

#[derive(Debug, Default)]
struct State {
    rebalances: VecDeque<RebalanceEvent>,
    places: Vec<Place>,
    /// The offset of the end-of-partition event that is being reported.
    end_offset: Option<i64>,
}

/// The context of a consumer: what its callbacks leave for the poll that runs them.
#[derive(Debug)]
struct Context {
    start: Start,
    state: Mutex<State>,
    links: Links,
}

impl Context {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is one push, one removal or one store.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) -> KafkaResult<()> {
        if self.start == Start::Held {
            list.set_all_offsets(Offset::Beginning)?;
        }
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(list)?,
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(list)?,
        }
        if self.start == Start::Held {
            consumer.pause(list)?;
        }
        Ok(())
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.links.log(level, facility, message);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            // Not an error. The binding keeps the partition and drops the offset, which is told here.
            Some(Code::PartitionEOF) => self.state().end_offset = end_offset(reason),
            _ => self.links.error(&error, reason),
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions: Vec<i32> = list.elements().iter().map(|one| one.partition()).collect();
        let (event, outcome) = if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            let outcome = self.assign(consumer, list);
            let mut state = self.state();
            for one in list.elements() {
                state.places.push(Place { topic: one.topic().to_owned(), partition: one.partition(), next: None });
            }
            (RebalanceEvent::Assigned(partitions), outcome)
        } else {
            // Asked before the unassignment, which resets it.
            let lost = consumer.assignment_lost();
            let outcome = match consumer.rebalance_protocol() {
                RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
                RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
            };
            self.state().places.retain(|place| !partitions.contains(&place.partition));
            (if lost { RebalanceEvent::Lost(partitions) } else { RebalanceEvent::Revoked(partitions) }, outcome)
        };
        if let Err(error) = outcome {
            tracing::warn!(error = %error, event = ?event, "the group's change of partitions failed");
        }
        // A cooperative group also tells those for whom nothing changes.
        if list.count() == 0 {
            return;
        }
        tracing::info!(event = ?event, "the group changed our partitions");
        self.state().rebalances.push_back(event);
    }
}

/// The offset in librdkafka's words for the end of a partition: `.. reached end of partition at
/// offset 17 (HighwaterMark 17)`. None where the words are others: then the position past a
/// transaction's last marker stays unknown, which delays nothing but an idle position.
fn end_offset(reason: &str) -> Option<i64> {
    let (_, rest) = reason.split_once("at offset ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// A consumer of committed records.
///
/// It never commits by itself and never jumps: where its position is not in the topic, that is an
/// event ([`PollEvent::PositionLost`]) and the partition stands still. One thread polls it, at least
/// every two minutes; all methods block that thread, questions to brokers for at most 5 s, and 2 s more where none answers.
pub struct Consumer {
    consumer: BaseConsumer<Context>,
    made: Made,
}

impl Consumer {
    /// Joins a group and reads its share of a topic.
    ///
    /// # Errors
    /// `Config` when librdkafka refuses an option.
    pub fn subscribe(config: &KafkaConfig, topic: &str, group: &str, start: Start) -> Result<Self, KafkaFault> {
        #[cfg(not(feature = "sabotage"))]
        let read_committed = true;
        #[cfg(feature = "sabotage")]
        let read_committed = !crate::sabotage::Sabotage::ReadUncommitted.is_on();
        let this = Self::create(config, group, read_committed, start)?;
        this.consumer.subscribe(&[topic]).map_err(|error| KafkaFault::of("subscribe", &error))?;
        Ok(this)
    }

    /// A consumer of committed records outside any group; [`Consumer::assign`] tells it what to read.
    ///
    /// # Errors
    /// `Config` when librdkafka refuses an option.
    pub fn manual(config: &KafkaConfig) -> Result<Self, KafkaFault> {
        Self::create(config, config.client_id(), true, Start::Committed)
    }

    /// The same for all records, committed or not.
    ///
    /// # Errors
    /// `Config` when librdkafka refuses an option.
    pub fn manual_uncommitted(config: &KafkaConfig) -> Result<Self, KafkaFault> {
        Self::create(config, config.client_id(), false, Start::Committed)
    }

    /// A member of nothing that may read and write the positions of a group.
    pub(super) fn of_group(config: &KafkaConfig, group: &str) -> Result<Self, KafkaFault> {
        Self::create(config, group, true, Start::Committed)
    }

    fn create(config: &KafkaConfig, group: &str, read_committed: bool, start: Start) -> Result<Self, KafkaFault> {
        let context = Context { start, state: Mutex::default(), links: Links::default() };
        let made = config.made();
        config
            .consumer(group, read_committed)
            .create_with_context(context)
            .map(|consumer| Self { consumer, made })
            .map_err(|error| KafkaFault::of("start the consumer", &error))
    }

    fn context(&self) -> &Context {
        self.consumer.context()
    }

    /// Reads exactly these partitions, each from its offset. Replaces what was assigned before.
    ///
    /// # Errors
    /// `Fatal` when librdkafka refuses.
    pub fn assign(&self, partitions: &[(&str, i32, i64)]) -> Result<(), KafkaFault> {
        let list = list_of(partitions.iter().map(|(topic, partition, offset)| (*topic, *partition, Some(*offset))))?;
        self.consumer.assign(&list).map_err(|error| KafkaFault::of("assign partitions", &error))?;
        self.context().state().places = partitions
            .iter()
            .map(|(topic, partition, offset)| Place {
                topic: (*topic).to_owned(),
                partition: *partition,
                next: Some(*offset),
            })
            .collect();
        Ok(())
    }

    /// Hands out records until there are `records_max`, or `wait_max` has passed, or something
    /// happened to our partitions. A record is borrowed for the time of one call of `each`.
    ///
    /// Call it also when no records are wanted (pause the partitions): it keeps the membership.
    pub fn poll(&self, records_max: usize, wait_max: Duration, each: impl FnMut(&Msg<'_>)) -> PollOutcome {
        self.poll_while_flowing(records_max, wait_max, Duration::ZERO, each)
    }

    /// The same, but after `wait_max` it goes on for as long as the next record is at hand, at most until `flow_max`. So nobody
    /// waits for company longer than `wait_max`, and what is done once for each poll is done rarely where there is much to do.
    pub fn poll_while_flowing(
        &self,
        records_max: usize,
        wait_max: Duration,
        flow_max: Duration,
        mut each: impl FnMut(&Msg<'_>),
    ) -> PollOutcome {
        let (deadline, flow) = (Deadline::after(wait_max), Deadline::after(flow_max));
        let mut outcome = PollOutcome::default();
        let mut at = Cursor::default();
        let (mut first, mut flowing) = (true, false);
        while outcome.records < records_max {
            // While records flow, the clock is read for one in 64 only: it costs as much as a tenth of
            // handing one out.
            let wait = if flowing && !outcome.records.is_multiple_of(CLOCK_EVERY) {
                Duration::ZERO
            } else if first || !deadline.passed() {
                deadline.remaining()
            } else if flowing && !flow.passed() {
                Duration::ZERO
            } else {
                break;
            };
            first = false;
            let polled = self.consumer.poll(wait);
            flowing = matches!(polled, Some(Ok(_)));
            // Callbacks run inside the poll; what they left happened before what it returned.
            if self.take_rebalances(&mut outcome) {
                at.save(self.context());
                // A record fetched after the change is of a partition that is ours.
                if let Some(Ok(message)) = &polled {
                    at.step(message.topic(), message.partition(), message.offset(), self.context());
                    each(&Msg::of(message));
                    outcome.records += 1;
                }
                break;
            }
            match polled {
                None => {}
                Some(Ok(message)) => {
                    at.step(message.topic(), message.partition(), message.offset(), self.context());
                    each(&Msg::of(&message));
                    outcome.records += 1;
                }
                Some(Err(error)) => {
                    at.save(self.context());
                    if self.meet(&error, &mut outcome) {
                        break;
                    }
                }
            }
        }
        at.save(self.context());
        outcome
    }

    fn take_rebalances(&self, outcome: &mut PollOutcome) -> bool {
        let mut state = self.context().state();
        let any = !state.rebalances.is_empty();
        outcome.events.extend(state.rebalances.drain(..).map(PollEvent::Rebalance));
        any
    }

    /// Sorts an error of a poll; true when the poll should end.
    fn meet(&self, error: &KafkaError, outcome: &mut PollOutcome) -> bool {
        if let KafkaError::PartitionEOF(partition) = error {
            let mut state = self.context().state();
            if let (Some(end), [place]) = (
                state.end_offset.take(),
                state
                    .places
                    .iter_mut()
                    .filter(|place| place.partition == *partition)
                    .collect::<Vec<_>>()
                    .as_mut_slice(),
            ) {
                place.next = Some(place.next.map_or(end, |next| next.max(end)));
            }
            return false;
        }
        if matches!(error.rdkafka_error_code(), Some(Code::AutoOffsetReset | Code::OffsetOutOfRange)) {
            let lost = self.lost_positions();
            if lost.is_empty() {
                // A late report about a partition that was sought since, or one whose log has caught
                // up: it may stand still all the same, so all are set going where they are.
                self.restart();
                return false;
            }
            let events = lost.into_iter().map(|(topic, partition)| PollEvent::PositionLost { topic, partition });
            outcome.events.extend(events);
            return true;
        }
        let fault = KafkaFault::of("consume", error);
        let mends_itself = fault.is_retriable();
        if !outcome.events.contains(&PollEvent::Fault(fault.clone())) {
            outcome.events.push(PollEvent::Fault(fault));
        }
        !mends_itself
    }

    /// The partitions of ours whose next offset is not in their topic. librdkafka reports that one is
    /// lost but the binding does not say which, so all are compared with what the broker holds.
    fn lost_positions(&self) -> Vec<(String, i32)> {
        let places = self.context().state().places.clone();
        let mut lost = Vec::new();
        for place in places {
            let next = match place.next {
                Some(next) => Ok(Some(next)),
                // Held at the beginning until it is sought: there is no position to lose yet.
                None if self.context().start == Start::Held => continue,
                None => self.committed(&place.topic, &[place.partition]).map(|found| found.first().copied().flatten()),
            };
            let held = self.consumer.fetch_watermarks(&place.topic, place.partition, ASK_TIMEOUT);
            match (next, held) {
                (Ok(Some(next)), Ok((low, high))) if (low..=high).contains(&next) => {}
                // Not known to be fine is lost: it stands still either way, and that must be seen.
                _ => lost.push((place.topic, place.partition)),
            }
        }
        lost
    }

    fn restart(&self) {
        let places = self.context().state().places.clone();
        for (topic, partition, next) in places.into_iter().filter_map(|one| Some((one.topic, one.partition, one.next?)))
        {
            if let Err(fault) = self.seek(&topic, partition, next) {
                tracing::warn!(%topic, partition, error = %fault, "a partition could not be set going again");
            }
        }
    }

    /// Stops handing out records of these partitions.
    ///
    /// # Errors
    /// `Missing` when one is not assigned.
    pub fn pause(&self, topic: &str, partitions: &[i32]) -> Result<(), KafkaFault> {
        let list = list_of(partitions.iter().map(|partition| (topic, *partition, None)))?;
        self.consumer.pause(&list).map_err(|error| KafkaFault::of("pause", &error))
    }

    /// Goes on with these partitions: all at once, because a broker that is away costs a wait of 2 s for each call.
    ///
    /// # Errors
    /// `Missing` when one is not assigned.
    pub fn resume(&self, topic: &str, partitions: &[i32]) -> Result<(), KafkaFault> {
        let list = list_of(partitions.iter().map(|partition| (topic, *partition, None)))?;
        self.consumer.resume(&list).map_err(|error| KafkaFault::of("resume", &error))?;
        // The answer does not matter: the request wakes librdkafka's thread for that broker, which otherwise sleeps on for
        // up to a second where it had nothing to fetch.
        let deadline = Deadline::after(WAKE_TIMEOUT);
        for partition in partitions {
            let asked = self.consumer.fetch_watermarks(topic, *partition, deadline.remaining());
            if asked.is_err() || deadline.passed() {
                break;
            }
        }
        Ok(())
    }

    /// The next record of that partition is the one at `offset`; records already fetched are dropped.
    /// Works also for a partition that stands still after [`PollEvent::PositionLost`].
    ///
    /// # Errors
    /// `Missing` when the partition is not assigned, `Retriable` when it cannot be moved now.
    pub fn seek(&self, topic: &str, partition: i32, offset: i64) -> Result<(), KafkaFault> {
        const WHAT: &str = "seek";
        let list = list_of([(topic, partition, Some(offset))])?;
        let sought = self.consumer.seek_partitions(list.clone(), ASK_TIMEOUT).and_then(|list| {
            list.elements().iter().try_for_each(rdkafka::topic_partition_list::TopicPartitionListElem::error)
        });
        if let Err(error) = sought {
            if error.rdkafka_error_code() != Some(Code::State) {
                return Err(KafkaFault::of(WHAT, &error));
            }
            // It stands still after a lost position: only a new assignment starts it again.
            self.consumer
                .incremental_unassign(&list)
                .and_then(|()| self.consumer.incremental_assign(&list))
                .map_err(|error| KafkaFault::of(WHAT, &error))?;
        }
        let mut state = self.context().state();
        if let Some(place) = state.places.iter_mut().find(|place| place.partition == partition && place.topic == topic)
        {
            place.next = Some(offset);
        }
        Ok(())
    }

    /// The group's committed offsets of these partitions, in their order; none where there is none.
    ///
    /// # Errors
    /// `Timeout`, `Retriable`, `Denied`.
    pub fn committed(&self, topic: &str, partitions: &[i32]) -> Result<Vec<Option<i64>>, KafkaFault> {
        const WHAT: &str = "read committed offsets";
        let list = list_of(partitions.iter().map(|partition| (topic, *partition, None)))?;
        let list = self.consumer.committed_offsets(list, ASK_TIMEOUT).map_err(|error| KafkaFault::of(WHAT, &error))?;
        partitions
            .iter()
            .map(|partition| match list.find_partition(topic, *partition) {
                None => Ok(None),
                Some(one) => {
                    one.error().map_err(|error| KafkaFault::of(WHAT, &error))?;
                    Ok(match one.offset() {
                        Offset::Offset(offset) => Some(offset),
                        _ => None,
                    })
                }
            })
            .collect()
    }

    /// Commits offsets for the group and waits for the answer.
    ///
    /// # Errors
    /// `Fenced` or `Retriable` when the group does not take them; `Denied`.
    pub fn commit(&self, offsets: &[(&str, i32, i64)]) -> Result<(), KafkaFault> {
        self.commit_as(offsets, CommitMode::Sync)
    }

    /// Commits offsets for the group without waiting: for positions that are only a hint.
    ///
    /// # Errors
    /// Only what is known before anything is sent.
    pub fn commit_hint(&self, offsets: &[(&str, i32, i64)]) -> Result<(), KafkaFault> {
        self.commit_as(offsets, CommitMode::Async)
    }

    fn commit_as(&self, offsets: &[(&str, i32, i64)], mode: CommitMode) -> Result<(), KafkaFault> {
        const WHAT: &str = "commit offsets";
        if offsets.is_empty() {
            return Ok(());
        }
        let list = list_of(offsets.iter().map(|(topic, partition, offset)| (*topic, *partition, Some(*offset))))?;
        self.consumer.commit(&list, mode).map_err(|error| match error.rdkafka_error_code() {
            Some(Code::IllegalGeneration | Code::UnknownMemberId | Code::RebalanceInProgress) => {
                KafkaFault::new(FaultKind::Fenced, format!("{WHAT}: {error}"))
            }
            _ => KafkaFault::of(WHAT, &error),
        })
    }

    /// What is ours, with the next offset to be handed out; none before the first record of a
    /// partition that started at the committed position. Everything below it was handed out, or is
    /// nothing to be handed out (a transaction's marker, an aborted or a compacted record): at the
    /// end of the topic it is the log's end.
    #[must_use]
    pub fn positions(&self) -> Vec<(String, i32, Option<i64>)> {
        let state = self.context().state();
        state.places.iter().map(|place| (place.topic.clone(), place.partition, place.next)).collect()
    }

    /// That next offset for one partition.
    #[must_use]
    pub fn position(&self, topic: &str, partition: i32) -> Option<i64> {
        let state = self.context().state();
        state
            .places
            .iter()
            .find(|place| place.partition == partition && place.topic == topic)
            .and_then(|place| place.next)
    }

    /// First and next offset that a reader of this kind finds, asked from the broker. For a reader of
    /// committed records the latter is where the first open transaction begins.
    ///
    /// # Errors
    /// `Timeout`, `Retriable`, `Missing`, `Denied`.
    pub fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64), KafkaFault> {
        self.consumer.fetch_watermarks(topic, partition, ASK_TIMEOUT).map_err(|error| {
            // Of a topic that is not assigned to it librdkafka remembers the leaders for a while, and waits for one that has
            // gone: the next question would meet the same. What this one is answered is told by the next.
            let _ = super::admin::partitions(self.consumer.client(), topic, WAKE_TIMEOUT);
            KafkaFault::of("read watermarks", &error)
        })
    }

    /// The next offsets of these partitions, in their order, as [`Consumer::watermarks`].
    ///
    /// # Errors
    /// As [`Consumer::watermarks`].
    pub fn high_watermarks(&self, topic: &str, partitions: &[i32]) -> Result<Vec<i64>, KafkaFault> {
        partitions.iter().map(|partition| self.watermarks(topic, *partition).map(|(_, high)| high)).collect()
    }

    /// The partitions of a topic, asked from the broker.
    ///
    /// # Errors
    /// `Timeout`, `Retriable`, `Missing`, `Denied`.
    pub fn partitions(&self, topic: &str) -> Result<Vec<i32>, KafkaFault> {
        super::admin::partitions(self.consumer.client(), topic, ASK_TIMEOUT)
    }

    /// Whether the group has taken our partitions away without our consent.
    #[must_use]
    pub fn assignment_lost(&self) -> bool {
        self.consumer.assignment_lost()
    }

    /// Whether password or certificates are others by now: a new consumer is to take its place.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        self.made.is_outdated()
    }

    /// Links lost or not made since this consumer was created.
    #[must_use]
    pub fn links_lost(&self) -> u64 {
        self.context().links.lost()
    }

    pub(super) fn group_metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.consumer.group_metadata()
    }
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer").field("places", &self.context().state().places).finish_non_exhaustive()
    }
}

/// The place that records are handed out from; saves a search and a lock for every record.
#[derive(Default)]
struct Cursor {
    place: Option<Place>,
}

impl Cursor {
    fn step(&mut self, topic: &str, partition: i32, offset: i64, context: &Context) {
        match &mut self.place {
            Some(place) if place.partition == partition && place.topic == topic => place.next = Some(offset + 1),
            _ => {
                self.save(context);
                self.place = Some(Place { topic: topic.to_owned(), partition, next: Some(offset + 1) });
            }
        }
    }

    fn save(&mut self, context: &Context) {
        if let Some(done) = self.place.take() {
            let mut state = context.state();
            let place = state.places.iter_mut().find(|one| one.partition == done.partition && one.topic == done.topic);
            if let Some(place) = place {
                place.next = done.next;
            }
        }
    }
}

fn list_of<'a>(
    partitions: impl IntoIterator<Item = (&'a str, i32, Option<i64>)>,
) -> Result<TopicPartitionList, KafkaFault> {
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset) in partitions {
        let offset = offset.map_or(Offset::Invalid, Offset::Offset);
        list.add_partition_offset(topic, partition, offset)
            .map_err(|error| KafkaFault::of("name partitions", &error))?;
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_partition_is_read_from_librdkafka_s_words() {
        let check = |reason: &str, offset: Option<i64>| assert_eq!(end_offset(reason), offset, "{reason}");
        check("Fetch from broker 1 reached end of partition at offset 17 (HighwaterMark 17)", Some(17));
        check("Fetch from broker 1 reached end of partition at offset 0 (HighwaterMark 0)", Some(0));
        check("Broker: No more messages", None);
        check("at offset ", None);
    }

    #[test]
    fn a_cursor_saves_where_it_stopped_and_nothing_that_went_away() {
        let context = Context { start: Start::Committed, state: Mutex::default(), links: Links::default() };
        for partition in [0, 1] {
            context.state().places.push(Place { topic: "t".into(), partition, next: None });
        }
        let mut at = Cursor::default();
        at.step("t", 0, 5, &context);
        at.step("t", 0, 9, &context);
        at.step("t", 2, 1, &context);
        at.save(&context);
        let nexts: Vec<_> = context.state().places.iter().map(|place| (place.partition, place.next)).collect();
        assert_eq!(nexts, [(0, Some(10)), (1, None)]);
    }
}
