//! The producer's events on `sisdmk.audit`: what a batch set out to do, what each slice brought, how it
//! ended, and incidents. Pure.

use crate::cycle::Slice;
use crate::state::{BatchKind, BatchRecord, BatchStatus, IncidentKind, IncidentRecord};
use schemas::event::{self, BatchEvent, EventType};
use schemas::{Timestamp, TraceId};
use std::collections::BTreeMap;

/// The producer's name as a stage.
const STAGE: &str = "producer";
/// The producer's input is no topic; its positions are the running number of fetched records.
const INPUT: &str = "source";

/// A batch begins.
#[must_use]
pub fn started(batch: &BatchRecord, source: &str) -> BatchEvent {
    BatchEvent {
        started_at: Some(batch.started_at),
        ..event(EventType::BatchStarted, &[], batch, source, batch.started_at)
    }
}

/// A slice is committed; none for a slice without records, which covers no positions.
#[must_use]
pub fn slice(slice: &Slice, source: &str, now: Timestamp) -> Option<BatchEvent> {
    if slice.fetched == 0 {
        return None;
    }
    let first = slice.first_ordinal.to_string();
    Some(BatchEvent {
        stage: Some(STAGE.to_owned()),
        topic: Some(INPUT.to_owned()),
        partition: Some(0),
        first_offset: Some(signed(slice.first_ordinal)),
        next_offset: Some(signed(slice.batch.ordinal)),
        region: Some(slice.label.clone()),
        counts: counts(slice.fetched, slice.raw, slice.quarantined, slice.requests),
        ..event(EventType::StageReport, &[STAGE, INPUT, "0", &first], &slice.batch, source, now)
    })
}

/// The last slice is committed, or the batch has ended without it.
#[must_use]
pub fn fetched(batch: &BatchRecord, source: &str, now: Timestamp) -> BatchEvent {
    BatchEvent {
        counts: counts(batch.fetched, batch.raw, batch.quarantined, batch.requests),
        status: Some(match batch.status.unwrap_or(BatchStatus::Complete) {
            BatchStatus::Complete => event::BatchStatus::Complete,
            BatchStatus::Incomplete => event::BatchStatus::Incomplete,
            BatchStatus::Failed => event::BatchStatus::Failed,
            BatchStatus::FormatChanged => event::BatchStatus::FormatChanged,
            BatchStatus::AuthFailed => event::BatchStatus::AuthFailed,
        }),
        started_at: Some(batch.started_at),
        duration_ms: Some(duration_ms(batch, now)),
        ..event(EventType::BatchFetched, &[], batch, source, now)
    }
}

/// An incident begins.
#[must_use]
pub fn incident_opened(kind: IncidentKind, incident: &IncidentRecord, batch: &BatchRecord, source: &str) -> BatchEvent {
    BatchEvent {
        request_id: incident.request_id,
        region: incident.region.clone(),
        detail: Some(format!("{}: {}", kind.as_str(), incident.detail)),
        ..event(EventType::IncidentOpened, &[kind.as_str()], batch, source, incident.opened_at)
    }
}

/// An incident is over.
#[must_use]
pub fn incident_resolved(kind: IncidentKind, batch: &BatchRecord, source: &str, now: Timestamp) -> BatchEvent {
    BatchEvent {
        detail: Some(kind.as_str().to_owned()),
        ..event(EventType::IncidentResolved, &[kind.as_str()], batch, source, now)
    }
}

/// How long a batch took, in milliseconds.
#[must_use]
pub fn duration_ms(batch: &BatchRecord, ended_at: Timestamp) -> i64 {
    ended_at.0.saturating_sub(batch.started_at.0).max(0) / 1_000
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn counts(fetched: u64, raw: u64, quarantined: u64, requests: u64) -> BTreeMap<String, i64> {
    [("fetched", fetched), ("raw", raw), ("quarantined", quarantined), ("requests", requests)]
        .map(|(name, count)| (name.to_owned(), signed(count)))
        .into()
}

fn event(event_type: EventType, parts: &[&str], batch: &BatchRecord, source: &str, now: Timestamp) -> BatchEvent {
    BatchEvent {
        event_id: event::event_id(batch.batch_id, event_type, parts),
        event_type,
        occurred_at: now,
        batch_id: batch.batch_id,
        kind: match batch.kind {
            BatchKind::Scheduled => event::BatchKind::Scheduled,
            BatchKind::Manual => event::BatchKind::Manual,
            BatchKind::Reconcile => event::BatchKind::Reconcile,
            BatchKind::Replay => event::BatchKind::Replay,
            BatchKind::Remap => event::BatchKind::Remap,
        },
        source: source.to_owned(),
        stage: None,
        topic: None,
        partition: None,
        first_offset: None,
        next_offset: None,
        region: None,
        counts: BTreeMap::new(),
        status: None,
        tied: None,
        started_at: None,
        duration_ms: None,
        request_id: None,
        trace_id: TraceId::parse(batch.trace_id.as_bytes()),
        detail: None,
    }
}
