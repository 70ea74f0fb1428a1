//! Delivery reports, counted: one lock and a few additions per record, never a future.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, ProducerContext};

use super::fault::{FaultKind, KafkaFault};
use super::link::Links;

/// What was delivered to one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Smallest offset.
    pub first_offset: i64,
    /// Largest offset.
    pub last_offset: i64,
    /// Number of records. Less than the offsets between them when others write there too.
    pub count: u64,
}

/// Everything that was delivered since the transaction began, or since the last flush.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Deliveries {
    /// By partition, in the order of their first delivery.
    pub partitions: Vec<Delivered>,
    /// Number of records.
    pub count: u64,
}

impl Deliveries {
    /// Number of records delivered to a topic.
    #[must_use]
    pub fn to(&self, topic: &str) -> u64 {
        self.partitions.iter().filter(|partition| partition.topic == topic).map(|partition| partition.count).sum()
    }

    fn add(&mut self, topic: &str, partition: i32, offset: i64) {
        self.count += 1;
        // A handful of entries: a search is cheaper than hashing a topic's name.
        match self.partitions.iter_mut().find(|one| one.partition == partition && one.topic == topic) {
            Some(one) => {
                one.first_offset = one.first_offset.min(offset);
                one.last_offset = one.last_offset.max(offset);
                one.count += 1;
            }
            None => self.partitions.push(Delivered {
                topic: topic.to_owned(),
                partition,
                first_offset: offset,
                last_offset: offset,
                count: 1,
            }),
        }
    }
}

/// A partition that refused a record, or did not take it in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Why, for the first one.
    pub kind: FaultKind,
}

#[derive(Debug, Default)]
struct State {
    delivered: Deliveries,
    failed: u64,
    first_error: Option<KafkaFault>,
    refused: Vec<Refused>,
}

/// The context of a producer: counts its deliveries and its lost links.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    state: Mutex<State>,
    pub(crate) links: Links,
}

impl Tally {
    fn state(&self) -> MutexGuard<'_, State> {
        // Additions cannot leave the counts half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what was counted.
    pub(crate) fn reset(&self) {
        *self.state() = State::default();
    }

    /// The first record that failed, with how many did.
    pub(crate) fn fault(&self) -> Option<KafkaFault> {
        let state = self.state();
        state.first_error.clone().map(|fault| KafkaFault {
            kind: fault.kind,
            message: format!("{} ({} records)", fault.message, state.failed),
        })
    }

    /// What was delivered.
    pub(crate) fn delivered(&self) -> Deliveries {
        self.state().delivered.clone()
    }

    /// The partitions of the records that failed.
    pub(crate) fn refused(&self) -> Vec<Refused> {
        self.state().refused.clone()
    }

    fn report(&self, topic: &str, partition: i32, outcome: Result<i64, &KafkaError>) {
        let mut state = self.state();
        match outcome {
            Ok(offset) => state.delivered.add(topic, partition, offset),
            Err(error) => {
                state.failed += 1;
                if state.refused.iter().any(|one| one.partition == partition && one.topic == topic) {
                    return;
                }
                let fault = KafkaFault::of(&format!("deliver to {topic} partition {partition}"), error);
                state.refused.push(Refused { topic: topic.to_owned(), partition, kind: fault.kind });
                state.first_error.get_or_insert(fault);
            }
        }
    }
}

impl ClientContext for Tally {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.links.log(level, facility, message);
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.links.error(&error, reason);
    }
}

impl ProducerContext for Tally {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): Self::DeliveryOpaque) {
        match result {
            Ok(message) => self.report(message.topic(), message.partition(), Ok(message.offset())),
            Err((error, message)) => self.report(message.topic(), message.partition(), Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::error::RDKafkaErrorCode;

    use super::*;

    #[test]
    fn deliveries_are_counted_by_partition_with_their_range() {
        let tally = Tally::default();
        for (topic, partition, offset) in [("a", 0, 7), ("a", 0, 5), ("a", 1, 1), ("b", 0, 9), ("a", 0, 6)] {
            tally.report(topic, partition, Ok(offset));
        }
        let deliveries = tally.delivered();
        assert_eq!((deliveries.count, deliveries.to("a"), deliveries.to("b"), deliveries.to("c")), (5, 4, 1, 0));
        let first = &deliveries.partitions[0];
        assert_eq!((first.first_offset, first.last_offset, first.count), (5, 7, 3));
        assert_eq!(tally.fault(), None);
        tally.reset();
        assert_eq!(tally.delivered(), Deliveries::default());
    }

    #[test]
    fn the_first_failure_is_kept_and_the_rest_are_counted() {
        let tally = Tally::default();
        tally.report("a", 3, Err(&KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge)));
        tally.report("a", 4, Err(&KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut)));
        let fault = tally.fault().expect("a fault");
        assert_eq!(fault.kind, FaultKind::TooLarge);
        assert!(fault.message.contains("a partition 3") && fault.message.ends_with("(2 records)"), "{fault}");
        tally.report("a", 4, Err(&KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge)));
        let refused: Vec<_> = tally.refused().into_iter().map(|one| (one.topic, one.partition, one.kind)).collect();
        assert_eq!(refused, [("a".into(), 3, FaultKind::TooLarge), ("a".into(), 4, FaultKind::Timeout)]);
    }
}
