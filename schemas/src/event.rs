//! `BatchEvent`, the value on `sisdmk.audit`: stage reports, batch summaries, incidents.
//!
//! `schemas/avro/batch_event.avsc` is the contract. Events are few, so these types own their text.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::avro::{
    DecodeFault, Reader, put_length, put_long, put_opt_long, put_opt_text, put_symbol, put_text, put_uuid,
};
use crate::frame;
use crate::ids::TraceId;
use crate::symbols::symbols;
use crate::timestamp::Timestamp;

symbols! {
    /// What an event tells.
    pub enum EventType {
        /// A batch has begun.
        BatchStarted = "BATCH_STARTED",
        /// A stage has dealt with a range of one partition.
        StageReport = "STAGE_REPORT",
        /// The producer has published the batch's last slice.
        BatchFetched = "BATCH_FETCHED",
        /// The ledger has closed a batch.
        BatchClosed = "BATCH_CLOSED",
        /// An incident has begun.
        IncidentOpened = "INCIDENT_OPENED",
        /// An incident has ended.
        IncidentResolved = "INCIDENT_RESOLVED",
        /// Somebody changed something by hand.
        OperatorAction = "OPERATOR_ACTION",
        /// A symbol of a newer schema; never written by these programs.
        TidakDiketahui = "TIDAK_DIKETAHUI",
    }
}

symbols! {
    /// Why a batch was started.
    pub enum BatchKind {
        /// By the schedule.
        Scheduled = "SCHEDULED",
        /// By an operator.
        Manual = "MANUAL",
        /// A full pull to find what left no stamp.
        Reconcile = "RECONCILE",
        /// Dead letters once more.
        Replay = "REPLAY",
        /// New region tables over what is known.
        Remap = "REMAP",
        /// A symbol of a newer schema; never written by these programs.
        TidakDiketahui = "TIDAK_DIKETAHUI",
    }
}

symbols! {
    /// How a batch ended: the worst that happened.
    pub enum BatchStatus {
        /// Everything was fetched and accounted for.
        Complete = "COMPLETE",
        /// A slice failed.
        Failed = "FAILED",
        /// The source refused the credentials.
        AuthFailed = "AUTH_FAILED",
        /// The source answered in another shape than declared.
        FormatChanged = "FORMAT_CHANGED",
        /// The counts did not tie by the deadline.
        Incomplete = "INCOMPLETE",
        /// A symbol of a newer schema; never written by these programs.
        TidakDiketahui = "TIDAK_DIKETAHUI",
    }
}

/// One event. Which fields are set for which type is in `docs/CONTRACT.md`, section 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchEvent {
    /// Deterministic, see [`event_id`]: the same event has it however often it is sent.
    pub event_id: Uuid,
    /// What is told.
    pub event_type: EventType,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// Batch concerned; nil where none is.
    pub batch_id: Uuid,
    /// Kind of that batch.
    pub kind: BatchKind,
    /// `<profile>/<version>`, or empty.
    pub source: String,
    /// Stage that reports: `producer`, `processor`, `sink`.
    pub stage: Option<String>,
    /// Input topic of the range.
    pub topic: Option<String>,
    /// Partition of the range.
    pub partition: Option<i32>,
    /// First position of the range.
    pub first_offset: Option<i64>,
    /// Position after the range.
    pub next_offset: Option<i64>,
    /// The slice of a producer's report.
    pub region: Option<String>,
    /// What was counted, by name.
    pub counts: BTreeMap<String, i64>,
    /// How the batch ended.
    pub status: Option<BatchStatus>,
    /// Whether the counts of all stages agree.
    pub tied: Option<bool>,
    /// When the batch began.
    pub started_at: Option<Timestamp>,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i64>,
    /// HTTP request concerned.
    pub request_id: Option<Uuid>,
    /// Trace concerned.
    pub trace_id: Option<TraceId>,
    /// Our own words; never a value of a record.
    pub detail: Option<String>,
}

/// The deterministic id of an event: a version 5 UUID in the batch id's space over the type's
/// symbol and `parts` (stage, topic, partition, first offset or region), joined by line feeds,
/// which none of them contains.
#[must_use]
pub fn event_id(batch_id: Uuid, event_type: EventType, parts: &[&str]) -> Uuid {
    let mut name = event_type.as_str().to_owned();
    for part in parts {
        name.push('\n');
        name.push_str(part);
    }
    Uuid::new_v5(&batch_id, name.as_bytes())
}

/// Appends a whole frame. Counts are written in the order of their names.
pub fn encode(event: &BatchEvent, schema_id: u32, out: &mut Vec<u8>) {
    frame::write(schema_id, out);
    put_uuid(out, &event.event_id);
    put_symbol(out, event.event_type.index());
    put_long(out, event.occurred_at.0);
    put_uuid(out, &event.batch_id);
    put_symbol(out, event.kind.index());
    put_text(out, &event.source);
    put_opt_text(out, event.stage.as_deref());
    put_opt_text(out, event.topic.as_deref());
    put_opt_long(out, event.partition.map(i64::from));
    put_opt_long(out, event.first_offset);
    put_opt_long(out, event.next_offset);
    put_opt_text(out, event.region.as_deref());
    if !event.counts.is_empty() {
        put_length(out, event.counts.len());
        for (name, count) in &event.counts {
            put_text(out, name);
            put_long(out, *count);
        }
    }
    out.push(0);
    put_opt_long(out, event.status.map(|status| status.index().into()));
    match event.tied {
        None => put_long(out, 0),
        Some(tied) => {
            put_long(out, 1);
            out.push(u8::from(tied));
        }
    }
    put_opt_long(out, event.started_at.map(|moment| moment.0));
    put_opt_long(out, event.duration_ms);
    put_opt_text(out, event.request_id.map(|id| id.to_string()).as_deref());
    put_opt_text(out, event.trace_id.map(|id| id.to_string()).as_deref());
    put_opt_text(out, event.detail.as_deref());
}

/// Decodes a whole frame written with our schema.
pub fn decode(frame: &[u8], schema_id: u32) -> Result<BatchEvent, DecodeFault> {
    let reader = &mut Reader::new(frame::datum(frame, schema_id)?);
    let event = BatchEvent {
        event_id: reader.uuid("event_id"),
        event_type: reader.symbol("event_type", EventType::ALL),
        occurred_at: reader.timestamp("occurred_at"),
        batch_id: reader.uuid("batch_id"),
        kind: reader.symbol("kind", BatchKind::ALL),
        source: reader.text("source").to_owned(),
        stage: owned(reader, "stage"),
        topic: owned(reader, "topic"),
        partition: reader.optional("partition", Reader::int),
        first_offset: reader.optional("first_offset", Reader::long),
        next_offset: reader.optional("next_offset", Reader::long),
        region: owned(reader, "region"),
        counts: reader
            .blocks("counts", 2, |reader| (reader.text("counts").to_owned(), reader.long("counts")))
            .into_iter()
            .collect(),
        status: reader.optional("status", |reader, field| reader.symbol(field, BatchStatus::ALL)),
        tied: reader.optional("tied", Reader::boolean),
        started_at: reader.optional("started_at", Reader::timestamp),
        duration_ms: reader.optional("duration_ms", Reader::long),
        request_id: reader.optional("request_id", Reader::uuid),
        trace_id: reader.optional("trace_id", Reader::trace_id),
        detail: owned(reader, "detail"),
    };
    reader.end()?;
    Ok(event)
}

fn owned(reader: &mut Reader<'_>, field: &'static str) -> Option<String> {
    reader.optional(field, Reader::text).map(str::to_owned)
}
