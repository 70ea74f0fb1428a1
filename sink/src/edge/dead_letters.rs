//! The topic `sisdmk.dlq`, as far as the sink writes to it.

use platform::clock::now_micros;
use platform::kafka::{FaultKind, HeaderSet, IdempotentProducer, KafkaConfig, KafkaFault, Out};
use platform::metrics;
use schemas::Timestamp;

use crate::config::PUBLISH_TIMEOUT;
use crate::edge::writer::DeadLetters;
use crate::letter::Letter;
use crate::policy::Fault;

/// Topic of dead letters.
const TOPIC: &str = "sisdmk.dlq";

/// Writes dead letters, one after the other, and waits for all of them.
pub(crate) struct DlqTopic {
    kafka: KafkaConfig,
    producer: Option<IdempotentProducer>,
}

impl DlqTopic {
    /// Nothing is opened before the first letter: most sinks never write one.
    pub(crate) fn new(kafka: KafkaConfig) -> Self {
        Self { kafka, producer: None }
    }

    fn send(&mut self, letters: &[Letter<'_>]) -> Result<(), KafkaFault> {
        let producer = match self.producer.take().filter(|producer| !producer.is_outdated()) {
            Some(producer) => producer,
            None => IdempotentProducer::connect(&self.kafka)?,
        };
        let now = Timestamp(now_micros());
        for letter in letters {
            let headers =
                letter.headers(now).iter().fold(HeaderSet::default(), |set, (name, value)| set.with(name, value));
            producer.send(Out {
                topic: TOPIC,
                // The same partition number in raw, clean and dlq, also for a key that is not fit.
                partition: Some(letter.partition),
                key: letter.record.key,
                value: letter.record.value,
                headers: &headers,
                timestamp_ms: None,
            })?;
        }
        let delivered = producer.flush(PUBLISH_TIMEOUT)?;
        if delivered.count != u64::try_from(letters.len()).unwrap_or(u64::MAX) {
            return Err(KafkaFault::new(FaultKind::Timeout, "flush: not every dead letter was acknowledged"));
        }
        // Only a producer without a fault is kept: what an unclear one still delivers would be
        // counted among the next letters.
        self.producer = Some(producer);
        Ok(())
    }
}

impl DeadLetters for DlqTopic {
    fn publish(&mut self, letters: &[Letter<'_>]) -> Result<(), Fault> {
        self.send(letters).map_err(|fault| Fault::Publish { topic: TOPIC, message: fault.message })?;
        for letter in letters {
            metrics::dead_letters().with_label_values(&["sink", letter.refusal.code()]).inc();
        }
        Ok(())
    }
}
