//! One record: judged, held against the view, and sent as what became of it.

use platform::clock::Stopwatch;
use platform::kafka::{HeaderSet, KafkaFault, Msg, Out, Refused, TxnProducer};
use schemas::{Timestamp, letter};

use crate::carried::{Carried, LastCarried};
use crate::edge::views::CLEAN_TOPIC;
use crate::runs::Runs;
use crate::transform::{RawMessage, Transform, Transformed};
use crate::view::View;

pub(super) const DLQ_TOPIC: &str = "sisdmk.dlq";

/// Where the records of a poll go.
pub(super) struct Taker<'w> {
    pub(super) producer: &'w mut TxnProducer,
    pub(super) transform: &'w mut Transform,
    pub(super) runs: &'w mut Runs,
    pub(super) page: LastCarried<HeaderSet>,
    /// Time that a dead letter carries.
    pub(super) now: Timestamp,
    /// Since when the transaction is open.
    pub(super) open: &'w mut Option<Stopwatch>,
    /// The record that could not even be queued.
    pub(super) refused: Option<Refused>,
}

impl Taker<'_> {
    /// Judges one record and sends what became of it, if anything.
    pub(super) fn take(&mut self, message: &Msg<'_>, view: &mut View) -> Result<(), KafkaFault> {
        if self.open.is_none() {
            self.producer.begin()?;
            *self.open = Some(Stopwatch::start());
        }
        let (provenance, carried) = self.page.read(&Carried::of(message.headers()), |carried| {
            let headers: Vec<(&str, &[u8])> = carried.present().collect();
            HeaderSet::new(&headers)
        });
        let raw = RawMessage {
            partition: message.partition,
            offset: message.offset,
            key: message.key,
            payload: message.value.unwrap_or_default(),
            provenance,
        };
        let transformed = self.transform.apply(raw, view, self.now);
        let outcome = transformed.outcome();
        // The raw record's partition number, so that one person stays on one number whatever partitions a record that somebody
        // else wrote.
        let partition = Some(message.partition);
        let (topic, sent) = match transformed {
            Transformed::Clean { person_id, frame } => {
                let key = person_id.to_string();
                let (key, value) = (Some(key.as_bytes()), Some(frame));
                let timestamp_ms = message.timestamp_ms;
                let out = Out { topic: CLEAN_TOPIC, partition, key, value, headers: carried, timestamp_ms };
                (CLEAN_TOPIC, self.producer.send(out))
            }
            Transformed::Equal | Transformed::Stale => ("", Ok(())),
            Transformed::Dead { headers, .. } => {
                let headers = letter_headers(message, &headers);
                let (key, value) = (message.key, message.value);
                let out = Out { topic: DLQ_TOPIC, partition, key, value, headers: &headers, timestamp_ms: None };
                (DLQ_TOPIC, self.producer.send(out))
            }
        };
        if let Err(fault) = sent {
            self.refused = Some(Refused { topic: topic.to_owned(), partition: message.partition, kind: fault.kind });
            return Err(fault);
        }
        self.runs.take(message.partition, message.offset, provenance.batch_id, outcome);
        self.runs.count_fields(message.partition, self.transform.fields());
        if self.transform.conflict() {
            self.runs.count_conflict(message.partition);
        }
        Ok(())
    }
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
