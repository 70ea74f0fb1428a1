//! A producer without transactions: each record once and in order, or a fault.

use std::time::Duration;

use rdkafka::producer::{Producer, ThreadedProducer};

use super::config::KafkaConfig;
use super::credentials::Made;
use super::fault::{FaultKind, KafkaFault};
use super::message::Out;
use super::native;
use super::tally::{Deliveries, Tally};
use super::txn::send;

/// How long a full queue is waited for.
const SEND_WAIT: Duration = Duration::from_secs(30);

/// A producer whose records are acknowledged by all replicas, each once and in order as long as the
/// process lives. After a crash the caller sends again what it does not know to be delivered.
///
/// It may be shared by threads, but deliveries are counted over all of them: whoever wants to know
/// which records are safe uses it alone.
pub struct IdempotentProducer {
    producer: ThreadedProducer<Tally>,
    made: Made,
}

impl IdempotentProducer {
    /// Makes the producer; it connects in the background.
    ///
    /// # Errors
    /// `Config` when librdkafka refuses an option.
    pub fn connect(config: &KafkaConfig) -> Result<Self, KafkaFault> {
        let made = config.made();
        config
            .idempotent()
            .create_with_context(Tally::default())
            .map(|producer| Self { producer, made })
            .map_err(|error| KafkaFault::of("start the producer", &error))
    }

    /// Puts a record into the queue; waits up to 30 s for room where it is full.
    ///
    /// # Errors
    /// `TooLarge`, `Timeout` when the queue stays full, `Fatal` when the producer is of no use any more.
    pub fn send(&self, out: Out<'_>) -> Result<(), KafkaFault> {
        send(&self.producer, out, SEND_WAIT, |error| KafkaFault::of("send", error))
    }

    /// Waits until everything sent is acknowledged; tells what was delivered since the last flush
    /// and begins to count anew.
    ///
    /// # Errors
    /// The first record's fault when any failed: send the batch again. `Timeout` when records are
    /// still under way: flush again.
    pub fn flush(&self, timeout: Duration) -> Result<Deliveries, KafkaFault> {
        let tally: &Tally = self.producer.context();
        match native::flush(self.producer.client(), timeout) {
            Ok(()) => {
                let outcome = tally.fault().map_or_else(|| Ok(tally.delivered()), Err);
                tally.reset();
                outcome
            }
            Err(code) => Err(KafkaFault::of_code("flush", code)),
        }
    }

    /// Whether password or certificates are others by now: a new producer is to take its place.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        self.made.is_outdated()
    }

    /// Whether this producer has failed for good.
    #[must_use]
    pub fn must_replace(&self) -> bool {
        self.producer.client().fatal_error().is_some()
    }

    /// Why it has failed for good, if it has.
    #[must_use]
    pub fn fatal(&self) -> Option<KafkaFault> {
        let (code, text) = self.producer.client().fatal_error()?;
        Some(KafkaFault::new(FaultKind::Fatal, format!("produce: {code}: {text}")))
    }
}

impl std::fmt::Debug for IdempotentProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdempotentProducer")
    }
}
